"""Truths of a large store, some people at a time, so that no array over all of them is needed."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from recflax.data.batches import check_ids
from recflax.worlds.store import Store
from recflax.worlds.store_truth import PolicyValue


def some_people(store: Store, rows: np.ndarray) -> Store:
    """The same store with some of its people: their truths are those that they had.

    What is drawn from it is not what would be drawn for them among all: the streams are those of a
    store of this size.

    Args:
        store: the store.
        rows: (n,) person ids, at least one.

    Example:
        >>> from recflax.worlds.store import StoreConfig, build_store
        >>> store = build_store(StoreConfig(n_people=7, n_items=11, n_categories=3), seed=5)
        >>> bool((some_people(store, np.array([4, 2])).do(1) == store.do(1)[[4, 2]]).all())
        True
    """
    rows = check_ids(rows, "rows", low=0, n_items=store.config.n_people - 1, ndim=1)
    return replace(
        store,
        config=replace(store.config, n_people=len(rows)),
        taste=store.taste[rows],
        history=store.history[rows],
        bought=store.bought[rows],
    )


def values_of_shown(
    store: Store, shown: Mapping[str, np.ndarray], block: int = 250, *, best: str | None = None
) -> dict[str, PolicyValue]:
    """What it is worth a visit to show each person one item, exactly, by several rules.

    `Store.policy_value` of policies that always show it, with arrays of ``block`` people.

    Args:
        store: the store.
        shown: by name of the rule, (U,) ids 1 to M.
        block: people at a time, at least 1.
        best: a name for the oracle of uplift, which shows each person the item that adds most;
            None leaves it out.

    Raises:
        TypeError: ids that are not integers.
        ValueError: an id outside the catalogue, not one for each person, a block below 1, or a
            rule that has the oracle's name.

    Example:
        >>> from recflax.worlds.store import StoreConfig, build_store
        >>> store = build_store(StoreConfig(n_people=7, n_items=11, n_categories=3), seed=5)
        >>> first = np.ones(7, dtype=int)
        >>> found = values_of_shown(store, {"first": first}, block=3, best="oracle")
        >>> bool(np.allclose(found["first"], store.policy_value(np.eye(11)[first - 1]), rtol=1e-12))
        True
        >>> bool(found["oracle"].increment >= found["first"].increment)
        True
    """
    people = store.config.n_people
    ids = {
        name: check_ids(each, f"shown[{name!r}]", low=1, n_items=store.config.n_items, ndim=1)
        for name, each in shown.items()
    }
    for name, each in ids.items():
        if len(each) != people:
            raise ValueError(
                f"shown[{name!r}] must have one id for each of {people} people; got {len(each)}"
            )
    if best in ids:
        raise ValueError(f"best must be a name of its own; {best!r} is one of shown")
    names = [*ids] if best is None else [*ids, best]
    total = {name: np.zeros(len(PolicyValue._fields)) for name in names}
    for rows in _blocks(people, block):
        part = some_people(store, rows)
        with_it, without = part.do(1), part.do(0)  # (block, M)
        columns = {name: each[rows] - 1 for name, each in ids.items()}
        if best is not None:
            columns[best] = (with_it - without).argmax(axis=1)
        for name, column in columns.items():
            cells = np.arange(len(rows)), column
            gained = with_it[cells] - without[cells]
            total[name] += [
                with_it[cells].sum(),
                gained.sum(),
                (gained * store.price[cells[1]]).sum(),
                without.sum() + gained.sum(),
            ]
    return {name: PolicyValue(*(each / people).tolist()) for name, each in total.items()}


def _blocks(people: int, block: int) -> list[np.ndarray]:
    if block < 1:
        raise ValueError(f"block must be at least 1; got {block}")
    return [np.arange(start, min(start + block, people)) for start in range(0, people, block)]
