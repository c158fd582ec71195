"""The tables' tool: every seed once, what is there is kept, what other code made is made again."""

import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

from recflax.data import coat
from recflax.lessons import tables

TOOL = Path(__file__).resolve().parents[2] / "tools" / "make_lessons.py"


@pytest.fixture
def tool(monkeypatch):
    """The tool's names, with two lessons of one column whose runs are counted."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = runpy.run_path(str(TOOL), run_name="make_lessons")
    runs = []
    for lesson in ("gaps", "simpson"):
        module = ModuleType(f"recflax.lessons.{lesson}")

        def run(seed, size, lesson=lesson):
            runs.append((lesson, seed))
            return {"seed": seed, "people": size, "value": seed / size}

        module.run = run
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(names["main"].__globals__, "LESSONS", ("gaps", "simpson"))
    return names["main"], runs


def test_without_a_name_every_lesson_is_made_over_every_seed(tool, tmp_path):
    main, runs = tool
    main(["--folder", str(tmp_path), "--seeds", "3", "--first", "11", "--size", "7"])
    assert runs == [(lesson, seed) for lesson in ("gaps", "simpson") for seed in (11, 12, 13)]
    table = tables.read("simpson", tmp_path)
    assert table.rows["value"].tolist() == pytest.approx([11 / 7, 12 / 7, 13 / 7], rel=1e-5)
    assert table.provenance["command"] == (
        "python tools/make_lessons.py simpson --first 11 --seeds 3 --size 7"
    )


def test_rows_that_this_code_made_are_kept_and_others_made_again(tool, tmp_path, monkeypatch):
    main, runs = tool
    main(["gaps", "--folder", str(tmp_path), "--seeds", "2", "--size", "7"])
    main(["gaps", "--folder", str(tmp_path), "--seeds", "3", "--size", "7"])
    assert runs == [("gaps", 1000), ("gaps", 1001), ("gaps", 1002)]
    monkeypatch.setattr(tables, "digest", lambda lesson: "other code")
    main(["gaps", "--folder", str(tmp_path), "--seeds", "2", "--size", "7"])
    assert runs[3:] == [("gaps", 1000), ("gaps", 1001)]


def test_a_table_is_compared_with_what_the_code_gives_now(tool, tmp_path, monkeypatch, capsys):
    main, runs = tool
    options = ["--folder", str(tmp_path), "--size", "7"]
    main([*options, "--seeds", "4"])
    runs.clear()
    with pytest.raises(SystemExit) as same:
        main([*options, "--compare", "2"])
    assert same.value.code == 0
    assert runs == [(lesson, seed) for lesson in ("gaps", "simpson") for seed in (1000, 1001)]
    table = tmp_path / "gaps.csv"
    table.write_text(table.read_text().replace(",7,142.857", ",7,99.0"))
    with pytest.raises(SystemExit, match=r"gaps seed 1000: value is 142\.857\d+, and was 99\.0"):
        main([*options, "--compare", "1"])
    monkeypatch.setattr(tables, "digest", lambda lesson: "another")
    with pytest.raises(SystemExit, match="simpson: the code has changed since its table was made"):
        main([*options, "simpson", "--compare", "1"])


def test_readings_of_a_clock_are_not_compared(tool, tmp_path, monkeypatch, capsys):
    main, runs = tool
    options = ["--folder", str(tmp_path), "--size", "7"]
    main([*options, "--seeds", "2"])
    runs.clear()
    gaps = tmp_path / "gaps.csv"
    text = gaps.read_text().replace("people,value", "people,value_seconds")
    gaps.write_text(text.replace(",142.857", ",99.0"))
    run = sys.modules["recflax.lessons.gaps"].run

    def timed(seed, size):
        return {"seed": seed, "people": size, "value_seconds": run(seed, size)["value"]}

    monkeypatch.setattr(sys.modules["recflax.lessons.gaps"], "run", timed)
    monkeypatch.setitem(main.__globals__, "CLOCKS", ("simpson",))
    with pytest.raises(SystemExit) as same:
        main([*options, "--compare", "1"])
    assert same.value.code == 0
    assert runs == [("gaps", 1000)]
    assert "simpson: not compared, since it reads a clock" in capsys.readouterr().out


def test_a_lesson_on_real_data_is_left_alone_without_them(tool, tmp_path, monkeypatch, capsys):
    main, runs = tool
    monkeypatch.setitem(main.__globals__, "REAL", {"simpson": (2, coat)})
    options = ["--folder", str(tmp_path), "--size", "7", "--seeds", "4"]
    monkeypatch.setattr("recflax.data.coat.available", lambda: False)
    main([*options, "simpson"])
    assert runs == []
    assert "left as it is" in capsys.readouterr().out
    monkeypatch.setattr("recflax.data.coat.available", lambda: True)
    main([*options, "simpson"])
    assert runs == [("simpson", 1000), ("simpson", 1001)]


def test_an_unknown_lesson_is_named(tool, tmp_path, capsys):
    main, runs = tool
    with pytest.raises(SystemExit):
        main(["gap", "--folder", str(tmp_path)])
    assert "no lesson is called 'gap'" in capsys.readouterr().err
    assert not runs
