"""Build the book: ``python tools/build.py``, in the environment of ``requirements.txt``.

    python tools/build.py                          the whole book, where a warning is an error
    python tools/build.py --fresh                  the same, with every cell run again
    python tools/build.py --page 01_background     one page alone, for a look while writing
    python tools/build.py --format epub            the whole book as an EPUB
    python tools/build.py --format single          the whole book as one page

Cells that have not changed, with the library and the data unchanged too, keep their outputs. A
build waits for another one of the same folder, and one that was killed leaves nothing behind that
the next would mistake for its own.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there builds are not kept apart
    fcntl = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
UNFINISHED = BUILD / ".unfinished"
"""Here from the start of a build to its end, and still here if it was killed."""

STRICT = ["-n", "-W", "--keep-going"]
FORMATS = {
    "html": ([], "html/index.html"),
    "single": (["--builder", "singlehtml"], "singlehtml/index.html"),
    "epub": (["--builder", "custom", "--custom-builder", "epub"], "epub/recflax.epub"),
}
"""What the book can be built as: arguments of ``jupyter-book build``, and the file to open."""


@contextmanager
def alone(folder: Path) -> Iterator[tuple[int, ...]]:
    """Wait until no other build has this folder; whoever is killed lets go of it.

    Yields:
        What a process must be handed, so that the folder stays taken while it runs.
    """
    if fcntl is None:
        yield ()
        return
    taken = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another build of this folder is running: waiting for it.", flush=True)
            fcntl.flock(taken, fcntl.LOCK_EX)
        yield (taken,)
    finally:
        os.close(taken)


def jupyter_book(*arguments: str, handed: tuple[int, ...] = ()) -> int:
    """Run ``jupyter-book build`` in this Python; returns the exit status."""
    program = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "build", str(ROOT), *arguments]
    # the same text in every build, also where the terminal speaks no UTF-8
    environ = {**os.environ, "PYTHONUTF8": "1"}
    return subprocess.run(command, env=environ, pass_fds=handed, check=False).returncode


def forget_pages() -> None:
    """Have every page read again: Sphinx warns when it reads one, and is silent the next time."""
    shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
    for _, made in FORMATS.values():
        shutil.rmtree((BUILD / made).parent / ".doctrees", ignore_errors=True)


def whole_book(fresh: bool, form: str, handed: tuple[int, ...] = ()) -> int:
    if fresh:
        shutil.rmtree(BUILD, ignore_errors=True)
    if UNFINISHED.exists():
        forget_pages()
    try:
        BUILD.mkdir(exist_ok=True)
        UNFINISHED.touch()
    except OSError as error:
        print(f"The book cannot be built here: {error}", file=sys.stderr)
        return 1
    arguments, made = FORMATS[form]
    status = jupyter_book(*STRICT, *arguments, handed=handed)
    if status:
        forget_pages()
        print("The book was not built cleanly: see the warnings above.", file=sys.stderr)
    else:
        print(f"\nThe book is built. Open\n\n    {(BUILD / made).as_uri()}\n")
    UNFINISHED.unlink(missing_ok=True)
    return status


def one_page(name: str) -> int:
    """A page by itself: links to other pages stay open, and a warning is only a warning."""
    name = Path(name).stem
    if not (ROOT / "book" / f"{name}.md").is_file():
        print(f"there is no book/{name}.md", file=sys.stderr)
        return 2
    folder = BUILD / "pages" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_toc.yml").write_text(f"format: jb-book\nroot: book/{name}\n", encoding="utf-8")
    status = jupyter_book("--toc", str(folder / "_toc.yml"), "--path-output", str(folder))
    if status == 0:
        page = folder / "_build" / "html" / "book" / f"{name}.html"
        print(f"\nThe page is built. Open\n\n    {page.as_uri()}\n")
    return status


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="run every cell again")
    parser.add_argument("--page", help="build this page of book/ alone")
    parser.add_argument("--format", choices=FORMATS, default="html", help="what to build it as")
    given = parser.parse_args(arguments)
    if given.page:
        return one_page(given.page)
    with alone(ROOT) as handed:
        return whole_book(given.fresh, given.format, handed)


if __name__ == "__main__":
    sys.exit(main())
