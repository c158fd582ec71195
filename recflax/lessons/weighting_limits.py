r"""Lesson 5: the limits of weighting, each one where its formula says.

One policy, :math:`\pi \propto \tau^3` (a softmax of 3 log uplift), is evaluated from logs of the
store, whose law is known (`recflax.lessons.weighting_law`). So the bias and the standard error of
an estimate are exact numbers, and the log only says whether the estimates obey, and whether their
own intervals know.

Two things are broken on purpose. The *outcome model* is then the perfect predictor of the log,
P(bought), in the place of P(bought | do(show)): lesson 1's mistake. The *propensity* is then the
product's, averaged over people and intents, in the place of the one that was logged.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from recflax.causal.logged import Logged
from recflax.causal.policy_value import (
    clipped,
    clipped_ips,
    doubly_robust,
    ips,
    snips,
    switch_dr,
    switched,
)
from recflax.causal.propensity import overlap
from recflax.estimates import Estimate
from recflax.intervals import mean_over_seeds, paired_difference
from recflax.lessons.statements import Statement, column
from recflax.lessons.weighting_law import Case, draw_case, exact, judged

CLIPS = (10.0, 3.0)
OVERLAPS: dict[str, dict[str, float]] = {
    "wide": {"eps": 0.2, "sharp": 1.0},
    "less": {"eps": 0.05, "sharp": 2.0},
    "little": {"eps": 0.0, "sharp": 2.0},
    "hardly": {"eps": 0.0, "sharp": 3.0},
}
"""Logging policies that show less and less of what they do not prefer; the first is the store's."""

NUISANCES = {
    "dr": "both right",
    "dr_outcome": "outcome model broken",
    "dr_propensity": "propensity broken",
    "dr_neither": "both broken",
}
"""What a doubly robust estimate is given: key and label."""


def weighted(case: Case) -> dict[str, dict[str, float]]:
    """The estimators that need no predictions: raw, self-normalised, clipped."""
    weight = case.weight
    found = {
        "ips": judged(case, ips(case.log, case.policy), exact(case, weight)),
        "snips": judged(case, snips(case.log, case.policy), None),
    }
    for clip in CLIPS:
        estimate = clipped_ips(case.log, case.policy, clip)
        found[f"clip_{clip:g}"] = judged(case, estimate, exact(case, clipped(weight, clip)))
    return found


def robust(case: Case) -> dict[str, dict[str, float]]:
    """Doubly robust with right and broken nuisances, and switch-DR with the broken outcomes."""
    right, wrong = case.store.do(1), case.store.see()
    by_item = case.store.logging_policy().mean(axis=0)  # (M,)
    log, weight = case.log, case.weight
    broken = Logged(log.context, log.action, log.reward, by_item[log.action])
    given = (
        (log, weight, right),
        (log, weight, wrong),
        (broken, case.policy / by_item, right),
        (broken, case.policy / by_item, wrong),
    )
    found = {
        name: judged(
            case,
            doubly_robust(rows, case.policy, rows.bind(predicted)),
            exact(case, weights, predicted),
        )
        for name, (rows, weights, predicted) in zip(NUISANCES, given, strict=True)
    }
    threshold = CLIPS[0]
    estimate = switch_dr(log, case.policy, log.bind(wrong), threshold)
    law = exact(case, switched(weight, threshold), wrong)
    return found | {"switch_10": judged(case, estimate, law)}


def diagnosed(case: Case) -> dict[str, float]:
    """What the log says of its weights, and what the law says.

    Returns:
        ``size``: effective sample size as a share of the rows; ``exact_size``: the share that
        endless rows would give, 1 over the mean squared weight; ``largest`` weight;
        ``mean_weight``; ``from_one``: its distance from 1 in its own standard errors; ``reached``:
        what it would be with endless rows, the mass of the policy that can be shown.
    """
    found, weight = overlap(case.log, case.policy), case.weight
    one, two = (float((case.intent @ (case.shown * weight**k).sum(axis=-1)).mean()) for k in (1, 2))
    return {
        "size": found.effective_sample_size / found.n,
        "exact_size": one**2 / two,
        "largest": found.max_weight,
        "mean_weight": found.mean_weight.value,
        "from_one": (found.mean_weight.value - 1) / found.mean_weight.std_error,
        "reached": one,
    }


def run(seed: int, size: int = 2_000) -> dict[str, float]:
    """One row: every estimator on one log of each setting.

    Args:
        seed: the stores' seed.
        size: number of people; each has eight logged visits.

    Returns:
        ``seed``, ``people``, ``truth`` (the policy's slot rate), and ``setting_estimator_what`` as
        `judged` has it and ``setting_what`` as `diagnosed` has it. The settings are those of
        `OVERLAPS`; ``untargeted``, a store whose slot does not go by intent (g_e = 0), for doubly
        robust alone; and ``none``, where half of the products are never shown, with
        ``none_missed``, what the policy would sell of them.
    """
    row: dict[str, float] = {"seed": seed, "people": size}
    for setting, changed in OVERLAPS.items():
        case = draw_case(seed, size, **changed)
        found = weighted(case)
        if setting == "wide":
            row["truth"] = case.truth
            found |= robust(case)
        row |= _columns(setting, found) | _columns(setting, {"": diagnosed(case)})
    row |= _columns("untargeted", robust(draw_case(seed, size, g_e=0.0)))
    case = draw_case(seed, size, no_overlap=True)
    row |= _columns("none", weighted(case)) | _columns("none", {"": diagnosed(case)})
    never = ~case.store.retrieved()
    missed = (case.policy * case.store.do(1))[:, never].sum(axis=1).mean()
    return row | {"none_missed": float(missed)}


def _columns(setting: str, found: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Nested results under one name each, such as ``wide_ips_error``."""
    return {
        "_".join(part for part in (setting, name, what) if part): value
        for name, values in found.items()
        for what, value in values.items()
    }


def errors_away(rows: Sequence[Mapping[str, float]], name: str) -> float:
    """How far the errors of all seeds together are from the exact bias, in exact standard errors.

    Nearly normal with variance 1 if the estimate obeys its law, whatever the store.
    """
    away = column(rows, f"{name}_error") - column(rows, f"{name}_bias")
    return float(away.sum() / np.sqrt((column(rows, f"{name}_exact") ** 2).sum()))


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """
    seeds = len(rows)
    forgiven = float(stats.norm.ppf(0.975))  # standard errors that a 95% interval reaches
    unbiased = ("wide_ips", "less_ips", "wide_dr", "wide_dr_outcome", "untargeted_dr_propensity")
    biased = ("wide_clip_10", "wide_clip_3", "wide_dr_propensity", "wide_dr_neither", "none_ips")

    def get(name: str) -> np.ndarray:
        return column(rows, name)

    def say(name: str, sentence: str, number: Estimate | float, **bounds: float) -> Statement:
        exactly = not isinstance(number, Estimate)
        return Statement(
            f"weighting-{name}", sentence, number, seeds=seeds, exact=exactly, **bounds
        )

    def furthest(names: Sequence[str]) -> float:
        return max((errors_away(rows, name) for name in names), key=abs)

    def fewest(intervals: int) -> float:
        """Fewer intervals of 95% than this hold the truth less than once in 2,000 times."""
        return float(stats.binom.ppf(0.0005, intervals, 0.95))

    def bias_in_errors(name: str) -> Estimate:
        return mean_over_seeds(get(f"{name}_bias") / get(f"{name}_exact"))

    def clip_loses(setting: str) -> Estimate:
        clip, raw = (
            np.hypot(get(f"{setting}_{name}_bias"), get(f"{setting}_{name}_exact"))
            for name in ("clip_10", "ips")
        )
        return paired_difference(clip, raw, over="seeds")

    return [
        say(
            "unbiased",
            "With right propensities, or with a right outcome model where nothing is hidden, "
            "estimates are right on average: the largest distance of the summed errors of all "
            "seeds from 0, in exact standard errors.",
            furthest(unbiased),
            at_least=-4.0,
            at_most=4.0,
        ),
        say(
            "unbiased-by-law",
            "Summed over every cell, the exact biases of estimates with right propensities are "
            "zero: the largest.",
            float(np.max([np.abs(get(f"{name}_bias")).max() for name in unbiased])),
            at_most=1e-12,
        ),
        say(
            "bias-obeys-its-formula",
            "Clipped weights, a broken propensity, both nuisances broken and missing overlap each "
            "miss by what the formula says: the largest distance of the summed errors of all seeds "
            "from their exact biases, in exact standard errors.",
            furthest(biased),
            at_least=-4.0,
            at_most=4.0,
        ),
        say(
            "intent-defeats-double-robustness",
            "Where the slot goes by intent, right predictions of purchases under do(show) do not "
            "repair a broken propensity: the size of the exact bias, in purchases per visit.",
            mean_over_seeds(np.abs(get("wide_dr_propensity_bias"))),
            at_least=0.001,
        ),
        say(
            "coverage-robust",
            "With right propensities the 95% interval of the doubly robust estimate holds the "
            "truth as often as it should, with right and with broken predictions: intervals that "
            "do.",
            float(get("wide_dr_hit").sum() + get("wide_dr_outcome_hit").sum()),
            at_least=fewest(2 * seeds),
        ),
        say(
            "coverage-falls",
            "With little overlap, and with hardly any, the 95% intervals of raw weighting hold the "
            "truth less often than they should: intervals that do.",
            float(get("little_ips_hit").sum() + get("hardly_ips_hit").sum()),
            at_most=fewest(2 * seeds) - 1,
        ),
        say(
            "intervals-do-not-know",
            "With hardly any overlap the standard error that raw weighting reports is a fraction "
            "of the exact one, since the largest weights did not come: the fraction.",
            mean_over_seeds(get("hardly_ips_reported") / get("hardly_ips_exact")),
            at_most=1.0,
        ),
        say(
            "sample-size-flatters",
            "With hardly any overlap the log's own effective sample size is larger than the exact "
            "one: how many times, as a power of ten.",
            mean_over_seeds(np.log10(get("hardly_size") / get("hardly_exact_size"))),
            at_least=0.0,
        ),
        *(
            say(
                f"clip-{clip:g}-misses",
                f"Weights clipped at {clip:g} move the estimate down by more than its 95% interval "
                "forgives: exact bias in exact standard errors.",
                bias_in_errors(f"wide_clip_{clip:g}"),
                at_most=-forgiven,
            )
            for clip in CLIPS
        ),
        say(
            "both-broken-misses",
            "With both nuisances broken the doubly robust estimate is off by more than its 95% "
            "interval forgives: exact bias in exact standard errors.",
            bias_in_errors("wide_dr_neither"),
            at_least=forgiven,
        ),
        say(
            "clip-costs-while-overlap-is-wide",
            "While overlap is wide, clipping at 10 makes the estimate worse: difference in exact "
            "root mean squared error, in purchases per visit.",
            clip_loses("wide"),
            at_least=0.0,
        ),
        say(
            "clip-helps-when-all-is-lost",
            "With hardly any overlap clipping at 10 makes the estimate better: difference in exact "
            "root mean squared error, in purchases per visit.",
            clip_loses("hardly"),
            at_most=0.0,
        ),
        say(
            "no-overlap-bias",
            "Where half of the products are never shown, raw weighting misses exactly what the "
            "policy would sell of them: the largest difference.",
            float(np.abs(get("none_ips_bias") + get("none_missed")).max()),
            at_most=1e-12,
        ),
        say(
            "free-test-fires",
            "Where half of the products are never shown, the mean weight is not 1, which takes no "
            "truth to see: its distance from 1 in its own standard errors.",
            mean_over_seeds(get("none_from_one")),
            at_most=-4.0,
        ),
        say(
            "free-test-is-silent",
            "While overlap is wide the mean weight is 1: its largest distance over the seeds, in "
            "its own standard errors.",
            float(np.abs(get("wide_from_one")).max()),
            at_most=4.0,
        ),
    ]
