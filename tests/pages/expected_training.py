"""What JAX makes of a training that a page has done: the page's log, first numbers and order.

Run in the book's own environment: ``python tests/pages/expected_training.py PAGE < RUNS``, with
RUNS as JSON: a list of runs, each with ``initial``, ``order``, ``randomised``, ``rate`` and
``ways``; prints the losses of each, and what is read off the first numbers.
"""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recflax.data.batches import Batch
from recflax.lessons.cells import count, histories
from recflax.lessons.train_it_here import (
    HELDOUT_VISITS,
    learned_cells,
    readings,
    small_config,
    small_store,
    train_steps,
)
from recflax.lessons.training_page import path_name
from recflax.recommender import Recommender
from recflax.worlds.store import Store
from recflax.worlds.store_log import StoreLog


def mixed_log(store: Store, randomised: np.ndarray) -> StoreLog:
    """The store's log with some visits filled at random, by the library's own draws."""
    policy, random = store.log(rand=0.0), store.log(rand=1.0)
    pick = {
        name: np.where(randomised, getattr(random, name), getattr(policy, name))
        for name in ("shown", "bought_shown", "propensity", "randomised")
    }
    bought = []
    for log, rows in ((policy, ~randomised), (random, randomised)):
        kept = rows[log.purchase_row]
        bought.append(log.purchase_row[kept] * 1_000 + log.purchase_item[kept])
    row, item = np.divmod(np.sort(np.concatenate(bought)), 1_000)
    return replace(policy, **pick, purchase_row=row, purchase_item=item)


def main(page: Path) -> None:
    """Print the losses of every run."""
    text = re.search(r'id="train-live-data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert text is not None
    seed = json.loads(text.group(1))["recorded"]["seed"]
    store = small_store(seed)
    graphdef, like = nnx.split(Recommender(small_config(store), rngs=nnx.Rngs(0)))
    paths, tree = jax.tree_util.tree_flatten_with_path(like)
    later = count(store.log(HELDOUT_VISITS, "heldout")).purchases
    said = []
    for run in json.load(sys.stdin):
        leaves = []
        for path, leaf in paths:
            found = run["initial"].pop(path_name(path))
            assert found["shape"] == list(leaf.shape), path_name(path)
            leaves.append(jnp.array(found["values"], jnp.float32).reshape(leaf.shape))
        assert not run["initial"], sorted(run["initial"])
        params = jax.tree_util.tree_unflatten(tree, leaves)
        log = mixed_log(store, np.array(run["randomised"], bool))
        batch = histories(store)
        scores = nnx.merge(graphdef, params)(jax.tree.map(jnp.asarray, batch))
        chances = np.asarray(jax.nn.sigmoid(scores))[None]
        answer = {}
        for way in run["ways"]:
            target, weight = learned_cells(log, way)
            data = Batch(*map(jnp.asarray, batch[:3]))._replace(
                target=jnp.asarray(target), weight=jnp.asarray(weight)
            )
            losses, _ = train_steps(
                graphdef, params, data, jnp.array(run["order"]), run["rate"], len(run["order"])
            )
            likelihood, increment = readings(store, chances, way, later, HELDOUT_VISITS)
            answer[way] = {
                "losses": np.asarray(losses).tolist(),
                "likelihood": float(likelihood[0]),
                "increment": float(increment[0]),
            }
        said.append(answer)
    print(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
