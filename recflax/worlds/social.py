r"""A social network in which people are the items: whom to follow, homophily against influence.

At a visit one account j is suggested to person u, by a policy that reads her history h of accounts;
she follows it or not (T), and in the week after she likes one of its posts or not (Y). A likeness z
of the two, which no column holds, can move both. With k the community of j,

.. math::

    q(j \mid h) &\propto \exp(a_p\,pop_j + a_h 1[k = last]), \quad j \ne u,
        \text{ and a share } \epsilon \text{ drawn uniformly} \\
    P(T = 1 \mid h, j, z) &= \sigma(f_0 + f_h 1[k = last] + g_f z) \\
    P(Y = 1 \mid do(T = t), u, j, z) &= \sigma\big(y_0 + y_p\,pop_j + b_t\,\theta_{u,k}
        + b_n 1[k = hot] + b_l\,liked_j + t\,lift + g_y z\big)

With ``lift = 0``, the default, following changes nothing: *homophily*, people who are alike follow
each other and like the same things. ``without_similarity()`` is the world in which nothing is
hidden and following does what it seemed to do: *influence*. Both write the same log (Shalizi and
Thomas 2011 say why this is the rule and not an accident). A likeness is drawn afresh at each visit,
as a course or a trip that two people share that week; one that lasted would leave a trace where a
pair comes twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from recflax.worlds.checks import check_config, check_kind
from recflax.worlds.social_law import SocialLaw
from recflax.worlds.social_log import SocialLog, draw_log
from recflax.worlds.social_text import COMMUNITIES, describe_accounts
from recflax.worlds.store import HELDOUT, draw_rows
from recflax.worlds.store_truth import mechanisms

STREAMS = ("people", "log", "heldout", "slice")


@dataclass(frozen=True)
class SocialConfig:
    """The network's equations, with the defaults of the book.

    Attributes:
        n_people: U people, who are the M accounts too.
        n_communities: C, at most 8.
        length: L, the longest history; the shortest has 5 events.
        stay: chance that the next event of a history is of the same interest as the last.
        a_taste: how much taste decides the interest.
        home: how much more people care for their own community.
        liked_share: chance that an event of a history was a like, and not only a look.
        a_p: weight of popularity in the suggestions.
        a_h: weight of the community of the newest event in them.
        eps: share of the suggestions that are drawn uniformly.
        pz: chance of a hidden likeness.
        f_0: log odds of following before anything else.
        f_h: what the community of the newest event adds to them.
        g_f: what a likeness adds to them.
        y_0: log odds of liking a post before anything else.
        y_p: what popularity adds to them.
        b_t: weight of taste in them.
        b_n: weight of a hot community (that of both newest events).
        b_l: weight of having liked the account before.
        lift: what following adds to them: influence.
        g_y: what a likeness adds to them.
        rand: share of visits at which a fair coin decides whether the suggestion is displayed.
        hidden: log the chance of following averaged over the likeness, and not given it.

    Raises:
        TypeError: a value of the wrong kind.
        ValueError: a value is out of range.

    Example:
        >>> SocialConfig(pz=1.5)
        Traceback (most recent call last):
        ...
        ValueError: pz must be from 0 to 1; got 1.5
    """

    n_people: int = 500
    n_communities: int = 6
    length: int = 16
    stay: float = 0.5
    a_taste: float = 0.8
    home: float = 1.0
    liked_share: float = 0.4
    a_p: float = 0.6
    a_h: float = 1.0
    eps: float = 0.2
    pz: float = 0.3
    f_0: float = -1.6
    f_h: float = 0.8
    g_f: float = 2.0
    y_0: float = -2.6
    y_p: float = 0.4
    b_t: float = 0.6
    b_n: float = 0.8
    b_l: float = 0.8
    lift: float = 0.0
    g_y: float = 2.0
    rand: float = 0.0
    hidden: bool = True

    def __post_init__(self) -> None:
        """Check the values."""
        least = {"n_people": 3, "n_communities": 1, "length": 5}
        check_config(self, least=least, chances=("stay", "liked_share", "eps", "pz", "rand"))
        if self.n_communities > len(COMMUNITIES):
            raise ValueError(
                f"n_communities must be at most {len(COMMUNITIES)}; got {self.n_communities}"
            )
        if self.n_people < 2 * self.n_communities:
            raise ValueError(
                "n_people must be at least two a community, "
                f"{2 * self.n_communities}; got {self.n_people}"
            )


@dataclass(frozen=True, eq=False)
class Social(SocialLaw):
    """One network: its people, their histories, and the law of a visit. See `build_social`.

    Attributes:
        config: the equations.
        seed: what everything was drawn from.
        community: (U,) 0 to C - 1 of each person; in everybody's profile.
        popularity: (U,) standardised.
        taste: (U, C), never logged; every row has mean 0.
        history: (U, L) account ids 1 to U, oldest to newest, 0 as padding on the left.
        liked: (U, L) bool, the event was a like.

    The other fields, and all truths, are those of `recflax.worlds.social_law.SocialLaw`.

    Example:
        >>> social = build_social(SocialConfig(n_people=13, n_communities=3), seed=5)
        >>> social.history.shape, social.uplift().shape
        ((13, 16), (13, 13))
        >>> social.effect(), social.bias() > 0.1
        (0.0, True)
    """

    config: SocialConfig
    seed: int
    community: np.ndarray
    popularity: np.ndarray
    taste: np.ndarray
    history: np.ndarray
    liked: np.ndarray

    @property
    def items(self) -> pd.DataFrame:
        """The accounts as a catalogue: item, category (their community), price, name, text."""
        return describe_accounts(self.community)

    def log(
        self,
        visits: int = 8,
        stream: str = "log",
        rand: float | None = None,
        *,
        log_similarity: bool = False,
    ) -> SocialLog:
        """Draw visits of every person: what was suggested, followed and liked.

        Args:
            visits: visits a person, 1 to 1000.
            stream: ``"log"`` to learn from, ``"heldout"`` for later visits of the same people, or
                ``"slice"`` for an experiment. Each is a random stream of its own.
            rand: share of visits at which a coin displays or withholds the suggestion; None is the
                config's, and 1 for the slice.
            log_similarity: write down the hidden likeness of each row. Nothing else changes.

        Raises:
            TypeError: visits is no integer.
            ValueError: an unknown stream, or a number out of range.

        Example:
            >>> social = build_social(SocialConfig(n_people=13, n_communities=3), seed=5)
            >>> log = social.log(visits=2)
            >>> log.suggested.shape, bool(log.displayed.all())
            ((26,), True)
        """
        if stream not in STREAMS[1:]:
            raise ValueError(f"stream must be one of {STREAMS[1:]}; got {stream!r}")
        if rand is None:
            rand = 1.0 if stream == "slice" else self.config.rand
        if not 0 <= rand <= 1:
            raise ValueError(f"rand must be from 0 to 1; got {rand}")
        check_kind("visits", visits, int)
        if not 1 <= visits <= HELDOUT:
            raise ValueError(f"visits must be from 1 to {HELDOUT}; got {visits}")
        first = HELDOUT if stream == "heldout" else 0
        return draw_log(self, _stream(self.seed, stream), visits, rand, first, log_similarity)


def _stream(seed: int, name: str) -> np.random.Generator:
    """The random stream of one part of the network."""
    child = np.random.SeedSequence(seed).spawn(len(STREAMS))[STREAMS.index(name)]
    return np.random.default_rng(child)


def build_social(config: SocialConfig, seed: int) -> Social:
    """Draw the people, their tastes and their histories, and work out the law of a visit.

    Args:
        config: the equations.
        seed: at least 0; the same seed gives the same network.

    Raises:
        TypeError: seed is no integer.
        ValueError: seed is negative.

    Example:
        >>> one, two = (build_social(SocialConfig(n_people=13), seed=3) for _ in range(2))
        >>> bool((one.history == two.history).all())
        True
    """
    check_kind("seed", seed, int)
    if seed < 0:
        raise ValueError(f"seed must be at least 0; got {seed}")
    rng = _stream(seed, "people")
    people, communities = config.n_people, config.n_communities
    community = np.arange(people) % communities
    rank = np.zeros(people)
    for c in range(communities):
        inside = np.flatnonzero(community == c)
        rank[inside] = rng.permutation(len(inside))
    popularity = -np.log1p(rank)
    popularity = (popularity - popularity.mean()) / popularity.std()
    taste = rng.normal(size=(people, communities))
    taste[np.arange(people), community] += config.home
    taste -= taste.mean(axis=1, keepdims=True)
    history, liked = _draw_histories(config, community, popularity, taste, rng)

    found = mechanisms(history, liked, community, communities)
    last = community == found.last[:, None]  # (U, M)
    himself = np.eye(people, dtype=bool)
    score = np.where(himself, -np.inf, config.a_p * popularity + config.a_h * last)
    chance = np.exp(score - score.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    suggest = (1 - config.eps) * chance + config.eps * ~himself / (people - 1)
    z = np.arange(2)[:, None, None]
    organic = (
        config.y_0
        + config.y_p * popularity
        + config.b_t * taste[:, community]
        + config.b_n * (community == found.hot[:, None])
        + config.b_l * found.satisfied
    )
    return Social(
        similarity=np.array([1 - config.pz, config.pz]),
        suggest=suggest,
        follow=expit(config.f_0 + config.f_h * last + config.g_f * z),
        engage=np.stack([expit(organic + t * config.lift + config.g_y * z) for t in (0, 1)]),
        config=config,
        seed=seed,
        community=community,
        popularity=popularity,
        taste=taste,
        history=history,
        liked=liked,
    )


def _draw_histories(
    config: SocialConfig,
    community: np.ndarray,
    popularity: np.ndarray,
    taste: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Account ids and likes (U, L) along a chain of interests; nobody meets herself."""
    people, length = config.n_people, config.length
    interest_chance = np.exp(config.a_taste * taste)
    inside = np.exp(popularity) * (community == np.arange(config.n_communities)[:, None])  # (C, M)
    others = 1 - np.eye(people)
    history = np.zeros((people, length), dtype=np.int32)
    interest = np.zeros(people, dtype=int)
    for place in range(length):
        fresh = draw_rows(interest_chance, rng)
        stays = (rng.random(people) < config.stay) & (place > 0)
        interest = np.where(stays, interest, fresh)
        history[:, place] = 1 + draw_rows(inside[interest] * others, rng)
    liked = rng.random((people, length)) < config.liked_share
    events = rng.integers(5, length + 1, size=people)
    real = np.arange(length) >= length - events[:, None]
    return np.where(real, history, 0).astype(np.int32), liked & real
