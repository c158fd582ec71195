"""Numbers with their intervals, and how one number becomes another in steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from recflax.estimates import Estimate
from recflax.plots.palette import (
    BLUE,
    FULL,
    GREEN,
    INK,
    MARKERS,
    MUTED,
    SERIES,
    VERMILION,
    new_axes,
)


def dots_with_intervals(
    estimates: Mapping[str, Estimate | float] | Mapping[str, Mapping[str, Estimate | float]],
    *,
    xlabel: str = "",
    truth: float | None = None,
    truth_label: str = "truth",
    ax: Axes | None = None,
) -> Axes:
    """A row for each name, from top to bottom: a dot at the value, a bar over its interval.

    Args:
        estimates: An `Estimate` or an exact number by row; or, for several groups in each row, a
            mapping of such mappings, ``{group: {row: estimate}}``. A group may lack a row.
        xlabel: What is measured, with its unit.
        truth: A value that a line marks across all rows, such as the exact one.
        truth_label: What stands beside that line in the legend.
        ax: Where to draw; a new full-width figure if None.

    Returns:
        The axes.

    Raises:
        ValueError: There is nothing to draw, or more groups than the palette has colours.

    Example:
        >>> estimates = {"popularity": Estimate(0.07, 0.005, 0.06, 0.08, "people like them")}
        >>> ax = dots_with_intervals(estimates, xlabel="NDCG@10", truth=0.075)
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['popularity']
    """
    if not estimates:
        raise ValueError("estimates must hold at least one row; got none")
    grouped = isinstance(next(iter(estimates.values())), Mapping)
    groups: Mapping[str, Mapping] = estimates if grouped else {"": estimates}  # type: ignore[assignment]
    if len(groups) > len(SERIES):
        raise ValueError(f"there are colours for {len(SERIES)} groups; got {len(groups)}")
    rows = list(dict.fromkeys(row for group in groups.values() for row in group))
    ax = new_axes(ax, (FULL[0], max(1.4, 0.9 + 0.27 * len(rows) * (1 + 0.35 * len(groups)))))

    spread = 0.22 * np.linspace(-1, 1, len(groups)) if len(groups) > 1 else [0.0]
    for (name, group), colour, marker, shift in zip(
        groups.items(), SERIES, MARKERS, spread, strict=False
    ):
        places = [rows.index(row) + shift for row in group]
        values, lower, upper = np.array([_ends(number) for number in group.values()]).T
        ax.hlines(places, lower, upper, color=colour, linewidth=2.2)
        ax.plot(values, places, marker, color=colour, markersize=6.5, label=name or None)
    if truth is not None:
        ax.axvline(truth, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label=truth_label)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_xlabel(xlabel)
    if grouped or truth is not None:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0)
    return ax


def waterfall(
    start: tuple[str, Estimate | float],
    steps: Sequence[tuple[str, Estimate | float]],
    end: str,
    *,
    xlabel: str = "",
    decimals: int = 3,
    ax: Axes | None = None,
) -> Axes:
    """From one number to another: a bar for the first, one for each change, one for what is left.

    The bars run from zero and from top to bottom. The last bar is the first plus all changes, so
    what is drawn adds up by construction.

    Args:
        start: Label and value of the first bar.
        steps: Label and change of each step; an `Estimate` gets a whisker over its interval.
        end: Label of the last bar.
        xlabel: What is measured, with its unit.
        decimals: How many decimals are printed at the bars.
        ax: Where to draw; a new full-width figure if None.

    Returns:
        The axes.

    Raises:
        ValueError: There is no step, or a number is not finite.

    Example:
        >>> ax = waterfall(("oracle", 0.5), [("wrong question", -0.1)], "what the shop earns")
        >>> [text.get_text() for text in ax.texts]
        ['.500', '−.100', '.400']
    """
    if not steps:
        raise ValueError("steps must hold at least one change; got none")
    first, changes = _ends(start[1])[0], [_ends(change) for _, change in steps]
    if not np.isfinite([first, *(change[0] for change in changes)]).all():
        raise ValueError(f"every number must be finite; got {first} and {[c[0] for c in changes]}")
    labels = [start[0], *(label for label, _ in steps), end]
    ax = new_axes(ax, (FULL[0], 1.0 + 0.36 * len(labels)))

    ax.barh(0, first, color=GREEN, height=0.62)
    _write(ax, first, 0, _signed(first, decimals, plus=""))
    level = first
    for place, (change, lower, upper) in enumerate(changes, start=1):
        colour = VERMILION if change < 0 else BLUE
        ax.barh(place, change, left=level, color=colour, height=0.62, alpha=0.9)
        ax.plot(
            [level, level], [place - 1.31, place + 0.31], color=MUTED, linewidth=1, linestyle="-"
        )
        if upper > lower:
            ax.hlines(place, level + lower, level + upper, color=INK, linewidth=1.6)
        right = max(level, level + max(change, upper if math.isfinite(upper) else change))
        _write(ax, right, place, _signed(change, decimals, plus="+"))
        level += change
    last = len(labels) - 1
    ax.plot([level, level], [last - 1.31, last + 0.31], color=MUTED, linewidth=1, linestyle="-")
    ax.barh(last, level, color=GREEN, height=0.62)
    _write(ax, max(level, 0), last, _signed(level, decimals, plus=""))

    ax.axvline(0, color=MUTED, linewidth=1, linestyle="-")
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(last + 0.6, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.14)
    ax.grid(axis="x")
    ax.set_xlabel(xlabel)
    return ax


def _ends(number: Estimate | float) -> tuple[float, float, float]:
    """Value and both ends; an exact number is its own interval."""
    if isinstance(number, Estimate):
        return number.value, number.lower, number.upper
    return float(number), float(number), float(number)


def _signed(number: float, decimals: int, plus: str) -> str:
    """A number as the book prints it: ``.500``, ``−.100``, and ``+.020`` where a sign is meant."""
    size = f"{abs(number):.{decimals}f}"
    size = size[1:] if size.startswith("0.") else size
    return ("−" if number < 0 else plus) + size


def _write(ax: Axes, x: float, y: float, text: str) -> None:
    ax.annotate(text, (x, y), (5, 0), textcoords="offset points", va="center", fontsize=10)
