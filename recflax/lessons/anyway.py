r"""Lesson 7: what is sold in the slot is not what the slot sold.

Every purchase in the slot is one of two kinds: it would have come anyway, or it came because of
the display. For a policy :math:`\pi` both are exact,

.. math::

    \underbrace{\sum_j \pi_j\, P(Y_j \mid do(1))}_{\text{slot rate}} =
    \underbrace{\sum_j \pi_j\, P(Y_j \mid do(0))}_{\text{anyway}} +
    \underbrace{\sum_j \pi_j\, \tau_j}_{\text{increment}}

and ranking by purchases under display maximises the left side, ranking by uplift the last term.
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from recflax.intervals import mean_over_seeds
from recflax.lessons.cells import count, exposed_cells, fit_cells, probabilities
from recflax.lessons.statements import Statement, column
from recflax.worlds.store import Store, StoreConfig, build_store

POLICIES = {
    "log": "the perfect log predictor",
    "do": "purchases if shown",
    "uplift": "uplift",
    "random": "uniform random",
    "logging": "the logging policy",
    "learned_do": "learned: purchases if shown",
    "learned_uplift": "learned: uplift",
}
"""The policies of the lesson: key and label."""

O_POP = (0.4, 0.8, 1.0, 1.2, 1.6, 2.0)
"""Values of ``o_pop``: how much more a popular product is bought without any display."""


def split(store: Store, policy: np.ndarray) -> dict[str, float]:
    """Purchases in the slot per visit, what of them comes anyway, and what does not.

    Args:
        store: the store.
        policy: (U, M) chances of display.
    """
    value = store.policy_value(policy)
    return {
        "slot": value.slot_rate,
        "anyway": value.slot_rate - value.increment,
        "increment": value.increment,
    }


def revenue(store: Store, scores: np.ndarray) -> float:
    """Money per visit that would not have come, when scores times prices fill the slot."""
    return store.policy_value(store.greedy(scores * store.price)).revenue


def run(seed: int, size: int = 8_000) -> dict[str, float]:
    """One row: who is shown what by each policy of `POLICIES`, and the dial of ``o_pop``.

    Args:
        seed: the store's seed, and that of the network.
        size: number of people.

    Returns:
        ``seed``, ``people``; ``policy_slot``, ``policy_anyway``, ``policy_increment``, in
        purchases per visit, and ``policy_revenue`` where the policy ranks by a score; and
        ``o_pop_value_do`` and ``o_pop_value_uplift``, the increments of the two exact rankings.
    """
    store = build_store(StoreConfig(n_people=size), seed)
    network = fit_cells(store, exposed_cells(count(store.log())), key=jax.random.key(seed))
    shown = probabilities(network, store, "shown")
    scores = {
        "log": store.see(),
        "do": store.do(1),
        "uplift": store.uplift(),
        "learned_do": shown,
        "learned_uplift": shown - probabilities(network, store, "not_shown"),
    }
    policies = {name: store.greedy(score) for name, score in scores.items()}
    policies["random"] = np.full(shown.shape, 1 / shown.shape[1])
    policies["logging"] = store.logging_policy()
    row: dict[str, float] = {"seed": seed, "people": size}
    for name, policy in policies.items():
        row |= {f"{name}_{part}": value for part, value in split(store, policy).items()}
    row |= {f"{name}_revenue": revenue(store, score) for name, score in scores.items()}
    for o_pop in O_POP:
        other = build_store(StoreConfig(n_people=size, o_pop=o_pop), seed)
        for name, score in (("do", other.do(1)), ("uplift", other.uplift())):
            increment = other.policy_value(other.greedy(score)).increment
            row[f"o_pop_{o_pop:g}_{name}"] = increment
    return row


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """
    seeds = len(rows)

    def difference(one: str, other: str) -> np.ndarray:
        return column(rows, one) - column(rows, other)

    share = {
        name: column(rows, f"{name}_anyway") / column(rows, f"{name}_slot") for name in POLICIES
    }
    gap = {o_pop: difference(f"o_pop_{o_pop:g}_uplift", f"o_pop_{o_pop:g}_do") for o_pop in O_POP}
    return [
        Statement(
            "anyway-share-do",
            "When purchases under display fill the slot, a large share of what it sells would have "
            "been bought anyway.",
            mean_over_seeds(share["do"]),
            at_least=0.25,
            seeds=seeds,
        ),
        Statement(
            "anyway-share-uplift",
            "When uplift fills the slot, little of what it sells would have been bought anyway.",
            mean_over_seeds(share["uplift"]),
            at_most=0.2,
            seeds=seeds,
        ),
        Statement(
            "slot-rate-prefers-do",
            "Ranking by purchases under display sells more in the slot than ranking by uplift "
            "does: purchases per visit.",
            mean_over_seeds(difference("do_slot", "uplift_slot")),
            at_least=0.0,
            seeds=seeds,
        ),
        Statement(
            "increment-prefers-uplift",
            "Ranking by uplift adds more purchases per visit than ranking by purchases under "
            "display.",
            mean_over_seeds(difference("uplift_increment", "do_increment")),
            at_least=0.04,
            seeds=seeds,
        ),
        Statement(
            "revenue-prefers-uplift",
            "With prices, ranking by uplift earns more per visit than ranking by purchases under "
            "display.",
            mean_over_seeds(difference("uplift_revenue", "do_revenue")),
            at_least=0.3,
            seeds=seeds,
        ),
        Statement(
            "learned-increment-prefers-uplift",
            "A network of two arms, trained on eight visits a person, adds more when ranked by "
            "the difference of its arms than by the arm 'shown'.",
            mean_over_seeds(difference("learned_uplift_increment", "learned_do_increment")),
            at_least=0.0,
            seeds=seeds,
        ),
        Statement(
            "no-gap-while-popular-items-lose",
            "While o_pop + l_pop is negative (o_pop = 0.8) the two rankings are worth the same, "
            "to a hundredth of a purchase per visit.",
            mean_over_seeds(gap[0.8]),
            at_least=-0.01,
            at_most=0.01,
            seeds=seeds,
        ),
        Statement(
            "gap-when-popular-items-win",
            "With o_pop + l_pop well above zero (o_pop = 2) ranking by purchases under display "
            "forgoes most of what uplift adds.",
            mean_over_seeds(gap[2.0]),
            at_least=0.1,
            seeds=seeds,
        ),
    ]
