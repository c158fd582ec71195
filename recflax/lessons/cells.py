"""The targets of the lessons' networks: a cell for each person and item, an arm for each world.

What changes between the lessons is never the network: it is which cells count, and for how much.
A person of the store has one history, so her visits can be counted into one row of M cells.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from recflax.data.batches import Batch, make_batch
from recflax.fitted import cell_loss, fit_network
from recflax.losses import doubly_robust_target, inverse_propensity
from recflax.optimiser import TrainConfig
from recflax.recommender import Recommender, RecommenderConfig
from recflax.worlds.store import Store
from recflax.worlds.store_log import StoreLog

ARMS = ("shown", "not_shown")


class Counts(NamedTuple):
    """A log of the store, counted by person and item.

    Attributes:
        visits: (U, 1) visits of each person.
        shown: (U, M) visits at which the item was in the slot.
        bought_shown: (U, M) those of them at which it was bought.
        purchases: (U, M) visits at which it was bought, shown or not.
    """

    visits: np.ndarray
    shown: np.ndarray
    bought_shown: np.ndarray
    purchases: np.ndarray

    @property
    def bought_not_shown(self) -> np.ndarray:
        """(U, M) visits at which the item was bought without being in the slot."""
        return self.purchases - self.bought_shown


def count(log: StoreLog) -> Counts:
    """Counts a log of the store."""
    purchases = log.counts().astype(np.float32)
    shown = log.shown_counts().astype(np.float32)
    bought_shown = log.shown_counts(log.bought_shown).astype(np.float32)
    visits = np.full((len(purchases), 1), log.n_visits, np.float32)
    return Counts(visits, shown, bought_shown, purchases)


def share(successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Successes over trials, and 0 where nothing was tried (such a cell gets no weight)."""
    return np.divide(successes, trials, out=np.zeros_like(successes), where=trials > 0)


def log_cells(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """Was it bought at the visit: targets and weights (U, 1, M), every visit counts once."""
    visits = np.broadcast_to(counts.visits, counts.purchases.shape)
    return share(counts.purchases, visits)[:, None], np.array(visits)[:, None]


def exposed_cells(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """Was it bought when shown, when not: targets and weights (U, 2, M), each visit in one arm."""
    rest = counts.visits - counts.shown
    target = share(counts.bought_shown, counts.shown), share(counts.bought_not_shown, rest)
    return np.stack(target, axis=1), np.stack([counts.shown, rest], axis=1)


def inverse_propensity_cells(
    log: StoreLog, clip: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""The cells of `exposed_cells`, each visit weighted by how rarely its display came.

    Arm "shown": a visit that showed A counts :math:`1/e(A)`, or at most ``clip``, in the cell of A.
    Arm "not shown": it counts :math:`1/((M-1)\, e(A))` in the cell of every other item j. Since
    each of these M - 1 displays then has the same expected weight, the weighted mean of the cell
    is the chance of j with a random other item in the slot, which is do(0) if showing one item
    changes no other.

    Args:
        log: a log of the store, with its propensities.
        clip: the largest weight of arm "shown"; None clips nothing.
    """
    weight = inverse_propensity(log.propensity, clip)
    shown = log.shown_counts(weight)
    bought_shown = log.shown_counts(weight * log.bought_shown)
    other = inverse_propensity(log.propensity) / (len(log.items) - 1)
    in_slot = log.shown_counts(other)
    rest = in_slot.sum(axis=1, keepdims=True) - in_slot
    bought = np.zeros_like(rest)
    row, item = log.purchase_row, log.purchase_item
    np.add.at(bought, (log.person[row], item - 1), other[row] * (item != log.shown[row]))
    target = share(bought_shown, shown), share(bought, rest)
    cells = np.stack(target, axis=1), np.stack([shown, rest], axis=1)
    return cells[0].astype(np.float32), cells[1].astype(np.float32)


def doubly_robust_cells(
    log: StoreLog, predicted: np.ndarray, clip: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Arm "shown" with the target of `doubly_robust_target`, arm "not shown" as exposed.

    Args:
        log: a log of the store, with its propensities.
        predicted: (U, M) chance of a purchase under display, fitted without these people.
        clip: the largest 1 / propensity, or None.
    """
    counts = count(log)
    of_row = predicted[log.person, log.shown - 1]
    corrected = doubly_robust_target(of_row, 1.0, log.bought_shown, log.propensity, clip)
    target = predicted + log.shown_counts(corrected - of_row) / counts.visits
    exposed = exposed_cells(counts)
    visits = np.broadcast_to(counts.visits, predicted.shape)
    cells = np.stack([target, exposed[0][:, 1]], axis=1)
    return cells.astype(np.float32), np.stack([visits, exposed[1][:, 1]], axis=1)


def fit_cells(
    store: Store,
    cells: tuple[np.ndarray, np.ndarray],
    *,
    key: jax.Array,
    config: RecommenderConfig | None = None,
    train: TrainConfig | None = None,
    loss: Callable[[Any, Batch], jax.Array] = cell_loss,
    people: np.ndarray | None = None,
) -> Recommender:
    """Trains the lessons' network on cells (U, A, M), and returns it.

    Args:
        store: whose histories and categories it reads.
        cells: targets and weights; with two arms the second is "not shown".
        key: a random key.
        config: the shape of the network; its arms must be those of the cells.
        train: how to train.
        loss: `recflax.fitted.cell_loss` or `recflax.fitted.squared_cell_loss`.
        people: (n,) whose cells these are; None: everybody's, in the order of the ids.
    """
    target, weight = cells
    config = config or network_config(store, arms=ARMS[: target.shape[1]])
    data = histories(store, people)._replace(target=target, weight=weight)
    return fit_network(config, loss, data, train or TrainConfig(), key=key)[0]


def histories(store: Store, people: np.ndarray | None = None) -> Batch:
    """The histories of people (n,), or of everybody in the order of the ids."""
    rows = slice(None) if people is None else people
    return make_batch(store.history[rows], store.bought[rows], n_items=store.config.n_items)


def network_config(store: Store, **changed: Any) -> RecommenderConfig:
    """The lessons' network for a store: width 24, two heads, one block."""
    return RecommenderConfig(
        n_items=store.config.n_items,
        categories=tuple(store.category.tolist()),
        max_length=store.config.length,
        **changed,
    )


def probabilities(network: Recommender, store: Store, arm: str = "shown") -> np.ndarray:
    """(U, M) what the network takes for the chance of a purchase, in one arm."""
    logits = network.scores(histories(store), arm=arm)
    return 1 / (1 + np.exp(-logits.astype(np.float64)))
