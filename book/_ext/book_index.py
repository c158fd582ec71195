"""The book's index: for each term of the glossary, where every chapter speaks of it most.

``{book-index}`` writes it. A section counts once for every time that a term stands in its own
text, headings included; of each page the section with the most is taken, when it has the term
twice or more. So the index cannot name a place that is gone, and a new term is in it at once.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from docutils import nodes
from live_book import pages_that_ran, reading_order
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

GLOSSARY = "book/glossary"
ENTRY = re.compile(r"^(?P<term>\S.*)\n(?P<chinese>\S.*) : 中文$", re.MULTILINE)
LEAST = 2
AT_THE_END = {"Summary", "Quiz", "Exercises", "Further reading"}
"""Sections that explain nothing: nobody looks a word up there."""

SILENT = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw)

Place = tuple[str, str, str]  # page, section's id, section's title


def read_terms(text: str) -> dict[str, str]:
    """English terms of the glossary's source, each with its Chinese."""
    return {found["term"]: found["chinese"] for found in ENTRY.finditer(text)}


def pattern_of(term: str) -> re.Pattern[str]:
    """How a term is found in a text: as whole words, in the plural too."""
    words = r"\s+".join(re.escape(word) for word in term.split())
    return re.compile(rf"(?<![\w-]){words}(?:s|es)?(?![\w-])", re.IGNORECASE)


def own_text(section: nodes.section) -> str:
    """The words of a section without those of the sections inside it, of code and of formulas."""
    parts = [
        node.astext()
        for node in section.findall(nodes.Text)
        if _section_of(node) is section and not isinstance(node.parent, SILENT)
    ]
    return " ".join(parts)


def _section_of(node: nodes.Node) -> nodes.Node | None:
    above = node.parent
    while above is not None and not _has_title(above):
        above = above.parent
    return above


def _has_title(node: nodes.Node) -> bool:
    """Whether a node is a section with a heading; the inside of an exercise is one without."""
    return isinstance(node, nodes.section) and isinstance(
        next(iter(node.children), None), nodes.title
    )


def main_places(doctree: nodes.document, terms: dict[str, str]) -> dict[str, tuple[str, str]]:
    """For each term that the page uses, id and title of the section that uses it most."""
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    sections = [
        section
        for section in doctree.findall(nodes.section)
        if _has_title(section) and section.children[0].astext() not in AT_THE_END
    ]
    patterns = {term: pattern_of(term) for term in terms}
    for number, section in enumerate(sections):
        text = own_text(section)
        for term, pattern in patterns.items():
            if found := len(pattern.findall(text)):
                counts[term][number] = found
    places = {}
    for term, by_section in counts.items():
        number, most = max(by_section.items(), key=lambda item: (item[1], -item[0]))
        if most >= LEAST:
            title = sections[number].children[0].astext()
            places[term] = sections[number]["ids"][0], title
    return places


def _kept(env: Any) -> dict[str, dict[str, tuple[str, str]]]:
    """By page: its terms. Kept with Sphinx's environment."""
    if not hasattr(env, "index_places"):
        env.index_places = {}
    return env.index_places


class book_index(nodes.General, nodes.Element):  # noqa: N801  (docutils' custom for nodes)
    """Stands where the index will be written."""


class BookIndex(SphinxDirective):
    """``{book-index}``: filled when every page has been read."""

    def run(self) -> list[nodes.Node]:
        """Leave a place, and ask to be read again when the glossary changes."""
        self.env.metadata[self.env.docname]["book_index"] = True
        self.env.note_dependency(_glossary(self.env))
        return [book_index()]


def _glossary(env: BuildEnvironment) -> str:
    return str(Path(env.srcdir) / f"{GLOSSARY}.md")


def gather(app: Sphinx, doctree: nodes.document) -> None:
    """After a page has been read: where it speaks of what."""
    env: Any = app.env
    if env.docname in pages_that_ran(env):
        env.note_dependency(_glossary(env))
        terms = read_terms(Path(_glossary(env)).read_text(encoding="utf-8"))
        _kept(env)[env.docname] = main_places(doctree, terms)


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Before a page is read again."""
    _kept(env).pop(docname, None)


def merge(app: Sphinx, env: BuildEnvironment, docnames: list[str], other: Any) -> None:
    """After another process has read some pages."""
    _kept(env).update({name: _kept(other)[name] for name in docnames if name in _kept(other)})


def write_again(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """When all pages are read: the page of the index is written anew."""
    return [name for name, known in env.metadata.items() if known.get("book_index")]


def write(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Fill the place that the directive left."""
    for node in list(doctree.findall(book_index)):
        terms = read_terms(Path(_glossary(app.env)).read_text(encoding="utf-8"))
        node.replace_self(_by_letter(app, docname, terms))


def _by_letter(app: Sphinx, here: str, terms: dict[str, str]) -> list[nodes.Node]:
    letters: dict[str, nodes.bullet_list] = {}
    for term in sorted(terms, key=str.casefold):
        letter = term[0].upper()
        listed = letters.setdefault(letter, nodes.bullet_list(classes=["book-index"]))
        listed += _entry(app, here, term, terms[term])
    made: list[nodes.Node] = []
    for letter, listed in letters.items():
        made += [nodes.rubric("", letter), listed]
    return made


def _entry(app: Sphinx, here: str, term: str, chinese: str) -> nodes.list_item:
    def link(page: str, anchor: str, text: str) -> nodes.reference:
        address = app.builder.get_relative_uri(here, page) + f"#{anchor}"
        return nodes.reference("", text, refuri=address, internal=True)

    line = nodes.paragraph("", "", nodes.strong("", term), nodes.Text(f" ({chinese}): "))
    standard: Any = app.env.get_domain("std")
    page, anchor = standard.objects["term", term]
    line += link(page, anchor, "glossary")
    for page in reading_order(app.env, _kept(app.env)):
        if term in _kept(app.env)[page]:
            anchor, title = _kept(app.env)[page][term]
            line += [nodes.Text("; "), link(page, anchor, title)]
    return nodes.list_item("", line)


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_node(book_index)
    app.add_directive("book-index", BookIndex)
    app.connect("doctree-read", gather)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.connect("env-updated", write_again)
    app.connect("doctree-resolved", write)
    return {
        "version": "1",
        "parallel_read_safe": True,
        "parallel_write_safe": True,
        "env_version": 1,
    }
