import itertools
import math
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from recflax.causal.slate_value import WAYS, slate_value, slate_weights
from recflax.worlds.slates import Slates

PAGE = Slates(
    relevance=[0.55, 0.5, 0.4, 0.3, 0.2],
    topic=[0, 0, 1, 1, 2],
    examine=[0.9, 0.7, 0.5],
    old=[0.0, 0.3, 1.2, 1.0, 1.0],
    new=[1.5, 1.2, 0.8, 0.2, 0.0],
)
TANGLED = replace(PAGE, above=0.4, below=0.25)


def chance(score: np.ndarray, items: tuple[int, ...]) -> float:
    """The chance of a list, or of its beginning, one place after the other."""
    product, left = 1.0, set(range(len(score)))
    for j in items:
        product *= math.exp(score[j]) / sum(math.exp(score[i]) for i in left)
        left.remove(j)
    return product


def click(page: Slates, items: tuple[int, ...], k: int) -> float:
    value = page.examine[k] * page.relevance[items[k]]
    if k > 0 and page.topic[items[k - 1]] == page.topic[items[k]]:
        value *= 1 - page.above
    if k < len(items) - 1 and page.topic[items[k + 1]] == page.topic[items[k]]:
        value *= 1 - page.below
    return value


def by_hand(page: Slates, by: str) -> tuple[float, float, float]:
    """Value, mean and variance of an estimate: every list and every pattern of clicks."""
    items, positions = len(page.relevance), len(page.examine)
    lists = list(itertools.permutations(range(items), positions))
    old, new = ({a: chance(s, a) for a in lists} for s in (page.old, page.new))

    def share(of: dict, keep) -> float:
        return sum(p for a, p in of.items() if keep(a))

    if by == "pseudo_inverse":
        what = {
            a: np.eye(items)[list(a)].ravel() for a in lists
        }  # the K M entries, position by position
        moments = sum(old[a] * np.outer(what[a], what[a]) for a in lists)
        wanted = sum(new[a] * what[a] for a in lists)
        solved = np.linalg.lstsq(moments, wanted, rcond=1e-10)[0]
    value = mean = square = 0.0
    for a in lists:
        weights = []
        for k in range(positions):
            if by == "list":
                weights.append(new[a] / old[a])
            elif by == "sequential":
                weights.append(chance(page.new, a[: k + 1]) / chance(page.old, a[: k + 1]))
            elif by == "item":
                same = [share(of, lambda b, k=k, a=a: b[k] == a[k]) for of in (new, old)]
                weights.append(same[0] / same[1])
            else:
                weights.append(float(what[a] @ solved))
        rates = [click(page, a, k) for k in range(positions)]
        value += new[a] * sum(rates)
        for pattern in itertools.product((0, 1), repeat=positions):
            p = old[a] * math.prod(c if x else 1 - c for c, x in zip(rates, pattern, strict=True))
            term = sum(w * x for w, x in zip(weights, pattern, strict=True))
            mean += p * term
            square += p * term**2
    return value, mean, square - mean**2


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("page", [PAGE, TANGLED, replace(PAGE, examine=[1.0])])
def test_mean_and_variance_are_those_of_every_list_and_click(page, by):
    value, mean, variance = by_hand(page, by)
    assert page.value() == pytest.approx(value, rel=1e-10)
    assert page.expected(by) == pytest.approx(mean, rel=1e-10)
    assert page.variance(by) == pytest.approx(variance, rel=1e-9)
    assert page.bias(by) == pytest.approx(mean - value, abs=1e-10)
    error = math.sqrt((mean - value) ** 2 + variance / 700)
    assert page.error(by, 700) == pytest.approx(error, rel=1e-9)


def test_each_promise_makes_its_weights_unbiased_and_no_other():
    above = replace(PAGE, above=0.4)
    unbiased = {by: [abs(page.bias(by)) < 1e-12 for page in (PAGE, above, TANGLED)] for by in WAYS}
    assert unbiased == {
        "list": [True, True, True],
        "sequential": [True, True, False],
        "item": [True, False, False],
        "pseudo_inverse": [True, False, False],
    }


def test_the_weaker_the_promise_the_larger_the_variance():
    for page in (PAGE, TANGLED):
        spread = [page.variance(by) for by in ("item", "sequential", "list")]
        assert spread == sorted(spread)
        assert spread[2] > 3 * spread[0]
    # and the longer the list the worse: list weights grow by a factor a place, item weights do not
    long, short = (replace(PAGE, examine=e) for e in ([0.9, 0.7, 0.5, 0.4], [0.9, 0.7]))
    assert long.variance("list") / short.variance("list") > 2
    assert long.variance("item") / short.variance("item") < 1.3


def test_one_place_is_a_plain_slot_and_all_weights_are_one_ratio():
    page = replace(PAGE, examine=[1.0])
    old, new = (np.exp(s) / np.exp(s).sum() for s in (page.old, page.new))
    for by in WAYS:
        np.testing.assert_allclose(page.weights(by)[:, 0], new / old, rtol=1e-9)
    square = (new**2 / old * page.relevance).sum()
    assert page.variance("list") == pytest.approx(square - page.value() ** 2, rel=1e-10)


def test_the_bias_of_item_weights_is_how_much_more_often_a_neighbour_is_alike():
    """Two places, an item above: theta_2 gamma s, times the difference of two chances."""
    page = replace(PAGE, examine=[0.9, 0.7], above=0.4)
    lists, topic = page.lists, page.topic
    alike = topic[lists[:, 0]] == topic[lists[:, 1]]
    closed = 0.0
    for j in range(5):
        at_2 = lists[:, 1] == j
        old, new = (p[at_2 & alike].sum() / p[at_2].sum() for p in (page.shown, page.wanted))
        closed += page.wanted[at_2].sum() * 0.7 * page.relevance[j] * 0.4 * (new - old)
    assert closed > 0.02
    assert page.bias("item") == pytest.approx(closed, rel=1e-10)


def test_the_old_policy_values_itself_with_weights_of_one():
    page = replace(TANGLED, new=TANGLED.old)
    for by in WAYS:
        np.testing.assert_allclose(page.weights(by), 1, rtol=1e-8)
        assert page.bias(by) == pytest.approx(0, abs=1e-9)
    assert page.value() == page.value_of_old() != TANGLED.value()


@pytest.mark.parametrize("by", WAYS)
def test_estimates_sit_on_their_exact_means(by):
    log = TANGLED.log(20_000, 3)
    found, error = TANGLED.estimate(log, by), math.sqrt(TANGLED.variance(by) / 20_000)
    assert abs(found.value - TANGLED.expected(by)) < 4 * error
    assert found.std_error == pytest.approx(error, rel=0.1)
    hand = (TANGLED.weights(by)[log.row] * log.clicked).sum(axis=1)
    assert found.value == pytest.approx(hand.mean(), rel=1e-12)


def test_a_log_is_drawn_by_the_law_and_by_its_seed():
    log, again = TANGLED.log(30_000, 5), TANGLED.log(30_000, 5)
    np.testing.assert_array_equal(log.row, again.row)
    np.testing.assert_array_equal(log.clicked, again.clicked)
    assert (TANGLED.log(30_000, 7).row != log.row).any()
    shown = np.bincount(log.row, minlength=60)
    expected = 30_000 * TANGLED.shown
    assert np.abs((shown - expected) / np.sqrt(expected)).max() < 4.5
    rate = TANGLED.shown @ TANGLED.click
    assert np.abs(log.clicked.mean(axis=0) - rate).max() < 4 * math.sqrt(0.25 / 30_000)


@hypothesis.given(items=st.integers(2, 5), places=st.integers(1, 3), seed=st.integers(0, 9_999))
def test_list_weights_are_unbiased_whatever_clicks_do(items, places, seed):
    rng = np.random.default_rng(seed)
    page = Slates(
        relevance=rng.uniform(0, 1, items),
        topic=rng.integers(0, 2, items),
        examine=rng.uniform(0, 1, min(places, items)),
        old=rng.normal(size=items),
        new=rng.normal(size=items),
        above=rng.uniform(),
        below=rng.uniform(),
    )
    assert page.bias("list") == pytest.approx(0, abs=1e-10)
    assert replace(page, below=0.0).bias("sequential") == pytest.approx(0, abs=1e-10)
    free = replace(page, above=0.0, below=0.0)
    for by in WAYS:
        assert free.bias(by) == pytest.approx(0, abs=1e-8)


# ------------------------------------------------------------------------------- at the door


def test_weights_take_lists_in_any_order_and_policies_that_never_show_some():
    order = np.random.default_rng(0).permutation(60)
    for by in WAYS:
        whole = TANGLED.weights(by)
        part = slate_weights(TANGLED.lists[order], TANGLED.shown[order], TANGLED.wanted[order], by)
        np.testing.assert_allclose(part, whole[order], rtol=1e-7)
    lists = [[0, 1], [1, 0], [2, 0]]
    found = slate_weights(lists, [0.5, 0.5, 0.0], [1.0, 0.0, 0.0], "item")
    assert found.tolist() == [[2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0, 1], [1], [1], "list"), ValueError, r"lists must have shape \(P, K\); got \(2,\)"),
        (([[0.0, 1.0]], [1], [1], "list"), TypeError, "lists must hold integers, not float64"),
        (([[0, 1], [0, 1]], [0.5, 0.5], [0.5, 0.5], "list"), ValueError, "no list twice"),
        (([[0, 1]], [0.5, 0.5], [1], "list"), ValueError, r"old must have shape \(1,\)"),
        (([[0, 1]], [1], [0.9], "list"), ValueError, r"new must hold chances .* sum to 0\.9"),
        (
            ([[0, 1], [1, 0]], [1.0, 0.0], [0.5, 0.5], "item"),
            ValueError,
            r"old must be above 0 wherever new is; list \[1, 0\] is never shown",
        ),
        (([[0, 1]], [1], [1], "each"), ValueError, "by must be one of .* got 'each'"),
    ],
)
def test_weights_say_what_is_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        slate_weights(*arguments)


def test_a_value_says_what_is_wrong_and_keeps_people_together():
    with pytest.raises(ValueError, match=r"one shape \(n, K\); got \(3, 2\) and \(3, 1\)"):
        slate_value(np.ones((3, 2)), np.ones((3, 1)))
    clicks = np.tile([[1, 0], [0, 0]], (5, 1))
    alone, together = (slate_value(np.ones((10, 2)), clicks, p) for p in (None, [0, 1] * 5))
    assert alone.value == together.value == 0.5
    assert together.std_error > 2 * alone.std_error


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"topic": [0, 1]}, r"topic must have shape \(5,\); got \(2,\)"),
        ({"old": [[0.0]]}, r"old must have one axis; got shape \(1, 1\)"),
        ({"new": [0, 0, 0, 0, np.nan]}, "new must be finite"),
        ({"relevance": [0.5, 0.5, 0.5, 0.5, 2.0]}, "relevance must be from 0 to 1"),
        ({"above": 1.1}, r"above must be from 0 to 1; got 1\.1"),
    ],
)
def test_a_page_says_what_is_wrong(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(PAGE, **changed)


def test_questions_out_of_range_are_errors():
    with pytest.raises(ValueError, match="length must be from 1 to the 5 items; got 6"):
        replace(PAGE, examine=np.ones(6)).lists  # noqa: B018
    for question in (PAGE.log, PAGE.error):
        with pytest.raises(ValueError, match="rows must be at least 1; got 0"):
            question(*((0, 1) if question == PAGE.log else ("list", 0)))
