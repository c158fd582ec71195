"""The law of an estimate by hand and by repetition, and claims that a broken library refuses."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from recflax.causal.logged import Logged
from recflax.causal.policy_value import clipped_ips, direct_method, doubly_robust, ips
from recflax.intervals import mean_over_people
from recflax.lessons import weighting_limits as lesson
from recflax.lessons.statements import by_name
from recflax.worlds.store import Store

SIZE, SEEDS = 499, (3, 5, 7)
TINY = {"n_items": 11, "n_categories": 3, "length": 7}


@pytest.fixture(scope="module")
def rows():
    return [lesson.run(seed, SIZE) for seed in SEEDS]


def claims_of(rows):
    return by_name(lesson.claims(rows))


def test_every_statement_has_a_bound_and_a_name_of_its_own(rows):
    said = claims_of(rows)
    assert {"weighting-unbiased", "weighting-clip-10-misses", "weighting-free-test-fires"} <= set(
        said
    )
    assert all(s.at_least is not None or s.at_most is not None for s in said.values())
    assert {s.seeds for s in said.values()} == {3}
    assert all(name.startswith("weighting-") for name in said)


@pytest.mark.parametrize(
    "name",
    [
        "unbiased",
        "unbiased-by-law",
        "bias-obeys-its-formula",
        "coverage-robust",
        "intervals-do-not-know",
        "clip-3-misses",
        "clip-costs-while-overlap-is-wide",
        "no-overlap-bias",
        "free-test-is-silent",
    ],
)
def test_what_does_not_depend_on_many_stores_holds_on_three_small_ones(rows, name):
    assert claims_of(rows)[f"weighting-{name}"].holds


# ------------------------------------------------------------------------ the exact law


def law_by_hand(case: lesson.Case, weight, predicted) -> tuple[float, float]:
    """Mean and variance of an estimate by going through every cell, one at a time."""
    store, people = case.store, len(case.policy)
    means, variances = [], []
    for u in range(people):
        direct = sum(case.policy[u, j] * predicted[u, j] for j in range(11))
        first = second = 0.0
        for z, p_z in store.intents():
            shown, sold = store.display(z)[u], store.mu(1, z)[u]
            for j in range(11):
                for y in (0, 1):
                    p = p_z * shown[j] * (sold[j] if y else 1 - sold[j])
                    term = direct + weight(z)[u, j] * (y - predicted[u, j])
                    first += p * term
                    second += p * term**2
        means.append(first)
        variances.append(second - first**2)
    return np.mean(means), np.sqrt(sum(variances) / 8) / people


def test_the_law_of_an_estimate_by_hand():
    case = lesson.draw_case(3, 7, **TINY)
    policy, store = case.policy, case.store
    wrong = store.see()
    for weight, predicted in (
        (lambda z: policy / store.display(z), np.zeros(policy.shape)),
        (lambda z: np.minimum(policy / store.display(z), 1.5), wrong),
        (lambda z: policy * 5, wrong),
    ):
        bias, error = lesson.exact(case, np.stack([weight(0), weight(1)]), predicted)
        mean, spread = law_by_hand(case, weight, predicted)
        assert bias == pytest.approx(mean - case.truth, abs=1e-12)
        assert error == pytest.approx(spread, rel=1e-9)


def test_logs_drawn_again_and_again_obey_the_law():
    case = lesson.draw_case(5, 53, **TINY)
    store, policy, wrong = case.store, case.policy, case.store.see()
    by_item = np.broadcast_to(store.logging_policy().mean(axis=0), policy.shape)
    drawn = store.log(visits=1000)
    columns = drawn.person, drawn.shown - 1, drawn.bought_shown, drawn.propensity
    parts = [column.reshape(125, 8 * 53) for column in columns]
    logs = [Logged(*(part[i] for part in parts)) for i in range(125)]
    broken = [replace(log, propensity=by_item[0, log.action]) for log in logs]
    for estimates, weight, predicted in (
        ([clipped_ips(log, policy, 2.0) for log in logs], np.minimum(case.weight, 2.0), 0.0),
        ([doubly_robust(r, policy, r.bind(wrong)) for r in broken], policy / by_item, wrong),
    ):
        bias, error = lesson.exact(case, weight, predicted)
        apart = np.array([e.value for e in estimates]) - case.truth - bias
        assert abs(apart.mean()) < 4 * error / np.sqrt(125)
        # the mean square of 125 nearly normal numbers: chi-squared, to 99.9%
        low, high = stats.chi2.ppf([0.0005, 0.9995], 125) / 125
        assert low < (apart / error) @ (apart / error) / 125 < high


def test_a_row_says_what_the_store_says(rows):
    case = lesson.draw_case(SEEDS[0], SIZE)
    uplift = case.store.uplift()
    softmax = np.exp(3 * np.log(uplift))
    softmax /= softmax.sum(axis=1, keepdims=True)
    assert rows[0]["truth"] == pytest.approx(case.store.policy_value(softmax).slot_rate, rel=1e-12)
    weight = case.log.weight(softmax)
    assert rows[0]["wide_ips_error"] == pytest.approx(
        (weight * case.log.reward).mean() - rows[0]["truth"], rel=1e-9
    )
    assert rows[0]["wide_mean_weight"] == pytest.approx(weight.mean(), rel=1e-12)
    assert rows[0]["wide_largest"] == pytest.approx(weight.max(), rel=1e-12)
    assert rows[0]["none_reached"] < 1 == pytest.approx(rows[0]["wide_reached"], rel=1e-12)
    # with endless rows the effective share is 1 over the mean squared weight
    squared = sum(
        p * (softmax**2 / case.store.display(z)).sum(axis=1).mean() for z, p in case.store.intents()
    )
    assert rows[0]["wide_exact_size"] == pytest.approx(1 / squared, rel=1e-12)


def test_overlap_shrinks_from_setting_to_setting(rows):
    for row in rows:
        sizes = [row[f"{setting}_exact_size"] for setting in lesson.OVERLAPS]
        assert sizes == sorted(sizes, reverse=True)
        errors = [row[f"{setting}_ips_exact"] for setting in lesson.OVERLAPS]
        assert errors == sorted(errors)


def test_right_predictions_repair_a_broken_propensity_only_where_nothing_is_hidden(rows):
    for row in rows:
        assert abs(row["untargeted_dr_propensity_bias"]) < 1e-12
        assert abs(row["wide_dr_propensity_bias"]) > 1e-4
        assert abs(row["untargeted_dr_neither_bias"]) > 0.05


def test_same_seed_same_row(rows):
    assert lesson.run(SEEDS[1], SIZE) == rows[1]


# ------------------------------------------------------------- what a broken library does


def clip_always(patch):
    patch.setattr(lesson, "ips", lambda log, policy: clipped_ips(log, policy, 3.0))


def clip_never(patch):
    patch.setattr(lesson, "clipped_ips", lambda log, policy, clip: ips(log, policy))


def forget_the_rewards(patch):
    patch.setattr(lesson, "doubly_robust", direct_method)


def ignore_the_weights(patch):
    patch.setattr(lesson, "ips", lambda log, policy: mean_over_people(log.reward, log.person))


def shuffle_the_propensities(patch):
    draw = Store.log

    def shuffled(self, *arguments):
        log = draw(self, *arguments)
        return replace(log, propensity=np.random.default_rng(0).permutation(log.propensity))

    patch.setattr(Store, "log", shuffled)


@pytest.mark.parametrize(
    ("breakage", "name"),
    [
        (clip_always, "unbiased"),
        (clip_never, "bias-obeys-its-formula"),
        (forget_the_rewards, "unbiased"),
        (ignore_the_weights, "unbiased"),
        (shuffle_the_propensities, "unbiased"),
    ],
)
def test_a_broken_library_is_refused(breakage, name):
    with pytest.MonkeyPatch.context() as patch:
        breakage(patch)
        broken = claims_of([lesson.run(seed, SIZE) for seed in SEEDS])
    assert not broken[f"weighting-{name}"].holds
