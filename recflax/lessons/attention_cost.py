r"""What attention costs: operations counted exactly in its program, and seconds by a clock.

One layer of self-attention over L places of width D makes four projections of every place and one
comparison, with one mixture, of every place with every place:

.. math:: 8 L D^2 + 4 L^2 D + \text{softmax},

one multiplication and one addition counted as two operations. The count is read from the program
that JAX hands to the compiler, before any device is known, so it is the same on every machine. The
seconds are not, and nothing here promises any.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.optimize import nnls

from recflax.data.batches import Batch
from recflax.recommender import Recommender, RecommenderConfig
from recflax.self_attention import SelfAttention


def operations(function: Callable[..., Any], *arguments: Any) -> int:
    """Additions and multiplications of a function, as JAX's compiler counts them.

    The compiler counts in single precision: to the last one up to :math:`2^{24}` operations, and
    to seven digits beyond.

    Args:
        function: what to count; it is traced, never run.
        *arguments: arrays, or ``jax.ShapeDtypeStruct`` in their place.

    Example:
        >>> rows, columns = jnp.ones((2, 3)), jnp.ones((3, 5))
        >>> operations(jnp.matmul, rows, columns) == 2 * (2 * 3 * 5)
        True
    """
    counted: Any = jax.jit(function).lower(*arguments).cost_analysis()
    return int(counted["flops"])


def attention_operations(length: int, width: int, heads: int = 2, *, batch: int = 1) -> int:
    """Operations of one layer of self-attention.

    Args:
        length: L, at least 1.
        width: D, a multiple of ``heads``.
        heads: H.
        batch: B.

    Raises:
        ValueError: a size below 1, or a width that ``heads`` does not divide.

    Example:
        >>> once, twice = (attention_operations(5, 6, batch=batch) for batch in (1, 2))
        >>> twice / once
        2.0
    """
    attend, weights, x = _layer(length, width, heads, batch)
    return operations(attend, weights, x)


def request_operations(config: RecommenderConfig, *, people: int = 1) -> int:
    """Operations of the whole network that scores its whole catalogue for some people.

    Only shapes are traced, so a catalogue of a million products takes no memory.

    Args:
        config: the shape of the network; its ``n_items`` products are all scored.
        people: B, at least 1.

    Example:
        >>> small, large = (RecommenderConfig(n_items=n) for n in (7, 14))
        >>> request_operations(small) < request_operations(large) < 2 * request_operations(small)
        True
    """
    if people < 1:
        raise ValueError(f"people must be at least 1; got {people}")
    graphdef, params = nnx.split(nnx.eval_shape(lambda: Recommender(config, rngs=nnx.Rngs(0))))
    shape = people, config.max_length
    kinds = jnp.int32, jnp.bool_, jnp.bool_
    batch = Batch(*(jax.ShapeDtypeStruct(shape, kind) for kind in kinds))
    return operations(lambda params, batch: nnx.merge(graphdef, params)(batch), params, batch)


def timed(call: Callable[[], Any], repeats: int) -> np.ndarray:
    """Seconds of each of several calls, after one that is not counted; each is waited for.

    Args:
        call: what to time; what it returns is waited for.
        repeats: at least 1.

    Raises:
        ValueError: ``repeats`` is below 1.

    Example:
        >>> timed(lambda: jnp.ones(3), repeats=5).shape
        (5,)
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1; got {repeats}")
    jax.block_until_ready(call())
    seconds = np.empty(repeats)
    for repeat in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds[repeat] = time.perf_counter() - start
    return seconds


def attention_seconds(
    length: int, width: int, heads: int = 2, *, batch: int = 1, repeats: int = 7
) -> float:
    """Median seconds of one layer of self-attention: compiled, run once before, waited for.

    Args:
        length: L.
        width: D.
        heads: H.
        batch: B.
        repeats: how many runs the median is of, at least 1.

    Raises:
        ValueError: a size below 1, or a width that ``heads`` does not divide.

    Example:
        >>> attention_seconds(3, 4, repeats=2) > 0
        True
    """
    attend, weights, x = _layer(length, width, heads, batch)
    compiled = jax.jit(attend)
    return float(np.median(timed(lambda: compiled(weights, x), repeats)))


def in_powers(x: Sequence[float], y: Sequence[float]) -> np.ndarray:
    r"""The fit of :math:`a + b x + c x^2` to positive numbers, with no part below 0.

    Least squares in *relative* error, :math:`\sum_i (1 - \hat y_i / y_i)^2`: a microsecond is much
    for a short history and nothing for a long one.

    Args:
        x: (n,) at least three different numbers.
        y: (n,) positive.

    Returns:
        (3,) a, b, c, each at least 0.

    Raises:
        ValueError: shapes that differ, fewer than three different x, or a y that is not positive.

    Example:
        >>> in_powers([1, 2, 3, 5], [6, 11, 18, 38]).round(6).tolist()
        [3.0, 2.0, 1.0]
    """
    at, value = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if at.ndim != 1 or at.shape != value.shape:
        raise ValueError(f"x and y must be vectors of one length; got {at.shape} and {value.shape}")
    if len(np.unique(at)) < 3:
        raise ValueError(f"x must hold at least three different numbers; got {at.tolist()}")
    if not (np.isfinite(value) & (value > 0)).all():
        raise ValueError(f"y must be positive and finite; got {value.tolist()}")
    unit = np.abs(at).max() ** np.arange(3)  # so that the three columns are of one size
    powers = np.vander(at, 3, increasing=True) / unit
    parts, _ = nnls(powers / value[:, None], np.ones(len(at)))
    return parts / unit


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    r"""The slope :math:`\log(y_2 / y_1) / \log(x_2 / x_1)` between two points: 2 if quadratic.

    Args:
        x: two different positive numbers.
        y: two positive numbers.

    Raises:
        ValueError: not two of each, or not positive, or x that are equal.

    Example:
        >>> round(exponent([10, 100], [3, 300]), 12)
        2.0
    """
    points = np.asarray([x, y], dtype=float)
    if points.shape != (2, 2) or not (points > 0).all() or points[0, 0] == points[0, 1]:
        raise ValueError(f"need two points with positive x, y and different x; got {x}, {y}")
    run, rise = np.diff(np.log(points))[:, 0]
    return float(rise / run)


def _layer(length: int, width: int, heads: int, batch: int) -> tuple[Any, Any, np.ndarray]:
    """A layer as a function of its weights and input, and small numbers for both."""
    if length < 1 or batch < 1:
        raise ValueError(f"length and batch must be at least 1; got {length} and {batch}")
    graphdef, shapes = nnx.split(
        nnx.eval_shape(lambda: SelfAttention(width, heads, rngs=nnx.Rngs(0)))
    )
    draw = np.random.default_rng(0).standard_normal
    weights = jax.tree.map(lambda s: draw(s.shape).astype(s.dtype) / width**0.5, shapes)
    x = draw((batch, length, width)).astype(np.float32)
    return lambda weights, x: nnx.merge(graphdef, weights)(x)[0], weights, x
