"""Purchases factorised by `recflax.factorisation.MatrixFactorisation`."""

import jax
import numpy as np
from baselines import log_of
from lists import recall
from protocol import Turns

from recflax.factorisation import MatrixFactorisation

turns = Turns()
given, sizes = turns.inputs, turns.settings
log = log_of(given["person"], given["item"], sizes["items"])
model = turns.take(
    lambda: MatrixFactorisation(width=sizes["width"]).fit(log, key=jax.random.key(0))
)
scores = model.scores(np.arange(sizes["people"]))
found = recall(scores, given["person"], given["item"], given["held_out"])
turns.finish({"jax": jax.__version__}, recall=found)
