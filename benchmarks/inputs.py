"""The arrays that all contenders of a case are given, made once and written as ``.npz``."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent / "ours"))

from networks import build, weights


def training(sizes: dict[str, Any]) -> dict[str, np.ndarray]:
    """Histories (n, L), the next item at each place (n, L), and the network's first weights.

    Each history is a walk through the catalogue. For ``sasrec`` some are short, padded on the left,
    as the beginnings of people's histories are.
    """
    rng = np.random.default_rng(7)
    shape = sizes["examples"], sizes["length"] + 1
    ids = rng.integers(1, sizes["items"] + 1, shape, dtype=np.int32)
    if sizes["network"] == "sasrec":
        ids[:, -1] = np.resize(rng.permutation(sizes["items"]) + 1, len(ids))
        first = rng.integers(0, sizes["length"] // 2, len(ids))
        ids[np.arange(shape[1]) < first[:, None]] = 0
    network, _ = build(sizes)
    return {"history": ids[:, :-1].copy(), "target": ids[:, 1:].copy(), **weights(network)}


def catalogue(sizes: dict[str, Any]) -> dict[str, np.ndarray]:
    """Vectors of people (B, D) and of items (M, D)."""
    rng = np.random.default_rng(3)
    return {
        "people": rng.normal(size=(sizes["batch"], sizes["width"])).astype(np.float32),
        "items": rng.normal(size=(sizes["items"], sizes["width"])).astype(np.float32),
    }


def logged(sizes: dict[str, Any]) -> dict[str, np.ndarray]:
    """A log of one slot, a policy and predicted rewards; every row is another person."""
    rng = np.random.default_rng(5)
    rows, contexts, actions = (sizes[name] for name in ("rows", "contexts", "actions"))
    context = rng.integers(contexts, size=rows)
    logging = rng.dirichlet(np.full(actions, 2.0), contexts)
    cut = logging.cumsum(axis=1)[context]
    action = np.minimum((rng.random((rows, 1)) > cut).sum(axis=1), actions - 1)
    truth = rng.uniform(0.1, 0.6, (contexts, actions))
    return {
        "context": context,
        "action": action,
        "reward": (rng.random(rows) < truth[context, action]).astype(float),
        "propensity": logging[context, action],
        "policy": rng.dirichlet(np.full(actions, 2.0), contexts),
        "predicted": np.clip(truth + rng.normal(0, 0.05, truth.shape), 0, 1),
    }


def purchases(sizes: dict[str, Any]) -> dict[str, np.ndarray]:
    """Purchases as pairs of person and item (from 0), drawn by tastes of low rank.

    Of each person's purchases the last two are held out.
    """
    rng = np.random.default_rng(9)
    people, items, each = (sizes[name] for name in ("people", "items", "each"))
    score = rng.normal(size=(people, 8)) @ rng.normal(size=(8, items)) + rng.gumbel(
        size=(people, items)
    )
    score = score + 2 * rng.normal(size=items)
    bought = np.argsort(-score, axis=1)[:, :each]
    bought = rng.permuted(bought, axis=1)
    person = np.repeat(np.arange(people), each - 2)
    stars = 1 + 4 / (1 + np.exp(-score / 3))
    item = bought[:, :-2].ravel()
    return {
        "person": person,
        "item": item,
        "rating": np.rint(stars[person, item]).clip(1, 5),
        "held_out": bought[:, -2:].copy(),
    }


def ranking(sizes: dict[str, Any]) -> dict[str, np.ndarray]:
    """Scores (B, N) without ties, and which candidates are relevant."""
    rng = np.random.default_rng(2)
    shape = sizes["people"], sizes["candidates"]
    relevant = rng.random(shape) < 5 / shape[1]
    relevant[:, 0] |= ~relevant.any(axis=1)
    return {"scores": rng.normal(size=shape).astype(np.float32), "relevant": relevant}
