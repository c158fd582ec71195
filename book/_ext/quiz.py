"""Short quizzes with immediate answers, and no server: ``{quiz}``.

A question, then its options. Each opens by itself to say whether it is right, and why::

    ```{quiz}
    What does a propensity of 0 mean?
    + The product could not be shown there.
      Nothing can be learned about showing it there: positivity fails.
    - The product was not shown.
      That happens at most visits, whatever the propensity.
    ```

A line that starts with ``+`` is the right option, one with ``-`` a wrong one; what is indented
below it is the explanation. In HTML an option is a ``details`` element: it opens with a click or
a key, works from a plain file, and needs no script.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from quiz_text import RIGHT, WRONG, read_quiz
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class quiz_option(nodes.General, nodes.Element):  # noqa: N801  (docutils' custom for nodes)
    """An option that opens."""


class quiz_summary(nodes.General, nodes.TextElement):  # noqa: N801
    """What stands on an option while it is closed."""


class Quiz(SphinxDirective):
    """``{quiz}``: see the head of this file."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """A box with the question and its options."""
        try:
            question, options = read_quiz(list(self.content))
        except ValueError as error:
            raise self.error(str(error)) from error
        box = nodes.container("", classes=["quiz"])
        box += nodes.paragraph("", "", *self.inline(question), classes=["quiz-question"])
        for option in options:
            made = quiz_option()
            made += quiz_summary("", "", *self.inline(option.text))
            verdict = nodes.strong("", RIGHT if option.right else WRONG)
            made += nodes.paragraph("", "", verdict, nodes.Text(" "), *self.inline(option.why))
            box += made
        return [box]

    def inline(self, text: str) -> list[nodes.Node]:
        """Text with formulas and references."""
        made, messages = self.state.inline_text(text, self.lineno)
        return [*made, *messages]


def _open(tag: str, **attributes: Any) -> tuple[Any, Any]:
    """How a node becomes an element of HTML."""

    def visit(self: Any, node: nodes.Element) -> None:
        self.body.append(self.starttag(node, tag, "", **attributes))

    def depart(self: Any, node: nodes.Element) -> None:
        self.body.append(f"</{tag}>\n")

    return visit, depart


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("quiz", Quiz)
    app.add_node(quiz_option, html=_open("details", CLASS="quiz-option"))
    app.add_node(quiz_summary, html=_open("summary"))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
