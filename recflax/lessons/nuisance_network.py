"""The network behind lesson 3: a history goes in, the nuisances of a banner come out.

Three logits a person: of the treatment, of the outcome without it and of the outcome with it. It
is fitted through `recflax.causal.effects.cross_fit`, which knows no network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recflax.causal.effects import Fit, Predict, person_folds
from recflax.cross_attention import CrossAttention
from recflax.losses import binary_cross_entropy
from recflax.optimiser import TrainConfig
from recflax.recommender import Block, RecommenderConfig
from recflax.training import fit

TRAIN = TrainConfig(epochs=15, batch_size=200, learning_rate=3e-3, weight_decay=3e-2, patience=4)
"""How the network is trained, unless said otherwise."""


@dataclass(frozen=True)
class NuisanceConfig:
    """The shape of a `NuisanceNetwork`.

    Attributes:
        attends: events attend to each other and are pooled by attention; else they are averaged.
        positions: events know their place, counted from the newest.
        n_categories: C.
        length: L, the longest history.
        width: D, a multiple of ``heads``.
        heads: H.
    """

    attends: bool = True
    positions: bool = True
    n_categories: int = 8
    length: int = 16
    width: int = 16
    heads: int = 2


class NuisanceNetwork(nnx.Module):
    """A history of categories goes in; the logits of T, of Y without T and of Y with it come out.

    Args:
        config: the shape.
        rngs: the random streams that draw the initial weights.

    Example:
        >>> network = NuisanceNetwork(NuisanceConfig(), rngs=nnx.Rngs(0))
        >>> network(jnp.array([[0, 3, 5], [1, 1, 2]])).shape
        (2, 3)
    """

    def __init__(self, config: NuisanceConfig, *, rngs: nnx.Rngs) -> None:
        """Draw the weights."""
        self.config = config
        width = config.width
        small = nnx.initializers.normal(width**-0.5)
        self.category = nnx.Param(small(rngs.params(), (config.n_categories, width)))
        if config.positions:
            self.place = nnx.Param(small(rngs.params(), (config.length, width)))
        if config.attends:
            shape = RecommenderConfig(config.n_categories, width=width, heads=config.heads)
            self.block = Block(shape, rngs=rngs)
            self.question = nnx.Param(small(rngs.params(), (1, 1, width)))
            self.pool = CrossAttention(width, config.heads, rngs=rngs)
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(2)])
        self.wide = nnx.Linear(width, 2 * width, rngs=rngs)
        self.narrow = nnx.Linear(2 * width, width, rngs=rngs)
        self.out = nnx.Linear(width, 3, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Logits (B, 3) from tokens (B, L): category plus 1, oldest to newest, 0 as padding."""
        mask = tokens > 0
        x = self.category[...][jnp.maximum(tokens, 1) - 1]  # (B, L, D)
        if self.config.positions:
            x = x + self.place[...][: tokens.shape[1]][::-1]  # row 0 is the newest place
        if self.config.attends:
            x = self.norms[0](self.block(x, mask)[0])
            person = self.pool(self.question[...], x, mask)[0][:, 0]  # (B, D)
        else:
            count = jnp.maximum(mask.sum(axis=1, keepdims=True), 1)
            person = jnp.where(mask[..., None], x, 0).sum(axis=1) / count
        person = person + self.narrow(jax.nn.gelu(self.wide(self.norms[1](person))))
        return self.out(person)


@dataclass(frozen=True)
class NuisanceLoss:
    """Cross-entropy of T over all rows, and of Y over the rows of each arm, each a mean."""

    graphdef: nnx.GraphDef

    def __call__(self, params: Any, batch: Mapping[str, jax.Array], key: jax.Array) -> jax.Array:
        """Return the sum of the three."""
        logits = nnx.merge(self.graphdef, params)(batch["tokens"])
        t, y = batch["treatment"], batch["outcome"]
        return (
            binary_cross_entropy(logits[:, 0], t)
            + binary_cross_entropy(logits[:, 1], y, 1 - t)
            + binary_cross_entropy(logits[:, 2], y, t)
        )


@partial(jax.jit, static_argnums=0)
def _chances(graphdef: nnx.GraphDef, params: Any, tokens: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(nnx.merge(graphdef, params)(tokens)).T  # (3, n)


def network_fit(config: NuisanceConfig, train: TrainConfig = TRAIN) -> Fit:
    """How `recflax.causal.effects.cross_fit` fits the network: features are tokens and people.

    A fifth of the people of each training part is held out, and the epoch that predicts them best
    is kept; without that an overfitted propensity ruins the weights.

    Args:
        config: the shape of the network.
        train: how to train; ``patience`` None keeps the last epoch's network instead.
    """

    def fit_network(
        features: Mapping[str, np.ndarray],
        treatment: np.ndarray,
        outcome: np.ndarray,
        key: jax.Array,
    ) -> Predict:
        start_key, split_key, fit_key = jax.random.split(key, 3)
        data = {
            "tokens": features["tokens"].astype(np.int32),
            "treatment": treatment.astype(np.float32),
            "outcome": outcome.astype(np.float32),
        }
        graphdef, params = nnx.split(NuisanceNetwork(config, rngs=nnx.Rngs(params=start_key)))
        validation = None
        if train.patience is not None:
            held_out = person_folds(features["person"], 5, split_key) == 0
            validation = {name: array[held_out] for name, array in data.items()}
            data = {name: array[~held_out] for name, array in data.items()}
        loss = NuisanceLoss(graphdef)
        params = fit(params, loss, data, train, key=fit_key, validation=validation).params

        def predict(new: Mapping[str, np.ndarray]) -> tuple[Any, Any, Any]:
            found = np.asarray(_chances(graphdef, params, new["tokens"].astype(np.int32)))
            return found[0], found[1], found[2]

        return predict

    return fit_network
