r"""A news page: what the click rate of fresh articles is made of, and who can rank a new one.

Reads of the slot by the age of the article, exactly, in four steps from what a log shows to what
showing does: all rows; the same place; without the news days; the same readers and articles. Then
the estimators on a drawn log, which sit where the exact steps say. What a history is made of: the
same people under a page that pushes no topic. And the cold start: articles that were born after the
log, ranked by clicks, by similar words, and by attention over ids, topics and texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from recflax.causal.policy_value import ips, snips
from recflax.estimates import Estimate
from recflax.intervals import mean_over_people, mean_over_seeds, paired_difference
from recflax.lessons.news_age import AGES, STEPS, exact_row
from recflax.lessons.news_cold import cold_row
from recflax.lessons.statements import Statement, column
from recflax.worlds.news import News, NewsConfig, build_news
from recflax.worlds.news_log import NewsLog
from recflax.worlds.news_truth import PLACES

VISITS = 24
"""Visits a person in the log that is estimated from, four a day."""

WAYS = ("observed", "at_top", "ips", "snips", "hidden")


def build(seed: int, size: int) -> News:
    """The news page of a seed."""
    return build_news(NewsConfig(n_people=size), seed)


def at_the_top(news: News, age: int) -> np.ndarray:
    """(V, M K) the policy that shows any article of an age at the top, a row a visit of the log."""
    policy = np.zeros((VISITS, len(news.topic), len(PLACES)))
    for visit in range(VISITS):
        day = int(news.days[visit % len(news.days)])
        group = news.alive(day) & (np.minimum(news.age(day), AGES[-1]) == age)
        policy[visit, group, 0] = 1 / group.sum()
    return policy.reshape(VISITS, -1)


def estimates(news: News, log: NewsLog, age: int) -> dict[str, Estimate]:
    """Reads per display of an age from a log of `VISITS` visits: as they are, at the top, weighted.

    ``ips`` and ``snips`` are the value of `at_the_top`.
    """
    shown = np.minimum(log.age, AGES[-1]) == age
    found = {
        name: mean_over_people(log.read_shown[rows].astype(float), log.person[rows])
        for name, rows in (("observed", shown), ("at_top", shown & (log.place == 0)))
    }
    rows, policy = log.logged(), at_the_top(news, age)
    return found | {"ips": ips(rows, policy), "snips": snips(rows, policy)}


def log_row(news: News, exact: Mapping[str, float]) -> dict[str, float]:
    """The estimators on a log, against what is exact.

    Args:
        news: the page.
        exact: its `exact_row`.

    Returns:
        For each age a, way w of `WAYS`, ``w_a_error``, ``w_a_std_error``, ``w_a_hit``, against what
        the way estimates: for ``observed`` and ``at_top`` the exact step, for the weights ``do_a``,
        which for ``hidden``, the weights that do not know the news day, is there for age 0 only.
        And ``w_a_do_hit``, whether the interval of ``observed`` or ``at_top`` holds ``do_a``.
    """
    told = news.log(VISITS)
    untold = replace(news, config=replace(news.config, hidden=True)).log(VISITS)
    row: dict[str, float] = {}
    for age in AGES:
        truth = exact[f"do_{age}"]
        found = estimates(news, told, age)
        if age == 0:
            found["hidden"] = ips(untold.logged(), at_the_top(news, age))
        for way, estimate in found.items():
            wanted = exact[f"{way}_{age}"] if way in STEPS else truth
            row |= {
                f"{way}_{age}_error": estimate.value - wanted,
                f"{way}_{age}_std_error": estimate.std_error,
                f"{way}_{age}_hit": float(estimate.lower <= wanted <= estimate.upper),
                f"{way}_{age}_do_hit": float(estimate.lower <= truth <= estimate.upper),
            }
    return row


def most_read(news: News) -> np.ndarray:
    """(U, C): 1 at the topic that stands most often in a history; equals share it."""
    of_event = np.where(news.history > 0, news.topic[news.history - 1], -1)
    count = (of_event[..., None] == np.arange(news.config.n_topics)).sum(axis=1)
    best = count == count.max(axis=1, keepdims=True)
    return best / best.sum(axis=1, keepdims=True)


def history_row(news: News) -> dict[str, float]:
    """Whose taste a history tells: the reader's, or that of the page that wrote it.

    Returns:
        ``truly_pushed``, the share of readers who like the editors' favourite topic best, and
        ``read_pushed``, the share in whose history it stands most often; ``neutral_pushed``, the
        same for the same people under a page without a favourite and without a push for what is
        fresh; ``read_right`` and ``neutral_right``, the share whose most read topic is the one that
        they like best.
    """
    neutral = build_news(replace(news.config, a_c=0.0, a_f=0.0), news.seed)
    liked = (news.interest + news.taste[0]).argmax(axis=1)
    pushed, everyone = int(news.editors.argmax()), np.arange(len(liked))
    row = {"truly_pushed": float((liked == pushed).mean())}
    for name, page in (("read", news), ("neutral", neutral)):
        read = most_read(page)
        row[f"{name}_pushed"] = float(read[:, pushed].mean())
        row[f"{name}_right"] = float(read[everyone, liked].mean())
    return row


def run(seed: int, size: int = 1_000) -> dict[str, float]:
    """One row: the exact steps, the estimators, the histories and the cold start of one page.

    Args:
        seed: the page's seed, and that of the networks.
        size: number of people.

    Returns:
        ``seed``, ``people``, and the columns of `exact_row`, `log_row`, `history_row` and
        `recflax.lessons.news_cold.cold_row`.
    """
    news = build(seed, size)
    exact = exact_row(news)
    row: dict[str, float] = {"seed": seed, "people": size}
    return row | exact | log_row(news, exact) | history_row(news) | cold_row(news, seed)


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """
    seeds = len(rows)
    fewest = float(stats.binom.ppf(0.0005, seeds, 0.95))  # honest intervals hit at least as often

    def get(name: str) -> np.ndarray:
        return column(rows, name)

    def say(name: str, sentence: str, number: Estimate | float, **bounds: float) -> Statement:
        exactly = not isinstance(number, Estimate)
        return Statement(f"news-{name}", sentence, number, seeds=seeds, exact=exactly, **bounds)

    def difference(one: str, other: str) -> Estimate:
        return paired_difference(get(one), get(other), over="seeds")

    def away(name: str, bias: np.ndarray | float = 0.0) -> float:
        """How far all errors together are from a bias, in their own standard errors."""
        apart = (get(f"{name}_error") - bias).sum()
        return float(apart / np.sqrt((get(f"{name}_std_error") ** 2).sum()))

    def lead(step: str) -> np.ndarray:
        """By how much fresh articles lead those of a day."""
        return get(f"{step}_0") - get(f"{step}_1")

    def smaller(step: str, then: str) -> Estimate:
        return mean_over_seeds(lead(step) - lead(then))

    old = [np.abs(get(f"at_top_{age}") - get(f"no_news_{age}")).max() for age in AGES[1:]]
    return [
        say(
            "place-is-in-the-lead-of-the-fresh",
            "Fresh articles lead those of a day by more in all displays of the log than in those "
            "at the top: reads per display.",
            smaller("observed", "at_top"),
            at_least=0.005,
        ),
        say(
            "news-day-is-in-the-lead-of-the-fresh",
            "At one place, the news days that move both display and read are in the lead of fresh "
            "articles too: reads per display that go with them.",
            smaller("at_top", "no_news"),
            at_least=0.005,
        ),
        say(
            "choice-is-in-the-lead-of-the-fresh",
            "And so is the choice of readers and articles: what is left of the lead when any "
            "article of the age is shown to anybody is smaller by so many reads per display.",
            smaller("no_news", "do"),
            at_least=0.005,
        ),
        say(
            "lead-of-the-fresh-is-inflated",
            "The lead of fresh articles in the read rate of the log is more than one and a half "
            "times the lead under do: the one over the other.",
            mean_over_seeds(lead("observed") / lead("do")),
            at_least=1.5,
        ),
        say(
            "old-articles-know-no-news-day",
            "Articles that were not born today have the same read rate at the top with and without "
            "news days: the largest difference of any seed.",
            float(max(old)),
            at_most=1e-12,
        ),
        say(
            "read-rate-never-holds-the-truth",
            "Not one 95% interval of the read rate of fresh articles in the log holds what showing "
            "one does.",
            float(get("observed_0_do_hit").sum()),
            at_most=0.0,
        ),
        say(
            "one-place-is-not-enough",
            "Nor does one of the read rate of fresh articles at the top alone.",
            float(get("at_top_0_do_hit").sum()),
            at_most=0.0,
        ),
        say(
            "weights-are-right",
            "Weighted by the logged chance of article and place the read rate of each age is "
            "right: the largest distance of all seeds together from the truth, in standard errors.",
            max((away(f"ips_{age}") for age in AGES), key=abs),
            at_least=-4.0,
            at_most=4.0,
        ),
        say(
            "weights-cover",
            "The 95% intervals of the weighted read rates hold the truth as often as they should: "
            "intervals that do, at the age with the fewest.",
            float(min(get(f"ips_{age}_hit").sum() for age in AGES)),
            at_least=fewest,
        ),
        say(
            "weights-without-the-news-day-miss-by-the-closed-form",
            "Weighted by a chance that does not know the news day, the read rate of fresh articles "
            "is off by the exact bias: distance of all seeds together from it, in standard errors.",
            away("hidden_0", get("hidden_bias")),
            at_least=-4.0,
            at_most=4.0,
        ),
        say(
            "read-rate-ranks-worse",
            "The slot adds less when it is ranked by the read rate of the log than by do: reads "
            "per visit.",
            difference("increment_done", "increment_observed"),
            at_least=0.001,
        ),
        say(
            "freshest-is-no-rule",
            "A slot that shows any fresh article adds less than half of what one ranked by do "
            "adds: the one over the other.",
            mean_over_seeds(get("increment_freshest") / get("increment_done")),
            at_most=0.5,
        ),
        say(
            "histories-tell-of-the-page",
            "The editors' favourite topic is the most read one of more readers than it would be "
            "for the same people under a page that pushes none: difference in shares.",
            difference("read_pushed", "neutral_pushed"),
            at_least=0.01,
        ),
        say(
            "ids-are-blind-to-the-new",
            "On new articles attention over ids ranks like chance: difference of its NDCG@5 from "
            "that of a random order.",
            difference("id_new_ndcg", "popularity_new_ndcg"),
            at_least=-0.04,
            at_most=0.04,
        ),
        say(
            "ids-rank-the-known",
            "On articles that were in the log attention over ids ranks better than popularity: "
            "difference in NDCG@5.",
            difference("id_known_ndcg", "popularity_known_ndcg"),
            at_least=0.01,
        ),
        say(
            "text-ranks-the-new-best",
            "On new articles attention over texts ranks better than the better one, seed by seed, "
            "of similar words and attention over topics: difference in NDCG@5.",
            mean_over_seeds(
                get("text_new_ndcg") - np.maximum(get("similarity_new_ndcg"), get("topic_new_ndcg"))
            ),
            at_least=0.005,
        ),
        say(
            "text-earns-more-than-ids",
            "The first of the new articles is read more often when attention over texts chose it "
            "than when attention over ids did: chance of a read, exact.",
            difference("text_new_rate", "id_new_rate"),
            at_least=0.02,
        ),
        say(
            "a-week-of-drift",
            "Knowing the taste of a week ago exactly ranks new articles worse than knowing "
            "today's: difference in NDCG@5.",
            difference("oracle_new_ndcg", "stale_new_ndcg"),
            at_least=0.01,
        ),
    ]
