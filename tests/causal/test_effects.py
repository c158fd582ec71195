"""Effects against exact truths over 1,000 small logs, a second implementation, and bad input."""

import math
from dataclasses import replace

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from recflax.causal import effects
from recflax.causal.effects import (
    cross_fit,
    difference_of_means,
    doubly_robust,
    inverse_weighting,
    outcome_regression,
    person_folds,
)
from recflax.causal.logged import Treated
from recflax.estimates import PEOPLE_LIKE_THEM
from recflax.worlds.banner import BannerConfig, build_banner
from recflax.worlds.banner_law import BannerLaw

LOGS, PEOPLE, VISITS = 1_000, 307, 2
OPEN, HIDDEN = BannerConfig(n_people=PEOPLE), BannerConfig(n_people=PEOPLE, g=2.0)
NO_OVERLAP = BannerConfig(n_people=PEOPLE, t_k=-60.0)  # kind 1 is shown the banner once in 1e26
WRONG = {"propensity": 0.5, "outcome_0": 0.4, "outcome_1": 0.4}


# ------------------------------------------------------------- 1,000 small logs, exact truth


def estimates_of(config: BannerConfig, seed: int) -> dict:
    """Every estimator on one log, with the nuisances of a perfect network or constant ones."""
    banner = build_banner(config, seed)
    draws = banner.log(VISITS)
    log = draws.treated()
    right = {"propensity": draws.propensity}
    right |= {f"outcome_{t}": banner.see(t)[draws.person] for t in (0, 1)}
    wrong = {name: np.full(log.n, value) for name, value in WRONG.items()}
    known = log.bind(**right)
    return {
        "difference_of_means": difference_of_means(log),
        "outcome_regression": outcome_regression(log, known),
        "inverse_weighting": inverse_weighting(log, known),
        "normalised": inverse_weighting(log, known, normalise=True),
        "doubly_robust": doubly_robust(log, known),
        "wrong_propensity": doubly_robust(
            log, log.bind(**right | {"propensity": wrong["propensity"]})
        ),
        "wrong_outcomes": doubly_robust(log, log.bind(**wrong | {"propensity": draws.propensity})),
        "both_wrong": doubly_robust(log, log.bind(**wrong)),
    }


@pytest.fixture(scope="module")
def found() -> dict:
    """Value and both ends, (LOGS, 3), of every estimator in every world."""
    worlds = {"open": OPEN, "hidden": HIDDEN, "no_overlap": NO_OVERLAP}
    table = {}
    for world, config in worlds.items():
        rows = [estimates_of(config, seed) for seed in range(LOGS)]
        for name in rows[0]:
            table[world, name] = np.array(
                [(row[name].value, row[name].lower, row[name].upper) for row in rows]
            )
    return table


def close_to(values: np.ndarray, expected: float) -> bool:
    """Whether the mean over logs is within four Monte Carlo standard errors of a number."""
    return abs(values.mean() - expected) < 4 * values.std(ddof=1) / math.sqrt(len(values))


def coverage(ends: np.ndarray, truth: float) -> float:
    return float(((ends[:, 1] <= truth) & (truth <= ends[:, 2])).mean())


BAND = stats.binom.ppf([0.0005, 0.9995], LOGS, 0.95) / LOGS
UNBIASED = (
    "outcome_regression",
    "inverse_weighting",
    "normalised",
    "doubly_robust",
    "wrong_propensity",
    "wrong_outcomes",
)


@pytest.mark.parametrize("name", UNBIASED)
def test_what_theory_calls_unbiased_is(found, name):
    assert close_to(found["open", name][:, 0], OPEN.law().effect())


@pytest.mark.parametrize("name", UNBIASED)
def test_intervals_cover_as_often_as_they_say(found, name):
    assert BAND[0] <= coverage(found["open", name], OPEN.law().effect()) <= BAND[1]


def test_the_difference_of_means_is_off_by_its_closed_form(found):
    law = OPEN.law()
    values = found["open", "difference_of_means"]
    assert close_to(values[:, 0], law.difference_of_means())
    assert coverage(values, law.effect()) < BAND[0]
    assert BAND[0] <= coverage(values, law.difference_of_means()) <= BAND[1]


def wrong_limit(law: BannerLaw) -> float:
    """What doubly robust tends to with the constants of `WRONG`, from its formula, cell by cell."""
    p, m_0, m_1 = WRONG.values()
    total = 0.0
    for share, e, mu_0, mu_1 in zip(
        law.kind, law.propensity(), law.see(0), law.see(1), strict=True
    ):
        treated = e / p * (mu_1 - m_1)
        others = (1 - e) / (1 - p) * (mu_0 - m_0)
        total += share * (m_1 - m_0 + treated - others)
    return total


def test_both_nuisances_wrong_fails_by_the_exact_formula(found):
    law, values = OPEN.law(), found["open", "both_wrong"]
    assert close_to(values[:, 0], wrong_limit(law))
    assert not close_to(values[:, 0], law.effect())
    assert coverage(values, law.effect()) < BAND[0]


@pytest.mark.parametrize(
    "name", ["outcome_regression", "inverse_weighting", "normalised", "doubly_robust"]
)
def test_a_hidden_confounder_fails_by_its_closed_form(found, name):
    law, values = HIDDEN.law(), found["hidden", name]
    assert close_to(values[:, 0], law.effect() + law.bias())
    assert coverage(values, law.effect()) < BAND[0]
    assert BAND[0] <= coverage(values, law.adjusted()) <= BAND[1]


def test_without_overlap_weighting_loses_the_part_that_was_never_treated(found):
    law = NO_OVERLAP.law()
    lost = law.kind[1] * law.do(1)[1]
    for name in ("inverse_weighting", "wrong_outcomes"):
        values = found["no_overlap", name]
        missing = 0.0 if name == "inverse_weighting" else law.kind[1] * WRONG["outcome_1"]
        assert close_to(values[:, 0], law.effect() - lost + missing), name
        assert coverage(values, law.effect()) < BAND[0], name
    # outcomes that are known where nobody was treated are a gift: nothing in the log tests them
    assert close_to(found["no_overlap", "doubly_robust"][:, 0], law.effect())


# ------------------------------------------------------------------- a second implementation


def random_log(seed: int, people: int = 13, rows: int = 61) -> tuple[Treated, dict]:
    rng = np.random.default_rng(seed)
    person = rng.integers(0, people, rows)
    known = {
        "propensity": rng.uniform(0.1, 0.9, rows),
        "outcome_0": rng.normal(size=rows),
        "outcome_1": rng.normal(size=rows),
    }
    treatment = rng.random(rows) < known["propensity"]
    treatment[:2] = [True, False]
    return Treated(treatment, rng.normal(size=rows), person), known


def loops(log: Treated, known: dict) -> dict[str, tuple[float, float]]:
    """The formulas row by row, and their clustered standard errors person by person."""
    rows = list(zip(log.treatment, log.outcome, *known.values(), strict=True))
    n = log.n
    parts = {
        "outcome_regression": [m1 - m0 for _, _, _, m0, m1 in rows],
        "inverse_weighting": [y / e if t else -y / (1 - e) for t, y, e, _, _ in rows],
        "doubly_robust": [
            m1 - m0 + ((y - m1) / e if t else -(y - m0) / (1 - e)) for t, y, e, m0, m1 in rows
        ],
    }
    share = sum(log.treatment) / n
    for name, chance in (
        ("difference_of_means", [share] * n),
        ("normalised", known["propensity"]),
    ):
        weight = [1 / e if t else 1 / (1 - e) for (t, *_), e in zip(rows, chance, strict=True)]
        total = {s: sum(w for w, r in zip(weight, rows, strict=True) if r[0] == s) for s in (0, 1)}
        mean = {
            s: sum(w * r[1] for w, r in zip(weight, rows, strict=True) if r[0] == s) / total[s]
            for s in (0, 1)
        }
        value = mean[1] - mean[0]
        parts[name] = [
            value + n * (1 if t else -1) * w * (y - mean[int(t)]) / total[int(t)]
            for (t, y, *_), w in zip(rows, weight, strict=True)
        ]
    result = {}
    for name, part in parts.items():
        value = sum(part) / n
        sums: dict = {}
        for who, x in zip(log.person, part, strict=True):
            sums[who] = sums.get(who, 0.0) + x - value
        people = len(sums)
        spread = people / (people - 1) * sum(s**2 for s in sums.values())
        result[name] = value, math.sqrt(spread) / n
    return result


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_values_and_errors_are_those_of_loops(seed):
    log, known = random_log(seed)
    bound = log.bind(**known)
    mine = {
        "difference_of_means": difference_of_means(log),
        "outcome_regression": outcome_regression(log, bound),
        "inverse_weighting": inverse_weighting(log, bound),
        "normalised": inverse_weighting(log, bound, normalise=True),
        "doubly_robust": doubly_robust(log, bound),
    }
    for name, (value, error) in loops(log, known).items():
        assert mine[name].value == pytest.approx(value, rel=1e-10), name
        assert mine[name].std_error == pytest.approx(error, rel=1e-10), name
        assert mine[name].target == PEOPLE_LIKE_THEM


def test_the_difference_of_means_is_what_it_says_and_has_welch_errors_without_clusters():
    log, _ = random_log(7)
    log = replace(log, person=None)
    treated, others = (log.outcome[log.treatment == t] for t in (1, 0))
    found = difference_of_means(log)
    assert found.value == pytest.approx(treated.mean() - others.mean())
    welch = math.sqrt(treated.var() / len(treated) + others.var() / len(others))
    assert found.std_error == pytest.approx(welch * math.sqrt(log.n / (log.n - 1)))


def test_diagnostics_are_kish_and_the_largest_weight():
    log = Treated([1, 0, 1, 0], [1.0, 0.0, 0.0, 1.0])
    known = log.bind([0.5, 0.5, 0.2, 0.75], [0.0] * 4, [0.0] * 4)
    weights = [2.0, 2.0, 5.0, 4.0]
    for found in (inverse_weighting(log, known), doubly_robust(log, known)):
        assert found.max_weight == 5.0
        assert found.effective_sample_size == pytest.approx(13**2 / sum(w * w for w in weights))
        assert found.clipped_share is None
    assert difference_of_means(log).effective_sample_size == pytest.approx(4)
    assert outcome_regression(log, known).max_weight is None


def test_propensities_are_clipped_only_when_asked_and_it_is_counted():
    log = Treated([1, 0, 1, 0], [1.0, 1.0, 1.0, 0.0])
    known = log.bind([0.01, 0.5, 0.25, 0.999], [0.0] * 4, [0.0] * 4)
    inside = log.bind([0.1, 0.5, 0.25, 0.9], [0.0] * 4, [0.0] * 4)
    for estimator in (inverse_weighting, doubly_robust):
        assert estimator(log, known).max_weight == pytest.approx(1000)
        clipped = estimator(log, known, clip=0.1)
        assert clipped.clipped_share == 0.5
        assert clipped.value == pytest.approx(estimator(log, inside).value)
        assert clipped.max_weight == pytest.approx(10)
        for wrong in (0.0, 0.5, -0.1, math.nan):
            with pytest.raises(ValueError, match=r"clip must be between 0 and 0\.5; got"):
                estimator(log, known, clip=wrong)


@given(st.integers(0, 10_000), st.floats(-7, 7))
def test_symmetries(seed, constant):
    log, known = random_log(seed)
    bound = log.bind(**known)
    moved = replace(log, outcome=log.outcome + constant)
    swapped = replace(log, treatment=1 - log.treatment)
    mirrored = swapped.bind(1 - known["propensity"], known["outcome_1"], known["outcome_0"])
    for estimate, shifted in (
        (difference_of_means(log), difference_of_means(moved)),
        (
            inverse_weighting(log, bound, normalise=True),
            inverse_weighting(moved, moved.bind(**known), normalise=True),
        ),
    ):
        assert shifted.value == pytest.approx(estimate.value, abs=1e-9)
    assert difference_of_means(swapped).value == pytest.approx(-difference_of_means(log).value)
    for estimator in (inverse_weighting, doubly_robust, outcome_regression):
        assert estimator(swapped, mirrored).value == pytest.approx(-estimator(log, bound).value)
    order = np.random.default_rng(seed).permutation(log.n)
    mixed = Treated(log.treatment[order], log.outcome[order], log.person[order])
    again = doubly_robust(mixed, mixed.bind(**{k: v[order] for k, v in known.items()}))
    assert again.value == pytest.approx(doubly_robust(log, bound).value)
    assert again.std_error == pytest.approx(doubly_robust(log, bound).std_error)


def test_rows_of_one_person_are_no_new_evidence():
    log, known = random_log(11)
    log = replace(log, person=None)
    thrice = Treated(*(np.tile(part, 3) for part in (log.treatment, log.outcome, log.person)))
    bound = thrice.bind(**{name: np.tile(part, 3) for name, part in known.items()})
    once = doubly_robust(log, log.bind(**known))
    found = doubly_robust(thrice, bound)
    assert found.std_error == pytest.approx(once.std_error)
    alone = replace(thrice, person=None)
    apart = doubly_robust(alone, alone.bind(bound.propensity, bound.outcome_0, bound.outcome_1))
    assert apart.value == pytest.approx(once.value)
    # as many people as rows, thrice: a factor of the root of 3, and G / (G - 1) of each
    factor = math.sqrt((log.n - 1) / (3 * log.n - 1))
    assert apart.std_error == pytest.approx(factor * once.std_error)


# ----------------------------------------------------------------------------- cross-fitting


def constant_fit(features, treatment, outcome, key):
    """One propensity and one outcome an arm, for all."""
    means = [outcome[treatment == t].mean() for t in (0, 1)]
    share = treatment.mean()
    return lambda new: [np.full(len(new["row"]), part) for part in (share, *means)]


def test_nobody_is_predicted_by_a_model_that_has_seen_them():
    log, _ = random_log(3, people=17, rows=101)
    calls = []

    def fit(features, treatment, outcome, key):
        learnt = features["row"]
        np.testing.assert_array_equal(treatment, log.treatment[learnt])
        np.testing.assert_array_equal(outcome, log.outcome[learnt])

        def predict(new):
            calls.append((learnt, new["row"]))
            return constant_fit(features, treatment, outcome, key)(new)

        return predict

    nuisances = cross_fit(log, {"row": np.arange(101)}, fit, folds=5, key=jax.random.key(0))
    assert len(calls) == 5
    asked = np.concatenate([ask for _, ask in calls])
    assert sorted(asked) == list(range(101))
    for learnt, ask in calls:
        assert not set(log.person[learnt]) & set(log.person[ask])
        assert len(learnt) + len(ask) == 101
        np.testing.assert_allclose(nuisances.propensity[ask], log.treatment[learnt].mean())
        one = log.outcome[learnt][log.treatment[learnt] == 1].mean()
        np.testing.assert_allclose(nuisances.outcome_1[ask], one)
    doubly_robust(log, nuisances)  # they are bound to the log


@given(st.sampled_from([7, 13]), st.integers(2, 7), st.integers(0, 1000))
def test_folds_are_by_person_and_even(people, folds, seed):
    person = np.repeat(np.arange(people), 2)
    fold = person_folds(person, folds, jax.random.key(seed))
    assert (fold[::2] == fold[1::2]).all()
    sizes = np.bincount(fold[::2], minlength=folds)
    assert sizes.max() - sizes.min() <= 1


def test_the_same_key_gives_the_same_folds_and_another_key_others():
    person = np.arange(101)
    one, two, other = (person_folds(person, 4, jax.random.key(k)) for k in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    names = np.array([f"p{label}" for label in person])
    assert len(person_folds(names, 4, jax.random.key(0))) == 101


def test_cross_fitted_doubly_robust_is_that_of_scikit_learn():
    banner = build_banner(BannerConfig(n_people=499), 3)
    draws = banner.log(VISITS)
    log = draws.treated()
    X = np.eye(9)[draws.tokens[:, -1]]  # the newest event's category
    asked = []

    def fit(features, treatment, outcome, key):
        chance = LogisticRegression().fit(features["X"], treatment)
        arms = [
            LogisticRegression().fit(features["X"][treatment == t], outcome[treatment == t])
            for t in (0, 1)
        ]

        def predict(new):
            asked.append(new["row"])
            return [model.predict_proba(new["X"])[:, 1] for model in (chance, *arms)]

        return predict

    features = {"X": X, "row": np.arange(log.n)}
    mine = doubly_robust(log, cross_fit(log, features, fit, key=jax.random.key(1)))

    fold = np.empty(log.n, dtype=int)
    for number, rows in enumerate(asked):
        fold[rows] = number
    split = PredefinedSplit(fold)
    t, y = log.treatment, log.outcome
    e = cross_val_predict(LogisticRegression(), X, t, cv=split, method="predict_proba")[:, 1]
    m = np.empty((2, log.n))
    for arm in (0, 1):
        for learn, ask in split.split():
            learn = learn[t[learn] == arm]
            m[arm, ask] = LogisticRegression().fit(X[learn], y[learn]).predict_proba(X[ask])[:, 1]
    score = m[1] - m[0] + t * (y - m[1]) / e - (1 - t) * (y - m[0]) / (1 - e)
    assert mine.value == pytest.approx(score.mean(), rel=1e-9)
    by_person = np.bincount(log.person, weights=score - score.mean())
    error = math.sqrt(499 / 498 * (by_person**2).sum()) / log.n
    assert mine.std_error == pytest.approx(error, rel=1e-9)
    assert abs(mine.value - OPEN.law().effect()) < 4 * mine.std_error
    assert abs(difference_of_means(log).value - OPEN.law().effect()) > (
        3 * difference_of_means(log).std_error
    )


def remembering(features, treatment, outcome, key):
    """Knows the propensity; of outcomes it knows its own rows by heart, and an arm's mean."""
    memory = {
        t: dict(zip(features["row"][treatment == t], outcome[treatment == t], strict=True))
        for t in (0, 1)
    }
    means = [outcome[treatment == t].mean() for t in (0, 1)]

    def predict(new):
        arms = [[memory[t].get(row, means[t]) for row in new["row"]] for t in (0, 1)]
        return new["propensity"], *map(np.array, arms)

    return predict


def test_a_model_that_remembers_is_harmless_across_folds_and_not_within_one():
    """By heart there is no residual to correct it, and AIPW becomes the difference of means."""
    truth, seeds = OPEN.law().effect(), range(150)
    honest, leaking = [], []
    for seed in seeds:
        draws = build_banner(OPEN, seed).log()
        log = draws.treated()
        features = {"row": np.arange(log.n), "propensity": draws.propensity}
        honest.append(
            doubly_robust(log, cross_fit(log, features, remembering, key=jax.random.key(seed)))
        )
        own = remembering(features, log.treatment, log.outcome, None)(features)
        leaking.append(doubly_robust(log, log.bind(*own)))
        assert leaking[-1].value == pytest.approx(difference_of_means(log).value)
    ends = {
        name: np.array([(e.value, e.lower, e.upper) for e in found])
        for name, found in (("honest", honest), ("leaking", leaking))
    }
    band = stats.binom.ppf([0.0005, 0.9995], len(seeds), 0.95) / len(seeds)
    assert close_to(ends["honest"][:, 0], truth)
    assert band[0] <= coverage(ends["honest"], truth) <= band[1]
    assert not close_to(ends["leaking"][:, 0], truth)
    assert coverage(ends["leaking"], truth) < band[0]


def test_fitting_on_the_fold_that_is_predicted_is_caught(monkeypatch):
    """The same check made of `cross_fit`, whole and broken."""

    def unbiased() -> bool:
        values = []
        for seed in range(60):
            draws = build_banner(OPEN, seed).log()
            features = {"row": np.arange(PEOPLE), "propensity": draws.propensity}
            log = draws.treated()
            nuisances = cross_fit(log, features, remembering, folds=2, key=jax.random.key(seed))
            values.append(doubly_robust(log, nuisances).value)
        return close_to(np.array(values), OPEN.law().effect())

    assert unbiased()
    whole = effects._parts
    monkeypatch.setattr(effects, "_parts", lambda fold, number: (whole(fold, number)[1],) * 2)
    assert not unbiased()


# --------------------------------------------------------------------------------- bad input


@pytest.fixture
def log() -> Treated:
    return random_log(5)[0]


@pytest.fixture
def features(log) -> dict:
    return {"row": np.arange(log.n)}


def test_nuisances_of_another_log_are_refused(log):
    known = random_log(5)[1]
    same_length, other_length = random_log(6)[0], random_log(6, rows=67)[0]
    others = [
        same_length.bind(**random_log(6)[1]),
        other_length.bind(**random_log(6, rows=67)[1]),
    ]
    for estimator in (outcome_regression, inverse_weighting, doubly_robust):
        for other in others:
            with pytest.raises(ValueError, match="nuisances were made for another log"):
                estimator(log, other)
        with pytest.raises(TypeError, match=r"must be bound to the log .* got dict"):
            estimator(log, known)


def test_missing_nuisances_are_named(log):
    known = random_log(5)[1]
    with pytest.raises(ValueError, match="nuisances lack outcome_0 and outcome_1"):
        doubly_robust(log, log.bind(propensity=known["propensity"]))
    with pytest.raises(ValueError, match="nuisances lack propensity"):
        inverse_weighting(log, log.bind(outcome_0=known["outcome_0"]))
    with pytest.raises(ValueError, match="nuisances lack outcome_1"):
        outcome_regression(log, log.bind(outcome_0=known["outcome_0"]))


@pytest.mark.parametrize(
    ("propensity", "message"),
    [
        (1.0, "propensity must be below 1; entry 3 is 1: the treatment is perfectly predicted"),
        (0.0, r"propensity must be in \(0, 1\]; entry 3 is 0"),
        (-0.2, r"propensity must be in \(0, 1\]; entry 3 is -0\.2"),
        (1.2, r"propensity must be in \(0, 1\]; entry 3 is 1\.2"),
        (np.nan, "propensity must be finite; entry 3 is nan"),
        (1e-39, "propensity must be at least 1.18e-38"),
    ],
)
def test_propensities_that_cannot_be_are_refused(log, propensity, message):
    known = random_log(5)[1]
    known["propensity"][3] = propensity
    with pytest.raises(ValueError, match=message):
        log.bind(**known)


def test_a_perfectly_predicted_treatment_is_refused_by_cross_fit(log, features):
    def fit(features, treatment, outcome, key):
        return lambda new: (log.treatment[new["row"]], *[np.zeros(len(new["row"]))] * 2)

    with pytest.raises(ValueError, match=r"propensity must be .* entry"):
        cross_fit(log, features, fit, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda n: (np.full((n, 1), 0.5), np.zeros(n), np.zeros(n)), ValueError, "propensity pred"),
        (lambda n: (np.full(n, 0.5), np.zeros(n + 1), np.zeros(n)), ValueError, "outcome_0 pred"),
        (lambda n: (np.full(n, 0.5), np.zeros(n), np.full(n, np.nan)), ValueError, "outcome_1 pre"),
        (lambda n: (np.full(n, 0.5), np.array(["a"] * n), np.zeros(n)), TypeError, "outcome_0 pre"),
        (lambda n: (np.full(n, 0.5), np.zeros(n)), ValueError, r"predict must return .* 2 arrays"),
    ],
)
def test_predictions_of_a_wrong_form_are_named(log, features, wrong, error, message):
    with pytest.raises(error, match=message):
        cross_fit(
            log,
            features,
            lambda *training: lambda new: wrong(len(new["row"])),
            key=jax.random.key(0),
        )


def test_what_cross_fit_refuses(log, features):
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"first axis 61; one has \(60,\)"):
        cross_fit(log, {"row": np.arange(60)}, constant_fit, key=key)
    with pytest.raises(ValueError, match=r"folds must be from 2 to the 13 people; got 1$"):
        cross_fit(log, features, constant_fit, folds=1, key=key)
    with pytest.raises(ValueError, match="folds must be from 2 to the 13 people; got 14"):
        cross_fit(log, features, constant_fit, folds=14, key=key)
    with pytest.raises(TypeError, match=r"folds must be an integer; got 4\.0"):
        cross_fit(log, features, constant_fit, folds=4.0, key=key)
    one = Treated([1, 0, 0, 0], [1.0, 0.0, 1.0, 0.0])
    with pytest.raises(ValueError, match=r"all rows outside fold \d have treatment 0"):
        cross_fit(one, {"row": np.arange(4)}, constant_fit, folds=4, key=key)


def test_logs_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"treatment must have shape \(3,\); got \(3, 1\)"):
        Treated(np.ones((3, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="outcome must be finite; entry 1 is nan"):
        Treated([1, 0], [0.0, np.nan])
    with pytest.raises(ValueError, match="level must be between 0 and 1; got 95"):
        difference_of_means(random_log(2)[0], level=95)
