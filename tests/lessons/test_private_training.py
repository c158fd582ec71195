"""The lesson on privacy, on few people: who is who, the attacks, and what the claims refuse."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from recflax.lessons import private_training
from recflax.lessons.cells import count
from recflax.lessons.statements import by_name
from recflax.optimiser import TrainConfig
from recflax.privacy import PrivateTraining
from recflax.worlds.store import StoreConfig

SIZE = 233


@pytest.fixture(scope="module")
def small():
    """A small catalogue and short trainings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            private_training,
            "StoreConfig",
            lambda n_people: StoreConfig(n_people=n_people, n_items=23, n_categories=3),
        )
        patch.setattr(private_training, "CAREFUL", TrainConfig(epochs=2, batch_size=30))
        heart = TrainConfig(epochs=200, batch_size=30, learning_rate=1e-2)
        patch.setattr(private_training, "BY_HEART", heart)
        patch.setattr(private_training, "PRIVATE", PrivateTraining(batch_size=30, steps=8))
        yield private_training


@pytest.fixture(scope="module")
def task(small):
    return small.make_task(7, SIZE)


@pytest.fixture(scope="module")
def row(small):
    return small.run(7, SIZE)


def test_people_are_the_attackers_or_decided_by_a_coin(small, task) -> None:
    assert not (task.pool & task.member).any()
    assert task.pool.sum() == round(0.42 * SIZE)
    assert (task.reference & ~task.pool).sum() == 0
    assert task.reference.sum() == task.member.sum() <= task.pool.sum()
    coins = [small.make_task(seed, SIZE).member[task.pool.sum() :] for seed in range(40)]
    share = np.mean(coins)
    assert abs(share - 2 / 3) < 4 * (2 / 9 / np.size(coins)) ** 0.5
    assert np.std([coin.sum() for coin in coins]) > 3  # each on her own: binomial, sd 5.5


def test_each_target_is_what_it_says(task) -> None:
    counts = count(task.store.log())
    np.testing.assert_array_equal(task.data.weight[:, 0], counts.shown)
    np.testing.assert_array_equal(task.log_data.weight[:, 0], np.full((SIZE, 23), 8))
    np.testing.assert_array_equal(task.log_data.target[:, 0], counts.purchases / 8)
    assert (task.log_data.weight[:, 1] == 0).all()


def test_the_attack_finds_members_and_only_by_what_the_network_saw(small, task) -> None:
    trained = small.train(task, small.BY_HEART, jax.random.key(0))
    loss = small.losses(task, trained)
    assert small.attacks(task, loss)["loss_auc"] > 0.8
    # deliberate breakage: other people are called members, and nothing is found
    rng = np.random.default_rng(0)
    other = task.member.copy()
    other[~task.pool] = rng.permutation(other[~task.pool])
    assert small.attacks(task._replace(member=other), loss)["loss_auc"] < 0.65


def test_the_reference_takes_off_what_is_hard_for_anybody(small, task) -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 9, SIZE)
    loss = hard + rng.normal(0, 1, SIZE) - 2 * task.member
    found = small.attacks(task, loss, hard)
    assert found["sharp_auc"] > 0.85
    assert found["loss_auc"] < 0.75
    assert set(small.attacks(task, loss)) == {"loss_auc", "loss_advantage"}


def test_the_attackers_own_people_are_not_asked(small, task) -> None:
    loss = np.where(task.pool, 99.0, -1.0 * task.member)
    assert small.attacks(task, loss)["loss_auc"] == 1
    assert small.attacks(task, -loss)["loss_auc"] == 0


def test_a_row_has_every_number_and_repeats(small, row) -> None:
    per_training = {"loss_auc", "loss_advantage", "sharp_auc", "sharp_advantage"}
    wanted = {"seed", "people", "members", "random_increment"}
    wanted |= {f"log_{what}" for what in per_training}
    for name in small.TRAININGS:
        wanted |= {f"{name}_{what}" for what in per_training | {"ndcg", "increment"}}
    wanted |= {f"{name}_{what}" for name in small.NOISES for what in ("epsilon", "limit")}
    assert set(row) == wanted
    assert np.isfinite(list(row.values())).all()
    assert row["heart_loss_auc"] > 0.8
    epsilons = [row[f"{name}_epsilon"] for name in small.NOISES]
    assert epsilons == sorted(epsilons, reverse=True)
    again = small.make_task(7, SIZE)
    trained = small.train(again, small.configs()["medium"], jax.random.key(7))
    assert small.worth(again, trained)["increment"] == row["medium_increment"]


def test_a_private_training_is_accounted_for_the_members(small, task, row) -> None:
    config = replace(small.PRIVATE, noise_multiplier=small.NOISES["tight"])
    assert row["tight_epsilon"] == config.epsilon(int(task.member.sum()), small.DELTA)
    assert small.configs()["tight"] == config


GOOD = {
    "heart_loss_auc": 0.7,
    "heart_sharp_auc": 0.82,
    "log_sharp_auc": 0.8,
    "careful_sharp_auc": 0.56,
    "medium_sharp_auc": 0.51,
    "careful_increment": 0.14,
    "heart_increment": 0.1,
    "loose_increment": 0.13,
    "tight_increment": 0.08,
}
for _name, _limit in {"loose": 0.6, "medium": 0.4, "tight": 0.2}.items():
    GOOD |= {f"{_name}_loss_advantage": 0.03, f"{_name}_sharp_advantage": 0.04}
    GOOD |= {f"{_name}_limit": _limit}


def test_rows_as_they_should_be_pass() -> None:
    statements = by_name(private_training.claims([GOOD, GOOD]))
    assert all(statement.holds for statement in statements.values())
    assert all(name.startswith("privacy-") for name in statements)


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({"heart_loss_auc": 0.5}, "attack-works"),
        ({"heart_sharp_auc": 0.7}, "reference-sharpens"),
        ({"log_sharp_auc": 0.5}, "not-causal"),
        ({"careful_sharp_auc": 0.8}, "few-epochs-hide"),
        ({"careful_sharp_auc": 0.5}, "few-epochs-leak"),
        ({"medium_sharp_auc": 0.56}, "private-hides"),
        ({"medium_sharp_auc": 0.56}, "private-near-chance"),
        ({"tight_sharp_advantage": 0.21}, "below-the-limit"),
        ({"loose_loss_advantage": 0.61}, "below-the-limit"),
        ({"tight_increment": 0.14}, "costs-increment"),
        ({"tight_increment": 0.14}, "more-costs-more"),
        ({"heart_increment": 0.2}, "by-heart-costs-too"),
    ],
)
def test_each_claim_can_fail(changed, refused) -> None:
    rows = [GOOD | changed] * 2
    assert not by_name(private_training.claims(rows))[f"privacy-{refused}"].holds
