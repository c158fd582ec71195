r"""Can a log be weighted at all? Overlap, calibration, effective sample size.

A weight :math:`w = \pi(A \mid x) / e` has mean 1 under support and right propensities, whatever
the rewards are:

.. math:: E\Big[\frac{\pi(A \mid x)}{e(A \mid x)}\Big] = \sum_{a:\, e(a \mid x) > 0} \pi(a \mid x)

which is 1, or the mass of the policy that the log can reach. Nothing has to be known for that test
but what was logged. `overlap` says it of one policy, `recflax.causal.check_log` of the uniform one,
in parts, as a report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recflax.causal.logged import Logged, check_shape, finite_vector
from recflax.estimates import Estimate, check_share
from recflax.intervals import mean_over_people, ratio_over_people

SURE = 0.001
"""Chance at which a right log is taken for a wrong one, in tests that have an exact chance."""


def effective_sample_size(weights: Any) -> float:
    r"""Return how many rows of equal weight would be worth as much, :math:`(\sum w)^2 / \sum w^2`.

    Args:
        weights: (n,) finite, at least 0. If all are 0 the size is 0.

    Raises:
        TypeError: no numbers.
        ValueError: another shape, or a weight that is negative or not finite.

    Source: Kish (1965), *Survey Sampling*.

    Example:
        >>> effective_sample_size([2.0, 2.0, 2.0]), effective_sample_size([1.0, 0.0, 1.0])
        (3.0, 2.0)
    """
    weights = finite_vector(weights, "weights", np.shape(weights))
    negative = np.flatnonzero(weights < 0)
    if len(negative):
        raise ValueError(
            f"weights must be at least 0; entry {negative[0]} is {weights[negative[0]]}"
        )
    squares = np.square(weights).sum()
    return float(weights.sum() ** 2 / squares) if squares else 0.0


@dataclass(frozen=True)
class Overlap:
    """How much of a policy a log can speak about.

    Attributes:
        smallest_propensity: of the rows.
        never_shown: mean over rows of the policy's chance of actions that no row of the log took.
        mean_weight: 1 under support and right propensities; its interval is over people.
        effective_sample_size: of the policy's weights.
        max_weight: the largest of them.
        n: rows.
    """

    smallest_propensity: float
    never_shown: float
    mean_weight: Estimate
    effective_sample_size: float
    max_weight: float
    n: int

    def __str__(self) -> str:
        """Return five lines for a reader."""
        share = self.effective_sample_size / self.n
        size = f"{self.effective_sample_size:.0f} of {self.n} rows ({share:.2%})"
        return (
            f"mean weight            {self.mean_weight}, where it should be 1\n"
            f"effective sample size  {size}\n"
            f"largest weight         {self.max_weight:.4g}\n"
            f"smallest propensity    {self.smallest_propensity:.3g}\n"
            f"mass never shown       {self.never_shown:.2%}"
        )


def overlap(log: Logged, policy: Any) -> Overlap:
    """Return how far a log covers a policy.

    Args:
        log: the rows, of two people or more.
        policy: (C, A) chances, rows sum to 1.

    Raises:
        TypeError: no numbers.
        ValueError: a policy that is none, or does not hold the log; one person only.

    Example:
        >>> log = Logged([0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [0.5] * 4, person=[0, 0, 1, 1])
        >>> found = overlap(log, [[0.25, 0.25, 0.5]])  # the third action is never taken
        >>> found.mean_weight.value, found.never_shown, found.effective_sample_size
        (0.5, 0.5, 4.0)
    """
    policy = log.check_policy(policy)
    weight = log.weight(policy)
    never = np.ones(policy.shape[1], dtype=bool)
    never[log.action] = False
    return Overlap(
        smallest_propensity=float(log.propensity.min()),
        never_shown=float(policy[:, never].sum(axis=1)[log.context].mean()),
        mean_weight=mean_over_people(weight, log.person),
        effective_sample_size=effective_sample_size(weight),
        max_weight=float(weight.max()),
        n=log.n,
    )


def calibration(
    chance: Any, happened: Any, people: Any = None, *, bins: int = 5, family_error: float = SURE
) -> pd.DataFrame:
    r"""Return, for bins of a predicted chance, how often it came true.

    The bins hold equal sums of chance, that is equal numbers of expected events; what has one
    chance lies in one bin, and a chance of 0 in one by itself. In bin b, over its cells,

    .. math:: \text{predicted}_b = \frac{1}{n_b} \sum p, \qquad
        \text{observed}_b = \frac{1}{n_b} \sum y

    with an interval for the observed share from the differences y - p, clustered by person. All
    intervals hold at once with probability 1 - ``family_error`` (Bonferroni).

    Args:
        chance: (n,) chances of an event, or (n, A) of each action in each row, in [0, 1]. With
            propensities of the actions *taken* alone nothing can be told: they all happened.
        happened: the shape of ``chance``: 1 where it happened, else 0.
        people: (n,) whose row it is; None: every row is another person.
        bins: at least 1; there are fewer where many chances are equal.
        family_error: probability that right chances are called wrong, in (0, 1).

    Returns:
        A row a bin: ``lowest`` and ``highest`` chance, ``cells``, ``predicted``, ``observed``,
        ``lower``, ``upper``, and ``ok``: whether the prediction lies in the interval.

    Raises:
        TypeError: no numbers.
        ValueError: shapes that differ, a chance outside [0, 1], something that happened neither 0
            nor 1 times, fewer than 10 expected events a bin, or an argument out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> chance = rng.uniform(0.1, 0.9, 2000)
        >>> happened = rng.random(2000) < chance
        >>> calibration(chance, happened, bins=3)["ok"].tolist()
        [True, True, True]
        >>> calibration(chance / 2, happened, bins=3)["ok"].tolist()
        [False, False, False]
    """
    cells, events = np.asarray(chance), np.asarray(happened)
    if cells.ndim not in (1, 2) or cells.shape != events.shape:
        raise ValueError(
            "chance and happened must have one shape, (n,) or (n, A); "
            f"got {cells.shape} and {events.shape}"
        )
    flat = finite_vector(cells.ravel(), "chance", (cells.size,))
    true = finite_vector(events.ravel(), "happened", (events.size,))
    for name, array, right, expected in (
        ("chance", flat, (flat >= 0) & (flat <= 1), "in [0, 1]"),
        ("happened", true, (true == 0) | (true == 1), "0 or 1"),
    ):
        if not right.all():
            first = int(np.flatnonzero(~right)[0])
            raise ValueError(f"{name} must be {expected}; entry {first} is {array[first]:g}")
    cells, events = flat.reshape(cells.shape), true.reshape(cells.shape)
    check_share(family_error, "family_error")
    if bins < 1 or cells.sum() < 10 * bins:
        raise ValueError(
            "bins must be at least 1 and leave 10 expected events to each; "
            f"got {bins} bins for {cells.sum():.1f} expected events"
        )
    people = np.arange(len(cells)) if people is None else np.asarray(people)
    check_shape(people, "people", cells.shape[:1])
    rows = [
        _bin(cells, events, here, people, 1 - family_error / bins)
        for here in _equal_sums(cells, bins)
    ]
    return pd.DataFrame(rows)


def _equal_sums(chance: np.ndarray, bins: int) -> Iterator[np.ndarray]:
    """Yield, bin by bin, where the chances of the bin are: bool of the shape of ``chance``."""
    ordered = np.sort(chance, axis=None)
    share = np.cumsum(ordered) / ordered.sum()
    place = np.searchsorted(share, np.arange(1, bins) / bins)
    edges = np.unique(ordered[place])
    if ordered[0] == 0:
        edges = np.union1d([0.0], edges)  # what is said never to happen has a bin of its own
    index = np.searchsorted(edges, chance, side="left")
    for b in np.unique(index):
        yield index == b


def _bin(
    chance: np.ndarray, happened: np.ndarray, here: np.ndarray, people: np.ndarray, level: float
) -> dict[str, Any]:
    rows = chance.reshape(len(chance), -1), happened.reshape(len(chance), -1)
    inside = here.reshape(len(chance), -1)
    apart = ((rows[1] - rows[0]) * inside).sum(axis=1)
    error = ratio_over_people(apart, inside.sum(axis=1), people, level=level)
    holds = error.lower <= 1e-12 and error.upper >= -1e-12  # 0, but for rounding
    predicted = chance[here].mean()
    return {
        "lowest": chance[here].min(),
        "highest": chance[here].max(),
        "cells": int(here.sum()),
        "predicted": predicted,
        "observed": happened[here].mean(),
        "lower": predicted + error.lower,
        "upper": predicted + error.upper,
        "ok": holds if predicted > 0 else not apart.any(),
    }
