"""Run by test_sharding.py on eight virtual devices: what came out, as one line of JSON."""

import json
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recflax.data.batches import Batch, make_batch
from recflax.optimiser import TrainConfig, make_optimiser
from recflax.recommender import Recommender, RecommenderConfig
from recflax.scale.histories import MadeUpHistories, global_batch, read_share
from recflax.scale.sharded_training import make_step, place_state
from recflax.scale.sharding import (
    CatalogueLoss,
    collective_numbers,
    device_bytes,
    draw_network,
    items_mesh,
    sent_numbers,
    shard_items,
    shard_network,
    training_mesh,
)
from recflax.scale.top_k import sharded_top_k
from recflax.scoring import dot_scores, top_k


def network_and_batch(n_items: int) -> tuple[Recommender, Batch]:
    """Two categories and no padding in the catalogue; padding in the histories."""
    rng = np.random.default_rng(n_items)
    config = RecommenderConfig(
        n_items=n_items,
        categories=tuple(rng.integers(0, 2, n_items).tolist()),
        width=6,
        max_length=5,
        query="newest",
        mask_future=True,
    )
    network = jax.jit(lambda: nnx.state(Recommender(config, rngs=nnx.Rngs(3))))()
    graphdef = nnx.graphdef(nnx.eval_shape(lambda: Recommender(config, rngs=nnx.Rngs(3))))
    history = rng.integers(1, n_items + 1, (7, 5))
    history[:3, :2] = 0
    target = rng.integers(1, n_items + 1, (7, 5))
    target[:3, :2] = 0
    return nnx.merge(graphdef, network), make_batch(history, n_items=n_items, target=target)


def losses(n_items: int) -> dict:
    """Loss and gradient, whole, sharded, and with the mask of the padding taken away."""
    network, batch = network_and_batch(n_items)
    graphdef, params = nnx.split(network)
    mesh = items_mesh()
    sharded = shard_network(network, mesh)
    loss, gradient = jax.jit(jax.value_and_grad(CatalogueLoss(graphdef, n_items)))(params, batch)
    there, sharded_gradient = jax.jit(jax.value_and_grad(sharded.loss))(sharded.params, batch)
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(sharded_gradient), strict=True)
    apart, padding, shapes = [], [], []
    for one, other in pairs:
        inside = tuple(slice(size) for size in one.shape)
        rest = np.array(other)
        apart.append(float(np.abs(np.asarray(one) - rest[inside]).max()))
        rest[inside] = 0
        padding.append(float(np.abs(rest).max()))
        shapes.append(list(other.sharding.shard_shape(other.shape)))
    return {
        "loss": float(loss),
        "sharded": float(there),
        "largest": max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)),
        "apart": max(apart),
        "padding": max(padding),
        "shapes": shapes,
        "bytes": device_bytes(sharded.params, ("item", "bias")),
    }


def unmasked(n_items: int) -> float:
    """The loss with the mask of the padding taken away."""
    network, batch = network_and_batch(n_items)
    sharded = shard_network(network, items_mesh())
    broken = replace(sharded.loss, n_items=n_items + -n_items % 8)
    return float(jax.jit(broken)(sharded.params, batch))


def sent(n_items: int) -> dict[str, int]:
    """What a network of another catalogue would send, compiled and never run."""
    network, batch = network_and_batch(3)
    config = replace(network.config, n_items=n_items, categories=())
    return sent_numbers(config, batch, items_mesh())


def lists() -> list[dict]:
    """Lists of scores with many ties, from many sizes of catalogue."""
    mesh, rng, found = items_mesh(), np.random.default_rng(5), []
    for n_items, k in ((1, 1), (7, 7), (13, 11), (101, 5)):
        people = jnp.asarray(rng.integers(-2, 3, (5, 3)), jnp.float32)
        items = jnp.asarray(rng.integers(-2, 3, (n_items, 3)), jnp.float32)
        values, ids = top_k(dot_scores(people, items), k)
        placed = shard_items(items, mesh)
        there = sharded_top_k(people, placed, k, mesh=mesh, n_items=n_items)
        found.append(
            {
                "n_items": n_items,
                "whole": [values.tolist(), ids.tolist()],
                "sharded": [part.tolist() for part in there],
                "as_if_padding_counted": sharded_top_k(
                    people, placed, k, mesh=mesh, n_items=len(placed)
                )[1].tolist(),
            }
        )
    return found


def training(n_items: int, parts: int, run: bool = True) -> dict:
    """One step on a mesh in which a table has so many parts: what lies where, and what is sent."""
    config = RecommenderConfig(
        n_items, width=6, blocks=0, max_length=5, query="newest", mask_future=True
    )
    mesh = training_mesh(parts)
    drawn = draw_network(config, mesh, seed=3)
    optimiser = make_optimiser(TrainConfig(warmup_steps=0, learning_rate=0.1), 2)
    state = place_state(optimiser, drawn.params, mesh)
    share = next(read_share(MadeUpHistories(31, 5, n_items), batch_size=16, seed=0))
    examples, batch = global_batch(share, mesh, n_items)
    step = make_step(drawn.loss, optimiser, mesh, drawn.params, state)
    program = step.lower(drawn.params, state, examples, batch).compile()
    found = {
        "mesh": dict(mesh.shape),
        "rows": [list(part.data.shape) for part in batch.history.addressable_shards],
        "bytes": device_bytes(drawn.params, ("item", "bias")),
        "moments": device_bytes(state, ("0.mu.item", "0.nu.item")),
        "sent": sum(collective_numbers(program.as_text() or "").values()),
    }
    if not run:
        return found
    before = np.asarray(drawn.params["item"][...])
    params, state, loss, seen = program(drawn.params, state, examples, batch)
    after = np.asarray(params["item"][...])
    plain, expected = on_one_device(config, optimiser, jax.tree.map(np.asarray, batch))
    return found | {
        "drawn_apart": float(np.abs(before[:n_items] - plain).max()),
        "moved": float(np.abs(after[:n_items] - before[:n_items]).max()),
        "stepped_apart": float(np.abs(after[:n_items] - expected).max()),
        "filled_up": [len(after) - n_items, float(np.abs(after[n_items:]).sum())],
        "loss": float(loss),
        "seen": sorted(seen.tolist()) == sorted(share["example"].tolist()),
        "bytes_after": device_bytes(params, ("item", "bias")),
    }


def on_one_device(config: RecommenderConfig, optimiser: Any, batch: Batch) -> list[np.ndarray]:
    """The table before and after a step, as a network on one device has it."""

    @jax.jit
    def step() -> list[jax.Array]:
        graphdef, plain = nnx.split(Recommender(config, rngs=nnx.Rngs(3)))
        gradient = jax.grad(CatalogueLoss(graphdef, config.n_items))(plain, batch)
        updates, _ = optimiser.update(gradient, optimiser.init(plain), plain)
        return [plain["item"][...], plain["item"][...] + updates["item"][...]]

    return [np.asarray(table) for table in step()]


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "devices": items_mesh().size,
                "losses": {str(n_items): losses(n_items) for n_items in (3, 101)},
                "lists": lists(),
                "unmasked": unmasked(3),
                "training": [training(101, 8), training(101, 2)],
                "training_larger": [training(1009, 8, run=False), training(1009, 2, run=False)],
                "sent": [sent(211), sent(1_000_003)],
            }
        )
    )
