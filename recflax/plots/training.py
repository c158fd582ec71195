"""How training went."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from recflax.plots.palette import DASHES, INK, SERIES, new_axes
from recflax.training import FitResult


def loss_curves(
    runs: Mapping[str, FitResult],
    *,
    ylabel: str = "loss",
    floor: float | None = None,
    floor_label: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Mean loss of each epoch; a validation loss is dashed, with its best epoch ringed.

    Args:
        runs: A fit by name, at most five.
        ylabel: What the loss is, with its unit.
        floor: A loss that a line marks, such as the entropy that nobody can beat.
        floor_label: What that line is.
        ax: Where to draw; a new full-width figure if None.

    Returns:
        The axes.

    Raises:
        ValueError: No run, or more runs than the palette has colours.

    Example:
        >>> run = FitResult({}, np.array([2.0, 1.5, 1.2]), np.array([2.1, 1.7, 1.8]), 1, 30)
        >>> ax = loss_curves({"plain": run})
        >>> ax.get_legend_handles_labels()[1]
        ['plain, training', 'plain, validation']
    """
    if not 1 <= len(runs) <= len(SERIES):
        raise ValueError(f"runs must hold 1 to {len(SERIES)} fits; got {len(runs)}")
    ax = new_axes(ax)
    for (name, run), colour in zip(runs.items(), SERIES, strict=False):
        epochs = np.arange(1, len(run.loss) + 1)
        watched = run.validation_loss is not None
        label = f"{name}, training" if watched else name
        ax.plot(epochs, run.loss, color=colour, linestyle="-", label=label)
        if run.validation_loss is not None:
            curve = np.asarray(run.validation_loss)
            ax.plot(epochs, curve, color=colour, linestyle=DASHES[1], label=f"{name}, validation")
            best = run.best_epoch
            ax.plot(best + 1, curve[best], "o", color=colour, markerfacecolor="none", markersize=10)
    if floor is not None:
        ax.axhline(floor, color=INK, linewidth=1.2, linestyle=DASHES[2], label=floor_label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch")
    ax.set_ylabel(ylabel)
    ax.grid(axis="y")
    ax.legend()
    return ax
