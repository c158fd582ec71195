"""Scripts of the live pages: each is loaded on its own page, and on no other.

They are classic scripts that ``make web`` bundles from ``web/`` and that are kept beside the
styles, so that a page works from a file and the book is built without Node.js. In the formats that
run no scripts a page keeps its still picture, and leaves out the data.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

SCRIPTS = {
    "book/playground": "live/playground.js",
    "book/train_it_here": "live/training.js",
    "book/03b_what_makes_it_causal": "live/sliders.js",
    "book/04_mathematics": "live/sliders.js",
    "book/09_faq": "live/sliders.js",
}
DATA = re.compile(r'<script type="application/json".*?</script>', re.DOTALL)


def add_script(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Load a page's script where it has one, or leave out the data where none runs."""
    if app.builder.name == "html":
        if page in SCRIPTS:
            app.add_js_file(SCRIPTS[page], loading_method="defer")
    elif "body" in context:
        context["body"] = DATA.sub("", context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.connect("html-page-context", add_script)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
