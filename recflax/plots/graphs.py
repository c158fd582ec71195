"""Causal graphs and flow charts, drawn without any program beside matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from recflax.plots.palette import BLUE, FULL, GOLD, GREEN, INK, MUTED, PAPER, VERMILION, new_axes

# what a node is: its outline, its dashes, its filling
NODES: dict[str, tuple[str, Any, str]] = {
    "seen": (INK, "-", PAPER),
    "hidden": (MUTED, (0, (4, 3)), PAPER),  # real, but in no column of the log
    "set": (BLUE, "-", "#dcecf9"),  # set by decision, as do() does
    "held": (GREEN, "-", "#dcebe6"),  # adjusted for
    "outcome": (GOLD, "-", "#f8efd8"),
    "step": (MUTED, "-", "#f2f4f5"),  # of a flow chart
}
ROUND, STEP = "round,pad=0.45,rounding_size=0.35", "square,pad=0.5"
# what an arrow is: its colour, its dashes, its width
EDGES: dict[str, tuple[str, Any, float]] = {
    "cause": (INK, "-", 1.5),
    "open": (VERMILION, "-", 2.4),  # on a path that carries what is not the effect
    "wanted": (BLUE, "-", 2.4),  # the effect that is asked for
    "unsure": (MUTED, (0, (4, 3)), 1.5),
    "cut": (MUTED, (0, (1, 2)), 1.5),  # removed by do(), marked with a cross
}


@dataclass(frozen=True)
class Node:
    """A thing in a graph.

    Attributes:
        x: Place from left to right, in any unit.
        y: Place from bottom to top, in the same unit.
        label: What is written in it; the node's name if empty.
        kind: One of ``"seen"``, ``"hidden"``, ``"set"``, ``"held"``, ``"outcome"``, ``"step"``.
    """

    x: float
    y: float
    label: str = ""
    kind: str = "seen"


@dataclass(frozen=True)
class Edge:
    """An arrow.

    Attributes:
        tail: The node where it starts.
        head: The node at which it points.
        kind: One of ``"cause"``, ``"open"``, ``"wanted"``, ``"unsure"``, ``"cut"``.
        label: What is written beside its middle.
        bend: How far it bows, as a share of its length; positive to the right of its way.
    """

    tail: str
    head: str
    kind: str = "cause"
    label: str = ""
    bend: float = 0.0


def draw_graph(
    nodes: Mapping[str, Node | tuple[float, float]],
    edges: Sequence[Edge | tuple[str, str]],
    *,
    size: tuple[float, float] = FULL,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Nodes at their places, joined by arrows.

    Args:
        nodes: By name; a bare pair is the place of a node that is seen.
        edges: Arrows; a bare pair is a cause.
        size: Width and height in inches, if the figure is new.
        title: What stands above.
        ax: Where to draw; a new figure if None.

    Returns:
        The axes, with equal units both ways.

    Raises:
        ValueError: An arrow names a node that is not there, a kind is unknown, or there is no
            node.

    Example:
        >>> nodes = {"intent": Node(1, 1, kind="hidden"), "shown": (0, 0), "bought": (2, 0)}
        >>> edges = [("intent", "shown"), ("intent", "bought"), Edge("shown", "bought", "wanted")]
        >>> ax = draw_graph(nodes, edges)
        >>> len(ax.texts), len(ax.patches)
        (3, 3)
    """
    if not nodes:
        raise ValueError("nodes must hold at least one; got none")
    placed = {name: n if isinstance(n, Node) else Node(*n) for name, n in nodes.items()}
    arrows = [e if isinstance(e, Edge) else Edge(*e) for e in edges]
    _check(placed, arrows)

    ax = new_axes(ax, size)
    ax.set_axis_off()
    ax.set_title(title)
    drawn = {}
    for name, node in placed.items():
        outline, dashes, filling = NODES[node.kind]
        box = {
            "boxstyle": "round,pad=0.45,rounding_size=0.35"
            if node.kind != "step"
            else "square,pad=0.5",
            "edgecolor": outline,
            "linestyle": dashes,
            "facecolor": filling,
            "linewidth": 1.5,
        }
        drawn[name] = ax.text(
            node.x, node.y, node.label or name, ha="center", va="center", bbox=box, zorder=3
        )
    _leave_room(ax, placed)
    ax.figure.canvas.draw()  # boxes get their sizes, which the arrows stop at
    for arrow in arrows:
        _draw_arrow(ax, placed, drawn, arrow)
    return ax


def _check(nodes: Mapping[str, Node], edges: Sequence[Edge]) -> None:
    for name, node in nodes.items():
        if node.kind not in NODES:
            raise ValueError(f"node {name!r} is of kind {node.kind!r}; expected one of {[*NODES]}")
    for edge in edges:
        if edge.kind not in EDGES:
            raise ValueError(f"{edge} is of unknown kind; expected one of {[*EDGES]}")
        for end in (edge.tail, edge.head):
            if end not in nodes:
                raise ValueError(f"{edge} names {end!r}, which is none of {[*nodes]}")


def _leave_room(ax: Axes, nodes: Mapping[str, Node]) -> None:
    """Limits with half a unit around all places."""
    xs, ys = [node.x for node in nodes.values()], [node.y for node in nodes.values()]
    ax.set_xlim(min(xs) - 0.5, max(xs) + 0.5)
    ax.set_ylim(min(ys) - 0.4, max(ys) + 0.4)


def _draw_arrow(ax: Axes, nodes: Mapping[str, Node], drawn: Mapping[str, Any], edge: Edge) -> None:
    colour, dashes, width = EDGES[edge.kind]
    tail, head = nodes[edge.tail], nodes[edge.head]
    arrow = FancyArrowPatch(
        (tail.x, tail.y),
        (head.x, head.y),
        patchA=drawn[edge.tail].get_bbox_patch(),
        patchB=drawn[edge.head].get_bbox_patch(),
        shrinkA=2,
        shrinkB=3,
        connectionstyle=f"arc3,rad={edge.bend}",
        arrowstyle="-|>",
        mutation_scale=13,
        color=colour,
        linestyle=dashes,
        linewidth=width,
    )
    ax.add_patch(arrow)
    # the middle of the bow: a quadratic curve goes half as far out as its control point
    x = (tail.x + head.x) / 2 + edge.bend * (head.y - tail.y) / 2
    y = (tail.y + head.y) / 2 - edge.bend * (head.x - tail.x) / 2
    if edge.kind == "cut":
        ax.plot(x, y, "x", color=VERMILION, markersize=10, markeredgewidth=2.5, zorder=4)
    if edge.label:
        paper = {"boxstyle": "round,pad=0.15", "facecolor": PAPER, "edgecolor": "none"}
        ax.text(x, y, edge.label, ha="center", va="center", fontsize=9.5, bbox=paper, zorder=2.5)
