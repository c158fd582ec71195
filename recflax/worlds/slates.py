r"""A page is a list: what weights of whole lists cost, and what weights of single places leave out.

A list of K of M items is shown. Position k is looked at with chance :math:`\theta_k`, and then item
j is clicked with chance :math:`\gamma_j`, less where a neighbour is about the same topic:

.. math:: c_k(A) = \theta_k\, \gamma_{a_k}
    \big(1 - s_{above}\, 1[a_{k-1} \sim a_k]\big) \big(1 - s_{below}\, 1[a_{k+1} \sim a_k]\big)

With both s at 0 a click depends on the item and its position alone. Clicks of one list are
independent. The value of a policy is :math:`V = \sum_A \pi(A) \sum_k c_k(A)`, and an estimate that
is a mean of :math:`\sum_k w_k(A)\, C_k` over lists drawn by the old policy :math:`\mu` has

.. math::

    \text{mean} &= \sum_A \mu(A) \sum_k w_k(A)\, c_k(A) \\
    \text{variance of a row} &= \sum_A \mu(A) \Big[ \Big(\sum_k w_k c_k\Big)^2
        + \sum_k w_k^2\, c_k (1 - c_k) \Big] - \text{mean}^2

Both are sums over all lists here. The weights are those of `recflax.causal.slate_value`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from recflax.causal.slate_value import slate_value, slate_weights
from recflax.estimates import Estimate
from recflax.worlds.lists import all_lists, list_chance
from recflax.worlds.store import draw_rows


class SlateLog(NamedTuple):
    """Requests that showed a list.

    Attributes:
        row: (n,) which of the lists was shown.
        clicked: (n, K) bool.
    """

    row: np.ndarray
    clicked: np.ndarray


@dataclass(frozen=True, eq=False)
class Slates:
    """The law of a list and its clicks, an old policy and a new one, and every exact answer.

    Attributes:
        relevance: (M,) chance of a click on each item if it is looked at.
        topic: (M,) integers.
        examine: (K,) chance that each position is looked at, K at most M.
        old: (M,) scores of the policy that wrote the log; lists as in `recflax.worlds.lists`.
        new: (M,) scores of the policy that is asked about.
        above: what an item above of the same topic takes off a click, 0 to 1.
        below: what an item below of the same topic takes off it, 0 to 1.

    Raises:
        ValueError: a shape that does not fit, or a number out of range; the first is named.

    Example:
        >>> page = Slates(relevance=[0.5, 0.4, 0.2], topic=[0, 0, 1], examine=[1.0, 0.5],
        ...               old=[0.0, 0.0, 0.0], new=[1.0, 1.0, 0.0])
        >>> abs(page.bias("item")) < 1e-12, abs(page.bias("list")) < 1e-12
        (True, True)
        >>> page.variance("item") < page.variance("list")
        True
    """

    relevance: Any
    topic: Any
    examine: Any
    old: Any
    new: Any
    above: float = 0.0
    below: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers, and keep them as numpy."""
        items = np.shape(self.relevance)
        for name in ("relevance", "topic", "examine", "old", "new"):
            array = np.asarray(getattr(self, name), dtype=int if name == "topic" else float)
            if array.ndim != 1 or not array.size:
                raise ValueError(f"{name} must have one axis; got shape {array.shape}")
            if name != "examine" and array.shape != items:
                raise ValueError(f"{name} must have shape {items}; got {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite; got {array.tolist()}")
            object.__setattr__(self, name, array)
        for name in ("relevance", "examine", "above", "below"):
            value = getattr(self, name)
            if not ((np.asarray(value) >= 0) & (np.asarray(value) <= 1)).all():
                raise ValueError(f"{name} must be from 0 to 1; got {np.asarray(value).tolist()}")

    @cached_property
    def lists(self) -> np.ndarray:
        """(P, K) every list."""
        return all_lists(len(self.relevance), len(self.examine))

    @cached_property
    def shown(self) -> np.ndarray:
        """(P,) how often the old policy shows each list."""
        return list_chance(self.old, self.lists)

    @cached_property
    def wanted(self) -> np.ndarray:
        """(P,) how often the new policy would."""
        return list_chance(self.new, self.lists)

    @cached_property
    def click(self) -> np.ndarray:
        """(P, K) c, the chance of a click at each position of each list."""
        topic = self.topic[self.lists]
        alike = topic[:, 1:] == topic[:, :-1]  # (P, K - 1): k and the one below it
        click = self.examine * self.relevance[self.lists]
        click[:, 1:] *= 1 - self.above * alike
        click[:, :-1] *= 1 - self.below * alike
        return click

    def value(self) -> float:
        """Clicks per list under the new policy, exactly."""
        return float(self.wanted @ self.click.sum(axis=1))

    def value_of_old(self) -> float:
        """Clicks per list under the old one, which the log shows without any weight."""
        return float(self.shown @ self.click.sum(axis=1))

    def weights(self, by: str) -> np.ndarray:
        """(P, K) the weights of clicks; ``by`` is one of `recflax.causal.slate_value.WAYS`."""
        return slate_weights(self.lists, self.shown, self.wanted, by)

    def expected(self, by: str) -> float:
        """The mean of the estimate, exactly."""
        return float(self.shown @ (self.weights(by) * self.click).sum(axis=1))

    def bias(self, by: str) -> float:
        """How far that is from the value. No number of rows makes it smaller."""
        return self.expected(by) - self.value()

    def variance(self, by: str) -> float:
        """The variance of the estimate times the number of rows, exactly."""
        weight, click = self.weights(by), self.click
        square = (weight * click).sum(axis=1) ** 2
        square += (weight**2 * click * (1 - click)).sum(axis=1)
        return float(self.shown @ square) - self.expected(by) ** 2

    def error(self, by: str, rows: int) -> float:
        """The root mean squared error from so many rows: bias and spread together.

        Raises:
            ValueError: rows below 1.
        """
        if rows < 1:
            raise ValueError(f"rows must be at least 1; got {rows}")
        return float(np.hypot(self.bias(by), np.sqrt(self.variance(by) / rows)))

    def log(self, rows: int, seed: int) -> SlateLog:
        """Draw requests under the old policy.

        Args:
            rows: n, at least 1.
            seed: the same seed gives the same log.

        Raises:
            ValueError: rows below 1.
        """
        if rows < 1:
            raise ValueError(f"rows must be at least 1; got {rows}")
        rng = np.random.default_rng(seed)
        row = draw_rows(np.broadcast_to(self.shown, (rows, len(self.shown))), rng)
        return SlateLog(row, rng.random((rows, len(self.examine))) < self.click[row])

    def estimate(self, log: SlateLog, by: str) -> Estimate:
        """The value of the new policy, from a log of the old one."""
        return slate_value(self.weights(by)[log.row], log.clicked)
