"""Seconds and memory of the log's preparation on DuckDB, for millions of invoice lines.

    python benchmarks/pipeline.py                            # 1, 5, 10 and 50 million lines
    python benchmarks/pipeline.py --millions 1 --memory 1GB

The lines and the two ways to prepare them are those of `recflax.lessons.log_preparation`. Each size
is prepared in a process of its own. Table on the way, JSON at the end.
"""

import argparse
import json
import tempfile
from pathlib import Path

from recflax.lessons.log_preparation import WAYS, measure, simulate


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 5, 10, 50])
    parser.add_argument("--memory", default="3GB", help="what DuckDB may use")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="where to write (default: the temporary folder)")
    parser.add_argument("--way", choices=WAYS, default="duckdb")
    options = parser.parse_args()
    limits = {"memory": options.memory, "threads": options.threads}
    results = []
    print("million lines   clean  purchases  histories  arrays  seconds    GB at the peak")
    for millions in options.millions:
        with tempfile.TemporaryDirectory(dir=options.folder) as home:
            simulate(Path(home), int(millions * 1e6), seed=11, **limits)
            result = measure(options.way, Path(home), **limits)
        steps = ("clean", "purchases", "histories", "arrays")
        times = [float(result[name]) for name in steps]
        print(
            f"{millions:13g}{times[0]:8.1f}{times[1]:11.1f}{times[2]:11.1f}{times[3]:8.1f}"
            f"{sum(times):9.1f}{float(result['peak_gb']):18.2f}",
            flush=True,
        )
        results.append(result)
    print(json.dumps({**limits, "runs": results}))


if __name__ == "__main__":
    main()
