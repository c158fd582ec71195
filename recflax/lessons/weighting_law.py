r"""The exact law of estimates from a log of the store: bias and standard error are sums.

With weights w and predictions :math:`\hat q` a row's term is :math:`\hat v + w\,(Y - \hat q)`,
and its mean for a person is a sum over intents and products,

.. math::

    E[\text{term} \mid u] = \hat v_u + \sum_z p(z) \sum_j e(j \mid u, z)\, w\, (\mu_1 - \hat q)

as is its variance. So both are exact numbers, for these people.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recflax.causal.logged import Logged
from recflax.estimates import Estimate
from recflax.worlds.store import Store, StoreConfig, build_store

VISITS = 8


@dataclass(frozen=True, eq=False)
class Case:
    """One store, one log of it, the policy in question, and the law of all three.

    Attributes:
        store: the store.
        log: eight visits of each person, with the propensities that were logged.
        policy: (U, M) what is evaluated.
        truth: its exact slot rate.
        intent: (2,) chances of a visit without and with intent.
        shown: (2, U, M) chance that the slot shows a product, by intent.
        bought: (2, U, M) chance that it is bought then.
    """

    store: Store
    log: Logged
    policy: np.ndarray
    truth: float
    intent: np.ndarray
    shown: np.ndarray
    bought: np.ndarray

    @property
    def weight(self) -> np.ndarray:
        """(2, U, M) weight of a row that shows a product, by intent; 0 where none can."""
        shown = self.shown
        return np.divide(self.policy, shown, out=np.zeros_like(shown), where=shown > 0)


def draw_case(seed: int, size: int, **changed: Any) -> Case:
    """Build a store of ``size`` people, draw its log of eight visits, choose the policy.

    Args:
        seed: the store's seed.
        size: number of people.
        **changed: parameters of `StoreConfig` that differ from the defaults.
    """
    store = build_store(StoreConfig(n_people=size, **changed), seed)
    drawn = store.log(VISITS)
    log = Logged(drawn.person, drawn.shown - 1, drawn.bought_shown, drawn.propensity)
    policy = store.uplift() ** 3
    policy /= policy.sum(axis=1, keepdims=True)
    return Case(
        store,
        log,
        policy,
        truth=store.policy_value(policy).slot_rate,
        intent=np.array([chance for _, chance in store.intents()]),
        shown=np.stack([store.exposure(z) for z in (0, 1)]),
        bought=np.stack([store.mu(1, z) for z in (0, 1)]),
    )


def exact(
    case: Case, weight: np.ndarray, predicted: np.ndarray | float = 0.0
) -> tuple[float, float]:
    """Bias and standard error of an estimate, for these people, over every log they could give.

    Args:
        case: the store, the policy and the truth.
        weight: (2, U, M) by intent, or (U, M), as the estimate has it.
        predicted: (U, M) predicted rewards, as the estimate has them.
    """
    direct = (case.policy * predicted).sum(axis=1, keepdims=True)  # (U, 1)
    without = direct - weight * predicted  # the term of a row that did not sell
    mean = case.intent @ (case.shown * (without + weight * case.bought)).sum(axis=-1)  # (U,)
    apart = without - mean[:, None]
    squared = (1 - case.bought) * apart**2 + case.bought * (apart + weight) ** 2
    variance = case.intent @ (case.shown * squared).sum(axis=-1)
    error = np.sqrt(variance.sum() / VISITS) / len(mean)
    return float(mean.mean()) - case.truth, float(error)


def judged(case: Case, estimate: Estimate, law: tuple[float, float] | None) -> dict[str, float]:
    """An estimate beside the truth and beside its exact law, where there is one.

    Returns:
        ``error`` (estimate minus truth), ``reported`` (the standard error that it states), ``hit``
        (1 if its interval holds the truth), and of the law ``bias`` and ``exact`` standard error.
    """
    found = {
        "error": estimate.value - case.truth,
        "reported": estimate.std_error,
        "hit": float(estimate.lower <= case.truth <= estimate.upper),
    }
    return found if law is None else found | {"bias": law[0], "exact": law[1]}
