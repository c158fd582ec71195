r"""Seconds a request, one person at a time: who attends decides what it costs.

Three ways to the ten best items of a catalogue, each with everything computed beforehand that does
not depend on the person (`recflax.scale.serving`):

- *person*: one question attends to the history; the scores of all items are one product;
- *items*: every item attends to the history;
- *two*: the first finds a few hundred, the second puts them in order.

Weights and histories are random: a clock does not care what the numbers say. The operations of a
request are counted in its program (`request_operations`), also for catalogues that are not timed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recflax.data.batches import Batch
from recflax.lessons.attention_cost import operations, timed
from recflax.recommender import Recommender, RecommenderConfig
from recflax.scale.serving import (
    attend,
    attending_items,
    catalogue_vectors,
    person_vectors,
)
from recflax.scale.top_k import top_k_of
from recflax.scoring import dot_scores, top_k

WAYS = {
    "person": "the person attends",
    "items": "every item attends",
    "two": "retrieve, then re-rank",
}
"""How a request is answered: key and label."""

SIZES = (1_000, 10_000, 100_000, 1_000_000)
RETRIEVED, K = 500, 10
WIDTH, LENGTH, HEADS = 64, 16, 2


class Server(NamedTuple):
    """A way to answer a request, with what was computed beforehand.

    Attributes:
        function: ``function(params, tables, batch)`` to scores (B, K) and ids (B, K).
        params: of the networks.
        tables: the item's side of the scores.
    """

    function: Callable[..., tuple[jax.Array, jax.Array]]
    params: Any
    tables: Any


def _network(query: str, n_items: int, seed: int | None) -> Recommender:
    """A network of small random numbers; without a seed of shapes alone."""
    config = RecommenderConfig(
        n_items=n_items, width=WIDTH, heads=HEADS, max_length=LENGTH, query=query
    )
    shapes = nnx.eval_shape(lambda: Recommender(config, rngs=nnx.Rngs(0)))
    if seed is None:
        return shapes
    graphdef, params = nnx.split(shapes)
    draw = partial(np.random.default_rng(seed).standard_normal, dtype=np.float32)
    return nnx.merge(
        graphdef, jax.tree.map(lambda leaf: jnp.asarray(draw(leaf.shape) / WIDTH**0.5), params)
    )


def server(way: str, n_items: int, seed: int | None = 0) -> Server:
    """One of `WAYS` for a catalogue, its tables made.

    Args:
        way: key of `WAYS`.
        n_items: M, at least `K`; the retriever hands over `RETRIEVED`, or all if there are fewer.
        seed: of the weights; None allocates nothing and gives shapes, for counting.

    Raises:
        ValueError: an unknown way, or too few items.

    Example:
        >>> made = server("two", 23)
        >>> made.function(made.params, made.tables, requests(23, 1, seed=0)[0])[1].shape
        (1, 10)
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {tuple(WAYS)}; got {way!r}")
    if n_items < K:
        raise ValueError(f"n_items must be at least {K}; got {n_items}")
    made = jax.eval_shape if seed is None else lambda function, *arguments: function(*arguments)
    one, one_params = nnx.split(_network("person", n_items, seed))
    all_, all_params = nnx.split(_network("candidates", n_items, seed))

    def person(params: Any, vectors: jax.Array, batch: Batch, k: int) -> Any:
        return top_k(dot_scores(person_vectors(nnx.merge(one, params), batch), vectors), k)

    def items(params: Any, tables: Any, batch: Batch) -> Any:
        return top_k(attend(nnx.merge(all_, params), tables, batch), K)

    def two(params: Any, tables: Any, batch: Batch) -> Any:
        found = person(params[0], tables[0], batch, min(RETRIEVED, n_items))[1]
        ids = jnp.sort(found, axis=1)
        scores = attend(nnx.merge(all_, params[1]), tables[1], batch, ids)
        return top_k_of(scores, ids, K)

    vectors = partial(made, lambda params: catalogue_vectors(nnx.merge(one, params)))
    prepared = partial(made, lambda params: attending_items(nnx.merge(all_, params)))
    if way == "person":
        return Server(partial(person, k=K), one_params, vectors(one_params))
    if way == "items":
        return Server(items, all_params, prepared(all_params))
    both = one_params, all_params
    return Server(two, both, (vectors(one_params), prepared(all_params)))


def requests(n_items: int, count: int, seed: int) -> list[Batch]:
    """Full random histories, one person each.

    Args:
        n_items: M.
        count: how many, at least 1.
        seed: of the histories.

    Raises:
        ValueError: ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1; got {count}")
    drawn = np.random.default_rng(seed).integers(1, n_items + 1, (count, 1, LENGTH), np.int32)
    every = np.ones((1, LENGTH), bool)
    return [Batch(history, every, every) for history in drawn]


def request_operations(way: str, n_items: int) -> int:
    """Operations of a request, counted in its program; nothing is allocated.

    Sorting is not arithmetic, and is not counted.

    Args:
        way: key of `WAYS`.
        n_items: M.

    Example:
        >>> request_operations("person", 100_000_000) < request_operations("items", 100_000_000)
        True
    """
    made = server(way, n_items, seed=None)
    return operations(made.function, made.params, made.tables, requests(n_items, 1, 0)[0])


def request_seconds(way: str, n_items: int, count: int, seed: int = 0) -> np.ndarray:
    """Seconds of each of several requests, one after the other, after one that compiles.

    Args:
        way: key of `WAYS`.
        n_items: M.
        count: how many requests, of as many people, at least 1.
        seed: of weights and histories.

    Raises:
        ValueError: an unknown way, or a number out of range.
    """
    asked = requests(n_items, count, seed)
    made = server(way, n_items, seed)
    answer, following = jax.jit(made.function), iter([asked[0], *asked])
    return timed(lambda: answer(made.params, made.tables, next(following)), count)


def run(seed: int, size: int = 200, sizes: tuple[int, ...] = SIZES) -> dict[str, float]:
    """One row: the median and the 99th percentile of a request's seconds. Use an idle machine.

    Args:
        seed: of weights and histories; the number of the repetition.
        size: requests, of as many people, in every setting.
        sizes: catalogues M.

    Returns:
        ``seed``, ``people``, and for each of `WAYS` and each size ``way_size_p50_seconds`` and
        ``way_size_p99_seconds``.
    """
    row: dict[str, float] = {"seed": seed, "people": size}
    for n_items in sizes:
        for way in WAYS:
            found = request_seconds(way, n_items, size, seed)
            for share in (50, 99):
                row[f"{way}_{n_items}_p{share}_seconds"] = float(np.percentile(found, share))
    return row
