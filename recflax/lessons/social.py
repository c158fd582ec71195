r"""Homophily or influence: one log of follows, one fitted network, two answers, one experiment.

The network of people of `recflax.worlds.social` is built twice: following does nothing and a hidden
likeness moves both following and liking (*homophily*), or nothing is hidden and following does what
it seemed to (*influence*). Their logs have one law, so the book's attention network, trained on
what was suggested, is the same network in both, and right in one. Weights do not help, since the
chance with which a *person* decides is nowhere known; a coin that withholds suggestions does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np
from scipy import stats

from recflax.causal.effects import difference_of_means, inverse_weighting
from recflax.causal.logged import Logged
from recflax.causal.policy_value import ips
from recflax.estimates import Estimate
from recflax.intervals import mean_over_seeds
from recflax.lessons.social_network import fitted
from recflax.lessons.statements import Statement, column
from recflax.worlds.social import Social, SocialConfig, build_social
from recflax.worlds.social_log import SocialLog

WORLDS = ("homophily", "influence")
VISITS, EXPERIMENT = 60, 20
"""Visits a person in the log, and in the experiment."""


class Worlds(NamedTuple):
    """The two networks of people that write one log."""

    homophily: Social
    influence: Social


def build(seed: int, size: int) -> Worlds:
    """Both worlds of one seed."""
    homophily = build_social(SocialConfig(n_people=size), seed)
    return Worlds(homophily, homophily.without_similarity())


def rows_apart(one: SocialLog, other: SocialLog) -> int:
    """In how many rows two logs differ, in any logged column (propensities by more than 1e-12)."""
    same = np.ones(len(one.person), dtype=bool)
    for name in ("person", "visit", "suggested", "displayed", "followed", "engaged", "randomised"):
        same &= getattr(one, name) == getattr(other, name)
    for name in ("propensity", "follow_chance"):
        same &= np.abs(getattr(one, name) - getattr(other, name)) <= 1e-12
    return int((~same).sum())


def similar_to_liked(social: Social) -> np.ndarray:
    """The policy (U, M) of the article's example: people similar to whom she liked last.

    B is the account of the newest like, or of the newest event where nothing was liked; suggested
    are the others of B's community, all alike, of whom there must be one.
    """
    history, liked = social.history, social.liked
    newest = history.shape[1] - 1 - np.argmax(liked[:, ::-1], axis=1)  # the newest like, if any
    newest = np.where(liked.any(axis=1), newest, history.shape[1] - 1)
    everyone = np.arange(len(history))
    b = history[everyone, newest] - 1
    alike = social.community == social.community[b][:, None]  # (U, M)
    alike[everyone, b] = alike[everyone, everyone] = False
    return alike / alike.sum(axis=1, keepdims=True)


def exact_row(worlds: Worlds) -> dict[str, float]:
    """What is known without a draw: the laws of both logs, the effects, and what nothing changes.

    Returns:
        ``cells_apart``: largest difference of a probability of what is logged, and
        ``chosen_apart``, the same if suggestions were drawn uniformly; for each of `WORLDS`
        ``effect_w`` of following, ``suggesting_w`` of displaying, and ``similar_w``, what
        suggesting people similar to the one liked last adds; ``bias``; and the like rates
        ``similar_slot`` of that rule, ``uniform_slot`` of suggestions drawn uniformly, which are
        those of both worlds.
    """
    row: dict[str, float] = {}
    uniform = [replace(world, suggest=world.uniform()) for world in worlds]
    for name, pair in (("cells", worlds), ("chosen", uniform)):
        one, other = (world.cells() for world in pair)
        chance = np.abs(pair[0].follow_chance() - pair[1].follow_chance()).max()
        row[f"{name}_apart"] = float(max(np.abs(one - other).max(), chance))
    for name, world in zip(WORLDS, worlds, strict=True):
        similar = world.policy_value(similar_to_liked(world))
        row |= {
            f"effect_{name}": world.effect(),
            f"suggesting_{name}": world.effect_of_suggesting(),
            f"similar_{name}": similar.increment,
            "similar_slot": similar.slot_rate,
            "uniform_slot": world.policy_value(world.uniform()).slot_rate,
        }
    return row | {"bias": worlds.homophily.bias()}


def network_row(worlds: Worlds, seed: int) -> dict[str, float]:
    """The network trained on each world's log, and what it says that following does.

    Returns:
        ``rows_apart`` and ``network_apart``, how far logs and predictions of the two worlds are
        from each other; ``network``, its average effect of following over the suggestions; ``raw``,
        the difference of means; and for each of `WORLDS` ``increment_w``, what its ranking of
        suggestions adds there, likes per visit, exactly.
    """
    logs = [world.log(VISITS) for world in worlds]
    answers = [
        fitted(world, log, jax.random.key(seed)) for world, log in zip(worlds, logs, strict=True)
    ]
    uplift = answers[0][0] - answers[0][1]
    policy = worlds.homophily.greedy(uplift)
    row = {
        "rows_apart": float(rows_apart(*logs)),
        "network_apart": float(np.abs(answers[0] - answers[1]).max()),
        "network": worlds.homophily.over_suggestions(uplift),
        "raw": difference_of_means(logs[0].follows()).value,
    }
    for name, world in zip(WORLDS, worlds, strict=True):
        row[f"increment_{name}"] = world.policy_value(policy).increment
    return row


def _judged(name: str, found: Estimate, truth: float) -> dict[str, float]:
    return {
        f"{name}_error": found.value - truth,
        f"{name}_std_error": found.std_error,
        f"{name}_hit": float(found.lower <= truth <= found.upper),
    }


def weights_row(social: Social) -> dict[str, float]:
    """What known propensities are good for, in the world with a hidden likeness.

    Returns:
        As error, std_error and hit: ``suggest_...``, the like rate if suggestions were drawn
        uniformly, weighted by the platform's own propensities; ``hidden_...``, the effect of
        following, weighted by the logged chance of following; ``open_...``, the same where that
        chance is the one given the likeness, which only the two people could know.
    """
    log, uniform = social.log(VISITS), social.uniform()
    rows = Logged(log.person, log.suggested - 1, log.engaged.astype(float), log.propensity)
    row = _judged("suggest", ips(rows, uniform), social.policy_value(uniform).slot_rate)
    for name, hidden in (("hidden", True), ("open", False)):
        told = replace(social, config=replace(social.config, hidden=hidden)).log(VISITS)
        treated = told.follows()
        found = inverse_weighting(treated, treated.bind(told.follow_chance), normalise=True)
        row |= _judged(name, found, social.effect())
    return row


def experiment_row(worlds: Worlds) -> dict[str, float]:
    """The experiment in each world: a coin displays or withholds each suggestion.

    Returns:
        For each of `WORLDS` the difference of means as ``coin_w_value``, ``..._error``,
        ``..._std_error``, ``..._hit``; and ``..._other``, whether its interval holds the effect of
        the other world.
    """
    row: dict[str, float] = {}
    for name, world, other in zip(WORLDS, worlds, reversed(worlds), strict=True):
        found = difference_of_means(world.log(EXPERIMENT, stream="slice").displays())
        row |= {f"coin_{name}_value": found.value}
        row |= _judged(f"coin_{name}", found, world.effect_of_suggesting())
        wrong = found.lower <= other.effect_of_suggesting() <= found.upper
        row[f"coin_{name}_other"] = float(wrong)
    return row


def run(seed: int, size: int = 400) -> dict[str, float]:
    """One row: both worlds of a seed, the network, the weights and the experiment.

    Args:
        seed: the people's seed, and that of the network.
        size: number of people, who are the accounts too.

    Returns:
        ``seed``, ``people``, and the columns of `exact_row`, `network_row`, `weights_row` and
        `experiment_row`.
    """
    worlds = build(seed, size)
    row: dict[str, float] = {"seed": seed, "people": size}
    row |= exact_row(worlds) | network_row(worlds, seed)
    return row | weights_row(worlds.homophily) | experiment_row(worlds)


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """
    seeds = len(rows)

    def get(name: str) -> np.ndarray:
        return column(rows, name)

    def say(name: str, sentence: str, number: Estimate | float, **bounds: float) -> Statement:
        exactly = not isinstance(number, Estimate)
        return Statement(f"social-{name}", sentence, number, seeds=seeds, exact=exactly, **bounds)

    def away(name: str, bias: np.ndarray | float = 0.0) -> float:
        """How far all errors together are from a bias, in their own standard errors."""
        apart = (get(f"{name}_error") - bias).sum()
        return float(apart / np.sqrt((get(f"{name}_std_error") ** 2).sum()))

    def fewest(chance: float, trials: int) -> float:
        """Fewer successes than this come less than once in two thousand times."""
        return float(stats.binom.ppf(0.0005, trials, chance))

    hits = min(get(f"coin_{name}_hit").sum() for name in WORLDS)
    fooled = max(get(f"coin_{name}_other").sum() for name in WORLDS)
    return [
        say(
            "one-log",
            "Homophily and influence write the same log: the largest difference of a probability "
            "of what is logged, the chance of following included.",
            float(get("cells_apart").max()),
            at_most=1e-12,
        ),
        say(
            "one-log-row-by-row",
            "Drawn from one seed, the logs of the two worlds differ in no row: rows that do.",
            float(get("rows_apart").sum()),
            at_most=0.0,
        ),
        say(
            "two-answers",
            "What following does to the chance of a like differs between the two worlds: the "
            "smallest difference of any seed.",
            float((get("effect_influence") - get("effect_homophily")).min()),
            at_least=0.1,
        ),
        say(
            "one-network",
            "The network trained on the one log is the network trained on the other: largest "
            "difference of a predicted chance.",
            float(get("network_apart").max()),
            at_most=0.0,
        ),
        say(
            "network-wrong-under-homophily",
            "Where following does nothing the network says that it adds likes: its average effect "
            "less the true one.",
            mean_over_seeds(get("network") - get("effect_homophily")),
            at_least=0.1,
        ),
        say(
            "network-right-under-influence",
            "Where nothing is hidden the same network is nearly right: its average effect less the "
            "true one.",
            mean_over_seeds(get("network") - get("effect_influence")),
            at_least=-0.03,
            at_most=0.03,
        ),
        say(
            "random-suggestions-do-not-help",
            "With suggestions drawn uniformly at random the two worlds still write the same log: "
            "the largest difference of a probability.",
            float(get("chosen_apart").max()),
            at_most=1e-12,
        ),
        say(
            "known-propensities-answer-the-platform",
            "The platform's own propensities give the like rate under uniform suggestions: "
            "distance of all seeds together from the truth, in standard errors.",
            away("suggest"),
            at_least=-4.0,
            at_most=4.0,
        ),
        say(
            "weights-miss-by-the-closed-form",
            "Weighted by the logged chance of following, the effect of following is off by the "
            "exact bias: distance of all seeds together from it, in standard errors.",
            away("hidden", get("bias")),
            at_least=-4.0,
            at_most=4.0,
        ),
        say(
            "weights-are-sure",
            "That estimate is off by many times the standard error that it reports: error over "
            "standard error.",
            mean_over_seeds(get("hidden_error") / get("hidden_std_error")),
            at_least=5.0,
        ),
        say(
            "weights-would-do-if-the-likeness-were-told",
            "Weighted by the chance of following given the likeness, the same estimate is right: "
            "distance of all seeds together from the truth, in standard errors.",
            away("open"),
            at_least=-4.0,
            at_most=4.0,
        ),
        say(
            "coin-covers",
            "The 95% intervals of the experiment that withholds suggestions by a coin hold the "
            "effect of suggesting in their own world as often as they should: intervals that do, "
            "in the world with fewer.",
            float(hits),
            at_least=fewest(0.95, seeds),
        ),
        say(
            "coin-tells-the-worlds-apart",
            "The 95% intervals of that experiment leave out the effect of the other world: those "
            "that do not, in the world with more.",
            float(fooled),
            at_most=seeds - fewest(0.98, seeds),
        ),
        say(
            "similar-people-are-liked-more",
            "People similar to the one liked last are liked more often than people drawn "
            "uniformly, in both worlds alike: difference of the like rates, per visit.",
            mean_over_seeds(get("similar_slot") - get("uniform_slot")),
            at_least=0.02,
        ),
        say(
            "similar-people-add-nothing-under-homophily",
            "Where following does nothing, suggesting people similar to the one liked last adds no "
            "like: the largest increment of any seed.",
            float(np.abs(get("similar_homophily")).max()),
            at_most=1e-12,
        ),
        say(
            "nothing-to-gain-under-homophily",
            "Where following does nothing, the suggestions that the network ranks first add no "
            "like: the largest increment of any seed.",
            float(np.abs(get("increment_homophily")).max()),
            at_most=1e-12,
        ),
        say(
            "something-to-gain-under-influence",
            "In the other world with the same log the same suggestions add likes, per visit.",
            mean_over_seeds(get("increment_influence")),
            at_least=0.03,
        ),
    ]
