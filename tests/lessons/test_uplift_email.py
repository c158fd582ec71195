"""The lesson on an experiment made here, whose effects are known; no real data, no training."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.tree import DecisionTreeClassifier

from recflax.causal.effects import difference_of_means, inverse_weighting
from recflax.causal.logged import Treated
from recflax.causal.uplift import qini_area
from recflax.data.hillstrom import ATTRIBUTES, Hillstrom
from recflax.lessons import email_sample, uplift_email
from recflax.lessons.statements import by_name

SIZE, SEEDS = 12_007, (3, 5, 7)
MENS_EFFECT = 0.25


def chance_of_visit(e, arm):
    """(n,) the chance of a visit under an arm: men's moves all alike, women's some."""
    base = expit(
        -1.2 + 1.2 * (e.recency <= 6) - 1.2 * e.newbie + 0.7 * e.mens + 0.2 * e.history_segment
    )
    gain = (0.0, MENS_EFFECT, 0.4 * e.womens)[arm]
    return base + gain * (1 - base) if arm else base


def made(size, seed):
    rng = np.random.default_rng(seed)
    levels = [len(names) for names in ATTRIBUTES.values()]
    codes = [rng.integers(0, count, size) for count in levels]
    attributes = dict(zip(ATTRIBUTES, codes, strict=True))
    attributes["recency"] = attributes["recency"] + 1
    nothing = np.zeros(size)
    arm = rng.integers(0, 3, size)
    e = Hillstrom(
        **attributes, history=nothing, arm=arm, visit=nothing, conversion=nothing, spend=nothing
    )
    chances = np.stack([chance_of_visit(e, a) for a in range(3)], axis=1)
    visit = (rng.random(size) < chances[np.arange(size), arm]).astype(int)
    bought = visit * (rng.random(size) < 0.05)
    outcomes = {"visit": visit, "conversion": bought, "spend": bought * rng.gamma(1, 100, size)}
    return Hillstrom(**(vars(e) | outcomes))


def all_known(learn, ask, seed):
    """In the place of the models: the truth, and for the regressions the truth with some noise."""
    truth = np.stack([chance_of_visit(ask, arm) for arm in range(3)], axis=1)
    noise = np.random.default_rng(seed).normal(0, 0.01, truth.shape)
    return {"network": truth, "linear": truth + noise}


def trees(train=None):
    """In the place of the attention network: it sees the corner of the second design, and not the
    slanting border of the first.
    """

    def fit(codes, t, y, key):
        parts = (codes, t), (codes[t == 0], y[t == 0]), (codes[t == 1], y[t == 1])
        models = [
            DecisionTreeClassifier(min_samples_leaf=150, random_state=0).fit(x, target)
            for x, target in parts
        ]
        return lambda new: tuple(
            model.predict_proba(new)[:, 1].clip(0.02, 0.98) for model in models
        )

    return fit


@pytest.fixture(scope="module")
def experiment():
    return made(SIZE, 11)


def rows_of(experiment, seeds=SEEDS, breakage=None):
    """Rows of the lesson without training; what is broken is broken last."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uplift_email, "load", lambda: experiment)
        patch.setattr(uplift_email, "predicted", all_known)
        patch.setattr(uplift_email, "REPLICATES", 60)
        patch.setattr(email_sample, "network_fit", trees)
        if breakage is not None:
            breakage(patch)
        return [uplift_email.run(seed) for seed in seeds]


@pytest.fixture(scope="module")
def rows(experiment):
    return rows_of(experiment)


# ---------------------------------------------------------------------------------- the parts


def test_effects_are_differences_of_means_of_one_email_against_none(experiment):
    e = experiment
    for (campaign, outcome), found in uplift_email.effects(e).items():
        values, arm = getattr(e, outcome), {"mens": 1, "womens": 2}[campaign]
        assert found.value == pytest.approx(values[e.arm == arm].mean() - values[e.arm == 0].mean())
    truth = (chance_of_visit(e, 1) - chance_of_visit(e, 0)).mean()
    found = uplift_email.effects(e)["mens", "visit"]
    assert abs(found.value - truth) < 4 * found.std_error


def test_halves_share_nobody_and_leave_out_nobody():
    one, two = uplift_email.halves(1009, 3)
    assert sorted([*one, *two]) == list(range(1009))
    assert len(one) == 504
    assert (np.diff(one) > 0).all()
    assert (uplift_email.halves(1009, 5)[0] != one).any()


def test_rankings_ask_each_campaign_its_own_question(experiment):
    ask = experiment.where(np.arange(53))
    found = all_known(None, ask, 3)
    for campaign, arm in uplift_email.CAMPAIGNS.items():
        score = uplift_email.rankings(ask, found, campaign)
        uplift = chance_of_visit(ask, arm) - chance_of_visit(ask, 0)
        np.testing.assert_allclose(score["network"], uplift)
        np.testing.assert_allclose(score["response"], chance_of_visit(ask, arm))
        np.testing.assert_array_equal(score["rule"], getattr(ask, campaign))
        assert np.abs(score["linear"] - uplift).max() < 0.1


def test_the_models_learn_whom_the_womens_email_moves(monkeypatch):
    """The only training here: few epochs on an experiment with a strong effect."""
    learn, ask = made(9_001, 3), made(4_001, 5)
    found = uplift_email.predicted(learn, ask, 3)
    truth = all_known(None, ask, 3)["network"]
    for name in ("network", "linear"):
        assert found[name].shape == (4_001, 3)
        assert np.abs(found[name] - truth).mean() < 0.08
        uplift = found[name][:, 2] - found[name][:, 0]
        assert uplift[ask.womens == 1].mean() - uplift[ask.womens == 0].mean() > 0.12


# ------------------------------------------------------------------------------ the resamples


def test_a_resample_is_chosen_by_its_chance_and_its_customers_stay(experiment):
    e = experiment.where(experiment.arm != 2)
    for design in email_sample.DESIGNS:
        p = email_sample.chance(experiment, design)[experiment.arm != 2]
        keep = np.mean([email_sample.kept(e.arm, p, seed) for seed in range(400)], axis=0)
        np.testing.assert_allclose(keep, np.where(e.arm == 1, p, 1 - p), atol=0.11)
        once = email_sample.kept(e.arm, p, 3)
        for level in np.unique(p):
            here = once & (p == level)
            error = np.sqrt(level * (1 - level) / here.sum())
            assert abs(e.arm[here].mean() - level) < 4 * error
    with pytest.raises(ValueError, match=r"design must be one of .*; got 'luck'"):
        email_sample.chance(experiment, "luck")


def test_the_designs_are_what_they_say(experiment):
    p = email_sample.chance(experiment, "recent")
    for row in range(60):
        settled = experiment.recency[row] <= 6 and not experiment.newbie[row]
        assert p[row] == (0.8 if settled else 0.2)
    risk = email_sample.risk_score(experiment)
    assert np.corrcoef(risk, chance_of_visit(experiment, 0))[0, 1] > 0.7
    blind = experiment.where(np.arange(experiment.n))
    other = vars(blind) | {"visit": np.where(experiment.arm == 2, experiment.visit, 0)}
    np.testing.assert_array_equal(email_sample.risk_score(Hillstrom(**other)), risk)
    compared = email_sample.chance(experiment, "risk")[experiment.arm != 2]
    assert (compared == 0.9).mean() == pytest.approx(0.5, abs=0.01)


def test_a_row_says_what_the_parts_say(experiment, rows):
    row, e = rows[0], experiment
    assert (row["seed"], row["people"]) == (3, SIZE)
    compared = e.where(e.arm != 2)
    whole = difference_of_means(Treated(compared.arm, compared.visit))
    assert row["effect"] == pytest.approx(whole.value)
    assert row["effect_std_error"] == pytest.approx(whole.std_error)
    p = email_sample.chance(e, "recent")[e.arm != 2]
    keep = email_sample.kept(compared.arm, p, 3)
    log = Treated(compared.arm[keep], compared.visit[keep])
    naive, ips = difference_of_means(log), inverse_weighting(log, log.bind(p[keep]))
    assert row["recent_naive_off"] == pytest.approx(naive.value - whole.value)
    assert row["recent_ips_off"] == pytest.approx(ips.value - whole.value)
    ask = e.where(uplift_email.halves(e.n, 3)[1])
    asked, log = uplift_email.contrast(ask, "womens")
    uplift = (chance_of_visit(ask, 2) - chance_of_visit(ask, 0))[asked]
    area = qini_area(log, uplift, replicates=60, seed=3)
    assert row["womens_network_area"] == pytest.approx(area.value)
    assert row["womens_tie_random"] == (area.lower <= 0 <= area.upper)
    response = qini_area(log, chance_of_visit(ask, 2)[asked], replicates=2).value
    assert row["womens_response_area"] == pytest.approx(response)
    assert row["womens_over_response"] == pytest.approx(area.value - response)


def test_the_same_seed_gives_the_same_row(experiment, rows):
    assert rows_of(experiment, [5])[0] == rows[1]


# -------------------------------------------------------------------------------- the claims


def test_every_statement_has_a_bound_and_a_name_of_its_own(rows):
    said = by_name(uplift_email.claims(rows))
    assert all(s.at_least is not None or s.at_most is not None for s in said.values())
    assert all(name.startswith("email-") for name in said)
    assert {s.seeds for s in said.values()} == {len(SEEDS)}
    targets = {s.estimate.target for s in said.values() if not s.exact}
    assert targets == {uplift_email.HALVES, email_sample.RESAMPLES}


HOLD_HERE = (
    "womens-ranked",
    "womens-beats-response",
    "naive-risk",
    "naive-recent",
    "withheld-all-fail",
)


def test_what_does_not_take_many_customers_holds_here(rows):
    said = by_name(uplift_email.claims(rows))
    assert all(said[f"email-{name}"].holds for name in HOLD_HERE)


def off(rows, name):
    return np.mean([row[f"{name}_off"] for row in rows])


def test_who_knows_the_chance_or_bends_comes_back_and_who_is_straight_does_not(rows):
    known_to = 2 * rows[0]["effect_std_error"]
    for name in ("risk_ips", "risk_snips", "recent_ips", "recent_network_dr"):
        assert abs(off(rows, name)) < known_to, name
    assert abs(off(rows, "risk_logistic_ips")) > known_to


def uplift_forgets_to_subtract(patch):
    honest = uplift_email.rankings

    def rankings(ask, found, campaign):
        return honest(ask, found, campaign) | {
            "network": found["network"][:, uplift_email.CAMPAIGNS[campaign]]
        }

    patch.setattr(uplift_email, "rankings", rankings)


def rankings_shuffled(patch):
    def predicted(learn, ask, seed):
        found = all_known(learn, ask, seed)
        order = np.random.default_rng(seed).permutation(ask.n)
        return {name: array[order] for name, array in found.items()}

    patch.setattr(uplift_email, "predicted", predicted)


def everyone_is_kept(patch):
    patch.setattr(email_sample, "kept", lambda t, p, seed: np.arange(len(t)) % 2 == seed % 2)


def nothing_is_withheld(patch):
    patch.setattr(email_sample, "withheld", lambda codes: codes)


def the_logged_chance_is_ignored(patch):
    honest = email_sample.logged_estimates
    patch.setattr(email_sample, "logged_estimates", lambda log, p: honest(log, np.full(log.n, 0.5)))


@pytest.mark.parametrize(
    ("name", "breakage"),
    [
        ("womens-ranked", rankings_shuffled),
        ("womens-beats-response", uplift_forgets_to_subtract),
        ("naive-risk", everyone_is_kept),
        ("naive-recent", everyone_is_kept),
        ("withheld-all-fail", nothing_is_withheld),
    ],
)
def test_a_claim_does_not_survive_its_breakage(experiment, rows, name, breakage):
    assert by_name(uplift_email.claims(rows))[f"email-{name}"].holds
    broken = rows_of(experiment, breakage=breakage)
    assert not by_name(uplift_email.claims(broken))[f"email-{name}"].holds


def test_without_the_logged_chance_weighting_does_not_come_back(experiment):
    broken = rows_of(experiment, breakage=the_logged_chance_is_ignored)
    for name in ("risk_snips", "recent_snips", "recent_ips"):
        assert abs(off(broken, name)) > 4 * broken[0]["effect_std_error"], name
    assert not by_name(uplift_email.claims(broken))["email-ips-recent-returns"].holds


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("womens-ties", {"womens_tie_linear": 0.0}),
        ("womens-ties", {"womens_tie_rule": 0.0}),
        ("mens-untold", {"mens_tie_random": 0.0}),
        ("mens-ties", {"mens_tie_response": 0.0}),
        ("spend-untold", {"mens_tie_random_spend": 0.0}),
        ("ips-risk-returns", {"risk_ips_off": 0.1}),
        ("ips-recent-returns", {"recent_ips_off": -0.1}),
        ("network-dr-risk-returns", {"risk_network_dr_off": 0.1}),
        ("network-dr-recent-returns", {"recent_network_dr_off": -0.1}),
        ("straight-propensity-overshoots", {"risk_logistic_ips_off": 0.0}),
        ("withheld-all-fail", {"withheld_network_dr_off": 0.0}),
    ],
)
def test_a_statement_fails_when_its_number_is_another(rows, name, changed):
    broken = [row | changed for row in rows]
    assert not by_name(uplift_email.claims(broken))[f"email-{name}"].holds
