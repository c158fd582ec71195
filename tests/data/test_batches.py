"""From tables to arrays: the door's checks by hand, histories against a loop in plain Python."""

from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recflax.data.baskets import (
    basket_examples,
    first_baskets,
    item_matrix,
    next_basket,
    purchase_counts,
)
from recflax.data.batches import Batch, history_batch, make_batch
from recflax.data.logs import Log, keep_known_items, split_by_time, tiny_log

M = 7


def random_log(seed: int, n_people: int = 5, n_lines: int = 43, n_moments: int = 11) -> Log:
    """Baskets and views at few moments, so that ties of time are common."""
    rng = np.random.default_rng(seed)
    lines = pd.DataFrame(
        {
            "person": rng.integers(0, n_people, n_lines),
            "time": rng.integers(0, n_moments, n_lines),
            "item": rng.integers(1, M + 1, n_lines),
            "bought": rng.random(n_lines) < 0.7,
        }
    ).sort_values(["person", "time"], kind="stable", ignore_index=True)
    events = lines.assign(place=lines.groupby("person").cumcount())
    purchases = lines[lines["bought"]].assign(quantity=1, price=1.0)
    # Two visits may share a moment.
    purchases["visit"] = purchases["time"] * 2 + rng.integers(0, 2, len(purchases))
    items = pd.DataFrame({"item": np.arange(1, M + 1), "category": 0, "price": 1.0})
    items = items.assign(name="mug", text="mug")
    return Log(events, purchases, items, person_labels=np.arange(n_people))


def test_a_batch_says_where_events_are() -> None:
    batch = make_batch([[0, 0, 3], [1, 7, 1]], n_items=M)
    assert batch.history.dtype == np.int32
    assert batch.mask.tolist() == [[False, False, True], [True, True, True]]
    assert batch.bought.tolist() == batch.mask.tolist()
    assert batch.candidates is batch.target is batch.weight is None


def test_targets_may_be_numbers_that_are_no_ids() -> None:
    batch = make_batch([[0, 3], [1, 7]], n_items=M, target=[[0.25], [8.5]])
    assert batch.target.tolist() == [[0.25], [8.5]]  # above M, and allowed


def test_a_batch_is_a_pytree_that_jit_takes() -> None:
    batch = make_batch([[0, 3], [1, 7]], n_items=M, candidates=[[1], [2]], weight=[0.5, 2.0])
    total = jax.jit(lambda b: b.history.sum() + b.candidates.sum() + b.weight.sum())(batch)
    assert float(total) == 3 + 1 + 7 + 1 + 2 + 0.5 + 2.0


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ([[0, 1], [8, 1]], r"history holds the id 8 at \(1, 0\); expected 0 to 7"),
        ([[0, -1], [8, 1]], r"history holds the id -1 at \(0, 1\); expected 0 to 7"),
        ([[2, 0, 1]], r"history has padding \(0\) after an event at \(0, 1\)"),
        ([[0, 1, 2], [1, 2, 0]], r"history has padding \(0\) after an event at \(1, 2\)"),
        ([1, 2], r"history must have 2 axes; got shape \(2,\)"),
    ],
)
def test_the_first_wrong_id_is_named(history, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_batch(history, n_items=M)


@pytest.mark.parametrize("ids", [[[1.0, 2.0]], [[True, True]], [["1", "2"]], [[None, 1]]])
def test_ids_that_are_no_integers_are_errors(ids) -> None:
    with pytest.raises(TypeError, match="history must hold integers"):
        make_batch(ids, n_items=M)
    with pytest.raises(TypeError, match="candidates must hold integers"):
        make_batch([[1, 2]], n_items=M, candidates=ids)


@pytest.mark.parametrize(
    ("given_", "error", "message"),
    [
        ({"bought": [[1, 1]]}, TypeError, "bought must hold booleans"),
        ({"bought": [[True]]}, ValueError, "bought must have the shape of history"),
        ({"bought": [[True, True]]}, ValueError, r"bought is True at the padded place \(0, 0\)"),
        ({"candidates": [[1], [2]]}, ValueError, "candidates must have 1 rows like history"),
        ({"candidates": [[0, 2]]}, ValueError, r"candidates holds the id 0 at \(0, 0\)"),
        ({"candidates": [[1, 8]]}, ValueError, r"candidates holds the id 8 at \(0, 1\)"),
        ({"target": [3, 4]}, ValueError, "target must have 1 rows"),
        ({"target": 3}, ValueError, "target must have 1 rows"),
        ({"target": [8]}, ValueError, r"target holds the id 8 at \(0,\)"),
        ({"target": [np.nan]}, ValueError, "target must be finite; row 0"),
        ({"target": ["1"]}, TypeError, "target must hold numbers"),
        ({"weight": [-1.0]}, ValueError, "weight must be at least 0; row 0"),
        ({"weight": [np.inf]}, ValueError, "weight must be finite; row 0"),
        ({"n_items": 0}, ValueError, "n_items must be at least 1; got 0"),
    ],
)
def test_everything_else_is_checked_at_the_door(given_, error, message) -> None:
    with pytest.raises(error, match=message):
        make_batch([[0, 1]], **{"n_items": M, **given_})


def test_numpy_integers_of_any_width_become_int32() -> None:
    for dtype in (np.uint8, np.int16, np.int64, np.uint64):
        batch = make_batch(np.array([[0, 7]], dtype=dtype), n_items=M, target=np.array([2], dtype))
        assert batch.history.dtype == batch.target.dtype == np.int32
    with pytest.raises(ValueError, match=str(2**40)):
        make_batch([[0, 2**40]], n_items=M)  # would wrap to 0 in int32


def last_events(log: Log, person: int, length: int, before: float) -> tuple[list, list]:
    rows = [
        (place, item, bought)
        for who, place, time, item, bought in log.events[
            ["person", "place", "time", "item", "bought"]
        ].itertuples(index=False)
        if who == person and time < before
    ]
    rows = sorted(rows)[-length:]
    padding = length - len(rows)
    return [0] * padding + [r[1] for r in rows], [False] * padding + [r[2] for r in rows]


@given(
    st.integers(0, 999), st.integers(1, 13), st.lists(st.integers(0, 11), min_size=3, max_size=3)
)
def test_histories_agree_with_a_loop(seed, length, before) -> None:
    log = random_log(seed)
    people = [3, 0, 3]
    shuffled = log.events.sample(frac=1, random_state=seed)
    for moments, asked in ((before, before), (None, [99] * 3), (5, [5] * 3)):
        batch = history_batch(shuffled, people, length=length, n_items=M, before=moments)
        for row, (person, moment) in enumerate(zip(people, asked, strict=True)):
            history, bought = last_events(log, person, length, moment)
            assert batch.history[row].tolist() == history
            assert batch.bought[row].tolist() == bought
        assert (batch.mask == (batch.history > 0)).all()


def test_an_unknown_person_has_an_empty_history() -> None:
    log = tiny_log()
    for before in (None, 20):
        batch = history_batch(log.events, [1, 99], length=3, n_items=3, before=before)
        assert batch.history[1].tolist() == [0, 0, 0]
        assert not batch.mask[1].any()
        empty = history_batch(log.events[:0], [1, 99], length=3, n_items=3, before=before)
        assert empty.history.tolist() == [[0, 0, 0]] * 2
    assert history_batch(log.events, [], length=3, n_items=3).history.shape == (0, 3)


def test_a_history_before_a_date() -> None:
    log = tiny_log()
    dates = pd.Timestamp("2011-01-01") + pd.to_timedelta(log.events["time"], unit="D")
    events = log.events.assign(time=dates)
    batch = history_batch(events, [0, 1], length=2, n_items=3, before=pd.Timestamp("2011-01-12"))
    assert batch.history.tolist() == [[0, 1], [0, 3]]
    batch = history_batch(
        events, [0, 1], length=2, n_items=3, before=pd.to_datetime(["2011-01-13", "2011-01-01"])
    )
    assert batch.history.tolist() == [[1, 2], [0, 0]]


def test_wrong_questions_are_named() -> None:
    events = tiny_log().events
    with pytest.raises(ValueError, match="length must be at least 1; got 0"):
        history_batch(events, [0], length=0, n_items=3)
    with pytest.raises(TypeError, match="people must hold integers"):
        history_batch(events, [0.0], length=2, n_items=3)
    with pytest.raises(ValueError, match=r"people holds the id -1 at \(0,\)"):
        history_batch(events, [-1], length=2, n_items=3)
    with pytest.raises(ValueError, match="events lacks the columns"):
        history_batch(events.drop(columns="bought"), [0], length=2, n_items=3)
    with pytest.raises(ValueError, match="history holds the id 3"):
        history_batch(events, [1], length=2, n_items=2)
    with pytest.raises(ValueError, match="max_targets must be at least 1; got 0"):
        basket_examples(tiny_log(), length=2, max_targets=0)


@given(st.integers(0, 999), st.integers(1, 11))
def test_examples_agree_with_a_loop_and_see_nothing_of_their_own_moment(seed, length) -> None:
    log = random_log(seed)
    examples = basket_examples(log, length=length, max_targets=M)
    expected = []
    baskets = log.purchases.groupby(["person", "visit"])
    for (person, _), basket in baskets:  # visits rise with time here
        history, bought = last_events(log, person, length, basket["time"].min())
        if any(history):
            expected.append((person, history, bought, list(dict.fromkeys(basket["item"]))))
    assert len(examples["person"]) == len(expected)
    for row, (person, history, bought, items) in enumerate(expected):
        assert examples["person"][row] == person
        assert examples["history"][row].tolist() == history
        assert examples["bought"][row].tolist() == bought
        assert examples["target"][row].tolist() == items + [0] * (M - len(items))
        assert examples["basket_size"][row] == len(items)
    make_batch(examples["history"], examples["bought"], n_items=M, target=examples["target"])


def test_a_long_basket_is_cut_and_its_size_is_told() -> None:
    log = random_log(2, n_moments=3)
    whole = basket_examples(log, length=3, max_targets=M)
    cut = basket_examples(log, length=3, max_targets=2)
    assert (whole["basket_size"] > 2).any()
    np.testing.assert_array_equal(cut["target"], whole["target"][:, :2])
    np.testing.assert_array_equal(cut["basket_size"], whole["basket_size"])


def test_a_log_without_purchases_has_no_example() -> None:
    log = tiny_log()
    examples = basket_examples(replace(log, purchases=log.purchases[:0]), length=3, max_targets=2)
    assert examples["history"].shape == (0, 3)
    assert examples["target"].shape == (0, 2)


@given(st.integers(0, 999), st.integers(1, 10))
def test_the_next_basket_is_the_first_after_of_who_bought_before(seed, at) -> None:
    before, after = split_by_time(random_log(seed), at)
    test = next_basket(before, after)
    expected = {}
    for person in sorted(set(before.purchases["person"])):
        mine = after.purchases[after.purchases["person"] == person]
        if len(mine):
            first = mine.sort_values(["time", "visit"], kind="stable")["visit"].iloc[0]
            expected[person] = sorted(set(mine[mine["visit"] == first]["item"]))
    found = {
        int(person): sorted(row[row > 0].tolist())
        for person, row in zip(test.people, test.items, strict=True)
    }
    assert found == expected


def test_a_first_basket_of_unknown_items_does_not_give_its_place_away() -> None:
    log = tiny_log()
    purchases = pd.DataFrame(
        {
            "person": [0, 0, 0, 1, 1, 1],
            "visit": [0, 1, 2, 0, 1, 1],
            "time": [10, 20, 30, 10, 20, 20],
            "item": [1, 2, 1, 3, 2, 3],
        }
    ).assign(quantity=1, price=1.0)
    log = replace(log, purchases=purchases, events=log.events[log.events["item"] != 2])
    before, after = split_by_time(log, 15)
    known = keep_known_items(before, first_baskets(after))
    assert (known.new_items, known.dropped) == (1, 2)
    test = next_basket(known.before, known.after)
    assert test.people.tolist() == [1]  # person 0's first basket held item 2 alone
    assert known.before.items["name"][test.items[0, 0] - 1] == "red lamp"
    with pytest.raises(ValueError, match="share people and catalogue: 2 and 2 people, 2 and 3"):
        next_basket(known.before, after)


def test_ids_become_columns() -> None:
    ids = [[3, 0, 0], [7, 1, 7], [0, 0, 0]]
    matrix = item_matrix(ids, M)
    assert matrix.shape == (3, M)
    assert [np.flatnonzero(row).tolist() for row in matrix] == [[2], [0, 6], []]
    with pytest.raises(ValueError, match="ids holds the id 8"):
        item_matrix([[8]], M)


def test_purchases_are_counted_in_baskets_not_in_lines() -> None:
    log = random_log(5)
    twice = replace(log, purchases=pd.concat([log.purchases, log.purchases]))
    people = [4, 2, 4]
    counts = purchase_counts(twice, people)
    lines = log.purchases.drop_duplicates(["person", "visit", "item"])
    expected = [
        [((lines["person"] == person) & (lines["item"] == item)).sum() for item in range(1, M + 1)]
        for person in people
    ]
    assert counts.tolist() == expected
    with pytest.raises(ValueError, match=r"people holds the id 5 at \(0,\); expected 0 to 4"):
        purchase_counts(log, [5])


def test_the_fields_of_a_batch_are_those_of_the_house() -> None:
    assert Batch._fields == ("history", "bought", "mask", "candidates", "target", "weight")
