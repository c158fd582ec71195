"""The article's network: each switch does what it says, and nothing else."""

from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from recflax.article import (
    FAULTS,
    LISTING,
    REPAIRED,
    AnyWidthAttention,
    ArticleConfig,
    ArticleNetwork,
    Faults,
)
from recflax.self_attention import SelfAttention

SMALL = ArticleConfig(n_items=13, width=6, heads=3, length=5)
EVERYWHERE = REPAIRED.with_fault("every_place")


def network(faults: Faults, seed: int = 0) -> ArticleNetwork:
    """A network whose embeddings are large enough that what moves can be seen."""
    model = ArticleNetwork(replace(SMALL, faults=faults), rngs=nnx.Rngs(seed))
    for table in (model.embedding, model.positions):
        if table is not None:
            table.embedding[...] *= 20
    return model


@pytest.fixture
def history() -> jax.Array:
    return jnp.array([[0, 0, 4, 9, 2], [3, 1, 13, 7, 5]])


def test_every_fault_has_a_switch_and_a_name():
    assert tuple(FAULTS) == tuple(field.name for field in fields(Faults))
    assert LISTING.names == tuple(FAULTS)
    assert REPAIRED.names == ()
    for name in FAULTS:
        assert REPAIRED.with_fault(name).names == (name,)
        assert set(LISTING.without(name).names) == set(FAULTS) - {name}


def test_an_unknown_fault_and_a_switch_that_is_no_bool_are_named():
    with pytest.raises(ValueError, match=r"a fault must be one of .* got 'colour'"):
        LISTING.without("colour")
    with pytest.raises(TypeError, match="sees_future must be True or False; got 1"):
        Faults(sees_future=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_items": 0}, "n_items must be at least 1; got 0"),
        ({"length": 0}, "length must be at least 1; got 0"),
        ({"width": 7}, "width must be a multiple of heads; got width 7 and heads 3"),
    ],
)
def test_sizes_are_checked(wrong, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **wrong)


def test_the_shape_says_which_places_are_asked(history):
    assert network(EVERYWHERE)(history).shape == (2, 5, 14)
    assert network(REPAIRED)(history).shape == (2, 1, 14)


def test_the_last_place_is_the_same_whether_the_others_are_asked_or_not(history):
    np.testing.assert_allclose(
        network(REPAIRED)(history)[:, 0], network(EVERYWHERE)(history)[:, -1], atol=1e-6
    )


def jacobian_reach(faults: Faults, history: jax.Array) -> np.ndarray:
    """(B, L, L) whether the answer at a place moves when the embedding at another does."""
    model = network(faults)
    # move one event at a time to another item
    base = model(history)
    reach = np.zeros((*history.shape, history.shape[1]), bool)
    for place in range(history.shape[1]):
        moved = history.at[:, place].set(history[:, place] % 13 + 1)
        reach[:, :, place] = np.abs(np.asarray(model(moved) - base)).max(axis=-1) > 1e-9
    return reach


def test_the_future_mask_hides_what_is_later_and_the_listing_does_not():
    history = jnp.array([[6, 1, 4, 9, 2], [3, 1, 13, 7, 5]])
    reach = jacobian_reach(EVERYWHERE, history)
    np.testing.assert_array_equal(reach, np.broadcast_to(np.tril(np.ones((5, 5), bool)), (2, 5, 5)))
    assert jacobian_reach(EVERYWHERE.with_fault("sees_future"), history).all()
    assert jacobian_reach(LISTING, history).all()


def test_padding_moves_nothing_unless_it_counts(history):
    alone = history[:1, 2:]  # the same events without the padding
    for faults in (REPAIRED, EVERYWHERE):
        short = network(faults)(alone)[:, -1]
        np.testing.assert_allclose(network(faults)(history[:1])[:, -1], short, atol=1e-6)
    counted = EVERYWHERE.with_fault("counts_padding")
    apart = network(counted)(history[:1])[:, -1] - network(counted)(alone)[:, -1]
    assert np.abs(apart).max() > 1e-4


@pytest.mark.parametrize("counts", [False, True])
def test_without_positions_a_permuted_history_permutes_the_answers(counts):
    history = jnp.array([[6, 1, 4, 9, 2]])
    order = np.array([3, 0, 4, 1, 2])
    blind = replace(EVERYWHERE, no_positions=True, sees_future=True, counts_padding=counts)
    np.testing.assert_allclose(
        network(blind)(history[:, order]), network(blind)(history)[:, order], atol=1e-6
    )
    seeing = replace(blind, no_positions=False)
    apart = network(seeing)(history[:, order]) - network(seeing)(history)[:, order]
    assert np.abs(apart).max() > 1e-4


def test_an_empty_history_gets_the_bias_of_the_last_layer():
    model = network(REPAIRED)
    model.dense.bias[...] = jnp.arange(14.0)
    np.testing.assert_allclose(model.scores(np.zeros((2, 0), int)), [np.arange(1, 14.0)] * 2)


def test_heads_of_the_usual_width_compute_what_self_attention_does():
    mine = AnyWidthAttention(6, 3, 2, rngs=nnx.Rngs(1))
    theirs = SelfAttention(6, 3, mask_future=True, rngs=nnx.Rngs(2))
    for name in ("query", "key", "value", "out"):
        for part in ("kernel", "bias"):
            getattr(getattr(theirs, name), part)[...] = getattr(getattr(mine, name), part)[...]
    x = jax.random.normal(jax.random.key(3), (2, 5, 6))
    real = jnp.array([[False, True, True, True, True], [True] * 5])
    allowed = jnp.tril(jnp.ones((5, 5), bool)) & real[:, None, :] & real[:, :, None]
    output, weights = mine(x, allowed)
    expected, expected_weights = theirs(x, allowed)
    np.testing.assert_allclose(output, expected, atol=1e-6)
    np.testing.assert_allclose(weights, expected_weights, atol=1e-6)


@pytest.mark.parametrize(("width", "heads", "head"), [(6, 3, 2), (6, 3, 6), (10, 2, 7)])
def test_the_number_of_parameters_is_the_formula(width, heads, head):
    attention = AnyWidthAttention(width, heads, head, rngs=nnx.Rngs(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(attention)))
    assert count == 3 * (width + 1) * heads * head + (heads * head + 1) * width
    wide = ArticleConfig(n_items=13, width=6, heads=3, faults=LISTING)
    assert wide.head_width == 6
    assert replace(wide, faults=LISTING.without("wide_heads")).head_width == 2


def test_cross_attention_is_there_only_when_repaired(history):
    assert network(REPAIRED).cross is not None
    assert network(LISTING).cross is None
    weights = network(REPAIRED).forward(history)[1]["cross_attention"]
    assert weights.shape == (2, 3, 1, 5)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    assert (np.asarray(weights)[0, :, :, :2] == 0).all()
    assert "cross_attention" not in network(LISTING).forward(history)[1]


def test_scores_take_histories_of_any_length_and_blocks_of_any_size(history):
    model = network(REPAIRED)
    whole = model.scores(history)
    assert whole.shape == (2, 13)
    np.testing.assert_allclose(model.scores(history, rows=1), whole, atol=1e-6)
    longer = np.concatenate([np.full((2, 3), 11), [[6, 6, 4, 9, 2], [3, 1, 13, 7, 5]]], axis=1)
    np.testing.assert_allclose(model.scores(longer), model.scores(longer[:, 3:]), atol=1e-6)


def test_scores_refuse_what_is_not_in_the_catalogue():
    with pytest.raises(ValueError, match=r"history holds the id 14 at \(0, 1\); expected 0 to 13"):
        network(REPAIRED).scores(np.array([[3, 14]]))
    with pytest.raises(TypeError, match="history must hold integers"):
        network(REPAIRED).scores(np.array([[3.0, 1.0]]))
