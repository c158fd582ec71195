"""Where a network looked: attention weights as the model gave them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from recflax.plots.palette import FAINT, FULL, HALF, INK, PAPER, SEQUENTIAL


def heat_map(
    weights: Any,
    *,
    queries: Sequence[str],
    keys: Sequence[str],
    titles: Sequence[str] = (),
    query_label: str = "who asks",
    key_label: str = "who answers",
    write: bool | None = None,
) -> list[Axes]:
    """A square for each query and key, one panel a head, all on one scale from 0 to 1.

    Args:
        weights: (Lq, Lk), or (H, Lq, Lk) for a panel each head; in [0, 1].
        queries: Names of the rows, Lq of them.
        keys: Names of the columns, Lk of them.
        titles: One for each panel; ``head 1``, ``head 2`` and so on if there are several and no
            titles.
        query_label: What the rows are.
        key_label: What the columns are.
        write: Whether each weight is written into its square; where there are at most 80 squares,
            if None.

    Returns:
        The axes of the panels.

    Raises:
        ValueError: Another shape, names that do not fit it, or a weight that is NaN or not in
            [0, 1].

    Example:
        >>> weights = np.array([[1.0, 0.0], [0.25, 0.75]])
        >>> panels = heat_map(weights, queries=["lamp", "cup"], keys=["lamp", "cup"])
        >>> [text.get_text() for text in panels[0].texts]
        ['1', '', '.25', '.75']
    """
    weights = np.asarray(weights, dtype=float)
    if weights.ndim not in (2, 3):
        raise ValueError(f"weights must be (Lq, Lk) or (H, Lq, Lk); got shape {weights.shape}")
    panels = weights[None] if weights.ndim == 2 else weights
    heads, rows, columns = panels.shape
    if (rows, columns) != (len(queries), len(keys)):
        raise ValueError(
            f"weights of shape {weights.shape} need {rows} queries and {columns} keys; "
            f"got {len(queries)} and {len(keys)}"
        )
    if not ((panels >= -1e-6) & (panels <= 1 + 1e-6)).all():
        raise ValueError("weights must be in [0, 1]; got " + _first_wrong(panels))
    if not titles:
        titles = [f"head {head + 1}" for head in range(heads)] if heads > 1 else [""]
    if len(titles) != heads:
        raise ValueError(f"{heads} panels need as many titles; got {len(titles)}")

    width = FULL[0] if heads > 1 or columns > 6 else HALF[0] * 1.3
    square = (width - 1.2) / heads / columns
    tall = min(max(square, 0.26), 0.5) * rows  # inches, and so is the colour bar
    height = 1.3 + tall
    figure, grid = plt.subplots(1, heads, figsize=(width, height), squeeze=False, sharey=True)
    write = rows * columns * heads <= 80 if write is None else write
    for ax, panel, title in zip(grid[0], panels, titles, strict=True):
        mesh = ax.pcolormesh(panel, cmap=SEQUENTIAL, vmin=0, vmax=1, edgecolor=FAINT)
        ax.set_title(title)
        ax.set_xticks(
            np.arange(columns) + 0.5, keys, rotation=45, ha="right", rotation_mode="anchor"
        )
        ax.set_yticks(np.arange(rows) + 0.5, queries)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_xlabel(key_label)
        if write:
            _write(ax, panel)
    grid[0, 0].invert_yaxis()
    grid[0, 0].set_ylabel(query_label)
    bar = figure.colorbar(mesh, ax=list(grid[0]), fraction=0.04, pad=0.02, ticks=[0, 0.5, 1])
    bar.set_label("attention weight" if tall > 1.3 else "weight")
    bar.outline.set_visible(False)
    return list(grid[0])


def _write(ax: Axes, panel: np.ndarray) -> None:
    """The weights as text, in the ink that stands out from the square."""
    for (row, column), weight in np.ndenumerate(panel):
        text = "" if weight < 0.005 else f"{weight:.2f}".lstrip("0").removesuffix(".00")
        ink = PAPER if weight > 0.6 else INK
        ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=ink, fontsize=8.5)


def _first_wrong(panels: np.ndarray) -> str:
    wrong = ~((panels >= -1e-6) & (panels <= 1 + 1e-6))
    place = tuple(int(number) for number in np.argwhere(wrong)[0])
    return f"{panels[place]} at {place}"
