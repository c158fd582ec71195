"""Lists handed over and put in order, on a small store, and clocks that nobody looks at."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recflax.lessons import serving as lesson
from recflax.lessons import serving_times as times
from recflax.lessons.cells import count, histories
from recflax.lessons.serving import beyond_rank, larger_store, overlap
from recflax.lessons.statements import by_name
from recflax.worlds.store import StoreConfig

ITEMS, FEW = 29, (10, 17, 29)


@pytest.fixture(scope="module")
def row() -> dict[str, float]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesson, "RETRIEVED", FEW)
        return lesson.run(3, 61, ITEMS)


def test_more_handed_over_keeps_more_of_the_list_and_all_keeps_all(row) -> None:
    for name in lesson.RETRIEVERS:
        kept = [row[f"{name}_{retrieved}_overlap"] for retrieved in FEW]
        assert 0 < kept[0] <= kept[1] <= kept[2] == 1
    assert row["two_29_do"] == row["items_do"]
    assert row["two_10_do"] == pytest.approx(row["person_do"], rel=1e-12)  # the same ten, sorted


def test_a_taught_retriever_knows_its_teacher(row) -> None:
    assert row["taught_10_overlap"] > row["person_10_overlap"]


def test_what_lists_are_worth_is_exact(row) -> None:
    store = larger_store(3, 61, ITEMS)
    best = np.sort(store.do(1), axis=1)
    for name in ("items", "person", *(f"two_{retrieved}" for retrieved in FEW)):
        assert best[:, :10].mean() <= row[f"{name}_do"] <= best[:, -10:].mean()


def test_only_a_vector_a_person_has_a_rank(row) -> None:
    assert row["person_beyond"] < 1e-9
    store = larger_store(3, 61, ITEMS)
    ranker = lesson.networks(store, count(store.log()), jax.random.key(3))["items"]
    scores = ranker.scores(histories(store)).astype(float)
    u, s, v = np.linalg.svd(scores - scores.mean(axis=0))
    width = ranker.config.width + 1
    rebuilt = (u[:, :width] * s[:width]) @ v[:width]
    left = np.square(scores - scores.mean(axis=0) - rebuilt).sum()
    total = np.square(scores - scores.mean(axis=0)).sum()
    assert row["items_beyond"] == pytest.approx(left / total, rel=1e-2, abs=1e-12)


def test_rank_and_overlap_by_hand() -> None:
    diagonal = np.vstack([np.diag([3.0, 2.0, 1.0]), np.diag([-3.0, -2.0, -1.0])])
    assert beyond_rank(diagonal, 1) == pytest.approx((4 + 1) / (9 + 4 + 1))
    assert beyond_rank(diagonal + np.array([5.0, 7.0, 11.0]), 2) == pytest.approx(1 / 14)
    assert overlap(np.array([[1, 2, 3], [4, 5, 6]]), np.array([[3, 1, 9], [7, 8, 9]])) == 2 / 6
    with pytest.raises(ValueError, match="rank must be at least 0; got -1"):
        beyond_rank(diagonal, -1)
    with pytest.raises(ValueError, match=r"got \(1, 2\) and \(2, 1\)"):
        overlap(np.ones((1, 2)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="n_items must be at least 500; got 29"):
        lesson.run(0, 7, ITEMS)


def test_items_of_a_larger_store_are_bought_more_rarely() -> None:
    small, large = (larger_store(3, 211, n_items).do(0).mean() for n_items in (120, 480))
    ratio = (small / (1 - small)) / (large / (1 - large))
    assert 1.5 < ratio < 2.5  # half of log 4 in the log odds: a factor of 2, on average
    assert larger_store(3, 7, 120).config == StoreConfig(n_people=7)


def a_row(**changed: float) -> dict[str, float]:
    """A row of which all is true."""
    row = {
        f"{name}_{retrieved}_overlap": kept
        for name, kept in (("person", 0.9), ("taught", 0.99), ("popular", 0.7))
        for retrieved in lesson.RETRIEVED
    }
    row |= {f"two_{retrieved}_do": 0.13 for retrieved in lesson.RETRIEVED}
    row |= {"items_do": 0.13, "person_do": 0.13, "items_beyond": 4e-4, "person_beyond": 1e-14}
    return row | {"person_10_overlap": 0.5, "person_500_overlap": 0.99} | changed


def test_claims_refuse_what_contradicts_them() -> None:
    assert all(one.holds for one in lesson.claims([a_row(), a_row()]))
    for column, value, name in (
        ("person_10_overlap", 1.0, "retriever-alone-differs"),
        ("person_500_overlap", 0.5, "half-keeps-the-list"),
        ("popular_100_overlap", 0.95, "personal-beats-popular"),
        ("taught_100_overlap", 0.8, "taught-keeps-more"),
        ("two_100_do", 0.11, "nothing-lost-in-purchases"),
        ("person_beyond", 0.1, "one-vector-has-a-rank"),
        ("items_beyond", 0.1, "items-have-little-more"),
        ("items_beyond", 0.0, "items-have-little-more"),
    ):
        broken = by_name(lesson.claims([a_row(**{column: value})] * 2))
        assert not broken[f"serving-{name}"].holds


# ------------------------------------------------------------------------------ requests


# Top-k cuts a long row into groups and searches a few: with whole groups only, and with more of
# them than it would take in any case, an item more costs the same everywhere.
CATALOGUES = (64_000, 96_000, 128_000)


@pytest.mark.parametrize("way", list(times.WAYS))
def test_operations_of_a_request_are_linear_in_the_catalogue(way) -> None:
    counts = [times.request_operations(way, n_items) for n_items in CATALOGUES]
    step = counts[1] - counts[0]
    assert step > 0
    assert counts[2] - counts[1] == pytest.approx(step, rel=1e-6)  # the count is a float32


def test_an_item_costs_what_the_formula_says() -> None:
    def an_item(way: str) -> float:
        one, other = (times.request_operations(way, n_items) for n_items in CATALOGUES[:2])
        return (other - one) / (CATALOGUES[1] - CATALOGUES[0])

    products = 4 * times.LENGTH * times.WIDTH + 2 * times.WIDTH
    softmax = an_item("items") - products
    assert 0 < softmax < 10 * times.HEADS * times.LENGTH
    assert an_item("person") == pytest.approx(2 * (times.WIDTH + 1), abs=5)
    assert an_item("two") == an_item("person")  # what is re-ranked does not grow


def test_every_way_lists_the_ids_of_its_scores() -> None:
    batch = times.requests(31, 1, seed=5)[0]
    for way in times.WAYS:
        made = times.server(way, 31, seed=5)
        values, ids = made.function(made.params, made.tables, batch)
        assert ids.shape == (1, times.K)
        assert (np.diff(values) <= 0).all()
        assert len(np.unique(ids)) == times.K
    one, everything = (times.server(way, 31, seed=5) for way in ("two", "items"))
    np.testing.assert_array_equal(  # fewer than five hundred: the ranker sees them all
        one.function(one.params, one.tables, batch)[1],
        everything.function(everything.params, everything.tables, batch)[1],
    )


def test_every_request_is_timed_once_and_is_somebody_elses(monkeypatch) -> None:
    asked = []

    def clock(call, repeats):
        for _ in range(repeats + 1):
            jax.block_until_ready(call())
        return np.arange(repeats) / 1000

    def server(way, n_items, seed):
        def answer(params, tables, batch):
            jax.debug.callback(lambda row: asked.append(row.tolist()), batch.history[0])
            return jnp.zeros(())

        return times.Server(answer, None, None)

    monkeypatch.setattr(times, "timed", clock)
    monkeypatch.setattr(times, "server", server)
    assert times.request_seconds("person", 31, 5).shape == (5,)
    jax.effects_barrier()
    expected = [batch.history[0].tolist() for batch in times.requests(31, 5, seed=0)]
    assert sorted(asked) == sorted([expected[0], *expected])  # the first once to compile
    row = times.run(2, 101, sizes=(11, 13))
    assert row["items_13_p50_seconds"] == pytest.approx(0.05)
    assert row["items_13_p99_seconds"] == pytest.approx(0.099)
    assert len(row) == 2 + 3 * 2 * 2


def test_what_the_doors_of_requests_refuse() -> None:
    with pytest.raises(ValueError, match="way must be one of"):
        times.server("all", 31)
    with pytest.raises(ValueError, match="n_items must be at least 10; got 9"):
        times.server("person", 9)
    with pytest.raises(ValueError, match="count must be at least 1; got 0"):
        times.requests(31, 0, 0)
