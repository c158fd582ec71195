"""The targets of the lessons' networks: a cell for each person and item, an arm for each world.

What changes between the lessons is never the network: it is which cells count, and for how much.
A person of the store has one history, so her visits can be counted into one row of M cells.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from recflax.data.batches import Batch, make_batch
from recflax.fitted import cell_loss, fit_network
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


def fit_cells(
    store: Store,
    cells: tuple[np.ndarray, np.ndarray],
    *,
    key: jax.Array,
    config: RecommenderConfig | None = None,
    train: TrainConfig | None = None,
) -> Recommender:
    """Trains the lessons' network on cells (U, A, M), and returns it.

    Args:
        store: whose histories and categories it reads.
        cells: targets and weights; with two arms the second is "not shown".
        key: a random key.
        config: the shape of the network; its arms must be those of the cells.
        train: how to train.
    """
    target, weight = cells
    config = config or network_config(store, arms=ARMS[: target.shape[1]])
    data = histories(store)._replace(target=target, weight=weight)
    return fit_network(config, cell_loss, data, train or TrainConfig(), key=key)[0]


def histories(store: Store) -> Batch:
    """Every person's history, in the order of the ids."""
    return make_batch(store.history, store.bought, n_items=store.config.n_items)


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
