"""How much memory a piece of work takes at most."""

from __future__ import annotations

import os
import threading
from pathlib import Path

_STATM = Path("/proc/self/statm")  # where Linux writes the sizes of this process, in pages
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096  # bytes


class PeakMemory:
    """The most resident memory that the process holds within a block, above its start.

    A thread reads the size every five milliseconds, so a shorter peak may be missed. Memory that
    was freed before the block and is used again in it is not counted: the second of two equal
    pieces of work may show less. What the process frees meanwhile (Python's collector, another
    thread, a page that the system takes back) lowers the peak too.

    Attributes:
        peak_mb: Megabytes (10^6 bytes), at least 0; None where the system does not write its
            sizes as Linux does.

    Example:
        >>> with PeakMemory() as memory:
        ...     filled = bytearray(b"x") * 200_000_000
        >>> memory.peak_mb is None or memory.peak_mb > 100
        True
    """

    peak_mb: float | None = None

    def __enter__(self) -> PeakMemory:
        """Start to watch."""
        self._start = self._peak = resident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop, and keep the peak."""
        self._stop.set()
        self._thread.join()
        self._look()
        if self._start is not None and self._peak is not None:
            self.peak_mb = (self._peak - self._start) / 1e6

    def _watch(self) -> None:
        while self._start is not None and not self._stop.wait(0.005):
            self._look()

    def _look(self) -> None:
        now = resident()
        if now is not None and self._peak is not None:
            self._peak = max(self._peak, now)


def resident() -> int | None:
    """Return the bytes of memory that the process holds now, or None where that is not written.

    Example:
        >>> resident() is None or resident() > 10_000_000
        True
    """
    return int(_STATM.read_text().split()[1]) * _PAGE if _STATM.exists() else None
