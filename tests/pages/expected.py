"""What JAX says of random histories, with the weights that stand in a built live page.

Run in the book's own environment: ``python tests/pages/expected.py PAGE``; prints JSON.
"""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from flax import nnx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recflax.data.batches import make_batch
from recflax.export import weights_from_json
from recflax.lessons.cells import network_config
from recflax.recommender import Recommender
from recflax.worlds.store import Store, StoreConfig, build_store

CASES, LENGTH = 200, 16


def read_network(exported: dict, store: Store) -> Recommender:
    """The network of the page, with the page's weights."""
    config = network_config(store, arms=tuple(exported["about"]["arms"]))
    graphdef, params = nnx.split(Recommender(config, rngs=nnx.Rngs(0)))
    return nnx.merge(graphdef, weights_from_json(json.dumps(exported), like=params))


def main(page: Path) -> None:
    """Print the histories, the tastes and all answers."""
    text = re.search(r'id="store-live-data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert text is not None
    data = json.loads(text.group(1))
    rng = np.random.default_rng(0)
    taste = rng.normal(size=(CASES, 8))
    taste -= taste.mean(axis=1, keepdims=True)
    length = np.arange(CASES) % (LENGTH + 1)  # 0 events too
    real = np.arange(LENGTH) >= LENGTH - length[:, None]
    few = rng.random(CASES)[:, None] < 0.3  # of some people one product again and again
    history = np.where(real, rng.integers(1, np.where(few, 4, 121), (CASES, LENGTH)), 0)
    bought = (rng.random((CASES, LENGTH)) < 0.3) & real
    store = replace(
        build_store(StoreConfig(n_people=2), 1000),
        taste=taste,
        history=history.astype(np.int32),
        bought=bought,
    )
    for name in ("popularity", "lift", "price"):
        assert data["shop"][name] == getattr(store, name).tolist(), name
    batch = make_batch(history, bought, n_items=120)
    item = 1 + np.arange(CASES) % 120
    said = {}
    for switch, pair in data["networks"].items():
        for part, exported in pair.items():
            network = read_network(exported, store)
            inside = network.intermediates(batch)
            said[switch, part] = {
                "scores": np.stack([network.scores(batch, arm) for arm in network.config.arms], 1),
                "cross": np.asarray(inside["cross_attention"]),
                "self": np.asarray(inside["self_attention_0"]),
            }
    effect = -store.history_effect()
    shown, unshown = store.do(1), store.do(0)
    cases = []
    for case in range(CASES):
        here = slice(LENGTH - length[case], None)
        pair = "on" if case % 2 else "off"
        cases.append(
            {
                "history": [
                    {"item": int(i), "bought": bool(b)}
                    for i, b in zip(history[case, here], bought[case, here], strict=True)
                ],
                "taste": taste[case].tolist(),
                "confounded": pair == "on",
                "item": int(item[case]),
                "shown": shown[case].tolist(),
                "not": unshown[case].tolist(),
                "effect": effect[case, here, item[case] - 1].tolist(),
                "networks": {
                    part: {
                        "scores": said[pair, part]["scores"][case].tolist(),
                        "cross": said[pair, part]["cross"][case, :, :, here].tolist(),
                        "self": said[pair, part]["self"][case, :, here, here].tolist(),
                    }
                    for part in ("log", "causal")
                },
            }
        )
    json.dump(cases, sys.stdout)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main(Path(sys.argv[1]))
