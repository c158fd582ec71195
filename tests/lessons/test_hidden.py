import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from recflax.causal.effects import difference_of_means
from recflax.causal.sensitivity import effect_bounds
from recflax.lessons import basket, hidden, trainings
from recflax.lessons.cells import count
from recflax.lessons.statements import by_name
from recflax.worlds.banner import BannerConfig, build_banner
from recflax.worlds.store import StoreConfig, build_store

SIZE = 503
SEEDS = (3, 5, 7)


@pytest.fixture(scope="module")
def rows():
    return [hidden.run(seed, SIZE) for seed in SEEDS]


@pytest.fixture(scope="module")
def store():
    return build_store(StoreConfig(n_people=2_003), seed=3)


@pytest.fixture(scope="module")
def visits(store):
    return basket.draw_visits(store)


# -------------------------------------------------------------------------------- the lesson


def test_every_statement_has_a_bound_and_a_name_of_its_own(rows):
    said = by_name(hidden.claims(rows))
    assert all(s.at_least is not None or s.at_most is not None for s in said.values())
    assert all(name.startswith("hidden-") for name in said)
    assert {s.seeds for s in said.values()} == {3}


@pytest.mark.parametrize(
    "name",
    [
        "bias-is-the-closed-form",
        "open-covers",
        "intent-lambda-covers",
        "outcome-lambda-covers",
        "outcome-lambda-is-narrower",
        "slice-is-unbiased",
        "slice-covers",
        "small-slice-cannot-sign",
        "basket-names-the-intent",
        "basket-detects",
    ],
)
def test_what_does_not_take_many_people_holds_on_small_logs(rows, name):
    assert by_name(hidden.claims(rows))[f"hidden-{name}"].holds


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("bias-is-the-closed-form", {"g_1_dr_error": 0.5}),
        ("open-covers", {"g_0_dr_hit": 0.0}),
        ("strong-never-covers", {"g_2_dr_hit": 1.0}),
        ("intent-lambda-covers", {"g_1_intent_hit": 0.0}),
        ("outcome-lambda-covers", {"g_1.5_outcome_hit": 0.0}),
        ("outcome-lambda-is-narrower", {"g_1_outcome_lower": -1.0, "g_1_outcome_upper": 1.0}),
        ("outcome-lambda-informs", {"g_0.5_outcome_lower": -0.1}),
        ("a-biased-estimate-looks-safer", {"g_2_flip": 1.0, "g_0_flip": 2.0}),
        ("whole-log-never-covers", {"whole_hit": 1.0}),
        ("whole-log-is-surer", {"whole_error": 0.0}),
        ("whole-log-standard-error", {"open_std_error": 1.0}),
        ("slice-is-unbiased", {"slice_error": 1.0}),
        ("slice-covers", {"slice_hit": 0.0}),
        ("small-slice-cannot-sign", {"small_std_error": 0.0}),
        ("slice-is-too-small-to-learn-from", {"net_slice": 1.0, "net_whole": 0.0}),
        ("basket-names-the-intent", {"basket_auc": 0.5}),
        ("basket-detects", {"basket_control": 0.0}),
        ("basket-removes", {"basket_by_basket": 0.05, "basket_naive": 0.05}),
    ],
)
def test_every_statement_fails_when_its_number_is_another(rows, name, broken):
    assert not by_name(hidden.claims([row | broken for row in rows]))[f"hidden-{name}"].holds


def test_a_row_says_what_the_parts_say(rows):
    row = rows[0]
    assert row["seed"] == 3
    assert row["people"] == SIZE
    for g in hidden.G:
        banner = build_banner(BannerConfig(n_people=SIZE, g=g), 3)
        log, nuisances = hidden.known(banner, banner.log())
        treated, e = log.treatment, nuisances.propensity
        m_0, m_1 = nuisances.outcome_0, nuisances.outcome_1
        residual = np.where(treated == 1, (log.outcome - m_1) / e, (m_0 - log.outcome) / (1 - e))
        truth = BannerConfig(g=g).law().effect()
        assert row[f"g_{g:g}_dr_error"] == pytest.approx((m_1 - m_0 + residual).mean() - truth)
        flip = row[f"g_{g:g}_flip"]
        assert effect_bounds(log, nuisances, flip).lower == pytest.approx(0, abs=1e-5)
        inner, outer = (
            (row[f"g_{g:g}_{name}_lower"], row[f"g_{g:g}_{name}_upper"])
            for name in ("outcome", "intent")
        )
        assert outer[0] - 1e-9 <= inner[0] < inner[1] <= outer[1] + 1e-9
    banner = build_banner(BannerConfig(n_people=SIZE, g=1.0, rand=0.05), 3)
    log = banner.log(8)
    found = difference_of_means(log.where(log.randomised).treated())
    assert row["slice_error"] == pytest.approx(found.value - BannerConfig(g=1.0).law().effect())
    assert row["slice_rows"] == log.randomised.sum()
    assert row["slice_signs"] == (found.lower > 0 or found.upper < 0)


def test_the_same_seed_gives_the_same_row(rows):
    again = hidden.strength_row(5, SIZE, 1.0) | hidden.slice_row(5, SIZE)
    for name, value in again.items():
        assert rows[1].get(name, rows[1].get(f"g_1_{name}")) == value


def test_counts_of_all_visits_are_the_counts_and_parts_add_up():
    store = build_store(StoreConfig(n_people=101, rand=0.3), 5)
    log = store.log(3)
    whole = trainings._only(log, np.ones_like(log.randomised))
    for one, other in zip(whole, count(log), strict=True):
        np.testing.assert_array_equal(one, other)
    parts = [trainings._only(log, kept) for kept in (log.randomised, ~log.randomised)]
    for one, two, other in zip(*parts, whole, strict=True):
        np.testing.assert_array_equal(one + two, other)
    assert parts[0].visits.sum() == log.randomised.sum()


# -------------------------------------------------------------------------------- the basket


def test_visits_are_drawn_by_the_equations_of_the_store(store, visits):
    config, rows = store.config, len(visits.person)
    assert stats.binomtest(int(visits.intent.sum()), rows, config.pz).pvalue > 0.001
    for z in (0, 1):
        here = visits.intent == z
        person, shown = visits.person[here], visits.shown[here]
        chance = store.display(z)[:, store.campaign].sum(axis=1)[person]
        spread = math.sqrt((chance * (1 - chance)).sum())
        assert abs(store.campaign[shown].sum() - chance.sum()) < 4 * spread
        buys = store.mu(1, z)[person, shown]
        spread = math.sqrt((buys * (1 - buys)).sum())
        assert abs(visits.bought_shown[here].sum() - buys.sum()) < 4 * spread
        organic = store.mu(0, z)
        rest = organic.sum(axis=1)[person] - organic[person, shown]
        variance = (organic * (1 - organic)).sum(axis=1)[person]
        assert abs(visits.rest[here].sum() - rest.sum()) < 4 * math.sqrt(variance.sum())
    again = basket.draw_visits(store)
    np.testing.assert_array_equal(again.rest, visits.rest)


@pytest.mark.parametrize("z", [0, 1])
def test_the_mean_rest_is_that_of_a_loop_over_what_is_shown(z):
    store = build_store(StoreConfig(n_people=7, n_items=11, n_categories=3), 5)
    display, organic = store.display(z), store.mu(0, z)
    total = 0.0
    for u in range(7):
        for a in range(11):
            total += display[u, a] * sum(organic[u, j] for j in range(11) if j != a)
    assert basket.mean_rest(store, z) == pytest.approx(total / 7)


def test_the_adjusted_bias_is_the_adjustment_formula_by_loops(store, visits):
    stratum = np.minimum(visits.rest, 3)
    campaign = store.campaign[visits.shown]
    do = store.do(1)
    above = [
        bought - do[u, j]
        for u, j, bought in zip(visits.person, visits.shown, visits.bought_shown, strict=True)
    ]
    total = 0.0
    for s in range(4):
        here = [x for x, a, b in zip(above, campaign, stratum, strict=True) if a and b == s]
        total += (stratum == s).mean() * sum(here) / len(here)
    assert basket.campaign_bias(store, visits, stratum).value == pytest.approx(total)
    naive = basket.campaign_bias(store, visits)
    assert naive.value == pytest.approx(np.array(above)[campaign].mean())
    one = basket.campaign_bias(store, visits, np.zeros_like(stratum))
    assert one.value == pytest.approx(naive.value)


def test_without_confounding_the_basket_has_nothing_to_tell(store, visits):
    assert basket.negative_control(store, visits).value > 1
    assert basket.campaign_bias(store, visits).value > 0.03
    for changed in ({"g_e": 0.0}, {"g_y": 0.0}):
        other = build_store(replace(store.config, **changed), 3)
        drawn = basket.draw_visits(other)
        control = basket.negative_control(other, drawn)
        # the slot's own product is left out of the rest: at most its organic purchases
        assert abs(control.value) < 4 * control.std_error + other.do(0).max(axis=1).mean()
        bias = basket.campaign_bias(other, drawn)
        assert abs(bias.value) < 4 * bias.std_error


def test_an_intent_that_is_known_would_be_the_cure(store, visits):
    by_intent = basket.campaign_bias(store, visits, visits.intent)
    assert abs(by_intent.value) < 4 * by_intent.std_error
    row = basket.basket(store)
    assert row["rest_0"] == basket.mean_rest(store, 0)
    assert abs(row["by_basket"]) < row["naive"] / 3
    assert row["auc"] > 0.98


def test_a_stratum_without_a_display_is_named(store, visits):
    lonely = np.zeros(len(visits.person), dtype=int)
    lonely[~store.campaign[visits.shown].astype(bool)] = 1
    with pytest.raises(ValueError, match="stratum 1 has visits and no display of the campaign"):
        basket.campaign_bias(store, visits, lonely)
