r"""Ranking metrics: pure functions of arrays, each its expectation under random order among ties.

All take scores and relevance of B people for N candidates and return one number a person, (B,).
Four rules hold throughout:

- Candidates of equal score stand in *uniformly random order*, and the metric is its exact
  expectation over these orders (McSherry and Najork 2008): a constant model is never perfect.
- A person without a relevant candidate gets NaN. Whoever averages leaves these people out and
  says how many they were.
- Candidates where ``where`` is False do not count: they take no place and are not relevant.
- NaN among the scores is an error.

Relevance is boolean or graded, at least 0. Only `ndcg_at_k` looks at the grade; for the others
every grade above 0 is relevant. ``k`` may exceed the number of candidates: the list then ends
with the last of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recflax.ties import gain_above, log_choose, top_k

GAINS = ("linear", "exp2")


def precision_at_k(scores: Any, relevant: Any, k: int, where: Any = None) -> np.ndarray:
    r"""Return the expected share of the first k places that hold a relevant candidate.

    .. math:: P@k = \frac{1}{k} \, |\{\text{relevant}\} \cap \{\text{first } k\}|

    The divisor is k, also where fewer candidates are there: an empty place is no hit.

    Args:
        scores: (B, N) numbers, higher is better; infinities are allowed.
        relevant: (B, N) bool, or grades of which those above 0 are relevant.
        k: Length of the list, at least 1.
        where: (B, N) bool, the candidates that count; None counts all.

    Returns:
        (B,) floats in [0, 1], NaN for people without a relevant candidate.

    Raises:
        TypeError: Arrays of the wrong type, or k is no integer.
        ValueError: Shapes that differ, NaN, a negative grade, or k below 1.

    Example:
        >>> scores = [[0.9, 0.5, 0.5, 0.1]]  # one of two tied candidates is relevant
        >>> precision_at_k(scores, [[True, True, False, False]], k=2)
        array([0.75])
    """
    scores, grade, where, k = _checked(scores, relevant, k, where)
    hits = top_k(scores, k, where).hits(grade > 0)
    return _or_nan(hits / k, grade)


def recall_at_k(scores: Any, relevant: Any, k: int, where: Any = None) -> np.ndarray:
    r"""Return the expected share of the relevant candidates that are in the first k places.

    .. math:: R@k = \frac{|\{\text{relevant}\} \cap \{\text{first } k\}|}{|\{\text{relevant}\}|}

    The divisor is the number of *all* relevant candidates, so it is at most k over their number.
    Arguments, result and errors are those of `precision_at_k`.

    Example:
        >>> recall_at_k([[0.9, 0.5, 0.5, 0.1]], [[True, True, False, False]], k=2)
        array([0.75])
    """
    scores, grade, where, k = _checked(scores, relevant, k, where)
    count = (grade > 0).sum(axis=1)
    return _or_nan(top_k(scores, k, where).hits(grade > 0) / np.maximum(count, 1), grade)


def f1_at_k(scores: Any, relevant: Any, k: int, where: Any = None) -> np.ndarray:
    r"""Return the expected harmonic mean of precision and recall of the first k places.

    .. math:: F_1@k = \frac{2 P R}{P + R} = \frac{2 \, \text{hits}}{k + |\{\text{relevant}\}|}

    The second form is linear in the hits, so its expectation over ties is exact.
    Arguments, result and errors are those of `precision_at_k`.

    Example:
        >>> f1_at_k([[0.9, 0.5, 0.5, 0.1]], [[True, True, False, False]], k=2)
        array([0.75])
    """
    scores, grade, where, k = _checked(scores, relevant, k, where)
    count = (grade > 0).sum(axis=1)
    return _or_nan(2 * top_k(scores, k, where).hits(grade > 0) / (k + count), grade)


def hit_rate_at_k(scores: Any, relevant: Any, k: int, where: Any = None) -> np.ndarray:
    r"""Return the probability that the first k places hold at least one relevant candidate.

    It is 1 where a relevant candidate is surely in. Else r relevant ones are among g tied
    candidates that compete for m places, and the probability is hypergeometric:

    .. math:: 1 - \binom{g - r}{m} \Big/ \binom{g}{m}

    Arguments, result and errors are those of `precision_at_k`.

    Example:
        >>> hit_rate_at_k([[0.5, 0.5, 0.5, 0.1]], [[True, False, False, False]], k=2).round(4)
        array([0.6667])
    """
    scores, grade, where, k = _checked(scores, relevant, k, where)
    top = top_k(scores, k, where)
    sure = (top.above & (grade > 0)).any(axis=1)
    luck = (top.tied & (grade > 0)).sum(axis=1)  # r
    missed = np.exp(log_choose(top.n_tied - luck, top.places) - log_choose(top.n_tied, top.places))
    return _or_nan(np.where(sure, 1.0, 1 - missed), grade)


def ndcg_at_k(
    scores: Any, relevant: Any, k: int, where: Any = None, *, gain: str = "linear"
) -> np.ndarray:
    r"""Return the expected normalised discounted cumulative gain of the first k places.

    .. math::
        \text{NDCG}@k = \frac{\sum_{p=1}^{k} G(y_{(p)}) / \log_2(p + 1)}
                             {\sum_{p=1}^{k} G(y^*_{(p)}) / \log_2(p + 1)}

    where :math:`y_{(p)}` is the grade at place p and :math:`y^*_{(1)} \ge y^*_{(2)} \ge \dots` are
    *all* grades in the best order, cut at k (Järvelin and Kekäläinen 2002). A candidate of a tied
    group at places a+1 to a+g gets the mean discount of these places (McSherry and Najork 2008).

    Args:
        scores: (B, N) numbers, higher is better; infinities are allowed.
        relevant: (B, N) bool, or grades of at least 0.
        k: Length of the list, at least 1.
        where: (B, N) bool, the candidates that count; None counts all.
        gain: ``"linear"``: :math:`G(y) = y`; ``"exp2"``: :math:`G(y) = 2^y - 1` (Burges et al.
            2005). For boolean relevance both are the same.

    Returns:
        (B,) floats in [0, 1], NaN for people without a relevant candidate.

    Raises:
        TypeError: As `precision_at_k`.
        ValueError: As `precision_at_k`, or an unknown ``gain``.

    Example:
        >>> ndcg_at_k([[3.0, 2.0, 1.0]], [[False, True, False]], k=2).round(4)  # 1 / log2(3)
        array([0.6309])
        >>> ndcg_at_k([[1.0, 1.0]], [[False, True]], k=2).round(4)  # (1 + 1 / log2(3)) / 2
        array([0.8155])
    """
    if gain not in GAINS:
        raise ValueError(f"gain must be one of {GAINS}; got {gain!r}")
    scores, grade, where, k = _checked(scores, relevant, k, where)
    gains = np.exp2(grade) - 1 if gain == "exp2" else grade
    k = min(k, scores.shape[1])
    discount = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(k) + 2))])  # (k + 1,)
    top = top_k(scores, k, where)
    best = -np.partition(-gains, k - 1, axis=1)[:, :k]  # (B, k), the k largest gains
    ideal = -np.sort(-best, axis=1) @ np.diff(discount)
    tied = np.where(top.tied, gains, 0.0).sum(axis=1) / np.maximum(top.n_tied, 1)
    shared = discount[top.n_above + top.places] - discount[top.n_above]
    found = gain_above(scores, gains, top, discount) + tied * shared
    return _or_nan(found / np.where(ideal > 0, ideal, 1.0), grade)


def mrr(scores: Any, relevant: Any, k: int | None = None, where: Any = None) -> np.ndarray:
    r"""Return the expected reciprocal rank of the first relevant candidate.

    With a candidates above the best group that holds a relevant one, and r relevant among the g
    candidates of that group,

    .. math:: E\Big[\frac1{\text{rank}}\Big] = \sum_{x=1}^{g-r+1} \frac{1}{a + x} \,
              [S(x-1) - S(x)], \qquad S(x) = \prod_{j=0}^{x-1} \frac{g - r - j}{g - j} .

    Args:
        scores: (B, N) numbers, higher is better; infinities are allowed.
        relevant: (B, N) bool, or grades of which those above 0 are relevant.
        k: Ranks beyond k count as 0; None sets no limit.
        where: (B, N) bool, the candidates that count; None counts all.

    Returns:
        (B,) floats in [0, 1], NaN for people without a relevant candidate.

    Raises:
        TypeError: As `precision_at_k`.
        ValueError: As `precision_at_k`.

    Example:
        >>> mrr([[0.9, 0.5, 0.5, 0.1]], [[False, True, False, True]])  # rank 2 or 3
        array([0.41666667])
    """
    scores, grade, where, limit = _checked(scores, relevant, 1 if k is None else k, where)
    is_relevant = grade > 0
    best = np.where(is_relevant, scores, -np.inf).max(axis=1, initial=-np.inf)[:, None]
    ahead = (where & (scores > best)).sum(axis=1)  # a
    level = where & (scores == best)
    size, lucky = level.sum(axis=1), (level & is_relevant).sum(axis=1)  # g, r
    reach = np.arange(int((size - lucky).max(initial=0)) + 1)  # x - 1
    left = size[:, None] - reach  # (B, X): candidates of the group that have not been placed yet
    none_yet = np.maximum(left - lucky[:, None], 0) / np.maximum(left, 1)
    survival = np.cumprod(none_yet, axis=1)  # S(x)
    before = np.concatenate([np.ones((len(size), 1)), survival[:, :-1]], axis=1)  # S(x - 1)
    rank = ahead[:, None] + reach + 1
    value = (before - survival) / rank
    if k is not None:
        value = np.where(rank <= limit, value, 0.0)
    return _or_nan(value.sum(axis=1), grade)


def exposure(scores: Any, k: int, where: Any = None) -> np.ndarray:
    """Return the expected share of all list places that each item takes.

    Args:
        scores: (B, N) scores of the same N items for everybody.
        k: Length of the lists, at least 1.
        where: (B, N) bool, the candidates that count; None counts all.

    Returns:
        (N,) shares that sum to 1.

    Raises:
        TypeError: As `precision_at_k`.
        ValueError: As `precision_at_k`, or no candidate counts at all.

    Example:
        >>> exposure([[3.0, 2.0, 1.0], [3.0, 1.0, 1.0]], k=2)
        array([0.5  , 0.375, 0.125])
    """
    chance = _checked_chance(scores, k, where)
    return chance.sum(axis=0) / chance.sum()


def coverage(scores: Any, k: int, where: Any = None) -> float:
    """Return the expected share of the items that are in at least one person's list.

    Ties are broken independently for every person. Arguments and errors are those of `exposure`.

    Example:
        >>> coverage([[3.0, 2.0, 1.0], [3.0, 1.0, 1.0]], k=2)  # the third is in by half a chance
        0.8333333333333334
    """
    return float(1 - np.prod(1 - _checked_chance(scores, k, where), axis=0).mean())


def _checked_chance(scores: Any, k: int, where: Any) -> np.ndarray:
    scores, _, where, k = _checked(scores, np.ones(np.shape(scores), dtype=bool), k, where)
    if not where.any():
        raise ValueError("where leaves no candidate to anybody")
    return top_k(scores, k, where).chance()


def _or_nan(values: np.ndarray, grade: np.ndarray) -> np.ndarray:
    """Return the values, NaN for people without a relevant candidate."""
    return np.where((grade > 0).any(axis=1), values, np.nan)


def check_ranking(scores: Any, relevant: Any, k: int, where: Any = None) -> None:
    """Raise what every metric raises, without computing one; see `precision_at_k`.

    Example:
        >>> check_ranking([[1.0, float("nan")]], [[1, 0]], k=1)
        Traceback (most recent call last):
        ...
        ValueError: scores must not be NaN; person 0 has nan at candidate 1
    """
    scores, relevant = np.asarray(scores), np.asarray(relevant)
    for array, name in ((scores, "scores"), (relevant, "relevant")):
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name} must hold numbers, not {array.dtype}")
        if array.ndim != 2 or array.shape[1] == 0:
            raise ValueError(f"{name} must have shape (B, N), N at least 1; got {array.shape}")
    others = {"relevant": relevant}
    if where is not None:
        others["where"] = np.asarray(where)
        if others["where"].dtype != np.bool_:
            raise TypeError(f"where must hold booleans, not {others['where'].dtype}")
    for name, array in others.items():
        if array.shape != scores.shape:
            raise ValueError(
                f"{name} must have the shape of scores, {scores.shape}; got {array.shape}"
            )
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise TypeError(f"k must be an integer, not {type(k).__name__}")
    if k < 1:
        raise ValueError(f"k must be at least 1; got {k}")
    _name_first(np.isnan(scores), scores, "scores must not be NaN")
    if relevant.dtype != np.bool_:
        good = np.isfinite(relevant) & (relevant >= 0)
        _name_first(~good, relevant, "relevant must be finite and at least 0")


def _checked(
    scores: Any, relevant: Any, k: int, where: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return scores as floats, grades (0 where a candidate does not count), where, and k."""
    check_ranking(scores, relevant, k, where)
    scores, relevant = np.asarray(scores), np.asarray(relevant)
    where = np.ones(scores.shape, dtype=bool) if where is None else np.asarray(where)
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(float)
    return scores, np.where(where, relevant, 0).astype(float), where, int(k)


def _name_first(wrong: np.ndarray, array: np.ndarray, rule: str) -> None:
    if wrong.any():
        row, column = (int(place) for place in np.argwhere(wrong)[0])
        raise ValueError(f"{rule}; person {row} has {array[row, column]} at candidate {column}")
