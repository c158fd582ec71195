import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from sklearn.linear_model import LogisticRegression

from recflax.lessons import attribute_network
from recflax.lessons.attribute_network import (
    AnswerLoss,
    AttributeConfig,
    AttributeNetwork,
    chances,
    count_kinds,
    fit_attributes,
    one_hot,
)
from recflax.optimiser import TrainConfig

LEVELS = (5, 2, 3)
CONFIG = AttributeConfig(LEVELS, questions=7, width=6, heads=3)

logits_of = nnx.jit(lambda network, codes: network(codes))


@pytest.fixture(autouse=True)
def few_kinds(monkeypatch):
    """Thirty kinds at most in these tests: no need to fill up to hundreds."""
    monkeypatch.setattr(attribute_network, "ROUND", 30)


def draw(n, seed):
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, count, n) for count in LEVELS], axis=1)


def test_every_attribute_of_a_customer_counts_and_other_customers_do_not():
    network = AttributeNetwork(CONFIG, rngs=nnx.Rngs(0))
    one = jnp.array([[4, 1, 2], [0, 0, 0]])
    logits = logits_of(network, one)
    assert logits.shape == (2, 7)
    for place in range(3):
        other = logits_of(network, one.at[0, place].add(-1))
        assert np.abs(other[0] - logits[0]).max() > 1e-3
        np.testing.assert_allclose(other[1], logits[1], atol=1e-6)
    # level 1 of one attribute is another token than level 1 of the next
    swapped = logits_of(network, jnp.array([[1, 0, 0], [0, 1, 0]]))
    assert np.abs(swapped[0] - swapped[1]).max() > 1e-3


def test_the_loss_of_kinds_is_the_loss_of_their_customers():
    """By loops: for each question the mean over those who can answer it."""
    n, rng = 211, np.random.default_rng(3)
    codes = draw(n, 3)
    target = rng.integers(0, 2, (n, 7)).astype(float)
    weight = rng.integers(0, 2, (n, 7)).astype(float)
    graphdef, params = nnx.split(AttributeNetwork(CONFIG, rngs=nnx.Rngs(0)))
    network = nnx.merge(graphdef, params)
    logits = np.asarray(logits_of(network, jnp.array(codes)), dtype=float)
    losses = np.logaddexp(0, logits) - target * logits
    expected = (weight * losses).sum(axis=0) / weight.sum(axis=0)
    kinds = count_kinds(codes, target, weight)
    loss = jax.jit(AnswerLoss(graphdef))
    found = loss(params, jax.tree.map(jnp.asarray, kinds), jax.random.key(0))
    assert float(found) == pytest.approx(expected.sum(), rel=1e-5)


def test_kinds_are_means_and_counts_and_are_filled_up_with_nothing(monkeypatch):
    monkeypatch.setattr(attribute_network, "ROUND", 11)
    n = 101
    codes, rng = draw(n, 5), np.random.default_rng(5)
    target, weight = rng.random((n, 2)), rng.random((n, 2))
    kinds = count_kinds(codes, target, weight)
    assert len(kinds["codes"]) == 33  # 30 kinds at most, up to a multiple of 11
    distinct = np.unique(codes, axis=0)
    np.testing.assert_array_equal(kinds["codes"][: len(distinct)], distinct)
    for kind, mean, total in zip(distinct, kinds["target"], kinds["weight"], strict=False):
        here = (codes == kind).all(axis=1)
        expected = (weight * target)[here].sum(axis=0) / weight[here].sum(axis=0)
        np.testing.assert_allclose(mean, expected, rtol=1e-5)
        np.testing.assert_allclose(
            total, weight[here].sum(axis=0) * 33 / weight.sum(axis=0), rtol=1e-5
        )
    assert (kinds["weight"][len(distinct) :] == 0).all()
    np.testing.assert_allclose(kinds["weight"].mean(axis=0), 1, rtol=1e-5)


def test_it_learns_an_interaction_from_those_who_can_answer():
    """Two attributes decide together, neither alone: a straight model sees nothing in either.

    In arm 1 one attribute decides, and each question is answered in one arm only.
    """
    codes, rng = draw(40_009, 7), np.random.default_rng(7)
    truth = np.where((codes[:, 1] == 1) == (codes[:, 2] == 0), 0.8, 0.2)
    truth = np.where(codes[:, 2] == 2, 0.5, truth)
    truth = np.stack([truth, np.where(codes[:, 1] == 1, 0.3, 0.7)], axis=1)
    arm = rng.integers(0, 2, len(codes))
    answer = (rng.random(len(codes)) < truth[np.arange(len(codes)), arm]).astype(float)
    train = TrainConfig(epochs=200, batch_size=10, learning_rate=1e-2, patience=60)
    config = AttributeConfig(LEVELS, questions=2, width=8)
    options = (config, codes, np.repeat(answer[:, None], 2, axis=1), np.eye(2)[arm], train)
    found = chances(fit_attributes(*options, key=jax.random.key(0)), codes)
    assert (np.abs(found - truth).mean(axis=0) < 0.06).all()
    straight = LogisticRegression().fit(one_hot(codes[arm == 0], LEVELS), answer[arm == 0])
    straight = straight.predict_proba(one_hot(codes, LEVELS))[:, 1]
    assert np.abs(straight - truth[:, 0]).mean() > 0.15
    again = fit_attributes(*options, key=jax.random.key(0))
    np.testing.assert_array_equal(chances(again, codes), found)


def test_chances_are_the_networks_own():
    network = AttributeNetwork(CONFIG, rngs=nnx.Rngs(0))
    codes = draw(53, 3)
    np.testing.assert_allclose(
        chances(network, codes), jax.nn.sigmoid(logits_of(network, jnp.array(codes))), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("codes", "error", "message"),
    [
        ([[0, 2, 0]], ValueError, r"codes holds 2 at \(0, 1\); attribute 1 has 2 levels"),
        ([[0, -1, 0]], ValueError, r"codes holds the id -1 at \(0, 1\)"),
        ([[0, 1]], ValueError, r"codes must have 3 columns; got shape \(1, 2\)"),
        ([[0.0, 1.0, 0.0]], TypeError, "codes must hold integers"),
    ],
)
def test_a_code_that_is_no_level_is_named(codes, error, message):
    network = AttributeNetwork(CONFIG, rngs=nnx.Rngs(0))
    with pytest.raises(error, match=message):
        chances(network, np.array(codes))


def test_answers_of_another_shape_and_bad_configurations_are_named():
    with pytest.raises(ValueError, match=r"weight must have shape \(5, 7\); got \(5, 1\)"):
        fit_attributes(
            CONFIG,
            draw(5, 3),
            np.ones((5, 7)),
            np.ones((5, 1)),
            TrainConfig(patience=2),
            key=jax.random.key(0),
        )
    with pytest.raises(ValueError, match=r"levels must be numbers of at least 1; got \(\)"):
        AttributeConfig((), 1)
    with pytest.raises(ValueError, match="questions must be at least 1; got 0"):
        AttributeConfig((2,), 0)
