"""The account of DP-SGD: published numbers, closed forms, and which way everything moves."""

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from recflax.privacy_account import advantage_bound, epsilon, largest_advantage


def gaussian_delta(eps: float, sigma: float) -> float:
    """The exact delta of one Gaussian step (Balle and Wang, 2018, theorem 8)."""
    away, half = eps * sigma, 1 / (2 * sigma)
    return norm.cdf(half - away) - np.exp(eps) * norm.cdf(-half - away)


@pytest.mark.parametrize(
    ("people", "batch", "noise", "epochs", "delta", "published"),
    [
        (60_000, 150, 1.3, 15, 1e-5, 0.7242234026109595),
        (100_000, 100, 1.0, 30, 1e-7, 1.415498849544),
    ],
)
def test_published_numbers_of_dp_sgd(people, batch, noise, epochs, delta, published) -> None:
    """tensorflow/privacy, compute_dp_sgd_privacy_test.py: the tests of the package's front end."""
    steps = epochs * people // batch
    found = epsilon(noise, batch / people, steps, delta, accountant="rdp")
    assert found == pytest.approx(published, abs=1e-9)
    assert 0.7 * found < epsilon(noise, batch / people, steps, delta) < found


def test_the_published_number_of_the_tight_account() -> None:
    """dp_accounting, pld_privacy_accountant_test.py, test_self_composed_subsampled_gaussian."""
    assert epsilon(0.5, 0.2, 3, delta=0.15594) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("noise", "rate", "eps"), [(0.7, 0.3, 0.5), (1.5, 0.11, 0.2)])
def test_two_steps_by_quadrature(noise, rate, eps) -> None:
    """The definition itself, summed over a grid of both steps' sums, she in and she out."""
    x = np.linspace(-9, 10, 1901) * noise
    out = norm.pdf(x, 0, noise) * (x[1] - x[0])
    inside = (1 - rate) * out + rate * norm.pdf(x, 1, noise) * (x[1] - x[0])
    out, inside = np.outer(out, out), np.outer(inside, inside)
    delta = max(
        np.maximum(one - np.exp(eps) * other, 0).sum()
        for one, other in ((inside, out), (out, inside))
    )
    assert epsilon(noise, rate, 2, delta) == pytest.approx(eps, abs=2e-3)
    limit = np.abs(inside - out).sum() / 2
    assert largest_advantage(noise, rate, 2) == pytest.approx(limit, abs=1e-4)


@pytest.mark.parametrize(("noise", "steps"), [(2.0, 1), (7.0, 11), (3.0, 5)])
def test_without_sampling_it_is_one_gaussian(noise, steps) -> None:
    """Everybody at every step: T steps of noise s are one of noise s / sqrt(T)."""
    eps = epsilon(noise, 1.0, steps, delta=1e-3)
    assert gaussian_delta(eps, noise / steps**0.5) == pytest.approx(1e-3, rel=1e-2)
    most = 2 * norm.cdf(steps**0.5 / (2 * noise)) - 1
    assert largest_advantage(noise, 1.0, steps) == pytest.approx(most, abs=1e-4)


def test_one_step_reaches_whom_it_draws() -> None:
    most = 0.3 * (2 * norm.cdf(1 / 4) - 1)
    assert largest_advantage(2.0, 0.3, 1) == pytest.approx(most, abs=1e-4)


def test_more_steps_and_more_people_a_step_cost_more_and_noise_less() -> None:
    for ladder in (
        [(1.5, 0.1, steps) for steps in (1, 10, 100)],
        [(1.5, rate, 20) for rate in (0.01, 0.1, 1.0)],
        [(noise, 0.1, 20) for noise in (8.0, 2.0, 1.0, 0.0)],
    ):
        spent = [epsilon(*step, delta=1e-4) for step in ladder]
        assert all(one < other for one, other in itertools.pairwise(spent))
        limits = [largest_advantage(*step) for step in ladder]
        assert all(one < other for one, other in itertools.pairwise(limits))
    assert (spent[-1], limits[-1]) == (np.inf, 1)


def test_one_pair_bounds_the_advantage_less_well_than_all_of_them() -> None:
    limit = largest_advantage(1.0, 0.1, 50)
    for delta in (1e-1, 1e-2, 1e-4):
        assert limit <= advantage_bound(epsilon(1.0, 0.1, 50, delta), delta)


@pytest.mark.parametrize(("eps", "delta"), [(0.0, 0.0), (0.7, 0.1), (3.0, 0.01)])
def test_the_bound_is_reached(eps, delta) -> None:
    """By a mechanism that tells all with chance delta, and else a noisy coin."""
    keep = np.exp(eps) / (1 + np.exp(eps))
    in_data = np.array([delta, (1 - delta) * keep, (1 - delta) * (1 - keep), 0])
    not_in = in_data[::-1]
    for one, other in ((in_data, not_in), (not_in, in_data)):  # it is (eps, delta)-private
        assert np.maximum(one - np.exp(eps) * other, 0).sum() <= delta + 1e-12
    best = np.maximum(in_data - not_in, 0).sum()
    assert advantage_bound(eps, delta) == pytest.approx(best)
    assert advantage_bound(eps, delta) == pytest.approx(
        (np.exp(eps) - 1 + 2 * delta) / (np.exp(eps) + 1)
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"noise_multiplier": -1.0}, "noise_multiplier must be at least 0 and finite; got -1"),
        ({"noise_multiplier": float("nan")}, "noise_multiplier"),
        ({"sampling_rate": 0.0}, "sampling_rate must be above 0 and at most 1; got 0"),
        ({"sampling_rate": 1.5}, "sampling_rate"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"delta": 0.0}, "delta must be between 0 and 1; got 0"),
        ({"accountant": "moments"}, "accountant must be one of"),
    ],
)
def test_wrong_arguments_are_named(changed, message) -> None:
    right = {"noise_multiplier": 1.0, "sampling_rate": 0.1, "steps": 2, "delta": 1e-3}
    with pytest.raises(ValueError, match=message):
        epsilon(**right | changed)


def test_steps_are_counted_in_whole_numbers() -> None:
    with pytest.raises(TypeError, match=r"steps must be an integer; got 2\.5"):
        largest_advantage(1.0, 0.1, 2.5)


@pytest.mark.parametrize(("eps", "delta"), [(-1.0, 0.0), (float("nan"), 0.0), (1.0, 1.5)])
def test_a_bound_of_nothing_is_refused(eps, delta) -> None:
    with pytest.raises(ValueError, match="must be"):
        advantage_bound(eps, delta)
