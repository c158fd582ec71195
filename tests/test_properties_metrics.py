"""Permutation, padding, scaling and duplication: what metrics must not notice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recflax import metrics
from recflax.fairness import gini, item_exposure, unequal_attention
from recflax.intervals import mean_over_people, ratio_over_people

U = 5
METRICS = {
    "precision": metrics.precision_at_k,
    "recall": metrics.recall_at_k,
    "f1": metrics.f1_at_k,
    "hit": metrics.hit_rate_at_k,
    "ndcg": metrics.ndcg_at_k,
    "mrr": metrics.mrr,
}
every_metric = pytest.mark.parametrize("name", METRICS)
problems = st.tuples(st.integers(2, 11), st.integers(1, 12)).flatmap(
    lambda size: st.tuples(
        arrays(np.float64, (U, size[0]), elements=st.integers(-2, 2).map(float)),  # with ties
        arrays(np.int64, (U, size[0]), elements=st.integers(0, 2)),
        st.just(size[1]),
    )
)


@every_metric
@given(problem=problems, order=st.permutations(range(U)))
def test_permutation_of_people_permutes_their_values(name, problem, order):
    scores, grade, k = problem
    values = METRICS[name](scores, grade, k)
    np.testing.assert_array_equal(METRICS[name](scores[order], grade[order], k), values[order])


@every_metric
@given(problem=problems)
def test_duplication_of_everybody_leaves_the_mean_as_it_is(name, problem):
    scores, grade, k = problem
    once = METRICS[name](scores, grade, k)
    twice = METRICS[name](np.tile(scores, (2, 1)), np.tile(grade, (2, 1)), k)
    np.testing.assert_array_equal(twice, np.tile(once, 2))
    if not np.isnan(once).all():
        assert np.nanmean(twice) == pytest.approx(np.nanmean(once), rel=1e-12)


@every_metric
@given(problem=problems, scale=st.sampled_from([1e-3, 0.5, 3.0, 1e6]))
def test_scaling_of_scores_changes_nothing(name, problem, scale):
    scores, grade, k = problem
    np.testing.assert_array_equal(
        METRICS[name](scores * scale, grade, k), METRICS[name](scores, grade, k)
    )


@given(problem=problems, scale=st.integers(2, 9))
def test_scaling_of_linear_gains_changes_no_ndcg(problem, scale):
    scores, grade, k = problem
    np.testing.assert_allclose(
        metrics.ndcg_at_k(scores, grade * scale, k), metrics.ndcg_at_k(scores, grade, k), rtol=1e-12
    )


@every_metric
@given(problem=problems, more=st.integers(1, 4), score=st.sampled_from([-9.0, 0.0, 9.0]))
def test_padding_with_candidates_that_do_not_count_changes_nothing(name, problem, more, score):
    scores, grade, k = problem
    wider = np.pad(scores, ((0, 0), (0, more)), constant_values=score)
    relevant = np.pad(grade, ((0, 0), (0, more)), constant_values=1)
    where = np.arange(wider.shape[1]) < scores.shape[1]
    found = METRICS[name](wider, relevant, k, np.tile(where, (U, 1)))
    np.testing.assert_allclose(found, METRICS[name](scores, grade, k), rtol=1e-12)


@every_metric
@given(problem=problems, more=st.integers(1, 4))
def test_padding_with_candidates_below_all_others_changes_nothing(name, problem, more):
    """At k places or more of the others: then none of the new ones is listed."""
    scores, grade, k = problem
    k = min(k, scores.shape[1])
    wider = np.pad(scores, ((0, 0), (0, more)), constant_values=-9.0)
    relevant = np.pad(grade, ((0, 0), (0, more)))
    np.testing.assert_allclose(
        METRICS[name](wider, relevant, k), METRICS[name](scores, grade, k), rtol=1e-12
    )


@given(problem=problems, order=st.permutations(range(U)))
def test_permutation_and_duplication_of_people_leave_exposure_and_coverage(problem, order):
    scores, _, k = problem
    shown, covered = metrics.exposure(scores, k), metrics.coverage(scores, k)
    for same in (scores[order], np.tile(scores, (3, 1))):
        np.testing.assert_allclose(metrics.exposure(same, k), shown, rtol=1e-12, atol=1e-15)
    assert metrics.coverage(scores[order], k) == pytest.approx(covered, rel=1e-12)


amounts = arrays(np.float64, 7, elements=st.integers(0, 9).map(float)).filter(np.any)


@given(amounts, st.sampled_from([0.01, 3.0, 1e5]), st.permutations(range(7)))
def test_gini_under_scaling_permutation_and_duplication(values, scale, order):
    wanted = pytest.approx(gini(values), abs=1e-12)
    assert gini(values * scale) == wanted
    assert gini(values[order]) == wanted
    assert gini(np.tile(values, 3)) == wanted


@given(st.integers(0, 10_000), st.permutations(range(U)), st.sampled_from([0.01, 40.0]))
def test_exposure_of_a_policy_under_permutation_and_duplication_of_people(seed, order, scale):
    rng = np.random.default_rng(seed)
    policy, merit = rng.dirichlet(np.ones(4), U), rng.uniform(0.1, 2, 4)
    for same in (policy[order], np.tile(policy, (2, 1))):
        np.testing.assert_allclose(item_exposure(same), item_exposure(policy), rtol=1e-12)
    unfair = unequal_attention(policy, merit)
    assert unequal_attention(policy, merit * scale) == pytest.approx(unfair, abs=1e-12)


# ------------------------------------------------------------------------------- their intervals

rows = arrays(np.float64, 11, elements=st.integers(-9, 9).map(float))
people = arrays(np.int64, 11, elements=st.integers(0, 4)).filter(lambda x: len(set(x)) > 1)


@given(rows, people, st.permutations(range(11)), st.permutations(range(5)))
def test_intervals_under_permutation_of_rows_and_of_labels(values, person, order, labels):
    wanted = mean_over_people(values, person)
    moved = mean_over_people(values[order], np.array(labels)[person][order])
    assert moved.value == pytest.approx(wanted.value, abs=1e-12)
    assert moved.std_error == pytest.approx(wanted.std_error, abs=1e-12)


@given(rows, people)
def test_duplication_of_rows_within_people_is_no_new_evidence(values, person):
    wanted = mean_over_people(values, person)
    twice = mean_over_people(np.tile(values, 2), np.tile(person, 2))
    assert twice.value == pytest.approx(wanted.value, abs=1e-12)
    assert twice.std_error == pytest.approx(wanted.std_error, abs=1e-12)


@given(rows, people)
def test_duplication_of_people_divides_the_error_by_the_root_of_two(values, person):
    """But for G / (G - 1), the correction for few people, which 2 G have less of."""
    wanted = mean_over_people(values, person)
    twice = mean_over_people(np.tile(values, 2), np.concatenate([person, person + 5]))
    groups = len(set(person.tolist()))
    factor = np.sqrt((groups - 1) / (2 * groups - 1))
    assert twice.value == pytest.approx(wanted.value, abs=1e-12)
    assert twice.std_error == pytest.approx(factor * wanted.std_error, abs=1e-12)


@given(rows, people, st.sampled_from([0.5, 3.0, 1e4]))
def test_scaling_above_and_below_leaves_a_ratio_as_it_is(values, person, scale):
    parts = np.arange(1.0, 12.0)
    wanted = ratio_over_people(values, parts, person)
    found = ratio_over_people(values * scale, parts * scale, person)
    assert found.value == pytest.approx(wanted.value, abs=1e-12)
    assert found.std_error == pytest.approx(wanted.std_error, abs=1e-12)
