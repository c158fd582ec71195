"""The page that trains: logs taken apart and put together again, bytes, first numbers."""

import base64
import json

import numpy as np
import pytest
from flax import nnx

from recflax.lessons.train_it_here import WAYS, Record, Schedule, small_config
from recflax.lessons.training_page import first_numbers, organic, packed, training_data
from recflax.recommender import Recommender
from recflax.worlds.store import StoreConfig, build_store

SCHEDULE = Schedule(steps=4, batch=7, every=2)


@pytest.fixture(scope="module")
def store():
    return build_store(StoreConfig(n_people=61, n_items=13, n_categories=3), seed=9)


@pytest.fixture(scope="module")
def records():
    curve = np.linspace(0.1, 0.3, 3)
    return {way: Record(np.array([4.0, 2.0, 1.0, 0.0]), -curve, curve) for way in WAYS}


def read(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def test_both_logs_are_put_together_from_what_is_bought_anyway(store) -> None:
    logs = store.log(rand=0.0), store.log(rand=1.0)
    row, item = organic(*logs)
    for log in logs:
        free = item != log.shown[row]
        hit = np.flatnonzero(log.bought_shown)
        bought = [
            *np.stack([row[free], item[free]], axis=1).tolist(),
            *np.stack([hit, log.shown[hit]], axis=1).tolist(),
        ]
        logged = np.stack([log.purchase_row, log.purchase_item], axis=1).tolist()
        assert sorted(bought) == sorted(logged)
    other = build_store(StoreConfig(n_people=61, n_items=13, n_categories=3), seed=10)
    with pytest.raises(ValueError, match="two logs of one draw"):
        organic(logs[0], other.log(rand=1.0))


def test_the_page_holds_the_log_in_bytes(store, records) -> None:
    data = json.loads(training_data(store, records, SCHEDULE, seed=9))
    policy = store.log(rand=0.0)
    np.testing.assert_array_equal(read(data["log"]["policy"]["shown"], "u1"), policy.shown)
    np.testing.assert_array_equal(read(data["log"]["policy"]["bought"], "u1"), policy.bought_shown)
    np.testing.assert_allclose(read(data["log"]["propensity"], "<f4"), policy.propensity)
    np.testing.assert_array_equal(
        read(data["people"]["history"], "u1").reshape(61, -1), store.history
    )
    np.testing.assert_allclose(
        read(data["people"]["taste"], "<f4").reshape(61, -1), store.taste, rtol=1e-6
    )
    later = store.log(4, "heldout")
    np.testing.assert_array_equal(
        read(data["later"]["person"], "<u2"), later.person[later.purchase_row]
    )
    curve = data["recorded"]["ways"]["weights"]
    assert curve["step"] == [0, 2, 4]
    assert curve["loss"] == [3.0, 0.5]
    assert curve["increment"] == [0.1, 0.2, 0.3]


def test_what_does_not_fit_is_refused(store, records) -> None:
    with pytest.raises(ValueError, match=r"records must have the keys .*; got \['weights'\]"):
        training_data(store, {"weights": records["weights"]}, SCHEDULE, seed=9)
    large = build_store(StoreConfig(n_people=5, n_items=257), seed=9)
    with pytest.raises(ValueError, match=r"at most 255 products and 65,535 visits; got 257 and 40"):
        training_data(large, records, SCHEDULE, seed=9)


def test_first_numbers_are_spread_as_the_library_spreads_them(store) -> None:
    config = small_config(store)
    drawn = nnx.to_pure_dict(nnx.split(Recommender(config, rngs=nnx.Rngs(0)))[1])
    found = first_numbers(config)
    kernel = np.asarray(drawn["blocks"][0]["wide"]["kernel"])
    said = found["['blocks'][0]['wide']['kernel']"]
    assert said["shape"] == list(kernel.shape)
    assert said["deviation"] == pytest.approx(float(kernel.std()), rel=0.05)
    assert found["['bias']"]["mean"] == -4.5
    assert found["['bias']"]["deviation"] == 0
    item = np.asarray(drawn["item"])
    assert found["['item']"]["deviation"] == pytest.approx(float(item.std()), rel=0.15)


def test_packed_bytes_are_little_endian() -> None:
    assert base64.b64decode(packed(np.array([1.0]), "<f4")) == b"\x00\x00\x80\x3f"
