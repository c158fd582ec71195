"""Lesson 2 on small stores: which training is right about do, and what the numbers are."""

import jax
import numpy as np
import pytest

from recflax.lessons import causal_loss, trainings
from recflax.lessons.statements import by_name
from recflax.worlds.store import StoreConfig, build_store


@pytest.fixture(scope="module")
def store():
    return build_store(StoreConfig(n_people=211, n_items=23, n_categories=3), seed=7)


def test_the_truth_has_no_error_and_earns_what_the_oracle_earns(store) -> None:
    found = causal_loss.measure(store, trainings.Answers(store.do(1), store.do(0)))
    for name in ("campaign", "others", "rmse", "campaign_0", "rmse_0"):
        assert found[name] == 0
    assert found["uplift_increment"] == store.policy_value(store.greedy(store.uplift())).increment
    assert found["increment"] == store.policy_value(store.greedy(store.do(1))).increment
    moved = causal_loss.measure(store, trainings.Answers(store.do(1) + 0.1, store.do(0) - 0.2))
    assert moved["campaign"] == pytest.approx(0.1)
    assert moved["rmse_0"] == pytest.approx(0.2)


def test_every_training_answers_for_every_person_and_item(store) -> None:
    for name in trainings.TRAININGS:
        answers, facts = trainings.train(store, name, jax.random.key(0))
        assert answers.shown.shape == (211, 23)
        assert ((answers.shown > 0) & (answers.shown < 1)).all()
        assert (answers.not_shown is None) == (name == "log")
        assert set(facts) == ({"negative_targets"} if name == "dr" else set())
    again, _ = trainings.train(store, "flag", jax.random.key(0))
    first, _ = trainings.train(store, "flag", jax.random.key(0))
    np.testing.assert_array_equal(again.shown, first.shown)


def test_predictions_for_half_of_the_people_come_from_the_other_half(store) -> None:
    """Change what one half bought: the predictions for that half stay as they were."""
    log = store.log()
    even = log.person % 2 == 0
    other = trainings.predict_for_others(store, log, jax.random.key(0))
    changed = type(log)(
        **{
            name: (log.bought_shown ^ even) if name == "bought_shown" else getattr(log, name)
            for name in log.__dataclass_fields__
        }
    )
    moved = trainings.predict_for_others(store, changed, jax.random.key(0))
    np.testing.assert_array_equal(moved[0::2], other[0::2])
    assert np.abs(moved[1::2] - other[1::2]).max() > 0.01


def test_the_flag_is_the_newest_event_and_the_intent_must_be_logged(store) -> None:
    some = trainings.flag_batch(store, 1)
    assert (some.history[:, -1] == 25).all()
    np.testing.assert_array_equal(some.history[:, :-1], store.history)
    with pytest.raises(ValueError, match="log must have the intent"):
        trainings.with_flag(store, store.log(), jax.random.key(0))


def test_logging_the_intent_changes_nothing_else(store) -> None:
    one, other = store.log(), store.log(log_intent=True)
    assert one.intent is None
    assert set(np.unique(other.intent)) == {0, 1}
    for name in ("shown", "bought_shown", "propensity", "purchase_item"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_claims_are_about_the_rows() -> None:
    """Rows as the theory has them pass; a row in which weights leave the bias does not."""
    good = {"log_increment": 0.02, "exposed_uplift_increment": 0.17, "ips_uplift_increment": 0.18}
    good |= {"ips_clipped_uplift_increment": 0.2, "slice_uplift_increment": 0.1}
    good |= {"exposed_campaign": 0.05, "exact_campaign": 0.05, "ips_campaign": 0.0}
    good |= {"dr_campaign": 0.0, "randomised_campaign": 0.0, "flag_campaign": 0.01}
    good |= {"ips_rmse": 0.06, "flag_rmse": 0.05, "dr_cut_campaign": 0.05}
    good |= {"no_push_campaign": 0.0, "ips_rmse_0": 0.03, "exposed_rmse_0": 0.02}
    statements = by_name(causal_loss.claims([good, good]))
    assert all(statement.holds for statement in statements.values())
    bad = good | {"ips_campaign": 0.05}
    assert not by_name(causal_loss.claims([bad, bad]))["ips-unbiased-on-campaign"].holds
