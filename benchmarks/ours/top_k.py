"""The ten best of a catalogue by `recflax.scoring.catalogue_top_k`; the items lie in memory."""

import jax
import jax.numpy as jnp
from protocol import Turns

from recflax.scoring import catalogue_top_k

turns = Turns()
people, items = turns.inputs["people"], jnp.asarray(turns.inputs["items"])


def run():
    return jax.block_until_ready(catalogue_top_k(jnp.asarray(people), items, turns.settings["k"]))


_, ids = turns.take(run)
turns.finish({"jax": jax.__version__}, ids=ids)
