"""What the training program reads is what the log's preparation left, row for row."""

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recflax.data.batches import history_batch
from recflax.data.engines import store
from recflax.data.pipeline import histories
from recflax.scale.histories import open_histories
from recflax.scale.history_file import save_histories

PEOPLE, ITEMS = 1_201, 37  # more than a block of people


@pytest.fixture(scope="module")
def events() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    counts = rng.integers(1, 12, PEOPLE)
    person = np.repeat(np.arange(PEOPLE), counts)
    place = np.concatenate([np.arange(count) for count in counts])
    return pd.DataFrame(
        {
            "person": person,
            "place": place,
            "time": place,
            "item": rng.integers(1, ITEMS + 1, len(person)),
            "bought": True,
        }
    )


@pytest.mark.parametrize("length", [1, 5, 7])
def test_rows_are_those_of_pandas(events, tmp_path, length) -> None:
    store(histories(ibis.memtable(pa.Table.from_pandas(events)), length=11), tmp_path / "histories")
    count = save_histories(
        tmp_path / "histories", tmp_path / "rows.npy", length=length, n_items=ITEMS
    )
    several = events["person"].value_counts().sort_index().to_numpy() > 1
    wanted = history_batch(
        events, np.flatnonzero(several), length=length + 1, n_items=ITEMS
    ).history
    found = open_histories(tmp_path / "rows.npy")
    assert count == len(found) == several.sum()
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, np.asarray(wanted))
    assert [path.name for path in tmp_path.glob("*.npy*")] == ["rows.npy"]


def test_what_is_refused_leaves_no_file(events, tmp_path) -> None:
    file = tmp_path / "rows.npy"
    store(histories(ibis.memtable(pa.Table.from_pandas(events)), length=3), tmp_path / "histories")
    with pytest.raises(ValueError, match="length must be at least 1; got 0"):
        save_histories(tmp_path / "histories", file, length=0, n_items=ITEMS)
    with pytest.raises(ValueError, match=str(ITEMS)):
        save_histories(tmp_path / "histories", file, length=2, n_items=ITEMS - 1)
    single = events[events["place"] == 0]
    store(histories(ibis.memtable(pa.Table.from_pandas(single)), length=3), tmp_path / "single")
    with pytest.raises(ValueError, match=r"nobody in .*single has two events"):
        save_histories(tmp_path / "single", file, length=2, n_items=ITEMS)
    assert not list(tmp_path.glob("rows*"))
