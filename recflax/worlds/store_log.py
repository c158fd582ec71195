"""What the simulated store writes down, and the draws behind it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recflax.data.logs import Log

if TYPE_CHECKING:
    from recflax.worlds.store import Store


@dataclass(frozen=True, eq=False)
class StoreLog:
    """Visits of a store's people: R = U x V rows, ordered by visit, then by person.

    Attributes:
        person: (R,) 0 to U - 1.
        visit: (R,) from 0; held-out visits from 1000.
        shown: (R,) id 1 to M of the product in the slot.
        bought_shown: (R,) bool, whether that product was bought.
        propensity: (R,) the logged chance of that display, in (0, 1].
        randomised: (R,) bool, the slot was filled uniformly at random.
        purchase_row: (P,) the row of each purchase.
        purchase_item: (P,) its item id; displayed and organic purchases alike.
        histories: history and bought, each (U, L), as they were before the first visit.
        items: the catalogue.
        intent: (R,) 0 or 1, the intent of the visit; None unless the shop was told to log it.
    """

    person: np.ndarray
    visit: np.ndarray
    shown: np.ndarray
    bought_shown: np.ndarray
    propensity: np.ndarray
    randomised: np.ndarray
    purchase_row: np.ndarray
    purchase_item: np.ndarray
    histories: tuple[np.ndarray, np.ndarray]
    items: pd.DataFrame
    intent: np.ndarray | None = None

    @property
    def n_visits(self) -> int:
        """Visits a person."""
        return len(self.person) // len(self.histories[0])

    def counts(self) -> np.ndarray:
        """(U, M): at how many visits each person bought each product."""
        shape = len(self.histories[0]), len(self.items)
        counts = np.zeros(shape, dtype=np.int32)
        np.add.at(counts, (self.person[self.purchase_row], self.purchase_item - 1), 1)
        return counts

    def shown_counts(self, weight: np.ndarray | None = None) -> np.ndarray:
        """(U, M): at how many visits each person was shown each product, or the sum of weights."""
        counts = np.zeros((len(self.histories[0]), len(self.items)))
        np.add.at(counts, (self.person, self.shown - 1), 1.0 if weight is None else weight)
        return counts

    def to_log(self) -> Log:
        """The tables that a shop would have: histories, impressions, purchases, catalogue.

        A visit's time is that of its number after the last place of a history.
        """
        history, bought = self.histories
        length = history.shape[1]
        person, column = np.nonzero(history)
        first = (history == 0).sum(axis=1)
        events = pd.DataFrame(
            {
                "person": person,
                "place": column - first[person],
                "time": column,
                "item": history[person, column],
                "bought": bought[person, column],
            }
        )
        impressions = pd.DataFrame(
            {
                "person": self.person,
                "visit": self.visit,
                "time": length + self.visit,
                "item": self.shown,
                "reward": self.bought_shown.astype(float),
                "propensity": self.propensity,
                "randomised": self.randomised,
            }
        )
        row, item = self.purchase_row, self.purchase_item
        purchases = pd.DataFrame(
            {
                "person": self.person[row],
                "visit": self.visit[row],
                "time": length + self.visit[row],
                "item": item,
                "quantity": np.ones(len(row), dtype=int),
                "price": self.items["price"].to_numpy()[item - 1],
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
    store: "Store",
    rng: np.random.Generator,
    visits: int,
    rand: float,
    first: int,
    log_intent: bool = False,
) -> StoreLog:
    """Draw visits: intent, display, purchases. What is logged as propensity draws nothing.

    Args:
        store: the store.
        rng: the stream of this log.
        visits: visits a person.
        rand: share of visits filled uniformly at random.
        first: number of the first visit.
        log_intent: write the intent of each visit down too; nothing else changes.
    """
    config = store.config
    people, items = config.n_people, config.n_items
    display = np.stack([store.display(z) for z in (0, 1)])  # (2, U, M)
    cumulative = np.cumsum(display, axis=2)
    logged = np.broadcast_to(
        store.config.pz * display[1] + (1 - config.pz) * display[0], display.shape
    )
    if not config.hidden:
        logged = display
    mu = np.stack([[store.mu(t, z) for z in (0, 1)] for t in (0, 1)])  # (2, 2, U, M)
    everyone = np.arange(people)
    columns: dict[str, list[np.ndarray]] = {
        name: []
        for name in (
            "person",
            "visit",
            "shown",
            "bought_shown",
            "propensity",
            "randomised",
            "purchase_row",
            "purchase_item",
            "intent",
        )
    }
    for visit in range(visits):
        z = (rng.random(people) < config.pz).astype(int)
        randomised = rng.random(people) < rand
        uniform = rng.integers(items, size=people)
        chance = cumulative[z, everyone]  # (U, M)
        by_policy = (chance <= rng.random(people)[:, None] * chance[:, -1:]).sum(axis=1)
        shown = np.where(randomised, uniform, by_policy)
        draws = rng.random((people, items))
        bought = draws < mu[0, z, everyone]
        bought_shown = draws[everyone, shown] < mu[1, z, everyone, shown]
        bought[everyone, shown] = bought_shown
        buyer, item = np.nonzero(bought)
        new = {
            "person": everyone,
            "visit": np.full(people, first + visit),
            "shown": shown + 1,
            "bought_shown": bought_shown,
            "propensity": np.where(randomised, 1 / items, logged[z, everyone, shown]),
            "randomised": randomised,
            "purchase_row": visit * people + buyer,
            "purchase_item": item + 1,
            "intent": z,
        }
        for name, column in new.items():
            columns[name].append(column)
    logged_columns = {name: np.concatenate(parts) for name, parts in columns.items()}
    if not log_intent:
        del logged_columns["intent"]
    return StoreLog(
        **logged_columns,
        histories=(store.history, store.bought),
        items=store.items,
    )
