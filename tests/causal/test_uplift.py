import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recflax.causal.effects import difference_of_means
from recflax.causal.logged import Treated
from recflax.causal.uplift import qini_area, qini_curve, qini_difference, uplift_by_group

FEW = {"replicates": 2, "seed": 5}
SEVEN = Treated([1, 0, 1, 0, 1, 0, 1], [1.0, 0.0, 3.0, 2.0, 0.0, 1.0, 1.0])
TIED = [5.0, 5.0, 2.0, 2.0, 2.0, 1.0, 0.0]


def drawn(n, seed, slope=0.1):
    """Customers of uplift ``slope`` times x, x uniform, and a coin."""
    rng = np.random.default_rng(seed)
    x, t = rng.random(n), rng.integers(0, 2, n)
    return x, Treated(t, (rng.random(n) < 0.1 + slope * x * t).astype(float))


# --------------------------------------------------------- a second implementation, by orders


def curve_in_order(log, order):
    """The Qini curve at every number of people, for one order of the rows, by adding up."""
    n_1 = log.treatment.sum()
    total, curve = 0.0, [0.0]
    for row in order:
        t, y = log.treatment[row], log.outcome[row]
        total += y / n_1 if t else -y / (log.n - n_1)
        curve.append(total)
    return np.array(curve)


def orders(score):
    """Every order of the rows in which no score stands before a higher one."""
    rows = range(len(score))
    for order in itertools.permutations(rows):
        if all(score[a] >= score[b] for a, b in itertools.pairwise(order)):
            yield order


def test_the_curve_and_the_area_are_means_over_all_orders_of_the_ties():
    curves = np.array([curve_in_order(SEVEN, order) for order in orders(TIED)])
    assert len(curves) == 2 * 6
    expected = curves.mean(axis=0)
    found = qini_curve(SEVEN, TIED, points=8, **FEW)
    np.testing.assert_allclose(found.gain, expected, atol=1e-12)
    np.testing.assert_allclose(found.share, np.arange(8) / 7)
    area = np.trapezoid(expected, dx=1 / 7) - expected[-1] / 2
    assert qini_area(SEVEN, TIED, **FEW).value == pytest.approx(area)


@pytest.mark.parametrize("groups", [2, 3])
def test_a_group_is_weighted_by_the_chance_to_stand_in_it(groups):
    weight = np.zeros((groups, 7))
    every = list(orders(TIED))
    for order in every:
        for place, row in enumerate(order):
            for group in range(groups):
                start, stop = 7 * group / groups, 7 * (group + 1) / groups
                weight[group, row] += max(0, min(place + 1, stop) - max(place, start)) / len(every)
    found = uplift_by_group(SEVEN, TIED, groups)
    for w, estimate in zip(weight, found, strict=True):
        arms = []
        for arm in (1, 0):
            share = w * (SEVEN.treatment == arm)
            arms.append((share * SEVEN.outcome).sum() / share.sum())
        assert estimate.value == pytest.approx(arms[0] - arms[1])


# ------------------------------------------------------------------------------- closed forms


def test_the_area_of_four_rows_by_hand():
    log = Treated([1, 0, 1, 0], [3.0, 5.0, 7.0, 11.0])
    by_hand = 3 / 2 * 3 / 8 - 5 / 2 * 1 / 8 + 7 / 2 * (-1 / 8) - 11 / 2 * (-3 / 8)
    assert qini_area(log, [9, 8, 7, 6], **FEW).value == pytest.approx(by_hand)
    assert qini_area(log, [6, 7, 8, 9], **FEW).value == pytest.approx(-by_hand)
    gap = qini_difference(log, [9, 8, 7, 6], [6, 7, 8, 9], **FEW)
    assert gap.value == pytest.approx(2 * by_hand)


def test_a_constant_score_is_a_random_ranking_exactly():
    _, log = drawn(1009, 3)
    assert qini_area(log, np.zeros(log.n), replicates=100).value == 0
    found = qini_area(log, np.zeros(log.n), replicates=100)
    assert found.lower == found.upper == 0
    curve = qini_curve(log, np.full(log.n, 7.0), points=11, above_random=True, replicates=20)
    np.testing.assert_allclose([curve.gain, curve.lower, curve.upper], 0, atol=1e-15)
    whole = difference_of_means(log).value
    for group in uplift_by_group(log, np.zeros(log.n), 5):
        assert group.value == pytest.approx(whole)


def test_the_curve_ends_at_the_difference_of_means():
    x, log = drawn(1009, 5)
    found = qini_curve(log, x, points=21, replicates=400)
    whole = difference_of_means(log)
    assert found.gain[0] == found.lower[0] == found.upper[0] == 0
    assert found.gain[-1] == pytest.approx(whole.value)
    assert found.upper[-1] - found.lower[-1] == pytest.approx(2 * 1.96 * whole.std_error, rel=0.2)
    above = qini_curve(log, x, points=21, above_random=True, replicates=400)
    np.testing.assert_allclose(above.gain, found.gain - found.share * found.gain[-1])
    assert above.upper[-1] - above.lower[-1] < 1e-12


def test_groups_that_share_no_score_are_the_difference_of_means_of_their_rows():
    x, log = drawn(1010, 7)
    best = np.argsort(-x)
    for number, found in enumerate(uplift_by_group(log, x, 10)):
        rows = best[101 * number : 101 * (number + 1)]
        part = difference_of_means(Treated(log.treatment[rows], log.outcome[rows]))
        assert found.value == pytest.approx(part.value)
        assert found.std_error == pytest.approx(part.std_error, rel=0.02)
    assert uplift_by_group(log, x, 1)[0].value == pytest.approx(difference_of_means(log).value)


@given(st.integers(0, 1000))
def test_only_the_order_of_scores_counts_and_turning_it_round_turns_the_area_round(seed):
    rng = np.random.default_rng(seed)
    log = Treated([1, 0, 1, 0, *rng.integers(0, 2, 19)], rng.normal(size=23))
    score = rng.integers(0, 5, 23).astype(float)
    area = qini_area(log, score, replicates=2, seed=1).value
    assert qini_area(log, np.exp(score), replicates=2, seed=1).value == pytest.approx(area)
    assert qini_area(log, -score, replicates=2, seed=1).value == pytest.approx(-area)
    shuffle = rng.permutation(23)
    mixed = Treated(log.treatment[shuffle], log.outcome[shuffle])
    assert qini_area(mixed, score[shuffle], replicates=2, seed=1).value == pytest.approx(area)


# ------------------------------------------------------------------------------- known truth


def test_the_area_of_a_known_uplift():
    """Uplift s x, x uniform: Q(f) = s (f - f^2 / 2), so the area is s (1/2 - 1/6 - 1/4)."""
    truth = 0.3 / 12
    found = [
        qini_area(drawn(2003, seed, 0.3)[1], drawn(2003, seed, 0.3)[0], replicates=100)
        for seed in range(40)
    ]
    values = np.array([one.value for one in found])
    assert abs(values.mean() - truth) < 4 * values.std(ddof=1) / math.sqrt(40)
    assert np.mean([one.std_error for one in found]) == pytest.approx(values.std(ddof=1), rel=0.35)
    covered = sum(one.lower <= truth <= one.upper for one in found)
    assert covered >= 32  # binomial(40, .95) falls below 33 once in ten thousand


def test_the_best_ranking_is_by_uplift_and_an_unrelated_one_is_chance():
    x, log = drawn(20_011, 3, 0.5)
    noise = np.random.default_rng(1).random(log.n)
    gap = qini_difference(log, x, noise, replicates=200)
    assert gap.lower > 0
    assert gap.value == pytest.approx(0.5 / 12, abs=4 * gap.std_error)
    chance = qini_area(log, noise, replicates=200)
    assert abs(chance.value) < 4 * chance.std_error
    tenths = uplift_by_group(log, x, 10)
    for number, tenth in enumerate(tenths):
        assert abs(tenth.value - 0.5 * (0.95 - number / 10)) < 4 * tenth.std_error


# ---------------------------------------------------------------------------- the bootstrap


def test_a_replicate_is_the_area_of_the_people_who_were_drawn(monkeypatch):
    x, log = drawn(211, 3)
    counts = np.random.default_rng(7).multinomial(211, np.full(211, 1 / 211), size=3)
    from recflax.causal import uplift

    monkeypatch.setattr(uplift, "_draws", lambda *a: iter([counts[:2].astype(float), counts[2:]]))
    found = qini_area(log, x, replicates=3)
    areas = []
    for row in counts:
        again = np.repeat(np.arange(211), row)
        copy = Treated(log.treatment[again], log.outcome[again])
        order = np.argsort(-x[again], kind="stable")  # copies are tied, and alike
        curve = curve_in_order(copy, order)
        areas.append(np.trapezoid(curve, dx=1 / len(again)) - curve[-1] / 2)
    assert found.std_error == pytest.approx(np.std(areas, ddof=1))
    assert [found.lower, found.upper] == pytest.approx(np.quantile(areas, [0.025, 0.975]).tolist())


def test_rows_of_one_person_are_drawn_together():
    x, log = drawn(1009, 3)
    double = Treated(
        np.tile(log.treatment, 2), np.tile(log.outcome, 2), np.tile(np.arange(log.n), 2)
    )
    one = qini_area(log, x, replicates=300)
    two = qini_area(double, np.tile(x, 2), replicates=300)
    apart = qini_area(Treated(double.treatment, double.outcome), np.tile(x, 2), replicates=300)
    assert two.value == pytest.approx(one.value)
    assert two.std_error == pytest.approx(one.std_error)
    assert apart.std_error == pytest.approx(one.std_error / math.sqrt(2), rel=0.2)
    pairs = uplift_by_group(double, np.tile(x, 2), 5)
    for found, alone in zip(pairs, uplift_by_group(log, x, 5), strict=True):
        assert found.value == pytest.approx(alone.value, abs=0.02)
        assert found.std_error == pytest.approx(alone.std_error, rel=0.1)


def test_a_paired_difference_is_surer_than_two_areas():
    x, log = drawn(4001, 5, 0.3)
    near = x + 0.1 * np.random.default_rng(3).random(log.n)
    gap = qini_difference(log, x, near, replicates=300)
    alone = qini_area(log, x, replicates=300)
    assert gap.value == pytest.approx(alone.value - qini_area(log, near, **FEW).value)
    assert gap.std_error < alone.std_error / 3


def test_the_same_seed_gives_the_same_interval():
    x, log = drawn(503, 3)
    one, two, other = (qini_area(log, x, replicates=50, seed=seed) for seed in (3, 3, 4))
    assert (one.lower, one.upper) == (two.lower, two.upper)
    assert one.lower != other.lower


# --------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda: qini_area(SEVEN, [1, 2]), r"score must have shape \(7,\); got \(2,\)"),
        (lambda: qini_area(SEVEN, [math.nan] * 7), "score must be finite; entry 0 is nan"),
        (lambda: qini_area(SEVEN, TIED, replicates=1), "replicates must be at least 2; got 1"),
        (lambda: qini_area(SEVEN, TIED, level=1.0), r"level must be between 0 and 1; got 1\.0"),
        (lambda: qini_curve(SEVEN, TIED, points=1), "points must be at least 2; got 1"),
        (lambda: qini_curve(SEVEN, TIED, level=0.0), r"level must be between 0 and 1; got 0\.0"),
        (lambda: uplift_by_group(SEVEN, TIED, 8), "groups must be from 1 to the 7 rows; got 8"),
        (lambda: uplift_by_group(SEVEN, TIED, 0), "groups must be from 1 to the 7 rows; got 0"),
        (lambda: uplift_by_group(SEVEN, TIED, 7), r"group . of 7 holds nobody who was"),
        (
            lambda: qini_area(Treated([1, 0], [1.0, 0.0]), [1, 2], replicates=500),
            "a replicate drew people of one arm only",
        ),
    ],
)
def test_bad_questions_are_named(question, message):
    with pytest.raises(ValueError, match=message):
        question()


def test_one_group_is_everybody():
    [found] = uplift_by_group(SEVEN, TIED, 1)
    assert found.value == pytest.approx(difference_of_means(SEVEN).value)


def test_groups_are_whole_numbers():
    with pytest.raises(TypeError, match=r"groups must be an integer; got 2\.0"):
        uplift_by_group(SEVEN, TIED, 2.0)
