"""Write ``book/NN_name.ipynb`` beside each chapter, from its ``.md`` and never back.

    python tools/notebooks.py              write those that changed
    python tools/notebooks.py --check      say which are not what their source gives; write nothing
    python tools/notebooks.py --execute    write them, then run each from top to bottom
    python tools/notebooks.py 01_background    only these
    python tools/notebooks.py --execute --real-data    only those with a section on real data

The notebooks hold no outputs and nothing that changes from one run to the next. ``--execute`` runs
each in a fresh kernel and in an empty folder, so that none depends on where it is opened.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from plain_markdown import (
    PROOFS,
    TAGGED,
    TARGET,
    Book,
    Directive,
    Label,
    Plain,
    code_block_end,
    directive_at,
    no_raw_syntax,
)
from pybtex.database import parse_file

ROOT = Path(__file__).resolve().parents[1]
FOLDED = {"hide-input", "remove-input", "remove-cell", "hide-cell"}


@dataclass
class Cell:
    """A piece of a chapter: text as lines of MyST, or code with its settings."""

    lines: list[str]
    code: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def tags(self) -> list[str]:
        """The cell's tags."""
        return list(self.settings.get("tags", []))

    @property
    def figure(self) -> dict[str, str]:
        """Name and caption of the figure that the cell draws."""
        return self.settings.get("mystnb", {}).get("figure", {})


# ------------------------------------------------------------------------------------- reading


def read_cells(text: str) -> list[Cell]:
    """The cells of a chapter, without its header.

    Raises:
        ValueError: The header or a directive is never closed.
    """
    lines = text.splitlines()
    if lines and lines[0] == "---":
        lines = lines[lines.index("---", 1) + 1 :]
    cells: list[Cell] = [Cell([])]
    place = 0
    while place < len(lines):
        line = lines[place]
        made = directive_at(lines, place)
        if made and made[0].name == "code-cell":
            cells += [_code_cell(lines[place + 1 : made[1] - 1]), Cell([])]
            place = made[1]
        elif line.strip() == "+++":
            cells.append(Cell([]))
            place += 1
        else:
            end = made[1] if made else code_block_end(lines, place)
            cells[-1].lines += lines[place:end]
            place = end
    return [cell for cell in cells if cell.code or any(line.strip() for line in cell.lines)]


def _code_cell(lines: list[str]) -> Cell:
    """Code and settings of a cell; the settings stand first, in either of the two forms."""
    settings: dict[str, Any] = {}
    if lines and lines[0] == "---":
        end = lines.index("---", 1)
        settings = yaml.safe_load("\n".join(lines[1:end])) or {}
        lines = lines[end + 1 :]
    while lines and (found := re.match(r"^:([\w-]+): *(.*)$", lines[0])):
        settings[found[1]] = yaml.safe_load(found[2])
        lines = lines[1:]
    return Cell("\n".join(lines).strip("\n").split("\n"), code=True, settings=settings)


def read_book(folder: Path) -> Book:
    """Everything that pages call each other by, numbered as the book numbers it."""
    book = Book(folder)
    for path in sorted(folder.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        book.titles[path.stem] = next(
            (line[2:].strip() for line in text.splitlines() if line.startswith("# ")), path.stem
        )
        if is_chapter(path):
            book.notebooks.add(path.stem)
        for name, label in _labels(path.stem, read_cells(text)):
            book.labels[name] = label
    bibliography = folder / "references.bib"
    if bibliography.is_file():
        for key, entry in parse_file(str(bibliography)).entries.items():
            people = entry.persons.get("author") or entry.persons.get("editor") or []
            names = [re.sub(r"[{}]", "", " ".join(p.prelast_names + p.last_names)) for p in people]
            book.sources[key] = (_et_al(names), entry.fields.get("year", "n.d."))
    return book


def _et_al(names: list[str]) -> str:
    return f"{names[0]} et al." if len(names) > 2 else " and ".join(names)


def _labels(page: str, cells: list[Cell]) -> Iterator[tuple[str, Label]]:
    """Labels of one page; numbers run by kind, after the chapter's number if it has one."""
    chapter = re.match(r"(\d+)", page)
    counts: Counter[str] = Counter()

    def number(kind: str) -> str:
        counts[kind] += 1
        return f"{int(chapter[1])}.{counts[kind]}" if chapter else str(counts[kind])

    def of_directive(directive: Directive) -> Iterator[tuple[str, Label]]:
        name = directive.name.removesuffix("-start")
        kind = name.removeprefix("prf:")
        if name == "exercise" or (name.startswith("prf:") and kind in PROOFS):
            found = number(kind)
            title = f"{kind.capitalize()} {found}"
            yield directive.label, Label(page, kind.capitalize(), title, found)
        elif name == "figure" and directive.body:
            yield directive.label, Label(page, "Fig.", "".join(directive.body), number("figure"))
        elif name == "math" and directive.label:
            yield directive.label, Label(page, "Equation", "", number("equation"))
        yield from of_lines(directive.body)

    def of_lines(lines: list[str]) -> Iterator[tuple[str, Label]]:
        place = 0
        while place < len(lines):
            if made := directive_at(lines, place):
                yield from of_directive(made[0])
                place = made[1]
                continue
            end = code_block_end(lines, place)
            if end == place + 1 and (target := TARGET.match(lines[place])):
                heading = next((line for line in lines[end:] if line.strip()), "")
                yield target["label"], Label(page, "Section", heading.lstrip("# ").strip())
            place = end
        for found in TAGGED.finditer("\n".join(lines)):
            yield found["label"], Label(page, "Equation", "", number("equation"))

    for cell in cells:
        if not cell.code:
            yield from of_lines(cell.lines)
        elif cell.figure:
            title = str(cell.figure.get("caption", ""))
            yield cell.figure.get("name", ""), Label(page, "Fig.", title, number("figure"))


def is_chapter(path: Path) -> bool:
    """Whether a page has cells, and so a notebook beside it."""
    head = path.read_text(encoding="utf-8").split("\n---", 1)[0]
    return head.startswith("---") and "kernelspec" in head


def tells_of_data(path: Path) -> bool:
    """Whether a chapter runs otherwise where real data are missing."""
    return "data_note(" in path.read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------- writing


def notebook(path: Path, book: Book) -> dict[str, Any]:
    """The notebook of a chapter, as the dictionary that is written as JSON.

    Raises:
        UnknownSyntaxError: The chapter uses what has no plain form.
        KeyError: It refers to something that is nowhere.
    """
    plain = Plain(book, path.stem)
    made: list[dict[str, Any]] = []
    for cell in _split_at_solutions(read_cells(path.read_text(encoding="utf-8"))):
        if cell.code:
            made.append(_code(cell))
            if cell.figure.get("name"):
                label = book.labels[cell.figure["name"]]
                made.append(_markdown([f"*Fig. {label.number}. {plain.prose(label.title)}*"]))
            continue
        of = cell.settings["solution"]
        if of and not cell.lines:
            lines = [f"**Solution to {plain.numref(of)}**, in the folded cell below."]
        elif of:
            lines = plain.fold(f"Solution to {plain.numref(of)}", cell.lines)
        else:
            lines = plain.text(cell.lines)
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
        no_raw_syntax(text, path.name)
        if text:
            made.append(_markdown(text.split("\n")))
    made.append(_markdown([f"*Made from `book/{path.name}`, which is where to change it.*"]))
    for number, written in enumerate(made):
        written["id"] = f"cell-{number:03d}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": made,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _split_at_solutions(cells: list[Cell]) -> Iterator[Cell]:
    """The same cells, where those between the gates of a solution know whose solution they are."""
    inside, told = "", True
    for cell in cells:
        if cell.code:
            if not told:
                yield Cell([], settings={"solution": inside})
                told = True
            yield Cell(cell.lines, True, {**cell.settings, "solution": inside})
            continue
        kept: list[str] = []
        place = 0
        while place < len(cell.lines):
            made = directive_at(cell.lines, place)
            if made and made[0].name in ("solution-start", "solution-end"):
                yield from _text_cell(kept, inside)
                kept = []
                inside = made[0].argument if made[0].name == "solution-start" else ""
                told = not inside
                place = made[1]
                continue
            end = made[1] if made else code_block_end(cell.lines, place)
            kept += cell.lines[place:end]
            place = end
        told = told or any(line.strip() for line in kept)
        yield from _text_cell(kept, inside)


def _text_cell(lines: list[str], solution: str) -> Iterator[Cell]:
    if any(line.strip() for line in lines):
        yield Cell(lines, settings={"solution": solution})


def _source(lines: list[str]) -> list[str]:
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:]


def _markdown(lines: list[str]) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": "", "metadata": {}, "source": _source(lines)}


def _code(cell: Cell) -> dict[str, Any]:
    """A code cell; what the book hides, and solutions, are folded."""
    metadata: dict[str, Any] = {"tags": cell.tags} if cell.tags else {}
    if cell.settings.get("solution") or FOLDED & set(cell.tags):
        metadata["jupyter"] = {"source_hidden": True}
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": "",
        "metadata": metadata,
        "outputs": [],
        "source": _source(cell.lines),
    }


def as_json(made: dict[str, Any]) -> str:
    """The text of the file."""
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


# ------------------------------------------------------------------------------------- running


def execute(path: Path, root: Path) -> float:
    """Run a notebook from top to bottom in a fresh kernel and an empty folder; returns seconds.

    Raises:
        CellExecutionError: A cell raises.
        RuntimeError: A cell writes to stderr.
    """
    import nbformat
    from cell_environment import kernel_environment  # found where plain_markdown looks
    from nbclient import NotebookClient

    made = nbformat.read(path, as_version=4)
    environment = {**os.environ, **kernel_environment(root, os.environ)}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(made, timeout=900, resources={"metadata": {"path": folder}})
        client.execute(env=environment)
    for cell in made.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise RuntimeError(f"{path.name}: a cell writes to stderr: {output['text'][:400]}")
    return time.perf_counter() - start


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="chapters, such as 01_background; all if none")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    parser.add_argument("--execute", action="store_true", help="run each after writing it")
    parser.add_argument("--real-data", action="store_true", help="those that tell of real data")
    given = parser.parse_args(arguments)
    book = read_book(root / "book")
    wanted = [Path(name).stem for name in given.names] or sorted(book.notebooks)
    if given.real_data:
        wanted = [name for name in wanted if tells_of_data(root / "book" / f"{name}.md")]
    stale = []
    for name in wanted:
        source = root / "book" / f"{name}.md"
        target, text = source.with_suffix(".ipynb"), as_json(notebook(source, book))
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            stale.append(target.name)
            if not given.check:
                target.write_text(text, encoding="utf-8", newline="\n")
    verb = "differs from its source" if given.check else "written"
    print("\n".join(f"{name}: {verb}" for name in stale) or "every notebook is as its source says")
    if given.execute:
        for name in wanted:
            seconds = execute(root / "book" / f"{name}.ipynb", root)
            print(f"{name}.ipynb: ran in {seconds:.0f} s", flush=True)
    return int(given.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
