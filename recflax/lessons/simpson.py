"""A search for Simpson's paradox in what the store logs.

Every pair of a yes-or-no fact about the product in the slot and a way to divide the visits is
tried: does the difference in purchases between yes and no have one sign over all visits, and the
other sign in *every* part? Only facts that a log shows are used; the rates are exact (over intent,
slot and purchase), so a reversal cannot be an accident of sampling.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from recflax.lessons.statements import Statement, column
from recflax.worlds.store import Store, StoreConfig, build_store
from recflax.worlds.store_truth import sum_over


def facts(store: Store) -> dict[str, np.ndarray]:
    """Yes-or-no facts (U, M) about a product in a person's slot."""
    found = store.mechanisms()
    people, items = found.satisfied.shape
    seen = np.zeros((people, items + 1), dtype=bool)
    seen[np.arange(people)[:, None], store.history] = True

    def everywhere(of_item: np.ndarray) -> np.ndarray:
        return np.broadcast_to(of_item, (people, items))

    return {
        "popular": everywhere(store.popularity > np.median(store.popularity)),
        "dear": everywhere(store.price > np.median(store.price)),
        "of the last category": store.category == found.last[:, None],
        "in the history": seen[:, 1:],
        "bought before": found.satisfied,
    }


def strata(store: Store) -> dict[str, np.ndarray]:
    """Ways to divide the cells (U, M), as whole numbers from 0."""
    found = store.mechanisms()
    shape = found.satisfied.shape

    def by_person(of_person: np.ndarray) -> np.ndarray:
        return np.broadcast_to(of_person[:, None].astype(int), shape)

    third = np.quantile(store.popularity, [1 / 3, 2 / 3])
    hot, buyer = found.hot >= 0, store.bought[:, -1]
    return {
        "hot category or none": by_person(hot),
        "last category": by_person(found.last),
        "buyer or viewer": by_person(buyer),
        "hot x buyer": by_person(2 * hot + buyer),
        "length of history": by_person((store.history > 0).sum(axis=1) // 4),
        "popularity, in thirds": np.broadcast_to(np.digitize(store.popularity, third), shape),
    }


def search(store: Store) -> dict[tuple[str, str], tuple[float, np.ndarray]]:
    """For each fact and division: the difference over all visits, and in each part.

    The difference is P(bought | in the slot, fact) - P(bought | in the slot, not fact). Parts in
    which one of the two was never in the slot have none and are left out.
    """
    weight = store.logging_policy()
    bought = sum_over(store, lambda z: store.exposure(z) * store.mu(1, z))
    found = {}
    for fact, yes in facts(store).items():
        for division, part in strata(store).items():
            index = 2 * part + yes  # (U, M)
            sums = [
                np.bincount(index.ravel(), weights=w.ravel(), minlength=2 * part.max() + 2)
                for w in (weight, bought)
            ]
            shown, sold = (s.reshape(-1, 2) for s in sums)  # (parts, no or yes)
            overall = sold.sum(axis=0) / shown.sum(axis=0)
            both = (shown > 0).all(axis=1)
            rate = sold[both] / shown[both]
            found[fact, division] = float(overall[1] - overall[0]), rate[:, 1] - rate[:, 0]
    return found


def reverses(overall: float, within: np.ndarray) -> bool:
    """Whether every part has the sign opposite to the whole.

    >>> reverses(-0.2, np.array([0.05, 0.05, 0.05])), reverses(-0.2, np.array([0.05, -0.1]))
    (True, False)
    """
    return len(within) > 1 and bool((np.sign(within) == -np.sign(overall)).all())


def run(seed: int, size: int = 8_000) -> dict[str, float]:
    """One row: how many pairs were tried, how many reverse, and the parts that disagree."""
    found = search(build_store(StoreConfig(n_people=size), seed))
    opposite = [
        float((np.sign(within) == -np.sign(whole)).mean()) for whole, within in found.values()
    ]
    return {
        "seed": seed,
        "people": size,
        "tried": len(found),
        "reversals": sum(reverses(whole, within) for whole, within in found.values()),
        "largest_opposite_share": max(opposite),
    }


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say: no pair of the search reverses its sign in any store."""
    return [
        Statement(
            "no-simpson-in-the-store",
            f"Of {int(rows[0]['tried'])} pairs of a fact and a division of the logged visits, "
            "none reverses its sign in every part, in any of the stores: reversals found.",
            float(column(rows, "reversals").max()),
            at_most=0,
            seeds=len(rows),
            exact=True,
        )
    ]
