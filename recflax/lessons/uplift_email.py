r"""Hillstrom's e-mails: who is moved by them, and what a log with a selection would have said.

Two questions on one real experiment. *Whom to write to?* The attention network of
`recflax.lessons.attribute_network` learns from a random half of the customers; on the other half,
where a coin decided too, four rankings are held against each other: by the network's uplift, by its
chance of a visit ("most likely to buy"), by the uplift of plain logistic regressions, and by one
column. *What if no coin had been tossed?* `recflax.lessons.email_sample` draws observational logs
from the experiment, whose answer is the truth to return to.

There is one Hillstrom. A seed is another random half and another resample of the same customers,
so an interval over seeds says how much depends on that draw, and nothing of other customers: for
those, see the bootstrap of a single half.
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression

from recflax.causal.effects import difference_of_means
from recflax.causal.logged import Treated
from recflax.causal.uplift import qini_area, qini_difference
from recflax.data.hillstrom import ATTRIBUTES, OUTCOMES, Hillstrom, load
from recflax.estimates import Estimate
from recflax.intervals import mean_over_seeds
from recflax.lessons.attribute_network import (
    AttributeConfig,
    chances,
    fit_attributes,
    one_hot,
)
from recflax.lessons.email_sample import FITTED, RESAMPLES, sample_row
from recflax.lessons.statements import Statement, column
from recflax.optimiser import TrainConfig

CAMPAIGNS = {"mens": 1, "womens": 2}
"""The two e-mails, each against none, and their numbers in `recflax.data.hillstrom.ARMS`."""

RANKINGS = {
    "network": "uplift, attention",
    "response": "most likely to visit, attention",
    "linear": "uplift, logistic regressions",
    "rule": "bought such goods before",
}
"""The four rankings: key and label. The network is held against each of the others."""

LEVELS = tuple(len(names) for names in ATTRIBUTES.values())
HALVES = "random halves of these customers"
REPLICATES, WORTH = 200, 0.001
"""Draws of each bootstrap; and the Qini area that a claim asks for, a visit in a thousand
customers: rankings that are alike, or random, have exactly none."""

TRAIN = TrainConfig(epochs=30, batch_size=250, learning_rate=3e-3, weight_decay=0.6, patience=6)


def contrast(
    experiment: Hillstrom, campaign: str, outcome: str = "visit"
) -> tuple[np.ndarray, Treated]:
    """The customers who were sent one e-mail or none, (n,) bool, and their log.

    Args:
        experiment: the customers.
        campaign: a key of `CAMPAIGNS`.
        outcome: one of ``"visit"``, ``"conversion"``, ``"spend"``.
    """
    arm = CAMPAIGNS[campaign]
    rows = (experiment.arm == 0) | (experiment.arm == arm)
    return rows, Treated(experiment.arm[rows] == arm, getattr(experiment, outcome)[rows])


def effects(experiment: Hillstrom) -> dict[tuple[str, str], Estimate]:
    """The average effect of each campaign on each outcome: differences of means."""
    return {
        (campaign, outcome): difference_of_means(contrast(experiment, campaign, outcome)[1])
        for campaign in CAMPAIGNS
        for outcome in OUTCOMES
    }


def halves(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two random halves of n rows, in the order of the rows: to learn from, and to ask.

    >>> [half.tolist() for half in halves(5, 0)]
    [[2, 4], [0, 1, 3]]
    """
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[: n // 2]), np.sort(order[n // 2 :])


def predicted(learn: Hillstrom, ask: Hillstrom, seed: int) -> dict[str, np.ndarray]:
    """The chance of a visit under each arm, (m, 3), by the network and by logistic regressions.

    Args:
        learn: the customers to learn from.
        ask: the m customers to predict.
        seed: of the network.

    Returns:
        ``"network"`` and ``"linear"``: the latter one regression an arm (a *T-learner*, Kuenzel
        and others 2019) on the same attributes, each level a column.
    """
    codes, asked = learn.codes(), ask.codes()
    config = AttributeConfig(LEVELS, questions=3)
    target, given = np.repeat(learn.visit[:, None], 3, axis=1), np.eye(3)[learn.arm]
    network = fit_attributes(config, codes, target, given, TRAIN, key=jax.random.key(seed))
    columns, wanted = one_hot(codes, LEVELS), one_hot(asked, LEVELS)
    linear = [
        LogisticRegression(solver="newton-cholesky")
        .fit(columns[learn.arm == arm], learn.visit[learn.arm == arm])
        .predict_proba(wanted)[:, 1]
        for arm in range(3)
    ]
    return {"network": chances(network, asked), "linear": np.stack(linear, axis=1)}


def rankings(
    ask: Hillstrom, found: Mapping[str, np.ndarray], campaign: str
) -> dict[str, np.ndarray]:
    """The scores (m,) of `RANKINGS` for one campaign, of the customers who were asked about.

    Args:
        ask: the m customers.
        found: what `predicted` says of them.
        campaign: a key of `CAMPAIGNS`.
    """
    arm = CAMPAIGNS[campaign]
    return {
        "network": found["network"][:, arm] - found["network"][:, 0],
        "response": found["network"][:, arm],
        "linear": found["linear"][:, arm] - found["linear"][:, 0],
        "rule": getattr(ask, campaign).astype(float),
    }


def judged(ask: Hillstrom, found: Mapping[str, np.ndarray], seed: int) -> dict[str, float]:
    """The four rankings of customers whom nobody learned from, for both campaigns.

    Args:
        ask: the m customers.
        found: what `predicted` says of them.
        seed: of the bootstrap.

    Returns:
        For each campaign and ranking ``campaign_ranking_area``, the Qini area of visits; for each
        ranking but the network's ``campaign_over_ranking``, the network's area less its, and
        ``campaign_tie_ranking``, 1 if the interval of that difference holds 0; the same against a
        random ranking as ``campaign_tie_random``; and ``campaign_tie_random_spend``, where the
        outcome is what was spent.
    """
    row: dict[str, float] = {}
    for campaign in CAMPAIGNS:
        rows, log = contrast(ask, campaign)
        score = {name: all_[rows] for name, all_ in rankings(ask, found, campaign).items()}
        network = qini_area(log, score["network"], replicates=REPLICATES, seed=seed)
        row[f"{campaign}_network_area"] = network.value
        row[f"{campaign}_tie_random"] = _ties(network)
        for other in list(RANKINGS)[1:]:
            gap = qini_difference(
                log, score["network"], score[other], replicates=REPLICATES, seed=seed
            )
            row[f"{campaign}_{other}_area"] = network.value - gap.value
            row[f"{campaign}_over_{other}"] = gap.value
            row[f"{campaign}_tie_{other}"] = _ties(gap)
        _, spent = contrast(ask, campaign, "spend")
        area = qini_area(spent, score["network"], replicates=REPLICATES, seed=seed)
        row[f"{campaign}_tie_random_spend"] = _ties(area)
    return row


def _ties(found: Estimate) -> float:
    return float(found.lower <= 0 <= found.upper)


def ranking_row(experiment: Hillstrom, seed: int) -> dict[str, float]:
    """The columns of `judged` for a random half, by what was learned from the other.

    Args:
        experiment: the customers.
        seed: of the halves, the network and the bootstrap.
    """
    learn, ask = (experiment.where(rows) for rows in halves(experiment.n, seed))
    return judged(ask, predicted(learn, ask, seed), seed)


def run(seed: int, size: int = 0) -> dict[str, float]:
    """One row: the rankings on one random half, and the adjusters on one resample of each design.

    Args:
        seed: of the halves, the resamples and the networks.
        size: not used; the experiment has 64,000 customers.

    Returns:
        ``seed``, ``people``, and the columns of `ranking_row` and
        `recflax.lessons.email_sample.sample_row`.
    """
    experiment = load()
    row: dict[str, float] = {"seed": seed, "people": experiment.n}
    return row | ranking_row(experiment, seed) | sample_row(experiment, seed)


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    The experiment's own half-width is the yardstick for the adjusters: who comes back to its
    answer by less than that is as good as the answer is known.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """
    effect, own_error = (float(column(rows, f"effect{what}")[0]) for what in ("", "_std_error"))
    known_to = float(stats.norm.ppf(0.975)) * own_error

    def say(name: str, sentence: str, number: Estimate | float, **bounds: float) -> Statement:
        exactly = not isinstance(number, Estimate)
        return Statement(
            f"email-{name}", sentence, number, seeds=len(rows), exact=exactly, **bounds
        )

    def half(name: str) -> Estimate:
        return mean_over_seeds(column(rows, name), target=HALVES)

    def off(name: str) -> Estimate:
        return mean_over_seeds(column(rows, f"{name}_off"), target=RESAMPLES)

    def shares(*names: str) -> float:
        return float(min(column(rows, name).mean() for name in names))

    worst_withheld = min(FITTED, key=lambda name: off(f"withheld_{name}").value)
    return [
        say(
            "womens-ranked",
            "For the women's e-mail the network's uplift puts those first who are moved by it: "
            "Qini area on held-out halves, visits a customer.",
            half("womens_network_area"),
            at_least=WORTH,
        ),
        say(
            "womens-beats-response",
            "For the women's e-mail ranking by uplift beats ranking by who is most likely to "
            "visit, same network: difference of Qini areas.",
            half("womens_over_response"),
            at_least=WORTH,
        ),
        say(
            "womens-ties",
            "For the women's e-mail a held-out half cannot tell the network from logistic "
            "regressions, nor from one column: share of halves whose interval holds 0, the "
            "smaller of the two.",
            shares("womens_tie_linear", "womens_tie_rule"),
            at_least=0.5,
        ),
        say(
            "mens-untold",
            "For the men's e-mail a held-out half cannot tell the network's uplift from a random "
            "ranking: share of halves whose interval holds 0.",
            shares("mens_tie_random"),
            at_least=0.5,
        ),
        say(
            "mens-ties",
            "For the men's e-mail a held-out half cannot tell the network's uplift from who is "
            "most likely to visit, logistic regressions or one column: share of halves whose "
            "interval holds 0, the smallest of the three.",
            shares("mens_tie_response", "mens_tie_linear", "mens_tie_rule"),
            at_least=0.5,
        ),
        say(
            "spend-untold",
            "A held-out half cannot tell the network's ranking from a random one by what was "
            "spent: share of halves whose interval holds 0, the smaller of the two e-mails.",
            shares("mens_tie_random_spend", "womens_tie_random_spend"),
            at_least=0.5,
        ),
        say(
            "naive-risk",
            "In the log selected by risk the difference of means overstates the men's e-mail by "
            "more than half of its effect: visits a customer.",
            off("risk_naive"),
            at_least=effect / 2,
        ),
        say(
            "naive-recent",
            "In the log selected by recency and newness the difference of means overstates the "
            "men's e-mail by more than a quarter of its effect: visits a customer.",
            off("recent_naive"),
            at_least=effect / 4,
        ),
        *(
            say(
                f"{adjuster.replace('_', '-')}-{design}-returns",
                f"In the log selected by {what}, {how} returns to the experiment's answer, to its "
                "own half-width: distance, visits a customer.",
                off(f"{design}_{adjuster}"),
                at_least=-known_to,
                at_most=known_to,
            )
            for design, what in (("risk", "risk"), ("recent", "recency and newness"))
            for adjuster, how in (
                ("ips", "weighting by the logged chance"),
                ("network_dr", "the doubly robust estimate with the attention network"),
            )
        ),
        say(
            "straight-propensity-overshoots",
            "In the log selected by risk, weighting by a propensity from a logistic regression is "
            "wrong by more than half of the effect in the other direction: visits a customer.",
            off("risk_logistic_ips"),
            at_most=-effect / 2,
        ),
        say(
            "withheld-all-fail",
            "With recency and newness withheld every adjuster that has to learn from the columns "
            "is off by more than a quarter of the effect: the one that is off least.",
            off(f"withheld_{worst_withheld}"),
            at_least=effect / 4,
        ),
    ]
