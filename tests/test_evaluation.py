"""Evaluation: people resampled, and one loop for all models."""

import math
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pytest

from recflax import resources
from recflax.baselines import BuyItAgain, Popularity
from recflax.comparison import compare, table
from recflax.data.logs import tiny_log
from recflax.evaluation import METRICS, average, difference, evaluate
from recflax.factorisation import MatrixFactorisation
from recflax.intervals import mean_over_people
from recflax.metrics import ndcg_at_k
from recflax.optimiser import TrainConfig


@pytest.fixture(scope="module")
def ranking():
    rng = np.random.default_rng(0)
    relevant = rng.random((101, 13)) < 0.2
    relevant[:7] = False
    return rng.normal(size=(101, 13)) + relevant, relevant


def test_means_are_those_of_the_metric_over_people_with_something_to_find(ranking):
    scores, relevant = ranking
    result = evaluate(scores, relevant, k=3, metrics=tuple(METRICS))
    kept = relevant.any(axis=1)
    for name, metric in METRICS.items():
        values = metric(scores, relevant, 3)[kept]
        assert result[f"{name}@3"].value == pytest.approx(values.mean(), rel=1e-12)
        np.testing.assert_array_equal(result.values[f"{name}@3"][kept], values)
    assert (result.n_evaluated, result.n_without) == (kept.sum(), (~kept).sum())
    assert result.n_without >= 7
    assert result["ndcg@3"].target == "people like them"


def test_the_interval_is_the_bootstrap_over_people(ranking):
    scores, relevant = ranking
    people = np.arange(101) // 3
    result = evaluate(scores, relevant, k=5, people=people, replicates=501, seed=3, level=0.9)
    kept = relevant.any(axis=1)
    values = ndcg_at_k(scores, relevant, 5)[kept]
    wanted = mean_over_people(
        values, people[kept], method="bootstrap", replicates=501, seed=3, level=0.9
    )
    assert result["ndcg@5"] == wanted
    assert evaluate(scores, relevant, k=5)["ndcg@5"] == evaluate(scores, relevant, k=5)["ndcg@5"]


def test_blocks_and_where_change_nothing_that_they_should_not(ranking, monkeypatch):
    scores, relevant = ranking
    where = np.random.default_rng(1).random(scores.shape) < 0.7
    whole = evaluate(scores, relevant, k=3, where=where)
    monkeypatch.setattr("recflax.evaluation._BLOCK", 13 * 7)
    assert evaluate(scores, relevant, k=3, where=where).estimates == whole.estimates
    assert whole["ndcg@3"].value == pytest.approx(
        np.nanmean(ndcg_at_k(scores, relevant & where, 3, where))
    )
    broken = scores.copy()
    broken[100, 2] = math.nan
    with pytest.raises(ValueError, match="person 100 has nan at candidate 2"):
        evaluate(broken, relevant)


def test_difference_is_paired(ranking):
    scores, relevant = ranking
    noisy = scores + np.random.default_rng(2).normal(0, 0.1, scores.shape)
    first, second = evaluate(scores, relevant, k=3), evaluate(noisy, relevant, k=3)
    apart = difference(first, second, "ndcg@3")
    assert apart.value == pytest.approx(first["ndcg@3"].value - second["ndcg@3"].value)
    assert apart.half_width < first["ndcg@3"].half_width
    with pytest.raises(KeyError, match="'ndcg@10' is none of"):
        difference(first, second, "ndcg@10")
    other = evaluate(scores[::-1], relevant[::-1], k=3)
    with pytest.raises(ValueError, match="must be evaluated on the same rows"):
        difference(first, other, "ndcg@3")


def test_an_average_over_fits_is_taken_person_by_person(ranking):
    scores, relevant = ranking
    fits = [
        evaluate(scores + noise, relevant, k=3, replicates=101)
        for noise in np.random.default_rng(3).normal(size=(3, *scores.shape))
    ]
    together = average(fits, replicates=101)
    each = np.array([fit.values["ndcg@3"] for fit in fits])
    np.testing.assert_allclose(together.values["ndcg@3"], each.mean(axis=0))
    assert together["ndcg@3"].value == pytest.approx(np.mean([fit["ndcg@3"].value for fit in fits]))
    kept = ~np.isnan(each[0])
    again = mean_over_people(
        each.mean(axis=0)[kept], np.arange(101)[kept], method="bootstrap", replicates=101
    )
    assert together["ndcg@3"] == again
    assert (together.n_evaluated, together.fit_seconds) == (fits[0].n_evaluated, None)
    assert average(fits[:1], replicates=101)["ndcg@3"] == fits[0]["ndcg@3"]


def test_an_average_refuses_what_is_not_the_same_task(ranking):
    scores, relevant = ranking
    one = evaluate(scores, relevant, k=3, replicates=11)
    with pytest.raises(ValueError, match="at least one fit"):
        average([])
    with pytest.raises(ValueError, match="same metrics"):
        average([one, evaluate(scores, relevant, k=2, replicates=11)])
    with pytest.raises(ValueError, match="same rows"):
        average([one, evaluate(scores[:90], relevant[:90], k=3, replicates=11)])


def test_seconds_are_averaged_and_memory_is_the_largest():
    relevant = np.array([[False, True, False], [True, False, False]])
    found = compare(
        {"one": Popularity(), "other": BuyItAgain()},
        [0, 1],
        relevant,
        log=tiny_log(),
        key=jax.random.key(0),
        replicates=11,
    )["all items"]
    one, other = found["one"], found["other"]
    together = average([one, other], replicates=11)
    assert together.fit_seconds == pytest.approx((one.fit_seconds + other.fit_seconds) / 2)
    assert together.score_seconds == pytest.approx((one.score_seconds + other.score_seconds) / 2)
    assert together.peak_mb == max(one.peak_mb, other.peak_mb)


def test_compare_fits_and_asks_every_model_alike():
    log = tiny_log()
    relevant = np.array([[True, True, False], [False, False, True]])
    owned = np.array([[True, False, False], [False, True, True]])
    models = {
        "popularity": Popularity(),
        "again": BuyItAgain(),
        "factors": MatrixFactorisation(width=2, train=TrainConfig(epochs=1, batch_size=1)),
    }
    relevant_new = relevant.copy()
    relevant_new[1, 0] = True
    said = []
    found = compare(
        models,
        [0, 1],
        relevant_new,
        log=log,
        where={"all items": None, "new items": ~owned},
        key=jax.random.key(0),
        k=2,
        replicates=11,
        on_model=lambda name, views: said.append((name, sorted(views))),
    )
    assert said == [(name, ["all items", "new items"]) for name in models]
    for name, model in models.items():
        scores = model.scores([0, 1])
        for view, where in (("all items", None), ("new items", ~owned)):
            result = found[view][name]
            again = evaluate(scores, relevant_new, where=where, k=2, replicates=11)
            assert result.estimates == again.estimates
            assert result.fit_seconds > 0
            assert result.score_seconds > 0
            assert result.peak_mb is None or result.peak_mb >= 0
    fitted = compare(models, [0, 1], relevant, k=2, replicates=11)["all items"]
    assert fitted["again"].fit_seconds is None
    with pytest.raises(ValueError, match="fitting on a log needs a key"):
        compare(models, [0, 1], relevant, log=log)


def test_a_table_for_a_page(ranking):
    scores, relevant = ranking
    result = evaluate(scores, relevant, k=3)
    found = compare(
        {"again": BuyItAgain()}, [0, 1], np.eye(3)[:2], log=tiny_log(), key=jax.random.key(0), k=3
    )["all items"]["again"]
    frame = table({"one": result, "two": found}, decimals=2)
    assert isinstance(frame, pd.DataFrame)
    assert frame.loc["one", "ndcg@3"] == result["ndcg@3"].with_interval(2)
    assert frame.loc["one", "fit (s)"] == ""
    assert float(frame.loc["two", "fit (s)"]) >= 0
    with pytest.raises(ValueError, match="'two' has the metrics"):
        table({"one": result, "two": evaluate(scores, relevant, k=5)})
    with pytest.raises(ValueError, match="at least one model"):
        table({})


_ARRAYS = """
import time
import numpy as np
from recflax.resources import PeakMemory

with PeakMemory() as memory:
    arrays = [np.full(8_000_000, 1.0) for _ in range(3)]
    time.sleep(0.5)  # it is looked at from time to time, and a busy machine looks late
    del arrays
print(memory.peak_mb)
"""


def test_peak_memory_sees_arrays_that_are_gone_again(monkeypatch):
    # in a process of its own: beside other tests, memory that they free meanwhile would count
    run = subprocess.run(
        [sys.executable, "-c", _ARRAYS], capture_output=True, text=True, check=True
    )
    peak = run.stdout.strip()
    assert peak == "None" or 3 * 64 - 10 < float(peak) < 3 * 64 + 40  # 8 bytes a number
    monkeypatch.setattr(resources, "_STATM", resources._STATM / "nowhere")
    with resources.PeakMemory() as memory:
        pass
    assert memory.peak_mb is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": ("ndcg", "auc")}, "metrics must be names among"),
        ({"metrics": ()}, "metrics must be names among"),
        ({"people": [1, 2]}, r"people must have shape \(101,\); got \(2,\)"),
        ({"k": 0}, "k must be at least 1; got 0"),
        ({"where": np.ones((202, 13), dtype=bool)}, "where must have the shape of scores"),
        ({"where": np.zeros((101, 13), dtype=bool)}, "at least two rows; it does for 0"),
    ],
)
def test_arguments_are_checked(ranking, change, message):
    with pytest.raises(ValueError, match=message):
        evaluate(*ranking, **change)
