"""What is computed beforehand changes no score, and what a request then costs is counted."""

import jax
import numpy as np
import pytest
from flax import nnx

from recflax.data.batches import Batch, make_batch
from recflax.lessons.attention_cost import operations
from recflax.recommender import Recommender, RecommenderConfig
from recflax.scale import serving
from recflax.scale.serving import (
    attend,
    attending_items,
    catalogue_vectors,
    person_vectors,
    retrieve_then_rerank,
)
from recflax.scoring import top_k

ARMS = ("shown", "not_shown")


def network(query: str, n_items: int = 23, **changed) -> Recommender:
    """Two arms, two categories, and numbers of every size."""
    config = RecommenderConfig(
        n_items=n_items,
        **{"width": 6, "max_length": 5, "query": query, "arms": ARMS} | changed,
    )
    graphdef, params = nnx.split(nnx.eval_shape(lambda: Recommender(config, rngs=nnx.Rngs(0))))
    draw = np.random.default_rng(7).standard_normal
    return nnx.merge(
        graphdef, jax.tree.map(lambda s: jax.numpy.asarray(draw(s.shape), s.dtype), params)
    )


def histories(n_items: int = 23) -> Batch:
    """A full history, a short one and an empty one."""
    return make_batch([[3, 1, 4, 1, 5], [0, 0, 9, 2, 6], [0, 0, 0, 0, 0]], n_items=n_items)


@pytest.mark.parametrize("query", ["person", "newest"])
@pytest.mark.parametrize("arm", [None, "not_shown"])
def test_one_vector_a_person_and_one_an_item_give_the_score(query, arm) -> None:
    asked, batch = network(query, categories=(0, 1) * 11 + (1,)), histories()
    graphdef, params = nnx.split(asked)

    @jax.jit
    def product(params, batch):
        network = nnx.merge(graphdef, params)
        return person_vectors(network, batch) @ catalogue_vectors(network, arm).T

    scores = product(params, batch)
    np.testing.assert_allclose(scores, asked.scores(batch, arm), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("arm", [None, "not_shown"])
def test_items_prepared_beforehand_give_the_score(arm) -> None:
    asked, batch = network("candidates"), histories()
    ids = np.array([[5, 1], [2, 2], [23, 7]])
    graphdef, params = nnx.split(asked)

    @jax.jit
    def both(params, batch):
        network = nnx.merge(graphdef, params)
        items = attending_items(network, arm)
        return attend(network, items, batch), attend(network, items, batch, ids)

    found, some = both(params, batch)
    everything = asked.scores(batch, arm)
    np.testing.assert_allclose(found, everything, rtol=1e-4, atol=1e-4)
    expected = np.take_along_axis(everything, ids - 1, axis=1)
    np.testing.assert_allclose(some, expected, rtol=1e-4, atol=1e-4)


def test_every_item_costs_four_operations_a_place_and_unit_of_width() -> None:
    def count(n_items: int, width: int) -> int:
        asked = network("candidates", n_items, width=width, arms=("shown",))
        graphdef, params = nnx.split(asked)

        def request(params, items, batch):
            return attend(nnx.merge(graphdef, params), items, batch)

        return operations(request, params, attending_items(asked), one)

    one = jax.tree.map(lambda rows: rows[:1], histories())
    an_item = {
        width: (count(23, width) - count(13, width)) / 10 for width in (6, 14)
    }  # 4 L D + 2 D for the products, and a softmax that does not know D
    assert (an_item[14] - an_item[6]) / (14 - 6) == 4 * 5 + 2
    assert count(23, 6) - count(13, 6) == count(33, 6) - count(23, 6)


def test_a_retriever_that_hands_over_everything_loses_nothing() -> None:
    one, two, batch = network("person"), network("candidates"), histories()
    ids = retrieve_then_rerank(one, two, batch, retrieved=23, k=7, arm="not_shown")
    np.testing.assert_array_equal(ids, top_k(jax.numpy.asarray(two.scores(batch, ARMS[1])), 7)[1])


def test_a_reranked_list_holds_what_was_retrieved_in_the_rankers_order() -> None:
    one, two, batch = network("newest"), network("candidates"), histories()
    ids = retrieve_then_rerank(one, two, batch, retrieved=5, k=5)
    best = np.argsort(-one.scores(batch), axis=1)[:, :5] + 1
    np.testing.assert_array_equal(np.sort(ids), np.sort(best))
    scores = np.take_along_axis(two.scores(batch), ids - 1, axis=1)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_equal_scores_are_listed_by_id(monkeypatch) -> None:
    one, two = network("person"), network("candidates")
    monkeypatch.setattr(two, "scores", lambda batch, arm: np.zeros(batch.candidates.shape))
    ids = retrieve_then_rerank(one, two, histories(), retrieved=5, k=5)
    assert (np.diff(ids, axis=1) > 0).all()


def test_what_the_doors_refuse() -> None:
    one, two, batch = network("person"), network("candidates"), histories()
    with pytest.raises(ValueError, match="query must be 'person' or 'newest'"):
        catalogue_vectors(two)
    with pytest.raises(ValueError, match="query must be 'candidates'; got 'person'"):
        attending_items(one)
    with pytest.raises(ValueError, match="arm must be one of"):
        attending_items(two, "hidden")
    with pytest.raises(ValueError, match="repetition must be off"):
        serving.catalogue_vectors(network("person", repetition=True))
    with pytest.raises(ValueError, match=r"one catalogue; got \(23, 29\)"):
        retrieve_then_rerank(one, network("candidates", 29), batch, retrieved=5, k=2)
    for retrieved, k in ((24, 2), (2, 3), (3, 0)):
        with pytest.raises(ValueError, match=f"<= 23; got {k} and {retrieved}"):
            retrieve_then_rerank(one, two, batch, retrieved=retrieved, k=k)
