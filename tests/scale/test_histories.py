"""The reading of one process and of several: one order, cut into shares, found again."""

import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from recflax.data.batches import make_batch
from recflax.scale.histories import (
    MadeUpHistories,
    fingerprint,
    global_batch,
    open_histories,
    read_share,
)
from recflax.scale.sharding import training_mesh

HISTORIES = MadeUpHistories(people=11, length=5, n_items=7)


def sets(processes: int, batches: int, start: int = 0, seed: int = 0) -> list[list[int]]:
    """Which examples are in each global batch of 6, whoever reads them."""
    shares = [
        read_share(HISTORIES, batch_size=6, seed=seed, process=process, processes=processes)
        for process in range(processes)
    ]
    found = []
    for share in shares:
        share.set_state({"next_index": start})
    for _ in range(batches):
        parts = [next(share) for share in shares]
        assert {len(part["example"]) for part in parts} == {6 // processes}
        for part in parts:
            for example, events in zip(part["example"], part["events"], strict=True):
                assert events.tolist() == HISTORIES[example].tolist()
        found.append(sorted(int(i) for part in parts for i in part["example"]))
    for share in shares:
        share.close()
    return found


@pytest.mark.parametrize("processes", [2, 3, 6])
def test_a_global_batch_is_the_same_set_for_any_number_of_processes(processes) -> None:
    assert sets(processes, 11) == sets(1, 11)
    assert sets(processes, 3, start=4) == sets(1, 11)[4:7]


def test_every_example_once_an_epoch_in_an_order_of_its_own() -> None:
    seen: Counter = Counter()
    for number, batch in enumerate(sets(2, 11), start=1):
        seen.update(batch)
        times, more = divmod(6 * number, 11)
        assert sorted(seen[i] for i in range(11)) == [times] * (11 - more) + [times + 1] * more
    epochs = np.array(
        [
            next(read_share(HISTORIES, batch_size=66, seed=0))["example"][11 * e :][:11]
            for e in (0, 1)
        ]
    )
    assert epochs[0].tolist() != epochs[1].tolist()
    assert sets(1, 3, seed=1) != sets(1, 3)


def test_made_up_histories_are_walks() -> None:
    rows = np.array([HISTORIES[row] for row in range(11)])
    assert rows.shape == (11, 6)
    make_batch(rows, n_items=7)  # ids in range, padding on the left
    both = (rows[:, :-1] > 0) & (rows[:, 1:] > 0)
    steps = ((rows[:, 1:] - rows[:, :-1]) % 7)[both]
    assert set(steps.tolist()) == {1, 2}
    assert both.any(axis=1).all()
    assert (rows == 0).any()
    assert HISTORIES[3].tolist() != MadeUpHistories(11, 5, 7, seed=1)[3].tolist()
    for name in ("people", "length", "n_items"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1; got 0"):
            MadeUpHistories(**{"people": 2, "length": 3, "n_items": 5} | {name: 0})


def test_a_file_is_opened_and_known_again(tmp_path) -> None:
    rows = np.array([HISTORIES[row] for row in range(11)], np.int64)
    np.save(tmp_path / "histories.npy", rows)
    opened = open_histories(tmp_path / "histories.npy")
    assert isinstance(opened, np.memmap)
    assert fingerprint(opened) == fingerprint(HISTORIES)
    other = rows.copy()
    other[10, 5] += 1
    assert fingerprint(other) != fingerprint(rows)
    assert fingerprint(rows[:10]) != fingerprint(rows)
    first = next(read_share(opened, batch_size=3, seed=0))
    assert first["events"].dtype == np.int32
    assert first["events"].tolist() == rows[first["example"]].tolist()


@pytest.mark.parametrize(
    "rows", [np.ones(3, int), np.ones((3, 2)), np.ones((0, 2), int), np.ones((3, 1), int)]
)
def test_a_file_of_something_else(rows, tmp_path) -> None:
    np.save(tmp_path / "histories.npy", rows)
    with pytest.raises(ValueError, match=r"histories must be integers of shape \(U, L \+ 1\)"):
        open_histories(tmp_path / "histories.npy")


def test_targets_are_the_next_events_and_none_at_padding() -> None:
    share = {"example": np.array([5]), "events": np.array([[0, 0, 3, 7, 2]])}
    ids, batch = global_batch(share, training_mesh(1), n_items=7)
    assert ids.tolist() == [5]
    assert batch.history.tolist() == [[0, 0, 3, 7]]
    assert batch.target.tolist() == [[0, 0, 7, 2]]
    assert batch.mask.tolist() == [[False, False, True, True]]
    with pytest.raises(ValueError, match=r"history holds the id 7 at \(0, 3\); expected 0 to 6"):
        global_batch(share, training_mesh(1), n_items=6)


def test_a_batch_that_devices_cannot_share_evenly() -> None:
    share = {"example": np.arange(3), "events": np.ones((3, 4), np.int32)}
    mesh = SimpleNamespace(local_devices=["one", "another"], size=2)
    with pytest.raises(ValueError, match="multiple of the 2 devices"):
        global_batch(share, mesh, n_items=7)


def test_what_reading_refuses(monkeypatch) -> None:
    for process in (-1, 2):
        with pytest.raises(ValueError, match=f"process must be from 0 to 1; got {process}"):
            read_share(HISTORIES, batch_size=4, seed=0, process=process, processes=2)
    for size in (0, 3):
        with pytest.raises(ValueError, match=f"multiple of the 2 processes; got {size}"):
            read_share(HISTORIES, batch_size=size, seed=0, process=1, processes=2)
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(ImportError, match=r'pip install "recflax\[scale\]"'):
        read_share(HISTORIES, batch_size=2, seed=0)
