import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recflax.lessons import tables


def rows(n=11, seed=3):
    draws = np.random.default_rng(seed).normal(5.0, 1.0, size=n)
    return [{"seed": 100 + i, "people": 7, "value": float(v)} for i, v in enumerate(draws)]


@pytest.fixture
def table(tmp_path):
    tables.write(tmp_path, "gaps", rows(), command="python make.py gaps")
    return tables.read("gaps", tmp_path)


def test_what_is_written_is_read(table):
    assert table.lesson == "gaps"
    assert table.provenance["command"] == "python make.py gaps"
    assert {"python", "numpy", "jax", "flax", "optax"} <= set(table.provenance)
    wanted = [row["value"] for row in rows()]
    np.testing.assert_allclose([row["value"] for row in table.records], wanted, rtol=1e-5)
    assert table.row(103)["value"] == pytest.approx(wanted[3], rel=1e-5)
    assert not table.moved_on


def test_a_table_says_where_it_comes_from_and_whether_it_is_old(table, monkeypatch):
    assert table.origin.startswith("11 seeds, 100 to 110, made by `python make.py gaps`")
    assert table.origin.endswith("has not changed since.")
    monkeypatch.setattr(tables, "digest", lambda lesson: "other code")
    assert "has changed since: `make lessons`" in table.origin


def test_rows_are_sorted_and_seeds_are_unique(tmp_path):
    tables.write(tmp_path, "gaps", rows()[::-1], command="c")
    assert tables.read("gaps", tmp_path).rows["seed"].is_monotonic_increasing
    with pytest.raises(ValueError, match="seed 100 comes twice"):
        tables.write(tmp_path, "gaps", rows() + rows()[:1], command="c")
    with pytest.raises(ValueError, match="non-empty"):
        tables.write(tmp_path, "gaps", [], command="c")


def test_a_full_disk_costs_no_row_that_was_there(tmp_path, monkeypatch):
    path = tables.write(tmp_path, "gaps", [{"seed": 1, "people": 7}], command="made")
    before = path.read_text("utf-8")
    write_text = Path.write_text

    def full(path, text, **options):
        write_text(path, text[: len(text) // 2], **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        tables.write(tmp_path, "gaps", [{"seed": 2, "people": 7}], command="made")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_text("utf-8") == before


def test_a_file_without_its_provenance_is_refused(tmp_path):
    pd.DataFrame(rows()).to_csv(tmp_path / "gaps.csv", index=False)
    with pytest.raises(ValueError, match="does not state code, command, lesson"):
        tables.read("gaps", tmp_path)


def test_a_package_without_its_tables_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_PACKAGE", tmp_path / "recflax")
    with pytest.raises(FileNotFoundError, match="no lesson tables in _tables or tables"):
        tables.tables_folder()


def test_an_unknown_seed_or_lesson_is_named(table):
    with pytest.raises(KeyError, match="0 rows of seed 99"):
        table.row(99)
    with pytest.raises(ValueError, match="no_such_lesson"):
        tables.code_behind("no_such_lesson")


def package(tmp_path, monkeypatch, store="SIZE = 3\n"):
    """A tiny package of the same shape, whose files a test may change."""
    root = tmp_path / "recflax"
    for folder in (root, root / "lessons", root / "worlds"):
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
    (root / "worlds" / "store.py").write_text(store)
    (root / "unused.py").write_text("A = 1\n")
    (root / "lessons" / "gaps.py").write_text("from recflax.worlds.store import SIZE\n")
    monkeypatch.setattr(tables, "_PACKAGE", root)
    return root


def test_the_digest_follows_imports_and_nothing_else(tmp_path, monkeypatch):
    root = package(tmp_path, monkeypatch)
    before = tables.digest("gaps")
    assert "recflax.worlds.store" in tables.code_behind("gaps")
    (root / "unused.py").write_text("A = 2\n")
    assert tables.digest("gaps") == before
    (root / "worlds" / "store.py").write_text("SIZE = 5\n")
    assert tables.digest("gaps") != before


def test_a_better_docstring_does_not_make_a_table_old(tmp_path, monkeypatch):
    package(tmp_path, monkeypatch, 'def f(x):\n    """Old."""\n    return x\n')
    before = tables.digest("gaps")
    reworded = '# why\n\ndef f(x):\n    """New,\n\n    and longer."""\n    return x\n'
    package(tmp_path, monkeypatch, reworded)
    assert tables.digest("gaps") == before
    package(tmp_path, monkeypatch, 'def f(x):\n    """Old."""\n    return -x\n')
    assert tables.digest("gaps") != before


def test_a_claim_does_not_make_a_table_old_and_a_function_does(tmp_path, monkeypatch):
    root = package(tmp_path, monkeypatch)
    lesson = root / "lessons" / "gaps.py"
    text = "from recflax.worlds.store import SIZE\n\n\ndef {}(rows):\n    return {}\n"
    lesson.write_text(text.format("claims", 1))
    before = tables.digest("gaps")
    lesson.write_text(text.format("claims", 2))
    assert tables.digest("gaps") == before
    lesson.write_text(text.format("run", 2))
    assert tables.digest("gaps") != before


def test_changed_code_is_said(table, tmp_path, monkeypatch):
    assert not table.moved_on
    package(tmp_path, monkeypatch)
    assert table.moved_on


def test_the_first_seed_repeats_within_tolerance_or_fails(table):
    stored = table.row(104)
    fresh = dict(stored, value=stored["value"] + 0.01)
    assert tables.differences(fresh, table, {"value": 0.02})["value"] == pytest.approx(0.01)
    with pytest.raises(AssertionError, match=r"value .* tolerance 0\.00500"):
        tables.differences(fresh, table, {"value": 0.005})
    with pytest.raises(AssertionError, match="does not repeat"):
        tables.differences(dict(fresh, value=float("nan")), table, {"value": 0.02})


def test_another_seed_must_lie_where_the_table_predicts(table):
    centre = float(table.rows["value"].mean())
    assert tables.outside({"seed": 1, "value": centre}, table, ["value"]) == {}
    far = tables.outside({"seed": 1, "value": centre + 20.0}, table, ["value"])
    value, lower, upper = far["value"]
    assert lower < centre < upper < value
    with pytest.raises(ValueError, match="seed 104 is in the table"):
        tables.outside({"seed": 104, "value": centre}, table, ["value"])


def test_more_columns_make_the_prediction_wider():
    frame = pd.DataFrame(rows()).assign(other=lambda f: f["value"])
    table = tables.Table("gaps", frame, {})
    reach = {}
    for columns in (["value"], ["value", "other"]):
        found = tables.outside({"seed": 1, "value": 1e9, "other": 1e9}, table, columns)
        reach[len(columns)] = found["value"][2]
    assert reach[2] > reach[1]
