"""A run in a folder: arrays and a few numbers, written by orbax, found again by any process."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax.sharding import NamedSharding


class RunFolder:
    """A folder that holds the last states of one run.

    The arrays of a pytree are stored as the list of its leaves, so nothing of a model's classes
    goes to disk, and no pickle; who restores brings a tree of the same form.

    Args:
        folder: where; made if it is not there. A relative path is taken from the folder of the
            moment.
        config: what made the run, as a dictionary that JSON can hold; a run of another
            configuration is not taken up.
        keep: how many states to keep, the last ones.

    Several processes save and restore one run together (`recflax.scale.processes`): all of them
    call, in one folder that all can read and write, and each writes its own parts of the arrays.

    Example:
        >>> import tempfile
        >>> place = tempfile.TemporaryDirectory()
        >>> folder = RunFolder(place.name, {"epochs": 3})
        >>> folder.restore({"slope": jnp.zeros(2)}) is None
        True
        >>> folder.save(1, {"slope": jnp.ones(2)}, {"loss": [0.5]})
        >>> arrays, numbers = RunFolder(place.name, {"epochs": 3}).restore({"slope": jnp.zeros(2)})
        >>> arrays["slope"].tolist(), numbers
        ([1.0, 1.0], {'loss': [0.5]})
        >>> place.cleanup()
    """

    def __init__(self, folder: str | Path, config: dict[str, Any], keep: int = 2) -> None:
        """Remember where, and what made the run."""
        self.keep = keep
        self.folder = Path(folder).resolve()  # orbax takes absolute paths only
        self.config = json.loads(json.dumps(config))  # as JSON has it: tuples are lists

    def _manager(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(max_to_keep=self.keep)
        handlers = {
            "arrays": ocp.StandardCheckpointHandler(),
            "numbers": ocp.JsonCheckpointHandler(),
        }
        return ocp.CheckpointManager(self.folder, options=options, item_handlers=handlers)

    def save(self, step: int, arrays: Any, numbers: dict[str, Any]) -> None:
        """Write a state, and return when it is on disk.

        Args:
            step: a number that rises from state to state.
            arrays: a pytree of arrays.
            numbers: what JSON can hold.
        """
        leaves = jax.tree.leaves(arrays)
        record = {"config": self.config, "shapes": _shapes(leaves), "numbers": numbers}
        arguments = ocp.args.Composite(
            arrays=ocp.args.StandardSave(leaves), numbers=ocp.args.JsonSave(record)
        )
        with self._manager() as manager:
            manager.save(step, args=arguments)
            manager.wait_until_finished()

    def restore(self, like: Any, *, refill: bool = False) -> tuple[Any, dict[str, Any]] | None:
        """Read the last state.

        Args:
            like: a pytree of arrays with the shapes and types that are expected. Where they lie on
                a mesh of devices, what is read will lie likewise.
            refill: whether an array of another size is cut, or filled up with zeros, to the size
                that is expected: a table that other devices had filled up.

        Returns:
            The arrays in the form of ``like`` and the numbers, or None for an empty folder.

        Raises:
            ValueError: the folder holds a run of another configuration, or other shapes.
        """
        leaves, tree = jax.tree.flatten(like)
        with self._manager() as manager:
            latest = manager.latest_step()
            if latest is None:
                return None
            wanted = ocp.args.Composite(numbers=ocp.args.JsonRestore())
            record = manager.restore(latest, args=wanted)["numbers"]
            if record["config"] != self.config:
                raise ValueError(
                    f"{self.folder} holds a run of another configuration: {record['config']}, "
                    f"not {self.config}; name another folder"
                )
            shapes = record["shapes"], _shapes(leaves)
            if shapes[0] != shapes[1] and not (refill and _axes(shapes[0]) == _axes(shapes[1])):
                raise ValueError(
                    f"{self.folder} holds arrays of other shapes: {record['shapes']}, "
                    f"not {_shapes(leaves)}; name another folder"
                )
            places = [_place(leaf) for leaf in leaves]
            abstract = [
                jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)
                for leaf, place in zip(leaves, places, strict=True)
            ]
            wanted = ocp.args.Composite(
                arrays=ocp.args.StandardRestore(abstract, strict=not refill)
            )
            arrays = manager.restore(latest, args=wanted)["arrays"]
        arrays = [
            jnp.array(array) if place is None else array
            for array, place in zip(arrays, places, strict=True)
        ]
        return jax.tree.unflatten(tree, arrays), record["numbers"]


def _shapes(leaves: list[Any]) -> list[list[int]]:
    """The shapes of arrays, as JSON has them."""
    return [list(leaf.shape) for leaf in leaves]


def _axes(shapes: list[list[int]]) -> list[int]:
    """How many axes each array has."""
    return [len(shape) for shape in shapes]


def _place(leaf: Any) -> NamedSharding | None:
    """Where on a mesh an array lies, or None."""
    place = getattr(leaf, "sharding", None)
    return place if isinstance(place, NamedSharding) else None
