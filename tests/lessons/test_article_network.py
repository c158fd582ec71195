"""The lessons on the article's network: what is asked, what is measured, what claims refuse."""

from collections.abc import Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from recflax.article import FAULTS, ArticleNetwork
from recflax.article_training import TRAIN
from recflax.data.batches import make_batch
from recflax.lessons import article_full, article_network, article_retail, better_network
from recflax.lessons.statements import Statement, by_name
from recflax.recommender import Recommender
from recflax.worlds.store import StoreConfig, build_store


@pytest.fixture(scope="module")
def task() -> article_network.Task:
    return article_network.store_task(3, 211, n_items=37, length=7)


def test_the_newest_event_is_asked_and_never_learned_from(task):
    store = build_store(StoreConfig(n_people=211, n_items=37, length=9), 3)
    np.testing.assert_array_equal(task.wanted, store.history[:, -1])
    np.testing.assert_array_equal(task.train.history, store.history[:, :7])
    np.testing.assert_array_equal(task.train.target, store.history[:, 1:8])
    np.testing.assert_array_equal(task.test.history, store.history[:, 1:8])
    np.testing.assert_array_equal(task.test.target[:, -1], task.wanted)
    assert task.relevant.sum() == 211


def test_popularity_counts_what_is_learned_from(task):
    found = article_network.popularity(task)
    store = build_store(StoreConfig(n_people=211, n_items=37, length=9), 3)
    counts = [int((store.history[:, :8] == item).sum()) for item in range(1, 38)]
    np.testing.assert_array_equal(found, [counts] * 211)


def test_the_measures_are_those_of_a_loop(task):
    scores = np.random.default_rng(0).normal(size=(211, 37))
    found = article_network.ranked(scores, task)
    ranks = [1 + sum(row > row[item - 1]) for row, item in zip(scores, task.wanted, strict=True)]
    hits = [rank <= 10 for rank in ranks]
    assert found["accuracy"] == pytest.approx(np.mean([rank == 1 for rank in ranks]))
    assert found["recall"] == pytest.approx(np.mean(hits))
    assert found["f1"] == pytest.approx(np.mean(hits) * 2 / 11)
    gains = [1 / np.log2(1 + rank) if hit else 0 for rank, hit in zip(ranks, hits, strict=True)]
    assert found["ndcg"] == pytest.approx(np.mean(gains))


def test_every_fault_is_repaired_once_and_put_back_once():
    names = set(article_network.VARIANTS)
    assert {f"without_{name}" for name in FAULTS} <= names
    assert {f"with_{name}" for name in FAULTS if name != "every_place"} <= names
    base = article_network.BASE
    assert base.names == ("every_place",)
    for name, faults in article_network.VARIANTS.items():
        if name.startswith("with_"):
            assert set(faults.names) - set(base.names) == {name.removeprefix("with_")}
    assert set(article_network.PEEKS.names) - {"every_place", "no_cross_attention"} == {
        "sees_future"
    }


def peeking_prints(patch: pytest.MonkeyPatch | None = None) -> float:
    """Printed accuracy of a small network that may look ahead, trained long enough to find out."""
    small = article_network.store_task(3, 499, n_items=37, length=7)
    long = replace(TRAIN, epochs=90)
    found = article_network.measured(
        small, article_network.PEEKS, jax.random.key(0), width=32, train=long
    )
    return found["printed"]


def test_who_sees_the_future_prints_a_perfect_accuracy_until_the_mask_is_there():
    assert peeking_prints() > 0.75
    with pytest.MonkeyPatch.context() as patch:

        def masked(self: ArticleNetwork, history: jax.Array) -> jax.Array:
            real = history > 0
            length = history.shape[1]
            return jnp.tril(jnp.ones((length, length), bool)) & real[:, None] & real[..., None]

        patch.setattr(ArticleNetwork, "allowed", masked)
        jax.clear_caches()
        assert peeking_prints() < 0.5
    jax.clear_caches()


def fault_rows(**changed: float) -> list[Mapping[str, float]]:
    """Two rows that a library without a fault could have made, some of their numbers changed."""
    names = [*article_network.VARIANTS, *article_network.LONG, "popularity"]
    row = {f"{name}_{measure}": 0.1 for name in names for measure in article_network.MEASURES}
    row |= {"listing_ndcg": 0.05, "base_ndcg": 0.16, "with_logits_as_probabilities_ndcg": 0.06}
    row |= {"with_no_cross_attention_ndcg": 0.2}
    row |= {"with_counts_padding_printed": 0.32, "with_counts_padding_accuracy": 0.04}
    row |= {"peeks_printed": 0.9, "peeks_accuracy": 0.05, "honest_ndcg": 0.22}
    row |= {f"with_{name}_ndcg": 0.16 for name in ("no_positions", "wide_heads", "sees_future")}
    return [row | changed] * 2


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("listing-no-better-than-popularity", {"listing_ndcg": 0.13}),
        ("loss-repairs-the-listing", {"without_logits_as_probabilities_ndcg": 0.04}),
        ("second-attention-costs", {"with_no_cross_attention_ndcg": 0.15}),
        ("loss-of-logits-hurts", {"with_logits_as_probabilities_ndcg": 0.15}),
        ("padding-flatters", {"with_counts_padding_accuracy": 0.2}),
        ("peeking-is-nearly-perfect", {"peeks_printed": 0.2}),
        ("peeking-means-nothing", {"peeks_accuracy": 0.3}),
        ("mask-earns", {"honest_ndcg": 0.09}),
        ("repaired-beats-listing", {"base_ndcg": 0.07}),
        ("every-place-teaches", {"last_only_ndcg": 0.17}),
        ("silent-faults", {"with_no_positions_ndcg": 0.1}),
    ],
)
def test_each_claim_on_faults_is_refused_by_what_it_speaks_of(name, changed):
    assert all(statement.holds for statement in article_network.claims(fault_rows()))
    found = by_name(article_network.claims(fault_rows(**changed)))
    assert not found[f"article-{name}"].holds


def test_prefixes_are_every_place_that_holds_an_event(task):
    found = better_network.prefixes(task.train, 37)
    expected = []
    for row, target in zip(task.train.history, task.train.target, strict=True):
        for place in range(7):
            if row[place] > 0 and target[place] > 0:
                expected.append(([0] * (6 - place) + row[: place + 1].tolist(), target[place]))
    mine = [
        (row.tolist(), item) for row, item in zip(found.history, found.target[:, 0], strict=True)
    ]
    assert mine == expected


def test_the_sampled_loss_is_its_formula_and_never_draws_the_right_item():
    small = article_network.store_task(3, 5, n_items=9, length=7)
    config = better_network.network_config(small, 8)
    network = Recommender(config, rngs=nnx.Rngs(1))
    graphdef, params = nnx.split(network)
    key = jax.random.key(4)
    found = better_network.SampledLoss(graphdef)(params, small.train, key)
    logits = np.asarray(network.next_item_logits(small.train))
    drawn = np.asarray(jax.random.randint(key, small.train.target.shape, 1, 9))
    total, count = 0.0, 0
    for b in range(5):
        for place in range(7):
            right = small.train.target[b, place]
            wrong = drawn[b, place] + (drawn[b, place] >= right)
            assert 1 <= wrong <= 9
            assert wrong != right
            if small.train.history[b, place] > 0:
                total += np.log1p(np.exp(-logits[b, place, right - 1]))
                total += np.log1p(np.exp(logits[b, place, wrong - 1]))
                count += 1
    assert float(found) == pytest.approx(total / count, rel=1e-5)


def test_the_full_loss_leaves_padding_out(task):
    network = Recommender(better_network.network_config(task, 8), rngs=nnx.Rngs(1))
    other = task.train._replace(
        target=np.where(task.train.history > 0, task.train.target, 5).astype(np.int32)
    )
    first, second = (float(better_network.full_loss(network, data)) for data in (task.train, other))
    assert first == second


@pytest.mark.parametrize("name", ["block", "full", "person"])
def test_every_rung_is_measured_and_one_key_gives_one_answer(task, name):
    train = replace(better_network.TRAIN, epochs=1)
    found, again = (better_network.rung(name, task, jax.random.key(1), train) for _ in range(2))
    assert found == again
    assert set(found) == {"accuracy", "recall", "f1", "ndcg"}


def holds(statements: list[Statement], name: str) -> bool:
    return by_name(statements)[name].holds


def test_claims_on_the_ladder_are_refused_where_a_rung_adds_nothing():
    row = {"base_ndcg": 0.16, "rate_ndcg": 0.17, "block_ndcg": 0.2, "full_ndcg": 0.25}
    row |= {"person_ndcg": 0.25}
    assert all(statement.holds for statement in better_network.claims([row] * 2))
    assert not holds(better_network.claims([row | {"rate_ndcg": 0.15}] * 2), "better-rate-adds")
    faster = better_network.claims([row | {"rate_ndcg": 0.26}] * 2)
    assert not holds(faster, "better-block-adds-at-equal-loss")
    flat = better_network.claims([row | {"full_ndcg": 0.19}] * 2)
    assert not holds(flat, "better-full-loss-adds")
    assert not holds(flat, "better-cross-attention-adds-little")


def test_the_full_size_is_the_articles_and_runs_small():
    assert (article_full.ITEMS, article_full.WIDTH, article_full.HEADS) == (10_000, 512, 8)
    assert article_full.FAULTS["listing"].names == tuple(n for n in FAULTS if n != "wide_heads")
    assert (TRAIN.epochs, TRAIN.batch_size) == (10, 64)
    small = article_full.full_task(3, 71, 29)
    for name in article_full.NETWORKS:
        network, record = article_full.train_full(name, small, jax.random.key(0), width=16)
        assert len(record.loss) == 10
        assert network.scores(small.test.history).shape == (71, 29)


def test_claims_at_full_size_are_refused_where_they_do_not_hold():
    row = {"listing_ndcg": 0.01, "popularity_ndcg": 0.05, "repaired_ndcg": 0.02}
    assert all(statement.holds for statement in article_full.claims([row] * 2))
    found = article_full.claims([row | {"listing_ndcg": 0.06, "repaired_ndcg": 0.07}] * 2)
    assert not any(statement.holds for statement in found)


def test_retail_sequences_keep_the_order_and_ask_with_the_newest():
    from recflax.data.logs import tiny_log
    from recflax.lessons.next_basket import NextBasket

    log = tiny_log()
    shop = NextBasket(log, np.array([1]), np.zeros((1, 3), bool), np.zeros((1, 3), bool))
    cut = article_retail.sequences(shop, length=2)
    newest = log.events[log.events["person"] == 1].sort_values("place")["item"].tolist()
    assert cut.asked[0].tolist() == ([0, 0, *newest])[-2:]
    assert cut.train.history.shape == cut.test.history.shape == (2, 2)
    row = {"listing_ndcg": 0.03, "repaired_ndcg": 0.1, "last_ndcg": 0.05, "again_ndcg": 0.2}
    assert all(statement.holds for statement in article_retail.claims([row] * 2))
    worse = article_retail.claims([row | {"repaired_ndcg": 0.01, "again_ndcg": 0.0}] * 2)
    assert not any(statement.holds for statement in worse)
    assert make_batch(cut.asked, n_items=3).mask.any()
