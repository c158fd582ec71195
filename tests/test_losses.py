"""Losses: values as arithmetic, gradients, and what must not count."""

from math import exp, log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from recflax.losses import (
    basket_cross_entropy,
    binary_cross_entropy,
    doubly_robust_target,
    inverse_propensity,
    next_item_cross_entropy,
    sampled_cross_entropy,
    squared_error,
    weighted_mean,
)

LOGITS = jnp.array([[0.0, 1.0, 2.0], [3.0, -1.0, 0.5]])
TOTAL = [log(1 + exp(1) + exp(2)), log(exp(3) + exp(-1) + exp(0.5))]


def test_next_item_by_hand() -> None:
    loss = next_item_cross_entropy(LOGITS, jnp.array([2, 3]))
    np.testing.assert_allclose(loss, ((TOTAL[0] - 1) + (TOTAL[1] - 0.5)) / 2, rtol=1e-6)
    weighted = next_item_cross_entropy(LOGITS, jnp.array([2, 3]), jnp.array([3.0, 1.0]))
    np.testing.assert_allclose(weighted, (3 * (TOTAL[0] - 1) + (TOTAL[1] - 0.5)) / 4, rtol=1e-6)


def test_a_padded_target_counts_for_nothing() -> None:
    padded = next_item_cross_entropy(LOGITS, jnp.array([0, 3]))
    np.testing.assert_allclose(padded, TOTAL[1] - 0.5, rtol=1e-6)
    slope = jax.grad(next_item_cross_entropy)(LOGITS, jnp.array([0, 3]))
    np.testing.assert_array_equal(slope[0], 0)
    assert next_item_cross_entropy(LOGITS, jnp.array([0, 0])) == 0


def test_a_basket_shares_its_weight_among_its_items() -> None:
    loss = basket_cross_entropy(LOGITS, jnp.array([[1, 3, 0], [2, 0, 0]]))
    expected = ((TOTAL[0] - (0 + 2) / 2) + (TOTAL[1] + 1)) / 2
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    one = basket_cross_entropy(LOGITS, jnp.array([[1, 3, 0], [0, 0, 0]]))
    np.testing.assert_allclose(one, TOTAL[0] - 1, rtol=1e-6)


def test_binary_by_hand_and_its_minimum_is_at_the_weighted_mean() -> None:
    loss = binary_cross_entropy(jnp.array([0.0, 2.0]), jnp.array([0.25, 1.0]))
    np.testing.assert_allclose(loss, (log(2) + log(1 + exp(-2))) / 2, rtol=1e-6)
    target, weight = jnp.array([1.0, 0.0, 0.0]), jnp.array([2.0, 3.0, 5.0])
    best = jnp.full(3, log(0.2 / 0.8))
    slope = jax.grad(lambda s: binary_cross_entropy(s * jnp.ones(3), target, weight))(best[0])
    np.testing.assert_allclose(slope, 0, atol=1e-7)


@pytest.mark.parametrize("weight", [None, [1.0, 0.0], [2.0, 0.5]])
def test_gradients_are_those_of_finite_differences(weight: list[float] | None) -> None:
    with jax.enable_x64(True):
        logits = jnp.array(LOGITS, "float64")
        weight = None if weight is None else jnp.array(weight)
        ids = jnp.array([2, 3])
        for loss in (
            lambda s: next_item_cross_entropy(s, ids, weight),
            lambda s: basket_cross_entropy(s, jnp.array([[1, 3], [2, 0]]), weight),
            lambda s: sampled_cross_entropy(s[:, 0], s[:, 1:], -s[:, 1:] / 3, weight),
            lambda s: binary_cross_entropy(s[0, :2], jnp.array([0.3, 0.9]), weight),
        ):
            check_grads(loss, (logits,), order=2, modes=["rev"], atol=1e-6, rtol=1e-6)


def test_all_weights_zero_give_zero_and_a_zero_gradient() -> None:
    value, slope = jax.value_and_grad(binary_cross_entropy)(jnp.ones(3), jnp.ones(3), jnp.zeros(3))
    assert value == 0
    np.testing.assert_array_equal(slope, 0)


def test_all_other_items_as_the_sample_give_the_full_loss() -> None:
    logits = jax.random.normal(jax.random.key(0), (5, 11))
    target = jnp.array([1, 4, 11, 7, 2])
    others = jnp.array([[j for j in range(11) if j != t - 1] for t in target.tolist()])
    sampled = sampled_cross_entropy(
        jnp.take_along_axis(logits, target[:, None] - 1, 1)[:, 0],
        jnp.take_along_axis(logits, others, 1),
    )
    np.testing.assert_allclose(sampled, next_item_cross_entropy(logits, target), rtol=1e-6)


def test_the_correction_makes_the_sampled_sum_unbiased() -> None:
    # draws from a very uneven proposal: with log q the expected sum is the catalogue's, without not
    rng = np.random.default_rng(5)
    logits, proposal = rng.normal(size=7), np.array([0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05])
    draws = rng.choice(7, size=(40_000, 3), p=proposal)
    positive = jnp.full(40_000, -50.0)  # its own term vanishes, the loss is the log of the sum
    losses = [
        jax.vmap(lambda p, n, q: jnp.exp(sampled_cross_entropy(p[None], n[None], q[None]) + p))(
            positive, jnp.asarray(logits[draws]), jnp.asarray(shift[draws])
        )
        for shift in (np.log(3 * proposal), np.zeros(7))
    ]
    corrected, plain = (np.asarray(loss) for loss in losses)
    truth = np.exp(logits).sum()
    assert abs(corrected.mean() - truth) < 4 * corrected.std() / np.sqrt(len(corrected))
    assert abs(plain.mean() - truth) > 40 * plain.std() / np.sqrt(len(plain))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: weighted_mean(jnp.ones(3), jnp.ones((3, 1))), ValueError, r"\(3,\); got \(3, 1\)"),
        (lambda: next_item_cross_entropy(LOGITS, jnp.ones(2)), TypeError, "integers.*float32"),
        (
            lambda: next_item_cross_entropy(LOGITS, jnp.ones((2, 1), int)),
            ValueError,
            r"\(2,\); got \(2, 1\)",
        ),
        (
            lambda: binary_cross_entropy(jnp.ones(3), jnp.ones(())),
            ValueError,
            r"target must have shape \(3,\)",
        ),
        (
            lambda: basket_cross_entropy(LOGITS, jnp.ones((3, 2), int)),
            ValueError,
            r"got \(2, 3\) and \(3, 2\)",
        ),
        (lambda: basket_cross_entropy(LOGITS, jnp.ones((2, 2))), TypeError, "integers"),
        (
            lambda: sampled_cross_entropy(jnp.ones(2), jnp.ones((3, 5))),
            ValueError,
            r"got \(3, 5\)",
        ),
        (
            lambda: sampled_cross_entropy(jnp.ones(2), jnp.ones((2, 5)), jnp.ones(5)),
            ValueError,
            r"log_expected must have shape \(2, 5\); got \(5,\)",
        ),
    ],
)
def test_the_door_says_what_came_and_what_was_expected(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()


def test_squared_error_by_hand_and_its_minimum() -> None:
    logits = jnp.array([0.0, jnp.log(3.0)])  # one half, three quarters
    loss = squared_error(logits, jnp.array([-0.5, 1.75]), jnp.array([3.0, 1.0]))
    assert float(loss) == pytest.approx((3 * (0.5 + 0.5) ** 2 + (0.75 - 1.75) ** 2) / 4)
    with pytest.raises(ValueError, match=r"target must have shape \(2,\); got \(2, 1\)"):
        squared_error(logits, jnp.zeros((2, 1)))


def test_a_negative_target_has_a_minimum_under_squared_error_and_none_under_cross_entropy() -> None:
    target, far, further = jnp.array([-0.5]), jnp.array([-20.0]), jnp.array([-40.0])
    assert float(binary_cross_entropy(further, target)) < float(binary_cross_entropy(far, target))
    assert float(binary_cross_entropy(further, target)) == pytest.approx(-20.0)
    assert float(squared_error(further, target)) == pytest.approx(0.25)


def test_inverse_propensity_is_the_inverse_and_clips() -> None:
    e = np.array([0.5, 0.1, 0.001])
    np.testing.assert_allclose(inverse_propensity(e), [2, 10, 1000])
    np.testing.assert_allclose(inverse_propensity(e, 10.0), [2, 10, 10])
    np.testing.assert_allclose(inverse_propensity(jnp.array(e), 5.0), [2, 5, 5])
    with pytest.raises(ValueError, match=r"clip must be at least 1; got 0\.5"):
        inverse_propensity(e, 0.5)


def test_a_weighted_loss_over_what_was_shown_is_the_loss_over_all_in_expectation() -> None:
    """Exactly, by enumerating the 2^3 ways of showing three entries."""
    logits, y = jnp.array([0.3, -1.0, 2.0]), jnp.array([1.0, 0.0, 1.0])
    e = np.array([0.9, 0.2, 0.5])
    each = jnp.logaddexp(0, logits) - y * logits
    expected = 0.0
    for shown in np.ndindex(2, 2, 2):
        chance = np.prod(np.where(shown, e, 1 - e))
        expected += chance * float((np.array(shown) * inverse_propensity(e) * each).sum())
    assert expected == pytest.approx(float(each.sum()), rel=1e-6)


@pytest.mark.parametrize(("q", "logged"), [(0.9, 0.2), (0.3, 0.7)], ids=["wrong q", "wrong e"])
def test_the_doubly_robust_target_has_the_right_mean_if_either_is_right(q, logged) -> None:
    """Enumerated: shown with chance .2, bought if shown with chance .3."""
    e, mu = 0.2, 0.3
    mean = sum(
        chance * doubly_robust_target(q, shown, reward, logged)
        for shown, reward, chance in (
            (1, 1, e * mu),
            (1, 0, e * (1 - mu)),
            (0, 0, 1 - e),
        )
    )
    assert mean == pytest.approx(mu)


def test_the_doubly_robust_target_is_off_by_the_product_of_both_errors() -> None:
    e, mu, q, logged = 0.2, 0.3, 0.9, 0.7
    mean = e * (q + (mu - q) / logged) + (1 - e) * q
    both = sum(
        chance * doubly_robust_target(q, shown, reward, logged)
        for shown, reward, chance in ((1, 1, e * mu), (1, 0, e * (1 - mu)), (0, 0, 1 - e))
    )
    assert both == pytest.approx(mean)
    assert both - mu == pytest.approx((1 - e / logged) * (q - mu))
