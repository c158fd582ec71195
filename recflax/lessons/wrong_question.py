r"""Lesson 1: the recommender that predicts the log best need not be worth the most to the shop.

One log, one loop: classical recommenders and the attention network, each trained on "was it bought
at the visit". Beside them the same network on exposed rows only, and scores that nobody could
learn better: the exact laws of the log and of the interventions. Each is asked twice: how well it
ranks the held-out purchases (as a paper asks), and what its first choice is worth in the slot
(as the shop asks, exactly).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from recflax.baselines import ItemCF, Popularity
from recflax.estimates import Estimate
from recflax.factorisation import MatrixFactorisation
from recflax.intervals import mean_over_seeds, paired_difference
from recflax.lessons.cells import (
    Counts,
    count,
    exposed_cells,
    fit_cells,
    log_cells,
    probabilities,
    share,
)
from recflax.lessons.statements import Statement, column
from recflax.metrics import ndcg_at_k
from recflax.worlds.store import Store, StoreConfig, build_store
from recflax.worlds.store_log import StoreLog

VISITS, HELD_OUT_VISITS, MORE_VISITS = 8, 4, 16

MODELS = {
    "popularity": "popularity",
    "item_cf": "item-based CF",
    "item_cf_purchases": "item-based CF on the visits' purchases",
    "factors": "matrix factorisation",
    "attention": "attention, trained on the log",
    "counting": "counting, shown minus not shown",
    "attention_exposed": "attention, exposed rows only",
    "random": "uniform random",
    "logging": "the logging policy",
    "perfect_log": "the perfect log predictor",
    "perfect_exposed": "the perfect exposed predictor",
    "oracle_do": "oracle of P(Y given do)",
    "oracle_uplift": "oracle of uplift",
}
"""The rows of the lesson's table: key and label."""

LEARNED_FROM_THE_LOG = ("popularity", "item_cf", "item_cf_purchases", "factors", "attention")
LEARNED = (*LEARNED_FROM_THE_LOG, "counting", "attention_exposed")
MEASURES = ("ndcg", "slot", "increment", "revenue")


class Answer(NamedTuple):
    """What one model gives: scores to rank by, and a policy that fills the slot.

    Attributes:
        scores: (U, M).
        policy: (U, M) chances of display; None shows the best score.
    """

    scores: np.ndarray
    policy: np.ndarray | None = None


def trained(store: Store, log: StoreLog, key: jax.Array) -> dict[str, Answer]:
    """The models that learn from a log: `classical`, then `networks`."""
    classical_key, network_key = jax.random.split(key)
    return classical(store, log, classical_key) | networks(store, log, network_key)


def classical(store: Store, log: StoreLog, key: jax.Array) -> dict[str, Answer]:
    """Recommenders without a network, fitted on what is logged, and a plain count.

    Args:
        store: whose people are scored; only what is logged is used.
        log: what they learn from.
        key: a random key, for the vectors of matrix factorisation.
    """
    tables = log.to_log()
    models = {
        "popularity": Popularity().fit(tables),
        "item_cf": ItemCF("conditional", counts=True).fit(tables),
        "item_cf_purchases": ItemCF(counts=True, own_items=True, history="purchases").fit(tables),
        "factors": MatrixFactorisation().fit(tables, key=key),
    }
    everyone = np.arange(store.config.n_people)
    answers = {name: Answer(model.scores(everyone)) for name, model in models.items()}
    return answers | {"counting": Answer(counted(count(log)))}


def networks(store: Store, log: StoreLog, key: jax.Array) -> dict[str, Answer]:
    """The attention network on two sets of cells: the whole log, and the exposed rows.

    Args:
        store: whose histories are read.
        log: what it learns from.
        key: a random key, for the first weights and the order of the batches.
    """
    counts = count(log)
    keys = jax.random.split(key)
    on_log = fit_cells(store, log_cells(counts), key=keys[0])
    on_exposed = fit_cells(store, exposed_cells(counts), key=keys[1])
    return {
        "attention": Answer(probabilities(on_log, store)),
        "attention_exposed": Answer(probabilities(on_exposed, store, "shown")),
    }


def counted(counts: Counts) -> np.ndarray:
    """(U, M) purchases per visit when shown minus when not, product by product, alike for all."""
    shown = share(counts.bought_shown.sum(axis=0), counts.shown.sum(axis=0))
    rest = (counts.visits - counts.shown).sum(axis=0)
    return np.broadcast_to(
        shown - share(counts.bought_not_shown.sum(axis=0), rest), counts.shown.shape
    )


def untrained(store: Store) -> dict[str, Answer]:
    """Policies without a model, and the scores that no model could learn better."""
    everywhere = np.zeros((store.config.n_people, store.config.n_items))
    logging = store.logging_policy()
    return {
        "random": Answer(everywhere, np.full_like(everywhere, 1 / everywhere.shape[1])),
        "logging": Answer(logging, logging),
        "perfect_log": Answer(store.see()),
        "perfect_exposed": Answer(store.see_exposed()),
        "oracle_do": Answer(store.do(1)),
        "oracle_uplift": Answer(store.uplift()),
    }


def measure(store: Store, heldout: StoreLog, answer: Answer) -> dict[str, float]:
    """NDCG@10 on held-out purchases, and the exact value of the slot per visit.

    People without a held-out purchase have no NDCG and are left out of its mean.
    """
    policy = store.greedy(answer.scores) if answer.policy is None else answer.policy
    value = store.policy_value(policy)
    ndcg = ndcg_at_k(answer.scores, heldout.counts() > 0, 10)
    return {
        "ndcg": float(np.nanmean(ndcg)),
        "slot": value.slot_rate,
        "increment": value.increment,
        "revenue": value.revenue,
    }


def campaign_check(store: Store, heldout: StoreLog, predicted: np.ndarray) -> dict[str, float]:
    """The exposed network on campaign products: against the held-out log, and against do(show).

    Means over the held-out visits at which a campaign product was in the slot: what the network
    predicted, what was bought, and what would be bought at such visits if the slot did not go by
    intent.
    """
    rows = store.campaign[heldout.shown - 1]
    cells = heldout.person[rows], heldout.shown[rows] - 1
    return {
        "campaign_predicted": float(predicted[cells].mean()),
        "campaign_observed": float(heldout.bought_shown[rows].mean()),
        "campaign_do": float(store.do(1)[cells].mean()),
        "campaign_rows": float(rows.sum()),
    }


def run(seed: int, size: int = 8_000) -> dict[str, float]:
    """One row: every model of `MODELS` on the store of one seed.

    Args:
        seed: the store's seed, and that of the networks.
        size: number of people.

    Returns:
        ``seed``, ``people``; ``model_measure`` for every model and measure; ``campaign_predicted``
        and its companions; and, for the same people with twice as many logged visits,
        ``more_visits_attention_ndcg`` and ``more_visits_factors_ndcg``.
    """
    store = build_store(StoreConfig(n_people=size), seed)
    heldout = store.log(HELD_OUT_VISITS, stream="heldout")
    key = jax.random.key(seed)
    answers = trained(store, store.log(VISITS), key) | untrained(store)
    row: dict[str, float] = {"seed": seed, "people": size}
    for model in MODELS:
        values = measure(store, heldout, answers[model])
        row |= {f"{model}_{name}": value for name, value in values.items()}
    row |= campaign_check(store, heldout, answers["attention_exposed"].scores)
    return row | more_visits(store, heldout, jax.random.fold_in(key, 1))


def more_visits(store: Store, heldout: StoreLog, key: jax.Array) -> dict[str, float]:
    """Held-out NDCG@10 of attention and of matrix factorisation from sixteen visits a person."""
    log = store.log(MORE_VISITS)
    keys = jax.random.split(key)
    network = fit_cells(store, log_cells(count(log)), key=keys[0])
    factors = MatrixFactorisation().fit(log.to_log(), key=keys[1])
    relevant = heldout.counts() > 0
    scores = {
        "attention": probabilities(network, store),
        "factors": factors.scores(np.arange(store.config.n_people)),
    }
    return {
        f"more_visits_{name}_ndcg": float(np.nanmean(ndcg_at_k(score, relevant, 10)))
        for name, score in scores.items()
    }


def difference(rows: Sequence[Mapping[str, float]], one: str, other: str, what: str) -> Estimate:
    """The mean over seeds of one model's measure minus another's, paired."""
    return paired_difference(
        column(rows, f"{one}_{what}"), column(rows, f"{other}_{what}"), over="seeds"
    )


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """
    seeds = len(rows)
    said = [
        Statement(
            f"attention-ndcg-above-{peer.replace('_', '-')}",
            "On held-out purchases the attention network, trained on the log, ranks better than "
            f"{MODELS[peer]}: difference in NDCG@10.",
            difference(rows, "attention", peer, "ndcg"),
            at_least=0.0,
            seeds=seeds,
        )
        for peer in ("popularity", "item_cf", "factors")
    ]
    said += [
        Statement(
            f"attention-increment-below-{peer.replace('_', '-')}",
            "In the slot the attention network, trained on the log, adds fewer purchases per "
            f"visit than {MODELS[peer]}: difference.",
            difference(rows, "attention", peer, "increment"),
            at_most=0.0,
            seeds=seeds,
        )
        for peer in ("random", "factors", "logging", "counting")
    ]
    said += [
        Statement(
            "perfect-log-ndcg",
            "The perfect predictor of the log ranks held-out purchases better than any model "
            "trained on it: difference in NDCG@10 from the best of them.",
            mean_over_seeds(
                column(rows, "perfect_log_ndcg")
                - np.max([column(rows, f"{m}_ndcg") for m in LEARNED_FROM_THE_LOG], axis=0)
            ),
            at_least=0.02,
            seeds=seeds,
        ),
        Statement(
            "perfect-log-increment",
            "The perfect predictor of the log adds fewer purchases per visit than a random draw: "
            "no architecture can help.",
            difference(rows, "perfect_log", "random", "increment"),
            at_most=0.0,
            seeds=seeds,
        ),
        Statement(
            "exposed-increment",
            "The same network on exposed rows only adds more purchases per visit than on the "
            "whole log.",
            difference(rows, "attention_exposed", "attention", "increment"),
            at_least=0.05,
            seeds=seeds,
        ),
        Statement(
            "log-model-decent-on-slot-rate",
            "On the slot rate, which counts what would have been bought anyway, the log-trained "
            "network looks better than the old policy.",
            difference(rows, "attention", "logging", "slot"),
            at_least=0.02,
            seeds=seeds,
        ),
        Statement(
            "purchases-reverse-the-log",
            "Item-based CF that reads what each person bought at the logged visits, and may "
            "repeat it, ranks held-out purchases better than attention on the histories before "
            "them: difference in NDCG@10.",
            difference(rows, "item_cf_purchases", "attention", "ndcg"),
            at_least=0.0,
            seeds=seeds,
        ),
        Statement(
            "purchases-do-not-help-the-slot",
            "In the slot it too adds fewer purchases per visit than a random draw.",
            difference(rows, "item_cf_purchases", "random", "increment"),
            at_most=0.0,
            seeds=seeds,
        ),
        Statement(
            "constant-score-is-chance",
            "A constant score ranks held-out purchases like a random order, not like a perfect "
            "one: its NDCG@10.",
            mean_over_seeds(column(rows, "random_ndcg")),
            at_most=0.1,
            seeds=seeds,
        ),
        Statement(
            "more-visits-reverse-the-log",
            "With sixteen logged visits a person instead of eight, matrix factorisation ranks "
            "held-out purchases better than attention: difference in NDCG@10.",
            difference(rows, "more_visits_factors", "more_visits_attention", "ndcg"),
            at_least=0.0,
            seeds=seeds,
        ),
        Statement(
            "calibrated-on-the-log",
            "On held-out visits that showed a campaign product, the network trained on exposed "
            "rows predicts what is then bought: predicted minus observed.",
            mean_over_seeds(column(rows, "campaign_predicted") - column(rows, "campaign_observed")),
            at_least=-0.02,
            at_most=0.02,
            seeds=seeds,
        ),
        Statement(
            "wrong-about-do",
            "At the same visits the network overstates what showing the product would sell: "
            "predicted minus the exact chance under do(show).",
            mean_over_seeds(column(rows, "campaign_predicted") - column(rows, "campaign_do")),
            at_least=0.05,
            seeds=seeds,
        ),
    ]
    return said
