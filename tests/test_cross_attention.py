"""Cross-attention: the formula in numpy, one vector a candidate, and what the door refuses."""

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from recflax.cross_attention import CrossAttention

B, N, L, D, H = 2, 7, 5, 9, 3


def draw(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


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
        found = module(queries, context, mask)
    for one, other in zip(found, reference(module, queries, context, allowed), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_gradients_are_those_of_finite_differences() -> None:
    with jax.enable_x64(True):
        module = CrossAttention(D, H, rngs=nnx.Rngs(1))
        nnx.update(module, jax.tree.map(lambda a: a.astype("float64"), nnx.state(module)))
        graphdef, params = nnx.split(module)
        queries, context = (draw(s, B, n, D).astype("float64") for s, n in ((0, N), (1, L)))

        def loss(params, queries, context):
            output, _ = nnx.merge(graphdef, params)(queries, context, padding(0, 3))
            return (output**2).sum()

        check_grads(loss, (params, queries, context), order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


def test_a_candidate_gets_the_same_vector_whoever_stands_beside_it() -> None:
    module = CrossAttention(D, H, rngs=nnx.Rngs(1))
    queries, context = draw(0, B, N, D), draw(1, B, L, D)
    whole, _ = module(queries, context, padding(2, 5))
    alone, _ = module(queries[:, 3:4], context, padding(2, 5))
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

    def run(params, queries, context):
        return nnx.merge(graphdef, params)(queries, context, mask)

    output, weights = run(params, *inputs)
    assert not output.any()
    assert not weights.any()
    gradients = jax.grad(lambda *a: run(*a)[0].sum(), argnums=(0, 1, 2))(params, *inputs)
    for leaf in jax.tree.leaves(gradients):
        np.testing.assert_array_equal(leaf, 0)


@pytest.mark.parametrize("content", [1e30, jnp.nan, jnp.inf])
def test_what_stands_in_the_padding_changes_neither_output_nor_gradient(content: float) -> None:
    graphdef, params = nnx.split(CrossAttention(D, H, rngs=nnx.Rngs(1)))
    mask, queries, context = padding(2, 4), draw(0, B, N, D), draw(1, B, L, D)
    dirty = jnp.where(mask[..., None], context, content)

    @jax.jit
    @jax.value_and_grad
    def step(params, context):
        return (nnx.merge(graphdef, params)(queries, context, mask)[0] ** 2).sum()

    jax.tree.map(np.testing.assert_array_equal, step(params, context), step(params, dirty))


@pytest.mark.parametrize(
    ("queries", "context", "mask", "error", "words"),
    [
        (draw(0, B, D), draw(1, B, L, D), None, ValueError, r"queries .* got \(2, 9\)"),
        (draw(0, B, N, D), draw(1, B, L, 11), None, ValueError, r"context .* got \(2, 5, 11\)"),
        (draw(0, 1, N, D), draw(1, B, L, D), None, ValueError, "agree in B"),
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
