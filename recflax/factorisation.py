"""Matrix factorisation behind the door of the baselines: fit on a `Log`, ask by person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recflax.data.logs import Log
from recflax.interface import Baseline, basket_counts, visit_counts
from recflax.optimiser import TrainConfig
from recflax.training import FitResult, fit

_PEOPLE = 256  # rows of the factorised table that fit a processor's cache


@dataclass(frozen=True)
class FactorLoss:
    r"""Negative log-likelihood of the numbers of purchases per visit, and the penalty.

    .. math:: \frac1n \Big[ \sum_{uj} \big( n_u \log(1 + e^{s_{uj}}) - c_{uj} s_{uj} \big)
              + \frac\lambda2 \big( \|P\|^2 + \|Q\|^2 \big) \Big], \qquad s = P Q^\top + b

    with n visits in all, :math:`n_u` of one person, and :math:`c_{uj}` of these with item j.

    Attributes:
        penalty: :math:`\lambda`, at least 0.
    """

    penalty: float

    def __call__(self, params: Any, batch: Any, key: jax.Array) -> jax.Array:
        """Return the loss; the one example of the batch is the whole table, in blocks of people."""
        counts, visits = (array[0] for array in batch)  # (blocks, n, M), (blocks, n, 1)
        people, items, bias = params["people"], params["items"], params["bias"]

        @jax.checkpoint  # what the gradient needs is cheaper to compute again than to keep
        def block(
            total: jax.Array, part: tuple[jax.Array, jax.Array, jax.Array]
        ) -> tuple[jax.Array, None]:
            vectors, counts, visits = part
            score = vectors @ items.T + bias  # (n, M)
            # log(1 + e^s) spelt out: half the time of jax.nn.softplus
            softplus = jnp.maximum(score, 0) + jnp.log1p(jnp.exp(-jnp.abs(score)))
            return total + (visits * softplus - counts * score).sum(), None

        total, _ = jax.lax.scan(block, jnp.zeros(()), (people, counts, visits))
        norm = jnp.square(people).sum() + jnp.square(items).sum()
        return (total + self.penalty / 2 * norm) / visits.sum()


class MatrixFactorisation(Baseline):
    r"""A vector for each person and each item, fitted to purchases by logistic regression.

    .. math:: s_{uj} = p_u \cdot q_j + b_j

    is the log-odds that u buys j at a visit (Johnson 2014). Visits are those of ``log.impressions``
    where the log has them, else the baskets. The biases start at each item's log-odds over all
    visits, the vectors near 0; all are fitted by Adam on the whole table at once.

    Someone without visits keeps a vector near 0, since only the penalty moves it.

    Args:
        width: Length of the vectors.
        penalty: :math:`\lambda` of the vectors' squared length in `FactorLoss`.
        train: How to train; a step is an epoch.

    Attributes:
        record: The record of the training, a `recflax.training.FitResult`.

    Raises:
        ValueError: A width below 1 or a negative penalty; (when fitting) no key, or someone with
            more baskets of an item than visits.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> model = MatrixFactorisation(width=2).fit(tiny_log(), key=jax.random.key(0))
        >>> model.record.steps, int(model.scores([0]).argmax()) + 1
        (60, 1)
    """

    def __init__(
        self, width: int = 16, penalty: float = 0.5, train: TrainConfig | None = None
    ) -> None:
        """Remember how to fit."""
        if width < 1:
            raise ValueError(f"width must be at least 1; got {width}")
        if not penalty >= 0:
            raise ValueError(f"penalty must be at least 0; got {penalty}")
        self.width, self.penalty = width, penalty
        self.train = train or TrainConfig(
            epochs=60,
            batch_size=1,
            learning_rate=0.02,
            weight_decay=0.0,
            warmup_steps=0,
            schedule="constant",
        )
        self.record: FitResult | None = None

    def _fit(self, log: Log, key: jax.Array | None) -> None:
        if key is None:
            raise ValueError("MatrixFactorisation.fit needs a key: its vectors start at random")
        baskets, visits = basket_counts(log), visit_counts(log)
        too_many = np.flatnonzero(baskets.max(axis=1).toarray() > visits)
        if len(too_many):
            raise ValueError(
                f"person {too_many[0]} bought an item in more baskets than log.impressions has "
                f"visits of theirs ({visits[too_many[0]]})"
            )
        bought = baskets.sum(axis=0)
        bias = np.log((bought + 0.5) / (visits.sum() - bought + 0.5))
        blocks = -(-log.n_people // _PEOPLE)
        rows = -(-log.n_people // blocks)

        def in_blocks(table: np.ndarray) -> np.ndarray:  # (U, W) to (blocks, rows, W)
            padded = np.pad(table, ((0, blocks * rows - log.n_people), (0, 0)))
            return padded.astype(np.float32).reshape(blocks, rows, -1)

        data = in_blocks(baskets.toarray())[None], in_blocks(visits[:, None])[None]
        people_key, item_key, fit_key = jax.random.split(key, 3)
        people = 0.1 * np.asarray(jax.random.normal(people_key, (log.n_people, self.width)))
        params = {
            "people": in_blocks(people),
            "items": 0.1 * jax.random.normal(item_key, (log.n_items, self.width)),
            "bias": jnp.asarray(bias, dtype=jnp.float32),
        }
        self.record = fit(params, FactorLoss(self.penalty), data, self.train, key=fit_key)
        fitted = jax.tree.map(np.asarray, self.record.params)
        self.people = fitted["people"].reshape(-1, self.width)
        self.items, self.bias = fitted["items"], fitted["bias"]

    def _score(self, people: np.ndarray) -> np.ndarray:
        return self.people[people] @ self.items.T + self.bias
