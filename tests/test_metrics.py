"""Metrics against scikit-learn, rax, all permutations of the ties, and arithmetic by hand."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest
import rax
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import ndcg_score

from recflax.metrics import (
    coverage,
    exposure,
    f1_at_k,
    hit_rate_at_k,
    mrr,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)

METRICS = {
    "precision": precision_at_k,
    "recall": recall_at_k,
    "f1": f1_at_k,
    "hit": hit_rate_at_k,
    "ndcg": ndcg_at_k,
    "mrr": mrr,
}


def one_order(grade, k):
    """Every metric of one list of grades in its final order: plain Python, place by place."""
    hits = sum(g > 0 for g in grade[:k])
    count = sum(g > 0 for g in grade)
    precision, recall = hits / k, hits / count
    ranks = [place + 1 for place, g in enumerate(grade) if g > 0 and place < k]
    best = sorted(grade, reverse=True)

    def dcg(of):
        return sum(g / math.log2(place + 2) for place, g in enumerate(of[:k]))

    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
        "hit": float(hits > 0),
        "ndcg": dcg(grade) / dcg(best),
        "mrr": 1 / ranks[0] if ranks else 0.0,
    }


def brute_force(scores, grade, k, where):
    """The mean over all orders of the candidates that respect the scores."""
    kept = [j for j in range(len(scores)) if where[j]]
    found = []
    for order in itertools.permutations(kept):
        ordered = [scores[j] for j in order]
        if ordered == sorted(ordered, reverse=True):
            found.append(one_order([grade[j] for j in order], k))
    return {name: np.mean([values[name] for values in found]) for name in METRICS}


@pytest.mark.parametrize("k", [1, 2, 3, 5, 11])
def test_every_metric_is_the_mean_over_all_orders_of_the_ties(k):
    rng = np.random.default_rng(k)
    scores = rng.integers(0, 3, (13, 7)).astype(float)
    scores[0] = 1.0
    scores[1, :3] = -np.inf
    where = rng.random((13, 7)) < 0.8
    where[0] = True
    grade = rng.integers(0, 3, (13, 7)) * (rng.random((13, 7)) < 0.6)
    where[:, 5], grade[:, 5] = True, 1
    grade[2], where[2] = [0, 0, 2, 0, 0, 0, 0], [True, True, True, False, False, False, False]
    expected = [brute_force(*row) for row in zip(scores, grade, [k] * 13, where, strict=True)]
    for name, metric in METRICS.items():
        wanted = [row[name] for row in expected]
        np.testing.assert_allclose(
            metric(scores, grade, k, where), wanted, rtol=1e-12, atol=1e-14, err_msg=name
        )


@pytest.mark.parametrize("k", [1, 5, 11, 23])
@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_ndcg_is_scikit_learns_with_ties_averaged(k, levels):
    rng = np.random.default_rng(levels)
    scores, grade = rng.integers(0, levels, (17, 23)), rng.integers(0, 4, (17, 23))
    ours = ndcg_at_k(scores, grade, k)
    one_each = [
        ndcg_score(row[None], s[None], k=k, ignore_ties=False)
        for row, s in zip(grade, scores, strict=True)
    ]
    np.testing.assert_allclose(ours, one_each, rtol=1e-12)
    powers = ndcg_at_k(scores, grade, k, gain="exp2")
    assert powers.mean() == pytest.approx(ndcg_score(2.0**grade - 1, scores, k=k), rel=1e-12)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_without_ties_rax_says_the_same(k):
    rng = np.random.default_rng(k)
    scores = rng.permuted(np.tile(np.arange(13.0), (11, 1)), axis=1).astype(np.float32)
    relevant = rng.random((11, 13)) < 0.3
    relevant[:, 0] = True
    where = rng.random((11, 13)) < 0.7
    where[:, 0] = True
    second = {
        "precision": rax.precision_metric,
        "recall": rax.recall_metric,
        "ndcg": rax.ndcg_metric,
        "mrr": rax.mrr_metric,
    }
    for name, metric in second.items():
        wanted = metric(
            jnp.asarray(scores),
            jnp.asarray(relevant, dtype=jnp.float32),
            where=jnp.asarray(where),
            topn=k,
            reduce_fn=None,
        )
        ours = METRICS[name](scores, relevant, k, where)
        if name == "precision":  # rax divides by the places that can be filled, we by k
            ours = ours * k / np.minimum(where.sum(axis=1), k)
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, err_msg=name)


def test_values_by_hand():
    scores = [[0.9, 0.7, 0.5, 0.3, 0.1]]
    relevant = [[False, True, False, True, True]]
    assert precision_at_k(scores, relevant, 3) == pytest.approx([1 / 3])
    assert recall_at_k(scores, relevant, 3) == pytest.approx([1 / 3])
    assert f1_at_k(scores, relevant, 2) == pytest.approx([2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3)])
    assert hit_rate_at_k(scores, relevant, 1) == pytest.approx([0.0])
    assert mrr(scores, relevant) == pytest.approx([1 / 2])
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    wanted = (1 / math.log2(3) + 1 / math.log2(5)) / ideal
    assert ndcg_at_k(scores, relevant, 4) == pytest.approx([wanted])
    assert ndcg_at_k(scores, relevant, 2) == pytest.approx(
        [1 / math.log2(3) / (1 + 1 / math.log2(3))]
    )


def test_graded_gains_by_hand():
    scores, grade = [[2.0, 1.0]], [[1, 3]]
    linear = (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))
    powers = (1 + 7 / math.log2(3)) / (7 + 1 / math.log2(3))
    assert ndcg_at_k(scores, grade, 2) == pytest.approx([linear])
    assert ndcg_at_k(scores, grade, 2, gain="exp2") == pytest.approx([powers])


def test_a_constant_model_earns_what_chance_earns():
    scores, relevant = np.zeros((2, 13)), np.zeros((2, 13), dtype=bool)
    relevant[:, :3] = True
    k = 5
    assert precision_at_k(scores, relevant, k) == pytest.approx([3 / 13] * 2)
    assert recall_at_k(scores, relevant, k) == pytest.approx([5 / 13] * 2)
    missed = math.comb(10, 5) / math.comb(13, 5)
    assert hit_rate_at_k(scores, relevant, k) == pytest.approx([1 - missed] * 2)
    first = [math.comb(13 - x, 2) / math.comb(13, 3) / x for x in range(1, 12)]
    assert mrr(scores, relevant) == pytest.approx([sum(first)] * 2)
    assert mrr(scores, relevant, 2) == pytest.approx([sum(first[:2])] * 2)


def test_large_groups_of_ties_stay_exact():
    scores, relevant = np.zeros((1, 4001)), np.zeros((1, 4001), dtype=bool)
    relevant[0, :2] = True
    assert hit_rate_at_k(scores, relevant, 10)[0] == pytest.approx(
        1 - math.comb(3999, 10) / math.comb(4001, 10), rel=1e-8
    )
    exact = sum(math.comb(4001 - x, 1) / math.comb(4001, 2) / x for x in range(1, 4001))
    assert mrr(scores, relevant)[0] == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("name", METRICS)
def test_nobody_to_find_gives_nan_for_that_person_only(name):
    scores = np.arange(15.0).reshape(3, 5)
    relevant = np.zeros((3, 5), dtype=bool)
    relevant[0, 4] = relevant[1, 2] = True
    where = np.ones((3, 5), dtype=bool)
    where[1, 2] = False
    values = METRICS[name](scores, relevant, 2, where)
    assert np.isnan(values).tolist() == [False, True, True]
    assert METRICS[name](scores, relevant, 2).shape == (3,)
    assert values[0] == {"precision": 1 / 2, "f1": 2 / 3}.get(name, 1.0)


@pytest.mark.parametrize("name", METRICS)
def test_a_candidate_that_does_not_count_is_as_if_it_were_not_there(name):
    rng = np.random.default_rng(5)
    scores, relevant = rng.integers(0, 4, (7, 11)), rng.random((7, 11)) < 0.4
    relevant[:, 10] = True
    where = np.ones((7, 11), dtype=bool)
    where[:, 2:5] = False
    there = [0, 1, *range(5, 11)]
    np.testing.assert_allclose(
        METRICS[name](scores, relevant, 3, where),
        METRICS[name](scores[:, there], relevant[:, there], 3),
        rtol=1e-13,
    )


@pytest.mark.parametrize("name", METRICS)
def test_k_above_the_catalogue(name):
    scores, relevant = [[1.0, 3.0, 2.0]], [[True, False, True]]
    wanted = {
        "precision": 2 / 7,
        "recall": 1.0,
        "f1": 4 / (7 + 2),
        "hit": 1.0,
        "ndcg": (1 / math.log2(3) + 1 / math.log2(4)) / (1 + 1 / math.log2(3)),
        "mrr": 1 / 2,
    }
    assert METRICS[name](scores, relevant, 7) == pytest.approx([wanted[name]])


problems = st.integers(1, 13).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, (3, n), elements=st.integers(-3, 3).map(float)),
        arrays(np.int64, (3, n), elements=st.integers(0, 3)),
        st.integers(1, 15),
        st.permutations(range(n)),
    )
)


@given(problems)
def test_order_of_columns_and_monotone_scores_change_nothing(problem):
    scores, grade, k, order = problem
    for metric in METRICS.values():
        values = metric(scores, grade, k)
        np.testing.assert_allclose(metric(scores[:, order], grade[:, order], k), values, rtol=1e-12)
        np.testing.assert_allclose(metric(np.exp(scores) - 5, grade, k), values, rtol=1e-12)
        assert np.isnan(values).tolist() == (~(grade > 0).any(axis=1)).tolist()
        seen = values[~np.isnan(values)]
        assert (seen >= 0).all()
        assert (seen <= 1 + 1e-12).all()


@given(problems)
def test_a_constant_model_is_perfect_only_where_nothing_can_be_wrong(problem):
    scores, grade, k, _ = problem
    flat = np.zeros_like(scores)
    perfect = ndcg_at_k(grade.astype(float), grade, k)
    constant = ndcg_at_k(flat, grade, k)
    for row in np.flatnonzero((grade > 0).any(axis=1)):
        assert perfect[row] == pytest.approx(1.0)
        if len(set(grade[row].tolist())) > 1:
            assert constant[row] < 1.0
        if not (grade[row] > 0).all():
            assert mrr(flat, grade)[row] < 1.0


@given(problems)
def test_recall_grows_with_k_and_hits_agree(problem):
    scores, grade, k, _ = problem
    hits = precision_at_k(scores, grade, k) * k
    np.testing.assert_allclose(
        recall_at_k(scores, grade, k) * np.maximum((grade > 0).sum(axis=1), 1), hits, atol=1e-12
    )
    longer = recall_at_k(scores, grade, k + 1) - recall_at_k(scores, grade, k)
    assert (longer[~np.isnan(longer)] >= -1e-12).all()
    assert (hits[~np.isnan(hits)] >= hit_rate_at_k(scores, grade, k)[~np.isnan(hits)] - 1e-9).all()


def test_exposure_and_coverage_by_hand():
    scores = np.array([[3.0, 2.0, 1.0, 0.0], [3.0, 1.0, 1.0, 0.0]])
    np.testing.assert_allclose(exposure(scores, 2), [2 / 4, 1.5 / 4, 0.5 / 4, 0])
    assert coverage(scores, 2) == pytest.approx((1 + 1 + 1 / 2 + 0) / 4)
    both_by_lot = np.array([[1.0, 1.0, 1.0]] * 2)
    assert coverage(both_by_lot, 1) == pytest.approx(1 - (2 / 3) ** 2)
    where = np.array([[False, True, False, False], [True, True, True, True]])
    np.testing.assert_allclose(exposure(scores, 2, where), [1 / 3, 1.5 / 3, 0.5 / 3, 0])


def test_exposure_sums_to_one_and_popular_lists_cover_little():
    scores = np.random.default_rng(3).normal(size=(17, 31))
    assert exposure(scores, 5).sum() == pytest.approx(1.0)
    assert coverage(np.tile(scores[0], (17, 1)), 5) == pytest.approx(5 / 31)
    assert coverage(scores, 31) == 1.0


def test_float32_keeps_its_ties():
    scores = np.array([[0.1, 0.1, 0.2]], dtype=np.float32)
    assert mrr(scores, [[True, False, False]]) == pytest.approx([(1 / 2 + 1 / 3) / 2])
    assert mrr(jnp.asarray(scores), [[True, False, False]]) == pytest.approx([5 / 12])


@pytest.mark.parametrize("name", METRICS)
def test_arguments_are_checked(name):
    metric = METRICS[name]
    good, yes = [[1.0, 2.0]], [[True, False]]
    with pytest.raises(ValueError, match="scores must not be NaN; person 0 has nan at candidate 1"):
        metric([[1.0, math.nan]], yes, 1)
    with pytest.raises(ValueError, match="relevant must be finite and at least 0; person 0 has -1"):
        metric(good, [[-1, 1]], 1)
    with pytest.raises(
        ValueError, match="relevant must be finite and at least 0; person 0 has nan"
    ):
        metric(good, [[math.nan, 1.0]], 1)
    with pytest.raises(ValueError, match=r"relevant must have the shape of scores, \(1, 2\)"):
        metric(good, [[True], [False]], 1)
    with pytest.raises(
        ValueError, match=r"scores must have shape \(B, N\), N at least 1; got \(2,\)"
    ):
        metric([1.0, 2.0], yes, 1)
    with pytest.raises(TypeError, match="scores must hold numbers"):
        metric([["a", "b"]], yes, 1)
    with pytest.raises(TypeError, match="where must hold booleans, not int64"):
        metric(good, yes, 1, [[1, 0]])
    with pytest.raises(ValueError, match=r"where must have the shape of scores"):
        metric(good, yes, 1, [[True]])
    with pytest.raises(ValueError, match="k must be at least 1; got 0"):
        metric(good, yes, 0)
    with pytest.raises(TypeError, match="k must be an integer, not float"):
        metric(good, yes, 1.0)


def test_unknown_gain_and_nobody_to_show():
    with pytest.raises(ValueError, match="gain must be one of"):
        ndcg_at_k([[1.0]], [[True]], 1, gain="log")
    with pytest.raises(ValueError, match="where leaves no candidate"):
        exposure([[1.0]], 1, [[False]])
