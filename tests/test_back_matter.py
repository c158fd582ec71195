"""The papers around the chapters: bibliography, glossary, copy pages, citation, workflows."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
import yaml
from pybtex.database import parse_file

import recflax
from tools.stamp_notebooks import main as stamp_files

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"


def test_every_source_stands_on_one_shelf_of_the_bibliography() -> None:
    entries = parse_file(BOOK / "references.bib").entries
    shelves = re.findall(r':filter: keywords % "(\w+)"', (BOOK / "bibliography.md").read_text())
    assert len(set(shelves)) == len(shelves) >= 5
    assert {entry.fields["keywords"] for entry in entries.values()} == set(shelves)


def test_every_source_says_who_what_and_when() -> None:
    for key, entry in parse_file(BOOK / "references.bib").entries.items():
        assert entry.persons["author"], key
        assert entry.fields["title"], key
        assert key.endswith(entry.fields["year"]), key


def test_every_citation_of_the_book_has_its_source() -> None:
    known = set(parse_file(BOOK / "references.bib").entries)
    for page in BOOK.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        cited = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)
        keys = {key.strip() for keys in cited for key in keys.split(",")}
        assert keys <= known, f"{page.name}: {sorted(keys - known)}"


def test_the_annotated_list_has_every_source_of_the_bibliography() -> None:
    known = set(parse_file(BOOK / "references.bib").entries)
    text = (BOOK / "07_tools_and_resources.md").read_text(encoding="utf-8")
    listed = re.findall(r"\{cite:t\}`(\w+)`", text[text.index("**Books**") :])
    assert known == set(listed)


def glossary() -> list[list[str]]:
    """The entries of the glossary: English line, Chinese line, definition lines."""
    text = (BOOK / "glossary.md").read_text(encoding="utf-8")
    entries = re.search(r"```\{glossary\}\n(.*?)\n```", text, re.DOTALL)
    assert entries is not None
    return [entry.split("\n") for entry in entries.group(1).split("\n\n")]


def test_every_entry_of_the_glossary_has_both_languages_and_a_definition() -> None:
    for english, chinese, *definition in glossary():
        assert re.fullmatch(r"[A-Za-z0-9'/, -]+", english), english
        assert re.fullmatch(r".*[\u4e00-\u9fff].* : 中文", chinese), chinese
        assert definition, english
        assert all(line.startswith("  ") for line in definition), english


def test_the_glossary_is_in_order_and_names_nothing_twice() -> None:
    english = [entry[0] for entry in glossary()]
    assert english == sorted(english, key=str.lower)
    chinese = [entry[1] for entry in glossary()]
    assert len(set(english)) == len(english)
    assert len(set(chinese)) == len(chinese)


@pytest.mark.parametrize("name", ["self_attention", "cross_attention", "scoring"])
def test_the_ten_lines_of_a_copy_page_do_what_the_page_says(name: str) -> None:
    text = (BOOK / f"copy_{name}.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    example = doctest.DocTestParser().get_doctest(code, {}, name, None, None)
    result = doctest.DocTestRunner(verbose=False).run(example)
    assert result.attempted >= 8
    assert result.failed == 0


@pytest.mark.parametrize("name", ["self_attention", "cross_attention", "scoring"])
def test_a_copy_page_offers_the_file_and_its_test(name: str) -> None:
    text = (BOOK / f"copy_{name}.md").read_text(encoding="utf-8")
    offered = re.findall(r"\{download\}`[^<]+<([^>]+)>`", text)
    assert offered == [f"../recflax/{name}.py", f"../tests/test_{name}.py"]
    assert all((BOOK / path).resolve().is_file() for path in offered)


def test_the_reference_has_every_module_once() -> None:
    documented = [
        name
        for page in BOOK.glob("api_*.md")
        for name in re.findall(r"automodule:: (\S+)", page.read_text(encoding="utf-8"))
    ]
    found = [
        module.name
        for module in pkgutil.walk_packages(recflax.__path__, "recflax.")
        if not module.ispkg and not module.name.rsplit(".", 1)[1].startswith("_")
    ]
    assert sorted(documented) == sorted(found)
    for name in documented:
        assert importlib.import_module(name).__doc__, name


def test_the_citation_file_agrees_with_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == recflax.__version__
    assert citation["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["book", "newest"])
def test_a_workflow_uses_targets_that_the_makefile_has(name: str) -> None:
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["jobs"]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets


def test_the_weekly_run_looks_up_every_lock_file() -> None:
    text = (ROOT / ".github" / "workflows" / "newest.yml").read_text(encoding="utf-8")
    listed = re.search(r"for locked in (.+); do", text)
    assert listed
    assert sorted(listed[1].split()) == ["requirements.txt", "tests/pages/requirements.txt"]
    assert all((ROOT / name).is_file() for name in listed[1].split())
    assert "pip-audit --strict" in text


def test_every_command_of_the_readme_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"^(?:\| `)?make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {"test", "book"} <= set(named) <= targets


def test_stamping_refuses_what_is_no_address(tmp_path: Path) -> None:
    file = tmp_path / "a.ipynb"
    file.write_text('{"cells": [{"cell_type": "code", "source": ["1"]}]}', encoding="utf-8")
    with pytest.raises(ValueError, match="address"):
        stamp_files(['x"; import os', str(file)])
    assert stamp_files(["git+https://host/owner/name@sha"]) == 2
    assert stamp_files(["git+https://host/owner/name@sha", str(file)]) == 0
    assert "git+https://host/owner/name@sha" in file.read_text(encoding="utf-8")
