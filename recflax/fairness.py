r"""Fairness of exposure: who is shown, against what they are worth, and what it costs to change it.

One slot a visit, and a policy :math:`\pi` with the chance :math:`\pi_{uj}` that person u is shown
item j. The *exposure* of an item is its share of all visits, and that of a group G of items

.. math:: E_G = \frac1U \sum_u \sum_{j \in G} \pi_{uj}, \qquad \sum_G E_G = 1 .

Fair is a word with an object. To the *providers* of the items it may be exposure in proportion to
merit, or the same exposure for every item; to the *people* it is what a policy does for each group
of them. Merit is what you state (mean uplift, mean chance of a purchase), from a truth or an
estimate: it comes here as an array. Groups are integers 0 to G - 1, one an item or one a person.

Sources: Singh and Joachims (2018), "Fairness of Exposure in Rankings"; Biega, Gummadi and Weikum
(2018), "Equity of Attention".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from recflax.causal.logged import check_shape, finite_vector
from recflax.data.batches import check_ids
from recflax.transport import number_table, transport


def item_exposure(policy: Any) -> np.ndarray:
    r"""Return each item's share of all visits, :math:`E_j = \frac1U \sum_u \pi_{uj}`.

    `recflax.metrics.exposure` says the same of lists that are made from scores.

    Args:
        policy: (U, M) chances; every row sums to 1.

    Returns:
        (M,) shares that sum to 1.

    Raises:
        TypeError: no numbers.
        ValueError: another shape, or a row that is no distribution; the first is named.

    Example:
        >>> item_exposure([[1.0, 0.0], [0.5, 0.5]]).tolist()
        [0.75, 0.25]
    """
    policy = _table(policy, "policy")
    total, least = policy.sum(axis=1), policy.min(axis=1)
    for row in np.flatnonzero((np.abs(total - 1) > 1e-6) | (least < 0)):
        raise ValueError(
            "policy must have rows of chances that sum to 1; "
            f"row {row} sums to {total[row]}, its smallest entry is {least[row]}"
        )
    return policy.mean(axis=0)


def group_exposure(policy: Any, groups: Any) -> np.ndarray:
    """Return each group's share of all visits, (G,); they sum to 1.

    Args:
        policy: (U, M) chances; every row sums to 1.
        groups: (M,) integers 0 to G - 1; every group has an item.

    Raises:
        TypeError: no numbers, or groups that are not integers.
        ValueError: as `item_exposure`, another shape, or a group without an item.

    Example:
        >>> group_exposure([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]], [0, 0, 1]).tolist()
        [0.375, 0.625]
    """
    exposure = item_exposure(policy)
    return np.bincount(_members(groups, len(exposure)), weights=exposure)


def merit_share(merit: Any, groups: Any) -> np.ndarray:
    """Return each group's share of the merit of all items, (G,).

    With the same merit for every item it is the share of the items that a group has.

    Args:
        merit: (M,) finite, at least 0 and not all 0, in any unit.
        groups: (M,) integers 0 to G - 1; every group has an item.

    Raises:
        TypeError: no numbers, or groups that are not integers.
        ValueError: another shape, a merit out of range, or a group without an item.

    Example:
        >>> merit_share([1.0, 2.0, 5.0], [0, 0, 1]).tolist()
        [0.375, 0.625]
    """
    merit = _amounts(merit, "merit")
    return np.bincount(_members(groups, len(merit)), weights=merit / merit.sum())


def exposure_per_merit(policy: Any, merit: Any, groups: Any) -> np.ndarray:
    r"""Return each group's share of exposure over its share of merit, (G,); 1 is in proportion.

    .. math:: r_G = \frac{E_G}{\sum_{j \in G} m_j \,/\, \sum_j m_j}

    Arguments and errors are those of `group_exposure` and `merit_share`; besides, every group must
    have some merit.

    Source: Singh and Joachims (2018), section 4.2. They divide mean exposure by mean merit; the
    totals make no difference between groups, and put what is fair at 1.

    Example:
        >>> exposure_per_merit([[0.5, 0.25, 0.25]], [1.0, 2.0, 1.0], [0, 0, 1]).tolist()
        [1.0, 1.0]
    """
    exposure, share = group_exposure(policy, groups), merit_share(merit, groups)
    if not share.min() > 0:
        raise ValueError(f"merit must not be 0 for a whole group; group {share.argmin()} has none")
    return exposure / share


def disparate_treatment(policy: Any, merit: Any, groups: Any) -> float:
    r"""Return :math:`\max_G r_G / \min_G r_G`: 1 is fair, infinity leaves a group out.

    Arguments and errors are those of `exposure_per_merit`, which gives :math:`r_G`.

    Source: the disparate treatment ratio of Singh and Joachims (2018), section 4.2, of the group
    treated best to the one treated worst.

    Example:
        >>> disparate_treatment([[0.5, 0.25, 0.25]], [1.0, 2.0, 3.0], [0, 0, 1])  # 1.5 to .5
        3.0
    """
    ratio = exposure_per_merit(policy, merit, groups)
    return float(ratio.max() / ratio.min()) if ratio.min() > 0 else float("inf")


def unequal_attention(policy: Any, merit: Any) -> float:
    r"""Return how far items are from exposure in proportion to merit, each for itself.

    .. math:: \sum_j \Big| E_j - \frac{m_j}{\sum_i m_i} \Big|

    From 0, where every item has its due, to below 2; half of it is the share of all visits that
    would have to go to another item. Arguments and errors are those of `item_exposure` and
    `merit_share`.

    Source: Biega, Gummadi and Weikum (2018): the distance of accumulated attention and accumulated
    relevance, here of a policy whose exposure is a mean over people already.

    Example:
        >>> unequal_attention([[1.0, 0.0]], [1.0, 1.0])
        1.0
    """
    exposure, merit = item_exposure(policy), _amounts(merit, "merit")
    check_shape(merit, "merit", exposure.shape)
    return float(np.abs(exposure - merit / merit.sum()).sum())


def gini(amounts: Any) -> float:
    r"""Return the Gini coefficient: 0 if all have the same, :math:`1 - 1/n` if one has everything.

    .. math:: \frac{\sum_i \sum_k |x_i - x_k|}{2 n \sum_i x_i}

    Args:
        amounts: (n,) finite, at least 0 and not all 0, such as the exposure of each item.

    Raises:
        TypeError: no numbers.
        ValueError: another shape, or an amount out of range.

    Example:
        >>> gini([1.0, 1.0, 1.0, 1.0]), gini([0.0, 0.0, 0.0, 1.0])
        (0.0, 0.75)
    """
    amounts = _amounts(amounts, "amounts")
    n = len(amounts)
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(amounts) / (n * amounts.sum()))


class ByGroup(NamedTuple):
    """What each group of people gets, (G,) means, and how many they are, (G,)."""

    mean: np.ndarray
    size: np.ndarray

    @property
    def gap(self) -> float:
        """The mean of the group that gets most less that of the one that gets least."""
        return float(self.mean.max() - self.mean.min())

    @property
    def worst(self) -> int:
        """The group that gets least; the first among equals."""
        return int(self.mean.argmin())


def by_group(values: Any, groups: Any) -> ByGroup:
    """Return the mean of a number of each person by group, such as the increment of her visit.

    Args:
        values: (U,) finite.
        groups: (U,) integers 0 to G - 1; every group has a person.

    Raises:
        TypeError: no numbers, or groups that are not integers.
        ValueError: another shape, a number that is not finite, or a group without a person.

    Example:
        >>> found = by_group([0.1, 0.3, 0.4], [0, 0, 1])
        >>> found.mean.tolist(), found.size.tolist(), round(found.gap, 3), found.worst
        ([0.2, 0.4], [2, 1], 0.2, 0)
    """
    values = finite_vector(values, "values", np.shape(values)[:1])
    groups = _members(groups, len(values))
    size = np.bincount(groups)
    return ByGroup(np.bincount(groups, weights=values) / size, size)


class FairPolicy(NamedTuple):
    """The best policy under a constraint on exposure; see `fair_policy`.

    Attributes:
        policy: (U, M) chances; all but a few people are shown one item for sure.
        value: what it is worth a visit, by the values that it was made from.
        price: what the best policy without the constraint is worth more; never negative.
    """

    policy: np.ndarray
    value: float
    price: float


def fair_policy(
    values: Any, groups: Any, share: Any, *, exactly: bool = True, where: Any = None
) -> FairPolicy:
    r"""Fill one slot a person so that item groups get their share of it, at the least cost.

    .. math::

        \begin{aligned}
        \max_\pi\ & \frac1U \sum_{u,j} \pi_{uj} v_{uj} \\
        \text{with}\ & \sum_j \pi_{uj} = 1, \quad \pi \ge 0, \\
        & E_G = s_G \text{ (or } \ge s_G) .
        \end{aligned}

    Of a group a person is only ever shown the item that is worth most to her, so what is left is
    the transportation problem of `recflax.transport.transport`: U people with one visit each, and G
    groups that ask for :math:`U s_G` of them. Fewer than G people are divided between groups; for
    these, chance decides at each visit.

    Args:
        values: (U, M) what showing each item to each person is worth, finite.
        groups: (M,) integers 0 to G - 1; every group has an item.
        share: (G,) exposure of each group: at least 0, and summing to 1, or to at most 1 if it is
            only asked for at least.
        exactly: whether each group gets its share, or at least it.
        where: (U, M) bool, what may be shown to whom; None allows everything.

    Raises:
        TypeError: no numbers, groups that are not integers, or ``where`` that is not boolean.
        ValueError: another shape, a value that is not finite, a share out of range, shares with a
            wrong sum, a person without an item, or shares that ``where`` puts out of reach.

    Source: the linear program of Singh and Joachims (2018), section 3.3, for one slot a person and
    over all people at once.

    Example:
        >>> values = [[3.0, 1.0], [2.0, 1.5]]  # the first item is worth more to both
        >>> found = fair_policy(values, [0, 1], [0.5, 0.5])
        >>> found.policy.tolist(), found.value, found.price
        ([[1.0, 0.0], [0.0, 1.0]], 2.25, 0.25)
    """
    values = _table(values, "values")
    allowed = np.ones(values.shape, dtype=bool) if where is None else np.asarray(where)
    if allowed.dtype != np.bool_:
        raise TypeError(f"where must hold booleans, not {allowed.dtype}")
    if allowed.shape != values.shape:
        raise ValueError(f"where must have the shape {values.shape}; got {allowed.shape}")
    if not allowed.any(axis=1).all():
        raise ValueError(f"where leaves nothing to person {allowed.any(axis=1).argmin()}")
    groups = _members(groups, values.shape[1])
    worth = np.where(allowed, values, -np.inf)
    inside = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    best = np.stack([items[worth[:, items].argmax(axis=1)] for items in inside], axis=1)  # (U, G)
    worth = np.take_along_axis(worth, best, axis=1)
    loss = worth.max(axis=1, keepdims=True) - worth  # at least 0, infinite where not allowed
    taken = transport(loss, share, exactly=exactly)
    policy = np.zeros(values.shape)
    np.put_along_axis(policy, best, taken, axis=1)
    price = taken * np.where(np.isfinite(loss), loss, 0)
    people = len(values)
    return FairPolicy(policy, float((policy * values).sum() / people), float(price.sum() / people))


def _members(groups: Any, count: int) -> np.ndarray:
    """Groups (n,) of all n items or people, 0 to G - 1, none of them empty; or raise."""
    groups = check_ids(groups, "groups", low=0, n_items=max(count - 1, 0), ndim=1)
    check_shape(groups, "groups", (count,))
    for empty in np.flatnonzero(np.bincount(groups) == 0):
        raise ValueError(f"groups must be 0 to G - 1 with none left out; {empty} is empty")
    return groups


def _amounts(values: Any, name: str) -> np.ndarray:
    """Numbers (n,), at least 0 and not all 0; or raise."""
    values = finite_vector(values, name, np.shape(values)[:1])
    for negative in np.flatnonzero(values < 0):
        raise ValueError(f"{name} must be at least 0; entry {negative} is {values[negative]}")
    if not values.any():
        raise ValueError(f"{name} must not be all 0")
    return values


def _table(values: Any, name: str) -> np.ndarray:
    """Numbers (U, M), finite, neither of them 0; or raise."""
    values = number_table(values, name, "(U, M)")
    for place in np.argwhere(~np.isfinite(values)).tolist():
        raise ValueError(f"{name} must be finite; {place} is {values[tuple(place)]}")
    return values.astype(float)
