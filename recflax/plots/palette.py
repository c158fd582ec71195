"""One palette, two sizes: what every figure of the book has in common.

Five colours that stay apart for readers with any of the three common kinds of colour blindness, and
that stand out from white by a contrast of at least 3 to 1. A figure is an opaque white sheet with
dark ink, so that it can be read wherever it is put; on the book's dark pages a style sheet turns
lightness round and keeps the hues, so prose must call a colour by its hue and never "dark" or
"light". Colour never carries a distinction alone: markers, dashes or labels say the same.
"""

from __future__ import annotations

import sys
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

BLUE, VERMILION, GREEN = "#2f88d0", "#b8360a", "#00694f"
GOLD, PURPLE = "#c28a00", "#6a1b7b"
INK, MUTED, FAINT, PAPER = "#1b2329", "#5d6770", "#d5dadd", "#ffffff"

SERIES = (BLUE, VERMILION, GREEN, GOLD, PURPLE)
MARKERS = ("o", "s", "^", "D", "v")
DASHES = ("-", (0, (6, 2)), (0, (2, 2)), (0, (8, 2, 2, 2)), (0, (1, 1)))

FULL, HALF = (6.4, 3.6), (3.1, 2.7)  # inches; a full figure is as wide as the text

SEQUENTIAL = LinearSegmentedColormap.from_list("recflax", [PAPER, "#9cc9ea", BLUE, "#123f66"])
DIVERGING = LinearSegmentedColormap.from_list("recflax2", [BLUE, "#ffffff", VERMILION])


def style() -> None:
    """Draw in the book's style from here on, and as SVG in a notebook.

    Example:
        >>> style()
        >>> mpl.rcParams["svg.hashsalt"]
        'recflax'
    """
    mpl.rcParams.update(
        {
            "figure.figsize": FULL,
            "figure.facecolor": PAPER,
            "figure.constrained_layout.use": True,
            "savefig.facecolor": PAPER,
            "svg.fonttype": "path",
            "svg.hashsalt": "recflax",  # the same picture gets the same names inside
            "font.size": 10.5,
            "axes.titlesize": 10.5,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.facecolor": PAPER,
            "axes.edgecolor": MUTED,
            "axes.labelcolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.prop_cycle": cycler(color=SERIES) + cycler(linestyle=DASHES),
            "grid.color": FAINT,
            "grid.linewidth": 0.7,
            "lines.linewidth": 2.0,
            "text.color": INK,
            "xtick.color": MUTED,
            "ytick.color": MUTED,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "legend.frameon": False,
        }
    )
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and hasattr(shell, "kernel"):
        _draw_svg(shell)


def new_axes(ax: Axes | None, size: tuple[float, float] = FULL) -> Axes:
    """Return the axes that were given, or those of a new figure.

    Example:
        >>> ax = new_axes(None, HALF)
        >>> new_axes(ax) is ax
        True
    """
    return plt.subplots(figsize=size)[1] if ax is None else ax


def _draw_svg(shell: Any) -> None:
    """Make the notebook draw SVG at the size that was asked for, the same on each run."""
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("svg", bbox_inches=None, metadata={"Date": None})
