"""How the article's network is trained: examples, losses, accuracy, resume."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from recflax.article import LISTING, REPAIRED, ArticleConfig, ArticleNetwork
from recflax.article_training import (
    KERAS_EPSILON,
    TRAIN,
    article_loss,
    asked,
    cross_entropy,
    cross_entropy_of_probabilities,
    examples,
    fit_article,
    printed_accuracy,
)
from recflax.data.batches import Batch

EVERYWHERE = REPAIRED.with_fault("every_place")
SMALL = ArticleConfig(n_items=11, width=6, heads=3, length=4, faults=EVERYWHERE)
HISTORIES = np.array([[0, 0, 4, 9, 2], [3, 1, 11, 7, 5], [0, 6, 6, 1, 8]])


def test_the_target_of_a_place_is_the_next_one():
    data = examples(HISTORIES, 11)
    np.testing.assert_array_equal(data.history, HISTORIES[:, :-1])
    np.testing.assert_array_equal(data.target, HISTORIES[:, 1:])


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ([[3]], ValueError, "histories must have at least 2 places; got 1"),
        ([[3, 12]], ValueError, r"histories holds the id 12 at \(0, 1\); expected 0 to 11"),
        ([[3.0, 1.0]], TypeError, "histories must hold integers"),
        ([[3, 0, 1]], ValueError, "padding must be on the left"),
    ],
)
def test_examples_refuse(wrong, error, message):
    with pytest.raises(error, match=message):
        examples(wrong, 11)


def test_what_is_asked_and_what_counts():
    data = examples(HISTORIES, 11)
    target, weight = asked(SMALL, data)
    # a place counts if it holds an event: its target then is one too
    np.testing.assert_array_equal(weight, HISTORIES[:, :-1] > 0)
    np.testing.assert_array_equal(target, HISTORIES[:, 1:])
    counted = replace(SMALL, faults=EVERYWHERE.with_fault("counts_padding"))
    assert asked(counted, data)[1].sum() == 3 * 4
    last = asked(replace(SMALL, faults=REPAIRED), data)
    np.testing.assert_array_equal(last[0], HISTORIES[:, -1:])
    assert last[1].shape == (3, 1)


def test_cross_entropy_is_the_sum_written_out():
    logits = np.random.default_rng(0).normal(size=(2, 3, 5))
    target, weight = np.array([[1, 0, 4], [2, 2, 3]]), np.array([[1.0, 0.0, 2.0], [1.0, 1.0, 0.5]])
    total = 0.0
    for b in range(2):
        for p in range(3):
            row = logits[b, p]
            total -= weight[b, p] * np.log(np.exp(row[target[b, p]]) / np.exp(row).sum())
    found = cross_entropy(*map(jnp.asarray, (logits, target, weight)))
    assert float(found) == pytest.approx(total / weight.sum(), rel=1e-5)


def test_the_loss_of_probabilities_is_right_where_they_are_probabilities():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 5))
    target, weight = jnp.array([[1, 0, 4], [2, 2, 3]]), jnp.ones((2, 3))
    right = cross_entropy(logits, target, weight)
    found = cross_entropy_of_probabilities(jax.nn.softmax(logits), target, weight)
    assert float(found) == pytest.approx(float(right), rel=1e-5)


@pytest.mark.parametrize(
    ("row", "loss", "moves"),
    [
        ([2.0, -1.0, 0.5], -np.log(KERAS_EPSILON), False),  # negative: clipped from below
        ([2.0, 5.0, -6.0], -np.log1p(-KERAS_EPSILON), False),  # above the sum: clipped from above
        ([2.0, 1.0, 1.0], np.log(4.0), True),
    ],
)
def test_a_clipped_logit_has_no_gradient(row, loss, moves):
    output, target, once = jnp.array([[row]]), jnp.array([[1]]), jnp.ones((1, 1))
    value, slope = jax.value_and_grad(cross_entropy_of_probabilities)(output, target, once)
    assert float(value) == pytest.approx(loss, rel=1e-4, abs=1e-6)
    assert bool(jnp.abs(slope).max() > 0) is moves


def test_places_that_do_not_count_touch_neither_loss_nor_gradient():
    output = jnp.zeros((1, 2, 3)).at[0, 1].set(jnp.array([1.0, 2.0, 1.0]))
    target, weight = jnp.array([[0, 1]]), jnp.array([[0.0, 1.0]])
    for loss in (cross_entropy, cross_entropy_of_probabilities):
        value, slope = jax.value_and_grad(loss)(output, target, weight)
        assert np.isfinite([float(value), *np.asarray(slope).ravel()]).all()
        assert (np.asarray(slope)[0, 0] == 0).all()


def test_a_sum_of_nearly_zero_gives_no_nan():
    for tiny in (0.0, 1e-30, -1e-30):
        output = jnp.array([[[1.0, -1.0 + tiny, tiny]]])
        value, slope = jax.value_and_grad(cross_entropy_of_probabilities)(
            output, jnp.array([[1]]), jnp.ones((1, 1))
        )
        assert np.isfinite([float(value), *np.asarray(slope).ravel()]).all()


def test_copying_is_learned_with_the_right_loss_only():
    ids = np.random.default_rng(3).integers(1, 21, (640, 1))
    data = examples(np.concatenate([ids, ids], axis=1), 20)
    config = ArticleConfig(20, 16, 2, 1, faults=replace(REPAIRED, no_cross_attention=True))
    right = fit_article(config, data, replace(TRAIN, epochs=30), key=jax.random.key(0))[1].loss
    assert right[0] > np.log(20)
    assert right[-1] < 1.0
    wrong = replace(config, faults=config.faults.with_fault("logits_as_probabilities"))
    lost = fit_article(wrong, data, replace(TRAIN, epochs=30), key=jax.random.key(0))[1].loss
    assert lost[-1] > np.log(20)


def test_the_printed_accuracy_is_a_loop_over_places():
    data = examples(HISTORIES, 11)
    for faults in (EVERYWHERE, LISTING, REPAIRED):
        config = replace(SMALL, faults=faults)
        model = ArticleNetwork(config, rngs=nnx.Rngs(4))
        logits = np.asarray(model(jnp.asarray(data.history)))
        right, count = 0, 0
        for b in range(3):
            for place in range(4) if faults.every_place else [3]:
                if faults.counts_padding or data.history[b, place] > 0:
                    answer = logits[b, place if faults.every_place else 0].argmax()
                    right += int(answer == data.target[b, place])
                    count += 1
        assert printed_accuracy(model, data) == pytest.approx(right / count)


def test_the_loss_of_a_network_is_that_of_its_faults():
    data = examples(HISTORIES, 11)
    model = ArticleNetwork(replace(SMALL, faults=LISTING), rngs=nnx.Rngs(4))
    logits = model(jnp.asarray(data.history))
    expected = cross_entropy_of_probabilities(
        logits, jnp.asarray(data.target), jnp.ones(data.target.shape)
    )
    assert float(article_loss(model, data)) == pytest.approx(float(expected))


def test_one_key_gives_one_network_and_another_gives_another():
    data = examples(HISTORIES, 11)
    losses = [
        fit_article(SMALL, data, replace(TRAIN, epochs=2), key=jax.random.key(k))[1].loss
        for k in (0, 0, 1)
    ]
    np.testing.assert_array_equal(losses[0], losses[1])
    assert not np.array_equal(losses[0], losses[2])


class StoppedError(Exception):
    pass


def test_a_run_that_was_broken_off_ends_as_an_unbroken_one(tmp_path):
    data, key, train = examples(HISTORIES, 11), jax.random.key(5), replace(TRAIN, epochs=5)

    def stop(epoch, *_):
        if epoch == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        fit_article(SMALL, data, train, key=key, checkpoint_dir=tmp_path, on_epoch=stop)
    seen = []
    network, record = fit_article(
        SMALL, data, train, key=key, checkpoint_dir=tmp_path, on_epoch=lambda e, *_: seen.append(e)
    )
    straight, expected = fit_article(SMALL, data, train, key=key)
    assert seen == [3, 4]
    np.testing.assert_allclose(record.loss, expected.loss, rtol=1e-6)
    np.testing.assert_allclose(network.scores(HISTORIES), straight.scores(HISTORIES), atol=1e-6)


def test_data_without_a_target_for_every_place_are_refused():
    data = examples(HISTORIES, 11)
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="a target for every place: take them from examples"):
        fit_article(SMALL, data._replace(target=HISTORIES[:, -1:]), key=key)
    with pytest.raises(ValueError, match="a target for every place"):
        fit_article(SMALL, Batch(*data[:3]), key=key)
    with pytest.raises(ValueError, match="data must have at most 3 places; got 4"):
        fit_article(replace(SMALL, length=3), data, key=key)
