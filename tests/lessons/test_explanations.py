"""Lesson 6 on a small store: its networks, its targets, its row; and that its claims can fail."""

import jax
import numpy as np
import pytest

from recflax import explain
from recflax.agreement import compare
from recflax.lessons import explainers, explanations
from recflax.lessons.cells import fit_cells, histories
from recflax.lessons.statements import by_name
from recflax.lessons.trainings import clipped_cells
from recflax.worlds.store import StoreConfig, build_store

SIZE, SOME = 101, 23


@pytest.fixture(scope="module")
def store():
    return build_store(StoreConfig(n_people=SIZE), seed=3)


@pytest.fixture(scope="module")
def network(store):
    return explainers.fitted(store, 3, 0)


@pytest.fixture(scope="module")
def row():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explanations, "PEOPLE", SOME)
        return explanations.run(3, SIZE)


# ------------------------------------------------------------------------------- networks


def test_the_two_networks_are_the_lessons_network_from_two_starts(store, network) -> None:
    keys = jax.random.split(jax.random.key(3))
    cells = clipped_cells(store.log())
    for number, key in enumerate(keys):
        found = network if number == 0 else explainers.fitted(store, 3, number)
        wanted = fit_cells(store, cells, key=key).scores(histories(store), "not_shown")
        np.testing.assert_array_equal(found.scores(histories(store), "not_shown"), wanted)


def test_a_layer_that_is_told_to_stays_uniform_while_the_rest_learns(store, network) -> None:
    flat = explainers.fitted(store, 3, 0, ("cross",))
    real = store.history > 0
    even = real / real.sum(axis=1, keepdims=True)
    for model, uniform in ((network, False), (flat, True)):
        inside = model.intermediates(histories(store))
        weights = np.asarray(inside["cross_attention"])
        apart = np.abs(weights - even[:, None, None]).max()
        assert (apart < 1e-6) == uniform
        asked = np.broadcast_to(real[:, None, :, None], (SIZE, 2, 16, 16))
        itself = np.asarray(inside["self_attention_0"])
        assert np.abs(itself - even[:, None, None])[asked].max() > 0.01
    assert np.abs(flat.arm[...] - network.arm[...]).max() > 1e-4  # the rest went another way


# -------------------------------------------------------------------------------- targets


def test_the_effect_is_the_stores_own_and_rules_need_no_network(store) -> None:
    people, items = np.array([7, 2, 19]), np.array([5, 120, 1])
    found = explainers.effect(store, people, items)
    np.testing.assert_array_equal(found, store.history_effect()[people, :, items - 1])
    ranked = explainers.rules(store, people)
    for person, newest, purchases in zip(people, *ranked.values(), strict=True):
        real = store.history[person] > 0
        order = [*np.flatnonzero(store.bought[person])[::-1]]
        order += [*np.flatnonzero(real & ~store.bought[person])[::-1]]
        assert np.argsort(-purchases)[: real.sum()].tolist() == order
        assert np.argsort(-newest)[: real.sum()].tolist() == np.flatnonzero(real)[::-1].tolist()
        assert not newest[~real].any()
        assert not purchases[~real].any()


def test_what_is_held_against_itself_agrees(store) -> None:
    people = np.arange(SOME)
    mask = store.history[people] > 0
    truth = explainers.effect(store, people, people + 1)
    found = dict.fromkeys(explainers.EXPLAINERS, truth)
    row = explanations.against(found, truth, mask, "effect", "auc")
    for name in explainers.EXPLAINERS:
        assert row[f"{name}_effect_rank"] == pytest.approx(1)
        assert row[f"{name}_effect_auc"] == 1
    # the first of several largest effects is as right as any other
    assert row["newest_effect_top_1"] == 1
    assert 0 < row["effect_chance"] < 0.5
    assert len(row) == 3 * len(explainers.EXPLAINERS) + 1


def test_means_leave_out_whom_a_measure_does_not_know() -> None:
    found = compare([[1, 2], [1, 1]], [[1, 2], [1, 2]], np.ones((2, 2), bool))
    assert explanations.agreements("x", found, "rank", "auc")["x_rank"] == pytest.approx(1)
    assert np.isnan(explanations.agreements("x", found, "auc")["x_auc"])


# ------------------------------------------------------------------------------------ row


def test_a_row_says_what_its_parts_say(store, network, row) -> None:
    people = np.arange(SOME)
    items, found, columns = explanations.of_one_network(network, store, people)
    assert {name: row[name] for name in columns} == columns
    chance = explanations.probabilities(network, store)
    np.testing.assert_array_equal(items, chance[people].argmax(axis=1) + 1)
    mask = store.history[people] > 0
    assert row["zero"] == (found["effect"][mask] == 0).mean()
    size = np.abs(found["leave_one_out"])
    assert row["model_on_zero"] == pytest.approx(size[found["effect"] == 0].sum() / size.sum())
    assert row["first_rmse"] == pytest.approx(np.sqrt(((chance - store.do(1)) ** 2).mean()))
    told = explain.information(store, people, items, seed=3)
    again = compare(found["rollout"], told, mask)
    assert row["rollout_information_rank"] == pytest.approx(np.nanmean(again.rank))
    assert row["leave_one_out_model_rank"] == pytest.approx(1)
    assert np.isfinite(list(row.values())).all()
    assert (row["seed"], row["people"]) == (3, SIZE)


def test_the_same_seed_gives_the_same_row(row, monkeypatch) -> None:
    monkeypatch.setattr(explanations, "PEOPLE", SOME)
    assert explanations.run(3, SIZE) == row


def test_a_removal_that_removes_nothing_is_seen(store, network, monkeypatch) -> None:
    """The network moves with its events; where none is left out, the model's own target is 0."""
    people = np.arange(SOME)

    def largest() -> np.ndarray:
        found = explainers.attributions(network, store, people, people + 1)["leave_one_out"]
        return np.abs(found).max(axis=1)

    def nothing(batch):
        length = batch.history.shape[1]
        return explain.Batch(*(np.repeat(part[:, None], length, axis=1) for part in batch[:3]))

    assert largest().min() > 1e-5
    monkeypatch.setattr(explain, "without_each", nothing)
    assert largest().max() < 1e-6


# --------------------------------------------------------------------------------- claims

GOOD = {
    "attention_model_rank": 0.05,
    "newest_model_rank": 0.45,
    "rollout_model_rank": 0.4,
    "rollout_effect_auc": 0.86,
    "newest_effect_auc": 0.9,
    "attention_gradient_rank": 0.1,
    "gradient_mean_model_rank": 0.3,
    "gradient_model_rank": 0.0,
    "flat_cross_rmse": 0.0601,
    "flat_both_rmse": 0.062,
    "first_rmse": 0.06,
    "second_rmse": 0.059,
    "between_attention_rank": 0.0,
    "between_leave_one_out_rank": 0.25,
    "zero": 0.94,
    "model_on_zero": 0.8,
    "information_on_zero": 0.3,
    "information_effect_auc": 1.0,
    "leave_one_out_information_rank": 0.2,
    "attention_information_rank": 0.05,
    "leave_one_out_effect_auc": 0.8,
    "attention_effect_auc": 0.5,
    "newest_information_rank": 0.2,
    "newest_drawn_auc": 0.84,
    "leave_one_out_drawn_auc": 0.7,
    "leave_one_out_sign": 0.75,
    "information_again_rank": 0.9,
}
BROKEN = {
    "attention-is-not-the-model": {"attention_model_rank": 0.35},
    "newest-explains-the-model-better": {"newest_model_rank": 0.1},
    "newest-tells-more-than-attention": {"newest_information_rank": 0.0},
    "attention-hardly-finds-the-effect": {"attention_effect_auc": 0.75},
    "rules-ahead-for-drawn-items": {"newest_drawn_auc": 0.6},
    "rollout-explains-the-model-better": {"rollout_model_rank": 0.05},
    "rollout-no-better-than-newest": {"rollout_effect_auc": 0.97},
    "attention-is-not-the-gradient": {"attention_gradient_rank": 0.4},
    "gradient-needs-a-baseline": {"gradient_model_rank": 0.3},
    "cross-weights-do-no-work": {"flat_cross_rmse": 0.063},
    "self-weights-do-some": {"flat_both_rmse": 0.06},
    "starts-are-equally-good": {"second_rmse": 0.07},
    "attention-depends-on-the-start": {"between_attention_rank": 0.5},
    "leave-one-out-depends-less": {"between_leave_one_out_rank": 0.0},
    "most-events-do-nothing": {"zero": 0.5},
    "model-moves-on-nothing": {"model_on_zero": 0.1},
    "knowledge-moves-on-nothing": {"information_on_zero": 0.0},
    "knowledge-finds-the-effect": {"information_effect_auc": 0.8},
    "leave-one-out-is-nearer-to-the-information": {"leave_one_out_information_rank": 0.0},
    "leave-one-out-is-nearer-to-the-effect": {"leave_one_out_effect_auc": 0.4},
    "newest-is-nearer-still": {"newest_effect_auc": 0.7},
    "leave-one-out-has-the-sign": {"leave_one_out_sign": 0.5},
    "information-is-computed-well-enough": {"information_again_rank": 0.5},
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_claim_holds_on_good_rows_and_fails_when_its_number_is_another(name: str) -> None:
    held = by_name(explanations.claims([GOOD, GOOD]))
    assert all(statement.holds for statement in held.values())
    assert {f"explain-{key}" for key in BROKEN} == set(held)
    bad = GOOD | BROKEN[name]
    assert not by_name(explanations.claims([bad, bad]))[f"explain-{name}"].holds


def test_claims_read_columns_that_a_row_has(row) -> None:
    explanations.claims([row, row])
    assert set(GOOD) <= set(row)
