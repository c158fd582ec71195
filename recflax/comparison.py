"""Several models side by side: fitted and asked in one loop, measured, and put in one table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import jax
import numpy as np
import pandas as pd

from recflax.data.logs import Log
from recflax.evaluation import Evaluation, evaluate
from recflax.resources import PeakMemory


class Model(Protocol):
    """What can be compared: every baseline, and the networks behind the same door."""

    def fit(self, log: Log, *, key: Any) -> Any:
        """Learn from a log."""
        ...

    def scores(self, people: Any, candidates: Any = None) -> np.ndarray:
        """Return (B, M) scores for people (B,)."""
        ...


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
