"""Makes the tables of the lessons: ``python tools/make_lessons.py [lesson ...]``.

Every lesson runs over its seeds, one after another, and its table is written after each, so that
an interrupted run goes on where it stopped: rows made by the very code that stands here are kept,
others are made again.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recflax.data import coat, hillstrom, online_retail
from recflax.lessons import tables

LESSONS = (
    "gaps",
    "wrong_question",
    "anyway",
    "simpson",
    "next_basket",
    "causal_loss",
    "scale",
    "weighting_limits",
    "adjustment",
    "hard_variant",
    "hidden",
    "social",
    "news",
    "coat",
    "uplift_email",
    "article_network",
    "better_network",
    "article_full",
    "article_retail",
    "contest",
    "explanations",
    "cost_curves",
    "sampled_softmax",
    "serving",
    "serving_times",
    "who_gains",
    "private_training",
    "fair_exposure",
    "feedback_loop",
    "train_it_here",
    "log_preparation",
    "process_costs",
)
OWN_SIZE = {
    "weighting_limits": 2_000,
    "adjustment": 16_000,
    "hard_variant": 24_000,
    "hidden": 6_000,
    "social": 400,
    "news": 1_000,
    "article_network": 2_000,
    "better_network": 2_000,
    "article_full": 2_000,
    "cost_curves": 32,
    "sampled_softmax": 4,
    "serving": 2_000,
    "serving_times": 200,
    "private_training": 6_000,
    "fair_exposure": 4_000,
    "feedback_loop": 2_000,
    "train_it_here": 2_000,
    "log_preparation": 10_000,
    "process_costs": 1_000,
}
"""People in the stores of lessons that say so themselves (or what the lesson counts instead)."""

REAL = {
    "next_basket": (10, online_retail),
    "coat": (10, coat),
    "uplift_email": (16, hillstrom),
    "article_retail": (5, online_retail),
}
"""Lessons on real data: how many seeds (starts or resamples, not stores), and the loader."""
OWN_SEEDS = {
    "contest": range(2000, 2030),
    "explanations": range(1000, 1010),
    "cost_curves": range(1000, 1005),
    "serving_times": range(1000, 1005),
    "who_gains": range(1000, 1010),
    "private_training": range(1003, 1013),
    "fair_exposure": range(1000, 1010),
    "feedback_loop": range(1000, 1010),
    "train_it_here": range(1040, 1060),
    "log_preparation": range(1000, 1003),
    "process_costs": range(1000, 1003),
}
"""Seeds of lessons that say so themselves: fewer where a row takes long, fresh ones where earlier
seeds have been looked at by another lesson or while the lesson's settings were chosen."""
CLOCKS = ("cost_curves", "serving_times", "log_preparation", "process_costs")
"""Lessons whose rows are readings of a clock or of memory, which no second run repeats."""

FIRST_SEED, SEEDS, SIZE = 1000, 20, 8_000
ABSOLUTE, RELATIVE = 0.02, 0.02  # what another version or processor may move a trained number by
FOLDER = Path(__file__).resolve().parents[1] / "book" / "tables"


def kept_rows(lesson: str, size: int, seeds: range, folder: Path) -> list[dict]:
    """Rows of an existing table that the present code made, for these seeds and this size."""
    if not (folder / f"{lesson}.csv").is_file():
        return []
    table = tables.read(lesson, folder)
    if table.moved_on:
        return []
    same = [row for row in table.records if lesson in REAL or row["people"] == size]
    return [row for row in same if row["seed"] in seeds]


def make(lesson: str, size: int, seeds: range, folder: Path) -> None:
    if lesson in REAL:
        if not REAL[lesson][1].available():
            print(f"{lesson}: left as it is, since the real data are not here", flush=True)
            return
        seeds = seeds[: REAL[lesson][0]]
    run = importlib.import_module(f"recflax.lessons.{lesson}").run
    command = (
        f"python tools/make_lessons.py {lesson} --first {seeds.start} --seeds {len(seeds)} "
        f"--size {size}"
    )
    code = tables.digest(lesson)
    rows = kept_rows(lesson, size, seeds, folder)
    done = {row["seed"] for row in rows}
    for seed in seeds:
        if seed in done:
            continue
        start = time.perf_counter()
        rows.append(run(seed, size))
        print(f"{lesson} seed {seed}: {time.perf_counter() - start:.1f} s", flush=True)
        if tables.digest(lesson) != code:
            raise RuntimeError(f"the code behind {lesson} changed while it ran: start again")
        tables.write(folder, lesson, rows, command=command)
    print(f"{lesson}: {len(rows)} rows in {folder / lesson}.csv", flush=True)


def compare(lesson: str, count: int, folder: Path) -> list[str]:
    """Run the first seeds of a table again; what differs, one line a column."""
    table = tables.read(lesson, folder)
    if lesson in CLOCKS:
        print(f"{lesson}: not compared, since it reads a clock", flush=True)
        return []
    if lesson in REAL and not REAL[lesson][1].available():
        print(f"{lesson}: not compared, since the real data are not here", flush=True)
        return []
    found = [f"{lesson}: the code has changed since its table was made"] if table.moved_on else []
    run = importlib.import_module(f"recflax.lessons.{lesson}").run
    for stored in table.records[:count]:
        fresh = run(int(stored["seed"]), int(stored["people"]))
        apart = {
            name: abs(value - stored[name])
            for name, value in fresh.items()
            if not name.endswith("_seconds")
        }
        print(f"{lesson} seed {stored['seed']}: at most {max(apart.values()):.2g}", flush=True)
        found += [
            f"{lesson} seed {stored['seed']}: {name} is {fresh[name]}, and was {stored[name]}"
            for name, value in apart.items()
            if not value <= ABSOLUTE + RELATIVE * abs(stored[name])
        ]
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", metavar="lesson", help=f"of {', '.join(LESSONS)}")
    parser.add_argument("--first", type=int, help=f"{FIRST_SEED:,} or the lesson's own")
    parser.add_argument("--seeds", type=int, help=f"at least two; {SEEDS} or the lesson's own")
    parser.add_argument(
        "--size", type=int, help=f"people in each store; {SIZE:,} or the lesson's own"
    )
    parser.add_argument(
        "--compare", type=int, metavar="N", help="make nothing: run N seeds of each table again"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.lessons) - set(LESSONS))
    if unknown:
        parser.error(f"no lesson is called {unknown[0]!r}: there are {', '.join(LESSONS)}")
    if given.compare:
        found = [
            line
            for lesson in given.lessons or LESSONS
            for line in compare(lesson, given.compare, given.folder)
        ]
        sys.exit("\n".join(found) or 0)
    given.folder.mkdir(parents=True, exist_ok=True)
    for lesson in given.lessons or LESSONS:
        size = given.size or OWN_SIZE.get(lesson, SIZE)
        own = OWN_SEEDS.get(lesson, range(FIRST_SEED, FIRST_SEED + SEEDS))
        first = own.start if given.first is None else given.first
        count = len(own) if given.seeds is None else given.seeds
        make(lesson, size, range(first, first + count), given.folder)


if __name__ == "__main__":
    main()
