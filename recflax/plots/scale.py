"""How a cost grows with a size, on two logarithmic axes, where a power is a straight line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from recflax.plots.palette import DASHES, FULL, INK, MARKERS, SERIES, new_axes

Curve = tuple[Sequence[float], Sequence[float]]


def growth_curves(
    curves: Mapping[str, Curve],
    *,
    tops: Mapping[str, Sequence[float]] | None = None,
    guides: Mapping[str, Curve] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Dots joined by lines, sizes to the right and costs upwards, both on logarithmic scales.

    Args:
        curves: Sizes and values by name, at most five; all positive.
        tops: For some of the names a second value at each size, not below the first, such as a
            99th percentile over a median: a thin line reaches up to it, and ends in a stroke.
        guides: What the curves are held against, such as counted operations in seconds: dashed
            and without dots.
        xlabel: Which size moves.
        ylabel: What it costs, with its unit.
        ax: Where to draw; a new full-width figure if None.

    Returns:
        The axes.

    Raises:
        ValueError: No curve, or more than the palette has colours; sizes and values of different
            length, or not positive; tops of an unknown name, of another length, or below.

    Example:
        >>> ax = growth_curves({"measured": ([1, 10], [2, 20])}, xlabel="M, items")
        >>> ax.get_xscale(), ax.get_yscale(), ax.get_legend_handles_labels()[1]
        ('log', 'log', ['measured'])
    """
    tops, guides = tops or {}, guides or {}
    if not 1 <= len(curves) <= len(SERIES):
        raise ValueError(f"curves must hold 1 to {len(SERIES)} curves; got {len(curves)}")
    unknown = sorted(set(tops) - set(curves))
    if unknown:
        raise ValueError(f"tops must be of curves {tuple(curves)}; got {unknown[0]!r}")
    ax = new_axes(ax)
    for (name, curve), colour, marker in zip(curves.items(), SERIES, MARKERS, strict=False):
        x, y = _positive(name, curve)
        ax.plot(x, y, color=colour, marker=marker, markersize=6, linestyle="-", label=name)
        if name in tops:
            top = np.asarray(tops[name], dtype=float)
            if top.shape != y.shape or not (top >= y).all():
                raise ValueError(f"tops of {name!r} must be {len(y)} values not below its own")
            ax.errorbar(
                x, y, [np.zeros_like(y), top - y],
                fmt="none", ecolor=colour, elinewidth=1.2, capsize=3,
            )  # fmt: skip
    for (name, curve), dash in zip(guides.items(), DASHES[1:], strict=False):
        x, y = _positive(name, curve)
        ax.plot(x, y, color=INK, linewidth=1.2, linestyle=dash, label=name)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.grid(visible=True)
    if len(curves) + len(guides) > 1:
        ax.legend(loc="upper left")
    return ax


def ratio_dots(
    ratios: Mapping[str, Sequence[float]], *, xlabel: str = "ratio", ax: Axes | None = None
) -> Axes:
    """A row for each name, from top to bottom, with a dot for each ratio, on a logarithmic axis.

    Args:
        ratios: Positive ratios by name. Those below 1 are drawn as squares of another colour.
        xlabel: What is by what.
        ax: Where to draw; a new figure, as high as the rows need, if None.

    Returns:
        The axes.

    Raises:
        ValueError: No row, a row without ratios, or a ratio that is not positive and finite.

    Example:
        >>> ax = ratio_dots({"one": [1.5, 2.0], "other": [0.5]})
        >>> [label.get_text() for label in ax.get_yticklabels()], ax.get_xscale()
        (['one', 'other'], 'log')
    """
    if not ratios:
        raise ValueError("ratios must hold a row; got none")
    for name, values in ratios.items():
        found = np.asarray(values, dtype=float)
        if found.ndim != 1 or not len(found) or not (np.isfinite(found) & (found > 0)).all():
            raise ValueError(f"{name!r} must be positive, finite ratios; got {values!r}")
    ax = new_axes(ax, (FULL[0], 1.0 + 0.3 * len(ratios)))
    for row, values in enumerate(ratios.values()):
        found = np.asarray(values, dtype=float)
        for part, colour, marker in (
            (found[found >= 1], SERIES[0], MARKERS[0]),
            (found[found < 1], SERIES[1], MARKERS[1]),
        ):
            ax.plot(part, np.full(len(part), row), marker, color=colour, markersize=6)
    ax.axvline(1, color=INK, linewidth=1.2, linestyle=DASHES[1])
    ax.set_yticks(range(len(ratios)), list(ratios))
    ax.set_ylim(len(ratios) - 0.5, -0.5)
    ax.set_xscale("log")
    ax.set_xlabel(xlabel)
    ax.grid(axis="x")
    return ax


def _positive(name: str, curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and values as arrays, or raise."""
    x, y = (np.asarray(values, dtype=float) for values in curve)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise ValueError(
            f"{name!r} must be sizes and values of one length; got {x.shape}, {y.shape}"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x > 0).all() and (y > 0).all()):
        raise ValueError(f"{name!r} must be positive and finite on both axes; got {x}, {y}")
    return x, y
