"""One machine that passes for eight: is a sharded network the same network?

``python -m recflax.scale.virtual_devices`` compares on the devices there are, and prints what it
found as JSON. JAX can take one processor for several devices, but has to be told before it starts:
`on_virtual_devices` runs the script in a process of its own. Virtual devices show that the program
is right and what it would send; they share one processor, so nothing is faster.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recflax.data.batches import Batch, make_batch
from recflax.recommender import Recommender, RecommenderConfig
from recflax.scale.serving import catalogue_vectors, person_vectors
from recflax.scale.sharding import (
    RULES,
    CatalogueLoss,
    array_name,
    collective_numbers,
    device_bytes,
    items_mesh,
    sent_numbers,
    shard_items,
    shard_network,
)
from recflax.scale.top_k import sharded_top_k
from recflax.scoring import dot_scores, top_k

_ROOT = Path(__file__).resolve().parents[2]


def compare(
    n_items: int = 20_011, *, width: int = 32, length: int = 16, people: int = 16
) -> dict[str, Any]:
    """Do everything twice, on one device and on all of them, and say how far apart it is.

    Args:
        n_items: M.
        width: D.
        length: L.
        people: B, histories in the batch.

    Returns:
        ``devices`` and ``items``; ``bytes_whole`` and ``bytes_a_device`` of table and biases;
        ``sent`` and ``sent_twice_the_items``, see `sent_numbers`; ``loss`` and ``loss_apart``;
        ``gradient_apart``, the largest difference relative to the largest entry of the whole
        gradient, and ``table_gradient_apart``, that of the table relative to its own;
        ``padding_gradient``, the largest gradient of a row that was filled up; ``top_k_equal``
        and ``top_k_scores_apart``.
    """
    mesh = items_mesh()
    config = RecommenderConfig(
        n_items, width=width, max_length=length, query="newest", mask_future=True, initial_bias=0.0
    )
    graphdef, shapes = nnx.split(nnx.eval_shape(lambda: Recommender(config, rngs=nnx.Rngs(0))))
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda s: jnp.asarray(rng.standard_normal(s.shape, np.float32) / width**0.5), shapes
    )
    network = nnx.merge(graphdef, params)
    events = rng.integers(1, n_items + 1, (people, length + 1))
    batch = make_batch(events[:, :-1], n_items=n_items, target=events[:, 1:])

    whole, sharded = CatalogueLoss(graphdef, n_items), shard_network(network, mesh)
    loss, gradient = jax.jit(jax.value_and_grad(whole))(params, batch)
    program = jax.jit(jax.value_and_grad(sharded.loss)).lower(sharded.params, batch).compile()
    sharded_loss, sharded_gradient = program(sharded.params, batch)

    def sides(params: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        network = nnx.merge(graphdef, params)
        return person_vectors(network, batch), catalogue_vectors(network)

    vectors, items = jax.jit(sides)(params, batch)
    scores, ids = top_k(dot_scores(vectors, items), 10)
    found = sharded_top_k(vectors, shard_items(items, mesh), 10, mesh=mesh, n_items=n_items)
    return {
        "devices": mesh.size,
        "items": n_items,
        "bytes_whole": sum(device_bytes(params, RULES).values()),
        "bytes_a_device": sum(device_bytes(sharded.params, RULES).values()),
        "sent": collective_numbers(program.as_text() or ""),
        "sent_twice_the_items": sent_numbers(replace(config, n_items=2 * n_items), batch, mesh),
        "loss": float(loss),
        "loss_apart": abs(float(loss) - float(sharded_loss)),
        **_gradients_apart(gradient, sharded_gradient),
        "top_k_equal": bool((np.asarray(ids) == np.asarray(found[1])).all()),
        "top_k_scores_apart": float(np.abs(np.asarray(scores) - np.asarray(found[0])).max()),
    }


def on_virtual_devices(devices: int = 8, *arguments: str) -> dict[str, Any]:
    """Run this file as a script in a process in which the processor passes for several devices.

    Args:
        devices: how many.
        *arguments: of the script, such as ``"--items", "1009"``.

    Returns:
        What `compare` returns there, and ``stderr``, what the process wrote beside it.

    Raises:
        ValueError: ``devices`` is below 1.
        RuntimeError: the script failed; its own words are in the message.
    """
    if devices < 1:
        raise ValueError(f"devices must be at least 1; got {devices}")
    return run_on_virtual_devices(devices, "-m", "recflax.scale.virtual_devices", *arguments)


def run_on_virtual_devices(devices: int, *arguments: str) -> dict[str, Any]:
    """Run Python with these arguments on virtual devices; its last line is JSON.

    Raises:
        RuntimeError: it failed; its own words are in the message.
    """
    # compiled quickly rather than well: nothing is timed, and the answers are the same
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip(),
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the process on {devices} virtual devices failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1]) | {"stderr": done.stderr}


def _gradients_apart(one: Any, sharded: Any) -> dict[str, float]:
    """The three numbers of `compare` on gradients."""
    found: dict[str, list[float]] = {"apart": [], "largest": [], "padding": []}
    names = [array_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(one)]
    for here, there in zip(jax.tree.leaves(one), jax.tree.leaves(sharded), strict=True):
        here, there = np.asarray(here), np.array(there)
        inside = tuple(slice(size) for size in here.shape)
        found["apart"].append(float(np.abs(here - there[inside]).max()))
        found["largest"].append(float(np.abs(here).max()))
        there[inside] = 0
        found["padding"].append(float(np.abs(there).max()))
    table = names.index("item")
    return {
        "gradient_apart": max(found["apart"]) / max(found["largest"]),
        "table_gradient_apart": found["apart"][table] / found["largest"][table],
        "padding_gradient": max(found["padding"]),
    }


def main() -> None:
    """Print `compare` as one line of JSON."""
    parser = argparse.ArgumentParser(description="Compare a sharded network with a whole one.")
    parser.add_argument("--items", type=int, default=20_011)
    print(json.dumps(compare(parser.parse_args().items)))


if __name__ == "__main__":
    main()
