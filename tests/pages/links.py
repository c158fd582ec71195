"""A link check over built HTML: every local address and fragment must lead somewhere."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The addresses that a page points to, and the anchors that it offers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect ids, and whatever is followed or loaded."""
        values = dict(attrs)
        for name in ("id", "name"):
            if values.get(name):
                self.anchors.add(values[name])
        for name in ("href", "src"):
            if values.get(name) and tag != "base":
                self.targets.append(values[name])


def broken_links(site: Path, pages: list[Path]) -> list[str]:
    """Every local link of the pages that leads nowhere, as ``page -> link``."""
    read: dict[Path, Page] = {}

    def parsed(path: Path) -> Page:
        if path not in read:
            read[path] = Page(path.read_text(encoding="utf-8"))
        return read[path]

    broken = []
    for page in pages:
        for link in parsed(page).targets:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link.startswith("#!"):
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if target.is_dir():
                target = target / "index.html"
            fragment = unquote(parts.fragment)
            missing = not target.is_file() or not target.is_relative_to(site.resolve())
            if not missing and fragment and target.suffix == ".html":
                missing = fragment not in parsed(target).anchors
            if missing:
                broken.append(f"{page.relative_to(site)} -> {link}")
    return broken
