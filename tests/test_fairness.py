"""Exposure and its price: closed forms, second implementations, and constraints met exactly."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize

from recflax import metrics
from recflax.causal.propensity import effective_sample_size
from recflax.fairness import (
    by_group,
    disparate_treatment,
    exposure_per_merit,
    fair_policy,
    gini,
    group_exposure,
    item_exposure,
    merit_share,
    unequal_attention,
)
from recflax.transport import transport

POLICY = np.array([[0.5, 0.25, 0.25, 0.0, 0.0], [0.0, 0.0, 0.0, 0.25, 0.75]])
GROUPS = np.array([0, 0, 1, 2, 1])


# ----------------------------------------------------------------------- measures, by hand


def test_exposure_of_items_and_groups_by_hand():
    np.testing.assert_allclose(item_exposure(POLICY), [1 / 4, 1 / 8, 1 / 8, 1 / 8, 3 / 8])
    np.testing.assert_allclose(group_exposure(POLICY, GROUPS), [3 / 8, 1 / 8 + 3 / 8, 1 / 8])
    alone = group_exposure(POLICY, np.arange(5))
    np.testing.assert_array_equal(alone, item_exposure(POLICY))


def test_a_policy_made_from_scores_has_the_exposure_that_the_metric_gives():
    scores = np.random.default_rng(3).normal(size=(13, 5))
    policy = np.eye(5)[scores.argmax(axis=1)]
    np.testing.assert_allclose(item_exposure(policy), metrics.exposure(scores, 1))


def test_exposure_per_merit_is_the_ratio_of_the_paper_up_to_a_constant():
    """Singh and Joachims: mean exposure over mean merit, group by group."""
    merit = np.array([1.0, 3.0, 2.0, 5.0, 7.0])
    found = exposure_per_merit(POLICY, merit, GROUPS)
    paper = [
        item_exposure(POLICY)[g == GROUPS].mean() / merit[g == GROUPS].mean() for g in range(3)
    ]
    np.testing.assert_allclose(found / found[0], np.array(paper) / paper[0])
    np.testing.assert_allclose(found, [3 / 8 / (4 / 18), 4 / 8 / (9 / 18), 1 / 8 / (5 / 18)])
    assert disparate_treatment(POLICY, merit, GROUPS) == pytest.approx(max(paper) / min(paper))


def test_exposure_in_proportion_to_merit_is_fair_by_every_measure():
    merit = np.array([2.0, 3.0, 5.0, 7.0, 11.0])
    policy = np.tile(merit / merit.sum(), (3, 1))
    np.testing.assert_allclose(exposure_per_merit(policy, merit, GROUPS), 1)
    assert disparate_treatment(policy, merit, GROUPS) == pytest.approx(1)
    assert unequal_attention(policy, merit) == pytest.approx(0, abs=1e-15)


def test_a_group_that_is_never_shown_is_treated_infinitely_worse():
    assert disparate_treatment([[1.0, 0.0]], [1.0, 1.0], [0, 1]) == float("inf")


def test_half_the_unequal_attention_is_what_would_have_to_move():
    merit = np.array([1.0, 0.0, 3.0, 4.0, 0.0])
    due, given_ = merit / 8, item_exposure(POLICY)
    moved = np.maximum(given_ - due, 0).sum()
    assert unequal_attention(POLICY, merit) == pytest.approx(2 * moved)
    assert unequal_attention([[0.0, 1.0]], [1.0, 0.0]) == 2.0


def test_merit_share_sums_and_equal_merit_counts_items():
    np.testing.assert_allclose(merit_share([7.0] * 5, GROUPS), [2 / 5, 2 / 5, 1 / 5])
    np.testing.assert_allclose(merit_share([1, 0, 2, 5, 3], GROUPS), [1 / 11, 5 / 11, 5 / 11])


@given(arrays(float, st.integers(1, 11), elements=st.floats(0, 5)).filter(lambda x: x.sum() > 0.1))
def test_gini_is_the_mean_distance_of_all_pairs(amounts):
    pairs = np.abs(amounts[:, None] - amounts).sum()
    assert gini(amounts) == pytest.approx(pairs / (2 * len(amounts) * amounts.sum()), abs=1e-12)
    assert gini(3 * amounts) == pytest.approx(gini(amounts), abs=1e-12)


def test_gini_and_the_effective_number_of_items_agree_on_the_ends():
    for n, k in ((7, 1), (7, 7), (11, 3)):
        amounts = np.where(np.arange(n) < k, 2.0, 0.0)
        assert gini(amounts) == pytest.approx(1 - k / n)
        assert effective_sample_size(amounts) == pytest.approx(k)


def test_means_by_group_their_gap_and_who_is_worst_off():
    values, groups = np.array([0.3, 0.1, 0.2, 0.7, 0.6]), np.array([1, 0, 0, 2, 2])
    found = by_group(values, groups)
    np.testing.assert_allclose(found.mean, [0.15, 0.3, 0.65])
    np.testing.assert_array_equal(found.size, [2, 1, 2])
    assert found.gap == pytest.approx(0.65 - 0.15)
    assert found.worst == 0
    assert found.size @ found.mean / 5 == pytest.approx(values.mean())


# ------------------------------------------------------------------- the re-ranking, three ways


def by_brute_force(values, groups, share):
    """The best assignment of one item each with exact counts, over all of them."""
    people, items = values.shape
    wanted = np.round(share * people).astype(int)
    totals = [
        values[np.arange(people), list(shown)].sum()
        for shown in itertools.product(range(items), repeat=people)
        if (np.bincount(groups[list(shown)], minlength=len(share)) == wanted).all()
    ]
    return max(totals) / people


def of_two_groups(values, groups, share):
    """Two groups: sort people by what the second group costs them, and cut, also within one."""
    first, second = (values[:, groups == g].max(axis=1) for g in (0, 1))
    order = np.argsort(second - first)  # who prefers the first group most stands first
    people = len(values)
    room = np.clip(people * share[0] - np.arange(people), 0, 1)
    return (room * first[order] + (1 - room) * second[order]).sum() / people


def groups_of(items, count, rng):
    """A random group for each item, none of the groups empty."""
    groups = np.concatenate([np.arange(count), rng.integers(count, size=items - count)])
    return rng.permutation(groups)


@st.composite
def problems(draw, most=3):
    people, items = draw(st.integers(1, 7)), draw(st.integers(2, 5))
    count = draw(st.integers(2, min(most, items)))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    parts = np.array(draw(st.lists(st.integers(0, 6), min_size=count, max_size=count)), float)
    parts[0] += parts.sum() == 0
    values = rng.normal(size=(people, items)).round(1)  # with ties
    return values, groups_of(items, count, rng), parts / parts.sum()


@given(problems())
def test_the_share_is_met_and_the_price_is_never_negative(problem):
    values, groups, share = problem
    found = fair_policy(values, groups, share)
    np.testing.assert_allclose(group_exposure(found.policy, groups), share, atol=1e-9)
    np.testing.assert_allclose(found.policy.sum(axis=1), 1, atol=1e-12)
    assert found.policy.min() >= 0
    assert found.price >= 0
    best = values.max(axis=1).mean()
    assert found.value + found.price == pytest.approx(best, abs=1e-9)
    assert found.value == pytest.approx((found.policy * values).sum() / len(values))
    divided = ((found.policy > 1e-9).sum(axis=1) > 1).sum()
    assert divided < len(share)


@given(problems(), st.floats(0, 1))
def test_at_least_a_share_costs_less_than_exactly_and_less_the_lower_it_is(problem, part):
    values, groups, share = problem
    exact = fair_policy(values, groups, share)
    whole = fair_policy(values, groups, share, exactly=False)
    lower = fair_policy(values, groups, part * share, exactly=False)
    assert whole.price == pytest.approx(exact.price, abs=1e-9)  # the shares leave nothing over
    assert 0 <= lower.price <= whole.price + 1e-9
    assert (group_exposure(lower.policy, groups) >= part * share - 1e-9).all()
    assert fair_policy(values, groups, 0 * share, exactly=False).price == 0


@given(problems(most=2))
def test_two_groups_are_a_sort_and_a_cut(problem):
    values, groups, share = problem
    found = fair_policy(values, groups, share)
    assert found.value == pytest.approx(of_two_groups(values, groups, share), abs=1e-9)


@pytest.mark.parametrize(("people", "items", "count", "seed"), [(3, 5, 3, 0), (5, 4, 2, 1)])
def test_tiny_problems_are_solved_as_by_brute_force(people, items, count, seed):
    rng = np.random.default_rng(seed)
    values, groups = rng.normal(size=(people, items)), groups_of(items, count, rng)
    for taken in itertools.product(range(people + 1), repeat=count):
        if sum(taken) == people:
            share = np.array(taken) / people
            found = fair_policy(values, groups, share)
            assert found.value == pytest.approx(by_brute_force(values, groups, share), abs=1e-9)
            assert set(np.unique(found.policy.round(9))) <= {0, 1}  # whole shares divide nobody


def test_shares_that_divide_people_are_those_of_their_copies():
    """Two people and sixths are six people and whole numbers: each stands for three copies."""
    rng = np.random.default_rng(5)
    values, groups = rng.normal(size=(2, 3)), np.arange(3)
    for taken in ((1, 2, 3), (4, 1, 1), (0, 5, 1)):
        share = np.array(taken) / 6
        copies = by_brute_force(np.repeat(values, 3, axis=0), groups, share)
        assert fair_policy(values, groups, share).value == pytest.approx(copies, abs=1e-9)


def test_the_exposure_that_is_there_anyway_costs_nothing():
    rng = np.random.default_rng(7)
    values, groups = rng.normal(size=(211, 11)), groups_of(11, 3, rng)
    free = np.eye(11)[values.argmax(axis=1)]
    found = fair_policy(values, groups, group_exposure(free, groups))
    assert found.price == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(found.policy, free, atol=1e-9)


def test_many_people_meet_awkward_shares_to_the_last_digits():
    rng = np.random.default_rng(11)
    values, groups = rng.normal(size=(1009, 23)), groups_of(23, 5, rng)
    share = rng.dirichlet(np.ones(5))
    found = fair_policy(values, groups, share)
    np.testing.assert_allclose(group_exposure(found.policy, groups), share, atol=1e-9)
    uniform = np.tile(share[groups] / np.bincount(groups)[groups], (1009, 1))
    assert found.value > (uniform * values).sum() / 1009  # a fair policy that looks at nobody


def test_what_may_not_be_shown_is_not_shown_and_does_not_count_as_lost():
    values = np.array([[5.0, 1.0, 0.0], [5.0, 1.0, 2.0], [5.0, 0.0, 1.0]])
    where = np.array([[False, True, True], [True, True, True], [True, True, False]])
    found = fair_policy(values, [0, 1, 1], [1 / 3, 2 / 3], where=where)
    assert not found.policy[~where].any()
    # the best without the shares is 1, 5, 5; one of the two fives has to be 2 or 0 instead
    np.testing.assert_allclose(found.policy, [[0, 1, 0], [0, 0, 1], [1, 0, 0]], atol=1e-12)
    assert found.price == pytest.approx((5 - 2) / 3)
    with pytest.raises(ValueError, match=r"share .* is out of reach"):
        fair_policy(values, [0, 1, 1], [1.0, 0.0], where=where)


def test_a_solution_that_misses_its_shares_is_refused(monkeypatch):
    honest = optimize.linprog

    def careless(c, **rows):
        people = 7
        return honest(
            c,
            A_eq=rows["A_eq"][:people],
            b_eq=rows["b_eq"][:people],
            bounds=rows["bounds"],
            method=rows["method"],
        )

    monkeypatch.setattr("recflax.transport.linprog", careless)
    with pytest.raises(RuntimeError, match="left a group"):
        fair_policy(np.tile([2.0, 1.0], (7, 1)), [0, 1], [0.5, 0.5])


def test_a_solver_that_gives_up_is_reported(monkeypatch):
    lazy = {"maxiter": 0, "presolve": False}
    honest = optimize.linprog
    monkeypatch.setattr(
        "recflax.transport.linprog", lambda c, **rows: honest(c, options=lazy, **rows)
    )
    values = np.random.default_rng(0).normal(size=(7, 2))
    with pytest.raises(RuntimeError, match="no optimum was found"):
        fair_policy(values, [0, 1], [0.5, 0.5])


# ---------------------------------------------------------------------------------- the door


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: item_exposure([0.5, 0.5]), ValueError, r"policy must have shape \(U, M\)"),
        (lambda: item_exposure([[0.5, 0.4]]), ValueError, "row 0 sums to 0.9"),
        (lambda: item_exposure([[1.5, -0.5]]), ValueError, "smallest entry is -0.5"),
        (lambda: item_exposure([[np.nan, 1.0]]), ValueError, r"policy must be finite; \[0, 0\]"),
        (lambda: item_exposure([["a", "b"]]), TypeError, "policy must hold numbers"),
        (lambda: group_exposure([[0.5, 0.5]], [0, 2]), ValueError, "holds the id 2"),
        (lambda: group_exposure([[0.5, 0.5]], [1, 1]), ValueError, "0 is empty"),
        (lambda: group_exposure([[0.5, 0.5]], [0]), ValueError, r"groups must have shape \(2,\)"),
        (lambda: group_exposure([[0.5, 0.5]], [0.0, 1.0]), TypeError, "groups must hold integers"),
        (lambda: merit_share([1.0, -2.0], [0, 1]), ValueError, "entry 1 is -2.0"),
        (lambda: merit_share([0.0, 0.0], [0, 1]), ValueError, "merit must not be all 0"),
        (lambda: merit_share([1.0, np.inf], [0, 1]), ValueError, "merit must be finite"),
        (
            lambda: exposure_per_merit([[0.5, 0.5]], [1.0, 0.0], [0, 1]),
            ValueError,
            "group 1 has none",
        ),
        (lambda: unequal_attention([[0.5, 0.5]], [1.0]), ValueError, "merit must have shape"),
        (lambda: gini([]), ValueError, "at least one row"),
        (lambda: gini([0.0, 0.0]), ValueError, "amounts must not be all 0"),
        (lambda: gini([1.0, -1.0]), ValueError, "entry 1 is -1.0"),
        (lambda: by_group([0.1, np.nan], [0, 1]), ValueError, "values must be finite"),
        (lambda: by_group([0.1, 0.2], [0, 0, 1]), ValueError, "groups"),
        (lambda: fair_policy([1.0], [0], [1.0]), ValueError, r"values must have shape \(U, M\)"),
        (lambda: fair_policy([[np.nan, 1.0]], [0, 1], [0.5, 0.5]), ValueError, "must be finite"),
        (lambda: fair_policy([[1.0, 2.0]], [0, 1], [0.5]), ValueError, r"share must have shape"),
        (lambda: fair_policy([[1.0, 2.0]], [0, 1], [0.5, 0.4]), ValueError, "sums to 0.9"),
        (lambda: fair_policy([[1.0, 2.0]], [0, 1], [1.5, -0.5]), ValueError, "group 0 asks for"),
        (
            lambda: fair_policy([[1.0, 2.0]], [0, 1], [0.6, 0.6], exactly=False),
            ValueError,
            "at most 1; it sums to 1.2",
        ),
        (
            lambda: fair_policy([[1.0, 2.0]], [0, 1], [0.5, 0.5], where=[[1, 1]]),
            TypeError,
            "where must hold booleans",
        ),
        (
            lambda: fair_policy([[1.0, 2.0]], [0, 1], [0.5, 0.5], where=[[False, False]]),
            ValueError,
            "nothing to person 0",
        ),
        (
            lambda: fair_policy([[1.0, 2.0]], [0, 1], [0.5, 0.5], where=[[True]]),
            ValueError,
            "where must have the shape",
        ),
        (lambda: transport([0.0], [1.0]), ValueError, r"loss must have shape \(U, G\)"),
        (lambda: transport([["a"]], [1.0]), TypeError, "loss must hold numbers"),
        (lambda: transport([[-1.0, 0.0]], [0.5, 0.5]), ValueError, "the smallest is -1.0"),
        (lambda: transport([[np.nan, 0.0]], [0.5, 0.5]), ValueError, "loss must be at least 0"),
        (lambda: transport([[np.inf, np.inf]], [0.5, 0.5]), ValueError, "person 0 in every group"),
    ],
)
def test_bad_input_is_refused_by_name(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
