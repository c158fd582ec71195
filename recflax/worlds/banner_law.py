r"""The law of one visit at which a banner is shown or not, and every exact answer about it.

With kind :math:`k` of the history, intent :math:`z`, display :math:`T` and purchase :math:`Y`,

.. math::

    P(Y = 1 \mid do(T = t), k) &= \textstyle\sum_z p(z)\, P(Y = 1 \mid do(T = t), k, z) \\
    P(Y = 1 \mid T = t, k) &= \frac{\sum_z p(z)\, P(T = t \mid k, z)\, P(Y = 1 \mid do(t), k, z)}
        {\sum_z p(z)\, P(T = t \mid k, z)}

The first is the truth, the second all that a log can teach. Both are sums over the values of z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit


@dataclass(frozen=True, eq=False)
class BannerLaw:
    """Everything that can happen at one visit, with its chances, and every exact answer.

    Attributes:
        kind: (K,) share of people of each kind.
        intent: (Z,) chance of each intent.
        treat: (Z, K) chance of the banner, P(T = 1 | H, z).
        outcome: (2, Z, K) chance of a purchase without and with it, P(Y = 1 | do(T = t), H, z).

    Example:
        >>> treat = np.array([[0.2], [0.6]])  # intent is shown the banner, and buys anyway
        >>> outcome = np.array([[[0.1], [0.5]], [[0.2], [0.6]]])
        >>> law = BannerLaw(np.ones(1), np.array([0.5, 0.5]), treat, outcome)
        >>> round(law.effect(), 3), round(law.adjusted(), 3)
        (0.1, 0.267)
    """

    kind: np.ndarray
    intent: np.ndarray
    treat: np.ndarray
    outcome: np.ndarray

    def arm(self, t: int) -> np.ndarray:
        """P(T = t | H, z), (Z, K).

        Raises:
            ValueError: t is neither 0 nor 1.
        """
        return self.treat if _check_arm(t) else 1 - self.treat

    def propensity(self) -> np.ndarray:
        """P(T = 1 | H), (K,): what is logged."""
        return self.intent @ self.treat

    def do(self, t: int) -> np.ndarray:
        """P(Y = 1 | do(T = t), H), (K,)."""
        return self.intent @ self.outcome[_check_arm(t)]

    def see(self, t: int) -> np.ndarray:
        """P(Y = 1 | T = t, H), (K,), in the log: all that a network can learn from it."""
        return self.intent @ (self.arm(t) * self.outcome[t]) / (self.intent @ self.arm(t))

    def effect(self) -> float:
        """The average treatment effect, mean of do(1) - do(0)."""
        return float(self.kind @ (self.do(1) - self.do(0)))

    def adjusted(self) -> float:
        """What a perfect network that adjusts for the history finds: mean of see(1) - see(0)."""
        return float(self.kind @ (self.see(1) - self.see(0)))

    def bias(self) -> float:
        """How far that is from the effect. No sample size makes it smaller."""
        return self.adjusted() - self.effect()

    def difference_of_means(self) -> float:
        """P(Y = 1 | T = 1) - P(Y = 1 | T = 0): what is found without any adjustment."""
        cells = self.cells()  # (K, T, Y)
        rate = cells[..., 1].sum(axis=0) / cells.sum(axis=(0, 2))
        return float(rate[1] - rate[0])

    def cells(self) -> np.ndarray:
        """P(k, T, Y), (K, 2, 2)."""
        joint = np.empty((len(self.kind), 2, 2))
        for t in (0, 1):
            bought = self.intent @ (self.arm(t) * self.outcome[t])
            joint[:, t, 1] = self.kind * bought
            joint[:, t, 0] = self.kind * (self.intent @ self.arm(t) - bought)
        return joint

    def logged(self) -> pd.DataFrame:
        """The law of every logged column: one row a cell, with its ``probability``."""
        kind, t, y = (axis.ravel() for axis in np.indices((len(self.kind), 2, 2)))
        return pd.DataFrame(
            {
                "kind": kind,
                "treatment": t,
                "outcome": y,
                "propensity": self.propensity()[kind],
                "probability": self.cells().ravel(),
            }
        )

    def without_intent(self) -> BannerLaw:
        """The other world with the same log: no intent, and P(Y | do(T = t), H) = see(t).

        Every logged column has the same law there, so no model and no sample can tell the two
        apart; the effects differ by `bias`.
        """
        return BannerLaw(
            kind=self.kind,
            intent=np.ones(1),
            treat=self.propensity()[None],
            outcome=np.stack([self.see(t)[None] for t in (0, 1)]),
        )

    def lambda_intent(self) -> float:
        r"""The largest odds ratio of P(T = 1 | H, z) to P(T = 1 | H), or its inverse.

        A bound at this :math:`\Lambda` covers the effect; a smaller one may suffice.
        """
        return _largest_odds_ratio(self.treat, self.propensity())

    def lambda_outcome(self) -> float:
        r"""The largest odds ratio of P(T = 1 | H, Y(t)) to P(T = 1 | H), or its inverse.

        This is the :math:`\Lambda` of Zhao, Small and Bhattacharya (2019): given the history, only
        what intent says about the potential outcome matters.
        """
        law = np.stack([1 - self.outcome, self.outcome])  # (Y, 2, Z, K)
        given = np.einsum("z,zk,ytzk->ytk", self.intent, self.treat, law)
        given = given / np.einsum("z,ytzk->ytk", self.intent, law)
        return _largest_odds_ratio(given, self.propensity())

    def arm_bounds(self, t: int, sensitivity: float) -> tuple[float, float]:
        r"""What P(Y = 1 | do(T = t)) can be at a :math:`\Lambda`, from an endless log.

        The formula is that of `recflax.causal.sensitivity`, with expectations for sums.

        Raises:
            ValueError: t is neither 0 nor 1, or the sensitivity is below 1.
        """
        if not sensitivity >= 1:
            raise ValueError(f"sensitivity must be at least 1; got {sensitivity}")
        share = self.intent @ self.arm(t)  # (K,) P(T = t | H)
        weight = (1 - share) / share
        no, yes = self.cells()[:, t].T
        ends = []
        for up in (1 / sensitivity, sensitivity):
            bought = ((1 + up * weight) * yes).sum()
            ends.append(float(bought / (bought + ((1 + weight / up) * no).sum())))
        return ends[0], ends[1]

    def effect_bounds(self, sensitivity: float) -> tuple[float, float]:
        r"""What the effect can be at a :math:`\Lambda`, from an endless log.

        Example:
            >>> from recflax.worlds.banner import BannerConfig
            >>> law = BannerConfig(g=1.0).law()
            >>> [round(end, 3) for end in law.effect_bounds(law.lambda_outcome())]
            [0.054, 0.224]
        """
        (low_0, high_0), (low_1, high_1) = (self.arm_bounds(t, sensitivity) for t in (0, 1))
        return low_1 - high_0, high_1 - low_0


def _largest_odds_ratio(one: Any, other: Any) -> float:
    return float(np.exp(np.abs(logit(one) - logit(other)).max()))


def _check_arm(t: int) -> int:
    if t not in (0, 1):
        raise ValueError(f"t must be 0 or 1; got {t}")
    return t
