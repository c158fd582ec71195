"""Training histories for several processes: each reads its share, and all know where they stand.

The order of the examples is a function of a seed, and the same for any number of processes: global
batch n is the same set of histories whether one process reads it or eight do. Of P processes,
number p reads every P-th example from the p-th on. Where the reading stands is then one number,
the same in all of them, and a checkpoint keeps it.

Reading is done by grain (``pip install "recflax[scale]"``), in threads of its own. Rows of a
memory-mapped file are read when they are wanted; no process reads those of another.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from recflax.data.batches import Batch, make_batch
from recflax.scale.sharding import PEOPLE

if TYPE_CHECKING:
    import grain


class Histories(Protocol):
    """Rows of item ids, oldest to newest, with 0 as padding on the left."""

    def __len__(self) -> int:
        """The number of rows, U."""
        ...

    def __getitem__(self, row: int) -> np.ndarray:
        """Return one row, (L + 1,) integers: L events, each followed by its target."""
        ...


@dataclass(frozen=True)
class MadeUpHistories:
    """Histories to try a machine with, as many as wanted and none stored.

    A row is a function of its number: a walk over the catalogue from a random item, in steps of 1
    or 2, so that there is something to learn. A row can be shorter than L + 1.

    Attributes:
        people: U.
        length: L.
        n_items: M.
        seed: another seed gives other rows.

    Raises:
        ValueError: a number is below 1.

    Example:
        >>> MadeUpHistories(people=3, length=4, n_items=7)[1].tolist()
        [6, 1, 3, 4, 6]
    """

    people: int
    length: int
    n_items: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("people", "length", "n_items"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")

    def __len__(self) -> int:
        """The number of rows, U."""
        return self.people

    def __getitem__(self, row: int) -> np.ndarray:
        """Return one row, (L + 1,)."""
        rng = np.random.default_rng((self.seed, int(row)))
        walk = rng.integers(0, self.n_items) + np.cumsum(rng.integers(1, 3, self.length + 1))
        events = walk % self.n_items + 1
        events[: rng.integers(0, self.length)] = 0
        return events.astype(np.int32)


def open_histories(file: str | Path) -> np.ndarray:
    """Open a table of histories (U, L + 1) without reading it.

    Args:
        file: as ``numpy.save`` writes it: item ids 1 to M, 0 as padding on the left, for instance
            ``recflax.data.batches.history_batch(events, people, length=L + 1, n_items=M).history``.

    Raises:
        ValueError: there is no such file, or it holds something else.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/histories.npy", [[0, 3, 5], [1, 1, 2]])
        ...     open_histories(f"{folder}/histories.npy").shape
        (2, 3)
    """
    if not Path(file).is_file():
        raise ValueError(f"histories must be a file that numpy.save wrote; there is no {file}")
    rows = np.load(file, mmap_mode="r", allow_pickle=False)
    if rows.ndim != 2 or rows.dtype.kind not in "iu" or len(rows) == 0 or rows.shape[1] < 2:
        raise ValueError(
            f"histories must be integers of shape (U, L + 1), L at least 1; {file} holds "
            f"{rows.dtype} of shape {rows.shape}"
        )
    return rows


def fingerprint(histories: Histories, rows: int = 101) -> str:
    """A digest of the number of histories and of some rows, by which a run knows its data again.

    Args:
        histories: the table.
        rows: how many to look at, spread over all of it.

    Example:
        >>> one, other = (MadeUpHistories(5, 4, 7, seed) for seed in (0, 1))
        >>> fingerprint(one) == fingerprint(one), fingerprint(one) == fingerprint(other)
        (True, False)
    """
    found = hashlib.sha256(str(len(histories)).encode())
    for row in np.unique(np.linspace(0, len(histories) - 1, rows).astype(int)):
        found.update(np.asarray(histories[int(row)], np.int64).tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class _Numbered:
    """Histories with their numbers, as grain takes a source."""

    histories: Histories

    def __len__(self) -> int:
        return len(self.histories)

    def __getitem__(self, row: Any) -> dict[str, Any]:
        return {"example": np.int32(row), "events": np.asarray(self.histories[row], np.int32)}


def read_share(
    histories: Histories, *, batch_size: int, seed: int, process: int = 0, processes: int = 1
) -> "grain.DatasetIterator":
    """This process's part of one global batch after another, shuffled anew in every epoch.

    An epoch need not be a whole number of batches: the batch at its end takes the first examples
    of the next one, so that none is left out and none comes twice.

    Args:
        histories: the table.
        batch_size: B, examples in a global batch.
        seed: of the order.
        process: which share, from 0.
        processes: how many shares.

    Returns:
        An endless iterator over ``{"example": (b,), "events": (b, L + 1)}``, b = B / processes;
        its ``get_state()`` is what JSON can hold, and the same in all processes.

    Raises:
        ImportError: grain is not installed.
        ValueError: there is no such share, or shares would not be equal.

    Source: https://google-grain.readthedocs.io

    Example:
        >>> histories = MadeUpHistories(people=5, length=4, n_items=7)
        >>> shares = [read_share(histories, batch_size=2, seed=0, process=p, processes=2)
        ...           for p in (0, 1)]
        >>> seen = [int(next(share)["example"][0]) for _ in range(5) for share in shares]
        >>> sorted(seen[:5]), sorted(seen[5:])
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
        >>> [share.get_state() for share in shares]
        [{'next_index': 5}, {'next_index': 5}]
    """
    if not 0 <= process < processes:
        raise ValueError(f"process must be from 0 to {processes - 1}; got {process}")
    if batch_size < 1 or batch_size % processes:
        raise ValueError(
            f"batch_size must be a multiple of the {processes} processes; got {batch_size}"
        )
    try:
        import grain
    except ImportError as error:
        raise ImportError('grain reads the histories: pip install "recflax[scale]"') from error
    order = grain.MapDataset.source(_Numbered(histories)).shuffle(seed=seed).repeat()
    share = order[process::processes].batch(batch_size // processes)
    return iter(share.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))


def global_batch(share: dict[str, np.ndarray], mesh: Mesh, n_items: int) -> tuple[Any, Batch]:
    """Put the shares of all processes together, without sending them anywhere.

    Args:
        share: what `read_share` gave to this process.
        mesh: from `recflax.scale.sharding.training_mesh`.
        n_items: M; ids are checked.

    Returns:
        The examples' numbers (B,) and the batch, targets (B, L) in it; every device holds an equal
        part of the rows.

    Raises:
        ValueError: an id outside the catalogue, or the devices do not divide the rows.

    Example:
        >>> from recflax.scale.sharding import training_mesh
        >>> share = {"example": np.array([3]), "events": np.array([[0, 4, 2, 7]])}
        >>> ids, batch = global_batch(share, training_mesh(1), n_items=7)
        >>> ids.tolist(), batch.history.tolist(), batch.target.tolist()
        ([3], [[0, 4, 2]], [[0, 2, 7]])
    """
    devices = len(mesh.local_devices)
    if len(share["example"]) % devices:
        raise ValueError(
            f"batch_size must be a multiple of the {mesh.size} devices; got "
            f"{len(share['example']) * mesh.size // devices}"
        )
    history = share["events"][:, :-1]
    target = np.where(history > 0, share["events"][:, 1:], 0)
    batch = make_batch(history, n_items=n_items, target=target)
    rows = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    return jax.tree.map(
        lambda part: jax.make_array_from_process_local_data(rows, np.asarray(part)),
        (share["example"], batch),
    )


def by_people(batch: Batch, mesh: Mesh) -> Batch:
    """Inside ``jax.jit``: cut a batch among the rows of the mesh, and give it whole to each row.

    Args:
        batch: from `global_batch`.
        mesh: the same.
    """
    rows = NamedSharding(mesh, PartitionSpec(PEOPLE))
    return jax.tree.map(lambda part: jax.lax.with_sharding_constraint(part, rows), batch)
