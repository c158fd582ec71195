"""What a reader's browser does with the built book, with every remote request refused."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import SITE, book_pages, offline_context
from links import broken_links
from playwright.sync_api import Browser, Page

# What the theme itself leaves open, by axe's rule and the part of the page that it speaks of.
# They are in the theme's templates, not in ours: named here so that anything else fails.
THEME = {
    ("button-name", "theme-switch"),
    ("label", "sidebar"),
    ("aria-allowed-role", "bd-"),
}
# how the keys begin that most often stray into a page
KEYS = (
    rb"gh[pousr]_[A-Za-z0-9]{36}",
    rb"github_pat_[A-Za-z0-9_]{22}",
    rb"AKIA[0-9A-Z]{16}",
    rb"xox[abpr]-[A-Za-z0-9-]{10}",
    rb"hf_[A-Za-z0-9]{30}",
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    rb"eyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}",
)
LOOKS = {
    "light, wide": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark, narrow": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}


def visit(page: Page, address: str) -> list[str]:
    """Open a page, wait for its formulas, and return what went wrong."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: message.type == "error" and faults.append(f"console: {message.text}"),
    )
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    page.goto(address, wait_until="load")
    if page.locator(".math").count():
        page.wait_for_function("document.querySelectorAll('mjx-container').length > 0")
    return faults


@pytest.mark.parametrize("name", book_pages())
@pytest.mark.parametrize("over", ["http", "file"])
def test_a_page_works_offline(browser: Browser, server: str, name: str, over: str) -> None:
    refused: list[str] = []
    base = server if over == "http" else SITE.resolve().as_uri()
    with offline_context(browser, refused) as context:
        page = context.new_page()
        faults = visit(page, f"{base}/{name}")
        formulas = page.locator(".math").count()
        rendered = page.locator("mjx-container").count()
        errors = page.locator("mjx-merror, [data-mjx-error]").count()
        remote = page.evaluate(
            "[...document.querySelectorAll('[src], link[rel=stylesheet]')]"
            ".map(e => e.src || e.href).filter(a => /^https?:/.test(a) && !a.includes('127.0.0.1'))"
        )
    assert refused == []
    assert faults == []
    assert remote == []
    assert rendered >= formulas > 0 or formulas == 0
    assert errors == 0


def test_no_file_of_the_site_holds_a_key_or_the_folder_that_it_was_built_in() -> None:
    folder = re.escape(str(SITE.resolve().parents[1]).encode())
    telling = re.compile(b"|".join([*KEYS, folder]))
    files = [path for path in sorted(SITE.rglob("*")) if path.is_file()]
    found = {path.relative_to(SITE).as_posix(): telling.search(path.read_bytes()) for path in files}
    assert {name: match[0] for name, match in found.items() if match} == {}


@pytest.mark.parametrize("name", book_pages())
def test_every_script_and_style_lies_beside_the_page(name: str) -> None:
    """Also where a browser would not load it now: an address without a scheme, a preload."""
    page = (SITE / name).read_text(encoding="utf-8")
    tags = re.findall(r"<(?:script|link|iframe|object|embed)\b[^>]*>", page)
    assert tags
    loading = [tag for tag in tags if not re.search(r'rel="(?:canonical|author|license)"', tag)]
    assert [tag for tag in loading if re.search(r'(?:src|href|data)="(?:https?:)?//', tag)] == []


@pytest.mark.parametrize("name", book_pages())
@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_of_ours_and_nothing_sticks_out(
    browser: Browser, server: str, name: str, look: str
) -> None:
    with offline_context(browser, [], **LOOKS[look]) as context:
        page = context.new_page()
        visit(page, f"{server}/{name}")
        width = page.evaluate("document.scrollingElement.scrollWidth")
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
        found = Axe().run(page, options={"runOnly": {"type": "tag", "values": tags}})
    ours = [
        f"{violation['id']}: {node['html'][:160]}"
        for violation in found.response["violations"]
        for node in violation["nodes"]
        if not any(violation["id"] == rule and part in node["html"] for rule, part in THEME)
    ]
    assert ours == []
    assert width <= LOOKS[look]["viewport"]["width"]  # nobody has to scroll sideways


@pytest.mark.parametrize("name", book_pages())
def test_every_figure_says_in_words_what_it_shows(name: str) -> None:
    text = (SITE / name).read_text(encoding="utf-8")
    article = text[text.index("<article") : text.index("</article>")]
    for image in re.findall(r"<img\b[^>]*>", article):
        alt = re.search(r'alt="([^"]*)"', image)
        assert alt, image
        words = alt.group(1).split()
        assert len(words) >= 4, f"no description in {image[:200]}"


def test_no_link_is_broken() -> None:
    pages = sorted(path for path in SITE.rglob("*.html") if "_static" not in path.parts)
    assert broken_links(SITE, pages) == []


def test_the_link_check_finds_a_planted_broken_link(tmp_path: Path) -> None:
    good = '<a href="b.html#here">b</a> <a id="top" href="#top">up</a> <a href="https://x.y">x</a>'
    (tmp_path / "a.html").write_text(good, encoding="utf-8")
    (tmp_path / "b.html").write_text('<p id="here"><a href="a.html">a</a>', encoding="utf-8")
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    assert broken_links(tmp_path, pages) == []
    planted = good + '<a href="c.html">c</a><a href="b.html#gone">d</a><img src="no.svg">'
    (tmp_path / "a.html").write_text(planted, encoding="utf-8")
    assert broken_links(tmp_path, pages) == [
        "a.html -> c.html",
        "a.html -> b.html#gone",
        "a.html -> no.svg",
    ]
