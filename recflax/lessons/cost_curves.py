r"""What a step of training costs as its sizes grow: counted, timed, and on paper.

Four sizes are moved, one at a time: the catalogue M, the length L, the width D and the batch B. A
slope on logarithmic axes says how operations and seconds grow (`recflax.lessons.training_step`
takes both). `on_paper` puts a count and a measured rate together for sizes that were not run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from recflax.inspect_model import step_cost
from recflax.lessons.training_step import (
    BATCH,
    Shape,
    numbers,
    step_operations,
    step_seconds,
    training_step,
)

SWEEPS: dict[str, tuple[Shape, ...]] = {
    "items": tuple(Shape(items=n) for n in (1_000, 4_000, 16_000, 64_000, 256_000)),
    "length": tuple(Shape(length=n, batch=BATCH // 4) for n in (16, 64, 256, 1_024)),
    "width": tuple(Shape(width=n) for n in (32, 128, 512, 1_024)),
    "batch": tuple(Shape(batch=n) for n in (8, 32, 128, 512, 2_048)),
}
"""The size that moves, and the steps that are timed, smallest first."""

EXPONENTS = {"items": 1, "length": 2, "width": 2, "batch": 1}
"""How the operations grow where the size that moves is large."""


def slope(sizes: Sequence[float], values: Sequence[float], last: int = 3) -> float:
    r"""The exponent of growth: the slope of :math:`\log y` on :math:`\log x` by least squares.

    Args:
        sizes: (n,) positive, ascending.
        values: (n,) positive.
        last: how many of the largest sizes count, at least 2.

    Raises:
        ValueError: shapes that differ, fewer than ``last`` points, sizes that do not ascend, or a
            number that is not positive.

    Example:
        >>> round(slope([1, 10, 20, 40], [5, 300, 1200, 4800]), 12)  # flat at first, then a square
        2.0
    """
    x, y = np.asarray(sizes, dtype=float), np.asarray(values, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"sizes and values must be vectors of one length; got {x.shape}, {y.shape}"
        )
    if not 2 <= last <= len(x):
        raise ValueError(f"last must be from 2 to {len(x)}; got {last}")
    if not ((x > 0).all() and (y > 0).all() and (np.diff(x) > 0).all()):
        raise ValueError(f"need positive values and ascending positive sizes; got {x}, {y}")
    return float(np.polyfit(np.log(x[-last:]), np.log(y[-last:]), 1)[0])


class OnPaper(NamedTuple):
    """A step that was not run.

    Attributes:
        table_bytes: the item vectors alone.
        state_bytes: all numbers, their gradients and AdamW's two moments: four times four bytes.
        logit_bytes: the logits of a batch.
        devices: how many devices of ``device_bytes`` hold state and logits.
        operations: of a step.
        step_seconds: on one machine of the measured rate.
        steps: that take each event once.
        days: for these steps, on that one machine.
    """

    table_bytes: float
    state_bytes: float
    logit_bytes: float
    devices: int
    operations: float
    step_seconds: float
    steps: int
    days: float


def on_paper(
    shape: Shape,
    *,
    events: float,
    operations_per_second: float,
    device_bytes: float = 80e9,
    negatives: int | None = None,
) -> OnPaper:
    """What a step of these sizes needs, and a pass over that many events, from a measured rate.

    Every event is the next item of one history, so a pass has events / B steps. With ``negatives``
    the softmax is over a sample that the whole batch shares, and only the rows of the table that
    the step looks up are updated: its operations are those of a step whose catalogue is these
    rows, and the table with its moments still has to lie somewhere.

    Args:
        shape: the sizes.
        events: how many there are, at least 1.
        operations_per_second: a measured rate: `step_operations` over `step_seconds`.
        device_bytes: memory of one device.
        negatives: how many items are sampled a step; None takes the whole catalogue.

    Raises:
        ValueError: a number that is not positive.

    Example:
        >>> need = on_paper(Shape(items=100_000_000), events=1e9, operations_per_second=1e12)
        >>> need.table_bytes / 1e9, need.steps, need.devices
        (25.6, 31250000, 2)
    """
    given = {
        "events": events,
        "operations_per_second": operations_per_second,
        "device_bytes": device_bytes,
        "negatives": 1 if negatives is None else negatives,
    }
    for name, value in given.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} must be positive and finite; got {value}")
    touched = shape.items
    if negatives is not None:
        touched = min(touched, negatives + shape.batch * (shape.length + 1))
    work = step_operations(replace(shape, items=touched))
    state, logits = 4.0 * 4 * numbers(shape), 4.0 * shape.batch * touched
    seconds, steps = work / operations_per_second, -int(-events // shape.batch)
    return OnPaper(
        table_bytes=4.0 * shape.items * shape.width,
        state_bytes=state,
        logit_bytes=logits,
        devices=-int(-(state + logits) // device_bytes),
        operations=float(work),
        step_seconds=seconds,
        steps=steps,
        days=seconds * steps / 86_400,
    )


def run(
    seed: int, size: int = BATCH, sweeps: Mapping[str, Sequence[Shape]] | None = None
) -> dict[str, float]:
    """One row: what a step takes in every setting, counted and timed. Use an idle machine.

    Args:
        seed: of the weights and histories; the number of the repetition, since nothing else of a
            clock's reading is random by design.
        size: histories a step (B) where neither batch nor length moves; where the length does, a
            quarter of it.
        sweeps: other settings than `SWEEPS`.

    Returns:
        ``seed``, ``people`` (the size), and for each setting ``sweep_value_operations``, as
        `step_operations` counts them; ``sweep_value_compiled``, as the compiler does, and
        ``sweep_value_bytes``, what it says is read and written
        (`recflax.inspect_model.step_cost`); and ``sweep_value_seconds``, the median.
    """
    row: dict[str, float] = {"seed": seed, "people": size}
    for moved, shapes in (SWEEPS if sweeps is None else sweeps).items():
        for shape in shapes:
            if moved != "batch":
                shape = replace(shape, batch=max(1, shape.batch * size // BATCH))
            name, step = f"{moved}_{getattr(shape, moved)}", training_step(shape)
            row[f"{name}_operations"] = step_operations(shape)
            cost = step_cost(step.function, *step.arguments)
            row[f"{name}_compiled"], row[f"{name}_bytes"] = cost.flops, cost.bytes_moved
            row[f"{name}_seconds"] = float(np.median(step_seconds(shape, seed=seed)))
    return row
