"""Tables of lessons: one row a seed, and how a fresh row is held against them.

A lesson over twenty stores takes longer than a reader waits, so its rows are made beforehand
(``python tools/make_lessons.py``), written as CSV with the command, the versions and a digest of
the code that made them, and read by the chapter. The chapter then runs the first seed again and
compares: a row that was made by other code does not pass for a result of this one.
"""

import ast
import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from recflax.intervals import prediction_interval

_PACKAGE = Path(__file__).resolve().parents[1]
_MAKES_NO_ROWS = {
    "recflax",
    "recflax.checkpoints",  # keeps what was trained, and trains nothing
    "recflax.claims",
    "recflax.lessons.statements",
    "recflax.lessons.tables",
}
_VERSIONS = ("numpy", "jax", "flax", "optax")


@dataclass(frozen=True)
class Table:
    """Rows of one lesson and where they came from.

    Attributes:
        lesson: the lesson's module, such as ``"wrong_question"``.
        rows: one row a seed, with the columns ``seed`` and ``people`` and the lesson's numbers.
        provenance: the command, the versions and the digest of the code that made the rows, and
            the machine, in tables that record it.
    """

    lesson: str
    rows: pd.DataFrame
    provenance: Mapping[str, str]

    @property
    def records(self) -> list[dict]:
        """The rows as dicts, the form that a lesson's claims take."""
        return self.rows.to_dict("records")

    @property
    def moved_on(self) -> bool:
        """True when the code that the lesson uses has changed since the rows were made."""
        return self.provenance["code"] != digest(self.lesson)

    @property
    def origin(self) -> str:
        """Which seeds, made how, and whether the code has changed since: a line for the reader."""
        seeds = self.rows["seed"]
        made = ", ".join(f"{k} {self.provenance[k]}" for k in _VERSIONS if k in self.provenance)
        machine = self.provenance.get("machine")
        where = f"; on {machine}" if machine else ""
        since = (
            "The code behind the table has changed since: `make lessons` makes it anew."
            if self.moved_on
            else "The code behind the table has not changed since."
        )
        return (
            f"{len(seeds)} seeds, {seeds.min()} to {seeds.max()}, made by "
            f"`{self.provenance['command']}` ({made}{where}).\n{since}"
        )

    def row(self, seed: int) -> dict:
        """The row of one seed.

        Raises:
            KeyError: the table has no row, or more than one, for this seed.
        """
        found = self.rows[self.rows["seed"] == seed]
        if len(found) != 1:
            raise KeyError(f"table {self.lesson} has {len(found)} rows of seed {seed}, expected 1")
        return found.iloc[0].to_dict()


def tables_folder() -> Path:
    """Where the tables lie: inside an installed package, else in the repository's book.

    Raises:
        FileNotFoundError: neither place is there.
    """
    places = (_PACKAGE / "lessons" / "_tables", _PACKAGE.parent / "book" / "tables")
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"no lesson tables in {' or '.join(str(p.name) for p in places)}")


def _source(module: str) -> Path | None:
    """The file of ``recflax.a.b``, or None when ``module`` is not a module of the package."""
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _imports(source: Path) -> set[str]:
    """The names of this package's modules that a file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "recflax"}


def code_behind(lesson: str) -> list[str]:
    """The modules of the package that make a lesson's rows, itself included, sorted.

    Raises:
        ValueError: there is no such lesson.

    >>> "recflax.worlds.store" in code_behind("gaps")
    True
    >>> "recflax.recommender" in code_behind("gaps")  # exact values: nothing is trained
    False
    """
    start = f"recflax.lessons.{lesson}"
    if _source(start) is None:
        raise ValueError(f"lesson must name a module of recflax.lessons, got {lesson!r}")
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        source = _source(module)
        if module in seen or source is None:
            continue
        seen.add(module)
        waiting += _imports(source)
    return sorted(seen - _MAKES_NO_ROWS)


def _statements(source: Path) -> str:
    """A file's lines without `claims`, docstrings, whole-line comments and blank lines."""
    text = source.read_text(encoding="utf-8")
    dropped: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name == "claims":
            dropped |= set(range(node.lineno, (node.end_lineno or 0) + 1))
        elif (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            dropped |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(text.splitlines(), start=1)
    kept = (line.rstrip() for number, line in lines if number not in dropped)
    return "\n".join(line for line in kept if line and not line.lstrip().startswith("#"))


def digest(lesson: str) -> str:
    """SHA-256, shortened to 16 hexadecimal digits, of the statements behind a lesson.

    Docstrings, whole-line comments and blank lines do not count, and neither does what a lesson
    claims of its rows: a better sentence does not make a table old.
    """
    total = hashlib.sha256()
    for module in code_behind(lesson):
        source = _source(module)
        assert source is not None
        total.update(f"{module}\n{_statements(source)}\n".encode())
    return total.hexdigest()[:16]


def machine() -> str:
    """The processor's own name, where the system tells it, and the cores that this process has.

    >>> machine().endswith((" core", " cores"))
    True
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    has = getattr(os, "sched_getaffinity", None)
    cores = (len(has(0)) if has else os.cpu_count()) or 1
    name = named[0] if named else platform.processor() or platform.machine()
    return f"{name}, {cores} core{'s' if cores > 1 else ''}"


def write(folder: Path, lesson: str, rows: Sequence[Mapping], *, command: str) -> Path:
    """Writes the rows of a lesson as ``folder/lesson.csv`` and returns the path.

    The first lines, each starting with ``#``, are the provenance: the command, the digest of the
    code, the versions, and the machine that made the last row. Numbers keep 6 significant
    digits: more would only record the last bits of one machine.

    Raises:
        ValueError: no rows, a row without ``seed``, or a seed that comes twice.
    """
    frame = pd.DataFrame(list(rows))
    if frame.empty or "seed" not in frame:
        raise ValueError("rows must be a non-empty list of mappings with a key 'seed'")
    if frame["seed"].duplicated().any():
        raise ValueError(f"seed {frame['seed'][frame['seed'].duplicated()].iloc[0]} comes twice")
    provenance = {
        "lesson": lesson,
        "command": command,
        "code": digest(lesson),
        "machine": machine(),
        "python": platform.python_version(),
        **{name: version(name) for name in _VERSIONS},
    }
    path = folder / f"{lesson}.csv"
    head = "".join(f"# {key}: {value}\n" for key, value in provenance.items())
    body = frame.sort_values("seed").to_csv(index=False, float_format="%.6g")
    part = path.with_suffix(".part")  # a full disk, or a kill, costs no row that stood there before
    try:
        part.write_text(head + body, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def read(lesson: str, folder: Path | None = None) -> Table:
    """Reads the table of a lesson, from ``folder`` or from where the book keeps them.

    Raises:
        FileNotFoundError: no such table.
        ValueError: the file does not say where its rows came from.
    """
    path = (folder or tables_folder()) / f"{lesson}.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line[1:].split(":", 1) for line in lines if line.startswith("#")]
    provenance = {key.strip(): value.strip() for key, value in head}
    missing = {"lesson", "command", "code"} - set(provenance)
    if missing:
        raise ValueError(f"{path.name} does not state {', '.join(sorted(missing))} in its head")
    return Table(provenance["lesson"], pd.read_csv(path, comment="#"), provenance)


def differences(row: Mapping, table: Table, tolerance: Mapping[str, float]) -> dict[str, float]:
    """How far a fresh row lies from the table's own row of the same seed.

    Args:
        row: a fresh result of the lesson, with ``seed``.
        table: the stored rows.
        tolerance: for each column to compare, the largest difference that another number of
            threads or another version of a library was seen to make, with a margin.

    Returns:
        Column to absolute difference, for the columns of ``tolerance``.

    Raises:
        AssertionError: a column differs by more than its tolerance, or is not a number.
    """
    stored = table.row(int(row["seed"]))
    apart = {name: abs(float(row[name]) - float(stored[name])) for name in tolerance}
    wrong = {name: value for name, value in apart.items() if not value <= tolerance[name]}
    if wrong:
        said = "; ".join(
            f"{name} {row[name]:.5f}, stored {stored[name]:.5f}, tolerance {tolerance[name]:.5f}"
            for name in wrong
        )
        raise AssertionError(f"seed {row['seed']} of {table.lesson} does not repeat: {said}")
    return apart


def outside(
    row: Mapping, table: Table, columns: Sequence[str], *, family_error: float = 0.001
) -> dict[str, tuple[float, float, float]]:
    """The columns of a row of a new seed that lie outside what the table's seeds predict.

    The intervals hold all at once with probability 1 - ``family_error``, so a right program
    fails here less than once in a thousand runs whatever the number of columns.

    Returns:
        Column to (value, lower, upper), for the columns outside. Empty when all is well.

    Raises:
        ValueError: the seed is one of the table's own, which predicts itself too well.
    """
    if int(row["seed"]) in set(table.rows["seed"]):
        raise ValueError(f"seed {row['seed']} is in the table: compare it with differences()")
    found = {}
    for name in columns:
        interval = prediction_interval(
            np.asarray(table.rows[name], dtype=float), len(columns), family_error=family_error
        )
        if not interval.lower <= row[name] <= interval.upper:
            found[name] = (float(row[name]), interval.lower, interval.upper)
    return found
