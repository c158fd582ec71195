"""Permutation, scaling and duplication: what the estimators must not notice, or exactly how."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recflax.causal import effects
from recflax.causal import policy_value as pv
from recflax.causal.logged import Logged, Treated
from recflax.causal.propensity import effective_sample_size, overlap
from recflax.causal.sensitivity import effect_bounds
from recflax.causal.slate_value import slate_value, slate_weights
from recflax.causal.uplift import qini_area, uplift_by_group

C, A, PEOPLE, ROWS = 7, 5, 11, 47
seeds = st.integers(0, 10_000)
scales = st.sampled_from([-2.0, 0.001, 3.0, 1e4])


def log_of(seed: int) -> Logged:
    rng = np.random.default_rng(seed)
    return Logged(
        rng.integers(C, size=ROWS),
        rng.integers(A, size=ROWS),
        rng.normal(size=ROWS),
        rng.uniform(0.05, 1.0, ROWS),
        person=rng.integers(PEOPLE, size=ROWS),
    )


def tables_of(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(A), C), rng.normal(size=(C, A))


ESTIMATORS = {
    "ips": lambda log, policy, predicted: pv.ips(log, policy),
    "snips": lambda log, policy, predicted: pv.snips(log, policy),
    "clipped ips": lambda log, policy, predicted: pv.clipped_ips(log, policy, 0.7),
    "direct": lambda log, policy, predicted: pv.direct_method(log, policy, log.bind(predicted)),
    "dr": lambda log, policy, predicted: pv.doubly_robust(log, policy, log.bind(predicted)),
    "switch": lambda log, policy, predicted: pv.switch_dr(log, policy, log.bind(predicted), 0.7),
}
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def taken(log: Logged, rows: np.ndarray, person: np.ndarray) -> Logged:
    """Some rows of a log, each of a person as said."""
    names = ("context", "action", "reward", "propensity")
    return Logged(**{name: getattr(log, name)[rows] for name in names}, person=person)


def alike(found, wanted, factor: float = 1.0, error: float = 1.0) -> None:
    assert found.value == pytest.approx(factor * wanted.value, rel=1e-9, abs=1e-12)
    spread = abs(factor) * error * wanted.std_error
    assert found.std_error == pytest.approx(spread, rel=1e-9, abs=1e-12)


@every_estimator
@given(seed=seeds)
def test_permutation_of_rows_and_new_labels_of_people_change_no_value(name, seed):
    log, tables = log_of(seed), tables_of(seed)
    rng = np.random.default_rng(seed)
    order, labels = rng.permutation(ROWS), 100 - rng.permutation(PEOPLE)
    mixed = taken(log, order, labels[log.person][order])
    alike(ESTIMATORS[name](mixed, *tables), ESTIMATORS[name](log, *tables))


@every_estimator
@given(seed=seeds)
def test_permutation_of_actions_and_contexts_changes_no_value(name, seed):
    log, (policy, predicted) = log_of(seed), tables_of(seed)
    rng = np.random.default_rng(seed)
    action, context = rng.permutation(A), rng.permutation(C)  # new names of the old ones
    renamed = replace(log, action=action[log.action], context=context[log.context])
    tables = []
    for table in (policy, predicted):
        moved = np.empty_like(table)
        moved[np.ix_(context, action)] = table
        tables.append(moved)
    alike(ESTIMATORS[name](renamed, *tables), ESTIMATORS[name](log, policy, predicted))


@every_estimator
@given(seed=seeds, scale=scales)
def test_scaling_of_rewards_scales_value_and_error(name, seed, scale):
    log, (policy, predicted) = log_of(seed), tables_of(seed)
    scaled = replace(log, reward=log.reward * scale)
    alike(
        ESTIMATORS[name](scaled, policy, predicted * scale),
        ESTIMATORS[name](log, policy, predicted),
        factor=scale,
    )


@every_estimator
@given(seed=seeds)
def test_duplication_of_rows_of_the_same_people_is_no_new_evidence(name, seed):
    log, tables = log_of(seed), tables_of(seed)
    twice = taken(log, np.tile(np.arange(ROWS), 2), np.tile(log.person, 2))
    found, wanted = (ESTIMATORS[name](one, *tables) for one in (twice, log))
    alike(found, wanted)
    if wanted.effective_sample_size is not None:
        assert found.effective_sample_size == pytest.approx(2 * wanted.effective_sample_size)
        assert found.max_weight == wanted.max_weight


@every_estimator
@given(seed=seeds)
def test_duplication_of_people_divides_the_error_by_the_root_of_two(name, seed):
    """But for G / (G - 1), the correction for few people, which 2 G have less of."""
    log, tables = log_of(seed), tables_of(seed)
    person = np.concatenate([log.person, log.person + PEOPLE])
    twice = taken(log, np.tile(np.arange(ROWS), 2), person)
    people = len(set(log.person.tolist()))
    error = math.sqrt((people - 1) / (2 * people - 1))
    alike(ESTIMATORS[name](twice, *tables), ESTIMATORS[name](log, *tables), error=error)


@every_estimator
@given(seed=seeds)
def test_padding_with_an_action_that_nobody_takes_changes_no_value(name, seed):
    log, (policy, predicted) = log_of(seed), tables_of(seed)
    wider = np.pad(policy, ((0, 0), (0, 1))), np.pad(predicted, ((0, 0), (0, 1)), constant_values=9)
    alike(ESTIMATORS[name](log, *wider), ESTIMATORS[name](log, policy, predicted))


@given(seed=seeds, scale=st.sampled_from([0.25, 0.9]))
def test_scaling_of_propensities_scales_ips_and_leaves_snips(seed, scale):
    log, (policy, _) = log_of(seed), tables_of(seed)
    rarer = replace(log, propensity=log.propensity * scale)
    alike(pv.ips(rarer, policy), pv.ips(log, policy), factor=1 / scale)
    alike(pv.snips(rarer, policy), pv.snips(log, policy))


@given(seed=seeds)
def test_overlap_under_permutation_and_duplication_of_rows(seed):
    log = log_of(seed)
    policy = np.random.default_rng(seed).dirichlet(np.ones(A + 1), C)  # the last is never shown
    wanted = overlap(log, policy)
    assert wanted.never_shown > 0
    order = np.random.default_rng(seed).permutation(ROWS)
    for rows, copies in ((order, 1), (np.tile(order, 2), 2)):
        found = overlap(taken(log, rows, log.person[rows]), policy)
        alike(found.mean_weight, wanted.mean_weight)
        assert found.never_shown == pytest.approx(wanted.never_shown)
        assert found.effective_sample_size == pytest.approx(copies * wanted.effective_sample_size)
        assert found.n == copies * wanted.n


@given(seed=seeds, zeros=st.integers(1, 9))
def test_padding_with_weights_of_zero_changes_no_effective_sample_size(seed, zeros):
    weight = np.random.default_rng(seed).uniform(0.1, 5, 13)
    wanted = pytest.approx(effective_sample_size(weight))
    assert effective_sample_size(np.append(weight, np.zeros(zeros))) == wanted


# ------------------------------------------------------------------------------ average effects


def treated(seed: int, binary: bool = False) -> tuple[Treated, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    known = {
        "propensity": rng.uniform(0.1, 0.9, ROWS),
        "outcome_0": rng.normal(size=ROWS),
        "outcome_1": rng.normal(size=ROWS),
    }
    treatment = rng.random(ROWS) < known["propensity"]
    treatment[:2] = [True, False]
    outcome = rng.integers(2, size=ROWS) if binary else rng.normal(size=ROWS)
    return Treated(treatment, outcome, rng.integers(PEOPLE, size=ROWS)), known


EFFECTS = {
    "difference": lambda log, known: effects.difference_of_means(log),
    "regression": lambda log, known: effects.outcome_regression(log, log.bind(**known)),
    "weighting": lambda log, known: effects.inverse_weighting(log, log.bind(**known)),
    "normalised": lambda log, known: effects.inverse_weighting(
        log, log.bind(**known), normalise=True
    ),
    "dr": lambda log, known: effects.doubly_robust(log, log.bind(**known)),
}
every_effect = pytest.mark.parametrize("name", EFFECTS)


def copied(log: Treated, known: dict, rows: np.ndarray, person: np.ndarray) -> tuple:
    part = Treated(log.treatment[rows], log.outcome[rows], person)
    return part, {name: column[rows] for name, column in known.items()}


@every_effect
@given(seed=seeds)
def test_permutation_of_rows_changes_no_effect(name, seed):
    log, known = treated(seed)
    order = np.random.default_rng(seed).permutation(ROWS)
    mixed = copied(log, known, order, 100 - log.person[order])
    alike(EFFECTS[name](*mixed), EFFECTS[name](log, known))


@every_effect
@given(seed=seeds, scale=scales)
def test_scaling_of_outcomes_scales_effect_and_error(name, seed, scale):
    log, known = treated(seed)
    more = known | {arm: known[arm] * scale for arm in ("outcome_0", "outcome_1")}
    scaled = replace(log, outcome=log.outcome * scale)
    alike(EFFECTS[name](scaled, more), EFFECTS[name](log, known), factor=scale)


@every_effect
@given(seed=seeds)
def test_duplication_of_rows_and_of_people_in_effects(name, seed):
    """Rows of the same people add nothing; as many people again divide by the root of two."""
    log, known = treated(seed)
    wanted, rows = EFFECTS[name](log, known), np.tile(np.arange(ROWS), 2)
    alike(EFFECTS[name](*copied(log, known, rows, np.tile(log.person, 2))), wanted)
    others = np.concatenate([log.person, log.person + PEOPLE])
    people = len(set(log.person.tolist()))
    error = math.sqrt((people - 1) / (2 * people - 1))
    alike(EFFECTS[name](*copied(log, known, rows, others)), wanted, error=error)


@given(seed=seeds)
def test_permutation_and_duplication_of_rows_leave_bounds_under_a_hidden_cause(seed):
    log, known = treated(seed, binary=True)
    strength = [1.0, 1.5, 4.0]

    def bounds(log: Treated, known: dict) -> np.ndarray:
        return np.array(effect_bounds(log, log.bind(propensity=known["propensity"]), strength))

    order = np.random.default_rng(seed).permutation(ROWS)
    for rows in (order, np.tile(order, 2)):
        found = bounds(*copied(log, known, rows, log.person[rows]))
        np.testing.assert_allclose(found, bounds(log, known), rtol=1e-9, atol=1e-12)


@given(seed=seeds, scale=st.sampled_from([0.01, 3.0]))
def test_uplift_under_permutation_scaling_and_duplication(seed, scale):
    log, _ = treated(seed)
    score = np.random.default_rng(seed + 1).integers(4, size=ROWS).astype(float)  # with ties
    area = qini_area(log, score, replicates=2)
    groups = uplift_by_group(log, score, 2)
    order = np.random.default_rng(seed).permutation(ROWS)
    for rows, factor in ((order, scale), (np.tile(order, 2), 1.0)):
        part = Treated(log.treatment[rows], log.outcome[rows] * factor, log.person[rows])
        found = qini_area(part, score[rows] * 7, replicates=2)
        assert found.value == pytest.approx(factor * area.value, rel=1e-9, abs=1e-12)
        for one, wanted in zip(uplift_by_group(part, score[rows], 2), groups, strict=True):
            alike(one, wanted, factor=factor)


LISTS = np.array([[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]])


@pytest.mark.parametrize("by", ["list", "sequential", "item", "pseudo_inverse"])
@given(seed=seeds, items=st.permutations(range(3)), scale=scales)
def test_slates_under_permutation_of_lists_and_items_and_scaling_of_clicks(by, seed, items, scale):
    rng = np.random.default_rng(seed)
    old, new = rng.dirichlet(np.full(6, 5.0), 2)
    weight = slate_weights(LISTS, old, new, by)
    order = rng.permutation(6)
    renamed = slate_weights(np.array(items)[LISTS[order]], old[order], new[order], by)
    np.testing.assert_allclose(renamed, weight[order], rtol=1e-6, atol=1e-9)
    shown, clicked = rng.integers(6, size=23), rng.integers(2, size=(23, 2)).astype(float)
    person = rng.integers(9, size=23)
    value = slate_value(weight[shown], clicked, person)
    alike(slate_value(weight[shown], clicked * scale, person), value, factor=scale)
    twice = [np.concatenate([part, part]) for part in (weight[shown], clicked)]
    alike(slate_value(*twice, np.tile(person, 2)), value)
