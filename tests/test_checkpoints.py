"""Arrays in a folder: found again as they were, or in the size that is wanted now."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from recflax.checkpoints import RunFolder


def test_a_table_is_cut_or_filled_up_with_zeros_where_asked_for(tmp_path) -> None:
    folder = RunFolder(tmp_path, {"items": 3}, keep=1)
    table = np.arange(1.0, 11.0, dtype=np.float32).reshape(5, 2)
    folder.save(1, {"table": jnp.asarray(table)}, {})
    for rows in (3, 7):
        like = {"table": jnp.zeros((rows, 2))}
        with pytest.raises(ValueError, match=rf"other shapes: \[\[5, 2\]\], not \[\[{rows}, 2\]\]"):
            folder.restore(like)
        found = np.asarray(folder.restore(like, refill=True)[0]["table"])
        assert found.shape == (rows, 2)
        assert found[: min(rows, 5)].tolist() == table[:rows].tolist()
        assert not found[5:].any()
    with pytest.raises(ValueError, match="other shapes"):  # another array altogether
        folder.restore({"table": jnp.zeros(5)}, refill=True)


def test_what_lay_on_a_mesh_is_put_there_again(tmp_path) -> None:
    place = NamedSharding(Mesh(np.array(jax.devices()), ("items",)), PartitionSpec("items"))
    folder = RunFolder(tmp_path, {})
    folder.save(1, [jnp.ones(3)], {})
    found = folder.restore([jax.device_put(jnp.zeros(3), place)])[0][0]
    assert found.sharding == place
    assert found.tolist() == [1, 1, 1]


def test_only_the_last_states_are_kept(tmp_path) -> None:
    for step in (1, 2, 3):
        RunFolder(tmp_path, {}, keep=1).save(step, [jnp.full(2, step)], {"step": step})
    assert [path.name for path in tmp_path.iterdir() if path.name.isdecimal()] == ["3"]
    assert RunFolder(tmp_path, {}).restore([jnp.zeros(2, jnp.int32)])[1] == {"step": 3}
