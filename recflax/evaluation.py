r"""Evaluation: the whole catalogue is ranked for every person, and every mean has an interval.

`evaluate` takes scores, `compare` takes models, and both give an `Evaluation`; `table` puts several
side by side for a page. No sampled candidates are used: `recflax.sampled_metrics` shows why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import jax
import numpy as np
import pandas as pd

from recflax.data.logs import Log
from recflax.estimates import Estimate, mean_over_people, paired_difference
from recflax.metrics import (
    check_ranking,
    f1_at_k,
    hit_rate_at_k,
    mrr,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)
from recflax.resources import PeakMemory

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


class Model(Protocol):
    """What can be compared: every baseline, and the networks behind the same door."""

    def fit(self, log: Log, *, key: Any) -> Any:
        """Learn from a log."""
        ...

    def scores(self, people: Any, candidates: Any = None) -> np.ndarray:
        """Return (B, M) scores for people (B,)."""
        ...


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


def compare(
    models: Mapping[str, Model],
    people: Any,
    relevant: Any,
    *,
    log: Log | None = None,
    where: Mapping[str, Any] | None = None,
    key: jax.Array | None = None,
    on_model: Callable[[str, dict[str, Evaluation]], None] | None = None,
    **options: Any,
) -> dict[str, dict[str, Evaluation]]:
    """Fit each model, rank the catalogue for the same people, and measure time and memory.

    Args:
        models: Name to model.
        people: (B,) person ids.
        relevant: (B, M) bool, or grades.
        log: What each is fitted on; None takes the models as they are.
        where: Name of a view to the items that count in it, (B, M) bool or None, such as
            ``{"all items": None, "new items": ~owned}``. Scores are computed once for all views.
        key: A random key; each model gets one of its own.
        on_model: Called after each model with its name and evaluations, for progress.
        **options: Options of `evaluate`.

    Returns:
        Name of the view to name of the model to `Evaluation`.

    Raises:
        ValueError: As `evaluate`, or a log without a key.

    Example:
        >>> from recflax.baselines import ItemCF, Popularity
        >>> from recflax.data.logs import tiny_log
        >>> models = {"popularity": Popularity(), "item-based CF": ItemCF()}
        >>> relevant = np.array([[False, True, False], [True, False, False]])
        >>> found = compare(models, [0, 1], relevant, log=tiny_log(), key=jax.random.key(0), k=1)
        >>> found["all items"]["popularity"]["recall@1"].value
        0.5
    """
    if log is not None and key is None:
        raise ValueError("fitting on a log needs a key")
    keys = list(jax.random.split(jax.random.key(0) if key is None else key, len(models)))
    views = {"all items": None} if where is None else dict(where)
    found: dict[str, dict[str, Evaluation]] = {view: {} for view in views}
    for number, (name, model) in enumerate(models.items()):
        with PeakMemory() as memory:
            start = time.perf_counter()
            if log is not None:
                model.fit(log, key=keys[number])
            middle = time.perf_counter()
            scores = model.scores(people)
            end = time.perf_counter()
        for view, counts in views.items():
            result = evaluate(scores, relevant, where=counts, people=people, **options)
            found[view][name] = replace(
                result,
                fit_seconds=None if log is None else middle - start,
                score_seconds=end - middle,
                peak_mb=memory.peak_mb,
            )
        if on_model is not None:
            on_model(name, {view: found[view][name] for view in views})
    return found


def table(evaluations: Mapping[str, Evaluation], *, decimals: int = 3) -> pd.DataFrame:
    """Return one row a model for a page: ``'.278 [.262, .294]'``, times and memory.

    Args:
        evaluations: Name of the model to its `Evaluation`, all of the same metrics.
        decimals: Decimals of the metrics.

    Raises:
        ValueError: No evaluation, or not all have the same metrics.

    Example:
        >>> result = evaluate([[3, 2, 1], [3, 2, 1]], [[1, 0, 0], [1, 0, 0]], k=2)
        >>> print(table({"good": result}).to_string())
                       ndcg@2           recall@2
        good  1.000 [1.000, 1.000]  1.000 [1.000, 1.000]
    """
    if not evaluations:
        raise ValueError("evaluations must hold at least one model")
    rows = {}
    names = list(next(iter(evaluations.values())).estimates)
    for model, result in evaluations.items():
        if list(result.estimates) != names:
            raise ValueError(f"{model!r} has the metrics {list(result.estimates)}, not {names}")
        row = {name: result[name].with_interval(decimals) for name in names}
        resources = {
            "fit (s)": (result.fit_seconds, ".1f"),
            "score (s)": (result.score_seconds, ".1f"),
            "memory (MB)": (result.peak_mb, ".0f"),
        }
        row |= {
            what: format(value, spec)
            for what, (value, spec) in resources.items()
            if value is not None
        }
        rows[model] = row
    return pd.DataFrame.from_dict(rows, orient="index").fillna("")


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
