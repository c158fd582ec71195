"""The door that all baselines share, and the tables of people and items that they learn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import jax
import numpy as np
from scipy import sparse

from recflax.data.batches import check_ids
from recflax.data.logs import Log

_BLOCK = 1 << 22  # scores that are computed at once


class Baseline(ABC):
    """What all baselines share: the checks at the door, and scoring block by block."""

    _shape: tuple[int, int] | None = None

    def fit(self, log: Log, *, key: jax.Array | None = None) -> Self:
        """Learn from a log and return the model itself.

        Args:
            log: What to learn from; nothing later may be in it.
            key: A random key, which only `MatrixFactorisation` needs.

        Raises:
            ValueError: Nothing was bought in the log, or a key is needed and none came.
        """
        if len(log.purchases) == 0:
            raise ValueError("log.purchases is empty: there is nothing to learn from")
        self._fit(log, key)
        self._shape = (log.n_people, log.n_items)
        return self

    def scores(self, people: Any, candidates: Any = None) -> np.ndarray:
        """Return a score for each person and item; higher is better.

        Args:
            people: (B,) person ids of the fitted log.
            candidates: (B, N) item ids 1 to M; None asks for the whole catalogue.

        Returns:
            (B, N) or (B, M) float32; without candidates column j-1 is item j.

        Raises:
            RuntimeError: The model has not been fitted.
            TypeError: Ids that are not integers.
            ValueError: A person or an item that the log does not have; the first is named.
        """
        if self._shape is None:
            raise RuntimeError(f"fit {type(self).__name__} before asking it for scores")
        n_people, n_items = self._shape
        people = check_ids(people, "people", low=0, n_items=n_people - 1, ndim=1)
        width = n_items
        if candidates is not None:
            candidates = check_ids(candidates, "candidates", low=1, n_items=n_items, ndim=2)
            if len(candidates) != len(people):
                raise ValueError(
                    f"candidates must have {len(people)} rows like people; got {len(candidates)}"
                )
            width = candidates.shape[1]
        scores = np.empty((len(people), width), dtype=np.float32)
        step = max(1, _BLOCK // n_items)
        for start in range(0, len(people), step):
            rows = slice(start, start + step)
            block = self._score(people[rows])
            if candidates is not None:
                block = np.take_along_axis(block, candidates[rows] - 1, axis=1)
            scores[rows] = block
        return scores

    @abstractmethod
    def _fit(self, log: Log, key: jax.Array | None) -> None:
        """Learn from a log."""

    @abstractmethod
    def _score(self, people: np.ndarray) -> np.ndarray:
        """Return (B, M) scores of the whole catalogue for checked ids."""


def basket_counts(log: Log) -> sparse.csr_array:
    """Return (U, M) float32: in how many baskets each person bought each item.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> basket_counts(tiny_log()).toarray().tolist()
        [[2.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    """
    lines = log.purchases[["person", "visit", "item"]].drop_duplicates()
    return _table(log, lines["person"].to_numpy(), lines["item"].to_numpy())


def history_matrix(log: Log) -> sparse.csr_array:
    """Return (U, M) float32: 1 where an item is in a person's history, bought or viewed.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> history_matrix(tiny_log()).toarray().tolist()
        [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]
    """
    return binary(_table(log, log.events["person"].to_numpy(), log.events["item"].to_numpy()))


def visit_counts(log: Log) -> np.ndarray:
    """Return (U,) visits a person: of ``log.impressions``, or else the baskets.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> visit_counts(tiny_log()).tolist()
        [2, 2]
    """
    table = log.purchases if log.impressions is None else log.impressions
    visits = table[["person", "visit"]].drop_duplicates()
    return np.bincount(visits["person"].to_numpy(), minlength=log.n_people)


def _table(log: Log, person: np.ndarray, item: np.ndarray) -> sparse.csr_array:
    """Count pairs of person and item in a (U, M) table."""
    pairs = (np.ones(len(item), dtype=np.float32), (person, item - 1))
    table = sparse.csr_array(pairs, shape=(log.n_people, log.n_items))
    table.sum_duplicates()
    return table


def binary(table: sparse.csr_array) -> sparse.csr_array:
    """Return 1 where a table holds more than 0.

    Example:
        >>> binary(sparse.csr_array([[2.0, 0.0]])).toarray().tolist()
        [[1.0, 0.0]]
    """
    return (table > 0).astype(np.float32)
