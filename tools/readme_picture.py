"""Draw the README's picture: ``python tools/readme_picture.py`` writes it into book/_static.

It is the figure of the introduction, made by the introduction's own cells.
"""

import sys
from pathlib import Path

import matplotlib
import matplotlib.figure
from notebooks import read_cells

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "book" / "_static" / "first_choice.svg"


def figure(page: Path) -> matplotlib.figure.Figure:
    """Run a page's cells up to the first that leaves an ``ax``, and return its figure.

    Raises:
        ValueError: no cell leaves one.
    """
    names: dict = {}
    for cell in read_cells(page.read_text(encoding="utf-8")):
        if cell.code:
            exec("\n".join(cell.lines), names)
        if "ax" in names:
            return names["ax"].figure
    raise ValueError(f"no cell of {page.name} draws a figure")


def main() -> None:
    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "recflax"  # the same bytes each time
    drawn = figure(ROOT / "book" / "intro.md")
    # GitHub may stand on black; the book's own pages give the figure its paper
    drawn.savefig(PICTURE, facecolor="white", bbox_inches="tight", metadata={"Date": None})
    print(f"wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
