import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from recflax.causal.policy_value import ips, snips
from recflax.worlds.retrieval import STAGES, RetrievalConfig, build_funnel

SMALL = RetrievalConfig(n_people=11, n_communities=2, friends=3, opened=2)


@pytest.fixture(scope="module")
def funnel():
    return build_funnel(SMALL, seed=5)


@pytest.fixture(scope="module")
def policy():
    """Some policy that prefers some accounts, and nobody herself."""
    wish = np.random.default_rng(1).dirichlet(np.ones(11), size=11) * (1 - np.eye(11))
    return wish / wish.sum(axis=1, keepdims=True)


def by_hand(funnel):
    """Display, recall and the two means of weighted rewards, in loops over people and sets."""
    people = len(funnel.reward)
    shown, recall = np.zeros((2, people, people))
    sets = list(itertools.combinations(range(funnel.config.friends), funnel.config.opened))
    for u in range(people):
        for opened in sets:
            found = {int(j) for f in opened for j in funnel.follows[funnel.follows[u, f]]} - {u}
            total = sum(math.exp(funnel.score[u, j]) for j in found)
            for j in found:
                shown[u, j] += math.exp(funnel.score[u, j]) / total / len(sets)
                recall[u, j] += 1 / len(sets)
    return shown, recall


def test_every_chance_is_that_of_a_loop_over_sets(funnel):
    shown, recall = by_hand(funnel)
    np.testing.assert_allclose(funnel.logging_policy(), shown, rtol=1e-12)
    np.testing.assert_allclose(funnel.recall(), recall, rtol=1e-12)
    np.testing.assert_array_equal(funnel.covered(), shown > 0)
    np.testing.assert_allclose(shown.sum(axis=1), 1, rtol=1e-12)
    assert (np.diagonal(shown) == 0).all()


def test_the_means_of_weighted_rewards_are_sums_over_every_possible_row(funnel, policy):
    """E[pi / propensity * reward], enumerated over set and display, not simplified."""
    ranked = funnel.ranked  # (U, S, M)
    whole = np.broadcast_to(funnel.logging_policy()[:, None], ranked.shape)
    for by, propensity in (("funnel", whole), ("ranker", ranked)):
        ratio = np.divide(policy[:, None], propensity, out=np.zeros_like(ranked), where=ranked > 0)
        chance = ranked / ranked.shape[1]
        mean_weight = (chance * ratio).sum() / 11
        value = (chance * ratio * funnel.reward[:, None]).sum() / 11
        assert funnel.mean_weight(policy, by) == pytest.approx(mean_weight, rel=1e-12)
        assert funnel.expected_ips(policy, by) == pytest.approx(value, rel=1e-12)


def test_the_mean_weight_is_the_covered_mass_and_the_ranker_loses_what_was_not_retrieved(
    funnel, policy
):
    covered, recall = funnel.covered(), funnel.recall()
    assert 0 < (policy * covered).sum() / 11 < 1
    assert funnel.mean_weight(policy) == pytest.approx((policy * covered).sum() / 11)
    wrong_by = (policy * (1 - recall) * funnel.reward).sum() / 11
    assert funnel.value(policy) - funnel.expected_ips(policy, "ranker") == pytest.approx(wrong_by)
    never = (policy * ~covered * funnel.reward).sum() / 11
    assert funnel.value(policy) - funnel.expected_ips(policy) == pytest.approx(never)
    assert wrong_by > never > 0


def test_the_logging_policy_itself_is_valued_right_by_either_stage_only_with_its_own_odds(funnel):
    """The funnel's own policy: weight 1 with its propensity, and not with the ranker's."""
    own = funnel.logging_policy()
    assert funnel.mean_weight(own) == pytest.approx(1)
    assert funnel.expected_ips(own) == pytest.approx(funnel.value(own))
    assert funnel.mean_weight(own, "ranker") < 0.95


def test_with_every_friend_opened_the_ranker_is_the_funnel(policy):
    whole = build_funnel(replace(SMALL, opened=3), seed=5)
    assert set(np.unique(whole.recall())) == {0.0, 1.0}
    assert whole.expected_ips(policy, "ranker") == pytest.approx(whole.expected_ips(policy))
    one, two = (whole.log(7, by) for by in STAGES)
    np.testing.assert_allclose(one.propensity, two.propensity, rtol=1e-12)
    assert whole.expected_ips(policy) < whole.value(policy)  # and the rest stays unknown


@pytest.mark.parametrize("by", STAGES)
def test_estimates_sit_on_their_exact_means(funnel, policy, by):
    log = funnel.log(4_000, by)
    found = ips(log, policy)
    weight = log.weight(policy)
    error = weight.std(ddof=1) / math.sqrt(log.n)
    assert abs(weight.mean() - funnel.mean_weight(policy, by)) < 4 * error
    terms = weight * log.reward
    error = terms.std(ddof=1) / math.sqrt(log.n)
    assert abs(found.value - funnel.expected_ips(policy, by)) < 4 * error
    if by == "ranker":
        assert abs(found.value - funnel.value(policy)) > 20 * error
        hidden = snips(log, policy).value  # weights forced to a mean of 1: the test is silent
        ratio = funnel.expected_ips(policy, by) / funnel.mean_weight(policy, by)
        assert hidden == pytest.approx(ratio, abs=0.02)


def test_two_funnels_write_one_log_and_differ_in_what_was_never_shown(funnel, policy):
    other = replace(funnel, reward=np.where(funnel.covered(), funnel.reward, 0.99))
    one, two = funnel.log(50), other.log(50)
    for name in ("context", "action", "reward", "propensity"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert other.expected_ips(policy) == pytest.approx(funnel.expected_ips(policy))
    assert other.value(policy) > funnel.value(policy) + 0.05


def test_draws_are_those_of_the_law_and_of_the_seed(funnel):
    one, two = funnel.log(900, "funnel"), funnel.log(900, "ranker")
    np.testing.assert_array_equal(one.action, two.action)
    np.testing.assert_array_equal(one.reward, two.reward)
    assert (one.propensity <= two.propensity + 1e-12).any()
    shown = np.zeros((11, 11))
    np.add.at(shown, (one.context, one.action), 1)
    chance = funnel.logging_policy()
    assert (shown[chance == 0] == 0).all()
    there = (chance > 0) & (chance < 1)
    error = np.sqrt(900 * chance * (1 - chance))[there]
    assert np.abs((shown - 900 * chance)[there] / error).max() < 4.5
    again = build_funnel(SMALL, seed=5)
    for name in ("follows", "score", "reward", "community"):
        np.testing.assert_array_equal(getattr(again, name), getattr(funnel, name))
    assert (build_funnel(SMALL, seed=6).follows != funnel.follows).any()


def test_everybody_follows_others_and_more_often_at_home():
    funnel = build_funnel(RetrievalConfig(n_people=101), seed=3)
    assert (funnel.follows != np.arange(101)[:, None]).all()
    assert all(len(set(row)) == 4 for row in funnel.follows.tolist())
    home = (funnel.community[funnel.follows] == funnel.community[:, None]).mean()
    assert home > 0.5  # a third by chance


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"friends": 1}, ValueError, "friends must be from 2 to 59, the other people; got 1"),
        ({"friends": 60}, ValueError, "friends must be from 2 to 59, the other people; got 60"),
        ({"opened": 5}, ValueError, "opened must be from 1 to 4; got 5"),
        ({"n_people": 2}, ValueError, "n_people must be at least 3; got 2"),
        ({"n_communities": 61}, ValueError, "n_communities must be from 1 to 60; got 61"),
        ({"x_sd": -1.0}, ValueError, r"x_sd must be at least 0; got -1\.0"),
        ({"y_0": math.inf}, ValueError, "y_0 must be finite; got inf"),
        ({"opened": 2.0}, TypeError, r"opened must be of type int; got 2\.0"),
    ],
)
def test_bad_configurations_are_named(changed, error, message):
    with pytest.raises(error, match=message):
        RetrievalConfig(**changed)


def test_bad_questions_are_named(funnel):
    with pytest.raises(ValueError, match=r"by must be one of .* got 'cache'"):
        funnel.mean_weight(funnel.uniform(), "cache")
    with pytest.raises(ValueError, match=r"by must be one of .* got 'cache'"):
        funnel.log(by="cache")
    with pytest.raises(ValueError, match=r"policy must have shape \(11, 11\); got \(11,\)"):
        funnel.value(np.ones(11))
    with pytest.raises(ValueError, match=r"row 0 sums to 2\.0"):
        funnel.expected_ips(2 * funnel.uniform())
    with pytest.raises(ValueError, match="visits must be at least 1; got 0"):
        funnel.log(0)
    with pytest.raises(TypeError, match=r"visits must be of type int; got 1\.5"):
        funnel.log(1.5)
