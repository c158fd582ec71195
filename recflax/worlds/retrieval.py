r"""Selection by retrieval: what can be shown is decided before anything is ranked.

A slot is filled in two steps. *Retrieve*: of the F accounts that person u follows, ``opened`` are
drawn at random, and whoever those follow is a candidate: a set :math:`S` of friends of friends.
*Rank*: one candidate is drawn by a softmax of scores over S. So the chance that j is shown is

.. math:: e(j \mid u) = \sum_S p(S \mid u)\, r(j \mid S), \qquad
    r(j \mid S) = \frac{1[j \in S]\, e^{x_{uj}}}{\sum_{k \in S} e^{x_{uk}}}

the propensity of the *funnel*; :math:`r(j \mid S)` is that of the ranker alone, and it is what a
ranker's log holds. With :math:`m_{uj}` the mean reward of showing j and :math:`c_{uj} = P(j \in S)`
the weighted mean of rewards for a policy :math:`\pi` is on average

.. math::

    E\Big[\frac{\pi(A)}{e(A)} R\Big] = \sum_{j:\, c_{uj} > 0} \pi_j\, m_{uj} , \qquad
    E\Big[\frac{\pi(A)}{r(A \mid S)} R\Big] = \sum_j \pi_j\, c_{uj}\, m_{uj}

The first is right about whatever can be shown and silent about the rest; the second counts an
account only as often as it was retrieved. With R = 1 these are the mean weights, which a log shows.
All sums over the F choose ``opened`` sets are exact.

Source: Horvitz and Thompson (1952), whose chance of inclusion is that of all stages together.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import expit

from recflax.causal.logged import Logged
from recflax.worlds.checks import check_config, check_kind
from recflax.worlds.store import draw_rows

STAGES = ("funnel", "ranker")


@dataclass(frozen=True)
class RetrievalConfig:
    """The equations of the funnel, with the defaults of the book.

    Attributes:
        n_people: U people, who are the M accounts too.
        n_communities: C.
        friends: F, how many accounts each person follows, at least 2.
        opened: how many of them are opened for candidates, 1 to F; F opens all.
        home: log odds that an account of the own community has in being followed.
        x_home: what the own community adds to the ranker's score.
        x_sd: spread of that score beside it.
        y_0: log odds of liking what is shown, before anything else.
        y_home: what the own community adds to them.
        y_sd: spread of them beside it.

    Raises:
        TypeError: a value of the wrong kind.
        ValueError: a value is out of range.

    Example:
        >>> RetrievalConfig(friends=1)
        Traceback (most recent call last):
        ...
        ValueError: friends must be from 2 to 59, the other people; got 1
    """

    n_people: int = 60
    n_communities: int = 3
    friends: int = 4
    opened: int = 2
    home: float = 1.5
    x_home: float = 1.0
    x_sd: float = 0.5
    y_0: float = -2.0
    y_home: float = 1.0
    y_sd: float = 0.5

    def __post_init__(self) -> None:
        """Check the values."""
        check_config(self, least={"n_people": 3, "x_sd": 0, "y_sd": 0})
        if not 1 <= self.n_communities <= self.n_people:
            raise ValueError(
                f"n_communities must be from 1 to {self.n_people}; got {self.n_communities}"
            )
        if not 2 <= self.friends < self.n_people:
            raise ValueError(
                f"friends must be from 2 to {self.n_people - 1}, the other people; "
                f"got {self.friends}"
            )
        if not 1 <= self.opened <= self.friends:
            raise ValueError(f"opened must be from 1 to {self.friends}; got {self.opened}")


@dataclass(frozen=True, eq=False)
class Funnel:
    """One draw of people and of whom they follow. Build it with `build_funnel`.

    Attributes:
        config: the equations.
        seed: what everything was drawn from.
        community: (U,) 0 to C - 1.
        follows: (U, F) columns 0 to M - 1 of the accounts that each person follows.
        score: (U, M) the ranker's score x.
        reward: (U, M) m, the chance that an account's post is liked if it is shown.

    Example:
        >>> funnel = build_funnel(RetrievalConfig(n_people=11, friends=3), seed=5)
        >>> everyone = funnel.uniform()
        >>> bool(np.isclose(funnel.mean_weight(everyone), (everyone * funnel.covered()).sum() / 11))
        True
        >>> funnel.mean_weight(everyone, by="ranker") < funnel.mean_weight(everyone)
        True
    """

    config: RetrievalConfig
    seed: int
    community: np.ndarray
    follows: np.ndarray
    score: np.ndarray
    reward: np.ndarray

    @cached_property
    def retrieved(self) -> np.ndarray:
        """(U, S, M) bool: the candidates of each of the S equally likely sets of opened friends."""
        people, config = len(self.reward), self.config
        follows = np.zeros((people, people), dtype=bool)
        follows[np.arange(people)[:, None], self.follows] = True
        sets = list(itertools.combinations(range(config.friends), config.opened))
        opened = self.follows[:, np.array(sets)]  # (U, S, opened)
        candidates = np.zeros((people, len(sets), people), dtype=bool)
        for place in range(config.opened):
            candidates |= follows[opened[..., place]]
        everyone = np.arange(people)
        candidates[everyone, :, everyone] = False  # nobody is shown to herself
        return candidates

    @cached_property
    def ranked(self) -> np.ndarray:
        """(U, S, M) r(j | S): the chance with which the ranker shows j, out of a set."""
        score = np.where(self.retrieved, self.score[:, None], -np.inf)
        chance = np.exp(score - score.max(axis=2, keepdims=True))
        return chance / chance.sum(axis=2, keepdims=True)

    def logging_policy(self) -> np.ndarray:
        """e(j | u), (U, M): the chance of each display, of the whole funnel."""
        return self.ranked.mean(axis=1)

    def recall(self) -> np.ndarray:
        """c, (U, M): the chance that an account is retrieved."""
        return self.retrieved.mean(axis=1)

    def covered(self) -> np.ndarray:
        """(U, M) bool: the account can be shown to this person at all."""
        return self.recall() > 0

    def uniform(self) -> np.ndarray:
        """The policy (U, M) that shows anybody else, all alike."""
        people = len(self.reward)
        return (1 - np.eye(people)) / (people - 1)

    def value(self, policy: np.ndarray) -> float:
        """What a policy earns: likes per slot, over people.

        Raises:
            ValueError: a wrong shape, or rows that are no chances.
        """
        return float((self._check(policy) * self.reward).sum(axis=1).mean())

    def expected_ips(self, policy: np.ndarray, by: str = "funnel") -> float:
        """The mean of the weighted rewards, with the propensity of the funnel or of the ranker.

        With that of the funnel it is the part of the value that comes from accounts which can be
        shown: all that a log can tell.

        Raises:
            ValueError: a policy as in `value`, or an unknown propensity.
        """
        counted = self.recall() if _check_stage(by) == "ranker" else self.covered()
        return float((self._check(policy) * counted * self.reward).sum(axis=1).mean())

    def mean_weight(self, policy: np.ndarray, by: str = "funnel") -> float:
        """The mean of pi / propensity: the policy's mass on what is covered, or retrieved.

        Raises:
            ValueError: a policy as in `value`, or an unknown propensity.
        """
        counted = self.recall() if _check_stage(by) == "ranker" else self.covered()
        return float((self._check(policy) * counted).sum(axis=1).mean())

    def log(self, visits: int = 8, by: str = "funnel") -> Logged:
        """Draw visits of every person: opened friends, a display, a like.

        Args:
            visits: visits a person, at least 1.
            by: whose propensity is logged: of the ``"funnel"``, or of the ``"ranker"`` alone. The
                draws are the same.

        Raises:
            TypeError: visits is no integer.
            ValueError: visits below 1, or an unknown propensity.
        """
        _check_stage(by)
        check_kind("visits", visits, int)
        if visits < 1:
            raise ValueError(f"visits must be at least 1; got {visits}")
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(1,)))
        people, sets = len(self.reward), self.retrieved.shape[1]
        person = np.tile(np.arange(people), visits)
        opened = rng.integers(sets, size=len(person))
        shown = np.concatenate(
            [
                draw_rows(self.ranked[np.arange(people), part], rng)
                for part in opened.reshape(visits, people)
            ]
        )
        alone = self.ranked[person, opened, shown]
        whole = self.logging_policy()[person, shown]
        return Logged(
            context=person,
            action=shown,
            reward=(rng.random(len(person)) < self.reward[person, shown]).astype(float),
            propensity=whole if by == "funnel" else alone,
        )

    def _check(self, policy: np.ndarray) -> np.ndarray:
        policy = np.asarray(policy, dtype=float)
        if policy.shape != self.reward.shape:
            raise ValueError(f"policy must have shape {self.reward.shape}; got {policy.shape}")
        wrong = ~(policy.min(axis=1) >= 0) | ~(np.abs(policy.sum(axis=1) - 1) < 1e-6)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"policy must have rows of chances that sum to 1; row {row} sums to "
                f"{policy[row].sum()}, its smallest entry is {policy[row].min()}"
            )
        return policy


def build_funnel(config: RetrievalConfig, seed: int) -> Funnel:
    """Draw people, whom they follow, the ranker's scores and the rewards.

    Args:
        config: the equations.
        seed: at least 0; the same seed gives the same funnel and the same log.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    people = config.n_people
    community = np.arange(people) % config.n_communities
    same = community[:, None] == community
    # the F largest of log weight plus Gumbel noise: drawn without replacement (Plackett and Luce)
    wish = config.home * same + rng.gumbel(size=(people, people))
    np.fill_diagonal(wish, -np.inf)
    follows = np.argsort(-wish, axis=1)[:, : config.friends]
    score = config.x_home * same + config.x_sd * rng.normal(size=(people, people))
    odds = config.y_0 + config.y_home * same + config.y_sd * rng.normal(size=(people, people))
    return Funnel(config, seed, community, follows, score, expit(odds))


def _check_stage(by: str) -> str:
    if by not in STAGES:
        raise ValueError(f"by must be one of {STAGES}; got {by!r}")
    return by
