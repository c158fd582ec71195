r"""Training on the devices of all processes, in a folder from which it can go on.

Tables are cut by rows among the devices, and so are AdamW's two moments of them; a batch is cut
among the rows of the mesh (`recflax.scale.sharding.training_mesh`). The loss has not heard of
either. It is the mean over all targets of the global batch, so that it does not depend on how many
processes there are, but for the order in which numbers are added.

A checkpoint holds the arrays, each process writing its own parts, and where the reading stands.
A run that is taken up goes on with the first example that had not been counted then; steps after
the checkpoint are taken again, and their lines in the log are written anew. So every step stands in
the log once, and every example has counted once an epoch.

`recflax.scale.processes` is the program that starts it.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from recflax.checkpoints import RunFolder
from recflax.optimiser import TrainConfig, make_optimiser
from recflax.recommender import RecommenderConfig
from recflax.scale.histories import Histories, by_people, fingerprint, global_batch, read_share
from recflax.scale.sharding import CatalogueLoss, draw_network, training_mesh

LOG = "log.jsonl"
CHECKPOINTS = "checkpoints"
COMPILED_WITHIN_MS = 600_000


@dataclass(frozen=True)
class Job:
    """What to train, on what, and where it is kept: the same in every process.

    Attributes:
        folder: of the run; all processes read and write it.
        network: the network's shape.
        training: ``batch_size`` is that of the global batch; ``epochs`` and ``patience`` do not
            count here.
        histories: the table of examples; see `recflax.scale.histories`.
        steps: gradient steps in all.
        save_every: steps from one checkpoint to the next; the last step is saved in any case.
        keep: how many checkpoints.
        item_parts: into how many parts a table is cut; None is one a device.
        seed: of the initial weights and the order.
        log_examples: whether the log names the examples of each step.

    Raises:
        ValueError: a number is below 1.
    """

    folder: Path
    network: RecommenderConfig
    training: TrainConfig
    histories: Histories
    steps: int
    save_every: int = 100
    keep: int = 2
    item_parts: int | None = None
    seed: int = 0
    log_examples: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("steps", "save_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")

    @property
    def made_by(self) -> dict[str, Any]:
        """What a run must share with its checkpoint: all that changes a loss, but no processes."""
        return {
            "network": asdict(self.network),
            "training": asdict(self.training),
            "steps": self.steps,
            "seed": self.seed,
            "histories": fingerprint(self.histories),
        }


def train(job: Job, on_step: Callable[[int, float], None] | None = None) -> float:
    """Take the steps of a job that are not taken yet; every process calls it.

    Args:
        job: the same in all processes.
        on_step: called in every process after each step with its number, from 1, and its loss.

    Returns:
        The loss of the last step.

    Raises:
        ValueError: the devices do not divide the batch or into ``item_parts``, an id lies outside
            the catalogue, or the folder holds a run of another job.
        FloatingPointError: the loss is not finite; names the step.
        StepError: a step could not be taken together with the other processes.

    Example:
        >>> import tempfile
        >>> from recflax.scale.histories import MadeUpHistories
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     job = Job(
        ...         Path(folder),
        ...         RecommenderConfig(n_items=7, width=4, max_length=3, query="newest"),
        ...         TrainConfig(batch_size=5, warmup_steps=0, learning_rate=0.05),
        ...         MadeUpHistories(people=11, length=3, n_items=7),
        ...         steps=30,
        ...     )
        ...     loss = train(job)
        ...     len(read_log(folder)), loss < read_log(folder)[0]["loss"]
        (30, True)
    """
    mesh = training_mesh(job.item_parts)
    if job.training.batch_size % mesh.size:
        raise ValueError(
            f"batch_size must be a multiple of the {mesh.size} devices; "
            f"got {job.training.batch_size}"
        )
    sharded = draw_network(job.network, mesh, job.seed)
    optimiser = make_optimiser(job.training, job.steps)
    params, state = sharded.params, place_state(optimiser, sharded.params, mesh)
    process, processes = jax.process_index(), jax.process_count()
    reader = read_share(
        job.histories,
        batch_size=job.training.batch_size,
        seed=job.seed,
        process=process,
        processes=processes,
    )
    saved = RunFolder(job.folder / CHECKPOINTS, job.made_by, keep=job.keep)
    found, done, loss = saved.restore((params, state), refill=True), 0, float("nan")
    if found is not None:
        (params, state), numbers = found
        done, loss = numbers["step"], numbers["loss"]
        reader.set_state(numbers["reader"])
    step = make_step(sharded.loss, optimiser, mesh, params, state)
    program = None
    with _Log(job.folder / LOG, done) as log:
        for number in range(done + 1, job.steps + 1):
            share = global_batch(next(reader), mesh, job.network.n_items)
            with _together(number):
                if program is None:
                    program = step.lower(params, state, *share).compile()
                    _wait_for_each_other()
                params, state, value, examples = program(params, state, *share)
                loss = float(value)
            if not np.isfinite(loss):
                raise FloatingPointError(f"loss is {loss} in step {number}")
            line = {"step": number, "loss": loss}
            log.write(line | ({"examples": examples.tolist()} if job.log_examples else {}))
            if number % job.save_every == 0 or number == job.steps:
                log.keep()
                numbers = {"step": number, "loss": loss, "reader": reader.get_state()}
                with _together(number):
                    saved.save(number, (params, state), numbers)
            if on_step is not None:
                on_step(number, loss)
    reader.close()
    return loss


class StepError(RuntimeError):
    """A step that could not be taken together: most likely another process has died."""


@contextmanager
def _together(number: int) -> Iterator[None]:
    """Name the step in which something failed that all processes do together."""
    try:
        yield
    except Exception as error:
        raise StepError(f"step {number}: {error}") from error


def read_log(folder: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's log: step, loss, and examples where they were asked for.

    Args:
        folder: of the run.
    """
    return [json.loads(line) for line in (Path(folder) / LOG).read_text().splitlines()]


def last_saved(folder: str | Path) -> int:
    """The step of a run's last checkpoint that is whole, or 0.

    Args:
        folder: of the run.

    Example:
        >>> last_saved("no/such/folder")
        0
    """
    places = (Path(folder) / CHECKPOINTS).glob("*")
    return max((int(place.name) for place in places if place.name.isdecimal()), default=0)


def place_state(optimiser: optax.GradientTransformation, params: Any, mesh: Mesh) -> Any:
    """The optimiser's first state, each moment placed as its parameter is.

    Args:
        optimiser: for instance from `recflax.optimiser.make_optimiser`.
        params: placed on the mesh.
        mesh: from `recflax.scale.sharding.training_mesh`.
    """
    whole = NamedSharding(mesh, PartitionSpec())
    places = optax.tree_map_params(
        optimiser,
        lambda _, array: array.sharding,
        jax.eval_shape(optimiser.init, params),
        params,
        transform_non_params=lambda _: whole,
    )
    return jax.jit(optimiser.init, out_shardings=places)(params)


def make_step(
    loss_fn: CatalogueLoss,
    optimiser: optax.GradientTransformation,
    mesh: Mesh,
    params: Any,
    state: Any,
) -> Any:
    """One jitted gradient step, whose results lie where its arguments did.

    Args:
        loss_fn: of a network on the mesh.
        optimiser: the one whose state it is.
        mesh: from `recflax.scale.sharding.training_mesh`.
        params: placed on the mesh; their places are read, and nothing else.
        state: from `place_state`.

    Returns:
        ``step(params, state, examples, batch)``, the last two from
        `recflax.scale.histories.global_batch`, gives parameters, state, loss and examples; the
        first two of its arguments are used up.
    """

    def step(params: Any, state: Any, examples: jax.Array, batch: Any) -> tuple[Any, ...]:
        loss, gradients = jax.value_and_grad(loss_fn)(params, by_people(batch, mesh))
        updates, state = optimiser.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss, examples

    places = jax.tree.map(lambda array: array.sharding, (params, state))
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.jit(step, donate_argnums=(0, 1), out_shardings=(*places, whole, whole))


def _wait_for_each_other() -> None:
    """Let no process wait inside a step for one that still compiles."""
    ocp.multihost.get_barrier_sync_fn()(key="recflax_compiled", timeout_ms=COMPILED_WITHIN_MS)


class _Log:
    """The log of a run, one line a step, written by process 0 alone."""

    def __init__(self, path: Path, done: int) -> None:
        """Take away what was written after the step ``done``: it will be taken again."""
        self.file: TextIO | None = None
        if jax.process_index() == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = path.read_text().splitlines() if done else []
            lines = [line for line in lines if _step_of(line) <= done]
            fresh = path.with_suffix(".new")
            fresh.write_text("".join(f"{line}\n" for line in lines))
            os.replace(fresh, path)
            self.file = path.open("a")

    def __enter__(self) -> "_Log":
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()

    def write(self, line: dict[str, Any]) -> None:
        """Add a line."""
        if self.file is not None:
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()

    def keep(self) -> None:
        """Return when all lines are on disk."""
        if self.file is not None:
            os.fsync(self.file.fileno())


def _step_of(line: str) -> float:
    """The step of a line of a log; infinity for one that was cut off in the middle."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return float("inf")
