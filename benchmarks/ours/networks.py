"""The three networks that are trained side by side, as recflax builds them, and their losses.

`plain` is the article's network without its faults of loss and width: embedding, self-attention, a
dense layer over the catalogue at every place. `repaired` is `recflax.article` with no fault left,
which asks the last place alone. `sasrec` is `recflax.recommender.Recommender` where the newest
event speaks for the history.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import nnx

from recflax.article import REPAIRED, ArticleConfig, ArticleNetwork
from recflax.article_training import article_loss
from recflax.data.batches import Batch, make_batch
from recflax.losses import next_item_cross_entropy
from recflax.recommender import Recommender, RecommenderConfig
from recflax.self_attention import SelfAttention


class Plain(nnx.Module):
    """Embedding, multi-head self-attention, a dense layer over the catalogue."""

    def __init__(self, items: int, width: int, heads: int, rngs: nnx.Rngs) -> None:
        self.embedding = nnx.Embed(items, width, rngs=rngs)
        self.attention = SelfAttention(width, heads, rngs=rngs)
        self.dense = nnx.Linear(width, items, rngs=rngs)

    def __call__(self, history: jax.Array) -> jax.Array:
        x, _ = self.attention(self.embedding(history))
        # as one matrix: with three axes XLA would transpose the gradient of all logits
        logits = self.dense(x.reshape(-1, x.shape[-1]))
        return logits.reshape(*history.shape, -1)


def plain_loss(network: Plain, batch: Batch) -> jax.Array:
    """Cross-entropy at every place; the network's column j - 1 is item j."""
    return next_item_cross_entropy(network(batch.history - 1), batch.target)


def sasrec_loss(network: Recommender, batch: Batch) -> jax.Array:
    """Cross-entropy of the item after the newest event."""
    return next_item_cross_entropy(network(batch)[:, 0], batch.target)


def build(sizes: dict[str, Any]) -> tuple[nnx.Module, Callable[..., jax.Array]]:
    """The network of some sizes, drawn anew but always the same, and its loss."""
    rngs = nnx.Rngs(0)
    items, width, heads, length = (sizes[name] for name in ("items", "width", "heads", "length"))
    if sizes["network"] == "plain":
        return Plain(items, width, heads, rngs), plain_loss
    if sizes["network"] == "repaired":
        config = ArticleConfig(items, width, heads, length, REPAIRED)
        return ArticleNetwork(config, rngs=rngs), article_loss
    shape = RecommenderConfig(
        n_items=items,
        width=width,
        heads=heads,
        blocks=sizes["blocks"],
        max_length=length,
        mask_future=True,
        query="newest",
        initial_bias=0.0,
    )
    return Recommender(shape, rngs=rngs), sasrec_loss


def weights(network: nnx.Module) -> dict[str, np.ndarray]:
    """The first weights by name, such as ``w/attention.query.kernel``, for the peers to start at.

    A kernel is (in, out), as in flax and Keras.
    """
    flat = nnx.to_flat_state(nnx.state(network, nnx.Param))
    return {"w/" + ".".join(map(str, path)): np.asarray(leaf[...]) for path, leaf in flat}


def batch_of(sizes: dict[str, Any], history: np.ndarray, target: np.ndarray) -> Batch:
    """Histories (n, L) and targets as the network takes them."""
    if sizes["network"] == "sasrec":
        target = target[:, -1]  # the item after the newest event
    batch = make_batch(history, n_items=sizes["items"], target=target)
    return batch._replace(candidates=None)
