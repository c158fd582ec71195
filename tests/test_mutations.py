"""Proof that a claim can fail: the library is broken on purpose, one thing at a time.

Each case names a claim of a lesson, or a check written here. It is made afresh on small stores,
first with the library as it is, where it holds, and then with one thing broken, where it must not.
Networks are drawn and trained anew on both sides; nothing is read from a table.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from recflax import cross_attention, explain, fairness, fitted, privacy, self_attention
from recflax.causal import effects, logged
from recflax.causal.effects import cross_fit, doubly_robust
from recflax.data.batches import Batch, make_batch
from recflax.fitted import basket_loss, fit_network
from recflax.intervals import mean_over_people
from recflax.lessons import (
    anyway,
    causal_loss,
    cells,
    feedback_loop,
    gaps,
    private_training,
    sampled_softmax,
    trainings,
    weighting_limits,
    wrong_question,
)
from recflax.lessons.statements import by_name
from recflax.losses import binary_cross_entropy, next_item_cross_entropy
from recflax.optimiser import TrainConfig
from recflax.privacy_account import largest_advantage
from recflax.recommender import Recommender, RecommenderConfig
from recflax.scale import sharding, top_k
from recflax.worlds.store import Store, StoreConfig, build_store
from recflax.worlds.store_truth import Truth

SEEDS = (3, 5, 7)


# ------------------------------------------------------------- what is claimed, made afresh


def gap_claim(name: str) -> bool:
    """An exact claim of the three gaps, on small stores."""
    return by_name(gaps.claims([gaps.run(seed, 101) for seed in SEEDS]))[name].holds


def slot_claim(name: str) -> bool:
    """A claim of what would be bought anyway, with exact rankings in the place of learned ones."""
    rows = []
    for seed in SEEDS:
        store = build_store(StoreConfig(n_people=211), seed)
        scores = dict.fromkeys(anyway.POLICIES, store.do(1)) | {"uplift": store.uplift()}
        row = {f"o_pop_{o:g}_{name}": 0.0 for o in anyway.O_POP for name in ("do", "uplift")}
        for policy, score in scores.items():
            parts = anyway.split(store, store.greedy(score))
            row |= {f"{policy}_{part}": value for part, value in parts.items()}
            row[f"{policy}_revenue"] = anyway.revenue(store, score)
        rows.append(row)
    return by_name(anyway.claims(rows))[name].holds


def question_row(seed: int, size: int, networks: bool) -> dict[str, float]:
    """A row of lesson 1; without networks their places are taken by popularity."""
    store = build_store(StoreConfig(n_people=size), seed)
    heldout = store.log(wrong_question.HELD_OUT_VISITS, stream="heldout")
    log = store.log(wrong_question.VISITS)
    key = jax.random.key(seed)
    answers = wrong_question.classical(store, log, key) | wrong_question.untrained(store)
    if networks:
        answers |= wrong_question.networks(store, log, key)
    row = {"more_visits_attention_ndcg": 0.0, "more_visits_factors_ndcg": 0.0}
    for model in wrong_question.MODELS:
        values = wrong_question.measure(store, heldout, answers.get(model, answers["popularity"]))
        row |= {f"{model}_{measure}": value for measure, value in values.items()}
    shown = answers.get("attention_exposed", answers["popularity"]).scores
    return row | wrong_question.campaign_check(store, heldout, shown)


def ranking_claim(name: str) -> bool:
    """A claim of lesson 1 for which nothing but classical recommenders is fitted."""
    return by_name(wrong_question.claims([question_row(s, 700, False) for s in SEEDS]))[name].holds


def network_claim(name: str) -> bool:
    """A claim of lesson 1 about networks, trained afresh on one store.

    Its row is taken twice, so that the interval has no width and the claim's bound decides.
    """
    return by_name(wrong_question.claims([question_row(3, 1_500, True)] * 2))[name].holds


def weighting_finds_the_uniform_policy() -> bool:
    """The logged propensities weigh the log to what a uniform draw would sell, within 4 errors."""
    store = build_store(StoreConfig(n_people=2_000), 3)
    log = store.log()
    weight = 1 / store.config.n_items / log.propensity
    found = mean_over_people(weight * log.bought_shown, log.person)
    return abs(found.value - store.do(1).mean()) < 4 * found.std_error


def limits_claim(name: str) -> bool:
    """A claim of the limits of weighting, made afresh on small stores."""
    rows = [weighting_limits.run(seed, 499) for seed in SEEDS]
    return by_name(weighting_limits.claims(rows))[name].holds


def exposed_rows_have_a_limit() -> bool:
    """A perfect fit to exposed rows is wrong about do(show) on the campaign."""
    store = build_store(StoreConfig(n_people=499), 3)
    limit = trainings.Answers(store.see_exposed(), None)
    return causal_loss.measure(store, limit)["campaign"] > 0.02


def weighted_cells_are_do() -> bool:
    """Sums of inverse-propensity weights times purchases are do(show), within 4 errors."""
    store = build_store(StoreConfig(n_people=1_500), 3)
    target, weight = cells.inverse_propensity_cells(store.log())
    found = mean_over_people((target * weight)[:, 0].mean(axis=1) / 8)
    return abs(found.value - store.do(1).mean()) < 4 * found.std_error


def cross_fitting_survives_learning_by_heart() -> bool:
    """A learner that repeats what it was taught is no harm to an effect that is zero.

    Treatment is a coin and the outcome another one; each row has a feature of its own. On other
    folds the learner knows nothing and says the mean; on its own fold it knows the answer, which
    makes the standard error vanish.
    """
    rng = np.random.default_rng(5)
    n = 1_000
    log = logged.Treated(rng.random(n) < 0.5, (rng.random(n) < 0.5).astype(float))

    def by_heart(known: np.ndarray, treatment: np.ndarray, outcome: np.ndarray, key: jax.Array):
        taught = dict(zip(known.tolist(), outcome.tolist(), strict=True))

        def predict(asked: np.ndarray) -> tuple[np.ndarray, ...]:
            answer = np.array([taught.get(row, outcome.mean()) for row in asked.tolist()])
            return np.full(len(asked), 0.5), answer, answer

        return predict

    found = doubly_robust(log, cross_fit(log, np.arange(n), by_heart, key=jax.random.key(0)))
    coin = 1 / np.sqrt(n)  # standard deviation of a difference of two halves of coins
    return 0.9 * coin < found.std_error < 1.1 * coin


def newest_event_is_read() -> bool:
    """A small network learns to name the newest of five events, which takes their order."""
    rng = np.random.default_rng(0)
    history = rng.integers(1, 8, size=(900, 5)).astype(np.int32)
    data = make_batch(history, n_items=7)._replace(target=history[:, -1:])
    config = RecommenderConfig(n_items=7, width=8, max_length=5, initial_bias=0.0)
    train = TrainConfig(epochs=30, batch_size=100, learning_rate=1e-2)
    fitted, _ = fit_network(config, basket_loss, data, train, key=jax.random.key(0))
    fresh = rng.integers(1, 8, size=(400, 5)).astype(np.int32)
    chosen = fitted.scores(make_batch(fresh, n_items=7)).argmax(axis=1) + 1
    return bool((chosen == fresh[:, -1]).mean() > 0.9)


def next_loss(network: Recommender, batch: Batch) -> jax.Array:
    """Cross-entropy of the next item at every place but the last."""
    return next_item_cross_entropy(network.next_item_logits(batch)[:, :-1], batch.history[:, 1:])


def nobody_predicts_a_coin() -> bool:
    """On sequences drawn at random no network can go below the logarithm of their items."""
    rng = np.random.default_rng(0)
    sequences = (rng.integers(1, 6, size=(600, 7)).astype(np.int32) for _ in range(2))
    data, fresh = (make_batch(s, n_items=5) for s in sequences)
    config = RecommenderConfig(n_items=5, width=8, max_length=7, mask_future=True, initial_bias=0.0)
    train = TrainConfig(epochs=20, batch_size=100, learning_rate=1e-2)
    fitted, _ = fit_network(config, next_loss, data, train, key=jax.random.key(0))
    return bool(next_loss(fitted, fresh) > jnp.log(5) - 0.02)


def padding_does_not_count() -> bool:
    """The same three events get the same scores behind two places of padding and behind nine."""
    network = Recommender(RecommenderConfig(n_items=7, max_length=12), rngs=nnx.Rngs(0))
    short, long = (
        network.scores(make_batch([[0] * padding + [3, 1, 2]], n_items=7)) for padding in (2, 9)
    )
    return bool(np.abs(short - long).max() < 1e-5)


def a_sample_has_the_optimum_of_the_whole() -> bool:
    """Sixteen negatives, all logits corrected, learn the law of the next of seven items."""
    small = sampled_softmax.problem(3, kinds=2, n_items=7)
    found = sampled_softmax.learned(small, "both", 16, jax.random.key(0))
    return sampled_softmax.divergence(small.chance, found) < 0.02


def rows_that_fill_up_do_not_count() -> bool:
    """The loss over eleven items is the same with two more rows, whatever stands in them."""
    batch = make_batch([[3, 1, 2]], n_items=11)._replace(target=jnp.array([[1, 2, 5]]))
    config = RecommenderConfig(n_items=13, max_length=3, mask_future=True)
    graphdef, params = nnx.split(Recommender(config, rngs=nnx.Rngs(0)))
    losses = []
    for filler in (0.0, 9.0):
        changed = jax.tree.map(
            lambda a, filler=filler: a.at[-2:].set(filler) if a.shape[:1] in {(13,), (14,)} else a,
            params,
        )
        losses.append(sharding.CatalogueLoss(graphdef, 11)(changed, batch))
    return bool(abs(losses[0] - losses[1]) < 1e-6)


def ties_are_listed_in_order() -> bool:
    """A list from blocks is that of a full sort, where most scores are equal."""
    rng = np.random.default_rng(0)
    people = rng.integers(-1, 2, (5, 3)).astype(np.float32)
    items = rng.integers(-1, 2, (101, 3)).astype(np.float32)
    _, listed = top_k.streaming_top_k(people, top_k.cut(items, 13), 17)
    full = np.argsort(-(people @ items.T), axis=1, kind="stable")[:, :17] + 1
    return bool((np.asarray(listed) == full).all())


def the_account_is_not_exceeded() -> bool:
    """Somebody who sees a noisy sum guesses who was there no better than the account says.

    Two others are drawn for sure, she with chance .3; every gradient is 50, and the norm 1.
    """

    def steep(slope: jax.Array, batch: jax.Array, key: jax.Array) -> jax.Array:
        return 50 * (slope * batch).sum()

    def step(she: bool, key: jax.Array) -> jax.Array:
        drawn_key, noise_key = jax.random.split(key)
        drawn = jnp.array([True, True, she]) & jnp.array(
            [True, True, jax.random.bernoulli(drawn_key, 0.3)]
        )
        how = {"clip_norm": 1.0, "noise_multiplier": 2.0, "batch_size": 1, "key": noise_key}
        return privacy.private_gradient(steep, 1.0, jnp.ones(3), drawn, **how)

    draws, keys = 6_000, jax.random.split(jax.random.key(0), (2, 6_000))
    sums = [
        jax.jit(jax.vmap(partial(step, she)))(k) for she, k in zip((True, False), keys, strict=True)
    ]
    seen = float((sums[0] > 2.5).mean() - (sums[1] > 2.5).mean())
    return abs(seen - largest_advantage(2.0, 0.3, 1)) < 4 * (0.5 / draws) ** 0.5


def learning_by_heart_is_found_out() -> bool:
    """The loss of a network that saw few people many times tells who they were."""
    task = private_training.make_task(3, 151)
    heart = TrainConfig(epochs=150, batch_size=30, learning_rate=1e-2)
    trained = private_training.train(task, heart, jax.random.key(0))
    found = private_training.attacks(task, private_training.losses(task, trained))
    return found["loss_auc"] > 0.7


def every_event_can_be_removed() -> bool:
    """A network that reads all events says something else without any one of them."""
    network = Recommender(RecommenderConfig(n_items=7, max_length=5), rngs=nnx.Rngs(0))
    batch = make_batch([[0, 3, 1, 2, 5]], n_items=7)
    effect = np.abs(explain.leave_one_out(network, batch)).max(axis=1)[0]
    return bool(effect[0] == 0 and (effect[1:] > 0).all())


def shares_are_met() -> bool:
    """Four groups get the exposure that they ask for."""
    store = build_store(StoreConfig(n_people=101), 3)
    share = np.array([0.1, 0.2, 0.3, 0.4])
    groups = np.arange(store.config.n_items) % 4
    found = fairness.fair_policy(store.uplift(), groups, share)
    return bool(np.abs(fairness.group_exposure(found.policy, groups) - share).max() < 1e-9)


def an_own_log_is_not_confounded() -> bool:
    """What is bought under display of one's own policy is what display makes people buy."""
    store = build_store(StoreConfig(n_people=101), 3)
    policy = np.full((101, store.config.n_items), 1 / store.config.n_items)
    own = feedback_loop.run_by(store, policy)
    return bool(np.abs(own.see_exposed() - own.do(1)).max() < 1e-12)


# ----------------------------------------------------------------------- what is broken


def see_in_the_place_of_do(patch: pytest.MonkeyPatch) -> None:
    exact = Truth.do
    patch.setattr(Truth, "do", lambda self, t: self.see_exposed() if t == 1 else exact(self, 0))


def the_campaign_follows_intent_always(patch: pytest.MonkeyPatch) -> None:
    exact, strong = Truth.display, StoreConfig().g_e

    def display(self: Store, z: int) -> np.ndarray:
        return exact(replace(self, config=replace(self.config, g_e=strong)), z)

    patch.setattr(Truth, "display", display)


def uplift_forgets_to_subtract(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Truth, "uplift", lambda self: self.do(1))


def propensities_shuffled(patch: pytest.MonkeyPatch) -> None:
    draw = Store.log

    def shuffled(self: Store, *arguments: object, **named: object) -> object:
        log = draw(self, *arguments, **named)
        return replace(log, propensity=np.random.default_rng(0).permutation(log.propensity))

    patch.setattr(Store, "log", shuffled)


def ties_in_favour_of_the_model(patch: pytest.MonkeyPatch) -> None:
    honest = wrong_question.ndcg_at_k

    def flattering(scores: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
        return honest(scores + 1e-9 * relevant, relevant, k)

    patch.setattr(wrong_question, "ndcg_at_k", flattering)


def the_future_in_the_log(patch: pytest.MonkeyPatch) -> None:
    draw = Store.log
    patch.setattr(Store, "log", lambda self, visits=8, stream="log": draw(self, visits, "log"))


def weights_ignored(patch: pytest.MonkeyPatch) -> None:
    def unweighted(logits: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
        return binary_cross_entropy(logits, target)

    patch.setattr(fitted, "binary_cross_entropy", unweighted)


def all_rows_in_the_place_of_the_exposed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(wrong_question, "exposed_cells", cells.log_cells)


def positions_off(patch: pytest.MonkeyPatch) -> None:
    encode = Recommender.encode

    def without_place(self: Recommender, batch: Batch) -> object:
        self.place[...] = jnp.zeros_like(self.place[...])
        return encode(self, batch)

    patch.setattr(Recommender, "encode", without_place)


def future_mask_off(patch: pytest.MonkeyPatch) -> None:
    draw = self_attention.SelfAttention.__init__

    def seeing(self: object, *arguments: object, mask_future: bool, **named: object) -> None:
        draw(self, *arguments, mask_future=False, **named)

    patch.setattr(self_attention.SelfAttention, "__init__", seeing)


def padding_mask_ignored(patch: pytest.MonkeyPatch) -> None:
    for module in (self_attention, cross_attention):
        honest = module.scaled_dot_product_attention
        patch.setattr(
            module,
            "scaled_dot_product_attention",
            lambda query, key, value, mask=None, honest=honest: honest(query, key, value),
        )


def the_logged_propensity_ignored(patch: pytest.MonkeyPatch) -> None:
    def as_if_uniform(self: logged.Logged, policy: np.ndarray) -> np.ndarray:
        return policy[self.context, self.action] * policy.shape[1]

    patch.setattr(logged.Logged, "weight", as_if_uniform)


def clipping_that_always_applies(patch: pytest.MonkeyPatch) -> None:
    honest = cells.inverse_propensity
    patch.setattr(cells, "inverse_propensity", lambda e, clip=None: honest(e, 10.0))


def the_same_fold_for_fit_and_use(patch: pytest.MonkeyPatch) -> None:
    honest = effects._parts
    patch.setattr(effects, "_parts", lambda fold, number: (honest(fold, number)[1],) * 2)


def corrections_ignored(patch: pytest.MonkeyPatch) -> None:
    honest = sampled_softmax.sampled_cross_entropy
    patch.setattr(
        sampled_softmax,
        "sampled_cross_entropy",
        lambda right, negative, expected=None, weight=None: honest(right, negative, weight=weight),
    )


def fillers_take_part(patch: pytest.MonkeyPatch) -> None:
    def all_rows(self: sharding.CatalogueLoss, params: object, batch: Batch) -> jax.Array:
        network = nnx.merge(self.graphdef, params)
        return next_item_cross_entropy(network.next_item_logits(batch), batch.target)

    patch.setattr(sharding.CatalogueLoss, "__call__", all_rows)


def newer_blocks_first(patch: pytest.MonkeyPatch) -> None:
    honest = top_k.top_k_of

    def from_the_right(values: jax.Array, ids: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
        return honest(values[:, ::-1], ids[:, ::-1], k)

    patch.setattr(top_k, "top_k_of", from_the_right)


def changed_aggregate(patch: pytest.MonkeyPatch, clip: float, noise: float) -> None:
    honest = optax.contrib.differentially_private_aggregate

    def changed(norm: float, multiplier: float, key: jax.Array) -> optax.GradientTransformation:
        return honest(norm * clip, multiplier * noise, key)

    patch.setattr(optax.contrib, "differentially_private_aggregate", changed)


def clipping_off(patch: pytest.MonkeyPatch) -> None:
    changed_aggregate(patch, clip=1_000.0, noise=0.001)


def noise_halved(patch: pytest.MonkeyPatch) -> None:
    changed_aggregate(patch, clip=1.0, noise=0.5)


def trained_on_other_people(patch: pytest.MonkeyPatch) -> None:
    honest = private_training.train

    def elsewhere(task: private_training.Task, *arguments: object) -> private_training.Trained:
        return honest(task, *arguments, people=task.pool)

    patch.setattr(private_training, "train", elsewhere)


def nothing_removed(patch: pytest.MonkeyPatch) -> None:
    def as_it_was(batch: Batch) -> Batch:
        places = np.shape(batch.history)[1]
        return Batch(*(np.repeat(np.asarray(part)[:, None], places, 1) for part in batch[:3]))

    patch.setattr(explain, "without_each", as_it_was)


def everybody_gets_the_best(patch: pytest.MonkeyPatch) -> None:
    def unconstrained(loss: np.ndarray, share: object, *, exactly: bool = True) -> np.ndarray:
        return np.eye(loss.shape[1])[loss.argmin(axis=1)]

    patch.setattr(fairness, "transport", unconstrained)


def the_old_policy_still_runs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(feedback_loop, "run_by", lambda store, policy: store)


MUTATIONS: list[tuple[Callable[[], bool], Callable[[pytest.MonkeyPatch], None]]] = [
    (lambda: gap_claim("confounding-campaign"), see_in_the_place_of_do),
    (lambda: gap_claim("confounding-zero-untargeted"), the_campaign_follows_intent_always),
    (lambda: slot_claim("increment-prefers-uplift"), uplift_forgets_to_subtract),
    (weighting_finds_the_uniform_policy, propensities_shuffled),
    (lambda: ranking_claim("constant-score-is-chance"), ties_in_favour_of_the_model),
    (lambda: ranking_claim("perfect-log-ndcg"), the_future_in_the_log),
    (lambda: network_claim("calibrated-on-the-log"), weights_ignored),
    (lambda: network_claim("exposed-increment"), all_rows_in_the_place_of_the_exposed),
    (lambda: limits_claim("weighting-unbiased"), the_logged_propensity_ignored),
    (exposed_rows_have_a_limit, see_in_the_place_of_do),
    (weighted_cells_are_do, clipping_that_always_applies),
    (cross_fitting_survives_learning_by_heart, the_same_fold_for_fit_and_use),
    (newest_event_is_read, positions_off),
    (nobody_predicts_a_coin, future_mask_off),
    (padding_does_not_count, padding_mask_ignored),
    (a_sample_has_the_optimum_of_the_whole, corrections_ignored),
    (rows_that_fill_up_do_not_count, fillers_take_part),
    (ties_are_listed_in_order, newer_blocks_first),
    (the_account_is_not_exceeded, clipping_off),
    (the_account_is_not_exceeded, noise_halved),
    (learning_by_heart_is_found_out, trained_on_other_people),
    (every_event_can_be_removed, nothing_removed),
    (shares_are_met, everybody_gets_the_best),
    (an_own_log_is_not_confounded, the_old_policy_still_runs),
]


@pytest.fixture
def nothing_compiled_is_kept() -> Iterator[None]:
    """What was compiled from a broken library must not serve a whole one."""
    yield
    jax.clear_caches()


@pytest.mark.parametrize(
    ("holds", "breakage"), MUTATIONS, ids=[breakage.__name__ for _, breakage in MUTATIONS]
)
@pytest.mark.usefixtures("nothing_compiled_is_kept")
def test_what_is_claimed_holds_and_does_not_survive_its_breakage(holds, breakage):
    assert holds()
    with pytest.MonkeyPatch.context() as patch:
        breakage(patch)
        jax.clear_caches()  # what was compiled from the whole library must not serve a broken one
        assert not holds()
