"""A lesson's claim before it is made: the sentence, the number and the bound.

A lesson returns statements; a chapter makes claims of them, which fail the build; a test asks
whether they hold, and whether they stop holding when the library is broken.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recflax.claims import claim
from recflax.estimates import Estimate
from recflax.intervals import paired_difference


@dataclass(frozen=True)
class Statement:
    """What a lesson says of its rows.

    Attributes:
        name: unique within the book.
        sentence: what is claimed, readable without the chapter.
        estimate: the number with its interval, or a bare number when it is exact.
        at_least: bound from below, or None.
        at_most: bound from above, or None.
        seeds: how many seeds stand behind the number.
        exact: the number is computed, not estimated, and has no interval.
    """

    name: str
    sentence: str
    estimate: Estimate | float
    at_least: float | None = None
    at_most: float | None = None
    seeds: int | None = None
    exact: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """The interval's lower and upper end; the number twice when it is exact."""
        if isinstance(self.estimate, Estimate):
            return float(self.estimate.lower), float(self.estimate.upper)
        return float(self.estimate), float(self.estimate)

    @property
    def holds(self) -> bool:
        """Whether the end nearest to each bound satisfies it. NaN satisfies nothing."""
        lower, upper = self.ends
        above = self.at_least is None or lower >= self.at_least
        below = self.at_most is None or upper <= self.at_most
        return bool(above and below and not np.isnan([lower, upper]).any())

    def make(self) -> None:
        """Makes the claim, which raises when it does not hold."""
        claim(
            self.name,
            self.sentence,
            self.estimate,
            at_least=self.at_least,
            at_most=self.at_most,
            seeds=self.seeds,
            exact=self.exact,
        )


def sayer(prefix: str, rows: Sequence[Any]) -> Callable[..., Statement]:
    """What makes the statements of one lesson, all of them about the same rows.

    Args:
        prefix: stands before each name, with a hyphen.
        rows: one a seed.

    Returns:
        A function of a name, a sentence, a number and the bounds of `Statement`.

    Example:
        >>> say = sayer("shop", rows=[{}, {}])
        >>> said = say("open", "The shop is open: hours.", 8.0, at_least=1.0)
        >>> said.name, said.seeds, said.holds
        ('shop-open', 2, True)
    """

    def say(name: str, sentence: str, number: Estimate | float, **bounds: Any) -> Statement:
        return Statement(f"{prefix}-{name}", sentence, number, seeds=len(rows), **bounds)

    return say


def by_name(statements: Iterable[Statement]) -> dict[str, Statement]:
    """Statements under their names.

    Raises:
        ValueError: a name comes twice.
    """
    found: dict[str, Statement] = {}
    for statement in statements:
        if statement.name in found:
            raise ValueError(f"statement {statement.name!r} comes twice")
        found[statement.name] = statement
    return found


def column(rows: Sequence[Mapping[str, float]], name: str) -> np.ndarray:
    """One number of every row, as an array of floats.

    Raises:
        KeyError: a row lacks the number.
    """
    return np.array([row[name] for row in rows], dtype=float)


def paired_columns(rows: Sequence[Mapping[str, float]], one: str, other: str) -> Estimate:
    """The mean over seeds of one number of every row less another of the same row.

    Raises:
        KeyError: a row lacks one of them.

    Example:
        >>> print(paired_columns([{"a": 3.0, "b": 1.0}, {"a": 4.0, "b": 2.0}], "a", "b"))
        2.000 ± .000
    """
    return paired_difference(column(rows, one), column(rows, other), over="seeds")
