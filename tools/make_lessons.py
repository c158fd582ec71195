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

from recflax.lessons import tables

LESSONS = ("gaps", "wrong_question", "anyway", "simpson")
FIRST_SEED, SEEDS, SIZE = 1000, 20, 8_000
FOLDER = Path(__file__).resolve().parents[1] / "book" / "tables"


def kept_rows(lesson: str, size: int, seeds: range, folder: Path) -> list[dict]:
    """Rows of an existing table that the present code made, for these seeds and this size."""
    if not (folder / f"{lesson}.csv").is_file():
        return []
    table = tables.read(lesson, folder)
    if table.moved_on:
        return []
    return [row for row in table.records if row["seed"] in seeds and row["people"] == size]


def make(lesson: str, size: int, seeds: range, folder: Path) -> None:
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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", metavar="lesson", help=f"of {', '.join(LESSONS)}")
    parser.add_argument("--first", type=int, default=FIRST_SEED)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="at least two")
    parser.add_argument("--size", type=int, default=SIZE, help="people in each store")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.lessons) - set(LESSONS))
    if unknown:
        parser.error(f"no lesson is called {unknown[0]!r}: there are {', '.join(LESSONS)}")
    given.folder.mkdir(parents=True, exist_ok=True)
    for lesson in given.lessons or LESSONS:
        make(lesson, given.size, range(given.first, given.first + given.seeds), given.folder)


if __name__ == "__main__":
    main()
