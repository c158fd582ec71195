r"""The exact answers of the news page: news day and glance are enumerated, never simulated.

Two binaries are hidden. z says whether the visit is on a news day, and a second one whether the
reader's eye reached the slot, which it does with chance :math:`\theta_k` at place k, whatever
stands there. With :math:`\mu_t` and :math:`e` as in `recflax.worlds.news`,

.. math::

    y_k(u,j,z) &= \theta_k\, \mu_1(u,j,z) + (1 - \theta_k)\, \mu_0(u,j,z) \\
    P(Y_j = 1 \mid do(j \text{ at } k), u) &= \textstyle\sum_z p(z)\, y_k(u,j,z) \\
    P(Y_j = 1 \mid j \text{ shown at } k, u) &=
        \frac{\sum_z p(z)\, e(j,k \mid z)\, y_k(u,j,z)}{\sum_z p(z)\, e(j,k \mid z)}

All are of one day: an article that is not alive on it has NaN, and no chance of being shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, softmax

from recflax.worlds.store_truth import Mechanisms, mechanisms

if TYPE_CHECKING:
    from recflax.worlds.news import NewsConfig

PLACES = ("top", "below")


class NewsValue(NamedTuple):
    """What a policy is worth a visit, exactly.

    Attributes:
        slot_rate: chance that the article in the slot is read.
        increment: reads that would not have happened without the slot.
        reads: all reads, organic ones included.
    """

    slot_rate: float
    increment: float
    reads: float


@dataclass(frozen=True, eq=False)
class NewsTruth:
    """What a news page is, and the exact functions of it.

    Attributes:
        config: the equations.
        seed: what everything was drawn from.
        topic: (M,) 0 to C - 1 of each article.
        birth: (M,) its first day; the log starts on day 0.
        life: (M,) how many days it can be shown.
        appeal: (M,) standard normal; never logged, but the style of the text tells its third.
        editors: (C,) how much the page prefers each topic; never logged.
        interest: (C,) how much all people like each topic; never logged.
        taste: (T, U, C) of each day from 0 on, never logged; every row has mean 0.
        history: (U, L) article ids 1 to M, oldest to newest, 0 as padding on the left.
        items: the articles as a catalogue, with their texts.
    """

    config: NewsConfig
    seed: int
    topic: np.ndarray
    birth: np.ndarray
    life: np.ndarray
    appeal: np.ndarray
    editors: np.ndarray
    interest: np.ndarray
    taste: np.ndarray
    history: np.ndarray
    items: pd.DataFrame

    @cached_property
    def _found(self) -> Mechanisms:
        """What of each history moves reads and displays: the newest topic, and what was read."""
        return mechanisms(self.history, self.history > 0, self.topic, self.config.n_topics)

    @property
    def days(self) -> np.ndarray:
        """The days of the log, 0 to days - 1."""
        return np.arange(self.config.days)

    @property
    def heldout_days(self) -> np.ndarray:
        """The days that follow."""
        return self.config.days + np.arange(self.config.after)

    def alive(self, day: int = 0) -> np.ndarray:
        """(M,) bool, the article can be shown on that day."""
        _check(day, range(len(self.taste)), "day")
        return (self.birth <= day) & (day < self.birth + self.life)

    def age(self, day: int = 0) -> np.ndarray:
        """(M,) days since birth; 0 is fresh, and below 0 it is not born yet."""
        return day - self.birth

    def log_odds(self, day: int = 0) -> np.ndarray:
        """Log odds (U, M) of reading each article anyway, on no news day; NaN if not alive."""
        return self._spread(self._odds(day), day)

    def mu(self, t: int, z: int, day: int = 0) -> np.ndarray:
        """Chance (U, M) of a read, with the slot looked at (t = 1) or not, by news day z.

        Raises:
            ValueError: t or z is neither 0 nor 1, or there is no such day.
        """
        _check(t, (0, 1), "t")
        news = self.config.g_y * _check(z, (0, 1), "z") * (self.birth == day)
        odds = self._odds(day) + news[self.alive(day)]
        return self._spread(expit(odds + t * self.config.lift), day)

    def shown(self, z: int, place: int, day: int = 0) -> np.ndarray:
        """Chance (U, M) of a read if the article is shown at a place, by news day z."""
        see = (self.config.see_top, self.config.see_below)[_check(place, (0, 1), "place")]
        return see * self.mu(1, z, day) + (1 - see) * self.mu(0, z, day)

    def display(self, z: int, day: int = 0) -> np.ndarray:
        """Chance (U, M, K) that the old policy shows an article at a place, by news day z.

        This is the policy itself, without the randomised share of visits.
        """
        config, alive = self.config, self.alive(day)
        topic, fresh = self.topic[alive], self.birth[alive] == day
        score = (
            config.a_p * self.appeal[alive]
            + config.a_h * (topic == self._found.last[:, None])
            + self.editors[topic]
            + fresh * (config.a_f + config.g_e * _check(z, (0, 1), "z"))
        )
        chance = softmax(score, axis=1)  # (U, A), of those alive
        chance = (1 - config.eps) * chance + config.eps / chance.shape[1]
        top = np.where(fresh, config.top_fresh, config.top_old)
        display = np.zeros((len(self.history), len(alive), len(PLACES)))
        display[:, alive] = chance[..., None] * np.stack([top, 1 - top], axis=1)
        return display

    def exposure(self, z: int, day: int = 0) -> np.ndarray:
        """Chance (U, M, K) of a display in the log, randomised visits of the config included."""
        rand, alive = self.config.rand, self.alive(day)
        uniform = alive[:, None] / (alive.sum() * len(PLACES))
        return (1 - rand) * self.display(z, day) + rand * uniform

    def logging_policy(self, day: int = 0) -> np.ndarray:
        """Chance (U, M, K) of a display in the log, averaged over the news day."""
        return self._over(lambda z: self.exposure(z, day))

    def do(self, t: int, day: int = 0, place: int = 0) -> np.ndarray:
        """P(Y = 1 | do(t), u), (U, M): read if shown at a place (t = 1), or if not shown."""
        if _check(t, (0, 1), "t"):
            return self._over(lambda z: self.shown(z, place, day))
        return self._over(lambda z: self.mu(0, z, day))

    def uplift(self, day: int = 0, place: int = 0) -> np.ndarray:
        """do(1) - do(0), (U, M): what showing an article at a place adds."""
        return self.do(1, day, place) - self.do(0, day)

    def see(self, day: int = 0) -> np.ndarray:
        """P(Y = 1 | u), (U, M), in the log: read at the visit, shown or not.

        No model of the log can predict reads of that day better.
        """

        def read(z: int) -> np.ndarray:
            shown = self.exposure(z, day)
            by_slot = sum(shown[..., k] * self.shown(z, k, day) for k in range(len(PLACES)))
            return by_slot + (1 - shown.sum(axis=2)) * self.mu(0, z, day)

        return self._over(read)

    def see_exposed(self, day: int = 0, place: int | None = None) -> np.ndarray:
        """P(Y = 1 | shown, u), (U, M), in the log: read among the visits that showed it.

        Args:
            day: of which day.
            place: only those that showed it at this place; None takes them as they come.

        Returns:
            NaN for an article that is not alive, or never shown.
        """
        kept = np.ones(len(PLACES))
        if place is not None:
            kept = np.eye(len(PLACES))[_check(place, (0, 1), "place")]

        def read_at(z: int) -> np.ndarray:
            rates = np.stack([self.shown(z, k, day) for k in range(len(PLACES))], axis=2)
            return (self.exposure(z, day) * rates) @ kept

        read, shown = self._over(read_at), self._over(lambda z: self.exposure(z, day) @ kept)
        return np.divide(read, shown, out=np.full_like(read, np.nan), where=shown > 0)

    def policy_value(self, policy: np.ndarray, day: int = 0, place: int = 0) -> NewsValue:
        """What a policy is worth a visit, exactly, if what it shows stands at a place.

        Args:
            policy: (U, M), the chance with which each person is shown each article.
            day: of which day.
            place: 0 the top, 1 below.

        Raises:
            ValueError: a wrong shape, a chance below 0, a row that does not sum to 1, or an article
                that is not alive.
        """
        policy = np.asarray(policy, dtype=float)
        self._check_shape(policy, "policy")
        wrong = np.flatnonzero(
            ~(policy.min(axis=1) >= 0) | ~(np.abs(policy.sum(axis=1) - 1) < 1e-6)
        )
        if len(wrong):
            row = policy[wrong[0]]
            raise ValueError(
                "policy must have rows of chances that sum to 1; "
                f"row {wrong[0]} sums to {row.sum()}, its smallest entry is {row.min()}"
            )
        gone = np.flatnonzero(policy.any(axis=0) & ~self.alive(day))
        if len(gone):
            raise ValueError(
                f"policy must show articles that are alive on day {day}; {gone[0] + 1} is not"
            )
        shown, organic = (np.nan_to_num(self.do(t, day, place)) for t in (1, 0))
        increment = float((policy * (shown - organic)).sum(axis=1).mean())
        return NewsValue(
            slot_rate=float((policy * shown).sum(axis=1).mean()),
            increment=increment,
            reads=float(organic.sum(axis=1).mean()) + increment,
        )

    def greedy(self, scores: np.ndarray, day: int = 0) -> np.ndarray:
        """The policy (U, M) that shows the best score of those alive; the lowest id among equals.

        Raises:
            ValueError: a wrong shape, or the score of an article that is alive is NaN.
        """
        scores, alive = np.asarray(scores, dtype=float), self.alive(day)
        self._check_shape(scores, "scores")
        wrong = np.argwhere(np.isnan(scores) & alive)
        if len(wrong):
            raise ValueError(f"scores must not be NaN; row {wrong[0][0]} is")
        policy = np.zeros(scores.shape)
        best = np.where(alive, scores, -np.inf).argmax(axis=1)
        policy[np.arange(len(scores)), best] = 1.0
        return policy

    def _odds(self, day: int) -> np.ndarray:
        """`log_odds` of the articles that are alive, (U, A)."""
        config, found, alive = self.config, self._found, self.alive(day)
        topic = self.topic[alive]
        return (
            config.o_0
            + config.o_q * self.appeal[alive]
            + self.interest[topic]
            + config.b_t * self.taste[day][:, topic]
            + config.b_n * (topic == found.last[:, None])
            - config.b_s * found.satisfied[:, alive]
            + config.o_f * (self.birth[alive] == day)
        )

    def _spread(self, values: np.ndarray, day: int) -> np.ndarray:
        """Values (U, A) of the articles that are alive, among all (U, M); NaN elsewhere."""
        everything = np.full((len(values), len(self.topic)), np.nan)
        everything[:, self.alive(day)] = values
        return everything

    def _check_shape(self, table: np.ndarray, name: str) -> None:
        expected = len(self.history), len(self.topic)
        if table.shape != expected:
            raise ValueError(f"{name} must have shape {expected}; got {table.shape}")

    def _over(self, function: Callable[[int], np.ndarray]) -> np.ndarray:
        """The average of a function of the news day over it."""
        return self.config.pz * function(1) + (1 - self.config.pz) * function(0)


def _check(value: int, known: range | tuple[int, ...], name: str) -> int:
    if value not in known:
        raise ValueError(f"{name} must be from {known[0]} to {known[-1]}; got {value}")
    return value
