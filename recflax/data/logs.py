"""Logs: the tables that everything starts from, and how time splits them.

A `Log` holds what a shop wrote down, as pandas tables whose ids are already small integers:

- ``events`` (person, place, time, item, bought): each person's history, oldest place first;
- ``purchases`` (person, visit, time, item, quantity, price): what was paid for, visit by visit;
- ``items`` (item, category, price, name, text): the catalogue, ids 1 to M (0 is padding only);
- ``impressions`` (person, visit, time, item, reward, propensity, randomised): what was displayed
  and with which probability, or None for a shop that did not write it down.

`recflax.data.cleaning` makes one from the raw lines of invoices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

TABLES: dict[str, tuple[str, ...]] = {
    "events": ("person", "place", "time", "item", "bought"),
    "purchases": ("person", "visit", "time", "item", "quantity", "price"),
    "items": ("item", "category", "price", "name", "text"),
    "impressions": ("person", "visit", "time", "item", "reward", "propensity", "randomised"),
}


def check_columns(frame: pd.DataFrame, expected: tuple[str, ...], what: str) -> None:
    """Raise a ValueError that names the missing columns, and those that may stand for them.

    Example:
        >>> check_columns(pd.DataFrame({"Item": [1]}), ("item",), "items")
        Traceback (most recent call last):
        ...
        ValueError: items lacks the columns ['item']; it has the unknown columns ['Item']
    """
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{what} must be a pandas DataFrame, not {type(frame).__name__}")
    missing = [name for name in expected if name not in frame.columns]
    if missing:
        unknown = [name for name in frame.columns if name not in expected]
        raise ValueError(
            f"{what} lacks the columns {missing}; it has the unknown columns {unknown}"
        )


def check_values(values: pd.Series, right: np.ndarray, what: str, expected: str) -> None:
    """Raise a ValueError that names the first row where ``right`` is False."""
    wrong = np.flatnonzero(~right)
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(f"{what} must be {expected}; row {row} has {values.iloc[row]!r}")


def kind_of(values: pd.Series) -> str:
    """Return numpy's letter for the type of a column: i, u, f, b, M, or O for anything else."""
    return values.dtype.kind if isinstance(values.dtype, np.dtype) else "O"


def _check_integers(values: pd.Series, what: str, low: int, high: int | None) -> None:
    """Raise unless all values are integers from ``low`` to ``high``."""
    if kind_of(values) not in "iu":
        raise TypeError(f"{what} must hold integers, not {values.dtype}")
    array = values.to_numpy()
    if high is None:
        check_values(values, array >= low, what, f"at least {low}")
    else:
        check_values(values, (array >= low) & (array <= high), what, f"from {low} to {high}")


def _check_numbers(values: pd.Series, what: str, low: float, high: float = np.inf) -> None:
    """Raise unless all values are finite and from ``low`` to ``high``."""
    if kind_of(values) not in "iuf":
        raise TypeError(f"{what} must hold numbers, not {values.dtype}")
    array = values.to_numpy(dtype=float)
    right = np.isfinite(array) & (array >= low) & (array <= high)
    check_values(values, right, what, f"finite and from {low} to {high}")


@dataclass(frozen=True, eq=False)
class Log:
    """What a shop wrote down, as validated pandas tables.

    Args:
        events: Columns person (0 to U-1), place (ascending within a person), time (datetime64 or
            integer, never descending within a person), item (1 to M), bought (bool: bought, or
            only viewed). Sorted by person, then place.
        purchases: Columns person, visit (an integer; person and visit together name a basket),
            time, item, quantity (at least 1), price (of one piece, in the shop's currency).
        items: Columns item (1, 2, ..., M in this order), category (0 to C-1), price, name, text.
        impressions: Columns person, visit, time, item, reward, propensity (in (0, 1]), randomised
            (bool); or None.
        person_labels: The shop's own name of each person, (U,); when None, people are 0 to the
            largest id in the tables.

    Further columns may stand in any table (a loader keeps the shop's own ``code`` in ``items``).

    Raises:
        ValueError: A column is missing, or a value is out of range: the first offender is named.
        TypeError: A table is no DataFrame, or a column has the wrong type.

    Example:
        >>> log = tiny_log()
        >>> log.n_people, log.n_items, log.n_categories
        (2, 3, 2)
    """

    events: pd.DataFrame
    purchases: pd.DataFrame
    items: pd.DataFrame
    impressions: pd.DataFrame | None = None
    person_labels: Any = None

    def __post_init__(self) -> None:
        """Check every table at the door."""
        for name in ("items", "events", "purchases", "impressions"):
            if name != "impressions" or self.impressions is not None:
                check_columns(getattr(self, name), TABLES[name], name)
        self._check_items()
        if self.person_labels is None:
            top = [int(table["person"].max()) for table in self._tables() if len(table)]
            object.__setattr__(self, "person_labels", np.arange(max(top, default=-1) + 1))
        object.__setattr__(self, "person_labels", np.asarray(self.person_labels))
        for name in ("events", "purchases", "impressions"):
            if getattr(self, name) is not None:
                self._check_rows(name)
        self._check_order()

    def _tables(self) -> list[pd.DataFrame]:
        tables = [self.events, self.purchases, self.impressions]
        return [table for table in tables if table is not None]

    def _check_items(self) -> None:
        item = self.items["item"]
        _check_integers(item, "items.item", 1, len(item))
        consecutive = item.to_numpy() == np.arange(1, len(item) + 1)
        check_values(item, consecutive, "items.item", f"1, 2, ..., {len(item)} in this order")
        _check_integers(self.items["category"], "items.category", 0, None)

    def _check_rows(self, name: str) -> None:
        table = getattr(self, name)
        _check_integers(table["person"], f"{name}.person", 0, self.n_people - 1)
        _check_integers(table["item"], f"{name}.item", 1, self.n_items)
        time = table["time"]
        if kind_of(time) not in "iuM":
            raise TypeError(f"{name}.time must be datetime64 or integer, not {time.dtype}")
        check_values(time, time.notna().to_numpy(), f"{name}.time", "a time")
        for flag in {"bought", "randomised"} & set(TABLES[name]):
            if kind_of(table[flag]) != "b":
                raise TypeError(f"{name}.{flag} must hold booleans, not {table[flag].dtype}")
        for count in {"place", "visit"} & set(TABLES[name]):
            _check_integers(table[count], f"{name}.{count}", 0, None)
        if name == "purchases":
            _check_integers(table["quantity"], "purchases.quantity", 1, None)
            _check_numbers(table["price"], "purchases.price", 0.0)
        if name == "impressions":
            smallest = np.nextafter(0.0, 1.0)
            _check_numbers(table["propensity"], "impressions.propensity", smallest, 1.0)
            _check_numbers(table["reward"], "impressions.reward", -np.inf)

    def _check_order(self) -> None:
        person = self.events["person"].to_numpy()
        place = self.events["place"].to_numpy()
        time = self.events["time"].to_numpy()
        same = person[1:] == person[:-1]
        ascending = np.ones(len(person), dtype=bool)
        ascending[1:] = np.where(same, place[1:] > place[:-1], person[1:] > person[:-1])
        check_values(
            self.events["place"], ascending, "events", "sorted by person, then by rising place"
        )
        ascending[1:] = ~same | (time[1:] >= time[:-1])
        check_values(self.events["time"], ascending, "events.time", "in the order of place")

    @property
    def n_people(self) -> int:
        """U, the number of people (also of those without any row)."""
        return len(self.person_labels)

    @property
    def n_items(self) -> int:
        """M, the size of the catalogue."""
        return len(self.items)

    @property
    def n_categories(self) -> int:
        """C, the number of categories, which is the largest one plus 1."""
        return int(self.items["category"].max()) + 1 if len(self.items) else 0


def tiny_log() -> Log:
    """Two people, three items, five events: a log for examples and for reading.

    Example:
        >>> tiny_log().events["item"].tolist()
        [1, 2, 1, 3, 2]
    """
    events = pd.DataFrame(
        {
            "person": [0, 0, 0, 1, 1],
            "place": [0, 1, 2, 0, 1],
            "time": [10, 11, 20, 10, 30],
            "item": [1, 2, 1, 3, 2],
            "bought": [True, False, True, True, True],
        }
    )
    purchases = events[events["bought"]].drop(columns=["place", "bought"]).reset_index(drop=True)
    purchases = purchases.assign(visit=[0, 1, 0, 1], quantity=[1, 2, 1, 1], price=[2.5] * 4)
    items = pd.DataFrame(
        {
            "item": [1, 2, 3],
            "category": [0, 1, 1],
            "price": [2.5, 2.5, 2.5],
            "name": ["red mug", "blue lamp", "red lamp"],
            "text": ["red mug", "blue lamp", "red lamp"],
        }
    )
    return Log(events=events, purchases=purchases, items=items)


def split_by_time(log: Log, at: Any) -> tuple[Log, Log]:
    """Split a log at one moment for everybody: what lies before it, and what lies at it or after.

    One moment for all people, never one per person: a split at each person's own last visit lets
    the model learn from what others did *after* the moment that it is asked about.

    Args:
        log: The log to split. Both parts keep its people, their ids and its catalogue.
        at: The moment: a date or its text for a log in datetime64, an integer for one in integers.

    Raises:
        TypeError: ``at`` is not of the kind of the log's times.

    Example:
        >>> before, after = split_by_time(tiny_log(), 20)
        >>> len(before.events), len(after.events)
        (3, 2)
    """
    parts: list[dict[str, Any]] = [{}, {}]
    for name in ("events", "purchases", "impressions"):
        table = getattr(log, name)
        if table is None:
            continue
        dates = kind_of(table["time"]) == "M"
        if dates != (not isinstance(at, int | np.integer)):
            raise TypeError(f"at is {at!r}, but {name}.time is {table['time'].dtype}")
        early = table["time"] < (pd.Timestamp(at) if dates else at)
        parts[0][name] = table[early].reset_index(drop=True)
        parts[1][name] = table[~early].reset_index(drop=True)
    before, after = (replace(log, **part) for part in parts)
    return before, after


class KnownItems(NamedTuple):
    """What `keep_known_items` returns.

    Attributes:
        before: The earlier log, its catalogue cut to the items that it knows.
        after: The later log, with the same catalogue and ids.
        new_items: How many items first appear after the split.
        dropped: How many rows of ``after.purchases`` held one of them, and are gone.
    """

    before: Log
    after: Log
    new_items: int
    dropped: int


def keep_known_items(before: Log, after: Log) -> KnownItems:
    """Cut two parts of a split to the catalogue of the earlier one, with new ids 1 to M.

    A model that is fitted on ``before`` has no column for an item that nobody could know then.
    Such rows of ``after`` are dropped and counted. Old ids keep their order.

    Raises:
        ValueError: The two logs do not share one catalogue.

    Example:
        >>> before, after, new_items, dropped = keep_known_items(*split_by_time(tiny_log(), 11))
        >>> before.items["name"].tolist(), new_items, dropped
        (['red mug', 'red lamp'], 1, 1)
    """
    if not before.items.equals(after.items):
        raise ValueError("before and after must share one catalogue, as split_by_time leaves it")
    known = np.unique(np.concatenate([table["item"].to_numpy() for table in before._tables()]))
    new_id = np.zeros(before.n_items + 1, dtype=np.int64)  # (M + 1,), 0 for an unknown item
    new_id[known] = np.arange(1, len(known) + 1)

    def cut(log: Log) -> Log:
        parts = {}
        for name in ("events", "purchases", "impressions"):
            table = getattr(log, name)
            if table is not None:
                item = new_id[table["item"].to_numpy()]
                parts[name] = table.assign(item=item)[item > 0].reset_index(drop=True)
        items = log.items.iloc[known - 1].assign(item=new_id[known]).reset_index(drop=True)
        return replace(log, items=items, **parts)

    late = np.setdiff1d(after.purchases["item"].to_numpy(), known)
    dropped = int(after.purchases["item"].isin(late).sum())
    return KnownItems(cut(before), cut(after), len(late), dropped)
