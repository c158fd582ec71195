import numpy as np
import pytest

from recflax.lessons import simpson
from recflax.worlds.store import StoreConfig, build_store


@pytest.fixture(scope="module")
def store():
    return build_store(StoreConfig(n_people=307), seed=2)


def test_rates_are_those_of_a_loop_over_cells(store):
    whole, within = simpson.search(store)["popular", "buyer or viewer"]
    weight = store.logging_policy()
    rate = store.see_exposed()
    popular = np.broadcast_to(store.popularity > np.median(store.popularity), weight.shape)
    buyer = np.broadcast_to(store.bought[:, -1:], weight.shape)

    def difference(kept):
        yes, no = kept & popular, kept & ~popular
        return np.average(rate[yes], weights=weight[yes]) - np.average(rate[no], weights=weight[no])

    assert whole == pytest.approx(difference(np.ones_like(popular)), rel=1e-9)
    np.testing.assert_allclose(within, [difference(~buyer), difference(buyer)], rtol=1e-9)


def test_a_planted_reversal_is_found(store, monkeypatch):
    """A fact that follows a part whose products sell differently, against its own effect."""
    part = np.zeros(store.taste.shape[:1] + store.category.shape, dtype=int)
    part[:, store.popularity > 0] = 1
    rng = np.random.default_rng(0)
    yes = rng.random(part.shape) < np.where(part == 1, 0.9, 0.1)
    base = np.where(part == 1, 0.2, 0.6) + 0.05 * yes
    monkeypatch.setattr(type(store), "mu", lambda self, t, z: base)
    monkeypatch.setattr(simpson, "facts", lambda store: {"planted": yes})
    monkeypatch.setattr(simpson, "strata", lambda store: {"part": part})
    whole, within = simpson.search(store)["planted", "part"]
    assert whole < 0
    np.testing.assert_allclose(within, [0.05, 0.05], atol=1e-9)
    assert simpson.run(2, 307)["reversals"] == 1
    assert not simpson.claims([simpson.run(2, 307)])[0].holds


def test_an_empty_part_is_left_out_and_one_part_is_no_paradox():
    assert not simpson.reverses(0.2, np.array([-0.1]))
    assert simpson.reverses(0.2, np.array([-0.1, -0.2]))
    assert not simpson.reverses(0.2, np.array([-0.1, 0.0]))
