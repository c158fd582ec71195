"""Item-based filtering by implicit's `CosineRecommender`, every item a neighbour."""

import implicit
import numpy as np
from implicit.nearest_neighbours import CosineRecommender
from protocol import Turns
from scipy.sparse import csr_matrix

turns = Turns()
given, sizes = turns.inputs, turns.settings
person, item = given["person"], given["item"]
everybody = np.arange(sizes["people"])


def run():
    ones = np.ones(len(person))
    table = csr_matrix((ones, (person, item)), shape=(sizes["people"], sizes["items"]))
    model = CosineRecommender(K=sizes["items"])
    model.fit(table, show_progress=False)
    return model.recommend(everybody, table, N=10, filter_already_liked_items=False)[0]


ids = turns.take(run)
turns.finish({"implicit": implicit.__version__}, ids=ids + 1)
