"""Recall of held-out purchases, the same for ours and for a peer."""

import numpy as np


def recall(
    scores: np.ndarray, person: np.ndarray, item: np.ndarray, held_out: np.ndarray, k: int = 10
) -> float:
    """The share of held-out items among the k best that were not bought before."""
    scores = scores.copy()
    scores[person, item] = -np.inf
    best = np.argpartition(scores, -k, axis=1)[:, -k:]
    return float((best[:, :, None] == held_out[:, None, :]).any(axis=1).mean())
