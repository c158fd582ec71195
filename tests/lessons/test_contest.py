"""The contest asks every model the same, and its claims can fail."""

import jax
import numpy as np
import pytest

from recflax.lessons import contest
from recflax.lessons.statements import by_name
from recflax.lessons.wrong_question import measure
from recflax.worlds.store import StoreConfig, build_store


@pytest.fixture(scope="module")
def store():
    return build_store(StoreConfig(n_people=211, n_items=37, n_categories=5, length=7), seed=3)


@pytest.fixture(scope="module")
def answers(store):
    found = contest.classical(store, jax.random.key(3))
    found |= contest.networks(store, jax.random.key(5), ("exposed", "exposed_do"))
    return {name: answer for name, (answer, _) in found.items()} | contest.oracles(store, 3)


def test_the_models_of_the_table_are_those_that_are_fitted(answers):
    assert contest.MODELS.keys() >= answers.keys()
    assert answers.keys() >= contest.CLASSICAL.keys() | contest.BEST.keys()
    assert len(set(contest.MODELS.values())) == len(contest.MODELS)
    assert all(answer.scores.shape == (211, 37) for answer in answers.values())


def test_one_fit_answers_two_questions(answers):
    shown, difference = answers["exposed_do"].scores, answers["exposed"].scores
    assert ((shown > 0) & (shown < 1)).all()
    not_shown = shown - difference
    assert ((not_shown > 0) & (not_shown < 1)).all()
    assert np.abs(difference).max() > 0


def test_no_policy_adds_more_than_the_oracle_of_the_taste(store, answers):
    heldout = store.log(2, stream="heldout")
    found = {name: measure(store, heldout, answer) for name, answer in answers.items()}
    best = found["oracle_uplift"]["increment"]
    assert best == pytest.approx(store.uplift().max(axis=1).mean(), rel=1e-12)
    assert max(each["increment"] for each in found.values()) == best
    assert found["oracle_do"]["slot"] == max(each["slot"] for each in found.values())
    # the oracle of the history averages over tastes, so it adds less and more than a random draw
    middle = found["history_uplift"]["increment"]
    assert found["random"]["increment"] < middle < best


def test_the_same_seed_gives_the_same_answers(store, answers):
    again = contest.networks(store, jax.random.key(5), ("exposed",))["exposed"][0]
    np.testing.assert_array_equal(again.scores, answers["exposed"].scores)
    other = contest.networks(store, jax.random.key(7), ("exposed",))["exposed"][0]
    assert np.abs(other.scores - answers["exposed"].scores).max() > 1e-4


GOOD = {
    **{f"{name}_increment": 0.02 for name in contest.LEARNED_FROM_PURCHASES},
    **{f"{name}_ndcg": 0.40 for name in contest.MODELS},
    **{f"{name}_increment": 0.20 for name in contest.CAUSAL},
    "exposed_do_increment": 0.15,
    "log_ndcg": 0.46,
    "item_cf_purchases_ndcg": 0.47,
    "random_increment": 0.05,
    "perfect_log_increment": 0.03,
    "history_uplift_increment": 0.23,
    "oracle_uplift_increment": 0.26,
}


def rows_with(**changes):
    """Three stores that differ a little, with some numbers changed in all of them."""
    return [
        {name: value + 1e-4 * number for name, value in (GOOD | changes).items()}
        for number in range(3)
    ]


def test_the_claims_hold_on_rows_like_the_stores():
    assert all(statement.holds for statement in contest.claims(rows_with()))
    assert {statement.seeds for statement in contest.claims(rows_with())} == {3}
    regret = contest.regret(rows_with(), "exposed")
    assert regret.value == pytest.approx(0.03, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("article-wins-its-own-contest", {"factors_ndcg": 0.461}),
        ("and-loses-the-slot", {"log_increment": 0.051}),
        ("purchases-never-reach-exposure", {"svd_increment": 0.16}),
        ("causal-all-beat-random", {"ips_increment": 0.09}),
        ("accurate-is-not-useful", {"exposed_do_increment": 0.02}),
        ("taste-is-out-of-reach", {"oracle_uplift_increment": 0.229}),
        ("best-network-near-the-oracle", {"ips_clipped_increment": 0.12}),
        ("perfect-log-regret", {"perfect_log_increment": 0.19}),
    ],
)
def test_each_claim_fails_when_what_it_speaks_of_changes(name, changes):
    broken = by_name(contest.claims(rows_with(**changes)))
    assert not broken[f"contest-{name}"].holds
    assert broken.keys() == by_name(contest.claims(rows_with())).keys()
