import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from recflax.causal.effects import doubly_robust
from recflax.causal.logged import Nuisances
from recflax.worlds.banner import Banner, BannerConfig, BannerLog, build_banner
from recflax.worlds.banner_law import BannerLaw

G = (0.0, 0.5, 1.0, 1.5, 2.0)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def known(log: BannerLog, banner: Banner) -> Nuisances:
    """What a perfect network that reads the history would predict for each row."""
    return log.treated().bind(log.propensity, *(banner.see(t)[log.person] for t in (0, 1)))


# ------------------------------------------------------------------------ exact answers


def by_hand(g: float, share: float = 0.5) -> dict[str, float]:
    """The equations of the design, in plain loops over kind and intent."""
    ate = adjusted = 0.0
    intents = {0: 0.7, 1: 0.3}
    ratios, outcome_ratios = [1.0], [1.0]
    for k, p_k in ((0, 1 - share), (1, share)):
        e = {z: sigmoid(-0.9 + 1.5 * k + g * (z - 0.3)) for z in intents}
        mu = {
            (t, z): sigmoid(-1.2 + 1.5 * k + t * (0.6 - 0.3 * k) + g * (z - 0.3))
            for t in (0, 1)
            for z in intents
        }
        p = sum(intents[z] * e[z] for z in intents)
        ate += p_k * sum(intents[z] * (mu[1, z] - mu[0, z]) for z in intents)
        see_1 = sum(intents[z] * e[z] * mu[1, z] for z in intents) / p
        see_0 = sum(intents[z] * (1 - e[z]) * mu[0, z] for z in intents) / (1 - p)
        adjusted += p_k * (see_1 - see_0)
        ratios += [e[z] / (1 - e[z]) / (p / (1 - p)) for z in intents]
        for t in (0, 1):
            for y in (0, 1):
                law = {z: mu[t, z] if y else 1 - mu[t, z] for z in intents}
                given = sum(intents[z] * e[z] * law[z] for z in intents)
                given /= sum(intents[z] * law[z] for z in intents)
                outcome_ratios.append(given / (1 - given) / (p / (1 - p)))
    return {
        "effect": ate,
        "bias": adjusted - ate,
        "lambda_intent": max(max(r, 1 / r) for r in ratios),
        "lambda_outcome": max(max(r, 1 / r) for r in outcome_ratios),
    }


@pytest.mark.parametrize("g", G)
def test_every_exact_answer_is_that_of_a_loop_over_kind_and_intent(g):
    law = BannerConfig(g=g).law()
    for name, value in by_hand(g).items():
        assert getattr(law, name)() == pytest.approx(value, rel=1e-12, abs=1e-15), name
    mine = build_banner(BannerConfig(n_people=211, g=g), 3).law
    for name, value in by_hand(g, mine.kind[1]).items():
        assert getattr(mine, name)() == pytest.approx(value, rel=1e-12, abs=1e-15), name


def test_the_answers_are_those_of_the_design():
    laws = [BannerConfig(g=g).law() for g in G]
    assert [round(law.bias(), 3) for law in laws] == [0, 0.012, 0.046, 0.099, 0.163]
    assert [round(law.lambda_intent(), 2) for law in laws[1:]] == [1.43, 2.08, 3.09, 4.64]
    assert [round(law.lambda_outcome(), 2) for law in laws[1:]] == [1.04, 1.19, 1.45, 1.84]
    at_outcome = [law.effect_bounds(law.lambda_outcome()) for law in (laws[1], laws[2], laws[4])]
    at_intent = [law.effect_bounds(law.lambda_intent()) for law in (laws[1], laws[2], laws[4])]
    np.testing.assert_allclose(
        at_outcome, [(0.087, 0.129), (0.054, 0.224), (-0.055, 0.509)], atol=5e-4
    )
    np.testing.assert_allclose(at_intent, [(-0.07, 0.28), (-0.22, 0.47), (-0.48, 0.78)], atol=6e-3)


def test_without_hidden_intent_what_is_seen_is_what_is_done():
    law = BannerConfig().law()
    for t in (0, 1):
        np.testing.assert_allclose(law.see(t), law.do(t), atol=1e-15)
    assert law.lambda_intent() == pytest.approx(1)
    assert law.lambda_outcome() == pytest.approx(1)
    assert law.effect_bounds(1.0) == pytest.approx((law.effect(), law.effect()), abs=1e-15)
    assert law.difference_of_means() - law.effect() > 0.1  # the history confounds all the same


@pytest.mark.parametrize("g", G[1:])
def test_the_population_bounds_cover_and_nest(g):
    law = BannerConfig(g=g).law()
    inner, outer = law.effect_bounds(law.lambda_outcome()), law.effect_bounds(law.lambda_intent())
    assert outer[0] < inner[0] < law.effect() < inner[1] < outer[1]
    assert law.effect_bounds(1.0) == pytest.approx((law.adjusted(),) * 2)
    for t in (0, 1):
        low, high = law.arm_bounds(t, law.lambda_outcome())
        assert low < law.kind @ law.do(t) < high


def test_the_lambda_of_intent_is_attained_and_that_of_the_outcome_is_smaller():
    law = BannerConfig(g=1.0).law()
    odds = law.treat / (1 - law.treat)
    marginal = law.propensity() / (1 - law.propensity())
    assert (odds / marginal).max() == pytest.approx(law.lambda_intent())
    assert 1 < law.lambda_outcome() < law.lambda_intent()


# ------------------------------------------------------------------ two stores, one log


@pytest.mark.parametrize("g", G)
def test_two_stores_write_one_log_and_differ_in_the_effect(g):
    hidden = BannerConfig(g=g).law()
    other = hidden.without_intent()
    one, two = hidden.logged(), other.logged()
    assert np.abs(one["probability"] - two["probability"]).max() < 1e-12
    assert np.abs(one["propensity"] - two["propensity"]).max() < 1e-12
    assert one["probability"].sum() == pytest.approx(1)
    assert hidden.effect() - other.effect() == pytest.approx(-by_hand(g)["bias"], abs=1e-15)
    # in the other store nothing is hidden: a perfect network is right, about another effect
    assert other.bias() == pytest.approx(0, abs=1e-15)
    assert other.lambda_intent() == pytest.approx(1)
    assert other.difference_of_means() == pytest.approx(hidden.difference_of_means())
    assert other.effect_bounds(1.7) == pytest.approx(hidden.effect_bounds(1.7))


@pytest.mark.parametrize("hidden", [True, False])
def test_both_stores_draw_what_the_law_says(hidden):
    banner = build_banner(BannerConfig(n_people=5_000, g=2.0), 3)
    banner = banner if hidden else banner.without_intent()
    log = banner.log(visits=4)
    cells = np.zeros((2, 2, 2))
    np.add.at(cells, (banner.kind[log.person], log.treatment, log.outcome), 1)
    expected = build_banner(banner.config, 3).law.cells() * len(log.person)
    statistic = ((cells - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(statistic, 8 - 2) > 0.001  # the share of each kind is given
    assert set(np.round(log.propensity, 12)) == set(np.round(banner.law.propensity(), 12))


def test_randomised_visits_tell_the_two_stores_apart():
    with pytest.raises(ValueError, match=r"rand must be 0: .* got 0\.05"):
        build_banner(BannerConfig(n_people=7, rand=0.05), 3).without_intent()


# ----------------------------------------------------------------------------- the log


def test_the_kind_is_read_off_the_newest_events():
    for hard in (False, True):
        banner = build_banner(BannerConfig(n_people=101, hard=hard), 5)
        tokens = banner.log().tokens
        first_half = (tokens[:, -1] <= 4).astype(int)
        hot = (tokens[:, -1] == tokens[:, -2]).astype(int)
        assert banner.kind.tolist() == (hot if hard else first_half).tolist()
        assert (tokens[:, -2:] > 0).all()


@pytest.mark.parametrize("hard", [False, True])
def test_the_share_of_kinds_is_that_of_many_people(hard):
    config = BannerConfig(n_people=40_000, hard=hard)
    share = config.law().kind[1]
    found = build_banner(config, 7).kind.mean()
    assert abs(found - share) < 4 * math.sqrt(share * (1 - share) / 40_000)
    assert hard or share == 0.5


def test_one_seed_one_log_and_the_strength_of_intent_changes_no_history():
    one, two = (build_banner(BannerConfig(n_people=101, g=1.0), 5).log(3) for _ in range(2))
    for name in ("person", "history", "treatment", "outcome", "propensity", "randomised"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    other = build_banner(BannerConfig(n_people=101, g=0.0), 5).log(3)
    np.testing.assert_array_equal(other.history, one.history)
    assert (build_banner(BannerConfig(n_people=101), 6).log(3).history != one.history).any()


def test_a_coin_decides_the_randomised_visits_and_is_logged():
    banner = build_banner(BannerConfig(n_people=5_000, g=1.0, rand=0.05), 3)
    log = banner.log(visits=4)
    flags = log.randomised.sum()
    assert stats.binomtest(int(flags), 20_000, 0.05).pvalue > 0.001
    slice_ = log.where(log.randomised)
    assert (slice_.propensity == 0.5).all()
    assert stats.binomtest(int(slice_.treatment.sum()), int(flags), 0.5).pvalue > 0.001
    rest = log.where(~log.randomised)
    assert (rest.propensity == banner.law.propensity()[banner.kind[rest.person]]).all()
    assert len(slice_.person) + len(rest.person) == 20_000
    assert banner.log(rand=1.0).randomised.all()


def test_no_intent_is_logged():
    names = set(vars(build_banner(BannerConfig(n_people=7), 3).log()))
    assert names == {
        "person",
        "history",
        "category",
        "treatment",
        "outcome",
        "propensity",
        "randomised",
    }


# ---------------------------------------------------- invariant 11, over forty seeds each


def estimates(g: float) -> list:
    found = []
    for seed in range(40):
        banner = build_banner(BannerConfig(g=g), seed)
        log = banner.log()
        found.append(doubly_robust(log.treated(), known(log, banner)))
    return found


def test_with_nothing_hidden_doubly_robust_covers_the_effect():
    truth = BannerConfig().law().effect()
    covered = sum(e.lower <= truth <= e.upper for e in estimates(0.0))
    assert 0.85 * 40 <= covered <= 40


def test_with_hidden_intent_its_bias_is_the_closed_form():
    law = BannerConfig(g=1.0).law()
    error = np.array([e.value for e in estimates(1.0)]) - law.effect()
    assert abs(error.mean() - law.bias()) < 4 * error.std(ddof=1) / math.sqrt(40)
    assert error.mean() > 4 * error.std(ddof=1) / math.sqrt(40)


# ---------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"pz": 1.5}, ValueError, r"pz must be from 0 to 1; got 1\.5"),
        ({"rand": -0.1}, ValueError, r"rand must be from 0 to 1; got -0\.1"),
        ({"g": math.nan}, ValueError, "g must be finite; got nan"),
        ({"hard": 1}, TypeError, "hard must be of type bool; got 1"),
        ({"n_people": 0}, ValueError, "n_people must be at least 1; got 0"),
        ({"stay": 2.0}, ValueError, r"stay must be from 0 to 1; got 2\.0"),
        ({"g": "1"}, TypeError, "g must be of type float; got '1'"),
    ],
)
def test_bad_configurations_are_named(changed, error, message):
    with pytest.raises(error, match=message):
        BannerConfig(**changed)


def test_bad_questions_are_named():
    law, banner = BannerConfig().law(), build_banner(BannerConfig(n_people=7), 3)
    for question in (law.do, law.see, law.arm, lambda t: law.arm_bounds(t, 1.0)):
        with pytest.raises(ValueError, match="t must be 0 or 1; got 2"):
            question(2)
    with pytest.raises(ValueError, match=r"sensitivity must be at least 1; got 0\.5"):
        law.effect_bounds(0.5)
    with pytest.raises(ValueError, match=r"kind_1 must be from 0 to 1; got 1\.5"):
        BannerConfig().law(1.5)
    with pytest.raises(ValueError, match="visits must be at least 1; got 0"):
        banner.log(0)
    with pytest.raises(TypeError, match=r"visits must be an integer; got 2\.0"):
        banner.log(2.0)
    with pytest.raises(ValueError, match=r"rand must be from 0 to 1; got 2"):
        banner.log(rand=2)
    with pytest.raises(ValueError, match="seed must be at least 0; got -1"):
        build_banner(BannerConfig(n_people=7), -1)


def test_a_law_may_have_any_number_of_intents():
    law = BannerLaw(
        kind=np.array([0.2, 0.3, 0.5]),
        intent=np.array([0.1, 0.2, 0.3, 0.4]),
        treat=np.linspace(0.1, 0.9, 12).reshape(4, 3),
        outcome=np.linspace(0.05, 0.95, 24).reshape(2, 4, 3),
    )
    assert law.cells().sum() == pytest.approx(1)
    np.testing.assert_allclose(law.without_intent().cells(), law.cells(), atol=1e-15)
    banner = replace(build_banner(BannerConfig(n_people=7), 3), law=law)
    assert banner.log().treatment.shape == (7,)
