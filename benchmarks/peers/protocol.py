"""What the peers share: sizes, data, how a step is timed, and how a result is handed back."""

import json
import time

import numpy as np

ITEMS, WIDTH, HEADS, LENGTH, BATCH = 10_000, 512, 8, 20, 64
REPEATS, STEPS = 5, 8


def sequences() -> tuple[np.ndarray, np.ndarray]:
    """One batch of histories (B, L) and the next item at every place (B, L), int32."""
    rng = np.random.default_rng(7)
    ids = rng.integers(0, ITEMS, (BATCH, LENGTH + 1), dtype=np.int32)
    return ids[:, :-1].copy(), ids[:, 1:].copy()


def matmul_shapes() -> list[tuple[int, int, int]]:
    """The three large products of a step, and a square one: the machine's rate is the best."""
    tokens = BATCH * LENGTH
    return [
        (tokens, WIDTH, ITEMS),
        (WIDTH, tokens, ITEMS),
        (tokens, ITEMS, WIDTH),
        (2048, 2048, 2048),
    ]


def measure(step) -> list[float]:
    """Seconds a step: five repeats of eight steps each, after three steps of warm-up."""
    for _ in range(3):
        step()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(STEPS):
            step()
        seconds.append((time.perf_counter() - start) / STEPS)
    return seconds


def report(seconds: dict, versions: dict, extra: dict | None = None) -> None:
    """Print one line of JSON: the orchestrator reads the last line of standard output."""
    print(json.dumps({"seconds": seconds, "versions": versions, **(extra or {})}))
