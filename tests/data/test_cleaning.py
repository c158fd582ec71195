"""Cleaning: each rule by hand, cancellations against a stack in plain Python."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recflax.data.cleaning import LINES, clean, to_log


def lines_of(*rows: tuple) -> pd.DataFrame:
    """Lines from (invoice, code, quantity, day, price, customer), all described alike."""
    frame = pd.DataFrame(rows, columns=["invoice", "code", "quantity", "time", "price", "customer"])
    frame["time"] = pd.to_datetime("2011-01-01") + pd.to_timedelta(frame["time"], unit="D")
    return frame.assign(description="RED MUG", country="Norway")[list(LINES)]


def took(report) -> dict[str, int]:
    table = report.table[report.table["dropped"] > 0]
    return dict(zip(table["rule"], table["dropped"], strict=True))


SALE = ("1", "007", 5, 0, 2.0, "anna")


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (SALE, "exact copy"),
        (("2", None, 5, 0, 2.0, "anna"), "no item"),
        (("2", "007", 5, 0, 2.0, None), "no customer"),
        (("2", "POST", 5, 0, 2.0, "anna"), "no product"),
        (("2", "BANK CHARGES", 5, 0, 2.0, "anna"), "no product"),
        (("2", "007", 5, 0, 0.0, "anna"), "price not above 0"),
        (("2", "007", 5, 0, -1.0, "anna"), "price not above 0"),
        (("2", "007", 5, 0, np.nan, "anna"), "price not above 0"),
        (("2", "007", -5, 9, 2.0, "anna"), "quantity not above 0"),
        (("2", "007", 0, 0, 2.0, "anna"), "quantity not above 0"),
        (("C2", "007", 5, 9, 2.0, "anna"), "quantity not above 0"),
        (("C2", "007", -5, 9, 2.0, "bo"), "cancellation, unmatched"),
        (("C2", "008", -5, 9, 2.0, "anna"), "cancellation, unmatched"),
        (("C2", "007", -5, 0, 2.0, "anna"), "cancellation, unmatched"),  # not strictly earlier
    ],
)
def test_each_rule_takes_its_line_and_no_other(row, rule) -> None:
    kept, report = clean(lines_of(SALE, row))
    pd.testing.assert_frame_equal(kept, lines_of(SALE))
    assert took(report) == {rule: 1}
    assert (report.lines_in, report.lines_out) == (2, 1)


def test_a_line_without_a_date_is_dropped() -> None:
    lines = lines_of(SALE, ("2", "007", 1, 3, 2.0, "anna"))
    lines.loc[1, "time"] = pd.NaT
    _, report = clean(lines)
    assert took(report) == {"no date": 1}


def test_a_repeat_purchase_is_never_dropped() -> None:
    again = ("2", *SALE[1:])  # the same in all but the invoice
    kept, report = clean(lines_of(SALE, again, ("3", "007", 5, 1, 2.0, "anna")))
    assert len(kept) == 3
    assert took(report) == {}


def test_cancellations_take_back_the_latest_earlier_sales() -> None:
    kept, report = clean(
        lines_of(
            ("1", "007", 5, 0, 2.0, "anna"),
            ("2", "007", 3, 1, 2.0, "anna"),
            ("C3", "007", -4, 2, 2.0, "anna"),  # all 3 of the second, 1 of the first
            ("4", "007", 2, 3, 2.0, "anna"),
            ("C5", "007", -1, 4, 2.0, "anna"),  # 1 of the fourth
            ("6", "008", 7, 0, 2.0, "anna"),
            ("C7", "008", -9, 5, 2.0, "anna"),  # 7, and 2 that nobody bought
        )
    )
    assert kept["invoice"].tolist() == ["1", "4"]
    assert kept["quantity"].tolist() == [4, 1]
    assert took(report) == {
        "sale cancelled in full": 2,
        "cancellation, matched": 2,
        "cancellation, more than was left": 1,
    }
    changed = report.table.set_index("rule")["changed"]
    assert changed["sale cancelled in part"] == 2
    assert report.lines_in - report.table["dropped"].sum() == report.lines_out == 2
    assert "7 lines came in" in str(report)
    assert "2 lines were kept" in str(report)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["anna", "bo"]),
            st.sampled_from(["007", "008"]),
            st.integers(0, 5),
            st.integers(-7, 7).filter(bool),
        ),
        min_size=1,
        max_size=23,
    )
)
def test_cancellations_agree_with_a_stack(rows) -> None:
    lines = lines_of(
        *[
            (f"C{i}" if pieces < 0 else f"{i}", code, pieces, day, 2.0, customer)
            for i, (customer, code, day, pieces) in enumerate(rows)
        ]
    )
    kept, report = clean(lines)

    left = {}
    lost = 0
    stacks: dict[tuple, list[str]] = {}
    in_order = sorted(range(len(rows)), key=lambda i: (rows[i][2], rows[i][3] > 0, i))
    for i in in_order:
        customer, code, _, pieces = rows[i]
        stack = stacks.setdefault((customer, code), [])
        if pieces > 0:
            left[f"{i}"] = pieces
            stack += [f"{i}"] * pieces
        else:
            for _ in range(-pieces):
                if stack:
                    left[stack.pop()] -= 1
                else:
                    lost += 1
    expected = {invoice: pieces for invoice, pieces in left.items() if pieces}
    assert dict(zip(kept["invoice"], kept["quantity"], strict=True)) == expected
    assert lost == sum(expected.values()) - sum(row[3] for row in rows)
    assert report.lines_in - report.table["dropped"].sum() == report.lines_out == len(expected)


def test_missing_customers_and_items_can_be_filled() -> None:
    lines = lines_of(
        ("1", "007", 5, 0, 2.0, "anna"),
        ("2", None, 3, 1, 2.0, "anna"),
        ("3", "008", 2, 1, 2.0, None),
        ("3", "009", 2, 1, 2.0, None),
        ("4", None, 2, 1, 2.0, None),
    )
    lines["description"] = ["RED MUG", "RED MUG", "LAMP", "BELL", "NEVER SEEN"]
    kept, report = clean(lines, missing="fill")
    assert kept["code"].tolist() == ["007", "007", "008", "009"]
    assert kept["customer"].tolist() == ["anna", "anna", "guest 3", "guest 3"]
    table = report.table.set_index("rule")
    assert table.loc["no item"].tolist() == [1, 1]  # one dropped, one filled
    assert table.loc["no customer"].tolist() == [0, 3]
    assert took(clean(lines)[1]) == {"no item": 2, "no customer": 2}


def test_an_item_nobody_describes_twice_is_dropped_even_when_filling() -> None:
    lines = lines_of(("1", None, 5, 0, 2.0, "anna"))
    lines["description"] = None
    kept, report = clean(lines, missing="fill")
    assert len(kept) == 0
    assert took(report) == {"no item": 1}


def test_wrong_input_is_named() -> None:
    lines = lines_of(SALE)
    with pytest.raises(ValueError, match=r"lacks the columns \['code'\].*\['StockCode'\]"):
        clean(lines.rename(columns={"code": "StockCode"}))
    with pytest.raises(ValueError, match="missing must be 'drop' or 'fill'; got 'keep'"):
        clean(lines, missing="keep")
    with pytest.raises(TypeError, match=r"lines.time must be datetime64"):
        clean(lines.assign(time="2011-01-01"))
    with pytest.raises(TypeError, match=r"lines.quantity must hold numbers"):
        clean(lines.assign(quantity="5"))
    with pytest.raises(ValueError, match=r"lines.quantity must be whole pieces; row 0"):
        clean(lines.assign(quantity=2.5))


def test_a_clean_frame_is_not_touched_and_its_input_neither() -> None:
    lines = lines_of(SALE, ("2", "008", 1, 1, 3.0, "bo"))
    copy = lines.copy()
    kept, _ = clean(lines)
    pd.testing.assert_frame_equal(kept, copy)
    pd.testing.assert_frame_equal(lines, copy)


def test_invoices_become_a_log() -> None:
    lines = lines_of(
        ("9", "008", 1, 5, 4.0, "bo"),
        ("7", "007", 2, 1, 3.0, "bo"),
        ("8", "010", 3, 1, 5.0, "anna"),
        ("7", "007", 1, 1, 6.0, "bo"),
    )
    lines["description"] = ["BLUE LAMP", "RED MUG", None, "MUG"]
    log = to_log(lines)
    assert log.person_labels.tolist() == ["anna", "bo"]
    assert log.items["code"].tolist() == ["007", "008", "010"]
    assert log.items["name"].tolist() == ["MUG", "BLUE LAMP", ""]  # M before R
    assert log.items["price"].tolist() == [4.5, 4.0, 5.0]  # medians
    columns = ["person", "visit", "item", "quantity", "price"]
    assert log.purchases[columns].to_numpy().tolist() == [
        [0, 1, 3, 3, 5.0],
        [1, 0, 1, 3, (2 * 3.0 + 1 * 6.0) / 3],
        [1, 2, 2, 1, 4.0],
    ]
    assert log.events[["person", "place", "item"]].to_numpy().tolist() == [
        [0, 0, 3],
        [1, 0, 1],
        [1, 1, 2],
    ]
    assert log.events["bought"].all()


def test_an_invoice_has_one_time() -> None:
    log = to_log(lines_of(("1", "007", 1, 3, 2.0, "anna"), ("1", "008", 1, 2, 2.0, "anna")))
    assert log.purchases["time"].nunique() == 1
    assert log.purchases["time"][0] == pd.Timestamp("2011-01-03")  # the earlier line's


def test_categories_are_the_most_common_last_words() -> None:
    names = ["RED MUG", "BLUE MUG", "GREEN MUG!", "OLD LAMP", "NEW LAMP 7", "A BELL", None]
    lines = lines_of(*[(f"{i}", f"{i:03}", 1, i, 2.0, "anna") for i in range(7)])
    lines["description"] = names
    log = to_log(lines, n_categories=3)
    assert log.items["category"].tolist() == [1, 1, 1, 2, 2, 0, 0]
    assert to_log(lines, n_categories=1).n_categories == 1
    with pytest.raises(ValueError, match="n_categories >= 1 and a line; got 0, 7"):
        to_log(lines, n_categories=0)
    with pytest.raises(ValueError, match="got 32, 0"):
        to_log(lines[:0])
