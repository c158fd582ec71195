"""The tables of a log: what they let in, and how time and catalogue cut them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recflax.data.baskets import baskets, first_baskets
from recflax.data.logs import Log, keep_known_items, split_by_time, tiny_log


def impressions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "person": [0, 1, 1],
            "visit": [0, 0, 1],
            "time": [10, 10, 30],
            "item": [1, 2, 2],
            "reward": [0.0, 1.0, 0.0],
            "propensity": [0.5, 1.0, 1e-6],
            "randomised": [True, False, False],
        }
    )


def dated_log() -> Log:
    log = tiny_log()
    start = pd.Timestamp("2011-01-01")
    return replace(
        log,
        **{
            name: table.assign(time=start + pd.to_timedelta(table["time"], unit="D"))
            for name, table in (("events", log.events), ("purchases", log.purchases))
        },
    )


def test_sizes_come_from_the_tables_or_the_labels() -> None:
    log = tiny_log()
    assert (log.n_people, log.n_items, log.n_categories) == (2, 3, 2)
    assert log.person_labels.tolist() == [0, 1]
    labelled = replace(log, person_labels=["anna", "bo", "chen"])
    assert labelled.n_people == 3  # chen has no row
    with_impressions = replace(log, impressions=impressions(), person_labels=None)
    assert with_impressions.n_people == 2


@pytest.mark.parametrize("table", ["events", "purchases", "items"])
def test_a_missing_column_is_named_beside_the_unknown_ones(table) -> None:
    broken = getattr(tiny_log(), table).rename(columns={"item": "Item"})
    with pytest.raises(ValueError, match=rf"{table} lacks .*\['item'\].*\['Item'\]"):
        replace(tiny_log(), **{table: broken})


@pytest.mark.parametrize(
    ("table", "column", "row", "value", "message"),
    [
        ("events", "item", 3, 0, r"events.item must be from 1 to 3; row 3 has .*0"),
        ("events", "item", 2, 4, r"events.item must be from 1 to 3; row 2 has .*4"),
        ("events", "person", 0, -1, r"events.person must be from 0 to 1; row 0 has .*-1"),
        ("events", "place", 2, 1, "sorted by person, then by rising place; row 2"),
        ("events", "time", 2, 5, "events.time must be in the order of place; row 2"),
        ("purchases", "quantity", 1, 0, "purchases.quantity must be at least 1; row 1"),
        ("purchases", "price", 3, np.inf, "purchases.price must be finite and from 0.0"),
        ("purchases", "visit", 0, -2, "purchases.visit must be at least 0; row 0"),
        ("items", "item", 1, 3, "items.item must be 1, 2, ..., 3 in this order; row 1"),
        ("items", "category", 2, -1, "items.category must be at least 0; row 2"),
        ("impressions", "propensity", 0, 0.0, "impressions.propensity .* row 0 has"),
        ("impressions", "propensity", 2, 1.5, "impressions.propensity .* row 2 has"),
        ("impressions", "reward", 1, np.nan, "impressions.reward must be finite.* row 1"),
    ],
)
def test_the_first_value_out_of_range_is_named(table, column, row, value, message) -> None:
    log = replace(tiny_log(), impressions=impressions())
    broken = getattr(log, table).copy()
    broken.loc[row, column] = value
    with pytest.raises(ValueError, match=message):
        replace(log, **{table: broken})


@pytest.mark.parametrize(
    ("table", "column", "values", "message"),
    [
        ("events", "item", [1.0, 2.0, 1.0, 3.0, 2.0], "events.item must hold integers"),
        ("events", "bought", [1, 0, 1, 1, 1], "events.bought must hold booleans"),
        ("events", "time", ["a", "b", "c", "d", "e"], "events.time must be datetime64"),
        ("purchases", "price", ["2"] * 4, "purchases.price must hold numbers"),
        ("purchases", "item", pd.array([1, 1, None, 2], dtype="Int64"), "must hold integers"),
        ("impressions", "randomised", [0, 1, 1], "impressions.randomised must hold booleans"),
    ],
)
def test_a_column_of_the_wrong_type_is_named(table, column, values, message) -> None:
    log = replace(tiny_log(), impressions=impressions())
    with pytest.raises(TypeError, match=message):
        replace(log, **{table: getattr(log, table).assign(**{column: values})})


def test_a_missing_time_and_a_table_that_is_none_are_errors() -> None:
    log = dated_log()
    time = log.purchases["time"].where([True, True, False, True])
    with pytest.raises(ValueError, match=r"purchases.time must be a time; row 2"):
        replace(log, purchases=log.purchases.assign(time=time))
    with pytest.raises(TypeError, match="events must be a pandas DataFrame, not NoneType"):
        replace(log, events=None)


def test_an_empty_log_is_a_log() -> None:
    log = tiny_log()
    empty = Log(log.events[:0], log.purchases[:0], log.items[:0])
    assert (empty.n_people, empty.n_items, empty.n_categories) == (0, 0, 0)


def test_the_split_is_at_one_moment_for_everybody() -> None:
    log = replace(tiny_log(), impressions=impressions())
    before, after = split_by_time(log, 11)
    for name in ("events", "purchases", "impressions"):
        assert getattr(before, name)["time"].max() < 11 <= getattr(after, name)["time"].min()
        whole = pd.concat([getattr(before, name), getattr(after, name)])
        assert len(whole.merge(getattr(log, name))) == len(getattr(log, name))
    assert before.n_people == after.n_people == log.n_people
    assert before.items.equals(log.items)


def test_a_log_of_dates_is_split_at_a_date() -> None:
    before, after = split_by_time(dated_log(), "2011-01-21")  # day 20 after the first
    assert (len(before.events), len(after.events)) == (3, 2)
    with pytest.raises(TypeError, match=r"at is 20, but events.time is datetime64"):
        split_by_time(dated_log(), 20)
    with pytest.raises(TypeError, match=r"at is '2011-01-21', but events.time is int64"):
        split_by_time(tiny_log(), "2011-01-21")


def test_a_basket_has_the_time_of_its_earliest_line() -> None:
    log = tiny_log()
    purchases = pd.concat([log.purchases, log.purchases.iloc[[1]].assign(time=19, item=3)])
    table = baskets(replace(log, purchases=purchases))
    assert table["time"].tolist() == [10, 19, 10, 30]
    assert table["person"].tolist() == [0, 0, 1, 1]


def test_first_baskets_keeps_every_line_of_the_earliest_visit() -> None:
    log = tiny_log()
    more = pd.concat([log.purchases, log.purchases.iloc[[0]].assign(item=3)], ignore_index=True)
    first = first_baskets(replace(log, purchases=more.assign(visit=[7, 1, 0, 1, 7])))
    kept = first.purchases.sort_values(["person", "item"])[["person", "visit", "item"]]
    assert kept.to_numpy().tolist() == [[0, 7, 1], [0, 7, 3], [1, 0, 3]]


def test_unknown_items_are_dropped_and_counted_and_ids_follow() -> None:
    log = replace(tiny_log(), impressions=impressions()[:1])
    before, after = split_by_time(log, 11)  # before: items 1 and 3
    known = keep_known_items(before, after)
    assert (known.new_items, known.dropped) == (1, 1)  # item 2, bought once after
    assert known.before.items["name"].tolist() == ["red mug", "red lamp"]
    assert known.before.items["item"].tolist() == [1, 2]
    assert known.before.purchases["item"].tolist() == [1, 2]
    assert known.after.purchases["item"].tolist() == [1]
    assert known.after.events["place"].tolist() == [2]  # place 1 was a view of item 2
    again = keep_known_items(known.before, known.after)
    pd.testing.assert_frame_equal(again.after.purchases, known.after.purchases)
    with pytest.raises(ValueError, match="share one catalogue"):
        keep_known_items(known.before, after)
