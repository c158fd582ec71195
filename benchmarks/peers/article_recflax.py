"""The article's plain network in recflax: seconds a training step, and the matrix-multiply rate."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from protocol import (
    BATCH,
    HEADS,
    ITEMS,
    LENGTH,
    REPEATS,
    STEPS,
    WIDTH,
    matmul_shapes,
    measure,
    report,
    sequences,
)

from recflax.losses import next_item_cross_entropy
from recflax.optimiser import TrainConfig
from recflax.self_attention import SelfAttention
from recflax.training import fit


class Network(nnx.Module):
    """Embedding, multi-head self-attention, a dense layer over the catalogue."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embedding = nnx.Embed(ITEMS, WIDTH, rngs=rngs)
        self.attention = SelfAttention(WIDTH, HEADS, rngs=rngs)
        self.dense = nnx.Linear(WIDTH, ITEMS, rngs=rngs)

    def __call__(self, history: jax.Array) -> jax.Array:
        x, _ = self.attention(self.embedding(history))
        # as one matrix: with three axes XLA would transpose the gradient of all logits
        return self.dense(x.reshape(-1, WIDTH)).reshape(*history.shape, ITEMS)


class NextItem(NamedTuple):
    """Cross-entropy at every place, as the loss that `recflax.training.fit` takes."""

    graphdef: nnx.GraphDef

    def __call__(self, params: Any, batch: Any, key: jax.Array) -> jax.Array:
        network = nnx.merge(self.graphdef, params)
        return next_item_cross_entropy(network(batch["history"]), batch["target"])


history, target = sequences()
data = {  # the same batch in every step; ids count from 1 in a target, where 0 is padding
    "history": np.tile(history, (STEPS, 1)),
    "target": np.tile(target + 1, (STEPS, 1)),
}
graphdef, params = nnx.split(Network(nnx.Rngs(0)), nnx.Param)
ends = [time.perf_counter()]
fit(  # as the library trains: an epoch of eight steps is one jitted scan
    params,
    NextItem(graphdef),
    data,
    TrainConfig(
        epochs=1 + REPEATS,
        batch_size=BATCH,
        learning_rate=1e-3,
        weight_decay=0.0,
        warmup_steps=0,
        schedule="constant",
    ),
    key=jax.random.key(0),
    on_epoch=lambda *_: ends.append(time.perf_counter()),
)
seconds = {"recflax": (np.diff(ends)[1:] / STEPS).tolist()}  # the first epoch compiles


def multiply(rows: int, inner: int, columns: int):
    """One float32 product of the given shape, and its count of floating-point operations."""
    a = jnp.ones((rows, inner), jnp.float32)
    b = jnp.ones((inner, columns), jnp.float32)
    product = jax.jit(jnp.matmul)
    return (lambda: product(a, b).block_until_ready()), 2 * rows * inner * columns


rates = []
for shape in matmul_shapes():
    run, operations = multiply(*shape)
    rates.append(operations / sorted(measure(run))[2])
tokens = BATCH * LENGTH
forward = 2 * tokens * WIDTH * ITEMS + 4 * 2 * tokens * WIDTH**2 + 2 * 2 * tokens * LENGTH * WIDTH
report(
    seconds,
    versions={"jax": jax.__version__},
    # the backward pass multiplies twice for each product of the forward one
    extra={"operations": 3 * forward, "matmul_rate": max(rates)},
)
