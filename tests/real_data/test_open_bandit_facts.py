"""Facts of the authors' sample. Collected only where the data are."""

import numpy as np
import pytest

from recflax.data import open_bandit

LOGS = {("random", "men"): 46, ("random", "women"): 46, ("bts", "men"): 69, ("bts", "women"): 46}
ITEMS = {"men": 34, "women": 46}


@pytest.mark.parametrize(("policy", "campaign"), LOGS)
def test_the_published_counts(policy, campaign):
    log = open_bandit.load(policy, campaign)
    assert log.n == 10_000
    assert log.n_items == ITEMS[campaign]
    assert log.click.sum() == LOGS[policy, campaign]
    assert set(np.unique(log.position)) == {1, 2, 3}


@pytest.mark.parametrize("campaign", ITEMS)
def test_the_uniform_policy_logged_a_uniform_chance(campaign):
    log = open_bandit.load("random", campaign)
    np.testing.assert_allclose(log.propensity, 1 / log.n_items, rtol=1e-12)
    assert log.impressions()["randomised"].all()


def test_the_stress_test():
    log = open_bandit.load("bts", "women")
    weight = 1 / (log.n_items * log.propensity)
    assert log.propensity.min() == pytest.approx(1e-6)
    assert weight.max() == pytest.approx(21_739, abs=1)
    assert weight.sum() ** 2 / (weight**2).sum() == pytest.approx(2, abs=0.5)
