import math
from dataclasses import fields, replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from recflax.causal.check_log import check_log
from recflax.causal.effects import difference_of_means, inverse_weighting
from recflax.causal.logged import Logged
from recflax.causal.policy_value import ips
from recflax.data.batches import make_batch
from recflax.intervals import mean_over_people
from recflax.worlds.checks import check_kind
from recflax.worlds.social import SocialConfig, build_social
from recflax.worlds.social_law import SocialLaw

SMALL = SocialConfig(n_people=13, n_communities=3, length=7, lift=0.3)
LOGGED = (
    "person",
    "visit",
    "suggested",
    "displayed",
    "followed",
    "engaged",
    "propensity",
    "follow_chance",
    "randomised",
)


@pytest.fixture(scope="module")
def social():
    return build_social(SMALL, seed=5)


@pytest.fixture(scope="module")
def large():
    return build_social(SocialConfig(n_people=101), seed=3)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# ------------------------------------------------------------------------ exact answers


def by_hand(social, u: int, j: int) -> dict[str, float]:
    """The equations of one pair, in plain Python."""
    config = social.config
    events = [int(i) - 1 for i in social.history[u] if i > 0]
    topics = [int(social.community[i]) for i in events]
    k = int(social.community[j])
    last, hot = k == topics[-1], topics[-1] == topics[-2] == k
    liked = any(i == j and x for i, x in zip(social.history[u] - 1, social.liked[u], strict=True))
    share = {0: 1 - config.pz, 1: config.pz}
    e = {z: sigmoid(config.f_0 + config.f_h * last + config.g_f * z) for z in share}
    organic = config.y_0 + config.y_p * social.popularity[j] + config.b_t * social.taste[u, k]
    organic += config.b_n * hot + config.b_l * liked
    mu = {
        (t, z): sigmoid(organic + t * config.lift + config.g_y * z) for t in (0, 1) for z in share
    }
    do = [sum(share[z] * mu[t, z] for z in share) for t in (0, 1)]
    followed = sum(share[z] * e[z] for z in share)
    see_1 = sum(share[z] * e[z] * mu[1, z] for z in share) / followed
    see_0 = sum(share[z] * (1 - e[z]) * mu[0, z] for z in share) / (1 - followed)
    displayed = sum(share[z] * (e[z] * mu[1, z] + (1 - e[z]) * mu[0, z]) for z in share)
    return {
        "do_0": do[0],
        "do_1": do[1],
        "see_0": see_0,
        "see_1": see_1,
        "displayed": displayed,
        "follow": followed,
        "suggestion": displayed - do[0],
    }


def test_every_exact_answer_is_that_of_a_loop_over_pairs_and_likeness(social):
    tables = {
        "do_0": social.do(0),
        "do_1": social.do(1),
        "see_0": social.see(0),
        "see_1": social.see(1),
        "displayed": social.displayed(),
        "follow": social.follow_chance(),
        "suggestion": social.suggestion_uplift(),
    }
    mean = dict.fromkeys(("effect", "adjusted", "suggesting", "follow"), 0.0)
    cells = social.cells()
    for u in range(13):
        for j in range(13):
            hand = by_hand(social, u, j)
            for name, value in hand.items():
                assert tables[name][u, j] == pytest.approx(value, rel=1e-12), (name, u, j)
            q = social.suggest[u, j]
            mean["effect"] += q * (hand["do_1"] - hand["do_0"]) / 13
            mean["adjusted"] += q * (hand["see_1"] - hand["see_0"]) / 13
            mean["suggesting"] += q * hand["suggestion"] / 13
            mean["follow"] += q * hand["follow"] / 13
            for t, share in ((0, 1 - hand["follow"]), (1, hand["follow"])):
                assert cells[u, j, t, 1] == pytest.approx(q * share * hand[f"see_{t}"], rel=1e-12)
    assert social.effect() == pytest.approx(mean["effect"], rel=1e-12)
    assert social.bias() == pytest.approx(mean["adjusted"] - mean["effect"], rel=1e-12)
    assert social.effect_of_suggesting() == pytest.approx(mean["suggesting"], rel=1e-12)
    on_followers = mean["suggesting"] / mean["follow"]
    assert social.effect_on_followers() == pytest.approx(on_followers, rel=1e-12)
    np.testing.assert_allclose(cells.sum(axis=(1, 2, 3)), 1, rtol=1e-12)


def test_the_policy_of_suggestions_is_the_softmax_of_its_equation(social):
    config = social.config
    for u in range(13):
        topic = social.community[social.history[u, -1] - 1]
        odds = np.array(
            [
                math.exp(config.a_p * social.popularity[j] + config.a_h * (k == topic))
                for j, k in enumerate(social.community)
            ]
        )
        odds[u] = 0
        wanted = (1 - config.eps) * odds / odds.sum() + config.eps / 12 * (odds > 0)
        np.testing.assert_allclose(social.suggest[u], wanted, rtol=1e-12)
    assert (np.diagonal(social.suggest) == 0).all()
    np.testing.assert_array_equal(social.logging_policy(), social.suggest)


@pytest.mark.parametrize("changed", [{"g_f": 0.0}, {"g_y": 0.0}])
def test_without_a_likeness_that_moves_both_what_is_seen_is_what_is_done(changed):
    social = build_social(replace(SMALL, **changed), 5)
    for t in (0, 1):
        np.testing.assert_allclose(social.see(t), social.do(t), atol=1e-12)
    assert social.bias() == pytest.approx(0, abs=1e-12)


def test_a_likeness_that_moves_both_flatters_every_follow(social):
    assert (social.see(1) > social.do(1)).all()
    assert (social.see(0) < social.do(0)).all()
    assert (social.uplift() > 0).all()
    still = build_social(replace(SMALL, lift=0.0), 5)
    assert np.abs(still.uplift()).max() == 0
    assert np.abs(still.suggestion_uplift()).max() == 0


def test_the_bias_of_pure_homophily_is_a_covariance_over_a_variance():
    social = build_social(replace(SMALL, lift=0.0), 5)
    p, (none, some) = social.config.pz, social.follow
    often = (1 - p) * none + p * some
    like = social.engage[0, 1] - social.engage[0, 0]
    closed = p * (1 - p) * (some - none) * like / (often * (1 - often))
    np.testing.assert_allclose(social.see(1) - social.see(0), closed, rtol=1e-12)
    assert social.bias() == pytest.approx((social.suggest * closed).sum() / 13, rel=1e-12)


# ------------------------------------------------------------------ two worlds, one log


@pytest.mark.parametrize("lift", [0.0, 0.7])
@pytest.mark.parametrize("g", [0.0, 0.5, 2.0])
def test_two_worlds_write_one_log_and_differ_in_the_effect(lift, g):
    social = build_social(replace(SMALL, lift=lift, g_f=g, g_y=g), 5)
    other = social.without_similarity()
    assert np.abs(social.cells() - other.cells()).max() < 1e-12
    assert np.abs(social.follow_chance() - other.follow_chance()).max() < 1e-12
    np.testing.assert_array_equal(social.logging_policy(), other.logging_policy())
    assert other.effect() - social.effect() == pytest.approx(social.bias(), abs=1e-12)
    assert other.bias() == pytest.approx(0, abs=1e-12)
    # what the platform would earn is told by the log; what it would add is not
    policy = social.greedy(social.see(1))
    one, two = social.policy_value(policy), other.policy_value(policy)
    assert one.slot_rate == pytest.approx(two.slot_rate, rel=1e-12)
    assert one.follows == pytest.approx(two.follows, rel=1e-12)
    assert (two.increment - one.increment > 0.001) == (g > 0)


@hypothesis.given(
    people=st.integers(2, 5),
    values=st.integers(1, 4),
    seed=st.integers(0, 10_000),
)
def test_any_law_has_a_twin_without_anything_hidden(people, values, seed):
    rng = np.random.default_rng(seed)
    shape = values, people, people
    law = SocialLaw(
        similarity=rng.dirichlet(np.ones(values)),
        suggest=rng.dirichlet(np.ones(people), size=people),
        follow=rng.uniform(0.05, 0.95, shape),
        engage=rng.uniform(0, 1, (2, *shape)),
    )
    other = law.without_similarity()
    np.testing.assert_allclose(other.cells(), law.cells(), atol=1e-12)
    assert other.effect() == pytest.approx(law.adjusted(), abs=1e-12)
    # if the suggestions are drawn in another way, the two still cannot be told apart
    drawn = law.uniform()
    one, two = (replace(world, suggest=drawn).cells() for world in (law, other))
    np.testing.assert_allclose(one, two, atol=1e-12)


def test_one_seed_writes_the_same_rows_in_both_worlds(large):
    other = large.without_similarity()
    one, two = large.log(11), other.log(11)
    for name in LOGGED:
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), atol=1e-12)
    coins = [world.log(11, stream="slice") for world in (large, other)]
    withheld = ~coins[0].displayed
    np.testing.assert_array_equal(coins[0].followed, coins[1].followed)
    assert (coins[0].engaged != coins[1].engaged)[withheld].any()
    assert not (coins[0].engaged != coins[1].engaged)[~withheld].any()


# ----------------------------------------------------------------------------- the log


def test_the_log_is_drawn_by_the_law_of_its_cells(social):
    log = social.log(visits=900)
    cell = 2 * log.followed + log.engaged
    for name, cells in (("all", social.cells().sum(axis=(0, 1)) / 13),):
        found = np.bincount(cell, minlength=4)
        assert stats.chisquare(found, cells.ravel() * found.sum()).pvalue > 0.001, name
    shown = log.counts()
    expected = 900 * social.suggest
    others = ~np.eye(13, dtype=bool)
    assert (shown[~others] == 0).all()
    error = np.sqrt(expected * (1 - social.suggest))[others]
    assert np.abs((shown - expected)[others] / error).max() < 4.5
    liked = log.counts(log.followed & log.engaged).sum()
    chance = social.cells()[..., 1, 1].sum(axis=1)
    assert abs(liked - 900 * chance.sum()) < 4 * math.sqrt(900 * (chance * (1 - chance)).sum())


def test_the_truths_are_those_of_a_simulation_in_the_order_of_causes(large):
    """Likeness, then follow, then like: each pair 20 times, nothing taken from the log's draws."""
    rng = np.random.default_rng(0)
    shape = 20, 101, 101
    z = (rng.random(shape) < large.config.pz).astype(int)
    u, j = np.indices(shape[1:])
    followed = rng.random(shape) < large.follow[z, u, j]
    luck = rng.random(shape)
    forced = [luck < large.engage[t][z, u, j] for t in (0, 1)]
    liked = np.where(followed, forced[1], forced[0])
    pairs = np.prod(shape)
    for found, truth in (
        (forced[0], large.do(0)),
        (forced[1], large.do(1)),
        (liked, large.displayed()),
        (followed, large.follow_chance()),
        (followed & liked, large.follow_chance() * large.see(1)),
        (~followed & liked, (1 - large.follow_chance()) * large.see(0)),
    ):
        error = math.sqrt(20 * (truth * (1 - truth)).sum()) / pairs
        assert abs(found.mean() - truth.mean()) < 4 * error


def test_the_likeness_behind_the_rows_has_the_law_of_a_likeness(large):
    log = large.log(40, log_similarity=True)
    assert stats.binomtest(int(log.similarity.sum()), len(log.person), 0.3).pvalue > 0.001
    pair = log.person, log.suggested - 1
    for z in (0, 1):
        here = log.similarity == z
        for found, chance in (
            (log.followed, large.follow[z][pair]),
            (log.engaged, large.engage[0, z][pair]),
        ):
            spread = math.sqrt((chance * (1 - chance))[here].sum())
            assert abs(found[here].sum() - chance[here].sum()) < 4 * spread
    plain = large.log(40)
    assert plain.similarity is None
    for name in LOGGED:
        np.testing.assert_array_equal(getattr(log, name), getattr(plain, name))


def test_the_hidden_switch_changes_one_column(large):
    told = replace(large, config=replace(large.config, hidden=False))
    one, two = large.log(7), told.log(7, log_similarity=True)
    for name in set(LOGGED) - {"follow_chance"}:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    pair = one.person, one.suggested - 1
    np.testing.assert_array_equal(one.follow_chance, large.follow_chance()[pair])
    np.testing.assert_array_equal(two.follow_chance, large.follow[(two.similarity, *pair)])


def test_a_coin_withholds_and_is_logged(large):
    log = large.log(40, stream="slice")
    assert log.randomised.all()
    assert stats.binomtest(int(log.displayed.sum()), len(log.person), 0.5).pvalue > 0.001
    assert not log.followed[~log.displayed].any()
    np.testing.assert_array_equal(log.propensity, large.suggest[log.person, log.suggested - 1] / 2)
    some = large.log(40, rand=0.25)
    assert stats.binomtest(int(some.randomised.sum()), len(some.person), 0.25).pvalue > 0.001
    assert some.displayed[~some.randomised].all()
    assert 0 < (~some.displayed).sum() < some.randomised.sum()
    np.testing.assert_array_equal(some.suggested, large.log(40).suggested)
    assert len(some.where(some.randomised).person) == some.randomised.sum()


@pytest.mark.parametrize("influence", [False, True])
def test_the_experiment_finds_the_effect_of_suggesting(large, influence):
    world = large.without_similarity() if influence else large
    found = difference_of_means(world.log(80, stream="slice").displays())
    truth = world.effect_of_suggesting()
    assert abs(found.value - truth) < 4 * found.std_error
    assert (found.lower > 0) == influence


def test_an_observational_estimate_is_off_by_the_closed_formula(large):
    log = large.log(100)
    treated = log.follows()
    found = inverse_weighting(treated, treated.bind(log.follow_chance), normalise=True)
    assert large.effect() == 0
    assert abs(found.value - large.bias()) < 4 * found.std_error
    assert found.value > 10 * found.std_error
    told = replace(large, config=replace(large.config, hidden=False)).log(100)
    treated = told.follows()
    found = inverse_weighting(treated, treated.bind(told.follow_chance), normalise=True)
    assert abs(found.value) < 4 * found.std_error


def test_the_platforms_propensities_value_its_policies(large):
    log = large.log(40)
    rows = Logged(log.person, log.suggested - 1, log.engaged.astype(float), log.propensity)
    uniform = large.uniform()
    found = ips(rows, uniform)
    assert abs(found.value - large.policy_value(uniform).slot_rate) < 4 * found.std_error
    weight = mean_over_people(1 / (100 * log.propensity), log.person)
    assert abs(weight.value - 1) < 4 * weight.std_error


def test_streams_are_apart_and_one_seed_is_one_network(large):
    again = build_social(large.config, 3)
    for name in ("history", "liked", "taste", "popularity", "suggest", "follow", "engage"):
        np.testing.assert_array_equal(getattr(again, name), getattr(large, name))
    for stream in ("log", "heldout", "slice"):
        one, two = large.log(2, stream), again.log(2, stream)
        for name in LOGGED:
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (large.log(2).suggested != large.log(2, "heldout").suggested).any()
    assert (large.log(2, "heldout").visit >= 1000).all()
    assert (build_social(large.config, 4).history != large.history).any()


def test_histories_are_batches_in_which_nobody_meets_herself(large):
    batch = make_batch(large.history, large.liked, n_items=101)
    assert (batch.mask.sum(axis=1) >= 5).all()
    assert (large.history != np.arange(1, 102)[:, None]).all()
    assert abs(large.taste.mean(axis=1)).max() < 1e-12
    home = large.taste[np.arange(101), large.community]
    assert home.mean() > 0.4


def test_the_tables_are_those_of_a_log_and_hide_what_is_hidden(large):
    drawn = large.log(6, rand=0.5)
    log = drawn.to_log()
    assert log.n_items == log.n_people == 101
    assert len(log.impressions) == drawn.displayed.sum() < len(drawn.person)
    assert len(log.purchases) == drawn.engaged.sum()
    assert log.events.groupby("person").size().tolist() == (large.history > 0).sum(axis=1).tolist()
    np.testing.assert_array_equal(log.impressions["followed"], drawn.followed[drawn.displayed])
    assert log.items["text"][1] == "ben.2 posts about baking"
    names = {f.name for f in fields(drawn)}
    assert names == {*LOGGED, "histories", "items", "similarity"}
    assert drawn.n_visits == 6
    # nobody can be suggested to herself, so the mean weight is 100/101 and not quite 1
    assert check_log(large.log(20).to_log().impressions, n_items=101).ok


# ------------------------------------------------------------------------------ policies


def test_no_policy_adds_more_than_the_one_by_what_suggesting_adds(social):
    best = social.policy_value(social.greedy(social.suggestion_uplift()))
    rng = np.random.default_rng(0)
    for _ in range(50):
        policy = rng.dirichlet(np.ones(13), size=13) * (1 - np.eye(13))
        policy /= policy.sum(axis=1, keepdims=True)
        assert social.policy_value(policy).increment < best.increment
    value = social.policy_value(social.uniform())
    others = ~np.eye(13, dtype=bool)
    assert value.slot_rate == pytest.approx(social.displayed()[others].mean(), rel=1e-12)
    assert value.increment == pytest.approx(social.suggestion_uplift()[others].mean(), rel=1e-12)
    assert value.follows == pytest.approx(social.follow_chance()[others].mean(), rel=1e-12)


def test_nobody_is_suggested_to_herself_whatever_the_scores(social):
    policy = social.greedy(np.eye(13) + 0.0)
    assert (np.diagonal(policy) == 0).all()
    assert policy.argmax(axis=1).tolist() == [1] + [0] * 12  # the lowest id among equals
    with pytest.raises(ValueError, match="policy must suggest nobody to herself; row 0 does"):
        social.policy_value(np.full((13, 13), 1 / 13))


def test_bad_policies_and_questions_are_named(social):
    with pytest.raises(ValueError, match=r"policy must have shape \(13, 13\); got \(13, 12\)"):
        social.policy_value(np.ones((13, 12)))
    with pytest.raises(ValueError, match=r"rows of chances that sum to 1; row 0 sums to 2\.0"):
        social.policy_value(2 * social.uniform())
    with pytest.raises(ValueError, match=r"scores must have shape \(13, 13\); got \(13,\)"):
        social.greedy(np.ones(13))
    with pytest.raises(ValueError, match="scores must not be NaN; row 4 is"):
        social.greedy(np.where(np.arange(13)[:, None] == 4, np.nan, np.ones((13, 13))))
    for question in (social.do, social.see, social.arm):
        with pytest.raises(ValueError, match="t must be 0 or 1; got 2"):
            question(2)
    with pytest.raises(ValueError, match=r"stream must be one of .* got 'people'"):
        social.log(stream="people")
    with pytest.raises(ValueError, match=r"rand must be from 0 to 1; got 2"):
        social.log(rand=2)
    with pytest.raises(ValueError, match="visits must be from 1 to 1000; got 0"):
        social.log(0)
    with pytest.raises(TypeError, match=r"visits must be of type int; got 2\.0"):
        social.log(2.0)
    with pytest.raises(ValueError, match="seed must be at least 0; got -1"):
        build_social(SMALL, -1)
    with pytest.raises(TypeError, match="seed must be of type int; got True"):
        build_social(SMALL, True)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"pz": 1.5}, ValueError, r"pz must be from 0 to 1; got 1\.5"),
        ({"g_f": math.nan}, ValueError, "g_f must be finite; got nan"),
        ({"hidden": 1}, TypeError, "hidden must be of type bool; got 1"),
        ({"lift": "1"}, TypeError, "lift must be of type float; got '1'"),
        ({"lift": True}, TypeError, "lift must be of type float; got True"),
        ({"n_people": 13.0}, TypeError, r"n_people must be of type int; got 13\.0"),
        ({"length": 4}, ValueError, "length must be at least 5; got 4"),
        ({"n_communities": 9}, ValueError, "n_communities must be at most 8; got 9"),
        ({"n_people": 11}, ValueError, "at least two a community, 12; got 11"),
    ],
)
def test_bad_configurations_are_named(changed, error, message):
    with pytest.raises(error, match=message):
        SocialConfig(**changed)


def test_kinds_are_checked_by_kind_and_numpy_passes():
    check_kind("n", np.int64(3), int)
    check_kind("x", np.float32(3), float)
    check_kind("x", 3, float)
    check_kind("flag", np.bool_(True), bool)
    with pytest.raises(TypeError, match=r"flag must be of type bool; got 1\.0"):
        check_kind("flag", 1.0, bool)
    assert expit(0) == 0.5
