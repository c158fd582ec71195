"""Baskets: what was bought together, as rows to learn from and as rows to rank."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recflax.data.batches import check_ids, last_events
from recflax.data.logs import Log


def _basket_items(
    log: Log, table: pd.DataFrame, max_targets: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct items of each basket of ``table``, (n, T) 0-padded, and their number."""
    lines = log.purchases[["person", "visit", "item"]].drop_duplicates()
    lines = lines.merge(table[["person", "visit"]].assign(row=np.arange(len(table))))
    lines = lines.sort_values("row", kind="stable")
    row = lines["row"].to_numpy()
    size = np.bincount(row, minlength=len(table))  # (n,)
    column = np.arange(len(row)) - (np.cumsum(size) - size)[row]
    width = int(size.max(initial=1)) if max_targets is None else max_targets
    kept = column < width
    items = np.zeros((len(table), width), dtype=np.int32)  # (n, T)
    items[row[kept], column[kept]] = lines["item"].to_numpy()[kept]
    return items, size


def basket_examples(log: Log, *, length: int, max_targets: int) -> dict[str, np.ndarray]:
    """Return one training example per basket that has something before it.

    The history of a basket is the person's last ``length`` events *strictly before* its time, so
    no line of the basket itself, and none of a basket of the same moment, can be seen. Baskets
    with nothing before them (everybody's first) are left out.

    Args:
        log: The log to learn from.
        length: L, places of history.
        max_targets: T, distinct items kept of each basket, in the order of ``log.purchases``.

    Returns:
        Arrays of n examples: history (n, L) int32, bought (n, L) bool, mask (n, L) bool,
        target (n, T) int32 with 0 as padding on the right, person (n,) int32, and basket_size
        (n,) int32: the distinct items before the cut at T.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> examples = basket_examples(tiny_log(), length=2, max_targets=2)
        >>> examples["history"].tolist(), examples["target"].tolist()
        ([[1, 2], [0, 3]], [[1, 0], [2, 0]])
    """
    for name, value in (("length", length), ("max_targets", max_targets)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}")
    table = baskets(log)
    people = table["person"].to_numpy()
    arrays = last_events(log.events, people, table["time"].to_numpy(), length)
    target, size = _basket_items(log, table, max_targets)
    kept = arrays[2].any(axis=1)
    history, bought, mask = (array[kept] for array in arrays)
    return {
        "history": history,
        "bought": bought,
        "mask": mask,
        "target": target[kept],
        "person": people[kept].astype(np.int32),
        "basket_size": size[kept].astype(np.int32),
    }


class NextBasket(NamedTuple):
    """The baskets to rank after a split.

    Attributes:
        people: (P,) int32 person ids, ascending.
        items: (P, T) int32, the distinct items of each one's basket, 0 as padding on the right.
    """

    people: np.ndarray
    items: np.ndarray


def next_basket(before: Log, after: Log) -> NextBasket:
    """Return the first basket after a split of everyone who bought before it.

    A catalogue is cut after the first baskets are found, not before; otherwise a basket of unknown
    items alone would give its place to the person's second one::

        before, after = split_by_time(log, at)
        known = keep_known_items(before, first_baskets(after))
        test = next_basket(known.before, known.after)

    Args:
        before: The log to learn from.
        after: What came later, with the same people and the same catalogue.

    Raises:
        ValueError: The two logs have not the same people or catalogue.

    Example:
        >>> from recflax.data.logs import split_by_time, tiny_log
        >>> next_basket(*split_by_time(tiny_log(), 20))
        NextBasket(people=array([0, 1], dtype=int32), items=array([[1],
               [2]], dtype=int32))
    """
    if (before.n_people, before.n_items) != (after.n_people, after.n_items):
        raise ValueError(
            "before and after must share people and catalogue: "
            f"{before.n_people} and {after.n_people} people, "
            f"{before.n_items} and {after.n_items} items"
        )
    first = baskets(after).drop_duplicates("person")
    first = first[first["person"].isin(before.purchases["person"])]
    items, _ = _basket_items(after, first, None)
    return NextBasket(first["person"].to_numpy().astype(np.int32), items)


def item_matrix(ids: Any, n_items: int) -> np.ndarray:
    """Return (P, M) bool from (P, T) item ids with 0 as padding: column j-1 is item j.

    Example:
        >>> item_matrix([[2, 0], [3, 1]], 3).astype(int)
        array([[0, 1, 0],
               [1, 0, 1]])
    """
    array = check_ids(ids, "ids", low=0, n_items=n_items, ndim=2)
    matrix = np.zeros((len(array), n_items + 1), dtype=bool)
    matrix[np.arange(len(array))[:, None], array] = True
    return matrix[:, 1:]


def purchase_counts(log: Log, people: Any) -> np.ndarray:
    """Return (P, M) int32: in how many baskets each person bought each item.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> purchase_counts(tiny_log(), [1, 0])
        array([[0, 1, 1],
               [2, 0, 0]], dtype=int32)
    """
    people = check_ids(people, "people", low=0, n_items=log.n_people - 1, ndim=1)
    lines = log.purchases[["person", "visit", "item"]].drop_duplicates()
    counts = np.zeros((log.n_people, log.n_items), dtype=np.int32)
    np.add.at(counts, (lines["person"].to_numpy(), lines["item"].to_numpy() - 1), 1)
    return counts[people]


def baskets(log: Log) -> pd.DataFrame:
    """Return one row per basket (person, visit, time), ordered by person, time and visit.

    A basket's time is that of its earliest line.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> baskets(tiny_log())["time"].tolist()
        [10, 20, 10, 30]
    """
    table = log.purchases.groupby(["person", "visit"])["time"].min().reset_index()
    return table.sort_values(["person", "time", "visit"], ignore_index=True)


def first_baskets(log: Log) -> Log:
    """Keep, of all purchases, those of each person's first basket; events stay as they are.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> first_baskets(tiny_log()).purchases["item"].tolist()
        [1, 3]
    """
    first = baskets(log).drop_duplicates("person")[["person", "visit"]]
    purchases = log.purchases.merge(first, on=["person", "visit"])
    return replace(log, purchases=purchases)
