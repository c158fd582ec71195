"""Truths by blocks are the truths."""

import numpy as np
import pytest

from recflax.worlds.store import StoreConfig, build_store
from recflax.worlds.store_blocks import some_people, values_of_shown


@pytest.fixture(scope="module")
def store():
    return build_store(StoreConfig(n_people=23, n_items=17, n_categories=5), seed=3)


@pytest.mark.parametrize("block", [1, 7, 23, 100])
def test_the_value_is_that_of_the_whole_policy(store, block):
    shown = np.random.default_rng(1).integers(1, 18, 23)
    policy = np.zeros((23, 17))
    for person, item in enumerate(shown):
        policy[person, item - 1] = 1
    expected = store.policy_value(policy)
    np.testing.assert_allclose(
        values_of_shown(store, {"x": shown}, block)["x"], expected, rtol=1e-12
    )


@pytest.mark.parametrize("block", [1, 7, 23])
def test_the_oracle_by_blocks_is_the_best(store, block):
    best = store.uplift().argmax(axis=1)
    shown = {"same": best + 1, "first": np.ones(23, int)}
    found = values_of_shown(store, shown, block, best="oracle")
    assert found["oracle"] == found["same"]
    assert found["oracle"].increment == pytest.approx(store.uplift().max(axis=1).mean(), rel=1e-12)
    assert found["first"].increment < found["oracle"].increment


def test_the_oracle_needs_a_name_of_its_own(store):
    with pytest.raises(ValueError, match="best must be a name of its own; 'x' is one of shown"):
        values_of_shown(store, {"x": np.ones(23, int)}, best="x")


def test_some_people_keep_their_truths(store):
    rows = np.array([11, 2, 2])
    part = some_people(store, rows)
    for truth in ("see", "see_exposed", "logging_policy", "uplift"):
        np.testing.assert_array_equal(getattr(part, truth)(), getattr(store, truth)()[rows])


@pytest.mark.parametrize(
    ("shown", "block", "message"),
    [
        (np.ones(22, int), 5, r"shown\['x'\] must have one id for each of 23 people; got 22"),
        (np.full(23, 18), 5, r"shown\['x'\] holds the id 18 at \(0,\); expected 1 to 17"),
        (np.zeros(23, int), 5, r"shown\['x'\] holds the id 0 at \(0,\); expected 1 to 17"),
        (np.ones(23, int), 0, "block must be at least 1; got 0"),
    ],
)
def test_bad_input_is_named(store, shown, block, message):
    with pytest.raises(ValueError, match=message):
        values_of_shown(store, {"x": shown}, block)


def test_people_outside_the_store_are_named(store):
    with pytest.raises(ValueError, match=r"rows holds the id 23 at \(0,\); expected 0 to 22"):
        some_people(store, np.array([23]))
