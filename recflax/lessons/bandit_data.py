r"""Open Bandit: what the clicks of a real log say of another policy, and what they cannot say.

Two policies filled the same positions in the same week, and each wrote a log of its own. So for
once an off-policy estimate can be held against the log of the very policy that was asked about: its
mean click is the *on-policy* answer. In the authors' sample that answer rests on some fifty clicks,
with a standard error of about 15%. It shows overlap, variance and effective sample size; it cannot
say which estimator is the best, and `nearest` measures by how much it cannot.

Positions are kept apart throughout: a context of the log is a position. Predicted clicks come from
the other half of the rows, so a context is a position and a half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import numpy as np
from scipy import stats

from recflax.causal.effects import person_folds
from recflax.causal.logged import Logged, Predictions
from recflax.causal.policy_value import (
    clipped,
    clipped_ips,
    direct_method,
    direct_terms,
    doubly_robust,
    doubly_robust_terms,
    ips,
    ips_terms,
    snips,
    switch_dr,
    switched,
)
from recflax.causal.power import rows_needed
from recflax.data.open_bandit import POLICIES, POSITIONS, OpenBandit
from recflax.estimates import PEOPLE_LIKE_THEM, Estimate
from recflax.intervals import mean_over_people
from recflax.lessons.statements import Statement

WAYS = {
    "ips": "inverse propensity",
    "snips": "self-normalised",
    "clip": "clipped at 10",
    "dm": "direct method",
    "dr": "doubly robust",
    "switch": "switch at 10",
}
"""The estimates: key and label."""

WEIGHTED = ("ips", "snips", "dr")
"""Those of them that need no right predictions."""

CAMPAIGNS = ("men", "women")
OTHER = {"random": "bts", "bts": "random"}
"""Which policy a log is asked about: the one that wrote the other log."""

LARGEST = 10.0
"""Where weights are clipped, or switched off."""

FOLDS = 2
PRIOR = 100.0
"""How many impressions the mean click of a position counts for in each item's predicted rate."""


def positions_by(log: OpenBandit, weight: np.ndarray | None = None) -> np.ndarray:
    """(3, A) how often each item stood at each position, or the sum of weights (n,)."""
    table = np.zeros((len(POSITIONS), log.n_items))
    np.add.at(table, (log.position - 1, log.item), 1.0 if weight is None else weight)
    return table


def shares(log: OpenBandit) -> np.ndarray:
    """(3, A) the policy that wrote a log, averaged over its week: shares of items by position.

    Raises:
        ValueError: a position without an impression; the first is named.
    """
    shown = positions_by(log)
    empty = np.flatnonzero(shown.sum(axis=1) == 0)
    if len(empty):
        raise ValueError(f"log must have impressions at all positions; none at {empty[0] + 1}")
    return shown / shown.sum(axis=1, keepdims=True)


def click_rates(log: OpenBandit, prior: float = PRIOR) -> np.ndarray:
    r"""(3, A) predicted clicks: an item's own rate, drawn towards that of its position.

    .. math:: \hat q(k, a) = \frac{c_{ka} + \lambda\, \bar c_k}{n_{ka} + \lambda}

    with c clicks in n impressions of item a at position k, and :math:`\bar c_k` the rate at k.

    Args:
        log: the rows to learn from.
        prior: :math:`\lambda`, above 0.

    Raises:
        ValueError: ``prior`` is not above 0.

    Source: the posterior mean of a Beta-binomial model.
    """
    if not prior > 0:
        raise ValueError(f"prior must be above 0; got {prior}")
    shown, clicks = positions_by(log), positions_by(log, log.click)
    rate = clicks.sum(axis=1, keepdims=True) / shown.sum(axis=1, keepdims=True).clip(min=1)
    return (clicks + prior * rate) / (shown + prior)


@dataclass(frozen=True, eq=False)
class Question:
    """A log, a policy that did not write it, and predictions from the other half of its rows.

    Attributes:
        log: contexts are position - 1 + 3 x fold.
        policy: (3 F, A).
        predictions: (3 F, A), bound to the log.
    """

    log: Logged
    policy: np.ndarray
    predictions: Predictions


def question(log: OpenBandit, policy: np.ndarray, seed: int = 0) -> Question:
    """Ask a log about a policy (3, A), with cross-fitted predictions of its clicks.

    Args:
        log: one entry an impression, each taken for a person of its own.
        policy: chances of the items at each position; rows sum to 1.
        seed: deals the rows into two halves.

    Raises:
        ValueError: a policy of another shape, or whose rows are no chances.
    """
    policy = np.asarray(policy, dtype=float)
    if policy.shape != (len(POSITIONS), log.n_items):
        raise ValueError(
            f"policy must have shape {(len(POSITIONS), log.n_items)}; got {policy.shape}"
        )
    rows = np.arange(log.n)
    fold = person_folds(rows, FOLDS, jax.random.key(seed))
    context = log.position - 1 + len(POSITIONS) * fold
    logged = Logged(context, log.item, log.click.astype(float), log.propensity, rows)
    rates = [click_rates(log.where(fold != number)) for number in range(FOLDS)]
    policy = logged.check_policy(np.tile(policy, (FOLDS, 1)))
    return Question(logged, policy, logged.bind(np.concatenate(rates)))


def judge(asked: Question) -> dict[str, Estimate]:
    """Clicks per impression of the policy, by each of `WAYS`."""
    log, policy, predictions = asked.log, asked.policy, asked.predictions
    return {
        "ips": ips(log, policy),
        "snips": snips(log, policy),
        "clip": clipped_ips(log, policy, LARGEST),
        "dm": direct_method(log, policy, predictions),
        "dr": doubly_robust(log, policy, predictions),
        "switch": switch_dr(log, policy, predictions, LARGEST),
    }


def by_position(log: OpenBandit, policy: np.ndarray) -> dict[int, Estimate]:
    """The self-normalised estimate at each position alone, from its own rows."""
    found = {}
    for position in POSITIONS:
        part = log.where(log.position == position)
        nothing, rows = np.zeros(part.n, dtype=int), np.arange(part.n)
        logged = Logged(nothing, part.item, part.click.astype(float), part.propensity, rows)
        found[position] = snips(logged, np.asarray(policy)[[position - 1]])
    return found


def on_policy(log: OpenBandit) -> Estimate:
    """Clicks per impression of the policy that wrote the log."""
    return mean_over_people(log.click.astype(float))


def less(one: Estimate, other: Estimate, level: float = 0.95) -> Estimate:
    r"""The difference of estimates from two logs that share no row, by the normal law.

    Its standard error is :math:`\sqrt{s_1^2 + s_2^2}`.

    Example:
        >>> a = Estimate(0.5, 0.03, 0.44, 0.56, "people like them")
        >>> b = Estimate(0.4, 0.04, 0.32, 0.48, "people like them")
        >>> round(less(a, b).std_error, 6)
        0.05
    """
    value, error = one.value - other.value, float(np.hypot(one.std_error, other.std_error))
    width = float(stats.norm.ppf((1 + level) / 2)) * error
    return Estimate(value, error, value - width, value + width, PEOPLE_LIKE_THEM, level=level)


def per_thousand(found: Estimate) -> Estimate:
    """The same in clicks per thousand impressions.

    Example:
        >>> per_thousand(Estimate(0.005, 0.001, 0.003, 0.007, "people like them")).with_interval(1)
        '5.0 [3.0, 7.0]'
    """
    scaled = {
        name: 1000 * getattr(found, name) for name in ("value", "std_error", "lower", "upper")
    }
    return replace(found, **scaled)


def nearest(
    asked: Question, answer: OpenBandit, *, replicates: int = 400, seed: int = 0
) -> dict[str, float]:
    """In which share of resamples of both logs each estimator is the nearest to the answer.

    Rows are drawn with replacement in the log that is asked, and in the one that answers; the
    policy and the predictions are held. Estimators that lie equally near share the win.

    Args:
        asked: the question.
        answer: the log of the policy that is asked about.
        replicates: how many resamples.
        seed: of the draws.
    """
    log = asked.log
    weight = log.weight(asked.policy)
    predicted = asked.predictions.values
    direct = direct_terms(asked.policy, predicted, log.context)
    taken = predicted[log.context, log.action]
    terms = np.stack(
        [
            ips_terms(weight, log.reward),
            weight,
            ips_terms(clipped(weight, LARGEST), log.reward),
            direct,
            doubly_robust_terms(weight, log.reward, taken, direct),
            doubly_robust_terms(switched(weight, LARGEST), log.reward, taken, direct),
        ],
        axis=1,
    )  # (n, 6)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(log.n, np.full(log.n, 1 / log.n), size=replicates)  # (R, n)
    found = drawn @ terms / log.n  # (R, 6)
    found[:, 1] = found[:, 0] / found[:, 1]  # self-normalised
    clicks = rng.binomial(answer.n, answer.click.mean(), size=replicates) / answer.n
    away = np.abs(found - clicks[:, None])
    best = np.isclose(away, away.min(axis=1, keepdims=True), rtol=1e-9, atol=0)
    wins = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    return dict(zip(WAYS, wins.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Answered:
    """One log asked about the other policy of its campaign; both logs have as many rows.

    Attributes:
        asked: the question.
        estimates: by the keys of `WAYS`.
        truth: the on-policy answer, from the other log.
        wins: what `nearest` found.
    """

    asked: Question
    estimates: dict[str, Estimate]
    truth: Estimate
    wins: dict[str, float]

    @property
    def away(self) -> dict[str, Estimate]:
        """Each estimate less the on-policy answer."""
        return {name: less(found, self.truth) for name, found in self.estimates.items()}

    def impressions_to_see(self, name: str, share: float = 0.1) -> int:
        r"""Impressions, both logs together, with which a bias of an estimate would show.

        That is, with which the difference of estimate and on-policy answer leaves out 0 in four
        comparisons of five. With row deviations :math:`\sigma_1, \sigma_2` and half of the rows in
        each log it is the difference of means of `recflax.causal.power.rows_needed`, with
        :math:`\sigma^2 = (\sigma_1^2 + \sigma_2^2) / 2`. Deviations are those of this log, so where
        its largest weights have not come the number is too small.

        Args:
            name: a key of `WAYS`.
            share: the bias, as a share of the on-policy answer.
        """
        rows = self.asked.log.n
        variance = rows * (self.estimates[name].std_error ** 2 + self.truth.std_error**2) / 2
        return rows_needed(share * self.truth.value, float(np.sqrt(variance)))


def ask_all(
    logs: Mapping[tuple[str, str], OpenBandit], *, seed: int = 0, replicates: int = 400
) -> dict[tuple[str, str], Answered]:
    """Ask every log, keyed by campaign and policy, about the other policy of its campaign.

    The uniform policy is known exactly; the other one is taken as its shares in its own log.

    Args:
        logs: (campaign, policy) to log; both policies of each campaign.
        seed: of the halves and of the resamples.
        replicates: resamples of each pair of logs.
    """
    found = {}
    for (campaign, policy), log in logs.items():
        other = logs[campaign, OTHER[policy]]
        wanted = log.uniform() if OTHER[policy] == "random" else shares(other)
        asked = question(log, wanted, seed)
        wins = nearest(asked, other, replicates=replicates, seed=seed)
        found[campaign, policy] = Answered(asked, judge(asked), on_policy(other), wins)
    return found


def claims(found: Mapping[tuple[str, str], Answered]) -> list[Statement]:
    """What the four questions to the sample say, each with the bound that would refuse it."""
    size = {c: found[c, "bts"].estimates["ips"].effective_sample_size or 0.0 for c in CAMPAIGNS}
    gaps = [answered.away[way] for answered in found.values() for way in WEIGHTED]
    return [
        Statement(
            "bandit-adaptive-logs-are-thin",
            f"A log of {POLICIES['bts']} is worth few of its rows for the uniform policy: the "
            "larger effective sample size of two campaigns, as a share.",
            max(size[campaign] / found[campaign, "bts"].asked.log.n for campaign in CAMPAIGNS),
            at_most=0.1,
            exact=True,
        ),
        Statement(
            "bandit-two-rows",
            "Of one of the logs the uniform policy can use two rows in ten thousand: effective "
            "sample size.",
            size["women"],
            at_most=3.0,
            exact=True,
        ),
        Statement(
            "bandit-nothing-refutes-the-weights",
            "No weighted estimate is refuted by the log of the policy it speaks of: the largest "
            "of twelve distances, in standard errors of the difference.",
            max(abs(gap.value) / gap.std_error for gap in gaps),
            at_most=2.5,
            exact=True,
        ),
        Statement(
            "bandit-direct-method-repeats-its-log",
            "From the adaptive log of one campaign the direct method promises the uniform policy "
            "more clicks than that policy got: difference per impression.",
            found["men", "bts"].away["dm"],
            at_least=0.0,
        ),
        Statement(
            "bandit-no-estimator-wins",
            "In none of four questions is one estimator the nearest to the on-policy answer in "
            "nine of ten resamples of the two logs: largest share.",
            max(max(answered.wins.values()) for answered in found.values()),
            at_most=0.9,
            exact=True,
        ),
    ]
