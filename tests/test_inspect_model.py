"""What is said of a network and of a step, against what can be counted by hand."""

import gzip
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from recflax.inspect_model import (
    embedding_map,
    loss_surface,
    parameter_table,
    record_trace,
    step_cost,
    trace_table,
)


class Two(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.one = nnx.Linear(3, 5, rngs=rngs)
        self.two = nnx.Embed(7, 11, rngs=rngs)
        self.count = nnx.Variable(jnp.zeros(13))  # not trained


def test_parameters_are_counted_by_array():
    table = parameter_table(Two(nnx.Rngs(0)))
    assert table["numbers"].to_dict() == {"one.bias": 5, "one.kernel": 15, "two.embedding": 77}
    assert table.loc["one.kernel", "shape"] == "(3, 5)"
    np.testing.assert_allclose(table["kilobytes"], table["numbers"] * 4 / 1024)
    assert table["share"].sum() == pytest.approx(1)
    assert parameter_table({"a": jnp.ones((2, 3), jnp.bfloat16)})["kilobytes"].item() == 12 / 1024
    with pytest.raises(ValueError, match="no parameters"):
        parameter_table({})


def test_a_product_of_matrices_costs_what_it_costs():
    cost = step_cost(lambda a, b: a @ b, jnp.ones((11, 13)), jnp.ones((13, 17)))
    assert 2 * 11 * 13 * 17 - 11 * 17 <= cost.flops <= 2 * 11 * 13 * 17
    assert cost.argument_bytes == 4 * (11 * 13 + 13 * 17)
    assert cost.output_bytes == 4 * 11 * 17
    assert cost.bytes_moved >= cost.argument_bytes
    assert cost.compile_seconds > 0


@jax.jit
def products(a):
    return jnp.tanh(a @ a) @ a


def test_a_trace_is_written_and_says_where_the_time_went(tmp_path):
    path = record_trace(tmp_path, products, jnp.ones((211, 211)), calls=3)
    assert path.name == "perfetto_trace.json.gz"
    table = trace_table(path)
    assert table["calls"].sum() >= 3
    assert (table["calls"] % 3 == 0).all()
    assert table["share"].sum() == pytest.approx(1)
    assert (table["milliseconds"].diff().dropna() <= 0).all()
    with pytest.raises(ValueError, match="calls must be at least 1"):
        record_trace(tmp_path, products, jnp.ones((2, 2)), calls=0)


def test_a_trace_is_summed_by_kind_without_the_loops(tmp_path):
    def event(name, ms, args):
        return {"ph": "X", "name": name, "dur": 1000 * ms, "args": args}

    op = {"hlo_op": "x"}
    events = [event("dot.1", 2, op), event("dot.7", 3, op), event("fusion", 1, op)]
    events += [event("while.2", 50, op), event("python", 70, {}), {"ph": "M", "name": "thread"}]
    path = tmp_path / "trace.json.gz"

    def write(what):
        with gzip.open(path, "wt") as stream:
            json.dump({"traceEvents": what}, stream)

    write(events)
    table = trace_table(path)
    assert table["milliseconds"].to_dict() == {"dot": 5, "fusion": 1}
    assert table["calls"].to_dict() == {"dot": 2, "fusion": 1}
    write(events[-2:])
    with pytest.raises(ValueError, match="no compiled operation"):
        trace_table(path)


def quadratic(params):
    return jnp.sum(params["w"] ** 2) + jnp.sum(params["b"])


@pytest.fixture
def point():
    return {
        "w": jax.random.normal(jax.random.key(1), (5, 3)),
        "b": jnp.arange(7.0),
    }


def test_the_surface_of_a_quadratic_is_one(point):
    found = loss_surface(quadratic, point, jax.random.key(0), radius=0.5, points=7)
    assert float(found.loss[3, 3]) == pytest.approx(float(quadratic(point)))
    # second differences of a quadratic are the same everywhere, and its biases stand still
    for axis in (0, 1):
        bend = np.diff(found.loss, n=2, axis=axis)
        np.testing.assert_allclose(bend, bend[0, 0], rtol=2e-3)
        step = found.steps[1] - found.steps[0]
        # a direction is as long as the point, column by column
        assert bend[0, 0] == pytest.approx(2 * step**2 * float(jnp.sum(point["w"] ** 2)), rel=2e-3)


def test_the_surface_depends_on_its_key_alone(point):
    one, same, other = (
        loss_surface(quadratic, point, jax.random.key(k), points=3).loss for k in (0, 0, 1)
    )
    assert (one == same).all()
    assert not np.allclose(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"points": 4}, "odd"), ({"points": 1}, "at least 3"), ({"radius": 0.0}, "positive")],
)
def test_a_square_that_is_none(point, arguments, message):
    with pytest.raises(ValueError, match=message):
        loss_surface(quadratic, point, jax.random.key(0), **arguments)


def test_vectors_in_a_plane_are_seen_as_they_are():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(29, 2)) * [3, 1]
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0][:2]
    found = embedding_map(flat @ turn)
    assert found.explained.sum() == pytest.approx(1)

    def distances(places):
        return np.linalg.norm(places[:, None] - places[None], axis=-1)

    np.testing.assert_allclose(distances(found.places), distances(flat), atol=1e-9)


@pytest.mark.parametrize("vectors", [np.ones(3), np.ones((1, 5)), np.full((3, 3), np.nan)])
def test_vectors_that_are_none(vectors):
    with pytest.raises(ValueError, match="vectors must be"):
        embedding_map(vectors)
