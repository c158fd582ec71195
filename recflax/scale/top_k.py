r"""The k best of a catalogue that is never held at once.

`recflax.scoring.catalogue_top_k` never holds all *scores*, but it holds all item vectors. Here the
vectors come in blocks, from a file or computed as they are needed, or lie on several devices:

- `streaming_top_k` keeps the k best so far and merges one block after the other. Memory is
  B times (k + block) numbers, whatever M is.
- `sharded_top_k` lets each device list the best of its own rows, and merges the lists: B times k
  numbers a device are sent, whatever M is.

Both are exact, with one rule for ties, that of `recflax.scoring.top_k`: among equal scores the
lower id first. It carries over because blocks come in the order of their ids, so that whoever
stands further left has the lower id, and each merge prefers the left.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from recflax.scoring import dot_scores, top_k


def streaming_top_k(
    people: Any, blocks: Iterable[Any] | Callable[[int], Any], k: int
) -> tuple[jax.Array, jax.Array]:
    r"""Return the k best items of each person, and their dot scores, from blocks of vectors.

    The list is that of ``top_k(dot_scores(people, items), k)`` over the blocks one below the
    other, ties included, up to the rounding of the products.

    Args:
        people: (B, D) floats, finite: one vector a person.
        blocks: arrays (n, D) of floats, finite, in the order of the ids: numpy, JAX, or a part of
            a ``numpy.memmap``, of which no more than one block is read at a time (`cut` makes
            them). Or a function of the block's number 0, 1, ... that returns None after the last.
            Blocks of one size are compiled once.
        k: the length of the list, 1 to M.

    Returns:
        Scores (B, k), best first, and ids (B, k), int32, from 1.

    Raises:
        TypeError: vectors that are not floating point.
        ValueError: a wrong shape, a k outside 1 to M, a vector that is not finite, or products so
            large that a score is NaN.

    Example:
        >>> items = np.array([[1.0], [3.0], [2.0], [3.0], [0.0]], np.float32)
        >>> streaming_top_k(np.ones((1, 1), np.float32), cut(items, 2), 3)[1].tolist()
        [[2, 4, 3]]
        >>> doubles = lambda i: np.full((2, 1), i, np.float32) if i < 3 else None
        >>> streaming_top_k(np.ones((1, 1), np.float32), doubles, 3)[1].tolist()
        [[5, 6, 3]]
    """
    if k < 1:
        raise ValueError(f"k must be at least 1; got {k}")
    people = _checked(people, "people")
    best = (
        jnp.zeros((len(people), 0), people.dtype),
        jnp.zeros((len(people), 0), jnp.int32),
        jnp.zeros(len(people), bool),
    )
    seen = 0
    for number, block in enumerate(_each(blocks) if callable(blocks) else blocks):
        vectors = _checked(block, f"block {number}")
        if vectors.shape[1] != people.shape[1]:
            raise ValueError(
                f"block {number} must have shape (n, {people.shape[1]}); got {vectors.shape}"
            )
        best = _merge(best, people, vectors, seen, k)
        seen += len(vectors)
    if k > seen:
        raise ValueError(f"k must be from 1 to {seen}, the items of all blocks; got {k}")
    values, ids, nan = best
    _refuse_nan(nan)
    return values, ids


def cut(items: np.ndarray, block: int) -> Iterator[np.ndarray]:
    """Give the rows of an array, such as a ``numpy.memmap``, in blocks; the last may be shorter.

    Args:
        items: (M, D).
        block: rows a block, at least 1.

    Raises:
        ValueError: ``block`` is below 1.

    Example:
        >>> [len(block) for block in cut(np.zeros((5, 2)), 2)]
        [2, 2, 1]
    """
    if block < 1:
        raise ValueError(f"block must be at least 1; got {block}")
    return (items[start : start + block] for start in range(0, len(items), block))


def sharded_top_k(
    people: jax.Array, items: jax.Array, k: int, *, mesh: Mesh, n_items: int
) -> tuple[jax.Array, jax.Array]:
    """Return `recflax.scoring.top_k` of the dot scores, the item vectors on several devices.

    Each device lists the k best of its own rows, and the lists are merged. Safe inside ``jax.jit``,
    where nothing is checked.

    Args:
        people: (B, D) floats, finite.
        items: (M', D) floats, finite: the catalogue and then rows of padding, M' a multiple of
            the devices (`recflax.scale.sharding.shard_items` pads and places).
        k: the length of the list, 1 to M.
        mesh: the devices, along one axis.
        n_items: M; the rows after it are never listed.

    Returns:
        Scores (B, k) and ids (B, k), int32, from 1.

    Raises:
        TypeError: vectors that are not floating point.
        ValueError: a wrong shape, M' that the devices do not divide, M above M', or k outside 1 to
            M; on concrete input also a vector that is not finite, or a score that is NaN.

    Example:
        >>> mesh = Mesh(jax.devices()[:1], ("items",))
        >>> items = jnp.array([[1.0], [3.0], [2.0], [3.0], [9.0]])
        >>> sharded_top_k(jnp.ones((1, 1)), items, 3, mesh=mesh, n_items=4)[1].tolist()
        [[2, 4, 3]]
    """
    for name, vectors in (("people", people), ("items", items)):
        if not isinstance(vectors, jax.core.Tracer):
            _checked(vectors, name)
    if len(mesh.axis_names) != 1:
        raise ValueError(f"mesh must have one axis; got {mesh.axis_names}")
    if len(items) % mesh.size:
        raise ValueError(
            f"items must have a multiple of {mesh.size} rows, one part a device; got {len(items)}"
        )
    if not 1 <= n_items <= len(items):
        raise ValueError(f"n_items must be from 1 to {len(items)}; got {n_items}")
    if not 1 <= k <= n_items:
        raise ValueError(f"k must be from 1 to {n_items}; got {k}")
    values, ids, nan = _shard_lists(people, items, k, mesh, n_items)
    if not isinstance(nan, jax.core.Tracer):
        _refuse_nan(nan.any(axis=1))
    return top_k_of(values, ids, k)


def top_k_of(values: jax.Array, ids: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """Return the k best of candidates that have ids of their own, best first.

    Args:
        values: (B, N) scores.
        ids: (B, N) the candidates' ids; among equal scores the one further left comes first, so
            ids in ascending order give the lower one.
        k: 1 to N.

    Raises:
        TypeError: ``values`` is not floating point.
        ValueError: a wrong shape, k out of range, or a NaN among concrete values.

    Example:
        >>> top_k_of(jnp.array([[0.5, 0.9, 0.5]]), jnp.array([[3, 7, 11]]), 2)[1].tolist()
        [[7, 3]]
    """
    if ids.shape != values.shape:
        raise ValueError(f"ids must have shape {values.shape}; got {ids.shape}")
    values, columns = top_k(values, k)
    return values, jnp.take_along_axis(ids, columns - 1, axis=1)


@partial(jax.jit, static_argnames="k")
def _merge(
    best: tuple[jax.Array, jax.Array, jax.Array],
    people: jax.Array,
    vectors: jax.Array,
    seen: int,
    k: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The best so far and a block after it: the best of both, and whether a score was NaN."""
    values, ids, nan = best
    new = dot_scores(people, vectors)  # (B, n)
    places = jnp.broadcast_to(seen + jnp.arange(1, len(vectors) + 1, dtype=jnp.int32), new.shape)
    values = jnp.concatenate([values, new], axis=1)
    ids = jnp.concatenate([ids, places], axis=1)
    values, ids = top_k_of(values, ids, min(k, values.shape[1]))
    return values, ids, nan | jnp.isnan(new).any(axis=1)


@partial(jax.jit, static_argnames=("k", "mesh", "n_items"))
def _shard_lists(
    people: jax.Array, items: jax.Array, k: int, mesh: Mesh, n_items: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Each device's own list (B, k), side by side in the order of the ids, and its NaN (B, 1)."""
    axis = mesh.axis_names[0]

    def own_list(people: jax.Array, rows: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        first = jax.lax.axis_index(axis) * len(rows)
        scores = dot_scores(people, rows)  # (B, n)
        padding = jnp.broadcast_to(first + jnp.arange(len(rows)) >= n_items, scores.shape)
        # an excluded row comes after all others and gets id 0; only the last devices have any
        values, ids = top_k(scores, min(k, len(rows)), exclude=padding)
        nan = jnp.isnan(scores).any(axis=1, keepdims=True)
        return values, jnp.where(ids > 0, first + ids, 0).astype(jnp.int32), nan

    everybody, rows, lists = PartitionSpec(), PartitionSpec(axis, None), PartitionSpec(None, axis)
    return jax.shard_map(own_list, mesh=mesh, in_specs=(everybody, rows), out_specs=(lists,) * 3)(
        people, items
    )


def _refuse_nan(nan: jax.Array) -> None:
    """Raise where a row (B,) had a score that is NaN."""
    if bool(nan.any()):
        raise ValueError(f"scores must not be NaN; one of row {int(nan.argmax())} is")


def _each(block: Callable[[int], Any]) -> Iterator[Any]:
    """Blocks 0, 1, ... of a function, up to the first None."""
    for number in count():
        found = block(number)
        if found is None:
            return
        yield found


def _checked(vectors: Any, name: str) -> jax.Array:
    """Return vectors (n, D) as a JAX array if they are finite floats, at least one, else raise."""
    dtype = getattr(vectors, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{name} must be an array of floats; got {dtype or type(vectors).__name__}")
    if vectors.ndim != 2 or not len(vectors):
        raise ValueError(f"{name} must have shape (n, D), n at least 1; got {vectors.shape}")
    array = jnp.asarray(vectors)
    if not bool(jnp.isfinite(array).all()):
        row = int(jnp.argwhere(~jnp.isfinite(array))[0, 0])
        raise ValueError(f"{name} must be finite; row {row} is not")
    return array
