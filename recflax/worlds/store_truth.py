r"""The exact answers of the simulated store: the intent is enumerated, never simulated.

With intent :math:`z`, display :math:`t` and :math:`e` the chance that the logging policy shows
product j,

.. math::

    \mu_t(u,j,z) &= \sigma\big(o_0 + o_{pop}\,pop_j + b_t\,\theta_{u,cat_j} + b_n 1[cat_j = hot]
        + b_c 1[cat_j = cmp] - b_s\,sat_j + t\,lift_j + g_y z\big) \\
    P(Y_j = 1 \mid do(t), u) &= \textstyle\sum_z p(z)\,\mu_t(u,j,z)

"Exact" means: the average over the intent of the visit and the coin flips of purchase, for these
people with their true taste.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import expit

if TYPE_CHECKING:
    from recflax.worlds.store import StoreConfig


class PolicyValue(NamedTuple):
    """What a policy is worth a visit, exactly.

    Attributes:
        slot_rate: chance that the product in the slot is bought.
        increment: purchases that would not have happened without the slot.
        revenue: the same in money.
        purchases: all purchases, organic ones included.
    """

    slot_rate: float
    increment: float
    revenue: float
    purchases: float


class Mechanisms(NamedTuple):
    """What of a history moves purchases and displays.

    Attributes:
        last: (U,) category of the newest event.
        hot: (U,) category of the two newest events where they agree, else -1.
        complement: (U,) complement of the category of the newest purchase, else -1.
        satisfied: (U, M) bool, the product was bought already.
    """

    last: np.ndarray
    hot: np.ndarray
    complement: np.ndarray
    satisfied: np.ndarray


def mechanisms(
    history: np.ndarray, bought: np.ndarray, category: np.ndarray, n_categories: int
) -> Mechanisms:
    """Read the mechanisms off histories (U, L), oldest to newest, padded on the left.

    Example:
        >>> category = np.array([0, 1, 2])
        >>> seen = mechanisms(np.array([[0, 3, 1, 1]]), np.array([[0, 1, 0, 0]]) > 0, category, 3)
        >>> seen.last.tolist(), seen.hot.tolist(), seen.complement.tolist()
        ([0], [0], [0])
    """
    people, length = history.shape
    of_event = np.where(history > 0, category[np.maximum(history, 1) - 1], -1)
    last, before = of_event[:, -1], of_event[:, -2]
    newest = length - 1 - np.argmax(bought[:, ::-1], axis=1)  # the newest purchase, if any
    of_purchase = (of_event[np.arange(people), newest] + 1) % n_categories
    satisfied = np.zeros((people, len(category) + 1), dtype=bool)
    satisfied[np.arange(people)[:, None], np.where(bought, history, 0)] = True
    return Mechanisms(
        last=last,
        hot=np.where(last == before, last, -1),
        complement=np.where(bought.any(axis=1), of_purchase, -1),
        satisfied=satisfied[:, 1:],
    )


@dataclass(frozen=True, eq=False)
class Truth:
    """The exact functions of a store; `recflax.worlds.store.Store` says what the fields are."""

    config: "StoreConfig"
    seed: int
    category: np.ndarray
    popularity: np.ndarray
    lift: np.ndarray
    price: np.ndarray
    campaign: np.ndarray
    taste: np.ndarray
    history: np.ndarray
    bought: np.ndarray

    def mechanisms(self) -> Mechanisms:
        """What of each person's history moves purchases and displays."""
        return mechanisms(self.history, self.bought, self.category, self.config.n_categories)

    def intents(self) -> tuple[tuple[int, float], ...]:
        """The two intents and their chances: (0, 1 - pz) and (1, pz)."""
        return (0, 1 - self.config.pz), (1, self.config.pz)

    def log_odds(self, found: Mechanisms | None = None) -> np.ndarray:
        """Log odds (U, M) of an organic purchase at a visit without intent."""
        config = self.config
        found = self.mechanisms() if found is None else found
        return (
            config.o0
            + config.o_pop * self.popularity
            + config.b_t * self.taste[:, self.category]
            + config.b_n * (self.category == found.hot[:, None])
            + config.b_c * (self.category == found.complement[:, None])
            - config.b_s * found.satisfied
        )

    def mu(self, t: int, z: int) -> np.ndarray:
        """Chance (U, M) that a product is bought at a visit of intent z, if shown (t = 1) or not.

        Raises:
            ValueError: t or z is neither 0 nor 1.
        """
        for name, value in (("t", t), ("z", z)):
            if value not in (0, 1):
                raise ValueError(f"{name} must be 0 or 1; got {value}")
        return expit(self.log_odds() + t * self.lift + z * self.config.g_y)

    def display(self, z: int) -> np.ndarray:
        """Chance (U, M) that the logging policy shows a product at a visit of intent z.

        This is the policy itself, without the randomised share of visits.
        """
        config, found = self.config, self.mechanisms()
        score = config.sharp * (
            config.a_p * self.popularity
            + config.a_h * (self.category == found.last[:, None])
            + config.a_n * (self.category == found.hot[:, None])
            + config.g_e * z * self.campaign
        )
        kept = self.retrieved()
        score = np.where(kept, score, -np.inf)
        chance = np.exp(score - score.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        return (1 - config.eps) * chance + config.eps * kept / kept.sum()

    def retrieved(self) -> np.ndarray:
        """Which products (M,) can be shown at all: all, or the more popular half."""
        if not self.config.no_overlap:
            return np.ones(len(self.popularity), dtype=bool)
        order = np.argsort(-self.popularity, kind="stable")
        kept = np.zeros(len(order), dtype=bool)
        kept[order[: (len(order) + 1) // 2]] = True
        return kept

    def exposure(self, z: int) -> np.ndarray:
        """Chance (U, M) of display in the log, randomised visits of the config included."""
        rand = self.config.rand
        return (1 - rand) * self.display(z) + rand / self.config.n_items

    def logging_policy(self) -> np.ndarray:
        """Chance (U, M) of display in the log, averaged over the intent."""
        return sum_over(self, self.exposure)

    def do(self, t: int) -> np.ndarray:
        """P(Y = 1 | do(t), u), (U, M): bought if it is shown (t = 1), or if it is not (t = 0)."""
        return sum_over(self, lambda z: self.mu(t, z))

    def uplift(self) -> np.ndarray:
        """do(1) - do(0), (U, M): what showing a product adds. Always positive."""
        return self.do(1) - self.do(0)

    def see(self) -> np.ndarray:
        """P(Y = 1 | u), (U, M), in the log: bought at the visit, shown or not.

        No model of the log can predict held-out purchases better.
        """
        return sum_over(
            self,
            lambda z: self.exposure(z) * self.mu(1, z) + (1 - self.exposure(z)) * self.mu(0, z),
        )

    def see_exposed(self) -> np.ndarray:
        """P(Y = 1 | shown, u), (U, M), in the log: bought among the visits that showed it.

        NaN for a product that is never shown.
        """
        bought = sum_over(self, lambda z: self.exposure(z) * self.mu(1, z))
        shown = self.logging_policy()
        return np.divide(bought, shown, out=np.full_like(bought, np.nan), where=shown > 0)

    def policy_value(self, policy: np.ndarray) -> PolicyValue:
        """What a policy is worth a visit, exactly.

        Args:
            policy: (U, M), the chance with which each person is shown each product.

        Raises:
            ValueError: a wrong shape, a chance below 0, or a row that does not sum to 1.
        """
        policy = np.asarray(policy, dtype=float)
        if policy.shape != self.taste.shape[:1] + self.category.shape:
            raise ValueError(
                f"policy must have shape {self.taste.shape[:1] + self.category.shape}; "
                f"got {policy.shape}"
            )
        wrong = np.flatnonzero(
            ~(policy.min(axis=1) >= 0) | ~(np.abs(policy.sum(axis=1) - 1) < 1e-6)
        )
        if len(wrong):
            row = policy[wrong[0]]
            raise ValueError(
                "policy must have rows of chances that sum to 1; "
                f"row {wrong[0]} sums to {row.sum()}, its smallest entry is {row.min()}"
            )
        shown, organic = self.do(1), self.do(0)
        gained = policy * (shown - organic)
        increment = float(gained.sum(axis=1).mean())
        return PolicyValue(
            slot_rate=float((policy * shown).sum(axis=1).mean()),
            increment=increment,
            revenue=float((gained * self.price).sum(axis=1).mean()),
            purchases=float(organic.sum(axis=1).mean()) + increment,
        )

    def greedy(self, scores: np.ndarray) -> np.ndarray:
        """The policy (U, M) that always shows the best score; the lowest id among equals.

        Raises:
            ValueError: a wrong shape, or a score that is NaN.
        """
        scores = np.asarray(scores)
        if scores.shape != self.taste.shape[:1] + self.category.shape:
            raise ValueError(
                f"scores must have shape {self.taste.shape[:1] + self.category.shape}; "
                f"got {scores.shape}"
            )
        if np.isnan(scores).any():
            raise ValueError(
                f"scores must not be NaN; row {np.argwhere(np.isnan(scores))[0][0]} is"
            )
        policy = np.zeros(scores.shape)
        policy[np.arange(len(scores)), scores.argmax(axis=1)] = 1.0
        return policy

    def history_effect(self) -> np.ndarray:
        """What each event of a history does to do(1), (U, L, M): without it minus with it.

        The event is removed, older ones move up a place, and the taste is held. Column l is the
        event in column l of ``history``; at padding the effect is 0.
        """
        people, length = self.history.shape
        effect = np.zeros((people, length, len(self.category)))
        with_event = self.do(1)
        for place in range(length):
            history, bought = (np.delete(a, place, axis=1) for a in (self.history, self.bought))
            found = mechanisms(history, bought, self.category, self.config.n_categories)
            odds = self.log_odds(found) + self.lift
            without = sum_over(self, lambda z, odds=odds: expit(odds + z * self.config.g_y))
            real = self.history[:, place] > 0
            effect[real, place] = (without - with_event)[real]
        return effect


def sum_over(truth: Truth, function: Any) -> np.ndarray:
    """The average of a function of the intent over the intent, :math:`\\sum_z p(z) f(z)`."""
    (none, p_none), (some, p_some) = truth.intents()
    return p_none * function(none) + p_some * function(some)
