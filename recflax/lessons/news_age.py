"""Reads of the slot by the age of the article, from what a log shows to what is done."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recflax.worlds.news import News

AGES = (0, 1, 2, 3)
"""Days since birth; the last stands for itself and all older."""

STEPS = ("observed", "at_top", "no_news", "do")
RULES = ("observed", "at_top", "done", "freshest", "anything")


class Day(NamedTuple):
    """The exact tables of a day, of the A articles that are alive on it.

    Attributes:
        age: (A,) days since birth, those older than the last of `AGES` counted as it.
        shown: (U, A, K) how often the old policy shows each at each place.
        observed: (U, A) reads per display in the log.
        at_top: (U, A) the same of displays at the top.
        done: (U, A) do(1) at the top.
        gained: (U, A) what that adds.
    """

    age: np.ndarray
    shown: np.ndarray
    observed: np.ndarray
    at_top: np.ndarray
    done: np.ndarray
    gained: np.ndarray


def tables_of(news: News) -> list[Day]:
    """The exact tables of each day of the log."""
    found = []
    for day in map(int, news.days):
        here, done = news.alive(day), news.do(1, day)
        age = np.minimum(news.age(day)[here], AGES[-1])
        parts = news.logging_policy(day), news.see_exposed(day), news.see_exposed(day, place=0)
        gained = done - news.do(0, day)
        found.append(Day(age, *(part[:, here] for part in (*parts, done, gained))))
    return found


def by_age(days: Sequence[Day]) -> dict[int, dict[str, float]]:
    """Reads per display by age of the article, over days, exactly.

    Returns:
        For each of `AGES`: ``observed``, of all displays in the log; ``at_top``, of those at the
        top; ``no_news``, the same displays, if no news day had moved them, the mean of do(1) by
        e(j at top); and ``do``, any article of the age shown to anybody at the top.
    """
    total = {age: {name: np.zeros(2) for name in STEPS} for age in AGES}  # reads, displays
    for age, of_age in total.items():
        for day in days:
            group = day.age == age
            top, done = day.shown[:, group, 0], day.done[:, group]
            for name, weight, rate in (
                ("observed", day.shown[:, group].sum(axis=2), day.observed[:, group]),
                ("at_top", top, day.at_top[:, group]),
                ("no_news", top, done),
                ("do", np.full(top.shape, 1 / top.size), done),
            ):
                of_age[name] += (weight * rate).sum(), weight.sum()
    return {
        age: {name: float(reads / displays) for name, (reads, displays) in of_age.items()}
        for age, of_age in total.items()
    }


def exact_row(news: News) -> dict[str, float]:
    """What is known of a page without a draw.

    Returns:
        For each age a and step ``step_a``, reads per display, as in `by_age`; ``hidden_bias``, by
        how much weights that do not know the news day miss ``do_0``; and what the slot at the top
        adds a visit, averaged over the days, ``increment_rule``, when it is ranked by the read rate
        of the log, by that at the top, by do, or holds any fresh article, or any at all.
    """
    days = tables_of(news)
    row = {f"{step}_{age}": x for age, steps in by_age(days).items() for step, x in steps.items()}
    fresh = [(day.at_top - day.done)[:, day.age == 0].mean() for day in days]
    row["hidden_bias"] = float(np.mean(fresh))
    added: dict[str, list[float]] = {rule: [] for rule in RULES}
    for day in days:
        everyone = np.arange(len(day.done))
        for rule in ("observed", "at_top", "done"):
            best = getattr(day, rule).argmax(axis=1)
            added[rule].append(day.gained[everyone, best].mean())
        added["freshest"].append(day.gained[:, day.age == 0].mean())
        added["anything"].append(day.gained.mean())
    return row | {f"increment_{rule}": float(np.mean(parts)) for rule, parts in added.items()}
