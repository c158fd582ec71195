r"""Lesson 2: the same network, another target, other weights.

Every training of `recflax.lessons.trainings` is asked for do(1) and do(0) of every person and
product, and held against the exact ones: its bias on the products of the campaign, which
confounding pushes, and on the others; and what a shop earns that fills its slot by one arm, or by
the difference of the two.
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from recflax.estimates import Estimate
from recflax.intervals import mean_over_seeds, paired_difference
from recflax.lessons.statements import Statement, column
from recflax.lessons.trainings import TRAININGS, Answers, train
from recflax.worlds.store import Store, StoreConfig, build_store


def measure(store: Store, answers: Answers) -> dict[str, float]:
    """Bias and error of the answers against the exact ones, and what two rankings by them earn.

    Returns:
        ``campaign``, ``others``: mean error of do(1) on the products of the campaign and on the
        others; ``rmse`` of do(1); ``slot`` and ``increment`` of the ranking by do(1), purchases
        per visit; and with a second arm ``uplift_slot``, ``uplift_increment`` of the ranking by
        the difference, and ``campaign_0``, ``rmse_0`` of do(0).
    """
    error = answers.shown - store.do(1)
    value = store.policy_value(store.greedy(answers.shown))
    row = {
        "campaign": float(error[:, store.campaign].mean()),
        "others": float(error[:, ~store.campaign].mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "slot": value.slot_rate,
        "increment": value.increment,
    }
    if answers.not_shown is None:
        return row
    uplift = store.policy_value(store.greedy(answers.shown - answers.not_shown))
    error = answers.not_shown - store.do(0)
    return row | {
        "uplift_slot": uplift.slot_rate,
        "uplift_increment": uplift.increment,
        "campaign_0": float(error[:, store.campaign].mean()),
        "rmse_0": float(np.sqrt(np.square(error).mean())),
    }


def run(seed: int, size: int = 8_000) -> dict[str, float]:
    """One row: every training of `TRAININGS` on one store, and exposed rows without the campaign.

    Args:
        seed: the store's seed, and that of the networks.
        size: number of people.

    Returns:
        ``seed``, ``people``; ``training_measure`` for each training and each of `measure`;
        ``negative_targets``; ``exact_campaign``, ``exact_others``, the bias of a perfect fit to the
        exposed rows; and ``no_push_campaign``, that of the exposed network where intent pushes
        nothing (g_e = 0), ``no_push_exact`` of a perfect fit there.
    """
    store = build_store(StoreConfig(n_people=size), seed)
    key = jax.random.key(seed)
    row: dict[str, float] = {"seed": seed, "people": size}
    for name in TRAININGS:
        answers, facts = train(store, name, key)
        row |= facts | {f"{name}_{what}": x for what, x in measure(store, answers).items()}
    limit = measure(store, Answers(store.see_exposed(), None))
    row |= {"exact_campaign": limit["campaign"], "exact_others": limit["others"]}
    calm = build_store(StoreConfig(n_people=size, g_e=0.0), seed)
    row["no_push_campaign"] = measure(calm, train(calm, "exposed", key)[0])["campaign"]
    row["no_push_exact"] = measure(calm, Answers(calm.see_exposed(), None))["campaign"]
    return row


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """

    def mean(name: str) -> Estimate:
        return mean_over_seeds(column(rows, name))

    def difference(one: str, other: str) -> Estimate:
        return paired_difference(column(rows, one), column(rows, other), over="seeds")

    estimand = column(rows, "exposed_uplift_increment") - column(rows, "log_increment")
    weights = column(rows, "ips_uplift_increment") - column(rows, "exposed_uplift_increment")
    said = [
        (
            "exposed-biased-on-campaign",
            "Trained on exposed rows, the network overstates what showing a product of the "
            "campaign would sell: mean error of do(show).",
            mean("exposed_campaign"),
            {"at_least": 0.02},
        ),
        (
            "exposed-limit-biased",
            "A perfect fit to the exposed rows, by whatever network, overstates do(show) on the "
            "campaign: its exact error.",
            mean("exact_campaign"),
            {"at_least": 0.02},
        ),
        (
            "ips-unbiased-on-campaign",
            "With inverse-propensity weights the error of the same network on the campaign is "
            "gone: mean error of do(show).",
            mean("ips_campaign"),
            {"at_least": -0.006, "at_most": 0.006},
        ),
        (
            "dr-unbiased-on-campaign",
            "With the cross-fitted doubly robust target the network's error on the campaign is "
            "gone too: mean error of do(show).",
            mean("dr_campaign"),
            {"at_least": -0.006, "at_most": 0.006},
        ),
        (
            "randomised-unbiased-on-campaign",
            "Trained on the exposed rows of a randomised log the network has no error on the "
            "campaign: mean error of do(show).",
            mean("randomised_campaign"),
            {"at_least": -0.006, "at_most": 0.006},
        ),
        (
            "flag-less-biased-on-campaign",
            "With the intent told as a context token, exposed rows averaged over the intents leave "
            "less error on the campaign than without it: how much less.",
            difference("exposed_campaign", "flag_campaign"),
            {"at_least": 0.02},
        ),
        (
            "flag-less-noisy-than-weights",
            "Told the intent as a context token, the network has a smaller root mean squared error "
            "of do(show) than with inverse-propensity weights: by how much.",
            difference("ips_rmse", "flag_rmse"),
            {"at_least": 0.0},
        ),
        (
            "cut-targets-keep-the-bias",
            "Cutting the doubly robust targets to [0, 1], so that cross-entropy accepts them, "
            "brings the error on the campaign back.",
            mean("dr_cut_campaign"),
            {"at_least": 0.015},
        ),
        (
            "estimand-before-weights",
            "Asking the causal question of the exposed rows gains more purchases per visit over "
            "the log-trained network than exact weights add to it: how much more.",
            mean_over_seeds(estimand - weights),
            {"at_least": 0.05},
        ),
        (
            "clipped-uplift-beats-the-log",
            "Ranked by its two arms, the network with clipped weights adds more purchases per "
            "visit than the network trained on the log's purchases.",
            difference("ips_clipped_uplift_increment", "log_increment"),
            {"at_least": 0.1},
        ),
        (
            "slice-too-small-to-train-on",
            "Trained on the randomised visits of a log with 5% of them, unbiased as they are, the "
            "network earns less than the biased one that saw every row: difference.",
            difference("slice_uplift_increment", "exposed_uplift_increment"),
            {"at_most": 0.0},
        ),
        (
            "no-push-no-bias",
            "Where intent moves no display (g_e = 0) the exposed network is right about the "
            "campaign without any weight.",
            mean("no_push_campaign"),
            {"at_least": -0.01, "at_most": 0.01},
        ),
        (
            "exact-weight-not-shown-noisier",
            "The exact weight for 'not shown' pays for its unbiasedness: the root mean squared "
            "error of do(not shown) rises by.",
            difference("ips_rmse_0", "exposed_rmse_0"),
            {"at_least": 0.0},
        ),
    ]
    return [
        Statement(
            name,
            sentence,
            estimate,
            at_least=bounds.get("at_least"),
            at_most=bounds.get("at_most"),
            seeds=len(rows),
        )
        for name, sentence, estimate, bounds in said
    ]
