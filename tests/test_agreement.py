"""Agreement of attributions: against pairs, permutations and other libraries; ties; refusals."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from recflax.agreement import Agreement, compare

B, L = 5, 7


def one(importance: list[float], effect: list[float], mask: list[bool] | None = None) -> Agreement:
    """The agreement of a single history, as plain numbers."""
    kept = np.ones(len(effect), bool) if mask is None else np.array(mask)
    found = compare([importance], [effect], kept[None])
    return Agreement(*(float(value[0]) for value in found))


def test_by_hand() -> None:
    # ranks of the sizes 1 2 3 4 against 1 2 4 3: 1 - 6 (0 + 0 + 1 + 1) / (4 (16 - 1))
    found = one([0.1, 0.2, 0.3, 0.4], [0.0, -1.0, 3.0, 2.0])
    assert found.rank == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert found.auc == 1.0  # three with an effect, all above the one without
    assert found.top_1 == 0.0
    assert found.chance == 1 / 4


def test_ties_share_ranks_pairs_and_first_places() -> None:
    found = one([2, 2, 1, 1], [5, 0, 0, -5])
    assert found.auc == pytest.approx((0.5 + 1 + 0 + 0.5) / 4)  # pairs (0,1) (0,2) (3,1) (3,2)
    assert found.top_1 == 1 / 2  # of two first places one has the largest effect
    assert found.chance == 2 / 4
    assert found.rank == pytest.approx(0.0)


def test_a_constant_attribution_is_chance_and_never_right_by_its_order() -> None:
    found = one([3, 3, 3, 3, 3], [0, 0, 7, 0, 1])
    assert np.isnan(found.rank)
    assert found.auc == 0.5
    assert found.top_1 == found.chance == 1 / 5


def test_what_is_not_defined_is_nan() -> None:
    nothing = one([1, 2, 3], [0, 0, 0])
    assert np.isnan(nothing).all()
    everywhere = one([1, 2, 3], [1, 2, 3])
    assert np.isnan(everywhere.auc)  # nothing without an effect
    assert everywhere.rank == everywhere.top_1 == 1
    assert np.isnan(one([1, 2], [1, 2], [False, False])).all()
    assert one([1, 2], [1, 2], [False, True]).top_1 == 1  # a single event is the right one


numbers = st.lists(st.integers(-3, 3), min_size=L, max_size=L)
masks = st.lists(st.booleans(), min_size=L, max_size=L)


@given(numbers, numbers, masks)
def test_it_is_what_other_libraries_and_all_orders_say(importance, effect, mask) -> None:
    found = one(importance, effect, mask)
    size = np.abs(np.array(importance))[mask]
    truth = np.abs(np.array(effect))[mask]
    if len(size) > 1 and np.ptp(size) and np.ptp(truth):
        assert found.rank == pytest.approx(spearmanr(size, truth).statistic)
    else:
        assert np.isnan(found.rank)
    if 0 < (truth > 0).sum() < len(truth):
        assert found.auc == pytest.approx(roc_auc_score(truth > 0, size))
    else:
        assert np.isnan(found.auc)
    if (truth > 0).any():
        # every order of the tied, as permutations of the places with a stable sort
        right = [
            truth[max(order, key=lambda place: size[place])] == truth.max()
            for order in list(permutations(range(len(size))))[:: 1 if len(size) < 6 else 7]
        ]
        if len(size) < 6:
            assert found.top_1 == pytest.approx(np.mean(right))
        assert found.chance == pytest.approx((truth == truth.max()).mean())
    else:
        assert np.isnan(found.top_1)


@given(st.integers(0, 2**32 - 1))
def test_signs_scales_and_padding_do_not_matter(seed) -> None:
    rng = np.random.default_rng(seed)
    importance, effect = rng.normal(size=(2, B, L)).round(1)
    effect[rng.random((B, L)) < 0.4] = 0
    mask = np.arange(L) >= rng.integers(0, L, B)[:, None]
    plain = compare(importance, effect, mask)
    sign = rng.choice([-1.0, 1.0], (B, L))
    importance, effect = (np.where(mask, side, np.nan) for side in (importance, effect))
    changed = compare(np.abs(importance) ** 3 * sign, 10 * effect * sign[::-1], mask)
    for before, after in zip(plain, changed, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"mask": np.ones((B, L))}, TypeError, "mask must hold booleans, not float64"),
        ({"effect": np.ones((L, B))}, ValueError, r"effect must be \(B, L\) like mask, \(5, 7\)"),
        ({"importance": np.ones(L)}, ValueError, r"importance must be .* got \(7,\)"),
        (
            {"importance": np.where(np.eye(B, L), np.nan, 1)},
            ValueError,
            r"importance must be finite at every event; at \(0, 0\) it is not",
        ),
    ],
)
def test_bad_input_is_refused_by_name(change, error, message) -> None:
    good = {"importance": np.ones((B, L)), "effect": np.ones((B, L)), "mask": np.ones((B, L), bool)}
    compare(**good)
    with pytest.raises(error, match=message):
        compare(**(good | change))
