"""Do two builds of the book say the same? ``python tools/compare_builds.py ONE/html OTHER/html``.

Compares the text of every page, and prints what differs. Readings of a clock and of memory are
taken out first: what a chapter cost, the report of the build, columns and tables whose heads name
a unit of time or memory, and lines of output with such a number. Exits with 1 if anything else
differs.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup, Tag

CLOCK_TABLES = ("here and now", "seconds a step", "milliseconds")
"""Words in the heads of tables that hold nothing but readings of a clock, or are ordered by one."""

CLOCK_COLUMN = re.compile(r"\((s|ms|MB)\)$|^(ms|MB|seconds)\b")
"""The head of such a column."""

CLOCK_LINE = re.compile(r"\d (s|ms|us|MB)\b|peak memory|here and now|operations a second")
"""Such a line of output."""

CLOCK_CLAIM = "ratio of median times"
"""Words of such a claim, on its page and in the list of all."""

LEFT_OUT = ("about_this_build.html", "genindex.html", "py-modindex.html", "search.html")


def forget_clocks(table: Tag) -> None:
    """Take the readings of a clock out of a table."""
    for row in table.find_all("tr"):
        if CLOCK_CLAIM in row.get_text(" "):
            row.decompose()
    head = table.find("thead")
    if head is None:
        return
    if any(word in head.get_text(" ") for word in CLOCK_TABLES):
        table.decompose()
        return
    first, *_ = head.find_all("tr")
    names = [cell.get_text(" ").strip() for cell in first.find_all(["th", "td"])]
    places = [place for place, name in enumerate(names) if CLOCK_COLUMN.search(name)]
    for row in table.find_all("tr"):
        cells = row.find_all(["th", "td"])
        if len(cells) == len(names):
            for place in places:
                cells[place].decompose()


def lines(page: Path) -> list[str]:
    """What a page says, one line for each line of its text, without its readings of a clock."""
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    article = soup.find("article") or soup
    for part in article.select(".recflax-cost, script, style"):
        part.decompose()
    for part in article.find_all("p"):
        if part.get_text().startswith("When this page was built"):
            part.decompose()
    for part in article.select(".recflax-claim"):
        if CLOCK_CLAIM in part.get_text(" "):
            part.decompose()
    for table in article.find_all("table"):
        forget_clocks(table)
    text = (re.sub(r"\s+", " ", line).strip() for line in article.get_text("\n").splitlines())
    return [line for line in text if line and not CLOCK_LINE.search(line)]


def differences(one: Path, other: Path) -> Iterator[str]:
    """What differs between two folders of pages, in words."""
    pages = [
        {str(page.relative_to(folder)) for page in folder.rglob("*.html")}
        for folder in (one, other)
    ]
    for name in sorted(pages[0] ^ pages[1]):
        yield f"{name}: only in {one if name in pages[0] else other}"
    for name in sorted(pages[0] & pages[1]):
        if Path(name).name in LEFT_OUT or "_static" in name:
            continue
        for line in difflib.unified_diff(lines(one / name), lines(other / name), n=0, lineterm=""):
            if not line.startswith(("---", "+++", "@@")):
                yield f"{name}: {line}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    options = parser.parse_args()
    found = list(differences(options.one, options.other))
    print("\n".join(found) or "the two builds say the same")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
