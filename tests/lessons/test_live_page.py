"""The data of the live page: what it holds, and what it refuses."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx

from recflax.export import weights_from_json
from recflax.lessons.cells import ARMS, network_config
from recflax.lessons.live_page import CONSTANTS, Networks, live_page, page_data, start_people
from recflax.recommender import Recommender
from recflax.worlds.store import StoreConfig, build_store


@pytest.fixture(scope="module")
def store():
    return build_store(StoreConfig(n_people=701), seed=3)


@pytest.fixture(scope="module")
def pairs(store):
    def drawn(arms, seed):
        return Recommender(network_config(store, arms=arms), rngs=nnx.Rngs(seed))

    return {
        name: Networks(drawn(("shown",), 2 * seed), drawn(ARMS, 2 * seed + 1))
        for seed, name in enumerate(("on", "off"))
    }


def test_the_page_holds_the_stores_equations_and_the_networks_weights(store, pairs) -> None:
    found = json.loads(page_data(store, pairs))
    shop = found["shop"]
    assert set(shop["constants"]) == set(CONSTANTS)
    for name in ("category", "popularity", "lift", "price"):
        np.testing.assert_array_equal(shop[name], getattr(store, name))
    assert found["names"] == store.items["name"].tolist()
    for name, pair in pairs.items():
        for part, network in pair._asdict().items():
            exported = found["networks"][name][part]
            assert exported["about"]["arms"] == list(network.config.arms)
            like = nnx.split(network)[1]
            read = weights_from_json(json.dumps(exported), like=like)
            for one, other in zip(jax.tree.leaves(read), jax.tree.leaves(like), strict=True):
                np.testing.assert_array_equal(one, other)


def test_people_are_who_their_labels_say(store, pairs) -> None:
    found = json.loads(page_data(store, pairs))["people"]
    people = start_people(store)
    assert [person["label"] for person in found][:-1] == list(people)
    assert found[-1]["history"] == []
    wants, buys, likes, plain = people.values()
    seen = store.mechanisms()
    assert seen.hot[wants] >= 0
    assert store.bought[buys, -1]
    assert seen.hot[buys] == seen.hot[likes] == seen.hot[plain] == -1
    assert store.taste[likes].max() > 2
    assert store.taste[plain].max() < 0.8
    for person, number in zip(found, people.values(), strict=False):
        events = [(e["item"], e["bought"]) for e in person["history"]]
        real = store.history[number] > 0
        assert events == list(
            zip(store.history[number, real], store.bought[number, real], strict=True)
        )
        assert 5 <= len(events) <= 9


def test_what_does_not_fit_is_refused(store, pairs) -> None:
    with pytest.raises(ValueError, match=r"keys 'on' and 'off'; got \['on'\]"):
        page_data(store, {"on": pairs["on"]})
    other = build_store(StoreConfig(n_people=7, n_items=23), seed=3)
    with pytest.raises(ValueError, match="networks must be of 23 items; one has 120"):
        page_data(other, pairs)
    bland = replace(store, taste=np.zeros_like(store.taste))
    with pytest.raises(ValueError, match="no person of the store is somebody with a taste"):
        start_people(bland)


def test_no_text_can_end_the_script() -> None:
    page = live_page(json.dumps({"names": ["</script><script>alert(1)</script>"]}))
    assert page.count("</script>") == 1
    held = page[page.index("{") : page.rindex("}") + 1]
    assert json.loads(held) == {"names": ["</script><script>alert(1)</script>"]}
