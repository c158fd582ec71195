"""Facts of the real file, and the split of chapter 1. Collected only where the data are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recflax.data import online_retail
from recflax.data.baskets import first_baskets, item_matrix, next_basket, purchase_counts
from recflax.data.cleaning import clean, to_log
from recflax.data.logs import Log, keep_known_items, split_by_time


@pytest.fixture(scope="module")
def lines(data_dir: Path) -> pd.DataFrame:
    return online_retail.load(data_dir / "online_retail" / "online_retail.csv.xz")


@pytest.fixture(scope="module")
def log(lines: pd.DataFrame) -> Log:
    return to_log(online_retail.plain_sales(lines))


def test_the_file_is_found() -> None:
    assert online_retail.available()


def test_the_published_counts(lines) -> None:
    assert len(lines) == 541_909
    assert lines[["invoice", "code", "customer", "country"]].nunique().tolist() == [
        25_900,
        4_070,
        4_372,
        38,
    ]
    assert lines["customer"].isna().sum() == 135_080
    assert lines.duplicated().sum() == 5_268
    np.testing.assert_allclose((lines["quantity"] * lines["price"]).sum(), 9_747_747.934, rtol=1e-9)
    assert lines["time"].min() == pd.Timestamp("2010-12-01 08:26")
    assert lines["time"].max().date() == pd.Timestamp("2011-12-09").date()


def test_sales_of_known_customers(lines) -> None:
    kept = lines["customer"].notna() & ~lines["invoice"].str.startswith("C")
    sales = lines[kept & (lines["quantity"] > 0) & (lines["price"] > 0)]
    assert len(sales) == 397_884
    assert (sales["customer"].nunique(), sales["code"].nunique()) == (4_338, 3_665)
    rows = sales.drop_duplicates(["customer", "code", "invoice"])
    assert round(rows.duplicated(["customer", "code"]).mean(), 2) == 0.31


def test_codes_of_no_product_are_in_the_file(lines) -> None:
    found = set(online_retail.NON_PRODUCT_CODES) & set(lines["code"])
    assert found >= {"POST", "C2", "M", "BANK CHARGES", "PADS", "DOT"}


def test_repeat_purchases_are_kept(log) -> None:
    assert round(log.purchases.duplicated(["person", "item"]).mean(), 2) == 0.31


def test_the_columnar_copy_is_the_same_frame(lines, tmp_path) -> None:
    online_retail._save_columns(lines, tmp_path / "copy.npz")
    pd.testing.assert_frame_equal(online_retail._load_columns(tmp_path / "copy.npz"), lines)


@pytest.mark.parametrize("missing", ["drop", "fill"])
def test_the_report_accounts_for_every_line(lines, missing) -> None:
    kept, report = clean(lines, missing=missing)
    dropped = report.table.set_index("rule")["dropped"]
    changed = report.table.set_index("rule")["changed"]
    assert report.lines_in - dropped.sum() == report.lines_out == len(kept)
    assert dropped["exact copy"] == 5_268
    assert changed["sale cancelled in part"] > 0
    gaps = 135_080 - lines[lines.duplicated()]["customer"].isna().sum()
    assert dropped["no customer"] + changed["no customer"] == gaps
    assert kept["quantity"].min() > 0


def test_cancelled_pieces_are_conserved(lines) -> None:
    """What sales lose is what matched cancellations took: no piece appears or is lost."""
    kept, report = clean(lines)
    before = lines.drop_duplicates()
    before = before[before["customer"].notna() & (before["price"] > 0)]
    before = before[~before["code"].isin(online_retail.NON_PRODUCT_CODES)]
    cancelled = before["invoice"].str.startswith("C")
    sold = before.loc[~cancelled & (before["quantity"] > 0), "quantity"].sum()
    asked = -before.loc[cancelled, "quantity"].sum()
    taken = sold - kept["quantity"].sum()
    assert 0 < taken < asked
    unmatched = report.table.set_index("rule")["dropped"]["cancellation, unmatched"]
    assert unmatched < 0.2 * cancelled.sum()


def test_the_split_of_chapter_1(log) -> None:
    before, after = split_by_time(log, "2011-11-01")
    known = keep_known_items(before, first_baskets(after))
    test = next_basket(known.before, known.after)
    relevant = item_matrix(test.items, known.before.n_items)
    new = relevant & (purchase_counts(known.before, test.people) == 0)
    assert known.before.n_items == 3_607
    assert relevant.any(axis=1).sum() == len(test.people) == 1_538
    assert new.any(axis=1).sum() == 1_396
