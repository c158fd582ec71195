"""Factorised ratings: against a closed form, a second implementation, and at the door."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize

from recflax.ratings import fit_ratings

U, M = 13, 11


@pytest.fixture(scope="module")
def observed():
    rng = np.random.default_rng(1)
    ratings = rng.integers(1, 6, (U, M)) * (rng.random((U, M)) < 0.6)
    return ratings, rng.uniform(0.5, 3.0, (U, M))


def test_under_a_huge_penalty_the_weighted_mean_is_left(observed):
    ratings, weight = observed
    predicted = fit_ratings(ratings, weight, width=2, penalty=1e6, key=jax.random.key(0))
    seen = ratings > 0
    mean = (weight * ratings)[seen].sum() / weight[seen].sum()
    np.testing.assert_allclose(predicted, mean, atol=1e-2)


def test_it_is_the_minimum_that_scipy_finds(observed):
    """From the same kind of start scipy's L-BFGS on the same sum reaches no lower a value."""
    ratings, weight = observed
    seen = ratings > 0
    scaled = np.where(seen, weight, 0) * seen.sum() / weight[seen].sum()
    penalty = 2.0

    def parts(x):
        p, q = x[: U * 2].reshape(U, 2), x[U * 2 : (U + M) * 2].reshape(M, 2)
        a, b, mean = x[(U + M) * 2 : -M - 1], x[-M - 1 : -1], x[-1]
        return a[:, None] + b + mean + p @ q.T, (p, q, a, b)

    def total(x):
        predicted, rest = parts(x)
        error = (scaled * (ratings - predicted) ** 2).sum()
        return error + penalty * sum((part**2).sum() for part in rest)

    rng = np.random.default_rng(2)
    starts = [rng.normal(0, 0.1, (U + M) * 3 + 1) for _ in range(3)]
    best = min((minimize(total, x, method="L-BFGS-B") for x in starts), key=lambda r: r.fun)
    wanted, _ = parts(best.x)
    predicted = fit_ratings(ratings, weight, width=2, penalty=penalty, key=jax.random.key(1))
    np.testing.assert_allclose(predicted, wanted, atol=0.02)


def test_only_the_proportion_of_weights_counts(observed):
    ratings, weight = observed
    one, other = (
        fit_ratings(ratings, scale * weight, width=2, penalty=1.0, key=jax.random.key(0))
        for scale in (1.0, 7.0)
    )
    np.testing.assert_allclose(one, other, atol=1e-2)
    hidden = np.where(ratings > 0, weight, np.nan)  # weights of cells that were not observed
    same = fit_ratings(ratings, hidden, width=2, penalty=1.0, key=jax.random.key(0))
    np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratings": np.zeros((U, M))}, r"some observed; got shape \(13, 11\)"),
        ({"ratings": np.ones(U)}, r"ratings must be \(U, M\)"),
        ({"weight": np.ones((M, U))}, r"weight must have shape \(13, 11\); got \(11, 13\)"),
        ({"weight": np.full((U, M), -1.0)}, "weight must be at least 0"),
        ({"weight": np.full((U, M), np.nan)}, "weight must be finite"),
        ({"penalty": -1.0}, "penalty at least 0; got 20, 200, -1.0"),
        ({"width": 0}, "width and steps must be at least 1"),
    ],
)
def test_the_door(observed, change, message):
    ratings, weight = observed
    arguments = {"ratings": ratings, "weight": weight, "penalty": 1.0} | change
    with pytest.raises(ValueError, match=message):
        fit_ratings(key=jax.random.key(0), **arguments)
