"""The store's invariants, a second implementation of its equations, and what its door refuses."""

from dataclasses import fields, replace
from math import exp

import numpy as np
import pytest

from recflax.worlds.store import Store, StoreConfig, build_store
from recflax.worlds.store_truth import mechanisms

SMALL = StoreConfig(n_people=499, n_items=23, n_categories=5, length=11)
SEED = 7


@pytest.fixture(scope="module")
def store() -> Store:
    return build_store(SMALL, SEED)


def test_1_display_chances_sum_to_one_and_stay_above_their_floor(store: Store) -> None:
    for z in (0, 1):
        np.testing.assert_allclose(store.display(z).sum(axis=1), 1, rtol=1e-12)
        assert store.display(z).min() >= SMALL.eps / SMALL.n_items
    half = build_store(replace(SMALL, no_overlap=True), SEED)
    kept = half.retrieved()
    assert kept.sum() == 12  # of 23
    assert half.popularity[kept].min() >= half.popularity[~kept].max()
    for z in (0, 1):
        np.testing.assert_allclose(half.display(z).sum(axis=1), 1, rtol=1e-12)
        np.testing.assert_array_equal(half.display(z)[:, ~kept], 0)
        assert half.display(z)[:, kept].min() >= SMALL.eps / 12


def test_2_chances_are_chances_and_showing_always_helps(store: Store) -> None:
    for truth in (store.do(0), store.do(1), store.see()):
        assert truth.min() > 0
        assert truth.max() < 1
    assert store.uplift().min() > 0


def test_3_the_mean_of_many_draws_under_do_is_the_exact_one(store: Store) -> None:
    rng = np.random.default_rng(11)
    mu = np.array([[store.mu(t, z) for z in (0, 1)] for t in (0, 1)])
    people = np.arange(SMALL.n_people)
    for t in (0, 1):
        mean = np.zeros(SMALL.n_items)
        draws = 20
        for _ in range(draws):
            z = (rng.random(SMALL.n_people) < SMALL.pz).astype(int)
            bought = rng.random((SMALL.n_people, SMALL.n_items)) < mu[t, z, people]
            mean += bought.mean(axis=0) / draws
        # over the items: independent given the intents, so the variance of a mean is at most this
        exact = store.do(t).mean(axis=0)
        spread = np.sqrt(exact * (1 - exact) / (draws * SMALL.n_people))
        assert (np.abs(mean - exact) < 4 * spread).all()


@pytest.mark.parametrize("hidden", [False, True])
def test_4_weighting_gives_back_the_value_of_the_logging_policy(hidden: bool) -> None:
    # of another policy, the marginal one, from a log whose propensity is exact or marginal: with
    # the intent hidden the weights are 1 and the estimate is the plain mean
    store = build_store(replace(SMALL, hidden=hidden), SEED)
    log, policy = store.log(visits=16), store.logging_policy()
    weight = policy[log.person, log.shown - 1] / log.propensity
    terms = (weight * log.bought_shown).reshape(16, -1).mean(axis=0)  # one a person
    error = terms.std(ddof=1) / np.sqrt(len(terms))
    if hidden:
        np.testing.assert_allclose(weight, 1, rtol=1e-9)
        exact = sum(
            p * (store.display(z) * store.mu(1, z)).sum(axis=1).mean() for z, p in store.intents()
        )
    else:
        exact = store.policy_value(policy).slot_rate
    assert abs(terms.mean() - exact) < 4 * error


def test_5_the_mean_weight_is_one_or_the_covered_mass() -> None:
    for no_overlap, covered in ((False, 1.0), (True, 12 / 23)):
        store = build_store(replace(SMALL, no_overlap=no_overlap), SEED)
        log = store.log(visits=16)
        weight = 1 / (log.propensity * SMALL.n_items)
        by_person = weight.reshape(16, -1).mean(axis=0)
        error = by_person.std(ddof=1) / np.sqrt(len(by_person))
        assert abs(by_person.mean() - covered) < 4 * error
        assert error < 0.1


@pytest.mark.parametrize("rand", [0.0, 0.5])
def test_6_purchases_per_item_agree_with_see(rand: float) -> None:
    store = build_store(replace(SMALL, rand=rand), SEED)
    log = store.log(visits=16)
    assert abs(log.randomised.mean() - rand) < 0.03
    by_person = log.counts() / 16
    error = by_person.std(axis=0, ddof=1) / np.sqrt(SMALL.n_people)
    # these people, so the variance is within a person only; the clustered error is above it
    assert (np.abs(by_person.mean(axis=0) - store.see().mean(axis=0)) < 5 * error).all()


def test_7_without_confounding_the_exposed_rows_tell_the_truth() -> None:
    for change in ({"g_e": 0.0}, {"g_y": 0.0}):
        plain = build_store(replace(SMALL, **change), SEED)
        np.testing.assert_allclose(plain.see_exposed(), plain.do(1), rtol=0, atol=1e-12)
    store = build_store(SMALL, SEED)
    bias = store.see_exposed() - store.do(1)
    assert bias[:, store.campaign].mean() > 0.01
    assert bias[:, ~store.campaign].mean() < -0.001
    randomised = build_store(replace(SMALL, rand=1.0), SEED)
    np.testing.assert_allclose(randomised.see_exposed(), randomised.do(1), rtol=0, atol=1e-12)


def test_8_an_event_that_changes_no_mechanism_has_no_effect(store: Store) -> None:
    effect = store.history_effect()
    found = store.mechanisms()
    same = np.zeros(store.history.shape, dtype=bool)
    for place in range(SMALL.length):
        history, bought = (np.delete(a, place, axis=1) for a in (store.history, store.bought))
        without = mechanisms(history, bought, store.category, SMALL.n_categories)
        same[:, place] = (
            (without.hot == found.hot)
            & (without.complement == found.complement)
            & (without.satisfied == found.satisfied).all(axis=1)
        )
    real = store.history > 0
    assert not effect[same | ~real].any()
    assert effect[real & ~same].any(axis=1).all()
    assert 0.5 < (same & real).sum() / real.sum() < 0.95


def test_9_no_policy_gains_more_than_the_best_uplift(store: Store) -> None:
    best = store.policy_value(store.greedy(store.uplift())).increment
    rng = np.random.default_rng(0)
    for policy in (
        rng.dirichlet(np.ones(SMALL.n_items), SMALL.n_people),
        store.greedy(store.do(1)),
        store.greedy(store.see()),
        store.greedy(store.uplift() * store.price),
        store.logging_policy(),
    ):
        assert store.policy_value(policy).increment < best


def test_10_hiding_the_intent_changes_the_propensity_column_only() -> None:
    logs = [build_store(replace(SMALL, hidden=hidden), SEED).log() for hidden in (False, True)]
    for field in fields(logs[0]):
        one, other = (getattr(log, field.name) for log in logs)
        if field.name == "propensity":
            assert not np.allclose(one, other)
        elif field.name == "items":
            assert one.equals(other)
        else:
            np.testing.assert_array_equal(one, other)


def test_12_two_builds_with_one_seed_are_identical_and_streams_are_separate() -> None:
    one, two, other = (build_store(SMALL, seed) for seed in (SEED, SEED, SEED + 1))
    later = two.log(stream="heldout")  # drawing one log does not move another
    for field in fields(one.log()):
        a, b = getattr(one.log(), field.name), getattr(two.log(), field.name)
        assert a.equals(b) if field.name == "items" else np.array_equal(a, b)
    np.testing.assert_array_equal(later.shown, one.log(stream="heldout").shown)
    assert not np.array_equal(one.history, other.history)
    assert not np.array_equal(one.log().shown, later.shown)
    assert one.log(stream="slice").randomised.all()


def test_the_equations_again_one_person_at_a_time(store: Store) -> None:
    config = SMALL

    def sigmoid(x: float) -> float:
        return 1 / (1 + exp(-x))

    for u in (0, 3, 77):
        events = [(i, b) for i, b in zip(store.history[u], store.bought[u], strict=True) if i > 0]
        assert 5 <= len(events) <= config.length
        shelf = [int(store.category[i - 1]) for i, _ in events]
        hot = shelf[-1] if shelf[-1] == shelf[-2] else None
        purchases = [s for s, (_, b) in zip(shelf, events, strict=True) if b]
        wanted = (purchases[-1] + 1) % config.n_categories if purchases else None
        owned = {i for i, b in events if b}
        for z in (0, 1):
            raw = []
            for j in range(config.n_items):
                c = int(store.category[j])
                odds = config.o0 + config.o_pop * store.popularity[j]
                odds += config.b_t * store.taste[u, c] + config.b_n * (c == hot)
                odds += config.b_c * (c == wanted) - config.b_s * (j + 1 in owned)
                odds += config.g_y * z
                np.testing.assert_allclose(store.mu(0, z)[u, j], sigmoid(odds), rtol=1e-12)
                shown = sigmoid(odds + store.lift[j])
                np.testing.assert_allclose(store.mu(1, z)[u, j], shown, rtol=1e-12)
                score = config.a_p * store.popularity[j] + config.a_h * (c == shelf[-1])
                score += config.a_n * (c == hot) + config.g_e * z * store.campaign[j]
                raw.append(exp(config.sharp * score))
            for j in range(config.n_items):
                chance = (1 - config.eps) * raw[j] / sum(raw) + config.eps / config.n_items
                np.testing.assert_allclose(store.display(z)[u, j], chance, rtol=1e-12)


def test_truths_are_their_definitions(store: Store) -> None:
    p, e = SMALL.pz, [store.display(z) for z in (0, 1)]
    mu = [[store.mu(t, z) for z in (0, 1)] for t in (0, 1)]
    np.testing.assert_allclose(store.do(1), (1 - p) * mu[1][0] + p * mu[1][1], rtol=1e-12)
    both = [e[z] * mu[1][z] + (1 - e[z]) * mu[0][z] for z in (0, 1)]
    np.testing.assert_allclose(store.see(), (1 - p) * both[0] + p * both[1], rtol=1e-12)
    exposed = (1 - p) * e[0] * mu[1][0] + p * e[1] * mu[1][1]
    shown = (1 - p) * e[0] + p * e[1]
    np.testing.assert_allclose(store.see_exposed(), exposed / shown, rtol=1e-12)
    policy = store.greedy(store.price * np.ones_like(shown))
    dearest = int(store.price.argmax())
    value = store.policy_value(policy)
    gain = store.uplift()[:, dearest].mean()
    np.testing.assert_allclose(value.increment, gain, rtol=1e-12)
    np.testing.assert_allclose(value.revenue, gain * store.price[dearest], rtol=1e-12)
    np.testing.assert_allclose(value.slot_rate, store.do(1)[:, dearest].mean(), rtol=1e-12)
    np.testing.assert_allclose(value.purchases, store.do(0).sum(axis=1).mean() + gain, rtol=1e-12)


def test_histories_follow_the_chain_of_needs() -> None:
    store = build_store(replace(SMALL, n_people=4999), SEED)
    real = store.history > 0
    assert (np.diff(real.astype(int), axis=1) >= 0).all()  # padding on the left
    length = real.sum(axis=1)
    assert length.min() == 5
    assert length.max() == SMALL.length
    assert abs(store.bought[real].mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / real.sum())
    assert not store.bought[~real].any()
    need = np.exp(SMALL.a_taste * store.taste)
    need /= need.sum(axis=1, keepdims=True)
    hot = SMALL.stay + (1 - SMALL.stay) * (need**2).sum(axis=1).mean()
    share = (store.mechanisms().hot >= 0).mean()
    assert abs(share - hot) < 4 * np.sqrt(hot * (1 - hot) / 4999)
    np.testing.assert_allclose(store.taste.sum(axis=1), 0, atol=1e-12)
    # inside a category an item is drawn by exp(popularity)
    inside = store.category == 2
    counts = np.bincount(store.history[real] - 1, minlength=SMALL.n_items)[inside]
    weight = np.exp(store.popularity[inside])
    expected = counts.sum() * weight / weight.sum()
    assert (np.abs(counts - expected) < 6 * np.sqrt(expected)).all()


def test_the_default_store_looks_as_designed() -> None:
    organic, shown, uplift, hot, rate = [], [], [], [], []
    for seed in range(3):
        store = build_store(StoreConfig(n_people=2000), seed)
        organic.append(store.do(0).sum(axis=1).mean())
        shown.append(store.do(1).mean())
        uplift.append(store.uplift().mean())
        hot.append((store.mechanisms().hot >= 0).mean())
        rate.append(store.policy_value(store.logging_policy()).slot_rate)
    for found, designed, within in (
        (organic, 2.02, 0.25),
        (shown, 0.066, 0.008),
        (uplift, 0.051, 0.006),
        (hot, 0.59, 0.03),
        (rate, 0.109, 0.015),
    ):
        assert abs(np.mean(found) - designed) < within


def test_the_log_has_the_columns_of_a_shop_and_nothing_hidden(store: Store) -> None:
    drawn = store.log(visits=3)
    log = drawn.to_log()
    assert log.n_people == SMALL.n_people
    assert log.n_items == SMALL.n_items
    names = {
        name for table in (log.events, log.impressions, log.purchases, log.items) for name in table
    }
    assert not names & {"z", "intent", "taste", "theta", "lift", "campaign", "camp", "mu"}
    merged = log.impressions.merge(
        log.purchases[["person", "visit", "item"]], how="left", indicator=True
    )
    np.testing.assert_array_equal(merged["_merge"] == "both", merged["reward"] == 1)
    assert len(log.impressions) == 3 * SMALL.n_people
    assert drawn.n_visits == 3
    lengths = log.events.groupby("person").size().to_numpy()
    np.testing.assert_array_equal(lengths, (store.history > 0).sum(axis=1))
    newest = log.events.groupby("person")["item"].last().to_numpy()
    np.testing.assert_array_equal(newest, store.history[:, -1])
    assert log.events["time"].max() < log.impressions["time"].min()
    assert (
        log.impressions["time"].max()
        < store.log(stream="heldout").to_log().impressions["time"].min()
    )
    assert log.items["name"].is_unique


def test_effects_of_events_by_rebuilding_the_history_by_hand(store: Store) -> None:
    effect, u, place = store.history_effect(), 4, SMALL.length - 1
    shorter = replace(
        store,
        history=np.insert(np.delete(store.history, place, axis=1), 0, 0, axis=1),
        bought=np.insert(np.delete(store.bought, place, axis=1), 0, False, axis=1),
    )
    np.testing.assert_allclose(
        effect[u, place], shorter.do(1)[u] - store.do(1)[u], rtol=1e-12, atol=1e-15
    )


def test_a_catalogue_of_ten_thousand_has_names_of_its_own() -> None:
    names = build_store(replace(SMALL, n_people=2, n_items=9973), SEED).items["name"]
    assert names.is_unique


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_people": 0}, "n_people must be at least 1; got 0"),
        ({"length": 4}, "length must be at least 5; got 4"),
        ({"n_categories": 9}, "n_categories must be at most 8; got 9"),
        ({"n_items": 5}, "n_items must be above n_categories, 5, .* got 5"),
        ({"eps": -0.1}, "eps must be from 0 to 1; got -0.1"),
        ({"pz": float("nan")}, "pz must be finite; got nan"),
        ({"l_min": 0.0}, "l_min must be above 0"),
        ({"sharp": -1.0}, "sharp must be at least 0; got -1.0"),
    ],
)
def test_the_config_refuses(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(SMALL, **change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_people": 2.5}, "n_people must be of type int; got 2.5"),
        ({"n_items": True}, "n_items must be of type int; got True"),
        ({"sharp": "1"}, "sharp must be of type float; got '1'"),
        ({"hidden": 1}, "hidden must be of type bool; got 1"),
    ],
)
def test_the_config_refuses_a_value_of_another_kind(change: dict, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        replace(SMALL, **change)


def test_the_door_says_what_came_and_what_was_expected(store: Store) -> None:
    good = store.logging_policy()
    for policy, words in (
        (good[:, :5], r"policy must have shape \(499, 23\); got \(499, 5\)"),
        (good * 1.01, "row 0 sums to 1.01"),
        (np.where(np.arange(23) == 0, good - 2, good + 2 / 22), "smallest entry is -"),
        (np.full_like(good, np.nan), "row 0 sums to nan"),
    ):
        with pytest.raises(ValueError, match=words):
            store.policy_value(policy)
    with pytest.raises(ValueError, match="scores must not be NaN; row 0 is"):
        store.greedy(np.full_like(good, np.nan))
    with pytest.raises(ValueError, match="scores must have shape"):
        store.greedy(good[0])
    with pytest.raises(ValueError, match="t must be 0 or 1; got 2"):
        store.mu(2, 0)
    for arguments, words in (
        ({"visits": 0}, "visits must be from 1 to 1000; got 0"),
        ({"visits": 1001}, "visits must be from 1 to 1000; got 1001"),
        ({"stream": "people"}, "stream must be one of"),
        ({"rand": 1.5}, "rand must be from 0 to 1; got 1.5"),
        ({"rand": float("nan")}, "rand must be from 0 to 1; got nan"),
    ):
        with pytest.raises(ValueError, match=words):
            store.log(**arguments)
    with pytest.raises(TypeError, match="visits must be of type int; got 2.5"):
        store.log(visits=2.5)
    with pytest.raises(TypeError, match="seed must be of type int; got 0.5"):
        build_store(SMALL, 0.5)
    with pytest.raises(ValueError, match="seed must be at least 0; got -1"):
        build_store(SMALL, -1)


def test_among_equal_scores_the_lowest_id_is_shown(store: Store) -> None:
    policy = store.greedy(np.zeros((SMALL.n_people, SMALL.n_items)))
    np.testing.assert_array_equal(policy[:, 0], 1)
