"""The book as one page and as an EPUB: what these need that the pages do not.

An EPUB reader runs no scripts, so each formula becomes MathML while the book is written
(latex2mathml), which EPUB 3 shows by itself. On the pages MathJax sets them. And it refuses a page
that is not XML.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx


def as_mathml(formula: str, display: str) -> str:
    """A formula as MathML, ``display`` is ``"inline"`` or ``"block"``.

    Raises:
        ValueError: A command is not known and would stand in the book as it is.
    """
    made = str(convert(formula, display=display))
    if "\\" in made:
        raise ValueError(f"no MathML for {formula!r}")
    return made


def visit_inline(self: Any, node: nodes.math) -> None:
    """Write a formula in a line."""
    self.body.append(as_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_block(self: Any, node: nodes.math_block) -> None:
    """Write a formula of its own, with its number."""
    self.body.append(self.starttag(node, "div", CLASS="math"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({node["number"]})</span>')
    self.body.append(as_mathml(node.astext(), "block") + "</div>\n")
    raise nodes.SkipNode


def prepare(app: Sphinx) -> None:
    """For an EPUB, MathML; and for both formats every node that the pages know.

    Sphinx looks a node up under a builder's own name first, and under "html" only when nobody has
    registered anything at all under that name. A single extension that does so hides all others.
    """
    name = app.builder.name
    if name == "epub":
        app.config.html_math_renderer = "mathml"
    if name in ("epub", "singlehtml"):
        known = app.registry.translation_handlers
        known[name] = {**known.get("html", {}), **known.get(name, {})}


def well_formed(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """An EPUB is XML, where every tag is closed; what cells and extensions write is HTML."""
    if app.builder.name == "epub" and "body" in context:
        context["body"] = str(BeautifulSoup(context["body"], "html.parser"))


def put_at_the_top(app: Sphinx, failure: Exception | None) -> None:
    """The one page lies where its styles and pictures are looked for, and links to itself.

    Sphinx writes it beside the source of the first page, in a folder, with addresses that are right
    one floor above.
    """
    if failure is not None or app.builder.name != "singlehtml":
        return
    root = app.config.root_doc
    written, top = (Path(app.outdir) / f"{name}.html" for name in (root, "index"))
    if written == top:
        return
    text = written.read_text(encoding="utf-8")
    for address in (f"{root}.html#", f"#document-{root}", "genindex.html", "search.html"):
        text = text.replace(f'href="{address}', 'href="#')
    # one page has no index to search; the browser's own search reads it whole
    text = re.sub(r"<script[^>]*searchindex\.js[^>]*></script>", "", text)
    top.write_text(text, encoding="utf-8")
    written.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.connect("builder-inited", prepare)
    app.connect("build-finished", put_at_the_top, priority=900)  # after it is redirected to
    app.connect("html-page-context", well_formed, priority=950)  # after everybody else
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
