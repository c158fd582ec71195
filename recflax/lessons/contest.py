r"""The contest: every recommender of the book on one store, asked what each reader would ask.

From counting to causal: classical recommenders, the attention network trained on the log, the same
network on exposed rows, with weights, doubly robust, on a randomised log; and, beside them, what
nobody can beat. Four numbers are taken of each: NDCG on held-out purchases, purchases in the slot,
those that would not have come otherwise, and the money of those; and the processor's seconds for
its fitting and its answers.

The yardstick is the *oracle that knows the history*, the argmax over products of

.. math:: E[\tau_j \mid H]

(`recflax.worlds.history_oracle`): no recommender can know more of a person than the history. The
*regret* of a policy is that oracle's increment less its own. The oracle that knows the person's
taste as well shows what histories hide.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from recflax.baselines import SVD, BuyItAgain, ItemCF, Popularity, UserCF
from recflax.estimates import Estimate
from recflax.factorisation import MatrixFactorisation
from recflax.interface import Baseline
from recflax.intervals import mean_over_seeds
from recflax.lessons.cells import count
from recflax.lessons.statements import Statement, column, paired_columns
from recflax.lessons.trainings import train
from recflax.lessons.wrong_question import (
    HELD_OUT_VISITS,
    MEASURES,
    VISITS,
    Answer,
    counted,
    measure,
    untrained,
)
from recflax.worlds.history_oracle import given_history
from recflax.worlds.store import Store, StoreConfig, build_store

CLASSICAL = {
    "popularity": "popularity",
    "again": "buy it again",
    "user_cf": "user-based CF",
    "item_cf": "item-based CF",
    "item_cf_purchases": "item-based CF on the visits' purchases",
    "svd": "SVD",
    "factors": "matrix factorisation",
    "counting": "counting, shown minus not shown",
}
"""Recommenders without a network: key and label."""

NETWORKS = {
    "log": "attention, trained on the log",
    "exposed_do": "attention on exposed rows, by purchases if shown",
    "exposed": "attention on exposed rows, by uplift",
    "ips_clipped": "attention, weighted and clipped, by uplift",
    "ips": "attention, weighted, by uplift",
    "dr_clipped": "attention, doubly robust and clipped, by uplift",
    "flag": "attention told the intent, by uplift",
    "randomised": "attention on a randomised log, by uplift",
}
"""Ways to train one network, and the score that fills the slot: key and label."""

BEST = {
    "random": "uniform random",
    "logging": "the logging policy",
    "perfect_log": "the perfect log predictor",
    "history_do": "oracle of the history, purchases if shown",
    "history_uplift": "oracle of the history, uplift",
    "oracle_do": "oracle of the taste, purchases if shown",
    "oracle_uplift": "oracle of the taste, uplift",
}
"""What needs no fitting: key and label."""

MODELS = CLASSICAL | NETWORKS | BEST
CAUSAL = ("exposed", "ips_clipped", "ips", "dr_clipped", "flag", "randomised")
"""The networks that are trained on exposure and rank by a difference of two arms."""

LEARNED_FROM_PURCHASES = (*(key for key in CLASSICAL if key != "counting"), "log")
"""The recommenders of the article and of its elders: whatever was shown, it was bought."""

DRAWS = 4_000
"""Tastes that the oracle of the history averages."""


def classical(store: Store, key: jax.Array) -> dict[str, tuple[Answer, float]]:
    """Recommenders without a network, fitted on what is logged, each with its processor seconds.

    Args:
        store: whose people are scored; only what is logged is used.
        key: a random key, for the vectors of matrix factorisation.
    """
    log = store.log(VISITS)
    tables = log.to_log()
    everyone = np.arange(store.config.n_people)
    models: dict[str, Baseline] = {
        "popularity": Popularity(),
        "again": BuyItAgain(),
        "user_cf": UserCF(),
        "item_cf": ItemCF("conditional", counts=True),
        "item_cf_purchases": ItemCF(counts=True, own_items=True, history="purchases"),
        "svd": SVD(),
        "factors": MatrixFactorisation(),
    }
    answers = {}
    for name, model in models.items():
        started = time.process_time()
        scores = model.fit(tables, key=key).scores(everyone)
        answers[name] = Answer(scores), time.process_time() - started
    started = time.process_time()
    scores = counted(count(log))
    return answers | {"counting": (Answer(scores), time.process_time() - started)}


def networks(
    store: Store, key: jax.Array, names: Sequence[str] = tuple(NETWORKS)
) -> dict[str, tuple[Answer, float]]:
    """The one network, trained in the ways of `NETWORKS`, each with its processor seconds.

    Args:
        store: whose histories are read; only what is logged is used.
        key: a random key; which training it is goes into it.
        names: some of `NETWORKS`.
    """
    answers = {}
    for name in names:
        if name == "exposed_do":  # another question to the network of "exposed"
            continue
        started = time.process_time()
        found, _ = train(store, name, key)
        seconds = time.process_time() - started
        if found.not_shown is None:
            answers[name] = Answer(found.shown), seconds
            continue
        answers[name] = Answer(found.shown - found.not_shown), seconds
        if name == "exposed" and "exposed_do" in names:
            answers["exposed_do"] = Answer(found.shown), seconds
    return answers


def oracles(store: Store, seed: int) -> dict[str, Answer]:
    """What no recommender can beat who knows the history, and what needs no fitting.

    Args:
        store: the store.
        seed: of the tastes that the oracle of the history draws.
    """
    given = {
        name: Answer(given_history(store, question, draws=DRAWS, seed=seed).value)
        for name, question in (("history_do", "do_1"), ("history_uplift", "uplift"))
    }
    rest = untrained(store)
    return given | {name: rest[name] for name in BEST if name not in given}


def run(seed: int, size: int = 8_000) -> dict[str, float]:
    """One row: every model of `MODELS` on the store of one seed.

    Args:
        seed: the store's seed, and that of the networks.
        size: number of people.

    Returns:
        ``seed``, ``people``; ``model_ndcg``, ``model_slot``, ``model_increment`` and
        ``model_revenue`` for every model, purchases and money per visit; and ``model_seconds``, of
        the processor, for those that are fitted.
    """
    store = build_store(StoreConfig(n_people=size), seed)
    heldout = store.log(HELD_OUT_VISITS, stream="heldout")
    keys = jax.random.split(jax.random.key(seed))
    fitted = classical(store, keys[0]) | networks(store, keys[1])
    answers = {name: answer for name, (answer, _) in fitted.items()} | oracles(store, seed)
    row: dict[str, float] = {"seed": seed, "people": size}
    for name in MODELS:
        row |= {f"{name}_{what}": x for what, x in measure(store, heldout, answers[name]).items()}
    return row | {f"{name}_seconds": seconds for name, (_, seconds) in fitted.items()}


def measured(rows: Sequence[Mapping[str, float]], model: str) -> dict[str, Estimate]:
    """A line of the table: `MEASURES`, and the regret of the increment, means over seeds.

    Args:
        rows: rows of `run`, one a seed, at least two.
        model: a key of `MODELS`.
    """
    found = {what: mean_over_seeds(column(rows, f"{model}_{what}")) for what in MEASURES}
    return found | {"regret": regret(rows, model)}


def regret(rows: Sequence[Mapping[str, float]], model: str) -> Estimate:
    """Increment of the oracle of the history less that of a model, paired over seeds."""
    return paired_columns(rows, "history_uplift_increment", f"{model}_increment")


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """

    def say(name: str, sentence: str, number: Estimate, **bounds: Any) -> Statement:
        return Statement(f"contest-{name}", sentence, number, seeds=len(rows), **bounds)

    def best(names: Sequence[str], what: str) -> np.ndarray:
        return np.max([column(rows, f"{name}_{what}") for name in names], axis=0)

    def worst(names: Sequence[str], what: str) -> np.ndarray:
        return np.min([column(rows, f"{name}_{what}") for name in names], axis=0)

    others = [name for name in CLASSICAL if name not in ("item_cf_purchases", "counting")]
    return [
        say(
            "article-wins-its-own-contest",
            "Trained on the log, attention ranks held-out purchases better than every classical "
            "recommender but item-based CF on the visits' purchases: difference in NDCG@10 from "
            "the best of the others on each store.",
            mean_over_seeds(column(rows, "log_ndcg") - best(others, "ndcg")),
            at_least=0.0,
        ),
        say(
            "and-loses-the-slot",
            "In the slot it adds fewer purchases per visit than a product drawn at random: "
            "difference.",
            paired_columns(rows, "log_increment", "random_increment"),
            at_most=0.0,
        ),
        say(
            "purchases-never-reach-exposure",
            "The best on each store of all recommenders that learn from purchases alone adds less "
            "than the network on exposed rows, ranked by uplift: difference in increment.",
            mean_over_seeds(
                best(LEARNED_FROM_PURCHASES, "increment") - column(rows, "exposed_increment")
            ),
            at_most=-0.05,
        ),
        say(
            "causal-all-beat-random",
            "The worst on each store of the networks that rank by a difference of two arms adds "
            "more purchases than a random draw: difference in increment.",
            mean_over_seeds(worst(CAUSAL, "increment") - column(rows, "random_increment")),
            at_least=0.05,
        ),
        say(
            "accurate-is-not-useful",
            "Of the networks, the one that ranks held-out purchases best is the one that adds "
            "least: its increment less the worst of the others', on each store.",
            mean_over_seeds(
                column(rows, "log_increment") - worst((*CAUSAL, "exposed_do"), "increment")
            ),
            at_most=-0.02,
        ),
        say(
            "taste-is-out-of-reach",
            "The oracle that knows the taste adds more than the one that knows the history: what "
            "no network can learn from it.",
            paired_columns(rows, "oracle_uplift_increment", "history_uplift_increment"),
            at_least=0.0,
        ),
        say(
            "best-network-near-the-oracle",
            "The network with clipped weights leaves little of what the history allows: its "
            "regret as a share of the oracle's increment.",
            mean_over_seeds(
                1 - column(rows, "ips_clipped_increment") / column(rows, "history_uplift_increment")
            ),
            at_least=0.0,
            at_most=0.3,
        ),
        say(
            "perfect-log-regret",
            "The perfect predictor of the log has more regret than any causal network: difference "
            "in increment from the worst of them on each store.",
            mean_over_seeds(column(rows, "perfect_log_increment") - worst(CAUSAL, "increment")),
            at_most=-0.02,
        ),
    ]
