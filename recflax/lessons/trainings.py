r"""One network, many trainings: what changes is the log, which cells count, and for how much.

`TRAININGS` names them. Each gives a chance of purchase for every person and product, shown and not
shown, so that one lesson can hold them all against the same truth.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from recflax.data.batches import Batch, make_batch
from recflax.fitted import cell_loss, fit_network, squared_cell_loss
from recflax.lessons.cells import (
    ARMS,
    Counts,
    count,
    doubly_robust_cells,
    exposed_cells,
    fit_cells,
    inverse_propensity_cells,
    log_cells,
    probabilities,
)
from recflax.optimiser import TrainConfig
from recflax.recommender import RecommenderConfig
from recflax.worlds.store import Store
from recflax.worlds.store_log import StoreLog

CLIP = 100.0
SLICE = 0.05
"""Share of randomised visits in the log from which the small slice is cut."""

TRAININGS = {
    "log": "purchases of the log",
    "exposed": "exposed rows",
    "ips": "inverse propensity",
    "ips_clipped": "inverse propensity, clipped",
    "dr": "doubly robust",
    "dr_clipped": "doubly robust, clipped",
    "dr_cut": "doubly robust, targets cut to [0, 1]",
    "flag": "intent as a context token",
    "randomised": "a randomised log",
    "slice": "a 5% randomised slice",
}
"""The trainings of the lesson: key and label."""


class Answers(NamedTuple):
    """What a training says of every person and product, each (U, M).

    Attributes:
        shown: the chance of a purchase if it is shown, or of any purchase for ``"log"``.
        not_shown: the chance if it is not; None for ``"log"``.
    """

    shown: np.ndarray
    not_shown: np.ndarray | None


def both_arms(
    store: Store,
    cells: tuple[np.ndarray, np.ndarray],
    key: jax.Array,
    loss: Callable[[Any, Batch], jax.Array] = cell_loss,
) -> Answers:
    """Fit two arms on cells, and ask both."""
    network = fit_cells(store, cells, key=key, loss=loss)
    return Answers(*(probabilities(network, store, arm) for arm in ARMS))


def predict_for_others(store: Store, log: StoreLog, key: jax.Array) -> np.ndarray:
    """(U, M) the exposed network's arm "shown", each half of the people from the other half."""
    target, weight = exposed_cells(count(log))
    people = np.arange(len(target))
    predicted = np.empty(target[:, 0].shape)
    for fold, fold_key in enumerate(jax.random.split(key)):
        learn, ask = people[people % 2 != fold], people[people % 2 == fold]
        cells = target[learn], weight[learn]
        network = fit_cells(store, cells, key=fold_key, people=learn)
        predicted[ask] = probabilities(network, store, "shown")[ask]
    return predicted


def doubly_robust(
    store: Store, log: StoreLog, predicted: np.ndarray, key: jax.Array, *, way: str
) -> tuple[Answers, float]:
    """Fit the doubly robust target, and return the share of negative targets with the answers.

    Args:
        store: the store.
        log: its log.
        predicted: (U, M) from `predict_for_others`.
        key: a random key.
        way: ``"dr"``; ``"dr_clipped"``, weights of at most `CLIP`; or ``"dr_cut"``, where targets
            are cut to [0, 1] so that cross-entropy can be used.
    """
    target, weight = doubly_robust_cells(log, predicted, CLIP if way == "dr_clipped" else None)
    negative = float((target[:, 0] < 0).mean())
    loss = squared_cell_loss
    if way == "dr_cut":
        target, loss = target.clip(0, 1), cell_loss
    return both_arms(store, (target, weight), key, loss), negative


def flag_batch(store: Store, intent: int) -> Batch:
    """Every history with one more event, the newest: a token that says the intent of the visit.

    The tokens are the ids M + 1 and M + 2, in a category of their own.
    """
    token = np.full((len(store.history), 1), store.config.n_items + 1 + intent)
    history = np.concatenate([store.history, token], axis=1)
    bought = np.concatenate([store.bought, np.zeros_like(token, dtype=bool)], axis=1)
    return make_batch(history, bought, n_items=store.config.n_items + 2)


def with_flag(store: Store, log: StoreLog, key: jax.Array) -> Answers:
    """Exposed rows with the intent told as a context token, averaged over the intents afterwards.

    This is adjustment: P(Y | shown, H, z) is learned for each intent, and
    :math:`\\sum_z p(z) P(Y \\mid shown, H, z)` is the answer.

    Raises:
        ValueError: the log does not say the intent.
    """
    if log.intent is None:
        raise ValueError("log must have the intent: store.log(..., log_intent=True)")
    parts = [_only(log, log.intent == z) for z in (0, 1)]
    cells = [exposed_cells(counts) for counts in parts]
    target, weight = (np.concatenate(part) for part in zip(*cells, strict=True))  # (2U, 2, M)
    pad = ((0, 0), (0, 0), (0, 2))  # the tokens are never a candidate
    batches = [flag_batch(store, z) for z in (0, 1)]
    both = Batch(*(np.concatenate(pair) for pair in zip(*(b[:3] for b in batches), strict=True)))
    data = both._replace(target=np.pad(target, pad), weight=np.pad(weight, pad))
    config = RecommenderConfig(
        n_items=store.config.n_items + 2,
        categories=(*store.category.tolist(), *[store.config.n_categories] * 2),
        max_length=store.config.length + 1,
        arms=ARMS,
    )
    network, _ = fit_network(config, cell_loss, data, TrainConfig(), key=key)
    often = float(log.intent.mean())
    arms = []
    for arm in ARMS:
        given = [network.scores(batch, arm=arm)[:, :-2].astype(float) for batch in batches]
        none, some = (1 / (1 + np.exp(-logits)) for logits in given)
        arms.append((1 - often) * none + often * some)
    return Answers(*arms)


def _only(log: StoreLog, rows: np.ndarray) -> Counts:
    """Counts of some rows of a log."""
    people, items = len(log.histories[0]), len(log.items)
    purchases, shown, bought_shown = (np.zeros((people, items), np.float32) for _ in range(3))
    kept = rows[log.purchase_row]
    cells = log.person[log.purchase_row[kept]], log.purchase_item[kept] - 1
    np.add.at(purchases, cells, 1)
    slot = log.person[rows], log.shown[rows] - 1
    np.add.at(shown, slot, 1)
    np.add.at(bought_shown, slot, log.bought_shown[rows].astype(np.float32))
    visits = np.bincount(log.person[rows], minlength=people)[:, None].astype(np.float32)
    return Counts(visits, shown, bought_shown, purchases)


def train(store: Store, name: str, key: jax.Array) -> tuple[Answers, dict[str, float]]:
    """Train the network in one way, and say what else there is to know of it.

    Args:
        store: the store.
        name: a key of `TRAININGS`.
        key: a random key; which training it is goes into it.

    Returns:
        The answers, and ``{"negative_targets": share}`` for ``"dr"``.
    """
    key = jax.random.fold_in(key, tuple(TRAININGS).index(name))
    log = store.log(log_intent=name == "flag")
    if name == "log":
        network = fit_cells(store, log_cells(count(log)), key=key)
        return Answers(probabilities(network, store), None), {}
    if name == "flag":
        return with_flag(store, log, key), {}
    if name.startswith("dr"):
        keys = jax.random.split(key)
        predicted = predict_for_others(store, log, keys[0])
        answers, negative = doubly_robust(store, log, predicted, keys[1], way=name)
        return answers, {"negative_targets": negative} if name == "dr" else {}
    cells = {
        "exposed": lambda: exposed_cells(count(log)),
        "ips": lambda: inverse_propensity_cells(log),
        "ips_clipped": lambda: clipped_cells(log),
        "randomised": lambda: exposed_cells(count(store.log(rand=1.0))),
        "slice": lambda: slice_cells(store.log(rand=SLICE)),
    }
    return both_arms(store, cells[name](), key), {}


def slice_cells(log: StoreLog) -> tuple[np.ndarray, np.ndarray]:
    """The exposed cells of the randomised visits alone."""
    return exposed_cells(_only(log, log.randomised))


def clipped_cells(log: StoreLog) -> tuple[np.ndarray, np.ndarray]:
    """Clipped weights for the arm "shown", and the other arm as exposed."""
    weighted, exposed = inverse_propensity_cells(log, CLIP), exposed_cells(count(log))
    target, weight = (
        np.stack([w[:, 0], e[:, 1]], axis=1) for w, e in zip(weighted, exposed, strict=True)
    )
    return target, weight
