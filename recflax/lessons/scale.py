r"""Would scale fix it? A wider network, or more people, on the same two trainings.

The network that is trained on the log should rank held-out purchases better and better. The one
that is trained on exposed rows should come closer and closer to P(Y | shown), whose own error of
do(show) is exact: growth takes the noise away and leaves the bias.
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from recflax.intervals import mean_over_seeds, paired_difference
from recflax.lessons.cells import (
    count,
    exposed_cells,
    fit_cells,
    log_cells,
    network_config,
    probabilities,
)
from recflax.lessons.statements import Statement, column
from recflax.metrics import ndcg_at_k
from recflax.worlds.store import StoreConfig, build_store

WIDTHS = (8, 24, 64, 128)
PEOPLE = (0.25, 1.0, 4.0)
"""Numbers of people, as multiples of the lesson's size."""


def settings(size: int) -> dict[str, tuple[int, int]]:
    """Name of each setting to its width and number of people.

    Example:
        >>> settings(8000)["people_0.25"]
        (24, 2000)
    """
    wide = {f"width_{width}": (width, size) for width in WIDTHS}
    return wide | {f"people_{times:g}": (24, round(times * size)) for times in PEOPLE}


def measure(seed: int, width: int, people: int) -> dict[str, float]:
    """Both trainings in one setting.

    Returns:
        ``ndcg``, NDCG@10 on held-out purchases of the network trained on the log; ``campaign``,
        mean error of do(show) on the products of the campaign of the network trained on exposed
        rows; ``noise``, its root mean squared distance from P(Y | shown); ``limit``, the exact
        error of P(Y | shown) on the campaign.
    """
    store = build_store(StoreConfig(n_people=people), seed)
    counts = count(store.log())
    heldout = store.log(visits=4, stream="heldout").counts() > 0
    key = jax.random.key(seed)
    of_log = fit_cells(store, log_cells(counts), key=key, config=network_config(store, width=width))
    exposed = fit_cells(
        store,
        exposed_cells(counts),
        key=key,
        config=network_config(store, width=width, arms=("shown", "not_shown")),
    )
    shown, exact = probabilities(exposed, store), store.see_exposed()
    campaign = store.campaign
    return {
        "ndcg": float(np.nanmean(ndcg_at_k(probabilities(of_log, store), heldout, 10))),
        "campaign": float((shown - store.do(1))[:, campaign].mean()),
        "noise": float(np.sqrt(np.square(shown - exact).mean())),
        "limit": float((exact - store.do(1))[:, campaign].mean()),
    }


def run(seed: int, size: int = 8_000) -> dict[str, float]:
    """One row: `measure` in every one of `settings`.

    Args:
        seed: the store's seed, and that of the networks.
        size: number of people; a quarter of it and four times it are tried too.

    Returns:
        ``seed``, ``people``, and ``setting_measure``.
    """
    row: dict[str, float] = {"seed": seed, "people": size}
    found: dict[tuple[int, int], dict[str, float]] = {}
    for name, (width, people) in settings(size).items():
        if (width, people) not in found:  # the middle of both series is one setting
            found[width, people] = measure(seed, width, people)
        row |= {f"{name}_{what}": value for what, value in found[width, people].items()}
    return row


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """
    seeds = len(rows)
    few, many = f"people_{PEOPLE[0]:g}", f"people_{PEOPLE[-1]:g}"
    narrow, wide = f"width_{WIDTHS[0]}", f"width_{WIDTHS[-1]}"
    return [
        Statement(
            "scale-people-rank-better",
            "With sixteen times the people the network ranks the log's held-out purchases better: "
            "NDCG@10, how much.",
            paired_difference(
                column(rows, f"{many}_ndcg"), column(rows, f"{few}_ndcg"), over="seeds"
            ),
            at_least=0.0,
            seeds=seeds,
        ),
        Statement(
            "scale-people-less-noise",
            "With sixteen times the people the network trained on exposed rows is closer to "
            "P(Y | shown): root mean squared distance, how much less.",
            paired_difference(
                column(rows, f"{few}_noise"), column(rows, f"{many}_noise"), over="seeds"
            ),
            at_least=0.0,
            seeds=seeds,
        ),
        Statement(
            "scale-people-bias-is-the-limit",
            "With 32,000 people the exposed network's error of do(show) on the campaign is that of "
            "P(Y | shown), the exact limit: difference.",
            paired_difference(
                column(rows, f"{many}_campaign"), column(rows, f"{many}_limit"), over="seeds"
            ),
            at_least=-0.015,
            at_most=0.015,
            seeds=seeds,
        ),
        Statement(
            "scale-limit-above-zero",
            "The exact error of P(Y | shown) as do(show) on the campaign is above zero, with "
            "32,000 people.",
            mean_over_seeds(column(rows, f"{many}_limit")),
            at_least=0.0,
            seeds=seeds,
        ),
        Statement(
            "scale-width-bias-is-near-the-limit",
            "A network of sixteen times the width comes near the error of P(Y | shown) on the "
            "campaign too, and not near zero: difference from that limit.",
            paired_difference(
                column(rows, f"{wide}_campaign"), column(rows, f"{wide}_limit"), over="seeds"
            ),
            at_least=-0.02,
            at_most=0.02,
            seeds=seeds,
        ),
        Statement(
            "scale-width-ranks-better",
            "A network of width 128 ranks the log's held-out purchases better than one of width 8: "
            "NDCG@10, how much.",
            paired_difference(
                column(rows, f"{wide}_ndcg"), column(rows, f"{narrow}_ndcg"), over="seeds"
            ),
            at_least=0.0,
            seeds=seeds,
        ),
    ]
