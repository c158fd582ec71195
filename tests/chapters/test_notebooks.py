"""Notebooks are made from chapters, one way, and hold nothing that only the book understands."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import notebooks
import plain_markdown
import pytest
from plain_markdown import Book, Label, Plain, UnknownSyntaxError, included, no_raw_syntax

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = [path for path in sorted((ROOT / "book").glob("*.md")) if notebooks.is_chapter(path)]


@pytest.fixture(scope="module")
def folder(new_book: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_book(tmp_path_factory.mktemp("book")).root


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, Any]:
    source = folder / "book" / "sample.md"
    return notebooks.notebook(source, notebooks.read_book(folder / "book"))


def text_of(made: dict[str, Any], kind: str = "markdown") -> str:
    cells = [cell for cell in made["cells"] if cell["cell_type"] == kind]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_notebook_beside_a_chapter_is_what_its_source_gives(path: Path) -> None:
    expected = notebooks.as_json(notebooks.notebook(path, notebooks.read_book(path.parent)))
    assert path.with_suffix(".ipynb").read_text("utf-8") == expected, "run `make notebooks`"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_begins_with_the_cell_that_makes_it_run_anywhere(path: Path) -> None:
    cells = [cell for cell in notebooks.read_cells(path.read_text("utf-8")) if cell.code]
    first = (ROOT / "tools" / "first_cell.py").read_text("utf-8").rstrip().split("\n")
    assert cells[0].lines == first
    assert cells[0].tags == ["hide-input"]
    assert cells[-1].lines[-1] == "resources()"


def test_a_notebook_is_valid_and_holds_no_output(made: dict[str, Any], folder: Path) -> None:
    nbformat.validate(made)
    codes = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    assert len(codes) == 6
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in codes)
    again = notebooks.notebook(folder / "book" / "sample.md", notebooks.read_book(folder / "book"))
    assert notebooks.as_json(again) == notebooks.as_json(made)


@pytest.mark.parametrize(
    "expected",
    [
        "A number from a cell is `answer`, and Fig. 1 shows it.",
        "[Vaswani et al. (2017)](bibliography.md)",
        "[Kang and McAuley, 2018; Vaswani et al., 2017](bibliography.md)",
        "See [the other page](other.md), [The other page](other.md), [the same](other.md)",
        "or Exercise 1; a basket is defined there. Equation (1) is below.",
        "$$\n\\tau = E[Y(1)] - E[Y(0)]\n\\tag{1}\n$$",
        "*Fig. 1. The answer, drawn.*",
        "> **What to hold on to.**\n>\n> Two lines,\n>\n> and a list:\n>\n> - one\n> - two",
        "```python\nANSWER = 42\n```",
        "**Now**\n\nWhat is.\n\n**Then**",
        "> **Theorem 1 (Weights that add up).**\n>\n> The sum over $a$ of $\\pi(a)$ is 1.",
        "![A plain square with nothing in it.](sample.svg)\n\n*Fig. 2. A square.*",
        "### Exercise 1 (Say it back)\n\nWhat is the answer? It is not $41$.",
        "<summary>Solution to Exercise 1</summary>\n\nIt is 42:\n\n```python\nanswer = 42\n```",
        "### Exercise 2 (Run it)\n\nCompute the answer from 6 and 7.",
        "<summary>Solution to Exercise 2</summary>\n\nMultiply.\n\n</details>",
    ],
)
def test_each_directive_and_role_has_its_plain_form(made: dict[str, Any], expected: str) -> None:
    assert expected in text_of(made)


def test_what_the_book_hides_and_solutions_are_folded(made: dict[str, Any]) -> None:
    folded = [
        "".join(cell["source"]).splitlines()[-1]
        for cell in made["cells"]
        if cell["metadata"].get("jupyter", {}).get("source_hidden")
    ]
    assert folded == [
        "    importlib.invalidate_caches()",
        "glue(answer=float(ANSWER))",
        "assert 6 * 7 == ANSWER",
        "resources()",
    ]


@pytest.fixture
def plain(tmp_path: Path) -> Plain:
    book = Book(tmp_path, titles={"p": "A page", "q": "Another"}, notebooks={"q"})
    book.labels = {
        "sec": Label("q", "Section", "The gaps"),
        "fig": Label("p", "Fig.", "Dots", "2.3"),
        "eq-one": Label("p", "Equation", "", "2.1"),
    }
    book.sources = {"a2001": ("A", "2001")}
    return Plain(book, "p")


@pytest.mark.parametrize(
    ("myst", "expected"),
    [
        ("{ref}`sec` and {ref}`there <sec>`", "[The gaps](q.ipynb) and [there](q.ipynb)"),
        ("{numref}`figure %s <fig>`", "figure 2.3"),
        ("{ref}`two\nlines <sec>`", "[two\nlines](q.ipynb)"),
        (
            "`{ref}` is code, and so is ``{ref}`sec` ``",
            "`{ref}` is code, and so is ``{ref}`sec` ``",
        ),
        ("[](#sec), [it](#fig), [web](https://a.b)", "[The gaps](q.ipynb), it, [web](https://a.b)"),
        ("{math}`x_1` {sub}`2` {abbr}`IPS (weighting)`", "$x_1$ <sub>2</sub> IPS"),
        ("{glue:text}`other.md::lift:.2f`", "`lift`"),
        ("$$a = b$$ (eq-one)", "$$a = b \\tag{2.1}$$"),
        ("**{cite}`a2001`**", "**[A, 2001](bibliography.md)**"),
        ("% a comment\n(sec)=\ntext", "text"),
        ("```python\n{ref}`sec`\n(sec)=\n```", "```python\n{ref}`sec`\n(sec)=\n```"),
        ("````{note}\n```{tip}\nIn.\n```\n````", "> **Note.**\n>\n> > **Tip.**\n> >\n> > In."),
        ("{download}`the file <../a.py>`", "[the file](../a.py)"),
    ],
)
def test_roles_links_and_nesting(plain: Plain, myst: str, expected: str) -> None:
    made = "\n".join(plain.text(myst.split("\n")))
    assert made == expected
    no_raw_syntax(made, "here")


@pytest.mark.parametrize(
    ("myst", "error", "words"),
    [
        ("{colour}`red`", UnknownSyntaxError, "no plain form for the role '{colour}`red`'"),
        ("```{mermaid}\nA\n```", UnknownSyntaxError, "no plain form for the directive {mermaid}"),
        ("{ref}`nowhere`", KeyError, "nothing is labelled 'nowhere'"),
        ("{doc}`nowhere`", KeyError, "there is no page 'nowhere'"),
        ("{cite}`a2001,b`", KeyError, r"the bibliography has no \['b'\]"),
        ("```{note}\nopen", ValueError, "is never closed"),
    ],
)
def test_what_has_no_plain_form_is_an_error(
    plain: Plain, myst: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        plain.text(myst.split("\n"))


@pytest.mark.parametrize("left", ["```{note}", ":::", "a {ref}`b` c", "(label)=", "  :::{tip}"])
def test_raw_syntax_is_found(left: str) -> None:
    with pytest.raises(UnknownSyntaxError, match="raw MyST is left"):
        no_raw_syntax(f"Text.\n{left}\nmore", "here")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["import os", "", "", "@cache", "def f():", "    return 1", "", "", "X = 2"]),
        ({"pyobject": "f"}, ["@cache", "def f():", "    return 1"]),
        ({"lines": "1,5-6"}, ["import os", "def f():", "    return 1"]),
        ({"start-after": "@cache", "end-before": "X"}, ["def f():", "    return 1", "", ""]),
        ({"start-at": "return", "end-at": "return", "dedent": ""}, ["return 1"]),
    ],
)
def test_literalinclude_gives_the_lines_asked_for(
    options: dict[str, str], expected: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.py"
    path.write_text("import os\n\n\n@cache\ndef f():\n    return 1\n\n\nX = 2\n", "utf-8")
    assert included(path, options) == expected


@pytest.mark.parametrize("options", [{"pyobject": "g"}, {"start-at": "no"}, {"lines": "2"}])
def test_literalinclude_of_nothing_is_an_error(options: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("X = 2\n", "utf-8")
    with pytest.raises(ValueError, match=r"a\.py has no"):
        included(path, options)


def test_numbers_run_by_kind_under_the_chapter(tmp_path: Path) -> None:
    chapter = "\n".join(
        [
            "---\nkernelspec: {name: python3}\n---\n(ch)=\n# Title",
            "```{exercise} A\n:label: ex-a\n```",
            "```{figure} a.svg\n:name: fig-a\nA.\n```",
            "```{exercise} B\n:label: ex-b\n```",
            "```{code-cell}\n---\nmystnb:\n  figure:\n    caption: B\n    name: fig-b\n---\n1\n```",
            "$$x$$ (eq-a)",
        ]
    )
    (tmp_path / "02_two.md").write_text(chapter, "utf-8")
    labels = notebooks.read_book(tmp_path).labels
    numbers = {name: label.number for name, label in labels.items()}
    expected = {"ch": "", "ex-a": "2.1", "ex-b": "2.2", "fig-a": "2.1", "fig-b": "2.2"}
    assert numbers == {**expected, "eq-a": "2.1"}
    assert labels["ch"].title == "Title"


def test_check_says_what_is_stale_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = folder / "book" / "sample.ipynb"
    assert notebooks.main(["--check"], folder) == 1
    assert not target.exists()
    assert notebooks.main(["sample"], folder) == 0
    assert notebooks.main(["--check"], folder) == 0
    target.write_text(target.read_text("utf-8").replace("Multiply.", "Add."), "utf-8")
    capsys.readouterr()
    assert notebooks.main(["--check"], folder) == 1
    assert capsys.readouterr().out == "sample.ipynb: differs from its source\n"
    target.unlink()


def test_a_notebook_runs_in_a_fresh_kernel_and_an_empty_folder(
    folder: Path, made: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "sample.ipynb"
    path.write_text(notebooks.as_json(made), "utf-8")
    assert notebooks.execute(path, folder) > 0
    loud = {"cell_type": "code", "execution_count": None, "id": "loud", "metadata": {}}
    source = "import sys\nprint('chatter', file=sys.stderr)"
    only = [{**loud, "outputs": [], "source": source}]
    path.write_text(json.dumps({**made, "cells": only}), "utf-8")
    with pytest.raises(RuntimeError, match="writes to stderr: chatter"):
        notebooks.execute(path, folder)


def first_cell(monkeypatch: pytest.MonkeyPatch, missing: bool) -> list[list[str]]:
    """Run the first cell, with recflax missing or not; returns what it would have run."""
    code = (ROOT / "tools" / "first_cell.py").read_text("utf-8")
    ran: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: ran.append(command))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if missing else name)
    exec(compile(code, "first_cell", "exec"), {})
    return ran


def test_the_first_cell_leaves_an_installed_library_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECFLAX_SOURCE", "git+https://a.b/c")
    assert first_cell(monkeypatch, missing=False) == []


def test_the_first_cell_installs_from_the_source_that_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RECFLAX_SOURCE", "git+https://a.b/c")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "git+https://a.b/c"]
    assert first_cell(monkeypatch, missing=True) == [pip]


def test_the_first_cell_says_in_one_sentence_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECFLAX_SOURCE", raising=False)
    with pytest.raises(ModuleNotFoundError, match="set RECFLAX_SOURCE to its git address"):
        first_cell(monkeypatch, missing=True)


def test_every_kind_of_proof_is_a_word_once() -> None:
    assert "theorem" in plain_markdown.PROOFS
    assert all(kind.isalpha() for kind in plain_markdown.PROOFS)
