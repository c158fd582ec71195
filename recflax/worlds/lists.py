r"""Ordered lists of a few items, all of them, and the chance with which a policy shows each.

A policy with scores :math:`s` fills the first position by a softmax over all items, the second by
a softmax over those that are left, and so on (Plackett and Luce):

.. math:: P(a_1, \dots, a_K) = \prod_{k=1}^K
    \frac{e^{s_{a_k}}}{\sum_{j \notin \{a_1, \dots, a_{k-1}\}} e^{s_j}}

With few items every list can be written down, so that means and variances over lists are sums.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from scipy.special import logsumexp

LARGEST = 200_000
"""More lists than this are too many to write down."""


def all_lists(n_items: int, length: int) -> np.ndarray:
    """Every ordered list of different items 0 to M - 1, (P, K) with P = M! / (M - K)!.

    Args:
        n_items: M, at least 1.
        length: K, 1 to M.

    Raises:
        ValueError: a number out of range, or more lists than `LARGEST`.

    Example:
        >>> all_lists(3, 2).tolist()
        [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]
    """
    if not 1 <= length <= n_items:
        raise ValueError(f"length must be from 1 to the {n_items} items; got {length}")
    count = math.perm(n_items, length)
    if count > LARGEST:
        raise ValueError(
            f"n_items must be so few that there are at most {LARGEST:,} lists; {n_items} items in "
            f"lists of {length} give {count:,}"
        )
    return np.array(list(itertools.permutations(range(n_items), length)))


def list_chance(score: Any, lists: Any) -> np.ndarray:
    """The chance of each list under the policy with these scores, (P,), or (X, P) for (X, M).

    Args:
        score: (M,) or (X, M) finite: one policy, or one for each of X contexts.
        lists: (P, K) items 0 to M - 1, those of a list all different.

    Raises:
        ValueError: a shape that does not fit, or a score that is not finite.

    Source: Plackett (1975).

    Example:
        >>> chance = list_chance(np.log([2.0, 1.0, 1.0]), all_lists(3, 2))
        >>> chance.round(3).tolist()  # 2/4 * 1/2, twice; 1/4 * 2/3 or 1/4 * 1/3
        [0.25, 0.25, 0.167, 0.083, 0.167, 0.083]
    """
    score, lists = np.asarray(score, dtype=float), np.asarray(lists)
    if score.ndim not in (1, 2) or not np.isfinite(score).all():
        raise ValueError(f"score must be (M,) or (X, M) and finite; got shape {score.shape}")
    if lists.ndim != 2 or lists.min() < 0 or lists.max() >= score.shape[-1]:
        raise ValueError(
            f"lists must be (P, K) of items 0 to {score.shape[-1] - 1}; got shape {lists.shape}"
        )
    above = lists[:, :, None] == np.arange(score.shape[-1])  # (P, K, M)
    above = np.cumsum(above, axis=1) - above > 0
    # in logs, so that what is left has a chance where all that stands above took nearly all
    left = logsumexp(np.where(above, -np.inf, score[..., None, None, :]), axis=-1)  # (..., P, K)
    return np.exp((score[..., lists] - left).sum(axis=-1))


def at_position(lists: Any, chance: Any, n_items: int) -> np.ndarray:
    """How often each item stands at each position, (M, K), or (X, M, K) for chances (X, P).

    Args:
        lists: (P, K).
        chance: (P,) or (X, P).
        n_items: M.

    Example:
        >>> at_position([[0, 1], [1, 0]], [0.75, 0.25], 2).tolist()
        [[0.75, 0.25], [0.25, 0.75]]
    """
    held = np.asarray(lists)[:, None, :] == np.arange(n_items)[:, None]  # (P, M, K)
    return np.einsum("...p,pmk->...mk", np.asarray(chance, dtype=float), held)
