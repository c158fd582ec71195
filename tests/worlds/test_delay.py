import math

import numpy as np
import pytest
from scipy import stats

from recflax.intervals import mean_over_people
from recflax.worlds.delay import Delay

EAGER, SLOW = (0.7, 0.2, 0.1), (0.1, 0.2, 0.7)
WORLD = Delay(buys=(0.2, 0.3), delay=(EAGER, SLOW), age=(0.3, 0.2, 0.1, 0.15, 0.25))


def by_hand(policy, of):
    """The sum over ages and days, in loops."""
    total = 0.0
    for a, share in enumerate(WORLD.age, start=1):
        arrived = sum(chance for d, chance in enumerate(WORLD.delay[policy], start=1) if d <= a)
        total += share * WORLD.buys[policy] * of(arrived)
    return total


@pytest.mark.parametrize("policy", [0, 1])
def test_every_exact_answer_is_that_of_a_loop_over_ages_and_days(policy):
    assert WORLD.seen()[policy] == pytest.approx(by_hand(policy, lambda f: f))
    assert WORLD.shortfall()[policy] == pytest.approx(by_hand(policy, lambda f: 1 - f))
    assert WORLD.weighted()[policy] == pytest.approx(WORLD.buys[policy])
    p = WORLD.buys[policy]
    weighted = by_hand(policy, lambda f: 1 / f) - p**2
    assert WORLD.variances()["weighted"][policy] == pytest.approx(weighted)
    assert WORLD.variances()["matured"][policy] == pytest.approx(p * (1 - p) / 0.5)


def test_the_report_is_low_by_exactly_what_is_still_to_come():
    np.testing.assert_allclose(WORLD.seen() + WORLD.shortfall(), WORLD.buys, rtol=1e-14)
    eager = 0.2 * (0.3 * 0.3 + 0.2 * 0.1)
    slow = 0.3 * (0.3 * 0.9 + 0.2 * 0.7)
    assert WORLD.shortfall() == pytest.approx([eager, slow])


def test_two_policies_change_places_in_a_young_report_and_not_in_an_old_one():
    assert WORLD.buys[1] > WORLD.buys[0]
    young = Delay(WORLD.buys, WORLD.delay, age=(1.0,))
    assert young.seen() == pytest.approx([0.14, 0.03])
    old = Delay(WORLD.buys, WORLD.delay, age=(0.0, 0.0, 1.0))
    assert old.seen() == pytest.approx(WORLD.buys)
    assert old.shortfall() == pytest.approx([0, 0])


def test_another_policys_delay_weights_by_the_wrong_share():
    found = WORLD.weighted(EAGER)
    assert found[0] == pytest.approx(0.2)
    assert found[1] == pytest.approx(0.3 * (0.3 * 0.1 / 0.7 + 0.2 * 0.3 / 0.9 + 0.5))
    assert found[1] < WORLD.buys[1]


def test_with_equal_delays_both_are_low_by_one_factor_and_keep_their_order():
    even = Delay((0.2, 0.3), (EAGER, EAGER), WORLD.age)
    ratio = even.seen() / even.buys
    assert ratio[0] == pytest.approx(ratio[1])
    assert ratio[0] < 1


# --------------------------------------------------------------------------------- the draw


def test_a_report_is_drawn_by_the_law():
    n = 60_000
    report = WORLD.report(n, seed=3)
    cells = np.zeros((2, 5, 4))
    np.add.at(cells, (report.policy, report.age - 1, report.day), 1)
    expected = np.zeros((2, 5, 4))
    for k in (0, 1):
        for a in range(5):
            for d in range(3):
                if d <= a:
                    expected[k, a, d + 1] = WORLD.buys[k] * WORLD.delay[k, d]
            expected[k, a, 0] = 1 - expected[k, a].sum()
        expected[k] *= WORLD.age[:, None] / 2
    assert cells[expected == 0].sum() == 0
    there = expected > 0
    statistic = ((cells - n * expected)[there] ** 2 / (n * expected)[there]).sum()
    assert stats.chi2.sf(statistic, there.sum() - 1) > 0.001


@pytest.mark.parametrize("policy", [0, 1])
def test_what_is_drawn_is_within_four_standard_errors_of_what_is_computed(policy):
    n = 40_000
    report = WORLD.report(n, seed=5, policy=np.full(n, policy))
    seen, weight = report.seen, WORLD.weight(report)
    matured = report.age >= WORLD.window
    for values, truth in (
        (seen, WORLD.seen()[policy]),
        (weight * seen, WORLD.buys[policy]),
        (seen[matured], WORLD.buys[policy]),
    ):
        found = mean_over_people(values)
        assert abs(found.value - truth) < 4 * found.std_error
    exact = {name: math.sqrt(of[policy] / n) for name, of in WORLD.variances().items()}
    found = mean_over_people(seen[matured]).std_error, mean_over_people(weight * seen).std_error
    assert found == pytest.approx((exact["matured"], exact["weighted"]), rel=0.05)
    naive = mean_over_people(seen)
    assert WORLD.buys[policy] - naive.value > 4 * naive.std_error


def test_without_the_weight_or_with_anothers_the_draw_is_not_the_truth():
    """What would be broken is seen: the check above fails with weights of 1, and with EAGER's."""
    n = 40_000
    report = WORLD.report(n, seed=5, policy=np.ones(n, int))
    for weight in (np.ones(n), WORLD.weight(report, EAGER)):
        found = mean_over_people(weight * report.seen)
        assert abs(found.value - WORLD.buys[1]) > 4 * found.std_error
    borrowed = mean_over_people(WORLD.weight(report, EAGER) * report.seen)
    assert abs(borrowed.value - WORLD.weighted(EAGER)[1]) < 4 * borrowed.std_error


def test_one_seed_one_report():
    one, two, other = (WORLD.report(101, seed) for seed in (3, 3, 5))
    for name in ("policy", "age", "day"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.age != other.age).any()
    assert set(vars(one)) == {"policy", "age", "day"}  # what is still to come is not in it


# ---------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"buys": (0.2, 1.3)}, r"buys must be from 0 to 1; got \[0\.2, 1\.3\]"),
        ({"buys": 0.2}, r"buys must have 1 axes; got shape \(\)"),
        ({"buys": (0.2,)}, r"delay must have a row for each of 1 policies; got 2"),
        ({"delay": (EAGER, (0.1, 0.2, 0.6))}, r"delay must sum to 1; got \[.*, 0\.9\]"),
        ({"age": (0.5, 0.4)}, r"age must sum to 1; got 0\.9"),
        ({"age": (0.5, math.nan)}, "age must be from 0 to 1"),
    ],
)
def test_a_world_that_cannot_be_is_named(changed, message):
    with pytest.raises(ValueError, match=message):
        Delay(**({"buys": WORLD.buys, "delay": WORLD.delay, "age": WORLD.age} | changed))


def test_what_is_never_seen_cannot_be_weighted():
    late = Delay((0.2,), ((0.0, 1.0),), (0.5, 0.5))
    with pytest.raises(ValueError, match="no purchase of policy 0 can have come at age 1"):
        late.weighted()
    with pytest.raises(ValueError, match="no purchase of policy 0 can have come at age 1"):
        late.weight(late.report(7, 3))
    with pytest.raises(ValueError, match="nobody is of age 3 or more: no window is matured"):
        Delay(WORLD.buys, WORLD.delay, (0.5, 0.5)).variances()
    seldom = Delay((0.2,), ((0.0, 1.0),), (0.0, 1.0))  # nobody is of that age: no harm
    assert seldom.weighted() == pytest.approx([0.2])


def test_bad_questions_to_a_report_are_named():
    with pytest.raises(ValueError, match="customers must be at least 1; got 0"):
        WORLD.report(0, 3)
    with pytest.raises(ValueError, match=r"policy must hold 3 numbers from 0 to 1; got shape \(2,"):
        WORLD.report(3, 3, policy=[0, 1])
    with pytest.raises(ValueError, match=r"policy must hold 3 numbers from 0 to 1"):
        WORLD.report(3, 3, policy=[0, 1, 2])
