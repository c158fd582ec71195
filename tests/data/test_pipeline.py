"""The pipeline is the pandas path, row for row, on whichever engine ``RECFLAX_ENGINE`` names."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from recflax.data import engines, pipeline
from recflax.data.cleaning import LINES
from recflax.data.logs import tiny_log
from tests.data.pipeline_cases import ENGINE, agree, hard_lines, start, stored


@pytest.fixture(scope="module")
def connection() -> Any:
    return start()


def table(connection, home: Path, **changes: list) -> Any:
    """Four lines of one customer as a table of the engine; a change of None drops the column."""
    columns = {
        "row": [0, 1, 2, 3],
        "invoice": ["1", "1", "C2", "3"],
        "code": ["07", "08", "07", "07"],
        "description": ["red mug", "lamp", "red mug", "red mug"],
        "quantity": [6, 1, -2, 3],
        "time": pd.to_datetime(["2011-01-01", "2011-01-01", "2011-01-02", "2011-01-03"]),
        "price": [2.5, 9.0, 2.5, 2.5],
        "customer": ["17"] * 4,
        "country": ["Norway"] * 4,
    }
    columns = {name: value for name, value in {**columns, **changes}.items() if value is not None}
    (home / "table").mkdir()
    pa.parquet.write_table(
        pa.table(columns), home / "table" / "one.parquet", coerce_timestamps="us"
    )
    return engines.read(connection, home / "table")


def test_the_engine_is_the_one_that_was_asked_for(connection) -> None:
    assert connection.name == {"duckdb://": "duckdb", "spark": "pyspark"}[ENGINE]


@pytest.mark.parametrize(("seed", "missing"), [(2, "drop"), (3, "fill"), (5, "fill")])
def test_hard_logs_come_out_as_in_pandas(connection, tmp_path, seed, missing) -> None:
    assert agree(hard_lines(seed), tmp_path, connection, missing=missing) > 100


def test_a_log_by_hand(connection, tmp_path) -> None:
    judged = engines.store(
        pipeline.judge(pipeline.distinct(table(connection, tmp_path))), tmp_path / "judged"
    )
    kept = engines.store(pipeline.kept(judged), tmp_path / "kept")
    found = stored(tmp_path / "kept").sort_values("row")
    assert found["quantity"].tolist() == [4, 1, 3]  # 2 of the 6 mugs came back
    ids = [make(kept) for make in (pipeline.people, pipeline.items, pipeline.visits)]
    engines.store(pipeline.purchases(kept, *ids), tmp_path / "purchases")
    found = stored(tmp_path / "purchases").sort_values(["visit", "item"])
    assert found[["person", "visit", "item", "quantity", "price"]].to_numpy().tolist() == [
        [0, 0, 1, 4, 2.5],
        [0, 0, 2, 1, 9.0],
        [0, 1, 1, 3, 2.5],
    ]


def test_a_price_of_nan_is_a_missing_price(connection, tmp_path) -> None:
    lines = table(connection, tmp_path, price=[float("nan"), 9.0, 2.5, None])
    report = pipeline.report(pipeline.judge(pipeline.distinct(lines)))
    assert report.table.set_index("rule").loc["price not above 0", "dropped"] == 2


def test_times_may_be_integers_and_events_views(connection, tmp_path) -> None:
    (tmp_path / "events").mkdir()
    log = tiny_log()
    pa.parquet.write_table(pa.Table.from_pandas(log.events), tmp_path / "events" / "one.parquet")
    events = engines.read(connection, tmp_path / "events")
    engines.store(pipeline.histories(events, length=3, before=20), tmp_path / "histories")
    ((people, batch),) = engines.batches(tmp_path / "histories", length=3, n_items=3)
    assert people.tolist() == [0, 1]
    assert batch.history.tolist() == [[0, 1, 2], [0, 0, 3]]
    assert batch.bought.tolist() == [[False, True, False], [False, False, True]]
    with pytest.raises(TypeError, match="before is '2011-01-01', but time is int64"):
        pipeline.histories(events, length=3, before="2011-01-01")


def first_copy_forgotten(monkeypatch) -> None:
    def every_line(lines: Any) -> Any:
        return lines.select("row", *LINES, copies=1)

    monkeypatch.setattr(pipeline, "distinct", every_line)


def cancellations_forgotten(monkeypatch) -> None:
    def all_left(sales: Any, cancelled: Any) -> Any:
        return sales.select("row", left=sales.quantity)

    monkeypatch.setattr(pipeline, "_quantity_left", all_left)


def ties_by_nothing(monkeypatch) -> None:
    """Numbers rows by the first key alone, and turns the rest around."""
    rank = pipeline._rank

    def other(order_by: list, group_by: list | None = None) -> Any:
        return rank([order_by[0], *(key.desc() for key in order_by[1:])], group_by)

    monkeypatch.setattr(pipeline, "_rank", other)


@pytest.mark.parametrize("broken", [first_copy_forgotten, cancellations_forgotten, ties_by_nothing])
def test_what_is_broken_on_purpose_is_seen(connection, tmp_path, monkeypatch, broken) -> None:
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        agree(hard_lines(2), tmp_path, connection)  # unbroken, it agrees: the first test


def test_wrong_tables_are_named(connection, tmp_path) -> None:
    lines = table(connection, tmp_path)
    with pytest.raises(TypeError, match="lines must be an Ibis table, not DataFrame"):
        pipeline.distinct(stored(tmp_path / "table"))
    with pytest.raises(ValueError, match=r"lacks the columns \['code'\].*\['StockCode'\]"):
        pipeline.distinct(lines.rename(StockCode="code"))
    with pytest.raises(ValueError, match="missing must be 'drop' or 'fill'; got 'keep'"):
        pipeline.judge(pipeline.distinct(lines), missing="keep")
    with pytest.raises(ValueError, match=r"lacks the columns \['copies'\]"):
        pipeline.judge(lines)
    with pytest.raises(ValueError, match=r"lacks the columns \['place', 'item', 'bought'\]"):
        pipeline.histories(lines.mutate(person=1), length=3)
    ids = [make(lines) for make in (pipeline.people, pipeline.items, pipeline.visits)]
    with pytest.raises(ValueError, match=r"people lacks the columns \['customer', 'person'\]"):
        pipeline.purchases(lines, *reversed(ids))
    with pytest.raises(ValueError, match="length must be at least 1; got 0"):
        pipeline.histories(lines.mutate(person=1, place=1, item=1, bought=True), length=0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"quantity": [6.0, 1.0, -2.0, 3.0]},
            TypeError,
            "quantity must hold integers, not float64",
        ),
        ({"customer": [17] * 4}, TypeError, "lines.customer must hold text, not int64"),
        ({"price": ["2.5"] * 4}, TypeError, "lines.price must hold numbers, not string"),
        ({"time": ["2011-01-01"] * 4}, TypeError, "lines.time must hold times, not string"),
        (
            {"invoice": ["1", None, "3", None]},
            ValueError,
            "lines.invoice must be a name; row 1 has none",
        ),
        (
            {"price": [2.5, 9.0, float("inf"), 1.0]},
            ValueError,
            "lines.price must be finite; row 2 is not",
        ),
        ({"row": None}, ValueError, r"lines lacks the columns \['row'\]"),
    ],
)
def test_wrong_lines_are_named(connection, tmp_path, changes, error, message) -> None:
    with pytest.raises(error, match=message):
        pipeline.distinct(table(connection, tmp_path, **changes))
