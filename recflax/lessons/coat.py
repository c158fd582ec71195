r"""Coat: what inverse-propensity weights gain on real ratings that people chose to give.

Matrix factorisation with and without weights, as in table 2 of Schnabel et al. (2016); then two
rows that say what the gain is (each fit moved by one constant; the order within a person); then an
attention recommender under both losses. The seeds are random starts and folds: there is one Coat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy import stats

from recflax.data.batches import Batch, make_batch
from recflax.data.coat import Coat, load
from recflax.intervals import mean_over_seeds
from recflax.lessons.statements import Statement, column
from recflax.losses import squared_error
from recflax.optimiser import TrainConfig
from recflax.ratings import fit_ratings
from recflax.recommender import Recommender, RecommenderConfig
from recflax.training import fit

STARTS = "random starts"
PENALTIES = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0)
FOLDS = 5
WAYS = {"naive": "no weights", "ips": "inverse propensity"}


def weights(coat: Coat, way: str) -> np.ndarray:
    """(U, M) the weight of each cell of ``train`` in one of `WAYS`, 0 where there is no rating.

    Example:
        >>> seen = np.array([[3, 0]])
        >>> tables = Coat(seen, seen, np.array([[0.5, 0.1]]), seen, seen)
        >>> weights(tables, "naive").tolist(), weights(tables, "ips").tolist()
        ([[1.0, 0.0]], [[2.0, 0.0]])
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {tuple(WAYS)}; got {way!r}")
    weight = 1 / coat.propensities if way == "ips" else np.ones_like(coat.propensities)
    return np.where(coat.train > 0, weight, 0.0)


def choose_penalty(coat: Coat, way: str, seed: int) -> tuple[float, np.ndarray]:
    """Choose the penalty by cross-validation inside ``train``, with the loss that is minimised.

    Args:
        coat: the tables; ``test`` is not looked at.
        way: a key of `WAYS`: the held-out error has the same weights as the fit.
        seed: of the folds and the starts.

    Returns:
        The penalty of `PENALTIES` with the least error, and the errors (P,).
    """
    weight = weights(coat, way)
    fold = np.random.default_rng(seed).integers(0, FOLDS, coat.train.shape)
    errors = np.zeros(len(PENALTIES))
    for number, penalty in enumerate(PENALTIES):
        for left_out in range(FOLDS):
            held = (fold == left_out) & (coat.train > 0)
            kept = np.where(held, 0, coat.train)
            key = jax.random.key(seed)
            predicted = fit_ratings(kept, weight, penalty=penalty, steps=100, key=key)
            wrong = np.square(predicted - coat.train)
            errors[number] += (weight * wrong)[held].sum() / weight.sum()
    return PENALTIES[int(errors.argmin())], errors


def measure(coat: Coat, predicted: np.ndarray, *, shared: bool = True) -> dict[str, float]:
    """Errors of predicted ratings (U, M) on the uniformly random test.

    Args:
        coat: the tables.
        predicted: (U, M).
        shared: whether the cells that are in ``train`` too count.

    Returns:
        ``mse`` and ``mae``; ``level``, the mean error; ``moved_mse``, the error of the same
        predictions moved by that constant; and ``order``, the rank correlation within a person,
        mean over those whose ratings differ.
    """
    counts = (coat.test > 0) & (shared | (coat.train == 0))
    error = (predicted - coat.test)[counts]
    return {
        "mse": float(np.square(error).mean()),
        "mae": float(np.abs(error).mean()),
        "level": float(error.mean()),
        "moved_mse": float(np.square(error - error.mean()).mean()),
        "order": float(np.nanmean(order_within(coat, predicted, counts))),
    }


def order_within(coat: Coat, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(U,) Spearman's correlation of predicted and given ratings; NaN where all given are alike."""
    found = np.full(len(predicted), np.nan)
    for person, here in enumerate(counts):
        given = coat.test[person, here]
        if len({*given.tolist()}) > 1:
            found[person] = stats.spearmanr(predicted[person, here], given).statistic
    return found


@dataclass(frozen=True)
class CoatLoss:
    r"""Weighted squared error of ratings that the network does not see among its events.

    Every event of a person is hidden with chance one half, and the hidden ones are the targets:
    :math:`\hat y = 1 + 4 \sigma(s)`. Without hiding, a network would read the answer off its input.

    Attributes:
        graphdef: the network without its numbers.
    """

    graphdef: nnx.GraphDef

    def __call__(self, params: Any, batch: Batch, key: jax.Array) -> jax.Array:
        """Return the loss of a batch with targets (B, M), scaled to [0, 1], and weights (B, M)."""
        hidden = jax.random.bernoulli(key, 0.5, batch.mask.shape)
        network = nnx.merge(self.graphdef, params)
        scores = network(batch._replace(mask=batch.mask & ~hidden))[:, 0]  # (B, M)
        rows = jnp.arange(len(hidden))[:, None]
        asked = jnp.zeros_like(scores).at[rows, batch.history - 1].max(hidden & batch.mask)
        return squared_error(scores, batch.target, asked * batch.weight)


def attention_ratings(coat: Coat, way: str, key: jax.Array) -> np.ndarray:
    """Predicted ratings (U, M) of the book's network, which reads the coats that a person rated.

    The history has no order here, so places are off; an event is marked where the rating is 4 or
    5. The coats' jacket types are the categories.
    """
    rated = [np.flatnonzero(row) for row in coat.train > 0]
    length = max(len(coats) for coats in rated)
    history = np.array([np.pad(coats + 1, (length - len(coats), 0)) for coats in rated])
    rating = np.take_along_axis(coat.train, np.maximum(history, 1) - 1, axis=1)
    coats = coat.train.shape[1]
    batch = make_batch(history, (rating >= 4) & (history > 0), n_items=coats)
    config = RecommenderConfig(
        n_items=coats,
        categories=tuple(coat.item_features[:, 2:18].argmax(axis=1).tolist()),
        width=16,
        max_length=length,
        positions=False,
        initial_bias=-0.5,
    )
    weight = weights(coat, way)
    weight *= (weight > 0).sum() / weight.sum()
    data = batch._replace(
        target=((coat.train - 1.0) / 4).clip(0).astype(np.float32),
        weight=weight.astype(np.float32),
    )
    start_key, fit_key = jax.random.split(key)
    graphdef, params = nnx.split(Recommender(config, rngs=nnx.Rngs(params=start_key)))
    train = TrainConfig(epochs=100, batch_size=58, learning_rate=4e-3, weight_decay=3.0)
    result = fit(params, CoatLoss(graphdef), Batch(*data), train, key=fit_key)
    logits = nnx.merge(graphdef, result.params).scores(batch)
    return 1 + 4 / (1 + np.exp(-logits.astype(float)))


def predict(coat: Coat, model: str, way: str, seed: int, penalty: float = 5.0) -> np.ndarray:
    """Ratings (U, M) by one of ``"factors"`` and ``"attention"``, fitted in one of `WAYS`."""
    key = jax.random.key(seed)
    if model == "attention":
        return attention_ratings(coat, way, key)
    return fit_ratings(coat.train, weights(coat, way), penalty=penalty, key=key)


def run(seed: int, size: int = 0) -> dict[str, float]:
    """One row: both models in both ways, with the penalty that cross-validation chose.

    Args:
        seed: of the starts and the folds.
        size: not used; Coat has 290 people.

    Returns:
        ``seed``, ``people``; ``way_penalty``; and ``model_way_measure`` for every measure of
        `measure`, and ``model_way_apart_mse`` without the cells that are in both tables.
    """
    coat = load()
    row: dict[str, float] = {"seed": seed, "people": len(coat.train)}
    for way in WAYS:
        penalty, _ = choose_penalty(coat, way, seed)
        row[f"{way}_penalty"] = penalty
        for model in ("factors", "attention"):
            predicted = predict(coat, model, way, seed, penalty)
            found = measure(coat, predicted)
            found["apart_mse"] = measure(coat, predicted, shared=False)["mse"]
            row |= {f"{model}_{way}_{name}": value for name, value in found.items()}
    return row


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a start, at least two.
    """
    naive, ips = (column(rows, f"factors_{way}_mse") for way in WAYS)
    moved = column(rows, "factors_naive_moved_mse") - column(rows, "factors_ips_moved_mse")

    def statement(
        name: str, sentence: str, values: np.ndarray, low: float | None, high: float | None
    ) -> Statement:
        estimate = mean_over_seeds(values, target=STARTS)
        return Statement(name, sentence, estimate, at_least=low, at_most=high, seeds=len(rows))

    return [
        statement(
            "coat-naive",
            "On Coat, matrix factorisation without weights has the error that Schnabel et al. "
            "print (1.202), to .03: test MSE.",
            naive,
            1.18,
            1.23,
        ),
        statement(
            "coat-ips",
            "On Coat, with inverse propensities, it has the error that they print (1.093), to .03: "
            "test MSE.",
            ips,
            1.08,
            1.12,
        ),
        statement(
            "coat-gap",
            "On Coat inverse-propensity weights lower the error: test MSE without minus with.",
            naive - ips,
            0.08,
            None,
        ),
        statement(
            "coat-gain-is-level",
            "On Coat most of that gain is the level of the ratings: with each fit moved by one "
            "constant, less than half of it is left. The share that is left.",
            moved / (naive - ips),
            None,
            0.5,
        ),
        statement(
            "coat-attention-behind",
            "With the few ratings of Coat the attention recommender is behind matrix "
            "factorisation, without weights: MSE, how far.",
            column(rows, "attention_naive_mse") - naive,
            0.0,
            None,
        ),
    ]
