r"""The average effect of a treatment from a log: four estimators, and nuisances fitted apart.

With treatment :math:`T`, outcome :math:`Y`, and what is known before the treatment :math:`X`, the
target is :math:`\tau = E[Y(1) - Y(0)]`. All four need *consistency* (the outcome that was seen is
the one under the treatment that was given) and *no interference* between rows; all but the first
need that nothing outside X moves both T and Y, and *overlap*, :math:`0 < e(X) < 1`, where
:math:`e(X) = P(T = 1 \mid X)` is the propensity and :math:`m_t(X) = E[Y \mid T = t, X]`. None of
this can be read off the log.

Intervals are about people like these: the rows of a person move together. They take the
nuisances as known. When they were fitted, that is right for `doubly_robust` with `cross_fit`, too
short for `outcome_regression`, and too long for `inverse_weighting` with a parametric propensity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from recflax.causal.logged import Nuisances, Treated, finite_vector
from recflax.estimates import Estimate
from recflax.intervals import mean_over_people

NUISANCES = ("propensity", "outcome_0", "outcome_1")

Predict = Callable[[Any], tuple[Any, Any, Any]]
"""From features of m rows to propensity, outcome without and outcome with treatment, each (m,)."""

Fit = Callable[[Any, np.ndarray, np.ndarray, jax.Array], Predict]
"""From features, treatment (n,), outcome (n,) and a random key to a `Predict`."""


def difference_of_means(log: Treated, *, level: float = 0.95) -> Estimate:
    r"""The mean outcome of the treated less that of the others.

    .. math:: \hat\tau = \bar Y_{T=1} - \bar Y_{T=0}

    Right where the treatment was randomised with one chance for all; elsewhere it mixes the effect
    with what the treated were like to begin with.

    Args:
        log: the rows.
        level: coverage of the interval, in (0, 1).

    Source: Imbens and Rubin (2015), chapter 6.

    Example:
        >>> difference_of_means(Treated([1, 1, 0, 0], [1.0, 0.0, 0.0, 0.0])).value
        0.5
    """
    return _self_normalised(log, np.full(log.n, log.treatment.mean()), level)


def outcome_regression(log: Treated, nuisances: Nuisances, *, level: float = 0.95) -> Estimate:
    r"""The mean difference of predicted outcomes, with the treatment and without it.

    .. math:: \hat\tau = \frac{1}{n} \sum_i \big( \hat m_1(X_i) - \hat m_0(X_i) \big)

    Right if both outcome models are. No row is weighted, and where nobody was treated the models
    extrapolate without a word. The interval says nothing of the models' own error.

    Args:
        log: the rows.
        nuisances: ``outcome_0`` and ``outcome_1``, bound to the log.
        level: coverage of the interval, in (0, 1).

    Raises:
        TypeError: nuisances that are not bound to a log.
        ValueError: nuisances of another log, or without the outcomes.

    Source: Robins (1986), the g-formula; Imbens and Rubin (2015), chapter 12.

    Example:
        >>> log = Treated([1, 1, 0, 0], [1.0, 0.0, 0.0, 0.0])
        >>> known = log.bind(outcome_0=[0.1, 0.2, 0.1, 0.2], outcome_1=[0.4, 0.5, 0.4, 0.5])
        >>> round(outcome_regression(log, known).value, 3)
        0.3
    """
    without, with_it = log.check_nuisances(nuisances, *NUISANCES[1:])
    return mean_over_people(with_it - without, log.person, level=level)


def inverse_weighting(
    log: Treated,
    nuisances: Nuisances,
    *,
    normalise: bool = False,
    clip: float | None = None,
    level: float = 0.95,
) -> Estimate:
    r"""Each outcome weighted by one over the chance of the treatment that came before it.

    .. math:: \hat\tau = \frac{1}{n} \sum_i
        \left( \frac{T_i Y_i}{e(X_i)} - \frac{(1 - T_i) Y_i}{1 - e(X_i)} \right)

    Unbiased with the true propensities. ``normalise`` divides the weights of each arm by their
    sum instead of by n: a bias that vanishes with n buys a smaller variance, and an estimate that
    adding a constant to every outcome does not move.

    Args:
        log: the rows.
        nuisances: ``propensity``, bound to the log.
        normalise: divide by the sum of weights of each arm.
        clip: move propensities into [clip, 1 - clip], which biases; the share of moved ones is in
            the result. None leaves them.
        level: coverage of the interval, in (0, 1).

    Raises:
        TypeError: nuisances that are not bound to a log.
        ValueError: nuisances of another log or without propensities, or ``clip`` out of range.

    Source: Horvitz and Thompson (1952); Hajek (1971) for ``normalise``.

    Example:
        >>> log = Treated([1, 1, 0, 0], [1.0, 0.0, 0.0, 0.0])
        >>> known = log.bind(propensity=[0.25, 0.5, 0.25, 0.5])
        >>> inverse_weighting(log, known).value
        1.0
        >>> round(inverse_weighting(log, known, normalise=True).value, 3)
        0.667
    """
    chance, moved = _clipped(log.check_nuisances(nuisances, "propensity")[0], clip)
    if normalise:
        found = _self_normalised(log, chance, level)
    else:
        t = log.treatment
        parts = log.outcome * (t / chance - (1 - t) / (1 - chance))
        found = _weighed(mean_over_people(parts, log.person, level=level), log, chance)
    return replace(found, clipped_share=moved)


def doubly_robust(
    log: Treated, nuisances: Nuisances, *, clip: float | None = None, level: float = 0.95
) -> Estimate:
    r"""Predicted outcomes, corrected by the weighted residuals of the rows that tell (AIPW).

    .. math:: \hat\tau = \frac{1}{n} \sum_i \left( \hat m_1 - \hat m_0
        + \frac{T_i}{\hat e} (Y_i - \hat m_1) - \frac{1 - T_i}{1 - \hat e} (Y_i - \hat m_0) \right)

    each model taken at :math:`X_i`. Right if the propensities or both outcome models are; its
    bias is a product of the two errors. With cross-fitted nuisances the interval holds where that
    product falls faster than one over the root of n.

    Args:
        log: the rows.
        nuisances: all three, bound to the log.
        clip: move propensities into [clip, 1 - clip]; the share of moved ones is in the result.
            None leaves them.
        level: coverage of the interval, in (0, 1).

    Raises:
        TypeError: nuisances that are not bound to a log.
        ValueError: nuisances of another log or incomplete, or ``clip`` out of range.

    Source: Robins, Rotnitzky and Zhao (1994); Chernozhukov et al. (2018), section 5.1.

    Example:
        >>> log = Treated([1, 1, 0, 0], [1.0, 0.0, 0.0, 0.0])
        >>> known = log.bind([0.25, 0.5, 0.25, 0.5], [0.0] * 4, [0.5] * 4)
        >>> doubly_robust(log, known).value
        0.75
    """
    chance, without, with_it = log.check_nuisances(nuisances, *NUISANCES)
    chance, moved = _clipped(chance, clip)
    t, y = log.treatment, log.outcome
    parts = with_it - without
    parts = parts + t / chance * (y - with_it) - (1 - t) / (1 - chance) * (y - without)
    found = _weighed(mean_over_people(parts, log.person, level=level), log, chance)
    return replace(found, clipped_share=moved)


def cross_fit(
    log: Treated, features: Any, fit: Fit, *, folds: int = 4, key: jax.Array
) -> Nuisances:
    """Fit the nuisances so that nobody's are predicted by a model that has seen that person.

    People are dealt into folds; for each fold the models are fitted on all the others. A model
    that remembers its rows would otherwise explain away the very residuals that correct it.

    Args:
        log: the rows.
        features: X, a pytree of arrays with first axis n. Nothing in it may come after the
            treatment.
        fit: ``fit(features, treatment, outcome, key)``, called once a fold, returns
            ``predict(features)``, which returns propensity, outcome_0 and outcome_1.
        folds: at least 2, and at most the number of people.
        key: a random key, for the folds and for ``fit``.

    Returns:
        The three nuisances of every row, bound to the log. Propensities are as they were
        predicted: the estimators clip them where asked.

    Raises:
        TypeError: ``folds`` is no integer, or predictions that are no numbers.
        ValueError: features of another length, ``folds`` out of range, a training part in which
            all or none are treated, or predictions of another shape, not finite, or with a
            propensity that is not inside (0, 1).

    Source: Chernozhukov et al. (2018), definition 3.2.

    Example:
        >>> def fit(x, t, y, key):  # one propensity, one outcome for all
        ...     return lambda new: [np.full(len(new), part) for part in (t.mean(), 0.0, y.mean())]
        >>> log = Treated([1, 0, 1, 0, 1, 0], [1.0, 0.0, 1.0, 0.0, 0.0, 0.0])
        >>> cross_fit(log, np.zeros(6), fit, folds=3, key=jax.random.key(0)).propensity.shape
        (6,)
    """
    features = jax.tree.map(np.asarray, features)
    for leaf in jax.tree.leaves(features):
        if leaf.shape[:1] != (log.n,):
            raise ValueError(
                f"features must hold arrays with first axis {log.n}; one has {leaf.shape}"
            )
    deal_key, fit_key = jax.random.split(key)
    fold = person_folds(log.person, folds, deal_key)
    fitted = np.empty((len(NUISANCES), log.n))
    for number in range(folds):
        learn, ask = _parts(fold, number)
        t, y = log.treatment[learn], log.outcome[learn]
        if t.min() == t.max():
            raise ValueError(f"all rows outside fold {number} have treatment {t[0]:g}; none to fit")
        predict = fit(_rows(features, learn), t, y, jax.random.fold_in(fit_key, number))
        predicted = tuple(predict(_rows(features, ask)))
        if len(predicted) != len(NUISANCES):
            raise ValueError(f"predict must return {NUISANCES}; got {len(predicted)} arrays")
        for place, name in enumerate(NUISANCES):
            what = f"{name} predicted for fold {number}"
            fitted[place, ask] = finite_vector(predicted[place], what, ask.shape)
    return log.bind(*fitted)


def person_folds(person: Any, folds: int, key: jax.Array) -> np.ndarray:
    """Deal people into folds of equal size (but for one person); returns (n,) 0 to folds - 1.

    Args:
        person: (n,) labels; the rows of one person come into one fold.
        folds: at least 2, and at most the number of people.
        key: a random key.

    Raises:
        TypeError: ``folds`` is no integer.
        ValueError: ``folds`` out of range.

    Example:
        >>> fold = person_folds([7, 7, 9, 9], 2, jax.random.key(0))
        >>> bool(fold[0] == fold[1] != fold[2] == fold[3])
        True
    """
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer):
        raise TypeError(f"folds must be an integer; got {folds!r}")
    people, index = np.unique(np.asarray(person), return_inverse=True)
    if not 2 <= folds <= len(people):
        raise ValueError(f"folds must be from 2 to the {len(people)} people; got {folds}")
    return np.asarray(jax.random.permutation(key, len(people)))[index] % folds


def _parts(fold: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows to learn from, outside a fold, and the rows to ask about, inside it."""
    return np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def _rows(features: Any, rows: np.ndarray) -> Any:
    return jax.tree.map(lambda array: array[rows], features)


def _clipped(chance: np.ndarray, clip: float | None) -> tuple[np.ndarray, float | None]:
    """Propensities, and the share of them that was moved; None where clipping was not asked for."""
    if clip is None:
        return chance, None
    if not 0 < clip < 0.5:
        raise ValueError(f"clip must be between 0 and 0.5; got {clip}")
    inside = np.clip(chance, clip, 1 - clip)
    return inside, float((inside != chance).mean())


def _self_normalised(log: Treated, chance: np.ndarray, level: float) -> Estimate:
    """Difference of the weighted means of the arms; each row's part is linearised around it."""
    value, parts = 0.0, np.zeros(log.n)
    for sign, given, share in ((1, log.treatment, chance), (-1, 1 - log.treatment, 1 - chance)):
        weight = given / share
        mean = weight @ log.outcome / weight.sum()
        value += sign * mean
        parts += sign * weight * (log.outcome - mean) * log.n / weight.sum()
    return _weighed(mean_over_people(value + parts, log.person, level=level), log, chance)


def _weighed(found: Estimate, log: Treated, chance: np.ndarray) -> Estimate:
    r"""The estimate with its largest weight and :math:`(\sum w)^2 / \sum w^2` (Kish 1965)."""
    weight = 1 / np.where(log.treatment == 1, chance, 1 - chance)
    size = weight.sum() ** 2 / np.square(weight).sum()
    return replace(found, effective_sample_size=size, max_weight=weight.max())
