r"""What a training spends of everybody's privacy: the account of DP-SGD.

A training M is :math:`(\varepsilon, \delta)`-private if for any two data sets that differ by the
presence of **one person**, with all her visits, and any set S of networks,

.. math:: P(M(D) \in S) \le e^{\varepsilon}\, P(M(D') \in S) + \delta .

This is the neighbouring relation "add or remove one". To replace one person by another is two
such steps: :math:`2\varepsilon`, and more :math:`\delta`.

The numbers are those of the ``dp_accounting`` package, for steps that draw every person on her own
with chance q (*Poisson sampling*), clip, sum and add Gaussian noise. Many programs shuffle, take
batches of one size, and account for Poisson: that is another mechanism, and the number is not its.
"""

from functools import lru_cache, partial
from typing import Any

import dp_accounting
import numpy as np
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from recflax.estimates import check_share

ORDERS = (*range(2, 65), 128, 256, 512, 1024)
"""Rényi orders of the looser accountant; between the whole ones its series may not converge."""

ACCOUNTANTS = {"pld": PLDAccountant, "rdp": partial(RdpAccountant, ORDERS)}


def epsilon(
    noise_multiplier: float,
    sampling_rate: float,
    steps: int,
    delta: float,
    *,
    accountant: str = "pld",
) -> float:
    r"""The :math:`\varepsilon` of DP-SGD with Poisson sampling, at a given :math:`\delta`.

    Args:
        noise_multiplier: :math:`\sigma`, the noise in units of the clipping norm, at least 0.
        sampling_rate: q, the chance with which a person is drawn at a step, in (0, 1].
        steps: how many steps, at least 1.
        delta: :math:`\delta`, in (0, 1); well below one over the number of people.
        accountant: ``"pld"``, numerically tight (Doroshenko et al., 2022), or ``"rdp"``, the
            upper bound by Rényi divergences (Mironov, 2017), which is larger.

    Returns:
        :math:`\varepsilon` for adding or removing one person; infinity without noise.

    Raises:
        TypeError: ``steps`` is no integer.
        ValueError: a number out of range, or an unknown accountant.

    Source: Abadi et al. (2016); Mironov (2017); the numbers of the example are those of the
    package's own test of composed sampled Gaussians, :math:`\delta(1) = .15594`.

    Example:
        >>> round(epsilon(0.5, 0.2, 3, delta=0.15594), 3)
        1.0
    """
    check_share(delta, "delta")
    account = _composed(noise_multiplier, sampling_rate, steps, accountant)
    return float(account.get_epsilon(delta))


def largest_advantage(noise_multiplier: float, sampling_rate: float, steps: int) -> float:
    r"""The most by which any attack's true positives can exceed its false positives.

    This is :math:`\delta` at :math:`\varepsilon = 0`, where the definition reads
    :math:`P(M(D) \in S) - P(M(D') \in S) \le \delta(0)`: an attack on a person is a set S of
    networks that it calls "she was in". It holds for whoever knows everybody else's data and sees
    every step, so most attacks stay far below it. Arguments and errors are those of `epsilon`.

    Source: Wasserman and Zhou (2010), who first read the definition as a test's power.

    Example:
        >>> round(largest_advantage(2.0, 1.0, 1), 3)  # one Gaussian: 2 Phi(1 / 4) - 1
        0.197
    """
    account = _composed(noise_multiplier, sampling_rate, steps, "pld")
    return float(account.get_delta(0.0))


def advantage_bound(epsilon: float, delta: float) -> float:
    r"""What one pair :math:`(\varepsilon, \delta)` says of every attack's advantage.

    .. math:: \text{TPR} - \text{FPR} \le \frac{e^{\varepsilon} - 1 + 2\delta}{e^{\varepsilon} + 1}

    Add the definition for "in", :math:`\text{TPR} \le e^{\varepsilon}\,\text{FPR} + \delta`, and
    for "out", :math:`1 - \text{FPR} \le e^{\varepsilon} (1 - \text{TPR}) + \delta`. Needs people
    whose membership is decided independently; `largest_advantage` knows all pairs, and is smaller.

    Args:
        epsilon: at least 0; may be infinity.
        delta: in [0, 1].

    Raises:
        ValueError: a number out of range.

    Source: Kairouz, Oh and Viswanath (2015) for the two inequalities; Humphries et al. (2023).

    Example:
        >>> round(advantage_bound(1.0, 0.0), 3), advantage_bound(float("inf"), 1e-4)
        (0.462, 1.0)
    """
    if not epsilon >= 0:
        raise ValueError(f"epsilon must be at least 0; got {epsilon}")
    if not 0 <= delta <= 1:
        raise ValueError(f"delta must be from 0 to 1; got {delta}")
    return float(np.tanh(epsilon / 2) + delta * (1 - np.tanh(epsilon / 2)))


@lru_cache(maxsize=64)
def _composed(noise_multiplier: float, sampling_rate: float, steps: int, accountant: str) -> Any:
    """An accountant that has seen all steps of a training."""
    check_noise(noise_multiplier)
    if not 0 < sampling_rate <= 1:
        raise ValueError(f"sampling_rate must be above 0 and at most 1; got {sampling_rate}")
    check_whole(steps, "steps")
    if accountant not in ACCOUNTANTS:
        raise ValueError(f"accountant must be one of {tuple(ACCOUNTANTS)}; got {accountant!r}")
    step = dp_accounting.PoissonSampledDpEvent(
        float(sampling_rate), dp_accounting.GaussianDpEvent(float(noise_multiplier))
    )
    relation = dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE
    account = ACCOUNTANTS[accountant](neighboring_relation=relation)
    return account.compose(dp_accounting.SelfComposedDpEvent(step, int(steps)))


def check_noise(noise_multiplier: float) -> None:
    """Raise a ValueError unless the noise is finite and at least 0."""
    if not 0 <= noise_multiplier < float("inf"):
        raise ValueError(f"noise_multiplier must be at least 0 and finite; got {noise_multiplier}")


def check_whole(number: Any, name: str) -> None:
    """Raise a TypeError or a ValueError unless ``number`` is an integer of at least 1."""
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise TypeError(f"{name} must be an integer; got {number!r}")
    if number < 1:
        raise ValueError(f"{name} must be at least 1; got {number}")
