"""Metrics on sampled candidates: the published toy, closed forms, and simulation."""

import numpy as np
import pytest
from scipy import stats

from recflax.sampled_metrics import sampled_average_precision, sampled_metric

RANKS = {
    "A": [100] * 5,
    "B": [40, 40, 8437, 9266, 4482],
    "C": [212, 2, 743, 5342, 1548],
}


def test_the_toy_of_krichene_and_rendle():
    exact = {name: np.mean([1 / rank for rank in ranks]) for name, ranks in RANKS.items()}
    assert exact["A"] == pytest.approx(0.010, abs=5e-4)
    assert exact["B"] == pytest.approx(0.010, abs=5e-4)
    assert exact["C"] == pytest.approx(0.101, abs=5e-4)
    sampled = {
        name: sampled_average_precision(np.array(ranks), 10_000, 99).mean()
        for name, ranks in RANKS.items()
    }
    # E[1 / (1 + X)] of a binomial X has a closed form: (1 - (1 - p)^(m + 1)) / ((m + 1) p)
    for name, ranks in RANKS.items():
        chance = (np.array(ranks) - 1) / 9999
        wanted = ((1 - (1 - chance) ** 100) / (100 * chance)).mean()
        assert sampled[name] == pytest.approx(wanted, rel=1e-10)
    assert sampled["A"] == pytest.approx(0.637, abs=5e-4)
    assert sampled["B"] == pytest.approx(0.341, abs=5e-4)
    assert sampled["C"] == pytest.approx(0.326, abs=5e-4)


@pytest.mark.parametrize("replacement", [True, False])
def test_sampled_average_precision_against_simulation(replacement):
    rng = np.random.default_rng(4)
    n_items, n_sampled, rank = 211, 31, 17
    if replacement:
        ahead = (rng.integers(1, n_items, (20_000, n_sampled)) < rank).sum(axis=1)
    else:
        drawn = rng.random((20_000, n_items - 1)).argsort(axis=1)[:, :n_sampled]
        ahead = (drawn < rank - 1).sum(axis=1)
    values = 1 / (1 + ahead)
    exact = sampled_average_precision(rank, n_items, n_sampled, replacement=replacement)
    assert abs(exact - values.mean()) < 4 * stats.sem(values)


def test_without_replacement_by_hand():
    # Of 4 others 2 are better; 2 are drawn: none, one or both with chances 1/6, 4/6, 1/6.
    exact = sampled_average_precision(3, 5, 2, replacement=False)
    assert exact == pytest.approx(1 / 6 + 4 / 6 / 2 + 1 / 6 / 3)
    assert sampled_average_precision(3, 5, 4, replacement=False) == pytest.approx(1 / 3)
    assert sampled_average_precision(1, 5, 2) == pytest.approx(1.0)
    first = sampled_metric(lambda rank: rank == 1, np.array([[1, 3, 5]]), 5, 2)
    np.testing.assert_allclose(first, [[1.0, (1 / 2) ** 2, 0.0]], atol=1e-15)


def test_sampling_arguments_are_checked():
    with pytest.raises(ValueError, match="rank must be from 1 to 5; got 6"):
        sampled_average_precision([2, 6], 5, 2)
    with pytest.raises(TypeError, match="rank must hold integers, not float64"):
        sampled_average_precision([2.0], 5, 2)
    with pytest.raises(ValueError, match="n_items must be at least 2; got 1"):
        sampled_average_precision([1], 1, 1)
    for n_sampled, replacement in ((0, True), (5, False)):
        with pytest.raises(ValueError, match=f"n_sampled must be .* got {n_sampled}"):
            sampled_average_precision([2], 5, n_sampled, replacement=replacement)
