r"""Chapter 1 on a real shop: one network from several random starts, on one split of Online Retail.

There is one such shop, so the seeds of this lesson are not stores. They are random starts of the
network, and the interval over them says how much of a result is the start.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd

from recflax.baselines import BuyItAgain, ItemCF
from recflax.comparison import Model, compare
from recflax.data import online_retail
from recflax.data.baskets import first_baskets, item_matrix, next_basket, purchase_counts
from recflax.data.cleaning import to_log
from recflax.data.logs import Log, keep_known_items, split_by_time
from recflax.evaluation import Evaluation
from recflax.fitted import AttentionRecommender
from recflax.intervals import mean_over_seeds
from recflax.lessons.statements import Statement, column
from recflax.optimiser import TrainConfig
from recflax.recommender import RecommenderConfig

SPLIT = "2011-11-01"
STARTS = "random starts"
VIEWS = {"all": "all items", "new": "new items"}
"""Key in the table and name on the page of the two questions asked of one ranking."""


class NextBasket(NamedTuple):
    """The task: what to learn from, and whose next basket to rank.

    Attributes:
        before: the purchases before the split.
        people: (B,) customers with a purchase before and an invoice after it.
        wanted: (B, M) bool, the items of the first invoice after it.
        owned: (B, M) bool, items that the customer bought before it.
    """

    before: Log
    people: np.ndarray
    wanted: np.ndarray
    owned: np.ndarray


def prepare(lines: pd.DataFrame) -> NextBasket:
    """Make the task from the lines of invoices.

    Args:
        lines: as `recflax.data.online_retail.load` gives them.
    """
    shop = to_log(online_retail.plain_sales(lines))
    before, after = split_by_time(shop, SPLIT)
    known = keep_known_items(before, first_baskets(after))
    test = next_basket(known.before, known.after)
    return NextBasket(
        before=known.before,
        people=test.people,
        wanted=item_matrix(test.items, known.before.n_items),
        owned=purchase_counts(known.before, test.people) > 0,
    )


def network(n_items: int) -> AttentionRecommender:
    """One question a person, put to the last hundred items, and repetition told as an input."""
    return AttentionRecommender(
        RecommenderConfig(
            n_items=n_items,
            width=64,
            blocks=0,
            query="person",
            repetition=True,
            initial_bias=0.0,
        ),
        TrainConfig(epochs=4, batch_size=64, learning_rate=2e-2, weight_decay=1e-2),
        length=100,
        objective="next_basket",
        drop_events=0.5,
    )


def rank(
    task: NextBasket, models: Mapping[str, Model], key: jax.Array
) -> dict[str, dict[str, Evaluation]]:
    """Fit models on what came before, and rank each next basket: over all and over new items.

    Args:
        task: the task.
        models: name to model.
        key: a random key.

    Returns:
        Name of the view, a value of `VIEWS`, to name of the model to its evaluation.
    """
    where = {VIEWS["all"]: None, VIEWS["new"]: ~task.owned}
    return compare(
        models, task.people, task.wanted, log=task.before, where=where, key=key, replicates=300
    )


def run(seed: int, size: int = 0) -> dict[str, float]:
    """One row: the network from one start, beside two peers that know no chance.

    Args:
        seed: of the start and of the order of training.
        size: not used; the shop has the customers that it has.

    Returns:
        ``seed``, ``people``; ``model_view``, NDCG@10, of the network and of its peers.
    """
    task = prepare(online_retail.load())
    models: dict[str, Model] = {
        "network": network(task.before.n_items),
        "item_cf": ItemCF(),
        "again": BuyItAgain(),
    }
    found = {
        name: rank(task, {name: model}, jax.random.key(seed)) for name, model in models.items()
    }
    row: dict[str, float] = {"seed": seed, "people": len(task.people)}
    return row | {
        f"{name}_{view}": found[name][label][name]["ndcg@10"].value
        for name in models
        for view, label in VIEWS.items()
    }


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a start, at least two.
    """
    over_item_cf = column(rows, "network_new") - column(rows, "item_cf_new")
    return [
        Statement(
            "retail-starts-new",
            "On Online Retail the Transformer ranks products that are new to the customer better "
            "than item-based CF: difference in NDCG@10, mean over starts.",
            mean_over_seeds(over_item_cf, target=STARTS),
            at_least=0.0,
            seeds=len(rows),
        )
    ]
