"""Overlap, calibration, effective sample size: by hand, and where they must speak up."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recflax.causal.logged import Logged
from recflax.causal.propensity import (
    calibration,
    effective_sample_size,
    overlap,
)
from recflax.intervals import mean_over_people
from recflax.worlds.store import StoreConfig, build_store

SMALL = StoreConfig(n_people=701, n_items=23, n_categories=5, length=7)
positive = st.lists(st.floats(0.01, 100), min_size=1, max_size=13)


# ------------------------------------------------------------------ effective sample size


def test_effective_sample_size_by_hand():
    assert effective_sample_size([3.0, 3.0, 3.0, 3.0, 3.0]) == pytest.approx(5)
    assert effective_sample_size([1.0, 2.0, 0.0]) == pytest.approx(9 / 5)
    assert effective_sample_size([0.0, 7.0, 0.0]) == 1
    assert effective_sample_size([0.0, 0.0]) == 0


@given(positive, st.floats(0.01, 100))
def test_effective_sample_size_is_about_proportions(weights, scale):
    size = effective_sample_size(weights)
    assert 1 - 1e-9 <= size <= len(weights) + 1e-9
    assert effective_sample_size(np.array(weights) * scale) == pytest.approx(size, rel=1e-9)
    assert effective_sample_size(weights * 2) == pytest.approx(2 * size, rel=1e-9)


def test_effective_sample_size_is_what_the_variance_says():
    # rewards of variance 1: the weighted mean has variance sum w^2 / (sum w)^2 = 1 / size
    weights = np.array([1.0, 2.0, 3.0, 5.0, 7.0])
    draws = np.random.default_rng(0).normal(size=(20_000, 5))
    spread = (draws @ weights / weights.sum()).var()
    # the variance of a variance of n normal draws is 2 / (n - 1) of its square
    assert abs(spread * effective_sample_size(weights) - 1) < 4 * np.sqrt(2 / 19_999)


def test_effective_sample_size_refuses_nonsense():
    with pytest.raises(ValueError, match=r"weights must be at least 0; entry 1 is -2\.0"):
        effective_sample_size([1.0, -2.0])
    with pytest.raises(ValueError, match="weights must be finite; entry 0 is nan"):
        effective_sample_size([np.nan, 1.0])
    with pytest.raises(ValueError, match=r"weights must have shape .*; got \(2, 1\)"):
        effective_sample_size([[1.0], [2.0]])
    with pytest.raises(TypeError, match="weights must hold numbers"):
        effective_sample_size(["1"])


# ------------------------------------------------------------------------------ overlap


@pytest.fixture(scope="module")
def store():
    return build_store(SMALL, 7)


def as_log(store, **changed) -> Logged:
    log = replace(store.log(), **changed) if changed else store.log()
    return Logged(log.person, log.shown - 1, log.bought_shown, log.propensity)


def test_overlap_of_the_store_and_of_half_a_store(store):
    log, uniform = as_log(store), np.full((701, 23), 1 / 23)
    found = overlap(log, uniform)
    assert found.mean_weight == mean_over_people(1 / 23 / log.propensity, log.person)
    assert abs(found.mean_weight.value - 1) < 4 * found.mean_weight.std_error
    assert found.never_shown == 0
    assert found.smallest_propensity == log.propensity.min() >= SMALL.eps / 23
    assert found.max_weight == pytest.approx(1 / 23 / log.propensity.min())
    assert found.effective_sample_size == effective_sample_size(log.weight(uniform))

    half = build_store(replace(SMALL, no_overlap=True), 7)
    policy = half.uplift() / half.uplift().sum(axis=1, keepdims=True)
    found = overlap(as_log(half), policy)
    missed = policy[:, ~half.retrieved()].sum(axis=1).mean()  # exact: every person has 8 rows
    assert missed > 0.1
    assert found.never_shown == pytest.approx(missed, rel=1e-12)
    assert abs(found.mean_weight.value - (1 - missed)) < 4 * found.mean_weight.std_error
    assert abs(found.mean_weight.value - 1) > 4 * found.mean_weight.std_error


def test_overlap_is_printed_for_a_reader():
    log = Logged([0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [0.5] * 4, person=[0, 0, 1, 1])
    said = str(overlap(log, [[0.25, 0.25, 0.5]]))
    assert "mean weight            .500 ± .000, where it should be 1" in said
    assert "effective sample size  4 of 4 rows (100.00%)" in said
    assert "mass never shown       50.00%" in said


# -------------------------------------------------------------------------- calibration


def events(seed: int = 3, people: int = 499, visits: int = 5):
    """Chances that differ by person and visit, what happened, and whose row it is."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), visits)
    chance = rng.beta(2, 5, people)[person] * rng.uniform(0.5, 1.0, len(person))
    return chance, rng.random(len(person)) < chance, person


def test_a_right_chance_is_calibrated_in_bins_of_equal_expectation():
    chance, happened, person = events()
    table = calibration(chance, happened, person, bins=7)
    assert table["ok"].all()
    assert table["cells"].sum() == len(chance)
    assert (table["lowest"].to_numpy()[1:] > table["highest"].to_numpy()[:-1]).all()
    expected = table["cells"] * table["predicted"]
    np.testing.assert_allclose(expected, chance.sum() / 7, rtol=0.01)
    one = table.iloc[2]
    inside = (chance >= one["lowest"]) & (chance <= one["highest"])
    assert one["observed"] == happened[inside].mean()
    assert one["predicted"] == pytest.approx(chance[inside].mean())


def test_a_bin_has_the_clustered_interval_of_its_difference():
    chance, happened, person = events(5, people=97, visits=3)
    table = calibration(chance, happened, person, bins=1, family_error=0.05)
    by_hand = mean_over_people(happened - chance, person)
    assert table.loc[0, "lower"] == pytest.approx(chance.mean() + by_hand.lower, rel=1e-12)
    assert table.loc[0, "upper"] == pytest.approx(chance.mean() + by_hand.upper, rel=1e-12)


def test_right_chances_are_called_wrong_about_as_often_as_said():
    calls = [
        calibration(*events(seed), bins=3, family_error=0.1)["ok"].all() for seed in range(200)
    ]
    # Binomial(200, 0.1): more than 36 alarms, or fewer than 8, come less than once in 1000 runs
    assert 200 - 36 <= sum(calls) <= 200 - 8


@pytest.mark.parametrize(
    "wrong",
    [lambda p: p / 2, lambda p: np.sqrt(p), lambda p: 0.3 + 0.2 * p, lambda p: p[::-1]],
    ids=["half", "root", "shrunk", "of other rows"],
)
def test_a_wrong_chance_is_caught(wrong):
    chance, happened, person = events()
    assert not calibration(wrong(chance), happened, person)["ok"].all()


def test_the_logging_policy_of_the_store_is_calibrated_and_a_tempered_one_is_not(store):
    log = as_log(store)
    shown = log.action[:, None] == np.arange(23)
    right = store.logging_policy()
    assert calibration(right[log.context], shown, log.person)["ok"].all()
    tempered = np.sqrt(right) / np.sqrt(right).sum(axis=1, keepdims=True)
    assert not calibration(tempered[log.context], shown, log.person)["ok"].all()
    by_item = np.broadcast_to(right.mean(axis=0), right.shape)  # right on average, not by person
    shuffled = right[np.random.default_rng(0).permutation(701)]
    assert calibration(by_item[log.context], shown, log.person)["ok"].all()
    assert not calibration(shuffled[log.context], shown, log.person)["ok"].all()


def test_equal_chances_share_a_bin():
    chance = np.repeat([0.1, 0.5], [300, 100])
    happened = np.concatenate([np.arange(300) % 10 == 0, np.arange(100) % 2 == 0])
    table = calibration(chance, happened, bins=5)
    assert table["cells"].tolist() == [300, 100]
    assert table["observed"].tolist() == pytest.approx([0.1, 0.5])


def test_what_cannot_happen_and_does_is_caught():
    chance = np.repeat([0.0, 0.5], 100)
    once = np.concatenate([np.arange(100) == 13, np.arange(100) % 2 == 0])
    never = np.concatenate([np.zeros(100), np.arange(100) % 2 == 0])
    assert calibration(chance, once, bins=2)["ok"].tolist() == [False, True]
    assert calibration(chance, never, bins=2)["ok"].tolist() == [True, True]


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"chance": np.full(100, 1.5)}, ValueError, r"chance must be in \[0, 1\]; entry 0 is 1\.5"),
        ({"chance": np.full((100, 1), 0.5)}, ValueError, r"got \(100, 1\) and \(100,\)"),
        ({"happened": np.full(100, 2)}, ValueError, "happened must be 0 or 1; entry 0 is 2"),
        ({"chance": np.full(100, np.nan)}, ValueError, "chance must be finite; entry 0 is nan"),
        ({"people": np.zeros((100, 1))}, ValueError, r"people must have shape \(100,\)"),
        ({"bins": 0}, ValueError, "bins must be at least 1"),
        ({"bins": 6}, ValueError, r"10 expected events to each; got 6 bins for 50\.0 expected"),
        ({"family_error": 1.0}, ValueError, r"family_error must be between 0 and 1; got 1\.0"),
        ({"happened": np.full(100, "1")}, TypeError, "happened must hold numbers"),
    ],
)
def test_calibration_refuses_nonsense(changed, error, message):
    right = {"chance": np.full(100, 0.5), "happened": np.arange(100) % 2}
    with pytest.raises(error, match=message):
        calibration(**(right | changed))
