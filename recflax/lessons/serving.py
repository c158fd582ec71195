r"""Retrieve, then re-rank: what a list loses when a cheap network chooses what the other may see.

Two networks learn P(bought | shown) from one log of a store with a larger catalogue: in one every
item attends to the history, in the other one question does. The second hands its best few to the
first, which puts them in order. How much of the list that the first would have made of the whole
catalogue is in it? Two other retrievers stand beside: what was bought most often when shown, the
same for everybody; and a network of the second kind that is *taught* by the first, its targets
being the chances that the first gives.

Whether anything is lost by it is another question. The store knows exactly what a person would buy
if it were shown.

A network in which the person attends gives scores of rank at most D + 1 over people and items, by
its form. How much of the other's scores no table of that rank can hold is measured too.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from recflax.estimates import Estimate
from recflax.intervals import mean_over_seeds
from recflax.lessons.cells import (
    ARMS,
    Counts,
    count,
    exposed_cells,
    fit_cells,
    histories,
    network_config,
    probabilities,
)
from recflax.lessons.statements import Statement, column, paired_columns, sayer
from recflax.optimiser import TrainConfig
from recflax.recommender import Recommender
from recflax.scale.serving import retrieve_then_rerank
from recflax.scoring import top_k
from recflax.worlds.store import Store, StoreConfig, build_store

ITEMS, K = 1_000, 10
RETRIEVED = (10, 20, 50, 100, 200, 500)
"""How many items are handed over. With ten the second network only sorts them."""

RETRIEVERS = {
    "person": "taught by the log",
    "taught": "taught by the ranker",
    "popular": "most bought",
}
"""Who hands them over: key and label."""

TRAIN = TrainConfig(epochs=8, batch_size=100)


def larger_store(seed: int, people: int, n_items: int = ITEMS) -> Store:
    """A store of a larger catalogue, in which an item is bought the more rarely.

    Args:
        seed: the store's seed.
        people: U.
        n_items: M.
    """
    usual = StoreConfig()
    rarer = float(np.log(n_items / usual.n_items)) / 2  # the square root of the catalogue's growth
    return build_store(StoreConfig(n_people=people, n_items=n_items, o0=usual.o0 - rarer), seed)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """The mean share of the items of one list that are in the other, whatever their order.

    Args:
        one: (U, K) ids, different within a row.
        other: (U, K) ids, different within a row.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> overlap(np.array([[1, 2]]), np.array([[2, 3]]))
        0.5
    """
    if one.shape != other.shape or one.ndim != 2:
        raise ValueError(f"lists must be (U, K) and alike; got {one.shape} and {other.shape}")
    return float((one[:, :, None] == other[:, None, :]).any(axis=2).mean())


def beyond_rank(scores: np.ndarray, rank: int) -> float:
    r"""The share of what is personal in scores that no product of vectors of that width can hold.

    .. math:: \sum_{i > r} \sigma_i^2 \Big/ \sum_i \sigma_i^2

    with the singular values of the scores less each item's mean over people: no matrix of rank r is
    nearer than the one of the first r (Eckart and Young, 1936).

    Args:
        scores: (U, M).
        rank: r, at least 0.

    Raises:
        ValueError: ``rank`` is negative.

    Example:
        >>> beyond_rank(np.array([[1.0, -1.0], [-1.0, 1.0]]), 1) < 1e-12
        True
    """
    if rank < 0:
        raise ValueError(f"rank must be at least 0; got {rank}")
    squares = np.linalg.svd(scores - scores.mean(axis=0), compute_uv=False) ** 2
    return float(squares[rank:].sum() / squares.sum())


def networks(store: Store, counts: Counts, key: jax.Array) -> dict[str, Recommender]:
    """The ranker ``"items"``, and the retrievers ``"person"`` and ``"taught"``.

    Args:
        store: the store.
        counts: its log, counted.
        key: a random key, the same for all.
    """

    def fitted(cells: tuple[np.ndarray, np.ndarray], query: str) -> Recommender:
        config = network_config(store, query=query, arms=ARMS[: cells[0].shape[1]])
        return fit_cells(store, cells, key=key, config=config, train=TRAIN)

    exposed = exposed_cells(counts)
    ranker = fitted(exposed, "candidates")
    answers = probabilities(ranker, store)[:, None].astype(np.float32)  # (U, 1, M)
    return {
        "items": ranker,
        "person": fitted(exposed, "person"),
        "taught": fitted((answers, np.ones_like(answers)), "person"),
    }


def run(seed: int, size: int = 2_000, n_items: int = ITEMS) -> dict[str, float]:
    """One row: how much of the ranker's list each retriever leaves it, and what lists are worth.

    Args:
        seed: the store's seed, and that of the networks.
        size: number of people.
        n_items: M, at least 500.

    Returns:
        ``seed``, ``people``; for each of `RETRIEVERS` and `RETRIEVED` ``retriever_r_overlap``, the
        share of the ten that the ranker lists from the whole catalogue which is in the list it
        makes of r; ``items_do``, ``person_do`` and ``two_r_do``, the exact
        :math:`P(y \\mid do(1))` of the listed ten, of either network alone and of the ranker after
        the retriever ``"person"``; ``items_beyond`` and ``person_beyond``, see `beyond_rank`, at
        D + 1.

    Raises:
        ValueError: fewer items than are handed over.
    """
    if n_items < RETRIEVED[-1]:
        raise ValueError(f"n_items must be at least {RETRIEVED[-1]}; got {n_items}")
    store = larger_store(seed, size, n_items)
    counts, people, do = count(store.log()), histories(store), store.do(1)
    trained = networks(store, counts, jax.random.key(seed))
    scores = {name: trained[name].scores(people) for name in ("items", "person")}
    lists = {name: np.asarray(top_k(jnp.asarray(s), K)[1]) for name, s in scores.items()}
    bought = counts.bought_shown.sum(axis=0)
    place = np.empty(n_items, int)  # of an item among all, by how often it was bought
    place[np.argsort(-bought, kind="stable")] = np.arange(n_items)
    row: dict[str, float] = {"seed": seed, "people": size}
    for retrieved in RETRIEVED:
        for name in ("person", "taught"):
            ids = retrieve_then_rerank(
                trained[name], trained["items"], people, retrieved=retrieved, k=K
            )
            row[f"{name}_{retrieved}_overlap"] = overlap(lists["items"], ids)
            if name == "person":
                lists[f"two_{retrieved}"] = ids
        inside = place[lists["items"] - 1] < retrieved
        row[f"popular_{retrieved}_overlap"] = float(inside.mean())
    for name, ids in lists.items():
        row[f"{name}_do"] = float(np.take_along_axis(do, ids - 1, axis=1).mean())
    width = trained["items"].config.width
    for name, found in scores.items():
        row[f"{name}_beyond"] = beyond_rank(found, width + 1)
    return row


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """
    few, some, many = RETRIEVED[0], 100, RETRIEVED[-1]

    say = sayer("serving", rows)

    def mean(name: str) -> Estimate:
        return mean_over_seeds(column(rows, name))

    return [
        say(
            "retriever-alone-differs",
            "The ten that a network lists in which the person attends are not the ten of one in "
            "which every item attends: share in common.",
            mean(f"person_{few}_overlap"),
            at_most=0.8,
        ),
        say(
            "half-keeps-the-list",
            f"Handing over {many} of {ITEMS:,} items keeps the ranker's list: share of its ten.",
            mean(f"person_{many}_overlap"),
            at_least=0.95,
        ),
        say(
            "personal-beats-popular",
            f"With {some} handed over, a retriever that knows the person keeps more of the list "
            "than the items most often bought: difference in share.",
            paired_columns(rows, f"person_{some}_overlap", f"popular_{some}_overlap"),
            at_least=0.0,
        ),
        say(
            "taught-keeps-more",
            f"With {some} handed over, a retriever taught by the ranker keeps more of its list "
            "than one taught by the log: difference in share.",
            paired_columns(rows, f"taught_{some}_overlap", f"person_{some}_overlap"),
            at_least=0.0,
        ),
        say(
            "nothing-lost-in-purchases",
            f"With {some} handed over, the list is worth what the ranker's own is: difference in "
            "the chance of a purchase if shown.",
            paired_columns(rows, f"two_{some}_do", "items_do"),
            at_least=-0.005,
        ),
        say(
            "one-vector-has-a-rank",
            "Scores of a network in which the person attends have rank D + 1: share of the "
            "personal variance beyond it.",
            mean("person_beyond"),
            at_most=1e-6,
        ),
        say(
            "items-have-little-more",
            "Where every item attends, a little of the scores is beyond that rank, and in this "
            "store no more than a little: share of the personal variance.",
            mean("items_beyond"),
            at_least=1e-5,
            at_most=0.02,
        ),
    ]
