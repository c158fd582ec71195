r"""The simulated gift shop: a world whose interventional truth is known exactly.

People have a taste that nobody logs and a history of what they looked at and bought. At a visit
one slot is filled; each product is then bought or not, with a chance that depends on taste, on the
history, on whether the product is shown, and on the *intent* z of the visit, which moves both
what is shown and what is bought: the confounder. Everything is drawn from one seed.

What is logged and what never is: `StoreLog` has no taste, no intent, no campaign, no chances.
The exact answers are methods of `Store`, computed in `recflax.worlds.store_truth`.
"""

import numbers
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import pandas as pd

from recflax.worlds.store_log import StoreLog, draw_log
from recflax.worlds.store_text import CATEGORY_NAMES, describe_items
from recflax.worlds.store_truth import Truth

STREAMS = ("items", "people", "log", "heldout", "slice")
HELDOUT = 1000
"""Number of the first held-out visit: they come after all others."""


@dataclass(frozen=True)
class StoreConfig:
    """The store's equations, with the defaults of the book.

    Attributes:
        n_people: N people.
        n_items: M items.
        n_categories: C, at most 8.
        length: L, the longest history; the shortest has 5 events.
        stay: chance that the next event of a history is of the same need as the last.
        a_taste: how much taste decides the need.
        o0: log odds of an organic purchase before anything else.
        o_pop: what popularity adds to them.
        l0: mean of the lift (log odds) that showing a product gives it.
        l_pop: what popularity adds to the lift.
        l_sd: spread of the lift.
        l_min: smallest lift.
        b_t: weight of taste in purchases.
        b_n: weight of a hot category (the two newest events agree).
        b_c: weight of the complement of the last purchase.
        b_s: what having bought the product already takes off.
        pz: chance of a visit with intent.
        g_y: what intent adds to every purchase.
        g_e: what intent adds to the display of campaign products.
        camp: share of products in the campaign.
        a_p: weight of popularity in the logging policy.
        a_h: weight of the last category in it.
        a_n: weight of a hot category in it.
        eps: share of the slot that the logging policy fills uniformly.
        sharp: how sharply the logging policy prefers.
        rand: share of logged visits that are filled uniformly at random, and flagged.
        hidden: log the propensity without the intent (averaged over it), not the exact one.
        no_overlap: never retrieve the less popular half of the products.

    Raises:
        TypeError: a value of the wrong kind: counts are integers, switches bools.
        ValueError: a value is out of range.

    Example:
        >>> StoreConfig(pz=1.5)
        Traceback (most recent call last):
        ...
        ValueError: pz must be from 0 to 1; got 1.5
    """

    n_people: int = 8000
    n_items: int = 120
    n_categories: int = 8
    length: int = 16
    stay: float = 0.5
    a_taste: float = 0.8
    o0: float = -6.5
    o_pop: float = 1.2
    l0: float = 2.2
    l_pop: float = -1.0
    l_sd: float = 0.5
    l_min: float = 0.05
    b_t: float = 0.8
    b_n: float = 1.5
    b_c: float = 1.0
    b_s: float = 1.5
    pz: float = 0.2
    g_y: float = 2.5
    g_e: float = 2.5
    camp: float = 0.2
    a_p: float = 0.8
    a_h: float = 1.0
    a_n: float = 1.0
    eps: float = 0.2
    sharp: float = 1.0
    rand: float = 0.0
    hidden: bool = False
    no_overlap: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        for field in fields(self):
            _check_kind(field.name, getattr(self, field.name), type(field.default))
        for name, low in {"n_people": 1, "n_categories": 2, "length": 5}.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}; got {getattr(self, name)}")
        if self.n_categories > len(CATEGORY_NAMES):
            raise ValueError(
                f"n_categories must be at most {len(CATEGORY_NAMES)}; got {self.n_categories}"
            )
        if self.n_items <= self.n_categories:
            raise ValueError(
                f"n_items must be above n_categories, {self.n_categories}, or all products are "
                f"equally popular; got {self.n_items}"
            )
        for name in ("stay", "pz", "camp", "eps", "rand"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1; got {getattr(self, name)}")
        for name in ("l_sd", "l_min", "sharp"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0; got {getattr(self, name)}")
        if self.l_min == 0:
            raise ValueError("l_min must be above 0, so that showing a product never hurts; got 0")


def _check_kind(name: str, value: object, kind: type) -> None:
    """Raise unless a value is of the kind of its default: an integer, a finite number, a bool."""
    fits = {
        int: isinstance(value, numbers.Integral) and not isinstance(value, bool),
        float: isinstance(value, numbers.Real) and not isinstance(value, bool),
        bool: isinstance(value, bool | np.bool_),
    }
    if not fits[kind]:
        raise TypeError(f"{name} must be of type {kind.__name__}; got {value!r}")
    if not np.isfinite(value):  # type: ignore[call-overload]
        raise ValueError(f"{name} must be finite; got {value}")


@dataclass(frozen=True, eq=False)
class Store(Truth):
    """One store: its products, its people and their histories. Build it with `build_store`.

    Attributes:
        config: the equations.
        seed: what everything was drawn from.
        category: (M,) category 0 to C - 1 of each product.
        popularity: (M,) standardised.
        lift: (M,) log odds that showing adds; never logged.
        price: (M,).
        campaign: (M,) bool; never logged.
        taste: (U, C), never logged; every row has mean 0.
        history: (U, L) item ids 1 to M, oldest to newest, 0 as padding on the left.
        bought: (U, L) bool.

    Example:
        >>> store = build_store(StoreConfig(n_people=7, n_items=11, n_categories=3), seed=5)
        >>> store.history.shape, store.uplift().shape
        ((7, 16), (7, 11))
        >>> bool((store.uplift() > 0).all())
        True
    """

    @cached_property
    def items(self) -> pd.DataFrame:
        """The catalogue as a table: item, category, price, name, text."""
        return describe_items(self.category, self.popularity, self.price)

    def log(
        self,
        visits: int = 8,
        stream: str = "log",
        rand: float | None = None,
        *,
        log_intent: bool = False,
    ) -> StoreLog:
        """Draw visits of every person, and what was shown and bought at them.

        Args:
            visits: visits a person, 1 to 1000.
            stream: ``"log"`` to learn from, ``"heldout"`` for later visits of the same people, or
                ``"slice"`` for a randomised slice. Each is a random stream of its own, so one does
                not change when another is drawn.
            rand: share of visits that are filled at random; None is the config's, and 1 for the
                slice. The truths ``see``, ``see_exposed`` and ``logging_policy`` are those of a log
                with the config's share.
            log_intent: write down the intent of each visit, which this store keeps to itself
                otherwise. Nothing else of the log changes.

        Raises:
            TypeError: visits is no integer.
            ValueError: an unknown stream, or a number out of range.

        Example:
            >>> store = build_store(StoreConfig(n_people=7, n_items=11, n_categories=3), seed=5)
            >>> log = store.log(visits=2)
            >>> log.shown.shape, float(store.log(stream="slice").propensity[0])
            ((14,), 0.09090909090909091)
        """
        if stream not in STREAMS[2:]:
            raise ValueError(f"stream must be one of {STREAMS[2:]}; got {stream!r}")
        if rand is None:
            rand = 1.0 if stream == "slice" else self.config.rand
        if not 0 <= rand <= 1:
            raise ValueError(f"rand must be from 0 to 1; got {rand}")
        _check_kind("visits", visits, int)
        if not 1 <= visits <= HELDOUT:
            raise ValueError(f"visits must be from 1 to {HELDOUT}; got {visits}")
        first = HELDOUT if stream == "heldout" else 0
        return draw_log(self, _stream(self.seed, stream), visits, rand, first, log_intent)


def _stream(seed: int, name: str) -> np.random.Generator:
    """The random stream of one part of the store."""
    child = np.random.SeedSequence(seed).spawn(len(STREAMS))[STREAMS.index(name)]
    return np.random.default_rng(child)


def build_store(config: StoreConfig, seed: int) -> Store:
    """Draw the products, the people and their histories.

    Args:
        config: the equations.
        seed: at least 0; the same seed gives the same store.

    Raises:
        TypeError: seed is no integer.
        ValueError: seed is negative.

    Example:
        >>> one, two = (build_store(StoreConfig(n_people=5), seed=3) for _ in range(2))
        >>> bool((one.history == two.history).all())
        True
    """
    _check_kind("seed", seed, int)
    if seed < 0:
        raise ValueError(f"seed must be at least 0; got {seed}")
    rng = _stream(seed, "items")
    items, categories = config.n_items, config.n_categories
    category = np.arange(items) % categories
    rank = np.zeros(items)
    for c in range(categories):
        inside = np.flatnonzero(category == c)
        rank[inside] = rng.permutation(len(inside))
    popularity = -np.log1p(rank)
    popularity = (popularity - popularity.mean()) / popularity.std()
    noise = config.l_sd * rng.normal(size=items)
    lift = np.maximum(config.l_min, config.l0 + config.l_pop * popularity + noise)
    price = np.exp(2.5 + 0.5 * rng.normal(size=categories)[category] + 0.3 * rng.normal(size=items))
    campaign = np.zeros(items, dtype=bool)
    campaign[rng.permutation(items)[: round(config.camp * items)]] = True

    rng = _stream(seed, "people")
    taste = rng.normal(size=(config.n_people, categories))
    taste -= taste.mean(axis=1, keepdims=True)
    length = rng.integers(5, config.length + 1, size=config.n_people)
    history, bought = _draw_histories(config, category, popularity, taste, rng)
    real = np.arange(config.length) >= config.length - length[:, None]
    return Store(
        config=config,
        seed=seed,
        category=category,
        popularity=popularity,
        lift=lift,
        price=price,
        campaign=campaign,
        taste=taste,
        history=np.where(real, history, 0).astype(np.int32),
        bought=bought & real,
    )


def _draw_histories(
    config: StoreConfig,
    category: np.ndarray,
    popularity: np.ndarray,
    taste: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Item ids and purchases (U, L) along the chain of needs, oldest to newest."""
    people, length = config.n_people, config.length
    need_chance = np.exp(config.a_taste * taste)
    need_chance /= need_chance.sum(axis=1, keepdims=True)
    needs = np.empty((people, length), dtype=int)
    for place in range(length):
        fresh = draw_rows(need_chance, rng)
        stays = (rng.random(people) < config.stay) & (place > 0)
        needs[:, place] = np.where(stays, needs[:, place - 1], fresh)
    # the weight of an item inside its category, and a draw by it for every event at once
    weight = np.exp(popularity) * (category == np.arange(config.n_categories)[:, None])  # (C, M)
    cumulative = np.cumsum(weight / weight.sum(axis=1, keepdims=True), axis=1)
    draws = rng.random((people, length))
    history = np.empty((people, length), dtype=int)
    for c in range(config.n_categories):
        here = needs == c
        place = np.searchsorted(cumulative[c], draws[here] * cumulative[c, -1], side="right")
        history[here] = place + 1
    return history, rng.random((people, length)) < 0.25


def draw_rows(chance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One column from each row of chances (n, M), which sum to 1; returns (n,).

    Example:
        >>> draw_rows(np.array([[0.0, 1.0], [1.0, 0.0]]), np.random.default_rng(0)).tolist()
        [1, 0]
    """
    cumulative = np.cumsum(chance, axis=1)
    draws = rng.random(len(chance))[:, None] * cumulative[:, -1:]
    return (cumulative <= draws).sum(axis=1)
