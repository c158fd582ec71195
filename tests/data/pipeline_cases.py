"""A hard little shop, and the pandas path beside the pipeline: for small logs and for the real one.

The engine is the one whose address stands in ``RECFLAX_ENGINE``; without it, DuckDB.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from recflax.data import engines, pipeline
from recflax.data.batches import history_batch
from recflax.data.cleaning import LINES, clean, to_log

ENGINE = os.environ.get("RECFLAX_ENGINE", "duckdb://")


def start() -> Any:
    """The engine to test."""
    few = {"spark.sql.shuffle.partitions": "2", "spark.log.level": "ERROR"}
    return engines.connect(ENGINE, threads=2, options=few if ENGINE == "spark" else None)


def stored(folder: Path) -> pd.DataFrame:
    """A table as it lies on the disk, in the order of its parts."""
    parts = [pq.read_table(path).to_pandas() for path in sorted(folder.glob("*.parquet"))]
    return pd.concat(parts, ignore_index=True)


def hard_lines(seed: int, n: int = 1100) -> pd.DataFrame:
    """Lines with ties, copies, gaps, cancellations, prices that are none, and many alphabets."""
    rng = np.random.default_rng(seed)

    def some(*values: Any) -> np.ndarray:
        return rng.choice(np.array(values, dtype=object), size=n)

    frame = pd.DataFrame(
        {
            "invoice": rng.integers(0, n // 3, size=n).astype(str),
            "code": some("007", "08", "Z1", "z1", "é", "e", "漢", "😀", "POST", "m", None),
            "description": some("RED MUG", "red mug", "漢字", "😀", "", None),
            "quantity": rng.choice([1, 2, 3, 5, 7, 0, -1, np.nan], size=n),
            "time": pd.Timestamp("2011-01-01") + pd.to_timedelta(rng.integers(0, 7, n), unit="D"),
            "price": rng.choice([2.5, 0.1, 3.3, 7.0, 0.0, -1.0, np.nan], size=n),
            "customer": some("anna", "Bo", "bo", "é", "漢", "", " 9", "10", None),
            "country": some("Norway", None),
        }
    )
    frame.loc[rng.random(n) < 0.05, "time"] = pd.NaT
    cancelled = rng.random(n) < 0.3
    frame.loc[cancelled, "invoice"] = "C" + frame["invoice"]
    frame.loc[cancelled, "quantity"] *= -1
    frame = pd.concat([frame, frame.sample(n // 5, random_state=seed)])
    frame = frame.sample(frac=1.0, random_state=seed, ignore_index=True)
    return frame.astype({name: "str" for name in LINES if frame[name].dtype == object})


def agree(
    lines: pd.DataFrame,
    home: Path,
    connection: Any,
    *,
    missing: str = "drop",
    length: int = 3,
    moments: tuple[str | None, ...] = (None, "2011-01-04"),
    size: int = 5,
) -> int:
    """Assert that every table and array is that of the pandas path; return the number of events."""
    lines = lines.assign(time=lines["time"].astype("datetime64[us]"))  # pandas 2 counts nanoseconds
    wanted, wanted_report = clean(lines, missing=missing)
    wanted = wanted.astype({"code": "str", "customer": "str"})
    log = to_log(wanted)

    blocks = (lines[first : first + 211_000] for first in range(0, len(lines), 211_000))
    assert engines.write_lines(blocks, home / "lines") == len(lines)
    table = engines.read(connection, home / "lines")
    single = engines.store(pipeline.distinct(table), home / "distinct")
    judged = engines.store(pipeline.judge(single, missing=missing), home / "judged")
    report = pipeline.report(judged)
    pd.testing.assert_frame_equal(report.table, wanted_report.table)
    assert (report.lines_in, report.lines_out) == (len(lines), len(wanted))

    kept = engines.store(pipeline.kept(judged).order_by("row"), home / "kept")
    found = stored(home / "kept")
    assert found["row"].is_monotonic_increasing
    pd.testing.assert_frame_equal(found[list(LINES)], wanted)
    ids = [
        engines.store(getattr(pipeline, name)(kept), home / name)
        for name in ("people", "items", "visits")
    ]
    numbered = stored(home / "people").sort_values("person")
    assert numbered["customer"].tolist() == log.person_labels.tolist()
    assert numbered["person"].tolist() == list(range(log.n_people))
    numbered = stored(home / "items").sort_values("item")
    assert numbered["code"].tolist() == log.items["code"].tolist()
    assert numbered["item"].tolist() == log.items["item"].tolist()

    bought = engines.store(pipeline.purchases(kept, *ids), home / "purchases")
    found = stored(home / "purchases").sort_values(["person", "visit", "row"], ignore_index=True)
    # a price is a mean, and sums of floats depend on their order
    pd.testing.assert_frame_equal(found[log.purchases.columns], log.purchases, rtol=1e-12)
    events = engines.store(pipeline.events(bought).order_by(["person", "place"]), home / "events")
    pd.testing.assert_frame_equal(stored(home / "events")[log.events.columns], log.events)

    everybody = np.arange(log.n_people)
    for place, before in enumerate(moments):
        folder = home / f"histories_{place}"
        engines.store(pipeline.histories(events, length=length, before=before), folder)
        blocks = list(engines.batches(folder, length=length, n_items=log.n_items, size=size))
        assert [len(people) for people, _ in blocks[:-1]] == [size] * (len(blocks) - 1)
        np.testing.assert_array_equal(np.concatenate([people for people, _ in blocks]), everybody)
        before = None if before is None else pd.Timestamp(before)
        batch = history_batch(
            log.events, everybody, length=length, n_items=log.n_items, before=before
        )
        for name in ("history", "bought", "mask"):
            found = np.concatenate([getattr(block, name) for _, block in blocks])
            np.testing.assert_array_equal(found, getattr(batch, name), strict=True)
    return len(log.events)
