"""Checks at the door of a world's configuration: each error names what came and what was wanted."""

import math
import numbers
from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def check_kind(name: str, value: object, kind: type) -> None:
    """Raise unless a value is an integer, a finite number or a bool, as ``kind`` asks.

    Raises:
        TypeError: it is of another kind; a bool is no number here.
        ValueError: it is a number that is not finite.

    Example:
        >>> check_kind("visits", 2.0, int)
        Traceback (most recent call last):
        ...
        TypeError: visits must be of type int; got 2.0
    """
    whole = {int: numbers.Integral, float: numbers.Real}
    flag = type(value).__name__ in ("bool", "bool_")
    if flag != (kind is bool) or (kind is not bool and not isinstance(value, whole[kind])):
        raise TypeError(f"{name} must be of type {kind.__name__}; got {value!r}")
    if not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError(f"{name} must be finite; got {value}")


def check_config(
    config: Any, *, least: Mapping[str, float] | None = None, chances: tuple[str, ...] = ()
) -> None:
    """Raise unless every field of a dataclass is of the kind of its default, and in its range.

    Args:
        config: a dataclass whose fields all have defaults.
        least: by field, the smallest value allowed.
        chances: fields that are from 0 to 1.

    Raises:
        TypeError: a value of the wrong kind.
        ValueError: a value that is not finite, or out of range.
    """
    for field in fields(config):
        check_kind(field.name, getattr(config, field.name), type(field.default))
    for name, low in (least or {}).items():
        if getattr(config, name) < low:
            raise ValueError(f"{name} must be at least {low}; got {getattr(config, name)}")
    for name in chances:
        if not 0 <= getattr(config, name) <= 1:
            raise ValueError(f"{name} must be from 0 to 1; got {getattr(config, name)}")
