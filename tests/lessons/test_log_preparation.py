"""The two ways to prepare a log give one answer, and the claims would notice if they did not."""

import subprocess

import pandas as pd
import pytest

from recflax.lessons import log_preparation
from recflax.lessons.log_preparation import SIZES, claims, measure, run, simulate
from recflax.lessons.statements import by_name

LINES = 2_003
COUNTS = ("lines", "kept", "people", "in_histories", "histories_hash")


def test_a_small_shop_in_both_ways(tmp_path) -> None:
    simulate(tmp_path, LINES, seed=3)
    lines = pd.read_parquet(tmp_path / "lines").sort_values("row", ignore_index=True)
    assert lines["row"].tolist() == list(range(LINES))
    cancelled = lines["invoice"].str.startswith("C")
    assert 0 < cancelled.mean() < 0.05
    assert (lines["quantity"] < 0).equals(cancelled)
    assert lines["customer"].nunique() <= LINES // 50
    assert 0.1 < lines["customer"].isna().mean() < 0.3

    one, other = (measure(way, tmp_path) for way in ("pandas", "duckdb"))
    assert {key: one[key] for key in COUNTS} == {key: other[key] for key in COUNTS}
    assert one["lines"] == LINES
    assert 0 < one["kept"] < LINES
    assert one["peak_gb"] > 0.05
    assert one["clean"] > 0


def test_the_seed_makes_the_shop(tmp_path) -> None:
    found = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / name).mkdir()
        simulate(tmp_path / name, 211, seed=seed)
        found.append(pd.read_parquet(tmp_path / name / "lines").sort_values("row"))
    assert found[0].equals(found[1])
    assert not found[0].equals(found[2])


def test_a_row(monkeypatch) -> None:
    monkeypatch.setattr(log_preparation, "SIZES", (1_009, 10_007))
    row = run(5, 2)
    assert set(row) == {
        *("seed", "people", "same_1009"),
        *("pandas_1009_seconds", "pandas_1009_gb", "duckdb_1009_seconds", "duckdb_1009_gb"),
    }
    assert row["same_1009"] == 1


def rows(pandas: float = 6.0, duckdb: float = 1.2, same: float = 1.0) -> list[dict]:
    return [
        {
            "seed": seed,
            **{f"same_{lines}": same for lines in SIZES},
            "pandas_1000000_gb": 0.7,
            "pandas_10000000_gb": pandas + 0.01 * seed,
            "duckdb_1000000_gb": 0.5,
            "duckdb_10000000_gb": duckdb + 0.01 * seed,
        }
        for seed in range(3)
    ]


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        ({"pandas": 1.0}, "prepare-pandas-grows"),
        ({"duckdb": 5.0}, "prepare-duckdb-keeps-its-limit"),
        ({"same": 0.0}, "prepare-same-arrays"),
    ],
)
def test_claims_hold_and_fail(broken, name) -> None:
    assert all(statement.holds for statement in claims(rows()))
    assert not by_name(claims(rows(**broken)))[name].holds


def test_what_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="lines must be at least 1; got 0"):
        simulate(tmp_path, 0, seed=1)
    with pytest.raises(ValueError, match="way must be one of pandas, duckdb; got 'spark'"):
        measure("spark", tmp_path)
    with pytest.raises(ValueError, match="size must be at least 100; got 99"):
        run(1, 99)
    with pytest.raises(subprocess.CalledProcessError):
        measure("pandas", tmp_path / "nowhere")
