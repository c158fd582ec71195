r"""Attention over articles that are known by their features: how a new one gets a score.

A `recflax.recommender.Recommender` has a table with one vector an item, and an item without a row
that was trained has none to speak of. Here the vector of article j is computed from its features,

.. math:: v_j = x_j W, \qquad b_j = b_0 + x_j w ,

so whatever has features has a vector and a bias. With :math:`x_j` the TF-IDF weights of its text
the network reads; with one column an article, :math:`x_j = 1_j`, the row :math:`v_j` is learned for
that article alone, which is the table again. The rest is the same in both: a block of
self-attention over the history, which one learned question then queries by cross-attention, so
that a person is one vector and an index over the articles can serve her.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recflax.cross_attention import CrossAttention
from recflax.data.batches import Batch
from recflax.data.features import tf_idf
from recflax.fitted import NetworkLoss, cell_loss
from recflax.optimiser import TrainConfig
from recflax.recommender import Block, RecommenderConfig
from recflax.training import fit
from recflax.worlds.news import News
from recflax.worlds.news_text import VOCABULARY

KNOWN_BY = ("id", "topic", "text")
TRAIN = TrainConfig(epochs=10, batch_size=50, learning_rate=1e-2, weight_decay=0.0)
"""Without decay, which would change the features: they are kept beside the parameters."""


class FeatureNetwork(nnx.Module):
    """Scores for articles known by their features, given histories; formula at the head.

    Args:
        features: (M, F) of the catalogue, floats.
        config: width, heads, longest history and first bias; ``n_items`` must be M.
        rngs: the random streams that draw the initial weights.

    Raises:
        ValueError: features of another shape than (M, F).

    Example:
        >>> features = np.eye(3, 5, dtype=np.float32)
        >>> network = FeatureNetwork(features, RecommenderConfig(n_items=3), rngs=nnx.Rngs(0))
        >>> history = jnp.array([[0, 3, 1], [0, 0, 0]])
        >>> network(Batch(history, history > 0, history > 0)).shape
        (2, 1, 3)
    """

    def __init__(self, features: np.ndarray, config: RecommenderConfig, *, rngs: nnx.Rngs) -> None:
        """Draw the weights."""
        if np.ndim(features) != 2 or len(features) != config.n_items:
            raise ValueError(
                f"features must have shape ({config.n_items}, F); got {np.shape(features)}"
            )
        width = config.width
        self.config = config
        self.features = nnx.Param(jnp.asarray(features, jnp.float32))
        small = nnx.initializers.normal(width**-0.5)
        self.vector = nnx.Param(small(rngs.params(), (np.shape(features)[1], width)))
        self.weight = nnx.Param(jnp.zeros(np.shape(features)[1]))
        self.bias = nnx.Param(jnp.full((), config.initial_bias))
        self.place = nnx.Param(small(rngs.params(), (config.max_length, width)))
        self.block = Block(config, rngs=rngs)
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.cross = CrossAttention(width, config.heads, rngs=rngs)
        self.question = nnx.Param(small(rngs.params(), (1, width)))
        self.out = nnx.Param(small(rngs.params(), (width, width)))

    def __call__(self, batch: Batch) -> jax.Array:
        """Scores (B, 1, M), logits, of the whole catalogue. Safe inside ``jax.jit``."""
        features = jax.lax.stop_gradient(self.features[...])  # known, not learned
        articles = features @ self.vector[...]  # (M, D)
        mask, length = jnp.asarray(batch.mask), batch.history.shape[1]
        x = articles[jnp.maximum(batch.history, 1) - 1]  # (B, L, D)
        x = x + self.place[...][:length][::-1]  # row 0 is the newest place
        x, _ = self.block(x, mask)
        history = jnp.where(mask[..., None], self.norm(x), 0)
        person, _ = self.cross(self.question[...][None], history, mask)  # (B, 1, D)
        keys = articles @ self.out[...] / self.config.width**0.5  # (M, D)
        bias = self.bias[...] + features @ self.weight[...]  # (M,)
        return person @ keys.T + bias


def known_by(news: News) -> dict[str, np.ndarray]:
    """What an article can be known by: features (M, F) by name.

    Returns:
        ``"id"``, one column an article; ``"topic"``, one a topic; ``"text"``, TF-IDF over the
        vocabulary of the page. All are filled up with zeros to one F, so that one compiled
        network serves them all.
    """
    weights, words = tf_idf(news.items["text"])
    columns = max(len(news.topic), len(VOCABULARY))
    found = {name: np.zeros((len(news.topic), columns), np.float32) for name in KNOWN_BY}
    found["id"][:, : len(news.topic)] = np.eye(len(news.topic))
    found["topic"][np.arange(len(news.topic)), news.topic] = 1.0
    found["text"][:, np.searchsorted(VOCABULARY, words)] = weights.toarray()
    return found


def fit_features(features: np.ndarray, data: Batch, key: jax.Array) -> FeatureNetwork:
    """Train a network on cells (U, 1, M): the share of visits at which each article was read.

    Args:
        features: (M, F).
        data: histories with target and weight (U, 1, M).
        key: a random key.
    """
    start_key, fit_key = jax.random.split(key)
    config = RecommenderConfig(
        n_items=len(features), max_length=data.history.shape[1], initial_bias=-3.5
    )
    network = FeatureNetwork(features, config, rngs=nnx.Rngs(params=start_key))
    graphdef, params = nnx.split(network)
    result = fit(params, NetworkLoss(graphdef, cell_loss), data, TRAIN, key=fit_key)
    return nnx.merge(graphdef, result.params)


def scores(network: FeatureNetwork, histories: Batch) -> np.ndarray:
    """(U, M) what the network says of each article."""
    graphdef, params = nnx.split(network)
    return np.asarray(_scores(graphdef, params, Batch(*histories[:3])))[:, 0]


@partial(jax.jit, static_argnums=0)
def _scores(graphdef: Any, params: Any, histories: Batch) -> jax.Array:
    return nnx.merge(graphdef, params)(histories)
