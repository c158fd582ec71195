"""Training steps and epochs in recflax, by `recflax.training.fit`, as the library trains."""

import jax
import numpy as np
from flax import nnx
from networks import batch_of, build
from protocol import Turns

from recflax.fitted import NetworkLoss
from recflax.optimiser import TrainConfig
from recflax.training import fit

turns = Turns()
sizes = turns.settings
size, steps = sizes["batch"], sizes["steps"]
history, target = turns.inputs["history"], turns.inputs["target"]
if sizes["part"] == "step":  # the same batch in every step: an epoch of `steps` of them
    history, target = (np.tile(array[:size], (steps, 1)) for array in (history, target))
network, loss = build(sizes)
graphdef, params = nnx.split(network, nnx.Param)
loss_fn = NetworkLoss(graphdef, loss)
data = batch_of(sizes, history, target)
first = jax.tree.map(lambda array: array[:size], data)
first_loss = float(jax.jit(loss_fn)(params, first, jax.random.key(0)))
turns.inner = steps if sizes["part"] == "step" else 1  # a step is an epoch's share
config = TrainConfig(
    epochs=turns.count,
    batch_size=size,
    learning_rate=1e-3,
    weight_decay=0.0,
    warmup_steps=0,
    schedule="constant",
)
turns.begin()
fit(params, loss_fn, data, config, key=jax.random.key(0), on_epoch=turns.next)
turns.finish({"jax": jax.__version__}, loss=first_loss)
