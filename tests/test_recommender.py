"""The network: what it can learn and cannot, what never matters, and its checked door."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from recflax.data.batches import Batch, make_batch
from recflax.data.logs import tiny_log
from recflax.fitted import AttentionRecommender, NetworkLoss, cell_loss, fit_network
from recflax.losses import next_item_cross_entropy
from recflax.optimiser import TrainConfig
from recflax.recommender import Recommender, RecommenderConfig, repetition_features

M, L = 11, 7
CONFIG = RecommenderConfig(
    n_items=M, categories=(0, 1, 2) * 3 + (0, 1), width=6, max_length=L, arms=("shown", "not_shown")
)
HISTORY = np.array([[0, 0, 3, 5, 1, 11, 2], [4, 4, 4, 9, 8, 7, 6], [0, 0, 0, 0, 0, 0, 10]])


def network(config: RecommenderConfig = CONFIG, seed: int = 0) -> Recommender:
    return Recommender(config, rngs=nnx.Rngs(seed))


def batch(history: np.ndarray = HISTORY, **more) -> Batch:
    bought = (history % 2 == 1) & (history > 0)
    return make_batch(history, bought, n_items=M, **more)


def histories(rng: np.random.Generator, people: int) -> np.ndarray:
    """Histories of different items and different lengths, at least 4."""
    rows = rng.permuted(np.tile(np.arange(1, M + 1), (people, 1)), axis=1)[:, :L]
    return np.where(np.arange(L) < L - rng.integers(4, L + 1, people)[:, None], 0, rows)


def last_loss(model: Recommender, batch: Batch) -> jax.Array:
    return next_item_cross_entropy(model(batch)[:, 0], batch.target)


TASKS = {
    # which of the items of the history stood two places back: content alone cannot tell
    "copy": lambda history: history[:, -3],
    "plus one": lambda history: history[:, -1] % M + 1,
}


# where the newest event speaks for all, its place is singled out by construction, positions or
# not, so "plus one" needs none there; elsewhere both tasks need them
@pytest.mark.parametrize(
    ("task", "query"),
    [
        ("copy", "candidates"),
        ("copy", "person"),
        ("copy", "newest"),
        ("plus one", "candidates"),
        ("plus one", "person"),
    ],
)
def test_it_learns_what_needs_the_order_and_fails_without_positions(task, query) -> None:
    config = RecommenderConfig(
        n_items=M,
        width=32,
        heads=4,
        max_length=L,
        query=query,
        initial_bias=0.0,
    )
    train = TrainConfig(epochs=20, batch_size=100, learning_rate=1e-2)
    rng = np.random.default_rng(3)
    learn, test = (histories(rng, people) for people in (3000, 1000))
    share = {}
    for positions in (True, False):
        model, _ = fit_network(
            replace(config, positions=positions),
            last_loss,
            make_batch(learn, n_items=M, target=TASKS[task](learn)),
            train,
            key=jax.random.key(1),
        )
        guess = model.scores(make_batch(test, n_items=M)).argmax(axis=1) + 1
        share[positions] = (guess == TASKS[task](test)).mean()
    assert share[True] >= 0.99
    assert share[False] < 0.6


def test_the_number_of_parameters_is_as_the_formula_says() -> None:
    width, arms = CONFIG.width, 2
    attention = 4 * (width * width + width)
    block = (
        attention + 2 * 2 * width + (width * 2 * width + 2 * width) + (2 * width * width + width)
    )
    tables = (M + 3 + L + 2) * width
    rest = 2 * width + attention + arms * width * width + arms * M
    params = nnx.state(network(), nnx.Param)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == tables + block + rest


def test_given_candidates_get_the_scores_that_the_whole_catalogue_gives_them() -> None:
    for config in (
        CONFIG,
        replace(CONFIG, query="newest"),
        replace(CONFIG, query="person"),
        replace(CONFIG, repetition=True),
        replace(CONFIG, query="newest", repetition=True, arms=("shown",)),
    ):
        model = network(config)
        if config.repetition:
            model.repetition[...] = jax.random.normal(jax.random.key(2), model.repetition.shape)
        model.bias[...] = jax.random.normal(jax.random.key(3), model.bias.shape)
        candidates = np.array([[3, 11, 1, 3, 7]] * 3)
        for arm in config.arms:
            whole = model.scores(batch(), arm)
            some = model.scores(batch(candidates=candidates), arm)
            np.testing.assert_allclose(some, whole[:, candidates[0] - 1], rtol=1e-5, atol=1e-6)


def test_the_arms_are_different_and_named() -> None:
    model = network()
    shown, not_shown = (model.scores(batch(), arm) for arm in CONFIG.arms)
    assert not np.allclose(shown, not_shown)
    np.testing.assert_array_equal(model.scores(batch()), shown)
    with pytest.raises(ValueError, match=r"arm must be one of \('shown', 'not_shown'\); got 'on'"):
        model.scores(batch(), "on")


@pytest.mark.parametrize("mask_future", [False, True])
def test_three_places_of_padding_and_ten_give_the_same_scores(mask_future: bool) -> None:
    model = network(replace(CONFIG, max_length=17, mask_future=mask_future))
    short = np.array([[3, 5, 1, 11, 2, 8, 9]])
    scores = [
        model.scores(make_batch(np.pad(short, ((0, 0), (padding, 0))), n_items=M))
        for padding in (0, 3, 10)
    ]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores[2], scores[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("query", ["candidates", "person", "newest"])
def test_an_empty_history_gets_the_bias_and_zero_gradients_elsewhere(query) -> None:
    config = replace(CONFIG, query=query)
    graphdef, params = nnx.split(network(config))
    empty = batch(np.zeros((2, L), int))
    np.testing.assert_array_equal(nnx.merge(graphdef, params)(empty), config.initial_bias)
    slope = jax.grad(lambda params: nnx.merge(graphdef, params)(empty).sum())(params)
    np.testing.assert_array_equal(slope.pop("bias")[...], 2.0)
    for leaf in jax.tree.leaves(slope):
        np.testing.assert_array_equal(leaf, 0)


def test_every_intermediate_comes_from_the_path_that_scores() -> None:
    model = network(replace(CONFIG, blocks=2, repetition=True))
    scores, aux = model.forward(batch())
    np.testing.assert_array_equal(scores, model(batch()))
    shapes = {name: array.shape for name, array in aux.items()}
    assert shapes == {
        "events": (3, L, 6),
        "self_attention_0": (3, 2, L, L),
        "block_0": (3, L, 6),
        "self_attention_1": (3, 2, L, L),
        "block_1": (3, L, 6),
        "history": (3, L, 6),
        "cross_attention": (3, 2, M, L),
        "attended": (3, M, 6),
        "repetition": (3, M, 3),
    }
    weights = np.asarray(aux["cross_attention"])
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert not weights[0, :, :, :2].any()  # padding


def test_the_next_item_is_predicted_from_every_place_without_seeing_it() -> None:
    config = replace(CONFIG, mask_future=True, query="newest")
    model = network(config)
    changed = HISTORY.copy()
    changed[:, -1] = 1
    one, other = (model.next_item_logits(batch(history)) for history in (HISTORY, changed))
    np.testing.assert_array_equal(one[:, :-1], other[:, :-1])
    np.testing.assert_allclose(one[:, -1], model(batch())[:, 0], rtol=1e-5, atol=1e-6)
    leaky = network(replace(config, mask_future=False))
    one, other = (leaky.next_item_logits(batch(history)) for history in (HISTORY, changed))
    assert not np.allclose(one[:2, :-1], other[:2, :-1])


def test_repetition_features_by_hand() -> None:
    features = repetition_features(make_batch([[0, 2, 1, 2, 3]], n_items=5), 5)[0]
    np.testing.assert_allclose(features[:, 0], np.log([2, 3, 2, 1, 1]), rtol=1e-6)
    np.testing.assert_allclose(features[:, 1], [1 / 3, 1 / 2, 1, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(features[:, 2], [1, 1, 1, 0, 0])


def test_rows_are_scored_alike_in_parts_of_any_size() -> None:
    model, data = network(), batch()
    np.testing.assert_allclose(model.scores(data, rows=2), model.scores(data), rtol=1e-5)


@pytest.mark.parametrize(
    ("history", "candidates", "error", "words"),
    [
        (np.array([[0, 12]]), None, ValueError, r"history holds the id 12 at \(0, 1\)"),
        (np.array([[0, -1]]), None, ValueError, "history holds the id -1"),
        (np.array([[0.0, 1.0]]), None, TypeError, "history must hold integers, not float64"),
        (np.array([[1, 0]]), None, ValueError, "padding must be on the left"),
        (np.array([[0, 1]]), np.array([[12]]), ValueError, "candidates holds the id 12"),
        (np.array([[0, 1]]), np.array([[0]]), ValueError, "candidates holds the id 0"),
        (np.array([[0, 1]]), np.array([[np.nan]]), TypeError, "candidates must hold integers"),
        (np.ones((1, 8), int), None, ValueError, "history has 8 places; max_length is 7"),
    ],
)
def test_the_door_names_the_first_offender(history, candidates, error, words) -> None:
    data = Batch(history, history > 0, history > 0, candidates)
    with pytest.raises(error, match=words):
        network().scores(data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_items": 0, "categories": ()}, "n_items must be at least 1; got 0"),
        ({"categories": (0, 1)}, "one for each of 11 items; got 2"),
        ({"categories": (-1,) * 11}, "categories must be at least 0; got -1"),
        ({"blocks": -1}, "blocks must be at least 0"),
        ({"query": "me"}, "query must be one of"),
        ({"arms": ()}, "arms must be different names"),
        ({"arms": ("on", "on")}, "arms must be different names"),
        ({"initial_bias": float("nan")}, "initial_bias must be finite"),
    ],
)
def test_the_config_refuses(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(CONFIG, **change)


def test_equal_shapes_make_equal_losses_so_that_nothing_compiles_twice() -> None:
    losses = [NetworkLoss(nnx.split(network(seed=seed))[0], cell_loss) for seed in (0, 1)]
    assert losses[0] == losses[1]
    assert hash(losses[0]) == hash(losses[1])
    other = NetworkLoss(nnx.split(network(replace(CONFIG, positions=False)))[0], cell_loss)
    assert other != losses[0]
    assert NetworkLoss(losses[0].graphdef, cell_loss, 0.5) != losses[0]


def test_dropped_events_are_hidden_from_attention_and_only_there() -> None:
    graphdef, params = nnx.split(network(replace(CONFIG, repetition=True)))
    data, key = jax.tree.map(jnp.asarray, batch(target=np.full((3, 1), 5))), jax.random.key(3)

    def loss(model: Recommender, batch: Batch) -> jax.Array:
        return model(batch)[0, 0, 0]

    kept = data.mask & jax.random.bernoulli(key, 0.25, data.mask.shape)
    expected = network(replace(CONFIG, repetition=True))(data._replace(mask=kept))[0, 0, 0]
    found = NetworkLoss(graphdef, loss, 0.75)(params, data, key)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found != NetworkLoss(graphdef, loss)(params, data, key)
    with pytest.raises(ValueError, match="drop_events must be from 0 to below 1; got 1"):
        fit_network(CONFIG, loss, data, TrainConfig(), key=key, drop_events=1.0)


def test_each_arm_of_the_cell_loss_is_a_mean_of_its_own() -> None:
    model, rng = network(), np.random.default_rng(0)
    target = rng.random((3, 2, M)).astype("float32")
    weight = rng.random((3, 2, M)).astype("float32")
    data = batch()._replace(target=jnp.asarray(target), weight=jnp.asarray(weight))
    logits = np.asarray(model(data), np.float64)
    cells = np.log1p(np.exp(logits)) - target * logits
    means = (weight * cells).sum((0, 2)) / weight.sum((0, 2))
    np.testing.assert_allclose(cell_loss(model, data), means.sum(), rtol=1e-5)
    heavier = data._replace(weight=data.weight.at[:, 1].multiply(7.0))
    np.testing.assert_allclose(cell_loss(model, heavier), means.sum(), rtol=1e-5)


def test_a_fitted_recommender_answers_by_person_and_refuses_strangers() -> None:
    train = TrainConfig(epochs=3, batch_size=2)
    for objective in ("purchases", "next_basket"):
        one, two = (
            AttentionRecommender(train=train, length=3, objective=objective).fit(
                tiny_log(), key=jax.random.key(5)
            )
            for _ in range(2)
        )
        np.testing.assert_array_equal(one.scores([1, 0]), two.scores([1, 0]))
        np.testing.assert_array_equal(one.scores([1, 0])[1], one.scores([0])[0])
        with pytest.raises(ValueError, match="people holds the id 2"):
            one.scores([0, 2])
    with pytest.raises(RuntimeError, match="fit the recommender before"):
        AttentionRecommender().scores([0])
    with pytest.raises(ValueError, match="objective must be"):
        AttentionRecommender(objective="clicks")
