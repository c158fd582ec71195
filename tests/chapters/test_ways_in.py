"""What can be known of the ways in without a network: names that must agree with each other."""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
import ways_in

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def test_the_dev_container_runs_a_target_of_make_and_opens_the_port_of_the_book() -> None:
    made = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    make, target = made["postCreateCommand"].split()
    assert make == "make"
    assert re.search(rf"^{target}: \$\(STAMP\)$", MAKEFILE, re.MULTILINE)
    assert [f"http.server {port}" in MAKEFILE for port in made["forwardPorts"]] == [True]
    vscode = made["customizations"]["vscode"]
    assert set(vscode["extensions"]) == {"ms-python.python", "ms-toolsai.jupyter"}
    interpreter = vscode["settings"]["python.defaultInterpreterPath"]
    assert interpreter == "${containerWorkspaceFolder}/.venv/bin/python"
    assert "VENV := .venv\n" in MAKEFILE
    assert supported(made["image"].removeprefix("python:").removesuffix("-bookworm"))


def supported(version: str) -> bool:
    return f"Programming Language :: Python :: {version}" in PYPROJECT["project"]["classifiers"]


def test_binder_installs_this_folder_by_the_lock_file() -> None:
    folder = ROOT / ".binder"
    lines = (folder / "requirements.txt").read_text("utf-8").splitlines()
    asked = [line for line in lines if not line.startswith("#")]
    assert asked == ["--constraint ../requirements.txt", "."]
    assert (folder / asked[0].split()[1]).is_file()
    assert supported((folder / "runtime.txt").read_text("utf-8").strip().removeprefix("python-"))
    assert {path.name for path in folder.iterdir()} == {"requirements.txt", "runtime.txt"}


def test_the_wheel_has_the_package_its_types_and_its_tables_and_nothing_else() -> None:
    targets = PYPROJECT["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"] == {
        "packages": ["recflax"],
        "force-include": {"book/tables": "recflax/lessons/_tables"},
    }
    assert (ROOT / "recflax" / "py.typed").is_file()
    missing = [name for name in targets["sdist"]["include"] if not list(ROOT.glob(name))]
    assert missing == []
    assert {"recflax", "book/tables", "tests"} <= set(targets["sdist"]["include"])


def test_every_dependency_has_a_lower_bound_that_can_be_tried() -> None:
    project = PYPROJECT["project"]
    bounds = ways_in.lower_bounds(project, ("test", "pipeline", "scale"))
    assert len(bounds) == len(project["dependencies"]) + sum(
        len(project["optional-dependencies"][extra]) for extra in ("test", "pipeline", "scale")
    )
    assert bounds["ibis-framework"] == "12"
    with pytest.raises(ValueError, match="jax<1 has no lower bound"):
        ways_in.lower_bounds({"dependencies": ["jax<1"]})
    needed = {re.match(r"[\w-]+", each)[0] for each in project["dependencies"]}
    assert set(ways_in.ON_COLAB) <= needed


def test_what_it_runs_is_there() -> None:
    assert all((ROOT / path).exists() for path in ways_in.CORE)
    assert set(ways_in.IN_LAB) <= set(ways_in.every_notebook())
    assert all(callable(getattr(ways_in.Ways, part)) for part in ways_in.PARTS)
    assert "\nways-in:\n" in MAKEFILE


@pytest.mark.parametrize(
    ("code", "fails", "good"),
    [
        ("print('3 passed')", "", True),
        ("raise SystemExit(1)", "", False),
        ("raise SystemExit('no such thing')", "no such", True),
        ("raise SystemExit('something else')", "no such", False),
        ("print('no such')", "no such", False),
    ],
)
def test_a_step_is_good_when_it_does_what_was_expected(
    code: str, fails: str, good: bool, tmp_path: Path
) -> None:
    ways = ways_in.Ways(tmp_path, [])
    assert ways.step("a step", sys.executable, "-c", code, cwd=tmp_path, fails=fails) is good
    assert ways.results == {"a step": good}


def test_a_step_sees_neither_this_library_nor_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECFLAX_DATA_DIR", "a")
    monkeypatch.setenv("PYTHONPATH", "b")
    code = "import os; assert not {'RECFLAX_DATA_DIR', 'PYTHONPATH'} & set(os.environ)"
    assert ways_in.Ways(tmp_path, []).step("a step", sys.executable, "-c", code, cwd=tmp_path)
