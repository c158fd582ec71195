import itertools
import math
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from recflax.worlds.lists import all_lists, at_position, list_chance
from recflax.worlds.position import Position

PAGE = Position(
    share=[0.5, 0.3, 0.2],
    relevance=[[0.6, 0.5, 0.3, 0.2, 0.1], [0.2, 0.5, 0.6, 0.1, 0.3], [0.3, 0.2, 0.3, 0.5, 0.7]],
    score=[[2.0, 1.5, 0.5, 0.0, -1.0], [0.0, 1.5, 2.0, 0.0, 0.5], [0.5, 0.0, 0.5, 2.0, 1.0]],
    examine=[0.9, 0.6, 0.4, 0.25, 0.1],
)


def by_hand(page: Position):
    """Every context, every order, one click at a time: clicks of articles and of positions."""
    contexts, items = page.relevance.shape
    article, position, relevant = np.zeros((3, items))
    for x in range(contexts):
        for order in itertools.permutations(range(items)):
            left, chance = list(range(items)), page.share[x]
            for j in order:
                chance *= math.exp(page.score[x, j]) / sum(math.exp(page.score[x, i]) for i in left)
                left.remove(j)
            for k, j in enumerate(order):
                clicked = chance * page.examine[k] * page.relevance[x, j]
                article[j] += clicked
                position[k] += clicked
                relevant[j] += chance * page.relevance[x, j]
    return article, position, relevant


# ------------------------------------------------------------------------ lists and chances


def test_lists_are_all_of_them_and_their_chances_a_product_over_places():
    lists = all_lists(5, 3)
    assert len(lists) == 60
    assert {tuple(a) for a in lists.tolist()} == set(itertools.permutations(range(5), 3))
    score = np.random.default_rng(0).normal(size=(2, 5))
    chance = list_chance(score, lists)
    np.testing.assert_allclose(chance.sum(axis=1), 1, rtol=1e-12)
    for x in range(2):
        np.testing.assert_allclose(list_chance(score[x], lists), chance[x], rtol=1e-12)
        for p, items in enumerate(lists):
            product, left = 1.0, set(range(5))
            for j in items:
                product *= math.exp(score[x, j]) / sum(math.exp(score[x, i]) for i in left)
                left.remove(int(j))
            assert chance[x, p] == pytest.approx(product, rel=1e-12)
    placed = at_position(lists, chance, 5)
    assert placed.shape == (2, 5, 3)
    np.testing.assert_allclose(placed.sum(axis=1), 1, rtol=1e-12)
    first = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(placed[..., 0], first, rtol=1e-12)


def test_scores_far_apart_still_give_chances():
    chance = list_chance([800.0, 0.0, -800.0], all_lists(3, 2))
    np.testing.assert_allclose(chance, [1, 0, 0, 0, 0, 0], atol=1e-12)
    # the first two have the same chance but for what comes first
    tail = list_chance([900.0, 1.0, 0.0], all_lists(3, 3))
    np.testing.assert_allclose(tail[:2], [math.e / (1 + math.e), 1 / (1 + math.e)], rtol=1e-12)


def test_lists_say_what_is_wrong():
    with pytest.raises(ValueError, match="length must be from 1 to the 3 items; got 4"):
        all_lists(3, 4)
    with pytest.raises(ValueError, match="12 items in lists of 12 give 479,001,600"):
        all_lists(12, 12)
    with pytest.raises(ValueError, match=r"lists must be \(P, K\) of items 0 to 1"):
        list_chance([0.0, 1.0], [[0, 2]])
    with pytest.raises(ValueError, match=r"score must be .* finite"):
        list_chance([0.0, np.nan], [[0, 1]])


# ------------------------------------------------------------------------------ exact answers


def test_every_rate_is_that_of_a_loop_over_contexts_and_orders():
    article, position, relevant = by_hand(PAGE)
    np.testing.assert_allclose(PAGE.naive(), article, rtol=1e-12)
    np.testing.assert_allclose(PAGE.click_rate(), position, rtol=1e-12)
    np.testing.assert_allclose(PAGE.truth(), relevant, rtol=1e-12)
    assert PAGE.naive().sum() == pytest.approx(PAGE.click_rate().sum(), rel=1e-12)


def test_the_click_rate_is_too_low_by_what_was_not_looked_at():
    np.testing.assert_allclose(PAGE.naive() + PAGE.shortfall(), PAGE.truth(), rtol=1e-12)
    assert (PAGE.shortfall() > 0.05).all()
    # the order by clicks is not the order by relevance
    assert PAGE.truth()[1] > PAGE.truth()[0] > PAGE.truth()[2]
    assert PAGE.naive()[0] > PAGE.naive()[1]
    seen = replace(PAGE, examine=np.ones(5))
    np.testing.assert_allclose(seen.naive(), PAGE.truth(), rtol=1e-12)
    np.testing.assert_allclose(seen.shortfall(), 0, atol=1e-15)


def test_clicks_over_the_examination_are_right_and_over_another_are_not():
    np.testing.assert_allclose(PAGE.weighted(PAGE.examine), PAGE.truth(), rtol=1e-12)
    at_the_top = PAGE.weighted(PAGE.examine / PAGE.examine[0])
    np.testing.assert_allclose(at_the_top, PAGE.examine[0] * PAGE.truth(), rtol=1e-12)
    by_rates = PAGE.weighted(PAGE.click_rate() / PAGE.click_rate()[0])
    assert np.abs(by_rates - at_the_top).max() > 0.02


def test_the_swap_gives_the_examination_and_the_rates_of_positions_do_not():
    for k in range(1, 5):
        assert PAGE.ratio_by_swap(k) == pytest.approx(PAGE.examine[k] / 0.9, rel=1e-12)
        assert PAGE.ratio_of_rates(k) < PAGE.ratio_by_swap(k) - 0.02
        # by exactly the relevance of what stands there
        mean = np.einsum("x,xmk,xm->k", PAGE.share, PAGE.placed, PAGE.relevance)
        ratio = PAGE.examine[k] / 0.9 * mean[k] / mean[0]
        assert PAGE.ratio_of_rates(k) == pytest.approx(ratio, rel=1e-12)


def test_the_swapped_page_is_that_of_a_loop_over_orders_and_coins():
    k, top, low = 3, 0.0, 0.0
    for x, order in itertools.product(range(3), range(len(PAGE.lists))):
        for coin in (0, 1):
            shown = PAGE.lists[order].copy()
            if coin:
                shown[[0, k]] = shown[[k, 0]]
            chance = PAGE.share[x] * PAGE.chance[x, order] / 2
            top += chance * PAGE.examine[0] * PAGE.relevance[x, shown[0]]
            low += chance * PAGE.examine[k] * PAGE.relevance[x, shown[k]]
    assert PAGE.ratio_by_swap(k) == pytest.approx(low / top, rel=1e-12)


def test_an_even_order_needs_no_swap():
    even = replace(PAGE, score=np.zeros((3, 5)))
    for k in range(1, 5):
        assert even.ratio_of_rates(k) == pytest.approx(even.ratio_by_swap(k), rel=1e-12)


@hypothesis.given(items=st.integers(2, 4), contexts=st.integers(1, 3), seed=st.integers(0, 9_999))
def test_any_page_is_identified_by_its_swaps(items, contexts, seed):
    rng = np.random.default_rng(seed)
    page = Position(
        share=rng.dirichlet(np.ones(contexts)),
        relevance=rng.uniform(0.05, 0.95, (contexts, items)),
        score=rng.normal(0, 2, (contexts, items)),
        examine=rng.uniform(0.05, 1, items),
    )
    ratios = [1.0, *(page.ratio_by_swap(k) for k in range(1, items))]
    np.testing.assert_allclose(page.weighted(ratios), page.examine[0] * page.truth(), rtol=1e-9)
    np.testing.assert_allclose(page.naive() + page.shortfall(), page.truth(), rtol=1e-9)


# ------------------------------------------------------------------------------------ the log


def test_a_log_is_drawn_by_the_law_and_by_its_seed():
    log, again, other = PAGE.log(40_000, 7), PAGE.log(40_000, 7), PAGE.log(40_000, 11)
    np.testing.assert_array_equal(log.order, again.order)
    np.testing.assert_array_equal(log.clicked, again.clicked)
    assert (log.clicked != other.clicked).any()
    assert (np.sort(log.order, axis=1) == np.arange(5)).all()
    for found, exact in (
        (log.rates(), PAGE.naive()),
        (log.clicked.mean(axis=0), PAGE.click_rate()),
    ):
        assert np.abs((found - exact) / np.sqrt(exact * (1 - exact) / 40_000)).max() < 4
    # a click counts 1 / examination: its variance is at most truth over the smallest of them
    assert np.abs(log.rates(PAGE.examine) - PAGE.truth()).max() < 4 * math.sqrt(7 / 40_000)
    assert log.ratio(2).value == pytest.approx(
        log.clicked[:, 2].sum() / log.clicked[:, 0].sum(), rel=1e-12
    )


@pytest.mark.parametrize("k", [1, 4])
def test_the_swap_experiment_finds_the_ratio_with_the_spread_that_is_computed(k):
    found = [PAGE.log(2_000, seed, swap=k).ratio(k) for seed in range(200)]
    values = np.array([f.value for f in found])
    spread = PAGE.swap_std_error(k, 2_000)
    assert abs(values.mean() - PAGE.ratio_by_swap(k)) < 4 * spread / math.sqrt(200)
    assert values.std(ddof=1) == pytest.approx(spread, rel=4 / math.sqrt(2 * 199))
    assert np.mean([f.std_error for f in found]) == pytest.approx(spread, rel=0.05)
    covered = sum(f.lower <= PAGE.ratio_by_swap(k) <= f.upper for f in found)
    assert covered >= 180  # 0.95 of 200 is 190; fewer come once in 50,000 times
    assert values.mean() - PAGE.ratio_of_rates(k) > 20 * spread / math.sqrt(200)


def test_swapping_exchanges_two_positions_in_half_of_the_requests():
    plain, swapped = PAGE.log(9_000, 3), PAGE.log(9_000, 3, swap=2)
    moved = (plain.order != swapped.order).any(axis=1)
    assert abs(moved.mean() - 0.5) < 4 * 0.5 / math.sqrt(9_000)
    np.testing.assert_array_equal(plain.order[moved][:, [2, 1, 0, 3, 4]], swapped.order[moved])
    assert swapped.ratio(2).lower < PAGE.ratio_by_swap(2) < swapped.ratio(2).upper


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"share": [0.5, 0.5]}, r"share must have shape \(3,\); got \(2,\)"),
        ({"share": [0.5, 0.3, 0.3]}, r"share must sum to 1; got 1\.1"),
        ({"score": np.zeros((3, 4))}, r"score must have shape \(3, 5\); got \(3, 4\)"),
        ({"score": np.full((3, 5), np.inf)}, "score must be finite"),
        ({"relevance": np.full((3, 5), 1.5)}, "relevance must be from 0 to 1"),
        ({"relevance": [0.5]}, r"relevance must have 2 axes; got shape \(1,\)"),
        ({"examine": [0.9, 0.6, 0.4]}, r"examine must have shape \(5,\); got \(3,\)"),
        ({"examine": [0.9, 0.6, 0.4, 0.2, 0.0]}, "examine must be above 0"),
    ],
)
def test_a_page_says_what_is_wrong(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(PAGE, **changed)


def test_questions_out_of_range_are_errors():
    for question in (PAGE.ratio_by_swap, PAGE.ratio_of_rates):
        with pytest.raises(ValueError, match="k must be from 1 to 4; got 0"):
            question(0)
    with pytest.raises(ValueError, match="k must be from 1 to 4; got 5"):
        PAGE.log(3, 0, swap=5)
    with pytest.raises(ValueError, match="requests must be at least 1; got 0"):
        PAGE.log(0, 0)
    with pytest.raises(ValueError, match="requests must be at least 1; got 0"):
        PAGE.swap_std_error(1, 0)
    with pytest.raises(ValueError, match="examine must be above 0"):
        PAGE.weighted([1, 1, 1, 1, 0])
    with pytest.raises(ValueError, match=r"examine must have shape \(5,\); got \(2,\)"):
        PAGE.weighted([1, 1])
