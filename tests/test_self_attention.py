"""Self-attention against plain numpy, against peers, and where peers fail in silence."""

import inspect
from functools import partial

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recflax import cross_attention, self_attention
from recflax.self_attention import SelfAttention, scaled_dot_product_attention

B, L, D, H = 3, 5, 14, 2  # 14 / 2 heads = 7 wide


def draw(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@partial(jax.jit, static_argnums=0)
def run(graphdef, params, x, mask):
    return nnx.merge(graphdef, params)(x, mask)


def attend(module: SelfAttention, x: jax.Array, mask: jax.Array | None = None):
    """Call the module inside jit: one compilation a shape, instead of one an operation."""
    return run(*nnx.split(module), x, mask)


def left_padding(*real: int, length: int = L) -> jax.Array:
    return jnp.arange(length) >= length - jnp.array(real)[:, None]


def layer_weights(layer: nnx.Linear) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(layer.kernel[...], np.float64), np.asarray(layer.bias[...], np.float64)


def reference(module, queries, context, allowed):
    """Multi-head attention with loops, in float64; ``allowed`` is (B, Lq, Lk)."""
    (wq, bq), (wk, bk), (wv, bv), (wo, bo) = (
        layer_weights(layer) for layer in (module.query, module.key, module.value, module.out)
    )
    queries, context = np.asarray(queries, np.float64), np.asarray(context, np.float64)
    batch, wanted, width = queries.shape
    head = width // module.heads
    output = np.zeros((batch, wanted, width))
    weights = np.zeros((batch, module.heads, wanted, context.shape[1]))
    for b in range(batch):
        for i in range(wanted):
            keys = [j for j in range(context.shape[1]) if allowed[b, i, j]]
            if not keys:
                continue
            mixed = np.zeros(width)
            for h in range(module.heads):
                part = slice(h * head, (h + 1) * head)
                q = (queries[b, i] @ wq + bq)[part]
                scores = [q @ (context[b, j] @ wk + bk)[part] / np.sqrt(head) for j in keys]
                share = np.exp(scores - np.max(scores))
                share /= share.sum()
                weights[b, h, i, keys] = share
                values = [(context[b, j] @ wv + bv)[part] for j in keys]
                mixed[part] = sum(s * v for s, v in zip(share, values, strict=True))
            output[b, i] = mixed @ wo + bo
    return output, weights


def reference_gradients(module, x, allowed, in_output, in_weights):
    """Backpropagation by hand, in float64, of sum(output * in_output) + sum(weights * in_weights).

    Returns the gradient in x, and a (kernel, bias) pair for each projection by name.
    """
    (wq, bq), (wk, bk), (wv, bv), (wo, _) = (
        layer_weights(layer) for layer in (module.query, module.key, module.value, module.out)
    )
    x = np.asarray(x, np.float64)
    batch, length, width = x.shape
    root = np.sqrt(width // module.heads)

    def split(content):  # (B, L, D) to (B, H, L, d)
        return content.reshape(batch, length, module.heads, -1).transpose(0, 2, 1, 3)

    def join(content):
        return content.transpose(0, 2, 1, 3).reshape(batch, length, width)

    def layer_gradients(content, in_result):
        return np.einsum("bli,blj->ij", content, in_result), in_result.sum((0, 1))

    q, k, v = (split(x @ kernel + bias) for kernel, bias in ((wq, bq), (wk, bk), (wv, bv)))
    _, a = reference(module, x, x, allowed)
    in_output = in_output * allowed.any(-1)[..., None]  # an empty row's output is a constant
    in_mixed = split(in_output @ wo.T)
    in_a = in_mixed @ v.transpose(0, 1, 3, 2) + in_weights
    in_scores = a * (in_a - (in_a * a).sum(-1, keepdims=True))
    in_q = join(in_scores @ k) / root
    in_k = join(in_scores.transpose(0, 1, 3, 2) @ q) / root
    in_v = join(a.transpose(0, 1, 3, 2) @ in_mixed)
    return in_q @ wq.T + in_k @ wk.T + in_v @ wv.T, {
        "query": layer_gradients(x, in_q),
        "key": layer_gradients(x, in_k),
        "value": layer_gradients(x, in_v),
        "out": layer_gradients(join(a @ v), in_output),
    }


MASKS = {
    "none": None,
    "padding": left_padding(2, 5, 3),
    "an empty row": left_padding(0, 5, 3),
    "pairs": jax.random.bernoulli(jax.random.key(9), 0.5, (B, L, L)),
}


def full_mask(mask, future: bool) -> np.ndarray:
    allowed = np.ones((B, L, L), bool)
    if mask is not None:
        allowed &= np.asarray(mask if mask.ndim == 3 else mask[:, None, :])
    return allowed & np.tril(np.ones((L, L), bool)) if future else allowed


@pytest.mark.parametrize("future", [False, True])
@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
def test_values_are_those_of_a_loop_in_numpy(name, future, dtype, tolerance) -> None:
    with jax.enable_x64(dtype == "float64"):
        module = SelfAttention(D, H, mask_future=future, rngs=nnx.Rngs(1))
        nnx.update(module, jax.tree.map(lambda a: a.astype(dtype), nnx.state(module)))
        x = draw(0, B, L, D).astype(dtype)
        found = attend(module, x, MASKS[name])
    expected = reference(module, x, x, full_mask(MASKS[name], future))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@partial(jax.jit, static_argnums=0)
def gradients(graphdef, params, x, mask, in_output, in_weights):
    def loss(params, x):
        output, weights = nnx.merge(graphdef, params)(x, mask)
        return (output * in_output).sum() + (weights * in_weights).sum()

    return jax.grad(loss, argnums=(0, 1))(params, x)


@pytest.mark.parametrize(
    ("name", "future"),
    [
        ("none", False),
        ("padding", False),
        ("an empty row", False),
        ("padding", True),
        ("an empty row", True),
        ("pairs", False),
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
def test_gradients_are_those_of_backpropagation_by_hand(name, future, dtype, tolerance) -> None:
    with jax.enable_x64(dtype == "float64"):
        module = SelfAttention(D, H, mask_future=future, rngs=nnx.Rngs(1))
        nnx.update(module, jax.tree.map(lambda a: a.astype(dtype), nnx.state(module)))
        x, in_output, in_weights = (
            draw(seed, *shape).astype(dtype)
            for seed, shape in ((0, (B, L, D)), (3, (B, L, D)), (4, (B, H, L, L)))
        )
        in_params, in_x = gradients(*nnx.split(module), x, MASKS[name], in_output, in_weights)
    expected_x, expected = reference_gradients(
        module,
        x,
        full_mask(MASKS[name], future),
        *(np.asarray(array, np.float64) for array in (in_output, in_weights)),
    )
    np.testing.assert_allclose(in_x, expected_x, rtol=tolerance, atol=tolerance)
    for layer, (kernel, bias) in expected.items():
        # the bias of the keys adds the same to all scores of a row: its gradient is zero, so the
        # kernel's says how much rounding to allow
        allow = partial(
            np.testing.assert_allclose, rtol=tolerance, atol=tolerance * np.abs(kernel).max()
        )
        allow(in_params[layer]["kernel"][...], kernel)
        allow(in_params[layer]["bias"][...], bias)
    np.testing.assert_allclose(expected["key"][1], 0, atol=1e-12)


@pytest.mark.parametrize("name", ["none", "padding", "pairs"])
def test_it_agrees_with_jax_where_a_row_has_a_key(name: str) -> None:
    q, k, v = (draw(seed, B, H, L, 7) for seed in range(3))
    mask = full_mask(MASKS[name], False)
    mask[..., 0] = True
    output, _ = jax.jit(scaled_dot_product_attention)(q, k, v, mask[:, None])
    theirs = jax.jit(jax.nn.dot_product_attention)(
        *(array.swapaxes(1, 2) for array in (q, k, v)), mask=mask[:, None]
    )
    np.testing.assert_allclose(output.swapaxes(1, 2), theirs, rtol=1e-5, atol=1e-6)


def test_it_agrees_with_flax_given_the_same_weights() -> None:
    ours = SelfAttention(D, H, rngs=nnx.Rngs(1))
    theirs = nnx.MultiHeadAttention(H, D, decode=False, rngs=nnx.Rngs(2))
    for mine, layer in (
        (ours.query, theirs.query),
        (ours.key, theirs.key),
        (ours.value, theirs.value),
    ):
        layer.kernel[...] = mine.kernel[...].reshape(D, H, D // H)
        layer.bias[...] = mine.bias[...].reshape(H, D // H)
    theirs.out.kernel[...] = ours.out.kernel[...].reshape(H, D // H, D)
    theirs.out.bias[...] = ours.out.bias[...]
    x, mask = draw(0, B, L, D), left_padding(2, 5, 3)
    expected = theirs(x, mask=jnp.broadcast_to(mask[:, None, None, :], (B, 1, L, L)))
    np.testing.assert_allclose(ours(x, mask)[0], expected, rtol=1e-5, atol=1e-6)


def test_a_row_with_nothing_to_attend_to_gives_zeros_and_zero_gradients() -> None:
    graphdef, params = nnx.split(SelfAttention(D, H, rngs=nnx.Rngs(1)))
    params["out"]["bias"][...] = jnp.ones(D)  # a bias must not speak for an empty history
    x, mask = draw(0, 1, L, D), jnp.zeros((1, L), bool)

    output, weights = run(graphdef, params, x, mask)
    assert not output.any()
    assert not weights.any()
    found = gradients(graphdef, params, x, mask, jnp.ones_like(output), jnp.ones_like(weights))
    for leaf in jax.tree.leaves(found):
        np.testing.assert_array_equal(leaf, 0)


@pytest.mark.parametrize("content", [0.0, 1e30, 3e38, jnp.nan, jnp.inf])
@pytest.mark.parametrize("future", [False, True])
def test_what_stands_in_the_padding_changes_nothing_elsewhere(content, future) -> None:
    graphdef, params = nnx.split(SelfAttention(D, H, mask_future=future, rngs=nnx.Rngs(1)))
    mask = left_padding(2, 5, 3)
    real = np.asarray(mask)
    rows = np.broadcast_to(real[:, None, :], (B, H, L))
    # nobody asks for what comes out at the padding
    slopes = draw(3, B, L, D) * mask[..., None], draw(4, B, H, L, L) * mask[:, None, :, None]
    clean = draw(0, B, L, D)
    results = []
    for x in (clean, jnp.where(mask[..., None], clean, content)):
        output, weights = run(graphdef, params, x, mask)
        in_params, in_x = gradients(graphdef, params, x, mask, *slopes)
        results.append((output[real], weights[rows], in_x[real], in_params))
    jax.tree.map(np.testing.assert_array_equal, *results)
    assert np.abs(results[0][2]).min() > 0


def test_a_place_that_nobody_attends_to_still_asks_and_disturbs_nobody() -> None:
    module = SelfAttention(D, H, rngs=nnx.Rngs(1))
    older = jnp.broadcast_to(jnp.tril(jnp.ones((L, L), bool), -1), (B, L, L))
    x = draw(0, B, L, D)
    output, weights = module(x, older)  # nobody attends to the last place; it attends to the rest
    assert (np.asarray(weights[:, :, -1, :-1]) > 0).all()
    assert not output[:, 0].any()  # the first has nobody before it
    changed = module(x.at[:, -1].add(1.0), older)[0]
    assert not np.allclose(output[:, -1], changed[:, -1])
    for content in (1.0, jnp.nan):
        dirty = module(x.at[:, -1].set(content), older)[0]
        np.testing.assert_array_equal(output[:, :-1], dirty[:, :-1])
        assert np.isfinite(dirty).all()


def test_nan_at_a_visible_place_is_not_looked_for_under_jit() -> None:
    x = draw(0, B, L, D).at[1, 2].set(jnp.nan)
    output, _ = attend(SelfAttention(D, H, rngs=nnx.Rngs(1)), x, left_padding(5, 5, 5))
    np.testing.assert_array_equal(np.isnan(output).all((1, 2)), [False, True, False])


def test_three_places_of_padding_and_ten_give_the_same() -> None:
    module = SelfAttention(D, H, mask_future=True, rngs=nnx.Rngs(1))
    history = draw(0, 1, 7, D)
    outputs = []
    for padding in (3, 10):
        x = jnp.concatenate([jnp.full((1, padding, D), 5.0), history], axis=1)
        mask = jnp.arange(padding + 7)[None] >= padding
        outputs.append(attend(module, x, mask)[0][:, padding:])
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-5, atol=1e-6)
    scores = [output[:, -1] @ draw(5, D) for output in outputs]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)


def test_the_future_mask_hides_a_changed_last_item_from_all_earlier_places() -> None:
    x = draw(0, B, L, D)
    changed = x.at[:, -1].add(1.0)
    masked = SelfAttention(D, H, mask_future=True, rngs=nnx.Rngs(1))
    np.testing.assert_array_equal(masked(x)[0][:, :-1], masked(changed)[0][:, :-1])
    assert not np.allclose(masked(x)[0][:, -1], masked(changed)[0][:, -1])
    seeing = SelfAttention(D, H, rngs=nnx.Rngs(1))
    assert not np.allclose(seeing(x)[0][:, :-1], seeing(changed)[0][:, :-1])


@given(st.permutations(range(L)))
def test_without_positions_permuting_the_history_permutes_the_output(order: list[int]) -> None:
    module = SelfAttention(D, H, rngs=nnx.Rngs(1))
    x, order = draw(0, B, L, D), np.array(order)
    output, permuted = (np.asarray(attend(module, one)[0]) for one in (x, x[:, order]))
    np.testing.assert_allclose(output[:, order], permuted, atol=1e-5)


def test_a_mask_of_pairs_is_not_taken_for_one_a_head_when_b_equals_h() -> None:
    module = SelfAttention(D, H, rngs=nnx.Rngs(1))
    x = draw(0, H, L, D)  # B = H
    mask = jnp.stack([jnp.eye(L, dtype=bool), jnp.ones((L, L), bool)])
    _, weights = attend(module, x, mask)
    np.testing.assert_array_equal(weights[0], np.broadcast_to(np.eye(L), (H, L, L)))
    assert (np.asarray(weights[1]) > 0).all()


def test_a_padding_mask_is_read_over_keys_when_b_equals_l() -> None:
    module = SelfAttention(D, H, rngs=nnx.Rngs(1))
    mask = left_padding(1, 2, 3, 4, 5)
    _, weights = attend(module, draw(0, L, L, D), mask)
    np.testing.assert_array_equal(np.asarray(weights[0] > 0).any((0, 1)), mask[0])


@pytest.mark.parametrize(
    ("x", "mask", "error", "words"),
    [
        (draw(0, B, D), None, ValueError, r"x must have shape \(B, L, 14\); got \(3, 14\)"),
        (draw(0, B, L, 13), None, ValueError, r"got \(3, 5, 13\)"),
        (jnp.ones((B, L, D), int), None, TypeError, "x must be floating point; got int32"),
        (draw(0, B, L, D), jnp.ones((B, L)), TypeError, "mask must be boolean.*got float32"),
        (draw(0, B, L, D), jnp.ones((B, L), int), TypeError, "mask must be boolean.*got int32"),
        (draw(0, B, L, D), jnp.ones((1, L), bool), ValueError, r"got \(1, 5\)"),
        (draw(0, B, L, D), jnp.ones((B, 1, L), bool), ValueError, r"got \(3, 1, 5\)"),
        (draw(0, B, L, D), jnp.ones((L, L), bool), ValueError, r"got \(5, 5\)"),
        (draw(0, B, L, D), jnp.ones((B, H, L, L), bool), ValueError, r"got \(3, 2, 5, 5\)"),
        (
            draw(0, B, L, D).at[1, 2, 3].set(jnp.nan),
            None,
            ValueError,
            r"x must be finite where it is attended to; not so at \[1, 2, 3\]",
        ),
    ],
)
def test_the_door_says_what_came_and_what_was_expected(x, mask, error, words) -> None:
    with pytest.raises(error, match=words):
        SelfAttention(D, H, rngs=nnx.Rngs(1))(x, mask)


@pytest.mark.parametrize(("width", "heads"), [(14, 3), (0, 1), (14, 0), (-14, 2)])
def test_width_must_be_a_multiple_of_heads(width: int, heads: int) -> None:
    with pytest.raises(ValueError, match=f"got width {width} and heads {heads}"):
        SelfAttention(width, heads, rngs=nnx.Rngs(1))


@pytest.mark.parametrize(
    "name", ["scaled_dot_product_attention", "attention_mask", "hide_unattended"]
)
def test_both_copyable_files_hold_the_same_text(name: str) -> None:
    ours, theirs = (
        inspect.getsource(getattr(file, name)) for file in (self_attention, cross_attention)
    )
    assert ours == theirs
