"""The article's listing and its repair on a real catalogue: Online Retail, the next basket."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from recflax.article import LISTING, REPAIRED, ArticleConfig, Faults
from recflax.article_training import examples, fit_article
from recflax.baselines import BuyItAgain, Popularity
from recflax.data import online_retail
from recflax.data.batches import Batch, history_batch
from recflax.estimates import Estimate
from recflax.evaluation import evaluate
from recflax.lessons.article_network import BASE, LENGTH, WIDTH
from recflax.lessons.next_basket import NextBasket, prepare
from recflax.lessons.statements import Statement, paired_columns

NETWORKS = {"listing": LISTING.without("wide_heads"), "repaired": BASE, "last": REPAIRED}
"""Name in the table and faults; the last one is trained at the last place only."""

LABELS = {
    "listing": "the listing",
    "repaired": "repaired, trained at every place",
    "last": "repaired, trained at the last place",
    "popularity": "popularity",
    "again": "buy it again",
}
"""Names on the page."""


class Sequences(NamedTuple):
    """Purchases one after another, as the article's network reads them.

    Attributes:
        train: histories and targets (U, L) of all customers, all purchases but the newest.
        test: the same one purchase later.
        asked: (B, L) the newest purchases of those whose next basket is ranked.
    """

    train: Batch
    test: Batch
    asked: np.ndarray


def sequences(shop: NextBasket, length: int = LENGTH) -> Sequences:
    """Cut each customer's newest purchases before the split into sequences.

    Args:
        shop: the task of `recflax.lessons.next_basket.prepare`.
        length: L.
    """
    before = shop.before
    everybody = np.arange(before.n_people)
    history = history_batch(
        before.events, everybody, length=length + 2, n_items=before.n_items
    ).history
    return Sequences(
        train=examples(history[:, :-1], before.n_items),
        test=examples(history[:, 1:], before.n_items),
        asked=history[shop.people, -length:],
    )


def config(shop: NextBasket, faults: Faults) -> ArticleConfig:
    """The network of a width of 64 over the shop's catalogue."""
    return ArticleConfig(shop.before.n_items, WIDTH, length=LENGTH, faults=faults)


def run(seed: int, size: int = 0) -> dict[str, float]:
    """One row: the networks from one start, beside two rules that know no chance.

    Args:
        seed: of the start and of the order of training.
        size: not used; the shop has the customers that it has.

    Returns:
        ``seed``, ``people``, and NDCG@10 of the next basket after each name of `LABELS`, such as
        ``listing_ndcg``.
    """
    shop = prepare(online_retail.load())
    cut = sequences(shop)

    def ndcg(scores: np.ndarray) -> float:
        return evaluate(scores, shop.wanted, people=shop.people, replicates=2)["ndcg@10"].value

    row: dict[str, float] = {"seed": seed, "people": len(shop.people)}
    for name, faults in NETWORKS.items():
        network, _ = fit_article(config(shop, faults), cut.train, key=jax.random.key(seed))
        row[f"{name}_ndcg"] = ndcg(network.scores(cut.asked))
    for name, model in (("popularity", Popularity()), ("again", BuyItAgain())):
        row[f"{name}_ndcg"] = ndcg(model.fit(shop.before).scores(shop.people))
    return row


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a start, at least two.
    """

    def over(one: str, other: str) -> Estimate:
        return paired_columns(rows, f"{one}_ndcg", f"{other}_ndcg")

    def say(name: str, sentence: str, number: Estimate, **bounds: Any) -> Statement:
        return Statement(f"retail-{name}", sentence, number, seeds=len(rows), **bounds)

    return [
        say(
            "listing-repaired",
            "On Online Retail the repaired network ranks the next basket better than the listing: "
            "difference in NDCG@10, over random starts.",
            over("repaired", "listing"),
            at_least=0.0,
        ),
        say(
            "every-place-teaches",
            "On Online Retail the repaired network ranks the next basket better when every place "
            "is asked in training than when the last one is: difference in NDCG@10, over random "
            "starts.",
            over("repaired", "last"),
            at_least=0.0,
        ),
        say(
            "again-beats-repaired",
            "On Online Retail counting what a customer bought before ranks the next basket better "
            "than the article's network, repaired: difference in NDCG@10, over random starts.",
            over("again", "repaired"),
            at_least=0.0,
        ),
    ]
