r"""A purchase that comes later than the report: the bias of an immature window, exactly.

A customer is shown one of K policies and buys within W days with chance :math:`p_k`. If she buys,
it is on day :math:`d = 1 \dots W` with chance :math:`f_k(d)`. A report is drawn up on a day when
the customer was shown her slot :math:`a` days ago, her *age*; what it can see is a purchase of the
first a days. With :math:`F_k(a) = \sum_{d \le a} f_k(d)` and :math:`g(a)` the share of customers
of each age,

.. math:: E[\text{seen}] = p_k \sum_a g(a)\, F_k(a), \qquad
    \text{shortfall} = p_k \sum_a g(a)\, \big(1 - F_k(a)\big)

so each policy is low by its own unseen share, and two policies of different delay may change
places. Two cures: wait, and count customers of age W and more only (a *matured* window); or count
a purchase of a customer of age a as :math:`1 / F_k(a)` purchases, since it stands for those that
are still to come,

.. math:: E\Big[\frac{\text{seen}}{F_k(a)}\Big]
    = \sum_a g(a)\, \frac{p_k F_k(a)}{F_k(a)} = p_k .

Both need the age to say nothing of the customer, and the second the delay of *this* policy.
Everything is a sum over days; only the report is drawn. Source: Chapelle (2014), "Modeling Delayed
Feedback in Display Advertising", for the problem; Horvitz and Thompson (1952) for the weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Delay:
    """Policies, the delay of their purchases, and the ages in the report.

    Attributes:
        buys: (K,) chance of a purchase within the W days.
        delay: (K, W) chance of each day 1 to W, given that there is a purchase.
        age: (A,) share of customers who were shown their slot 1, 2, ..., A days ago.

    Raises:
        ValueError: a shape that does not fit, a chance out of range, or chances that do not sum to
            1; the first is named.

    Example:
        >>> world = Delay(buys=(0.10, 0.12), delay=((0.8, 0.2), (0.3, 0.7)), age=(0.5, 0.5))
        >>> world.seen().round(3).tolist(), world.shortfall().round(3).tolist()
        ([0.09, 0.078], [0.01, 0.042])
        >>> world.weighted().round(3).tolist()
        [0.1, 0.12]
    """

    buys: Any
    delay: Any
    age: Any

    def __post_init__(self) -> None:
        """Check the numbers, and keep them as numpy."""
        for name, axes in (("buys", 1), ("delay", 2), ("age", 1)):
            array = np.asarray(getattr(self, name), dtype=float)
            if array.ndim != axes or not array.size:
                raise ValueError(f"{name} must have {axes} axes; got shape {array.shape}")
            if not ((array >= 0) & (array <= 1)).all():
                raise ValueError(f"{name} must be from 0 to 1; got {array.tolist()}")
            object.__setattr__(self, name, array)
        if len(self.delay) != len(self.buys):
            raise ValueError(
                f"delay must have a row for each of {len(self.buys)} policies; got "
                f"{len(self.delay)}"
            )
        for name in ("delay", "age"):
            total = getattr(self, name).sum(axis=-1)
            if not np.allclose(total, 1, atol=1e-9):
                raise ValueError(f"{name} must sum to 1; got {total.tolist()}")

    @property
    def window(self) -> int:
        """W, the days within which a purchase counts."""
        return self.delay.shape[1]

    def arrived(self) -> np.ndarray:
        """F, (K, A): the share of purchases that has come by each age; 1 from age W on."""
        by_day = np.cumsum(self.delay, axis=1)
        days = np.minimum(np.arange(len(self.age)), self.window - 1)
        return np.minimum(by_day[:, days], 1.0)

    def seen(self) -> np.ndarray:
        """(K,) the expected rate of the report: purchases that have come, over all customers."""
        return self.buys * (self.arrived() @ self.age)

    def shortfall(self) -> np.ndarray:
        """(K,) how far that is below the truth, `buys`: the purchases still to come."""
        return self.buys * ((1 - self.arrived()) @ self.age)

    def matured_share(self) -> float:
        """The share of customers whose window is over."""
        return float(self.age[self.window - 1 :].sum())

    def weighted(self, delay: Any = None) -> np.ndarray:
        r"""(K,) the expected weighted rate, :math:`p_k \sum_a g(a) F_k(a) / \tilde F_k(a)`.

        Args:
            delay: the delay (K, W) or (W,) by which purchases are weighted; None is each policy's
                own, and then the weighted rate is the truth.

        Raises:
            ValueError: at an age that occurs no purchase can have come: nothing to weight.
        """
        return self.buys * ((self.arrived() * self._weights(delay)) @ self.age)

    def variances(self) -> dict[str, np.ndarray]:
        r"""(K,) variance of each cure's estimate times the number of customers in the report.

        A matured window uses the share :math:`m` of customers, the weights all of them:

        .. math:: \text{matured } \frac{p (1 - p)}{m}, \qquad
            \text{weighted } p \sum_a \frac{g(a)}{F(a)} - p^2 .

        Raises:
            ValueError: nobody's window is over, or no purchase can have come at some age.
        """
        matured = self.matured_share()
        if not matured > 0:
            raise ValueError(f"nobody is of age {self.window} or more: no window is matured")
        return {
            "matured": self.buys * (1 - self.buys) / matured,
            "weighted": self.buys * (self._weights(None) @ self.age) - self.buys**2,
        }

    def report(self, customers: int, seed: int, policy: Any = None) -> DelayReport:
        """Draw a report.

        Args:
            customers: n, at least 1.
            seed: the same seed gives the same report.
            policy: (n,) which policy each customer got; None draws it evenly.

        Raises:
            ValueError: ``customers`` below 1, or policies of another shape or out of range.
        """
        if customers < 1:
            raise ValueError(f"customers must be at least 1; got {customers}")
        rng = np.random.default_rng(seed)
        if policy is None:
            policy = rng.integers(0, len(self.buys), customers)
        policy = np.asarray(policy)
        if policy.shape != (customers,) or not np.isin(policy, range(len(self.buys))).all():
            raise ValueError(
                f"policy must hold {customers} numbers from 0 to {len(self.buys) - 1}; got shape "
                f"{policy.shape}"
            )
        age = 1 + _drawn(self.age[None].repeat(customers, axis=0), rng)
        day = 1 + _drawn(self.delay[policy], rng)
        bought = rng.random(customers) < self.buys[policy]
        return DelayReport(policy, age, np.where(bought & (day <= age), day, 0))

    def weight(self, report: DelayReport, delay: Any = None) -> np.ndarray:
        """(n,) what a purchase of each customer of a report counts: 1 / F at her age.

        Args:
            report: what `report` drew.
            delay: as in `weighted`.
        """
        return self._weights(delay)[report.policy, report.age - 1]

    def _weights(self, delay: Any) -> np.ndarray:
        """1 / F, (K, A); ages that do not occur get 0."""
        if delay is None:
            share = self.arrived()
        else:
            shape = self.delay.shape
            share = Delay(self.buys, np.broadcast_to(delay, shape), self.age).arrived()
        occurs = np.broadcast_to(self.age > 0, share.shape)
        empty = np.argwhere(occurs & ~(share > 0))
        if len(empty):
            policy, age = (int(i) for i in empty[0])
            raise ValueError(
                f"no purchase of policy {policy} can have come at age {age + 1}: no weight makes "
                "up for what is never seen"
            )
        return np.divide(1.0, share, out=np.zeros_like(share), where=occurs)


@dataclass(frozen=True, eq=False)
class DelayReport:
    """What the shop knows on the day of the report, one entry a customer, (n,).

    Attributes:
        policy: which policy filled the slot.
        age: days since, 1 and up.
        day: on which day of her window the customer bought, or 0: not yet, or never.
    """

    policy: np.ndarray
    age: np.ndarray
    day: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        """(n,) 1.0 where a purchase has come, else 0.0."""
        return (self.day > 0).astype(float)


def _drawn(chance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One column of each row of chances (n, C), drawn."""
    ends = np.cumsum(chance, axis=1)[:, :-1]
    return (rng.random(len(chance))[:, None] >= ends).sum(axis=1)
