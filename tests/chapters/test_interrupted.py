"""The build of the book when something goes wrong around it: killed, twice at once, no room."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import build as tool
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder in which a build has read a page, and Sphinx has kept what it read."""
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "BUILD", tmp_path / "_build")
    monkeypatch.setattr(tool, "UNFINISHED", tmp_path / "_build" / ".unfinished")
    for place in (".doctrees", "html", "singlehtml/.doctrees", "epub/.doctrees", "cells"):
        (tmp_path / "_build" / place).mkdir(parents=True)
        (tmp_path / "_build" / place / "kept").touch()
    return tmp_path / "_build"


def kept(folder: Path) -> list[str]:
    return sorted(path.parent.relative_to(folder).as_posix() for path in folder.rglob("kept"))


EVERYTHING = [".doctrees", "cells", "epub/.doctrees", "html", "singlehtml/.doctrees"]


def finish(monkeypatch, status: int, seen: list) -> None:
    def run(*arguments: str, handed: tuple[int, ...] = ()) -> int:
        seen.append(kept(tool.BUILD))
        return status

    monkeypatch.setattr(tool, "jupyter_book", run)


def test_after_a_clean_build_nothing_is_read_again(folder, monkeypatch):
    seen: list = []
    finish(monkeypatch, 0, seen)
    assert [tool.main([]), tool.main([])] == [0, 0]
    assert seen == [EVERYTHING] * 2
    assert not tool.UNFINISHED.exists()


def test_after_a_killed_build_every_page_is_read_again_and_no_cell_runs_again(folder, monkeypatch):
    """Else what Sphinx warned of before it was killed would never be heard of again."""

    def killed(*_: str, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "jupyter_book", killed)
    with pytest.raises(KeyboardInterrupt):
        tool.main([])
    assert tool.UNFINISHED.exists()
    assert kept(folder) == EVERYTHING
    seen: list = []
    finish(monkeypatch, 0, seen)
    assert tool.main([]) == 0
    assert seen == [["cells", "html"]]
    assert not tool.UNFINISHED.exists()


def test_after_a_build_with_a_warning_every_page_is_read_again(folder, monkeypatch, capsys):
    finish(monkeypatch, 1, [])
    assert tool.main([]) == 1
    assert kept(folder) == ["cells", "html"]
    assert "not built cleanly" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(folder, monkeypatch, capsys):
    shutil.rmtree(folder)
    folder.write_text("a file in the place of the folder")
    finish(monkeypatch, 0, [])
    assert tool.main([]) == 1
    said = capsys.readouterr().err
    assert "The book cannot be built here" in said
    assert str(folder) in said


HOLD = f"""
import sys
sys.path.insert(0, {str(ROOT / "tools")!r})
from pathlib import Path
from build import alone
with alone(Path(sys.argv[1])):
    print("has it", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["clean", "killed"])
def test_two_builds_at_once_come_one_after_the_other(tmp_path, capsys, end):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with first:
        assert first.stdout.readline() == b"has it\n"
        second = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with second:
            waiting = second.stdout.readline()
            assert waiting == b"Another build of this folder is running: waiting for it.\n"
            if end == "killed":
                first.kill()
            first.stdin.close()
            assert second.stdout.readline() == b"has it\n"


def test_the_folder_stays_taken_while_what_was_started_runs(tmp_path):
    """Of a build whose tool is killed, jupyter-book runs on: the next one waits for that too."""
    with tool.alone(tmp_path) as handed:
        running = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=handed)
    entered = threading.Event()

    def enter() -> None:
        with tool.alone(tmp_path):
            entered.set()

    other = threading.Thread(target=enter)
    with running:
        other.start()
        assert not entered.wait(0.3)
        running.stdin.close()
        other.join()
    assert entered.is_set()


def test_jupyter_book_is_handed_the_folder(folder, monkeypatch):
    handed: list = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess:
        handed.append(options["pass_fds"])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(tool.subprocess, "run", run)
    assert tool.main([]) == 0
    assert [len(descriptors) for descriptors in handed] == [1]
