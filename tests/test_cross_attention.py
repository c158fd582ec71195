"""Cross-attention: the formula in numpy, one vector a candidate, and what the door refuses."""

from functools import partial

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recflax.cross_attention import CrossAttention

B, N, L, D, H = 2, 7, 5, 9, 3


def draw(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@partial(jax.jit, static_argnums=0)
def run(graphdef, params, queries, context, mask):
    return nnx.merge(graphdef, params)(queries, context, mask)


def attend(module: CrossAttention, queries, context, mask=None):
    """Call the module inside jit: one compilation a shape, instead of one an operation."""
    return run(*nnx.split(module), queries, context, mask)


@partial(jax.jit, static_argnums=0)
def gradients(graphdef, params, queries, context, mask, in_output):
    def loss(params, queries, context):
        output, _ = nnx.merge(graphdef, params)(queries, context, mask)
        return (output * in_output).sum()

    return jax.grad(loss, argnums=(0, 1, 2))(params, queries, context)


def padding(*real: int) -> jax.Array:
    return jnp.arange(L) >= L - jnp.array(real)[:, None]


def reference(module, queries, context, allowed):
    """The formula head by head, in float64, with minus infinity at hidden places."""
    q, k, v, o = (
        (np.asarray(layer.kernel[...], np.float64), np.asarray(layer.bias[...], np.float64))
        for layer in (module.query, module.key, module.value, module.out)
    )
    queries, context = np.asarray(queries, np.float64), np.asarray(context, np.float64)
    heads, all_weights = [], []
    size = D // H
    for h in range(H):
        part = slice(h * size, (h + 1) * size)
        ask, answer, value = (
            (content @ kernel + bias)[..., part]
            for content, (kernel, bias) in ((queries, q), (context, k), (context, v))
        )
        scores = np.einsum("bnd,bld->bnl", ask, answer) / np.sqrt(size)
        scores = np.where(allowed, scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        heads.append(weights @ value)
        all_weights.append(weights)
    return np.concatenate(heads, -1) @ o[0] + o[1], np.stack(all_weights, 1)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
@pytest.mark.parametrize("kind", ["none", "keys", "pairs"])
def test_values_are_those_of_the_formula(dtype: str, tolerance: float, kind: str) -> None:
    pairs = np.array(jax.random.bernoulli(jax.random.key(5), 0.5, (B, N, L)))
    pairs[..., -1] = True
    mask = {"none": None, "keys": padding(2, 5), "pairs": jnp.asarray(pairs)}[kind]
    allowed = {"none": np.ones((B, N, L), bool), "pairs": pairs}.get(
        kind, np.asarray(padding(2, 5))[:, None, :]
    )
    with jax.enable_x64(dtype == "float64"):
        module = CrossAttention(D, H, rngs=nnx.Rngs(1))
        nnx.update(module, jax.tree.map(lambda a: a.astype(dtype), nnx.state(module)))
        queries, context = draw(0, B, N, D).astype(dtype), draw(1, B, L, D).astype(dtype)
        found = attend(module, queries, context, mask)
    for one, other in zip(found, reference(module, queries, context, allowed), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
def test_gradients_are_those_of_backpropagation_by_hand(dtype: str, tolerance: float) -> None:
    mask = padding(0, 3)  # the first person has no history
    with jax.enable_x64(dtype == "float64"):
        module = CrossAttention(D, H, rngs=nnx.Rngs(1))
        nnx.update(module, jax.tree.map(lambda a: a.astype(dtype), nnx.state(module)))
        queries, context, in_output = (
            draw(seed, B, n, D).astype(dtype) for seed, n in ((0, N), (1, L), (3, N))
        )
        in_params, in_queries, in_context = gradients(
            *nnx.split(module), queries, context, mask, in_output
        )

    # by hand, in float64: the first person's gradient is zero, so only the second is followed
    real = np.asarray(mask[1])
    ask, told, out = (
        np.asarray(array[1], np.float64) for array in (queries, context[:, real], in_output)
    )
    q, k, v, o = (
        (np.asarray(layer.kernel[...], np.float64), np.asarray(layer.bias[...], np.float64))
        for layer in (module.query, module.key, module.value, module.out)
    )
    _, weights = reference(module, ask[None], told[None], np.ones((1, N, len(told)), bool))
    by_hand = {name: [np.zeros((D, D)), np.zeros(D)] for name in ("query", "key", "value", "out")}
    expected_queries, expected_context = np.zeros((B, N, D)), np.zeros((B, L, D))
    for h, share in enumerate(weights[0]):
        part = slice(h * (D // H), (h + 1) * (D // H))
        in_mixed = out @ o[0][part].T
        in_share = in_mixed @ (told @ v[0] + v[1])[:, part].T
        in_scores = share * (in_share - (in_share * share).sum(-1, keepdims=True))
        in_scores /= np.sqrt(D // H)
        by_hand["out"][0][part] = (share @ (told @ v[0] + v[1])[:, part]).T @ out
        in_q = in_scores @ (told @ k[0] + k[1])[:, part]
        in_k = in_scores.T @ (ask @ q[0] + q[1])[:, part]
        in_v = share.T @ in_mixed
        for name, content, gradient in (
            ("query", ask, in_q),
            ("key", told, in_k),
            ("value", told, in_v),
        ):
            by_hand[name][0][:, part] = content.T @ gradient
            by_hand[name][1][part] = gradient.sum(0)
        expected_queries[1] += in_q @ q[0][:, part].T
        expected_context[1, real] += in_k @ k[0][:, part].T + in_v @ v[0][:, part].T
    by_hand["out"][1] = out.sum(0)
    np.testing.assert_allclose(in_queries, expected_queries, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(in_context, expected_context, rtol=tolerance, atol=tolerance)
    for name, pair in by_hand.items():
        for kind, gradient in zip(("kernel", "bias"), pair, strict=True):
            np.testing.assert_allclose(
                in_params[name][kind][...],
                gradient,
                rtol=tolerance,
                atol=tolerance * np.abs(by_hand[name][0]).max(),
            )


def test_a_candidate_gets_the_same_vector_whoever_stands_beside_it() -> None:
    module = CrossAttention(D, H, rngs=nnx.Rngs(1))
    queries, context = draw(0, B, N, D), draw(1, B, L, D)
    whole, _ = module(queries, context, padding(2, 5))
    alone, _ = attend(module, queries[:, 3:4], context, padding(2, 5))
    np.testing.assert_allclose(whole[:, 3:4], alone, atol=1e-6)
    assert not np.allclose(whole[:, 3], whole[:, 4])


def test_the_order_of_the_history_does_not_matter_without_positions() -> None:
    module = CrossAttention(D, H, rngs=nnx.Rngs(1))
    queries, context = draw(0, B, N, D), draw(1, B, L, D)
    np.testing.assert_allclose(
        module(queries, context)[0], module(queries, context[:, ::-1])[0], atol=1e-6
    )


def test_an_empty_history_gives_zeros_and_zero_gradients() -> None:
    graphdef, params = nnx.split(CrossAttention(D, H, rngs=nnx.Rngs(1)))
    params["out"]["bias"][...] = jnp.ones(D)
    inputs = draw(0, B, N, D), draw(1, B, L, D)
    mask = jnp.zeros((B, L), bool)
    output, weights = run(graphdef, params, *inputs, mask)
    assert not output.any()
    assert not weights.any()
    for leaf in jax.tree.leaves(gradients(graphdef, params, *inputs, mask, output + 1)):
        np.testing.assert_array_equal(leaf, 0)


def test_a_context_without_any_place_is_nothing_to_attend_to() -> None:
    module = CrossAttention(D, H, rngs=nnx.Rngs(1))
    module.out.bias[...] = jnp.ones(D)
    output, weights = module(draw(0, B, N, D), jnp.zeros((B, 0, D)))
    assert weights.shape == (B, H, N, 0)
    np.testing.assert_array_equal(output, np.zeros((B, N, D)))


def test_a_query_with_nothing_to_attend_to_leaves_the_others_as_they_were() -> None:
    module = CrossAttention(D, H, rngs=nnx.Rngs(1))
    queries, context = draw(0, B, N, D), draw(1, B, L, D)
    output, weights = module(queries, context, jnp.ones((B, N, L), bool).at[0, 3].set(False))
    assert not output[0, 3].any()
    assert not weights[0, :, 3].any()
    everywhere, _ = module(queries, context)
    others = np.arange(N) != 3
    np.testing.assert_allclose(output[:, others], everywhere[:, others], atol=1e-6)


def test_three_places_of_padding_and_ten_give_the_same_score() -> None:
    module = CrossAttention(D, H, rngs=nnx.Rngs(1))
    queries, history = draw(0, 1, N, D), draw(1, 1, L, D)
    scores = []
    for number in (3, 10):
        context = jnp.concatenate([jnp.full((1, number, D), 5.0), history], axis=1)
        output, _ = attend(module, queries, context, jnp.arange(number + L)[None] >= number)
        scores.append(output @ draw(2, D))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5, atol=1e-6)


def test_it_agrees_with_flax_given_the_same_weights() -> None:
    ours = CrossAttention(D, H, rngs=nnx.Rngs(1))
    theirs = nnx.MultiHeadAttention(H, D, decode=False, rngs=nnx.Rngs(2))
    for name in ("query", "key", "value"):
        mine, layer = getattr(ours, name), getattr(theirs, name)
        layer.kernel[...] = mine.kernel[...].reshape(D, H, D // H)
        layer.bias[...] = mine.bias[...].reshape(H, D // H)
    theirs.out.kernel[...] = ours.out.kernel[...].reshape(H, D // H, D)
    theirs.out.bias[...] = ours.out.bias[...]
    queries, context, mask = draw(0, B, N, D), draw(1, B, L, D), padding(2, 5)
    expected = theirs(queries, context, mask=jnp.broadcast_to(mask[:, None, None], (B, 1, N, L)))
    np.testing.assert_allclose(ours(queries, context, mask)[0], expected, rtol=1e-5, atol=1e-6)


def test_a_padding_mask_is_read_over_the_context_when_there_are_as_many_queries() -> None:
    module = CrossAttention(D, H, rngs=nnx.Rngs(1))
    mask = padding(2, 4)
    _, weights = attend(module, draw(0, B, L, D), draw(1, B, L, D), mask)
    seen = np.broadcast_to(np.asarray(mask)[:, None, None], weights.shape)
    np.testing.assert_array_equal(np.asarray(weights) > 0, seen)


@pytest.mark.parametrize("visible", [(2, 5), (0, 4)])
def test_queries_that_all_share_give_what_repeating_them_gives(visible: tuple[int, int]) -> None:
    graphdef, params = nnx.split(CrossAttention(D, H, rngs=nnx.Rngs(1)))
    shared, context, mask = draw(0, 1, N, D), draw(1, B, L, D), padding(*visible)
    repeated = jnp.tile(shared, (B, 1, 1))
    for one, other in zip(
        run(graphdef, params, shared, context, mask),
        run(graphdef, params, repeated, context, mask),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)

    def total(params, queries):
        output, weights = run(graphdef, params, queries, context, mask)
        return (output * draw(3, B, N, D)).sum() + (weights**2).sum()

    ours = jax.grad(total, argnums=(0, 1))(params, shared)
    theirs = jax.grad(total, argnums=(0, 1))(params, repeated)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5),
        ours[0],
        theirs[0],
    )
    np.testing.assert_allclose(ours[1][0], theirs[1].sum(0), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("content", [1e30, 3e38, jnp.nan, jnp.inf])
def test_what_stands_in_the_padding_changes_neither_output_nor_gradient(content: float) -> None:
    graphdef, params = nnx.split(CrossAttention(D, H, rngs=nnx.Rngs(1)))
    mask, queries, context = padding(2, 4), draw(0, B, N, D), draw(1, B, L, D)
    slopes = draw(3, B, N, D)
    results = [
        (run(graphdef, params, *inputs, mask), gradients(graphdef, params, *inputs, mask, slopes))
        for inputs in ((queries, context), (queries, jnp.where(mask[..., None], context, content)))
    ]
    jax.tree.map(np.testing.assert_array_equal, *results)


@pytest.mark.parametrize(
    ("queries", "context", "mask", "error", "words"),
    [
        (draw(0, B, D), draw(1, B, L, D), None, ValueError, r"queries .* got \(2, 9\)"),
        (draw(0, B, N, D), draw(1, B, L, 11), None, ValueError, r"context .* got \(2, 5, 11\)"),
        (draw(0, 3, N, D), draw(1, B, L, D), None, ValueError, "agree in B"),
        (jnp.ones((B, N, D), int), draw(1, B, L, D), None, TypeError, "queries .* int32"),
        (draw(0, B, N, D), draw(1, B, L, D), jnp.ones((B, L)), TypeError, "mask .* float32"),
        (draw(0, B, N, D), draw(1, B, L, D), jnp.ones((B, N), bool), ValueError, r"\(2, 7\)"),
        (draw(0, B, N, D), draw(1, B, L, D), jnp.ones((N, L), bool), ValueError, r"\(7, 5\)"),
        (
            draw(0, B, N, D).at[1, 2, 3].set(jnp.nan),
            draw(1, B, L, D),
            None,
            ValueError,
            r"queries must be finite .* \[1, 2, 3\]",
        ),
        (
            draw(0, B, N, D),
            draw(1, B, L, D).at[1, 4, 3].set(jnp.nan),
            padding(2, 5),
            ValueError,
            r"context must be finite .* \[1, 4, 3\]",
        ),
    ],
)
def test_the_door_says_what_came_and_what_was_expected(
    queries, context, mask, error, words
) -> None:
    with pytest.raises(error, match=words):
        CrossAttention(D, H, rngs=nnx.Rngs(1))(queries, context, mask)


def test_width_must_be_a_multiple_of_heads() -> None:
    with pytest.raises(ValueError, match="got width 9 and heads 2"):
        CrossAttention(9, 2, rngs=nnx.Rngs(1))
