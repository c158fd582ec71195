"""The article's plain network in Keras on TensorFlow: seconds a training step."""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import tensorflow as tf
from protocol import BATCH, HEADS, ITEMS, LENGTH, WIDTH, measure, report, sequences

history, target = sequences()
inputs = keras.Input((LENGTH,), dtype="int32")
x = keras.layers.Embedding(ITEMS, WIDTH)(inputs)
x = keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(x, x)
model = keras.Model(inputs, keras.layers.Dense(ITEMS)(x))
optimizer = keras.optimizers.Adam(1e-3)
optimizer.build(model.trainable_variables)
loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def make_step(jit_compile: bool):
    @tf.function(jit_compile=jit_compile)
    def step(history, target):
        with tf.GradientTape() as tape:
            loss = loss_of(target, model(history, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    return step


batch = tf.constant(history), tf.constant(target)
assert history.shape == (BATCH, LENGTH)
plain, compiled = make_step(False), make_step(True)
report(
    {
        "Keras on TensorFlow": measure(lambda: float(plain(*batch))),
        "Keras on TensorFlow, jit_compile": measure(lambda: float(compiled(*batch))),
    },
    versions={"tensorflow": tf.__version__, "keras": keras.__version__},
)
