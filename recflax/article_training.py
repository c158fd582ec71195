"""How the article's network is trained and judged: its examples, its losses, its accuracy."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recflax.article import ArticleConfig, ArticleNetwork
from recflax.data.batches import Batch, check_ids, make_batch
from recflax.fitted import NetworkLoss
from recflax.losses import weighted_mean
from recflax.optimiser import TrainConfig
from recflax.training import FitResult, fit

TRAIN = TrainConfig(
    epochs=10,
    batch_size=64,
    learning_rate=1e-3,
    weight_decay=0.0,
    warmup_steps=0,
    schedule="constant",
)
"""As the listing trains: Adam with its default rate, ten epochs of batches of 64."""

KERAS_EPSILON = 1e-7


def examples(histories: Any, n_items: int) -> Batch:
    """What the network is trained on: histories, and at every place the item that came next.

    Args:
        histories: (B, L + 1) ids, oldest to newest, 0 as padding on the left.
        n_items: M.

    Returns:
        A `Batch` with histories (B, L) and targets (B, L); the target of a place is 0 only where
        everything up to the next place is padding.

    Raises:
        ValueError: fewer than two places, or an id outside the catalogue.

    Example:
        >>> examples([[0, 4, 2, 9]], n_items=9).target
        array([[4, 2, 9]], dtype=int32)
    """
    ids = check_ids(histories, "histories", low=0, n_items=n_items, ndim=2)
    if ids.shape[1] < 2:
        raise ValueError(f"histories must have at least 2 places; got {ids.shape[1]}")
    return make_batch(ids[:, :-1], n_items=n_items, target=ids[:, 1:])


def cross_entropy(logits: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    r"""Cross-entropy of the softmax, :math:`-\log p_y`, as a weighted mean over places.

    Args:
        logits: (B, P, M + 1).
        target: (B, P) columns 0 to M.
        weight: (B, P).

    Example:
        >>> two = jnp.zeros((1, 1, 2))
        >>> bool(jnp.isclose(cross_entropy(two, jnp.array([[1]]), jnp.ones((1, 1))), jnp.log(2)))
        True
    """
    chosen = jnp.take_along_axis(logits, target[..., None], axis=-1)[..., 0]
    return weighted_mean(jax.nn.logsumexp(logits, axis=-1) - chosen, weight)


def cross_entropy_of_probabilities(
    output: jax.Array, target: jax.Array, weight: jax.Array
) -> jax.Array:
    r"""What Keras computes if it is told nothing: the output is divided by its sum and clipped.

    .. math:: -\log \operatorname{clip}\Big(\frac{s_y}{\sum_j s_j},\ \epsilon,\ 1 - \epsilon\Big)

    With logits in the place of probabilities the sum may be anything, negative included; wherever
    the clip holds, the gradient is zero. It is zero here, too, where the logit or the sum is within
    :math:`\epsilon` of 0, since a run would otherwise end in NaN sooner or later, as it may in
    Keras. Source: Keras 3, ``categorical_crossentropy`` with
    ``from_logits=False``.

    Example:
        >>> right = jnp.array([[[0.25, 0.75]]])
        >>> loss = cross_entropy_of_probabilities(right, jnp.array([[1]]), jnp.ones((1, 1)))
        >>> bool(jnp.isclose(loss, -jnp.log(0.75)))
        True
    """
    chosen = jnp.take_along_axis(output, target[..., None], axis=-1)[..., 0]
    total = output.sum(axis=-1)
    raw = chosen / jnp.where(total == 0, 1, total)  # nothing was computed at padding
    inside = (raw > KERAS_EPSILON) & (raw < 1 - KERAS_EPSILON)
    # our one addition: next to 0 Keras's slopes, 1 / s_y and 1 / sum, run off to infinity
    inside &= (jnp.abs(chosen) > KERAS_EPSILON) & (jnp.abs(total) > KERAS_EPSILON)
    # where the clip holds nothing is divided, or a sum near 0 would make its zero gradient NaN
    clipped = jax.lax.stop_gradient(jnp.clip(raw, KERAS_EPSILON, 1 - KERAS_EPSILON))
    share = jnp.where(inside, chosen, clipped) / jnp.where(inside, total, 1)
    return weighted_mean(-jnp.log(share), weight)


def asked(config: ArticleConfig, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Targets (B, P) that the network is asked for, and their weights: 1, or 0 at padding."""
    places = slice(None) if config.faults.every_place else slice(-1, None)
    target = jnp.asarray(batch.target)[:, places]
    if config.faults.counts_padding:
        return target, jnp.ones(target.shape)
    real = jnp.asarray(batch.history)[:, places] > 0
    return target, (real & (target > 0)).astype(float)


def article_loss(network: ArticleNetwork, batch: Batch) -> jax.Array:
    """The loss that the network is trained on, whatever its faults make of it."""
    wrong = network.config.faults.logits_as_probabilities
    of_output: Callable[..., jax.Array] = cross_entropy_of_probabilities if wrong else cross_entropy
    return of_output(network(batch.history), *asked(network.config, batch))


def printed_accuracy(network: ArticleNetwork, batch: Batch) -> float:
    """The accuracy that the listing's ``evaluate`` prints: the share of places that are right."""
    graphdef, params = nnx.split(network)
    return float(_accuracy(graphdef, params, batch))


@partial(jax.jit, static_argnums=0)
def _accuracy(graphdef: Any, params: Any, batch: Batch) -> jax.Array:
    network = nnx.merge(graphdef, params)
    target, weight = asked(network.config, batch)
    right = network(batch.history).argmax(axis=-1) == target
    return weighted_mean(right.astype(float), weight)


def fit_article(
    config: ArticleConfig,
    data: Batch,
    train: TrainConfig = TRAIN,
    *,
    key: jax.Array,
    **arguments: Any,
) -> tuple[ArticleNetwork, FitResult]:
    """Draw the network, train it, and return it with the record of its training.

    Args:
        config: its shape and its faults.
        data: from `examples`, with histories of at most ``config.length`` places.
        train: how to train.
        key: a random key.
        **arguments: ``validation``, ``checkpoint_dir`` and ``on_epoch`` of `recflax.training.fit`.

    Raises:
        ValueError: histories that are longer than the network reads, or no targets.

    Example:
        >>> from recflax.article import REPAIRED
        >>> config = ArticleConfig(n_items=5, width=8, heads=2, length=3, faults=REPAIRED)
        >>> network, record = fit_article(
        ...     config, examples([[0, 1, 2, 3], [3, 4, 5, 1]], 5), key=jax.random.key(0)
        ... )
        >>> record.steps
        10
    """
    if data.target is None or data.target.shape != data.history.shape:
        raise ValueError("data must have a target for every place: take them from examples(...)")
    if data.history.shape[1] > config.length:
        raise ValueError(
            f"data must have at most {config.length} places; got {data.history.shape[1]}"
        )
    start_key, fit_key = jax.random.split(key)
    graphdef, params = nnx.split(ArticleNetwork(config, rngs=nnx.Rngs(params=start_key)))
    result = fit(params, NetworkLoss(graphdef, article_loss), data, train, key=fit_key, **arguments)
    return nnx.merge(graphdef, result.params), result
