"""Imports go down only: ground, then next, then top."""

import ast
from pathlib import Path

import recflax

ROOT = Path(recflax.__file__).parent
COPYABLE = {"self_attention", "cross_attention", "scoring"}
GROUND = COPYABLE | {
    "estimates",
    "intervals",
    "losses",
    "metrics",
    "ties",
    "training",
    "optimiser",
    "checkpoints",
    "claims",
    "data.logs",
    "data.batches",
    "data.baskets",
}
TOP = ("lessons", "plots", "scale", "inspect_model")


def floor_of(name: str) -> int:
    """0 for ground, 1 for next, 2 for top."""
    if name in GROUND or name.startswith("causal."):
        return 0
    return 2 if name.split(".")[0] in TOP else 1


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, in full."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_an_import_only_goes_down() -> None:
    files = [path for path in ROOT.rglob("*.py") if path.name != "__init__.py"]
    wrong = []
    for path in files:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for target in imported(path):
            below = target.removeprefix("recflax.")
            known = (ROOT / (below.replace(".", "/") + ".py")).is_file()
            if target != below and known and floor_of(below) > floor_of(name):
                wrong.append(f"{name} imports {below}")
    assert wrong == []


def test_the_copyable_files_import_only_numpy_jax_and_flax() -> None:
    allowed = {"numpy", "jax", "flax", "math", "dataclasses", "typing", "collections", "functools"}
    for name in COPYABLE:
        path = ROOT / f"{name}.py"
        if path.is_file():
            assert {target.split(".")[0] for target in imported(path)} <= allowed, name


def test_importing_the_package_costs_nothing() -> None:
    assert imported(ROOT / "__init__.py") == set()
