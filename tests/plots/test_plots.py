"""What is drawn is what was given."""

import math
from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

from recflax.estimates import STORES, Estimate
from recflax.plots.attention import heat_map
from recflax.plots.estimates import dots_with_intervals, waterfall
from recflax.plots.graphs import Edge, Node, draw_graph
from recflax.plots.palette import BLUE, FULL, GREEN, HALF, VERMILION, new_axes
from recflax.plots.training import loss_curves, step_losses, two_readings
from recflax.training import FitResult


@pytest.fixture(autouse=True)
def no_figure_is_left() -> Iterator[None]:
    yield
    plt.close("all")


def estimate(value: float, half: float) -> Estimate:
    return Estimate(value, half / 2, value - half, value + half, STORES)


def segments(axes: Axes) -> list[tuple[float, float, float]]:
    """Every horizontal line: its left end, its right end, its height."""
    paths = [path for lines in axes.collections for path in lines.get_paths()]
    return [(*path.vertices[:, 0].tolist(), float(path.vertices[0, 1])) for path in paths]


def test_a_dot_stands_at_the_value_and_a_bar_over_the_interval() -> None:
    axes = dots_with_intervals({"a": estimate(0.3, 0.1), "b": estimate(0.5, 0.2), "c": 0.7})
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert axes.lines[0].get_xdata().tolist() == [0.3, 0.5, 0.7]
    expected = [(0.2, 0.4, 0), (0.3, 0.7, 1), (0.7, 0.7, 2)]
    assert np.array(segments(axes)) == pytest.approx(np.array(expected))
    assert axes.yaxis_inverted()
    assert axes.get_legend() is None


def test_groups_stand_side_by_side_with_markers_of_their_own() -> None:
    groups = {"all": {"a": 0.1, "b": 0.2}, "new": {"b": 0.4}}
    axes = dots_with_intervals(groups, truth=0.3, truth_label="exact", xlabel="NDCG@10")
    first, second, truth = axes.lines
    assert first.get_ydata().tolist() == [-0.22, 0.78]
    assert second.get_ydata().tolist() == [1.22]
    assert first.get_marker() != second.get_marker()
    assert first.get_color() != second.get_color()
    assert list(truth.get_xdata()) == [0.3, 0.3]
    assert [text.get_text() for text in axes.get_legend().texts] == ["all", "new", "exact"]
    assert axes.get_xlabel() == "NDCG@10"


def test_what_cannot_be_drawn_as_dots_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        dots_with_intervals({})
    with pytest.raises(ValueError, match="colours for 5 groups; got 6"):
        dots_with_intervals({str(group): {"a": 0.1} for group in range(6)})


def test_a_waterfall_adds_up() -> None:
    steps = [("question", estimate(-0.2, 0.05)), ("confounding", -0.1), ("luck", 0.03)]
    axes = waterfall(("oracle", 0.5), steps, "shop", xlabel="purchases")
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    starts = [bar.get_x() for bar in bars]
    assert starts == pytest.approx([0, 0.5, 0.3, 0.2, 0])
    assert [bar.get_width() for bar in bars] == pytest.approx([0.5, -0.2, -0.1, 0.03, 0.23])
    colours = [plt.matplotlib.colors.to_hex(bar.get_facecolor()) for bar in bars]
    assert colours == [GREEN, VERMILION, VERMILION, BLUE, GREEN]
    texts = [text.get_text() for text in axes.texts]
    assert texts == [".500", "−.200", "−.100", "+.030", ".230"]
    assert segments(axes)[0] == pytest.approx((0.25, 0.35, 1))
    assert axes.get_xlim()[0] <= 0


def test_what_cannot_be_drawn_as_a_waterfall_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one change"):
        waterfall(("a", 1), [], "b")
    with pytest.raises(ValueError, match="every number must be finite"):
        waterfall(("a", 1), [("b", math.nan)], "c")


def test_a_graph_has_its_nodes_and_arrows() -> None:
    nodes = {"z": Node(1, 1, "intent", "hidden"), "t": Node(0, 0, kind="set"), "y": (2, 0)}
    edges = [("z", "y"), Edge("z", "t", "cut"), Edge("t", "y", "wanted", label="effect")]
    axes = draw_graph(nodes, edges, title="do(show)")
    assert [text.get_text() for text in axes.texts] == ["intent", "t", "y", "effect"]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 3
    assert len(axes.lines) == 1  # the cross on the arrow that is cut
    assert axes.lines[0].get_xydata().tolist() == [[0.5, 0.5]]
    assert axes.get_title("left") == "do(show)" or axes.get_title() == "do(show)"


def test_a_bent_arrow_carries_its_label_on_the_bow() -> None:
    axes = draw_graph({"a": (0, 0), "b": (2, 0)}, [Edge("a", "b", label="x", bend=0.5)])
    # a quadratic curve with its control point at (1, -1) passes (1, -1/2)
    assert axes.texts[-1].get_position() == (1, -0.5)


@pytest.mark.parametrize(
    ("nodes", "edges", "words"),
    [
        ({}, [], "at least one; got none"),
        ({"a": (0, 0)}, [("a", "b")], "names 'b'"),
        ({"a": Node(0, 0, kind="odd")}, [], "is of kind 'odd'"),
        ({"a": (0, 0), "b": (1, 0)}, [Edge("a", "b", "odd")], "is of unknown kind"),
    ],
)
def test_a_graph_that_is_none_is_refused(nodes: dict, edges: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        draw_graph(nodes, edges)


def test_a_heat_map_shows_the_weights_that_it_was_given() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(5), (2, 3))
    panels = heat_map(weights, queries=list("abc"), keys=list("vwxyz"))
    assert [panel.get_title("left") or panel.get_title() for panel in panels] == [
        "head 1",
        "head 2",
    ]
    for panel, head in zip(panels, weights, strict=True):
        mesh = panel.collections[0]
        np.testing.assert_allclose(np.asarray(mesh.get_array()), head)
        assert tuple(mesh.get_clim()) == (0, 1)
        assert len(panel.texts) == 15
    assert panels[0].yaxis_inverted()
    assert [label.get_text() for label in panels[0].get_xticklabels()] == list("vwxyz")


def test_a_large_heat_map_has_no_numbers_in_it() -> None:
    weights = np.full((11, 13), 1 / 13)
    (panel,) = heat_map(weights, queries=["q"] * 11, keys=["k"] * 13, titles=["mean"])
    assert len(panel.texts) == 0
    assert (panel.get_title("left") or panel.get_title()) == "mean"


@pytest.mark.parametrize(
    ("weights", "names", "words"),
    [
        (np.ones(3), {}, r"must be \(Lq, Lk\) or \(H, Lq, Lk\); got shape \(3,\)"),
        (np.ones((2, 3)), {}, "need 2 queries and 3 keys; got 3 and 2"),
        (np.full((3, 2), 1.5), {}, r"in \[0, 1\]; got 1.5 at \(0, 0, 0\)"),
        (np.array([[0, 1], [0, math.nan], [1, 0]]), {}, r"got nan at \(0, 1, 1\)"),
        (np.ones((3, 2)), {"titles": ["a", "b"]}, "1 panels need as many titles; got 2"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: np.ndarray, names: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        heat_map(weights, queries=["a", "b", "c"], keys=["x", "y"], **names)


def test_loss_curves_are_those_of_the_fits() -> None:
    watched = FitResult({}, np.array([3.0, 2.0, 1.0]), np.array([3.5, 2.5, 2.7]), 1, 30)
    plain = FitResult({}, np.array([4.0, 1.5]), None, 1, 20)
    axes = loss_curves({"a": watched, "b": plain}, ylabel="nats", floor=0.5, floor_label="entropy")
    a, validation, best, b, floor = axes.lines
    assert a.get_xydata().tolist() == [[1, 3], [2, 2], [3, 1]]
    assert validation.get_ydata().tolist() == [3.5, 2.5, 2.7]
    assert np.ravel(best.get_xydata()).tolist() == [2, 2.5]
    assert b.get_xydata().tolist() == [[1, 4], [2, 1.5]]
    assert list(floor.get_ydata()) == [0.5, 0.5]
    labels = [text.get_text() for text in axes.get_legend().texts]
    assert labels == ["a, training", "a, validation", "b", "entropy"]
    assert a.get_color() == validation.get_color() != b.get_color()
    assert a.get_linestyle() != validation.get_linestyle()


@pytest.mark.parametrize("count", [0, 6])
def test_loss_curves_of_none_or_of_too_many_are_refused(count: int) -> None:
    run = FitResult({}, np.ones(2), None, 1, 2)
    with pytest.raises(ValueError, match=f"1 to 5 fits; got {count}"):
        loss_curves({str(number): run for number in range(count)})


def test_new_axes_have_the_size_asked_for() -> None:
    axes = new_axes(None, HALF)
    assert tuple(axes.figure.get_size_inches()) == pytest.approx(HALF)
    assert new_axes(axes, FULL) is axes


def test_dots_stand_at_the_steps_they_were_taken_at() -> None:
    losses = [5.0, 4.0, 3.0, 2.0, 1.0]
    axes = step_losses(
        losses, {"before": (1, losses[:3]), "after": (4, losses[3:])}, line_label="whole", every=2
    )
    line, before, after = axes.lines
    assert line.get_xydata().tolist() == [[step, 6.0 - step] for step in range(1, 6)]
    assert before.get_xydata().tolist() == [[1.0, 5.0], [3.0, 3.0]]
    assert after.get_xydata().tolist() == [[4.0, 2.0]]
    assert len({one.get_color() for one in axes.lines}) == 3
    assert before.get_marker() != after.get_marker()
    assert [text.get_text() for text in axes.get_legend().texts] == ["whole", "before", "after"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([], {}), "line must hold a loss for each step; got none"),
        (([1.0], dict.fromkeys("abcde", (1, [1.0]))), "dots must hold at most 4 runs; got 5"),
    ],
)
def test_steps_that_cannot_be_drawn_are_refused(given, message) -> None:
    with pytest.raises(ValueError, match=message):
        step_losses(*given)
    with pytest.raises(ValueError, match="every must be at least 1; got 0"):
        step_losses([1.0], {}, every=0)


def test_readings_of_other_names_are_refused() -> None:
    curve = np.array([0.0, 1.0])
    with pytest.raises(ValueError, match=r"same 1 to \d names; got \['one'\] and \['other'\]"):
        two_readings([0, 20], {"one": curve}, {"other": curve}, reference=0.5)
