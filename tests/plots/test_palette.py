"""The palette can be told apart: by every reader, on a white page and on a dark one."""

import itertools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from recflax.plots import palette

CSS = Path(__file__).resolve().parents[2] / "book" / "_static" / "book.css"
# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
SEEN_BY = {
    "all cones": np.eye(3),
    "no long cones": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no middle cones": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "no short cones": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255


def linear(colour: np.ndarray) -> np.ndarray:
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """WCAG 2.1: from 1 to 21."""
    light = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (light[1] + 0.05) / (light[0] + 0.05)


def lab(light: np.ndarray) -> np.ndarray:
    """CIE Lab of linear RGB, white D65."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(light, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def on_a_dark_page(colour: np.ndarray) -> np.ndarray:
    """What the style sheet's filter makes of a colour: ``invert(a) hue-rotate(180deg)``."""
    found = re.search(r"filter: invert\(([\d.]+)\) hue-rotate\(180deg\)", CSS.read_text("utf-8"))
    assert found
    share = float(found[1])
    turned = share + colour * (1 - 2 * share)
    rotate = np.array([[-0.574, 1.43, 0.144], [0.426, 0.43, 0.144], [0.426, 1.43, -0.856]])
    return np.clip(rotate @ turned, 0, 1)


@pytest.mark.parametrize("reader", SEEN_BY)
def test_two_colours_are_never_taken_for_each_other(reader: str) -> None:
    seen = [lab(SEEN_BY[reader] @ linear(rgb(colour))) for colour in palette.SERIES]
    differences = [np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)]
    assert min(differences) >= 20  # a difference of 2.3 can just be seen


@pytest.mark.parametrize("colour", [*palette.SERIES, palette.MUTED, palette.INK])
def test_every_colour_stands_out_on_a_white_and_on_a_dark_page(colour: str) -> None:
    needed = 4.5 if colour in (palette.INK, palette.MUTED) else 3.0  # text; lines and marks
    assert contrast(rgb(colour), rgb(palette.PAPER)) >= needed
    dark, paper = on_a_dark_page(rgb(colour)), on_a_dark_page(rgb(palette.PAPER))
    assert contrast(dark, paper) >= needed


def test_a_hue_keeps_its_name_on_a_dark_page() -> None:
    for colour in palette.SERIES:
        light, dark = rgb(colour), on_a_dark_page(rgb(colour))
        assert np.argmax(light) == np.argmax(dark), colour


def test_a_figure_is_an_opaque_sheet_and_the_same_twice(tmp_path: Path) -> None:
    with plt.rc_context():
        palette.style()
        for name in ("one", "two"):
            figure, axes = plt.subplots(figsize=palette.HALF)
            axes.plot([1, 2, 3])
            figure.savefig(tmp_path / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    picture = ElementTree.parse(tmp_path / "one.svg").getroot()
    width, height = (72 * side for side in palette.HALF)
    assert picture.get("viewBox") == f"0 0 {width:g} {height:g}"
    assert 'style="fill: #ffffff"' in (tmp_path / "one.svg").read_text("utf-8")


def test_markers_and_dashes_tell_series_apart_without_colour() -> None:
    assert len(set(palette.MARKERS)) == len(set(palette.DASHES)) == len(palette.SERIES) == 5
