r"""What a training process holds in memory, by the size of the catalogue and the processes.

A catalogue's table of M vectors of width D, its gradient and AdamW's two moments are four arrays of
4 M D bytes. Cut by rows among P processes each holds a P-th of them, and a P-th of the batch's
logits (B / P, L, M). The rest (Python, JAX, the compiled program) is the same in each.

The processes are started on one machine and share its processors: their memory is what it would be
on P machines, their speed is not. The losses say whether it was the same training.
"""

import tempfile
from pathlib import Path

import numpy as np

from recflax.intervals import mean_over_seeds
from recflax.lessons.statements import Statement, column, sayer
from recflax.scale.local import Run, run_here
from recflax.scale.sharded_training import read_log

CATALOGUES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
PROCESSES = (1, 2, 4)
WIDTH, LENGTH, BATCH = 64, 4, 32
STEPS = 4


def table_bytes(n_items: int, processes: int = 1, arrays: int = 4) -> float:
    """Bytes of the table's arrays in each process, 4 M D times the arrays, over P.

    Args:
        n_items: M.
        processes: P.
        arrays: the table alone is one; with its gradient and AdamW's moments there are four.

    Example:
        >>> table_bytes(1_000_000, processes=4) / 1e6
        256.0
    """
    return 4.0 * n_items * WIDTH * arrays / processes


def trained(folder: Path, n_items: int, processes: int, seed: int, steps: int) -> Run:
    """Train on made-up histories, with one checkpoint at the end.

    Args:
        folder: of the run.
        n_items: M.
        processes: P.
        seed: of weights and order.
        steps: how many.

    Raises:
        RuntimeError: a process failed; the message is its own.
    """
    numbers = {
        "items": n_items,
        "width": WIDTH,
        "length": LENGTH,
        "batch": BATCH,
        "steps": steps,
        "save-every": steps,
        "seed": seed,
    }
    given = [f"--{name}={value}" for name, value in numbers.items()]
    found = run_here(folder, given, processes=processes)
    for process, ended in enumerate(found.ended):
        if ended.code:
            raise RuntimeError(f"process {process} of {processes} ended: {ended.err}")
    return found


def run(seed: int, size: int = 1_000) -> dict:
    """One training for each catalogue and each number of processes.

    Args:
        seed: of weights and order.
        size: thousands of items of the largest catalogue; `CATALOGUES` above it are left out.

    Returns:
        ``seed``, ``people`` (the size as given), and for M items and P processes ``gb_M_P``, the
        largest process's peak, and ``apart_M_P``, the largest difference between its losses and
        those of one process.

    Raises:
        ValueError: no size is left.
    """
    catalogues = [n_items for n_items in CATALOGUES if n_items <= 1_000 * size]
    if not catalogues:
        raise ValueError(f"size must be at least {CATALOGUES[0] // 1_000}; got {size}")
    row: dict = {"seed": seed, "people": size}
    for n_items in catalogues:
        for processes in PROCESSES:
            with tempfile.TemporaryDirectory() as home:
                found = trained(Path(home), n_items, processes, seed, STEPS)
                losses = np.array([line["loss"] for line in read_log(home)])
            if processes == 1:
                one = losses
            case = f"{n_items}_{processes}"
            row[f"gb_{case}"] = max(ended.peak_bytes for ended in found.ended) / 1e9
            row[f"apart_{case}"] = float(np.abs(losses - one).max())
    return row


def beyond(rows: list[dict], n_items: int, processes: int) -> np.ndarray:
    """GB that a process holds beyond what the same one holds with the smallest catalogue.

    Args:
        rows: of `run`.
        n_items: M.
        processes: P.
    """
    smallest = column(rows, f"gb_{CATALOGUES[0]}_{processes}")
    return column(rows, f"gb_{n_items}_{processes}") - smallest


def claims(rows: list[dict]) -> list[Statement]:
    """What is said of the rows: of losses and of memory, and nothing of seconds.

    Args:
        rows: of `run`, with the size 1,000.
    """
    say = sayer("processes", rows)
    largest = CATALOGUES[-1]
    apart = max(
        column(rows, f"apart_{n_items}_{processes}").max()
        for n_items in CATALOGUES
        for processes in PROCESSES
    )
    return [
        say(
            "same-training",
            "Two and four processes have the losses of one, for every catalogue: largest "
            "difference.",
            float(apart),
            at_most=1e-5,
            exact=True,
        ),
        *(
            say(
                f"memory-{word}",
                f"What a million products take in memory is divided among {word} processes: share "
                "of it that each holds.",
                mean_over_seeds(beyond(rows, largest, count) / beyond(rows, largest, 1)),
                at_most=bound,
            )
            for count, word, bound in ((2, "two", 0.6), (4, "four", 0.35))
        ),
    ]
