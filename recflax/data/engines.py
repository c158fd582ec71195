"""Where the expressions of `recflax.data.pipeline` run, and how tables come in and arrays go out.

Tables are folders of Parquet files, which every engine reads and writes. Nothing here holds a whole
table: frames are written one after another, and arrays come back in blocks.
"""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recflax.data.batches import Batch, make_batch
from recflax.data.cleaning import LINES, check_lines

if TYPE_CHECKING:
    from ibis.backends import BaseBackend
    from ibis.expr.types import Table

INSTALL = {
    "ibis": "recflax[pipeline]",
    "duckdb": "recflax[pipeline]",
    "pyarrow": "recflax[pipeline]",
    "pyspark": "ibis-framework[pyspark]",
}
KINDS = {
    "text": lambda type_: type_.is_string(),
    "integers": lambda type_: type_.is_integer(),
    "numbers": lambda type_: type_.is_integer() or type_.is_floating(),
    "booleans": lambda type_: type_.is_boolean(),
    "times": lambda type_: type_.is_timestamp() and type_.timezone is None,
    "times or integers": lambda type_: type_.is_timestamp() or type_.is_integer(),
}


def require(name: str) -> Any:
    """Import a package that only this part of the library needs.

    Raises:
        ModuleNotFoundError: It is not installed; the message says what to install.

    Example:
        >>> require("pyarrow").__name__
        'pyarrow'
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModuleNotFoundError(
            f'the pipeline needs {name}: pip install "{INSTALL[name]}"', name=name
        ) from error


def connect(
    address: str = "duckdb://",
    *,
    memory: str | None = None,
    spill: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    options: Mapping[str, str] | None = None,
) -> BaseBackend:
    """Start an engine, or join one, by its address.

    Args:
        address: "duckdb://" is DuckDB in memory, "duckdb://" and a path is DuckDB in that file.
            "spark" is Spark in this process, "spark://host:port" a Spark cluster.
        memory: What the engine may use, such as "2GB"; beyond it, it writes to ``spill``. DuckDB's
            own choice is 80% of the machine. The process needs a little more than that.
        spill: A folder for what does not fit; None is one in the system's temporary folder.
        threads: How many; None is one a core. DuckDB needs memory for each.
        options: Further settings, by the engine's own names for them.

    Returns:
        An Ibis backend. In one process there is one Spark: what it was started with stays.

    Raises:
        ValueError: Another address, or fewer than 1 thread.
        ModuleNotFoundError: A package is not installed; the message says what to install.
        RuntimeError: Spark is wanted and there is no Java.

    Example:
        >>> connect("duckdb://", memory="1GB").name
        'duckdb'
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1; got {threads}")
    folder = Path(spill) if spill else Path(tempfile.gettempdir()) / "recflax_spill"
    if address.startswith("duckdb://"):
        require("duckdb")
        config = {
            "memory_limit": memory,
            "threads": threads,
            "temp_directory": str(folder),
            "preserve_insertion_order": False,  # no table here has an order not asked for
            **(options or {}),
        }
        connection = require("ibis").duckdb.connect(
            address.removeprefix("duckdb://") or ":memory:",
            **{name: value for name, value in config.items() if value is not None},
        )
        # in a notebook without widgets DuckDB has no bar, and refuses every word about it
        if connection.raw_sql("select current_setting('enable_progress_bar')").fetchall()[0][0]:
            connection.raw_sql("set enable_progress_bar = false")
        return connection
    if address == "spark" or address.startswith("spark://"):
        require("pyspark")
        if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
            raise RuntimeError("Spark needs Java: no java is on the PATH, and JAVA_HOME is not set")
        folder.mkdir(parents=True, exist_ok=True)
        config = {"spark.local.dir": str(folder), "spark.ui.enabled": "false"}
        if memory:
            config["spark.driver.memory"] = memory.removesuffix("B").lower()
        session = require("pyspark.sql").SparkSession.builder.appName("recflax")
        session = session.master(f"local[{threads or '*'}]" if address == "spark" else address)
        session = session.config(map={**config, **(options or {})})
        return require("ibis").pyspark.connect(session.getOrCreate())
    raise ValueError(f"address must be 'duckdb://...', 'spark' or 'spark://...'; got {address!r}")


def check_table(table: Table, kinds: Mapping[str, str], what: str) -> None:
    """Raise unless a table has these columns, each of its kind.

    Raises:
        ValueError: Columns are missing; they are named, with those that may stand for them.
        TypeError: It is no Ibis table, or a column has another type.

    Example:
        >>> import ibis
        >>> check_table(ibis.table({"item": "string"}), {"item": "integers"}, "events")
        Traceback (most recent call last):
        ...
        TypeError: events.item must hold integers, not string
    """
    if not isinstance(table, require("ibis").Table):
        raise TypeError(
            f"{what} must be an Ibis table, not {type(table).__name__}; read() makes one"
        )
    missing = [name for name in kinds if name not in table.columns]
    if missing:
        unknown = [name for name in table.columns if name not in kinds]
        raise ValueError(
            f"{what} lacks the columns {missing}; it has the unknown columns {unknown}"
        )
    for name, kind in kinds.items():
        found = table[name].type()
        if not KINDS[kind](found):
            raise TypeError(f"{what}.{name} must hold {kind}, not {found}")


@contextmanager
def _new_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path to write to, which becomes ``folder`` when everything is written."""
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} exists, and nothing is written over")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as part:
        yield Path(part) / "parts"
        (Path(part) / "parts").rename(folder)


def write_lines(
    frames: pd.DataFrame | Iterable[pd.DataFrame], folder: str | os.PathLike[str]
) -> int:
    """Write the lines of invoices as Parquet, a part a frame, and number them.

    Args:
        frames: What `recflax.data.online_retail.load` returns, or such frames one after another.
        folder: A folder that does not exist yet.

    Returns:
        The number of lines. In the table they have their place, ``row``, from 0.

    Raises:
        FileExistsError: ``folder`` exists.
        ValueError: There is no frame, a column is missing, a quantity is a fraction, or a value
            does not fit (times are kept to the microsecond).
        TypeError: A column has the wrong type.
    """
    pa, parquet = require("pyarrow"), require("pyarrow.parquet")
    types = dict.fromkeys(LINES, pa.string())
    types |= {"quantity": pa.int64(), "price": pa.float64(), "time": pa.timestamp("us")}
    count = 0
    with _new_folder(folder) as path:
        path.mkdir()
        for number, frame in enumerate([frames] if isinstance(frames, pd.DataFrame) else frames):
            check_lines(frame)
            columns = {"row": pa.array(np.arange(count, count + len(frame)))}
            for name, type_ in types.items():
                try:
                    columns[name] = pa.Array.from_pandas(frame[name], type=type_)
                except pa.ArrowTypeError as error:
                    raise TypeError(f"lines.{name} must hold {type_} ({error})") from error
                except pa.ArrowInvalid as error:
                    raise ValueError(f"lines.{name} must fit {type_} ({error})") from error
            parquet.write_table(pa.table(columns), path / f"part-{number:05}.parquet")
            count += len(frame)
        _parts(path)
    return count


def _parts(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the Parquet files of a table, in their order."""
    found = sorted(Path(folder).glob("*.parquet"))
    if not found:
        raise FileNotFoundError(f"{folder} holds no .parquet file")
    return found


def read(connection: BaseBackend, folder: str | os.PathLike[str]) -> Table:
    """Return a folder of Parquet files as a table of an engine; nothing is read yet.

    Raises:
        FileNotFoundError: There is no Parquet file.
    """
    _parts(folder)
    every = Path(folder) / "*.parquet" if connection.name == "duckdb" else folder
    return connection.read_parquet(str(every))


def store(table: Table, folder: str | os.PathLike[str]) -> Table:
    """Compute a table, keep it as Parquet, and return it as it is read from there.

    An ordered table is written in its order. What was broken off leaves no folder.

    Args:
        table: An expression on the tables of one engine.
        folder: A folder that does not exist yet.

    Raises:
        FileExistsError: ``folder`` exists.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> import ibis, pyarrow as pa
        >>> table = ibis.memtable(pa.Table.from_pandas(tiny_log().events))
        >>> with tempfile.TemporaryDirectory() as home:
        ...     one = store(table.filter(table.person == 1), f"{home}/one")
        ...     one.item.to_pyarrow().to_pylist()
        [3, 2]
    """
    connection = require("ibis").get_backend(table)
    with _new_folder(folder) as path:
        if connection.name == "duckdb":
            path.mkdir()
            connection.to_parquet(table, path / "part-00000.parquet")
        else:
            connection.to_parquet(table, path)
    return read(connection, folder)


def _arrays(rows: np.ndarray, length: int, n_items: int) -> tuple[np.ndarray, Batch]:
    """Return the people of whole histories, (B,), and their checked (B, L) arrays."""
    person, back, item, bought = rows
    people, place = np.unique(person, return_inverse=True)
    history = np.zeros((len(people), length), dtype=np.int64)
    was_bought = np.zeros(history.shape, dtype=bool)
    seen = back < length
    where = place[seen], length - 1 - back[seen]
    history[where], was_bought[where] = item[seen], bought[seen]
    return people, make_batch(history, was_bought, n_items=n_items)


def batches(
    folder: str | os.PathLike[str], *, length: int, n_items: int, size: int = 1024
) -> Iterator[tuple[np.ndarray, Batch]]:
    """Yield stored histories in blocks, as people (B,) and the `Batch` that a network is given.

    Args:
        folder: Where `store` has put what `recflax.data.pipeline.histories` returns.
        length: L, at least 1; a longer history is cut to its newest events.
        n_items: M, the size of the catalogue.
        size: B, people in a block; the last block may have fewer.

    Raises:
        FileNotFoundError: There is no Parquet file.
        ValueError: A wrong length or size, an item above M, or people are out of order.
    """
    for name, value in (("length", length), ("size", size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}")
    columns = ["person", "back", "item", "bought"]
    rest = np.empty((len(columns), 0), dtype=np.int64)
    for path in _parts(folder):
        with require("pyarrow.parquet").ParquetFile(path) as file:
            for block in file.iter_batches(columns=columns):
                read = [block[name].to_numpy(zero_copy_only=False) for name in columns]
                rest = np.concatenate([rest, np.stack(read).astype(np.int64)], axis=1)
                step = np.diff(rest[0])
                if (step < 0).any():
                    raise ValueError(f"{path} must be ordered by person, as histories() leaves it")
                starts = np.append(0, np.flatnonzero(step) + 1)  # the last person may go on
                for first in range(0, len(starts) - size, size):
                    yield _arrays(rest[:, starts[first] : starts[first + size]], length, n_items)
                rest = rest[:, starts[(len(starts) - 1) // size * size] :]
    if rest.shape[1]:
        yield _arrays(rest, length, n_items)
