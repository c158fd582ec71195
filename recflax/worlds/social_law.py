r"""The law of one suggestion in a social network, and every exact answer about it.

At a visit account :math:`j` is suggested to person :math:`u` with chance :math:`q(j \mid u)`, which
the platform chose; *she* decides whether to follow, :math:`T`, and later likes one of j's posts or
not, :math:`Y`. With :math:`z` a likeness of the two that no column holds,

.. math::

    P(Y = 1 \mid do(T = t), u, j) &= \textstyle\sum_z p(z)\, \mu_t(u, j, z) \\
    P(Y = 1 \mid T = t, u, j) &= \frac{\sum_z p(z)\, P(T = t \mid u, j, z)\, \mu_t(u, j, z)}
        {\sum_z p(z)\, P(T = t \mid u, j, z)}

The first is what following does, the second all that a log of follows can teach. What the
*platform* does is to display the suggestion, and that has an effect of its own,

.. math:: P(Y = 1 \mid do(\text{display})) - P(Y = 1 \mid do(\text{withhold}))
    = \textstyle\sum_z p(z)\, P(T = 1 \mid u, j, z)\, (\mu_1 - \mu_0)

(Angrist, Imbens and Rubin 1996: a display encourages, it does not oblige). All are sums over z.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np


class SocialValue(NamedTuple):
    """What a policy of suggestions is worth a visit, exactly.

    Attributes:
        slot_rate: chance that a post of the suggested account is liked.
        increment: the part of it that would not have come without the suggestion.
        follows: chance that the suggestion is followed.
    """

    slot_rate: float
    increment: float
    follows: float


@dataclass(frozen=True, eq=False)
class SocialLaw:
    """Everything that can happen at one visit, with its chances, and every exact answer.

    People are the accounts too, so M = U, and column j - 1 of an array is account j.

    Attributes:
        similarity: (Z,) chance of each value of the hidden likeness.
        suggest: (U, M) chance of each suggestion, rows sum to 1; nobody is suggested to herself.
        follow: (Z, U, M) chance that a displayed suggestion is followed.
        engage: (2, Z, U, M) chance that a post is liked, not following and following.

    Example:
        >>> pair = np.ones((2, 2))  # two people; likeness makes them follow, and like anyway
        >>> law = SocialLaw(np.array([0.5, 0.5]), np.array([[0, 1.0], [1, 0]]),
        ...                 np.stack([0.2 * pair, 0.6 * pair]),
        ...                 np.stack([np.stack([0.1 * pair, 0.5 * pair])] * 2))
        >>> round(law.effect(), 3), round(law.adjusted(), 3)
        (0.0, 0.167)
        >>> other = law.without_similarity()
        >>> round(other.effect(), 3), float(np.abs(law.cells() - other.cells()).max()) < 1e-12
        (0.167, True)
    """

    similarity: np.ndarray
    suggest: np.ndarray
    follow: np.ndarray
    engage: np.ndarray

    def arm(self, t: int) -> np.ndarray:
        """P(T = t | u, j, z) of a displayed suggestion, (Z, U, M).

        Raises:
            ValueError: t is neither 0 nor 1.
        """
        return self.follow if _check_arm(t) else 1 - self.follow

    def logging_policy(self) -> np.ndarray:
        """Chance (U, M) of each suggestion in the log."""
        return self.suggest

    def follow_chance(self) -> np.ndarray:
        """P(T = 1 | u, j), (U, M): how often a displayed suggestion is followed."""
        return self._over(self.follow)

    def do(self, t: int) -> np.ndarray:
        """P(Y = 1 | do(T = t), u, j), (U, M): a post is liked if u is made to follow, or not to."""
        return self._over(self.engage[_check_arm(t)])

    def uplift(self) -> np.ndarray:
        """do(1) - do(0), (U, M): what following adds."""
        return self.do(1) - self.do(0)

    def see(self, t: int) -> np.ndarray:
        """P(Y = 1 | T = t, u, j), (U, M), in the log: all that a network can learn from it."""
        arm = self.arm(t)
        return self._over(arm * self.engage[t]) / self._over(arm)

    def displayed(self) -> np.ndarray:
        """P(Y = 1 | do(display), u, j), (U, M): she follows or not, as she likes."""
        return self._over(self.follow * self.engage[1] + (1 - self.follow) * self.engage[0])

    def suggestion_uplift(self) -> np.ndarray:
        """What displaying a suggestion adds to withholding it, (U, M)."""
        return self._over(self.follow * (self.engage[1] - self.engage[0]))

    def effect(self) -> float:
        """The average effect of following, over the suggestions of the log."""
        return self.over_suggestions(self.uplift())

    def adjusted(self) -> float:
        """What a perfect network finds in its place: the average of see(1) - see(0)."""
        return self.over_suggestions(self.see(1) - self.see(0))

    def bias(self) -> float:
        """How far that is from the effect. No sample size makes it smaller."""
        return self.adjusted() - self.effect()

    def effect_of_suggesting(self) -> float:
        """The average effect of displaying a suggestion, over the suggestions of the log."""
        return self.over_suggestions(self.suggestion_uplift())

    def effect_on_followers(self) -> float:
        """The effect of following on those who follow when asked: per display, per follow."""
        return self.effect_of_suggesting() / self.over_suggestions(self.follow_chance())

    def over_suggestions(self, values: np.ndarray) -> float:
        """The average of (U, M) values over people and the suggestions that each gets."""
        return float((self.suggest * values).sum(axis=1).mean())

    def cells(self) -> np.ndarray:
        """P(j, T, Y | u), (U, M, 2, 2): the law of what is logged of a visit."""
        cells = np.empty((*self.suggest.shape, 2, 2))
        for t in (0, 1):
            arm = self.arm(t)
            liked = self._over(arm * self.engage[t])
            cells[..., t, 1] = self.suggest * liked
            cells[..., t, 0] = self.suggest * (self._over(arm) - liked)
        return cells

    def without_similarity(self) -> Self:
        """The other world with the same log: nothing hidden, and do(t) is what see(t) was.

        Every logged column has the same law there, so no model and no sample of suggestions can
        tell the two apart; the effects of following differ by `bias`.
        """
        return replace(
            self,
            similarity=np.ones(1),
            follow=self.follow_chance()[None],
            engage=np.stack([self.see(t)[None] for t in (0, 1)]),
        )

    def policy_value(self, policy: np.ndarray) -> SocialValue:
        """What a policy of suggestions is worth a visit, exactly.

        Args:
            policy: (U, M), the chance with which each person is shown each account.

        Raises:
            ValueError: a wrong shape, a chance below 0, a row that does not sum to 1, or somebody
                who is suggested to herself.
        """
        policy = self._check_shape(policy, "policy").astype(float)
        wrong = np.flatnonzero(
            ~(policy.min(axis=1) >= 0) | ~(np.abs(policy.sum(axis=1) - 1) < 1e-6)
        )
        if len(wrong):
            row = policy[wrong[0]]
            raise ValueError(
                "policy must have rows of chances that sum to 1; "
                f"row {wrong[0]} sums to {row.sum()}, its smallest entry is {row.min()}"
            )
        herself = np.flatnonzero(np.diagonal(policy) > 0)
        if len(herself):
            raise ValueError(f"policy must suggest nobody to herself; row {herself[0]} does")

        def worth(values: np.ndarray) -> float:
            return float((policy * values).sum(axis=1).mean())

        return SocialValue(
            slot_rate=worth(self.displayed()),
            increment=worth(self.suggestion_uplift()),
            follows=worth(self.follow_chance()),
        )

    def greedy(self, scores: np.ndarray) -> np.ndarray:
        """The policy (U, M) that always suggests the best score but never the person herself.

        The lowest id comes first among equals.

        Raises:
            ValueError: a wrong shape, or a score that is NaN.
        """
        scores = self._check_shape(scores, "scores").astype(float)
        if np.isnan(scores).any():
            raise ValueError(
                f"scores must not be NaN; row {np.argwhere(np.isnan(scores))[0][0]} is"
            )
        others = np.where(np.eye(len(scores), dtype=bool), -np.inf, scores)
        policy = np.zeros(scores.shape)
        policy[np.arange(len(scores)), others.argmax(axis=1)] = 1.0
        return policy

    def uniform(self) -> np.ndarray:
        """The policy (U, M) that suggests anybody else, all alike."""
        people = len(self.suggest)
        return (1 - np.eye(people)) / (people - 1)

    def _check_shape(self, table: np.ndarray, name: str) -> np.ndarray:
        table = np.asarray(table)
        if table.shape != self.suggest.shape:
            raise ValueError(f"{name} must have shape {self.suggest.shape}; got {table.shape}")
        return table

    def _over(self, values: np.ndarray) -> np.ndarray:
        """The average over the hidden likeness, from (Z, U, M) to (U, M)."""
        return np.einsum("z,zum->um", self.similarity, values)


def _check_arm(t: int) -> int:
    if t not in (0, 1):
        raise ValueError(f"t must be 0 or 1; got {t}")
    return t
