r"""What a policy of whole lists would earn, from the log of another one: four weights.

A request showed the list :math:`A = (a_1, \dots, a_K)`, drawn by the old policy :math:`\mu`, and
position k was clicked or not, :math:`C_k`. Wanted are the clicks per list of policy :math:`\pi`.
All four estimates are means of weighted clicks, :math:`\frac1n \sum_i \sum_k w_k(A_i)\, C_{ik}`:

- ``"list"``: :math:`w_k = \pi(A)/\mu(A)`. Always unbiased under support.
- ``"sequential"``: :math:`w_k = \pi(a_1, \dots, a_k)/\mu(a_1, \dots, a_k)`. Unbiased if a click
  depends only on the item and on those above it (McInerney et al. 2020, not normalised).
- ``"item"``: :math:`w_k = \pi(a_k \text{ at } k)/\mu(a_k \text{ at } k)`. Unbiased if a click
  depends only on the item and its position (Li et al. 2018, the item-position model).
- ``"pseudo_inverse"``: with :math:`1_A` the K M entries that say what stands where,
  :math:`w_k = E_\pi[1_A]^\top\, E_\mu[1_A 1_A^\top]^{+}\, 1_A`, the same for all k. Unbiased if the
  clicks of a list are on average a sum over its positions of a number for each item there; it needs
  the clicks of the whole list only (Swaminathan et al. 2017).

The weaker the promise, the longer the products of odds, and the larger the variance. Lists are
written down one by one, with their chance under both policies; a row of the log is one of them.

Example:
    >>> lists = [[0, 1], [1, 0]]
    >>> slate_weights(lists, [0.8, 0.2], [0.5, 0.5], "list").tolist()
    [[0.625, 0.625], [2.5, 2.5]]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recflax.estimates import Estimate
from recflax.intervals import mean_over_people

WAYS = ("list", "sequential", "item", "pseudo_inverse")


def slate_weights(lists: Any, old: Any, new: Any, by: str) -> np.ndarray:
    """The weight of a click at each position of each list, (P, K).

    Args:
        lists: (P, K) items, integers from 0; no list comes twice.
        old: (P,) the chance of each list under the policy that wrote the log; sums to 1.
        new: (P,) the same under the policy that is asked about.
        by: one of `WAYS`.

    Raises:
        TypeError: items that are not integers.
        ValueError: a shape that does not fit, a list that comes twice, chances that are none, a
            list that the new policy may show and the old one never does, or an unknown way.

    Example:
        >>> lists = [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]
        >>> even, mine = np.full(6, 1 / 6), np.array([0.5, 0.5, 0, 0, 0, 0])
        >>> slate_weights(lists, even, mine, "list")[0].round(2).tolist()
        [3.0, 3.0]
        >>> slate_weights(lists, even, mine, "item")[0].round(2).tolist()  # 1/(1/3), .5/(1/3)
        [3.0, 1.5]
    """
    lists = np.asarray(lists)
    if lists.ndim != 2 or not lists.size:
        raise ValueError(f"lists must have shape (P, K); got {lists.shape}")
    if lists.dtype.kind not in "iu":
        raise TypeError(f"lists must hold integers, not {lists.dtype}")
    if len(np.unique(lists, axis=0)) < len(lists):
        raise ValueError("lists must hold no list twice")
    old, new = (_chances(chance, name, len(lists)) for chance, name in ((old, "old"), (new, "new")))
    never = np.flatnonzero((new > 0) & ~(old > 0))
    if len(never):
        raise ValueError(
            f"old must be above 0 wherever new is; list {lists[never[0]].tolist()} is never shown"
        )
    if by not in WAYS:
        raise ValueError(f"by must be one of {WAYS}; got {by!r}")
    positions = lists.shape[1]
    if by == "list":
        return np.repeat(_ratio(new, old)[:, None], positions, axis=1)
    if by == "pseudo_inverse":
        return np.repeat(_pseudo_inverse(lists, old, new)[:, None], positions, axis=1)
    parts = [lists[:, : k + 1] if by == "sequential" else lists[:, [k]] for k in range(positions)]
    columns = []
    for part in parts:  # lists that share a beginning, or an item at k, share a weight
        _, group = np.unique(part, axis=0, return_inverse=True)
        group = group.ravel()
        shares = [np.bincount(group, weights=chance) for chance in (new, old)]
        columns.append(_ratio(*shares)[group])
    return np.stack(columns, axis=1)


def slate_value(weight: Any, clicked: Any, person: Any = None, **options: Any) -> Estimate:
    r"""The mean over rows of :math:`\sum_k w_k C_k`, with its interval.

    Args:
        weight: (n, K) the weights of each row's list, rows of `slate_weights`.
        clicked: (n, K) finite: clicks, or any reward of a position.
        person: (n,) labels; rows of one person move together. None: every row is another person.
        **options: ``level``, ``method``, ``replicates``, ``seed`` of
            `recflax.intervals.mean_over_people`.

    Returns:
        Clicks per list. Its target is people like these.

    Raises:
        ValueError: shapes that differ, or an option out of range.

    Example:
        >>> slate_value([[2.0, 2.0], [0.5, 0.5]], [[1, 0], [1, 1]]).value  # (2 + 1) / 2
        1.5
    """
    weight, clicked = np.asarray(weight, dtype=float), np.asarray(clicked, dtype=float)
    if weight.ndim != 2 or weight.shape != clicked.shape:
        raise ValueError(
            f"weight and clicked must have one shape (n, K); got {weight.shape} and {clicked.shape}"
        )
    return mean_over_people((weight * clicked).sum(axis=1), person, **options)


def _pseudo_inverse(lists: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """(P,) the weight of each list by the pseudo-inverse of the old policy's second moments."""
    count, positions = lists.shape
    items = int(lists.max()) + 1
    what = np.zeros((count, positions * items))  # 1_A, one row a list
    what[np.arange(count)[:, None], np.arange(positions) * items + lists] = 1.0
    moments = what.T @ (old[:, None] * what)
    return what @ (np.linalg.pinv(moments, hermitian=True) @ (new @ what))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The one over the other, and 0 where nothing is ever shown."""
    return np.divide(above, below, out=np.zeros_like(below), where=below > 0)


def _chances(chance: Any, name: str, lists: int) -> np.ndarray:
    chance = np.asarray(chance, dtype=float)
    if chance.shape != (lists,):
        raise ValueError(f"{name} must have shape ({lists},); got {chance.shape}")
    if not chance.min() >= 0 or not abs(chance.sum() - 1) < 1e-9:
        raise ValueError(
            f"{name} must hold chances that sum to 1; they sum to {chance.sum()}, the smallest is "
            f"{chance.min()}"
        )
    return chance
