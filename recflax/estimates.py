r"""An estimate is never a bare number: what it is worth, and for whom, travels with it.

Three intervals look alike and mean different things, so each `Estimate` names its *target*:

- ``"these people"``: the same people asked again (variance within a person);
- ``"people like them"``: other people from where these came (rows of a person move together);
- ``"stores"``: other stores from where these came (one value a seed).

`recflax.intervals` makes them. Whoever checks the coverage of an interval checks it against its
own target, and no other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

THESE_PEOPLE = "these people"
PEOPLE_LIKE_THEM = "people like them"
STORES = "stores"
A_NEW_STORE = "a new store"


@dataclass(frozen=True)
class Estimate:
    """A number with its interval and with what the interval is about.

    Attributes:
        value: The number, in the unit of what was averaged.
        std_error: Its standard error, in the same unit, at least 0.
        lower: Lower end of the interval; may be minus infinity.
        upper: Upper end of the interval; may be infinity.
        target: Whom the interval is about: ``"these people"``, ``"people like them"``,
            ``"stores"``.
        effective_sample_size: How many equally weighted rows would be worth as much, or None.
        max_weight: The largest weight of a row, or None where nothing is weighted.
        clipped_share: The share of weights that were clipped, in [0, 1], or None.
        level: The coverage that the interval claims, in (0, 1).

    Raises:
        TypeError: A number is no number, or ``target`` is no text.
        ValueError: A number is NaN, ``std_error`` is negative, the ends are in the wrong order,
            ``target`` is empty, or ``level`` or ``clipped_share`` is out of range.

    Example:
        >>> ndcg = Estimate(0.3174, 0.002, 0.3135, 0.3213, "people like them")
        >>> print(ndcg)
        .317 ± .004
        >>> f"{ndcg:.2f}"
        '.32 ± .00'
        >>> ndcg.with_interval()
        '.317 [.314, .321]'
    """

    value: float
    std_error: float
    lower: float
    upper: float
    target: str
    effective_sample_size: float | None = None
    max_weight: float | None = None
    clipped_share: float | None = None
    level: float = 0.95

    def __post_init__(self) -> None:
        """Check the numbers, and keep them as plain floats."""
        for name in ("value", "std_error", "lower", "upper", "level"):
            object.__setattr__(self, name, _number(getattr(self, name), name))
        for name in ("effective_sample_size", "max_weight", "clipped_share"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _number(getattr(self, name), name))
        if not isinstance(self.target, str):
            raise TypeError(f"target must be text, not {type(self.target).__name__}")
        if not self.target:
            raise ValueError("target must say whom the interval is about; got an empty text")
        if self.std_error < 0:
            raise ValueError(f"std_error must be at least 0; got {self.std_error}")
        if self.lower > self.upper:
            raise ValueError(f"lower must not exceed upper; got {self.lower} and {self.upper}")
        if self.clipped_share is not None and not 0 <= self.clipped_share <= 1:
            raise ValueError(f"clipped_share must be in [0, 1]; got {self.clipped_share}")
        check_share(self.level, "level")

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.upper - self.lower) / 2

    @property
    def decimals(self) -> int:
        """How many decimals say something, which is up to the first digit of the half-width.

        A half-width that starts with 1 gets one digit more, since .01 could be .005 or .015.
        """
        width = self.half_width
        if not 1e-9 < width < math.inf:  # below it is rounding, not doubt
            return 3
        exponent = math.floor(math.log10(width))
        leading = width / 10.0**exponent
        return min(max(-exponent + (leading < 2), 0), 6)

    def with_interval(self, decimals: int = 3) -> str:
        """Return the value and both ends, such as ``'.317 [.314, .321]'``."""
        value, lower, upper = (
            _short(number, f".{decimals}f") for number in (self.value, self.lower, self.upper)
        )
        return f"{value} [{lower}, {upper}]"

    def __format__(self, spec: str) -> str:
        """Format value and half-width by ``spec``; value and ends if they are not symmetric."""
        spec = spec or f".{self.decimals}f"
        value, lower, upper = (
            _short(number, spec) for number in (self.value, self.lower, self.upper)
        )
        off_centre = abs((self.lower + self.upper) / 2 - self.value)
        if math.isfinite(self.half_width) and off_centre <= 0.1 * self.half_width:
            return f"{value} ± {_short(self.half_width, spec)}"
        return f"{value} [{lower}, {upper}]"

    def __str__(self) -> str:
        """Return the value and its half-width with the decimals that say something."""
        return format(self, "")

    def _repr_html_(self) -> str:
        """Show the estimate in a notebook, with its level and target in small print."""
        return f"<span>{self} <small>({self.level:.0%} interval, {self.target})</small></span>"


def _short(number: float, spec: str) -> str:
    """Format a number as a table prints it: no zero before the point, no minus before zero."""
    text = format(number, spec)
    if text.startswith("-") and not any(digit in text for digit in "123456789in"):
        text = text[1:]
    if text.startswith(("0.", "-0.")):
        text = text.replace("0.", ".", 1)
    return text


def _number(value: Any, name: str) -> float:
    if isinstance(value, str) or np.ndim(value) != 0:
        raise TypeError(f"{name} must be one number; got {value!r}")
    number = float(value)
    if math.isnan(number):
        raise ValueError(f"{name} is NaN")
    return number


def check_share(share: float, name: str) -> None:
    """Raise a ValueError unless ``share`` lies strictly between 0 and 1."""
    if not 0 < share < 1:
        raise ValueError(f"{name} must be between 0 and 1; got {share}")
