r"""Personalisation: who gains from it, and what there is for somebody who is new.

Two networks of one shape learn from one log: what was bought at the visit (the *log*), and what
showing adds, from both arms with clipped weights (the *causal* one). Each then fills everybody's
slot, and what that adds is exact, person by person. So a mean over everybody can be taken apart:
by how long a history is, by how unusual a taste is, by whether the history tells of a need that is
hot now.

New people have no history. A network still answers, with the same scores for all of them; and more
than one product for everybody is not to be had without knowing anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import jax
import numpy as np

from recflax.estimates import Estimate
from recflax.fairness import ByGroup, by_group
from recflax.intervals import mean_over_seeds
from recflax.lessons.cells import count, fit_cells, log_cells, probabilities
from recflax.lessons.statements import Statement, column, paired_columns, sayer
from recflax.lessons.trainings import clipped_cells
from recflax.recommender import Recommender
from recflax.worlds.history_oracle import given_history
from recflax.worlds.store import Store, StoreConfig, build_store

POLICIES = {
    "random": "uniform random",
    "log": "attention, trained on the log",
    "one": "the causal network's one product for all",
    "causal": "attention with a causal objective",
    "history": "oracle that knows the history",
    "taste": "oracle that knows the taste",
}
"""Who fills the slot: key and label."""

GROUPINGS = {
    "length": ("5 to 8 events", "9 to 12 events", "13 to 16 events"),
    "taste": ("ordinary taste", "in between", "unusual taste"),
    "need": ("no hot category", "a hot category"),
}
"""What people are grouped by, and the groups from the lowest on."""

NEW = {
    "random": "uniform random",
    "log": "attention, trained on the log",
    "causal": "attention with a causal objective",
    "average": "its best product for those it knows",
    "best": "the best product for all of them",
    "taste": "oracle that knows the taste",
}
"""What fills the slot of new people: key and label."""


def groups(store: Store, grouping: str) -> np.ndarray:
    """(U,) the group of each person, 0 the first of `GROUPINGS`.

    ``"length"`` and ``"need"`` are seen in the history. ``"taste"`` is not: tastes are scattered
    around zero, and the thirds are by the distance from it.

    Raises:
        ValueError: an unknown grouping.
    """
    if grouping not in GROUPINGS:
        raise ValueError(f"grouping must be one of {tuple(GROUPINGS)}; got {grouping!r}")
    if grouping == "length":
        return np.digitize((store.history > 0).sum(axis=1), [9, 13])
    if grouping == "need":
        return (store.mechanisms().hot >= 0).astype(int)
    distance = np.linalg.norm(store.taste, axis=1)
    return np.digitize(distance, np.quantile(distance, [1 / 3, 2 / 3]))


def of_each(store: Store, policy: np.ndarray) -> np.ndarray:
    """(U,) purchases that a policy (U, M) adds at a visit of each person, exactly."""
    return (policy * store.uplift()).sum(axis=1)


def gained(store: Store, policy: np.ndarray, grouping: str) -> ByGroup:
    """What a policy (U, M) adds per visit, in each group of `GROUPINGS`."""
    return by_group(of_each(store, policy), groups(store, grouping))


def newcomers(store: Store) -> Store:
    """The same people before their first event: their tastes, and empty histories."""
    return replace(store, history=np.zeros_like(store.history), bought=np.zeros_like(store.bought))


def networks(store: Store, key: jax.Array) -> dict[str, Recommender]:
    """The two networks, each fitted on the store's own log."""
    log, keys = store.log(), jax.random.split(key)
    return {
        "log": fit_cells(store, log_cells(count(log)), key=keys[0]),
        "causal": fit_cells(store, clipped_cells(log), key=keys[1]),
    }


def ranked_by(network: Recommender, store: Store) -> np.ndarray:
    """(U, M) what a network ranks by: its only arm, or the difference of the two."""
    shown = probabilities(network, store, "shown")
    if len(network.config.arms) == 1:
        return shown
    return shown - probabilities(network, store, "not_shown")


def uniform(store: Store) -> np.ndarray:
    """(U, M) the policy that draws every product alike."""
    return np.full((store.config.n_people, store.config.n_items), 1 / store.config.n_items)


def for_all(store: Store, scores: np.ndarray) -> np.ndarray:
    """(U, M) the policy that shows everybody the product with the best mean score (U', M)."""
    best = np.eye(store.config.n_items)[scores.mean(axis=0).argmax()]
    return np.broadcast_to(best, (store.config.n_people, store.config.n_items))


def policies(store: Store, fitted: Mapping[str, Recommender], seed: int) -> dict[str, np.ndarray]:
    """The policies (U, M) of `POLICIES`.

    Args:
        store: the store.
        fitted: the networks of `networks`.
        seed: of the draws behind the oracle that knows the history.
    """
    scores = {name: ranked_by(network, store) for name, network in fitted.items()}
    scores |= {"history": given_history(store, "uplift", seed=seed).value, "taste": store.uplift()}
    found = {name: store.greedy(score) for name, score in scores.items()}
    return found | {"random": uniform(store), "one": for_all(store, scores["causal"])}


def new_policies(
    store: Store, fitted: Mapping[str, Recommender]
) -> tuple[Store, dict[str, np.ndarray]]:
    """The people as newcomers, and the policies (U, M) of `NEW` for them."""
    new = newcomers(store)
    found = {name: new.greedy(ranked_by(network, new)) for name, network in fitted.items()}
    found["random"] = uniform(new)
    found["average"] = for_all(new, ranked_by(fitted["causal"], store))
    found["best"] = for_all(new, new.uplift())
    found["taste"] = new.greedy(new.uplift())
    return new, found


def run(seed: int, size: int = 8_000) -> dict[str, float]:
    """One row: what every policy adds for whom, on one store.

    Args:
        seed: the store's seed, and that of the networks.
        size: number of people.

    Returns:
        ``seed``, ``people``; ``policy`` for each of `POLICIES` and ``policy_grouping_g`` for group
        g of each of `GROUPINGS`, in purchases added per visit; and ``new_name`` for each of `NEW`.
    """
    store = build_store(StoreConfig(n_people=size), seed)
    fitted = networks(store, jax.random.key(seed))
    row: dict[str, float] = {"seed": seed, "people": size}
    for name, policy in policies(store, fitted, seed).items():
        row[name] = float(of_each(store, policy).mean())
        for grouping in GROUPINGS:
            means = gained(store, policy, grouping).mean
            row |= {f"{name}_{grouping}_{g}": float(mean) for g, mean in enumerate(means)}
    new, for_new = new_policies(store, fitted)
    return row | {f"new_{name}": float(of_each(new, p).mean()) for name, p in for_new.items()}


def apart(rows: Sequence[Mapping[str, float]], policy: str, grouping: str) -> Estimate:
    """What a policy adds in the last group of a grouping more than in the first."""
    last = len(GROUPINGS[grouping]) - 1
    return paired_columns(rows, f"{policy}_{grouping}_{last}", f"{policy}_{grouping}_0")


def least_gain(rows: Sequence[Mapping[str, float]], one: str, other: str) -> np.ndarray:
    """(n,) of each row: the gain of one policy over another in the group where it is least."""
    names = [f"{by}_{g}" for by, names in GROUPINGS.items() for g in range(len(names))]
    gains = [column(rows, f"{one}_{name}") - column(rows, f"{other}_{name}") for name in names]
    return np.min(gains, axis=0)


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """

    say = sayer("gains", rows)

    return [
        say(
            "everybody",
            "Of eight groups of people (by history, by taste, by need) there is none that the "
            "causal objective does not serve better than training on the log: purchases added per "
            "visit in the group that gains least.",
            mean_over_seeds(least_gain(rows, "causal", "log")),
            at_least=0.03,
        ),
        say(
            "personal",
            "The causal network adds more than its own best product shown to everybody: purchases "
            "per visit.",
            paired_columns(rows, "causal", "one"),
            at_least=0.01,
        ),
        say(
            "length-hardly-matters",
            "What the causal network adds hardly depends on how long a history is: from the "
            "shortest third to the longest, purchases per visit.",
            apart(rows, "causal", "length"),
            at_least=-0.015,
            at_most=0.02,
        ),
        say(
            "length-hardly-matters-to-the-oracle",
            "Nor is there much to gain: the oracle that knows the history adds for long ones what "
            "it adds for short ones, nearly.",
            apart(rows, "history", "length"),
            at_least=-0.01,
            at_most=0.02,
        ),
        say(
            "unusual-taste-gains-more",
            "People of unusual taste gain more from the causal network than people of ordinary "
            "taste: purchases per visit.",
            apart(rows, "causal", "taste"),
            at_least=0.01,
        ),
        say(
            "need-gains-more",
            "People whose newest events agree on a need gain more from the causal network than the "
            "others: purchases per visit.",
            apart(rows, "causal", "need"),
            at_least=0.03,
        ),
        say(
            "personal-with-a-need",
            "For people whose newest events agree on a need the causal network adds more than its "
            "own best product shown to all: purchases per visit.",
            paired_columns(rows, "causal_need_1", "one_need_1"),
            at_least=0.02,
        ),
        say(
            "not-personal-without",
            "For the others it adds little beyond that one product: purchases per visit.",
            paired_columns(rows, "causal_need_0", "one_need_0"),
            at_least=-0.03,
            at_most=0.03,
        ),
        say(
            "room-without-a-need",
            "There would be something to know about them: what the oracle that knows the history "
            "adds for them beyond the causal network.",
            paired_columns(rows, "history_need_0", "causal_need_0"),
            at_least=0.02,
        ),
        say(
            "new-above-random",
            "New people, of whom nothing is known, gain more from the causal network than from a "
            "random draw: purchases per visit.",
            paired_columns(rows, "new_causal", "new_random"),
            at_least=0.005,
        ),
        say(
            "new-ask-about-those-you-know",
            "For new people the product that the causal network finds best on average for those "
            "it knows adds more than what it makes of an empty history, which it has never seen: "
            "purchases per visit.",
            paired_columns(rows, "new_average", "new_causal"),
            at_least=0.002,
        ),
        say(
            "new-near-the-best",
            "What the causal network shows new people falls short of the best product for all of "
            "them: purchases per visit.",
            paired_columns(rows, "new_best", "new_causal"),
            at_most=0.08,
        ),
    ]
