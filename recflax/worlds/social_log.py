"""What the social network writes down, and the draws behind it."""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recflax.causal.logged import Treated
from recflax.data.logs import Log
from recflax.worlds.store import draw_rows

if TYPE_CHECKING:
    from recflax.worlds.social import Social

ONE_A_LOG = ("histories", "items")


@dataclass(frozen=True, eq=False)
class SocialLog:
    """Visits of a network's people: R = U x V rows, ordered by visit, then by person.

    Attributes:
        person: (R,) 0 to U - 1.
        visit: (R,) from 0; held-out visits from 1000.
        suggested: (R,) id 1 to M of the account that was drawn for the slot.
        displayed: (R,) bool, the suggestion was seen; where a coin withheld it the slot was empty.
        followed: (R,) bool, she followed the account.
        engaged: (R,) bool, she liked a post of the account in the week after; known of withheld
            suggestions too.
        propensity: (R,) the chance with which the platform did what it did to the slot: drew the
            account and, where a coin decided, displayed or withheld it.
        follow_chance: (R,) the logged chance that the suggestion is followed if it is displayed.
        randomised: (R,) bool, a fair coin decided whether it was displayed.
        histories: history and liked, each (U, L), as they were before the first visit.
        items: the accounts as a catalogue.
        similarity: (R,) 0 or 1, the hidden likeness, 0 throughout in a world without one; None
            unless it was asked for.
    """

    person: np.ndarray
    visit: np.ndarray
    suggested: np.ndarray
    displayed: np.ndarray
    followed: np.ndarray
    engaged: np.ndarray
    propensity: np.ndarray
    follow_chance: np.ndarray
    randomised: np.ndarray
    histories: tuple[np.ndarray, np.ndarray]
    items: pd.DataFrame
    similarity: np.ndarray | None = None

    @property
    def n_visits(self) -> int:
        """Visits a person."""
        return len(self.person) // len(self.histories[0])

    def counts(self, rows: np.ndarray | None = None) -> np.ndarray:
        """(U, M): in how many rows each person was suggested each account.

        Args:
            rows: (R,) the rows that count, bool, or a weight for each; None: every row once.
        """
        people = len(self.histories[0])
        cell = self.person * people + self.suggested - 1
        return np.bincount(cell, rows, minlength=people**2).reshape(people, people)

    def where(self, rows: np.ndarray) -> "SocialLog":
        """The rows for which a (R,) bool is True, such as ``log.where(log.displayed)``."""
        every = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ONE_A_LOG}
        kept: dict[str, Any] = {
            name: None if column is None else column[rows] for name, column in every.items()
        }
        return replace(self, **kept)

    def follows(self) -> Treated:
        """The displayed rows with following as the treatment, as the estimators take it."""
        log = self.where(self.displayed)
        return Treated(log.followed, log.engaged, log.person)

    def displays(self) -> Treated:
        """The randomised rows with the display as the treatment."""
        log = self.where(self.randomised)
        return Treated(log.displayed, log.engaged, log.person)

    def to_log(self) -> Log:
        """The tables that a platform would have.

        Histories are ``events``, where ``bought`` says that a post was liked. Displayed suggestions
        are ``impressions``, with further columns ``followed`` and ``follow_chance``; a like in a
        visit is a line of ``purchases`` at price 0. A visit's time is that of its number after the
        last place of a history.
        """
        history, liked = self.histories
        length = history.shape[1]
        person, column = np.nonzero(history)
        first = (history == 0).sum(axis=1)
        events = pd.DataFrame(
            {
                "person": person,
                "place": column - first[person],
                "time": column,
                "item": history[person, column],
                "bought": liked[person, column],
            }
        )
        seen = self.where(self.displayed)
        impressions = pd.DataFrame(
            {
                "person": seen.person,
                "visit": seen.visit,
                "time": length + seen.visit,
                "item": seen.suggested,
                "reward": seen.engaged.astype(float),
                "propensity": seen.propensity,
                "randomised": seen.randomised,
                "followed": seen.followed,
                "follow_chance": seen.follow_chance,
            }
        )
        likes = self.where(self.engaged)
        purchases = pd.DataFrame(
            {
                "person": likes.person,
                "visit": likes.visit,
                "time": length + likes.visit,
                "item": likes.suggested,
                "quantity": np.ones(len(likes.person), dtype=int),
                "price": np.zeros(len(likes.person)),
            }
        )
        return Log(
            events=events,
            purchases=purchases,
            items=self.items,
            impressions=impressions,
            person_labels=np.arange(len(history)),
        )


def draw_log(
    social: "Social",
    rng: np.random.Generator,
    visits: int,
    rand: float,
    first: int,
    log_similarity: bool = False,
) -> SocialLog:
    """Draw visits: suggestion, coin, follow, like, and at last the likeness that was behind them.

    The three chances P(z) P(T | z) P(Y | T, z) are drawn in another order, as P(T) P(Y | T)
    P(z | T, Y), which is the same law. So two worlds whose logs have one law write, from one seed,
    the same log to the last row.

    Args:
        social: the network.
        rng: the stream of this log.
        visits: visits a person.
        rand: share of visits at which a coin decides about the display.
        first: number of the first visit.
        log_similarity: write the hidden likeness down too; nothing else changes.
    """
    people = len(social.suggest)
    person = np.tile(np.arange(people), visits)
    rows = people * visits
    suggested = np.concatenate([draw_rows(social.suggest, rng) for _ in range(visits)])
    draws = rng.random((5, rows))
    randomised = draws[0] < rand
    displayed = ~randomised | (draws[1] < 0.5)
    pair = person, suggested
    followed = displayed & (draws[2] < social.follow_chance()[pair])
    if_displayed = np.where(followed, social.see(1)[pair], social.see(0)[pair])
    engaged = draws[3] < np.where(displayed, if_displayed, social.do(0)[pair])

    # the likeness given what came: P(z) P(T | z) P(Y | T, z), where a withheld row says no T
    joint = np.empty((len(social.similarity), rows))
    for z, share in enumerate(social.similarity):
        follow = social.follow[z][pair]
        answer = np.where(displayed, np.where(followed, follow, 1 - follow), 1.0)
        like = np.where(followed, social.engage[1, z][pair], social.engage[0, z][pair])
        joint[z] = share * answer * np.where(engaged, like, 1 - like)
    cumulative = np.cumsum(joint, axis=0)
    z = (cumulative <= draws[4] * cumulative[-1]).sum(axis=0)
    logged = social.follow_chance()[pair]
    if not social.config.hidden:
        logged = social.follow[(z, *pair)]
    return SocialLog(
        person=person,
        visit=first + np.repeat(np.arange(visits), people),
        suggested=suggested + 1,
        displayed=displayed,
        followed=followed,
        engaged=engaged,
        propensity=social.suggest[pair] * np.where(randomised, 0.5, 1.0),
        follow_chance=logged,
        randomised=randomised,
        histories=(social.history, social.liked),
        items=social.items,
        similarity=z if log_similarity else None,
    )
