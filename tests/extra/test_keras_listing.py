"""The listing in Keras itself, on a tiny size, against our network with all its faults."""

import os
from dataclasses import replace

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
from flax import nnx

from recflax.article import LISTING, ArticleConfig, ArticleNetwork
from recflax.article_training import article_loss, examples, printed_accuracy

ITEMS, WIDTH, HEADS, LENGTH, PEOPLE = 17, 6, 3, 5, 29


def histories() -> np.ndarray:
    rng = np.random.default_rng(11)
    ids = rng.integers(1, ITEMS + 1, (PEOPLE, LENGTH + 1))
    padding = rng.integers(0, 4, PEOPLE)
    return np.where(np.arange(LENGTH + 1) < padding[:, None], 0, ids)


def keras_listing(head_width: int, from_logits: bool) -> keras.Model:
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = keras.layers.Embedding(ITEMS + 1, WIDTH)(inputs)
    x = keras.layers.MultiHeadAttention(HEADS, head_width)(x, x)
    model = keras.Model(inputs, keras.layers.Dense(ITEMS + 1)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    return model


def give_weights(ours: ArticleNetwork, theirs: keras.Model) -> None:
    """Copy our weights (Keras takes over what it is given); it keeps heads on their own axis."""
    embedding, attention, dense = theirs.layers[1:]
    embedding.set_weights([np.array(ours.embedding.embedding[...])])
    head = ours.config.head_width
    weights = []
    for layer in (ours.attention.query, ours.attention.key, ours.attention.value):
        weights.append(np.array(layer.kernel[...]).reshape(WIDTH, HEADS, head))
        weights.append(np.array(layer.bias[...]).reshape(HEADS, head))
    out = ours.attention.out
    weights += [np.array(out.kernel[...]).reshape(HEADS, head, WIDTH), np.array(out.bias[...])]
    attention.set_weights(weights)
    dense.set_weights([np.array(ours.dense.kernel[...]), np.array(ours.dense.bias[...])])


def pair(wide: bool, as_probabilities: bool) -> tuple[ArticleNetwork, keras.Model]:
    faults = replace(LISTING, wide_heads=wide, logits_as_probabilities=as_probabilities)
    config = ArticleConfig(ITEMS, WIDTH, HEADS, LENGTH, faults)
    ours = ArticleNetwork(config, rngs=nnx.Rngs(2))
    ours.embedding.embedding[...] *= 20
    theirs = keras_listing(config.head_width, not as_probabilities)
    give_weights(ours, theirs)
    return ours, theirs


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("as_probabilities", [True, False])
def test_outputs_loss_accuracy_and_size_are_those_of_keras(wide, as_probabilities):
    ours, theirs = pair(wide, as_probabilities)
    data = examples(histories(), ITEMS)
    logits = np.asarray(ours(jnp.asarray(data.history)))
    np.testing.assert_allclose(logits, theirs.predict(data.history, verbose=0), atol=1e-5)
    loss, accuracy = theirs.evaluate(data.history, data.target, verbose=0, batch_size=PEOPLE)
    assert float(article_loss(ours, data)) == pytest.approx(loss, rel=1e-5)
    assert printed_accuracy(ours, data) == pytest.approx(accuracy, abs=1e-6)
    count = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(ours, nnx.Param)))
    assert count == theirs.count_params()


@pytest.mark.parametrize("as_probabilities", [True, False])
def test_ten_steps_of_training_give_the_losses_of_keras(as_probabilities):
    ours, theirs = pair(True, as_probabilities)
    data = examples(histories(), ITEMS)
    graphdef, params = nnx.split(ours, nnx.Param)
    adam = optax.adam(1e-3, eps=1e-7)  # Keras's epsilon
    state = adam.init(params)
    mine, keras_losses = [], []
    for _ in range(10):
        loss, slope = jax.value_and_grad(lambda p: article_loss(nnx.merge(graphdef, p), data))(
            params
        )
        updates, state = adam.update(slope, state)
        params = optax.apply_updates(params, updates)
        mine.append(float(loss))
        keras_losses.append(theirs.train_on_batch(data.history, data.target)[0])
        theirs.reset_metrics()
    np.testing.assert_allclose(mine, keras_losses, rtol=1e-3)


def test_eight_heads_of_512_have_the_parameters_that_the_book_says():
    inputs = keras.Input((3, 512))
    counts = [
        keras.Model(
            inputs, keras.layers.MultiHeadAttention(8, width)(inputs, inputs)
        ).count_params()
        for width in (512, 64)
    ]
    assert counts == [8_401_408, 1_050_624]


def test_one_label_a_sequence_raises_and_so_do_integers_where_one_hot_is_expected():
    model = keras_listing(WIDTH, False)
    data = examples(histories(), ITEMS)
    model.compile("adam", "categorical_crossentropy")
    with pytest.raises(ValueError, match=r"shape|rank"):
        model.train_on_batch(data.history, data.target)
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"shape|rank"):
        model.train_on_batch(data.history, data.target[:, 0])
