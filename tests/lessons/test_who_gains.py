"""Who gains: groups by plain loops, exact means, and what is said when something is broken."""

from collections.abc import Callable
from functools import cache, partial

import jax
import numpy as np
import pytest
from flax import nnx

from recflax.lessons import who_gains
from recflax.lessons.cells import ARMS, count, log_cells, network_config
from recflax.lessons.statements import by_name
from recflax.lessons.trainings import clipped_cells
from recflax.recommender import Recommender
from recflax.worlds.history_oracle import given_history
from recflax.worlds.store import Store, StoreConfig, build_store

SEEDS = (3, 5, 7)
SIZE = 211


@pytest.fixture(scope="module")
def store():
    return build_store(StoreConfig(n_people=101, n_items=23, n_categories=3), seed=5)


few_draws = partial(given_history, draws=100)


def of_a_perfect_learner(network: str, store: Store) -> np.ndarray:
    """What networks would say that know all that a history tells, of the log or of the effect."""
    if network == "log":
        return store.see()
    return few_draws(store, "uplift", seed=11).value


def learn_perfectly(patch: pytest.MonkeyPatch) -> None:
    """Put perfect learners in the place of networks, so that a row trains nothing."""
    patch.setattr(who_gains, "networks", lambda store, key: {"log": "log", "causal": "causal"})
    patch.setattr(who_gains, "ranked_by", of_a_perfect_learner)
    patch.setattr(who_gains, "given_history", few_draws)


# ------------------------------------------------------------------------------------- groups


def test_groups_by_length_and_need_are_those_of_a_loop(store):
    length, need = (who_gains.groups(store, by) for by in ("length", "need"))
    for u in range(101):
        events = [i for i in store.history[u] if i > 0]
        assert length[u] == (0 if len(events) <= 8 else 1 if len(events) <= 12 else 2)
        last, before = (store.category[i - 1] for i in (events[-1], events[-2]))
        assert need[u] == (last == before)
    assert set(length) == {0, 1, 2}
    assert set(need) == {0, 1}


def test_the_thirds_of_taste_are_by_distance_from_the_mean(store):
    third = who_gains.groups(store, "taste")
    assert np.bincount(third).tolist() == [34, 33, 34]
    distance = np.sqrt((store.taste**2).sum(axis=1))
    for low, high in ((0, 1), (1, 2)):
        assert distance[third == low].max() < distance[third == high].min()


def test_an_unknown_grouping_is_refused(store):
    with pytest.raises(ValueError, match="grouping must be one of"):
        who_gains.groups(store, "age")


def test_what_groups_gain_adds_up_to_what_the_store_says(store):
    rng = np.random.default_rng(0)
    policy = rng.dirichlet(np.ones(23), size=101)
    each = who_gains.of_each(store, policy)
    expected = store.policy_value(policy).increment
    assert each.mean() == pytest.approx(expected)
    for grouping, names in who_gains.GROUPINGS.items():
        found = who_gains.gained(store, policy, grouping)
        assert len(found.mean) == len(names)
        assert found.size @ found.mean / 101 == pytest.approx(expected)
        member = who_gains.groups(store, grouping) == 1
        assert found.mean[1] == pytest.approx(each[member].mean())


# ------------------------------------------------------------------------------------ newcomers


def test_newcomers_have_their_taste_and_nothing_else(store):
    new = who_gains.newcomers(store)
    np.testing.assert_array_equal(new.taste, store.taste)
    found = new.mechanisms()
    assert not found.satisfied.any()
    assert (found.hot == -1).all()
    assert (found.complement == -1).all()
    plain = store.config.o0 + store.config.o_pop * store.popularity
    plain = plain + store.config.b_t * store.taste[:, store.category]
    np.testing.assert_allclose(new.log_odds(), plain)


def test_of_newcomers_the_history_oracle_knows_one_product_only(store):
    """With nothing to go by every person gets the same expectation, that of the prior."""
    known = given_history(who_gains.newcomers(store), "uplift", draws=300, seed=0).value
    np.testing.assert_allclose(known, np.broadcast_to(known[0], known.shape), rtol=1e-12)


def test_one_product_for_all_is_the_best_on_average(store):
    scores = store.uplift()
    policy = who_gains.for_all(store, scores)
    assert (policy == policy[0]).all()
    value = store.policy_value(policy).increment
    assert value == max(
        store.policy_value(np.broadcast_to(one, (101, 23))).increment for one in np.eye(23)
    )
    few = scores[:7]  # fewer people may be asked than are served
    assert who_gains.for_all(store, few)[100].argmax() == few.mean(axis=0).argmax()


def test_networks_answer_everybody_and_newcomers_all_alike(store, monkeypatch):
    given = []

    def untrained(store, cells, *, key):
        """A small network as it was drawn: training is tested where it is done."""
        given.append(cells)
        arms = ARMS[: cells[0].shape[1]]
        config = network_config(store, arms=arms, width=4, blocks=0)
        return Recommender(config, rngs=nnx.Rngs(params=key))

    monkeypatch.setattr(who_gains, "fit_cells", untrained)
    fitted = who_gains.networks(store, jax.random.key(0))
    log = store.log()
    for found, wanted in zip(given, (log_cells(count(log)), clipped_cells(log)), strict=True):
        np.testing.assert_array_equal(found, wanted)
    new, found = who_gains.new_policies(store, fitted)
    assert set(found) == set(who_gains.NEW)
    for name in ("log", "causal"):
        scores = who_gains.ranked_by(fitted[name], new)
        np.testing.assert_allclose(scores, np.broadcast_to(scores[0], scores.shape), atol=1e-6)
        known = who_gains.ranked_by(fitted[name], store)
        assert np.ptp(known, axis=0).max() > 1e-4  # with histories they differ
    assert set(who_gains.policies(store, fitted, 0)) == set(who_gains.POLICIES)


# -------------------------------------------------------------------------------------- the row


def test_a_row_is_made_of_exact_means_in_the_right_order(monkeypatch):
    learn_perfectly(monkeypatch)
    row = who_gains.run(3, SIZE)
    store = build_store(StoreConfig(n_people=SIZE), 3)
    assert (row["seed"], row["people"]) == (3, SIZE)
    assert row["taste"] == store.policy_value(store.greedy(store.uplift())).increment
    assert row["random"] == pytest.approx(store.uplift().mean())
    assert row["taste"] >= row["history"] >= row["one"]
    assert row["new_taste"] >= row["new_best"] >= max(row["new_causal"], row["new_average"])
    assert row["new_best"] > row["new_random"]
    size = np.bincount(who_gains.groups(store, "length"))
    means = [row[f"log_length_{g}"] for g in range(3)]
    assert size @ means / SIZE == pytest.approx(row["log"])
    assert who_gains.run(3, SIZE) == row
    wanted = (
        {"seed", "people"} | set(who_gains.POLICIES) | {f"new_{name}" for name in who_gains.NEW}
    )
    groups = [f"{by}_{g}" for by, names in who_gains.GROUPINGS.items() for g in range(len(names))]
    wanted |= {f"{name}_{group}" for name in who_gains.POLICIES for group in groups}
    assert set(row) == wanted


def test_the_least_gain_is_that_of_the_group_where_it_is_least():
    names = [f"{by}_{g}" for by, of in who_gains.GROUPINGS.items() for g in range(len(of))]
    row = {f"causal_{name}": 0.5 + k for k, name in enumerate(names)}
    row |= {f"log_{name}": 0.0 for name in names} | {"log_taste_1": 4.375}
    assert row["causal_taste_1"] == 4.5
    np.testing.assert_allclose(who_gains.least_gain([row, row], "causal", "log"), 0.125)


# ------------------------------------------------------- what is broken, and which claim says so


def good() -> dict[str, float]:
    """A row as the lesson found them."""
    row = {"causal": 0.2, "one": 0.14, "new_random": 0.04, "new_causal": 0.08}
    row |= {"new_average": 0.1, "new_best": 0.12}
    levels = {
        "log": (0.03, 0.0),
        "causal": (0.2, 0.06),
        "one": (0.14, 0.02),
        "history": (0.26, 0.1),
    }
    for name, (middle, spread) in levels.items():
        for grouping, names in who_gains.GROUPINGS.items():
            wide = 0.0 if grouping == "length" else spread
            for g in range(len(names)):
                row[f"{name}_{grouping}_{g}"] = middle + wide * (g / (len(names) - 1) - 0.5)
    return row | {"causal_need_0": 0.12, "one_need_0": 0.12, "causal_need_1": 0.25}


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("everybody", {"log_taste_0": 0.3}),
        ("personal", {"one": 0.3}),
        ("length-hardly-matters", {"causal_length_2": 0.3}),
        ("length-hardly-matters-to-the-oracle", {"history_length_2": 0.3}),
        ("unusual-taste-gains-more", {"causal_taste_2": 0.1}),
        ("need-gains-more", {"causal_need_1": 0.1}),
        ("personal-with-a-need", {"one_need_1": 0.3}),
        ("not-personal-without", {"one_need_0": 0.02}),
        ("room-without-a-need", {"history_need_0": 0.12}),
        ("new-above-random", {"new_causal": 0.03}),
        ("new-ask-about-those-you-know", {"new_average": 0.05}),
        ("new-near-the-best", {"new_best": 0.3}),
    ],
)
def test_every_statement_holds_and_fails_when_its_number_is_another(name, broken):
    said = by_name(who_gains.claims([good(), good()]))
    assert len(said) == 12
    assert said[f"gains-{name}"].holds
    row = good() | broken
    assert not by_name(who_gains.claims([row, row]))[f"gains-{name}"].holds


@cache
def rows_with(breakage: Callable[[pytest.MonkeyPatch], None] | None) -> list[dict[str, float]]:
    """Rows made afresh by perfect learners, with one thing broken or none."""
    with pytest.MonkeyPatch.context() as patch:
        learn_perfectly(patch)
        if breakage is not None:
            breakage(patch)
        return [who_gains.run(seed, SIZE) for seed in SEEDS]


def the_causal_network_learns_purchases(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(who_gains, "ranked_by", lambda network, store: store.see())


def everybody_gets_one_product(patch: pytest.MonkeyPatch) -> None:
    def blind(network: str, store: Store) -> np.ndarray:
        scores = of_a_perfect_learner(network, store)
        return np.broadcast_to(scores.mean(axis=0), scores.shape)

    patch.setattr(who_gains, "ranked_by", blind)


def groups_upside_down(patch: pytest.MonkeyPatch) -> None:
    honest = who_gains.groups

    def turned(store: Store, grouping: str) -> np.ndarray:
        return len(who_gains.GROUPINGS[grouping]) - 1 - honest(store, grouping)

    patch.setattr(who_gains, "groups", turned)


def newcomers_are_asked_for_the_least(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(who_gains, "ranked_by", lambda network, store: -store.uplift())


MUTATIONS = [
    ("everybody", the_causal_network_learns_purchases),
    ("personal", everybody_gets_one_product),
    ("personal-with-a-need", everybody_gets_one_product),
    ("unusual-taste-gains-more", groups_upside_down),
    ("need-gains-more", groups_upside_down),
    ("new-above-random", the_causal_network_learns_purchases),
    ("new-near-the-best", newcomers_are_asked_for_the_least),
]


@pytest.mark.parametrize(
    ("name", "breakage"), MUTATIONS, ids=[f"{n}-{b.__name__}" for n, b in MUTATIONS]
)
def test_what_is_claimed_holds_and_does_not_survive_its_breakage(name, breakage):
    for broken in (None, breakage):
        said = by_name(who_gains.claims(rows_with(broken)))
        assert said[f"gains-{name}"].holds == (broken is None)
