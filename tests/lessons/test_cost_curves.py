"""Operations of a step by hand, slopes of known powers, and sizes that exist on paper only."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from recflax.lessons import cost_curves as lesson
from recflax.lessons.attention_cost import timed
from recflax.lessons.cost_curves import on_paper, slope
from recflax.lessons.training_step import (
    BATCH,
    Shape,
    numbers,
    step_arguments,
    step_operations,
    step_seconds,
    training_step,
)

SMALL = Shape(items=11, length=3, width=2, batch=5)


def differences(name: str, values: list[int], shape: Shape = SMALL) -> np.ndarray:
    """Operations at these values of one size, less those at the value before."""
    return np.diff([step_operations(replace(shape, **{name: value})) for value in values])


@pytest.mark.parametrize("name", ["items", "batch"])
def test_a_step_is_linear_in_the_catalogue_and_in_the_batch(name) -> None:
    first = differences(name, [13, 20, 27, 34])
    assert first[0] == first[1] == first[2] > 0


@pytest.mark.parametrize("name", ["length", "width"])
def test_a_step_is_quadratic_in_length_and_in_width(name) -> None:
    second = np.diff(differences(name, [6, 12, 18, 24, 30]))
    assert second[0] == second[1] == second[2] > 0


def test_three_products_for_each_logit() -> None:
    """Forward, and backward to both factors: 6 B D an item; the rest does not know B D."""

    def of(**changed: int) -> int:
        return step_operations(replace(SMALL, **changed))

    def an_item(**changed: int) -> float:
        return (of(items=31, **changed) - of(items=11, **changed)) / 20

    mixed = an_item(batch=7, width=4) - an_item(batch=5, width=4)
    mixed -= an_item(batch=7, width=2) - an_item(batch=5, width=2)
    assert mixed / ((7 - 5) * (4 - 2)) == 6


@pytest.mark.parametrize(("name", "power"), lesson.EXPONENTS.items())
def test_far_out_the_operations_grow_by_their_exponent(name, power) -> None:
    sizes = [2**19, 2**20, 2**21]
    counts = [step_operations(replace(SMALL, **{name: size})) for size in sizes]
    assert slope(sizes, counts) == pytest.approx(power, abs=0.01)


def test_numbers_are_those_of_the_arrays() -> None:
    params, state, batch, _ = step_arguments(SMALL)
    assert numbers(SMALL) == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert numbers(replace(SMALL, items=12)) - numbers(SMALL) == SMALL.width + 1  # row and bias
    moments = sum(leaf.size for leaf in jax.tree.leaves(state))
    assert 2 * numbers(SMALL) <= moments <= 2 * numbers(SMALL) + 5  # and a few counters
    assert np.asarray(batch.target).max() <= SMALL.items


def test_a_step_learns() -> None:
    step = jax.jit(training_step(SMALL).function)
    params, state, batch, key = step_arguments(SMALL, seed=3)
    losses = []
    for _ in range(60):
        params, state, loss = step(params, state, batch, key)
        losses.append(float(loss))
    assert losses[-1] < losses[0] - 0.1


def test_what_is_called_is_what_was_described() -> None:
    expected, found = training_step(SMALL).arguments, step_arguments(SMALL)
    told = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), (expected[0], expected[2]))
    made = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), (found[0], found[2]))
    assert told == made
    assert step_seconds(SMALL, repeats=3).shape == (3,)
    assert (timed(lambda: None, 2) >= 0).all()


def test_a_row_has_counts_and_a_median_for_every_setting(monkeypatch) -> None:
    asked = []

    def clock(shape: Shape, repeats: int = 7, seed: int = 0) -> np.ndarray:
        asked.append((shape, seed))
        return np.array([1.0, 5.0, 3.0])

    monkeypatch.setattr(lesson, "step_seconds", clock)
    sweeps = {"items": [SMALL, replace(SMALL, items=13)], "batch": [replace(SMALL, batch=7)]}
    row = lesson.run(2, 2 * BATCH, sweeps)
    names = ("items_11", "items_13", "batch_7")
    measures = ("operations", "compiled", "bytes", "seconds")
    assert set(row) == {f"{name}_{what}" for name in names for what in measures} | {
        "seed",
        "people",
    }
    assert {row[f"{name}_seconds"] for name in names} == {3.0}
    twice = replace(SMALL, batch=2 * SMALL.batch)
    assert asked == [(twice, 2), (replace(twice, items=13), 2), (replace(SMALL, batch=7), 2)]
    assert row["items_11_operations"] == step_operations(twice)
    for name in names:  # the compiler merges and drops some, and adds a few of its own
        assert 0.5 < row[f"{name}_compiled"] / row[f"{name}_operations"] < 2


def test_settings_move_one_size_and_ascend() -> None:
    for name, shapes in lesson.SWEEPS.items():
        sizes = [getattr(shape, name) for shape in shapes]
        assert sizes == sorted(set(sizes))
        assert len({replace(shape, **{name: 2}) for shape in shapes}) == 1
    assert lesson.EXPONENTS.keys() == lesson.SWEEPS.keys()


def test_the_slope_of_a_power_is_its_exponent() -> None:
    sizes = np.array([2, 3, 5, 7, 11])
    assert slope(sizes, 13 * sizes**1.7) == pytest.approx(1.7, rel=1e-12)
    bent = np.where(sizes < 5, 1.0, sizes**2.0)
    assert slope(sizes, bent) == pytest.approx(2.0, rel=1e-12)
    assert slope(sizes, bent, last=5) != pytest.approx(2.0, rel=0.01)
    for x, y, last, message in (
        ([1, 2], [1, 2, 3], 2, "one length"),
        ([1, 2], [1, 2], 3, "last must be from 2 to 2"),
        ([1, 3, 2], [1, 2, 3], 3, "ascending"),
        ([1, 2, 3], [1, 0, 3], 3, "positive values"),
    ):
        with pytest.raises(ValueError, match=message):
            slope(x, y, last)


def test_a_step_on_paper_adds_up() -> None:
    shape = Shape(items=1_009, length=7, width=6, batch=5)
    need = on_paper(shape, events=103, operations_per_second=1e6, device_bytes=1e5)
    assert need.table_bytes == 4 * 1_009 * 6
    assert need.state_bytes == 16 * numbers(shape)
    assert need.logit_bytes == 4 * 5 * 1_009
    assert need.devices == -(-(need.state_bytes + need.logit_bytes) // 1e5)
    assert need.operations == step_operations(shape)
    assert need.step_seconds == need.operations / 1e6
    assert need.steps == 21  # the last is not full
    assert need.days == pytest.approx(21 * need.step_seconds / (24 * 60 * 60))


def test_a_sampled_step_on_paper_touches_few_rows() -> None:
    shape = Shape(items=1_009, length=7, width=6, batch=5)
    need = on_paper(shape, events=103, operations_per_second=1e6, negatives=61)
    assert need.operations == step_operations(replace(shape, items=61 + 5 * 8))
    assert need.logit_bytes == 4 * 5 * (61 + 5 * 8)
    whole = on_paper(shape, events=103, operations_per_second=1e6)
    assert need.table_bytes == whole.table_bytes
    assert need.state_bytes == whole.state_bytes
    all_of_them = on_paper(shape, events=103, operations_per_second=1e6, negatives=10_000)
    assert all_of_them == whole


def test_what_the_doors_refuse() -> None:
    for changed, message in (
        ({"items": 0}, "items must be at least 1"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"width": 5}, "width must be even"),
    ):
        with pytest.raises(ValueError, match=message):
            Shape(**changed)
    good = {"events": 1.0, "operations_per_second": 1.0, "device_bytes": 1.0, "negatives": 1}
    for name in good:
        with pytest.raises(ValueError, match=f"{name} must be positive and finite; got 0"):
            on_paper(SMALL, **good | {name: 0})
    with pytest.raises(ValueError, match="repeats must be at least 1; got 0"):
        timed(lambda: None, 0)
