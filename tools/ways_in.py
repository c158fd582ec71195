"""Go in by every door that recflax has, as someone would who has none of this folder.

    python tools/ways_in.py                         all of it: about an hour on two cores
    python tools/ways_in.py packages oldest         only these parts
    python tools/ways_in.py colab lab --notebooks intro 04_mathematics

packages  Wheel and source archive, each in an empty environment with what pip gives it today: every
          module imported, what a missing extra says, every docstring example, types for a caller.
oldest    The lowest versions that pyproject.toml allows: every docstring example and the tests in
          CORE, run from the source archive; the copyable modules with jax and flax alone.
newest    The same with the highest that it allows.
colab     Notebooks in an empty folder of an environment that has its own jax, flax, numpy, pandas
          and so on, once the oldest and once the newest, and recflax only by their first cell.
lab       A copy of this folder, its environment by ``make env``: notebooks from their own folder,
          as VS Code runs them, and by a JupyterLab server.

Everything is in a temporary folder (--keep leaves it). Lower bounds are read from pyproject.toml;
some have no wheel for Python 3.13, so that oldest and colab want 3.11 or 3.12.
"""

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ways_in_asks import ALONE, IMPORT_ALL, RIGHT, WITHOUT_EXTRAS, WRONG

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("packages", "oldest", "newest", "colab", "lab")
COPYABLE = ("self_attention", "cross_attention", "scoring")
CORE = (
    *(f"tests/test_{name}.py" for name in COPYABLE),
    *(f"tests/test_{name}.py" for name in ("recommender", "training", "checkpoints", "baselines")),
    *(f"tests/test_{name}.py" for name in ("losses", "metrics", "evaluation", "explain")),
    *("tests/causal", "tests/data", "tests/plots", "tests/scale/test_histories.py"),
)
OF_THE_TREE = (
    "--ignore=tests/plots/test_palette.py",
    "--deselect=tests/data/test_sources.py::test_nothing_reads_or_writes_a_pickle",
    "--deselect=tests/data/test_sources.py::test_only_one_module_of_the_library_asks_the_network",
)
"""What reads the tree itself, style sheet and sources, and says nothing of versions."""

ON_COLAB = ("jax", "flax", "numpy", "pandas", "scipy", "scikit-learn", "matplotlib", "optax")
OF_ITS_DAY = {"pyparsing": "3.2.5"}  # matplotlib of 2024 calls what pyparsing 3.3 warns of
IN_LAB = ("intro", "03_core_algorithm", "troubleshooting")
DOCTESTS = (
    "--pyargs",
    "recflax",
    "--doctest-modules",
    "-o",
    "doctest_optionflags=NORMALIZE_WHITESPACE",
)


def lower_bounds(project: Mapping, extras: Iterable[str] = ()) -> dict[str, str]:
    """The lowest version of each direct dependency, and of those of some extras.

    Raises:
        ValueError: A requirement has no lower bound.

    Example:
        >>> lower_bounds({"dependencies": ["jax>=0.8.1,<0.12"]})
        {'jax': '0.8.1'}
    """
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    found = {}
    for requirement in wanted:
        match = re.match(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)", requirement)
        if match is None:
            raise ValueError(f"{requirement} has no lower bound")
        found[match[1]] = match[2]
    return found


def copy_of_the_tree(root: Path, target: Path) -> Path:
    """Copy what git would commit, and nothing that lies about."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=root, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, target / name)
    return target


@dataclass
class Ways:
    """One run: where it works, and what came of each step."""

    folder: Path
    notebooks: list[str]
    results: dict[str, bool] = field(default_factory=dict)

    def step(self, name: str, *command: object, cwd: Path, fails: str = "", **env: str) -> bool:
        """Run a command and note whether it did what was expected; what it says goes to a log.

        ``fails`` is what a command must say that has to fail.
        """
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RECFLAX_", "PYTHON"))}
        start = time.perf_counter()
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=kept | {"JAX_PLATFORMS": "cpu"} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        good = (done.returncode != 0 and fails in done.stdout) if fails else done.returncode == 0
        last = [line for line in done.stdout.splitlines() if re.search(r"passed|modules$", line)]
        took = f"{time.perf_counter() - start:.0f} s"
        print("ok    " if good else "FAILED", f"{name} ({took})", *last[-1:], flush=True)
        if not good:
            print(done.stdout[-6000:], flush=True)
        self.results[name] = good
        return good

    def environment(self, name: str, *packages: object, bounds: Mapping[str, str] = {}) -> Path:
        """A new environment with these packages, some held to a version; returns its Python."""
        home = self.folder / name
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        python = home / "bin" / "python"
        held = home / "held.txt"
        held.write_text("".join(f"{key}=={value}\n" for key, value in bounds.items()))
        pip = [python, "-m", "pip", "install", "--quiet", "--constraint", held]
        if packages:
            self.step(f"{name}: pip install", *pip, *packages, cwd=home)
        return python

    def built(self, kind: str) -> Path:
        """The wheel (``whl``) or the source archive (``gz``), made once from a copy of the tree."""
        made = self.folder / "dist"
        if not made.is_dir():
            source = copy_of_the_tree(ROOT, self.folder / "source")
            python = self.environment("build", "build")
            self.step("build", python, "-m", "build", "--outdir", made, source, cwd=self.folder)
        return next(made.glob(f"*.{kind}"))

    def empty(self, name: str) -> Path:
        """An empty folder to run in."""
        made = self.folder / "empty" / name
        made.mkdir(parents=True)
        return made

    # -------------------------------------------------------------------------------- the parts

    def packages(self) -> None:
        """Wheel and source archive, each in an empty environment."""
        for kind, name in (("whl", "wheel"), ("gz", "sdist")):
            archive, here = self.built(kind), self.empty(name)
            python = self.environment(name, archive)
            error = (python, "-W", "error", "-c")
            self.step(f"{name}: import every module, no extra", *error, IMPORT_ALL, cwd=here)
            self.step(f"{name}: a missing extra is named", *error, WITHOUT_EXTRAS, cwd=here)
            extras = f"recflax[pipeline,scale] @ {archive.as_uri()}"
            pip = (
                python,
                "-m",
                "pip",
                "install",
                "--quiet",
                extras,
                "mypy",
                "pytest",
                "pytest-xdist",
            )
            self.step(f"{name}: its extras", *pip, cwd=here)
            self.examples(name, python)
            for text, says in ((RIGHT, ""), (WRONG, 'incompatible type "str"')):
                file = here / f"{'wrong' if says else 'right'}.py"
                file.write_text(text)
                mypy = (python, "-m", "mypy", "--strict", file.name)
                self.step(f"{name}: mypy, {file.stem} call", *mypy, cwd=here, fails=says)

    def examples(self, name: str, python: Path, *paths: str, cwd: Path | None = None) -> None:
        """Docstring examples of the installed package, or tests; a warning is an error."""
        pytest = (python, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-n", "2")
        where = cwd or self.empty(f"{name} examples")
        what = paths or DOCTESTS
        label = f"{name}: {'core tests' if paths else 'docstring examples'}"
        self.step(label, *pytest, "--dist", "loadfile", *what, cwd=where, MPLBACKEND="agg")

    def oldest(self) -> None:
        """The lowest versions allowed, and the copyable modules with jax and flax alone."""
        extras = ("test", "pipeline", "scale")
        self.at("oldest", lower_bounds(project(), extras) | OF_ITS_DAY)
        bounds = lower_bounds(project())
        few = {name: bounds[name] for name in ("jax", "flax")}
        python = self.environment("jax and flax alone", *few, bounds=few)
        for name in COPYABLE:
            here = self.empty(name)
            shutil.copy(ROOT / "recflax" / f"{name}.py", here)
            self.step(f"{name}.py alone", python, "-W", "error", "-c", ALONE, name, cwd=here)

    def newest(self) -> None:
        """The highest versions allowed."""
        self.at("newest", {})

    def at(self, name: str, bounds: Mapping[str, str]) -> None:
        """Examples, and the core tests as the source archive has them, at some versions."""
        wheel = f"recflax[test,pipeline,scale] @ {self.built('whl').as_uri()}"
        python = self.environment(name, wheel, bounds=bounds)
        here = self.empty(name)
        self.step(f"{name}: import every module", python, "-W", "error", "-c", IMPORT_ALL, cwd=here)
        self.examples(name, python)
        with tarfile.open(self.built("gz")) as archive:
            archive.extractall(here, filter="data")
        inside = next(here.iterdir())
        shutil.rmtree(inside / "recflax")  # the installed one is meant
        self.examples(name, python, *CORE, *OF_THE_TREE, cwd=inside)

    def colab(self) -> None:
        """Notebooks in an environment that has its own versions, and recflax by the first cell."""
        oldest = lower_bounds(project())
        for name, bounds in (("oldest", oldest), ("newest", {})):
            ranges = [each for each in project()["dependencies"] if each.startswith(ON_COLAB)]
            python = self.environment(
                f"colab {name}", *ranges, "nbclient", "ipykernel", bounds=bounds
            )
            held = {"PIP_CONSTRAINT": str(python.parents[1] / "held.txt")}
            for notebook in self.notebooks or every_notebook():
                run = (
                    python,
                    ROOT / "tools" / "run_notebooks.py",
                    ROOT / "book" / f"{notebook}.ipynb",
                )
                self.step(
                    f"colab {name}: {notebook}",
                    *run,
                    cwd=self.folder,
                    RECFLAX_SOURCE=str(self.built("whl")),
                    **held,
                )

    def lab(self) -> None:
        """Notebooks in a copy of this folder: from their own folder, and by JupyterLab."""
        copy = copy_of_the_tree(ROOT, self.folder / "copy")
        self.step("make env", "make", "env", f"PYTHON={sys.executable}", cwd=copy)
        python = copy / ".venv" / "bin" / "python"
        server = self.environment("JupyterLab", "jupyterlab")
        kernel = ("-m", "ipykernel", "install", "--prefix", server.parents[1], "--name", "recflax")
        self.step("JupyterLab: the kernel", python, *kernel, cwd=self.folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        for notebook in self.notebooks or IN_LAB:
            path = copy / "book" / f"{notebook}.ipynb"
            run = (python, copy / "tools" / "run_notebooks.py", "--in-place", path)
            self.step(f"VS Code's way: {notebook}", *run, cwd=self.folder)
            ask = (server, ROOT / "tools" / "ask_jupyter_lab.py", copy, port, f"book/{path.name}")
            self.step(f"JupyterLab: {notebook}", *ask, cwd=self.folder)


def project() -> dict:
    """The table ``project`` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def every_notebook() -> list[str]:
    """The names of the notebooks."""
    return sorted(path.stem for path in (ROOT / "book").glob("*.ipynb"))


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that are named; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), help="all if none")
    parser.add_argument("--notebooks", nargs="+", default=[], choices=every_notebook())
    parser.add_argument("--keep", type=Path, help="work in this new folder, and leave it")
    given = parser.parse_args(arguments)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="recflax-ways-in-"))
    folder.mkdir(parents=True, exist_ok=True)
    ways = Ways(folder.resolve(), given.notebooks)
    try:
        for part in given.parts or PARTS:
            print(f"== {part}, Python {sys.version.split()[0]}", flush=True)
            getattr(ways, part)()
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    failed = [name for name, good in ways.results.items() if not good]
    print("\n".join(f"failed: {name}" for name in failed))
    print(f"{len(ways.results) - len(failed)} passed, {len(failed)} failed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
