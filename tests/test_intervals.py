"""Intervals against scipy, by hand, and by how often they cover what they are about."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recflax.intervals import (
    mean_over_people,
    mean_over_seeds,
    paired_difference,
    prediction_interval,
    ratio_over_people,
)

numbers = st.lists(st.floats(-100, 100), min_size=2, max_size=13)


def test_mean_over_seeds_is_scipys_t_interval():
    values = np.random.default_rng(1).normal(3.0, 2.0, 11)
    estimate = mean_over_seeds(values, level=0.9)
    t = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    assert (estimate.lower, estimate.upper) == pytest.approx((t.low, t.high), rel=1e-12)
    assert estimate.std_error == pytest.approx(stats.sem(values), rel=1e-12)
    assert (estimate.target, estimate.level) == ("stores", 0.9)


def test_a_t_interval_by_hand():
    # mean 2, s = 1, n = 3; the 97.5% quantile of t with 2 degrees of freedom has a closed form.
    t = 2 * (0.975 - 0.5) * math.sqrt(2 / (4 * 0.975 * 0.025))
    estimate = mean_over_seeds([1, 2, 3])
    assert estimate.upper == pytest.approx(2 + t / math.sqrt(3), rel=1e-9)


def test_rows_of_one_person_count_as_one_person():
    rng = np.random.default_rng(2)
    person = rng.normal(size=17)
    once = mean_over_people(person)
    repeated = mean_over_people(np.repeat(person, 7), np.repeat(np.arange(17), 7))
    assert repeated.std_error == pytest.approx(once.std_error, rel=1e-12)
    assert once.std_error == pytest.approx(stats.sem(person), rel=1e-12)
    assert mean_over_people(np.repeat(person, 7)).std_error < once.std_error / 2
    assert once.target == "people like them"


def test_clustered_error_by_hand():
    # Sums 1, 1, 0 over 2, 1, 1 rows, mean 1/2: residuals 0, 1/2, -1/2; G/(G-1) = 3/2; N = 4.
    estimate = mean_over_people([0.0, 1.0, 1.0, 0.0], people=["b", "b", "a", "c"])
    assert estimate.std_error == pytest.approx(math.sqrt(3 / 2 * (1 / 4 + 1 / 4)) / 4)
    assert estimate.upper - 0.5 == pytest.approx(stats.norm.ppf(0.975) * estimate.std_error)


def test_bootstrap_agrees_with_the_normal_interval_and_with_itself():
    rng = np.random.default_rng(3)
    people = rng.integers(0, 211, 997)
    values = rng.normal(size=211)[people] + rng.normal(size=997)
    normal = mean_over_people(values, people)
    bootstrap = mean_over_people(values, people, method="bootstrap", replicates=4001, seed=5)
    assert bootstrap.std_error == pytest.approx(normal.std_error, rel=0.06)
    assert bootstrap.lower == pytest.approx(normal.lower, abs=0.25 * normal.std_error)
    assert bootstrap.upper == pytest.approx(normal.upper, abs=0.25 * normal.std_error)
    assert bootstrap.value == normal.value
    again = mean_over_people(values, people, method="bootstrap", replicates=4001, seed=5)
    other = mean_over_people(values, people, method="bootstrap", replicates=4001, seed=6)
    assert again == bootstrap
    assert other.lower != bootstrap.lower


def test_bootstrap_in_blocks_is_the_bootstrap_in_one(monkeypatch):
    values = np.random.default_rng(4).normal(size=13)
    whole = mean_over_people(values, method="bootstrap", replicates=101)
    monkeypatch.setattr("recflax.intervals._BLOCK", 13 * 7)
    assert mean_over_people(values, method="bootstrap", replicates=101) == whole


@pytest.mark.parametrize("method", ["normal", "bootstrap"])
def test_an_interval_over_people_covers_the_truth_about_as_often_as_it_says(method):
    rng = np.random.default_rng(7)
    people = np.repeat(np.arange(53), 3)
    hits = 0
    for repetition in range(200):
        values = rng.normal(size=53)[people] + rng.normal(size=len(people))
        estimate = mean_over_people(values, people, method=method, replicates=199, seed=repetition)
        hits += estimate.lower <= 0.0 <= estimate.upper
    # At 95% coverage fewer than 176 or more than 199 of 200 come less than once in 1000 runs;
    # ignoring the person gives about 73%.
    assert 176 <= hits <= 199


def test_pairing_removes_what_both_share():
    rng = np.random.default_rng(8)
    store = rng.normal(0.0, 5.0, 13)
    first, second = store + 1.0 + rng.normal(0, 0.1, 13), store + rng.normal(0, 0.1, 13)
    difference = paired_difference(first, second, over="seeds")
    assert difference == mean_over_seeds(first - second)
    assert 0.8 < difference.lower < difference.upper < 1.2
    people = np.arange(13) // 2
    over_people = paired_difference(first, second, people, over="people", level=0.8)
    assert over_people == mean_over_people(first - second, people, level=0.8)


def test_prediction_interval_by_hand_and_by_bonferroni():
    values = np.array([1.0, 2.0, 3.0])
    estimate = prediction_interval(values, 1, family_error=0.05)
    t = 2 * (0.975 - 0.5) * math.sqrt(2 / (4 * 0.975 * 0.025))
    assert estimate.upper == pytest.approx(2 + t * math.sqrt(1 + 1 / 3), rel=1e-9)
    assert estimate.level == pytest.approx(0.95)
    five = prediction_interval(values, 5, family_error=0.05)
    assert five == prediction_interval(values, 1, family_error=0.01)
    assert five.upper > estimate.upper


def test_a_family_of_predictions_holds_together():
    rng = np.random.default_rng(9)
    alarms = 0
    for _ in range(300):
        table, fresh = rng.normal(size=(11, 7)), rng.normal(size=7)
        ends = [prediction_interval(column, 7, family_error=0.1) for column in table.T]
        inside = [end.lower <= x <= end.upper for end, x in zip(ends, fresh, strict=True)]
        alarms += not all(inside)
    # Binomial(300, 0.1): above 47 less than once in 1000; far below 10 would be too wide.
    assert 10 <= alarms <= 47


@given(numbers, st.floats(-10, 10), st.floats(0.1, 10))
def test_intervals_move_with_shift_and_scale(values, shift, scale):
    array = np.array(values)
    for interval in (mean_over_seeds, mean_over_people):
        before, after = interval(array), interval(array * scale + shift)
        assert after.lower == pytest.approx(before.lower * scale + shift, abs=1e-6)
        assert after.upper == pytest.approx(before.upper * scale + shift, abs=1e-6)
        assert before.lower <= before.value <= before.upper


@pytest.mark.parametrize("function", [mean_over_seeds, mean_over_people])
@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([1.0, math.nan], ValueError, "values must be finite; entry 1 is nan"),
        ([math.inf, 1.0], ValueError, "values must be finite; entry 0 is inf"),
        ([1.0], ValueError, "at least two numbers; got 1"),
        ([], ValueError, "at least two numbers; got 0"),
        ([[1.0, 2.0]], ValueError, r"shape \(n,\); got \(1, 2\)"),
        (["a", "b"], TypeError, "must hold numbers"),
    ],
)
def test_values_are_checked(function, values, error, message):
    with pytest.raises(error, match=message):
        function(values)


def test_arguments_are_checked():
    two = [1.0, 2.0]
    with pytest.raises(ValueError, match="level must be between 0 and 1; got 95"):
        mean_over_seeds(two, 95)
    with pytest.raises(ValueError, match=r"people must have the shape \(2,\); got \(3,\)"):
        mean_over_people(two, [1, 2, 3])
    with pytest.raises(ValueError, match="at least two people"):
        mean_over_people(two, [1, 1])
    with pytest.raises(ValueError, match="method must be 'normal' or 'bootstrap'; got 'magic'"):
        mean_over_people(two, method="magic")
    with pytest.raises(ValueError, match="replicates must be at least 2; got 1"):
        mean_over_people(two, method="bootstrap", replicates=1)
    with pytest.raises(ValueError, match=r"one shape; got \(2,\) and \(3,\)"):
        paired_difference(two, [1, 2, 3], over="seeds")
    with pytest.raises(ValueError, match="over must be 'seeds' or 'people'; got 'rows'"):
        paired_difference(two, two, over="rows")
    with pytest.raises(TypeError, match="need over='people'"):
        paired_difference(two, two, [1, 2], over="seeds")
    with pytest.raises(ValueError, match="n_claims must be at least 1; got 0"):
        prediction_interval(two, 0)
    with pytest.raises(TypeError, match="n_claims must be an integer, not float"):
        prediction_interval(two, 1.5)
    with pytest.raises(ValueError, match="family_error must be between 0 and 1; got 0"):
        prediction_interval(two, 1, family_error=0)
    with pytest.raises(ValueError, match=r"denominator must have the shape \(2,\); got \(3,\)"):
        ratio_over_people(two, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"denominator must have a positive sum; got 0\.0"):
        ratio_over_people(two, [0.0, 0.0])
