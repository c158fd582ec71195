r"""The article's network at its own size: 10,000 products, 512 wide, eight heads of 64.

2,000 people, sixteen places, ten epochs of batches of 64. The listing is run with heads of 64:
with heads of 512 it is the same lesson at twice the time. Beside it stands the network with all
faults repaired, which is asked for the last place only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from recflax.article import LISTING, REPAIRED, ArticleConfig, ArticleNetwork
from recflax.article_training import fit_article, printed_accuracy
from recflax.estimates import Estimate
from recflax.lessons.article_network import Task, named, popularity, ranked, store_task
from recflax.lessons.statements import Statement, paired_columns
from recflax.training import FitResult

ITEMS, WIDTH, HEADS = 10_000, 512, 8
NETWORKS = {
    "listing": "the listing",
    "repaired": "repaired, the last place asked",
}
"""Key and label."""

FAULTS = {"listing": LISTING.without("wide_heads"), "repaired": REPAIRED}


def full_task(seed: int, people: int = 2_000, n_items: int = ITEMS) -> Task:
    """The task of the article's size, on a store of its own."""
    return store_task(seed, people, n_items)


def train_full(
    name: str, task: Task, key: jax.Array, width: int = WIDTH, **arguments: Any
) -> tuple[ArticleNetwork, FitResult]:
    """Train one of `NETWORKS` at full size.

    Args:
        name: a key of `NETWORKS`.
        task: from `full_task`.
        key: a random key.
        width: D.
        **arguments: of `recflax.training.fit`, such as ``on_epoch``.
    """
    config = ArticleConfig(task.n_items, width, HEADS, faults=FAULTS[name])
    return fit_article(config, task.train, key=key, **arguments)


def run(seed: int, size: int = 2_000) -> dict[str, float]:
    """One row: the networks at full size on one store.

    Args:
        seed: the store's seed, and that of the networks.
        size: number of people.

    Returns:
        ``seed``, ``people``; for each of `NETWORKS` and ``popularity`` the columns of
        `recflax.lessons.article_network.ranked` after its name, with ``first_loss`` and
        ``last_loss`` and ``printed``.
    """
    task, key = full_task(seed, size), jax.random.key(seed)
    row: dict[str, float] = {"seed": seed, "people": size}
    for name in NETWORKS:
        network, record = train_full(name, task, key)
        found = {
            "first_loss": float(record.loss[0]),
            "last_loss": float(record.loss[-1]),
            "printed": printed_accuracy(network, task.test),
        }
        row |= named(name, found | ranked(network.scores(task.test.history), task))
    return row | named("popularity", ranked(popularity(task), task))


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """

    def over(one: str, other: str) -> Estimate:
        return paired_columns(rows, f"{one}_ndcg", f"{other}_ndcg")

    def say(name: str, sentence: str, number: Estimate, **bounds: Any) -> Statement:
        return Statement(f"full-{name}", sentence, number, seeds=len(rows), **bounds)

    return [
        say(
            "repaired-below-popularity",
            "At full size even the repaired network ranks the next item worse than one list of "
            "popular items for everybody: difference in NDCG@10.",
            over("repaired", "popularity"),
            at_most=0.0,
        ),
        say(
            "listing-below-popularity",
            "At full size the listing ranks the next item worse than one list of popular items for "
            "everybody: difference in NDCG@10.",
            over("listing", "popularity"),
            at_most=0.0,
        ),
    ]
