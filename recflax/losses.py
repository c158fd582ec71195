r"""Losses: pure functions of arrays, one signature, weights that say which entries count.

Every loss is a weighted mean, :math:`\sum_i w_i \ell_i / \sum_i w_i`, over whatever its entries are
(places, cells, baskets). A weight of 0 leaves an entry out, whatever its logits are; if all
weights are 0 the loss is 0, and so is its gradient.
"""

from typing import Any

import jax
import jax.numpy as jnp


def weighted_mean(values: jax.Array, weight: jax.Array | None = None) -> jax.Array:
    r"""Return :math:`\sum_i w_i x_i / \sum_i w_i`, and 0 where all weights are 0.

    Args:
        values: any shape; entries of weight 0 may be anything, NaN included.
        weight: the shape of ``values``, at least 0; None weighs all alike.

    Raises:
        ValueError: the shapes differ, whatever would broadcast.

    Example:
        >>> float(weighted_mean(jnp.array([1.0, 5.0, jnp.nan]), jnp.array([3.0, 1.0, 0.0])))
        2.0
    """
    if weight is None:
        return values.mean()
    if weight.shape != values.shape:
        raise ValueError(f"weight must have shape {values.shape}; got {weight.shape}")
    total = weight.sum()
    values = jnp.where(weight > 0, values, 0)
    return (weight * values).sum() / jnp.where(total > 0, total, 1)


def next_item_cross_entropy(
    logits: jax.Array, target: jax.Array, weight: jax.Array | None = None
) -> jax.Array:
    r"""Cross-entropy of the next item over the whole catalogue.

    .. math:: \ell = -\log \frac{e^{s_y}}{\sum_j e^{s_j}}

    Args:
        logits: (..., M), column j - 1 for item j.
        target: (...), item ids 1 to M; 0 is padding and counts for nothing.
        weight: (...), at least 0; None weighs all targets alike.

    Returns:
        The mean over the targets that are not padding, in nats. A constant model has log M.

    Raises:
        TypeError: the targets are not integers.
        ValueError: the shapes do not fit.

    Source: Kang and McAuley, "Self-Attentive Sequential Recommendation" (2018), with the full
    cross-entropy of Klenitskiy and Vasilev (2023) in the place of the sampled binary one.

    Example:
        >>> logits = jnp.zeros((2, 3, 5))
        >>> loss = next_item_cross_entropy(logits, jnp.array([[1, 2, 3], [0, 0, 5]]))
        >>> bool(jnp.isclose(loss, jnp.log(5)))
        True
    """
    if not jnp.issubdtype(target.dtype, jnp.integer):
        raise TypeError(f"target must hold item ids (integers); got {target.dtype}")
    if target.shape != logits.shape[:-1]:
        raise ValueError(f"target must have shape {logits.shape[:-1]}; got {target.shape}")
    real = target > 0
    place = jnp.where(real, target - 1, 0)
    chosen = jnp.take_along_axis(logits, place[..., None], axis=-1)[..., 0]
    loss = jax.nn.logsumexp(logits, axis=-1) - chosen
    ones = real.astype(logits.dtype)
    return weighted_mean(loss, ones if weight is None else ones * weight)


def sampled_cross_entropy(
    positive: jax.Array,
    negative: jax.Array,
    log_expected: jax.Array | None = None,
    weight: jax.Array | None = None,
) -> jax.Array:
    r"""Cross-entropy over the right item and a sample of others, with the sample corrected for.

    With :math:`q_j` the expected number of times that item j is drawn, the logits of the drawn
    ones are shifted by :math:`-\log q_j`, so that the sum over the sample estimates the sum over
    the catalogue:

    .. math:: \ell = -s_y + \log\Big(e^{s_y} + \sum_{j \in S} e^{s_j - \log q_j}\Big)

    Args:
        positive: (...,) logit of the right item.
        negative: (..., S) logits of the drawn items, the right one not among them.
        log_expected: (..., S) :math:`\log q_j` of the drawn items; None means that each other item
            was taken once, and then the loss is the full one.
        weight: (...), at least 0.

    Raises:
        ValueError: the shapes do not fit.

    Source: Jean, Cho, Memisevic and Bengio (2015), section 3; Yi et al. (2019), section 3.

    Example:
        >>> logits = jnp.array([[0.3, 1.2, -0.7]])
        >>> full = next_item_cross_entropy(logits, jnp.array([2]))
        >>> sampled = sampled_cross_entropy(logits[:, 1], logits[:, jnp.array([0, 2])])
        >>> bool(jnp.isclose(full, sampled))
        True
    """
    if negative.shape[:-1] != positive.shape:
        raise ValueError(f"negative must have shape (*{positive.shape}, S); got {negative.shape}")
    if log_expected is not None:
        if log_expected.shape != negative.shape:
            raise ValueError(
                f"log_expected must have shape {negative.shape}; got {log_expected.shape}"
            )
        negative = negative - log_expected
    everything = jnp.concatenate([positive[..., None], negative], axis=-1)
    return weighted_mean(jax.nn.logsumexp(everything, axis=-1) - positive, weight)


def binary_cross_entropy(
    logits: jax.Array, target: jax.Array, weight: jax.Array | None = None
) -> jax.Array:
    r"""Weighted binary cross-entropy, :math:`\ell = \log(1 + e^{s}) - y s`, for y in [0, 1].

    With a soft target this is the cross-entropy of y against the model's probability, and its
    minimum is at that probability equal to the weighted mean of y.

    Args:
        logits: any shape, for instance a cell for each person and item.
        target: the shape of ``logits``, 0 to 1.
        weight: the shape of ``logits``, at least 0; None weighs all alike.

    Returns:
        The weighted mean, in nats.

    Raises:
        ValueError: the shapes differ, whatever would broadcast.

    Example:
        >>> best = jnp.log(jnp.array([0.25 / 0.75]))  # the logit of one in four
        >>> slope = jax.grad(binary_cross_entropy)(best, jnp.array([0.25]))
        >>> bool(jnp.abs(slope[0]) < 1e-7)
        True
    """
    if target.shape != logits.shape:
        raise ValueError(f"target must have shape {logits.shape}; got {target.shape}")
    return weighted_mean(jax.nn.softplus(logits) - target * logits, weight)


def squared_error(
    logits: jax.Array, target: jax.Array, weight: jax.Array | None = None
) -> jax.Array:
    r"""Weighted squared error of the probability, :math:`\ell = (\sigma(s) - y)^2`, for any y.

    Its minimum, like that of `binary_cross_entropy`, is at the weighted mean of y. But y may lie
    outside [0, 1], as the targets of `doubly_robust_target` do: there cross-entropy has no minimum
    (with y below 0 it falls without end as s does), and this loss is at least 0.

    Args:
        logits: any shape.
        target: the shape of ``logits``, any finite numbers.
        weight: the shape of ``logits``, at least 0; None weighs all alike.

    Raises:
        ValueError: the shapes differ, whatever would broadcast.

    Example:
        >>> best = jnp.log(jnp.array([0.25 / 0.75, 0.25 / 0.75]))  # the logit of one in four
        >>> slope = jax.grad(squared_error)(best, jnp.array([-0.5, 1.0]))  # their mean is .25
        >>> bool(jnp.abs(slope.sum()) < 1e-7)
        True
    """
    if target.shape != logits.shape:
        raise ValueError(f"target must have shape {logits.shape}; got {target.shape}")
    return weighted_mean(jnp.square(jax.nn.sigmoid(logits) - target), weight)


def inverse_propensity(propensity: Any, clip: float | None = None) -> Any:
    r"""Weights :math:`1 / e`, or :math:`\min(1 / e, c)`, of what was shown with chance e.

    A loss over shown entries with these weights has the expectation of the loss over all entries,
    whatever chose what is shown, as long as every entry could be. Clipped it has not; it varies
    less.

    Args:
        propensity: any shape, in (0, 1]; numpy or JAX.
        clip: c, the largest weight; None clips nothing.

    Raises:
        ValueError: ``clip`` is below 1.

    Source: Schnabel et al., "Recommendations as Treatments" (2016), equation 8.

    Example:
        >>> inverse_propensity(jnp.array([0.5, 0.001]), clip=100).tolist()
        [2.0, 100.0]
    """
    if clip is not None and not clip >= 1:
        raise ValueError(f"clip must be at least 1; got {clip}")
    weight = 1 / propensity
    return weight if clip is None else weight.clip(max=clip)


def doubly_robust_target(
    predicted: Any, shown: Any, reward: Any, propensity: Any, clip: float | None = None
) -> Any:
    r"""A target whose mean is the outcome under display, if one of two models is right.

    .. math:: \tilde y = q + \frac{t}{e} (y - q)

    with t = 1 where it was shown. Its expectation given the history is :math:`E[Y \mid do(1)]` if
    the propensity e is right, whatever the prediction q; or if q is right, whatever e. It can be
    negative or above 1: fit it by `squared_error`.

    Args:
        predicted: q, any shape, made without the outcomes of these entries (cross-fitting).
        shown: t, 0 or 1, of that shape.
        reward: y, of that shape; where t is 0 it does not count.
        propensity: e, of that shape, in (0, 1].
        clip: the largest 1 / e, or None.

    Raises:
        ValueError: ``clip`` is below 1.

    Source: Dudík, Langford and Li (2011), equation 2; Wang, Zhang, Sun and Qi (2019).

    Example:
        >>> one = doubly_robust_target(0.25, jnp.array([1, 1, 0]), jnp.array([1, 0, 0]), 0.5)
        >>> one.tolist()
        [1.75, -0.25, 0.25]
    """
    return predicted + shown * inverse_propensity(propensity, clip) * (reward - predicted)


def basket_cross_entropy(
    logits: jax.Array, target: jax.Array, weight: jax.Array | None = None
) -> jax.Array:
    r"""Cross-entropy of the softmax against a basket, each of its items with an equal share.

    .. math:: \ell = \log \sum_j e^{s_j} - \frac{1}{|y|} \sum_{j \in y} s_j

    Args:
        logits: (B, M), column j - 1 for item j.
        target: (B, T), the ids of the items of a basket, 0 as padding. An empty basket counts for
            nothing.
        weight: (B,), at least 0.

    Returns:
        The mean over the baskets that are not empty, in nats.

    Raises:
        TypeError: the targets are not integers.
        ValueError: the shapes do not fit.

    Example:
        >>> loss = basket_cross_entropy(jnp.zeros((1, 4)), jnp.array([[3, 1, 0]]))
        >>> bool(jnp.isclose(loss, jnp.log(4)))
        True
    """
    if not jnp.issubdtype(target.dtype, jnp.integer):
        raise TypeError(f"target must hold item ids (integers); got {target.dtype}")
    if target.ndim != 2 or logits.ndim != 2 or len(target) != len(logits):
        raise ValueError(
            f"logits and target must be (B, M) and (B, T); got {logits.shape} and {target.shape}"
        )
    real = target > 0
    chosen = jnp.take_along_axis(logits, jnp.where(real, target - 1, 0), axis=1)  # (B, T)
    size = real.sum(axis=1)
    mean = jnp.where(real, chosen, 0).sum(axis=1) / jnp.maximum(size, 1)
    loss = jax.nn.logsumexp(logits, axis=1) - mean
    ones = (size > 0).astype(logits.dtype)
    return weighted_mean(loss, ones if weight is None else ones * weight)
