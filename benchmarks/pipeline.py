"""Seconds and memory of the log's preparation on DuckDB, for millions of invoice lines.

    python benchmarks/pipeline.py                            # 1, 5, 10 and 50 million lines
    python benchmarks/pipeline.py --millions 1 --memory 1GB

The lines are drawn inside DuckDB from a seed: five to an invoice, fifty to a person, 100,000 codes
of which few sell most; 1 line in 40 cancels an earlier sale in part or in full, 1 in 100 copies the
line before it, 1 invoice in 5 has no customer. Each size is prepared in a process of its own. Its
peak is the largest resident set that the operating system saw. Table on the way, JSON at the end.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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

LENGTH = 20
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


def simulate(home: Path, lines: int, memory: str, threads: int) -> None:
    """Write the lines of a shop into ``home/lines``."""
    (home / "lines").mkdir()
    connection = connect(memory=memory, spill=home / "spill", threads=threads)
    path = home / "lines" / "part-00000.parquet"
    count = max(lines // 50, 1)
    connection.raw_sql(
        SIMULATE.format(seed=11, lines=lines, codes=100_000, people=count, path=path)
    )


def prepare(home: Path, memory: str, threads: int) -> dict[str, float]:
    """Clean, number and order the lines, and read every history as arrays; seconds by step."""
    seconds: dict[str, float] = {}
    start = time.perf_counter()

    def step(name: str) -> None:
        nonlocal start
        seconds[name], start = time.perf_counter() - start, time.perf_counter()

    connection = connect(memory=memory, spill=home / "spill", threads=threads)
    judged = store(
        judge(store(distinct(read(connection, home / "lines")), home / "distinct")), home / "judged"
    )
    found = report(judged)
    step("clean")
    lines = store(kept(judged), home / "kept")
    ids = [store(table(lines), home / table.__name__) for table in (people, items, visits)]
    bought = store(purchases(lines, *ids), home / "purchases")
    n_items = ids[1].count().to_pyarrow().as_py()
    step("purchases")
    store(histories(events(bought), length=LENGTH), home / "histories")
    step("histories")
    persons = rows = 0
    for block, batch in batches(home / "histories", length=LENGTH, n_items=n_items):
        persons, rows = persons + len(block), rows + int(batch.mask.sum())
    step("arrays")
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    disk = sum(path.stat().st_size for path in home.rglob("*.parquet"))
    counts = {
        "lines": found.lines_in,
        "kept": found.lines_out,
        "people": persons,
        "in_histories": rows,
    }
    return {**counts, **seconds, "peak_gb": kilobytes * 1024 / 1e9, "disk_gb": disk / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 5, 10, 50])
    parser.add_argument("--memory", default="3GB", help="what DuckDB may use")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="where to write (default: the temporary folder)")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(prepare(options.run, options.memory, options.threads)))
        return
    results = []
    shared = ["--memory", options.memory, "--threads", str(options.threads)]
    print("million lines   clean  purchases  histories  arrays  seconds    GB at the peak")
    for millions in options.millions:
        with tempfile.TemporaryDirectory(dir=options.folder) as home:
            simulate(Path(home), int(millions * 1e6), options.memory, options.threads)
            command = [sys.executable, __file__, "--run", home, *shared]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        result = json.loads(done.stdout)
        times = [result[name] for name in ("clean", "purchases", "histories", "arrays")]
        print(
            f"{millions:13g}{times[0]:8.1f}{times[1]:11.1f}{times[2]:11.1f}{times[3]:8.1f}"
            f"{sum(times):9.1f}{result['peak_gb']:18.2f}",
            flush=True,
        )
        results.append(result)
    print(json.dumps({"memory": options.memory, "threads": options.threads, "runs": results}))


if __name__ == "__main__":
    main()
