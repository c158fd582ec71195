"""Scores and lists: by hand, by a second implementation, and what the door refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from recflax.scoring import AdditiveScores, catalogue_top_k, dot_scores, top_k


def draw(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def test_dot_scores_are_inner_products() -> None:
    people, items, own = draw(0, 3, 5), draw(1, 7, 5), draw(2, 3, 7, 5)
    expected = np.asarray(people, np.float64) @ np.asarray(items, np.float64).T
    np.testing.assert_allclose(dot_scores(people, items), expected, rtol=1e-5, atol=1e-6)
    each = [[float(np.dot(p, i)) for i in rows] for p, rows in zip(people, own, strict=True)]
    np.testing.assert_allclose(dot_scores(people, own), each, rtol=1e-5, atol=1e-6)


def test_items_of_all_and_items_of_each_agree() -> None:
    people, items = draw(3, 3, 5), draw(4, 7, 5)
    own = jnp.broadcast_to(items, (3, 7, 5))
    additive = AdditiveScores(5, 11, rngs=nnx.Rngs(2))
    for score in (dot_scores, additive):
        np.testing.assert_allclose(score(people, items), score(people, own), rtol=1e-5, atol=1e-6)


def test_additive_scores_follow_the_formula() -> None:
    module = AdditiveScores(5, 11, rngs=nnx.Rngs(1))
    people, items = draw(5, 3, 5), draw(6, 7, 5)
    w, u, v = (
        np.asarray(layer.kernel[...], np.float64)
        for layer in (module.person, module.item, module.out)
    )
    expected = [[float((np.tanh(p @ w + i @ u) @ v)[0]) for i in items] for p in np.asarray(people)]
    np.testing.assert_allclose(module(people, items), expected, rtol=1e-5, atol=1e-6)


@given(
    st.lists(
        st.lists(st.sampled_from([-2.0, 0.0, 0.5, 3.0]), min_size=11, max_size=11),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 11),
)
def test_top_k_is_a_full_sort_with_the_lower_id_first(rows: list[list[float]], k: int) -> None:
    scores = np.array(rows)
    expected = [np.lexsort((np.arange(11), -row))[:k] + 1 for row in scores]
    values, ids = top_k(jnp.asarray(scores), k)
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, np.asarray(ids) - 1, axis=1))


@pytest.mark.parametrize("block", [1, 2, 3, 7, 13, 100])
@pytest.mark.parametrize("k", [1, 5, 13])
def test_blocks_give_what_all_scores_at_once_give_ties_included(block: int, k: int) -> None:
    people = jnp.round(draw(7, 3, 2))
    items = jnp.round(draw(8, 13, 2))  # rounded, so that many scores are equal
    expected = top_k(dot_scores(people, items), k)
    found = catalogue_top_k(people, items, k, block=block)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])


def test_excluded_items_come_last() -> None:
    scores = jnp.array([[0.1, 0.9, 0.5]])
    values, ids = top_k(scores, 3, exclude=jnp.array([[False, True, False]]))
    assert ids.tolist() == [[3, 1, 2]]
    assert values[0, 2] == -jnp.inf


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: dot_scores(draw(0, 3), draw(0, 7, 5)), ValueError, r"people .*\(B, D\).*\(3,\)"),
        (lambda: dot_scores(draw(0, 3, 5), draw(0, 7, 2)), ValueError, r"items .*\(7, 2\)"),
        (lambda: dot_scores(draw(0, 3, 5), draw(0, 2, 7, 5)), ValueError, r"items .*\(2, 7, 5\)"),
        (lambda: top_k(draw(0, 3), 1), ValueError, r"scores .*\(3,\)"),
        (lambda: top_k(draw(0, 3, 5), 0), ValueError, "k must be from 1 to 5; got 0"),
        (lambda: top_k(draw(0, 3, 5), 6), ValueError, "k must be from 1 to 5; got 6"),
        (lambda: top_k(jnp.array([[1.0, jnp.nan]]), 1), ValueError, "NaN; row 0 is, for item 2"),
        (lambda: top_k(draw(0, 3, 5), 1, exclude=draw(0, 3, 5)), TypeError, "exclude .* float32"),
        (
            lambda: top_k(draw(0, 3, 5), 1, exclude=jnp.ones((1, 5), bool)),
            ValueError,
            r"exclude must have shape \(3, 5\); got \(1, 5\)",
        ),
        (lambda: catalogue_top_k(draw(0, 3, 5), draw(0, 7, 5), 8), ValueError, "1 to 7; got 8"),
        (
            lambda: catalogue_top_k(draw(0, 3, 5), draw(0, 7, 5), 2, block=0),
            ValueError,
            "block must be at least 1; got 0",
        ),
        (lambda: catalogue_top_k(draw(0, 3, 5), draw(0, 3, 7, 5), 2), ValueError, r"\(M, D\)"),
        (lambda: AdditiveScores(0, 3, rngs=nnx.Rngs(0)), ValueError, "width 0, hidden 3"),
    ],
)
def test_the_door_says_what_came_and_what_was_expected(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()
