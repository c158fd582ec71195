"""Bars of explanations: one scale where numbers may be compared, a ring where nothing happened."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from recflax.plots.explanations import event_bars

EVENTS = ["viewed: lamp", "bought: cup", "viewed: pot"]
PANELS = {"attention": [0.2, 0.5, 0.3], "model": [0.01, -0.04, 0.0], "effect": [0.0, 0.0, 0.02]}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_signed_panels_share_a_scale_and_zero_is_a_ring() -> None:
    share, model, effect = event_bars(EVENTS, PANELS, shares=["attention"], unit="chance")
    assert model.get_xlim() == effect.get_xlim() == pytest.approx((-0.046, 0.023))
    assert share.get_xlim()[0] == 0
    assert [len(ax.patches) for ax in (share, model, effect)] == [3, 2, 1]
    for ax, values in zip((share, model, effect), PANELS.values(), strict=True):
        widths = {round(bar.get_y() + 0.31): bar.get_width() for bar in ax.patches}
        assert widths == {row: value for row, value in enumerate(values) if value}
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), np.flatnonzero(np.equal(values, 0)))
        assert ax.get_xlabel() == ("share" if ax is share else "chance")
    assert [label.get_text() for label in share.get_yticklabels()] == EVENTS
    top, bottom = share.get_ylim()[1], share.get_ylim()[0]
    assert top < bottom  # the first event on top


def test_nothing_but_zeros_can_be_drawn() -> None:
    (ax,) = event_bars(EVENTS, {"effect": np.zeros(3)}, unit="chance")
    assert ax.get_xlim() == (-1, 1)
    assert len(ax.patches) == 0


@pytest.mark.parametrize(
    ("panels", "shares", "message"),
    [
        ({}, [], "at least one"),
        (PANELS, ["gradient"], "'gradient' is not"),
        ({"model": [1.0, 2.0]}, [], "panel 'model' needs 3 finite numbers"),
        ({"model": [1.0, np.nan, 2.0]}, [], "panel 'model' needs 3 finite numbers"),
        ({"model": [1.0, -1.0, 2.0]}, ["model"], "panel 'model' has shares below 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(panels, shares, message) -> None:
    with pytest.raises(ValueError, match=message):
        event_bars(EVENTS, panels, shares=shares, unit="chance")
