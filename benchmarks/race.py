"""Processes that take turns: each case is a race of ours and its peers; nobody drops out unsaid.

A contender that has no environment, dies, or takes too long leaves a `Failure` with the reason in
the place of an `Outcome`; the others run on.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WARM = 2  # as in shared/protocol.py
DROPPED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Settings for old processors that slow a current numpy, where a machine has them."""


@dataclass(frozen=True)
class Contender:
    """One process of a race.

    Attributes:
        name: as tables print it.
        script: below ``benchmarks/``.
        environment: the folder of `peers` whose locked environment runs it; None is our own.
        settings: what the script is told, beside the repeats.
    """

    name: str
    script: str
    environment: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a process measured and computed.

    Attributes:
        seconds: of each repeat that counts.
        first: seconds of the first turn, which holds compilation.
        peak_mib: the most memory it held.
        versions: of the libraries that matter.
        arrays: what it computed.
    """

    seconds: tuple[float, ...]
    first: float
    peak_mib: float
    versions: dict[str, str]
    arrays: dict[str, np.ndarray]

    @property
    def median(self) -> float:
        """The median of the repeats."""
        return median(self.seconds)

    @property
    def compilation(self) -> float:
        """What the first turn took beyond the median."""
        return max(0.0, self.first - self.median)


@dataclass(frozen=True)
class Failure:
    """Why a contender has no times."""

    reason: str


class _Process:
    """A contender that runs."""

    def __init__(
        self, contender: Contender, python: Path, inputs: Path, folder: Path, repeats: int
    ) -> None:
        self.outputs = folder / "outputs.npz"
        self.errors = folder / "stderr.txt"
        settings = json.dumps(contender.settings | {"repeats": repeats})
        script = HERE / contender.script
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [str(python), str(script), str(inputs), str(self.outputs), settings],
                env=environment(),
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.lines: queue.Queue[str] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.strip())
        self.lines.put("")

    def expect(self, word: str, patience: float) -> None:
        """Wait for a word, or raise with the reason that it did not come."""
        try:
            found = self.lines.get(timeout=patience)
        except queue.Empty:
            raise RuntimeError(f"took longer than {patience:.0f} s") from None
        if found != word:
            raise RuntimeError(self.reason())

    def turn(self, patience: float) -> None:
        """Let it run once."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except OSError:
            raise RuntimeError(self.reason()) from None
        self.expect("done", patience)

    def outcome(self, patience: float) -> Outcome:
        """What it wrote."""
        try:
            self.process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"took longer than {patience:.0f} s to end") from None
        if self.process.returncode or not self.outputs.is_file():
            raise RuntimeError(self.reason())
        with np.load(self.outputs) as file:
            arrays = {name: file[name] for name in file.files}
        seconds = arrays.pop("seconds").tolist()
        return Outcome(
            seconds=tuple(seconds[WARM:]),
            first=seconds[0],
            peak_mib=float(arrays.pop("peak_mib")),
            versions=json.loads(str(arrays.pop("versions"))),
            arrays=arrays,
        )

    def reason(self) -> str:
        """The last line that it wrote on standard error."""
        self.process.wait(timeout=30)
        lines = self.errors.read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1][:200] if said else f"ended with status {self.process.returncode}"

    def stop(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def race(
    contenders: Sequence[Contender],
    inputs: Path,
    folder: Path,
    *,
    environments: Path,
    repeats: int = 5,
    patience: float = 300.0,
) -> dict[str, Outcome | Failure]:
    """Run the contenders turn by turn on the same inputs.

    Args:
        contenders: in the order of their turns.
        inputs: an ``.npz``.
        folder: an empty one, for what they write.
        environments: where the peers' environments lie, one a folder.
        repeats: turns that count.
        patience: seconds that a turn, or the way to the first one, may take.
    """
    found: dict[str, Outcome | Failure] = {}
    running: dict[str, _Process] = {}
    try:
        for number, contender in enumerate(contenders):
            python = python_of(contender, environments)
            if not python.is_file():
                found[contender.name] = Failure(missing(contender, environments))
                continue
            own = folder / str(number)
            own.mkdir()
            running[contender.name] = _Process(contender, python, inputs, own, repeats)
        # everybody is ready before the first one runs
        for name in list(running):
            _attempt(name, running, found, lambda process: process.expect("ready", patience))
        for turn in range(WARM + repeats):
            for name in list(running):
                _attempt(name, running, found, lambda process: process.turn(patience))
                if turn < WARM + repeats - 1:
                    _attempt(
                        name, running, found, lambda process: process.expect("ready", patience)
                    )
        for name in list(running):
            found[name] = _attempt(name, running, found, lambda process: process.outcome(patience))
    finally:
        for process in running.values():
            process.stop()
    return {contender.name: found[contender.name] for contender in contenders}


def _attempt(
    name: str,
    running: dict[str, _Process],
    found: dict[str, Outcome | Failure],
    act: Callable[[_Process], Any],
) -> Any:
    """Let a process act; one that cannot is stopped, and the reason kept and returned."""
    if name not in running:
        return found[name]
    try:
        return act(running[name])
    except RuntimeError as error:
        found[name] = Failure(str(error))
        running.pop(name).stop()
        return found[name]


def python_of(contender: Contender, environments: Path) -> Path:
    """The interpreter that runs a contender."""
    if contender.environment is None:
        return Path(sys.executable)
    return environments / contender.environment / "bin" / "python"


def missing(contender: Contender, environments: Path) -> str:
    """Why there is no environment."""
    said = environments / f"{contender.environment}.failed"
    if said.is_file():
        lines = [line.strip() for line in said.read_text(encoding="utf-8").split("\n")]
        wrong = [line for line in lines if line.lower().startswith("error")]
        if wrong:
            return f"did not install: {wrong[0][:200]}"
    return "its environment is not there; make bench makes it"


def environment() -> dict[str, str]:
    """The variables of every process alike: all cores of this process, no old settings."""
    has = getattr(os, "sched_getaffinity", None)
    cores = str(len(has(0)) if has else os.cpu_count() or 1)
    kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return (
        kept
        | dict.fromkeys(threads, cores)
        | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE / "shared")]),
            "JAX_PLATFORMS": "cpu",
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_ENABLE_ONEDNN_OPTS": kept.get("TF_ENABLE_ONEDNN_OPTS", "1"),
        }
    )
