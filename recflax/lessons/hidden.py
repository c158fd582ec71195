r"""Lesson 4: a hidden confounder, what bounds say of it, and what a small randomised slice buys.

No method that sees only history, display and purchase can find the effect of the banner when a
hidden intent moves both. The bias of a perfect network is closed (`BannerLaw.bias`), estimates sit
on it, and more visits only make the wrong answer surer. Two things help: bounds, if somebody can
say how strong the confounding may be (two meanings of :math:`\Lambda`, one far wider than the
other), and visits at which a coin decided. Those are few: they measure, and are too few to learn
from.
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from scipy import stats

from recflax.causal.effects import difference_of_means, doubly_robust
from recflax.causal.logged import Nuisances, Treated
from recflax.causal.sensitivity import bootstrap_bounds, sign_flip
from recflax.estimates import Estimate
from recflax.intervals import mean_over_seeds, paired_difference
from recflax.lessons.basket import basket
from recflax.lessons.causal_loss import measure
from recflax.lessons.cells import count, exposed_cells
from recflax.lessons.statements import Statement, column
from recflax.lessons.trainings import both_arms, slice_cells
from recflax.worlds.banner import Banner, BannerConfig, BannerLog, build_banner
from recflax.worlds.banner_law import BannerLaw
from recflax.worlds.store import StoreConfig, build_store

G = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Strengths of the hidden intent."""

LAMBDAS = {"outcome": BannerLaw.lambda_outcome, "intent": BannerLaw.lambda_intent}
"""The two exact strengths of confounding: of P(T | H, Y(t)), and of P(T | H, z)."""

VISITS, SLICE, SLICE_G = 8, 0.05, 1.0
"""Visits a person, share of randomised ones and strength of intent where the slice is judged."""


def known(banner: Banner, log: BannerLog) -> tuple[Treated, Nuisances]:
    """A log as the estimators take it, with the nuisances of a perfect network."""
    treated = log.treated()
    outcomes = (banner.see(t)[log.person] for t in (0, 1))
    return treated, treated.bind(log.propensity, *outcomes)


def _judged(name: str, found: Estimate, truth: float) -> dict[str, float]:
    return {
        f"{name}_error": found.value - truth,
        f"{name}_std_error": found.std_error,
        f"{name}_hit": float(found.lower <= truth <= found.upper),
    }


def strength_row(seed: int, size: int, g: float) -> dict[str, float]:
    """One visit a person at one strength of intent: the estimate, the bounds, the sign flip.

    Args:
        seed: the people's seed.
        size: number of people.
        g: strength of the hidden intent.

    Returns:
        ``dr_error``, ``dr_std_error``, ``dr_hit`` of the doubly robust estimate with the nuisances
        of a perfect network; ``flip``, the Lambda at which the bounds reach zero; and for each of
        `LAMBDAS`, at its exact value, ``name_lower``, ``name_upper``, ``name_hit`` of the
        bootstrapped interval.
    """
    banner = build_banner(BannerConfig(n_people=size, g=g), seed)
    log, nuisances = known(banner, banner.log())
    law = banner.config.law()
    row = _judged("dr", doubly_robust(log, nuisances), law.effect())
    row["flip"] = sign_flip(log, nuisances)
    for name, exact in LAMBDAS.items():
        found = bootstrap_bounds(log, nuisances, max(1.0, exact(law)), seed=seed)
        row[f"{name}_lower"], row[f"{name}_upper"] = found.lower, found.upper
        row[f"{name}_hit"] = float(found.lower <= law.effect() <= found.upper)
    return row


def slice_row(seed: int, size: int) -> dict[str, float]:
    """The randomised slice of a long log beside the whole of it, and a slice that is too small.

    Returns:
        ``whole_...``: the doubly robust estimate from all visits, eight a person, a twentieth of
        them randomised, nuisances of a perfect network; ``slice_...``: the difference of means of
        the randomised ones; ``small_...``: the same from the randomised visits of one visit a
        person; ``open_...``: the whole log where nothing is hidden. Each as error, std_error, hit;
        and ``slice_signs``, ``small_signs``: whether the interval leaves out zero.
    """
    banner = build_banner(BannerConfig(n_people=size, g=SLICE_G, rand=SLICE), seed)
    truth = banner.config.law().effect()
    row = _judged("whole", doubly_robust(*known(banner, banner.log(VISITS))), truth)
    for name, visits in (("slice", VISITS), ("small", 1)):
        log = banner.log(visits)
        found = difference_of_means(log.where(log.randomised).treated())
        row |= _judged(name, found, truth)
        row[f"{name}_signs"] = float(not found.lower <= 0 <= found.upper)
        row[f"{name}_rows"] = float(log.randomised.sum())
    quiet = build_banner(BannerConfig(n_people=size), seed)
    found = doubly_robust(*known(quiet, quiet.log(VISITS)))
    return row | _judged("open", found, quiet.config.law().effect())


def trained_on_slice(seed: int, size: int) -> dict[str, float]:
    """In the store: what a network earns that learned from the randomised visits alone.

    Args:
        seed: the store's seed, and that of the networks.
        size: number of people.

    Returns:
        ``net_slice``, purchases per visit that the slot adds when it is ranked by the uplift of
        the network that learned from the randomised visits, a twentieth of all; and ``net_whole``,
        the same for one that learned from all visits, exposed rows only, with the bias that this
        has.
    """
    store = build_store(StoreConfig(n_people=size, rand=SLICE), seed)
    log = store.log(VISITS)
    row = {}
    for name, cells in (("slice", slice_cells(log)), ("whole", exposed_cells(count(log)))):
        answers = both_arms(store, cells, jax.random.key(seed))
        row[f"net_{name}"] = measure(store, answers)["uplift_increment"]
    return row


def run(seed: int, size: int = 6_000) -> dict[str, float]:
    """One row: every strength of intent, the slice, the networks and the basket.

    Args:
        seed: the people's seed, the store's, and that of the networks.
        size: number of people.

    Returns:
        ``seed``, ``people``; the columns of `strength_row` as ``g_0.5_dr_error`` and so on; those
        of `slice_row` and `trained_on_slice`; and those of `basket` as ``basket_rest_0`` and so on.
    """
    row: dict[str, float] = {"seed": seed, "people": size}
    for g in G:
        row |= {f"g_{g:g}_{name}": value for name, value in strength_row(seed, size, g).items()}
    row |= slice_row(seed, size) | trained_on_slice(seed, size)
    store = build_store(StoreConfig(n_people=size), seed)
    return row | {f"basket_{name}": value for name, value in basket(store).items()}


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """
    seeds = len(rows)
    hidden = G[1:]
    law = {g: BannerConfig(g=g).law() for g in G}
    fewest = float(stats.binom.ppf(0.0005, seeds, 0.95))  # honest intervals hit at least as often

    def get(name: str) -> np.ndarray:
        return column(rows, name)

    def say(name: str, sentence: str, number: Estimate | float, **bounds: float) -> Statement:
        exactly = not isinstance(number, Estimate)
        return Statement(f"hidden-{name}", sentence, number, seeds=seeds, exact=exactly, **bounds)

    def errors_away(name: str, bias: float) -> float:
        """How far all errors together are from a bias, in their own standard errors."""
        apart = (get(f"{name}_error") - bias).sum()
        return float(apart / np.sqrt((get(f"{name}_std_error") ** 2).sum()))

    def difference(one: str, other: str) -> Estimate:
        return paired_difference(get(one), get(other), over="seeds")

    width = {name: get(f"g_1_{name}_upper") - get(f"g_1_{name}_lower") for name in LAMBDAS}
    return [
        say(
            "bias-is-the-closed-form",
            "At every strength of the hidden intent the doubly robust estimate of a perfect "
            "network is off by the closed form: the largest distance of all seeds together, in "
            "standard errors.",
            max((errors_away(f"g_{g:g}_dr", law[g].bias()) for g in G), key=abs),
            at_least=-4.0,
            at_most=4.0,
        ),
        say(
            "open-covers",
            "While nothing is hidden the 95% intervals of the doubly robust estimate of the "
            "banner's effect hold it as often as they should: intervals that do.",
            float(get("g_0_dr_hit").sum()),
            at_least=fewest,
        ),
        say(
            "strong-never-covers",
            "With a hidden intent of strength g = 1.5 or g = 2 not one 95% interval of the doubly "
            "robust estimate holds the effect of the banner.",
            float(get("g_1.5_dr_hit").sum() + get("g_2_dr_hit").sum()),
            at_most=0.0,
        ),
        say(
            "intent-lambda-covers",
            "The sensitivity interval at the exact Lambda of P(T | H, z) holds the effect on every "
            "seed, at every strength: intervals that do not.",
            float(sum(seeds - get(f"g_{g:g}_intent_hit").sum() for g in hidden)),
            at_most=0.0,
        ),
        say(
            "outcome-lambda-covers",
            "At the smaller exact Lambda of P(T | H, Y(t)) the sensitivity interval holds the "
            "effect as often as 95% of the time or more: intervals that do, at the strength with "
            "the fewest.",
            float(min(get(f"g_{g:g}_outcome_hit").sum() for g in hidden)),
            at_least=fewest,
        ),
        say(
            "outcome-lambda-is-narrower",
            "At g = 1 the sensitivity interval at the Lambda of P(T | H, Y(t)) is less than half "
            "as wide as the one at the Lambda of P(T | H, z): their ratio.",
            mean_over_seeds(width["outcome"] / width["intent"]),
            at_most=0.5,
        ),
        say(
            "outcome-lambda-informs",
            "At g = 0.5 the sensitivity interval at the Lambda of P(T | H, Y(t)) leaves out zero: "
            "its lower end.",
            mean_over_seeds(get("g_0.5_outcome_lower")),
            at_least=0.03,
        ),
        say(
            "a-biased-estimate-looks-safer",
            "The Lambda at which the sign flips is larger with g = 2 than with g = 0: confounding "
            "that inflates an estimate makes it look harder to overturn.",
            difference("g_2_flip", "g_0_flip"),
            at_least=0.2,
        ),
        say(
            "whole-log-never-covers",
            "With a hidden intent of g = 1 not one 95% interval from the whole log of eight "
            "visits a person holds the effect of the banner.",
            float(get("whole_hit").sum()),
            at_most=0.0,
        ),
        say(
            "whole-log-is-surer",
            "With a hidden intent of g = 1 the estimate from the whole log is off by many times "
            "the standard error that it reports: error over standard error.",
            mean_over_seeds(get("whole_error") / get("whole_std_error")),
            at_least=5.0,
        ),
        say(
            "whole-log-standard-error",
            "With nothing hidden, 48,000 visits have a standard error near .0046.",
            mean_over_seeds(get("open_std_error") * np.sqrt(get("people") / 6_000)),
            at_least=0.0042,
            at_most=0.0050,
        ),
        say(
            "slice-is-unbiased",
            "With a hidden intent of g = 1 the randomised twentieth of the visits is right on "
            "average: distance of all seeds together from the effect, in standard errors.",
            errors_away("slice", 0.0),
            at_least=-4.0,
            at_most=4.0,
        ),
        say(
            "slice-covers",
            "The 95% intervals of the randomised twentieth hold the effect of the banner as often "
            "as they should: intervals that do.",
            float(get("slice_hit").sum()),
            at_least=fewest,
        ),
        say(
            "small-slice-cannot-sign",
            "With 300 randomised visits the half-width of the interval is larger than the effect "
            "itself: the one over the other.",
            mean_over_seeds(stats.norm.ppf(0.975) * get("small_std_error") / law[SLICE_G].effect()),
            at_least=1.0,
        ),
        say(
            "slice-is-too-small-to-learn-from",
            "In the store a network trained on the randomised visits alone adds less in the slot "
            "than one trained on all exposed rows, biased as it is: purchases per visit.",
            difference("net_whole", "net_slice"),
            at_least=0.0,
        ),
        say(
            "basket-names-the-intent",
            "In the store the size of the rest of the basket tells visits with intent from those "
            "without: the chance that it is larger at one with intent.",
            mean_over_seeds(get("basket_auc")),
            at_least=0.95,
        ),
        say(
            "basket-detects",
            "Visits whose slot went to the campaign sell more of everything else, which no display "
            "can cause: difference in purchases.",
            mean_over_seeds(get("basket_control")),
            at_least=1.0,
        ),
        say(
            "basket-removes",
            "Adjusting for the size of the rest of the basket leaves less than a third of the bias "
            "on campaign products: the bias that is left, over all of it.",
            mean_over_seeds(get("basket_by_basket") / get("basket_naive")),
            at_most=1 / 3,
        ),
    ]
