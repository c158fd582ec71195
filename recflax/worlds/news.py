r"""A news page: topics drift, articles expire, and what is fresh stands at the top.

Each day some articles are born, of topics that come and go; after a few days they are gone. People
have a taste over topics that drifts from day to day, and a history of what they read. At a visit
the page recommends one article j, at the *top* or *below*. A *news day* z, something that happened
in the reader's own town, moves what is shown and what is read, and no column holds it. Her eye
reaches place k with chance :math:`\theta_k`, the second thing that nobody logs. With
:math:`f_{jd}` for "born today" and the slot looked at (t = 1) or not (t = 0),

.. math::

    x_j(h, z) &= a_p\,appeal_j + a_h 1[c_j = last] + a_c\,editors_{c_j} + f_{jd}\,(a_f + g_e z) \\
    e(j, k \mid h, z) &= \big((1 - \epsilon)\, \mathrm{softmax}_j(x) + \epsilon / A_d\big)\,
        r(k \mid f_{jd}) \\
    \mu_t(u, j, z) &= \sigma\big(o_0 + o_q\,appeal_j + interest_{c_j} + b_t\,\theta_{u,c_j}(d)
        + b_n 1[c_j = last] - b_s\,read_j + f_{jd}\,(o_f + g_y z) + t\,lift\big) \\
    P(Y_j = 1 \mid do(j \text{ at } k), u, z) &= \theta_k\, \mu_1 + (1 - \theta_k)\, \mu_0

over the :math:`A_d` articles alive on day d. What is fresh is put at the top, pushed on news days
and wanted on them, so its reads are examination, news and interest in one number. Histories were
written by the same page: the editors' favourite topics and what was fresh are in them.
That a look comes before a click, at a chance of its place alone, is the position-based model of
Craswell et al. (2008).

The exact answers are methods of `News`, computed in `recflax.worlds.news_truth`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recflax.worlds.checks import check_config, check_kind
from recflax.worlds.news_log import NewsLog, draw_log
from recflax.worlds.news_people import draw_people
from recflax.worlds.news_text import TOPICS, describe_articles
from recflax.worlds.news_truth import NewsTruth
from recflax.worlds.store import HELDOUT

STREAMS = ("articles", "texts", "people", "log", "heldout", "slice")


@dataclass(frozen=True)
class NewsConfig:
    """The page's equations, with the defaults of the book.

    Attributes:
        n_people: U people.
        n_topics: C, at most 6.
        per_day: articles that are born on a day; M is this times all days.
        past: days before the log, in which the histories are written.
        days: days of the log, numbered from 0.
        after: days of the held-out log, which follow.
        reads: events of a history a day; L is this times ``past``.
        life_min: days that the shortest-lived article can be shown.
        life_max: days that the longest-lived can.
        wave: how much the share of topics among new articles moves from day to day.
        keep: how much of a person's taste is kept from day to day; 1 is no drift.
        clear: chance that a word of a text which should be of its topic is.
        a_taste: how much taste decides what was read in the past.
        o_0: log odds of reading an article anyway, before anything else.
        o_q: what appeal adds to them.
        o_c: spread of the interest in topics that all people share.
        o_f: what being born today adds.
        b_t: weight of taste.
        b_n: weight of the topic of the newest event.
        b_s: what having read it already takes off.
        lift: what being looked at in the slot adds.
        pz: chance of a news day.
        g_y: what a news day adds for articles born today.
        a_p: weight of appeal in the old policy.
        a_h: weight of the topic of the newest event in it.
        a_c: spread of the editors' preference for topics in it.
        a_f: weight of being born today in it.
        g_e: what a news day adds to that.
        eps: share of the slot that is filled uniformly.
        top_fresh: chance that the article stands at the top, if it was born today.
        top_old: the same if it was not.
        see_top: chance that the top is looked at.
        see_below: the same for the place below.
        rand: share of visits at which article and place are drawn uniformly.
        hidden: log the propensity averaged over the news day, and not given it.

    Raises:
        TypeError: a value of the wrong kind.
        ValueError: a value is out of range.

    Example:
        >>> NewsConfig(keep=1.5)
        Traceback (most recent call last):
        ...
        ValueError: keep must be from 0 to 1; got 1.5
    """

    n_people: int = 1000
    n_topics: int = 6
    per_day: int = 20
    past: int = 8
    days: int = 6
    after: int = 2
    reads: int = 2
    life_min: int = 2
    life_max: int = 5
    wave: float = 0.5
    keep: float = 0.95
    clear: float = 0.8
    a_taste: float = 1.2
    o_0: float = -4.5
    o_q: float = 0.6
    o_c: float = 0.3
    o_f: float = 0.2
    b_t: float = 1.2
    b_n: float = 0.4
    b_s: float = 2.0
    lift: float = 1.5
    pz: float = 0.3
    g_y: float = 1.2
    a_p: float = 0.5
    a_h: float = 0.8
    a_c: float = 0.8
    a_f: float = 0.8
    g_e: float = 1.5
    eps: float = 0.2
    top_fresh: float = 0.85
    top_old: float = 0.25
    see_top: float = 0.9
    see_below: float = 0.4
    rand: float = 0.0
    hidden: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        least = {"n_people": 1, "n_topics": 2, "per_day": 1, "past": 1, "days": 1, "after": 1}
        least |= {"reads": 1, "life_min": 1, "wave": 0, "o_c": 0, "a_c": 0}
        chances = ("keep", "clear", "pz", "eps", "top_fresh", "top_old", "see_top", "see_below")
        check_config(self, least=least, chances=(*chances, "rand"))
        if self.n_topics > len(TOPICS):
            raise ValueError(f"n_topics must be at most {len(TOPICS)}; got {self.n_topics}")
        if self.life_max < self.life_min:
            raise ValueError(
                f"life_max must be at least life_min, {self.life_min}; got {self.life_max}"
            )
        if self.reads > self.per_day:
            raise ValueError(
                f"reads must be at most per_day, {self.per_day}, or there is too little to read; "
                f"got {self.reads}"
            )
        if self.reads * self.past < 5:
            raise ValueError(
                f"reads times past, the longest history, must be at least 5; got {self.length}"
            )

    @property
    def length(self) -> int:
        """L, the longest history."""
        return self.reads * self.past

    @property
    def n_articles(self) -> int:
        """M, all articles of all days."""
        return self.per_day * (self.past + self.days + self.after)


@dataclass(frozen=True, eq=False)
class News(NewsTruth):
    """One page: its articles, its people and their histories. Build it with `build_news`.

    The fields and all truths are those of `recflax.worlds.news_truth.NewsTruth`.

    Example:
        >>> news = build_news(NewsConfig(n_people=7, per_day=3), seed=5)
        >>> news.history.shape, news.uplift().shape
        ((7, 16), (7, 48))
        >>> alive = news.alive(day=2)
        >>> bool((news.uplift(day=2)[:, alive] > 0).all()), news.items["name"][alive].iloc[0]
        (True, 'exclusive: lender and fossil')
    """

    def log(
        self,
        visits: int = 6,
        stream: str = "log",
        rand: float | None = None,
        *,
        log_news: bool = False,
    ) -> NewsLog:
        """Draw visits of every person, one a day, and what was shown and read at them.

        Visit v is on day v of the stream's days; after the last of them it starts at the first
        again, so that more visits are more visits a day.

        Args:
            visits: visits a person, 1 to 1000.
            stream: ``"log"`` to learn from, ``"heldout"`` for the days after it, with articles that
                nobody has read, or ``"slice"`` for a randomised slice of the days of the log. Each
                is a random stream of its own.
            rand: share of visits at which article and place are drawn uniformly; None is the
                config's, and 1 for the slice. The truths ``see``, ``see_exposed`` and
                ``logging_policy`` are those of a log with the config's share.
            log_news: write down whether each visit is on a news day. Nothing else changes.

        Raises:
            TypeError: visits is no integer.
            ValueError: an unknown stream, or a number out of range.

        Example:
            >>> news = build_news(NewsConfig(n_people=7, per_day=3), seed=5)
            >>> log = news.log(visits=2)
            >>> log.shown.shape, log.day.tolist() == [0] * 7 + [1] * 7
            ((14,), True)
        """
        if stream not in STREAMS[3:]:
            raise ValueError(f"stream must be one of {STREAMS[3:]}; got {stream!r}")
        if rand is None:
            rand = 1.0 if stream == "slice" else self.config.rand
        if not 0 <= rand <= 1:
            raise ValueError(f"rand must be from 0 to 1; got {rand}")
        check_kind("visits", visits, int)
        if not 1 <= visits <= HELDOUT:
            raise ValueError(f"visits must be from 1 to {HELDOUT}; got {visits}")
        late = stream == "heldout"
        days = self.heldout_days if late else self.days
        rng = _stream(self.seed, stream)
        return draw_log(self, rng, days, visits, rand, HELDOUT if late else 0, log_news)


def _stream(seed: int, name: str) -> np.random.Generator:
    """The random stream of one part of the page."""
    child = np.random.SeedSequence(seed).spawn(len(STREAMS))[STREAMS.index(name)]
    return np.random.default_rng(child)


def build_news(config: NewsConfig, seed: int) -> News:
    """Draw the articles, the people and what they have read.

    Args:
        config: the equations.
        seed: at least 0; the same seed gives the same page.

    Raises:
        TypeError: seed is no integer.
        ValueError: seed is negative.

    Example:
        >>> one, two = (build_news(NewsConfig(n_people=5), seed=3) for _ in range(2))
        >>> bool((one.history == two.history).all())
        True
    """
    check_kind("seed", seed, int)
    if seed < 0:
        raise ValueError(f"seed must be at least 0; got {seed}")
    rng = _stream(seed, "articles")
    topics, articles = config.n_topics, config.n_articles
    birth = np.repeat(np.arange(-config.past, config.days + config.after), config.per_day)
    days = articles // config.per_day
    level = np.cumsum(config.wave * rng.normal(size=(days, topics)), axis=0)
    draw = rng.random(articles)
    share = np.exp(level - level.max(axis=1, keepdims=True))
    share = np.cumsum(share / share.sum(axis=1, keepdims=True), axis=1)[birth + config.past]
    topic = (draw[:, None] >= share[:, :-1]).sum(axis=1)
    life = rng.integers(config.life_min, config.life_max + 1, size=articles)
    appeal = rng.normal(size=articles)
    editors, interest = rng.normal(size=(2, topics)) * [[config.a_c], [config.o_c]]
    items = describe_articles(topic, appeal, birth, life, config.clear, _stream(seed, "texts"))

    weight = config.a_p * appeal + (editors + interest)[topic]
    taste, history = draw_people(config, topic, birth, life, weight, _stream(seed, "people"))
    return News(
        config=config,
        seed=seed,
        topic=topic,
        birth=birth,
        life=life,
        appeal=appeal,
        editors=editors,
        interest=interest,
        taste=taste[config.past :],
        history=history,
        items=items,
    )
