r"""Lesson 3: attention adjusts, if it can see what the logger saw.

In the banner's world everything that moves both the banner and the purchase is in the *order* of
the history. The effect of the banner is estimated doubly robustly, cross-fitted by person, with
nuisances from one small network each time. What changes between the rows is only what the network
can see: a bag of categories, the events without their places, the events with their places.
Beside them stand the difference of means, which sees nothing, and the true nuisances, which nobody
has. The effect is that on people like these; how far an estimate lies from the one with the true
nuisances, on the same log, is nearly all bias, since both share the log's luck.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import jax
from scipy import stats

from recflax.causal.effects import cross_fit, difference_of_means, doubly_robust
from recflax.estimates import Estimate
from recflax.intervals import mean_over_seeds, paired_difference
from recflax.lessons.nuisance_network import TRAIN, NuisanceConfig, network_fit
from recflax.lessons.statements import Statement, column
from recflax.optimiser import TrainConfig
from recflax.worlds.banner import Banner, BannerConfig, BannerLog, build_banner

ADJUSTMENTS = {
    "difference": "difference of means",
    "bag": "bag of words",
    "no_positions": "attention without positions",
    "attention": "attention with positions",
    "true": "true nuisances",
}
"""The rows of the lesson's table: key and label."""

SEES = {"bag": (False, False), "no_positions": (True, False), "attention": (True, True)}
"""Of each network: whether it attends, and whether events know their places."""

FOLDS, CLIP = 4, 0.02
PEOPLE = (0.125, 0.25, 0.5)
"""Fewer people, as multiples of the lesson's size."""

OVERFIT = replace(TRAIN, epochs=45, patience=None)
"""Three times as long, and nobody held out who would say when to stop."""


def network_estimate(
    log: BannerLog, adjustment: str, key: jax.Array, train: TrainConfig = TRAIN
) -> Estimate:
    """The effect of the banner, with nuisances from one of the networks of `SEES`.

    Args:
        log: visits of the banner.
        adjustment: ``"bag"``, ``"no_positions"`` or ``"attention"``.
        key: a random key.
        train: how each fold's network is trained.
    """
    attends, positions = SEES[adjustment]
    config = NuisanceConfig(attends, positions, length=log.history.shape[1])
    features = {"tokens": log.tokens, "person": log.person}
    treated = log.treated()
    nuisances = cross_fit(treated, features, network_fit(config, train), folds=FOLDS, key=key)
    return doubly_robust(treated, nuisances, clip=CLIP)


def true_estimate(banner: Banner, log: BannerLog) -> Estimate:
    """The effect with the nuisances of a perfect network."""
    treated = log.treated()
    outcomes = (banner.see(t)[log.person] for t in (0, 1))
    return doubly_robust(treated, treated.bind(log.propensity, *outcomes))


def judged(banner: Banner, found: Mapping[str, Estimate]) -> dict[str, float]:
    """Each estimate beside the truth: error, standard error, whether its interval holds the truth.

    Args:
        banner: whose log was estimated from.
        found: estimates under their names, ``"true"`` among them.

    Returns:
        For each name ``name_error``, ``name_std_error``, ``name_hit``, and ``name_off``, the
        distance from the estimate with the true nuisances.
    """
    truth = banner.config.law().effect()
    row = {}
    for name, estimate in found.items():
        row[f"{name}_error"] = estimate.value - truth
        row[f"{name}_std_error"] = estimate.std_error
        row[f"{name}_hit"] = float(estimate.lower <= truth <= estimate.upper)
        row[f"{name}_off"] = estimate.value - found["true"].value
    return row


def run(seed: int, size: int = 16_000) -> dict[str, float]:
    """One row: every adjustment on one log, attention on smaller logs, and one that overfits.

    Args:
        seed: the people's seed, and that of the networks.
        size: number of people; each has one visit.

    Returns:
        ``seed``, ``people``, and the columns of `judged` for every name of `ADJUSTMENTS`; the same
        for attention as ``people_0.125_attention_error`` and so on for each share of `PEOPLE`; and
        as ``overfit_attention_error`` and so on at half the size, trained as `OVERFIT` says.
    """
    banner = build_banner(BannerConfig(n_people=size), seed)
    log, key = banner.log(), jax.random.key(seed)
    found = {name: network_estimate(log, name, key) for name in SEES}
    found |= {"difference": difference_of_means(log.treated()), "true": true_estimate(banner, log)}
    row: dict[str, float] = {"seed": seed, "people": size} | judged(banner, found)
    for share in PEOPLE:
        row |= _columns(f"people_{share:g}", attention_row(seed, round(share * size)))
    return row | _columns("overfit", attention_row(seed, size // 2, train=OVERFIT))


def attention_row(
    seed: int, size: int, hard: bool = False, train: TrainConfig = TRAIN
) -> dict[str, float]:
    """Attention with positions beside the true nuisances, on one log.

    With ``hard`` the confounder is whether the two newest events agree, which takes attention
    three times as many people to find.

    Args:
        seed: the people's seed, and that of the networks.
        size: number of people.
        hard: the hard variant of the banner.
        train: how each fold's network is trained.
    """
    banner = build_banner(BannerConfig(n_people=size, hard=hard), seed)
    log = banner.log()
    found = {
        "attention": network_estimate(log, "attention", jax.random.key(seed), train),
        "true": true_estimate(banner, log),
    }
    return judged(banner, found)


def _columns(setting: str, row: Mapping[str, float]) -> dict[str, float]:
    return {f"{setting}_{name}": value for name, value in row.items()}


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """
    seeds = len(rows)
    fewest = float(stats.binom.ppf(0.0005, seeds, 0.95))  # honest intervals hit at least as often

    def say(name: str, sentence: str, number: Estimate | float, **bounds: float) -> Statement:
        exactly = not isinstance(number, Estimate)
        return Statement(f"adjust-{name}", sentence, number, seeds=seeds, exact=exactly, **bounds)

    def mean(name: str) -> Estimate:
        return mean_over_seeds(column(rows, name))

    def hits(name: str) -> float:
        return float(column(rows, f"{name}_hit").sum())

    blind = [
        say(
            f"{name.replace('_', '-')}-misses",
            f"With {ADJUSTMENTS[name]} the effect of the banner is overstated by as much as it is "
            "large: distance from the estimate with the true nuisances.",
            mean(f"{name}_off"),
            at_least=0.08,
        )
        for name in ("difference", "bag", "no_positions")
    ]
    return [
        *blind,
        say(
            "blind-never-cover",
            "Not one 95% interval of the difference of means, the bag of words or attention "
            "without positions holds the effect of the banner: intervals that do.",
            sum(hits(name) for name in ("difference", "bag", "no_positions")),
            at_most=0.0,
        ),
        say(
            "attention-is-right",
            "Attention with positions finds what the true nuisances find, to a twentieth of the "
            "effect: distance between the two estimates.",
            mean("attention_off"),
            at_least=-0.005,
            at_most=0.005,
        ),
        say(
            "attention-covers",
            "The 95% intervals of attention with positions hold the effect of the banner as often "
            "as they should: intervals that do.",
            hits("attention"),
            at_least=fewest,
        ),
        say(
            "true-covers",
            "The 95% intervals of the true nuisances hold the effect of the banner as often as "
            "they should: intervals that do.",
            hits("true"),
            at_least=fewest,
        ),
        say(
            "positions-alone",
            "Without the places the same network is off by more from the effect of the banner, on "
            "the same logs: by how much.",
            paired_difference(
                column(rows, "no_positions_off"), column(rows, "attention_off"), over="seeds"
            ),
            at_least=0.08,
        ),
        say(
            "needs-people",
            "With an eighth of the people attention is off by a third of the effect or more.",
            mean("people_0.125_attention_off"),
            at_least=0.0323,
        ),
        say(
            "people-help",
            "With a quarter of the people attention is off by more from the effect of the banner "
            "than with all of them: by how much.",
            paired_difference(
                column(rows, "people_0.25_attention_off"),
                column(rows, "attention_off"),
                over="seeds",
            ),
            at_least=0.005,
        ),
        say(
            "overfitting-hurts",
            "Trained three times as long with nobody held out, on half of the people, the network "
            "overfits its training part and the estimate is off by more than with early stopping.",
            paired_difference(
                column(rows, "overfit_attention_off"),
                column(rows, "people_0.5_attention_off"),
                over="seeds",
            ),
            at_least=0.01,
        ),
    ]
