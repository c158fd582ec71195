"""Means with their intervals: over seeds, over people, of paired differences, of one seed more.

Each is a `recflax.estimates.Estimate`, whose target says whom the interval is about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import stats

from recflax.estimates import A_NEW_STORE, PEOPLE_LIKE_THEM, STORES, Estimate, check_share

_BLOCK = 1 << 22  # draws of a bootstrap that are held in memory at once


def mean_over_seeds(values: Any, level: float = 0.95, *, target: str = STORES) -> Estimate:
    r"""Return the mean over seeds with its t interval: what other stores would give.

    .. math:: \bar x \pm t_{n-1,\,(1+\text{level})/2}\; s / \sqrt n

    Args:
        values: (n,) one number a seed, n at least 2.
        level: Coverage, in (0, 1).
        target: What another seed draws: another store, unless said otherwise.

    Raises:
        TypeError: The values are no numbers.
        ValueError: Fewer than two values, NaN or infinity among them, another shape, or ``level``
            out of range.

    Example:
        >>> print(mean_over_seeds([0.44, 0.46, 0.45]))
        .45 ± .02
    """
    array = _finite_vector(values, "values")
    check_share(level, "level")
    error = array.std(ddof=1) / math.sqrt(len(array))
    width = stats.t.ppf((1 + level) / 2, len(array) - 1) * error
    return _around(array.mean(), error, width, target, level)


def mean_over_people(
    values: Any,
    people: Any = None,
    *,
    level: float = 0.95,
    method: str = "normal",
    replicates: int = 1000,
    seed: int | np.random.SeedSequence = 0,
) -> Estimate:
    r"""Return the mean over rows with an interval over people: what people like them would give.

    The rows of one person are kept together. With person sums :math:`S_g` and row counts
    :math:`n_g` of G people and N rows, the linearised variance of the mean is (Cameron and Miller
    2015, section II)

    .. math:: \frac{G}{G-1} \frac{1}{N^2} \sum_g (S_g - n_g \bar x)^2 .

    Args:
        values: (N,) one number a row.
        people: (N,) whose row it is, any labels; None means that every row is another person.
        level: Coverage, in (0, 1).
        method: ``"normal"``: mean plus and minus normal quantiles of that standard error, for
            some tens of people or more. ``"bootstrap"``: people are drawn with replacement, and
            the ends are percentiles of the replicates' means (Efron and Tibshirani 1993, ch. 13).
        replicates: Draws of the bootstrap, at least 2.
        seed: Seed of the bootstrap: an integer or a numpy ``SeedSequence``.

    Raises:
        TypeError: The values are no numbers.
        ValueError: Fewer than two people, NaN or infinity among the values (leave out, and count,
            the people without a relevant item first), shapes that differ, or an argument out of
            range.

    Example:
        >>> print(mean_over_people([0.0, 1.0, 1.0, 0.0], people=[3, 3, 5, 8]))
        .5 ± .4
    """
    array = _finite_vector(values, "values")
    options: dict[str, Any] = {
        "level": level,
        "method": method,
        "replicates": replicates,
        "seed": seed,
    }
    return ratio_over_people(array, np.ones(len(array)), people, **options)


def ratio_over_people(
    numerator: Any,
    denominator: Any,
    people: Any = None,
    *,
    level: float = 0.95,
    method: str = "normal",
    replicates: int = 1000,
    seed: int | np.random.SeedSequence = 0,
) -> Estimate:
    r"""Return a ratio of two sums over rows, with an interval over people.

    With the sums :math:`S_g` and :math:`D_g` of each of G people, the ratio is
    :math:`r = \sum_g S_g / \sum_g D_g`, and its linearised variance (the delta method)

    .. math:: \frac{G}{G-1} \frac{1}{(\sum_g D_g)^2} \sum_g (S_g - r D_g)^2 .

    Arguments beside these two, and errors, are those of `mean_over_people`.

    Args:
        numerator: (N,) one number a row.
        denominator: (N,) one number a row, with a positive sum.

    Example:
        >>> print(ratio_over_people([0.0, 2.0, 0.0, 4.0], [2.0, 2.0, 2.0, 2.0]))
        .8 ± .9
    """
    above, below = _finite_vector(numerator, "values"), _finite_vector(denominator, "denominator")
    check_share(level, "level")
    if below.shape != above.shape:
        raise ValueError(f"denominator must have the shape {above.shape}; got {below.shape}")
    if not below.sum() > 0:
        raise ValueError(f"denominator must have a positive sum; got {below.sum()}")
    total, parts = above, below
    if people is not None:
        labels = np.asarray(people)
        if labels.shape != above.shape:
            raise ValueError(f"people must have the shape {above.shape}; got {labels.shape}")
        _, index = np.unique(labels, return_inverse=True)
        total, parts = np.bincount(index, weights=above), np.bincount(index, weights=below)
    count = len(total)  # G
    if count < 2:
        raise ValueError("people must name at least two people; got one")
    ratio = total.sum() / parts.sum()
    spread = np.square(total - parts * ratio).sum() * count / (count - 1)
    error = math.sqrt(spread) / parts.sum()
    if method == "normal":
        width = stats.norm.ppf((1 + level) / 2) * error
        return _around(ratio, error, width, PEOPLE_LIKE_THEM, level)
    if method != "bootstrap":
        raise ValueError(f"method must be 'normal' or 'bootstrap'; got {method!r}")
    ratios = _bootstrap_ratios(total, parts, replicates, seed)
    lower, upper = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(ratio, ratios.std(ddof=1), lower, upper, PEOPLE_LIKE_THEM, level=level)


def paired_difference(
    first: Any, second: Any, people: Any = None, *, over: str, level: float = 0.95, **options: Any
) -> Estimate:
    """Return the mean of ``first - second`` where both were measured on the same rows.

    What the two share (an easy store, a person who buys everything) cancels, so the interval is
    shorter than that of two means side by side.

    Args:
        first: (n,) one number a seed, or a row.
        second: (n,) the other measurement of the same seeds, or rows, in the same order.
        people: (n,) whose row it is; only with ``over="people"``.
        over: ``"seeds"`` (see `mean_over_seeds`) or ``"people"`` (see `mean_over_people`).
        level: Coverage, in (0, 1).
        **options: ``method``, ``replicates``, ``seed`` of `mean_over_people`.

    Raises:
        TypeError: As in those two, or options that ``over="seeds"`` does not take.
        ValueError: As in those two, or shapes that differ.

    Example:
        >>> print(paired_difference([0.46, 0.50, 0.42], [0.44, 0.49, 0.40], over="seeds"))
        .017 ± .014
    """
    one, other = _finite_vector(first, "first"), _finite_vector(second, "second")
    if one.shape != other.shape:
        raise ValueError(f"first and second must have one shape; got {one.shape} and {other.shape}")
    if over == "people":
        return mean_over_people(one - other, people, level=level, **options)
    if over != "seeds":
        raise ValueError(f"over must be 'seeds' or 'people'; got {over!r}")
    if people is not None or options:
        raise TypeError("people and the options of a bootstrap need over='people'")
    return mean_over_seeds(one - other, level)


def prediction_interval(values: Any, n_claims: int, family_error: float = 0.001) -> Estimate:
    r"""Return where one further seed must fall, with ``n_claims`` such checks made at once.

    .. math:: \bar x \pm t_{n-1,\,1-\alpha/(2m)}\; s \sqrt{1 + 1/n}

    with m claims and family-wise error :math:`\alpha` (Bonferroni): a right program leaves any of
    its m intervals with probability at most :math:`\alpha`, if seeds are nearly normal.

    Args:
        values: (n,) one number a seed, n at least 2.
        n_claims: m, how many numbers are checked together, at least 1.
        family_error: Probability of any false alarm, in (0, 1).

    Returns:
        The mean; ``std_error`` is that of one further seed, ``level`` that of this one interval.

    Raises:
        TypeError: The values are no numbers, or ``n_claims`` is no integer.
        ValueError: As `mean_over_seeds`, or ``n_claims`` or ``family_error`` out of range.

    Example:
        >>> prediction_interval([0.44, 0.46, 0.45, 0.45], 1, family_error=0.05).with_interval()
        '.450 [.421, .479]'
    """
    array = _finite_vector(values, "values")
    check_share(family_error, "family_error")
    if isinstance(n_claims, bool) or not isinstance(n_claims, int | np.integer):
        raise TypeError(f"n_claims must be an integer, not {type(n_claims).__name__}")
    if n_claims < 1:
        raise ValueError(f"n_claims must be at least 1; got {n_claims}")
    error = array.std(ddof=1) * math.sqrt(1 + 1 / len(array))
    own_error = family_error / int(n_claims)
    width = stats.t.isf(own_error / 2, len(array) - 1) * error
    return _around(array.mean(), error, width, A_NEW_STORE, 1 - own_error)


def _bootstrap_ratios(
    total: np.ndarray, parts: np.ndarray, replicates: int, seed: int | np.random.SeedSequence
) -> np.ndarray:
    """Return (R,) ratios of the sums of G people drawn with replacement, block by block."""
    if replicates < 2:
        raise ValueError(f"replicates must be at least 2; got {replicates}")
    rng = np.random.default_rng(seed)
    count = len(total)
    block = max(1, _BLOCK // count)
    ratios = np.empty(replicates)
    for start in range(0, replicates, block):
        stop = min(start + block, replicates)
        drawn = rng.integers(0, count, (stop - start, count))  # (block, G)
        ratios[start:stop] = total[drawn].sum(axis=1) / parts[drawn].sum(axis=1)
    return ratios


def _around(value: float, error: float, width: float, target: str, level: float) -> Estimate:
    return Estimate(value, error, value - width, value + width, target, level=level)


def _finite_vector(values: Any, name: str) -> np.ndarray:
    """Return (n,) floats, n at least 2, all finite, or raise."""
    if isinstance(values, Iterable) and not hasattr(values, "__array__"):
        values = list(values)
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, not {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (n,); got {array.shape}")
    if len(array) < 2:
        raise ValueError(f"{name} must hold at least two numbers; got {len(array)}")
    array = array.astype(float)
    wrong = np.flatnonzero(~np.isfinite(array))
    if len(wrong):
        raise ValueError(f"{name} must be finite; entry {wrong[0]} is {array[wrong[0]]}")
    return array
