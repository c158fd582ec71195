"""Run notebooks by whoever's Python runs this file, each in a folder where it finds nothing else.

    python run_notebooks.py NOTEBOOK...               in an empty folder, without recflax
    python run_notebooks.py --in-place NOTEBOOK...    from its own folder, as VS Code runs it

The environment needs nbclient and ipykernel. Without ``--in-place`` recflax is uninstalled before
each notebook, so that its first cell installs it from RECFLAX_SOURCE; what KEPT names must then
have the version that it had. Every notebook is run, whatever became of the one before it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

KEPT = ("jax", "jaxlib", "flax", "numpy", "pandas", "scipy", "scikit-learn", "matplotlib", "optax")


def installed() -> dict[str, str]:
    """The versions of what a first cell must leave alone; dp-accounting may want an older attrs."""
    return {name: version(name) for name in KEPT}


def said_to_stderr(cells: list[Any]) -> str:
    """What cells wrote to stderr; the first one may, since pip has things to say."""
    return "".join(
        output["text"]
        for cell in cells[1:]
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr"
    )


def run(path: Path, folder: str) -> str:
    """Run a notebook from top to bottom in a folder; returns what was wrong, or nothing."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    made = nbformat.read(path, as_version=4)
    try:
        NotebookClient(made, timeout=3600, resources={"metadata": {"path": folder}}).execute()
    except CellExecutionError as error:
        return str(error)[-3000:]
    said = said_to_stderr([cell for cell in made.cells if cell.cell_type == "code"])
    return f"a cell writes to stderr: {said[:2000]}" if said else ""


def run_from_nothing(path: Path) -> str:
    """Run a notebook in an empty folder, without recflax; returns what was wrong, or nothing."""
    pip = [sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", "recflax"]
    subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
    before = installed()
    with tempfile.TemporaryDirectory() as folder:
        wrong = run(path, folder)
    now = installed()
    moved = [f"{name} {before[name]} -> {now[name]}" for name in KEPT if now[name] != before[name]]
    return wrong or ("the first cell changed " + ", ".join(moved) if moved else "")


def main(arguments: list[str]) -> int:
    """Run the notebooks that are named; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--in-place", action="store_true", help="leave recflax, use its folder")
    given = parser.parse_args(arguments)
    failed = 0
    for path in given.notebooks:
        start = time.perf_counter()
        wrong = run(path, str(path.parent)) if given.in_place else run_from_nothing(path)
        failed += bool(wrong)
        print(f"{path.name}: {wrong or 'ran'} ({time.perf_counter() - start:.0f} s)", flush=True)
    print(f"{len(given.notebooks) - failed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
