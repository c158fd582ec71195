"""The articles of the simulated news page: headlines made of the words of their topics."""

import numpy as np
import pandas as pd

TOPICS = ("elections", "football", "economy", "science", "film", "weather")
WORDS = (
    ("ballot", "coalition", "senator", "campaign", "turnout", "mandate", "cabinet", "poll",
     "candidate", "parliament", "referendum", "manifesto"),
    ("striker", "penalty", "keeper", "derby", "league", "transfer", "stadium", "offside",
     "midfield", "coach", "substitute", "fixture"),
    ("inflation", "wages", "exports", "lender", "budget", "tariff", "shares", "rent",
     "factory", "unemployment", "currency", "deficit"),
    ("telescope", "vaccine", "genome", "fossil", "laboratory", "orbit", "enzyme", "neuron",
     "particle", "glacier", "molecule", "probe"),
    ("premiere", "director", "sequel", "festival", "screenplay", "actress", "trailer", "studio",
     "documentary", "soundtrack", "comedy", "remake"),
    ("storm", "drought", "snowfall", "flood", "heatwave", "forecast", "gale", "thunder",
     "frost", "rainfall", "humidity", "avalanche"),
)  # fmt: skip
STYLES = (
    ("minutes", "notice", "bulletin", "correction"),
    ("report", "interview", "update", "background"),
    ("exclusive", "revealed", "live", "scandal"),
)
"""How an article announces itself, by the third of the articles in which its appeal lies."""
COMMON = (
    "today", "city", "people", "week", "plan", "says", "after", "before", "again", "town",
    "hundreds", "morning", "government", "family", "abroad", "question",
)  # fmt: skip
OWN, GENERAL = 6, 3  # words of a text that should be of its topic, and that are of none
VOCABULARY = tuple(sorted({"and", *(w for words in (*WORDS, *STYLES, COMMON) for w in words)}))


def describe_articles(
    topic: np.ndarray,
    appeal: np.ndarray,
    birth: np.ndarray,
    life: np.ndarray,
    clear: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """The articles as a catalogue: item, category (their topic), price 0, name, text, birth, life.

    A text has one word of style, six that are of its topic with chance ``clear`` and of any topic
    else, and three general ones.

    Args:
        topic: (M,) 0 to C - 1, C at most 6.
        appeal: (M,) whose third gives the style.
        birth: (M,) day of publication.
        life: (M,) days after which an article is gone.
        clear: 0 to 1.
        rng: draws the words.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> parts = np.array([1, 5, 2]), np.array([0.3, -1.0, 2.0]), np.zeros(3, int), np.ones(3)
        >>> table = describe_articles(*parts, 1.0, rng)
        >>> table["name"].tolist()  # doctest: +NORMALIZE_WHITESPACE
        ['background: midfield and fixture', 'bulletin: heatwave and humidity',
         'live: shares and budget']
    """
    count = len(topic)
    tier = np.argsort(np.argsort(appeal, kind="stable"), kind="stable") * len(STYLES) // count
    style = np.array(STYLES)[tier, rng.integers(len(STYLES[0]), size=count)]
    of_topic = np.where(
        rng.random((count, OWN)) < clear,
        topic[:, None],
        rng.integers(len(WORDS), size=(count, OWN)),
    )
    own = np.array(WORDS)[of_topic, rng.integers(len(WORDS[0]), size=(count, OWN))]
    general = np.array(COMMON)[rng.integers(len(COMMON), size=(count, GENERAL))]
    names = [f"{s}: {a} and {b}" for s, (a, b) in zip(style, own[:, :2], strict=True)]
    texts = [
        f"{name}. {' '.join((*words, *rest))}."
        for name, words, rest in zip(names, own[:, 2:], general, strict=True)
    ]
    return pd.DataFrame(
        {
            "item": np.arange(1, count + 1),
            "category": topic,
            "price": 0.0,
            "name": names,
            "text": texts,
            "birth": birth,
            "life": life,
        }
    )
