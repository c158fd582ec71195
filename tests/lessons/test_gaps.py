import numpy as np
import pytest

from recflax.lessons import gaps
from recflax.lessons.statements import by_name
from recflax.worlds.store import StoreConfig, build_store

SIZE = 211


@pytest.fixture(scope="module")
def rows():
    return [gaps.run(seed, SIZE) for seed in (3, 5, 7)]


def test_every_statement_has_a_bound_and_a_name_of_its_own(rows):
    said = by_name(gaps.claims(rows))
    assert all(s.at_least is not None or s.at_most is not None for s in said.values())
    assert {s.seeds for s in said.values()} == {3}
    assert {"estimand-gap", "confounding-campaign", "order-log-exposed", "dial-crossing"} <= set(
        said
    )


@pytest.mark.parametrize(
    "name",
    [
        "estimand-gap",
        "estimand-gap-randomised",
        "estimand-gap-untargeted",
        "confounding-zero-randomised",
        "confounding-zero-untargeted",
        "confounding-zero-indifferent",
    ],
)
def test_what_does_not_depend_on_many_stores_holds_on_three_small_ones(rows, name):
    assert by_name(gaps.claims(rows))[name].holds


def test_a_row_says_what_the_store_says(rows):
    store = build_store(StoreConfig(n_people=SIZE), 3)
    do = store.do(1)
    best = do.argmax(axis=1)
    everyone = np.arange(SIZE)
    by_hand = (do - store.do(0))[everyone, best].mean()
    assert rows[0]["default_do"] == pytest.approx(by_hand, rel=1e-12)
    assert rows[0]["default_random"] == pytest.approx(store.uplift().mean(), rel=1e-12)
    bias = (store.see_exposed() - do)[:, store.campaign].mean()
    assert rows[0]["default_campaign_bias"] == pytest.approx(bias, rel=1e-12)


def test_the_default_is_a_point_of_the_dial(rows):
    at = gaps.dial_name(-1.0)
    assert rows[1]["default_uplift"] == rows[1][f"{at}_uplift"]


def test_the_crossing_is_linear_between_the_points():
    zero = gaps._first_zero
    assert zero(np.array([0.0, 1.0, 2.0]), np.array([-1.0, -0.5, 0.5])) == 1.5
    assert np.isnan(zero(np.array([0.0, 1.0]), np.array([1.0, 2.0])))


def test_same_seed_same_row(rows):
    again = gaps.truths(SIZE, 7)
    assert again["exposed"] == rows[2]["default_exposed"]


def test_no_ranking_adds_more_than_uplift_or_sells_more_in_the_slot_than_do(rows):
    for row in rows:
        for place in gaps.PLACES:
            assert row[f"{place}_do_slot"] >= row[f"{place}_exposed_slot"]
            assert row[f"{place}_uplift"] >= max(row[f"{place}_{step}"] for step in gaps.STEPS)
