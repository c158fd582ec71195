r"""The best that anyone can know of the store's truth from a history: E[do(t) | H].

`recflax.worlds.store_truth` is exact for people whose taste is known. A recommender sees only the
history H, and the taste leaves its mark there through the needs alone: with
:math:`p = \mathrm{softmax}(a_{taste}\,\theta)`, the categories c of the logged events, oldest
first, have the likelihood

.. math::

    P(H \mid \theta) \propto p_{c_1} \prod_{l > 1}
        \begin{cases}
            stay + (1 - stay)\, p_{c_l} & c_l = c_{l-1} \\
            (1 - stay)\, p_{c_l} & \text{otherwise}
        \end{cases}

since products within a category, purchases and the length do not depend on taste. So tastes are
drawn from their prior, the same for everybody, and averaged with these weights (self-normalised
importance sampling; Owen, *Monte Carlo theory, methods and examples*, 2013, chapter 9).
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_softmax

from recflax.worlds.store import Store
from recflax.worlds.store_truth import sum_over

QUESTIONS = ("do_0", "do_1", "uplift")
_BLOCK = 1000  # people at once: a block of weights is (1000, draws)


class GivenHistory(NamedTuple):
    """An expectation given each person's history, and how well the draws know it.

    Attributes:
        value: (U, M).
        std_error: (U, M) Monte Carlo standard error. The draws are shared, so errors of different
            people are not independent.
        effective_draws: (U,) 1 over the sum of squared weights, from 1 to the number of draws.
    """

    value: np.ndarray
    std_error: np.ndarray
    effective_draws: np.ndarray


def given_history(store: Store, question: str, *, draws: int = 2000, seed: int) -> GivenHistory:
    """E[question | H] of every person and product, for people like these.

    Args:
        store: whose histories and equations.
        question: ``"do_0"``, ``"do_1"`` or ``"uplift"``, as in the methods of the store.
        draws: tastes drawn from the prior, at least 2.
        seed: of these draws; any seed may be used, the store's own too.

    Raises:
        ValueError: an unknown question, or too few draws.

    Example:
        >>> from recflax.worlds.store import StoreConfig, build_store
        >>> store = build_store(StoreConfig(n_people=101, n_items=23), seed=5)
        >>> known = given_history(store, "uplift", seed=0)
        >>> earned = store.policy_value(store.greedy(known.value)).increment
        >>> bool(earned < store.policy_value(store.greedy(store.uplift())).increment)
        True
    """
    if question not in QUESTIONS:
        raise ValueError(f"question must be one of {QUESTIONS}; got {question!r}")
    if draws < 2:
        raise ValueError(f"draws must be at least 2; got {draws}")
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    taste = rng.normal(size=(draws, store.config.n_categories))  # (K, C)
    taste -= taste.mean(axis=1, keepdims=True)
    table, column = _answers(store, question, taste)  # (K, T), (U, M)
    likelihood = log_likelihood(store, taste)  # (U, K)
    blocks = [
        _weighted_mean(likelihood[first : first + _BLOCK], table, column[first : first + _BLOCK])
        for first in range(0, len(column), _BLOCK)
    ]
    return GivenHistory(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def log_likelihood(store: Store, taste: np.ndarray) -> np.ndarray:
    """Log of P(H | taste), (U, K), of every history under tastes (K, C), up to a constant."""
    stay, categories = store.config.stay, store.config.n_categories
    of_event = np.where(store.history > 0, store.category[store.history - 1], -1)  # (U, L)
    before = np.concatenate([np.full_like(of_event[:, :1], -1), of_event[:, :-1]], axis=1)
    at = np.arange(categories)[:, None, None] == of_event  # (C, U, L)
    kept, fresh = ((at & same).sum(axis=2).T for same in (of_event == before, of_event != before))
    log_chance = log_softmax(store.config.a_taste * taste, axis=1)  # (K, C)
    log_kept = np.log(stay + (1 - stay) * np.exp(log_chance))
    return fresh @ log_chance.T + kept @ log_kept.T


def _answers(store: Store, question: str, taste: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each taste would answer: a table (K, T), and the column of each person and product.

    Without its taste a person's log odds of a product takes few values (hot or not, complement or
    not, bought already or not), so each of them is computed once for everybody.
    """
    items = store.config.n_items
    plain = replace(store, taste=np.zeros_like(store.taste)).log_odds()  # (U, M)
    found = [np.unique(plain[:, item], return_inverse=True) for item in range(items)]
    levels = np.array([len(odds) for odds, _ in found])
    first = np.cumsum(levels) - levels  # the first column of each product
    column = np.stack([place for _, place in found], axis=1) + first  # (U, M)
    item = np.repeat(np.arange(items), levels)  # (T,)
    untasted = np.concatenate([odds for odds, _ in found])
    odds = untasted + store.config.b_t * taste[:, store.category[item]]  # (K, T)
    shown, not_shown = (
        sum_over(store, lambda z, t=t: expit(odds + t * store.lift[item] + z * store.config.g_y))
        for t in (1, 0)
    )
    return {"do_0": not_shown, "do_1": shown, "uplift": shown - not_shown}[question], column


def _weighted_mean(
    log_weight: np.ndarray, table: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, their standard errors (B, M) and the effective draws (B,), for a block of people."""
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))  # (B, K)
    weight /= weight.sum(axis=1, keepdims=True)
    mean = weight @ table  # (B, T)
    # sum of w^2 (f - mean)^2, with its square written out
    squared = weight**2
    total = squared.sum(axis=1, keepdims=True)
    variance = squared @ table**2 - 2 * mean * (squared @ table) + mean**2 * total
    error = np.sqrt(np.maximum(variance, 0))  # rounding may leave a variance of -1e-20
    here = np.take_along_axis(mean, column, axis=1), np.take_along_axis(error, column, axis=1)
    return *here, 1 / total[:, 0]
