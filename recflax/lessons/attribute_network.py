"""A network whose sequence is a customer: every attribute is a token, and every question asks once.

Self-attention lets the attributes look at each other (recency means another thing for a newcomer),
then one query for each question looks at them all: the chance of a visit under each arm of an
experiment, say. The order of the attributes means nothing, so there are no places: the table of
tokens has a row for each level of each attribute, and the row says which attribute it is.

Tables of attributes as tokens: Gorishniy, Rubachev, Khrulkov and Babenko (2021), "Revisiting Deep
Learning Models for Tabular Data", section 3.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recflax.cross_attention import CrossAttention
from recflax.data.batches import check_ids
from recflax.losses import binary_cross_entropy
from recflax.optimiser import TrainConfig
from recflax.recommender import Block, RecommenderConfig
from recflax.training import fit

HELD_OUT = 0.2
"""Share of the customers that decide when to stop."""

ROUND = 500
"""Kinds of customer are filled up to a multiple of this, so that few shapes are compiled."""


@dataclass(frozen=True)
class AttributeConfig:
    """The shape of an `AttributeNetwork`.

    Attributes:
        levels: how many levels each attribute has, each at least 1.
        questions: Q, how many numbers are asked of a customer, at least 1.
        width: D, a multiple of ``heads``.
        heads: H.

    Raises:
        ValueError: no attribute, an attribute without a level, or no question.

    Example:
        >>> AttributeConfig(levels=(3, 0), questions=2)
        Traceback (most recent call last):
        ...
        ValueError: levels must be numbers of at least 1; got (3, 0)
    """

    levels: tuple[int, ...]
    questions: int
    width: int = 16
    heads: int = 2

    def __post_init__(self) -> None:
        """Check the values."""
        if not self.levels or min(self.levels) < 1:
            raise ValueError(f"levels must be numbers of at least 1; got {self.levels}")
        if self.questions < 1:
            raise ValueError(f"questions must be at least 1; got {self.questions}")


class AttributeNetwork(nnx.Module):
    """Codes of attributes go in; one logit for each question comes out.

    Args:
        config: the shape.
        rngs: the random streams that draw the initial weights.

    Example:
        >>> config = AttributeConfig(levels=(3, 2, 5), questions=2, width=4)
        >>> network = AttributeNetwork(config, rngs=nnx.Rngs(0))
        >>> network(jnp.array([[2, 0, 4], [0, 1, 1], [0, 0, 0]])).shape
        (3, 2)
    """

    def __init__(self, config: AttributeConfig, *, rngs: nnx.Rngs) -> None:
        """Draw the weights."""
        self.config = config
        width = config.width
        small = nnx.initializers.normal(width**-0.5)
        self.level = nnx.Param(small(rngs.params(), (sum(config.levels), width)))
        self.block = Block(RecommenderConfig(1, width=width, heads=config.heads), rngs=rngs)
        self.question = nnx.Param(small(rngs.params(), (1, config.questions, width)))
        self.pool = CrossAttention(width, config.heads, rngs=rngs)
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(2)])
        self.wide = nnx.Linear(width, 2 * width, rngs=rngs)
        self.narrow = nnx.Linear(2 * width, width, rngs=rngs)
        self.out = nnx.Param(small(rngs.params(), (config.questions, width)))
        self.bias = nnx.Param(jnp.zeros(config.questions))

    def __call__(self, codes: jax.Array) -> jax.Array:
        """Logits (B, Q) from codes (B, A), the level of each attribute from 0."""
        first = np.cumsum((0, *self.config.levels[:-1]))  # where each attribute's rows begin
        x = self.level[...][codes + first]  # (B, A, D)
        x, _ = self.block(x, jnp.ones(codes.shape, bool))
        answer, _ = self.pool(self.question[...], self.norms[0](x))  # (B, Q, D)
        answer = answer + self.narrow(jax.nn.gelu(self.wide(self.norms[1](answer))))
        return (answer * self.out[...]).sum(axis=-1) + self.bias[...]


@dataclass(frozen=True)
class AnswerLoss:
    """Cross-entropy of every question over the customers that can answer it, summed."""

    graphdef: nnx.GraphDef

    def __call__(self, params: Any, batch: Mapping[str, jax.Array], key: jax.Array) -> jax.Array:
        """Return the loss of a batch of kinds, whose weights have mean 1 over all batches."""
        logits = nnx.merge(self.graphdef, params)(batch["codes"])  # (B, Q)
        weight = batch["weight"]
        by_question = jax.vmap(binary_cross_entropy, in_axes=1)(logits, batch["target"], weight)
        return (by_question * weight.mean(axis=0)).sum()


@partial(jax.jit, static_argnums=0)
def _chances(graphdef: nnx.GraphDef, params: Any, codes: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(nnx.merge(graphdef, params)(codes))


def count_kinds(codes: np.ndarray, target: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
    """Customers who are alike in every attribute become one row, with nothing lost.

    Args:
        codes: (n, A) the level of each attribute.
        target: (n, Q) the answer to each question, in [0, 1].
        weight: (n, Q) how much it counts, at least 0; 0 where nobody knows the answer.

    Returns:
        ``codes`` (K, A); ``target`` (K, Q), weighted means; ``weight`` (K, Q), sums, scaled to
        mean 1 for each question. Rows of weight 0 fill K up to a multiple of `ROUND`.

    Example:
        >>> kinds = count_kinds(np.array([[1], [0], [1]]), np.array([[1.0], [0.0], [0.0]]),
        ...                     np.array([[1.0], [1.0], [1.0]]))
        >>> kinds["target"][:3].tolist(), (kinds["weight"][:3] / kinds["weight"][0]).tolist()
        ([[0.0], [0.5], [0.0]], [[1.0], [2.0], [0.0]])
    """
    kinds, which = np.unique(codes, axis=0, return_inverse=True)
    rows = -(-len(kinds) // ROUND) * ROUND

    def summed(values: np.ndarray) -> np.ndarray:
        columns = [np.bincount(which, column, minlength=rows) for column in values.T]
        return np.stack(columns, axis=1)

    total = summed(weight)
    share = summed(weight * target) / np.where(total > 0, total, 1)
    return {
        "codes": np.pad(kinds, ((0, rows - len(kinds)), (0, 0))).astype(np.int32),
        "target": share.astype(np.float32),
        "weight": (total / total.mean(axis=0)).astype(np.float32),
    }


def fit_attributes(
    config: AttributeConfig,
    codes: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    train: TrainConfig,
    *,
    key: jax.Array,
) -> AttributeNetwork:
    """Train a network on customers and return it.

    A fifth of the customers is held out, and the epoch that predicts those best is kept.

    Args:
        config: the shape of the network.
        codes: (n, A) the level of each attribute, from 0.
        target: (n, Q) the answer to each question, in [0, 1].
        weight: (n, Q) at least 0, such as 1 for the arm that a customer was in and else 0.
        train: how to train, with ``patience``; batches are of kinds of customer.
        key: a random key.

    Raises:
        TypeError: codes that are no integers.
        ValueError: a code that is no level of its attribute, which is named, or answers of another
            shape.
    """
    codes = _checked(codes, config)
    for name, array in (("target", target), ("weight", weight)):
        if array.shape != (len(codes), config.questions):
            wanted = (len(codes), config.questions)
            raise ValueError(f"{name} must have shape {wanted}; got {array.shape}")
    start_key, split_key, fit_key = jax.random.split(key, 3)
    order = np.asarray(jax.random.permutation(split_key, len(codes)))
    parts = np.split(order, [round(HELD_OUT * len(codes))])
    held_out, learn = (count_kinds(codes[part], target[part], weight[part]) for part in parts)
    graphdef, params = nnx.split(AttributeNetwork(config, rngs=nnx.Rngs(params=start_key)))
    result = fit(params, AnswerLoss(graphdef), learn, train, key=fit_key, validation=held_out)
    return nnx.merge(graphdef, result.params)


def chances(network: AttributeNetwork, codes: np.ndarray) -> np.ndarray:
    """The predicted answer to each question, (n, Q), for customers with codes (n, A).

    Every kind of customer is computed once, whether it is asked for or not: there are far fewer
    kinds than customers, and the shape never changes.

    Example:
        >>> config = AttributeConfig(levels=(3, 2), questions=2, width=4)
        >>> network = AttributeNetwork(config, rngs=nnx.Rngs(0))
        >>> found = chances(network, np.array([[2, 0], [0, 1], [2, 0]]))
        >>> found.shape, bool((found[0] == found[2]).all())
        ((3, 2), True)
    """
    levels = network.config.levels
    codes = _checked(codes, network.config)
    kinds = np.indices(levels, dtype=np.int32).reshape(len(levels), -1).T  # (kinds, A)
    found = np.asarray(_chances(*nnx.split(network), kinds), dtype=float)
    return found[np.ravel_multi_index(tuple(codes.T), levels)]


def one_hot(codes: np.ndarray, levels: tuple[int, ...]) -> np.ndarray:
    """The codes (n, A) as columns of 0 and 1, one for each level but the first of its attribute.

    The linear model's view of what the network sees as tokens.

    >>> one_hot(np.array([[2, 0], [0, 1]]), (3, 2)).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    columns = [np.arange(1, count) == codes[:, [place]] for place, count in enumerate(levels)]
    return np.concatenate(columns, axis=1).astype(float)


def _checked(codes: np.ndarray, config: AttributeConfig) -> np.ndarray:
    """The codes as int32, or an error that names the first one that is no level."""
    codes = check_ids(codes, "codes", low=0, n_items=max(config.levels) - 1, ndim=2)
    if codes.shape[1] != len(config.levels):
        raise ValueError(f"codes must have {len(config.levels)} columns; got shape {codes.shape}")
    wrong = np.argwhere(codes >= np.array(config.levels))
    if len(wrong):
        row, column = (int(i) for i in wrong[0])
        raise ValueError(
            f"codes holds {codes[row, column]} at {(row, column)}; attribute {column} has "
            f"{config.levels[column]} levels"
        )
    return codes
