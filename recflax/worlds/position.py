r"""Position bias: a click takes a look first, and who is looked at depends on the place.

A page shows M articles at M positions, and every article stands somewhere. In context :math:`x`
(a reader, a query) article j has *relevance* :math:`\gamma_j(x)`, the chance that it is clicked if
it is looked at. The position-based model (Craswell et al. 2008) says

.. math:: P(C = 1 \mid j \text{ at } k, x) = \theta_k\, \gamma_j(x)

with :math:`\theta_k` the chance that position k is examined, whatever stands there. The old policy
orders the page by what it believes of the context. So the click rate of an article,

.. math:: E[\theta_{k(j)}\, \gamma_j] = E[\gamma_j] - E\big[(1 - \theta_{k(j)})\, \gamma_j\big] ,

misses its relevance by the second term, which is large for articles that stand low. And the click
rates of *positions* do not give the examination away: at the top stand the better articles,

.. math:: \frac{E[C_k]}{E[C_1]} = \frac{\theta_k}{\theta_1} \cdot
    \frac{E[\gamma \text{ at } k]}{E[\gamma \text{ at } 1]} .

*The swap experiment* exchanges what stands at 1 and at k by a fair coin (Joachims, Swaminathan and
Schnabel 2017). The same articles then stand at either as often, the second factor is 1, and the
ratio is :math:`\theta_k/\theta_1`. Divided by it, clicks are right up to the one factor
:math:`\theta_1`: what an article would get at the top. Everything is a sum over contexts and lists;
only the log is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recflax.estimates import Estimate
from recflax.intervals import ratio_over_people
from recflax.worlds.lists import all_lists, at_position, list_chance
from recflax.worlds.store import draw_rows


@dataclass(frozen=True, eq=False)
class Position:
    """The law of a page, and every exact answer about its clicks.

    Attributes:
        share: (X,) how often each context comes.
        relevance: (X, M) chance of a click on each article if it is looked at.
        score: (X, M) the old policy's scores: it draws the order by `recflax.worlds.lists`.
        examine: (M,) chance that each position is looked at, above 0.

    Raises:
        ValueError: a shape that does not fit, a chance out of range, or shares that do not sum to
            1; the first is named.

    Example:
        >>> page = Position(share=[1.0], relevance=[[0.4, 0.4]], score=[[1.0, 0.0]],
        ...                 examine=[1.0, 0.5])
        >>> page.truth().tolist(), page.naive().round(3).tolist()  # alike, but one stands higher
        ([0.4, 0.4], [0.346, 0.254])
        >>> page.ratio_by_swap(1), round(page.ratio_of_rates(1), 3)
        (0.5, 0.5)
    """

    share: Any
    relevance: Any
    score: Any
    examine: Any

    def __post_init__(self) -> None:
        """Check the numbers, and keep them as numpy."""
        for name, axes in (("share", 1), ("relevance", 2), ("score", 2), ("examine", 1)):
            array = np.asarray(getattr(self, name), dtype=float)
            if array.ndim != axes or not array.size:
                raise ValueError(f"{name} must have {axes} axes; got shape {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite; got {array.tolist()}")
            if name != "score" and not ((array >= 0) & (array <= 1)).all():
                raise ValueError(f"{name} must be from 0 to 1; got {array.tolist()}")
            object.__setattr__(self, name, array)
        contexts, items = self.relevance.shape
        _check_shape(self.share, "share", (contexts,))
        _check_shape(self.score, "score", (contexts, items))
        _check_shape(self.examine, "examine", (items,))
        if abs(self.share.sum() - 1) > 1e-9:
            raise ValueError(f"share must sum to 1; got {self.share.sum()}")
        if not self.examine.min() > 0:
            raise ValueError(f"examine must be above 0; got {self.examine.tolist()}")

    @cached_property
    def lists(self) -> np.ndarray:
        """(P, M) every order of the articles."""
        return all_lists(len(self.examine), len(self.examine))

    @cached_property
    def chance(self) -> np.ndarray:
        """(X, P) how often the old policy shows each order, in each context."""
        return list_chance(self.score, self.lists)

    @cached_property
    def placed(self) -> np.ndarray:
        """(X, M, K) how often each article stands at each position."""
        return at_position(self.lists, self.chance, len(self.examine))

    def truth(self) -> np.ndarray:
        """(M,) the relevance of each article: its click rate if it were always looked at."""
        return self.share @ self.relevance

    def naive(self) -> np.ndarray:
        """(M,) the click rate of each article in the log."""
        return self.weighted(np.ones(len(self.examine)))

    def shortfall(self) -> np.ndarray:
        r"""(M,) by how much that is too low, :math:`E[(1 - \theta_{k(j)})\, \gamma_j]`."""
        missed = self.placed @ (1 - self.examine)  # (X, M) chance of not being looked at
        return self.share @ (missed * self.relevance)

    def weighted(self, examine: Any) -> np.ndarray:
        r"""(M,) the mean of clicks over an assumed examination, :math:`E[C_j / \tilde\theta_{k}]`.

        With the true examination it is the truth; with ratios to the first position it is what
        each article would get at the top.

        Args:
            examine: (K,) above 0.

        Raises:
            ValueError: a wrong shape, or a number that is not above 0.
        """
        assumed = np.asarray(examine, dtype=float)
        _check_shape(assumed, "examine", self.examine.shape)
        if not (assumed > 0).all():
            raise ValueError(f"examine must be above 0; got {assumed.tolist()}")
        counted = self.placed @ (self.examine / assumed)  # (X, M)
        return self.share @ (counted * self.relevance)

    def click_rate(self) -> np.ndarray:
        """(K,) the click rate of each position in the log."""
        return self._click_rate(self.placed)

    def ratio_of_rates(self, k: int) -> float:
        """The click rate at position k over that at the top: examination times what stands there.

        Args:
            k: 1 to K - 1; 0 is the top.

        Raises:
            ValueError: k out of range.
        """
        rate = self.click_rate()
        return float(rate[self._low(k)] / rate[0])

    def ratio_by_swap(self, k: int) -> float:
        """The same ratio while a coin exchanges the top with k: the examination alone."""
        low = self._low(k)
        rate = self._click_rate(self._swapped(low))
        return float(rate[low] / rate[0])

    def swap_std_error(self, k: int, requests: int) -> float:
        r"""The standard error of the ratio from so many requests of the experiment.

        .. math:: \frac{1}{\sqrt n\, E[C_1]} \sqrt{E\big[(C_k - r\,C_1)^2\big]}
            \quad \text{(the delta method; } E[C_k - r\,C_1] = 0\text{)}

        Raises:
            ValueError: k out of range, or requests below 1.
        """
        low, ratio = self._low(k), self.ratio_by_swap(k)
        if requests < 1:
            raise ValueError(f"requests must be at least 1; got {requests}")
        first, other = self.lists[:, 0], self.lists[:, low]
        both = np.einsum(
            "x,xp,xp->", self.share, self.chance,
            self.relevance[:, first] * self.relevance[:, other],
        )  # fmt: skip
        top, below = self._click_rate(self._swapped(low))[[0, low]]
        joint = self.examine[0] * self.examine[low] * both
        square = below + ratio**2 * top - 2 * ratio * joint
        return float(np.sqrt(square / requests) / top)

    def log(self, requests: int, seed: int, swap: int | None = None) -> PositionLog:
        """Draw requests: a context, an order, looks and clicks.

        Args:
            requests: n, at least 1.
            seed: the same seed gives the same log.
            swap: exchange the top with this position by a coin at each request; None swaps
                nothing.

        Raises:
            ValueError: requests below 1, or a position out of range.
        """
        if requests < 1:
            raise ValueError(f"requests must be at least 1; got {requests}")
        rng = np.random.default_rng(seed)
        context = rng.choice(len(self.share), size=requests, p=self.share)
        order = self.lists[draw_rows(self.chance[context], rng)]  # (n, M)
        coin = rng.random(requests) < 0.5
        if swap is not None:
            low = self._low(swap)
            columns, exchanged = np.array([0, low]), np.array([low, 0])
            order[np.ix_(coin, columns)] = order[np.ix_(coin, exchanged)]
        looked = rng.random(order.shape) < self.examine
        wanted = rng.random(order.shape) < self.relevance[context[:, None], order]
        return PositionLog(order, looked & wanted)

    def _click_rate(self, placed: np.ndarray) -> np.ndarray:
        return self.examine * np.einsum("x,xmk,xm->k", self.share, placed, self.relevance)

    def _swapped(self, low: int) -> np.ndarray:
        """(X, M, K) how often each article stands where, while a coin exchanges two positions."""
        exchanged = self.placed.copy()
        exchanged[..., [0, low]] = self.placed[..., [low, 0]]
        return (self.placed + exchanged) / 2

    def _low(self, k: int) -> int:
        if not 1 <= k < len(self.examine):
            raise ValueError(f"k must be from 1 to {len(self.examine) - 1}; got {k}")
        return k


@dataclass(frozen=True, eq=False)
class PositionLog:
    """Requests of a page: what stood where, and what was clicked. No look is logged.

    Attributes:
        order: (n, K) article 0 to M - 1 at each position.
        clicked: (n, K) bool.
    """

    order: np.ndarray
    clicked: np.ndarray

    def ratio(self, k: int) -> Estimate:
        """Clicks at position k over clicks at the top, with an interval over requests."""
        return ratio_over_people(self.clicked[:, k], self.clicked[:, 0])

    def rates(self, examine: Any = None) -> np.ndarray:
        """(M,) clicks per request of each article, each over the examination of its position.

        Args:
            examine: (K,) above 0; None counts every click once.
        """
        each = self.clicked / (1.0 if examine is None else np.asarray(examine, dtype=float))
        return np.bincount(self.order.ravel(), each.ravel()) / len(self.order)


def _check_shape(array: np.ndarray, name: str, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}; got {array.shape}")
