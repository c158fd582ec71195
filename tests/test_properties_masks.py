"""Permutation, padding, scaling and duplication: what attention and scores must not notice."""

from functools import partial
from itertools import pairwise

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recflax.cross_attention import CrossAttention
from recflax.data.batches import make_batch
from recflax.recommender import Recommender, RecommenderConfig
from recflax.scoring import top_k
from recflax.self_attention import SelfAttention

B, N, L, D, H, M = 3, 4, 5, 6, 2, 11
SELF = nnx.split(SelfAttention(D, H, rngs=nnx.Rngs(1)))
FUTURE = nnx.split(SelfAttention(D, H, mask_future=True, rngs=nnx.Rngs(1)))
CROSS = nnx.split(CrossAttention(D, H, rngs=nnx.Rngs(2)))
seeds = st.integers(0, 10_000)
orders = st.permutations(range(L))
lengths = st.lists(st.integers(0, L), min_size=B, max_size=B)


@partial(jax.jit, static_argnums=0)
def run(graphdef, params, *arrays):
    return nnx.merge(graphdef, params)(*arrays)


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def left_padded(real: list[int], length: int = L) -> np.ndarray:
    return np.arange(length) >= length - np.array(real)[:, None]


def same(found, wanted) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=2e-5, atol=2e-6)


@given(seeds, orders, lengths)
def test_permutation_of_places_and_mask_together_permutes_self_attention(seed, order, real):
    x, mask = draw(seed, B, L, D), left_padded(real)
    output, weights = run(*SELF, x, mask)
    moved, moved_weights = run(*SELF, x[:, order], mask[:, order])
    same(moved, output[:, np.array(order)])
    same(moved_weights, np.asarray(weights)[..., order, :][..., order])


@given(seeds, orders, lengths)
def test_permutation_of_the_context_leaves_cross_attention_as_it_is(seed, order, real):
    queries, context, mask = draw(seed, B, N, D), draw(seed + 1, B, L, D), left_padded(real)
    output, weights = run(*CROSS, queries, context, mask)
    moved, moved_weights = run(*CROSS, queries, context[:, order], mask[:, order])
    same(moved, output)
    same(moved_weights, np.asarray(weights)[..., order])


@given(seeds, st.permutations(range(N)))
def test_permutation_of_the_queries_permutes_cross_attention(seed, order):
    queries, context = draw(seed, B, N, D), draw(seed + 1, B, L, D)
    mask = left_padded([2, 5, 0])
    output, weights = run(*CROSS, queries, context, mask)
    moved, moved_weights = run(*CROSS, queries[:, order], context, mask)
    same(moved, np.asarray(output)[:, order])
    same(moved_weights, np.asarray(weights)[:, :, order])


@given(seeds, st.permutations(range(B)), lengths)
def test_permutation_of_people_permutes_what_they_get(seed, order, real):
    x, mask = draw(seed, B, L, D), left_padded(real)
    same(run(*FUTURE, x[order, :], mask[order, :])[0], np.asarray(run(*FUTURE, x, mask)[0])[order])


@given(seeds, lengths, st.sampled_from([0.0, -7.0, 1e30, np.nan, np.inf]), st.booleans())
def test_padding_may_hold_anything(seed, real, content, future):
    """The real places, the weights that they give, and what is given to the padding: nothing."""
    x, mask = draw(seed, B, L, D), left_padded(real)
    network = FUTURE if future else SELF
    output, weights = run(*network, x, mask)
    dirty, dirty_weights = run(*network, np.where(mask[..., None], x, np.float32(content)), mask)
    np.testing.assert_array_equal(np.asarray(dirty)[mask], np.asarray(output)[mask])
    asked = np.broadcast_to(mask[:, None, :], (B, H, L))
    np.testing.assert_array_equal(np.asarray(dirty_weights)[asked], np.asarray(weights)[asked])
    hidden = np.broadcast_to(~mask[:, None, None, :], weights.shape)
    assert not np.asarray(dirty_weights)[hidden].any()


@given(seeds, st.lists(st.integers(0, L), min_size=B, max_size=B), st.booleans())
def test_padding_on_the_left_however_much_changes_no_real_place(seed, real, future):
    x, mask, more = draw(seed, B, L, D), left_padded(real), 3
    network = FUTURE if future else SELF
    longer = np.concatenate([draw(seed + 1, B, more, D), x], axis=1)
    long_mask = np.concatenate([np.zeros((B, more), bool), mask], axis=1)
    short = np.asarray(run(*network, x, mask)[0])[mask]
    same(np.asarray(run(*network, longer, long_mask)[0])[:, more:][mask], short)


@given(seeds, lengths)
def test_duplication_of_every_place_of_the_context_changes_no_mean(seed, real):
    """Each place twice halves each weight, and the weighted mean is what it was."""
    queries, context, mask = draw(seed, B, N, D), draw(seed + 1, B, L, D), left_padded(real)
    output, weights = run(*CROSS, queries, context, mask)
    twice, half = run(*CROSS, queries, np.tile(context, (1, 2, 1)), np.tile(mask, (1, 2)))
    same(twice, output)
    same(np.asarray(half)[..., :L] * 2, weights)


@given(seeds, lengths)
def test_weights_are_shares_of_one_or_of_nothing(seed, real):
    mask = left_padded(real)
    _, weights = run(*SELF, draw(seed, B, L, D), mask)
    some = np.broadcast_to(mask.any(axis=1)[:, None, None], (B, H, L))
    np.testing.assert_allclose(np.asarray(weights).sum(axis=-1), some, rtol=1e-5)
    assert (np.asarray(weights) >= 0).all()


# --------------------------------------------------------------------------- the whole network

CONFIG = RecommenderConfig(
    n_items=M, categories=(0, 1, 2) * 3 + (0, 1), width=6, max_length=L + 3, arms=("shown",)
)
NETWORK = Recommender(CONFIG, rngs=nnx.Rngs(5))
histories = st.lists(
    st.lists(st.integers(1, M), min_size=0, max_size=L), min_size=B, max_size=B
).map(lambda rows: np.array([[0] * (L - len(row)) + row for row in rows]))


@given(histories, st.permutations(range(B)))
def test_permutation_of_people_permutes_their_scores(history, order):
    scores = NETWORK.scores(make_batch(history, n_items=M))
    same(NETWORK.scores(make_batch(history[order, :], n_items=M)), scores[order])


@given(histories)
def test_padding_three_places_more_changes_no_score(history):
    scores = NETWORK.scores(make_batch(history, n_items=M))
    longer = np.pad(history, ((0, 0), (3, 0)))
    same(NETWORK.scores(make_batch(longer, n_items=M)), scores)


@given(histories, st.permutations(range(N)))
def test_permutation_and_duplication_of_candidates_go_along_with_their_scores(history, order):
    candidates = np.array([[2, 7, 7, 11]] * B)
    scores = NETWORK.scores(make_batch(history, n_items=M, candidates=candidates))
    np.testing.assert_array_equal(scores[:, 1], scores[:, 2])  # one item, asked for twice
    moved = make_batch(history, n_items=M, candidates=candidates[:, order])
    same(NETWORK.scores(moved), scores[:, order])


# --------------------------------------------------------------------------- the best K

tables = st.lists(st.lists(st.integers(-3, 3), min_size=7, max_size=7), min_size=2, max_size=2).map(
    lambda rows: np.array(rows, np.float32)
)


@given(tables, st.integers(1, 7), st.sampled_from([0.5, 2.0, 1024.0]), st.integers(-9, 9))
def test_scaling_and_shifting_all_scores_leaves_the_list_as_it_is(scores, k, scale, shift):
    wanted = top_k(scores, k)
    found = top_k(scores * np.float32(scale) + np.float32(shift), k)
    np.testing.assert_array_equal(found[1], wanted[1])


@given(tables, st.integers(1, 7))
def test_duplication_of_the_people_gives_each_the_same_list(scores, k):
    np.testing.assert_array_equal(
        top_k(np.repeat(scores, 2, axis=0), k)[1], np.repeat(top_k(scores, k)[1], 2, axis=0)
    )


@given(tables)
def test_a_shorter_list_is_the_beginning_of_a_longer_one(scores):
    lists = [np.asarray(top_k(scores, k)[1]) for k in range(1, 8)]
    for short, long in pairwise(lists):
        np.testing.assert_array_equal(long[:, :-1], short)


def test_jax_sees_the_masks_that_these_tests_draw():
    """Else the tests above would compare two equal nothings."""
    x = draw(0, B, L, D)
    whole, cut = (run(*SELF, x, left_padded(real))[0] for real in ([5, 5, 5], [2, 5, 5]))
    assert not jnp.allclose(whole[0, 3:], cut[0, 3:])
    assert jnp.allclose(whole[1:], cut[1:])
