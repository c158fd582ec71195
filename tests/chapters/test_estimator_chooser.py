"""The estimator chooser can be followed: no way ends nowhere, and every call on it is run."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import notebooks
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book" / "estimator_chooser.md").read_text(encoding="utf-8")
PARTS = dict(re.findall(r"^\(((?:choose|call)-[\w-]+)\)=\n(.*?)(?=^\(|\Z)", PAGE, re.M | re.S))
CALLS = [name for name in PARTS if name.startswith("call-")]
NOT_ASKED_FOR = {
    "arm_bounds": "a part of effect_bounds",
    "person_folds": "a part of cross_fit",
    "effective_sample_size": "a part of overlap",
    "ips_terms": "the rows behind ips",
    "clipped": "the rows behind clipped_ips",
    "switched": "the rows behind switch_dr",
    "direct_terms": "the rows behind direct_method",
    "doubly_robust_terms": "the rows behind doubly_robust",
}
MODULES = ("check_log", "effects", "policy_value", "power", "propensity", "sensitivity")


def links(part: str) -> set[str]:
    """The places of this page that a part sends its reader to."""
    return set(re.findall(r"<((?:choose|call)-[\w-]+)>`", part))


def called() -> dict[str, str]:
    """What the cells of the page call: the name in recflax by the name on the page."""
    cells = notebooks.read_cells(PAGE)
    tree = ast.parse("\n".join("\n".join(cell.lines) for cell in cells if cell.code))
    own = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("recflax")
        for alias in node.names
    }
    used = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return {name: full for name, full in own.items() if name in used}


def test_every_question_and_every_call_is_reached_from_the_first() -> None:
    reached, ahead = set(), {"choose-1"}
    while ahead:
        reached |= ahead
        ahead = set().union(*(links(PARTS[name]) for name in ahead)) - reached
    assert reached == set(PARTS)


def test_every_answer_of_a_question_goes_somewhere() -> None:
    for name, part in PARTS.items():
        answers = re.findall(r"^- .*$", part, re.M)
        if name.startswith("choose-"):
            assert len(answers) >= 2, name
            assert all(links(answer) for answer in answers), name


def test_no_question_leads_back_to_itself() -> None:
    def below(name: str, seen: tuple[str, ...]) -> None:
        assert name not in seen, (*seen, name)
        for answer in re.findall(r"^- .*$", PARTS[name], re.M):
            for target in links(answer):
                if target.startswith("choose-"):
                    below(target, (*seen, name))

    below("choose-1", ())


@pytest.mark.parametrize("name", [name for name in CALLS if name != "call-nothing"])
def test_a_call_says_what_it_assumes_runs_and_links_to_its_reference(name: str) -> None:
    part = PARTS[name].split("\n## ", 1)[0]
    assert "```{code-cell} ipython3" in part
    assert re.search(r"\*(Assumes|Needs)\*|the question that it will answer", part)
    pages = re.findall(r"\]\((api_\w+)\)", part)
    assert pages
    assert all((ROOT / "book" / f"{page}.md").is_file() for page in pages)


def test_every_function_for_a_question_about_causes_is_called_on_the_page() -> None:
    found = set(called().values())
    for module in (*MODULES, "slate_value", "uplift"):
        source = importlib.import_module(f"recflax.causal.{module}")
        for name, one in vars(source).items():
            public = inspect.isfunction(one) and not name.startswith("_")
            if public and one.__module__ == source.__name__ and name not in NOT_ASKED_FOR:
                assert f"{source.__name__}.{name}" in found, f"{module}.{name}"


def test_the_table_names_only_what_the_page_calls() -> None:
    table = PAGE.split("## All on one page")[1]
    rows = re.findall(r"\{ref}`([^<]+) <(call-[\w-]+)>` \|$", table, re.M)
    assert len(rows) >= 15
    names = {full.rsplit(".", 1)[1] for full in called().values()}
    for words, place in rows:
        assert place in PARTS
        if words != "cells":
            assert set(words.split(", ")) <= names, words
