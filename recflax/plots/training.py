"""How training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recflax.plots.palette import DASHES, FULL, INK, MARKERS, SERIES, new_axes
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


def step_losses(
    line: Sequence[float],
    dots: Mapping[str, tuple[int, Sequence[float]]],
    *,
    line_label: str = "",
    every: int = 2,
    ylabel: str = "loss",
    ax: Axes | None = None,
) -> Axes:
    """One run's loss at each step as a line, and runs that should lie on it as dots.

    Args:
        line: Losses of steps 1, 2, ...
        dots: By name the first step and the losses from there on, at most four.
        line_label: What the line is.
        every: A dot at every so many steps, so that the line is seen between them.
        ylabel: What the loss is, with its unit.
        ax: Where to draw; a new full-width figure if None.

    Returns:
        The axes.

    Raises:
        ValueError: No loss in the line, more sets of dots than the palette has colours left, or
            ``every`` below 1.

    Example:
        >>> ax = step_losses([2.0, 1.5, 1.2], {"again": (2, [1.5, 1.2])}, line_label="once")
        >>> ax.get_legend_handles_labels()[1]
        ['once', 'again']
    """
    if not len(line):
        raise ValueError("line must hold a loss for each step; got none")
    if len(dots) >= len(SERIES):
        raise ValueError(f"dots must hold at most {len(SERIES) - 1} runs; got {len(dots)}")
    if every < 1:
        raise ValueError(f"every must be at least 1; got {every}")
    ax = new_axes(ax)
    ax.plot(np.arange(1, len(line) + 1), line, color=SERIES[0], label=line_label)
    for (name, (first, losses)), colour, marker in zip(
        dots.items(), SERIES[1:], MARKERS[1:], strict=False
    ):
        steps = np.arange(first, first + len(losses))
        ax.plot(steps[::every], losses[::every], marker, color=colour, markersize=5, label=name)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("step")
    ax.set_ylabel(ylabel)
    ax.grid(axis="y")
    ax.legend()
    return ax


def two_readings(
    steps: Sequence[int],
    likelihood: Mapping[str, np.ndarray],
    increment: Mapping[str, np.ndarray],
    *,
    reference: float,
) -> Figure:
    """Two readings of the same trainings side by side: how likely, and how useful.

    Args:
        steps: The steps at which was read, S of them.
        likelihood: Held-out log-likelihood (S,) by training, in nats per visit.
        increment: Purchases added per visit (S,) by training, of the same names.
        reference: The increment of a random product, as a dotted line.

    Returns:
        The figure.

    Raises:
        ValueError: The names differ, or there are more of them than the palette has colours.

    Example:
        >>> curve = {"one": np.array([0.0, 1.0])}
        >>> figure = two_readings([0, 20], curve, curve, reference=0.5)
        >>> [ax.get_ylabel() for ax in figure.axes]
        ['held-out log-likelihood, nats per visit', 'purchases added per visit']
    """
    if list(likelihood) != list(increment) or not 1 <= len(likelihood) <= len(SERIES):
        raise ValueError(
            f"likelihood and increment must have the same 1 to {len(SERIES)} names; "
            f"got {list(likelihood)} and {list(increment)}"
        )
    figure, axes = plt.subplots(1, 2, figsize=FULL)
    said = "held-out log-likelihood, nats per visit", "purchases added per visit"
    for ax, curves, ylabel in zip(axes, (likelihood, increment), said, strict=True):
        for (name, curve), colour, dash in zip(curves.items(), SERIES, DASHES, strict=False):
            ax.plot(steps, curve, color=colour, linestyle=dash, label=name)
        ax.set_xlabel("steps")
        ax.set_ylabel(ylabel)
    axes[1].axhline(reference, color=INK, linewidth=1.2, linestyle=DASHES[4])
    lines = axes[0].get_lines()
    figure.legend(lines, list(likelihood), loc="outside upper left", ncols=1)
    return figure
