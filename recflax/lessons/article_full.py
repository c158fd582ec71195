r"""The article's network at its own size: 10,000 products, 512 wide, eight heads of 64.

2,000 people, sixteen places, ten epochs of batches of 64. The listing is run with heads of 64:
with heads of 512 it is the same lesson at twice the time. Beside it stands the network with all
faults repaired, and a SASRec block of the same width. What the shelf would earn that each of them
fills is exact, and computed by blocks of people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from recflax.article import LISTING, REPAIRED, ArticleConfig, ArticleNetwork
from recflax.article_training import fit_article, printed_accuracy
from recflax.data.batches import make_batch
from recflax.estimates import Estimate
from recflax.fitted import fit_network
from recflax.intervals import paired_difference
from recflax.lessons.article_network import Task, named, popularity, ranked, store_task
from recflax.lessons.better_network import TRAIN, full_loss, network_config
from recflax.lessons.statements import Statement, column
from recflax.recommender import Recommender
from recflax.training import FitResult

ITEMS, WIDTH, HEADS = 10_000, 512, 8
NETWORKS = {
    "listing": "the listing",
    "repaired": "the article's, repaired",
    "sasrec": "a SASRec block, full cross-entropy",
}
"""Key and label."""

FAULTS = {"listing": LISTING.without("wide_heads"), "repaired": REPAIRED}

SASREC_TRAIN = replace(TRAIN, learning_rate=1e-3)
"""At 512 the rate of the narrow networks is too high; chosen on seeds that the table has not."""


def full_task(seed: int, people: int = 2_000, n_items: int = ITEMS) -> Task:
    """The task of the article's size, on a store of its own."""
    return store_task(seed, people, n_items)


def train_full(
    name: str, task: Task, key: jax.Array, width: int = WIDTH, **arguments: Any
) -> tuple[ArticleNetwork | Recommender, FitResult]:
    """Train one of `NETWORKS` at full size.

    Args:
        name: a key of `NETWORKS`.
        task: from `full_task`.
        key: a random key.
        width: D.
        **arguments: of `recflax.training.fit`, such as ``on_epoch``.
    """
    if name == "sasrec":
        shape = network_config(task, width, heads=HEADS)
        return fit_network(shape, full_loss, task.train, SASREC_TRAIN, key=key, **arguments)
    config = ArticleConfig(task.n_items, width, HEADS, faults=FAULTS[name])
    return fit_article(config, task.train, key=key, **arguments)


def next_scores(network: ArticleNetwork | Recommender, task: Task) -> np.ndarray:
    """(U, M) scores for the item after the last."""
    if isinstance(network, ArticleNetwork):
        return network.scores(task.test.history)
    return network.scores(make_batch(task.test.history, n_items=task.n_items))


def run(seed: int, size: int = 2_000) -> dict[str, float]:
    """One row: the networks at full size on one store.

    Args:
        seed: the store's seed, and that of the networks.
        size: number of people.

    Returns:
        ``seed``, ``people``; for each of `NETWORKS` and ``popularity`` the columns of
        `recflax.lessons.article_network.ranked` after its name, with ``first_loss`` and
        ``last_loss``, and ``printed`` of the two that have it.
    """
    task, key = full_task(seed, size), jax.random.key(seed)
    row: dict[str, float] = {"seed": seed, "people": size}
    for name in NETWORKS:
        network, record = train_full(name, task, key)
        found = {"first_loss": float(record.loss[0]), "last_loss": float(record.loss[-1])}
        if isinstance(network, ArticleNetwork):
            found["printed"] = printed_accuracy(network, task.test)
        row |= named(name, found | ranked(next_scores(network, task), task))
    return row | named("popularity", ranked(popularity(task), task))


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """

    def over(one: str, other: str) -> Estimate:
        return paired_difference(
            column(rows, f"{one}_ndcg"), column(rows, f"{other}_ndcg"), over="seeds"
        )

    def say(name: str, sentence: str, number: Estimate, **bounds: Any) -> Statement:
        return Statement(f"full-{name}", sentence, number, seeds=len(rows), **bounds)

    return [
        say(
            "listing-below-popularity",
            "At full size the listing ranks the next item worse than one list of popular items for "
            "everybody: difference in NDCG@10.",
            over("listing", "popularity"),
            at_most=0.0,
        ),
        say(
            "sasrec-beats-repaired",
            "At full size a SASRec block ranks the next item better than the article's network "
            "with its faults repaired: difference in NDCG@10.",
            over("sasrec", "repaired"),
            at_least=0.0,
        ),
    ]
