"""Sharded equals whole: everything that eight devices say comes from one process of its own."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from recflax.scale.sharding import collective_numbers, items_mesh, shard_items, training_mesh
from recflax.scale.top_k import sharded_top_k
from recflax.scale.virtual_devices import on_virtual_devices, run_on_virtual_devices

SCRIPT = Path(__file__).parent / "on_devices.py"


@pytest.fixture(scope="module")
def found() -> dict:
    return run_on_virtual_devices(8, str(SCRIPT))


def test_eight_devices_and_nothing_on_stderr(found) -> None:
    assert found["devices"] == 8
    assert found["stderr"] == ""


@pytest.mark.parametrize("n_items", ["3", "101"])
def test_loss_and_gradient_are_those_of_one_device(found, n_items) -> None:
    of = found["losses"][n_items]
    assert of["sharded"] == pytest.approx(of["loss"], rel=1e-5)
    assert of["apart"] < 1e-5 * of["largest"]
    assert of["padding"] == 0.0


def test_padding_that_takes_part_is_caught(found) -> None:
    assert abs(found["unmasked"] - found["losses"]["3"]["loss"]) > 1e-3


def test_a_device_holds_an_eighth_of_the_filled_up_table(found) -> None:
    for n_items, rows in (("3", 1), ("101", 13)):
        of = found["losses"][n_items]
        assert of["bytes"] == {"item": rows * 6 * 4, "bias": rows * 4}
        assert [rows, 6] in of["shapes"]  # and the gradient lies where the table lies
        assert [1, rows] in of["shapes"]


def test_what_is_sent_does_not_grow_with_the_catalogue(found) -> None:
    small, large = found["sent"]  # 211 items, and a million
    assert small == large
    assert 0 < sum(large.values()) < 7 * 5 * 211  # fewer numbers than there are logits


def test_lists_are_those_of_a_full_sort_ties_included(found) -> None:
    ties = 0
    for case in found["lists"]:
        assert case["sharded"] == case["whole"]
        ties += sum(len(row) - len(set(row)) for row in case["whole"][0])
    assert ties > 10
    padded = [case for case in found["lists"] if case["n_items"] % 8]
    assert any(case["as_if_padding_counted"] != case["whole"][1] for case in padded)


def test_a_step_of_training_on_a_rectangle_of_devices(found) -> None:
    one_row, four_rows = found["training"]
    assert one_row["mesh"] == {"batch": 1, "items": 8}
    assert four_rows["mesh"] == {"batch": 4, "items": 2}
    for case, rows, more in ((one_row, 13, 3), (four_rows, 51, 1)):
        assert case["rows"] == [[2, 5]] * 8  # sixteen histories come in equal parts
        assert case["bytes"] == case["bytes_after"] == {"item": rows * 24, "bias": rows * 4}
        assert case["moments"] == {"0.mu.item": rows * 24, "0.nu.item": rows * 24}
        assert case["seen"]
        assert case["drawn_apart"] < 1e-6
        assert case["moved"] > 0.09  # AdamW's first step is the learning rate, 0.1,
        assert case["stepped_apart"] < 1e-3  # also where the gradient is next to nothing
        assert case["filled_up"] == [more, 0.0]
    assert one_row["loss"] == pytest.approx(four_rows["loss"], abs=1e-5)


def test_what_a_step_of_training_sends(found) -> None:
    one_row, four_rows = (case["sent"] for case in found["training"])
    one_row_larger, four_rows_larger = (case["sent"] for case in found["training_larger"])
    assert one_row == one_row_larger > 0  # what a batch needs, whatever the catalogue
    # several rows add up the gradient of their tables as well: 505 rows here and 51 there
    assert four_rows_larger - four_rows >= (505 - 51) * (6 + 1)


def test_numbers_sent_are_read_off_the_program() -> None:
    program = """
      %a = f32[2,3]{1,0} all-reduce(%b), channel_id=1, metadata={op_name="jit(f)/all-reduce"}
      %c = (s32[7]{0}, f32[]) all-gather-start(%d, %e), channel_id=2
      %f = f32[11]{0} add(%a, %a)
    """
    assert collective_numbers(program) == {"all-reduce": 2 * 3, "all-gather": 7 + 1}
    assert collective_numbers("") == {}


def test_what_the_doors_refuse() -> None:
    mesh, one = items_mesh(1), jnp.ones((1, 2))
    with pytest.raises(ValueError, match="devices must be from 1 to 1; got 2"):
        items_mesh(2)
    for parts in (0, 2):
        with pytest.raises(ValueError, match=f"item_parts must divide the 1 devices; got {parts}"):
            training_mesh(parts)
    with pytest.raises(ValueError, match="axis must be from 0 to 1; got 2"):
        shard_items(one, mesh, 2)
    with pytest.raises(ValueError, match="devices must be at least 1; got 0"):
        on_virtual_devices(0)
    with pytest.raises(RuntimeError, match=r"on 2 virtual devices failed:\nno such thing"):
        run_on_virtual_devices(2, "-c", "raise SystemExit('no such thing')")
    for k, n_items, message in ((3, 2, "k must be from 1 to 2"), (1, 6, "n_items must be from 1")):
        with pytest.raises(ValueError, match=message):
            sharded_top_k(one, jnp.ones((5, 2)), k, mesh=mesh, n_items=n_items)
    broken = jnp.array([[1.0, 2.0], [np.nan, 0.0]])
    with pytest.raises(ValueError, match="items must be finite; row 1 is not"):
        sharded_top_k(one, broken, 1, mesh=mesh, n_items=2)
