"""A surface is drawn the right way round, and every vector where it lies."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from recflax.inspect_model import EmbeddingMap, LossSurface
from recflax.plots.palette import MARKERS, SERIES
from recflax.plots.tools import surface_map, vector_map


@pytest.fixture(autouse=True)
def no_figure_is_left() -> Iterator[None]:
    yield
    plt.close("all")


STEPS = np.linspace(-1, 1, 11)


def test_the_first_direction_runs_to_the_right() -> None:
    slope = np.broadcast_to(STEPS[:, None], (11, 11))  # rises along the first direction alone
    ax = surface_map(LossSurface(STEPS, slope), levels=4)
    lines = ax.collections[1]
    # three lines, each upright at its own height of the slope
    places = [path.vertices[:, 0] for path in lines.get_paths()]
    assert [float(place.mean()) for place in places] == pytest.approx([-0.5, 0, 0.5], abs=1e-9)
    assert all(np.ptp(place) < 1e-9 for place in places)
    assert ax.get_aspect() == 1


def test_the_middle_is_marked_and_the_colours_are_named() -> None:
    bowl = STEPS[:, None] ** 2 + 2 * STEPS**2
    ax = surface_map(LossSurface(STEPS, bowl), label="nats", centre="here")
    assert [float(x[0]) for x in ax.lines[0].get_data()] == [0, 0]
    assert [text.get_text() for text in ax.texts] == ["here"]
    assert ax.figure.axes[1].get_ylabel() == "nats"
    levels = ax.collections[0].levels
    assert (levels[0], levels[-1], len(levels)) == (0, 3, 13)
    shared = surface_map(LossSurface(STEPS, bowl / 2), levels=levels)
    assert shared.collections[0].levels.tolist() == levels.tolist()


@pytest.mark.parametrize(
    ("surface", "arguments", "message"),
    [
        (LossSurface(STEPS, np.ones((11, 7))), {}, "for 11 steps; got .11, 7."),
        (LossSurface(STEPS, np.full((11, 11), np.nan)), {}, "finite; 0 of 121 are"),
        (LossSurface(STEPS, np.full((11, 11), 2.0)), {}, "the loss is 2 everywhere"),
        (LossSurface(STEPS, np.eye(11)), {"levels": 1}, "at least 2, .* got 1"),
        (LossSurface(STEPS, np.eye(11)), {"levels": [0, 1]}, "at least 3 rising edges"),
        (LossSurface(STEPS, np.eye(11)), {"levels": [0, 2, 1]}, "at least 3 rising edges"),
    ],
)
def test_a_surface_that_cannot_be_drawn(surface, arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        surface_map(surface, **arguments)


def test_every_vector_stands_at_its_place_with_the_mark_of_its_group() -> None:
    rng = np.random.default_rng(0)
    found = EmbeddingMap(rng.normal(size=(29, 2)), np.array([0.25, 0.125]))
    groups = np.arange(29) % 7
    ax = vector_map(found, groups, [f"group {g}" for g in range(7)], title="seven")
    assert len(ax.lines) == 7
    for group, line in enumerate(ax.lines):
        np.testing.assert_array_equal(line.get_xydata(), found.places[groups == group])
        assert line.get_marker() == MARKERS[group % 5]
        assert line.get_color() == SERIES[group % 5]
    filled = [line.get_markerfacecolor() for line in ax.lines]
    assert [to_hex(face) for face in filled[:5]] == list(SERIES)
    assert filled[5:] == ["none", "none"]  # else two groups would look alike
    assert ax.get_xlabel() == "first direction (25% of the variance)"
    assert ax.get_ylabel() == "second direction (12% of the variance)"
    assert [text.get_text() for text in ax.get_legend().texts][-1] == "group 6"
    assert vector_map(found, groups, list("abcdefg"), legend=False).get_legend() is None


@pytest.mark.parametrize(
    ("groups", "names", "message"),
    [
        ([0, 1], ["a", "b"], r"groups must be \(3,\); got \(2,\)"),
        ([0, 1, 2], ["a", "b"], "from 0 to 1; got 2"),
        ([0, -1, 0], ["a", "b"], "from 0 to 1; got -1"),
        ([0, 0, 0], [str(n) for n in range(11)], "marks for 10 groups; got 11"),
    ],
)
def test_vectors_that_cannot_be_drawn(groups, names, message) -> None:
    with pytest.raises(ValueError, match=message):
        vector_map(EmbeddingMap(np.zeros((3, 2)), np.array([0.5, 0.5])), groups, names)
