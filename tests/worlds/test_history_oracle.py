"""E[do(t) | H]: against quadrature, against its own draws, and averaged over people."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from recflax.worlds.history_oracle import GivenHistory, given_history, log_likelihood
from recflax.worlds.store import Store, StoreConfig, build_store

# with two categories a centred taste is (x, -x) with x ~ N(0, 1/2): one integral
TWO = StoreConfig(n_people=101, n_items=11, n_categories=2, length=7)
SMALL = StoreConfig(n_people=997, n_items=23, n_categories=5, length=11)


@pytest.fixture(scope="module")
def two() -> Store:
    return build_store(TWO, seed=3)


@pytest.fixture(scope="module")
def store() -> Store:
    return build_store(SMALL, seed=3)


def events_of(store: Store, person: int) -> list[int]:
    """Categories of a person's events, oldest first."""
    return [int(store.category[item - 1]) for item in store.history[person] if item > 0]


def chance_of(events: list[int], need: np.ndarray, stay: float) -> float:
    """P(categories) of a history, event by event."""
    chance = float(need[events[0]])
    for before, now in pairwise(events):
        chance *= stay * (before == now) + (1 - stay) * need[now]
    return chance


def test_the_likelihood_is_that_of_the_chain_event_by_event(store: Store) -> None:
    taste = np.random.default_rng(0).normal(size=(7, 5))
    found = log_likelihood(store, taste)
    need = np.exp(SMALL.a_taste * taste)
    need /= need.sum(axis=1, keepdims=True)
    for person in (0, 5, 444):
        events = events_of(store, person)
        chances = np.log([chance_of(events, row, SMALL.stay) for row in need])
        # (1 - stay) to the power of the changes is the same for every taste, and left out
        found_here = found[person] - found[person, 0]
        np.testing.assert_allclose(found_here, chances - chances[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("question", ["do_0", "do_1", "uplift"])
def test_the_draws_agree_with_quadrature(two: Store, question: str) -> None:
    nodes, weights = np.polynomial.hermite.hermgauss(61)  # for exp(-x^2), the density of x
    tastes = np.stack([nodes, -nodes], axis=1)
    need = np.exp(TWO.a_taste * tastes)
    need /= need.sum(axis=1, keepdims=True)
    known = given_history(two, question, draws=20_000, seed=1)
    z = []
    for person in range(0, 101, 10):
        likelihood = [chance_of(events_of(two, person), row, TWO.stay) for row in need]
        belief = weights * likelihood / (weights @ likelihood)
        exact = np.zeros(11)
        for taste, share in zip(tastes, belief, strict=True):
            held = replace(two, taste=np.tile(taste, (101, 1)))
            truth = {"do_0": held.do(0), "do_1": held.do(1), "uplift": held.uplift()}[question]
            exact += share * truth[person]
        np.testing.assert_allclose(known.value[person], exact, rtol=0.05)
        z.append((known.value[person] - exact) / known.std_error[person])
    assert np.abs(z).max() < 5


def test_the_printed_error_is_the_spread_over_draws(store: Store) -> None:
    runs = [given_history(store, "do_1", draws=500, seed=seed) for seed in range(20)]
    spread = np.std([run.value for run in runs], axis=0, ddof=1)
    claimed = np.mean([run.std_error for run in runs], axis=0)
    # root mean square over people and products; the draws are shared, so this is no sharp test
    ratio = np.sqrt((spread**2).mean() / (claimed**2).mean())
    assert 0.8 < ratio < 1.25


def test_over_people_it_averages_to_the_truth(store: Store) -> None:
    for question, truth in (("do_0", store.do(0)), ("do_1", store.do(1))):
        known = given_history(store, question, draws=3000, seed=2)
        gap = truth - known.value  # (U, M)
        assert gap.std() > 0.005  # the history does not tell the taste
        error = np.sqrt(gap.var(axis=0, ddof=1) / len(gap)) + known.std_error.mean(axis=0)
        assert (np.abs(gap.mean(axis=0)) < 4 * error).all()


def test_uplift_is_the_difference_of_the_two_and_positive(store: Store) -> None:
    shown, not_shown, uplift = (
        given_history(store, question, draws=101, seed=4) for question in ("do_1", "do_0", "uplift")
    )
    np.testing.assert_allclose(uplift.value, shown.value - not_shown.value, rtol=1e-9)
    assert uplift.value.min() > 0
    assert 1 <= uplift.effective_draws.min() <= uplift.effective_draws.max() <= 101


def test_its_best_policy_earns_less_than_the_one_that_knows_the_taste(store: Store) -> None:
    known = given_history(store, "uplift", draws=2000, seed=5)
    earned = store.policy_value(store.greedy(known.value)).increment
    without_history = store.greedy(np.tile(store.uplift().mean(axis=0), (SMALL.n_people, 1)))
    assert store.policy_value(without_history).increment < earned
    assert earned < store.policy_value(store.greedy(store.uplift())).increment


def test_where_taste_does_nothing_it_is_the_truth() -> None:
    blind = build_store(replace(SMALL, b_t=0.0), seed=3)
    known = given_history(blind, "do_1", draws=7, seed=0)
    np.testing.assert_allclose(known.value, blind.do(1), rtol=1e-9)
    assert known.std_error.max() < 1e-6


def test_one_seed_gives_one_answer_whatever_the_block(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> GivenHistory:
        return given_history(store, "do_0", draws=53, seed=6)

    once = ask()
    np.testing.assert_array_equal(once.value, ask().value)
    monkeypatch.setattr("recflax.worlds.history_oracle._BLOCK", 101)
    for one, other in zip(once, ask(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-12)


def test_the_door_says_what_came(store: Store) -> None:
    with pytest.raises(ValueError, match=r"question must be one of .* got 'see'"):
        given_history(store, "see", seed=0)
    with pytest.raises(ValueError, match="draws must be at least 2; got 1"):
        given_history(store, "do_1", draws=1, seed=0)
