"""Exposure against merit in the store: parts by plain loops, and claims that can fail."""

from collections import defaultdict
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from recflax.fairness import FairPolicy, fair_policy
from recflax.lessons import fair_exposure, who_gains
from recflax.lessons.cells import count, exposed_cells, log_cells
from recflax.lessons.statements import by_name
from recflax.lessons.trainings import clipped_cells
from recflax.worlds.store import Store, StoreConfig, build_store
from recflax.worlds.store_truth import Truth

SEEDS = (3, 5, 7)
SIZE = 211


@pytest.fixture(scope="module")
def store():
    return build_store(StoreConfig(n_people=101, n_items=23, n_categories=3), seed=5)


def of_perfect_learners(store: Store, key: jax.Array | None = None) -> dict[str, np.ndarray]:
    """What a network would say that fits its rows perfectly; the causal one a little noisily."""
    noise = np.random.default_rng(store.seed).normal(size=store.uplift().shape)
    return {
        "log": store.see(),
        "exposed": store.see_exposed() - store.do(0),
        "causal": store.uplift() + 0.03 * noise,
        "oracle": store.uplift(),
    }


# -------------------------------------------------------------------------------------- parts


def test_the_popular_half_is_above_everything_else(store):
    half = fair_exposure.item_groups(store, "popular")
    assert half.sum() == 23 // 2
    assert store.popularity[half == 1].min() >= store.popularity[half == 0].max()
    campaign = fair_exposure.item_groups(store, "campaign")
    np.testing.assert_array_equal(campaign == 1, store.campaign)
    np.testing.assert_array_equal(fair_exposure.item_groups(store, "category"), store.category)
    with pytest.raises(ValueError, match="by must be one of"):
        fair_exposure.item_groups(store, "price")


def test_targets_are_shares_of_merit_or_of_products():
    values = np.array([[0.1, -0.5, 0.2], [0.3, 0.1, 0.0]])
    np.testing.assert_allclose(fair_exposure.merit(values), [0.2, 0.0, 0.1])
    groups = np.array([0, 1, 1])
    merit, equal = (fair_exposure.target(values, groups, kind) for kind in fair_exposure.TARGETS)
    np.testing.assert_allclose(merit, [2 / 3, 1 / 3])
    np.testing.assert_allclose(equal, [1 / 3, 2 / 3])
    with pytest.raises(ValueError, match="kind must be one of"):
        fair_exposure.target(values, groups, "need")


def test_the_side_of_the_products_by_loops(store):
    policy = np.random.default_rng(0).dirichlet(np.ones(23), size=101)
    found = fair_exposure.provider_side(store, policy)
    exposure, worth = policy.mean(axis=0), store.uplift().mean(axis=0)
    assert found["campaign"] == pytest.approx(exposure[store.campaign].sum())
    by_category = [
        exposure[store.category == c].sum() / (worth[store.category == c].sum() / worth.sum())
        for c in range(3)
    ]
    assert found["category"] == pytest.approx(min(by_category))
    assert found["unequal"] == pytest.approx(np.abs(exposure - worth / worth.sum()).sum())
    assert found["effective"] == pytest.approx(1 / np.square(exposure).sum())


def test_the_side_of_the_people_adds_up(store):
    policy = np.random.default_rng(0).dirichlet(np.ones(23), size=101)
    people = fair_exposure.people_side(store, policy)
    favourite = np.array([np.argmax(taste) for taste in store.taste])
    np.testing.assert_array_equal(people.size, np.bincount(favourite))
    whole = people.size @ people.mean / 101
    assert whole == pytest.approx(store.policy_value(policy).increment)


@pytest.mark.parametrize("kind", fair_exposure.TARGETS)
@pytest.mark.parametrize("by", fair_exposure.GROUPS)
def test_with_the_truth_the_promised_price_is_the_true_one(store, by, kind):
    found, policy = fair_exposure.reranked(store, store.uplift(), by, kind)
    assert found["promised"] >= 0
    assert found["price"] == pytest.approx(found["promised"], abs=1e-9)
    assert found["off"] <= 1e-9
    assert found["price"] == pytest.approx(
        store.uplift().max(axis=1).mean() - store.policy_value(policy).increment
    )


def test_with_estimates_the_true_price_has_any_sign(store):
    """Scores that take the campaign for better than it is gain where they are held to a share."""
    noisy = store.uplift() + 0.03 * np.random.default_rng(1).normal(size=(101, 23))
    right, _ = fair_exposure.reranked(store, noisy, "campaign", "equal")
    wrong, _ = fair_exposure.reranked(store, noisy + 0.5 * store.campaign, "campaign", "equal")
    assert min(right["promised"], wrong["promised"]) >= 0
    assert wrong["promised"] > 0.3  # it believes that it gives up half a purchase at most visits
    assert wrong["price"] < -0.01


def test_every_item_has_its_due_and_it_costs(store, monkeypatch):
    monkeypatch.setattr(fair_exposure, "FEW", 53)
    found = fair_exposure.every_item(store)
    values = store.uplift()[:53]
    assert found["items_free"] == pytest.approx(values.max(axis=1).mean())
    due = values.mean(axis=0) / values.mean(axis=0).sum()
    fair = fair_policy(values, np.arange(23), due)
    np.testing.assert_allclose(fair.policy.mean(axis=0), due, atol=1e-9)
    assert found["items_price"] == pytest.approx(fair.price)
    assert fair.price > 0.01


def test_three_trainings_see_the_cells_that_they_are_named_for(store, monkeypatch):
    given, log = [], store.log()

    def fitted(store, cells, key):
        given.append(cells)
        arms = ("shown", "not_shown")[: cells[0].shape[1]]
        return SimpleNamespace(number=len(given), config=SimpleNamespace(arms=arms))

    monkeypatch.setattr(fair_exposure, "fit_cells", fitted)
    answers = {"shown": 0.5, "not_shown": 0.125}
    monkeypatch.setattr(
        who_gains,
        "probabilities",
        lambda network, store, arm: np.full((101, 23), network.number * answers[arm]),
    )
    found = fair_exposure.fitted_scores(store, jax.random.key(0))
    counts = count(log)
    wanted = (log_cells(counts), exposed_cells(counts), clipped_cells(log))
    for one, other in zip(given, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert list(found) == list(fair_exposure.SCORES)
    assert [found[name][0, 0] for name in ("log", "exposed", "causal")] == [0.5, 0.75, 1.125]
    np.testing.assert_array_equal(found["oracle"], store.uplift())


# ------------------------------------------------------------------------------------- the row


@cache
def rows_with(breakage: Callable[[pytest.MonkeyPatch], None] | None) -> list[dict[str, float]]:
    """Rows made afresh by perfect learners, with one thing broken or none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fair_exposure, "fitted_scores", of_perfect_learners)
        patch.setattr(fair_exposure, "FEW", 53)
        if breakage is not None:
            breakage(patch)
        return [fair_exposure.run(seed, SIZE) for seed in SEEDS]


def test_a_row_says_what_the_parts_say():
    row = rows_with(None)[0]
    store = build_store(StoreConfig(n_people=SIZE), 3)
    assert (row["seed"], row["people"]) == (3, SIZE)
    assert row["oracle_increment"] == store.policy_value(store.greedy(store.uplift())).increment
    assert row["merit_campaign"] == pytest.approx(
        store.uplift()[:, store.campaign].sum() / store.uplift().sum()
    )
    half = fair_exposure.item_groups(store, "popular") == 1
    assert row["merit_do_popular"] == pytest.approx(store.do(1)[:, half].sum() / store.do(1).sum())
    assert row["logging_popular"] == pytest.approx(store.logging_policy()[:, half].sum() / SIZE)
    assert {f"{setting}_price" for setting in fair_exposure.settings()} <= set(row)
    assert len(fair_exposure.settings()) == 3 * 3 * 2
    fair = fair_exposure.reranked(store, store.uplift(), "category", "equal")[1]
    assert row["oracle_fair_gap"] == fair_exposure.people_side(store, fair).gap


# ------------------------------------------------------- what is broken, and which claim says so


def good() -> dict[str, float]:
    """A row as the lesson found them; what is not named is 0."""
    row = defaultdict(float, {"log_popular": 1.0, "merit_popular": 0.47, "exposed_campaign": 0.9})
    row |= {"merit_campaign": 0.2, "causal_campaign": 0.5, "oracle_increment": 0.26}
    row |= {"items_price": 0.08, "items_free": 0.26, "oracle_effective": 8.0}
    row |= {"oracle_popular_merit_price": 0.001, "oracle_category_equal_price": 0.005}
    row |= {"exposed_campaign_equal_price": -0.03, "causal_category_equal_promised": 0.02}
    row |= {"causal_category_equal_price": -0.01, "causal_worst": 0.11, "causal_fair_worst": 0.14}
    return row | {"oracle_worst": 0.25, "oracle_fair_worst": 0.245}


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("log-shows-the-popular", {"log_popular": 0.5}),
        ("popular-deserve-half", {"merit_popular": 0.9}),
        ("campaign-overexposed", {"exposed_campaign": 0.2}),
        ("weights-take-exposure-back", {"causal_campaign": 0.9}),
        ("shares-exact", {"oracle_category_merit_off": 1e-6}),
        ("price-never-negative", {"exposed_popular_equal_promised": -1e-9}),
        ("halves-cheap", {"oracle_popular_merit_price": 0.05}),
        ("categories-cheap", {"oracle_category_equal_price": 0.1}),
        ("items-dear", {"items_price": 0.01}),
        ("groups-hide-items", {"oracle_effective": 60.0}),
        ("campaign-held-to-its-share-pays", {"exposed_campaign_equal_price": 0.01}),
        ("believed-dearer-than-it-is", {"causal_category_equal_price": 0.05}),
        ("worst-off-gain", {"causal_fair_worst": 0.1}),
        ("worst-off-keep-nearly-all", {"oracle_fair_worst": 0.2}),
    ],
)
def test_every_statement_holds_and_fails_when_its_number_is_another(name, broken):
    said = by_name(fair_exposure.claims([good(), good()]))
    assert len(said) == 14
    assert said[f"fair-{name}"].holds
    row = good() | broken
    assert not by_name(fair_exposure.claims([row, row]))[f"fair-{name}"].holds


def exposed_rows_have_no_confounding(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Truth, "see_exposed", lambda self: self.do(1))


def shares_are_ignored(patch: pytest.MonkeyPatch) -> None:
    def free(values, groups, share):
        policy = np.eye(values.shape[1])[values.argmax(axis=1)]
        return FairPolicy(policy, float(values.max(axis=1).mean()), 0.0)

    patch.setattr(fair_exposure, "fair_policy", free)


def price_of_the_other_sign(patch: pytest.MonkeyPatch) -> None:
    def turned(values, groups, share):
        found = fair_policy(values, groups, share)
        return found._replace(price=-found.price)

    patch.setattr(fair_exposure, "fair_policy", turned)


def chances_are_drawn_at_random(patch: pytest.MonkeyPatch) -> None:
    """A policy that has the right shares and looks at nobody."""

    def blind(values, groups, share):
        each = share[groups] / np.bincount(groups)[groups]
        policy = np.tile(each, (len(values), 1))
        value = float((policy * values).sum() / len(values))
        return FairPolicy(policy, value, float(values.max(axis=1).mean()) - value)

    patch.setattr(fair_exposure, "fair_policy", blind)


def the_log_is_asked_for_effects(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Truth, "see", lambda self: self.uplift())


MUTATIONS = [
    ("log-shows-the-popular", the_log_is_asked_for_effects),
    ("campaign-overexposed", exposed_rows_have_no_confounding),
    ("weights-take-exposure-back", exposed_rows_have_no_confounding),
    ("shares-exact", shares_are_ignored),
    ("price-never-negative", price_of_the_other_sign),
    ("halves-cheap", chances_are_drawn_at_random),
    ("categories-cheap", chances_are_drawn_at_random),
    ("items-dear", shares_are_ignored),
    ("campaign-held-to-its-share-pays", chances_are_drawn_at_random),
    ("campaign-held-to-its-share-pays", shares_are_ignored),
]


@pytest.mark.parametrize(
    ("name", "breakage"), MUTATIONS, ids=[f"{n}-{b.__name__}" for n, b in MUTATIONS]
)
def test_what_is_claimed_holds_and_does_not_survive_its_breakage(name, breakage):
    for broken in (None, breakage):
        said = by_name(fair_exposure.claims(rows_with(broken)))
        assert said[f"fair-{name}"].holds == (broken is None)
