r"""A report on a log of displays that a person can read: can its propensities be used?

Nothing has to be known for it but what was logged. It stands on one fact: with right propensities
and every item within reach the uniform policy's weights :math:`(1/M)/e` have mean 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from recflax.causal.logged import SMALLEST, Logged
from recflax.causal.propensity import SURE, overlap
from recflax.intervals import mean_over_people

ERRORS = 4
"""How many standard errors a mean weight may be from 1."""

FEWEST = 100
"""Effective rows below which intervals of weighted means are not to be trusted (lesson 5)."""

HEAVIEST = 0.05
"""Largest share of all weight that one row may carry."""

FEWEST_ROWS = 20
"""Displays below which a group of items is not checked."""

ITEM_GROUPS = 4
OK = "ok"


class Line(NamedTuple):
    """One check of a log: what came, what was expected, and ``"ok"`` or what is wrong."""

    check: str
    found: str
    expected: str
    verdict: str


@dataclass(frozen=True, eq=False)
class LogReport:
    """What `check_log` found; print it.

    Attributes:
        table: columns check, found, expected, verdict; a verdict is ``"ok"`` or says what is wrong.
    """

    table: pd.DataFrame

    @property
    def ok(self) -> bool:
        """Whether every line is ok."""
        return bool((self.table["verdict"] == OK).all())

    def __str__(self) -> str:
        """Return a line a check, in columns."""
        rows = [tuple(self.table.columns), *self.table.itertuples(index=False)]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join(
            "  ".join([*(text.ljust(w) for text, w in zip(row, widths, strict=False)), row[3]])
            for row in rows
        )


def check_log(
    impressions: pd.DataFrame, n_items: int, *, planned_randomised: float | None = None
) -> LogReport:
    r"""Return a report on a log of displays: can its propensities be used?

    With M items and propensity e the uniform policy has weights :math:`(1/M)/e`. Their mean is 1 if
    every item can be shown and the propensities are right: over all rows, over randomised and
    other rows alone, and for every group of G items, where
    :math:`E[1(A \in \text{group}) / e] / G = 1`. The groups are made of items shown about equally
    often to every second person, and checked on the others.

    Args:
        impressions: columns person, item (1 to M), reward, propensity, randomised (bool); others
            may stand beside them. A row is a display in one slot.
        n_items: M, how many items could have been shown.
        planned_randomised: the share of displays, or of people where people are randomised, that
            was meant to be random; None if there was no plan.

    Returns:
        A line for each check. Lines that need a column which is wrong say so.

    Raises:
        TypeError: ``impressions`` is no DataFrame, or ``n_items`` no integer.
        ValueError: ``n_items`` is below 2, or ``planned_randomised`` outside [0, 1].

    Example:
        >>> rng = np.random.default_rng(0)
        >>> chance = np.array([0.5, 0.3, 0.2])
        >>> item = rng.choice(3, size=900, p=chance)
        >>> impressions = pd.DataFrame({"person": np.arange(900) // 3, "item": item + 1,
        ...     "reward": 0.0, "propensity": chance[item], "randomised": False})
        >>> check_log(impressions, 3, planned_randomised=0.0).ok
        True
        >>> impressions["propensity"] **= 2
        >>> report = check_log(impressions, 3)
        >>> print(report.table.set_index("check").loc["mean weight, all rows", "verdict"])
        above 1: propensities are too small
    """
    if not isinstance(impressions, pd.DataFrame):
        raise TypeError(f"impressions must be a pandas DataFrame, not {type(impressions).__name__}")
    if isinstance(n_items, bool) or not isinstance(n_items, int | np.integer):
        raise TypeError(f"n_items must be an integer, not {type(n_items).__name__}")
    if n_items < 2:
        raise ValueError(f"n_items must be at least 2; got {n_items}")
    if planned_randomised is not None and not 0 <= planned_randomised <= 1:
        raise ValueError(f"planned_randomised must be in [0, 1]; got {planned_randomised}")
    lines = list(_column_lines(impressions, n_items))
    if all(line.verdict == OK for line in lines):
        lines += _weight_lines(impressions, n_items, planned_randomised)
    else:
        unread = "mean weights, randomised share, overlap, calibration"
        lines.append(Line(unread, "", "", "not checked: mend the columns first"))
    return LogReport(pd.DataFrame(lines))


def _column_lines(impressions: pd.DataFrame, n_items: int) -> Iterator[Line]:
    """Yield a line for each column that the checks need."""
    numeric, types = pd.api.types.is_numeric_dtype, pd.api.types
    kinds: dict[str, tuple[str, Any, Any]] = {
        "person": ("labels of at least two people", lambda c: True, lambda c: c.notna()),
        "item": (
            f"integers 1 to {n_items}",
            types.is_integer_dtype,
            lambda c: c.between(1, n_items),
        ),
        "reward": ("finite numbers", numeric, lambda c: np.isfinite(c.astype(float))),
        "propensity": ("in (0, 1]", numeric, lambda c: c.between(SMALLEST, 1)),
        "randomised": ("True or False", types.is_bool_dtype, lambda c: c.notna()),
    }
    for name, (expected, fits, right) in kinds.items():
        check = f"column {name}"
        if name not in impressions.columns:
            yield Line(check, "missing", expected, "missing")
            continue
        column = impressions[name]
        if not fits(column):
            yield Line(check, str(column.dtype), expected, f"holds {column.dtype}")
            continue
        if name == "person":
            found = f"{column.nunique()} people, {len(column)} rows"
        else:
            found = f"{float(column.min()):.4g} to {float(column.max()):.4g}"
        verdict = OK
        wrong = np.flatnonzero(~np.asarray(right(column), dtype=bool))
        if len(wrong):
            verdict = f"{len(wrong)} wrong, the first in row {wrong[0]}: {column.iloc[wrong[0]]}"
            if name == "propensity" and (column <= 0).all():
                verdict += "; are these log-probabilities?"
        elif name == "person" and column.nunique() < 2:
            verdict = "too few people for an interval"
        yield Line(check, found, expected, verdict)


def _weight_lines(
    impressions: pd.DataFrame, n_items: int, planned_randomised: float | None
) -> Iterator[Line]:
    """Yield the lines that need the columns to be right."""
    person = np.unique(impressions["person"].to_numpy(), return_inverse=True)[1]
    randomised = impressions["randomised"].to_numpy(dtype=bool)
    item = impressions["item"].to_numpy(dtype=int) - 1
    log = Logged(
        np.zeros(len(item), dtype=int),
        item,
        impressions["reward"].to_numpy(dtype=float),
        impressions["propensity"].to_numpy(dtype=float),
        person,
    )
    uniform = np.full((1, n_items), 1 / n_items)
    weight, found = log.weight(uniform), overlap(log, uniform)
    yield _mean_line("mean weight, all rows", weight, person)
    if 0 < randomised.mean() < 1:
        for name, rows in (("randomised", randomised), ("other", ~randomised)):
            yield _mean_line(f"mean weight, {name} rows", weight[rows], person[rows])
    yield from _group_lines(item, weight, person, n_items)
    yield from _randomised_lines(item, log.propensity, randomised, n_items)
    yield _share_line(person, randomised, planned_randomised)
    size, few = found.effective_sample_size, "too few: intervals of weighted means will not hold"
    yield Line(
        "effective sample size",
        f"{size:.0f} of {log.n} rows",
        f"at least {FEWEST}",
        OK if size >= FEWEST else few,
    )
    share = found.max_weight / weight.sum()
    yield Line(
        "largest weight",
        f"{found.max_weight:.4g}, {share:.1%} of all",
        f"at most {HEAVIEST:.0%} of all",
        OK if share <= HEAVIEST else "one row speaks for too many",
    )
    never = round(found.never_shown * n_items)
    yield Line(
        "mass never shown",
        f"{found.never_shown:.1%}",
        "0.0%",
        f"{never} items were never shown: this log knows nothing of them" if never else OK,
    )


def _mean_line(check: str, weight: np.ndarray, person: np.ndarray, rows: int | None = None) -> Line:
    """Return whether a mean weight is 1, within four standard errors over people."""
    expected = f"1, within {ERRORS} standard errors"
    if len(np.unique(person)) < 2 or (rows is not None and rows < FEWEST_ROWS):
        return Line(check, f"{weight.mean():.3g}", expected, "not checked: too few rows")
    mean = mean_over_people(weight, person)
    if abs(mean.value - 1) <= ERRORS * mean.std_error + 1e-9:
        verdict = OK
    elif mean.value > 1:
        verdict = "above 1: propensities are too small"
    else:
        verdict = "below 1: items are out of reach, or propensities too large"
    return Line(check, f"{mean.value:.3f} (standard error {mean.std_error:.3f})", expected, verdict)


def _group_lines(
    item: np.ndarray, weight: np.ndarray, person: np.ndarray, n_items: int
) -> Iterator[Line]:
    """Yield, for items rarely to often shown, whether their share of weight is their share."""
    second = person % 2 == 1
    often = np.bincount(item[~second], minlength=n_items)
    groups = np.array_split(np.argsort(often, kind="stable"), min(ITEM_GROUPS, n_items))
    for number, group in enumerate(groups, start=1):
        inside = np.isin(item[second], group)
        yield _mean_line(
            f"calibration, items {number} of {len(groups)} by displays",
            weight[second] * inside * n_items / len(group),
            person[second],
            int(inside.sum()),
        )


def _randomised_lines(
    item: np.ndarray, propensity: np.ndarray, randomised: np.ndarray, n_items: int
) -> Iterator[Line]:
    """Yield whether randomised rows have the propensity and the items of a uniform draw."""
    if not randomised.any():
        return
    chance = propensity[randomised]
    yield Line(
        "propensity, randomised rows",
        f"{chance.min():.4g} to {chance.max():.4g}",
        f"{1 / n_items:.4g}",
        OK if np.allclose(chance, 1 / n_items, rtol=1e-4, atol=0) else "not 1 over the items",
    )
    counts = np.bincount(item[randomised], minlength=n_items)
    p, expected = float(stats.chisquare(counts).pvalue), "all alike (chi-squared)"
    verdict = OK if p >= SURE else f"a uniform draw would do so with chance {p:.1g}"
    if counts.mean() < 5:
        verdict = "not checked: fewer than 5 displays an item"
    yield Line(
        "items, randomised rows", f"{counts.min()} to {counts.max()} displays", expected, verdict
    )


def _share_line(person: np.ndarray, randomised: np.ndarray, planned: float | None) -> Line:
    """Return whether as many rows, or people, were randomised as planned (exact binomial)."""
    rows = np.bincount(person)
    flagged = np.bincount(person, weights=randomised)
    by_person = flagged.max() > 1 and bool(np.isin(flagged / rows, [0, 1]).all())
    trials, hits = (len(rows), (flagged > 0).sum()) if by_person else (len(person), flagged.sum())
    found = f"{int(hits)} of {trials} {'people' if by_person else 'rows'} ({hits / trials:.2%})"
    if planned is None:
        return Line("randomised share", found, "no plan given", OK)
    p = stats.binomtest(int(hits), trials, planned).pvalue
    verdict = OK if p >= SURE else f"the plan would give this with chance {p:.1g}"
    return Line("randomised share", found, f"{planned:.2%}", verdict)
