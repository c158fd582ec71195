r"""Sliders: what they show is computed by the chapter's own run, one frame for each stop.

A slider's place in a page is an empty box and a text of numbers. The book's script
``live/sliders.js`` builds controls and charts from that text and knows nothing of what they mean;
where no script runs the box stays empty, and a still figure stands beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from recflax.export import json_script
from recflax.plots.palette import SERIES

DIGITS = 4  # of a number, enough for a picture of any height


class Control(NamedTuple):
    """What a reader moves.

    Attributes:
        name: its label, such as ``"clip"``.
        stops: what each stop is called, from left to right.
        start: the stop at which it stands first.
    """

    name: str
    stops: Sequence[str]
    start: int = 0


class Bars(NamedTuple):
    """A panel of bars.

    Attributes:
        label: what is seen, for those who do not see it.
        x: title of the axis of names.
        y: title of the axis of values, with its unit.
        names: one for each of the B bars.
        by: names of the controls that move it.
        frames: (\\*stops of ``by``, B) values.
        range: ends of the axis of values, the same at all stops, so that a movement is seen.
    """

    label: str
    x: str
    y: str
    names: Sequence[str]
    by: Sequence[str]
    frames: Any
    range: tuple[float, float]


class Lines(NamedTuple):
    """A panel of lines over one axis.

    Attributes:
        label: what is seen, for those who do not see it.
        x: title of the axis to the right, with its unit.
        y: title of the axis upwards, with its unit.
        names: one for each of the L lines, at most as many as the palette has colours.
        by: names of the controls that move it.
        frames: (\\*stops of ``by``, L, P) values.
        range: ends of the axis upwards, the same at all stops.
        at: (P,) places on the axis to the right, rising.
        log_x: whether that axis is logarithmic.
        mark: a control, and for each of its stops the place of a vertical rule, one of ``at``.
    """

    label: str
    x: str
    y: str
    names: Sequence[str]
    by: Sequence[str]
    frames: Any
    range: tuple[float, float]
    at: Any
    log_x: bool = False
    mark: tuple[str, Sequence[float]] | None = None


class Sentence(NamedTuple):
    """What stands on the picture, in words.

    Attributes:
        by: names of the controls that move it.
        texts: (\\*stops of ``by``,) nested sequences of texts.
    """

    by: Sequence[str]
    texts: Any


def slider(
    key: str,
    controls: Sequence[Control],
    panels: Sequence[Bars | Lines],
    sentences: Sequence[Sentence],
    invite: str,
) -> str:
    """A slider's place in a page and its numbers, as HTML that a cell can show.

    Args:
        key: its name within the page: small letters.
        controls: what is moved; their names differ.
        panels: what is drawn, one below the other.
        sentences: what is said below, one after the other.
        invite: what to try; only readers for whom the script runs see it.

    Raises:
        ValueError: an argument is not what it must be; the message names the argument, what came
            and what was expected.

    Example:
        >>> page = slider(
        ...     "coin",
        ...     [Control("chance of heads", ["0.5", "0.9"])],
        ...     [Bars("two bars", "side", "chance", ["heads", "tails"], ["chance of heads"],
        ...           [[0.5, 0.5], [0.9, 0.1]], (0, 1))],
        ...     [Sentence(["chance of heads"], ["As </likely>.", "Heads."])],
        ...     "Move it.",
        ... )
        >>> page.startswith('<div class="live-slider"></div><script type="application/json"')
        True
        >>> page.count("</")  # the two tags' own ends: no text can end the script
        2
    """
    if not (key.isascii() and key.isalpha() and key.islower()):
        raise ValueError(f"key must be small letters; got {key!r}")
    if not invite.strip():
        raise ValueError(f"invite must say what to try; got {invite!r}")
    stops = _stops(controls)
    for name, parts in (("panels", panels), ("sentences", sentences)):
        if not parts:
            raise ValueError(f"{name} must hold at least one; got none")
    data = {
        "key": key,
        "invite": invite,
        "controls": [
            {"name": control.name, "stops": list(control.stops), "start": control.start}
            for control in controls
        ],
        "panels": [
            _bars(panel, stops) if isinstance(panel, Bars) else _lines(panel, stops)
            for panel in panels
        ],
        "sentences": [_sentence(sentence, stops) for sentence in sentences],
    }
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return '<div class="live-slider"></div>' + json_script(text, 'class="live-slider-data"')


def _stops(controls: Sequence[Control]) -> dict[str, int]:
    """How many stops each control has, by its name."""
    if not controls:
        raise ValueError("controls must hold at least one; got none")
    stops: dict[str, int] = {}
    for name, labels, start in controls:
        if name in stops:
            raise ValueError(f"controls must have different names; got {name!r} twice")
        if len(labels) < 2:
            raise ValueError(f"control {name!r} must have at least 2 stops; got {len(labels)}")
        if not 0 <= start < len(labels):
            raise ValueError(f"control {name!r} must start at 0 to {len(labels) - 1}; got {start}")
        stops[name] = len(labels)
    return stops


def _of(what: str, by: Sequence[str], stops: dict[str, int]) -> tuple[list[int], tuple[int, ...]]:
    """Numbers of the controls that something is moved by, and how many stops they have."""
    unknown = sorted(set(by) - set(stops))
    if unknown or len(set(by)) != len(by):
        raise ValueError(f"{what}: by must name controls of {tuple(stops)}, each once; got {by}")
    return [list(stops).index(name) for name in by], tuple(stops[name] for name in by)


def _panel(
    panel: Bars | Lines, stops: dict[str, int], points: tuple[int, ...]
) -> tuple[dict[str, Any], np.ndarray]:
    """What both kinds of panel have, and their frames, one a row."""
    what = f"panel {panel.label!r}"
    by, shape = _of(what, panel.by, stops)
    frames = np.asarray(panel.frames, dtype=float)
    expected = (*shape, len(panel.names), *points)
    if frames.shape != expected:
        raise ValueError(
            f"{what}: frames must have the shape {expected}, the stops of {tuple(panel.by)} "
            f"first; got {frames.shape}"
        )
    if not np.isfinite(frames).all():
        raise ValueError(f"{what}: frames must be finite; got {frames[~np.isfinite(frames)][0]}")
    low, high = panel.range
    if not -np.inf < low < high < np.inf:
        raise ValueError(f"{what}: range must be two rising finite numbers; got {panel.range}")
    head = {"label": panel.label, "x": panel.x, "y": panel.y, "names": list(panel.names)}
    return head | {"range": [float(low), float(high)], "by": by}, frames.reshape(
        -1, *expected[len(shape) :]
    )


def _bars(panel: Bars, stops: dict[str, int]) -> dict[str, Any]:
    """A panel of bars, as the script reads it."""
    head, frames = _panel(panel, stops, ())
    low, high = panel.range
    if low > 0 or high < 0 or frames.min() < low or frames.max() > high:
        raise ValueError(
            f"panel {panel.label!r}: range must hold 0 and every bar, here {frames.min():g} to "
            f"{frames.max():g}; got {panel.range}"
        )
    return {"kind": "bars"} | head | {"frames": _short(frames)}


def _lines(panel: Lines, stops: dict[str, int]) -> dict[str, Any]:
    """A panel of lines, as the script reads it."""
    what = f"panel {panel.label!r}"
    at = np.asarray(panel.at, dtype=float)
    if at.ndim != 1 or len(at) < 2 or not np.isfinite(at).all() or (np.diff(at) <= 0).any():
        raise ValueError(f"{what}: at must be two or more rising finite numbers; got {panel.at}")
    if panel.log_x and at[0] <= 0:
        raise ValueError(f"{what}: at must be positive on a logarithmic axis; got {at[0]:g}")
    if len(panel.names) > len(SERIES):
        raise ValueError(f"{what}: names must be at most {len(SERIES)}; got {len(panel.names)}")
    head, frames = _panel(panel, stops, (len(at),))
    mark = None
    if panel.mark is not None:
        name, places = panel.mark
        (number,), (count,) = _of(f"{what}: mark", [name], stops)
        if len(places) != count:
            raise ValueError(
                f"{what}: mark must be {count} places, the stops of {name!r}; got {len(places)}"
            )
        if not np.isin(places, at).all():
            raise ValueError(f"{what}: mark must stand at places of at; got {list(places)}")
        mark = {"by": number, "at": _short(np.asarray(places, dtype=float))}
    drawn = {"at": _short(at), "logX": panel.log_x, "mark": mark, "frames": _short(frames)}
    return {"kind": "lines"} | head | drawn


def _sentence(sentence: Sentence, stops: dict[str, int]) -> dict[str, Any]:
    """A sentence, as the script reads it."""
    by, shape = _of("sentence", sentence.by, stops)
    texts = np.array(sentence.texts, dtype=object)
    if texts.shape != shape:
        raise ValueError(
            f"sentence: texts must have the shape {shape}, the stops of {tuple(sentence.by)}; "
            f"got {texts.shape}"
        )
    wrong = [text for text in texts.flat if not (isinstance(text, str) and text.strip())]
    if wrong:
        raise ValueError(f"sentence: texts must be texts that say something; got {wrong[0]!r}")
    return {"by": by, "frames": texts.ravel().tolist()}


def _short(values: np.ndarray) -> Any:
    """Nested lists of numbers with as many digits as a picture needs."""
    if values.ndim:
        return [_short(value) for value in values]
    number = float(f"{values:.{DIGITS}g}")
    return int(number) if number.is_integer() else number
