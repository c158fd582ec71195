"""Item-based filtering by `recflax.baselines.ItemCF`: fit, and the ten best for everybody."""

import jax
import jax.numpy as jnp
import numpy as np
from baselines import log_of
from protocol import Turns

from recflax.baselines import ItemCF
from recflax.scoring import top_k

turns = Turns()
given, sizes = turns.inputs, turns.settings
log = log_of(given["person"], given["item"], sizes["items"])
people = np.arange(sizes["people"])


def run():
    scores = ItemCF("cosine", own_items=True).fit(log).scores(people)
    return np.asarray(top_k(jnp.asarray(scores), 10)[1])


ids = turns.take(run)
turns.finish({"jax": jax.__version__}, ids=ids)
