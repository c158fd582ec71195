"""The book's attention network on a log of follows: people are its items, following its arms."""

import jax
import numpy as np
from scipy.special import expit

from recflax.data.batches import Batch, make_batch
from recflax.fitted import cell_loss, fit_network
from recflax.lessons.cells import share
from recflax.optimiser import TrainConfig
from recflax.recommender import RecommenderConfig
from recflax.worlds.social import Social
from recflax.worlds.social_log import SocialLog

ARMS = ("followed", "not_followed")
TRAIN = TrainConfig(epochs=16, batch_size=50)


def follow_cells(log: SocialLog) -> tuple[np.ndarray, np.ndarray]:
    """Was a post liked when the suggestion was followed, when not: targets, weights (U, 2, M).

    Only rows with a displayed suggestion count, each in one arm.
    """
    target, weight = [], []
    for arm in (log.displayed & log.followed, log.displayed & ~log.followed):
        rows, likes = (log.counts(part).astype(np.float32) for part in (arm, arm & log.engaged))
        target.append(share(likes, rows))
        weight.append(rows)
    return np.stack(target, axis=1), np.stack(weight, axis=1)


def histories(social: Social) -> Batch:
    """Everybody's history of accounts, as the network reads it."""
    return make_batch(social.history, social.liked, n_items=len(social.community))


def fitted(social: Social, log: SocialLog, key: jax.Array) -> np.ndarray:
    """(2, U, M) what the book's network takes for the chance of a like, followed and not."""
    config = RecommenderConfig(
        n_items=len(social.community),
        categories=tuple(social.community.tolist()),
        max_length=social.history.shape[1],
        arms=ARMS,
        initial_bias=-1.0,
    )
    target, weight = follow_cells(log)
    data = histories(social)._replace(target=target, weight=weight)
    network, _ = fit_network(config, cell_loss, data, TRAIN, key=key)
    asked = histories(social)
    return expit(np.stack([network.scores(asked, arm=arm) for arm in ARMS]).astype(np.float64))
