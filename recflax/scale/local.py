"""Several processes of the training program on this machine, to try what a cluster would do.

`run_here` starts `recflax.scale.processes` as often as asked for, kills one of them where that is
wanted, waits for all, and says how each ended and what it used. They share the processors of the
machine, so that nothing is faster; each has its own memory.
"""

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from recflax.claims import peak_memory
from recflax.scale.sharded_training import LOG

_ROOT = Path(__file__).resolve().parents[2]
_LOOK_EVERY = 0.02  # seconds


class Ended(NamedTuple):
    """How one process ended.

    Attributes:
        code: 0 if all went well; below 0 the signal that killed it.
        out: what it printed.
        err: what it wrote to standard error.
        cpu_seconds: of all its threads; NaN where the system does not say.
        peak_bytes: the most memory that it held, looked at every 20 ms; 0 where the system does
            not say.
    """

    code: int
    out: str
    err: str
    cpu_seconds: float
    peak_bytes: float


class Run(NamedTuple):
    """What came of it.

    Attributes:
        ended: one for each process, by its number.
        seconds: from the start to each line of the log, as seen from outside; the lines before a
            checkpoint are there as soon as the run goes on.
    """

    ended: list[Ended]
    seconds: list[float]


def free_port(low: int = 20_000, high: int = 32_000) -> int:
    """A port of this machine that nobody listens on.

    Args:
        low: the lowest.
        high: the end; connections are given theirs from 32,768 on, under Linux.

    Example:
        >>> 20_000 <= free_port() < 32_000
        True
    """
    while True:
        port = random.SystemRandom().randrange(low, high)
        with socket.socket() as found:
            if found.connect_ex(("localhost", port)):
                return port


def run_here(
    folder: str | Path,
    arguments: Sequence[str] = (),
    *,
    processes: int = 1,
    kill: tuple[int, int] | None = None,
    limit: float = 600.0,
) -> Run:
    """Run the training program on this machine's processors, and wait until all have ended.

    Args:
        folder: of the run.
        arguments: of `recflax.scale.processes`, but for the folder and the processes.
        processes: how many.
        kill: a process and a step: as soon as the log holds the step, that process is killed.
        limit: seconds; whoever still runs then is killed.

    Returns:
        How each process ended, and when each line of the log was there.

    Raises:
        ValueError: ``processes`` or ``limit`` is not above 0, or there is no process of the number
            that is to be killed.

    Example:
        >>> run_here("no/such/folder", processes=2, kill=(2, 5))
        Traceback (most recent call last):
        ...
        ValueError: kill must name a process from 0 to 1; got 2
    """
    if processes < 1 or not limit > 0:
        raise ValueError(f"processes and limit must be above 0; got {processes} and {limit}")
    if kill is not None and not 0 <= kill[0] < processes:
        raise ValueError(f"kill must name a process from 0 to {processes - 1}; got {kill[0]}")
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    command = [sys.executable, "-m", "recflax.scale.processes", "--folder", str(folder), *arguments]
    where = [f"--coordinator=localhost:{free_port()}", f"--processes={processes}"]
    log = Path(folder) / LOG
    old = _inode(log)
    with tempfile.TemporaryDirectory() as words:
        started = []
        for number in range(processes):
            own = [*where, f"--process={number}"] if processes > 1 else []
            with (
                (Path(words) / f"{number}.out").open("w") as out,
                (Path(words) / f"{number}.err").open("w") as err,
            ):
                started.append(
                    subprocess.Popen([*command, *own], env=environment, stdout=out, stderr=err)
                )
        try:
            seconds, used = _watch(started, log, old, kill, limit)
        finally:
            for one in started:
                if one.returncode is None:
                    one.kill()
                    one.wait()
        said = [
            [(Path(words) / f"{number}.{kind}").read_text() for kind in ("out", "err")]
            for number in range(processes)
        ]
    ended = [
        Ended(one.returncode, out, err, *used[number])
        for number, (one, (out, err)) in enumerate(zip(started, said, strict=True))
    ]
    return Run(ended, seconds)


def _inode(log: Path) -> int | None:
    """Which file a log is; every start of the program makes a new one."""
    return log.stat().st_ino if log.is_file() else None


def _watch(
    started: list[subprocess.Popen],
    log: Path,
    old: int | None,
    kill: tuple[int, int] | None,
    limit: float,
) -> tuple[list[float], dict[int, list[float]]]:
    """Look again and again, until nobody runs: when lines came, and what each process used."""
    start = time.monotonic()
    seconds: list[float] = []
    used = {number: [float("nan"), 0.0] for number in range(len(started))}
    while True:
        running = [number for number, one in enumerate(started) if one.returncode is None]
        now = time.monotonic() - start
        lines = 0 if _inode(log) in (None, old) else log.read_bytes().count(b"\n")
        seconds += [now] * (lines - len(seconds))
        if kill is not None and lines >= kill[1]:
            started[kill[0]].kill()
            kill = None
        for number in running:
            if now > limit:
                started[number].kill()
            used[number][1] = max(used[number][1], peak_memory(started[number].pid))
            used[number][0] = _end(started[number])
        if not running:
            return seconds, used
        time.sleep(_LOOK_EVERY)


def _end(one: subprocess.Popen) -> float:
    """Set the return code of a process that has ended, and say its processor time; else NaN."""
    # Windows has no wait4; and a signal that comes too late finds out the code by itself
    if one.returncode is not None or not hasattr(os, "wait4"):
        one.poll()
        return float("nan")
    process, status, usage = os.wait4(one.pid, os.WNOHANG)
    if process == 0:
        return float("nan")
    one.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime
