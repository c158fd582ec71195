r"""One banner, shown or not: the smallest world in which a log can mislead, with its exact answers.

People and histories are the store's. What a history does to the banner goes through one bit, its
*kind* :math:`k(H)`, which sits in the order of events: the newest event is of the first half of
the categories, or (the hard variant) the two newest events are of one category. A visit has an
intent :math:`z \sim \mathrm{Bernoulli}(p_z)`, which nobody logs; with :math:`w = z - p_z`,

.. math::

    P(T = 1 \mid H, z) &= \sigma(-0.9 + 1.5\,k + g w) \\
    P(Y = 1 \mid do(T = t), H, z) &= \sigma(-1.2 + 1.5\,k + t\,(0.6 - 0.3\,k) + g w)

With :math:`g = 0` whoever adjusts for the history is right; with :math:`g > 0` intent moves both
what is shown and what is bought, and the logged propensity is the one averaged over it. Every
exact answer is a sum over z and k (`recflax.worlds.banner_law`); only the log is drawn.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from scipy.special import expit, softmax

from recflax.causal.logged import Treated
from recflax.worlds.banner_law import BannerLaw
from recflax.worlds.store import STREAMS, Store, StoreConfig, build_store


@dataclass(frozen=True)
class BannerConfig:
    """The equations of the banner, with the defaults of the book.

    Attributes:
        n_people: U people.
        g: what intent adds to the log odds of the banner and to those of a purchase.
        pz: chance of a visit with intent.
        rand: share of visits at which a fair coin decides, and which are flagged.
        hard: the kind is 1 if the two newest events are of one category, instead of: if the
            newest event is of the first half of the categories.
        t_0: log odds of the banner before anything else.
        t_k: what kind 1 adds to them.
        y_0: log odds of a purchase before anything else.
        y_k: what kind 1 adds to them.
        lift: what the banner adds to them for kind 0.
        lift_k: what kind 1 adds to the lift.
        stay: chance that the next event of a history is of the same need as the last.
        a_taste: how much taste decides the need.

    Raises:
        TypeError: a value of the wrong kind.
        ValueError: a value is out of range.

    Example:
        >>> BannerConfig(rand=1.5)
        Traceback (most recent call last):
        ...
        ValueError: rand must be from 0 to 1; got 1.5
    """

    n_people: int = 6000
    g: float = 0.0
    pz: float = 0.3
    rand: float = 0.0
    hard: bool = False
    t_0: float = -0.9
    t_k: float = 1.5
    y_0: float = -1.2
    y_k: float = 1.5
    lift: float = 0.6
    lift_k: float = -0.3
    stay: float = 0.3
    a_taste: float = 0.5

    def __post_init__(self) -> None:
        """Check the values that the store does not check."""
        if not isinstance(self.hard, bool | np.bool_):
            raise TypeError(f"hard must be of type bool; got {self.hard!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(field.default, float):
                continue
            if isinstance(value, bool) or not isinstance(value, numbers.Real):
                raise TypeError(f"{field.name} must be of type float; got {value!r}")
            if not math.isfinite(value):
                raise ValueError(f"{field.name} must be finite; got {value}")
        for name in ("pz", "rand"):
            check_chance(getattr(self, name), name)
        self.people  # noqa: B018  the store checks the rest

    @property
    def people(self) -> StoreConfig:
        """The store that the people and their histories come from."""
        return StoreConfig(n_people=self.n_people, stay=self.stay, a_taste=self.a_taste)

    def law(self, kind_1: float | None = None) -> BannerLaw:
        """The law of a visit that is not randomised.

        Args:
            kind_1: share of people of kind 1; None is that of all people who could be drawn.
        """
        share = _share_of_kind_1(self) if kind_1 is None else check_chance(kind_1, "kind_1")
        kind, z = np.arange(2), np.arange(2)[:, None]
        shift = self.g * (z - self.pz)  # (Z, 1)
        organic = self.y_0 + self.y_k * kind
        treat = expit(self.t_0 + self.t_k * kind + shift)
        outcome = [expit(organic + t * (self.lift + self.lift_k * kind) + shift) for t in (0, 1)]
        return BannerLaw(
            kind=np.array([1 - share, share]),
            intent=np.array([1 - self.pz, self.pz]),
            treat=treat,
            outcome=np.stack(outcome),
        )


@dataclass(frozen=True, eq=False)
class BannerLog:
    """Visits of the banner's people: R = U x V rows, ordered by visit, then by person.

    Attributes:
        person: (R,) 0 to U - 1.
        history: (R, L) item ids, oldest to newest, 0 as padding on the left.
        category: (M,) category of each item.
        treatment: (R,) 1 if the banner was shown, else 0.
        outcome: (R,) 1 if the person bought, else 0.
        propensity: (R,) the logged chance of the banner, averaged over the intent; 1/2 where
            a coin decided.
        randomised: (R,) bool, a coin decided.
    """

    person: np.ndarray
    history: np.ndarray
    category: np.ndarray
    treatment: np.ndarray
    outcome: np.ndarray
    propensity: np.ndarray
    randomised: np.ndarray

    @property
    def tokens(self) -> np.ndarray:
        """(R, L) category plus 1 of each event, oldest to newest, 0 as padding."""
        return np.where(self.history > 0, self.category[self.history - 1] + 1, 0)

    def treated(self) -> Treated:
        """The log as the estimators take it."""
        return Treated(self.treatment, self.outcome, self.person)

    def where(self, rows: np.ndarray) -> BannerLog:
        """The rows for which a (R,) bool is True, such as ``log.where(log.randomised)``."""
        kept = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "category"}
        return replace(self, **kept)


@dataclass(frozen=True, eq=False)
class Banner:
    """One draw of people, and the law of their visits. Build it with `build_banner`.

    Attributes:
        config: the equations.
        seed: what everything was drawn from.
        store: the people and their histories.
        kind: (U,) 0 or 1.
        law: the law of a visit of these people; ``config.law()`` is that of people like them.

    Example:
        >>> banner = build_banner(BannerConfig(n_people=7, g=1.0), seed=5)
        >>> log = banner.log(visits=2)
        >>> log.history.shape, log.treated().n
        ((14, 16), 14)
    """

    config: BannerConfig
    seed: int
    store: Store
    kind: np.ndarray
    law: BannerLaw

    def without_intent(self) -> Banner:
        """The same people in the world without intent that has the same log.

        Raises:
            ValueError: visits are randomised, which tells the two worlds apart.
        """
        if self.config.rand > 0:
            raise ValueError(
                "rand must be 0: randomised visits tell the two worlds apart; got "
                f"{self.config.rand}"
            )
        return replace(self, law=self.law.without_intent())

    def see(self, t: int) -> np.ndarray:
        """(U,) P(Y = 1 | T = t, H) of each person, in the log: what a perfect network predicts."""
        return self.law.see(t)[self.kind]

    def log(self, visits: int = 1, rand: float | None = None) -> BannerLog:
        """Draw visits of every person.

        Args:
            visits: V visits a person, at least 1.
            rand: share of visits at which a coin decides; None is the config's.

        Raises:
            TypeError: visits is no integer.
            ValueError: a number out of range.
        """
        if isinstance(visits, bool) or not isinstance(visits, int | np.integer):
            raise TypeError(f"visits must be an integer; got {visits!r}")
        if visits < 1:
            raise ValueError(f"visits must be at least 1; got {visits}")
        rand = self.config.rand if rand is None else check_chance(rand, "rand")
        child = np.random.SeedSequence(self.seed, spawn_key=(len(STREAMS),))  # none of the store's
        rng = np.random.default_rng(child)
        person = np.tile(np.arange(len(self.kind)), visits)
        kind = self.kind[person]
        z = np.searchsorted(np.cumsum(self.law.intent)[:-1], rng.random(len(kind)), side="right")
        randomised = rng.random(len(kind)) < rand
        chance = np.where(randomised, 0.5, self.law.treat[z, kind])
        t = (rng.random(len(kind)) < chance).astype(int)
        bought = rng.random(len(kind)) < self.law.outcome[t, z, kind]
        return BannerLog(
            person=person,
            history=self.store.history[person],
            category=self.store.category,
            treatment=t,
            outcome=bought.astype(int),
            propensity=np.where(randomised, 0.5, self.law.propensity()[kind]),
            randomised=randomised,
        )


def build_banner(config: BannerConfig, seed: int) -> Banner:
    """Draw the people and their histories.

    Args:
        config: the equations.
        seed: at least 0; the same seed gives the same people and the same logs.
    """
    store = build_store(config.people, seed)
    found = store.mechanisms()
    first_half = found.last < config.people.n_categories // 2
    kind = (found.hot >= 0 if config.hard else first_half).astype(int)
    return Banner(config, seed, store, kind, config.law(float(kind.mean())))


@lru_cache
def _share_of_kind_1(config: BannerConfig) -> float:
    """The share of kind 1 among all people who could be drawn.

    The categories are alike, so half of the newest events are of the first half. The two newest
    agree with chance ``stay + (1 - stay) E[sum_c p_c^2]``, whose expectation over tastes is taken
    from 300,000 of them (standard error below .0001).
    """
    people = config.people
    if not config.hard:
        return people.n_categories // 2 / people.n_categories
    taste = np.random.default_rng(0).normal(size=(300_000, people.n_categories))
    agree = np.square(softmax(config.a_taste * taste, axis=1)).sum(axis=1).mean()
    return float(config.stay + (1 - config.stay) * agree)


def check_chance(value: float, name: str) -> float:
    """Return a number from 0 to 1, or raise a ValueError."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1; got {value}")
    return value
