"""Ratings factorised by `recflax.ratings.fit_ratings`, a tenth of them held out."""

import jax
import numpy as np
from protocol import Turns

from recflax.ratings import fit_ratings

turns = Turns()
given, sizes = turns.inputs, turns.settings
person, item, rating = (given[name] for name in ("person", "item", "rating"))
out = np.arange(len(rating)) % 10 == 0
table = np.zeros((sizes["people"], sizes["items"]), dtype=np.float32)
table[person[~out], item[~out]] = rating[~out]
predicted = turns.take(
    lambda: fit_ratings(table, width=sizes["width"], penalty=5.0, steps=50, key=jax.random.key(0))
)
error = np.sqrt(np.square(predicted[person[out], item[out]] - rating[out]).mean())
turns.finish({"jax": jax.__version__}, error=error)
