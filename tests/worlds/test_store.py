"""The store's invariants, a second implementation of its equations, and what its door refuses."""

from dataclasses import fields, replace
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recflax.worlds.store import Store, StoreConfig, build_store
from recflax.worlds.store_text import CATEGORY_NAMES
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
        total = np.zeros(SMALL.n_items)
        draws = 20
        for _ in range(draws):
            z = (rng.random(SMALL.n_people) < SMALL.pz).astype(int)
            bought = rng.random((SMALL.n_people, SMALL.n_items)) < mu[t, z, people]
            total += bought.sum(axis=0)
        # visits of a person are independent, and so are people: these are exact variances
        exact = store.do(t)
        spread = np.sqrt(draws * (exact * (1 - exact)).sum(axis=0))
        assert (np.abs(total - draws * exact.sum(axis=0)) < 4 * spread).all()


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
    log, visits = store.log(visits=64), 64
    assert abs(log.randomised.mean() - rand) < 0.02
    see, shown = store.see(), store.logging_policy()
    exposed = shown * store.see_exposed()
    for counts, chance in (
        (log.counts(), see),
        (log.shown_counts(), shown),
        (log.shown_counts(log.bought_shown), exposed),
    ):
        # for these people: only the visits are random, and a visit's variance is exact
        spread = np.sqrt(visits * (chance * (1 - chance)).sum(axis=0))
        expected = visits * chance.sum(axis=0)
        assert (np.abs(counts.sum(axis=0) - expected) < 5 * spread).all()
    if not rand:  # sharp enough to tell the log from one whose intent moved display alone
        campaign = store.campaign
        spread = np.sqrt(visits * (exposed * (1 - exposed))[:, campaign].sum())
        unconfounded = visits * (shown * store.do(1))[:, campaign].sum()
        found = log.shown_counts(log.bought_shown)[:, campaign].sum()
        assert found > unconfounded + 5 * spread


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
            row = logs[1].person, logs[1].shown - 1
            marginal = build_store(SMALL, SEED).logging_policy()
            np.testing.assert_allclose(other, marginal[row], rtol=1e-12)
        elif field.name == "items":
            assert one.equals(other)
        else:
            np.testing.assert_array_equal(one, other)


def test_12_two_builds_with_one_seed_are_identical_and_streams_are_separate() -> None:
    one, two, other = (build_store(SMALL, seed) for seed in (SEED, SEED, SEED + 1))
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))
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
    lengths = np.bincount(length)[5:]  # uniform from 5 to 11
    assert (np.abs(lengths - 4999 / 7) < 5 * np.sqrt(4999 / 7 * 6 / 7)).all()
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
    designed = {
        "organic purchases a visit": (2.02, 0.005),  # and half of the last digit
        "mean mu_1": (0.066, 0.0005),
        "mean uplift": (0.051, 0.0005),
        "share hot": (0.59, 0.005),
        "slot rate": (0.109, 0.0005),
    }
    rows = []
    for seed in range(10):
        store = build_store(StoreConfig(n_people=997), seed)
        rows.append(
            [
                store.do(0).sum(axis=1).mean(),
                store.do(1).mean(),
                store.uplift().mean(),
                (store.mechanisms().hot >= 0).mean(),
                store.policy_value(store.logging_policy()).slot_rate,
            ]
        )
    for (name, (value, digit)), found in zip(designed.items(), np.transpose(rows), strict=True):
        # the designed number is itself a mean over about ten stores
        within = 4 * found.std(ddof=1) * np.sqrt(1 / len(found) + 1 / 10) + digit
        assert abs(found.mean() - value) < within, name
        assert within < 0.1 * value, name


@given(
    seed=st.integers(0, 2**31),
    changed=st.fixed_dictionaries(
        {
            "n_items": st.integers(8, 31),
            "n_categories": st.integers(2, 7),
            "length": st.integers(5, 13),
            "stay": st.floats(0, 1),
            "l_pop": st.floats(-2, 2),
            "pz": st.floats(0, 1),
            "g_y": st.floats(-3, 3),
            "g_e": st.floats(-3, 3),
            "eps": st.floats(0.01, 1),
            "sharp": st.floats(0, 3),
            "rand": st.floats(0, 1),
            "no_overlap": st.booleans(),
            "hidden": st.booleans(),
        }
    ),
)
def test_any_store_of_any_setting_keeps_the_laws(seed: int, changed: dict) -> None:
    store = build_store(StoreConfig(n_people=13, **changed), seed)
    kept = store.retrieved()
    for z in (0, 1):
        np.testing.assert_allclose(store.display(z).sum(axis=1), 1, rtol=1e-12)
        assert store.display(z)[:, kept].min() > 0
        assert not store.display(z)[:, ~kept].any()
    for truth in (store.do(0), store.do(1), store.see()):
        assert truth.min() > 0
        assert truth.max() < 1
    assert store.uplift().min() > 0
    shown = store.logging_policy()
    np.testing.assert_allclose(shown.sum(axis=1), 1, rtol=1e-12)
    # bought at the visit = bought in the slot + bought elsewhere
    exposed = np.nan_to_num(store.see_exposed())
    assert (shown * exposed <= store.see() + 1e-15).all()
    best = store.policy_value(store.greedy(store.uplift())).increment
    for score in (store.do(1), store.see(), store.do(0)):
        assert store.policy_value(store.greedy(score)).increment <= best + 1e-15
    log = store.log(visits=3)
    assert ((log.shown >= 1) & (log.shown <= changed["n_items"])).all()
    assert ((log.propensity > 0) & (log.propensity <= 1)).all()
    assert (kept[log.shown - 1] | log.randomised).all()
    log.to_log()  # its own door checks the tables


def test_the_counts_of_a_log_are_its_rows_one_by_one(store: Store) -> None:
    log = store.log(visits=3)
    bought, shown, weighted = (np.zeros((SMALL.n_people, SMALL.n_items)) for _ in range(3))
    for row, item in zip(log.purchase_row, log.purchase_item, strict=True):
        bought[log.person[row], item - 1] += 1
    for person, item, chance in zip(log.person, log.shown, log.propensity, strict=True):
        shown[person, item - 1] += 1
        weighted[person, item - 1] += 1 / chance
    np.testing.assert_array_equal(log.counts(), bought)
    np.testing.assert_array_equal(log.shown_counts(), shown)
    np.testing.assert_allclose(log.shown_counts(1 / log.propensity), weighted, rtol=1e-12)
    pairs = set(zip(log.purchase_row.tolist(), log.purchase_item.tolist(), strict=True))
    assert len(pairs) == len(log.purchase_row)
    found = [(row, item) in pairs for row, item in enumerate(log.shown.tolist())]
    np.testing.assert_array_equal(log.bought_shown, found)


def test_a_share_of_randomised_visits_may_be_asked_for(store: Store) -> None:
    for stream, rand in (("log", 0.3), ("slice", 0.05)):
        log = store.log(visits=8, stream=stream, rand=rand)
        n = len(log.person)
        assert abs(log.randomised.mean() - rand) < 5 * np.sqrt(rand * (1 - rand) / n)
        np.testing.assert_array_equal(log.propensity[log.randomised], 1 / SMALL.n_items)
        row = log.person, log.shown - 1
        chances = np.stack([store.display(z)[row] for z in (0, 1)])
        rest = ~log.randomised
        assert (np.isclose(chances, log.propensity, rtol=1e-12).any(axis=0))[rest].all()


def test_a_person_can_read_the_shelves() -> None:
    items = build_store(StoreConfig(n_people=2), SEED).items
    assert items["category"].value_counts().tolist() == [15] * 8
    for row in items.itertuples():
        assert row.name.endswith(f" {CATEGORY_NAMES[row.category]}")
        assert row.text.startswith(f"{row.name}. A ")
    by_tier = {
        word: items[items["text"].str.contains(word)]
        for word in ("small budget", "middle price", "luxury")
    }
    assert [len(rows) for rows in by_tier.values()] == [40, 40, 40]
    small, middle, dear = (rows["price"] for rows in by_tier.values())
    assert small.max() < middle.min()
    assert middle.max() < dear.min()


def test_the_log_has_the_columns_of_a_shop_and_nothing_hidden(store: Store) -> None:
    drawn = store.log(visits=3)
    log = drawn.to_log()
    assert log.n_people == SMALL.n_people
    assert log.n_items == SMALL.n_items
    names = {
        name for table in (log.events, log.impressions, log.purchases, log.items) for name in table
    }
    assert not names & {"z", "intent", "taste", "theta", "lift", "campaign", "camp", "mu"}
    keys = ["person", "visit", "time", "item"]
    merged = log.impressions.merge(log.purchases[keys], how="left", indicator=True)
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
    paid = log.items["price"].to_numpy()[log.purchases["item"] - 1]
    np.testing.assert_array_equal(log.purchases["price"], paid)


def test_effects_of_events_by_rebuilding_the_history_by_hand(store: Store) -> None:
    effect = store.history_effect()
    for place in (SMALL.length - 1, SMALL.length - 2, SMALL.length - 5):
        shorter = replace(
            store,
            history=np.insert(np.delete(store.history, place, axis=1), 0, 0, axis=1),
            bought=np.insert(np.delete(store.bought, place, axis=1), 0, False, axis=1),
        )
        change = shorter.do(1) - store.do(1)
        assert np.abs(change).max() > 0.01
        np.testing.assert_allclose(effect[:, place], change, rtol=1e-12, atol=1e-15)


def test_products_are_drawn_as_designed() -> None:
    config = replace(SMALL, n_people=2, n_items=2003, n_categories=7)
    store = build_store(config, SEED)
    assert store.campaign.sum() == round(0.2 * 2003)
    ranks = np.concatenate([np.arange(287)] + [np.arange(286)] * 6)  # 2003 = 287 + 6 x 286
    raw = -np.log1p(ranks)
    designed = (raw - raw.mean()) / raw.std()
    np.testing.assert_allclose(np.sort(store.popularity), np.sort(designed), rtol=1e-9)
    assert 0.4 < (np.diff(store.popularity[store.category == 3]) < 0).mean() < 0.6  # in any order
    noise = store.lift - config.l0 - config.l_pop * store.popularity
    assert store.lift.min() >= config.l_min
    free = store.popularity < 0  # far from the floor
    assert abs(noise[free].mean()) < 5 * 0.5 / np.sqrt(free.sum())
    assert abs(noise[free].std() - 0.5) < 5 * 0.5 / np.sqrt(2 * free.sum())
    shelves = []
    for seed in range(20):
        drawn = build_store(config, seed)
        price = np.log(drawn.price)
        means = np.array([price[drawn.category == c].mean() for c in range(7)])
        within = (price - means[drawn.category]).std()
        assert abs(within - 0.3) < 5 * 0.3 / np.sqrt(2 * 2003)
        shelves.append(means)
    between = np.concatenate(shelves)  # 140 categories, of a spread of .5 around 2.5
    assert abs(between.mean() - 2.5) < 4 * 0.5 / np.sqrt(140)
    assert abs(between.std() - 0.5) < 4 * 0.5 / np.sqrt(2 * 140)


def test_the_basket_betrays_the_intent_behind_a_display(store: Store) -> None:
    # one intent moves a visit's display and its purchases: the rest of the basket is larger where
    # a campaign product was shown, by as much as the equations say
    visits = 64
    log = store.log(visits=visits)
    size = np.bincount(log.purchase_row, minlength=len(log.person)) - log.bought_shown
    pushed = store.campaign[log.shown - 1]
    chance = total = 0.0
    for z, p in store.intents():
        display, organic = store.display(z), store.mu(0, z)
        rest = organic.sum(axis=1, keepdims=True) - organic
        chance += p * display[:, store.campaign].sum()
        total += p * (display * rest)[:, store.campaign].sum()
    found = size[pushed]
    error = found.std(ddof=1) / np.sqrt(len(found))
    assert abs(found.mean() - total / chance) < 4 * error
    assert found.mean() - size[~pushed].mean() > 10 * error


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
    with pytest.raises(TypeError, match=r"visits must be of type int; got 2\.5"):
        store.log(visits=2.5)
    with pytest.raises(TypeError, match=r"seed must be of type int; got 0\.5"):
        build_store(SMALL, 0.5)
    with pytest.raises(ValueError, match="seed must be at least 0; got -1"):
        build_store(SMALL, -1)


def test_among_equal_scores_the_lowest_id_is_shown(store: Store) -> None:
    policy = store.greedy(np.zeros((SMALL.n_people, SMALL.n_items)))
    np.testing.assert_array_equal(policy[:, 0], 1)
