"""Metrics on sampled candidates, exactly: what they would say, and why this book reports none.

Ranking one right item against a hundred random others is quick, and it can turn the order of
recommenders around (Krichene and Rendle 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats


def sampled_metric(
    value: Callable[[np.ndarray], np.ndarray],
    rank: Any,
    n_items: int,
    n_sampled: int,
    *,
    replacement: bool = True,
) -> np.ndarray:
    r"""Return the exact expectation of a metric that ranks one item among sampled ones only.

    The relevant item stands at ``rank`` among all M items. Of the other M - 1, ``n_sampled`` = m
    are drawn; each one that outranks the relevant item moves it down a place, so with
    :math:`p = (r - 1) / (M - 1)` its sampled rank is :math:`1 + X`,

    .. math:: X \sim \text{Binomial}(m, p), \qquad
              E[f] = \sum_{x=0}^{m} P(X = x) \, f(1 + x)

    (Krichene and Rendle 2020, section 4); without replacement X is hypergeometric.

    Args:
        value: The metric as a function of an array of ranks.
        rank: Ranks among all items, 1 to M, any shape.
        n_items: M, the relevant item included, at least 2.
        n_sampled: m, at least 1; at most M - 1 without replacement.
        replacement: Whether an item may be drawn twice.

    Returns:
        Expectations in the shape of ``rank``.

    Raises:
        TypeError: Ranks that are not integers.
        ValueError: A rank or a number out of range.

    Example:
        >>> among_the_first_ten = lambda rank: rank <= 10
        >>> float(sampled_metric(among_the_first_ten, 500, 10_000, 99).round(2))  # truly 0
        0.97
    """
    ranks = np.asarray(rank)
    if ranks.dtype.kind not in "iu":
        raise TypeError(f"rank must hold integers, not {ranks.dtype}")
    if n_items < 2:
        raise ValueError(f"n_items must be at least 2; got {n_items}")
    wrong = ranks[(ranks < 1) | (ranks > n_items)]
    if wrong.size:
        raise ValueError(f"rank must be from 1 to {n_items}; got {wrong.flat[0]}")
    if n_sampled < 1 or (not replacement and n_sampled > n_items - 1):
        raise ValueError(
            "n_sampled must be at least 1 and, without replacement, at most "
            f"{n_items - 1}; got {n_sampled}"
        )
    ahead = np.arange(n_sampled + 1)  # x
    better = ranks[..., None] - 1
    if replacement:
        chance = stats.binom.pmf(ahead, n_sampled, better / (n_items - 1))
    else:
        chance = stats.hypergeom.pmf(ahead, n_items - 1, better, n_sampled)
    return (chance * value(1 + ahead)).sum(axis=-1)


def sampled_average_precision(
    rank: Any, n_items: int, n_sampled: int, *, replacement: bool = True
) -> np.ndarray:
    """Return the exact expectation of average precision when one item is ranked among sampled ones.

    With one relevant item average precision is 1 / rank. Arguments and errors are those of
    `sampled_metric`.

    Example:
        >>> ranks = np.array([[100] * 5, [40, 40, 8437, 9266, 4482], [212, 2, 743, 5342, 1548]])
        >>> (1 / ranks).mean(axis=1).round(3)  # the third recommender is the best by far
        array([0.01 , 0.01 , 0.101])
        >>> sampled_average_precision(ranks, 10_000, 99).mean(axis=1).round(3)  # and looks worst
        array([0.637, 0.341, 0.326])
    """
    return sampled_metric(
        lambda place: 1 / place, rank, n_items, n_sampled, replacement=replacement
    )
