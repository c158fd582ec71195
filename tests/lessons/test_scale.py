"""The lesson on scale: its settings, its measures on a small store, and what its claims refuse."""

import numpy as np
import pytest

from recflax.lessons import scale
from recflax.lessons.statements import by_name
from recflax.worlds.store import StoreConfig, build_store

MEASURES = ("ndcg", "campaign", "noise", "limit")


def test_both_series_meet_in_the_lessons_own_network() -> None:
    found = scale.settings(8_000)
    assert found["width_24"] == found["people_1"] == (24, 8_000)
    assert found["people_4"] == (24, 32_000)
    assert len(set(found.values())) == len(found) - 1


def test_the_limit_is_exact_and_the_rest_is_in_range() -> None:
    found = scale.measure(3, width=8, people=211)
    store = build_store(StoreConfig(n_people=211), 3)
    limit = (store.see_exposed() - store.do(1))[:, store.campaign].mean()
    assert found["limit"] == pytest.approx(limit, rel=1e-12)
    assert 0 < found["ndcg"] < 1
    assert found["noise"] > 0
    again = scale.measure(3, width=8, people=211)
    np.testing.assert_array_equal(list(found.values()), list(again.values()))


def test_claims_refuse_a_bias_that_goes_away() -> None:
    row = {f"{name}_{what}": 0.05 for name in scale.settings(8_000) for what in MEASURES}
    row |= {"people_0.25_ndcg": 0.44, "people_4_ndcg": 0.46, "width_8_ndcg": 0.42}
    row |= {
        "width_128_ndcg": 0.47,
        "people_0.25_noise": 0.07,
        "people_4_noise": 0.03,
        "people_4_limit": 0.051,
    }
    assert all(statement.holds for statement in scale.claims([row, row]))
    gone = row | {"people_4_campaign": 0.0, "width_128_campaign": 0.0}
    found = by_name(scale.claims([gone, gone]))
    assert not found["scale-people-bias-is-the-limit"].holds
    assert not found["scale-width-bias-is-near-the-limit"].holds
