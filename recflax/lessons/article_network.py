r"""The article's listing, one fault at a time: what it prints, and what it can do.

People of the store leave histories; the network reads sixteen places and is asked for the next
item. Two numbers are taken of every network: the accuracy that the listing's own ``evaluate``
prints, and what a ranking of the whole catalogue for the one next item is worth. The second is the
same question for all of them, whatever their faults.

The first group starts from the listing and repairs one fault. The second starts from the network
with everything repaired but one thing, trained at every place (`BASE`), and puts one fault back.
The last pair shows what happens when the future can be seen and the network is given the time to
find it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from recflax.article import FAULTS, LISTING, REPAIRED, ArticleConfig, Faults
from recflax.article_training import TRAIN, examples, fit_article, printed_accuracy
from recflax.data.batches import Batch
from recflax.estimates import Estimate
from recflax.intervals import mean_over_seeds
from recflax.lessons.statements import Statement, column, paired_columns
from recflax.metrics import f1_at_k, ndcg_at_k, recall_at_k
from recflax.optimiser import TrainConfig
from recflax.worlds.store import StoreConfig, build_store

ITEMS, WIDTH, LENGTH, K = 500, 64, 16, 10
"""The catalogue, the width and the length of a history at which faults are told apart."""

BASE = REPAIRED.with_fault("every_place")
"""Everything repaired, and trained at every place, of which none can see the item it is asked."""

PEEKS = replace(BASE, sees_future=True, no_cross_attention=True)
"""Positions, the right loss and no padding, as a careful reader would mend the listing first."""

VARIANTS: dict[str, Faults] = {
    "listing": LISTING,
    **{f"without_{name}": LISTING.without(name) for name in FAULTS},
    "base": BASE,
    **{f"with_{name}": BASE.with_fault(name) for name in FAULTS if name != "every_place"},
    "last_only": REPAIRED,
}
"""The networks of the table, each trained as the listing says."""

LONG = {"peeks": PEEKS, "honest": replace(PEEKS, sees_future=False)}
"""The pair that is trained longer, with and without a view of the future."""

LONG_EPOCHS = 40
MEASURES = ("printed", "accuracy", "recall", "f1", "ndcg")
"""Printed accuracy; then accuracy, recall, F1 and NDCG at 10 for the next item after the last."""


class Task(NamedTuple):
    """What to learn from, and what to ask.

    Attributes:
        train: histories and targets (U, L), of all events but the newest.
        test: the same one event later, so that only the last place's target is new.
        wanted: (U,) the newest item of each person, 1 to M.
        n_items: M.
    """

    train: Batch
    test: Batch
    wanted: np.ndarray
    n_items: int

    @property
    def relevant(self) -> np.ndarray:
        """(U, M) bool, the one item that is wanted."""
        return np.arange(1, self.n_items + 1) == self.wanted[:, None]


def store_task(seed: int, people: int, n_items: int = ITEMS, length: int = LENGTH) -> Task:
    """Histories of a store's people, the newest event held out.

    Args:
        seed: the store's seed.
        people: U.
        n_items: M.
        length: L, the places that a network reads.
    """
    config = StoreConfig(n_people=people, n_items=n_items, length=length + 2)
    history = build_store(config, seed).history  # (U, L + 2)
    return Task(
        train=examples(history[:, :-1], n_items),
        test=examples(history[:, 1:], n_items),
        wanted=history[:, -1],
        n_items=n_items,
    )


def ranked(scores: np.ndarray, task: Task) -> dict[str, float]:
    """Accuracy, and recall, F1 and NDCG at 10, of scores (U, M) for the item that is wanted."""
    return {
        "accuracy": float((scores.argmax(axis=1) + 1 == task.wanted).mean()),
        "recall": float(recall_at_k(scores, task.relevant, K).mean()),
        "f1": float(f1_at_k(scores, task.relevant, K).mean()),
        "ndcg": float(ndcg_at_k(scores, task.relevant, K).mean()),
    }


def popularity(task: Task) -> np.ndarray:
    """(U, M) how often each item occurs in what is learned from: the same list for everybody."""
    seen = np.concatenate([task.train.history[:, :1], task.train.target], axis=1)
    counts = np.bincount(seen.ravel(), minlength=task.n_items + 1)[1:]
    return np.broadcast_to(counts.astype(float), (len(seen), task.n_items))


def measured(
    task: Task, faults: Faults, key: jax.Array, *, width: int = WIDTH, train: TrainConfig = TRAIN
) -> dict[str, float]:
    """Train one network and take its numbers.

    Returns:
        ``first_loss`` and ``last_loss`` of training, and `MEASURES`.
    """
    config = ArticleConfig(task.n_items, width, length=task.train.history.shape[1], faults=faults)
    network, record = fit_article(config, task.train, train, key=key)
    return {
        "first_loss": float(record.loss[0]),
        "last_loss": float(record.loss[-1]),
        "printed": printed_accuracy(network, task.test),
    } | ranked(network.scores(task.test.history), task)


def run(seed: int, size: int = 2_000) -> dict[str, float]:
    """One row: every variant on one store.

    Args:
        seed: the store's seed, and that of the networks.
        size: number of people.

    Returns:
        ``seed``, ``people``; for each of `VARIANTS` and `LONG` the columns of `measured` after its
        name; and ``popularity_ndcg`` and so on.
    """
    task, key = store_task(seed, size), jax.random.key(seed)
    row: dict[str, float] = {"seed": seed, "people": size}
    for name, faults in (VARIANTS | LONG).items():
        train = replace(TRAIN, epochs=LONG_EPOCHS) if name in LONG else TRAIN
        row |= named(name, measured(task, faults, key, train=train))
    return row | named("popularity", ranked(popularity(task), task))


def named(name: str, found: Mapping[str, float]) -> dict[str, float]:
    """Columns after a name."""
    return {f"{name}_{measure}": value for measure, value in found.items()}


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """

    silent = ("no_positions", "wide_heads", "sees_future")  # a short training shows none

    def say(name: str, sentence: str, number: Estimate, **bounds: Any) -> Statement:
        return Statement(f"article-{name}", sentence, number, seeds=len(rows), **bounds)

    def mean(name: str) -> Estimate:
        return mean_over_seeds(column(rows, name))

    def over(one: str, other: str) -> Estimate:
        return paired_columns(rows, one, other)

    return [
        say(
            "listing-no-better-than-popularity",
            "As printed, the listing does not rank the next item better than one list of popular "
            "items for everybody, to within .01: difference in NDCG@10.",
            over("listing_ndcg", "popularity_ndcg"),
            at_most=0.01,
        ),
        say(
            "loss-repairs-the-listing",
            "Repaired alone, the loss makes the listing rank better: difference in NDCG@10.",
            over("without_logits_as_probabilities_ndcg", "listing_ndcg"),
            at_least=0.0,
        ),
        say(
            "second-attention-costs",
            "Without a residual connection cross-attention costs the repaired network NDCG: by how "
            "much it ranks better when the cross-attention is taken out.",
            over("with_no_cross_attention_ndcg", "base_ndcg"),
            at_least=0.0,
        ),
        say(
            "loss-of-logits-hurts",
            "Put back alone, logits in the place of probabilities cost the repaired network NDCG.",
            over("base_ndcg", "with_logits_as_probabilities_ndcg"),
            at_least=0.02,
        ),
        say(
            "padding-flatters",
            "A network that counts padding as an item prints an accuracy far above the share of "
            "next items that it gets right: by how much.",
            over("with_counts_padding_printed", "with_counts_padding_accuracy"),
            at_least=0.15,
        ),
        say(
            "peeking-is-nearly-perfect",
            "With the future in sight the listing's accuracy is nearly perfect.",
            mean("peeks_printed"),
            at_least=0.75,
        ),
        say(
            "peeking-means-nothing",
            "The same network gets few of the items right that lie in the real future.",
            mean("peeks_accuracy"),
            at_most=0.1,
        ),
        say(
            "mask-earns",
            "Of two networks that differ in the future mask alone, the one with the mask ranks the "
            "next item better: difference in NDCG@10.",
            over("honest_ndcg", "peeks_ndcg"),
            at_least=0.0,
        ),
        say(
            "repaired-beats-listing",
            "With everything repaired and every place trained, the network ranks better than the "
            "listing: difference in NDCG@10.",
            over("base_ndcg", "listing_ndcg"),
            at_least=0.03,
        ),
        say(
            "every-place-teaches",
            "Asked at every place while it trains, the repaired network learns more than from the "
            "last place alone: difference in NDCG@10.",
            over("base_ndcg", "last_only_ndcg"),
            at_least=0.0,
        ),
        say(
            "silent-faults",
            "Three faults of the listing do not show in ten epochs: put back alone, no positions, "
            "wide heads and a view of the future cost the repaired network little NDCG, on average "
            "over the three.",
            mean_over_seeds(
                np.mean([column(rows, f"with_{name}_ndcg") for name in silent], axis=0)
                - column(rows, "base_ndcg")
            ),
            at_least=-0.01,
        ),
    ]
