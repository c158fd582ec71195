"""The built book, a local server for it, and a browser that refuses what is not local."""

import functools
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("RECFLAX_SITE", ROOT / "_build" / "html"))
# what Chromium would look up by itself is switched off, so that "offline" is the page's own doing
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def book_pages() -> list[str]:
    """Every page of the built book that a reader can open, as a path relative to the site."""
    pages = [path.relative_to(SITE).as_posix() for path in sorted((SITE / "book").rglob("*.html"))]
    assert pages, f"no built page under {SITE}: run `make book` first"
    return pages


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that prints nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


def offline_context(browser: Browser, refused: list[str], **options: object) -> BrowserContext:
    """A context in which a request that is not local is refused and noted."""
    context = browser.new_context(**options)

    def decide(route: Route) -> None:
        url = route.request.url
        if url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")):
            route.continue_()
        else:
            refused.append(url)
            route.abort()

    context.route("**/*", decide)
    return context


@contextmanager
def opened(
    browser: Browser,
    address: str,
    *,
    change: Callable[[str], str] | None = None,
    before: str = "",
    **options: object,
) -> Iterator[Page]:
    """A page, open; a fault on it fails the test.

    Args:
        browser: the browser.
        address: the page's.
        change: made to the page's text.
        before: a script that runs before the page's own.
        **options: of the context.
    """
    faults: list[str] = []
    options = {"viewport": {"width": 1280, "height": 900}} | options
    with offline_context(browser, faults, **options) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: said.type == "error" and faults.append(said.text))
        if before:
            page.add_init_script(before)
        if change is not None:

            def changed(route: Route) -> None:
                answer = route.fetch()
                route.fulfill(response=answer, body=change(answer.text()))

            page.route("**/*.html", changed)
        page.goto(address, wait_until="load")
        yield page
        assert faults == []
