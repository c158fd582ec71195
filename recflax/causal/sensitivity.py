r"""How strong would a hidden confounder have to be? Bounds on an effect at a given strength.

Given what is known, X, let the odds of the treatment differ by at most a factor
:math:`\Lambda \ge 1`, up or down, from those of a person whose potential outcome Y(t) we knew,

.. math:: \frac1\Lambda \le \frac{P(T=1 \mid X)\,/\,P(T=0 \mid X)}
    {P(T=1 \mid X, Y(t))\,/\,P(T=0 \mid X, Y(t))} \le \Lambda

(the marginal sensitivity model: Tan 2006; Zhao, Small and Bhattacharya 2019). Then
each row's inverse weight :math:`1 + w_i`, with :math:`w = (1 - p)/p` and p the chance of the arm
that it is in, may be anything from :math:`1 + w_i/\Lambda` to :math:`1 + \Lambda w_i`. With a
binary outcome the extreme weighted means are closed: purchases take one end, the rest the other,

.. math:: \text{top} = \frac{\sum_i (1 + \Lambda w_i) Y_i}
    {\sum_i (1 + \Lambda w_i) Y_i + \sum_i (1 + w_i/\Lambda)(1 - Y_i)}

over the rows of the arm; the bottom swaps :math:`\Lambda` and :math:`1/\Lambda`. At
:math:`\Lambda = 1` both are the self-normalised inverse-weighted mean.

The bounds hold but are not sharp: the weights that reach them need not average to what X allows,
and Dorn and Guo (2023) tighten them by asking for it. Propensities are taken as known; where they
were fitted, the paper's bootstrap fits them again in every replicate.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from recflax.causal.logged import Nuisances, Treated
from recflax.estimates import PEOPLE_LIKE_THEM, Estimate, check_share

_BLOCK = 1 << 22  # draws of a bootstrap that are held in memory at once


class Bounds(NamedTuple):
    """What a number can be; both ends have the shape of the sensitivity that was asked for.

    Attributes:
        lower: the lower end.
        upper: the upper end.
    """

    lower: Any
    upper: Any


def arm_bounds(log: Treated, nuisances: Nuisances, sensitivity: Any, *, arm: int) -> Bounds:
    r"""Bounds on the mean outcome under a treatment, E[Y(1)], or without it, E[Y(0)].

    Args:
        log: the rows; outcomes are 0 or 1.
        nuisances: ``propensity``, bound to the log.
        sensitivity: :math:`\Lambda`, a number or an array, at least 1.
        arm: 1 or 0.

    Raises:
        TypeError: nuisances that are not bound to a log.
        ValueError: outcomes that are not 0 or 1, a sensitivity below 1 or not finite, an arm that
            is neither, or nuisances of another log.

    Example:
        >>> log = Treated([1, 1, 0, 0], [1, 0, 1, 0])
        >>> known = log.bind(propensity=[0.5] * 4)
        >>> bounds = arm_bounds(log, known, [1.0, 3.0], arm=1)
        >>> bounds.lower.round(3).tolist(), bounds.upper.round(3).tolist()
        ([0.5, 0.25], [0.5, 0.75])
    """
    if arm not in (0, 1):
        raise ValueError(f"arm must be 0 or 1; got {arm}")
    strength = _check_sensitivity(sensitivity)
    sums = _rows(log, nuisances).sum(axis=0)
    return Bounds(_mean(sums[arm], 1 / strength), _mean(sums[arm], strength))


def effect_bounds(log: Treated, nuisances: Nuisances, sensitivity: Any) -> Bounds:
    r"""Bounds on the average effect, E[Y(1) - Y(0)]: each arm at its own extreme.

    Args:
        log: the rows; outcomes are 0 or 1.
        nuisances: ``propensity``, bound to the log.
        sensitivity: :math:`\Lambda`, a number or an array, at least 1.

    Raises:
        TypeError: as `arm_bounds`.
        ValueError: as `arm_bounds`.

    Example:
        >>> log = Treated([1, 1, 0, 0], [1, 0, 1, 0])
        >>> bounds = effect_bounds(log, log.bind(propensity=[0.5] * 4), 3.0)
        >>> round(float(bounds.lower), 3), round(float(bounds.upper), 3)
        (-0.5, 0.5)
    """
    strength = _check_sensitivity(sensitivity)
    sums = _rows(log, nuisances).sum(axis=0)
    return Bounds(_effect(sums, 1 / strength), _effect(sums, strength))


def bootstrap_bounds(
    log: Treated,
    nuisances: Nuisances,
    sensitivity: float,
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int | np.random.SeedSequence = 0,
) -> Estimate:
    r"""An interval for the average effect at a :math:`\Lambda`: percentiles of bootstrapped bounds.

    People are drawn with replacement, all rows of one together; the ends are the lower percentile
    of the lower bounds and the upper percentile of the upper ones. If :math:`\Lambda` is large
    enough, the interval covers the effect at least as often as its level says.

    Args:
        log: the rows; outcomes are 0 or 1.
        nuisances: ``propensity``, bound to the log, and held while people are drawn.
        sensitivity: :math:`\Lambda`, at least 1.
        level: coverage, in (0, 1).
        replicates: draws, at least 2.
        seed: of the draws.

    Returns:
        The point estimate (:math:`\Lambda = 1`), its standard error over the replicates, and the
        ends of the interval.

    Raises:
        TypeError: as `arm_bounds`.
        ValueError: as `arm_bounds`, an argument out of range, or a replicate without one of the
            arms.

    Source: the percentile bootstrap of Zhao, Small and Bhattacharya (2019).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> log = Treated(np.arange(200) % 2, rng.random(200) < 0.5)
        >>> known = log.bind(propensity=np.full(200, 0.5))
        >>> found = bootstrap_bounds(log, known, 1.5)
        >>> bool(found.lower < effect_bounds(log, known, 1.5).lower)
        True
    """
    check_share(level, "level")
    if replicates < 2:
        raise ValueError(f"replicates must be at least 2; got {replicates}")
    strength = float(_check_sensitivity(sensitivity, ndim=0))
    rows = _rows(log, nuisances)
    people, index = np.unique(log.person, return_inverse=True)
    sums = np.zeros((len(people), *rows.shape[1:]))
    np.add.at(sums, index, rows)  # (G, 2, 4)
    drawn = _resampled(sums, replicates, seed)  # (R, 2, 4)
    if not (drawn[:, :, ::2].sum(axis=2) > 0).all():
        raise ValueError("a replicate has nobody in one of the arms: too few people to resample")
    lower, point, upper = (_effect(drawn, up) for up in (1 / strength, 1.0, strength))
    return Estimate(
        value=float(_effect(rows.sum(axis=0), 1.0)),
        std_error=point.std(ddof=1),
        lower=np.quantile(lower, (1 - level) / 2),
        upper=np.quantile(upper, (1 + level) / 2),
        target=PEOPLE_LIKE_THEM,
        level=level,
    )


def sign_flip(log: Treated, nuisances: Nuisances, *, tolerance: float = 1e-6) -> float:
    r"""The smallest :math:`\Lambda` at which the bounds on the effect reach 0.

    Up to it the sign of the point estimate stands, sampling error aside. The bounds widen
    steadily, so bisection finds it.

    Args:
        log: the rows; outcomes are 0 or 1.
        nuisances: ``propensity``, bound to the log.
        tolerance: relative, above 0.

    Returns:
        :math:`\Lambda`, at least 1; infinity where no strength of confounding flips the sign.

    Raises:
        TypeError: as `arm_bounds`.
        ValueError: as `arm_bounds`, or ``tolerance`` is not above 0.

    Example:
        >>> log = Treated([1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0])
        >>> round(sign_flip(log, log.bind(propensity=[0.5] * 6)), 3)
        2.0
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance must be above 0; got {tolerance}")
    sums = _rows(log, nuisances).sum(axis=0)
    sign = np.sign(_effect(sums, 1.0))
    if sign == 0:
        return 1.0

    # an arm in which all bought, or nobody, stays there; if both can move they meet and cross
    treated, others = (sums[1, 2], sums[0, 0]) if sign > 0 else (sums[1, 0], sums[0, 2])
    if not (treated > 0 and others > 0):
        return math.inf

    def stands(strength: float) -> bool:
        """Whether the bound nearest to 0 is still on its side."""
        return bool(sign * _effect(sums, strength ** -float(sign)) > 0)

    low, high = 1.0, 2.0
    while stands(high):
        low, high = high, 2 * high
    while high / low > 1 + tolerance:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if stands(middle) else (low, middle)
    return high


def _rows(log: Treated, nuisances: Nuisances) -> np.ndarray:
    """What each row adds to the four sums of its arm: Y, w Y, 1 - Y, w (1 - Y); (n, 2, 4)."""
    (chance,) = log.check_nuisances(nuisances, "propensity")
    wrong = np.flatnonzero((log.outcome != 0) & (log.outcome != 1))
    if len(wrong):
        raise ValueError(f"outcome must be 0 or 1; entry {wrong[0]} is {log.outcome[wrong[0]]:g}")
    rows = np.zeros((log.n, 2, 4))
    for arm, share in ((0, 1 - chance), (1, chance)):
        inside = log.treatment == arm
        y, weight = log.outcome[inside], (1 - share[inside]) / share[inside]
        rows[inside, arm] = np.stack([y, weight * y, 1 - y, weight * (1 - y)], axis=1)
    return rows


def _mean(sums: np.ndarray, up: Any) -> Any:
    """The mean of an arm, from sums (..., 4), if purchases weigh 1 + up w and the rest 1 + w/up."""
    yes, weighted_yes, no, weighted_no = np.moveaxis(sums, -1, 0)
    bought = yes + up * weighted_yes
    return bought / (bought + no + weighted_no / up)


def _effect(sums: np.ndarray, up: Any) -> Any:
    """The difference of the arms, from sums (..., 2, 4), each moved the other way."""
    return _mean(sums[..., 1, :], up) - _mean(sums[..., 0, :], 1 / up)


def _resampled(sums: np.ndarray, replicates: int, seed: int | np.random.SeedSequence) -> np.ndarray:
    """Sums (R, ...) over people drawn with replacement from sums (G, ...), block by block."""
    rng = np.random.default_rng(seed)
    count = len(sums)
    block = max(1, _BLOCK // count)
    flat = sums.reshape(count, -1)
    parts = []
    for start in range(0, replicates, block):
        rows = min(block, replicates - start)
        drawn = rng.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        parts.append(times @ flat)
    return np.concatenate(parts).reshape(replicates, *sums.shape[1:])


def _check_sensitivity(sensitivity: Any, ndim: int | None = None) -> np.ndarray:
    array = np.asarray(sensitivity)
    if array.dtype.kind not in "iuf" or (ndim is not None and array.ndim != ndim):
        raise TypeError(f"sensitivity must be a number, at least 1; got {sensitivity!r}")
    if not ((array >= 1) & np.isfinite(array)).all():
        raise ValueError(f"sensitivity must be finite and at least 1; got {sensitivity}")
    return array.astype(float)
