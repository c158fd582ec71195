"""What ranks the events of a history: two networks that learn alike, their explainers, two rules.

`recflax.lessons.explanations` holds them against each other and against the truth.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recflax.data.batches import make_batch
from recflax.explain import attention_importance, gradient_times_input, leave_one_out
from recflax.fitted import NetworkLoss, cell_loss
from recflax.lessons.cells import ARMS, histories, network_config, probabilities
from recflax.lessons.trainings import clipped_cells
from recflax.optimiser import TrainConfig
from recflax.recommender import Recommender
from recflax.training import fit
from recflax.worlds.store import Store
from recflax.worlds.store_blocks import some_people

NETWORK = {
    "attention": "attention weight",
    "rollout": "attention rollout",
    "leave_one_out": "leave-one-out",
    "gradient": "gradient × input",
    "gradient_mean": "… from the mean event",
}
"""Explainers that look into a network: key and label."""
EXPLAINERS = NETWORK | {
    "newest": "rule: newest",
    "purchases": "rule: purchases, newest",
}
"""All explainers, the two rules without a network included."""
UNIFORM = {"flat_cross": ("cross",), "flat_both": ("cross", "self")}
"""Networks that may not choose where to look: key and the layers that stay uniform."""


def fitted(store: Store, seed: int, number: int, uniform: Sequence[str] = ()) -> Recommender:
    """One of two networks of one log: same cells, first weights and batches of its own.

    Where queries and keys are all zero every event gets the same weight, and the gradient of both
    is zero: such a layer stays uniform while all else learns (the first test of Wiegreffe
    and Pinter 2019).

    Args:
        store: whose log is learned, by inverse propensity, clipped.
        seed: of the lesson.
        number: 0 or 1.
        uniform: which attention is to stay uniform, of ``"cross"`` and ``"self"``.
    """
    start_key, fit_key = jax.random.split(jax.random.split(jax.random.key(seed))[number])
    network = Recommender(network_config(store, arms=ARMS), rngs=nnx.Rngs(params=start_key))
    layers: dict[str, Any] = {"cross": network.cross, "self": network.blocks[0].attention}
    for name in uniform:
        for layer in (layers[name].query, layers[name].key):
            layer.kernel[...] = jnp.zeros_like(layer.kernel[...])
    graphdef, params = nnx.split(network)
    target, weight = clipped_cells(store.log())
    data = histories(store)._replace(target=target, weight=weight)
    result = fit(params, NetworkLoss(graphdef, cell_loss), data, TrainConfig(), key=fit_key)
    return nnx.merge(graphdef, result.params)


def quality(network: Recommender, store: Store, name: str) -> dict[str, float]:
    """How often what a network shows is bought, and how far its chances are from do(1)."""
    chance = probabilities(network, store, "shown")
    return {
        f"{name}_slot": store.policy_value(store.greedy(chance)).slot_rate,
        f"{name}_rmse": float(np.sqrt(np.square(chance - store.do(1)).mean())),
    }


def effect(store: Store, people: Any, items: Any) -> np.ndarray:
    """(n, L) what removing each event does to do(1) of one item a person, taste held."""
    part = some_people(store, people)
    return part.history_effect()[np.arange(len(part.history)), :, np.asarray(items) - 1]


def attributions(
    network: Recommender, store: Store, people: Any, items: Any
) -> dict[str, np.ndarray]:
    """What a network's explainers of `NETWORK` say of one item a person, each (n, L).

    Args:
        network: fitted; the arm "shown" is explained, on the scale of chances.
        store: whose histories it read.
        people: (n,) person ids.
        items: (n,) the item of each, 1 to M.
    """
    history, bought = store.history[people], store.bought[people]
    candidates = np.asarray(items)[:, None]
    batch = make_batch(history, bought, n_items=store.config.n_items, candidates=candidates)
    mean_event = np.asarray(network.intermediates(batch)["events"])[batch.mask].mean(axis=0)
    found = {
        "attention": attention_importance(network, batch),
        "rollout": attention_importance(network, batch, "rollout"),
        "leave_one_out": leave_one_out(network, batch, "shown"),
        "gradient": gradient_times_input(network, batch, "shown"),
        "gradient_mean": gradient_times_input(network, batch, "shown", baseline=mean_event),
    }
    return {name: each[:, 0] for name, each in found.items()}


def rules(store: Store, people: Any) -> dict[str, np.ndarray]:
    """What needs no network, (n, L): the newer the event the higher; the same, purchases first."""
    history, bought = store.history[people], store.bought[people]
    length = history.shape[1]
    newest = np.arange(1.0, length + 1) * (history > 0)
    return {"newest": newest, "purchases": newest + length * bought}
