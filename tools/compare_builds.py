"""Do two builds of the book say the same? ``python tools/compare_builds.py ONE/html OTHER/html``.

Compares the text of every page, and prints what differs. Readings of a clock and of memory are
taken out first, where the page marks them: what a chapter cost, the report of the build, and the
tables that ``CLOCKS`` names. Exits with 1 if anything else differs.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup

CLOCKS = ("here and now", "seconds a step")
"""Words in the heads of tables that hold readings of a clock, made anew in each build."""

LEFT_OUT = ("about_this_build.html", "genindex.html", "py-modindex.html", "search.html")


def lines(page: Path) -> list[str]:
    """What a page says, one line for each line of its text, without its readings of a clock."""
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    article = soup.find("article") or soup
    for part in article.select(".recflax-cost, script, style"):
        part.decompose()
    for part in article.find_all("p"):
        if part.get_text().startswith("When this page was built"):
            part.decompose()
    for table in article.find_all("table"):
        head = table.find("thead")
        if head is not None and any(word in head.get_text(" ") for word in CLOCKS):
            table.decompose()
    text = article.get_text("\n")
    return [re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if line.strip()]


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
