r"""Matrix factorisation of ratings with biases and weights, fitted by full-batch L-BFGS.

.. math:: \hat y_{uj} = m + a_u + b_j + p_u \cdot q_j

minimises the weighted squared error of the observed cells and a penalty on all but the mean m,

.. math:: \sum_{(u,j) \in O} \tilde w_{uj} (y_{uj} - \hat y_{uj})^2
          + \lambda \big( \|P\|^2 + \|Q\|^2 + \|a\|^2 + \|b\|^2 \big),
          \qquad \tilde w = n \, w / \textstyle\sum_O w .

With weights of 1 it is the usual model; with 1 / propensity the self-normalised objective of
Schnabel et al. (2016, equation 10 and section 6).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


def fit_ratings(
    ratings: Any,
    weight: Any = None,
    *,
    width: int = 20,
    penalty: float,
    steps: int = 200,
    key: jax.Array,
) -> np.ndarray:
    """Fit the observed ratings, and predict all.

    Args:
        ratings: (U, M) numbers; 0 is not observed.
        weight: (U, M), at least 0, of the observed cells; None weighs all alike.
        width: length of the vectors.
        penalty: :math:`\\lambda`, at least 0.
        steps: L-BFGS steps.
        key: a random key: the vectors start at random.

    Returns:
        (U, M) predicted ratings.

    Raises:
        ValueError: no rating, a shape that differs, a number that is not finite, a negative weight,
            or an argument out of range.

    Example:
        >>> import jax
        >>> ratings = np.array([[5, 4, 0], [1, 0, 1], [0, 4, 5]])
        >>> predicted = fit_ratings(ratings, width=1, penalty=0.01, key=jax.random.key(0))
        >>> bool(np.abs(predicted - ratings)[ratings > 0].max() < 0.2)
        True
    """
    ratings = np.asarray(ratings, dtype=np.float32)
    seen = ratings != 0
    if ratings.ndim != 2 or not seen.any():
        raise ValueError(f"ratings must be (U, M) with some observed; got shape {ratings.shape}")
    weight = np.ones_like(ratings) if weight is None else np.asarray(weight, dtype=np.float32)
    if weight.shape != ratings.shape:
        raise ValueError(f"weight must have shape {ratings.shape}; got {weight.shape}")
    for name, array in (("ratings", ratings), ("weight", weight)):
        if not np.isfinite(array[seen]).all():
            raise ValueError(f"{name} must be finite where a rating was observed")
    if (weight[seen] < 0).any() or not weight[seen].sum() > 0:
        raise ValueError("weight must be at least 0, and above it somewhere")
    if width < 1 or steps < 1 or not penalty >= 0:
        raise ValueError(
            "width and steps must be at least 1 and penalty at least 0; "
            f"got {width}, {steps}, {penalty}"
        )
    weight = np.where(seen, weight, 0)
    weight = weight * (seen.sum() / weight.sum())
    mean = float((weight * ratings).sum() / weight.sum())
    people_key, item_key = jax.random.split(key)
    start = {
        "people": 0.1 * jax.random.normal(people_key, (len(ratings), width)),
        "items": 0.1 * jax.random.normal(item_key, (ratings.shape[1], width)),
        "person": jnp.zeros(len(ratings)),
        "item": jnp.zeros(ratings.shape[1]),
        "mean": jnp.asarray(mean),
    }
    return np.asarray(_minimise(start, ratings, weight, penalty, steps))


def predict(params: dict[str, jax.Array]) -> jax.Array:
    """Every rating (U, M) of the parameters of `fit_ratings`."""
    biases = params["person"][:, None] + params["item"] + params["mean"]
    return biases + params["people"] @ params["items"].T


@partial(jax.jit, static_argnums=4)
def _minimise(
    start: Any, ratings: jax.Array, weight: jax.Array, penalty: jax.Array, steps: int
) -> jax.Array:
    def loss(params: Any) -> jax.Array:
        error = (weight * jnp.square(ratings - predict(params))).sum()
        norm = sum(jnp.square(params[name]).sum() for name in params if name != "mean")
        return error + penalty * norm

    optimiser = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        params, state = carry
        value, gradient = value_and_grad(params, state=state)
        updates, state = optimiser.update(
            gradient, state, params, value=value, grad=gradient, value_fn=loss
        )
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (start, optimiser.init(start)), length=steps)
    return predict(params)
