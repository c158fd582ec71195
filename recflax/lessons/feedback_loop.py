r"""The feedback loop: a network that learns from the log of what it showed itself.

In round 0 a network is trained on the shop's log. It fills the slot for a while, with a little
exploration; from what was bought then the next one is trained, and so on, ten times. What is shown
decides what is seen, and what is seen decides what is shown.

The policy of a round looks at histories and not at the intent of a visit, and its propensities are
known. So its log has no confounding: given the person, purchases under display are those of
do(show), exactly. What it lacks is not truth but rows: a product that is shown to nobody has none.

Histories are frozen in the store, so what is bought in the slot never becomes part of a history:
the loop goes through the training rows alone. A real shop has the other loop on top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import jax
import numpy as np
from scipy.special import logit, softmax

from recflax.causal.propensity import effective_sample_size
from recflax.fairness import gini, item_exposure
from recflax.intervals import mean_over_seeds
from recflax.lessons.cells import (
    count,
    exposed_cells,
    fit_cells,
    inverse_propensity_cells,
    log_cells,
    network_config,
    probabilities,
)
from recflax.lessons.fair_exposure import item_groups
from recflax.lessons.statements import Statement, column, paired_columns, sayer
from recflax.lessons.trainings import CLIP
from recflax.metrics import coverage, exposure
from recflax.worlds.store import Store, StoreConfig, build_store
from recflax.worlds.store_log import StoreLog, draw_log

ROUNDS, VISITS = 10, 8
"""Retrainings on the own log, and visits of each person between two of them."""

LATE = range(ROUNDS // 2 + 1, ROUNDS + 1)
"""The rounds over which a loop is summed up."""

STREAM = 8
"""Tells the loop's random numbers from the store's own streams."""


class Loop(NamedTuple):
    """How a shop runs its loop.

    Attributes:
        training: ``"bought"``, purchases of the visit; ``"plain"``, exposed rows; ``"weighted"``,
            exposed rows, each by the inverse of its propensity, at most `CLIP`.
        explore: share of the slot that is filled uniformly at random.
        keeps: whether a round trains on the logs of all rounds, or on the newest alone.
        label: for the reader.
        sharp: the rest of the slot goes to the product with the best chance of a purchase, or, if
            this is a number, to each with a chance in proportion to the odds to that power.
    """

    training: str
    explore: float
    keeps: bool
    label: str
    sharp: float | None = None


LOOPS = {
    "bought": Loop("bought", 0.05, False, "what was bought"),
    "plain": Loop("plain", 0.05, False, "exposed rows"),
    "weighted": Loop("weighted", 0.05, False, "exposed rows, weighted"),
    "plain_more": Loop("plain", 0.2, False, "exposed rows, more exploration"),
    "plain_soft": Loop("plain", 0.05, False, "exposed rows, soft choices", 2.0),
    "plain_keeps": Loop("plain", 0.05, True, "exposed rows of all rounds"),
    "weighted_keeps": Loop("weighted", 0.05, True, "exposed rows of all rounds, weighted"),
}
"""The loops of the lesson."""

Cells = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class OwnStore(Store):
    """A store whose slot is filled by a policy that looks at people and not at intents.

    Attributes:
        policy: (U, M) chances of display; every row sums to 1.
    """

    policy: np.ndarray

    def display(self, z: int) -> np.ndarray:
        """The policy, whatever the intent z."""
        return self.policy


def run_by(store: Store, policy: np.ndarray) -> OwnStore:
    """The same people and products with another policy in the slot; every truth follows it.

    Example:
        >>> store = build_store(StoreConfig(n_people=7, n_items=11, n_categories=3), seed=5)
        >>> own = run_by(store, np.full((7, 11), 1 / 11))
        >>> bool(np.allclose(own.see_exposed(), store.do(1), rtol=1e-12))
        True
    """
    return OwnStore(**{f.name: getattr(store, f.name) for f in fields(store)}, policy=policy)


def own_log(store: Store, policy: np.ndarray, seed: int, number: int) -> StoreLog:
    """What is logged in round ``number`` while a policy (U, M) fills the slot."""
    rng = np.random.default_rng([seed, STREAM, number])
    return draw_log(run_by(store, policy), rng, VISITS, 0.0, 0)


def cells_of(log: StoreLog, training: str) -> Cells:
    """Targets and weights (U, 1, M) of a log, for one of the trainings of `Loop`."""
    if training == "bought":
        return log_cells(count(log))
    weighted = training == "weighted"
    cells = inverse_propensity_cells(log, CLIP) if weighted else exposed_cells(count(log))
    target, weight = (part[:, :1] for part in cells)  # the arm "shown"
    return target, weight


def pooled(one: Cells, other: Cells) -> Cells:
    """Two sets of cells as one: weights add up, targets are their weighted means."""
    weight = one[1] + other[1]
    total = one[0] * one[1] + other[0] * other[1]
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0), weight


def filled(store: Store, chance: np.ndarray, loop: Loop) -> np.ndarray:
    """(U, M) the policy of a loop, by predicted chances of a purchase under display."""
    if loop.sharp is None:
        chosen = store.greedy(chance)
    else:
        chosen = softmax(loop.sharp * logit(chance), axis=1)
    return (1 - loop.explore) * chosen + loop.explore / store.config.n_items


def measure(
    store: Store, scores: np.ndarray, policy: np.ndarray, before: np.ndarray | None
) -> dict[str, float]:
    """How concentrated the first choices by scores (U, M) are, and what the policy earns.

    Args:
        store: the store.
        scores: (U, M) of this round.
        policy: (U, M) what is shown by them, exploration included.
        before: (U, M) scores of the round before, or None.

    Returns:
        Of first choices, exploration left out: ``effective``, how many products in equal shares
        would be as concentrated; ``gini``; ``covered``, how many are anybody's; ``popular``, the
        share of the popular half; ``campaign``; ``stays``, the share of people whose first choice
        is that of the round before (1 where there is none). Of the policy: ``shown``, the
        effective number of products in the slot, and ``increment``.
    """
    first = exposure(scores, 1)
    stays = 1.0 if before is None else np.mean(scores.argmax(axis=1) == before.argmax(axis=1))
    return {
        "effective": effective_sample_size(first),
        "gini": gini(first),
        "covered": coverage(scores, 1) * store.config.n_items,
        "popular": float(first @ item_groups(store, "popular")),
        "campaign": float(first[store.campaign].sum()),
        "stays": float(stays),
        "shown": effective_sample_size(item_exposure(policy)),
        "increment": store.policy_value(policy).increment,
    }


def run_loop(store: Store, loop: Loop, seed: int, rounds: int = ROUNDS) -> list[dict[str, float]]:
    """The loop of one shop: what `measure` says of each round, from 0 on.

    Args:
        store: the store; its own log is what round 0 learns from.
        loop: how the shop runs its loop.
        seed: of the networks and of the logs; loops of one seed share their random numbers.
        rounds: retrainings on the own log.
    """
    config = network_config(store, query="person")  # one vector a person: many fits
    key = jax.random.key(seed)
    cells = cells_of(store.log(VISITS), loop.training)
    before, found = None, []
    for number in range(rounds + 1):
        network = fit_cells(store, cells, key=jax.random.fold_in(key, number), config=config)
        scores = probabilities(network, store)
        policy = filled(store, scores, loop)
        found.append(measure(store, scores, policy, before))
        if number < rounds:
            new = cells_of(own_log(store, policy, seed, number), loop.training)
            cells = pooled(cells, new) if loop.keeps else new
        before = scores
    return found


def run(seed: int, size: int = 2_000) -> dict[str, float]:
    """One row: every loop of `LOOPS` in one store.

    Args:
        seed: the store's seed, and that of the networks and logs.
        size: number of people.

    Returns:
        ``seed``, ``people``; ``loop_shown_r`` and ``loop_increment_r`` of round r from 0 to
        `ROUNDS`; ``loop_what`` for each of `measure`, its mean over the rounds `LATE`;
        ``logging_effective``; ``oracle_effective`` and ``oracle_increment`` of the policy that
        shows what is bought most when shown; and ``random_increment``.
    """
    store = build_store(StoreConfig(n_people=size), seed)
    best, logging = store.greedy(store.do(1)), store.logging_policy()
    row: dict[str, float] = {
        "seed": seed,
        "people": size,
        "logging_effective": effective_sample_size(logging.mean(axis=0)),
        "oracle_effective": effective_sample_size(best.mean(axis=0)),
        "oracle_increment": store.policy_value(best).increment,
        "random_increment": float(store.uplift().mean()),
    }
    for name, loop in LOOPS.items():
        found = run_loop(store, loop, seed)
        for what in ("shown", "increment"):
            row |= {f"{name}_{what}_{r}": each[what] for r, each in enumerate(found)}
        for what in found[0]:
            row[f"{name}_{what}"] = float(np.mean([found[r][what] for r in LATE]))
    return row


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """

    say = sayer("loop", rows)

    return [
        say(
            "concentrates",
            "A network that learns from the exposed rows of its own newest log ends with first "
            "choices as concentrated as so many products in equal shares.",
            mean_over_seeds(column(rows, "plain_effective")),
            at_most=2.5,
        ),
        say(
            "below-the-oracle",
            "It is not the people who are alike: the policy that knows what sells when shown uses "
            "more products than the late rounds of that loop, by",
            paired_columns(rows, "oracle_effective", "plain_effective"),
            at_least=3.0,
        ),
        say(
            "bought-shows-the-popular",
            "A network that learns from whatever was bought shows the popular half to nearly "
            "everybody in every late round: its share of first choices.",
            mean_over_seeds(column(rows, "bought_popular")),
            at_least=0.9,
        ),
        say(
            "bought-earns-less",
            "In its loop it adds less than the network that learns from exposed rows does in its "
            "own: purchases per visit.",
            paired_columns(rows, "bought_increment", "plain_increment"),
            at_most=-0.01,
        ),
        say(
            "weights-spread-a-little",
            "Propensity weights leave the first choices a little less concentrated: products in "
            "equal shares, with weights less without.",
            paired_columns(rows, "weighted_effective", "plain_effective"),
            at_least=0.2,
        ),
        say(
            "weights-are-not-the-cure",
            "Weights do not bring back what the oracle shows: products in equal shares, oracle "
            "less weighted loop.",
            paired_columns(rows, "oracle_effective", "weighted_effective"),
            at_least=2.0,
        ),
        say(
            "weights-change-their-mind",
            "With weights fewer people keep their first choice from one round to the next.",
            paired_columns(rows, "weighted_stays", "plain_stays"),
            at_most=-0.1,
        ),
        say(
            "more-exploration-alone-is-no-cure",
            "Four times the exploration leaves the first choices of the unweighted loop as "
            "concentrated: products in equal shares, with more less with little.",
            paired_columns(rows, "plain_more_effective", "plain_effective"),
            at_least=-1.0,
            at_most=1.0,
        ),
        say(
            "keeping-pays",
            "A weighted loop that keeps the logs of all rounds adds more than one that forgets: "
            "purchases per visit.",
            paired_columns(rows, "weighted_keeps_increment", "weighted_increment"),
            at_least=0.01,
        ),
        say(
            "keeping-pays-without-weights",
            "Keeping the logs pays the unweighted loop, too: purchases per visit.",
            paired_columns(rows, "plain_keeps_increment", "plain_increment"),
            at_least=0.002,
        ),
        say(
            "soft-choices-spread",
            "Where chances decide instead of the best chance alone, the slot shows more products "
            "in equal shares, round after round: soft choices less sharp ones.",
            paired_columns(rows, "plain_soft_shown", "plain_shown"),
            at_least=20.0,
        ),
        say(
            "soft-choices-cost",
            "The spread is paid for: what soft choices add falls short of the loop that keeps its "
            "logs, in purchases per visit.",
            paired_columns(rows, "plain_soft_increment", "plain_keeps_increment"),
            at_most=-0.01,
        ),
    ]
