"""What is drawn is what was given."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pytest

from recflax.plots.palette import new_axes
from recflax.plots.scale import growth_curves, ratio_dots


@pytest.fixture(autouse=True)
def no_figure_is_left() -> Iterator[None]:
    yield
    plt.close("all")


def test_dots_stand_at_the_values_and_guides_have_none() -> None:
    axes = growth_curves(
        {"one": ([1, 10, 100], [2, 3, 5]), "two": ([1, 10], [7, 11])},
        guides={"counted": ([1, 100], [1, 10])},
        xlabel="M, items",
        ylabel="milliseconds",
    )
    one, two, guide = axes.lines
    assert one.get_xdata().tolist() == [1, 10, 100]
    assert one.get_ydata().tolist() == [2, 3, 5]
    assert two.get_ydata().tolist() == [7, 11]
    assert len({line.get_marker() for line in (one, two)}) == 2
    assert len({line.get_color() for line in axes.lines}) == 3
    assert guide.get_marker() == "None"
    assert guide.get_linestyle() == "--"
    assert [text.get_text() for text in axes.get_legend().texts] == ["one", "two", "counted"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("M, items", "milliseconds")
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_a_power_is_a_straight_line() -> None:
    sizes = np.array([2.0, 4, 8])
    axes = growth_curves({"square": (sizes, 3 * sizes**2)})
    x, y = axes.transData.transform(np.column_stack(axes.lines[0].get_data())).T
    assert np.diff(y)[0] / np.diff(x)[0] == pytest.approx(np.diff(y)[1] / np.diff(x)[1])
    assert axes.get_legend() is None


def test_a_line_reaches_up_to_the_top() -> None:
    axes = growth_curves({"wait": ([1, 10], [2, 3])}, tops={"wait": [5, 3]})
    reach = [path.vertices[:, 1].tolist() for path in axes.collections[0].get_paths()]
    assert reach == [[2, 5], [3, 3]]
    own = new_axes(None)
    assert growth_curves({"a": ([1], [1])}, ax=own) is own


@pytest.mark.parametrize(
    ("curves", "tops", "message"),
    [
        ({}, {}, "curves must hold 1 to 5 curves; got 0"),
        ({str(n): ([1], [1]) for n in range(6)}, {}, "got 6"),
        ({"a": ([1, 2], [1])}, {}, "'a' must be sizes and values of one length"),
        ({"a": ([], [])}, {}, "of one length"),
        ({"a": ([1, 2], [1, 0])}, {}, "'a' must be positive and finite"),
        ({"a": ([1, 2], [1, np.nan])}, {}, "positive and finite"),
        ({"a": ([1, 2], [1, 2])}, {"b": [1, 2]}, "got 'b'"),
        ({"a": ([1, 2], [1, 2])}, {"a": [1]}, "must be 2 values"),
        ({"a": ([1, 2], [1, 2])}, {"a": [1, 1]}, "not below"),
    ],
)
def test_what_cannot_be_drawn_is_refused(curves, tops, message) -> None:
    with pytest.raises(ValueError, match=message):
        growth_curves(curves, tops=tops)


def test_ratios_stand_in_rows_and_those_below_one_look_different() -> None:
    axes = ratio_dots({"b": [2.0, 0.5, 3.0], "a": [1.0]}, xlabel="peer by ours")
    drawn = [line.get_xydata().tolist() for line in axes.lines[:-1]]
    assert drawn == [[[2.0, 0.0], [3.0, 0.0]], [[0.5, 0.0]], [[1.0, 1.0]], []]
    faster, slower = axes.lines[:2]
    assert faster.get_color() != slower.get_color()
    assert faster.get_marker() != slower.get_marker()
    assert list(axes.lines[-1].get_xdata()) == [1, 1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]
    assert axes.yaxis_inverted()
    assert axes.get_xlabel() == "peer by ours"


@pytest.mark.parametrize("ratios", [{}, {"a": []}, {"a": [0.0]}, {"a": [float("nan")]}])
def test_what_is_no_ratio_is_refused(ratios) -> None:
    with pytest.raises(ValueError, match="got"):
        ratio_dots(ratios)
