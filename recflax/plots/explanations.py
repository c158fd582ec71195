"""One history, and what several explanations say of each of its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from recflax.plots.palette import BLUE, FULL, GOLD, INK, MUTED, VERMILION


def event_bars(
    events: Sequence[str], panels: Mapping[str, Any], *, shares: Sequence[str] = (), unit: str
) -> list[Axes]:
    """A row for each event, a panel for each explanation, a bar in each.

    Panels stand side by side. All but the shares have one scale, so that their bars can be
    compared. A value that is exactly zero gets a ring in the place of a bar.

    Args:
        events: What happened, in the order in which it is drawn from top to bottom.
        panels: (L,) numbers by title.
        shares: Titles of the panels that are shares of a whole, from 0 up, on a scale of their own.
        unit: What the other panels measure.

    Returns:
        The axes of the panels.

    Raises:
        ValueError: No panel, a panel that has not one finite number for each event, a share below
            0, or a title in ``shares`` that is no panel.

    Example:
        >>> axes = event_bars(
        ...     ["viewed: lamp", "bought: cup"],
        ...     {"attention": [0.3, 0.7], "effect": [0.0, -0.02]},
        ...     shares=["attention"],
        ...     unit="chance",
        ... )
        >>> [len(ax.patches) for ax in axes]
        [2, 1]
    """
    if not panels:
        raise ValueError("panels must hold at least one; got none")
    unknown = [title for title in shares if title not in panels]
    if unknown:
        raise ValueError(f"shares must be titles of panels; {unknown[0]!r} is not")
    numbers = {title: np.asarray(values, float) for title, values in panels.items()}
    for title, values in numbers.items():
        if values.shape != (len(events),) or not np.isfinite(values).all():
            raise ValueError(f"panel {title!r} needs {len(events)} finite numbers; got {values}")
        if title in shares and (values < 0).any():
            raise ValueError(f"panel {title!r} has shares below 0: {values.min()}")
    signed = [values for title, values in numbers.items() if title not in shares]
    ends = 1.15 * np.array([min([0, *map(np.min, signed)]), max([0, *map(np.max, signed)])])
    if ends[0] == ends[1]:
        ends = np.array([-1.0, 1.0])

    size = (FULL[0], 1.1 + 0.3 * len(events))
    _, grid = plt.subplots(1, len(numbers), figsize=size, squeeze=False, sharey=True)
    rows = np.arange(len(events))
    for ax, (title, values) in zip(grid[0], numbers.items(), strict=True):
        some = values != 0
        colours = np.where(values < 0, VERMILION, GOLD if title in shares else BLUE)
        ax.barh(rows[some], values[some], color=colours[some], height=0.62)
        ax.plot(values[~some], rows[~some], "o", color=MUTED, markerfacecolor="none", markersize=4)
        ax.axvline(0, color=INK, linewidth=1, linestyle="-")
        ax.set_title(title, fontsize=9.5)
        ax.set_xlim((0, 1.15 * max(values.max(), 1e-9)) if title in shares else tuple(ends))
        ax.locator_params(axis="x", nbins=3, min_n_ticks=2)
        ax.tick_params(axis="x", labelsize=8.5)
        ax.set_xlabel("share" if title in shares else unit, fontsize=9)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
    grid[0, 0].set_yticks(rows, events, fontsize=8.5)
    grid[0, 0].set_ylim(len(events) - 0.4, -0.6)
    return list(grid[0])
