"""Who is in the first k places, and who shares the last of them by lot.

`recflax.metrics` stands on it. Candidates of equal score stand in uniformly random order, and what
is here is exact over these orders (McSherry and Najork 2008).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln


class TopK(NamedTuple):
    """Who is surely in the first k places, and who shares the last of them by lot.

    Attributes:
        above: (B, N) bool, candidates that are in the list in every order of the ties.
        tied: (B, N) bool, candidates of equal score that compete for the remaining places.
        n_above: (B,) how many are surely in.
        n_tied: (B,) how many compete.
        places: (B,) how many places they compete for, at most ``n_tied``.
    """

    above: np.ndarray
    tied: np.ndarray
    n_above: np.ndarray
    n_tied: np.ndarray
    places: np.ndarray

    def chance(self) -> np.ndarray:
        """Return (B, N): the probability that each candidate is in the list."""
        share = self.places / np.maximum(self.n_tied, 1)  # (B,)
        return self.above + self.tied * share[:, None]

    def hits(self, relevant: np.ndarray) -> np.ndarray:
        """Return (B,): the expected number of relevant candidates in the list."""
        share = self.places / np.maximum(self.n_tied, 1)
        return (self.above & relevant).sum(axis=1) + (self.tied & relevant).sum(axis=1) * share


def top_k(scores: np.ndarray, k: int, where: np.ndarray) -> TopK:
    """Split the candidates that count at the k-th largest score."""
    k = min(k, scores.shape[1])
    masked = np.where(where, scores, -np.inf)
    bar = np.partition(masked, -k, axis=1)[:, -k, None]  # (B, 1), the k-th largest
    above, tied = masked > bar, where & (masked == bar)
    n_above, n_tied = above.sum(axis=1), tied.sum(axis=1)
    return TopK(above, tied, n_above, n_tied, np.minimum(k - n_above, n_tied))


def gain_above(
    scores: np.ndarray, gains: np.ndarray, top: TopK, discount: np.ndarray
) -> np.ndarray:
    """Return (B,) discounted gain of the candidates that are surely in; discount is cumulative."""
    k = len(discount) - 1
    inside = np.where(top.above, scores, -np.inf)
    column = np.argpartition(-inside, k - 1, axis=1)[:, :k]  # (B, k)
    score = np.take_along_axis(inside, column, axis=1)
    order = np.argsort(-score, axis=1)
    column, score = (np.take_along_axis(array, order, axis=1) for array in (column, score))
    place = np.arange(k)
    change = score[:, 1:] != score[:, :-1]
    edge = np.ones((len(score), 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, change]), place, 0), axis=1)
    last = np.where(np.hstack([change, edge]), place, k - 1)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1] + 1  # one past the group's end
    weight = (discount[last] - discount[first]) / (last - first)  # mean discount of the group
    counts = np.take_along_axis(top.above, column, axis=1)
    return np.where(counts, np.take_along_axis(gains, column, axis=1) * weight, 0.0).sum(axis=1)


def log_choose(n: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Return the logarithm of n over m, minus infinity where n < m."""
    possible = n >= m
    rest = np.where(possible, n - m, 0)
    value = gammaln(n + 1.0) - gammaln(m + 1.0) - gammaln(rest + 1.0)
    return np.where(possible, value, -np.inf)
