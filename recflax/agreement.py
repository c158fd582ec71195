r"""Do two attributions name the same events? Rank correlation, AUC and first place, with ties.

An attribution is a number for each event of a history (`recflax.explain`). `compare` holds two of
them against each other within each history; whoever averages over people leaves out those for whom
a measure is not defined, and may count them.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

from recflax.metrics import precision_at_k


class Agreement(NamedTuple):
    """How two attributions agree within each history, each (B,), NaN where it is not defined.

    Attributes:
        rank: of the sizes of the events, -1 to 1; 0 is chance.
        auc: chance that an event with an effect is ranked above one without; 0.5 is chance.
        top_1: chance that the event that is ranked first has the largest effect.
        chance: what ``top_1`` is for an event drawn at random.
    """

    rank: np.ndarray
    auc: np.ndarray
    top_1: np.ndarray
    chance: np.ndarray


def compare(importance: Any, effect: Any, mask: Any) -> Agreement:
    r"""Hold one attribution against another, within each history, sizes only.

    Signs are dropped on both sides, since attention has none. Ties are treated alike everywhere:
    the result is the expectation over random orders of what is tied.

    - ``rank``: Spearman's, tied events share the mean of their ranks; NaN where one
      side is constant.
    - ``auc``: of the events with an effect against those whose effect is *exactly* 0; a tie counts
      one half; NaN for a history that has only one of the two.
    - ``top_1``: each of the events that share the largest effect is right, and one that shares
      first place of the ranking is taken at random; NaN where no event has an effect.

    Args:
        importance: (B, L) what ranks the events.
        effect: (B, L) what they are held against.
        mask: (B, L) bool, True where there is an event; what stands elsewhere is not read.

    Raises:
        TypeError: ``mask`` is not boolean.
        ValueError: shapes that differ, or NaN or infinity at an event.

    Example:
        >>> found = compare([[0.1, 0.6, 0.3]], [[0.0, -0.2, 0.1]], np.ones((1, 3), bool))
        >>> [float(number[0]) for number in found[:3]]
        [1.0, 1.0, 1.0]
    """
    mask = np.asarray(mask)
    if mask.dtype != np.bool_:
        raise TypeError(f"mask must hold booleans, not {mask.dtype}")
    sizes = []
    for name, values in (("importance", importance), ("effect", effect)):
        array = np.asarray(values, dtype=float)
        if array.ndim != 2 or array.shape != mask.shape:
            raise ValueError(f"{name} must be (B, L) like mask, {mask.shape}; got {array.shape}")
        wrong = np.argwhere(mask & ~np.isfinite(array))
        if len(wrong):
            place = tuple(wrong[0].tolist())
            raise ValueError(f"{name} must be finite at every event; at {place} it is not")
        sizes.append(np.where(mask, np.abs(array), np.nan))
    ranks = [_ranks(size) for size in sizes]
    score, size = (np.nan_to_num(size) for size in sizes)
    largest = mask & (size > 0) & (size == size.max(axis=1, keepdims=True, initial=0.0))
    return Agreement(
        _correlation(*ranks),
        _auc(ranks[0], size > 0, mask),
        precision_at_k(score, largest, 1, where=mask),
        precision_at_k(np.zeros_like(score), largest, 1, where=mask),
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks 1, 2, ... within each row, the mean among equals, NaN where the value is NaN."""
    return rankdata(values, axis=1, nan_policy="omit")


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's correlation within each row over what is not NaN; NaN where a side is constant."""
    centred = [np.nan_to_num(side - _row_mean(side)) for side in (one, other)]
    product = (centred[0] * centred[1]).sum(axis=1)
    norm = np.sqrt(np.prod([(side**2).sum(axis=1) for side in centred], axis=0))
    return np.divide(product, norm, out=np.full_like(norm, np.nan), where=norm > 0)


def _row_mean(values: np.ndarray) -> np.ndarray:
    """(B, 1) mean over what is not NaN, 0 in a row of nothing else."""
    count = np.isfinite(values).sum(axis=1, keepdims=True)
    return np.nansum(values, axis=1, keepdims=True) / np.maximum(count, 1)


def _auc(rank: np.ndarray, positive: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The Mann-Whitney statistic of ranks (B, L), divided by its largest value."""
    above = positive.sum(axis=1)
    pairs = above * (mask.sum(axis=1) - above)
    won = np.where(positive, rank, 0).sum(axis=1) - above * (above + 1) / 2
    return np.divide(won, pairs, out=np.full(len(mask), np.nan), where=pairs > 0)
