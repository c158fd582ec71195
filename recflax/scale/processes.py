"""One training program on several processes: start the same command once in each of them.

Two processes on one machine, in two terminals::

    python -m recflax.scale.processes --folder run --coordinator localhost:9911 \\
        --processes 2 --process 0
    python -m recflax.scale.processes --folder run --coordinator localhost:9911 \\
        --processes 2 --process 1

The coordinator is process 0, at an address and port that the others can reach. Under SLURM or Open
MPI, JAX finds these three by itself: ``srun python -m recflax.scale.processes --cluster slurm
--folder run``; ``jobs/slurm.sh`` and ``jobs/kubernetes.yaml`` are job files. Without any of them
it is one process.

If a process dies, the others end by themselves: at once where its connections break, and after
``--lost-after`` seconds where it falls silent. The message says from which step the run will go on
when the same command is started again everywhere, on as many processes as then are there.
Processes on processors talk through gloo, on GPUs through NCCL. Losses are in ``log.jsonl`` of the
folder; only process 0 prints, and gloo once in each.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from recflax.optimiser import TrainConfig
from recflax.recommender import RecommenderConfig
from recflax.scale.histories import Histories, MadeUpHistories, open_histories
from recflax.scale.sharded_training import Job, StepError, last_saved, train

CLUSTERS = ("slurm", "ompi", "k8s")


def make_parser() -> argparse.ArgumentParser:
    """The arguments of the program, and what each is.

    Example:
        >>> make_parser().parse_args(["--folder", "run"]).processes is None
        True
    """
    parser = argparse.ArgumentParser(
        prog="python -m recflax.scale.processes",
        description="Train one network on the devices of several processes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    where = parser.add_argument_group("processes")
    where.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 listens")
    where.add_argument("--processes", type=int, help="how many")
    where.add_argument("--process", type=int, help="which one this is, from 0")
    where.add_argument("--cluster", choices=CLUSTERS, help="let JAX find the three above")
    where.add_argument("--wait", type=int, default=300, help="seconds for all to arrive")
    where.add_argument("--lost-after", type=int, default=60, help="seconds of silence")
    where.add_argument("--item-parts", type=int, help="parts of a table; default: all devices")
    run = parser.add_argument_group("run")
    run.add_argument("--folder", type=Path, required=True, help="shared by all processes")
    run.add_argument("--steps", type=int, default=1000, help="in all")
    run.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    run.add_argument("--keep", type=int, default=2, help="how many checkpoints")
    run.add_argument("--log-examples", action="store_true", help="examples of a step in the log")
    run.add_argument("--seed", type=int, default=0, help="of weights and order")
    data = parser.add_argument_group("histories")
    data.add_argument("--histories", type=Path, help="a .npy file (U, L + 1); default: made up")
    data.add_argument("--people", type=int, default=10_000, help="of the made-up histories")
    data.add_argument("--length", type=int, default=16, help="of the made-up histories")
    data.add_argument("--items", type=int, default=10_000, help="of the catalogue")
    network = parser.add_argument_group("network and optimiser")
    network.add_argument("--width", type=int, default=64, help="of a vector")
    network.add_argument("--heads", type=int, default=2, help="of attention")
    network.add_argument("--blocks", type=int, default=1, help="of attention and feed-forward")
    network.add_argument("--batch", type=int, default=256, help="examples a step, all together")
    network.add_argument("--learning-rate", type=float, default=4e-3, help="of AdamW")
    return parser


def make_job(arguments: argparse.Namespace) -> Job:
    """The job that the arguments describe.

    Args:
        arguments: of `make_parser`.

    Raises:
        ValueError: an argument is out of range, or the file of histories is none.

    Example:
        >>> job = make_job(make_parser().parse_args(["--folder", "run", "--items", "101"]))
        >>> job.network.n_items, len(job.histories)
        (101, 10000)
    """
    histories: Histories
    if arguments.histories is None:
        histories = MadeUpHistories(arguments.people, arguments.length, arguments.items)
        length = arguments.length
    else:
        histories = open_histories(arguments.histories)
        length = histories.shape[1] - 1
    network = RecommenderConfig(
        n_items=arguments.items,
        width=arguments.width,
        heads=arguments.heads,
        blocks=arguments.blocks,
        max_length=length,
        query="newest",
        mask_future=True,
        initial_bias=0.0,
    )
    training = TrainConfig(
        epochs=1, batch_size=arguments.batch, learning_rate=arguments.learning_rate
    )
    return Job(
        folder=arguments.folder,
        network=network,
        training=training,
        histories=histories,
        steps=arguments.steps,
        save_every=arguments.save_every,
        keep=arguments.keep,
        item_parts=arguments.item_parts,
        seed=arguments.seed,
        log_examples=arguments.log_examples,
    )


def check_processes(
    coordinator: str | None, processes: int | None, process: int | None, cluster: str | None = None
) -> int:
    """Return how many processes are asked for, 0 where a cluster says it, or raise.

    Args:
        coordinator: ``"host:port"``, where process 0 listens.
        processes: how many; None is one.
        process: which one this is.
        cluster: let JAX find the three.

    Raises:
        ValueError: they contradict each other, or one is missing.

    Example:
        >>> check_processes("localhost:9911", processes=2, process=2)
        Traceback (most recent call last):
        ...
        ValueError: process must be from 0 to 1, one number for each of the 2 processes; got 2
    """
    given = {"coordinator": coordinator, "processes": processes, "process": process}
    if cluster is not None:
        named = [name for name, value in given.items() if value is not None]
        if named:
            raise ValueError(f"cluster {cluster} finds {', '.join(named)}; leave it out")
        return 0
    count = 1 if processes is None else processes
    if count < 1:
        raise ValueError(f"processes must be at least 1; got {count}")
    if process is None and count > 1:
        raise ValueError(f"process must say which of the {count} processes this is; got none")
    if process is not None and not 0 <= process < count:
        raise ValueError(
            f"process must be from 0 to {count - 1}, one number for each of the {count} "
            f"processes; got {process}"
        )
    if count > 1:
        host, _, port = (coordinator or "").rpartition(":")
        if not (host and port.isdecimal() and 0 < int(port) < 65536):
            raise ValueError(f"coordinator must be host:port, of process 0; got {coordinator!r}")
    return count


def connect(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    cluster: str | None = None,
    wait: int = 300,
    lost_after: int = 60,
) -> None:
    """Join the other processes; call it before anything asks JAX for a device.

    One process joins nobody. A process that never arrives, and later one that dies, ends the
    others: JAX sees to that, with a message of its own.

    Args:
        coordinator: ``"host:port"``, where process 0 listens.
        processes: how many.
        process: which one this is.
        cluster: ``"slurm"``, ``"ompi"`` or ``"k8s"``: let JAX find the three.
        wait: seconds in which all have to arrive.
        lost_after: seconds without a sign of life after which a process counts as dead.

    Raises:
        ValueError: the arguments contradict each other, or one is missing.

    Source: https://docs.jax.dev/en/latest/multi_process.html

    Example:
        >>> connect()
        >>> jax.process_count()
        1
    """
    for name, seconds in (("wait", wait), ("lost_after", lost_after)):
        if seconds < 1:
            raise ValueError(f"{name} must be at least 1 second; got {seconds}")
    if check_processes(coordinator, processes, process, cluster) == 1:
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        coordinator_address=coordinator,
        num_processes=processes,
        process_id=process,
        # without a cluster nothing is guessed from the environment
        cluster_detection_method="deactivate" if cluster is None else cluster,
        initialization_timeout=wait,
        heartbeat_timeout_seconds=lost_after,
    )


def main(
    arguments: Sequence[str] | None = None, on_step: Callable[[int, float], None] | None = None
) -> None:
    """Run the program.

    Args:
        arguments: of `make_parser`; None takes those of the command line.
        on_step: see `recflax.scale.sharded_training.train`; None prints the steps that are saved.
    """
    parser = make_parser()
    given = parser.parse_args(arguments)
    try:
        job = make_job(given)
        where = given.coordinator, given.processes, given.process
        count = check_processes(*where, given.cluster)
        if count and given.batch % count:
            raise ValueError(
                f"batch must be a multiple of the {count} processes; got {given.batch}"
            )
        if count != 1:
            _say(given.process, f"waits for all processes, up to {given.wait} s")
        connect(*where, cluster=given.cluster, wait=given.wait, lost_after=given.lost_after)
    except ValueError as error:
        parser.error(str(error))
    try:
        if jax.process_index() == 0:
            found = f"{jax.process_count()} processes, {jax.device_count()} devices"
            print(f"{found}; steps {last_saved(job.folder) + 1} to {job.steps}", flush=True)
        loss = train(job, on_step or _print_saved(job))
    except Exception as error:
        _say(jax.process_index(), _what_now(job, error))
        # not sys.exit: at its end JAX would wait for processes that may be dead
        sys.stdout.flush()
        os._exit(1)
    if jax.process_index() == 0:
        print(f"all {job.steps} steps are taken; loss {loss:.4f}", flush=True)
    if jax.process_count() > 1:
        jax.distributed.shutdown()


def _print_saved(job: Job) -> Callable[[int, float], None]:
    """Process 0 prints a line for each checkpoint."""

    def on_step(step: int, loss: float) -> None:
        if jax.process_index() == 0 and (step % job.save_every == 0 or step == job.steps):
            print(f"step {step:6d}  loss {loss:.4f}  saved", flush=True)

    return on_step


def _what_now(job: Job, error: Exception) -> str:
    """What happened, and what to do."""
    if not isinstance(error, StepError):
        return f"{type(error).__name__}: {error}"
    return (
        f"{error}\nMost likely another process has died. Start the same command again in all "
        f"processes: the run will go on after step {last_saved(job.folder)}, its last checkpoint."
    )


def _say(process: int | None, message: str) -> None:
    """Write to standard error, with the number of the process where it is known."""
    who = "" if process is None else f", process {process}"
    print(f"recflax{who}: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
