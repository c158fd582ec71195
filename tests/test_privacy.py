"""DP-SGD: the plain gradient where nothing is hidden, and each part of the promise alone."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from recflax.fitted import NetworkLoss, cell_loss
from recflax.lessons.cells import ARMS, count, exposed_cells, histories, network_config
from recflax.optimiser import TrainConfig, make_optimiser
from recflax.privacy import (
    OVERFLOW,
    PrivateTraining,
    fit_private,
    poisson_sample,
    private_gradient,
)
from recflax.privacy_account import largest_advantage
from recflax.recommender import Recommender
from recflax.worlds.store import StoreConfig, build_store

KEY = jax.random.key(3)
START = {"slope": jnp.array([0.3, -0.2, 0.1]), "level": jnp.array(0.5)}


def squares(params, batch, key):
    """Mean squared error of a line."""
    return ((batch["x"] @ params["slope"] + params["level"] - batch["y"]) ** 2).mean()


def regression(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=(n, 3)[:k]).astype(np.float32) for name, k in (("x", 2), ("y", 1))
    }


def by_hand(data: dict, clip: float) -> np.ndarray:
    """The clipped gradients (n, 4) of `squares`, person by person, level first."""
    error = data["x"] @ np.array(START["slope"]) + 0.5 - data["y"]
    gradient = 2 * error[:, None] * np.column_stack([np.ones(len(error)), data["x"]])
    size = np.linalg.norm(gradient, axis=1, keepdims=True)
    return gradient * np.minimum(1, clip / size)


def gradient_of(data: dict, drawn=None, key=KEY, **changed) -> np.ndarray:
    n = len(data["y"])
    drawn = jnp.ones(n, bool) if drawn is None else jnp.asarray(drawn)
    how = {"clip_norm": 1.0, "noise_multiplier": 0.0, "batch_size": n} | changed
    found = private_gradient(squares, START, data, drawn, key=key, **how)
    return np.concatenate([np.asarray(found["level"])[None], found["slope"]])


def test_without_noise_and_clipping_it_is_the_gradient_of_the_network() -> None:
    store = build_store(StoreConfig(n_people=13, n_items=11, n_categories=3), seed=5)
    target, weight = exposed_cells(count(store.log(visits=7)))
    data = histories(store)._replace(target=target, weight=weight)
    graphdef, params = nnx.split(Recommender(network_config(store, arms=ARMS), rngs=nnx.Rngs(0)))
    loss_fn = NetworkLoss(graphdef, cell_loss)
    plain = jax.jit(jax.grad(loss_fn))(params, data, KEY)
    how = {"clip_norm": 1e6, "noise_multiplier": 0.0, "batch_size": 13, "key": KEY}
    private = jax.jit(lambda p: private_gradient(loss_fn, p, data, jnp.ones(13, bool), **how))
    apart = jax.tree.map(lambda one, other: np.abs(one - other).max(), plain, private(params))
    assert max(jax.tree.leaves(apart)) < 1e-6
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(plain)) > 1e-2


def test_clipping_is_person_by_person_over_all_parameters() -> None:
    data = regression(7)
    for clip in (0.1, 1.0, 3.0, 100.0):
        expected = by_hand(data, clip).sum(axis=0) / 5
        found = gradient_of(data, clip_norm=clip, batch_size=5)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_nobody_at_a_place_counts_for_nothing_whatever_stands_there() -> None:
    data = regression(7)
    drawn = np.array([1, 0, 1, 1, 0, 0, 1], bool)
    data["x"][~drawn] = np.nan
    kept = {name: values[drawn] for name, values in data.items()}
    expected = by_hand(kept, 1.0).sum(axis=0) / 5
    np.testing.assert_allclose(gradient_of(data, drawn, batch_size=5), expected, rtol=1e-5)
    nobody = gradient_of(data, np.zeros(7, bool))
    np.testing.assert_array_equal(nobody, np.zeros(4))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), who=st.integers(0, 6), clip=st.sampled_from([0.01, 0.5, 2.0]))
def test_one_person_moves_the_sum_by_the_clip_at_most(seed, who, clip) -> None:
    """The sensitivity that the account takes for granted: its breach would be a false epsilon."""
    data = regression(7, seed)
    data["x"] *= 10.0 ** (seed % 4)
    without = np.arange(7) != who
    moved = gradient_of(data, clip_norm=clip) - gradient_of(data, without, clip_norm=clip)
    assert np.linalg.norm(moved) <= clip / 7 * (1 + 1e-4)


def test_the_noise_is_as_large_as_it_says_and_independent() -> None:
    data = regression(7)
    clean = gradient_of(data, clip_norm=0.5)

    def noisy(key):
        how = {"clip_norm": 0.5, "noise_multiplier": 3.0, "batch_size": 5}
        found = private_gradient(squares, START, data, jnp.ones(7, bool), key=key, **how)
        return jnp.concatenate([found["level"][None], found["slope"]])

    draws = np.asarray(jax.jit(jax.vmap(noisy))(jax.random.split(KEY, 4_000)))
    noise = draws - 7 / 5 * clean
    size = 3.0 * 0.5 / 5
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=4 * size / 4_000**0.5)
    np.testing.assert_allclose(noise.std(axis=0), size, rtol=4 / 8_000**0.5)
    apart = np.corrcoef(noise.T) - np.eye(4)
    assert np.abs(apart).max() < 4.5 / 4_000**0.5


def test_the_best_attack_on_one_step_does_what_the_account_allows() -> None:
    """An audit: the best attack on one step, over fresh noise, and the account's largest advantage.

    Half the noise would show as an advantage of .38 instead of .20.
    """
    data = {"x": np.full((3, 1), 50.0, np.float32), "y": np.zeros(3, np.float32)}

    def step(drawn, key):
        how = {"clip_norm": 1.0, "noise_multiplier": 2.0, "batch_size": 3}
        start = {"slope": jnp.ones(1), "level": jnp.zeros(())}
        return private_gradient(squares, start, data, drawn, key=key, **how)["slope"][0]

    draws = jax.jit(jax.vmap(step, in_axes=(None, 0)))
    with_her = draws(jnp.ones(3, bool), jax.random.split(KEY, 8_000))
    without = draws(jnp.array([True, True, False]), jax.random.split(jax.random.key(4), 8_000))
    cut = 2.5 / 3  # halfway between two and three gradients of norm 1
    advantage = (with_her > cut).mean() - (without > cut).mean()
    error = (2 * norm.cdf(0.25) * norm.cdf(-0.25) / 8_000) ** 0.5
    assert abs(advantage - largest_advantage(2.0, 1.0, 1)) < 4 * error + 1e-3


def test_everybody_is_drawn_on_her_own() -> None:
    """Poisson sampling: a batch of fixed size would have a count without variance."""
    n, rate, rounds = 13, 0.3, 6_000
    draw = jax.vmap(lambda key: poisson_sample(key, n, rate, places=13))
    who, drawn = map(np.asarray, draw(jax.random.split(KEY, rounds)))
    chosen = np.zeros((rounds, n))
    for row, (places, real) in enumerate(zip(who, drawn, strict=True)):
        chosen[row, places[real]] += 1
    assert set(np.unique(chosen)) == {0, 1}
    error = (rate * (1 - rate) / rounds) ** 0.5
    np.testing.assert_allclose(chosen.mean(axis=0), rate, atol=4.5 * error)
    counts = np.bincount(drawn.sum(axis=1), minlength=n + 1) / rounds
    np.testing.assert_allclose(counts, binom.pmf(np.arange(n + 1), n, rate), atol=0.025)
    apart = np.corrcoef(chosen.T) - np.eye(n)
    assert np.abs(apart).max() < 5 / rounds**0.5


def test_a_full_batch_leaves_the_last_out() -> None:
    who, drawn = poisson_sample(KEY, 7, 1.0, places=3)
    assert who.tolist() == [0, 1, 2]
    assert drawn.all()


@pytest.mark.parametrize(("people", "batch", "steps"), [(3_000, 200, 100), (97, 11, 7), (5, 5, 2)])
def test_the_batch_has_places_enough_and_no_more(people, batch, steps) -> None:
    config = PrivateTraining(batch_size=batch, steps=steps)
    places = config.places(people)
    assert steps * binom.sf(places, people, batch / people) <= OVERFLOW
    assert places == people or steps * binom.sf(places - 1, people, batch / people) > OVERFLOW
    assert places <= batch + 10 * batch**0.5


def test_training_is_the_plain_loop_where_nothing_is_hidden() -> None:
    data = regression(17)
    config = PrivateTraining(0.0, clip_norm=1e6, batch_size=17, steps=23, learning_rate=0.05)
    found = fit_private(START, squares, data, config, key=KEY)
    optimiser = make_optimiser(TrainConfig(learning_rate=0.05), 23)
    params, state = START, optimiser.init(START)
    for _ in range(23):
        gradient = jax.grad(squares)(params, data, KEY)
        updates, state = optimiser.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    for name in START:
        np.testing.assert_allclose(found[name], params[name], atol=1e-6)
        assert np.abs(found[name] - START[name]).max() > 0.01


def test_the_same_key_repeats_and_another_does_not() -> None:
    data, config = regression(17), PrivateTraining(1.0, batch_size=5, steps=7)
    one, two = (fit_private(START, squares, data, config, key=KEY) for _ in range(2))
    np.testing.assert_array_equal(one["slope"], two["slope"])
    other = fit_private(START, squares, data, config, key=jax.random.key(4))
    assert np.abs(one["slope"] - other["slope"]).max() > 1e-4
    np.testing.assert_allclose(START["slope"], [0.3, -0.2, 0.1])  # the start is not changed


def test_every_step_draws_its_own_noise() -> None:
    """Where there is nothing to learn the parameters walk at random: in one direction no step adds.

    AdamW walks as far as its rates allow if it always sees the same gradient.
    """

    def nothing(params, batch, key):
        return 0 * (params.sum() + batch.sum())

    config = PrivateTraining(1.0, batch_size=5, steps=100, learning_rate=0.01)
    walk = fit_private(jnp.zeros(500), nothing, jnp.ones(17), config, key=KEY)
    together = 0.01 * 100 / 2  # all steps in one direction, under warm-up and cosine
    assert 0.02 < np.std(walk) < together / 2


def test_the_account_is_of_what_is_run() -> None:
    config = PrivateTraining(2.0, batch_size=30, steps=5)
    assert config.sampling_rate(120) == 0.25
    assert config.largest_advantage(120) == largest_advantage(2.0, 0.25, 5)
    assert config.epsilon(120, 1e-3) < replace(config, steps=50).epsilon(120, 1e-3)
    assert config.epsilon(1_200, 1e-3) < config.epsilon(120, 1e-3) / 3  # among more people


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"noise_multiplier": -0.1}, ValueError, "noise_multiplier"),
        ({"clip_norm": 0.0}, ValueError, "clip_norm must be positive and finite; got 0"),
        ({"clip_norm": float("inf")}, ValueError, "clip_norm"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1; got 0"),
        ({"steps": 2.0}, TypeError, "steps must be an integer"),
    ],
)
def test_wrong_settings_are_named(changed, kind, message) -> None:
    with pytest.raises(kind, match=message):
        PrivateTraining(**changed)


def test_wrong_data_are_named() -> None:
    config = PrivateTraining(batch_size=5, steps=2)
    with pytest.raises(ValueError, match="batch_size is 5, more than the 3 people"):
        fit_private(START, squares, regression(3), config, key=KEY)
    data = regression(7)
    with pytest.raises(ValueError, match="data must hold arrays with one first axis"):
        fit_private(START, squares, data | {"y": data["y"][:5]}, config, key=KEY)
    data["x"][4, 1] = np.nan
    with pytest.raises(FloatingPointError, match="not finite after 9 steps"):
        fit_private(START, squares, data, replace(config, steps=9), key=KEY)
