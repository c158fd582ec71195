"""What every process of the benchmark speaks: inputs, turns, outputs.

A process is started as ``python script.py inputs.npz outputs.npz SETTINGS``, SETTINGS a JSON
object. It loads, says ``ready``, and waits. Told ``go`` it runs once, by its own clock, and says
``done``; so that several processes of one case take turns, and a noisy moment of the machine falls
on all of them alike. The first turn holds compilation, the second warms up; the rest count. Then it
writes an ``.npz``: ``seconds`` of the turns, ``peak_mib``, ``versions``, and what it computed.

Needs numpy and the standard library alone, since each peer has an environment of its own.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WARM = 2
"""Turns that do not count: the one that compiles, and one more."""


class Turns:
    """The turns of this process: `take` runs a function in each of them.

    Where a library calls back after each epoch, `begin` opens the first turn and `next` closes one
    and opens another.
    """

    def __init__(self) -> None:
        # what a library prints must not come between: from here on it goes to standard error
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        inputs, self._outputs, settings = sys.argv[1:4]
        self.settings: dict[str, Any] = json.loads(settings)
        with np.load(inputs) as file:
            self.inputs = {name: file[name] for name in file.files}
        self.count = WARM + self.settings["repeats"]
        self.inner = self.settings.get("inner", 1)
        self.seconds: list[float] = []

    def begin(self) -> None:
        """Wait for the turn, and start the clock."""
        print("ready", file=self._out, flush=True)
        if sys.stdin.readline().strip() != "go":
            raise SystemExit("told to stop")
        self._start = time.perf_counter()

    def end(self) -> None:
        """Stop the clock."""
        self.seconds.append((time.perf_counter() - self._start) / self.inner)
        print("done", file=self._out, flush=True)

    def next(self, *_: Any, **__: Any) -> None:
        """Close this turn, and open the next one if there is any."""
        self.end()
        if len(self.seconds) < self.count:
            self.begin()

    def take(self, run: Callable[[], Any]) -> Any:
        """Run ``inner`` times in each turn; return the last result. The function must block."""
        result = None
        for _ in range(self.count):
            self.begin()
            for _ in range(self.inner):
                result = run()
            self.end()
        return result

    def finish(self, versions: dict[str, str], **results: Any) -> None:
        """Write the outputs."""
        np.savez(
            self._outputs,
            seconds=np.array(self.seconds),
            peak_mib=peak_mib(),
            versions=json.dumps(versions),
            **results,
        )


def peak_mib() -> float:
    """The most memory that this process held, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():
        # not ru_maxrss, which on Linux starts from what the parent process held
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)
