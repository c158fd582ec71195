"""MyST Markdown to the Markdown that every notebook program shows.

A chapter uses directives and roles that only the book's builder understands. Here each becomes
what a plain notebook has for it: an admonition a quotation, an exercise a heading, a solution a
fold, a reference its text with a link, a citation a link to the bibliography. A directive or role
that is not known here is an error, so that nothing raw slips through.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "book" / "_ext"))

from quiz_text import RIGHT, WRONG, read_quiz

OPEN = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:-]+)\} *(?P<argument>.*)$")
CODE = re.compile(r"^ *(?P<fence>`{3,}|~{3,})(?!.*`)")
OPTION = re.compile(r"^:(?P<key>[\w-]+): ?(?P<value>.*)$")
TARGET = re.compile(r"^\((?P<label>[^)\s]+)\)=\s*$")
ROLE = re.compile(r"\{(?P<name>[\w:]+)\}(?P<ticks>`+)(?P<text>.+?)(?P=ticks)(?!`)", re.DOTALL)
SHOWN = re.compile(r"(?<!\})(?P<ticks>`{2,})(?!`).+?(?<!`)(?P=ticks)(?!`)", re.DOTALL)
SPAN = re.compile(r"(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)", re.DOTALL)
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<to>[^)\s]+)\)")
TAGGED = re.compile(r"\$\$(?P<formula>[^$]+)\$\$ *\((?P<label>[\w-]+)\)")
EXPLICIT = re.compile(r"^(?P<text>.*?)\s*<(?P<to>[^<>]+)>$", re.DOTALL)
QUOTES = {
    "note": "Note",
    "tip": "Tip",
    "hint": "Hint",
    "important": "Important",
    "warning": "Warning",
    "caution": "Caution",
    "attention": "Attention",
    "danger": "Danger",
    "seealso": "See also",
    "admonition": "",
    "margin": "",
    "sidebar": "",
    "epigraph": "",
}
PROOFS = {"theorem", "lemma", "proposition", "corollary", "definition", "assumption", "proof"}
PROOFS |= {"algorithm", "example", "remark", "property", "axiom", "conjecture"}


class UnknownSyntaxError(ValueError):
    """A directive or role that has no plain form yet."""


@dataclass(frozen=True)
class Directive:
    """A fence with a name in braces."""

    name: str
    argument: str
    options: Mapping[str, str]
    body: list[str]

    @property
    def label(self) -> str:
        """What other places call it by."""
        return self.options.get("label") or self.options.get("name") or ""


@dataclass
class Label:
    """Something that can be referred to."""

    page: str
    kind: str
    title: str
    number: str = ""


@dataclass
class Book:
    """What the pages of the book call each other by, and the names of its sources."""

    folder: Path
    labels: dict[str, Label] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    sources: dict[str, tuple[str, str]] = field(default_factory=dict)  # key: authors, year
    notebooks: set[str] = field(default_factory=set)

    def address(self, page: str) -> str:
        """Where a page is, as seen from a notebook beside it."""
        return f"{page}.ipynb" if page in self.notebooks else f"{page}.md"


# ------------------------------------------------------------------------------------- reading


def directive_at(lines: list[str], start: int) -> tuple[Directive, int] | None:
    """The directive that opens at a line, and the number of the line after it."""
    found = OPEN.match(lines[start])
    if not found:
        return None
    fence, indent = found["fence"], len(found["indent"])
    close = re.compile(rf"^ *{fence[0]}{{{len(fence)},}} *$")
    end = start + 1
    while end < len(lines) and not close.match(lines[end]):
        end += 1
    if end == len(lines):
        raise ValueError(f"{lines[start]!r} is never closed")
    body = [line[indent:] if line[:indent].isspace() else line for line in lines[start + 1 : end]]
    options, body = _options(body)
    return Directive(found["name"], found["argument"].strip(), options, body), end + 1


def _options(body: list[str]) -> tuple[dict[str, str], list[str]]:
    """The options at the head of a directive, either ``:key: value`` or a YAML block."""
    options, start = {}, 0
    if body and body[0].strip() == "---":
        end = body.index("---", 1)
        for line in body[1:end]:
            key, _, value = line.partition(":")
            options[key.strip()] = value.strip()
        return options, body[end + 1 :]
    while start < len(body) and (found := OPTION.match(body[start])):
        options[found["key"]] = found["value"].strip()
        start += 1
    while start < len(body) and not body[start].strip():
        start += 1
    return options, body[start:]


def code_block_end(lines: list[str], start: int) -> int:
    """The line after the plain code block that opens at a line, or after the line itself."""
    found = CODE.match(lines[start])
    if found is None:
        return start + 1
    close = re.compile(rf"^ *{found['fence'][0]}{{{len(found['fence'])},}} *$")
    end = start + 1
    while end < len(lines) and not close.match(lines[end]):
        end += 1
    return min(end + 1, len(lines))


# ------------------------------------------------------------------------------------- writing


class Plain:
    """Turns the text of one page."""

    def __init__(self, book: Book, page: str) -> None:
        """Keep what the page is called and what it may refer to."""
        self.book, self.page = book, page
        self.roles: dict[str, Callable[[str], str]] = {
            "ref": self.ref,
            "numref": self.numref,
            "eq": lambda text: f"({self.label(text).number})",
            "prf:ref": lambda text: self.label(text).title,
            "doc": self.doc,
            "download": self.download,
            "term": lambda text: _explicit(text)[0],
            "abbr": lambda text: re.sub(r"\s*\([^)]*\)$", "", text),
            "cite": self.cite,
            "cite:p": self.cite,
            "cite:t": self.cite_in_text,
            "math": lambda text: f"${text}$",
            "glue:text": lambda text: f"`{text.rsplit('::', 1)[-1].split(':')[0]}`",
            "sub": lambda text: f"<sub>{text}</sub>",
            "sup": lambda text: f"<sup>{text}</sup>",
        }

    def text(self, lines: list[str]) -> list[str]:
        """Plain Markdown for lines of MyST."""
        made: list[str] = []
        prose: list[str] = []

        def flush() -> None:
            if prose:
                made.extend(self.prose("\n".join(prose)).split("\n"))
                prose.clear()

        place = 0
        while place < len(lines):
            line = lines[place]
            if found := directive_at(lines, place):
                flush()
                directive, place = found
                made += self.directive(directive)
                continue
            end = code_block_end(lines, place)
            if end > place + 1:
                flush()
                made += lines[place:end]
                place = end
                continue
            if not TARGET.match(line) and not line.startswith("% ") and line.strip() != "+++":
                prose.append(line)
            place += 1
        flush()
        return made

    # roles ---------------------------------------------------------------------------------

    def prose(self, text: str) -> str:
        """Roles and links of running text; spans of code are left alone."""
        kept: list[str] = []

        def keep(piece: str) -> str:
            kept.append(piece)
            return f"\x00{len(kept) - 1}\x00"

        def role(found: re.Match[str]) -> str:
            if found["name"] not in self.roles:
                raise UnknownSyntaxError(f"{self.page}: no plain form for the role {found[0]!r}")
            return keep(self.roles[found["name"]](found["text"].strip()))

        # a longer run of ticks is a span of code that may show a role
        text = re.sub(
            r"(?<!\})(`{2,})(?!`).+?(?<!`)\1(?!`)", lambda m: keep(m[0]), text, flags=re.S
        )
        text = ROLE.sub(role, text)
        text = SPAN.sub(lambda found: keep(found[0]), text)
        text = LINK.sub(self.link, text)
        text = TAGGED.sub(self.tagged, text)
        while "\x00" in text:
            text = re.sub(r"\x00(\d+)\x00", lambda found: kept[int(found[1])], text)
        return text

    def label(self, name: str) -> Label:
        """What a label stands for.

        Raises:
            KeyError: No page defines it.
        """
        if name not in self.book.labels:
            raise KeyError(f"{self.page}: nothing is labelled {name!r}")
        return self.book.labels[name]

    def linked(self, text: str, page: str) -> str:
        """A link to another page, or only text on the same one."""
        return text if page == self.page else f"[{text}]({self.book.address(page)})"

    def ref(self, text: str) -> str:
        """The title of what is referred to, or the given text."""
        shown, name = _explicit(text)
        label = self.label(name)
        return self.linked(label.title if shown == name else shown, label.page)

    def numref(self, text: str) -> str:
        """The number of a figure, exercise or theorem."""
        shown, name = _explicit(text)
        label = self.label(name)
        if shown == name:
            shown = f"{label.kind} {label.number}"
        shown = shown.replace("%s", label.number).replace("{number}", label.number)
        return self.linked(shown.replace("{name}", label.title), label.page)

    def doc(self, text: str) -> str:
        """The title of a page, or the given text."""
        shown, page = _explicit(text)
        page = Path(page).stem
        if page not in self.book.titles:
            raise KeyError(f"{self.page}: there is no page {page!r}")
        return self.linked(self.book.titles[page] if shown == text else shown, page)

    def download(self, text: str) -> str:
        """A link to a file."""
        shown, path = _explicit(text)
        return f"[{shown}]({path})"

    def link(self, found: re.Match[str]) -> str:
        """A Markdown link whose target only the builder understands."""
        to = found["to"]
        if re.match(r"[a-z]+:", to):
            return found[0]
        name = to.removeprefix("#")
        if name in self.book.labels:
            label = self.book.labels[name]
            return self.linked(found["text"] or label.title, label.page)
        if (stem := name.removesuffix(".md")) in self.book.titles:
            return self.linked(found["text"] or self.book.titles[stem], stem)
        return found[0]

    def tagged(self, found: re.Match[str]) -> str:
        """A displayed formula with its number."""
        return rf"$${found['formula'].rstrip()} \tag{{{self.label(found['label']).number}}}$$"

    def cite(self, text: str) -> str:
        """Authors and years, each a link to the bibliography."""
        shown = "; ".join(f"{who}, {year}" for who, year in self.cited(text))
        return f"[{shown}](bibliography.md)"

    def cite_in_text(self, text: str) -> str:
        """Authors in the sentence, years in brackets."""
        return (
            f"[{', '.join(f'{who} ({year})' for who, year in self.cited(text))}](bibliography.md)"
        )

    def cited(self, keys: str) -> list[tuple[str, str]]:
        """Authors and year of each key.

        Raises:
            KeyError: The bibliography lacks a key.
        """
        missing = [key for key in keys.split(",") if key.strip() not in self.book.sources]
        if missing:
            raise KeyError(f"{self.page}: the bibliography has no {missing}")
        return [self.book.sources[key.strip()] for key in keys.split(",")]

    # directives ----------------------------------------------------------------------------

    def directive(self, directive: Directive) -> list[str]:
        """Plain Markdown for a directive.

        Raises:
            UnknownSyntaxError: There is no plain form for it.
        """
        name = directive.name
        if name in QUOTES:
            title = QUOTES[name] or self.prose(directive.argument)
            body = directive.body
            if QUOTES[name] and directive.argument:
                body = [directive.argument, "", *body]
            return self.quote(title, body)
        if name.startswith("prf:") and name.removeprefix("prf:") in PROOFS:
            return self.quote(self.heading(directive), directive.body)
        made = getattr(self, "make_" + name.replace("-", "_").replace(":", "_"), None)
        if made is None:
            raise UnknownSyntaxError(f"{self.page}: no plain form for the directive {{{name}}}")
        return made(directive)

    def quote(self, title: str, body: list[str]) -> list[str]:
        """A quotation that opens with its title in bold."""
        inner = self.text(body)
        if title:
            inner = [f"**{title.rstrip('.')}.**", "", *inner]
        while inner and not inner[-1].strip():
            inner.pop()
        return [f"> {line}".rstrip() for line in inner]

    def heading(self, directive: Directive) -> str:
        """``Exercise 1.2 (title)``, from the label where there is one."""
        kind = directive.name.removeprefix("prf:").removesuffix("-start").capitalize()
        number = self.book.labels[directive.label].number if directive.label else ""
        title = f" ({self.prose(directive.argument)})" if directive.argument else ""
        return f"{kind} {number}".rstrip() + title

    def fold(self, title: str, body: list[str]) -> list[str]:
        """Something to open with a click."""
        inner = self.text(body)
        return ["<details>", f"<summary>{title}</summary>", "", *inner, "", "</details>"]

    def make_quiz(self, directive: Directive) -> list[str]:
        """The question with its options, and the answers folded."""
        question, options = read_quiz(directive.body)
        answers = [
            f"- {self.prose(option.text)} **{RIGHT if option.right else WRONG}** "
            f"{self.prose(option.why)}"
            for option in options
        ]
        asked = [f"- {self.prose(option.text)}" for option in options]
        return [
            "",
            f"**{self.prose(question)}**",
            "",
            *asked,
            "",
            *self.fold("Answers", answers),
            "",
        ]

    def make_exercise(self, directive: Directive) -> list[str]:
        """A heading and the text."""
        return [f"### {self.heading(directive)}", "", *self.text(directive.body)]

    make_exercise_start = make_exercise

    def make_exercise_end(self, directive: Directive) -> list[str]:
        """Nothing: the next heading ends it."""
        return []

    def make_solution(self, directive: Directive) -> list[str]:
        """Folded."""
        return self.fold(f"Solution to {self.numref(directive.argument)}", directive.body)

    def make_dropdown(self, directive: Directive) -> list[str]:
        """Folded."""
        return self.fold(self.prose(directive.argument), directive.body)

    def make_chapter_cost(self, directive: Directive) -> list[str]:
        """Nothing: it speaks of the book's build."""
        return []

    def make_div(self, directive: Directive) -> list[str]:
        """What is inside."""
        return self.text(directive.body)

    make_tab_set = make_div

    def make_tab_item(self, directive: Directive) -> list[str]:
        """Its title in bold, then what is inside."""
        return [f"**{self.prose(directive.argument)}**", "", *self.text(directive.body), ""]

    def make_math(self, directive: Directive) -> list[str]:
        """Between dollars, with its number."""
        body = [line for line in directive.body if line.strip()]
        tag = [rf"\tag{{{self.label(directive.label).number}}}"] if directive.label else []
        return ["$$", *body, *tag, "$$"]

    def make_code_block(self, directive: Directive) -> list[str]:
        """A plain block of code."""
        return [f"```{directive.argument}", *directive.body, "```"]

    make_code = make_code_block

    def make_figure(self, directive: Directive) -> list[str]:
        """The picture with its words, and the caption below."""
        words = directive.options.get("alt", "")
        caption = self.text(directive.body)
        number = f"Fig. {self.label(directive.label).number}. " if directive.label else ""
        below = ["", f"*{number}{' '.join(caption).strip()}*"] if caption else []
        return [f"![{words}]({directive.argument})", *below]

    make_image = make_figure

    def make_literalinclude(self, directive: Directive) -> list[str]:
        """The code itself."""
        language = directive.options.get("language", "")
        path = (self.book.folder / directive.argument).resolve()
        return [f"```{language}", *included(path, directive.options), "```"]


def included(path: Path, options: Mapping[str, str]) -> list[str]:
    """The lines of a file that a ``literalinclude`` asks for.

    Raises:
        ValueError: An option names something that is not in the file.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if "pyobject" in options:
        start, end = _python_object(path, options["pyobject"])
        lines = lines[start:end]
    for option, skip in (("start-at", 0), ("start-after", 1)):
        if option in options:
            lines = lines[_find(lines, options[option], path) + skip :]
    for option, skip in (("end-at", 1), ("end-before", 0)):
        if option in options:
            lines = lines[: _find(lines, options[option], path) + skip]
    if "lines" in options:
        numbers = _numbers(options["lines"], len(lines))
        if max(numbers) >= len(lines):
            raise ValueError(f"{path.name} has no line {max(numbers) + 1}, only {len(lines)}")
        lines = [lines[number] for number in numbers]
    if "dedent" in options:
        lines = textwrap.dedent("\n".join(lines)).split("\n")
    return lines


def _find(lines: list[str], text: str, path: Path) -> int:
    for number, line in enumerate(lines):
        if text in line:
            return number
    raise ValueError(f"{path.name} has no line with {text!r}")


def _numbers(text: str, total: int) -> list[int]:
    """Line numbers from 0 for text such as ``1,3-5,8-``."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        start = int(first or 1)
        numbers += range(start - 1, int(last or total) if dash else start)
    return numbers


def _python_object(path: Path, name: str) -> tuple[int, int]:
    """First line and line after a class or function, decorators included."""
    node: Any = ast.parse(path.read_text(encoding="utf-8"))
    for part in name.split("."):
        node = next((n for n in node.body if getattr(n, "name", None) == part), None)
        if node is None:
            raise ValueError(f"{path.name} has no {name}")
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return first - 1, node.end_lineno


def _explicit(text: str) -> tuple[str, str]:
    """Shown text and target of ``text <target>``; the same twice where only a target is given."""
    found = EXPLICIT.match(text)
    return (found["text"], found["to"].strip()) if found else (text, text)


def no_raw_syntax(text: str, where: str) -> None:
    """Raise if a directive, a role or a target is left in plain Markdown.

    Raises:
        UnknownSyntaxError: With the place and what is left.
    """
    bare = re.sub(r"^(`{3,}|~{3,})(?!\{).*?^\1`*$", "", text, flags=re.DOTALL | re.MULTILINE)
    bare = SHOWN.sub("", bare)
    for pattern in (r"^ *[`:]{3,}\{.*", r"\{[\w:]+\}`.*?`", r"^\([^)\s]+\)=\s*$", r"^ *:{3,}.*"):
        if found := re.search(pattern, bare, flags=re.MULTILINE):
            raise UnknownSyntaxError(f"{where}: raw MyST is left: {found[0]!r}")
