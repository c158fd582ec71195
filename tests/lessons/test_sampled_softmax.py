"""The sampled losses against their own theory: gradients that vanish where they should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recflax.lessons import sampled_softmax as lesson
from recflax.lessons.sampled_softmax import SampledLoss, divergence, learned, problem
from recflax.lessons.statements import by_name

FEW = 5


def mean_gradient(way: str, samples: int, what, logits) -> np.ndarray:
    """The gradient of the loss, averaged over 20,000 draws of the sample."""
    loss, batch = SampledLoss(way, samples), jnp.asarray(what.chance, jnp.float32)[None]
    slope = jax.vmap(lambda key: jax.grad(loss)(logits, batch, key))
    keys = jax.random.split(jax.random.key(11), 20_000)
    return np.asarray(jax.jit(slope)(keys).mean(axis=0))


def exact_gradient(way: str, what, logits) -> np.ndarray:
    """With one negative: the mean over it, written out pair by pair."""
    p, q, s = what.chance, what.proposal, np.asarray(logits, float)
    slope = np.zeros_like(p)
    for kind in range(len(p)):
        for right in range(len(q)):
            for other in range(len(q)):
                if way == "drawn":
                    chance = 0.0 if other == right else q[other] / (1 - q[right])
                    against = s[kind, other] - np.log(max(chance, 1e-300)) - s[kind, right]
                elif way == "both":
                    chance = q[other]
                    against = s[kind, other] - np.log(q[other])
                    against -= s[kind, right] - np.log(q[right])
                else:
                    chance, against = q[other], s[kind, other] - s[kind, right]
                part = p[kind, right] * chance / (1 + np.exp(-against)) if chance else 0.0
                slope[kind, other] += part
                slope[kind, right] -= part
    return slope / p.sum()  # the loss is a mean weighted by p


@pytest.mark.parametrize("way", ["plain", "drawn", "both"])
def test_the_mean_gradient_is_the_one_written_out_by_hand(way) -> None:
    what = problem(3, kinds=2, n_items=FEW)
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((2, FEW)), jnp.float32)
    found, expected = (
        mean_gradient(way, 1, what, logits),
        exact_gradient(way, what, logits),
    )
    np.testing.assert_allclose(found, expected, atol=0.01)
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-5)


def test_at_the_truth_only_the_correction_of_both_has_no_slope_with_one_negative() -> None:
    what = problem(3, kinds=2, n_items=FEW)
    truth = np.log(what.chance)
    assert np.abs(exact_gradient("both", what, truth)).max() < 1e-12
    assert np.abs(exact_gradient("plain", what, truth)).max() > 0.01
    assert np.abs(exact_gradient("drawn", what, truth)).max() > 0.01
    assert np.abs(exact_gradient("plain", what, np.log(what.ratio))).max() < 1e-12


def test_with_many_negatives_both_corrections_have_no_slope_at_the_truth() -> None:
    what = problem(5, kinds=2, n_items=FEW)
    truth = jnp.asarray(np.log(what.chance), jnp.float32)
    for way, low, high in (("drawn", 0, 2e-3), ("both", 0, 2e-3), ("plain", 0.01, 1)):
        found = np.abs(mean_gradient(way, 64, what, truth)).max()
        assert low <= found < high, way


def test_a_correction_that_is_ignored_is_caught(monkeypatch) -> None:
    exact = lesson.sampled_cross_entropy
    monkeypatch.setattr(
        lesson,
        "sampled_cross_entropy",
        lambda positive, negative, log_expected=None, weight=None: exact(
            positive, negative, weight=weight
        ),
    )
    what = problem(5, kinds=2, n_items=FEW)
    truth = jnp.asarray(np.log(what.chance), jnp.float32)
    assert np.abs(mean_gradient("drawn", 64, what, truth)).max() > 0.01
    assert np.abs(mean_gradient("both", 64, what, truth)).max() > 0.01


def test_the_full_loss_is_the_cross_entropy_and_finds_the_truth() -> None:
    what = problem(7, kinds=3, n_items=FEW)
    logits = jnp.asarray(np.random.default_rng(1).standard_normal((3, FEW)), jnp.float32)
    loss = SampledLoss("full", 1)(logits, jnp.asarray(what.chance)[None], None)
    rows = np.asarray(logits, float)
    log_softmax = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    assert float(loss) == pytest.approx(-(what.chance * log_softmax).sum() / 3, rel=1e-5)
    assert divergence(what.chance, learned(what, "full", 1, jax.random.key(0))) < 1e-3


def test_a_problem_is_a_law_with_its_proposal_and_the_same_for_a_seed() -> None:
    what, again, other = problem(2, 3), problem(2, 3), problem(3, 3)
    np.testing.assert_array_equal(what.chance, again.chance)
    assert (what.chance != other.chance).any()
    assert what.chance.shape == (3, lesson.ITEMS)
    np.testing.assert_allclose(what.chance.sum(axis=1), 1)
    np.testing.assert_allclose(what.ratio.sum(axis=1), 1)
    assert what.proposal.sum() == pytest.approx(1)
    assert divergence(what.chance, what.chance) == 0
    assert divergence(what.chance, what.ratio) > 0.1


def a_row(**changed: float) -> dict[str, float]:
    """What theory says of a row."""
    row = {"full": 0.0, "ratio": 1.5} | {
        f"{way}_{samples}{what}": value
        for way, value in (("plain", 1.5), ("drawn", 0.0), ("both", 0.0))
        for samples in lesson.SAMPLES
        for what in ("", "_ratio")
    }
    return row | {"drawn_1": 1.2, "plain_64_ratio": 0.0} | changed


def test_claims_hold_for_the_theory_and_refuse_what_contradicts_it() -> None:
    assert all(one.holds for one in lesson.claims([a_row(), a_row()]))
    for column, value, name in (
        ("plain_64", 0.0, "plain-stays-wrong"),
        ("plain_64_ratio", 1.0, "plain-is-the-ratio"),
        ("both_64", 0.1, "both-same-optimum"),
        ("both_1", 1.0, "both-with-one-negative"),
        ("drawn_1", 0.0, "drawn-needs-many"),
        ("drawn_64", 0.1, "drawn-same-optimum"),
        ("full", 0.1, "full-is-the-truth"),
    ):
        broken = by_name(lesson.claims([a_row(**{column: value})] * 2))
        assert not broken[f"sampled-{name}"].holds


def test_what_the_doors_refuse() -> None:
    with pytest.raises(ValueError, match="way must be 'full' or one of.*got 'half'"):  # noqa: RUF043
        SampledLoss("half", 1)
    with pytest.raises(ValueError, match="samples must be at least 1; got 0"):
        SampledLoss("both", 0)
    with pytest.raises(ValueError, match="at least 1 and 2; got 0 and 5"):
        problem(0, 0, 5)
