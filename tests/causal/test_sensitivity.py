import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recflax.causal.effects import inverse_weighting
from recflax.causal.logged import Nuisances, Treated
from recflax.causal.sensitivity import arm_bounds, bootstrap_bounds, effect_bounds, sign_flip
from recflax.estimates import PEOPLE_LIKE_THEM
from recflax.worlds.banner import BannerConfig, build_banner


def random_log(seed: int, rows: int = 53, people: int = 11) -> tuple[Treated, Nuisances]:
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.1, 0.9, rows)
    treatment = rng.random(rows) < chance
    treatment[:2] = [True, False]
    log = Treated(treatment, rng.random(rows) < 0.4, rng.integers(0, people, rows))
    return log, log.bind(propensity=chance)


def corners(y: np.ndarray, chance: np.ndarray, strength: float) -> tuple[float, float]:
    """Extremes of the weighted mean over every corner of the box of weights."""
    weight = (1 - chance) / chance
    boxes = [(1 + w / strength, 1 + w * strength) for w in weight]
    means = [np.average(y, weights=corner) for corner in itertools.product(*boxes)]
    return min(means), max(means)


# ------------------------------------------------------------------------------- the bounds


@pytest.mark.parametrize("strength", [1.0, 1.3, 2.0, 7.0])
@pytest.mark.parametrize("arm", [0, 1])
def test_the_closed_form_is_the_extreme_over_all_weights(strength, arm):
    log, known = random_log(3, rows=17)
    inside = log.treatment == arm
    chance = known.propensity if arm else 1 - known.propensity
    expected = corners(log.outcome[inside], chance[inside], strength)
    found = arm_bounds(log, known, strength, arm=arm)
    assert (found.lower, found.upper) == pytest.approx(expected, rel=1e-12)


def test_the_effect_pairs_the_opposite_ends_of_the_arms():
    log, known = random_log(5)
    treated, others = (arm_bounds(log, known, 1.7, arm=arm) for arm in (1, 0))
    found = effect_bounds(log, known, 1.7)
    assert found.lower == pytest.approx(treated.lower - others.upper, rel=1e-12)
    assert found.upper == pytest.approx(treated.upper - others.lower, rel=1e-12)


@given(st.integers(0, 10_000))
def test_at_one_both_bounds_are_the_self_normalised_estimate(seed):
    log, known = random_log(seed)
    point = inverse_weighting(log, known, normalise=True).value
    assert effect_bounds(log, known, 1.0) == pytest.approx((point, point), abs=1e-12)


@given(st.integers(0, 10_000), st.floats(1, 50), st.floats(1.001, 50))
def test_bounds_widen_steadily(seed, strength, factor):
    log, known = random_log(seed)
    inner, outer = (effect_bounds(log, known, s) for s in (strength, strength * factor))
    assert outer.lower < inner.lower <= inner.upper < outer.upper
    assert -1 <= outer.lower < outer.upper <= 1


def test_an_array_of_sensitivities_gives_arrays():
    log, known = random_log(7)
    grid = np.array([[1.0, 1.5], [2.0, 5.0]])
    found = effect_bounds(log, known, grid)
    assert found.lower.shape == found.upper.shape == (2, 2)
    for place in np.ndindex(2, 2):
        one = effect_bounds(log, known, grid[place])
        assert (one.lower, one.upper) == (found.lower[place], found.upper[place])


def test_at_any_strength_an_endless_one_says_nothing():
    log, known = random_log(11)
    np.testing.assert_allclose(effect_bounds(log, known, 1e9), (-1, 1), atol=1e-6)


def test_a_large_log_has_the_bounds_of_the_law():
    banner = build_banner(BannerConfig(n_people=40_000, g=1.0), 3)
    draws = banner.log()
    log = draws.treated()
    known = log.bind(propensity=draws.propensity)
    for strength in (banner.law.lambda_outcome(), banner.law.lambda_intent()):
        error = bootstrap_bounds(log, known, strength, replicates=200).std_error
        expected = banner.config.law().effect_bounds(strength)
        np.testing.assert_allclose(
            effect_bounds(log, known, strength), expected, rtol=0, atol=4 * error
        )


# ---------------------------------------------------------------------------- the bootstrap


def test_the_bootstrap_is_that_of_a_loop_over_resampled_logs():
    log, known = random_log(13)
    found = bootstrap_bounds(log, known, 1.5, level=0.9, replicates=300, seed=5)
    rng = np.random.default_rng(5)
    people = np.unique(log.person)
    lower, upper, point = [], [], []
    for _ in range(300):
        rows = np.concatenate(
            [np.flatnonzero(log.person == people[i]) for i in rng.integers(0, 11, 11)]
        )
        again = Treated(log.treatment[rows], log.outcome[rows])
        bound = again.bind(propensity=known.propensity[rows])
        ends = effect_bounds(again, bound, 1.5)
        lower.append(ends.lower)
        upper.append(ends.upper)
        point.append(effect_bounds(again, bound, 1.0).lower)
    assert found.lower == pytest.approx(np.quantile(lower, 0.05), rel=1e-9)
    assert found.upper == pytest.approx(np.quantile(upper, 0.95), rel=1e-9)
    assert found.std_error == pytest.approx(np.std(point, ddof=1), rel=1e-9)
    assert found.value == pytest.approx(inverse_weighting(log, known, normalise=True).value)
    assert (found.level, found.target) == (0.9, PEOPLE_LIKE_THEM)
    assert found == bootstrap_bounds(log, known, 1.5, level=0.9, replicates=300, seed=5)
    assert found != bootstrap_bounds(log, known, 1.5, level=0.9, replicates=300, seed=7)


def test_at_one_it_is_the_interval_of_the_estimate():
    draws = build_banner(BannerConfig(n_people=2_003), 3).log(visits=2)
    log = draws.treated()
    known = log.bind(propensity=draws.propensity)
    linear = inverse_weighting(log, known, normalise=True)
    found = bootstrap_bounds(log, known, 1.0, replicates=2_000)
    assert found.value == pytest.approx(linear.value)
    # the standard deviation of R draws is known to one part in the root of 2 R
    assert abs(found.std_error / linear.std_error - 1) < 4 / math.sqrt(2 * 2_000)


def test_rows_of_one_person_stay_together():
    log, known = random_log(17)
    log = replace(log, person=None)
    known = log.bind(propensity=known.propensity)
    thrice = Treated(*(np.tile(part, 3) for part in (log.treatment, log.outcome, log.person)))
    bound = thrice.bind(propensity=np.tile(known.propensity, 3))
    once, together = bootstrap_bounds(log, known, 1.5), bootstrap_bounds(thrice, bound, 1.5)
    assert (together.lower, together.upper) == pytest.approx((once.lower, once.upper))
    nobody = replace(thrice, person=None)
    bound = nobody.bind(propensity=np.tile(known.propensity, 3))
    apart = bootstrap_bounds(nobody, bound, 1.5)
    assert apart.std_error < 0.8 * once.std_error


@pytest.fixture(scope="module")
def covered() -> dict[str, np.ndarray]:
    """Over 300 logs with hidden intent: does each interval cover the effect of people like them?"""
    config = BannerConfig(n_people=503, g=2.0)
    law = config.law()
    strengths = {
        "none": 1.0,
        "outcome": law.lambda_outcome(),
        "intent": law.lambda_intent(),
    }
    hits: dict[str, list[bool]] = {name: [] for name in strengths}
    for seed in range(300):
        draws = build_banner(config, seed).log()
        log = draws.treated()
        known = log.bind(propensity=draws.propensity)
        for name, strength in strengths.items():
            found = bootstrap_bounds(log, known, strength, replicates=200, seed=seed)
            hits[name].append(found.lower <= law.effect() <= found.upper)
    return {name: np.array(values) for name, values in hits.items()}


def test_at_either_exact_lambda_the_interval_covers_and_without_it_it_does_not(covered):
    least = stats.binom.ppf(0.001, 300, 0.95) / 300
    assert covered["outcome"].mean() >= least
    assert covered["intent"].mean() >= least
    assert covered["none"].mean() < least
    assert not (covered["outcome"] & ~covered["intent"]).any()


# ----------------------------------------------------------------------------- the sign flip


def test_with_even_chances_the_sign_flips_at_the_root_of_the_odds_ratio():
    log = Treated([1] * 7 + [0] * 8, [1] * 5 + [0] * 2 + [1] * 3 + [0] * 5)
    known = log.bind(propensity=np.full(15, 0.5))
    assert sign_flip(log, known, tolerance=1e-12) == pytest.approx(
        math.sqrt((5 / 2) / (3 / 5)), rel=1e-10
    )
    other = replace(log, outcome=1 - log.outcome)  # a negative effect, as strong
    bound = other.bind(propensity=np.full(15, 0.5))
    assert sign_flip(other, bound) == pytest.approx(math.sqrt((5 / 2) / (3 / 5)), rel=2e-6)


@given(st.integers(0, 10_000))
def test_at_the_flip_the_bounds_reach_zero_and_not_before(seed):
    log, known = random_log(seed)
    point = effect_bounds(log, known, 1.0).lower
    flip = sign_flip(log, known, tolerance=1e-9)
    assert flip >= 1
    just_before, at = (effect_bounds(log, known, max(1.0, s)) for s in (flip * (1 - 1e-8), flip))
    near = (just_before.lower, at.lower) if point > 0 else (-just_before.upper, -at.upper)
    assert near[0] >= 0 >= near[1] - 1e-12


def test_it_never_flips_where_an_arm_cannot_move():
    never = math.inf
    cases = [
        ([1, 1, 0, 0], [1, 1, 1, 0], never),  # all who got it bought: the lower bound stays above
        ([1, 1, 0, 0], [1, 0, 0, 0], never),  # nobody bought without it
        ([1, 1, 0, 0], [0, 0, 1, 0], never),
        ([1, 1, 0, 0], [1, 0, 1, 1], never),
        ([1, 1, 0, 0], [1, 0, 1, 0], 1.0),  # the estimate is 0
        ([1, 1, 0, 0], [1, 1, 1, 1], 1.0),
    ]
    for treatment, outcome, expected in cases:
        log = Treated(treatment, outcome)
        assert sign_flip(log, log.bind(propensity=np.full(4, 0.3))) == expected


# --------------------------------------------------------------------------------- bad input


def test_what_the_bounds_refuse():
    log, known = random_log(5)
    other, foreign = random_log(6)
    amounts = replace(log, outcome=log.outcome * 2.5)
    second = int(np.flatnonzero(log.outcome)[0])
    for ask in (
        lambda log, known: arm_bounds(log, known, 1.5, arm=1),
        lambda log, known: effect_bounds(log, known, 1.5),
        lambda log, known: bootstrap_bounds(log, known, 1.5),
        sign_flip,
    ):
        with pytest.raises(ValueError, match=rf"outcome must be 0 or 1; entry {second} is 2\.5"):
            ask(amounts, amounts.bind(propensity=known.propensity))
        with pytest.raises(ValueError, match="nuisances were made for another log"):
            ask(log, foreign)
        with pytest.raises(TypeError, match="must be bound to the log"):
            ask(log, known.propensity)
        with pytest.raises(ValueError, match="nuisances lack propensity"):
            ask(other, other.bind(outcome_0=np.zeros(other.n)))


@pytest.mark.parametrize("wrong", [0.99, -1.0, 0.0, math.nan, math.inf])
def test_sensitivities_that_cannot_be_are_refused(wrong):
    log, known = random_log(5)
    message = "sensitivity must be finite and at least 1; got"
    for ask in (effect_bounds, bootstrap_bounds):
        with pytest.raises(ValueError, match=message):
            ask(log, known, wrong)
    with pytest.raises(ValueError, match=message):
        arm_bounds(log, known, [1.0, wrong], arm=0)


def test_arguments_out_of_range_are_named():
    log, known = random_log(5)
    with pytest.raises(ValueError, match="arm must be 0 or 1; got 2"):
        arm_bounds(log, known, 1.0, arm=2)
    with pytest.raises(TypeError, match="sensitivity must be a number, at least 1; got 'a'"):
        effect_bounds(log, known, "a")
    with pytest.raises(TypeError, match=r"sensitivity must be a number, at least 1; got \[1\.0"):
        bootstrap_bounds(log, known, [1.0, 2.0])
    with pytest.raises(ValueError, match="replicates must be at least 2; got 1"):
        bootstrap_bounds(log, known, 1.0, replicates=1)
    two = bootstrap_bounds(log, known, 1.0, replicates=2)  # the fewest that have percentiles
    assert two.lower < two.upper
    with pytest.raises(ValueError, match="level must be between 0 and 1; got 1"):
        bootstrap_bounds(log, known, 1.0, level=1)
    with pytest.raises(ValueError, match="tolerance must be above 0; got 0"):
        sign_flip(log, known, tolerance=0)
    tiny = Treated([1, 0], [1, 0])
    with pytest.raises(ValueError, match="a replicate has nobody in one of the arms"):
        bootstrap_bounds(tiny, tiny.bind(propensity=[0.5, 0.5]), 1.5)
