"""Train it here: cells, order and steps by plain loops, and what is read off them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from recflax.fitted import cell_loss
from recflax.lessons import tables
from recflax.lessons import train_it_here as lesson
from recflax.lessons.cells import histories
from recflax.lessons.statements import by_name
from recflax.lessons.train_it_here import WAYS, Schedule, batch_order, learned_cells, record
from recflax.recommender import Recommender
from recflax.worlds.store import StoreConfig, build_store

SHORT = Schedule(steps=12, batch=29, every=4)


@pytest.fixture(scope="module")
def store():
    return build_store(StoreConfig(n_people=67, n_items=13, n_categories=3), seed=7)


def test_purchases_are_learned_in_one_arm_and_effects_in_two(store) -> None:
    log = store.log(rand=0.5)
    target, weight = learned_cells(log, "purchases")
    np.testing.assert_allclose(target[:, 0], log.counts() / 8)
    assert (weight[:, 0] == 8).all()
    assert (weight[:, 1] == 0).all()
    shown = log.shown_counts()
    np.testing.assert_array_equal(learned_cells(log, "exposed")[1][:, 0], shown)
    weighted = log.shown_counts(np.minimum(1 / log.propensity, 100.0))
    np.testing.assert_allclose(learned_cells(log, "weights")[1][:, 0], weighted, rtol=1e-6)
    with pytest.raises(ValueError, match=r"way must be one of .*; got 'luck'"):
        learned_cells(log, "luck")


def test_every_pass_sees_everybody_once_but_for_a_short_rest() -> None:
    order = np.asarray(batch_order(67, SHORT, jax.random.key(3)))
    assert order.shape == (12, 29)
    for start in range(0, 12, 2):  # two whole batches a pass
        assert len(set(order[start : start + 2].ravel().tolist())) == 58
    assert (order[:2] != order[2:4]).any()
    with pytest.raises(ValueError, match="people must be at least batch, 29; got 28"):
        batch_order(28, SHORT, jax.random.key(3))


@pytest.mark.parametrize("way", WAYS)
def test_steps_are_those_of_a_plain_loop(store, way) -> None:
    target, weight = learned_cells(store.log(), way)
    data = jax.tree.map(jnp.asarray, histories(store)._replace(target=target, weight=weight))
    graphdef, params = nnx.split(Recommender(lesson.small_config(store), rngs=nnx.Rngs(1)))
    order = batch_order(67, SHORT, jax.random.key(3))
    losses, snapshots = lesson.train_steps(graphdef, params, data, order, 0.01, 4)
    optimiser = optax.adam(0.01)
    memory, plain = optimiser.init(params), params
    for number, people in enumerate(order):
        batch = jax.tree.map(lambda array, people=people: array[people], data)
        value, slope = jax.value_and_grad(lambda p, b=batch: cell_loss(nnx.merge(graphdef, p), b))(
            plain
        )
        updates, memory = optimiser.update(slope, memory, plain)
        plain = optax.apply_updates(plain, updates)
        assert losses[number] == pytest.approx(float(value), abs=1e-5)
    # scores, not numbers: Adam blows up the rounding of what has no slope (a key's bias)
    last = jax.tree.map(lambda kept: kept[-1], snapshots)
    one, other = (nnx.merge(graphdef, p).scores(histories(store)) for p in (last, plain))
    np.testing.assert_allclose(one, other, atol=1e-3)
    assert jax.tree.leaves(snapshots)[0].shape[0] == 3


def test_readings_of_the_truth_are_the_best_there_are(store) -> None:
    rng = np.random.default_rng(5)
    truth = np.stack([store.do(1), store.do(0)], axis=1)[None]  # (1, U, 2, M)
    noisy = np.clip(truth * rng.uniform(0.3, 3, truth.shape), 1e-4, 0.999)
    later = store.log(200, "heldout").counts()
    for way in WAYS:
        good, bad = (lesson.readings(store, c, way, later, 200) for c in (truth, noisy))
        assert good[0] > bad[0]
        rank = truth[0, :, 0] - (truth[0, :, 1] if way != "purchases" else 0)
        by_hand = [store.uplift()[u, rank[u].argmax()] for u in range(67)]
        assert good[1] == pytest.approx(sum(by_hand) / 67)
    best = store.uplift().max(axis=1).mean()
    assert lesson.readings(store, truth, "weights", later, 200)[1] == pytest.approx(best)
    by_hand = 0.0
    for u in range(67):
        for j in range(13):
            see = truth[0, u, 0, j] / 13 + truth[0, u, 1, j] * 12 / 13
            by_hand += later[u, j] * np.log(see) + (200 - later[u, j]) * np.log(1 - see)
    twice = lesson.readings(store, truth.repeat(2, axis=0), "exposed", later, 200)[0]
    assert twice == pytest.approx([by_hand / (67 * 200)] * 2)


def test_all_ways_start_from_the_same_numbers_and_the_same_key_repeats(store) -> None:
    log, key = store.log(), jax.random.key(11)
    found = {way: record(store, log, way, SHORT, key) for way in WAYS}
    again = record(store, log, "weights", SHORT, key)
    np.testing.assert_array_equal(found["weights"].loss, again.loss)
    assert found["weights"].likelihood[0] == found["exposed"].likelihood[0]
    assert found["weights"].loss[0] != found["exposed"].loss[0]
    assert [len(part) for part in again] == [12, 4, 4]


def test_a_row_has_every_way_and_share() -> None:
    row = lesson.run(3, size=67, schedule=SHORT, shares=(0.0, 1.0))
    assert {"seed", "people", "random", "best"} < set(row)
    # at random every weight is the same, so it does not matter
    assert row["weights_100_increment"] == pytest.approx(row["exposed_100_increment"])
    assert row["weights_0_likelihood"] != row["exposed_0_likelihood"]
    assert len(row) == 4 + 2 * 3 * 4
    assert row["random"] < row["best"]


def test_claims_hold_of_the_table_and_not_of_networks_that_change_places() -> None:
    rows = tables.read("train_it_here").records
    assert all(said.holds for said in lesson.claims(rows))
    swap = {"weights": "purchases", "purchases": "weights"}
    turned = []
    for row in rows:
        split = {name: name.partition("_") for name in row}
        turned.append(
            {swap.get(way, way) + _ + rest: row[name] for name, (way, _, rest) in split.items()}
        )
    said = by_name(lesson.claims(turned))
    for name in ("weights-add", "weights-are-less-likely", "purchases-add-nothing"):
        assert not said[f"train-here-{name}"].holds


@pytest.mark.parametrize("name", ["steps", "batch", "rate", "every"])
def test_a_schedule_of_nothing_is_refused(name) -> None:
    with pytest.raises(ValueError, match=f"{name} must be positive; got 0"):
        Schedule(**{name: 0})
