"""``make bench``: every measurement in one run, its own processes, medians of five, as ratios.

Prints a table and, with ``--readme``, writes it between the two marks in README.md.
Nothing here is a test: speed is looked at, never asserted.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recflax.lessons.tables import machine

HERE = Path(__file__).parent
ROOT = HERE.parent
START, END = "<!-- bench: start -->", "<!-- bench: end -->"


def run(python: str, script: Path) -> dict:
    """The JSON of the last line that a script prints, run in a process of its own."""
    path = os.pathsep.join([str(ROOT), str(HERE / "peers")])
    environment = os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    # a setting for old processors that slows a current numpy, where a machine has it
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        environment.pop(name, None)
    done = subprocess.run(
        [python, str(script)], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def article_table(ours: dict, peers: list[dict]) -> list[str]:
    """One row an implementation: the median step, its range, and the ratio to recflax."""
    steps = dict(ours["seconds"])
    for peer in peers:
        steps |= peer["seconds"]
    base = statistics.median(steps["recflax"])
    lines = [
        "| training step, article's plain network | median | range of five | against recflax |",
        "|---|---|---|---|",
    ]
    for name, seconds in steps.items():
        middle = statistics.median(seconds)
        lines.append(
            f"| {name} | {1e3 * middle:.0f} ms | {1e3 * min(seconds):.0f} to "
            f"{1e3 * max(seconds):.0f} ms | {middle / base:.2f} |"
        )
    share = ours["operations"] / base / ours["matmul_rate"]
    lines += [
        "",
        f"The step does {ours['operations'] / 1e9:.1f} GFLOP of matrix products, "
        f"{share:.0%} of the {ours['matmul_rate'] / 1e9:.0f} GFLOP/s that the same machine reaches "
        "on float32 matrix products alone.",
    ]
    return lines


def main() -> None:
    """Run all, print the table, and put it into the README where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default=sys.executable, help="the Python that has the peers")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    options = parser.parse_args()
    ours = run(sys.executable, HERE / "peers" / "article_recflax.py")
    peers = [
        run(options.peers, HERE / "peers" / f"article_{name}.py") for name in ("keras", "torch")
    ]
    store = run(sys.executable, HERE / "store_and_fit.py")
    versions = ours["versions"] | peers[0]["versions"] | peers[1]["versions"]
    lines = [
        f"{machine()}, {platform.system()}, Python "
        f"{platform.python_version()}, {date.today().isoformat()}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ". V 10,000, D 512, 8 heads of 64, L 20, batch 64, loss over all places, Adam.",
        "",
        *article_table(ours, peers),
        "",
        "| store and lessons | seconds |",
        "|---|---|",
        f"| store, log and exact truths, 8,000 people | {store['store']:.1f} |",
        f"| first fit of the lessons' network, compilation included | {store['first_fit']:.1f} |",
        f"| a later fit (median of five) | {statistics.median(store['fits']):.1f} |",
    ]
    print("\n".join(lines))
    if options.readme:
        readme = ROOT / "README.md"
        text = readme.read_text(encoding="utf-8")
        before, rest = text.split(START)
        _, after = rest.split(END)
        block = "\n".join(["", *lines, ""])
        readme.write_text(before + START + block + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
