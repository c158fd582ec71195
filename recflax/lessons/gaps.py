"""The three gaps between what a log is usually asked and what a shop wants to know.

For a person u, a product j and one filling of the slot, four probabilities, all exact:

* log: ``P(Y_j = 1 | u)``, bought at the visit, shown or not;
* exposed: ``P(Y_j = 1 | shown j, u)``, bought among the visits at which it was shown;
* do: ``P(Y_j = 1 | do(show j), u)``, bought if we show it;
* uplift: ``P(Y_j = 1 | do(show j), u) - P(Y_j = 1 | do(not j), u)``, what showing it adds.

Each ranks the products, the first goes into the slot, and the policy earns an *increment*,
purchases per visit that would not have happened otherwise. From log to exposed is the estimand
gap, from exposed to do the confounding gap, from do to uplift the decision gap. Nothing here is
trained or sampled beyond the draw of the store itself.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from recflax.intervals import mean_over_seeds
from recflax.lessons.statements import Statement, column
from recflax.worlds.store import StoreConfig, build_store

STEPS = ("log", "exposed", "do", "uplift")
"""The four questions, from what is usually trained to what the shop wants."""

SETTINGS: dict[str, dict[str, float]] = {
    "default": {},
    "randomised": {"rand": 1.0},
    "untargeted": {"g_e": 0.0},
    "indifferent": {"g_y": 0.0},
}
"""Stores that differ from the default one in a single switch: every visit randomised, a campaign
that does not look at intent, an intent that does not move purchases."""

DIAL = (-1.5, -1.25, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5)
"""Values of ``l_pop``: how much more a popular product gains from being shown."""


def dial_name(l_pop: float) -> str:
    """The prefix of a dial setting's columns, such as ``l_pop_-0.75``."""
    return f"l_pop_{l_pop:g}"


PLACES = (*SETTINGS, *(dial_name(value) for value in DIAL))
"""Every setting, and every value of the dial, as prefixes of columns."""

UNCONFOUNDED = ("randomised", "untargeted", "indifferent")
"""The settings in which exposed and do are the same."""


def truths(size: int, seed: int, **changed: Any) -> dict[str, float]:
    """Exact values of one store: the increment of each question's best policy, and the bias.

    Args:
        size: number of people.
        seed: the store's seed.
        **changed: parameters of `StoreConfig` that differ from the defaults.

    Returns:
        Increments in purchases per visit under ``log``, ``exposed``, ``do``, ``uplift``,
        ``random`` (a uniform draw fills the slot) and ``logging`` (the old policy); the slot rates
        of exposed and do, ``exposed_slot`` and ``do_slot``; ``campaign_bias`` and ``other_bias``,
        the mean of exposed minus do over people and the products inside and outside the campaign;
        ``largest_bias``, its largest absolute value.
    """
    store = build_store(StoreConfig(n_people=size, **changed), seed)
    do, exposed, uplift = store.do(1), store.see_exposed(), store.uplift()
    scores = {"log": store.see(), "exposed": exposed, "do": do, "uplift": uplift}
    value = {name: store.policy_value(store.greedy(score)) for name, score in scores.items()}
    value["random"] = store.policy_value(np.full(do.shape, 1.0 / do.shape[1]))
    value["logging"] = store.policy_value(store.logging_policy())
    bias = exposed - do
    pushed = np.asarray(store.campaign, dtype=bool)
    return {name: policy.increment for name, policy in value.items()} | {
        "exposed_slot": value["exposed"].slot_rate,
        "do_slot": value["do"].slot_rate,
        "campaign_bias": float(bias[:, pushed].mean()),
        "other_bias": float(bias[:, ~pushed].mean()),
        "largest_bias": float(np.abs(bias).max()),
    }


def run(seed: int, size: int = 8_000) -> dict[str, float]:
    """One row: every setting and every value of the dial, on the stores of one seed.

    Args:
        seed: the stores' seed.
        size: number of people.

    Returns:
        ``seed``, ``people``, the columns of `truths` as ``setting_name``, and ``crossing``, the
        ``l_pop`` at which the best predictor of the log starts to earn more than a random draw
        (linear between the values of the dial).
    """
    row: dict[str, float] = {"seed": seed, "people": size}
    for setting, changed in SETTINGS.items():
        row |= {f"{setting}_{name}": value for name, value in truths(size, seed, **changed).items()}
    ahead = []
    for l_pop in DIAL:
        at = truths(size, seed, l_pop=l_pop)
        row |= {f"{dial_name(l_pop)}_{name}": value for name, value in at.items()}
        ahead.append(at["log"] - at["random"])
    row["crossing"] = _first_zero(np.array(DIAL), np.array(ahead))
    return row


def _first_zero(places: np.ndarray, values: np.ndarray) -> float:
    """Where a polygon through the points first rises through zero; NaN when it never does."""
    rises = np.flatnonzero((values[:-1] < 0) & (values[1:] >= 0))
    if len(rises) == 0:
        return float("nan")
    at = rises[0]
    share = -values[at] / (values[at + 1] - values[at])
    return float(places[at] + share * (places[at + 1] - places[at]))


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say about the three gaps, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """
    seeds = len(rows)

    def gap(setting: str) -> np.ndarray:
        return column(rows, f"{setting}_do") - column(rows, f"{setting}_log")

    default = gap("default")
    said = [
        Statement(
            "estimand-gap",
            "The best possible predictor of the log earns less in the slot than the best "
            "possible predictor of purchases under do(show), in purchases per visit.",
            mean_over_seeds(default),
            at_least=0.05,
            seeds=seeds,
        )
    ]
    for setting, words in (
        ("randomised", "when every logged visit is randomised"),
        ("untargeted", "when the campaign does not look at intent (g_e = 0)"),
    ):
        said.append(
            Statement(
                f"estimand-gap-{setting}",
                f"The way from the log to do(show) is as long {words}, where all of it is the "
                "estimand gap: difference from the default store, in purchases per visit.",
                mean_over_seeds(gap(setting) - default),
                at_least=-0.005,
                at_most=0.005,
                seeds=seeds,
            )
        )
    said.append(
        Statement(
            "confounding-campaign",
            "Among visits at which a campaign product was shown it was bought more often than "
            "it would be if shown to everybody, on average over people.",
            mean_over_seeds(column(rows, "default_campaign_bias")),
            at_least=0.02,
            seeds=seeds,
        )
    )
    for setting, words in (
        ("randomised", "with randomised visits"),
        ("untargeted", "with g_e = 0"),
        ("indifferent", "with g_y = 0"),
    ):
        said.append(
            Statement(
                f"confounding-zero-{setting}",
                f"The confounding gap is zero {words}: the largest difference over people, "
                "products and stores between bought-when-shown and do(show).",
                column(rows, f"{setting}_largest_bias").max(),
                at_most=1e-12,
                seeds=seeds,
                exact=True,
            )
        )
    said.append(
        Statement(
            "confounding-costs-slot-rate",
            "Ranking by purchases among the shown sells less in the slot than ranking by "
            "purchases under do(show): difference in purchases per visit.",
            mean_over_seeds(column(rows, "default_do_slot") - column(rows, "default_exposed_slot")),
            at_least=0.01,
            seeds=seeds,
        )
    )
    for (lower, upper), slack in zip(pairwise(STEPS), (0.0, 0.01, 0.0), strict=True):
        steps = [
            mean_over_seeds(column(rows, f"{place}_{upper}") - column(rows, f"{place}_{lower}"))
            for place in PLACES
            # where exposed and do are one by construction there is no order to find
            if lower != "exposed" or place not in UNCONFOUNDED
        ]
        short = f"but for {slack:g}, " if slack else ""
        said.append(
            Statement(
                f"order-{lower}-{upper}",
                f"Ranking by {upper} adds at least what ranking by {lower} adds, {short}on average "
                f"over stores at each of {len(steps)} settings; here the tightest.",
                min(steps, key=lambda step: step.lower),
                at_least=0.0 - slack,
                seeds=seeds,
            )
        )
    said.append(
        Statement(
            "dial-crossing",
            "The best predictor of the log falls below a random draw only where popular products "
            "gain little from display: the value of l_pop at which the two cross.",
            mean_over_seeds(column(rows, "crossing")),
            at_least=-1.0,
            at_most=-0.5,
            seeds=seeds,
        )
    )
    return said
