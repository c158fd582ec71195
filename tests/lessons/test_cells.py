"""Weighted cells: against plain loops over visits, and against the exact truth on average."""

import numpy as np
import pytest

from recflax.lessons.cells import (
    count,
    doubly_robust_cells,
    exposed_cells,
    inverse_propensity_cells,
)
from recflax.worlds.store import StoreConfig, build_store


@pytest.fixture(scope="module")
def store():
    return build_store(StoreConfig(n_people=13, n_items=11, n_categories=3), seed=5)


@pytest.fixture(scope="module")
def log(store):
    return store.log(visits=7)


def bought(log):
    """(R, M): what was bought at each visit."""
    table = np.zeros((len(log.person), len(log.items)))
    table[log.purchase_row, log.purchase_item - 1] = 1
    return table


@pytest.mark.parametrize("clip", [None, 20.0])
def test_inverse_propensity_cells_are_sums_over_visits(log, clip):
    target, weight = inverse_propensity_cells(log, clip)
    table = bought(log)
    wanted = np.zeros((2, 2, 13, 11))  # sums of weight and of weight times purchase, by arm
    for row, (person, shown, e) in enumerate(
        zip(log.person, log.shown, log.propensity, strict=True)
    ):
        for item in range(1, 12):
            arm = 0 if item == shown else 1
            w = 1 / e if clip is None or arm else min(1 / e, clip)
            w = w / 10 if arm else w
            wanted[0, arm, person, item - 1] += w
            wanted[1, arm, person, item - 1] += w * table[row, item - 1]
    np.testing.assert_allclose(weight, wanted[0].swapaxes(0, 1), rtol=1e-5)
    there = weight > 0
    np.testing.assert_allclose(
        (target * weight)[there], wanted[1].swapaxes(0, 1)[there], rtol=1e-5, atol=1e-6
    )
    if clip is not None:
        assert (weight[:, 0] < inverse_propensity_cells(log)[1][:, 0] - 1e-3).any()


def test_doubly_robust_cells_are_means_over_visits(log):
    predicted = np.random.default_rng(0).uniform(0.1, 0.9, (13, 11))
    target, weight = doubly_robust_cells(log, predicted)
    table = bought(log)
    for person in range(13):
        for item in range(11):
            parts = []
            for row in np.flatnonzero(log.person == person):
                q = predicted[person, item]
                here = log.shown[row] == item + 1
                parts.append(q + here / log.propensity[row] * (table[row, item] - q))
            np.testing.assert_allclose(target[person, 0, item], np.mean(parts), rtol=1e-4)
    assert (weight[:, 0] == 7).all()
    np.testing.assert_array_equal(target[:, 1], exposed_cells(count(log))[0][:, 1])


def test_weighted_sums_over_visits_are_do_and_the_exposed_share_is_not(store):
    """Every person's sum of weights times purchases, over the visits, has the mean do(t)."""
    log = store.log(visits=900)
    target, weight = inverse_propensity_cells(log)
    for arm, t in ((0, 1), (1, 0)):
        apart = (target * weight)[:, arm] / 900 - store.do(t)  # (13, 11)
        error = apart.std(axis=0, ddof=1) / np.sqrt(13)
        assert np.abs(apart.mean(axis=0) / error).max() < 5  # t with 12 degrees, 11 items
        assert abs(apart.mean()) < 4 * apart.mean(axis=1).std(ddof=1) / np.sqrt(13)
    share, visits = exposed_cells(count(log))
    apart = np.where(visits[:, 0] > 0, share[:, 0] - store.do(1), np.nan)
    assert np.nanmean(apart[:, store.campaign]) > 0.02
