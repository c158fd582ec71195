r"""Preparing the lines of a growing shop with pandas and with DuckDB: seconds, memory, arrays.

The lines are drawn inside DuckDB from a seed: five to an invoice, fifty to a person, 100,000 codes
of which few sell most; 1 line in 40 cancels an earlier sale in part or in full, 1 in 100 copies the
line before it, 1 invoice in 5 has no customer. Both ways clean them, number people and products,
and read everybody's last 20 purchases as arrays. Each preparation is a process of its own, whose
peak is the most memory that it held at once.

``python -m recflax.lessons.log_preparation WAY FOLDER MEMORY THREADS`` is that process.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from recflax.claims import peak_memory
from recflax.data.batches import Batch, history_batch
from recflax.data.cleaning import LINES, clean, to_log
from recflax.data.engines import batches, connect, read, store
from recflax.data.pipeline import (
    distinct,
    events,
    histories,
    items,
    judge,
    kept,
    people,
    purchases,
    report,
    visits,
)
from recflax.intervals import mean_over_seeds
from recflax.lessons.statements import Statement, column, sayer

WAYS = {"pandas": "pandas", "duckdb": "DuckDB, told to use 1 GB"}
"""How the log is prepared: key and label."""

SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
MEMORY, THREADS, LENGTH = "1GB", 2, 20

# the draw of a line is a function of its number, whatever the threads and their order
SIMULATE = """
create or replace macro draw(n, use) as (hash(n, use, {seed}) >> 11)::double / 2.0**53;
copy (
  with drawn as (
    select range as n, draw(range, 'kind') as kind,
      1 + (draw(range, 'which') * 500)::bigint as back from range({lines})
  ), sourced as (
    select n, case when kind < 0.025 and n >= back then 'cancel'
        when kind > 0.99 and n > 0 then 'copy' else 'sale' end as kind,
      case when kind < 0.025 and n >= back then n - back
        when kind > 0.99 and n > 0 then n - 1 else n end as of from drawn
  ), told as (
    select n, kind, of, of // 5 as invoice,
      floor({codes} * pow(draw(of, 'what'), 3))::bigint as code,
      1 + floor(12 * draw(of, 'quantity'))::bigint as quantity from sourced
  )
  select n as row,
    case when kind = 'cancel' then 'C' || (500000 + n) else (500000 + invoice)::varchar end
      as invoice,
    lpad(code::varchar, 6, '0') as code,
    'PRODUCT NUMBER ' || code || ' IN A BOX' as description,
    case when kind = 'cancel' then -1 - floor(quantity * draw(n, 'part'))::bigint
      else quantity end as quantity,
    timestamp '2011-01-01' + to_minutes((draw(invoice, 'when') * 525600)::bigint
      + case when kind = 'cancel' then 1440 else 0 end) as time,
    (1 + code % 97)::double as price,
    case when draw(invoice, 'guest') < 0.2 then null
      else (10000 + floor({people} * draw(invoice, 'who'))::bigint)::varchar end as customer,
    'United Kingdom' as country
  from told
) to '{path}' (format parquet)
"""


def simulate(
    home: Path, lines: int, *, seed: int, memory: str = MEMORY, threads: int = THREADS
) -> None:
    """Write the lines of a shop into ``home/lines``, in the form that `pipeline.distinct` takes.

    Args:
        home: an empty folder.
        lines: how many.
        seed: of the shop.
        memory: what DuckDB may use.
        threads: how many DuckDB may use.

    Raises:
        ValueError: there is no line.
    """
    if lines < 1:
        raise ValueError(f"lines must be at least 1; got {lines}")
    (home / "lines").mkdir()
    connection = connect(memory=memory, spill=home / "spill", threads=threads)
    path = str(home / "lines" / "part-00000.parquet").replace("'", "''")
    count = max(lines // 50, 1)
    connection.raw_sql(
        SIMULATE.format(seed=seed, lines=lines, codes=100_000, people=count, path=path)
    )


class _Steps:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.start = time.perf_counter()

    def end(self, name: str) -> None:
        """A step of this name ends here, and the next one starts."""
        self.seconds[name], self.start = time.perf_counter() - self.start, time.perf_counter()


def _arrays(blocks: Iterable[Batch]) -> dict[str, float | str]:
    """How many people and events, and one word for all histories, whatever the blocks."""
    word, persons, rows = hashlib.sha256(), 0, 0
    for batch in blocks:
        history = np.asarray(batch.history, np.int32)
        word.update(history.tobytes())
        persons, rows = persons + len(history), rows + int((history > 0).sum())
    return {"people": persons, "in_histories": rows, "histories_hash": word.hexdigest()}


def prepare_with_pandas(home: Path) -> dict[str, float | str]:
    """Clean, number and order the lines with all of them in memory; seconds by step, and counts.

    Args:
        home: where `simulate` has been.
    """
    steps = _Steps()
    lines = pd.read_parquet(home / "lines").sort_values("row", ignore_index=True)[list(LINES)]
    cleaned, found = clean(lines)
    steps.end("clean")
    log = to_log(cleaned)
    steps.end("purchases")
    persons = range(len(log.person_labels))
    whole = history_batch(log.events, persons, length=LENGTH, n_items=len(log.items))
    steps.end("histories")
    counts = _arrays([whole])
    steps.end("arrays")
    return {"lines": found.lines_in, "kept": found.lines_out, **counts, **steps.seconds}


def prepare_with_duckdb(
    home: Path, memory: str = MEMORY, threads: int = THREADS
) -> dict[str, float | str]:
    """Do the same with expressions on DuckDB, each step stored before the next one reads it.

    Args:
        home: where `simulate` has been.
        memory: what DuckDB may use.
        threads: how many it may use.
    """
    steps = _Steps()
    connection = connect(memory=memory, spill=home / "spill", threads=threads)
    raw = read(connection, home / "lines")
    judged = store(judge(store(distinct(raw), home / "distinct")), home / "judged")
    found = report(judged)
    steps.end("clean")
    lines = store(kept(judged), home / "kept")
    ids = [store(table(lines), home / table.__name__) for table in (people, items, visits)]
    bought = store(purchases(lines, *ids), home / "purchases")
    n_items = ids[1].count().to_pyarrow().as_py()
    steps.end("purchases")
    store(histories(events(bought), length=LENGTH), home / "histories")
    steps.end("histories")
    blocks = batches(home / "histories", length=LENGTH, n_items=n_items)
    counts = _arrays(batch for _, batch in blocks)
    steps.end("arrays")
    return {"lines": found.lines_in, "kept": found.lines_out, **counts, **steps.seconds}


def measure(
    way: str, home: Path, memory: str = MEMORY, threads: int = THREADS
) -> dict[str, float | str]:
    """Prepare in a process of its own: what it says, ``seconds`` of all steps, and ``peak_gb``.

    Args:
        way: a key of `WAYS`.
        home: where `simulate` has been.
        memory: what DuckDB may use.
        threads: how many it may use.

    Raises:
        ValueError: there is no such way.
        subprocess.CalledProcessError: it failed, for instance for want of memory.
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {', '.join(WAYS)}; got {way!r}")
    command = [sys.executable, "-m", __name__, way, str(home), memory, str(threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def run(seed: int, size: int = 10_000) -> dict:
    """One shop of each size, prepared in both ways.

    Args:
        seed: of the lines.
        size: thousands of lines of the largest shop; `SIZES` above it are left out.

    Returns:
        ``seed``, ``people`` (the size as given), and for each number of lines ``same_N`` (1 if the
        two ways gave the same lines and arrays), ``pandas_N_seconds``, ``pandas_N_gb`` and so on.

    Raises:
        ValueError: no size is left.
    """
    sizes = [lines for lines in SIZES if lines <= 1_000 * size]
    if not sizes:
        raise ValueError(f"size must be at least {SIZES[0] // 1_000}; got {size}")
    row: dict = {"seed": seed, "people": size}
    for lines in sizes:
        with tempfile.TemporaryDirectory() as home:
            simulate(Path(home), lines, seed=seed)
            found = {way: measure(way, Path(home)) for way in WAYS}
        answers = [
            {key: one[key] for key in ("lines", "kept", "people", "in_histories", "histories_hash")}
            for one in found.values()
        ]
        row[f"same_{lines}"] = float(answers[0] == answers[1])
        for way, one in found.items():
            steps = [float(one[key]) for key in ("clean", "purchases", "histories", "arrays")]
            row[f"{way}_{lines}_seconds"] = sum(steps)
            row[f"{way}_{lines}_gb"] = one["peak_gb"]
    return row


def claims(rows: list[dict]) -> list[Statement]:
    """What is said of the rows: of equality and of memory, and nothing of seconds.

    Args:
        rows: of `run`, with the size 10,000.
    """
    say = sayer("prepare", rows)

    def growth(way: str) -> np.ndarray:
        return column(rows, f"{way}_10000000_gb") / column(rows, f"{way}_1000000_gb")

    return [
        say(
            "same-arrays",
            "Expressions on DuckDB and frames in pandas keep the same lines and give the same "
            "histories, at every size: share of the shops.",
            float(min(column(rows, f"same_{lines}").mean() for lines in SIZES)),
            at_least=1,
            at_most=1,
            exact=True,
        ),
        say(
            "pandas-grows",
            "With ten million lines in place of one million pandas holds several times as much at "
            "its peak: ratio.",
            mean_over_seeds(growth("pandas")),
            at_least=4,
        ),
        say(
            "duckdb-keeps-its-limit",
            "DuckDB, told to use 1 GB, prepares ten million lines in a process that holds little "
            "more: GB at the peak.",
            mean_over_seeds(column(rows, "duckdb_10000000_gb")),
            at_most=1.6,
        ),
    ]


def main(arguments: list[str]) -> None:
    """Prepare once, and print what came of it as JSON."""
    way, home, memory, threads = arguments
    found = (
        prepare_with_pandas(Path(home))
        if way == "pandas"
        else prepare_with_duckdb(Path(home), memory, int(threads))
    )
    print(json.dumps({**found, "peak_gb": peak_memory() / 1e9}))


if __name__ == "__main__":
    main(sys.argv[1:])
