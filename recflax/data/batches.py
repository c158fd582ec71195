"""From tables to arrays: the only place where pandas ends and arrays begin.

Every history runs from oldest to newest and is padded with 0 on the **left**, so that the newest
event always stands in the last column. Ids are checked here, in numpy, with the first offender
named: JAX clamps or wraps a wrong index without a word.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recflax.data.logs import check_columns


class Batch(NamedTuple):
    """What a network is given: B histories of L places, and perhaps N candidates for each.

    Attributes:
        history: (B, L) int32, item ids 1 to M from oldest to newest; 0 on the left is padding.
        bought: (B, L) bool, True where the event was a purchase, False where it was a view.
        mask: (B, L) bool, True where there is an event.
        candidates: (B, N) int32, the items to score; None asks for the whole catalogue.
        target: (B, ...) what is to be predicted, or None.
        weight: (B, ...) weights of the loss, or None.

    All are numpy or JAX arrays; the tuple is a pytree, so ``jax.jit`` takes it as it is.
    """

    history: Any
    bought: Any
    mask: Any
    candidates: Any = None
    target: Any = None
    weight: Any = None


def check_ids(ids: Any, what: str, *, low: int, n_items: int, ndim: int) -> np.ndarray:
    """Return ``ids`` as int32 if all are integers from ``low`` to ``n_items``, else raise.

    Raises:
        TypeError: The ids are not integers.
        ValueError: The number of axes is wrong, or an id is out of range: the first is named.

    Example:
        >>> check_ids([[1, 9]], "history", low=0, n_items=3, ndim=2)
        Traceback (most recent call last):
        ...
        ValueError: history holds the id 9 at (0, 1); expected 0 to 3
    """
    array = np.asarray(ids)
    if array.ndim != ndim:
        raise ValueError(f"{what} must have {ndim} axes; got shape {array.shape}")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{what} must hold integers, not {array.dtype}")
    wrong = np.argwhere((array < low) | (array > n_items))
    if len(wrong):
        place = tuple(int(axis) for axis in wrong[0])
        raise ValueError(
            f"{what} holds the id {array[place]} at {place}; expected {low} to {n_items}"
        )
    return array.astype(np.int32)


def _check_rows(array: np.ndarray, what: str, rows: int) -> np.ndarray:
    """Return ``array`` if it has one entry a row of the batch and no NaN, else raise."""
    if array.ndim == 0 or len(array) != rows:
        raise ValueError(f"{what} must have {rows} rows like history; got shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what} must hold numbers, not {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{what} must be finite; row {np.argwhere(~np.isfinite(array))[0][0]} is not"
        )
    return array


def make_batch(
    history: Any,
    bought: Any = None,
    *,
    n_items: int,
    candidates: Any = None,
    target: Any = None,
    weight: Any = None,
) -> Batch:
    """Check arrays at the door and return them as a `Batch`.

    Args:
        history: (B, L) item ids, oldest to newest, 0 as padding on the left.
        bought: (B, L) bool; None means that every event was a purchase.
        n_items: M, the size of the catalogue.
        candidates: (B, N) item ids 1 to M, or None.
        target: (B, ...), finite; integers are taken as item ids or labels, 0 to M.
        weight: (B, ...), finite and at least 0.

    Raises:
        TypeError: Ids that are not integers, or ``bought`` that is not boolean.
        ValueError: An id is negative or above M, a 0 stands after an event, shapes disagree, or a
            purchase is marked at a padded place. The first offender is named.

    Example:
        >>> make_batch([[0, 2, 1]], n_items=3).mask
        array([[False,  True,  True]])
        >>> make_batch([[2, 0, 1]], n_items=3)
        Traceback (most recent call last):
        ...
        ValueError: history has padding (0) after an event at (0, 1); padding must be on the left
    """
    if n_items < 1:
        raise ValueError(f"n_items must be at least 1; got {n_items}")
    ids = check_ids(history, "history", low=0, n_items=n_items, ndim=2)
    mask = ids > 0
    holes = np.argwhere(mask[:, :-1] & ~mask[:, 1:])
    if len(holes):
        row, column = (int(axis) for axis in holes[0])
        raise ValueError(
            f"history has padding (0) after an event at ({row}, {column + 1}); "
            "padding must be on the left"
        )
    if bought is None:
        bought = mask
    bought = np.asarray(bought)
    if bought.dtype != np.bool_:
        raise TypeError(f"bought must hold booleans, not {bought.dtype}")
    if bought.shape != ids.shape:
        raise ValueError(f"bought must have the shape of history, {ids.shape}; got {bought.shape}")
    if (bought & ~mask).any():
        row, column = (int(axis) for axis in np.argwhere(bought & ~mask)[0])
        raise ValueError(f"bought is True at the padded place ({row}, {column})")
    if candidates is not None:
        candidates = check_ids(candidates, "candidates", low=1, n_items=n_items, ndim=2)
        _check_rows(candidates, "candidates", len(ids))
    if target is not None:
        target = _check_rows(np.asarray(target), "target", len(ids))
        if target.dtype.kind in "iu":
            target = check_ids(target, "target", low=0, n_items=n_items, ndim=target.ndim)
    if weight is not None:
        weight = _check_rows(np.asarray(weight), "weight", len(ids))
        if (weight < 0).any():
            raise ValueError(
                f"weight must be at least 0; row {np.argwhere(weight < 0)[0][0]} is not"
            )
    return Batch(ids, bought, mask, candidates, target, weight)


def last_events(
    events: pd.DataFrame, people: np.ndarray, before: np.ndarray | None, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return history, bought and mask, each (B, L), of the last events (strictly before a time)."""
    person, place = events["person"].to_numpy(), events["place"].to_numpy()
    order = np.lexsort((place, person))
    person, item = person[order], events["item"].to_numpy()[order]
    start = np.searchsorted(person, people, side="left")  # (B,)
    if before is None:
        stop = np.searchsorted(person, people, side="right")
    else:
        # One number per (person, time), in the order of the rows: a search finds each place.
        time = events["time"].to_numpy()[order]
        moments, rank = np.unique(np.concatenate([time, before]), return_inverse=True)
        key = person.astype(np.int64) * len(moments) + rank[: len(time)]
        wanted = people.astype(np.int64) * len(moments) + rank[len(time) :]
        stop = np.maximum(np.searchsorted(key, wanted, side="left"), start)
    place_of = stop[:, None] - length + np.arange(length)  # (B, L)
    mask = place_of >= start[:, None]
    if len(item) == 0:
        return mask.astype(np.int32), mask.copy(), mask
    place_of = np.where(mask, place_of, 0)
    history = np.where(mask, item[place_of], 0).astype(np.int32)
    bought = mask & events["bought"].to_numpy()[order][place_of]
    return history, bought, mask


def history_batch(
    events: pd.DataFrame, people: Any, *, length: int, n_items: int, before: Any = None
) -> Batch:
    """Return the last ``length`` events of each person, as a checked `Batch`.

    Args:
        events: The events of a `Log` (person, place, time, item, bought).
        people: (B,) person ids; one without events gets an empty history (all padding).
        length: L, at least 1.
        n_items: M, the size of the catalogue.
        before: Only events strictly before this time: one for all, or (B,) one each.

    Raises:
        TypeError: People that are not integers.
        ValueError: A wrong shape, length or id.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> history_batch(tiny_log().events, [1, 0], length=3, n_items=3).history
        array([[0, 3, 2],
               [1, 2, 1]], dtype=int32)
        >>> history_batch(tiny_log().events, [1, 0], length=3, n_items=3, before=20).history
        array([[0, 0, 3],
               [0, 1, 2]], dtype=int32)
    """
    check_columns(events, ("person", "place", "time", "item", "bought"), "events")
    if length < 1:
        raise ValueError(f"length must be at least 1; got {length}")
    people = check_ids(people, "people", low=0, n_items=np.iinfo(np.int32).max, ndim=1)
    if before is not None:
        dtype = events["time"].to_numpy().dtype
        before = np.broadcast_to(np.asarray(before).astype(dtype), people.shape)
    history, bought, _ = last_events(events, people, before, length)
    return make_batch(history, bought, n_items=n_items)
