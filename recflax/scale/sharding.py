r"""The embedding table on several devices, and the same network, loss and list.

A table of M items of width D is cut by rows: each device holds M / S of them. Nothing in the
network changes. `RULES` says which axis of which array counts items, the arrays are placed
accordingly, and the compiler divides the work: each device scores its own rows, and what has to be
added up over devices (the looked-up vectors, the largest logit, the sum of the exponentials, the
target's logit) has the size of a batch, never that of a catalogue. `sent_numbers` counts it.

Devices hold equal parts, so a catalogue that S does not divide is filled up with rows of zeros.
Such a row takes no part in the softmax: it can never win, and its gradient is zero.

`recflax.scale.virtual_devices` compares sharded with whole, on one machine, and
`recflax.scale.processes` trains on the devices of several processes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from recflax.data.batches import Batch
from recflax.losses import next_item_cross_entropy
from recflax.recommender import Recommender, RecommenderConfig

AXIS = "items"
PEOPLE = "batch"
RULES = {"item": 0, "bias": 1}
"""The arrays of a `Recommender` that grow with the catalogue: name, and the axis of the items."""


def items_mesh(devices: int | None = None) -> Mesh:
    """The first devices in a row, along one axis named ``"items"``.

    Args:
        devices: how many; None takes all.

    Raises:
        ValueError: fewer than one, or more than there are.

    Example:
        >>> items_mesh(1).axis_names
        ('items',)
    """
    found = jax.devices()
    devices = len(found) if devices is None else devices
    if not 1 <= devices <= len(found):
        raise ValueError(f"devices must be from 1 to {len(found)}; got {devices}")
    return Mesh(np.array(found[:devices]), (AXIS,))


def training_mesh(item_parts: int | None = None) -> Mesh:
    """All devices of all processes in a rectangle: ``"batch"`` down, ``"items"`` across.

    A table is cut into ``item_parts``, and each of the rows of the rectangle has it once; a batch
    is cut among the rows. Neighbours across belong to one process as far as it has devices. With as
    many parts as devices nothing is held twice; with one part each device has the whole table.

    Args:
        item_parts: devices across; None takes all.

    Raises:
        ValueError: the devices do not fill such a rectangle.

    Example:
        >>> dict(training_mesh(1).shape)
        {'batch': 1, 'items': 1}
    """
    found = jax.devices()
    item_parts = len(found) if item_parts is None else item_parts
    if item_parts < 1 or len(found) % item_parts:
        raise ValueError(f"item_parts must divide the {len(found)} devices; got {item_parts}")
    return Mesh(np.array(found).reshape(-1, item_parts), (PEOPLE, AXIS))


def shard_items(array: jax.Array, mesh: Mesh, axis: int = 0) -> jax.Array:
    """Fill up the items' axis with zeros to a multiple of the devices, and cut it among them.

    Args:
        array: any shape; ``axis`` counts items.
        mesh: devices, with an axis ``"items"``.
        axis: which axis.

    Raises:
        ValueError: the array has no such axis.

    Example:
        >>> tuple(shard_items(jnp.ones((5, 2)), items_mesh(1)).sharding.spec)
        ('items',)
    """
    if not 0 <= axis < array.ndim:
        raise ValueError(f"axis must be from 0 to {array.ndim - 1}; got {axis}")
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, -array.shape[axis] % mesh.shape[AXIS])
    spec = PartitionSpec(*[None] * axis, AXIS)
    return jax.device_put(jnp.pad(array, widths), NamedSharding(mesh, spec))


class Sharded(NamedTuple):
    """A network whose arrays lie on several devices.

    Attributes:
        graphdef: the network without its numbers, its catalogue filled up.
        params: its numbers, placed by `RULES`; what is not named there, each device has whole.
        n_items: M, without what was filled up.
        mesh: the devices.
    """

    graphdef: nnx.GraphDef
    params: Any
    n_items: int
    mesh: Mesh

    @property
    def loss(self) -> "CatalogueLoss":
        """The loss of the parameters, as `recflax.training.fit` takes it."""
        return CatalogueLoss(self.graphdef, self.n_items)


def shard_network(network: Recommender, mesh: Mesh) -> Sharded:
    """Place a network on the devices of a mesh.

    Args:
        network: any `Recommender`.
        mesh: devices, with an axis ``"items"``.

    Example:
        >>> config = RecommenderConfig(n_items=7, width=4, query="newest")
        >>> sharded = shard_network(Recommender(config, rngs=nnx.Rngs(0)), items_mesh(1))
        >>> device_bytes(sharded.params, RULES)  # seven rows of four, seven biases
        {'item': 112, 'bias': 28}
    """

    def place(path: Any, array: jax.Array) -> jax.Array:
        axis = RULES.get(array_name(path))
        if axis is None:
            return jax.device_put(array, NamedSharding(mesh, PartitionSpec()))
        return shard_items(array, mesh, axis)

    graphdef, _ = _filled_up(network.config, mesh)
    params = jax.tree_util.tree_map_with_path(place, nnx.state(network))
    return Sharded(graphdef, params, network.config.n_items, mesh)


def draw_network(config: RecommenderConfig, mesh: Mesh, seed: int = 0) -> Sharded:
    """Draw a network where its arrays will lie: each device its own rows.

    The numbers do not depend on the mesh, nor on how many processes it spans.

    Args:
        config: the network's shape.
        mesh: devices, with an axis ``"items"``.
        seed: of the initial weights.

    Example:
        >>> config = RecommenderConfig(n_items=7, width=4, query="newest")
        >>> drawn = draw_network(config, training_mesh(1), seed=3)
        >>> plain = nnx.state(Recommender(config, rngs=nnx.Rngs(3)))
        >>> bool(jnp.allclose(drawn.params["item"][...], plain["item"][...]))
        True
    """
    graphdef, shapes = _filled_up(config, mesh)

    def draw() -> Any:
        drawn = nnx.state(Recommender(config, rngs=nnx.Rngs(seed)))
        return jax.tree.map(_fill_up, drawn, shapes)

    placed = jax.tree.map(lambda shape: shape.sharding, _placed(shapes, mesh))
    return Sharded(graphdef, jax.jit(draw, out_shardings=placed)(), config.n_items, mesh)


def _fill_up(array: jax.Array, like: Any) -> jax.Array:
    """The array with zeros after it, in the shape of another."""
    pairs = zip(array.shape, like.shape, strict=True)
    return jnp.pad(array, [(0, wanted - size) for size, wanted in pairs])


def _placed(shapes: Any, mesh: Mesh) -> Any:
    """The shapes of a network's filled-up arrays, each with its place by `RULES`."""

    def place(path: Any, shape: Any) -> jax.ShapeDtypeStruct:
        axis = RULES.get(array_name(path))
        spec = PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, AXIS)
        return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=NamedSharding(mesh, spec))

    return jax.tree_util.tree_map_with_path(place, shapes)


def _filled_up(config: RecommenderConfig, mesh: Mesh) -> tuple[nnx.GraphDef, Any]:
    """A network whose catalogue the devices divide, as its graph and the shapes of its arrays."""
    more = -config.n_items % mesh.shape[AXIS]
    categories = config.categories + (0,) * (more if config.categories else 0)
    larger = replace(config, n_items=config.n_items + more, categories=categories)
    return nnx.split(nnx.eval_shape(lambda: Recommender(larger, rngs=nnx.Rngs(0))))


def sent_numbers(config: RecommenderConfig, batch: Batch, mesh: Mesh) -> dict[str, int]:
    """What devices send in one loss with its gradient: `collective_numbers` of its program.

    The program is compiled and never run, and no table is made.

    Args:
        config: the network's shape.
        batch: histories with targets (B, L).
        mesh: devices, with an axis ``"items"``.
    """
    graphdef, shapes = _filled_up(config, mesh)
    loss = CatalogueLoss(graphdef, config.n_items)
    lowered = jax.jit(jax.value_and_grad(loss)).lower(_placed(shapes, mesh), batch)
    return collective_numbers(lowered.compile().as_text() or "")


@dataclass(frozen=True)
class CatalogueLoss:
    """Cross-entropy of the next item over the whole catalogue, at every place of a history.

    It knows nothing of devices. Rows after the catalogue get the logit minus infinity.

    Attributes:
        graphdef: the network without its numbers.
        n_items: M; the network may have more rows than that.
    """

    graphdef: nnx.GraphDef
    n_items: int

    def __call__(self, params: Any, batch: Batch, key: Any = None) -> jax.Array:
        """Return the mean over the places whose target (B, L) is not 0."""
        logits = nnx.merge(self.graphdef, params).next_item_logits(batch)  # (B, L, M')
        inside = jnp.arange(logits.shape[-1]) < self.n_items
        return next_item_cross_entropy(jnp.where(inside, logits, -jnp.inf), batch.target)


def device_bytes(params: Any, names: Iterable[str] | None = None) -> dict[str, int]:
    """Bytes that one device holds of each array; devices hold equal parts.

    Args:
        params: a tree of arrays that are placed.
        names: arrays to tell apart; None sums over all, under ``"all"``.

    Example:
        >>> device_bytes({"a": jnp.ones(3), "b": jnp.ones(2)})
        {'all': 20}
    """
    found: dict[str, int] = dict.fromkeys(["all"] if names is None else names, 0)
    for path, array in jax.tree_util.tree_leaves_with_path(params):
        name = "all" if names is None else array_name(path)
        if name in found:
            found[name] += array.addressable_shards[0].data.nbytes
    return found


def collective_numbers(program: str) -> dict[str, int]:
    """Numbers that each device sends in a compiled program, by the kind of exchange.

    Args:
        program: ``compiled.as_text()``.

    Example:
        >>> collective_numbers("%a = (f32[2,3]{1,0}, f32[5]{0}) all-reduce(%b, %c), channel_id=1")
        {'all-reduce': 11}
    """
    found: dict[str, int] = {}
    kinds = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute"
    for shapes, kind in re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", program):
        sizes = re.findall(r"\w+\[([\d,]*)\]", shapes)
        total = sum(int(np.prod([int(n) for n in size.split(",") if n])) for size in sizes)
        found[kind] = found.get(kind, 0) + total
    return found


def array_name(path: Any) -> str:
    """The name of an array in a tree of parameters, such as ``blocks.0.wide.kernel``.

    Args:
        path: from ``jax.tree_util``.
    """
    return jax.tree_util.keystr(path, simple=True, separator=".").removesuffix(".value")
