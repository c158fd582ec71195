"""An article that nobody has read: who can rank it, and what the others do without clicks."""

from collections.abc import Mapping
from dataclasses import replace

import jax
import numpy as np

from recflax.data.batches import Batch, make_batch
from recflax.data.features import tf_idf
from recflax.lessons.cells import share
from recflax.lessons.news_network import KNOWN_BY, fit_features, known_by, scores
from recflax.metrics import hit_rate_at_k, ndcg_at_k
from recflax.worlds.news import News
from recflax.worlds.news_log import NewsLog

VISITS, HELDOUT = 6, 4
"""Visits a person in the log, one a day, and in the held-out log, two a day."""

RANKERS = {
    "popularity": "popularity",
    "topic_popularity": "popularity of the topic",
    "similarity": "TF-IDF similarity to what was read",
    "id": "attention, articles by id",
    "topic": "attention, articles by topic",
    "text": "attention, articles by text",
    "stale": "oracle: knows the taste of a week ago",
    "oracle": "oracle: knows today's taste",
}
GROUPS = ("new", "known")
K, FIRST = 5, 1


def read_cells(news: News, log: NewsLog) -> Batch:
    """Histories with the share of visits at which an article was read: target, weight (U, 1, M).

    Only visits of days on which the article was alive count.
    """
    visits = np.broadcast_to(log.alive_counts(), log.counts().shape).astype(np.float32)
    target = share(log.counts().astype(np.float32), visits)
    data = make_batch(news.history, n_items=len(news.topic))
    return data._replace(target=target[:, None], weight=visits[:, None])


def text_similarity(news: News, histories: Batch) -> np.ndarray:
    """(U, M) cosine of an article's TF-IDF weights with the mean of those that a person read."""
    weights = tf_idf(news.items["text"])[0].toarray()
    read = np.vstack([np.zeros(weights.shape[1]), weights])[histories.history].sum(axis=1)
    length = np.linalg.norm(read, axis=1, keepdims=True)
    return np.divide(read, length, out=np.zeros_like(read), where=length > 0) @ weights.T


def rankers(
    news: News, log: NewsLog, key: jax.Array, networks: tuple[str, ...] = KNOWN_BY
) -> dict[str, np.ndarray]:
    """(U, M) scores of every ranker but the oracles; none has seen a held-out visit."""
    data = read_cells(news, log)
    visits = len(news.history) * log.alive_counts().astype(float)
    by_article = log.counts().sum(axis=0)
    of_topic = np.eye(news.config.n_topics)[news.topic]  # (M, C)
    by_topic = share(by_article @ of_topic, visits @ of_topic)
    everyone = np.ones((len(news.history), 1))
    found = {
        "popularity": everyone * share(by_article.astype(float), visits),
        "topic_popularity": everyone * by_topic[news.topic],
        "similarity": text_similarity(news, data),
    }
    features = known_by(news)
    for name in networks:
        found[name] = scores(fit_features(features[name], data, key), data)
    return found


def measure(
    news: News, found: Mapping[str, np.ndarray], groups: tuple[str, ...] = GROUPS
) -> dict[str, float]:
    """How rankers do on the held-out days, on articles nobody could have read, and on the others.

    Args:
        news: the page.
        found: (U, M) scores by name.
        groups: ``"new"``, articles born after the log, or ``"known"``, those that were in it.

    Returns:
        For each ranker and both oracles ``name_new_ndcg`` and ``name_new_hit``, NDCG@5 and the
        share of visits at which the first of the list was read, of those with a read; and
        ``name_new_rate``, the exact chance that the first is read if it is shown at the top. The
        same with ``known``.
    """
    log = news.log(HELDOUT, stream="heldout")
    read, people = log.reads(), len(news.history)
    week_ago = replace(news, taste=np.broadcast_to(news.taste[0], news.taste.shape))
    row: dict[str, float] = {}
    for group in groups:
        values: dict[str, list[tuple[np.ndarray, ...]]] = {}
        for visit in range(HELDOUT):
            rows = slice(visit * people, (visit + 1) * people)
            day = int(log.day[visit * people])
            born = news.birth >= news.config.days
            here = news.alive(day) & (born if group == "new" else ~born)
            where = np.broadcast_to(here, (people, len(here)))
            shown = news.do(1, day)
            oracles = {"stale": week_ago.do(1, day), "oracle": shown}
            for name, score in {**found, **oracles}.items():
                score = np.where(here, score, 0.0)
                values.setdefault(name, []).append(
                    (
                        ndcg_at_k(score, read[rows], K, where=where),
                        hit_rate_at_k(score, read[rows], FIRST, where=where),
                        _first(score, shown, here),
                    )
                )
        for name, parts in values.items():
            for number, what in enumerate(("ndcg", "hit", "rate")):
                every = np.concatenate([part[number] for part in parts])
                row[f"{name}_{group}_{what}"] = float(np.nanmean(every))
    return row


def _first(score: np.ndarray, shown: np.ndarray, here: np.ndarray) -> np.ndarray:
    """(U,) the chance that the first of those here is read; equals stand in random order."""
    best = score[:, here] == score[:, here].max(axis=1, keepdims=True)
    return (best * shown[:, here]).sum(axis=1) / best.sum(axis=1)


def cold_row(news: News, seed: int) -> dict[str, float]:
    """Every ranker trained on the log of a page and measured on its held-out days.

    Returns:
        The columns of `measure`, and ``new_articles``, how many there are.
    """
    found = rankers(news, news.log(VISITS), jax.random.key(seed))
    new = float((news.birth >= news.config.days).sum())
    return measure(news, found) | {"new_articles": new}
