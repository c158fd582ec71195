"""``make bench``: ours and its peers on the same arrays in one run, turn by turn, as ratios.

``python benchmarks/run.py --environments .venv-bench`` runs every case of `cases`, prints tables,
and writes ``book/tables/bench.json`` (`results` says what is in it) and, with ``--readme``, the
short table between the two marks in README.md. ``--quick`` runs the same at small sizes with two
repeats and writes neither; ``--only WORD`` runs the cases whose task or name has the word.
Nothing here is a test: speed is looked at, never asserted.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from cases import Case, Pair, all_cases
from race import Failure, Outcome, environment, race
from results import NOT_RUN, Record, Results, full_table, headline, replace_between, report

from recflax.lessons.tables import machine

HERE = Path(__file__).resolve().parent
START, END = "<!-- bench: start -->", "<!-- bench: end -->"


def record(case: Case, pair: Pair, found: dict, rate: float | None) -> Record:
    """The record of one row; who did not run is said."""
    ours, peer = found[pair.ours], found[pair.peer]
    if isinstance(ours, Failure):
        return Record(
            case.task, pair.case, pair.peer, pair.ours, note=f"ours {NOT_RUN}{ours.reason}"
        )
    share = None
    if case.operations is not None and rate is not None:
        share = case.operations / ours.median / rate
    own = {
        "ours_seconds": ours.median,
        "ours_low": min(ours.seconds),
        "ours_high": max(ours.seconds),
        "ours_mib": ours.peak_mib,
        "compile_ours": ours.compilation,
        "share": share,
    }
    if isinstance(peer, Failure):
        note = f"{NOT_RUN}{peer.reason}"
        return Record(case.task, pair.case, pair.peer, pair.ours, **own, note=note)
    return Record(
        case.task,
        pair.case,
        pair.peer,
        pair.ours,
        **own,
        peer_seconds=peer.median,
        peer_low=min(peer.seconds),
        peer_high=max(peer.seconds),
        ratio=peer.median / ours.median,
        peer_mib=peer.peak_mib,
        compile_peer=peer.compilation,
        agreement=case.agree(ours.arrays, peer.arrays) if case.agree else "",
        note=pair.note,
    )


def run_case(case: Case, environments: Path, repeats: int) -> dict[str, Outcome | Failure]:
    """Write the inputs into a folder of its own, and race."""
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "inputs.npz"
        np.savez(arrays, **case.make(case.sizes))
        return race(
            case.contenders, arrays, Path(folder), environments=environments, repeats=repeats
        )


def run(cases: list[Case], environments: Path, repeats: int) -> Results:
    """Run the cases, and print each table as it comes."""
    records: list[Record] = []
    versions: dict[str, str] = {"Python": platform.python_version()}
    rates: list[float] = []
    for case in cases:
        start = time.perf_counter()
        found = run_case(case, environments, repeats)
        for outcome in found.values():
            if isinstance(outcome, Outcome):
                versions |= outcome.versions
        if case.task == "matrix products":
            rates += [
                case.operations / outcome.median
                for outcome in found.values()
                if isinstance(outcome, Outcome) and case.operations is not None
            ]
        rate = max(rates, default=None)
        new = [record(case, pair, found, rate) for pair in case.pairs]
        records += new
        print(f"\n{case.task}: {case.name} ({time.perf_counter() - start:.0f} s)", flush=True)
        print("\n".join(full_table(new)), flush=True)
    rate = max(rates, default=None)
    return Results(
        machine=f"{machine()}, {platform.system()}",
        date=date.today().isoformat(),
        versions=versions,
        matmul_gflops=None if rate is None else rate / 1e9,
        records=tuple(records),
    )


def store_and_fit() -> dict[str, float]:
    """Seconds of the book's store and of the lessons' network, in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(HERE / "store_and_fit.py")],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "store, log and exact truths, 8,000 people": found["store"],
        "first fit of the lessons' network, compilation included": found["first_fit"],
        "a later fit (median of five)": statistics.median(found["fits"]),
    }


def main() -> None:
    """Run, print, and keep the results where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environments", type=Path, default=HERE.parent / ".venv-bench")
    parser.add_argument("--quick", action="store_true", help="small sizes, two repeats")
    parser.add_argument("--only", default="", help="a word of the task or the case")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    options = parser.parse_args()
    cases = [
        case for case in all_cases(options.quick) if options.only in f"{case.task} {case.name}"
    ]
    results = run(cases, options.environments.absolute(), 2 if options.quick else options.repeats)
    if not (options.quick or options.only):
        results = replace(results, store=store_and_fit())
    print("\n".join(["", *report(results), "", *headline(results)]))
    if options.quick or options.only:
        return
    results.save(HERE.parent / "book" / "tables" / "bench.json")
    if options.readme:
        readme = HERE.parent / "README.md"
        text = readme.read_text(encoding="utf-8")
        readme.write_text(replace_between(text, START, END, headline(results)), encoding="utf-8")


if __name__ == "__main__":
    main()
