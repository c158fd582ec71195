"""Seconds for the store with its log and truths, and for a fit of the lessons' network."""

import json
import time

import jax

from recflax.lessons.cells import count, fit_cells, log_cells
from recflax.worlds.store import StoreConfig, build_store


def timed(run):
    """The result of a call and the seconds that it took."""
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start


def build():
    """A store of 8,000 people, its log, and every exact truth."""
    store = build_store(StoreConfig(), 11)
    log = store.log()
    truths = [store.do(0), store.do(1), store.uplift(), store.see(), store.see_exposed()]
    store.history_effect()
    return store, log, truths


(store, log, _), seconds_store = timed(build)
cells = log_cells(count(log))
seconds_fit = [
    timed(lambda seed=seed: fit_cells(store, cells, key=jax.random.key(seed)))[1]
    for seed in range(6)
]
print(json.dumps({"store": seconds_store, "first_fit": seconds_fit[0], "fits": seconds_fit[1:]}))
