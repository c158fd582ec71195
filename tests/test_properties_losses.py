"""Permutation, padding, scaling and duplication: what losses must not notice."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recflax import losses

B, M, T = 6, 5, 3
seeds = st.integers(0, 10_000)


def basket_targets(rng: np.random.Generator) -> np.ndarray:
    """Different items of each basket, 0 as padding on the right; some are empty."""
    items = rng.permuted(np.tile(np.arange(1, M + 1), (B, 1)), axis=1)[:, :T]
    return np.where(np.arange(T) < rng.integers(0, T + 1, B)[:, None], items, 0)


def problem(name: str, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """What a loss takes, each with first axis B, and weights of which some are 0."""
    rng = np.random.default_rng(seed)
    table, column = rng.normal(size=(B, M)), rng.normal(size=B)
    arrays = {
        "next item": [table, rng.integers(0, M + 1, B)],
        "sampled": [column, table, np.log(rng.uniform(0.1, 2, (B, M)))],
        "binary": [column, rng.random(B)],
        "squared": [column, rng.normal(size=B)],
        "basket": [table, basket_targets(rng)],
    }[name]
    cast = [array.astype(np.float32) if array.dtype == float else array for array in arrays]
    weight = rng.uniform(0.2, 2, B) * (rng.random(B) < 0.7)
    return cast, weight.astype(np.float32)


LOSSES = {
    "next item": losses.next_item_cross_entropy,
    "sampled": losses.sampled_cross_entropy,
    "binary": losses.binary_cross_entropy,
    "squared": losses.squared_error,
    "basket": losses.basket_cross_entropy,
}
every_loss = pytest.mark.parametrize("name", LOSSES)


@partial(jax.jit, static_argnums=0)
def run(name, arrays, weight):
    return LOSSES[name](*arrays, weight=weight)


@partial(jax.jit, static_argnums=0)
def slopes(name, arrays, weight):
    return jax.grad(lambda first: LOSSES[name](first, *arrays[1:], weight=weight))(arrays[0])


def near(found, wanted) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=2e-5, atol=1e-6)


@every_loss
@given(seed=seeds, order=st.permutations(range(B)))
def test_permutation_of_rows_changes_no_loss(name, seed, order):
    arrays, weight = problem(name, seed)
    near(run(name, [array[order] for array in arrays], weight[order]), run(name, arrays, weight))


@every_loss
@given(seed=seeds, scale=st.sampled_from([0.125, 3.0, 1000.0]))
def test_scaling_of_all_weights_changes_neither_loss_nor_gradient(name, seed, scale):
    arrays, weight = problem(name, seed)
    more = (weight * scale).astype(np.float32)
    near(run(name, arrays, more), run(name, arrays, weight))
    near(slopes(name, arrays, more), slopes(name, arrays, weight))


@every_loss
@given(seed=seeds, row=st.integers(0, B - 1))
def test_duplication_of_a_row_is_its_weight_doubled(name, seed, row):
    arrays, weight = problem(name, seed)
    rows = [*range(B), row]
    doubled = weight.copy()
    doubled[row] *= 2
    near(run(name, [array[rows] for array in arrays], weight[rows]), run(name, arrays, doubled))


@every_loss
@given(seed=seeds)
def test_duplication_of_every_row_changes_no_loss(name, seed):
    arrays, weight = problem(name, seed)
    twice = [np.concatenate([array, array]) for array in arrays]
    near(run(name, twice, np.tile(weight, 2)), run(name, arrays, weight))


@every_loss
@given(seed=seeds, content=st.sampled_from([0.0, -1e30, np.nan, np.inf]))
def test_padding_with_rows_of_no_weight_changes_no_loss(name, seed, content):
    """Whatever stands in their first array."""
    arrays, weight = problem(name, seed)
    longer = [np.concatenate([array, array[:2]]) for array in arrays]
    longer[0][B:] = content
    near(run(name, longer, np.append(weight, [0, 0]).astype(np.float32)), run(name, arrays, weight))


@given(seeds, st.permutations(range(M)))
def test_permutation_of_the_catalogue_with_its_targets_changes_no_loss(seed, order):
    (logits, target), weight = problem("next item", seed)
    column = np.argsort(order)  # where each old column has gone
    renamed = np.where(target > 0, column[target - 1] + 1, 0)
    near(
        losses.next_item_cross_entropy(logits[:, order], jnp.asarray(renamed), weight),
        losses.next_item_cross_entropy(logits, jnp.asarray(target), weight),
    )


@given(seeds)
def test_padding_of_a_basket_on_the_right_changes_no_loss(seed):
    (logits, target), weight = problem("basket", seed)
    wider = np.pad(target, ((0, 0), (0, 2)))
    near(
        losses.basket_cross_entropy(logits, jnp.asarray(wider), weight),
        losses.basket_cross_entropy(logits, jnp.asarray(target), weight),
    )


@given(seeds, st.sampled_from([-50.0, 3.0, 50.0]))
def test_shifting_all_logits_of_a_softmax_changes_no_loss(seed, shift):
    for name in ("next item", "basket"):
        (logits, target), weight = problem(name, seed)
        moved = [(logits + shift).astype(np.float32), target]
        np.testing.assert_allclose(
            run(name, moved, weight), run(name, [logits, target], weight), rtol=1e-4, atol=1e-5
        )


@given(seeds, st.sampled_from([0.5, 4.0]))
def test_scaling_of_propensities_scales_their_inverse(seed, scale):
    chance = np.random.default_rng(seed).uniform(0.01, 0.2, B)
    near(losses.inverse_propensity(chance * scale), losses.inverse_propensity(chance) / scale)
