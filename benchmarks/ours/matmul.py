"""The machine's own rate: float32 matrix products of a training step's shapes, and a square one."""

import jax
import jax.numpy as jnp
import numpy as np
from protocol import Turns

turns = Turns()
rows, inner, columns = turns.settings["shape"]
a = jnp.asarray(np.random.default_rng(0).normal(size=(rows, inner)), jnp.float32)
b = jnp.asarray(np.random.default_rng(1).normal(size=(inner, columns)), jnp.float32)
product = jax.jit(jnp.matmul)
turns.take(lambda: product(a, b).block_until_ready())
turns.finish({"jax": jax.__version__})
