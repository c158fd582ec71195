r"""Evaluation: the whole catalogue is ranked for every person, and every mean has an interval.

`evaluate` takes scores and gives an `Evaluation`; `recflax.comparison` does so for several models
and puts them in one table. No sampled candidates are used: `recflax.sampled_metrics` shows why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recflax.estimates import Estimate
from recflax.intervals import mean_over_people, paired_difference
from recflax.metrics import (
    check_ranking,
    f1_at_k,
    hit_rate_at_k,
    mrr,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)

METRICS: dict[str, Callable[..., np.ndarray]] = {
    "precision": precision_at_k,
    "recall": recall_at_k,
    "f1": f1_at_k,
    "hit_rate": hit_rate_at_k,
    "ndcg": ndcg_at_k,
    "mrr": mrr,
}
"""The metrics by name; each is cut at k, the reciprocal rank too."""

_BLOCK = 1 << 22  # scores that are ranked at once


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well one model ranked the catalogue.

    Attributes:
        estimates: Name and k, such as ``"ndcg@10"``, to the mean over people with its interval.
        values: The same names to (B,) values of each person, NaN where nothing was relevant.
        people: (B,) person ids, one a row; a person may have several rows.
        n_evaluated: Rows with at least one relevant item: what the means are over.
        n_without: Rows without any, left out.
        fit_seconds: Wall time of fitting, compilation included, or None.
        score_seconds: Wall time of scoring everybody, or None.
        peak_mb: Megabytes (10^6 bytes) that the process held at most while the model was fitted
            and asked, above what it held before; None where that cannot be read.
    """

    estimates: dict[str, Estimate]
    values: dict[str, np.ndarray]
    people: np.ndarray
    n_evaluated: int
    n_without: int
    fit_seconds: float | None = None
    score_seconds: float | None = None
    peak_mb: float | None = None

    def __getitem__(self, name: str) -> Estimate:
        """Return the estimate of one metric, such as ``"ndcg@10"``."""
        if name not in self.estimates:
            raise KeyError(f"{name!r} is none of {sorted(self.estimates)}")
        return self.estimates[name]


def evaluate(
    scores: Any,
    relevant: Any,
    *,
    k: int = 10,
    where: Any = None,
    people: Any = None,
    metrics: tuple[str, ...] = ("ndcg", "recall"),
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Rank all columns of ``scores`` for each row, and average over people.

    The interval is a percentile bootstrap in which people, not rows, are drawn again.

    Args:
        scores: (B, M) higher is better.
        relevant: (B, M) bool, or grades of at least 0.
        k: Length of the list.
        where: (B, M) bool, the items that count (those *new* to the person, say); None counts all.
        people: (B,) whose row it is; None means that every row is another person.
        metrics: Names among `METRICS`.
        level: Coverage of the intervals.
        replicates: Draws of the bootstrap.
        seed: Seed of the bootstrap; two models with the same rows get the same draws.

    Raises:
        TypeError: As `recflax.metrics.precision_at_k`.
        ValueError: As there, an unknown metric, ``people`` of another length, or fewer than two
            people with a relevant item.

    Example:
        >>> result = evaluate([[3, 2, 1], [1, 2, 3]], [[1, 0, 0], [1, 0, 0]], k=1)
        >>> result["recall@1"].value, result.n_without
        (0.5, 0)
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        raise ValueError(f"metrics must be names among {tuple(METRICS)}; got {metrics}")
    check_ranking(scores, relevant, k, where)
    arrays = [np.asarray(a) for a in (scores, relevant, where) if a is not None]
    people = np.arange(len(arrays[0])) if people is None else np.asarray(people)
    if people.shape != (len(arrays[0]),):
        raise ValueError(f"people must have shape ({len(arrays[0])},); got {people.shape}")
    values = {f"{name}@{k}": _by_blocks(METRICS[name], k, *arrays) for name in metrics}
    kept = ~np.isnan(next(iter(values.values())))  # the same people for every metric
    count = int(kept.sum())
    if count < 2:
        raise ValueError(f"relevant must hold an item for at least two rows; it does for {count}")
    estimates = _estimates(values, people, kept, level, replicates, seed)
    return Evaluation(estimates, values, people, count, len(people) - count)


def average(
    evaluations: Sequence[Evaluation],
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Average one model over several fits: each person's value is the mean over the fits.

    What one random key gives is an accident; this is what the keys give on average. Seconds are
    means over the fits, and memory is the largest.

    Args:
        evaluations: One a fit, of the same rows and metrics.
        level: Coverage of the intervals, which are over people.
        replicates: Draws of the bootstrap.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: No evaluation, or not all of the same rows and metrics.

    Example:
        >>> right = evaluate([[2, 1], [1, 2]], [[1, 0], [0, 1]], k=1)
        >>> wrong = evaluate([[1, 2], [2, 1]], [[1, 0], [0, 1]], k=1)
        >>> average([right, wrong])["recall@1"].value
        0.5
    """
    if not evaluations:
        raise ValueError("evaluations must hold at least one fit")
    first = evaluations[0]
    for other in evaluations[1:]:
        if other.values.keys() != first.values.keys():
            raise ValueError("evaluations must be of the same metrics")
        difference(first, other, next(iter(first.values)))  # raises unless the rows are the same
    values = {
        name: np.mean([evaluation.values[name] for evaluation in evaluations], axis=0)
        for name in first.values
    }
    kept = ~np.isnan(next(iter(values.values())))

    def over_fits(name: str, summary: Callable[[list[float]], Any]) -> float | None:
        known = [getattr(evaluation, name) for evaluation in evaluations]
        return None if None in known else float(summary(known))

    return replace(
        first,
        estimates=_estimates(values, first.people, kept, level, replicates, seed),
        values=values,
        fit_seconds=over_fits("fit_seconds", np.mean),
        score_seconds=over_fits("score_seconds", np.mean),
        peak_mb=over_fits("peak_mb", np.max),
    )


def difference(first: Evaluation, second: Evaluation, name: str, level: float = 0.95) -> Estimate:
    """Return the mean over people of one metric of two models, first minus second, paired.

    Raises:
        KeyError: A metric that was not computed.
        ValueError: The two were not evaluated on the same rows.

    Example:
        >>> good = evaluate([[2, 1], [1, 2], [2, 1]], [[1, 0], [0, 1], [0, 1]], k=1)
        >>> flat = evaluate([[0, 0], [0, 0], [0, 0]], [[1, 0], [0, 1], [0, 1]], k=1)
        >>> round(difference(good, flat, "ndcg@1").value, 4)
        0.1667
    """
    first[name], second[name]
    one, other = first.values[name], second.values[name]
    same = np.array_equal(first.people, second.people)
    if not same or not np.array_equal(np.isnan(one), np.isnan(other)):
        raise ValueError("first and second must be evaluated on the same rows")
    kept = ~np.isnan(one)
    return paired_difference(one[kept], other[kept], first.people[kept], over="people", level=level)


def _estimates(
    values: Mapping[str, np.ndarray],
    people: np.ndarray,
    kept: np.ndarray,
    level: float,
    replicates: int,
    seed: int,
) -> dict[str, Estimate]:
    """The mean of each metric over the rows kept, with a bootstrap over people."""
    return {
        name: mean_over_people(
            value[kept],
            people[kept],
            level=level,
            method="bootstrap",
            replicates=replicates,
            seed=seed,
        )
        for name, value in values.items()
    }


def _by_blocks(metric: Callable[..., np.ndarray], k: int, *arrays: np.ndarray) -> np.ndarray:
    """Return (B,) values, a block of rows at a time, so that memory does not grow with B."""
    rows, columns = arrays[0].shape
    step = max(1, _BLOCK // columns)
    parts = [[array[start : start + step] for array in arrays] for start in range(0, rows, step)]
    return np.concatenate([metric(*part[:2], k, *part[2:]) for part in parts])
