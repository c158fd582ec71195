"""Membership inference: rates counted by hand, and losses asked one by one."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recflax.membership import loss_of_each, membership_attack


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=9),
    st.lists(st.integers(0, 4), min_size=1, max_size=9),
)
def test_rates_are_counted_with_ties(inside, outside) -> None:
    found = membership_attack(
        inside + outside, np.array([True] * len(inside) + [False] * len(outside))
    )
    pairs = [(a > b) + (a == b) / 2 for a in inside for b in outside]
    assert found.auc == pytest.approx(np.mean(pairs))
    called = [
        np.mean([a >= cut for a in inside]) - np.mean([b >= cut for b in outside])
        for cut in range(6)  # 5 calls nobody a member
    ]
    assert found.advantage == pytest.approx(max(called))


def test_a_score_that_knows_nothing_is_a_coin_and_one_that_knows_all_is_not() -> None:
    rng = np.random.default_rng(0)
    member = rng.random(4_001) < 2 / 3
    blind = membership_attack(rng.normal(size=4_001), member)
    spread = (1 / member.sum() + 1 / (~member).sum()) ** 0.5
    assert abs(blind.auc - 0.5) < 4 * spread / 12**0.5
    assert 0 < blind.advantage < 2 * spread  # the best threshold afterwards is never below 0
    assert membership_attack(member, member) == (1.0, 1.0)
    assert membership_attack(np.zeros(4_001), member) == (0.5, 0.0)


def test_losses_are_asked_one_by_one() -> None:
    """With a loss that is no mean over examples: what a person loses alone is her own."""

    def peak(params, batch, key):
        return params * jnp.max(batch["x"]) + batch["y"].sum()

    n = 263  # more than one block of 256
    rng = np.random.default_rng(1)
    data = {"x": rng.normal(size=(n, 3)).astype(np.float32), "y": np.arange(n, dtype=np.float32)}
    found = loss_of_each(peak, jnp.array(2.0), data)
    np.testing.assert_allclose(found, 2 * data["x"].max(axis=1) + data["y"], rtol=1e-6)


@pytest.mark.parametrize(
    ("score", "member", "kind", "message"),
    [
        ([1.0, 2.0], [1, 0], TypeError, "member must hold booleans"),
        ([1.0, 2.0, 3.0], [True, False], ValueError, r"got \(3,\) and \(2,\)"),
        ([[1.0], [2.0]], [[True], [False]], ValueError, r"must be \(n,\)"),
        ([1.0, np.nan], [True, False], ValueError, "entry 1 is nan"),
        ([1.0, 2.0], [True, True], ValueError, "some people who were in"),
        ([1.0, 2.0], [False, False], ValueError, "some who were not"),
    ],
)
def test_wrong_arguments_are_named(score, member, kind, message) -> None:
    with pytest.raises(kind, match=message):
        membership_attack(score, member)
