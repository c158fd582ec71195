"""Purchases factorised by implicit, with its own defaults but for the width.

Its threads are its own, and those of BLAS are off, as it advises.
"""

import os

import implicit
import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from implicit.lmf import LogisticMatrixFactorization
from lists import recall
from protocol import Turns
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

turns = Turns()
given, sizes = turns.inputs, turns.settings
person, item = given["person"], given["item"]
kind = {
    "als": AlternatingLeastSquares,
    "logistic": LogisticMatrixFactorization,
    "bpr": BayesianPersonalizedRanking,
}[sizes["model"]]


def run():
    ones = np.ones(len(person), dtype=np.float32)
    table = csr_matrix((ones, (person, item)), shape=(sizes["people"], sizes["items"]))
    model = kind(
        factors=sizes["width"], random_state=0, num_threads=int(os.environ["OMP_NUM_THREADS"])
    )
    model.fit(table, show_progress=False)
    return model


with threadpool_limits(1, "blas"):
    model = turns.take(run)
scores = np.asarray(model.user_factors) @ np.asarray(model.item_factors).T
found = recall(scores, person, item, given["held_out"])
turns.finish({"implicit": implicit.__version__}, recall=found)
