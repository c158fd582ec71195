"""A live page has its script, other pages have none, and other formats leave out its data."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from page_scripts import SCRIPTS, add_script

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
BODY = '<p>one</p><script type="application/json" id="data">{"a":\n1}</script><p>two</p>'


class App:
    """What the extension asks of Sphinx."""

    def __init__(self, builder: str) -> None:
        self.builder = SimpleNamespace(name=builder)
        self.added: list[tuple[str, str]] = []

    def add_js_file(self, name: str, *, loading_method: str) -> None:
        self.added.append((name, loading_method))


@pytest.mark.parametrize(
    ("page", "added"),
    [("book/playground", [("live/playground.js", "defer")]), ("book/intro", [])],
)
def test_a_script_is_loaded_on_its_own_page(page: str, added: list[tuple[str, str]]) -> None:
    app, context = App("html"), {"body": BODY}
    add_script(app, page, "page.html", context, None)
    assert app.added == added
    assert context["body"] == BODY
    assert all((STATIC / name).is_file() for name in SCRIPTS.values())


@pytest.mark.parametrize("builder", ["epub", "singlehtml"])
def test_other_formats_carry_no_data_and_no_script(builder: str) -> None:
    app, context = App(builder), {"body": BODY}
    add_script(app, "book/playground", "page.html", context, None)
    assert app.added == []
    assert context["body"] == "<p>one</p><p>two</p>"
    add_script(app, "genindex", "genindex.html", {}, None)  # a page without a body
