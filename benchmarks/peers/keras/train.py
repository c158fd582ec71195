"""The three networks in Keras, on TensorFlow or on JAX: `train_on_batch` for a step, `fit` for an
epoch, both as Keras compiles them."""

import json
import os
import sys

os.environ["KERAS_BACKEND"] = json.loads(sys.argv[3])["backend"]  # before Keras is imported

import keras
import numpy as np
from keras import layers, ops
from protocol import Turns

turns = Turns()
sizes = turns.settings
ITEMS, D, H, L = (sizes[name] for name in ("items", "width", "heads", "length"))


def given(prefix, *names):
    """First weights below a prefix, in some order."""
    return [turns.inputs[f"w/{prefix}.{name}"] for name in names]


class Places(layers.Layer):
    """Adds the vector of each place, row 0 of the table for the newest."""

    def build(self, shape):
        self.table = self.add_weight(shape=(L, D), name="table")

    def call(self, x):
        return x + ops.flip(self.table, axis=0)


class Scores(layers.Layer):
    """Scores of a vector (B, D) for the whole catalogue, by the embedding of the items."""

    def __init__(self, items):
        super().__init__()
        self.items = items

    def build(self, shape):
        self.arm = self.add_weight(shape=(D, D), name="arm")
        self.bias = self.add_weight(shape=(ITEMS,), name="bias")

    def call(self, vector):
        keys = self.items.embeddings @ self.arm / D**0.5
        return vector @ ops.transpose(keys) + self.bias


later = []  # (layer, weights): set once the model stands


def attention(prefix):
    """A layer that starts at given weights; Keras keeps kernels as (D, H, d) and (H, d, D)."""
    layer = layers.MultiHeadAttention(H, D // H)
    weights = []
    for name in ("query", "key", "value"):
        kernel, bias = given(f"{prefix}.{name}", "kernel", "bias")
        weights += [kernel.reshape(D, H, -1), bias.reshape(H, -1)]
    kernel, bias = given(f"{prefix}.out", "kernel", "bias")
    later.append((layer, [*weights, kernel.reshape(H, -1, D), bias]))
    return layer


def started(layer, weights):
    """A layer that starts at given weights."""
    later.append((layer, weights))
    return layer


def dense(width, prefix):
    return started(layers.Dense(width), given(prefix, "kernel", "bias"))


def norm(prefix):
    return started(layers.LayerNormalization(epsilon=1e-6), given(prefix, "scale", "bias"))


def embedding(prefix):
    (table,) = given(prefix, "embedding")
    return started(layers.Embedding(*table.shape), [table])


def plain():
    history = keras.Input((L,), dtype="int32")
    x = embedding("embedding")(history)
    return keras.Model(history, dense(ITEMS, "dense")(attention("attention")(x, x)))


def repaired():
    history = keras.Input((L,), dtype="int32")
    real = ops.expand_dims(history > 0, 1)  # (B, 1, L)
    x = embedding("embedding")(history)
    x = started(Places(), given("positions", "embedding"))(x)
    x = attention("attention")(x, x, attention_mask=real, use_causal_mask=True)
    asked = attention("cross")(x[:, -1:], x, attention_mask=real)
    return keras.Model(history, dense(ITEMS + 1, "dense")(asked[:, 0]))


def sasrec():
    history = keras.Input((L,), dtype="int32")
    real = ops.expand_dims(history > 0, 1)
    items = started(layers.Embedding(ITEMS, D), [turns.inputs["w/item"]])
    bought = started(layers.Embedding(2, D), [turns.inputs["w/bought"]])
    x = items(ops.maximum(history, 1) - 1) + bought(ops.cast(history > 0, "int32"))
    x = started(Places(), [turns.inputs["w/place"]])(x)
    for number in range(sizes["blocks"]):
        name = f"blocks.{number}"
        normed = norm(f"{name}.norms.0")(x)
        attend = attention(f"{name}.attention")
        x = x + attend(normed, normed, attention_mask=real, use_causal_mask=True)
        wide = dense(2 * D, f"{name}.wide")(norm(f"{name}.norms.1")(x))
        wide = keras.activations.gelu(wide, approximate=True)
        x = x + dense(D, f"{name}.narrow")(wide)
    x = norm("norm")(x)[:, -1]
    arm, bias = turns.inputs["w/arm"][0], turns.inputs["w/bias"][0]
    return keras.Model(history, started(Scores(items), [arm, bias, turns.inputs["w/item"]])(x))


model = {"plain": plain, "repaired": repaired, "sasrec": sasrec}[sizes["network"]]()
for layer, weights in later:
    layer.set_weights(weights)
loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss_of, jit_compile=sizes["jit_compile"])
history, target = turns.inputs["history"], turns.inputs["target"]
if sizes["network"] == "plain":
    history, target = history - 1, target - 1
elif sizes["network"] == "repaired":
    target = target[:, -1]
else:
    target = target[:, -1] - 1
size = sizes["batch"]
x, y = np.ascontiguousarray(history[:size]), np.ascontiguousarray(target[:size])
first_loss = float(ops.convert_to_numpy(loss_of(y, model(x))))
if sizes["part"] == "step":
    turns.inner = sizes["steps"]
    turns.take(lambda: float(model.train_on_batch(x, y)))
else:
    turns.begin()
    model.fit(
        history,
        target,
        batch_size=size,
        epochs=turns.count,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=turns.next)],
    )
versions = {"keras": keras.__version__}
if sizes["backend"] == "tensorflow":
    import tensorflow

    versions["tensorflow"] = tensorflow.__version__
turns.finish(versions, loss=first_loss)
