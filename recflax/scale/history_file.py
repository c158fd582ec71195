"""From a prepared log to the one file that the training program reads in all its processes.

`recflax.data.pipeline.histories` leaves people and events in as many Parquet files as the engine
liked to write. Here they become one array on disk, (U, L + 1), whose rows
`recflax.scale.histories.open_histories` maps into memory when they are wanted.
"""

import os
from pathlib import Path

import numpy as np

from recflax.data.engines import batches, require


def save_histories(
    folder: str | os.PathLike[str], file: str | os.PathLike[str], *, length: int, n_items: int
) -> int:
    """Write the histories of everybody who has two events, block by block, as ``numpy.save`` would.

    Args:
        folder: where `recflax.data.engines.store` has put `recflax.data.pipeline.histories` of at
            least ``length + 1`` events.
        file: the ``.npy`` to write; it appears when it is whole.
        length: L, events that the network reads; the row holds one more, the last target.
        n_items: M; ids are checked.

    Returns:
        U, the number of rows. Someone with one event has nothing to be predicted, and is left out.

    Raises:
        ValueError: nobody has two events, ``length`` is below 1, or an id is above ``n_items``.
        FileNotFoundError: there is no Parquet file in ``folder``.

    Example:
        >>> import tempfile, ibis, pyarrow as pa
        >>> from recflax.data.engines import store
        >>> from recflax.data.logs import tiny_log
        >>> from recflax.data.pipeline import histories
        >>> table = pa.Table.from_pandas(tiny_log().events)
        >>> with tempfile.TemporaryDirectory() as home:
        ...     _ = store(histories(ibis.memtable(table), length=3), home + "/h")
        ...     save_histories(home + "/h", home + "/h.npy", length=2, n_items=3)
        ...     np.load(home + "/h.npy").tolist()
        2
        [[1, 2, 1], [0, 3, 2]]
    """
    if length < 1:
        raise ValueError(f"length must be at least 1; got {length}")
    dataset = require("pyarrow.dataset")
    rows = dataset.dataset(os.fspath(folder), format="parquet")
    count = rows.count_rows(filter=dataset.field("back") == 1)  # the event before the newest
    if not count:
        raise ValueError(f"nobody in {folder} has two events, one to read and one to predict")
    path = Path(file)
    part = path.with_name(path.name + ".part")
    try:
        array = np.lib.format.open_memmap(
            part, mode="w+", dtype=np.int32, shape=(count, length + 1)
        )
        first = 0
        for _, batch in batches(folder, length=length + 1, n_items=n_items):
            history = np.asarray(batch.history)
            history = history[history[:, -2] > 0]
            array[first : first + len(history)] = history
            first += len(history)
        array.flush()
        del array  # or it could not be renamed everywhere
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return count
