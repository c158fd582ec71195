"""Permutation, padding and duplication in splits, histories, cleaning and loaders."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recflax.data import hillstrom, online_retail, open_bandit
from recflax.data.baskets import basket_examples, item_matrix, next_basket, purchase_counts
from recflax.data.batches import history_batch
from recflax.data.cleaning import LINES, clean, to_log
from recflax.data.logs import Log, keep_known_items, split_by_time

U, M, TIMES = 5, 7, 12
seeds = st.integers(0, 10_000)
moments = st.integers(-1, TIMES + 1)
TABLES = ("events", "purchases", "impressions")


def log_of(seed: int) -> Log:
    """A log with views, purchases and impressions; people who share moments; some with nothing."""
    rng = np.random.default_rng(seed)
    n = 31
    events = pd.DataFrame(
        {
            "person": rng.integers(U, size=n),
            "time": rng.integers(TIMES, size=n),
            "item": rng.integers(1, M + 1, n),
            "bought": rng.random(n) < 0.6,
        }
    ).sort_values(["person", "time"], kind="stable", ignore_index=True)
    events["place"] = events.groupby("person").cumcount()
    purchases = events[events["bought"]].drop(columns=["bought", "place"])
    purchases = purchases.assign(visit=purchases["time"], quantity=1, price=2.0)
    impressions = pd.DataFrame(
        {
            "person": rng.integers(U, size=n),
            "visit": 0,
            "time": rng.integers(TIMES, size=n),
            "item": rng.integers(1, M + 1, n),
            "reward": rng.random(n),
            "propensity": 0.5,
            "randomised": True,
        }
    )
    ids = np.arange(1, M + 1)
    items = pd.DataFrame({"item": ids, "category": 0, "price": 2.0, "name": "x", "text": "x"})
    return Log(
        events, purchases.reset_index(drop=True), items, impressions, person_labels=np.arange(U)
    )


def multiset(*tables: pd.DataFrame) -> list[tuple]:
    rows = pd.concat(tables)
    return sorted(rows[sorted(rows.columns)].itertuples(index=False, name=None))


# ------------------------------------------------------------------------------------- splits


@given(seeds, moments)
def test_a_split_loses_nothing_and_duplicates_nothing(seed, at):
    log = log_of(seed)
    before, after = split_by_time(log, at)
    for name in TABLES:
        early, late = getattr(before, name), getattr(after, name)
        assert multiset(early, late) == multiset(getattr(log, name))
        assert (early["time"] < at).all()
        assert (late["time"] >= at).all()
    assert before.n_people == after.n_people == U
    assert before.n_items == after.n_items == M


@given(seeds, moments, moments)
def test_two_splits_are_one_in_either_order(seed, one, other):
    early, late = sorted((one, other))
    log = log_of(seed)
    first = split_by_time(split_by_time(log, late)[0], early)[0]
    second = split_by_time(log, early)[0]
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name))


@given(seeds, moments)
def test_nothing_later_leaks_into_the_earlier_part(seed, at):
    """However the later rows are changed, what is learnt from and the items known stay the same."""
    log = log_of(seed)
    late = log.events["time"] >= at
    changed = log.events.assign(item=log.events["item"].where(~late, M - log.events["item"] + 1))
    gone = replace(log, purchases=log.purchases[log.purchases["time"] < at])
    wanted = split_by_time(log, at)
    for other in (replace(log, events=changed), gone):
        found = split_by_time(other, at)
        for name in TABLES:
            pd.testing.assert_frame_equal(getattr(found[0], name), getattr(wanted[0], name))
    kept = keep_known_items(*wanted)
    known = set(pd.concat([getattr(wanted[0], name)["item"] for name in TABLES]))
    assert kept.before.n_items == kept.after.n_items == len(known)
    assert multiset(kept.before.events.drop(columns="item")) == multiset(
        wanted[0].events.drop(columns="item")
    )
    lost = len(wanted[1].purchases) - len(kept.after.purchases)
    assert lost == kept.dropped


@given(seeds, moments)
def test_the_next_basket_is_asked_of_the_later_part_alone(seed, at):
    before, after = split_by_time(log_of(seed), at)
    asked = next_basket(before, after)
    assert set(asked.people) <= set(before.purchases["person"]) & set(after.purchases["person"])
    assert len(set(asked.people)) == len(asked.people)
    later = set(after.purchases[["person", "item"]].itertuples(index=False, name=None))
    for person, items in zip(asked.people, asked.items, strict=True):
        assert {(person, item) for item in items if item} <= later


@given(seeds)
def test_permutation_of_the_rows_of_purchases_and_impressions_changes_no_split(seed):
    log, order = log_of(seed), np.random.default_rng(seed)
    mixed = replace(
        log,
        purchases=log.purchases.sample(frac=1, random_state=order.integers(99)),
        impressions=log.impressions.sample(frac=1, random_state=order.integers(99)),
    )
    for found, wanted in zip(split_by_time(mixed, 6), split_by_time(log, 6), strict=True):
        for name in TABLES:
            assert multiset(getattr(found, name)) == multiset(getattr(wanted, name))


# ---------------------------------------------------------------------------- histories, baskets


@given(seeds, st.permutations(range(U)), st.integers(1, 5), moments)
def test_permutation_and_duplication_of_people_go_along_with_their_histories(
    seed, order, length, before
):
    events, asked = log_of(seed).events, [*order, order[0]]
    options = {"length": length, "n_items": M, "before": before}
    whole = history_batch(events, range(U), **options)
    found = history_batch(events, asked, **options)
    for one, every in zip(found[:3], whole[:3], strict=True):
        np.testing.assert_array_equal(one, every[asked])


@given(seeds, st.integers(1, 6), st.integers(1, 4))
def test_padding_is_all_that_a_longer_history_of_few_events_adds(seed, length, more):
    events = log_of(seed).events
    short = history_batch(events, range(U), length=length, n_items=M)
    long = history_batch(events, range(U), length=length + more, n_items=M)
    np.testing.assert_array_equal(long.history[:, more:], short.history)
    counts = np.bincount(events["person"], minlength=U)
    np.testing.assert_array_equal(long.mask.sum(axis=1), np.minimum(counts, length + more))


@given(seeds, st.integers(1, 4))
def test_permutation_of_the_rows_of_events_changes_no_history(seed, length):
    events = log_of(seed).events
    mixed = events.sample(frac=1, random_state=seed)
    wanted = history_batch(events, range(U), length=length, n_items=M)
    found = history_batch(mixed, range(U), length=length, n_items=M)
    np.testing.assert_array_equal(found.history, wanted.history)


@given(seeds, st.integers(1, 4))
def test_duplication_of_purchase_lines_changes_no_basket(seed, length):
    log = log_of(seed)
    twice = replace(log, purchases=pd.concat([log.purchases] * 2, ignore_index=True))
    np.testing.assert_array_equal(purchase_counts(twice, range(U)), purchase_counts(log, range(U)))
    wanted = basket_examples(log, length=length, max_targets=M)
    found = basket_examples(twice, length=length, max_targets=M)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)


@given(seeds, st.integers(0, 4))
def test_permutation_padding_and_duplication_of_ids_change_no_row_of_an_item_matrix(seed, more):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, M + 1, (U, 4))
    wanted = item_matrix(ids, M)
    np.testing.assert_array_equal(item_matrix(rng.permuted(ids, axis=1), M), wanted)
    np.testing.assert_array_equal(item_matrix(np.pad(ids, ((0, 0), (0, more))), M), wanted)
    np.testing.assert_array_equal(item_matrix(np.tile(ids, (1, 2)), M), wanted)


# ----------------------------------------------------------------------------------- cleaning


def invoices(seed: int) -> pd.DataFrame:
    """Lines with all that `clean` looks for, at moments that nobody shares with oneself."""
    rng = np.random.default_rng(seed)
    n = 19
    cancelled = rng.random(n) < 0.3
    pieces = rng.integers(0, 6, n) * np.where(cancelled, -1, 1)
    lines = pd.DataFrame(
        {
            "invoice": [f"{'C' if back else ''}{row}" for row, back in enumerate(cancelled)],
            "code": rng.choice(["007", "008", "POST", None], n, p=[0.5, 0.3, 0.1, 0.1]),
            "description": "RED MUG",
            "quantity": pieces,
            "time": pd.Timestamp("2011-01-01") + pd.to_timedelta(rng.permutation(n), unit="D"),
            "price": rng.choice([2.0, 0.0], n, p=[0.9, 0.1]),
            "customer": rng.choice(["anna", "bo", None], n, p=[0.5, 0.4, 0.1]),
            "country": "Norway",
        }
    )
    return lines[list(LINES)]


@given(seeds)
def test_permutation_of_lines_changes_nothing_of_what_cleaning_keeps(seed):
    lines = invoices(seed)
    kept, report = clean(lines)
    mixed, other = clean(lines.sample(frac=1, random_state=seed))
    pd.testing.assert_frame_equal(
        mixed.sort_values("time", ignore_index=True), kept.sort_values("time", ignore_index=True)
    )
    pd.testing.assert_frame_equal(other.table, report.table)


@given(seeds)
def test_duplication_of_every_line_is_taken_back_by_cleaning(seed):
    lines = invoices(seed)
    kept, report = clean(lines)
    twice, other = clean(pd.concat([lines, lines]))
    pd.testing.assert_frame_equal(twice, kept)
    assert other.lines_in == 2 * report.lines_in
    copies = other.table.set_index("rule").loc["exact copy", "dropped"]
    assert copies == len(lines)


@given(seeds)
def test_cleaning_accounts_for_every_line(seed):
    kept, report = clean(invoices(seed))
    assert report.lines_in - report.table["dropped"].sum() == report.lines_out == len(kept)
    again, second = clean(kept)
    pd.testing.assert_frame_equal(again, kept)
    assert second.table["dropped"].sum() == 0


@given(seeds)
def test_permutation_of_cleaned_lines_makes_the_same_log(seed):
    kept, _ = clean(invoices(seed))
    if kept.empty:
        return
    log, mixed = to_log(kept), to_log(kept.sample(frac=1, random_state=seed))
    for name in ("events", "purchases", "items"):
        pd.testing.assert_frame_equal(getattr(mixed, name), getattr(log, name))
    assert log.purchases["quantity"].sum() == kept["quantity"].sum()


# ------------------------------------------------------------------------------------ loaders

RETAIL = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
BANDIT = "timestamp,item_id,position,click,propensity_score"
CUSTOMERS = [
    f"{month},2) $100 - $200,{month}.5,1,0,Rural,0,{channel},{segment},1,0,0"
    for month, channel, segment in zip(
        range(1, 10),
        hillstrom.PUBLISHED["channel"] * 3,
        hillstrom.PUBLISHED["segment"][::-1] * 3,
        strict=True,
    )
]
SALES = [
    f"{row},00{row % 3},MUG,{row},2010-12-0{row} 08:26:00,2.5,17850,UK" for row in range(1, 10)
]
CLICKS = [
    f"2019-11-24 0{row}:03:13+00:00,{row % 3},{row % 3 + 1},0,0.{row}" for row in range(1, 10)
]


def read(folder, kind: str, rows: list[str], items: int = 3) -> pd.DataFrame:
    """What a loader makes of some rows, as a table."""
    heading = {"hillstrom": ",".join(hillstrom._COLUMNS), "retail": RETAIL, "bandit": BANDIT}[kind]
    path = folder / f"{kind}.csv"
    path.write_text("\n".join([heading, *rows]))
    if kind == "retail":
        return online_retail.load(path)
    if kind == "hillstrom":
        return pd.DataFrame(vars(hillstrom.read(path)))
    (folder / "items.csv").write_text("\n".join(["item_id", *map(str, range(items))]))
    return pd.DataFrame(vars(open_bandit.read(path, folder / "items.csv"))).drop(columns="n_items")


every_loader = pytest.mark.parametrize(
    ("kind", "rows"), [("hillstrom", CUSTOMERS), ("retail", SALES), ("bandit", CLICKS)]
)


@every_loader
@given(order=st.permutations(range(9)))
def test_permutation_of_lines_permutes_what_a_loader_gives(tmp_path_factory, kind, rows, order):
    folder = tmp_path_factory.mktemp("loaded")
    whole = read(folder, kind, rows)
    found = read(folder, kind, [rows[row] for row in order])
    pd.testing.assert_frame_equal(found, whole.iloc[list(order)].reset_index(drop=True))


@every_loader
def test_duplication_of_lines_is_kept_by_a_loader(tmp_path, kind, rows):
    whole = read(tmp_path, kind, rows)
    found = read(tmp_path, kind, rows * 2)
    pd.testing.assert_frame_equal(found, pd.concat([whole, whole], ignore_index=True))


@every_loader
def test_padding_with_empty_lines_is_not_read(tmp_path, kind, rows):
    whole = read(tmp_path, kind, rows)
    found = read(tmp_path, kind, ["", rows[0], "", *rows[1:], "", ""])
    pd.testing.assert_frame_equal(found, whole)
