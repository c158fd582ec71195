"""Weights as JSON, and back."""

import base64
import json
import struct

import jax
import numpy as np
import pytest
from flax import nnx

from recflax.article import REPAIRED, ArticleConfig, ArticleNetwork
from recflax.export import weights_from_json, weights_to_json


def test_a_network_comes_back_bit_for_bit():
    config = ArticleConfig(n_items=7, width=6, heads=2, length=3, faults=REPAIRED)
    network = ArticleNetwork(config, rngs=nnx.Rngs(1))
    graphdef, params = nnx.split(network)
    again = nnx.merge(graphdef, weights_from_json(weights_to_json(params), like=params))
    history = np.array([[2, 7, 1]])
    np.testing.assert_array_equal(again.scores(history), network.scores(history))


def test_the_numbers_are_little_endian_float32_in_the_order_of_rows():
    text = weights_to_json({"w": np.array([[1.0, -2.5, 0.0], [3.0, 4.0, 1e-3]])}, width=3)
    found = json.loads(text)
    entry = found["arrays"]["['w']"]
    assert found["about"] == {"width": 3}
    assert entry["shape"] == [2, 3]
    numbers = struct.unpack("<6f", base64.b64decode(entry["float32"]))
    assert numbers == pytest.approx([1.0, -2.5, 0.0, 3.0, 4.0, 1e-3])


@pytest.mark.parametrize("bad", [np.array([np.nan]), np.array([np.inf]), np.array([1, 2])])
def test_what_a_page_cannot_use_is_refused_by_name(bad):
    with pytest.raises(ValueError, match=r"params must hold finite floats; \['bias'\] does not"):
        weights_to_json({"bias": bad})


def test_other_names_and_shapes_are_refused():
    text = weights_to_json({"a": np.zeros(3), "b": np.zeros(2)})
    with pytest.raises(ValueError, match=r"\['b'\] is in one only"):
        weights_from_json(text, like={"a": np.zeros(3)})
    with pytest.raises(ValueError, match=r"\['c'\] is in one only"):
        weights_from_json(text, like={"a": np.zeros(3), "b": np.zeros(2), "c": np.zeros(1)})
    with pytest.raises(ValueError, match=r"\['b'\] has shape \(2,\) in text and \(5,\) in like"):
        weights_from_json(text, like={"a": np.zeros(3), "b": np.zeros(5)})


def test_shapes_of_rank_zero_survive():
    params = {"temperature": np.float32(0.5), "list": [np.ones((1, 2, 3), np.float32)]}
    found = weights_from_json(weights_to_json(params), like=params)
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, params)
    assert float(found["temperature"]) == 0.5
