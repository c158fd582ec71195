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


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
def test_additive_scores_and_their_gradients_follow_the_formula(dtype, tolerance) -> None:
    with jax.enable_x64(dtype == "float64"):
        module = AdditiveScores(5, 11, rngs=nnx.Rngs(1))
        nnx.update(module, jax.tree.map(lambda a: a.astype(dtype), nnx.state(module)))
        graphdef, params = nnx.split(module)
        people, items, slopes = (
            draw(seed, *shape).astype(dtype)
            for seed, shape in ((5, (3, 5)), (6, (7, 5)), (7, (3, 7)))
        )

        def loss(params, people, items):
            scores = nnx.merge(graphdef, params)(people, items)
            return (scores * slopes).sum(), scores

        step = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))
        (in_params, in_people, in_items), scores = step(params, people, items)
    w, u, v = (
        np.asarray(layer.kernel[...], np.float64)
        for layer in (module.person, module.item, module.out)
    )
    p, i, s = (np.asarray(array, np.float64) for array in (people, items, slopes))
    expected = np.zeros((3, 7))
    in_w, in_u, in_v, in_p, in_i = (np.zeros_like(array) for array in (w, u, v, p, i))
    for b in range(3):
        for n in range(7):
            hidden = np.tanh(p[b] @ w + i[n] @ u)
            expected[b, n] = hidden @ v[:, 0]
            in_v[:, 0] += s[b, n] * hidden
            inner = s[b, n] * v[:, 0] * (1 - hidden**2)
            in_w += np.outer(p[b], inner)
            in_u += np.outer(i[n], inner)
            in_p[b] += w @ inner
            in_i[n] += u @ inner
    for found, by_hand in (
        (scores, expected),
        (in_people, in_p),
        (in_items, in_i),
        (in_params["person"]["kernel"][...], in_w),
        (in_params["item"]["kernel"][...], in_u),
        (in_params["out"]["kernel"][...], in_v),
    ):
        assert found.dtype == dtype
        np.testing.assert_allclose(
            found, by_hand, rtol=tolerance, atol=tolerance * np.abs(by_hand).max()
        )


@given(
    st.lists(
        st.lists(st.sampled_from([-2.0, -0.0, 0.0, 0.5, 3.0]), min_size=11, max_size=11),
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


@pytest.mark.parametrize(("block", "k"), [(1, 5), (2, 13), (3, 1), (7, 5), (13, 13), (100, 5)])
def test_blocks_give_what_all_scores_at_once_give_ties_included(block: int, k: int) -> None:
    people = jnp.round(draw(7, 3, 2))
    items = jnp.round(draw(8, 13, 2))  # rounded, so that many scores are equal
    expected = top_k(dot_scores(people, items), k)
    found = catalogue_top_k(people, items, k, block=block)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("scores", [[-0.0, 0.0, 0.0], [0.0, -0.0, 0.0], [-0.0, 0.0, -0.0]])
def test_minus_zero_is_as_good_as_zero(scores: list[float]) -> None:
    assert top_k(jnp.array([scores]), 3)[1].tolist() == [[1, 2, 3]]
    items = jnp.array(scores)[:, None]
    assert catalogue_top_k(jnp.ones((1, 1)), items, 3, block=2)[1].tolist() == [[1, 2, 3]]


def test_excluded_items_are_never_listed_however_few_are_left() -> None:
    scores = jnp.array([[0.25, 0.9, 0.5], [5.0, -jnp.inf, 7.0]])
    exclude = jnp.array([[False, True, False], [True, False, True]])
    values, ids = top_k(scores, 3, exclude=exclude)
    assert ids.tolist() == [[3, 1, 0], [2, 0, 0]]
    np.testing.assert_array_equal(values, [[0.5, 0.25, -np.inf], [-np.inf, -np.inf, -np.inf]])
    assert values.dtype == scores.dtype


def test_a_score_that_overflows_never_makes_up_an_item() -> None:
    people, items = jnp.array([[1e20]]), jnp.array([[-1e20], [-1e20], [-1.0]])
    _, ids = catalogue_top_k(people, items, 2, block=2)
    assert ids[0, 0] == 3
    assert set(ids[0].tolist()) <= {0, 1, 2, 3}


def test_lists_are_the_same_inside_jit() -> None:
    people, items = draw(9, 3, 5), draw(10, 11, 5)
    inside = jax.jit(lambda p, i: (top_k(dot_scores(p, i), 7), catalogue_top_k(p, i, 7, block=3)))
    (_, ids), (_, blocks) = inside(people, items)
    np.testing.assert_array_equal(ids, top_k(dot_scores(people, items), 7)[1])
    np.testing.assert_array_equal(blocks, ids)


def test_gradients_of_the_best_scores_reach_the_items_that_have_them() -> None:
    scores = jnp.array([[0.0, 3.0, 2.0, -1.0]])
    slopes = jax.grad(lambda s: (top_k(s, 3)[0] * jnp.array([2.0, 5.0, 7.0])).sum())(scores)
    np.testing.assert_array_equal(slopes, [[7.0, 2.0, 5.0, 0.0]])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: dot_scores(draw(0, 3), draw(0, 7, 5)), ValueError, r"people .*\(B, D\).*\(3,\)"),
        (lambda: dot_scores(draw(0, 3, 5), draw(0, 7, 2)), ValueError, r"items .*\(7, 2\)"),
        (lambda: dot_scores(draw(0, 3, 5), draw(0, 2, 7, 5)), ValueError, r"items .*\(2, 7, 5\)"),
        (lambda: dot_scores(jnp.ones((3, 5), int), draw(0, 7, 5)), TypeError, "people .* int32"),
        (lambda: dot_scores(draw(0, 3, 5), jnp.ones((7, 5), int)), TypeError, "items .* int32"),
        (lambda: top_k(jnp.ones((3, 5), int), 1), TypeError, "scores .* int32"),
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
        (
            lambda: catalogue_top_k(draw(0, 3, 5).at[1, 2].set(jnp.inf), draw(0, 7, 5), 2),
            ValueError,
            "people must be finite; row 1 is not",
        ),
        (
            lambda: catalogue_top_k(draw(0, 3, 5), draw(0, 7, 5).at[6, 2].set(jnp.nan), 2),
            ValueError,
            "items must be finite; row 6 is not",
        ),
        (lambda: AdditiveScores(0, 3, rngs=nnx.Rngs(0)), ValueError, "width 0, hidden 3"),
    ],
)
def test_the_door_says_what_came_and_what_was_expected(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()
