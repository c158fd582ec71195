"""The article's plain network in recflax: seconds a training step, and the matrix-multiply rate."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from protocol import BATCH, HEADS, ITEMS, LENGTH, WIDTH, matmul_shapes, measure, report, sequences
from recflax.losses import softmax_cross_entropy_with_ids
from recflax.self_attention import SelfAttention


class Network(nnx.Module):
    """Embedding, multi-head self-attention, a dense layer over the catalogue."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embedding = nnx.Embed(ITEMS, WIDTH, rngs=rngs)
        self.attention = SelfAttention(WIDTH, HEADS, rngs=rngs)
        self.dense = nnx.Linear(WIDTH, ITEMS, rngs=rngs)

    def __call__(self, history: jax.Array) -> jax.Array:
        x, _ = self.attention(self.embedding(history))
        return self.dense(x)


history, target = (jnp.asarray(array) for array in sequences())
graphdef, params = nnx.split(Network(nnx.Rngs(0)), nnx.Param)
optimiser = optax.adam(1e-3)


def loss_fn(params):
    return softmax_cross_entropy_with_ids(nnx.merge(graphdef, params)(history), target)


def train_step(params, state):
    loss, gradients = jax.value_and_grad(loss_fn)(params)
    updates, state = optimiser.update(gradients, state, params)
    return optax.apply_updates(params, updates), state, loss


jitted = jax.jit(train_step, donate_argnums=(0, 1))
carry = [params, optimiser.init(params)]


def step() -> float:
    carry[0], carry[1], loss = jitted(*carry)
    return float(loss.block_until_ready())


def multiply(rows: int, inner: int, columns: int):
    """One float32 product of the given shape, and its count of floating-point operations."""
    a = jnp.ones((rows, inner), jnp.float32)
    b = jnp.ones((inner, columns), jnp.float32)
    product = jax.jit(jnp.matmul)
    return (lambda: product(a, b).block_until_ready()), 2 * rows * inner * columns


seconds = {"recflax": measure(step)}
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
