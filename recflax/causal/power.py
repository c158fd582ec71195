r"""How large an experiment has to be: the power of a difference of means, by the normal law.

With half of n rows in each arm and a standard deviation :math:`\sigma` of the outcome, a
difference of means has the standard error :math:`2\sigma/\sqrt n`.
"""

from __future__ import annotations

import math

from scipy import stats

from recflax.estimates import check_share


def normal_power(effect: float, std_error: float, level: float = 0.95) -> float:
    r"""The chance that an interval leaves out zero.

    .. math:: \Phi(\tau/s - q) + \Phi(-\tau/s - q), \qquad q = \Phi^{-1}((1 + \text{level})/2)

    Args:
        effect: :math:`\tau`, the mean of the estimate.
        std_error: s, above 0.
        level: coverage of the interval, in (0, 1).

    Raises:
        ValueError: a number is out of range.

    Source: Cohen (1988), chapter 2, with the normal law in the place of Student's.

    Example:
        >>> round(normal_power(0.0, 1.0), 3), round(normal_power(2.8, 1.0), 3)
        (0.05, 0.8)
    """
    if not 0 < std_error < math.inf:
        raise ValueError(f"std_error must be positive and finite; got {std_error}")
    check_share(level, "level")
    quantile = stats.norm.ppf((1 + level) / 2)
    away = effect / std_error
    return float(stats.norm.cdf(away - quantile) + stats.norm.cdf(-away - quantile))


def rows_needed(
    effect: float,
    deviation: float,
    *,
    power: float = 0.8,
    level: float = 0.95,
    design_effect: float = 1.0,
) -> int:
    r"""The rows, both arms together, with which an interval leaves out zero often enough.

    .. math:: n = \text{deff}\;
        \frac{4 \sigma^2 (q_{(1+\text{level})/2} + q_{\text{power}})^2}{\tau^2}

    rounded up to an even number; the second tail, which points the wrong way, is left out.

    Args:
        effect: :math:`\tau`, not 0.
        deviation: :math:`\sigma` of a row's outcome, above 0; :math:`\sqrt{p(1-p)}` for 0 and 1.
        power: the chance asked for, in (0, 1) and above half of 1 - level.
        level: coverage of the interval, in (0, 1).
        design_effect: how many times the variance is that of independent rows.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> rows_needed(0.05, 0.4)  # 4 * .16 * (1.96 + .84)^2 / .0025
        2010
    """
    for name, value in (("deviation", deviation), ("design_effect", design_effect)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite; got {value}")
    check_share(level, "level")
    check_share(power, "power")
    if effect == 0 or not math.isfinite(effect):
        raise ValueError(
            f"effect must be finite and not 0, or no number of rows is enough; got {effect}"
        )
    if power <= (1 - level) / 2:
        raise ValueError(f"power must be above {(1 - level) / 2:g}; got {power}")
    quantiles = stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power)
    rows = design_effect * (2 * deviation * quantiles / effect) ** 2
    return 2 * math.ceil(rows / 2)
