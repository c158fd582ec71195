"""Attributions: against loops, finite differences and closed forms; the person's information."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from recflax.data.batches import Batch, make_batch
from recflax.explain import (
    attention_importance,
    gradient_times_input,
    information,
    leave_one_out,
    without_each,
)
from recflax.recommender import Recommender, RecommenderConfig
from recflax.worlds.history_oracle import given_history
from recflax.worlds.store import StoreConfig, build_store
from recflax.worlds.store_blocks import some_people

M, L, N = 13, 7, 2
CONFIG = RecommenderConfig(
    n_items=M,
    categories=(0, 1, 2) * 4 + (0,),
    width=6,
    max_length=11,
    arms=("shown", "not_shown"),
)
HISTORY = np.array([[0, 0, 3, 5, 1, 11, 2], [4, 4, 4, 9, 8, 7, 6], [0] * 6 + [10], [0] * 7])
CANDIDATES = np.array([[12, 13], [13, 12], [3, 12], [1, 2]])
MASK = HISTORY > 0


@cache
def drawn(config: RecommenderConfig) -> tuple:
    """Numbers far from their start, where attention is no longer nearly uniform."""
    graphdef, params = nnx.split(Recommender(config, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(1)
    return graphdef, jax.tree.map(lambda leaf: leaf + 0.5 * rng.normal(size=leaf.shape), params)


def network(config: RecommenderConfig = CONFIG) -> Recommender:
    """A network of its own, which a test may change."""
    graphdef, params = drawn(config)
    return nnx.merge(graphdef, jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params))


def batch(candidates: np.ndarray | None = CANDIDATES, history: np.ndarray = HISTORY) -> Batch:
    return make_batch(history, (history % 2 == 1), n_items=M, candidates=candidates)


# ------------------------------------------------------------------------------- removing


def test_an_event_is_deleted_and_older_ones_move_up() -> None:
    whole, shorter = batch(), without_each(batch())
    for place in range(L):
        for kept, left in zip(shorter[:3], whole[:3], strict=True):
            wanted = np.pad(np.delete(left, place, axis=1), ((0, 0), (1, 0)))
            np.testing.assert_array_equal(kept[:, place], wanted)
            assert kept.dtype == left.dtype
    assert shorter.candidates is None


def test_the_store_removes_events_in_the_same_way() -> None:
    store = build_store(StoreConfig(n_people=11, n_items=23, n_categories=3), seed=5)
    shorter = without_each(make_batch(store.history, store.bought, n_items=23))
    effect = np.stack(
        [
            replace(store, history=shorter.history[:, place], bought=shorter.bought[:, place]).do(1)
            - store.do(1)
            for place in range(16)
        ],
        axis=1,
    )
    np.testing.assert_allclose(effect, store.history_effect(), rtol=0, atol=1e-15)
    assert np.abs(effect).max() > 0.01


# ------------------------------------------------------------------------------ attention


def test_cross_attention_is_the_mean_over_heads_and_zero_at_padding() -> None:
    model = network()
    found = attention_importance(model, batch())
    whole = attention_importance(model, batch(None))
    weights = np.asarray(model.intermediates(batch(None))["cross_attention"])
    np.testing.assert_allclose(whole, (weights[:, 0] + weights[:, 1]) / 2, rtol=1e-6)
    for row, items in enumerate(CANDIDATES):
        np.testing.assert_allclose(found[row], whole[row, items - 1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=2)[:3], 1, rtol=1e-5)
    assert (found[~np.broadcast_to(MASK[:, None], found.shape)] == 0).all()
    assert found.shape == (4, N, L)


@pytest.mark.parametrize("query", ["candidates", "person", "newest"])
def test_rollout_follows_the_weights_back_place_by_place(query: str) -> None:
    model = network(replace(CONFIG, query=query, blocks=2))
    inside = {name: np.asarray(part) for name, part in model.intermediates(batch()).items()}
    found = attention_importance(model, batch(), "rollout")
    for row in range(3):
        for n in range(N):
            if query == "newest":
                share = np.eye(L)[-1]
            else:
                share = inside["cross_attention"][row, :, n if query == "candidates" else 0].mean(0)
            for block in (1, 0):  # the last block first
                mixing = inside[f"self_attention_{block}"][row].mean(axis=0)
                share = np.array(
                    [
                        0.5 * share[key] + 0.5 * sum(share[q] * mixing[q, key] for q in range(L))
                        for key in range(L)
                    ]
                )
            np.testing.assert_allclose(found[row, n], share, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.sum(axis=2)[:3], 1, rtol=1e-5)
    np.testing.assert_array_equal(found[3], 0)  # an empty history


def test_one_question_a_person_gives_all_candidates_the_same_weights() -> None:
    found = attention_importance(network(replace(CONFIG, query="person")), batch())
    assert found.shape == (4, N, L)
    np.testing.assert_array_equal(found[:, 0], found[:, 1])


def test_an_unknown_kind_and_a_missing_layer_are_refused() -> None:
    with pytest.raises(ValueError, match=r"kind must be one of \('cross', 'rollout'\); got 'max'"):
        attention_importance(network(), batch(), "max")
    with pytest.raises(ValueError, match="'rollout' for a network whose query is 'newest'"):
        attention_importance(network(replace(CONFIG, query="newest")), batch())


# --------------------------------------------------------------------------- leave one out


@pytest.mark.parametrize(
    ("query", "scale"),
    [("candidates", "logit"), ("candidates", "probability"), ("newest", "probability")],
)
def test_leave_one_out_is_the_score_without_minus_the_score_with(query: str, scale: str) -> None:
    model = network(replace(CONFIG, query=query))

    def said(history: np.ndarray) -> np.ndarray:
        scores = model.scores(batch(history=history), "not_shown").astype(float)
        return 1 / (1 + np.exp(-scores)) if scale == "probability" else scores

    found = leave_one_out(model, batch(), "not_shown", scale)
    for place in range(L):
        shorter = np.pad(np.delete(HISTORY, place, axis=1), ((0, 0), (1, 0)))
        wanted = (said(shorter) - said(HISTORY)) * MASK[:, place, None]
        np.testing.assert_allclose(found[:, :, place], wanted, rtol=1e-4, atol=2e-6)
    assert (found[~np.broadcast_to(MASK[:, None], found.shape)] == 0).all()
    assert np.abs(found[MASK[:, None] & np.ones((1, N, 1), bool)]).min() > 0


def test_a_network_that_counts_has_leave_one_outs_in_closed_form() -> None:
    model = network(replace(CONFIG, blocks=0, repetition=True))
    model.arm[...] = jnp.zeros_like(model.arm[...])
    model.repetition[...] = jnp.array([[2.0, 0, 0], [0, 0, 0]])
    history = np.array([[0, 0, 3, 5, 3, 11, 3]])
    asked = make_batch(history, n_items=M, candidates=[[3, 5, 7]])
    found = leave_one_out(model, asked, scale="logit")[0]
    threes, fives = 2 * np.log(3 / 4), 2 * np.log(1 / 2)  # log(1 + count), one fewer
    np.testing.assert_allclose(found[0], [0, 0, threes, 0, threes, 0, threes], atol=1e-5)
    np.testing.assert_allclose(found[1], [0, 0, 0, fives, 0, 0, 0], atol=1e-5)
    np.testing.assert_allclose(found[2], 0, atol=1e-6)
    np.testing.assert_allclose(leave_one_out(model, asked, "not_shown"), 0, atol=1e-6)


def test_without_candidates_the_whole_catalogue_is_asked() -> None:
    model = network(replace(CONFIG, blocks=0))
    for way in (leave_one_out, gradient_times_input):
        whole, some = way(model, batch(None)), way(model, batch())
        assert whole.shape == (4, M, L)
        for row, items in enumerate(CANDIDATES):
            np.testing.assert_allclose(some[row], whole[row, items - 1], rtol=1e-3, atol=1e-6)


# ------------------------------------------------------------------------------- gradient


@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("from_zero", [True, False])
def test_the_gradient_is_a_finite_difference_of_the_events_vector(positions, from_zero) -> None:
    """The vector of an event whose item is nowhere else moves with the row of that item."""
    model = network(replace(CONFIG, positions=positions))
    baseline = None if from_zero else np.linspace(-1, 1, 6)
    found = gradient_times_input(model, batch(), "shown", "logit", baseline)
    events = np.asarray(model.intermediates(batch())["events"])
    rows, step = model.item[...], 2e-3
    for person, place in ((0, 2), (0, 6), (1, 3), (1, 6), (2, 6)):
        item = HISTORY[person, place]
        if item in CANDIDATES[person]:
            continue
        way = events[person, place] - (0 if baseline is None else baseline)
        ends = []
        for sign in (1, -1):
            model.item[...] = rows.at[item - 1].add(-sign * step * way)
            ends.append(model.scores(batch(), "shown")[person].astype(float))
        model.item[...] = rows
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(found[person, :, place], slope, rtol=5e-3, atol=5e-3)
    assert (found[~np.broadcast_to(MASK[:, None], found.shape)] == 0).all()


def test_the_gradient_of_a_chance_is_that_of_the_logit_times_p_times_1_minus_p() -> None:
    model = network()
    p = 1 / (1 + np.exp(-model.scores(batch()).astype(float)))
    found = gradient_times_input(model, batch())
    logit = gradient_times_input(model, batch(), scale="logit")
    np.testing.assert_allclose(found, logit * (p * (1 - p))[..., None], rtol=1e-4, atol=1e-7)


def test_a_network_that_normalises_does_not_feel_a_vector_shrink() -> None:
    """One event alone: the norm makes its length irrelevant, and removal is felt all the same."""
    model = network(replace(CONFIG, blocks=0))
    gradient = gradient_times_input(model, batch(), scale="logit")[2, :, 6]
    removal = leave_one_out(model, batch(), scale="logit")[2, :, 6]
    assert np.abs(gradient).max() < 1e-4 * np.abs(removal).min()
    moved = gradient_times_input(model, batch(), scale="logit", baseline=np.arange(6.0))
    assert np.abs(moved[2, :, 6]).min() > 0.01


@pytest.mark.parametrize("way", [leave_one_out, gradient_times_input])
def test_an_unknown_arm_scale_and_id_are_refused(way) -> None:
    with pytest.raises(ValueError, match=r"arm must be one of .* got 'on'"):
        way(network(), batch(), "on")
    with pytest.raises(ValueError, match=r"scale must be one of .* got 'odds'"):
        way(network(), batch(), scale="odds")
    with pytest.raises(ValueError, match=r"history holds the id 14 at \(0, 2\)"):
        way(network(), batch()._replace(history=np.where(HISTORY == 3, 14, HISTORY)))


@pytest.mark.parametrize("baseline", [np.ones(5), np.full(6, np.nan)])
def test_a_wrong_baseline_is_refused(baseline) -> None:
    with pytest.raises(ValueError, match=r"baseline must be \(6,\) and finite"):
        gradient_times_input(network(), batch(), baseline=baseline)


# ----------------------------------------------------------------------------- information

SMALL = StoreConfig(n_people=29, n_items=23, n_categories=3, length=7)


def test_information_is_the_oracle_asked_twice() -> None:
    store = build_store(SMALL, seed=5)
    people, items = np.array([3, 17, 5]), np.array([2, 19, 11])
    found = information(store, people, items, draws=211, seed=1)
    whole = given_history(store, "do_1", draws=211, seed=1).value
    for row, (person, item) in enumerate(zip(people, items, strict=True)):
        for place in range(7):
            kept = [
                np.pad(np.delete(part[person], place), (1, 0))[None]
                for part in (store.history, store.bought)
            ]
            alone = replace(some_people(store, [person]), history=kept[0], bought=kept[1])
            without = given_history(alone, "do_1", draws=211, seed=1).value[0, item - 1]
            change = without - whole[person, item - 1]
            if store.history[person, place] == 0:
                change = 0
            assert found[row, place] == pytest.approx(change, abs=1e-11)


def test_where_taste_does_nothing_information_is_the_effect() -> None:
    store = build_store(replace(SMALL, b_t=0.0), seed=5)
    people, items = np.arange(29), np.arange(29) % 23 + 1
    found = information(store, people, items, draws=3, seed=0)
    wanted = store.history_effect()[people, :, items - 1]
    np.testing.assert_allclose(found, wanted, atol=1e-11)
    assert ((found == 0) == (np.abs(wanted) < 1e-12)).all()


def test_events_of_one_need_in_a_row_tell_the_same_and_most_tell_something() -> None:
    store = build_store(replace(SMALL, b_n=0.0, b_c=0.0, b_s=0.0), seed=5)  # taste alone
    people = np.arange(29)
    found = information(store, people, np.full(29, 4), draws=499, seed=0)
    real = store.history > 0
    need = np.where(real, store.category[store.history - 1], -1)
    same = real[:, :-1] & (need[:, 1:] == need[:, :-1])
    assert same.sum() > 20
    np.testing.assert_array_equal(found[:, 1:][same], found[:, :-1][same])
    assert (found[real] != 0).mean() > 0.95
    assert not store.history_effect().any()


def test_information_wants_one_item_for_each_person() -> None:
    store = build_store(SMALL, seed=5)
    with pytest.raises(ValueError, match="one id for each of 2 people; got 1"):
        information(store, [1, 2], [3], seed=0)
    with pytest.raises(ValueError, match="items holds the id 24"):
        information(store, [1], [24], seed=0)
