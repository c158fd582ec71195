"""Baselines and factorisation against plain loops over people, and at the door."""

import jax
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from recflax.baselines import SVD, BuyItAgain, ItemCF, Popularity, UserCF
from recflax.data.logs import Log, tiny_log
from recflax.factorisation import FactorLoss, MatrixFactorisation
from recflax.optimiser import TrainConfig

MODELS = {
    "popularity": Popularity(),
    "again": BuyItAgain(),
    "users": UserCF(neighbours=3),
    "items": ItemCF(),
    "svd": SVD(rank=2),
    "factors": MatrixFactorisation(width=3, train=TrainConfig(epochs=3, batch_size=1)),
}
U, M = 13, 11


def make_log(seed=0, visits=5, per_visit=3):
    """A log of U people and M items; the last person has no event and no purchase."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(U - 1), visits * per_visit)
    visit = np.tile(np.repeat(np.arange(visits), per_visit), U - 1)
    item = 1 + (rng.random(len(person)) ** 2 * M).astype(int)
    bought = rng.random(len(person)) < 0.6
    events = pd.DataFrame(
        {
            "person": person,
            "place": np.tile(np.arange(visits * per_visit), U - 1),
            "time": visit,
            "item": item,
            "bought": bought,
        }
    )
    purchases = events[bought].drop(columns=["place", "bought"])
    purchases = purchases.assign(visit=visit[bought], quantity=1, price=2.0)
    catalogue = pd.DataFrame(
        {"item": np.arange(1, M + 1), "category": 0, "price": 1.0, "name": "", "text": ""}
    )
    return Log(events=events, purchases=purchases, items=catalogue, person_labels=np.arange(U))


@pytest.fixture(scope="module")
def log():
    return make_log()


@pytest.fixture(scope="module")
def tables(log):
    """History and basket counts, (U, M), by plain loops."""
    history, counts = np.zeros((U, M)), np.zeros((U, M))
    for person, item in zip(log.events["person"], log.events["item"], strict=True):
        history[person, item - 1] = 1
    rows = zip(*(log.purchases[name] for name in ("person", "visit", "item")), strict=True)
    for person, _, item in set(rows):
        counts[person, item - 1] += 1
    return history, counts


def test_popularity_counts_baskets_not_lines(log, tables):
    assert log.purchases.duplicated(["person", "visit", "item"]).any()
    scores = Popularity().fit(log).scores([2, 12])
    np.testing.assert_array_equal(scores, np.tile(tables[1].sum(axis=0), (2, 1)))


def test_buy_it_again_ranks_by_own_baskets_then_by_buyers(log, tables):
    _, counts = tables
    scores = BuyItAgain().fit(log).scores(np.arange(U))
    buyers = (counts > 0).sum(axis=0)
    np.testing.assert_allclose(scores, counts + 0.5 * buyers / buyers.max(), rtol=1e-6)
    for person in range(U):
        order = sorted(range(M), key=lambda j: (-counts[person, j], -buyers[j]))
        ranked = scores[person, order]
        assert (np.diff(ranked) <= 0).all()


def test_user_cf_is_a_sum_over_the_nearest(log, tables):
    history, counts = tables
    wanted = np.zeros((U, M))
    for u in range(U):
        near = []
        for v in range(U):
            length = np.sqrt(history[u].sum() * history[v].sum())
            if v != u and length > 0:
                near.append((history[u] @ history[v] / length, v))
        near.sort(reverse=True)
        bar = near[2][0] if len(near) > 2 else 0.0
        for similarity, v in near:
            if similarity >= bar:
                wanted[u] += similarity * (counts[v] > 0)
    np.testing.assert_allclose(UserCF(3).fit(log).scores(np.arange(U)), wanted, rtol=1e-5)
    everybody = UserCF(1000).fit(log).scores([1])
    assert (everybody >= UserCF(3).fit(log).scores([1]) - 1e-6).all()


@pytest.mark.parametrize("similarity", ["cosine", "conditional"])
@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("own_items", [False, True])
@pytest.mark.parametrize("history", ["events", "purchases"])
def test_item_cf_is_a_sum_over_the_history(log, tables, similarity, counts, own_items, history):
    table = tables[1] if counts else np.minimum(tables[1], 1)
    seen = tables[0] if history == "events" else np.minimum(tables[1], 1)
    wanted = np.zeros((U, M))
    for u, i, j in np.ndindex(U, M, M):
        if seen[u, i] and (own_items or i != j):
            scale = table[:, i].sum()
            if similarity == "cosine":
                scale = np.sqrt((table[:, i] ** 2).sum() * (table[:, j] ** 2).sum())
            wanted[u, j] += table[:, i] @ table[:, j] / scale if scale else 0.0
    model = ItemCF(similarity, counts=counts, own_items=own_items, history=history)
    np.testing.assert_allclose(model.fit(log).scores(np.arange(U)), wanted, rtol=1e-5, atol=1e-6)


def test_svd_is_the_projection_on_the_first_directions(log, tables):
    bought = np.minimum(tables[1], 1)
    _, _, directions = np.linalg.svd(bought)
    wanted = bought @ directions[:2].T @ directions[:2]
    np.testing.assert_allclose(SVD(2).fit(log).scores(np.arange(U)), wanted, atol=1e-5)


def test_factor_loss_is_the_binomial_likelihood(tables):
    rng = np.random.default_rng(1)
    _, counts = tables
    visits = counts.max(axis=1, keepdims=True) + 2
    params = {
        "people": rng.normal(size=(1, U, 2)),
        "items": rng.normal(size=(M, 2)),
        "bias": rng.normal(size=M),
    }
    chance = expit(params["people"][0] @ params["items"].T + params["bias"])
    likelihood = counts * np.log(chance) + (visits - counts) * np.log(1 - chance)
    penalty = 0.7 / 2 * ((params["people"] ** 2).sum() + (params["items"] ** 2).sum())
    batch = (counts[None, None], visits[None, None])
    loss = FactorLoss(0.7)(params, batch, jax.random.key(0))
    assert float(loss) == pytest.approx((penalty - likelihood.sum()) / visits.sum(), rel=1e-5)


def test_under_a_huge_penalty_the_bias_alone_gives_each_items_share(tables, log):
    train = TrainConfig(epochs=150, batch_size=1, learning_rate=0.05, weight_decay=0.0)
    model = MatrixFactorisation(width=1, penalty=1e4, train=train)
    scores = model.fit(log, key=jax.random.key(2)).scores(np.arange(U))
    visits = log.purchases[["person", "visit"]].drop_duplicates()
    share = tables[1].sum(axis=0) / len(visits)
    np.testing.assert_allclose(expit(scores[0]), share, atol=2e-3)


def test_matrix_factorisation_finds_two_groups_of_taste():
    groups = np.arange(30) % 2
    person, visit = (axis.ravel() for axis in np.indices((30, 7)))
    rng = np.random.default_rng(3)
    item = 1 + rng.integers(0, 3, 30 * 7) + 3 * groups[person]
    events = pd.DataFrame(
        {"person": person, "place": visit, "time": visit, "item": item, "bought": True}
    )
    purchases = events.drop(columns=["place", "bought"]).assign(visit=visit, quantity=1, price=1.0)
    catalogue = pd.DataFrame(
        {"item": np.arange(1, 7), "category": 0, "price": 1.0, "name": "", "text": ""}
    )
    log = Log(events=events, purchases=purchases, items=catalogue)
    model = MatrixFactorisation(width=2).fit(log, key=jax.random.key(0))
    mine = model.scores(np.arange(30)).reshape(30, 2, 3).min(axis=2)[np.arange(30), groups]
    other = model.scores(np.arange(30)).reshape(30, 2, 3).max(axis=2)[np.arange(30), 1 - groups]
    assert (mine > other).all()
    assert model.record.loss[-1] < model.record.loss[0]


def test_many_blocks_of_people_give_what_one_block_gives(log, monkeypatch):
    """13 people in 3 blocks of 5: the padding has no visits, so it changes nothing."""
    model = MODELS["factors"]
    whole = model.fit(log, key=jax.random.key(0)).scores(np.arange(U))
    monkeypatch.setattr("recflax.factorisation._PEOPLE", 5)
    parts = model.fit(log, key=jax.random.key(0)).scores(np.arange(U))
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_the_same_door(name, log, monkeypatch):
    model = MODELS[name]
    assert model.fit(log, key=jax.random.key(0)) is model
    everything = model.scores([5, 0, 12, 5])
    assert everything.shape == (4, M)
    assert everything.dtype == np.float32
    assert np.isfinite(everything).all()
    np.testing.assert_array_equal(everything[0], everything[3])
    candidates = np.array([[3, 3], [1, 11], [2, 9], [7, 1]])
    some = model.scores([5, 0, 12, 5], candidates)
    np.testing.assert_array_equal(some, np.take_along_axis(everything, candidates - 1, axis=1))
    assert model.scores(np.empty(0, dtype=int)).shape == (0, M)
    again = model.fit(log, key=jax.random.key(0)).scores([5, 0, 12, 5])
    np.testing.assert_array_equal(again, everything)
    monkeypatch.setattr("recflax.interface._BLOCK", 2 * M)
    np.testing.assert_allclose(model.scores([5, 0, 12, 5]), everything, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["users", "items", "svd"])
def test_someone_without_events_gets_zeros(name, log):
    assert not MODELS[name].fit(log).scores([12]).any()


def test_someone_without_events_gets_popularity_from_the_rest(log):
    buyers = BuyItAgain().fit(log).scores([12])[0]
    assert buyers.max() == 0.5
    model = MODELS["factors"].fit(log, key=jax.random.key(0))
    popularity = Popularity().fit(log).scores([12])[0]
    assert np.corrcoef(model.scores([12])[0], popularity)[0, 1] > 0.9


@pytest.mark.parametrize("name", MODELS)
def test_ids_are_checked_at_the_door(name, log):
    model = MODELS[name].fit(log, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"people holds the id 13 at \(1,\); expected 0 to 12"):
        model.scores([0, 13])
    with pytest.raises(ValueError, match=r"people holds the id -1 at \(0,\)"):
        model.scores([-1])
    with pytest.raises(TypeError, match="people must hold integers, not float64"):
        model.scores([0.0])
    with pytest.raises(ValueError, match="people must have 1 axes"):
        model.scores([[0]])
    with pytest.raises(ValueError, match=r"candidates holds the id 12 at \(0, 1\); expected 1 to"):
        model.scores([0], [[1, 12]])
    with pytest.raises(ValueError, match=r"candidates holds the id 0 at \(0, 0\)"):
        model.scores([0], [[0]])
    with pytest.raises(ValueError, match="candidates must have 2 rows like people; got 1"):
        model.scores([0, 1], [[1]])


def test_arguments_and_logs_are_checked(log):
    with pytest.raises(RuntimeError, match="fit ItemCF before asking it for scores"):
        ItemCF().scores([0])
    for make, message in (
        (lambda: UserCF(0), "neighbours must be at least 1; got 0"),
        (lambda: SVD(0), "rank must be at least 1; got 0"),
        (lambda: ItemCF("jaccard"), "similarity must be 'cosine' or 'conditional'; got 'jaccard'"),
        (lambda: ItemCF(history="views"), "history must be 'events' or 'purchases'; got 'views'"),
        (lambda: MatrixFactorisation(width=0), "width must be at least 1; got 0"),
        (lambda: MatrixFactorisation(penalty=-1), "penalty must be at least 0; got -1"),
        (lambda: SVD(2).fit(tiny_log()), "rank must be below 2, people or items; got 2"),
        (lambda: MatrixFactorisation().fit(log), "needs a key"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    empty = Log(events=log.events, purchases=log.purchases[:0], items=log.items)
    with pytest.raises(ValueError, match=r"log\.purchases is empty"):
        Popularity().fit(empty)


def test_visits_are_those_of_the_impressions_where_there_are_any():
    log = tiny_log()
    impressions = log.purchases[["person", "visit", "time", "item"]].assign(
        reward=1.0, propensity=0.5, randomised=False
    )
    with_all = Log(log.events, log.purchases, log.items, impressions)
    model = MatrixFactorisation(width=2, train=TrainConfig(epochs=1, batch_size=1))
    seen = model.fit(with_all, key=jax.random.key(0)).scores([0])
    np.testing.assert_array_equal(seen, model.fit(log, key=jax.random.key(0)).scores([0]))
    part = Log(log.events, log.purchases, log.items, impressions[1:])
    with pytest.raises(ValueError, match="person 0 bought an item in more baskets"):
        model.fit(part, key=jax.random.key(0))
