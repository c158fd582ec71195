"""Run by test_sharding.py on eight virtual devices: what came out, as one line of JSON."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recflax.data.batches import Batch, make_batch
from recflax.recommender import Recommender, RecommenderConfig
from recflax.scale.sharding import (
    CatalogueLoss,
    device_bytes,
    items_mesh,
    sent_numbers,
    shard_items,
    shard_network,
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


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "devices": items_mesh().size,
                "losses": {str(n_items): losses(n_items) for n_items in (3, 101)},
                "lists": lists(),
                "unmasked": unmasked(3),
                "sent": [sent(211), sent(1_000_003)],
            }
        )
    )
