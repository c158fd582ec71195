from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest
from flax import nnx

from recflax.causal import logged
from recflax.data.batches import make_batch
from recflax.lessons import news, news_age, news_cold, news_network
from recflax.lessons.statements import by_name
from recflax.metrics import hit_rate_at_k, ndcg_at_k
from recflax.recommender import RecommenderConfig
from recflax.worlds.news import News, NewsConfig, build_news
from recflax.worlds.news_log import NewsLog
from recflax.worlds.news_truth import NewsTruth

SIZE = 211  # one size for all pages that are learned from, so that one network is compiled
SEEDS = (3, 5, 7)
MORE_SEEDS = (3, 5, 7, 11, 13)


@pytest.fixture(scope="module", autouse=True)
def short_logs():
    """Fewer visits than in the lesson: the exact steps are the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(news, "VISITS", 18)
        yield


@pytest.fixture(scope="module")
def rows():
    return [news.run(seed, SIZE) for seed in SEEDS]


@pytest.fixture(scope="module")
def page():
    return news.build(3, SIZE)


# -------------------------------------------------------------------------------- the lesson


def test_every_statement_has_a_bound_and_a_name_of_its_own(rows):
    said = by_name(news.claims(rows))
    assert all(s.at_least is not None or s.at_most is not None for s in said.values())
    assert all(name.startswith("news-") for name in said)
    assert {s.seeds for s in said.values()} == {3}


@pytest.mark.parametrize(
    "name",
    [
        "old-articles-know-no-news-day",
        "weights-are-right",
        "weights-without-the-news-day-miss-by-the-closed-form",
        "weights-cover",
        "freshest-is-no-rule",
    ],
)
def test_what_does_not_take_many_people_or_pages_holds_on_small_ones(rows, name):
    assert by_name(news.claims(rows))[f"news-{name}"].holds


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("place-is-in-the-lead-of-the-fresh", {"observed_0": 0.1, "observed_1": 0.1}),
        ("news-day-is-in-the-lead-of-the-fresh", {"at_top_0": 0.1, "at_top_1": 0.1}),
        ("choice-is-in-the-lead-of-the-fresh", {"no_news_0": 0.1, "no_news_1": 0.1}),
        ("lead-of-the-fresh-is-inflated", {"do_0": 0.5}),
        ("old-articles-know-no-news-day", {"no_news_2": 0.1}),
        ("read-rate-never-holds-the-truth", {"observed_0_do_hit": 1.0}),
        ("one-place-is-not-enough", {"at_top_0_do_hit": 1.0}),
        ("weights-are-right", {"ips_2_error": 0.5}),
        ("weights-cover", {"ips_1_hit": 0.0}),
        ("weights-without-the-news-day-miss-by-the-closed-form", {"hidden_0_error": 0.5}),
        ("read-rate-ranks-worse", {"increment_observed": 0.9}),
        ("freshest-is-no-rule", {"increment_freshest": 0.2}),
        ("histories-tell-of-the-page", {"read_pushed": 0.0}),
        ("ids-are-blind-to-the-new", {"id_new_ndcg": 0.3}),
        ("ids-rank-the-known", {"id_known_ndcg": 0.1}),
        ("text-ranks-the-new-best", {"text_new_ndcg": 0.1}),
        ("text-earns-more-than-ids", {"text_new_rate": 0.1}),
        ("a-week-of-drift", {"stale_new_ndcg": 0.5}),
    ],
)
def test_every_statement_fails_when_its_number_is_another(rows, name, broken):
    assert not by_name(news.claims([row | broken for row in rows]))[f"news-{name}"].holds


def test_a_row_says_what_the_parts_say(rows, page):
    row = rows[0]
    assert (row["seed"], row["people"]) == (3, SIZE)
    assert row["new_articles"] == 40
    log = page.log(news.VISITS)
    fresh = log.age == 0
    rate = log.read_shown[fresh].mean()
    assert row["observed_0_error"] == pytest.approx(rate - row["observed_0"])
    top = (log.age >= 3) & (log.place == 0)
    assert row["at_top_3_error"] == pytest.approx(log.read_shown[top].mean() - row["at_top_3"])
    of_day = np.array([((page.birth == d) & page.alive(d)).sum() for d in range(6)])
    weight = fresh * (log.place == 0) / of_day[log.day] / log.propensity
    found = (weight * log.read_shown).mean()
    assert row["ips_0_error"] == pytest.approx(found - row["do_0"])
    normal = (weight * log.read_shown).sum() / weight.sum()
    assert row["snips_0_error"] == pytest.approx(normal - row["do_0"])
    assert row["popularity_new_rate"] == pytest.approx(
        np.mean([page.do(1, d)[:, page.alive(d) & (page.birth >= 6)].mean() for d in (6, 7)])
    )


def test_the_same_seed_gives_the_same_row(rows, page):
    exact = news.exact_row(page)
    again = exact | news.log_row(page, exact) | news.history_row(page)
    found = news_cold.rankers(page, page.log(6), jax.random.key(3), ("text",))
    again |= news_cold.measure(page, found, ("new",))
    assert again.items() <= rows[0].items()
    assert len(again) > 90


# ------------------------------------------------------------------------- the exact steps


def test_the_steps_are_sums_over_days_people_and_articles(page):
    sums = defaultdict(float)
    for day in range(6):
        chance, done = page.logging_policy(day), page.do(1, day)
        rates = page.see_exposed(day), page.see_exposed(day, place=0)
        for j in np.flatnonzero(page.alive(day)):
            age = min(day - page.birth[j], 3)
            same = [
                i for i in np.flatnonzero(page.alive(day)) if min(day - page.birth[i], 3) == age
            ]
            for name, weight, rate in (
                ("observed", chance[:, j].sum(axis=1), rates[0][:, j]),
                ("at_top", chance[:, j, 0], rates[1][:, j]),
                ("no_news", chance[:, j, 0], done[:, j]),
                ("do", np.full(SIZE, 1 / SIZE / len(same)), done[:, j]),
            ):
                sums[name, age, 0] += weight @ rate
                sums[name, age, 1] += weight.sum()
    found = news_age.by_age(news_age.tables_of(page))
    for age in news.AGES:
        for step in news.STEPS:
            wanted = sums[step, age, 0] / sums[step, age, 1]
            assert found[age][step] == pytest.approx(wanted, rel=1e-10), (age, step)


def test_the_increments_are_those_of_policies(page):
    row = news_age.exact_row(page)
    wanted = defaultdict(list)
    for day in range(6):
        fresh = (page.birth == day) / (page.birth == day).sum()
        policies = {
            "observed": page.greedy(page.see_exposed(day), day),
            "at_top": page.greedy(page.see_exposed(day, place=0), day),
            "done": page.greedy(page.do(1, day), day),
            "freshest": np.tile(fresh, (SIZE, 1)),
            "anything": np.tile(page.alive(day) / page.alive(day).sum(), (SIZE, 1)),
        }
        for rule, policy in policies.items():
            wanted[rule].append(page.policy_value(policy, day).increment)
    for rule, values in wanted.items():
        assert row[f"increment_{rule}"] == pytest.approx(np.mean(values), rel=1e-10), rule
    exposed = [
        (page.see_exposed(d, 0) - page.do(1, d))[:, page.birth == d].mean() for d in range(6)
    ]
    assert row["hidden_bias"] == pytest.approx(np.mean(exposed), rel=1e-10)


def test_the_most_read_topic_is_counted_and_equals_share(page):
    share = news.most_read(page)
    np.testing.assert_allclose(share.sum(axis=1), 1)
    for u in range(SIZE):
        topics = [int(page.topic[i - 1]) for i in page.history[u] if i > 0]
        counts = [topics.count(c) for c in range(6)]
        best = [c for c in range(6) if counts[c] == max(counts)]
        assert np.flatnonzero(share[u]).tolist() == best
        np.testing.assert_allclose(share[u, best], 1 / len(best))
    row = news.history_row(page)
    liked = (page.interest + page.taste[0]).argmax(axis=1)
    assert row["truly_pushed"] == pytest.approx((liked == page.editors.argmax()).mean())
    assert row["read_right"] == pytest.approx(share[np.arange(SIZE), liked].mean())


# ---------------------------------------------------------------------------- the cold start


def test_the_cells_are_shares_of_the_visits_at_which_an_article_was_alive(page):
    log = page.log(7)
    data = news_cold.read_cells(page, log)
    reads = log.reads().reshape(7, SIZE, -1)
    for j in (0, 100, 200, 319):
        alive = [bool(page.alive(v % 6)[j]) for v in range(7)]
        assert (data.weight[:, 0, j] == sum(alive)).all()
        share = reads[:, :, j].sum(axis=0) / max(sum(alive), 1)
        np.testing.assert_allclose(data.target[:, 0, j], share, rtol=1e-6)
    np.testing.assert_array_equal(data.history, page.history)
    assert (data.weight[..., page.birth >= 6] == 0).all()  # nobody could read what was not born


def test_similarity_is_a_cosine_with_what_was_read(page):
    data = news_cold.read_cells(page, page.log(1))
    found = news_cold.text_similarity(page, data)
    texts = page.items["text"].str.replace(r"[:.]", "", regex=True).str.split()
    frequency = defaultdict(int)
    for words in texts:
        for word in set(words):
            frequency[word] += 1
    idf = {word: np.log(321 / (1 + n)) + 1 for word, n in frequency.items()}

    def vector(words: list[str]) -> dict[str, float]:
        counts = {word: words.count(word) * idf[word] for word in words}
        length = sum(x * x for x in counts.values()) ** 0.5
        return {word: x / length for word, x in counts.items()}

    u, candidate = 11, vector(texts[300])
    mean = defaultdict(float)
    for item in page.history[u][page.history[u] > 0]:
        for word, weight in vector(texts[item - 1]).items():
            mean[word] += weight
    length = sum(x * x for x in mean.values()) ** 0.5
    cosine = sum(weight * mean[word] / length for word, weight in candidate.items())
    assert found[u, 300] == pytest.approx(cosine, rel=1e-9)


def test_what_is_measured_is_what_a_loop_over_held_out_visits_says(page):
    score = np.random.default_rng(0).normal(size=(SIZE, 320))
    row = news_cold.measure(page, {"mine": score})
    log = page.log(news_cold.HELDOUT, stream="heldout")
    reads, ndcg, hit, rate = log.reads().reshape(4, SIZE, -1), [], [], []
    for visit in range(4):
        day = 6 + visit % 2
        here = np.flatnonzero(page.alive(day) & (page.birth >= 6))
        relevant = reads[visit][:, here]
        ndcg.append(ndcg_at_k(score[:, here], relevant, 5))
        hit.append(hit_rate_at_k(score[:, here], relevant, 1))
        best = here[score[:, here].argmax(axis=1)]
        rate.append(page.do(1, day)[np.arange(SIZE), best])
    assert row["mine_new_ndcg"] == pytest.approx(np.nanmean(ndcg))
    assert row["mine_new_hit"] == pytest.approx(np.nanmean(hit))
    assert row["mine_new_rate"] == pytest.approx(np.mean(rate))
    assert row["oracle_new_rate"] > max(row["stale_new_rate"], row["mine_new_rate"])
    assert row["oracle_known_rate"] > row["mine_known_rate"]


def test_popularity_of_new_articles_is_a_tie_and_that_of_topics_is_not(page):
    found = news_cold.rankers(page, page.log(6), jax.random.key(0), networks=())
    new = page.birth >= 6
    assert (found["popularity"][:, new] == 0).all()
    assert (found["popularity"][:, page.birth == 3] > 0).any()
    topics = found["topic_popularity"]
    for c in range(6):
        assert len(np.unique(topics[:, page.topic == c])) == 1
    assert len(np.unique(topics)) == 6


def test_features_name_articles_by_id_topic_and_words(page):
    known = news_network.known_by(page)
    assert {features.shape for features in known.values()} == {(320, 320)}
    np.testing.assert_array_equal(known["id"], np.eye(320))
    np.testing.assert_array_equal(known["topic"].argmax(axis=1), page.topic)
    assert (known["topic"].sum(axis=1) == 1).all()
    text = known["text"]
    np.testing.assert_allclose((text**2).sum(axis=1), 1, rtol=1e-5)
    words = page.items["text"][5].replace(":", "").replace(".", "").split()
    vocabulary = sorted(set(words))
    there = [news_network.VOCABULARY[w] for w in np.flatnonzero(text[5])]
    assert there == [w for w in vocabulary if w in news_network.VOCABULARY]


def test_the_network_reads_features_alone_and_leaves_them_as_they_are(page):
    features = news_network.known_by(page)["text"].copy()
    features[7] = features[300]  # two articles of one text
    data = news_cold.read_cells(page, page.log(6))
    data.history[5], data.mask[5] = 0, False  # and somebody without a history
    network = news_network.fit_features(features, data, jax.random.key(1))
    np.testing.assert_array_equal(np.asarray(network.features[...]), features)
    score = news_network.scores(network, data)
    assert score.shape == (SIZE, 320)
    assert np.isfinite(score).all()
    np.testing.assert_allclose(score[:, 7], score[:, 300], rtol=1e-4, atol=1e-5)
    assert np.abs(score[:, 7] - score[:, 8]).max() > 0.1


def test_the_network_learns_that_what_is_read_is_like_what_was_read():
    """Readers of a kind read that kind, new articles of it too; nobody said what a kind is."""
    rng = np.random.default_rng(0)
    kind, new = np.arange(320) % 2, np.arange(320) >= 300
    features = np.zeros((320, 320), np.float32)  # one word each, of three that a kind has
    features[np.arange(320), 3 * kind + rng.integers(0, 3, 320)] = 1
    likes = np.arange(SIZE) % 2
    history = 1 + 2 * rng.integers(0, 150, (SIZE, 16)) + likes[:, None]
    target = (kind == likes[:, None]).astype(np.float32)
    weight = np.broadcast_to((~new).astype(np.float32), target.shape)
    data = make_batch(history, n_items=320)
    data = data._replace(target=target[:, None], weight=weight[:, None])
    network = news_network.fit_features(features, data, jax.random.key(0))
    score = news_network.scores(network, data)[:, new]
    right = kind[new] == likes[:, None]
    assert score[right].min() > score[~right].max()


def test_the_network_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"features must have shape \(3, F\); got \(2, 5\)"):
        news_network.FeatureNetwork(np.ones((2, 5)), RecommenderConfig(n_items=3), rngs=nnx.Rngs(0))


# ------------------------------------------------------- what is broken, and which claim says so


LEADS = {f"{step}_0": 2.0 for step in news.STEPS}  # so that no lead is 0


def rows_of(
    part: Callable[[int], dict[str, float]], seeds: tuple[int, ...]
) -> list[dict[str, float]]:
    """A part of the rows made afresh on some pages; the other columns are 1."""
    return [defaultdict(lambda: 1.0, LEADS | part(seed)) for seed in seeds]


unbroken = cache(rows_of)


def holds(name: str, rows: list[dict[str, float]]) -> bool:
    return by_name(news.claims(rows))[f"news-{name}"].holds


def exact(seed: int) -> dict[str, float]:
    return news.exact_row(news.build(seed, 53))


def estimated(seed: int) -> dict[str, float]:
    page = news.build(seed, SIZE)
    row = news.exact_row(page)
    return row | news.log_row(page, row)


def read(seed: int) -> dict[str, float]:
    return news.history_row(news.build(seed, 1_009))


@cache
def trained(seed: int, features: bytes) -> np.ndarray:
    """What a network says that knows articles by these features; each is trained once."""
    page = news.build(seed, SIZE)
    data = news_cold.read_cells(page, page.log(6))
    table = np.frombuffer(features, np.float32).reshape(320, -1)
    network = news_network.fit_features(table, data, jax.random.key(seed))
    return news_network.scores(network, data)


def cold(seed: int) -> dict[str, float]:
    page = news.build(seed, SIZE)
    known = news_cold.known_by(page)
    found = {name: trained(seed, known[name].tobytes()) for name in ("id", "text")}
    return news_cold.measure(page, found | {"popularity": np.zeros((SIZE, 320))}, ("new",))


def drift(seed: int) -> dict[str, float]:
    return news_cold.measure(news.build(seed, SIZE), {}, ("new",))


def one_config(**changed: float) -> Callable[[pytest.MonkeyPatch], None]:
    def breakage(patch: pytest.MonkeyPatch) -> None:
        def build(seed: int, size: int) -> News:
            return build_news(replace(NewsConfig(n_people=size), **changed), seed)

        patch.setattr(news, "build", build)

    return breakage


def what_is_read_in_the_place_of_the_truth(patch: pytest.MonkeyPatch) -> None:
    honest = news.exact_row

    def exact_row(page: News) -> dict[str, float]:
        row = honest(page)
        return row | {f"do_{age}": row[f"observed_{age}"] for age in news.AGES}

    patch.setattr(news, "exact_row", exact_row)


def see_in_the_place_of_do(patch: pytest.MonkeyPatch) -> None:
    honest = NewsTruth.do

    def do(self: NewsTruth, t: int, day: int = 0, place: int = 0) -> np.ndarray:
        return self.see_exposed(day) if t else honest(self, t, day, place)

    patch.setattr(NewsTruth, "do", do)


def propensities_shuffled(patch: pytest.MonkeyPatch) -> None:
    draw = News.log

    def shuffled(self: News, *arguments: object, **named: object) -> NewsLog:
        log = draw(self, *arguments, **named)
        return replace(log, propensity=np.random.default_rng(0).permutation(log.propensity))

    patch.setattr(News, "log", shuffled)


def weights_ignored(patch: pytest.MonkeyPatch) -> None:
    def alike(self: logged.Logged, policy: np.ndarray) -> np.ndarray:
        return np.ones(self.n)

    patch.setattr(logged.Logged, "weight", alike)


def places_exchanged_in_the_log(patch: pytest.MonkeyPatch) -> None:
    draw = News.log

    def exchanged(self: News, *arguments: object, **named: object) -> NewsLog:
        log = draw(self, *arguments, **named)
        return replace(log, place=1 - log.place)

    patch.setattr(News, "log", exchanged)


def the_news_day_is_always_told(patch: pytest.MonkeyPatch) -> None:
    draw = News.log

    def told(self: News, *arguments: object, **named: object) -> NewsLog:
        open_ = replace(self, config=replace(self.config, hidden=False))
        return draw(open_, *arguments, **named)

    patch.setattr(News, "log", told)


def ids_in_the_place_of_texts(patch: pytest.MonkeyPatch) -> None:
    honest = news_network.known_by

    def known_by(page: News) -> dict[str, np.ndarray]:
        known = honest(page)
        return known | {"text": known["id"]}

    patch.setattr(news_cold, "known_by", known_by)


def texts_in_the_place_of_ids(patch: pytest.MonkeyPatch) -> None:
    honest = news_network.known_by

    def known_by(page: News) -> dict[str, np.ndarray]:
        known = honest(page)
        return known | {"id": known["text"]}

    patch.setattr(news_cold, "known_by", known_by)


MUTATIONS = [
    ("place-is-in-the-lead-of-the-fresh", exact, SEEDS, one_config(top_old=0.85)),
    ("place-is-in-the-lead-of-the-fresh", exact, SEEDS, one_config(see_below=0.9)),
    ("news-day-is-in-the-lead-of-the-fresh", exact, SEEDS, one_config(g_e=0.0)),
    ("news-day-is-in-the-lead-of-the-fresh", exact, SEEDS, one_config(g_y=0.0)),
    ("lead-of-the-fresh-is-inflated", exact, SEEDS, see_in_the_place_of_do),
    ("read-rate-ranks-worse", exact, SEEDS, see_in_the_place_of_do),
    ("weights-are-right", estimated, SEEDS, propensities_shuffled),
    ("weights-are-right", estimated, SEEDS, weights_ignored),
    ("weights-are-right", estimated, SEEDS, places_exchanged_in_the_log),
    (
        "weights-without-the-news-day-miss-by-the-closed-form",
        estimated,
        SEEDS,
        propensities_shuffled,
    ),
    ("read-rate-never-holds-the-truth", estimated, SEEDS, what_is_read_in_the_place_of_the_truth),
    ("histories-tell-of-the-page", read, tuple(range(3, 23)), one_config(a_c=0.0, a_f=0.0)),
    ("text-earns-more-than-ids", cold, MORE_SEEDS, ids_in_the_place_of_texts),
    ("ids-are-blind-to-the-new", cold, MORE_SEEDS, texts_in_the_place_of_ids),
    ("a-week-of-drift", drift, MORE_SEEDS, one_config(keep=1.0)),
]


@pytest.mark.parametrize(
    ("name", "part", "seeds", "breakage"),
    MUTATIONS,
    ids=[f"{name}-{number}" for number, (name, *_) in enumerate(MUTATIONS)],
)
def test_what_is_claimed_holds_and_does_not_survive_its_breakage(name, part, seeds, breakage):
    assert holds(name, unbroken(part, seeds))
    with pytest.MonkeyPatch.context() as patch:
        breakage(patch)
        assert not holds(name, rows_of(part, seeds))


def test_weights_that_know_the_news_day_after_all_miss_the_bias_they_should_have(page):
    """Told everything, the weights called hidden are right, so they are off by nothing."""
    row = news.exact_row(page)
    with pytest.MonkeyPatch.context() as patch:
        the_news_day_is_always_told(patch)
        told = news.log_row(page, row)
    assert told["hidden_0_error"] == told["ips_0_error"]
    assert news.log_row(page, row)["hidden_0_error"] > told["ips_0_error"]
