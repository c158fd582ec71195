r"""What a policy would earn, estimated from the log of another one.

In row i the logging policy took action :math:`A_i` in context :math:`x_i` with propensity
:math:`e_i`, and reward :math:`R_i` came. What would policy :math:`\pi` earn there? Six estimators
answer, made of three parts,

.. math::

    w_i = \frac{\pi(A_i \mid x_i)}{e_i}, \qquad \hat q(x, a), \qquad
    \hat v_i = \sum_a \pi(a \mid x_i)\, \hat q(x_i, a)

which are how often :math:`\pi` would have done what was done, a predicted reward, and what the
predictions say of :math:`\pi`.

All of them take *consistency* for granted: the reward that came is the one that belongs to the
action taken, whatever happened in other rows. The weighted ones need two things more. *Support*:
what :math:`\pi` may do the logging policy may do, :math:`e(a \mid x) > 0` wherever
:math:`\pi(a \mid x) > 0`. *Right propensities*: :math:`e_i` is the chance of :math:`A_i` given
everything that moved both action and reward.

The interval of each is over people (``log.person``), whose rows are kept together, and takes the
policy and the predictions as given: those must come from other data than the rows.

The terms of a row stand in functions of their own (`ips_terms`, `direct_terms`,
`doubly_robust_terms`, and `clipped` and `switched` for the weights). They are plain operations, so
that numpy and jax arrays alike go through them, under ``jax.jit`` and ``jax.grad`` too.

Example:
    >>> weight, reward = np.array([2.0, 0.0, 8.0]), np.array([1.0, 1.0, 0.5])
    >>> ips_terms(weight, reward), ips_terms(clipped(weight, 3.0), reward)
    (array([2., 0., 4.]), array([2. , 0. , 1.5]))
    >>> direct = direct_terms(np.array([[0.25, 0.75]]), np.array([[1.0, 0.2]]), np.zeros(3, int))
    >>> doubly_robust_terms(switched(weight, 3.0), reward, np.array([1.0, 0.2, 0.2]), direct)
    array([0.4, 0.4, 0.4])
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from recflax.causal.logged import Logged, Predictions
from recflax.causal.propensity import effective_sample_size
from recflax.estimates import Estimate
from recflax.intervals import mean_over_people, ratio_over_people


def ips_terms(weight: Any, reward: Any) -> Any:
    """Return (n,) :math:`w_i R_i`; both are (n,), of numpy or of jax."""
    return weight * reward


def clipped(weight: Any, clip: float) -> Any:
    r"""Return (n,) :math:`\min(w_i, c)`."""
    return weight.clip(max=clip)


def switched(weight: Any, threshold: float) -> Any:
    r"""Return (n,) :math:`w_i \, 1[w_i \le \tau]`."""
    return weight * (weight <= threshold)


def direct_terms(policy: Any, predicted: Any, context: Any) -> Any:
    r"""Return (n,) :math:`\hat v_i`, from policy and predictions (C, A) and contexts (n,)."""
    return (policy * predicted).sum(axis=-1)[context]


def doubly_robust_terms(weight: Any, reward: Any, predicted: Any, direct: Any) -> Any:
    r"""Return (n,) :math:`\hat v_i + w_i (R_i - \hat q(x_i, A_i))`; all four are (n,)."""
    return direct + weight * (reward - predicted)


def ips(log: Logged, policy: Any, **options: Any) -> Estimate:
    r"""Inverse propensity scoring: every row counts as often as the policy would have done it.

    .. math:: \hat V = \frac1n \sum_i w_i R_i

    Unbiased under support and right propensities, for any number of rows. Where the policy likes
    what was rarely done its variance is large, and with a few large weights in the log the
    interval is too short: look at ``effective_sample_size``, and at the mean weight (`overlap`).

    Args:
        log: the rows.
        policy: (C, A) chances, rows sum to 1.
        **options: ``level``, ``method``, ``replicates``, ``seed`` of
            `recflax.intervals.mean_over_people`.

    Returns:
        The value per row with its diagnostics. Its target is people like these.

    Raises:
        TypeError: ``log`` is no `Logged`, or arrays that hold no numbers.
        ValueError: a policy whose shape does not hold the log's contexts and actions, or whose
            rows are no chances; fewer than two people; an option out of range.

    Source: Horvitz and Thompson (1952), for samples; Dudík et al. (2014), for policies.

    Example:
        >>> log = Logged([0, 1, 0, 1], [0, 1, 1, 1], [1.0, 0.0, 0.0, 1.0], [0.5, 0.8, 0.5, 0.8])
        >>> ips(log, [[1.0, 0.0], [0.0, 1.0]]).value  # (1/.5 + 0/.8 + 0 + 1/.8) / 4
        0.8125
    """
    weight = _weight(log, policy)
    value = mean_over_people(ips_terms(weight, log.reward), log.person, **options)
    return _diagnosed(value, weight, 0.0)


def snips(log: Logged, policy: Any, **options: Any) -> Estimate:
    r"""Self-normalised inverse propensity scoring: a weighted mean, so never outside the rewards.

    .. math:: \hat V = \sum_i w_i R_i \Big/ \sum_i w_i

    Adding a constant to every reward adds it to the value, which `ips` does not grant. Consistent
    under the conditions of `ips`, with a bias that goes with 1/n, and usually less variance. It
    also hides a missing support, since the weights are forced to a mean of 1.

    Arguments and errors are those of `ips`; the weights must not all be 0. The interval is by the
    delta method (`recflax.intervals.ratio_over_people`).

    Source: Swaminathan and Joachims (2015).

    Example:
        >>> log = Logged([0, 1, 0, 1], [0, 1, 1, 1], [1.0, 0.0, 0.0, 1.0], [0.5, 0.8, 0.5, 0.8])
        >>> snips(log, [[1.0, 0.0], [0.0, 1.0]]).value  # (2 + 1.25) / (2 + 1.25 + 1.25)
        0.7222222222222222
    """
    weight = _weight(log, policy)
    if not weight.any():
        raise ValueError("policy never does what the log did: all weights are 0")
    value = ratio_over_people(ips_terms(weight, log.reward), weight, log.person, **options)
    return _diagnosed(value, weight, 0.0)


def clipped_ips(log: Logged, policy: Any, clip: float, **options: Any) -> Estimate:
    r"""Inverse propensity scoring with weights cut at a largest one: bias for less variance.

    .. math:: \hat V = \frac1n \sum_i \min(w_i, c)\, R_i

    For rewards of at least 0 it is too low on average, by
    :math:`\sum_a (\pi - \min(\pi, c\,e))\, q` in each context, under the conditions of `ips`. The
    interval knows nothing of that bias.

    Arguments and errors are those of `ips`, and:

    Args:
        clip: c, the largest weight, above 0; infinity gives `ips`.

    Returns:
        The value per row; effective sample size and largest weight are those after the cut, and
        ``clipped_share`` is the share of rows that were cut.

    Source: Bottou et al. (2013), on clipped weights.

    Example:
        >>> log = Logged([0, 1, 0, 1], [0, 1, 1, 1], [1.0, 0.0, 0.0, 1.0], [0.5, 0.8, 0.5, 0.8])
        >>> cut = clipped_ips(log, [[1.0, 0.0], [0.0, 1.0]], clip=1.5)  # (1.5 + 1.25) / 4
        >>> cut.value, cut.clipped_share
        (0.6875, 0.25)
    """
    weight, cut = _cut(_weight(log, policy), clip)
    value = mean_over_people(ips_terms(weight, log.reward), log.person, **options)
    return _diagnosed(value, weight, cut)


def direct_method(log: Logged, policy: Any, predictions: Predictions, **options: Any) -> Estimate:
    r"""The direct method: what the predictions say of the policy; no reward is looked at.

    .. math:: \hat V = \frac1n \sum_i \hat v_i

    Unbiased if :math:`\hat q(x, a) = E[R \mid do(a), x]` wherever the policy goes. Its interval is
    about who is in the log, not about the predictions: a model that is wrong has a short interval
    in the wrong place.

    Args:
        log: the rows.
        policy: (C, A) chances, rows sum to 1.
        predictions: predicted rewards (C, A), bound to this log (`Logged.bind`).
        **options: as in `ips`.

    Returns:
        The value per row; nothing is weighted, so there are no diagnostics of weights.

    Raises:
        TypeError: as in `ips`, or predictions that were not bound to a log.
        ValueError: as in `ips`, or predictions made for another log or of another shape than the
            policy.

    Source: Dudík et al. (2014).

    Example:
        >>> log = Logged([0, 1, 0, 1], [0, 1, 1, 1], [1.0, 0.0, 0.0, 1.0], [0.5, 0.8, 0.5, 0.8])
        >>> direct_method(log, [[1.0, 0.0], [0.0, 1.0]], log.bind([[0.6, 0.9], [0.9, 0.4]])).value
        0.5
    """
    policy, predicted = _tables(log, policy, predictions)
    return mean_over_people(direct_terms(policy, predicted, log.context), log.person, **options)


def doubly_robust(
    log: Logged,
    policy: Any,
    predictions: Predictions,
    *,
    clip: float | None = None,
    **options: Any,
) -> Estimate:
    r"""Doubly robust: the direct method, plus the weighted mean of what it got wrong.

    .. math:: \hat V = \frac1n \sum_i \hat v_i + w_i \big(R_i - \hat q(x_i, A_i)\big)

    With propensities :math:`\hat e` where e is right, the bias in a context is

    .. math:: \sum_a \pi(a)\, \big(\hat q(a) - q(a)\big) \big(1 - e(a) / \hat e(a)\big)

    so it is unbiased if the propensities *or* the predictions are right. Right predictions are
    those of the rows: :math:`\hat q(x, a) = E[R \mid x, A = a]`. If something moved both action
    and reward and is not in x, then that is not :math:`E[R \mid do(a), x]`, and no predictions
    repair a wrong propensity.

    Arguments and errors are those of `direct_method`, and:

    Args:
        clip: cut the weights at this largest one, above 0; None cuts none.

    Returns:
        The value per row with its diagnostics, as in `clipped_ips`.

    Source: Dudík et al. (2014), who derive the bias and the variance too.

    Example:
        >>> log = Logged([0, 1, 0, 1], [0, 1, 1, 1], [1.0, 0.0, 0.0, 1.0], [0.5, 0.8, 0.5, 0.8])
        >>> predictions = log.bind([[0.6, 0.9], [0.9, 0.4]])
        >>> # .5 + ((1 - .6) / .5 + (0 - .4) / .8 + 0 + (1 - .4) / .8) / 4
        >>> round(doubly_robust(log, [[1.0, 0.0], [0.0, 1.0]], predictions).value, 6)
        0.7625
    """
    policy, predicted = _tables(log, policy, predictions)
    weight, cut = _cut(log.weight(policy), math.inf if clip is None else clip)
    return _doubly_robust(log, policy, predicted, weight, cut, **options)


def switch_dr(
    log: Logged, policy: Any, predictions: Predictions, threshold: float, **options: Any
) -> Estimate:
    r"""Switch: doubly robust where weights are small, the predictions alone where they are large.

    .. math::

        \hat V = \frac1n \sum_i \hat v_i
            + w_i \, 1[w_i \le \tau] \, \big(R_i - \hat q(x_i, A_i)\big)

    Threshold infinity gives `doubly_robust`, 0 the `direct_method`. With right propensities the
    bias in a context is :math:`\sum_a \pi(a)\, 1[\pi(a) / e(a) > \tau]\, (\hat q(a) - q(a))`: that
    of the predictions, but only where the log says little.

    Arguments and errors are those of `direct_method`, and:

    Args:
        threshold: the largest weight that is used, at least 0.

    Returns:
        The value per row; ``clipped_share`` is the share of rows that were switched off.

    Source: Wang, Agarwal and Dudík (2017), with the doubly robust estimator in the place of
    inverse propensities where the weights are small.

    Example:
        >>> log = Logged([0, 1, 0, 1], [0, 1, 1, 1], [1.0, 0.0, 0.0, 1.0], [0.5, 0.8, 0.5, 0.8])
        >>> predictions = log.bind([[0.6, 0.9], [0.9, 0.4]])
        >>> # .5 + ((0 - .4) / .8 + (1 - .4) / .8) / 4
        >>> round(switch_dr(log, [[1.0, 0.0], [0.0, 1.0]], predictions, threshold=1.5).value, 6)
        0.5625
    """
    policy, predicted = _tables(log, policy, predictions)
    if not threshold >= 0:
        raise ValueError(f"threshold must be at least 0; got {threshold}")
    weight = log.weight(policy)
    off = float((weight > threshold).mean())
    return _doubly_robust(log, policy, predicted, switched(weight, threshold), off, **options)


def _doubly_robust(
    log: Logged,
    policy: np.ndarray,
    predicted: np.ndarray,
    weight: np.ndarray,
    cut: float,
    **options: Any,
) -> Estimate:
    direct = direct_terms(policy, predicted, log.context)
    taken = predicted[log.context, log.action]
    terms = doubly_robust_terms(weight, log.reward, taken, direct)
    return _diagnosed(mean_over_people(terms, log.person, **options), weight, cut)


def _weight(log: Logged, policy: Any) -> np.ndarray:
    """Return (n,) the weights of a log that is one."""
    return _log(log).weight(policy)


def _log(log: Any) -> Logged:
    if not isinstance(log, Logged):
        raise TypeError(f"log must be a Logged, not {type(log).__name__}")
    return log


def _tables(log: Logged, policy: Any, predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return the policy and the predictions, both (C, A), or raise."""
    policy, predicted = _log(log).check_policy(policy), log.check_predictions(predictions)
    if policy.shape != predicted.shape:
        raise ValueError(
            f"policy and predictions must have one shape; got {policy.shape} and {predicted.shape}"
        )
    return policy, predicted


def _cut(weight: np.ndarray, clip: float) -> tuple[np.ndarray, float]:
    """Return the weights cut at ``clip``, and the share of them that it cut."""
    if not clip > 0:
        raise ValueError(f"clip must be above 0; got {clip}")
    return clipped(weight, clip), float((weight > clip).mean())


def _diagnosed(estimate: Estimate, weight: np.ndarray, clipped_share: float) -> Estimate:
    """Return an estimate that says what its weights were."""
    return dataclasses.replace(
        estimate,
        effective_sample_size=effective_sample_size(weight),
        max_weight=weight.max(),
        clipped_share=clipped_share,
    )
