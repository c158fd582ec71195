"""Look into a network and one of its steps: sizes, cost, a trace, the loss around a point.

Nothing here is needed to train. Everything takes what the training takes, a function and its
arguments, and runs on whatever device JAX runs on.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import nnx
from sklearn.decomposition import PCA


def parameter_table(network: Any) -> pd.DataFrame:
    """A row for each array that is trained.

    Args:
        network: an nnx module, or a tree of parameters.

    Returns:
        Indexed by the array's path: ``shape``, ``numbers`` (how many), ``kilobytes`` (of 1,024
        bytes) and ``share`` of all numbers, 0 to 1.

    Raises:
        ValueError: there are no parameters.

    Example:
        >>> table = parameter_table(nnx.Linear(3, 5, rngs=nnx.Rngs(0)))
        >>> table["numbers"].to_dict(), float(table["share"].sum())
        ({'bias': 5, 'kernel': 15}, 1.0)
    """
    tree = nnx.state(network, nnx.Param) if isinstance(network, nnx.Module) else network
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    if not leaves:
        raise ValueError("network has no parameters")
    found = {
        jax.tree_util.keystr(path, simple=True, separator=".").removesuffix(".value"): {
            "shape": str(tuple(leaf.shape)),
            "numbers": int(leaf.size),
            "kilobytes": leaf.size * leaf.dtype.itemsize / 1024,
        }
        for path, leaf in leaves
    }
    table = pd.DataFrame(found).T.astype({"numbers": int, "kilobytes": float})
    return table.assign(share=table["numbers"] / table["numbers"].sum())


class StepCost(NamedTuple):
    """What the compiler says of one call, before it has run.

    Attributes:
        flops: floating-point operations.
        bytes_moved: bytes read and written by all operations, those in caches too.
        working_bytes: memory for what is computed on the way.
        argument_bytes: memory of the arguments.
        output_bytes: memory of the result.
        compile_seconds: how long the compiler took, of the machine that ran it.
    """

    flops: float
    bytes_moved: float
    working_bytes: int
    argument_bytes: int
    output_bytes: int
    compile_seconds: float


def step_cost(function: Callable[..., Any], *arguments: Any) -> StepCost:
    """Compile a function for these arguments, and ask the compiler what a call takes.

    The numbers are estimates of XLA, counted on its optimised program. Of a loop they count one
    turn, however often it turns.

    Args:
        function: pure; jitted here.
        *arguments: arrays, or trees of arrays.

    Raises:
        RuntimeError: the compiler for this device does not say.

    Example:
        >>> a = jnp.ones((64, 64))
        >>> cost = step_cost(lambda a: a @ a, a)
        >>> cost.flops >= 2 * 64**3 - 64**2, cost.argument_bytes
        (True, 16384)
    """
    lowered = jax.jit(function).lower(*arguments)
    started = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - started
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    if cost is None or memory is None:
        raise RuntimeError(f"JAX's compiler for {jax.default_backend()} does not say what it takes")
    return StepCost(
        flops=float(cost.get("flops", 0.0)),
        bytes_moved=float(cost.get("bytes accessed", 0.0)),
        working_bytes=memory.temp_size_in_bytes,
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes,
        compile_seconds=seconds,
    )


def record_trace(
    folder: str | Path, function: Callable[..., Any], *arguments: Any, calls: int = 3
) -> Path:
    """Run a function under JAX's profiler, after a first call that compiles it.

    Args:
        folder: where the trace is written.
        function: called with the arguments; jit it if you want to see the compiled program.
        *arguments: of the function.
        calls: how often it is called under the profiler.

    Returns:
        A file that https://ui.perfetto.dev opens, and `trace_table` reads.

    Raises:
        ValueError: ``calls`` is below 1.
    """
    if calls < 1:
        raise ValueError(f"calls must be at least 1, but is {calls}")
    jax.block_until_ready(function(*arguments))
    with jax.profiler.trace(folder, create_perfetto_trace=True):
        for _ in range(calls):
            jax.block_until_ready(function(*arguments))
    traces = Path(folder).rglob("perfetto_trace.json.gz")
    return max(traces, key=lambda path: path.stat().st_mtime)


def trace_table(path: str | Path) -> pd.DataFrame:
    """Sum a trace by kind of operation of the compiled program.

    Args:
        path: from `record_trace`.

    Returns:
        Indexed by operation, as the compiler calls it (``dot``, ``fusion``, ...), slowest first:
        ``calls``, ``milliseconds`` over all threads, and ``share`` of that time, 0 to 1. Operations
        inside a loop are counted, and the loop itself is not.

    Raises:
        ValueError: the trace holds no compiled operation: was anything jitted?
    """
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        events = json.load(stream)["traceEvents"]
    found = [
        (event["name"].split(".")[0], event["dur"] / 1000)
        for event in events
        if event.get("ph") == "X" and "hlo_op" in event.get("args", {})
    ]
    table = pd.DataFrame(found, columns=["operation", "milliseconds"])
    table = table[~table["operation"].isin(("while", "call", "conditional"))]
    if table.empty:
        raise ValueError(f"{Path(path).name} holds no compiled operation: was anything jitted?")
    summed = table.groupby("operation").agg(
        calls=("milliseconds", "size"), milliseconds=("milliseconds", "sum")
    )
    summed["share"] = summed["milliseconds"] / summed["milliseconds"].sum()
    return summed.sort_values("milliseconds", ascending=False)


class LossSurface(NamedTuple):
    """The loss on a square around a point.

    Attributes:
        steps: (P,) how far along each direction; 0 is the point itself.
        loss: (P, P) first axis the first direction.
    """

    steps: np.ndarray
    loss: np.ndarray


def loss_surface(
    loss: Callable[[Any], jax.Array],
    params: Any,
    key: jax.Array,
    *,
    radius: float = 1.0,
    points: int = 21,
) -> LossSurface:
    r"""The loss at :math:`\theta + a\,d + b\,e` for two random directions.

    Directions are normal, and each column of a matrix is scaled to the length of the same column
    of :math:`\theta`, so that a step of 1 is as large as the numbers are; arrays with one axis stay
    as they are. Source: Li, Xu, Taylor, Studer and Goldstein (2018), section 4.

    Args:
        loss: of the parameters alone; jitted here.
        params: :math:`\theta`, a tree of floating arrays.
        key: of the directions.
        radius: how far the square reaches in each direction.
        points: P, odd, so that the middle is the point itself.

    Raises:
        ValueError: ``points`` is even or below 3, or ``radius`` is not positive.

    Example:
        >>> found = loss_surface(lambda p: jnp.sum(p**2), jnp.eye(2), jax.random.key(0), points=3)
        >>> found.steps.tolist(), found.loss.shape, float(found.loss[1, 1])
        ([-1.0, 0.0, 1.0], (3, 3), 2.0)
    """
    if points < 3 or points % 2 == 0:
        raise ValueError(f"points must be odd and at least 3, but is {points}")
    if not radius > 0:
        raise ValueError(f"radius must be positive, but is {radius}")
    steps = np.linspace(-radius, radius, points)
    first, second = (_direction(params, one) for one in jax.random.split(key))

    def at(where: jax.Array) -> jax.Array:
        return loss(
            jax.tree.map(lambda p, d, e: p + where[0] * d + where[1] * e, params, first, second)
        )

    grid = jnp.stack(jnp.meshgrid(steps, steps, indexing="ij"), axis=-1)  # (P, P, 2)
    values = jax.jit(lambda places: jax.lax.map(at, places))(grid.reshape(-1, 2))
    return LossSurface(steps, np.asarray(values).reshape(points, points))


def _direction(params: Any, key: jax.Array) -> Any:
    """Normal numbers, each column as long as the column of the parameters; 0 for one axis."""
    leaves, tree = jax.tree.flatten(params)
    drawn = []
    for leaf, one in zip(leaves, jax.random.split(key, len(leaves)), strict=True):
        noise = jax.random.normal(one, leaf.shape, leaf.dtype)
        length = jnp.linalg.norm(noise, axis=0, keepdims=True)
        scaled = noise / length * jnp.linalg.norm(leaf, axis=0, keepdims=True)
        drawn.append(scaled if leaf.ndim > 1 else jnp.zeros_like(leaf))
    return jax.tree.unflatten(tree, drawn)


class EmbeddingMap(NamedTuple):
    """Vectors seen from their two widest directions.

    Attributes:
        places: (M, 2).
        explained: (2,) the share of the vectors' variance along each, 0 to 1.
    """

    places: np.ndarray
    explained: np.ndarray


def embedding_map(vectors: np.ndarray) -> EmbeddingMap:
    """Project vectors on their first two principal components.

    Args:
        vectors: (M, D) with M and D at least 2.

    Raises:
        ValueError: another shape, or a number that is not finite.
    """
    vectors = np.asarray(vectors, dtype=float)
    if vectors.ndim != 2 or min(vectors.shape) < 2:
        raise ValueError(f"vectors must be (M, D), at least 2 by 2, but are {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError("vectors must be finite")
    pca = PCA(2, svd_solver="full")
    return EmbeddingMap(pca.fit_transform(vectors), pca.explained_variance_ratio_)
