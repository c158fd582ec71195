r"""Did a ranking put those first whom the treatment moves? Asked of a randomised log.

People are ranked by a score, best first, and the treatment was drawn by a coin that did not look
at them. With :math:`N_1` treated, :math:`N_0` others, and :math:`z_i = T_i Y_i / N_1 -
(1 - T_i) Y_i / N_0`, the *Qini curve*

.. math:: Q(\varphi) = \sum_{i \,\in\, \text{first share } \varphi} z_i

estimates what treating the first share :math:`\varphi` of the people, and nobody else, adds per
person. It ends at the difference of means; treating the same share at random adds
:math:`\varphi\, Q(1)`, a straight line. The *Qini area* is what lies between the two,

.. math:: A = \int_0^1 \big( Q(\varphi) - \varphi\, Q(1) \big)\, d\varphi
    = \sum_i z_i \Big( \tfrac12 - \frac{r_i - 1/2}{n} \Big)

with :math:`r_i` the place of i, 1 the best. So it is a difference of means, each outcome weighted
by where its person stands: no model, and nothing to choose. People of one score stand in uniformly
random order, and everything here is the expectation over these orders: :math:`r_i` is then the
mean of the places that they share. A constant score has an area of exactly 0.

Radcliffe (2007) scales the untreated part by the numbers *within* the first share instead of the
total ones, and divides the area by that of an ideal ranking. Under a coin the two curves agree up
to chance; this one is a sum over people, so that ties and resampling are exact, and its area keeps
the unit of the outcome.

The score must come from other people than those in the log: an area on the rows that a model was
fitted to is flattery. Intervals are about people like these, drawn again person by person and
ranked anew, with the score as a given function.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.stats import rankdata

from recflax.causal.logged import Treated, finite_vector
from recflax.estimates import PEOPLE_LIKE_THEM, Estimate, check_share
from recflax.intervals import mean_over_people

_BLOCK = 1 << 22  # draws of the bootstrap that are held in memory at once


def uplift_by_group(
    log: Treated, score: Any, groups: int = 10, *, level: float = 0.95
) -> list[Estimate]:
    r"""The difference of means within each tenth of the ranking, the best first.

    .. math:: \hat\tau_g = \frac{\sum_i w_{ig} T_i Y_i}{\sum_i w_{ig} T_i}
        - \frac{\sum_i w_{ig} (1 - T_i) Y_i}{\sum_i w_{ig} (1 - T_i)}

    with :math:`w_{ig}` the chance that i stands in group g: 0 or 1, but for scores that are tied
    across a border.

    Args:
        log: the rows, randomised.
        score: (n,) finite; higher is ranked first.
        groups: how many groups of equal size, 1 to n.
        level: coverage of the intervals, in (0, 1).

    Raises:
        TypeError: scores that are no numbers, or groups that are no integer.
        ValueError: another shape, a score that is not finite, ``groups`` out of range, or a group
            in which nobody was treated, or everybody.

    Source: Radcliffe (2007), who draws these bars beside the Qini curve.

    Example:
        >>> log = Treated([1, 0, 1, 0], [1.0, 0.0, 1.0, 1.0])
        >>> [found.value for found in uplift_by_group(log, [4, 3, 2, 1], groups=2)]
        [1.0, 0.0]
        >>> [found.value for found in uplift_by_group(log, [0, 0, 0, 0], groups=2)]
        [0.5, 0.5]
    """
    above, tied = _places(finite_vector(score, "score", (log.n,)))
    if isinstance(groups, bool) or not isinstance(groups, int | np.integer):
        raise TypeError(f"groups must be an integer; got {groups!r}")
    if not 1 <= groups <= log.n:
        raise ValueError(f"groups must be from 1 to the {log.n} rows; got {groups}")
    found = []
    for group in range(groups):
        first, last = (edge * log.n / groups for edge in (group, group + 1))
        shared = np.minimum(above + tied, last) - np.maximum(above, first)
        weight = np.clip(shared, 0, None) / tied  # (n,) chance of standing in this group
        value, parts = 0.0, np.zeros(log.n)
        for sign, given in ((1, log.treatment), (-1, 1 - log.treatment)):
            share = weight * given
            if not share.sum() > 0:
                who = "treated" if sign == 1 else "left untreated"
                raise ValueError(f"group {group} of {groups} holds nobody who was {who}")
            mean = share @ log.outcome / share.sum()
            value += sign * mean
            parts += sign * share * (log.outcome - mean) * log.n / share.sum()
        found.append(mean_over_people(value + parts, log.person, level=level))
    return found


@dataclass(frozen=True, eq=False)
class QiniCurve:
    """A Qini curve at P shares of the people, with pointwise intervals; see `qini_curve`.

    Attributes:
        share: (P,) share of the people that is treated, from 0 to 1.
        gain: (P,) what that adds per person, in the unit of the outcome.
        lower: (P,) lower ends of the pointwise intervals.
        upper: (P,) upper ends.
    """

    share: np.ndarray
    gain: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def qini_curve(
    log: Treated,
    score: Any,
    *,
    above_random: bool = False,
    points: int = 101,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int | np.random.SeedSequence = 0,
) -> QiniCurve:
    r"""The Qini curve with pointwise intervals from a bootstrap over people.

    Args:
        log: the rows, randomised.
        score: (n,) finite; higher is ranked first.
        above_random: whether the straight line :math:`\varphi\, Q(1)` is taken off, so that the
            intervals say how far the ranking is from a random one.
        points: P, at how many shares, at least 2.
        level: coverage of the intervals, each alone, in (0, 1).
        replicates: draws of the bootstrap, at least 2.
        seed: seed of the bootstrap.

    Raises:
        TypeError: scores that are no numbers.
        ValueError: another shape, a score that is not finite, an argument out of range, or so few
            people that a replicate drew one arm only.

    Source: Radcliffe (2007); see the head of this module for what differs.

    Example:
        >>> log = Treated([1, 0, 1, 0], [1.0, 0.0, 1.0, 1.0])
        >>> qini_curve(log, [4, 3, 2, 1], points=5, replicates=2, seed=5).gain.tolist()
        [0.0, 0.5, 0.5, 1.0, 0.5]
    """
    if points < 2:
        raise ValueError(f"points must be at least 2; got {points}")
    check_share(level, "level")
    share = np.linspace(0, 1, points)
    rows = _Ranked.of(log, score)

    def curve(counts: np.ndarray) -> np.ndarray:
        place, gain = rows.curve(counts)
        at = np.array([np.interp(share, x, y) for x, y in zip(place, gain, strict=True)])
        return at - share * gain[:, -1:] if above_random else at  # (R, P)

    found = curve(np.ones((1, log.n)))[0]
    drawn = np.concatenate([curve(counts) for counts in _draws(log, replicates, seed)])
    lower, upper = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return QiniCurve(share, found, lower, upper)


def qini_area(
    log: Treated,
    score: Any,
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int | np.random.SeedSequence = 0,
) -> Estimate:
    """The area between the Qini curve and the line of a random ranking, in the outcome's unit.

    Arguments and errors are those of `qini_curve`. The interval has the percentiles of the
    bootstrap for its ends.

    Source: Radcliffe (2007), whose coefficient is this area over that of an ideal ranking.

    Example:
        >>> log = Treated([1, 0, 1, 0], [1.0, 0.0, 1.0, 1.0])
        >>> qini_area(log, [4, 3, 2, 1], replicates=2, seed=5).value  # (3/8 - 1/8 + 3/8) / 2
        0.3125
        >>> qini_area(log, [0, 0, 0, 0], replicates=2, seed=5).value
        0.0
    """
    return _bootstrapped(log, [score], level, replicates, seed)


def qini_difference(
    log: Treated,
    first: Any,
    second: Any,
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int | np.random.SeedSequence = 0,
) -> Estimate:
    """The Qini area of one ranking less that of another, both on the same drawn people.

    What the two share, above all the luck of who visited, cancels, so the interval is shorter than
    that of two areas side by side. Other arguments and errors are those of `qini_curve`.

    Args:
        log: the rows, randomised.
        first: (n,) scores of one ranking.
        second: (n,) scores of the other.
        level: coverage of the interval, in (0, 1).
        replicates: draws of the bootstrap, at least 2.
        seed: seed of the bootstrap.

    Example:
        >>> log = Treated([1, 0, 1, 0], [1.0, 0.0, 1.0, 1.0])
        >>> qini_difference(log, [4, 3, 2, 1], [1, 2, 3, 4], replicates=2, seed=5).value
        0.625
    """
    return _bootstrapped(log, [first, second], level, replicates, seed)


def _bootstrapped(
    log: Treated,
    scores: list[Any],
    level: float,
    replicates: int,
    seed: int | np.random.SeedSequence,
) -> Estimate:
    """The area of the first ranking, less that of the second if there is one."""
    check_share(level, "level")
    ranked = [_Ranked.of(log, score) for score in scores]

    def areas(counts: np.ndarray) -> np.ndarray:
        found = [one.area(counts) for one in ranked]
        return found[0] - found[1] if len(found) == 2 else found[0]

    value = areas(np.ones((1, log.n)))[0]
    drawn = np.concatenate([areas(counts) for counts in _draws(log, replicates, seed)])
    lower, upper = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, drawn.std(ddof=1), lower, upper, PEOPLE_LIKE_THEM, level=level)


def _places(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many are ranked above each, and how many share its place, itself among them; (n,)."""
    above = rankdata(-score, method="min") - 1
    return above, rankdata(-score, method="max") - above


@dataclass(frozen=True, eq=False)
class _Ranked:
    """The distinct scores of a log, best first, and what stands at each: sparse tables (S, n)."""

    log: Treated
    people: sparse.csr_array
    treated: sparse.csr_array
    others: sparse.csr_array

    @classmethod
    def of(cls, log: Treated, score: Any) -> _Ranked:
        score = finite_vector(score, "score", (log.n,))
        distinct, which = np.unique(-score, return_inverse=True)
        t, y, shape = log.treatment, log.outcome, (len(distinct), log.n)
        place = (which, np.arange(log.n))
        tables = (np.ones(log.n), t * y, (1 - t) * y)
        return cls(log, *(sparse.csr_array((table, place), shape) for table in tables))

    def grouped(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each score: its people, and the sum of their z, both (R, S).

        Args:
            counts: (R, n) how often each row was drawn.
        """
        n_1 = counts @ self.log.treatment  # (R,)
        n_0 = counts.sum(axis=1) - n_1
        if not min(n_1.min(), n_0.min()) > 0:
            raise ValueError("a replicate drew people of one arm only: too few for a bootstrap")
        drawn = counts.T
        z = (self.treated @ drawn) / n_1 - (self.others @ drawn) / n_0
        return (self.people @ drawn).T, z.T

    def area(self, counts: np.ndarray) -> np.ndarray:
        """(R,) the Qini area of each replicate."""
        people, z = self.grouped(counts)
        place = (np.cumsum(people, axis=1) - people / 2) / people.sum(axis=1, keepdims=True)
        return (z * (0.5 - place)).sum(axis=1)

    def curve(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The corners of the curve of each replicate: shares and gains, (R, S + 1)."""
        people, gain = (
            np.pad(np.cumsum(part, axis=1), ((0, 0), (1, 0))) for part in self.grouped(counts)
        )
        return people / people[:, -1:], gain


def _draws(
    log: Treated, replicates: int, seed: int | np.random.SeedSequence
) -> Iterator[np.ndarray]:
    """Yield (R', n): how often each row is drawn, when people are drawn with replacement."""
    if replicates < 2:
        raise ValueError(f"replicates must be at least 2; got {replicates}")
    _, person = np.unique(log.person, return_inverse=True)
    people = int(person.max()) + 1
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // log.n)
    for start in range(0, replicates, block):
        rows = min(block, replicates - start)
        drawn = rng.integers(0, people, (rows, people)) + people * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * people).reshape(rows, people)
        yield counts[:, person].astype(float)
