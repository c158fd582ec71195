"""What the news page writes down, and the draws behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recflax.causal.logged import Logged
from recflax.data.logs import Log
from recflax.worlds.news_truth import PLACES
from recflax.worlds.store import draw_rows

if TYPE_CHECKING:
    from recflax.worlds.news import News


@dataclass(frozen=True, eq=False)
class NewsLog:
    """Visits of a page's people: R = U x V rows, ordered by visit, then by person.

    Attributes:
        person: (R,) 0 to U - 1.
        visit: (R,) from 0; held-out visits from 1000.
        day: (R,) the day of the visit.
        shown: (R,) id 1 to M of the article in the slot.
        place: (R,) 0 at the top, 1 below.
        read_shown: (R,) bool, whether that article was read.
        propensity: (R,) the logged chance of that article at that place, in (0, 1].
        randomised: (R,) bool, article and place were drawn uniformly.
        read_row: (P,) the row of each read.
        read_item: (P,) its article id; displayed and organic reads alike.
        first_day: the day of the first event that a history can hold.
        history: (U, L), as it was before the first visit.
        items: the articles.
        news_day: (R,) 0 or 1; None unless the page was told to log it.
    """

    person: np.ndarray
    visit: np.ndarray
    day: np.ndarray
    shown: np.ndarray
    place: np.ndarray
    read_shown: np.ndarray
    propensity: np.ndarray
    randomised: np.ndarray
    read_row: np.ndarray
    read_item: np.ndarray
    first_day: int
    history: np.ndarray
    items: pd.DataFrame
    news_day: np.ndarray | None = None

    @property
    def n_visits(self) -> int:
        """Visits a person."""
        return len(self.person) // len(self.history)

    @property
    def age(self) -> np.ndarray:
        """(R,) days since the birth of the article in the slot."""
        return self.day - self.items["birth"].to_numpy()[self.shown - 1]

    def reads(self) -> np.ndarray:
        """(R, M) bool: what was read at each visit, shown or not."""
        read = np.zeros((len(self.person), len(self.items)), dtype=bool)
        read[self.read_row, self.read_item - 1] = True
        return read

    def counts(self) -> np.ndarray:
        """(U, M): at how many visits each person read each article."""
        counts = np.zeros((len(self.history), len(self.items)), dtype=np.int32)
        np.add.at(counts, (self.person[self.read_row], self.read_item - 1), 1)
        return counts

    def alive_counts(self) -> np.ndarray:
        """(M,) at how many visits of a person each article could be read."""
        birth, life = (self.items[name].to_numpy() for name in ("birth", "life"))
        days = self.day[:: len(self.history)]  # of each visit
        return ((birth <= days[:, None]) & (days[:, None] < birth + life)).sum(axis=0)

    def logged(self, rows: np.ndarray | None = None) -> Logged:
        """The slot as the estimators take it: contexts are visits, actions article and place.

        Action ``2 (j - 1) + k`` is article j at place k. A policy for it has a row for each visit
        of a person, since on another day other articles are alive.

        Args:
            rows: (R,) bool, which rows; None takes all.
        """
        rows = np.ones(len(self.person), dtype=bool) if rows is None else rows
        return Logged(
            context=(np.arange(len(self.person)) // len(self.history))[rows],
            action=(len(PLACES) * (self.shown - 1) + self.place)[rows],
            reward=self.read_shown[rows].astype(float),
            propensity=self.propensity[rows],
            person=self.person[rows],
        )

    def to_log(self) -> Log:
        """The tables that a page would have: histories, impressions, reads, articles.

        Times are days since the first of the histories. ``impressions`` have a column ``place``,
        and a read is a line of ``purchases`` at price 0.
        """
        person, column = np.nonzero(self.history)
        a_day = self.history.shape[1] // -self.first_day
        first = (self.history == 0).sum(axis=1)
        events = pd.DataFrame(
            {
                "person": person,
                "place": column - first[person],
                "time": column // a_day,
                "item": self.history[person, column],
                "bought": np.ones(len(person), dtype=bool),
            }
        )
        impressions = pd.DataFrame(
            {
                "person": self.person,
                "visit": self.visit,
                "time": self.day - self.first_day,
                "item": self.shown,
                "reward": self.read_shown.astype(float),
                "propensity": self.propensity,
                "randomised": self.randomised,
                "place": self.place,
            }
        )
        row, item = self.read_row, self.read_item
        purchases = pd.DataFrame(
            {
                "person": self.person[row],
                "visit": self.visit[row],
                "time": self.day[row] - self.first_day,
                "item": item,
                "quantity": np.ones(len(row), dtype=int),
                "price": np.zeros(len(row)),
            }
        )
        return Log(
            events=events,
            purchases=purchases,
            items=self.items,
            impressions=impressions,
            person_labels=np.arange(len(self.history)),
        )


def draw_log(
    news: News,
    rng: np.random.Generator,
    days: np.ndarray,
    visits: int,
    rand: float,
    first: int,
    log_news: bool = False,
) -> NewsLog:
    """Draw visits: news day, article and place, a glance, reads.

    What is logged as propensity draws nothing.

    Args:
        news: the page.
        rng: the stream of this log.
        days: the days of the stream; visit v is on day v modulo their number.
        visits: visits a person.
        rand: share of visits at which article and place are drawn uniformly.
        first: number of the first visit.
        log_news: write down whether each visit is on a news day; nothing else changes.
    """
    config, people = news.config, len(news.history)
    everyone = np.arange(people)
    columns: dict[str, list[np.ndarray]] = {}
    for visit in range(visits):
        day = int(days[visit % len(days)])
        alive = np.flatnonzero(news.alive(day))
        z = (rng.random(people) < config.pz).astype(int)
        randomised = rng.random(people) < rand
        policy = np.stack([news.display(k, day)[:, alive] for k in (0, 1)])  # (2, U, A, K)
        chance = policy[z, everyone].reshape(people, -1)
        uniform = rng.integers(chance.shape[1], size=people)
        action = np.where(randomised, uniform, draw_rows(chance, rng))
        article, place = alive[action // len(PLACES)], action % len(PLACES)
        looked = rng.random(people) < np.where(place == 0, config.see_top, config.see_below)
        draws = rng.random((people, len(news.topic)))
        mu = np.stack([[news.mu(t, k, day) for k in (0, 1)] for t in (0, 1)])  # (2, 2, U, M)
        read = draws < mu[0, z, everyone]
        slot = draws[everyone, article] < mu[looked.astype(int), z, everyone, article]
        read[everyone, article] = slot
        if config.hidden:
            chance = (config.pz * policy[1] + (1 - config.pz) * policy[0]).reshape(people, -1)
        reader, item = np.nonzero(read)
        new = {
            "person": everyone,
            "visit": np.full(people, first + visit),
            "day": np.full(people, day),
            "shown": article + 1,
            "place": place,
            "read_shown": slot,
            "propensity": np.where(randomised, 1 / chance.shape[1], chance[everyone, action]),
            "randomised": randomised,
            "read_row": visit * people + reader,
            "read_item": item + 1,
            "news_day": z,
        }
        for name, column in new.items():
            columns.setdefault(name, []).append(column)
    logged = {name: np.concatenate(parts) for name, parts in columns.items()}
    if not log_news:
        del logged["news_day"]
    return NewsLog(
        **logged,
        first_day=-config.past,
        history=news.history,
        items=news.items,
    )
