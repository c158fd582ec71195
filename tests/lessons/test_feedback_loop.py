"""The loop: whose log it draws, what a round learns from, and claims that can fail."""

from collections import defaultdict
from collections.abc import Callable
from functools import cache

import jax
import numpy as np
import pytest

from recflax.causal.propensity import effective_sample_size
from recflax.lessons import feedback_loop
from recflax.lessons.cells import count, exposed_cells, inverse_propensity_cells, log_cells
from recflax.lessons.feedback_loop import LOOPS, ROUNDS, VISITS, Loop, own_log, run_by, run_loop
from recflax.lessons.statements import by_name
from recflax.lessons.trainings import CLIP
from recflax.worlds.store import Store, StoreConfig, build_store

SEEDS = (3, 5)
PEOPLE = 499


@pytest.fixture(scope="module")
def store():
    return build_store(StoreConfig(n_people=101, n_items=23, n_categories=3), seed=5)


@pytest.fixture(scope="module")
def policy():
    return np.random.default_rng(0).dirichlet(np.ones(23), size=101)


# ---------------------------------------------------------------------------------- the own log


def test_under_the_own_policy_nothing_is_confounded(store, policy):
    own = run_by(store, policy)
    np.testing.assert_allclose(own.see_exposed(), store.do(1), rtol=1e-12)
    np.testing.assert_allclose(own.logging_policy(), policy, rtol=1e-12)
    np.testing.assert_allclose(own.do(0), store.do(0))
    confounded = store.see_exposed() - store.do(1)
    assert confounded[:, store.campaign].mean() > 0.02


def test_the_own_log_shows_what_the_policy_says_and_logs_its_chance(store, policy):
    log = own_log(store, policy, 7, 0)
    assert len(log.person) == 101 * VISITS
    np.testing.assert_array_equal(log.propensity, policy[log.person, log.shown - 1])
    many = [own_log(store, policy, 7, number) for number in range(40)]
    shown = np.mean([log.shown_counts() / VISITS for log in many], axis=0)  # (U, M)
    error = np.sqrt(policy * (1 - policy) / (40 * VISITS))
    scaled = (shown - policy) / np.maximum(error, 1e-3)
    assert np.abs(scaled.mean()) < 4 / np.sqrt(scaled.size)
    assert 0.8 < scaled.std() < 1.1
    weight = np.concatenate([1 / log.propensity for log in many])
    assert np.isfinite(weight).all()


def test_weighted_purchases_of_the_own_log_are_do(store):
    """Under a uniform policy the shown items' purchases are do(1), intent included."""
    uniform = np.full((101, 23), 1 / 23)
    bought = [own_log(store, uniform, 3, number).bought_shown.mean() for number in range(50)]
    truth = store.do(1).mean()
    assert abs(np.mean(bought) - truth) < 4 * np.sqrt(truth * (1 - truth) / (50 * 101 * VISITS))


def test_logs_of_one_round_repeat_and_rounds_differ(store, policy):
    one, again, next_ = (own_log(store, policy, 7, number) for number in (0, 0, 1))
    np.testing.assert_array_equal(one.shown, again.shown)
    assert (one.shown != next_.shown).mean() > 0.5
    assert (one.shown != own_log(store, policy, 8, 0).shown).mean() > 0.5


# ------------------------------------------------------------------------------ what is learned


def test_cells_are_those_of_the_training(store, policy):
    log = own_log(store, policy, 7, 0)
    bought, plain, weighted = (
        feedback_loop.cells_of(log, name) for name in ("bought", "plain", "weighted")
    )
    np.testing.assert_array_equal(bought, log_cells(count(log)))
    np.testing.assert_array_equal(plain, [part[:, :1] for part in exposed_cells(count(log))])
    whole = inverse_propensity_cells(log, CLIP)
    np.testing.assert_array_equal(weighted, [part[:, :1] for part in whole])
    by_hand = np.zeros((101, 23))
    for person, shown, e in zip(log.person, log.shown, log.propensity, strict=True):
        by_hand[person, shown - 1] += min(1 / e, CLIP)
    np.testing.assert_allclose(weighted[1][:, 0], by_hand, rtol=1e-5)
    assert by_hand.max() > CLIP  # somebody was shown something rare more than once, or clipped


def test_two_logs_pooled_are_the_cells_of_all_rows():
    one = np.array([[[1.0, 0.5, 0.0]]]), np.array([[[1.0, 2.0, 0.0]]])
    other = np.array([[[0.0, 1.0, 0.0]]]), np.array([[[3.0, 1.0, 0.0]]])
    target, weight = feedback_loop.pooled(one, other)
    np.testing.assert_allclose(weight, [[[4.0, 3.0, 0.0]]])
    np.testing.assert_allclose(target, [[[1 / 4, 2 / 3, 0.0]]])


def test_a_loop_fills_the_slot_with_its_best_its_odds_and_a_little_of_everything(store):
    chance = np.array([[0.5, 0.2, 0.1]] * 101).repeat(8, axis=1)[:, :23]
    sharp = feedback_loop.filled(store, chance, Loop("plain", 0.2, False, "sharp"))
    np.testing.assert_allclose(sharp.sum(axis=1), 1)
    np.testing.assert_allclose(sharp[0, :2], [0.8 + 0.2 / 23, 0.2 / 23])
    soft = feedback_loop.filled(store, chance, Loop("plain", 0.0, False, "soft", 2.0))
    np.testing.assert_allclose(soft.sum(axis=1), 1)
    odds = (0.5 / 0.5) / (0.2 / 0.8)
    assert soft[0, 0] / soft[0, 8] == pytest.approx(odds**2)


def test_the_measures_of_a_round_by_hand(store):
    scores = np.zeros((101, 23))
    scores[:60, 4], scores[60:, 7] = 1, 1
    before = np.zeros((101, 23))
    before[:, 4] = 1
    policy = feedback_loop.filled(store, scores, Loop("plain", 0.1, False, ""))
    found = feedback_loop.measure(store, scores, policy, before)
    share = np.array([60, 41]) / 101
    assert found["effective"] == pytest.approx(1 / np.square(share).sum())
    assert found["gini"] == pytest.approx(
        np.abs(np.subtract.outer(x := np.r_[share, np.zeros(21)], x)).sum() / (2 * 23)
    )
    assert found["covered"] == pytest.approx(2)
    assert found["campaign"] == pytest.approx(share @ store.campaign[[4, 7]])
    assert found["stays"] == pytest.approx(60 / 101)
    assert found["shown"] == pytest.approx(effective_sample_size(policy.mean(axis=0)))
    assert found["increment"] == store.policy_value(policy).increment
    assert feedback_loop.measure(store, scores, policy, None)["stays"] == 1


# ------------------------------------------------------------------------------------ the loop


def counting(patch: pytest.MonkeyPatch, given: list | None = None) -> None:
    """A learner without a network: of each product the rate of its rows, drawn towards .05."""

    def fit(store: Store, cells, *, key: jax.Array, config: object) -> np.ndarray:
        if given is not None:
            given.append(cells)
        target, weight = (part[:, 0].astype(float) for part in cells)
        rate = ((target * weight).sum(axis=0) + 20 * 0.05) / (weight.sum(axis=0) + 20)
        return np.broadcast_to(rate, target.shape)

    patch.setattr(feedback_loop, "fit_cells", fit)
    patch.setattr(feedback_loop, "probabilities", lambda network, store: network)


def test_a_loop_that_forgets_sees_one_log_and_one_that_keeps_sees_all(store, monkeypatch):
    given: list = []
    counting(monkeypatch, given)
    for keeps in (False, True):
        run_loop(store, Loop("plain", 0.3, keeps, ""), seed=7, rounds=3)
    forgets, keeps = given[:4], given[4:]
    visits = 101 * VISITS
    assert [cells[1].sum() for cells in forgets] == [visits] * 4
    assert [cells[1].sum() for cells in keeps] == [visits * n for n in (1, 2, 3, 4)]
    np.testing.assert_array_equal(forgets[0], keeps[0])  # both start from the shop's log
    np.testing.assert_array_equal(forgets[0][1], exposed_cells(count(store.log(VISITS)))[1][:, :1])


def test_a_perfect_learner_concentrates_on_nothing_beyond_what_is_best(store, monkeypatch):
    monkeypatch.setattr(feedback_loop, "fit_cells", lambda *a, **k: None)
    monkeypatch.setattr(feedback_loop, "probabilities", lambda network, store: store.do(1))
    best = store.greedy(store.do(1))
    for found in run_loop(store, LOOPS["plain"], seed=7, rounds=3):
        assert found["effective"] == pytest.approx(effective_sample_size(best.mean(axis=0)))
        assert found["stays"] == 1
        assert found["increment"] == pytest.approx(
            0.95 * store.policy_value(best).increment + 0.05 * store.uplift().mean()
        )


def test_a_loop_of_networks_repeats_itself_and_starts_where_its_training_starts(store):
    """Two rounds of the real network; the first is the same whatever comes after it."""
    one, again = (run_loop(store, LOOPS["plain"], seed=3, rounds=1) for _ in range(2))
    assert one == again
    assert len(one) == 2
    kept = run_loop(store, LOOPS["plain_keeps"], seed=3, rounds=1)
    assert kept[0] == one[0]


@cache
def rows_with(breakage: Callable[[pytest.MonkeyPatch], None] | None) -> list[dict[str, float]]:
    """Rows of loops that count instead of training, with one thing broken or none."""
    with pytest.MonkeyPatch.context() as patch:
        counting(patch)
        if breakage is not None:
            breakage(patch)
        return [feedback_loop.run(seed, PEOPLE) for seed in SEEDS]


def test_a_row_has_every_round_and_the_means_of_the_late_ones():
    row = rows_with(None)[0]
    assert (row["seed"], row["people"]) == (3, PEOPLE)
    store = build_store(StoreConfig(n_people=PEOPLE), 3)
    best = store.greedy(store.do(1))
    assert row["oracle_increment"] == store.policy_value(best).increment
    assert row["random_increment"] == pytest.approx(store.uplift().mean())
    for name in LOOPS:
        late = [row[f"{name}_increment_{r}"] for r in range(6, ROUNDS + 1)]
        assert row[f"{name}_increment"] == pytest.approx(np.mean(late))
    assert row["plain_increment_0"] == row["plain_keeps_increment_0"]


# ------------------------------------------------------- what is broken, and which claim says so


def good() -> dict[str, float]:
    """A row as the lesson found them; what is not named is 0."""
    row = defaultdict(float, {"plain_effective": 1.3, "plain_more_effective": 1.4})
    row |= {"weighted_effective": 2.6, "oracle_effective": 9.4, "bought_popular": 1.0}
    row |= {"bought_increment": 0.02, "plain_increment": 0.09, "weighted_increment": 0.07}
    row |= {"plain_keeps_increment": 0.12, "weighted_keeps_increment": 0.13}
    row |= {"plain_stays": 0.5, "weighted_stays": 0.01, "plain_soft_increment": 0.067}
    return row | {"plain_soft_shown": 56.0, "plain_shown": 1.5}


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("concentrates", {"plain_effective": 5.0}),
        ("below-the-oracle", {"oracle_effective": 2.0}),
        ("bought-shows-the-popular", {"bought_popular": 0.5}),
        ("bought-earns-less", {"bought_increment": 0.2}),
        ("weights-spread-a-little", {"weighted_effective": 1.2}),
        ("weights-are-not-the-cure", {"weighted_effective": 9.0}),
        ("weights-change-their-mind", {"weighted_stays": 0.9}),
        ("more-exploration-alone-is-no-cure", {"plain_more_effective": 9.0}),
        ("keeping-pays", {"weighted_keeps_increment": 0.05}),
        ("keeping-pays-without-weights", {"plain_keeps_increment": 0.05}),
        ("soft-choices-spread", {"plain_soft_shown": 3.0}),
        ("soft-choices-cost", {"plain_soft_increment": 0.2}),
    ],
)
def test_every_statement_holds_and_fails_when_its_number_is_another(name, broken):
    said = by_name(feedback_loop.claims([good(), good()]))
    assert len(said) == 12
    assert said[f"loop-{name}"].holds
    row = good() | broken
    assert not by_name(feedback_loop.claims([row, row]))[f"loop-{name}"].holds


def soft_choices_are_sharp(patch: pytest.MonkeyPatch) -> None:
    honest = feedback_loop.filled

    def sharp(store: Store, chance: np.ndarray, loop: Loop) -> np.ndarray:
        return honest(store, chance, loop._replace(sharp=None))

    patch.setattr(feedback_loop, "filled", sharp)


def every_row_is_shown_at_random(patch: pytest.MonkeyPatch) -> None:
    def at_random(store: Store, chance: np.ndarray, loop: Loop) -> np.ndarray:
        return np.full(chance.shape, 1 / chance.shape[1])

    patch.setattr(feedback_loop, "filled", at_random)


def exposure_is_learned_in_the_place_of_purchases(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(feedback_loop, "log_cells", exposed_cells)


def weights_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        feedback_loop, "inverse_propensity_cells", lambda log, clip: exposed_cells(count(log))
    )


def everything_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(feedback_loop, "pooled", lambda one, other: other)


def the_learner_is_perfect(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(feedback_loop, "probabilities", lambda network, store: store.do(1))


MUTATIONS = [
    ("concentrates", the_learner_is_perfect),
    ("below-the-oracle", the_learner_is_perfect),
    ("bought-shows-the-popular", exposure_is_learned_in_the_place_of_purchases),
    ("bought-earns-less", every_row_is_shown_at_random),
    ("weights-spread-a-little", weights_ignored),
    ("weights-are-not-the-cure", the_learner_is_perfect),
    ("weights-change-their-mind", weights_ignored),
    ("keeping-pays", everything_is_forgotten),
    ("keeping-pays-without-weights", everything_is_forgotten),
    ("soft-choices-spread", soft_choices_are_sharp),
    ("soft-choices-cost", every_row_is_shown_at_random),
]


@pytest.mark.parametrize(
    ("name", "breakage"), MUTATIONS, ids=[f"{n}-{b.__name__}" for n, b in MUTATIONS]
)
def test_what_is_claimed_holds_and_does_not_survive_its_breakage(name, breakage):
    for broken in (None, breakage):
        rows = rows_with(broken)
        mean = {what: np.mean([row[what] for row in rows]) for what in rows[0]}
        # twice, so that the interval has no width and the claim's bound decides
        said = by_name(feedback_loop.claims([mean, mean]))
        assert said[f"loop-{name}"].holds == (broken is None)
