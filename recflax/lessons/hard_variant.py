r"""Lesson 3, how many people it takes: a harder confounder, and logs of four sizes.

In the hard variant of the banner what moves both the banner and the purchase is whether the two
newest events are of one category. A network has to *compare* two events to see it, and that takes
more people than reading one event does. So the bias that attention leaves is drawn against the
size of the log: a network that could adjust does not do it before it has seen enough.
"""

from collections.abc import Mapping, Sequence

from recflax.estimates import Estimate
from recflax.intervals import mean_over_seeds, paired_difference
from recflax.lessons.adjustment import attention_row
from recflax.lessons.statements import Statement, column

SHARES = {"sixth": 1 / 6, "third": 1 / 3, "two_thirds": 2 / 3, "all": 1.0}
"""Sizes of the logs, as shares of the lesson's size."""


def people(share: str, size: int) -> int:
    """How many people a log of this share has."""
    return round(SHARES[share] * size)


def share_row(seed: int, size: int, share: str) -> dict[str, float]:
    """Attention with positions beside the true nuisances, on one log of the hard variant.

    Args:
        seed: the people's seed, and that of the networks.
        size: the lesson's size.
        share: a key of `SHARES`.

    Returns:
        The columns of `recflax.lessons.adjustment.attention_row`, each after ``share_``.
    """
    row = attention_row(seed, people(share, size), hard=True)
    return {f"{share}_{name}": value for name, value in row.items()}


def run(seed: int, size: int = 24_000) -> dict[str, float]:
    """One row: the hard variant of the banner on logs of every share of `SHARES`.

    Args:
        seed: the people's seed, and that of the networks.
        size: people of the largest log.

    Returns:
        ``seed``, ``people``, and the columns of `share_row` for each share.
    """
    row: dict[str, float] = {"seed": seed, "people": size}
    for share in SHARES:
        row |= share_row(seed, size, share)
    return row


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """

    def say(name: str, sentence: str, number: Estimate, at_least: float) -> Statement:
        return Statement(f"hard-{name}", sentence, number, at_least, seeds=len(rows))

    return [
        say(
            "fails-with-few",
            "When two events have to be compared, attention on a third of the people leaves most "
            "of the bias that it should remove: distance from the estimate with the true "
            "nuisances.",
            mean_over_seeds(column(rows, "third_attention_off")),
            at_least=0.05,
        ),
        say(
            "more-people-help",
            "With three times as many people the same network is off by less in the hard variant, "
            "on the same seeds: by how much.",
            paired_difference(
                column(rows, "third_attention_off"), column(rows, "all_attention_off"), over="seeds"
            ),
            at_least=0.03,
        ),
    ]
