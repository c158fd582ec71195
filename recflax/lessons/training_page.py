"""What the page "Train it here" holds: a shop's log, how a network starts, and a recorded run.

The page draws its own first numbers and trains in the reader's browser. What it is given is the log
of one small shop, the constants of the shop's equations, and what the same training did when the
book was built.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from recflax.lessons.live_page import shop_facts
from recflax.lessons.train_it_here import HELDOUT_VISITS, WAYS, Record, Schedule, small_config
from recflax.lessons.trainings import CLIP
from recflax.recommender import Recommender, RecommenderConfig
from recflax.worlds.store import Store
from recflax.worlds.store_log import StoreLog


def organic(policy: StoreLog, random: StoreLog) -> tuple[np.ndarray, np.ndarray]:
    """Purchases (row, item) that come without a display, as far as two logs of one draw show them.

    At the same visit both logs have the same person, intent and luck; only the slot differs. What
    either log says of a product that it did not show is what is bought without a display.

    Raises:
        ValueError: the logs are not two of one draw.
    """
    found = []
    for log in (policy, random):
        row, item = log.purchase_row, log.purchase_item
        kept = item != log.shown[row]
        found.append(row[kept].astype(np.int64) * (len(log.items) + 1) + item[kept])
    code = np.union1d(*found)
    row, item = np.divmod(code, len(policy.items) + 1)
    for log, own in zip((policy, random), found, strict=True):
        seen = code[item != log.shown[row]]
        if not np.array_equal(seen, np.sort(own)):
            raise ValueError(
                "policy and random must be two logs of one draw; their purchases differ"
            )
    return row, item


def first_numbers(config: RecommenderConfig) -> dict[str, dict[str, Any]]:
    r"""How the page draws the first numbers: shape, mean and deviation of every array.

    Tables are normal with deviation :math:`D^{-1/2}`, matrices with :math:`1/\sqrt{\mathrm{in}}`
    (the flax default cuts its tails, the page does not); what starts as a constant stays one.

    Example:
        >>> found = first_numbers(RecommenderConfig(n_items=3, width=4, query="person"))
        >>> found["['norm']['scale']"]
        {'shape': [4], 'mean': 1.0, 'deviation': 0.0}
        >>> found["['blocks'][0]['wide']['kernel']"]
        {'shape': [4, 8], 'mean': 0.0, 'deviation': 0.5}
    """
    params = nnx.split(Recommender(config, rngs=nnx.Rngs(0)))[1]
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        values = np.asarray(leaf)
        constant = float(values.std()) == 0
        rows = values.shape[0] if path_name(path).endswith("['kernel']") else config.width
        found[path_name(path)] = {
            "shape": list(values.shape),
            "mean": float(values.flat[0]) if constant else 0.0,
            "deviation": 0.0 if constant else rows**-0.5,
        }
    return found


def path_name(path: Any) -> str:
    """An array's name on the page, whatever this version of flax adds to it."""
    return jax.tree_util.keystr(path).removesuffix(".value")


def training_data(
    store: Store,
    records: Mapping[str, Record],
    schedule: Schedule,
    *,
    seed: int,
) -> str:
    """Everything as JSON.

    Args:
        store: the small shop.
        records: what the build's own run read off, for each of the ways.
        schedule: how long it was, and how long the page trains.
        seed: of the recorded run.

    Raises:
        ValueError: a record is missing, or the store has too many products or visits for the
            page's bytes.
    """
    if set(records) != set(WAYS):
        raise ValueError(f"records must have the keys {sorted(WAYS)}; got {sorted(records)}")
    policy, random = store.log(rand=0.0), store.log(rand=1.0)
    later = store.log(HELDOUT_VISITS, "heldout")
    if store.config.n_items > 255 or len(policy.person) > 65_535:
        raise ValueError(
            "store must have at most 255 products and 65,535 visits; got "
            f"{store.config.n_items} and {len(policy.person)}"
        )
    config = small_config(store)
    row, item = organic(policy, random)
    data = {
        "shop": shop_facts(store),
        "shape": {
            "categories": list(config.categories),
            "width": config.width,
            "heads": config.heads,
            "max_length": config.max_length,
            "arms": list(config.arms),
        },
        "schedule": {name: getattr(schedule, name) for name in ("steps", "batch", "rate", "every")},
        "clip": CLIP,
        "people": {
            "taste": packed(store.taste, "<f4"),
            "history": packed(store.history, "u1"),
            "bought": packed(store.bought, "u1"),
        },
        "log": {
            "visits": policy.n_visits,
            "propensity": packed(policy.propensity, "<f4"),
            "policy": _slot(policy),
            "random": _slot(random),
            "organic": {"row": packed(row, "<u2"), "item": packed(item, "u1")},
        },
        "later": {
            "visits": HELDOUT_VISITS,
            "person": packed(later.person[later.purchase_row], "<u2"),
            "item": packed(later.purchase_item, "u1"),
        },
        "initial": first_numbers(config),
        "ways": WAYS,
        "recorded": {
            "seed": seed,
            "share": 0.0,
            "rate": schedule.rate,
            "random": float(store.uplift().mean()),
            "ways": {way: _curve(records[way], schedule) for way in WAYS},
        },
    }
    return json.dumps(data)


def packed(values: np.ndarray, kind: str) -> str:
    """Numbers as base64 of their bytes.

    Example:
        >>> packed(np.array([1, 258]), "<u2")
        'AQACAQ=='
    """
    return base64.b64encode(np.ascontiguousarray(values).astype(kind).tobytes()).decode()


def _slot(log: StoreLog) -> dict[str, str]:
    """What was in the slot at each visit, and whether it was bought."""
    return {"shown": packed(log.shown, "u1"), "bought": packed(log.bought_shown, "u1")}


def _curve(record: Record, schedule: Schedule) -> dict[str, list[float]]:
    """A record as the page draws it; the loss of a stretch stands at its end."""
    return {
        "step": list(range(0, schedule.steps + 1, schedule.every)),
        "loss": record.loss.astype(float)
        .reshape(-1, schedule.every)
        .mean(axis=1)
        .round(6)
        .tolist(),
        "likelihood": record.likelihood.round(6).tolist(),
        "increment": record.increment.round(6).tolist(),
    }
