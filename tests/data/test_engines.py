"""Engines by address, tables in and arrays out: what needs no second engine."""

import subprocess
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recflax.data import engines
from recflax.data.batches import history_batch
from tests.data.pipeline_cases import hard_lines, stored


@pytest.mark.parametrize("address", ["", "duckdb", "sqlite://", "sparks", "spark:local"])
def test_another_address_is_an_error(address) -> None:
    with pytest.raises(ValueError, match=r"address must be .*duckdb://.*; got '" + address):
        engines.connect(address)
    with pytest.raises(ValueError, match="threads must be at least 1; got 0"):
        engines.connect(threads=0)


@pytest.mark.parametrize(
    ("package", "address", "install"),
    [
        ("ibis", "duckdb://", r"recflax\[pipeline\]"),
        ("duckdb", "duckdb://", r"recflax\[pipeline\]"),
        ("pyspark", "spark", r"ibis-framework\[pyspark\]"),
    ],
)
def test_a_missing_package_says_what_to_install(monkeypatch, package, address, install) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=f'needs {package}: pip install "{install}"'):
        engines.connect(address)


def test_a_package_that_misses_another_one_is_not_blamed(monkeypatch, tmp_path) -> None:
    (tmp_path / "broken_engine.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'what_it_needs'"):
        engines.require("broken_engine")


def test_spark_without_java_says_so(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", types.ModuleType("pyspark"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(RuntimeError, match="Spark needs Java"):
        engines.connect("spark")


def test_the_library_needs_none_of_these_packages_to_be_imported() -> None:
    """In a process of its own, in which they cannot be imported."""
    code = (
        "import sys; sys.modules.update(ibis=None, duckdb=None, pyarrow=None, pyspark=None); "
        "import recflax.data.pipeline, recflax.data.engines, recflax.data.online_retail"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_duckdb_keeps_what_it_was_told(tmp_path) -> None:
    database, spill = tmp_path / "shop.duckdb", tmp_path / "spill"
    options = {"default_order": "desc"}
    connection = engines.connect(
        f"duckdb://{database}", memory="1GiB", spill=spill, threads=3, options=options
    )
    names = ("memory_limit", "temp_directory", "threads", "default_order")
    asked = ", ".join(f"current_setting('{name}')" for name in names)
    limit, folder, threads, order = connection.raw_sql(f"select {asked}").fetchone()
    assert (limit, folder, threads, order.upper()[:4]) == ("1.0 GiB", str(spill), 3, "DESC")
    connection.raw_sql("create table kept as select 7 as a")
    connection.disconnect()
    again = engines.connect(f"duckdb://{database}")
    assert again.table("kept").to_pyarrow().to_pydict() == {"a": [7]}
    again.disconnect()


def test_lines_keep_their_place_over_several_frames(tmp_path) -> None:
    lines = hard_lines(7, 101)
    lines["time"] = lines["time"].astype("datetime64[us]")  # pandas 2 counts nanoseconds
    parts = [lines[:17], lines[17:17], lines[17:60], lines[60:]]
    assert engines.write_lines(iter(parts), tmp_path / "parts") == len(lines)
    assert engines.write_lines(lines, tmp_path / "one") == len(lines)
    assert len(list((tmp_path / "parts").iterdir())) == 4
    found = stored(tmp_path / "parts")
    assert found["row"].tolist() == list(range(len(lines)))
    pd.testing.assert_frame_equal(found, stored(tmp_path / "one"))
    pd.testing.assert_frame_equal(
        found.drop(columns="row"), lines, check_dtype=False, check_column_type=False
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"quantity": 2.5}, ValueError, "lines.quantity must be whole pieces; row 0 has .*2.5"),
        ({"quantity": 1e300}, ValueError, "lines.quantity must fit int64"),
        ({"price": "2.5"}, TypeError, "lines.price must hold numbers"),
        ({"customer": 17}, TypeError, "lines.customer must hold string"),
        ({"time": pd.Timestamp(1)}, ValueError, r"lines.time must fit timestamp\[us\]"),
        ({"time": "2011-01-01"}, TypeError, "lines.time must be datetime64"),
    ],
)
def test_lines_that_do_not_fit_are_named_and_leave_nothing(
    tmp_path, change, error, message
) -> None:
    lines = hard_lines(3, 11)
    with pytest.raises(error, match=message):
        engines.write_lines([lines, lines.assign(**change)], tmp_path / "lines")
    assert list(tmp_path.iterdir()) == []


def test_folders_are_never_written_over_and_never_half_written(tmp_path) -> None:
    lines = hard_lines(3, 11)
    with pytest.raises(FileNotFoundError, match=r"holds no \.parquet file"):
        engines.write_lines([], tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"lines holds no \.parquet file"):
        engines.read(engines.connect(), tmp_path / "lines")
    engines.write_lines(lines, tmp_path / "lines")
    with pytest.raises(FileExistsError, match="lines exists, and nothing is written over"):
        engines.write_lines(lines, tmp_path / "lines")
    table = engines.read(engines.connect(), tmp_path / "lines")
    with pytest.raises(FileExistsError, match="lines exists"):
        engines.store(table, tmp_path / "lines")
    with pytest.raises(Exception, match="Could not convert"):
        engines.store(table.mutate(code=table.code.cast("int64")), tmp_path / "numbers")
    assert [path.name for path in tmp_path.iterdir()] == ["lines"]


# ibis 12 asks for a query's columns by a name that duckdb calls old; the answer is the same
@pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")
def test_a_table_larger_than_the_memory_is_ordered_on_the_disk(tmp_path) -> None:
    """A million rows of text do not fit in 64 MB; they come back in order, part by part."""
    sql = "select hash(range) as person, md5(range::varchar) as text from range(1000000)"
    for options in ({"temp_directory": ""}, None):
        connection = engines.connect(
            memory="64MB", spill=tmp_path / "spill", threads=1, options=options
        )
        ordered = connection.sql(sql).order_by("person")
        if options:  # nowhere to go
            with pytest.raises(Exception, match="Out of Memory"):
                engines.store(ordered, tmp_path / "ordered")
    engines.store(ordered, tmp_path / "ordered")
    (path,) = (tmp_path / "ordered").iterdir()
    last, rows = -1, 0
    for block in pq.ParquetFile(path).iter_batches(columns=["person"]):
        person = block["person"].to_numpy()
        assert person[0] > last
        assert (person[1:] > person[:-1]).all()
        last, rows = person[-1], rows + len(person)
    assert rows == 1_000_000


@given(
    counts=st.lists(st.integers(1, 7), min_size=1, max_size=11),
    length=st.integers(1, 5),
    size=st.integers(1, 13),
    files=st.integers(1, 3),
)
def test_blocks_give_the_histories_whatever_their_size(counts, length, size, files) -> None:
    """Of one file or several, of people whose rows the blocks and files cut apart."""
    person = np.repeat(np.arange(len(counts)), counts)
    place = np.concatenate([np.arange(count) for count in counts])
    item, bought = (np.arange(len(person)) * 3) % 11 + 1, np.arange(len(person)) % 2 == 0
    back = np.repeat(counts, counts) - 1 - place
    table = pa.table({"person": person, "back": back, "item": item, "bought": bought})
    with tempfile.TemporaryDirectory() as home:
        step = -(-len(person) // files)
        for part in range(files):
            rows = table.slice(part * step, step)
            pq.write_table(rows, Path(home) / f"part-{part}.parquet", row_group_size=5)
        blocks = list(engines.batches(home, length=length, n_items=11, size=size))
    events = pd.DataFrame(
        {"person": person, "place": place, "time": place, "item": item, "bought": bought}
    )
    wanted = history_batch(events, np.arange(len(counts)), length=length, n_items=11)
    assert [len(people) for people, _ in blocks[:-1]] == [size] * (len(blocks) - 1)
    people = np.concatenate([people for people, _ in blocks])
    np.testing.assert_array_equal(people, np.arange(len(counts)))
    for name in ("history", "bought", "mask"):
        found = np.concatenate([getattr(batch, name) for _, batch in blocks])
        np.testing.assert_array_equal(found, getattr(wanted, name))


def test_nobody_is_no_block(tmp_path) -> None:
    rows = {"person": pa.array([], pa.int64()), "back": pa.array([], pa.int64())}
    rows |= {"item": pa.array([], pa.int64()), "bought": pa.array([], pa.bool_())}
    pq.write_table(pa.table(rows), tmp_path / "one.parquet")
    assert list(engines.batches(tmp_path, length=2, n_items=9)) == []


def test_wrong_blocks_are_named(tmp_path) -> None:
    rows = {"person": [0, 2, 1], "back": [0, 0, 0], "item": [1, 9, 3], "bought": [True] * 3}
    pq.write_table(pa.table(rows), tmp_path / "one.parquet")
    with pytest.raises(ValueError, match="must be ordered by person"):
        list(engines.batches(tmp_path, length=2, n_items=9))
    pq.write_table(pa.table(rows | {"person": [0, 1, 2]}), tmp_path / "one.parquet")
    with pytest.raises(ValueError, match="history holds the id 9 at"):
        list(engines.batches(tmp_path, length=2, n_items=8))
    for wrong in ({"length": 0}, {"size": 0}):
        with pytest.raises(ValueError, match="must be at least 1; got 0"):
            list(engines.batches(tmp_path, **{"length": 2, "n_items": 9} | wrong))
