"""A trained network from outside: its loss around a point, its vectors from above."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from recflax.inspect_model import EmbeddingMap, LossSurface
from recflax.plots.palette import FULL, INK, MARKERS, PAPER, SEQUENTIAL, SERIES, new_axes


def surface_map(
    surface: LossSurface,
    *,
    label: str = "loss",
    centre: str = "trained",
    levels: int | Sequence[float] = 12,
    ax: Axes | None = None,
) -> Axes:
    """The loss on a square as contours, with a cross at the point it was drawn around.

    Args:
        surface: From `recflax.inspect_model.loss_surface`.
        label: What the loss is, with its unit; it stands beside the colours.
        centre: What the point in the middle is called.
        levels: How many bands of colour, at least 2; or their edges, rising, so that two surfaces
            can share one scale. A loss outside of the edges is left blank.
        ax: Where to draw; a new full-width figure if None.

    Returns:
        The axes, with equal units both ways.

    Raises:
        ValueError: A loss is not finite or the same everywhere, the loss is not (P, P) for the P
            steps, or there are fewer than 2 bands or edges that do not rise.

    Example:
        >>> steps = np.array([-1.0, 0.0, 1.0])
        >>> ax = surface_map(LossSurface(steps, steps[:, None] ** 2 + steps**2))
        >>> ax.get_xlabel(), [text.get_text() for text in ax.texts]
        ('along the first direction', ['trained'])
    """
    loss, steps = np.asarray(surface.loss, dtype=float), np.asarray(surface.steps, dtype=float)
    if loss.shape != (len(steps), len(steps)):
        raise ValueError(f"loss must be (P, P) for {len(steps)} steps; got {loss.shape}")
    if not np.isfinite(loss).all():
        raise ValueError(f"every loss must be finite; {np.isfinite(loss).sum()} of {loss.size} are")
    if loss.min() == loss.max():
        raise ValueError(f"there is nothing to draw: the loss is {loss.min():g} everywhere")
    edges = np.linspace(loss.min(), loss.max(), levels + 1) if isinstance(levels, int) else levels
    bands = np.asarray(edges, dtype=float)
    if len(bands) < 3 or not (np.diff(bands) > 0).all():
        raise ValueError(f"levels must be at least 2, or at least 3 rising edges; got {levels}")
    ax = new_axes(ax, (FULL[0], 4.6))
    # the first direction runs to the right, the second one up
    drawn = ax.contourf(steps, steps, loss.T, levels=bands, cmap=SEQUENTIAL)
    ax.contour(steps, steps, loss.T, levels=bands[1:-1], colors=INK, linewidths=0.5, alpha=0.6)
    middle = float(steps[len(steps) // 2])
    ax.plot(middle, middle, "P", color=INK, markeredgecolor=PAPER, markersize=10)
    ax.annotate(centre, (middle, middle), (9, 5), textcoords="offset points")
    ax.set_aspect("equal")
    ax.set_xlabel("along the first direction")
    ax.set_ylabel("along the second direction")
    bar = ax.figure.colorbar(drawn, ax=ax, fraction=0.045, pad=0.02, ticks=MaxNLocator(5))
    bar.set_label(label)
    bar.outline.set_visible(False)
    return ax


def vector_map(
    found: EmbeddingMap,
    groups: Any,
    names: Sequence[str],
    *,
    title: str = "",
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """A mark for each vector, by group; each axis says which share of the variance it shows.

    Args:
        found: From `recflax.inspect_model.embedding_map`.
        groups: (M,) the number of each vector's group, from 0.
        names: What the groups are called, at most ten: five filled marks, then the same five open.
        title: What stands above.
        legend: Whether the groups are named beside the map.
        ax: Where to draw; a new full-width figure if None.

    Returns:
        The axes, with equal units both ways.

    Raises:
        ValueError: A group for another number of vectors, a group without a name, or more than ten
            names.

    Example:
        >>> found = EmbeddingMap(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0.6, 0.4]))
        >>> ax = vector_map(found, [0, 1], ["lamps", "cups"])
        >>> ax.get_xlabel()
        'first direction (60% of the variance)'
    """
    groups = np.asarray(groups)
    if groups.shape != (len(found.places),):
        raise ValueError(f"groups must be ({len(found.places)},); got {groups.shape}")
    if len(names) > 2 * len(MARKERS):
        raise ValueError(f"there are marks for {2 * len(MARKERS)} groups; got {len(names)}")
    if not np.isin(groups, np.arange(len(names))).all():
        wrong = groups[~np.isin(groups, np.arange(len(names)))][0]
        raise ValueError(f"groups must be numbers from 0 to {len(names) - 1}; got {wrong}")
    ax = new_axes(ax, (FULL[0], 4.2))
    for group, name in enumerate(names):
        colour, marker = (kinds[group % len(MARKERS)] for kinds in (SERIES, MARKERS))
        ax.plot(
            *found.places[groups == group].T,
            marker,
            color=colour,
            markerfacecolor=colour if group < len(MARKERS) else "none",
            markersize=5.5,
            label=name,
        )
    for axis, which, share in zip("xy", ("first", "second"), found.explained, strict=True):
        ax.set(**{f"{axis}label": f"{which} direction ({share:.0%} of the variance)"})
    ax.set_title(title)
    ax.set_aspect("equal", adjustable="datalim")
    ax.grid()
    if legend:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)
    return ax
