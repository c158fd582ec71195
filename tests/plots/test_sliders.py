"""A slider's frames are the numbers that were given, in the order in which they are read."""

import json
import re

import numpy as np
import pytest

from recflax.plots.sliders import Bars, Control, Lines, Sentence, slider

CONTROLS = [Control("depth", ["a", "b"]), Control("heat", ["p", "q", "r"], start=2)]
BARS = Bars(
    "bars",
    "side",
    "share",
    names=["one", "two", "three", "four", "five"],
    by=["depth", "heat"],
    frames=np.arange(30).reshape(2, 3, 5) / 7,
    range=(0, 5),
)
LINES = Lines(
    "lines",
    "size",
    "cost",
    names=["low", "high"],
    by=["heat"],
    frames=np.arange(42).reshape(3, 2, 7),
    range=(0, 42),
    at=[1, 2, 3, 5, 8, 13, 21],
    log_x=True,
    mark=("depth", [2, 13]),
)
SENTENCE = Sentence(["depth", "heat"], [["ap", "aq", "ar"], ["bp", "bq", "br"]])


def written(page: str) -> dict:
    """The data, as the script finds them beside the place."""
    found = re.fullmatch(
        r'<div class="live-slider"></div><script type="application/json" '
        r'class="live-slider-data">(.*)</script>',
        page,
        re.DOTALL,
    )
    assert found is not None
    return json.loads(found.group(1))


def test_frames_stand_in_the_order_of_the_stops() -> None:
    data = written(slider("some", CONTROLS, [BARS, LINES], [SENTENCE], "Try it."))
    bars, lines = data["panels"]
    assert bars["by"] == [0, 1]
    assert len(bars["frames"]) == 2 * 3
    # depth "b" and heat "q": the last control moves fastest
    expected = np.asarray(BARS.frames)[1, 1]
    assert bars["frames"][1 * 3 + 1] == pytest.approx(expected, rel=1e-3)
    assert data["sentences"][0]["frames"][1 * 3 + 1] == "bq"
    assert lines["by"] == [1]
    assert lines["frames"] == np.asarray(LINES.frames).tolist()
    assert lines["mark"] == {"by": 0, "at": [2, 13]}
    assert (lines["at"], lines["logX"], lines["range"]) == ([1, 2, 3, 5, 8, 13, 21], True, [0, 42])
    assert [control["start"] for control in data["controls"]] == [0, 2]
    assert (data["key"], data["invite"]) == ("some", "Try it.")


def test_lines_need_no_mark() -> None:
    data = written(
        slider("some", CONTROLS, [BARS, LINES._replace(mark=None)], [SENTENCE], "Try it.")
    )
    assert data["panels"][1]["mark"] is None


def test_a_rule_stands_at_a_point_although_both_are_shortened() -> None:
    places = np.array([1 / 3, 2 / 3, 4 / 3, 5 / 3, 7 / 3, 8 / 3, 1000 / 3])
    panel = LINES._replace(at=places, mark=("depth", places[[1, 6]]))
    drawn = written(slider("some", CONTROLS, [panel], [SENTENCE], "Try it."))["panels"][0]
    assert drawn["mark"]["at"] == [drawn["at"][1], drawn["at"][6]] == [0.6667, 333.3]


def test_no_text_ends_the_script_or_opens_a_comment() -> None:
    nasty = "</script><!-- <script> & \u2028 'quotes' \"too\""
    page = slider("some", CONTROLS, [BARS], [Sentence(["depth"], [nasty, nasty])], nasty)
    assert page.count("</script") == 1
    assert "<!--" not in page
    assert written(page)["invite"] == nasty
    assert written(page)["sentences"][0]["frames"] == [nasty, nasty]


def test_the_same_numbers_give_the_same_bytes() -> None:
    pages = {slider("some", CONTROLS, [BARS, LINES], [SENTENCE], "Try it.") for _ in range(2)}
    assert len(pages) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"key": "Some one"}, "key must be small letters; got 'Some one'"),
        ({"invite": " "}, "invite must say what to try"),
        ({"controls": []}, "controls must hold at least one"),
        ({"controls": [CONTROLS[0], CONTROLS[0]]}, "different names; got 'depth' twice"),
        ({"controls": [Control("depth", ["a"])]}, "'depth' must have at least 2 stops; got 1"),
        ({"controls": [Control("depth", ["a", "b"], 2)]}, "start at 0 to 1; got 2"),
        ({"panels": []}, "panels must hold at least one"),
        ({"sentences": []}, "sentences must hold at least one"),
        ({"panels": [BARS._replace(by=["depth", "width"])]}, "by must name controls of"),
        ({"panels": [BARS._replace(by=["depth", "depth"])]}, "each once"),
        (
            {"panels": [BARS._replace(frames=np.zeros((3, 2, 5)))]},
            r"shape \(2, 3, 5\).*\(3, 2, 5\)",
        ),
        ({"panels": [BARS._replace(frames=np.zeros((2, 3, 4)))]}, r"got \(2, 3, 4\)"),
        ({"panels": [BARS._replace(frames=np.full((2, 3, 5), np.nan))]}, "finite; got nan"),
        ({"panels": [BARS._replace(range=(0, 4))]}, "must hold 0 and every bar"),
        ({"panels": [BARS._replace(range=(1, 5))]}, "must hold 0 and every bar"),
        ({"panels": [LINES._replace(range=(3, 3))]}, "two rising finite numbers"),
        ({"panels": [LINES._replace(range=(0, np.inf))]}, "two rising finite numbers"),
        ({"panels": [LINES._replace(frames=np.full((3, 2, 7), np.inf))]}, "finite; got inf"),
        ({"panels": [LINES._replace(at=[1, 2, 3, 5, 8, 13])]}, r"shape \(3, 2, 6\)"),
        ({"panels": [LINES._replace(at=[1, 2, 3, 5, 8, 13, 13])]}, "rising finite numbers"),
        ({"panels": [LINES._replace(at=[0, 2, 3, 5, 8, 13, 21])]}, "positive on a logarithmic"),
        ({"panels": [LINES._replace(names=list("abcdef"))]}, "at most 5; got 6"),
        ({"panels": [LINES._replace(mark=("depth", [2]))]}, "mark must be 2 places"),
        ({"panels": [LINES._replace(mark=("width", [2, 13]))]}, "mark: by must name controls"),
        ({"panels": [LINES._replace(mark=("depth", [2, 4]))]}, "stand at places of at"),
        ({"sentences": [Sentence(["depth"], ["a"])]}, r"shape \(2,\).*got \(1,\)"),
        ({"sentences": [Sentence(["depth"], ["a", ""])]}, "say something; got ''"),
        ({"sentences": [Sentence(["depth"], ["a", 5])]}, "say something; got 5"),
    ],
)
def test_what_cannot_be_moved_is_refused(changed, message) -> None:
    good = {
        "key": "some",
        "controls": CONTROLS,
        "panels": [BARS, LINES],
        "sentences": [SENTENCE],
        "invite": "Try it.",
    }
    slider(**good)
    with pytest.raises(ValueError, match=message):
        slider(**(good | changed))
