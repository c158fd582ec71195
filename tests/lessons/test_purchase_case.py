import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from recflax.data.cleaning import LINES, clean, to_log
from recflax.lessons.purchase_case import (
    CUSTOMER,
    UNTIL,
    candidates,
    five_steps,
    only_words,
    retail,
    simulated,
)
from recflax.self_attention import scaled_dot_product_attention
from recflax.worlds.store import StoreConfig, build_store

SHARPNESS = 3.0


@pytest.fixture(scope="module")
def log():
    return build_store(StoreConfig(n_people=211), seed=5).log(visits=7).to_log()


@pytest.fixture(scope="module")
def source(log):
    return simulated(log)


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(13, 7))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_the_simulated_customer_is_as_promised(log, source) -> None:
    own = source.lines[source.lines["customer"] == source.customer]
    before, after = own[own["time"] < source.until], own[own["time"] >= source.until]
    nouns = before["description"].tail(5).str.split().str[-1]
    assert sorted(set(nouns)) == list(source.words)
    assert set(after["description"].str.split().str[-1]) & set(source.words)
    earlier = source.lines[source.lines["customer"].astype(int) < int(source.customer)]
    for _, other in earlier.groupby("customer"):
        last = other[other["time"] < source.until]["description"].tail(5).str.split().str[-1]
        next_ones = other[other["time"] >= source.until]["description"].str.split().str[-1]
        assert len(last) < 5 or len({*last}) != 3 or not {*last} & {*next_ones}


def test_the_simulated_lines_keep_every_purchase(log, source) -> None:
    assert list(source.lines.columns) == list(LINES)
    kept, report = clean(source.lines)
    assert report.lines_out == len(log.purchases)
    again = to_log(kept)
    assert len(again.purchases) == len(log.purchases)
    assert again.n_people == log.purchases["person"].nunique()


def test_two_builds_are_identical(log, source) -> None:
    other = simulated(log)
    pd.testing.assert_frame_equal(source.lines, other.lines)
    assert source[1:] == other[1:]


def test_what_cannot_be_found_is_said(log) -> None:
    with pytest.raises(ValueError, match="length must be at least 3; got 2"):
        simulated(log, length=2)
    with pytest.raises(ValueError, match="no customer's last 101 purchases"):
        simulated(log, length=101)


def test_retail_wants_its_customer(source) -> None:
    with pytest.raises(ValueError, match=f"lines must hold customer {CUSTOMER}"):
        retail(source.lines)
    with pytest.raises(ValueError, match="lines lacks the columns"):
        retail(source.lines.drop(columns="customer"))
    found = retail(source.lines.assign(customer=CUSTOMER))
    assert (found.customer, found.until) == (CUSTOMER, UNTIL)


def test_only_whole_words_are_kept_and_none_is_lost() -> None:
    texts = ["SWEETHEART LIGHTS", "T-LIGHT IN A HEART", "", "bird bird"]
    assert only_words(texts, ["bird", "heart", "light"]) == ["", "light heart", "", "bird bird"]


def test_candidates_are_the_wanted_then_the_best_sold(log) -> None:
    sold = log.purchases["item"].value_counts()
    allowed = [3, 5, 7, 11, 13]
    table = candidates(log, [17, 3], allowed, 5)
    assert table["item"].tolist()[:2] == [17, 3]
    rest = table["item"].tolist()[2:]
    assert sorted(sold.loc[rest], reverse=True) == sold.loc[rest].tolist()
    assert sold.loc[rest].min() >= sold.loc[[i for i in allowed[1:] if i not in rest]].max()
    assert table["bought_next"].tolist() == [True, True, False, False, False]
    assert len(candidates(log, [17], [17, 3], 5)) == 2


def test_five_steps_are_the_attention_of_the_library(vectors) -> None:
    history = np.array([[0, 0, 3, 5, 2], [1, 13, 1, 7, 11], [0, 0, 0, 0, 4]])
    mask = history > 0
    with jax.default_matmul_precision("highest"):
        x = jnp.asarray(vectors)
        events = jnp.where(mask[..., None], x[np.maximum(history, 1) - 1], 7.0)
        ask = SHARPNESS * 7**0.5
        places = jnp.asarray(mask)[:, None, None]
        mixed, _ = scaled_dot_product_attention(
            ask * events[:, None], events[:, None], events[:, None], places
        )
        items = jnp.broadcast_to(x, (3, 1, 13, 7))
        seen, _ = scaled_dot_product_attention(ask * items, mixed, mixed, places)
        wanted = (seen[:, 0] * x).sum(axis=-1)
        found = five_steps(x @ x.T, jnp.asarray(history), jnp.asarray(mask), SHARPNESS, rows=2)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_without_sharpness_the_score_is_the_mean_cosine(vectors) -> None:
    history = np.array([[2, 3, 5]])
    similarity = vectors @ vectors.T
    found = five_steps(similarity, history, history > 0, 0.0)
    np.testing.assert_allclose(found[0], similarity[[1, 2, 4]].mean(axis=0), rtol=1e-5, atol=1e-6)


def test_a_sharp_score_is_the_best_cosine(vectors) -> None:
    history = np.array([[2, 3, 5]])
    similarity = vectors @ vectors.T
    found = five_steps(similarity, history, history > 0, 1e4)
    np.testing.assert_allclose(found[0], similarity[[1, 2, 4]].max(axis=0), rtol=1e-4, atol=1e-5)


def test_the_order_of_the_history_and_its_padding_do_not_matter(vectors) -> None:
    similarity = vectors @ vectors.T
    one, two = np.array([[7, 2, 11]]), np.array([[0, 0, 11, 7, 2]])
    found = [five_steps(similarity, h, h > 0, SHARPNESS) for h in (one, two)]
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)


def test_nobody_without_a_history_is_scored(vectors) -> None:
    history = np.array([[0, 0], [0, 3]])
    found = five_steps(vectors @ vectors.T, history, history > 0, SHARPNESS)
    assert (found[0] == 0).all()
    assert (found[1] != 0).any()
