"""The readers of the news page: tastes that drift, and histories that the page itself wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from recflax.worlds.news import NewsConfig


def draw_people(
    config: NewsConfig,
    topic: np.ndarray,
    birth: np.ndarray,
    life: np.ndarray,
    weight: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    r"""The taste (T, U, C) of every day, from ``-past`` on, and the history (U, L) at day 0.

    A taste is standard normal on each day, :math:`\theta_{d+1} = \rho\, \theta_d +
    \sqrt{1 - \rho^2}\, \varepsilon` with :math:`\rho` what is kept, and centred per person.

    Args:
        config: the equations.
        topic: (M,) of each article.
        birth: (M,) its first day.
        life: (M,) how many days it can be shown.
        weight: (M,) log weight of each article in what is read, before taste and freshness.
        rng: the stream of the people.
    """
    days = config.past + config.days + config.after
    noise = rng.normal(size=(days, config.n_people, config.n_topics))
    taste = noise.copy()
    for day in range(1, days):
        taste[day] = config.keep * taste[day - 1] + np.sqrt(1 - config.keep**2) * noise[day]
    taste -= taste.mean(axis=2, keepdims=True)
    return taste, _draw_histories(config, topic, birth, life, weight, taste, rng)


def _draw_histories(
    config: NewsConfig,
    topic: np.ndarray,
    birth: np.ndarray,
    life: np.ndarray,
    weight: np.ndarray,
    taste: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Article ids (U, L), some a day, oldest to newest; nobody reads an article twice."""
    people, articles = config.n_people, config.n_articles
    history = np.zeros((people, config.length), dtype=np.int32)
    unread = np.ones((people, articles), dtype=bool)
    everyone = np.arange(people)[:, None]
    for number in range(config.past):
        day = number - config.past
        alive = np.flatnonzero((birth <= day) & (day < birth + life))
        fresh = config.a_f * (birth[alive] == day)
        wish = weight[alive] + fresh + config.a_taste * taste[number][:, topic[alive]]
        # the largest of log weight plus Gumbel noise: drawn without replacement
        wish = wish + rng.gumbel(size=wish.shape)
        wish = np.where(unread[:, alive], wish, wish - 1e3)  # a second time only if nothing is left
        chosen = alive[np.argsort(-wish, axis=1)[:, : config.reads]]
        unread[everyone, chosen] = False
        history[:, number * config.reads : (number + 1) * config.reads] = chosen + 1
    events = rng.integers(5, config.length + 1, size=people)
    real = np.arange(config.length) >= config.length - events[:, None]
    return np.where(real, history, 0).astype(np.int32)
