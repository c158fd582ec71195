import math
from dataclasses import fields, replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from recflax.causal.policy_value import ips
from recflax.data.batches import history_batch, make_batch
from recflax.data.features import bag_of_words, tf_idf
from recflax.data.logs import split_by_time
from recflax.worlds.news import NewsConfig, build_news
from recflax.worlds.news_text import STYLES, VOCABULARY, WORDS

SMALL = NewsConfig(n_people=13, n_topics=3, per_day=5, past=7, days=3, after=2)
LOGGED = (
    "person", "visit", "day", "shown", "place", "read_shown", "propensity", "randomised",
    "read_row", "read_item",
)  # fmt: skip


@pytest.fixture(scope="module")
def news():
    return build_news(SMALL, seed=5)


@pytest.fixture(scope="module")
def large():
    return build_news(NewsConfig(n_people=211, per_day=7), seed=3)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# ------------------------------------------------------------------------ exact answers


def by_hand(news, u: int, j: int, day: int) -> dict[str, float]:
    """The equations of one person and article, in plain Python over both hidden binaries."""
    config = news.config
    events = [int(i) - 1 for i in news.history[u] if i > 0]
    last = int(news.topic[events[-1]])
    alive = [i for i in range(len(news.topic)) if 0 <= day - news.birth[i] < news.life[i]]
    fresh = bool(news.birth[j] == day)
    place_chance = config.top_fresh if fresh else config.top_old
    places = {0: place_chance, 1: 1 - place_chance}
    see = {0: config.see_top, 1: config.see_below}
    share = {0: 1 - config.pz, 1: config.pz}

    def display(z: int) -> float:
        odds = {
            i: math.exp(
                config.a_p * news.appeal[i]
                + config.a_h * (news.topic[i] == last)
                + news.editors[news.topic[i]]
                + (news.birth[i] == day) * (config.a_f + config.g_e * z)
            )
            for i in alive
        }
        of_policy = (1 - config.eps) * odds[j] / sum(odds.values()) + config.eps / len(alive)
        return (1 - config.rand) * of_policy

    def e(k: int, z: int) -> float:
        return display(z) * places[k] + config.rand / len(alive) / 2

    def mu(t: int, z: int) -> float:
        odds = config.o_0 + config.o_q * news.appeal[j] + news.interest[news.topic[j]]
        odds += config.b_t * news.taste[day, u, news.topic[j]] + config.b_n * (
            news.topic[j] == last
        )
        odds += fresh * (config.o_f + config.g_y * z) - config.b_s * (j in events)
        return sigmoid(odds + t * config.lift)

    def read(k: int, z: int) -> float:  # over the glance
        return sum(c * mu(t, z) for t, c in ((1, see[k]), (0, 1 - see[k])))

    answers = {"do_0": sum(share[z] * mu(0, z) for z in share)}
    for k in places:
        shown = sum(share[z] * e(k, z) for z in share)
        answers[f"do_1_{k}"] = sum(share[z] * read(k, z) for z in share)
        answers[f"policy_{k}"] = shown
        answers[f"exposed_{k}"] = sum(share[z] * e(k, z) * read(k, z) for z in share) / shown
    both = [(z, k) for z in share for k in places]
    shown = sum(share[z] * e(k, z) for z, k in both)
    by_slot = sum(share[z] * e(k, z) * read(k, z) for z, k in both)
    answers["exposed"] = by_slot / shown
    unshown = sum(share[z] * (1 - e(0, z) - e(1, z)) * mu(0, z) for z in share)
    answers["see"] = by_slot + unshown
    return answers


@pytest.mark.parametrize("rand", [0.0, 0.3])
def test_every_exact_answer_is_that_of_a_loop_over_pairs_and_hidden_binaries(news, rand):
    news = replace(news, config=replace(news.config, rand=rand))
    for day in (0, 2, 4):
        tables = {
            "do_0": news.do(0, day),
            "exposed": news.see_exposed(day),
            "see": news.see(day),
        }
        for k in (0, 1):
            tables[f"do_1_{k}"] = news.do(1, day, k)
            tables[f"policy_{k}"] = news.logging_policy(day)[..., k]
            tables[f"exposed_{k}"] = news.see_exposed(day, k)
        for j in range(len(news.topic)):
            alive = news.birth[j] <= day < news.birth[j] + news.life[j]
            assert news.alive(day)[j] == alive
            for u in range(13):
                if alive:
                    for name, value in by_hand(news, u, j, day).items():
                        assert tables[name][u, j] == pytest.approx(value, rel=1e-10), (name, u, j)
                else:
                    assert np.isnan([tables[n][u, j] for n in ("do_0", "exposed", "see")]).all()
                    assert news.logging_policy(day)[u, j].sum() == 0
        np.testing.assert_allclose(news.logging_policy(day).sum(axis=(1, 2)), 1, rtol=1e-12)
        np.testing.assert_allclose(news.uplift(day, 1), news.do(1, day, 1) - news.do(0, day))


def test_what_is_read_at_one_place_is_off_by_a_covariance_over_a_chance(news):
    """Fresh: p(1 - p)(e1 - e0)(y1 - y0) / e; else nothing, since no news day moves it."""
    p, fresh = news.config.pz, news.birth == 1
    for k in (0, 1):
        e = [news.exposure(z, 1)[..., k] for z in (0, 1)]
        y = [news.shown(z, k, 1) for z in (0, 1)]
        with np.errstate(invalid="ignore"):  # 0 / 0: NaN on both sides where nothing is alive
            closed = p * (1 - p) * (e[1] - e[0]) * (y[1] - y[0]) / (p * e[1] + (1 - p) * e[0])
        found = news.see_exposed(1, k) - news.do(1, 1, k)
        np.testing.assert_allclose(found, closed, atol=1e-12)
        assert (found[:, fresh] > 0).all()
        assert found[:, fresh].mean() > 0.005
        old = news.alive(1) & ~fresh
        assert np.abs(found[:, old]).max() < 1e-12


@pytest.mark.parametrize("changed", [{"g_y": 0.0}, {"g_e": 0.0}, {"pz": 0.0}, {"pz": 1.0}])
def test_a_news_day_that_moves_one_of_the_two_alone_does_no_harm_at_one_place(changed):
    news = build_news(replace(SMALL, **changed), 5)
    for k in (0, 1):
        apart = np.abs(news.see_exposed(0, k) - news.do(1, 0, k))[:, news.alive()]
        assert apart.max() < 1e-12


def test_the_place_is_all_that_is_left_when_news_days_are_gone(news):
    """Without a news day the read rate is the mix of two places, exactly."""
    quiet = replace(news, config=replace(news.config, g_y=0.0))
    for day in (0, 2):
        alive = quiet.alive(day)
        top = np.where(quiet.birth == day, quiet.config.top_fresh, quiet.config.top_old)[alive]
        at = [quiet.do(1, day, k)[:, alive] for k in (0, 1)]
        mixed = top * at[0] + (1 - top) * at[1]
        np.testing.assert_allclose(quiet.see_exposed(day)[:, alive], mixed, rtol=1e-12)
        see = quiet.config.see_top - quiet.config.see_below
        gain = quiet.mu(1, 0, day) - quiet.mu(0, 0, day)
        np.testing.assert_allclose(
            at[0] - quiet.see_exposed(day)[:, alive], ((1 - top) * see * gain[:, alive]), rtol=1e-9
        )


@hypothesis.given(
    pz=st.floats(0, 1), top=st.floats(0, 1), see=st.floats(0, 1), seed=st.integers(0, 999)
)
def test_chances_are_chances_on_any_page(pz, top, see, seed):
    config = replace(SMALL, pz=pz, top_fresh=top, see_below=see, rand=0.1)
    news = build_news(replace(config, n_people=3), seed)
    alive = news.alive(2)
    for table in (news.do(0, 2), news.do(1, 2), news.see(2), news.see_exposed(2)):
        assert ((table[:, alive] > 0) & (table[:, alive] < 1)).all()
    assert (news.uplift(2)[:, alive] > 0).all()
    np.testing.assert_allclose(news.logging_policy(2).sum(axis=(1, 2)), 1, rtol=1e-9)
    # what is read is bought by the slot or anyway: the log lies between organic and all shown
    assert (news.see(2)[:, alive] > 0).all()


def test_the_truths_are_those_of_a_simulation_in_the_order_of_causes(large):
    """News day, glance, read: each pair 60 times, nothing taken from the log's draws."""
    rng, day = np.random.default_rng(0), 3
    alive = np.flatnonzero(large.alive(day))
    shape = 60, len(large.history), len(alive)
    z = (rng.random(shape[:2]) < large.config.pz).astype(int)[..., None]
    mu = np.stack([[large.mu(t, k, day)[:, alive] for k in (0, 1)] for t in (0, 1)])
    u, j = np.indices(shape[1:])
    luck = rng.random(shape)
    for place, see in ((0, large.config.see_top), (1, large.config.see_below)):
        looked = (rng.random(shape) < see).astype(int)
        read = luck < mu[looked, z, u, j]
        truth = large.do(1, day, place)[:, alive]
        # reads of one person in one draw share a news day: the error is over persons and draws
        means = (read - truth).mean(axis=2)
        assert abs(means.mean()) < 4 * means.std() / math.sqrt(means.size)
    means = ((luck < mu[0, z, u, j]) - large.do(0, day)[:, alive]).mean(axis=2)
    assert abs(means.mean()) < 4 * means.std() / math.sqrt(means.size)


# -------------------------------------------------------------------------------- policies


def test_a_policy_is_worth_what_a_loop_says(news):
    day, alive = 1, np.flatnonzero(news.alive(1))
    policy = np.zeros((13, len(news.topic)))
    policy[:, alive] = np.random.default_rng(1).dirichlet(np.ones(len(alive)), size=13)
    for place in (0, 1):
        slot = organic = gained = 0.0
        for u in range(13):
            for j in alive:
                hand = by_hand(news, u, j, day)
                slot += policy[u, j] * hand[f"do_1_{place}"] / 13
                gained += policy[u, j] * (hand[f"do_1_{place}"] - hand["do_0"]) / 13
                organic += hand["do_0"] / 13
        found = news.policy_value(policy, day, place)
        assert found.slot_rate == pytest.approx(slot, rel=1e-10)
        assert found.increment == pytest.approx(gained, rel=1e-10)
        assert found.reads == pytest.approx(organic + gained, rel=1e-10)


def test_nothing_adds_more_than_the_largest_uplift_and_the_top_is_worth_more(news):
    for day in range(3):
        best = news.policy_value(news.greedy(news.uplift(day), day), day)
        for scores in (news.do(1, day), news.see_exposed(day), news.see(day)):
            policy = news.greedy(scores, day)
            assert news.policy_value(policy, day).increment <= best.increment + 1e-12
        below = news.policy_value(news.greedy(news.uplift(day), day), day, place=1)
        ratio = news.config.see_below / news.config.see_top
        assert below.increment == pytest.approx(ratio * best.increment, rel=1e-10)
        chosen = news.greedy(np.zeros((13, len(news.topic))), day).argmax(axis=1)
        assert (chosen == np.flatnonzero(news.alive(day))[0]).all()


def test_policies_say_what_is_wrong(news):
    day, alive = 1, news.alive(1)
    even = np.tile(alive / alive.sum(), (13, 1))
    with pytest.raises(ValueError, match=r"policy must have shape \(13, 60\); got \(13, 3\)"):
        news.policy_value(even[:, :3], day)
    with pytest.raises(ValueError, match=r"row 0 sums to 0\.5"):
        news.policy_value(even / 2, day)
    everything = np.full((13, 60), 1 / 60)
    first = int(np.flatnonzero(~alive)[0]) + 1
    with pytest.raises(ValueError, match=rf"alive on day 1; {first} is not"):
        news.policy_value(everything, day)
    with pytest.raises(ValueError, match=r"scores must have shape \(13, 60\)"):
        news.greedy(even[:2], day)
    with pytest.raises(ValueError, match="scores must not be NaN; row 0 is"):
        news.greedy(news.do(1, 3), 0)
    for question, message in (
        (lambda: news.mu(2, 0), "t must be from 0 to 1; got 2"),
        (lambda: news.mu(0, 3), "z must be from 0 to 1; got 3"),
        (lambda: news.display(2), "z must be from 0 to 1; got 2"),
        (lambda: news.do(1, 0, 2), "place must be from 0 to 1; got 2"),
        (lambda: news.see_exposed(0, -1), "place must be from 0 to 1; got -1"),
        (lambda: news.alive(5), "day must be from 0 to 4; got 5"),
        (lambda: news.do(0, -1), "day must be from 0 to 4; got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            question()


# ------------------------------------------------------------------ articles, people, texts


def test_articles_are_born_every_day_and_expire(large):
    config = large.config
    assert config.n_articles == 7 * 16 == len(large.topic)
    counts = np.unique(large.birth, return_counts=True)
    assert counts[0].tolist() == list(range(-8, 8))
    assert set(counts[1]) == {7}
    assert set(large.life) <= {2, 3, 4, 5}
    for day in range(8):
        ages = large.age(day)[large.alive(day)]
        assert set(ages) <= {0, 1, 2, 3, 4}
        assert (ages == 0).sum() == 7
    assert not (large.alive(0) & large.alive(5)).any()  # in five days all have gone
    assert large.heldout_days.tolist() == [6, 7]


def test_taste_drifts_as_much_as_it_should_and_topics_come_and_go():
    news = build_news(NewsConfig(n_people=4_001, keep=0.8, per_day=2), seed=7)
    for apart in (1, 3, 7):
        one, two = news.taste[0].ravel(), news.taste[apart].ravel()
        found = np.corrcoef(one, two)[0, 1]
        assert abs(found - 0.8**apart) < 4 / math.sqrt(len(one) * 5 / 6)
    np.testing.assert_allclose(news.taste.mean(axis=2), 0, atol=1e-12)
    assert abs(news.taste.var() - 5 / 6) < 0.02  # centred over six topics
    still = build_news(NewsConfig(n_people=5, keep=1.0), seed=7)
    np.testing.assert_allclose(still.taste[0], still.taste[-1])
    wave = build_news(replace(NewsConfig(n_people=5, per_day=40), wave=1.0), seed=7)
    counts = np.stack([(wave.topic.reshape(-1, 40) == c).sum(axis=1) for c in range(6)], axis=1)
    calm = build_news(replace(NewsConfig(n_people=5, per_day=40), wave=0.0), seed=7)
    even = np.stack([(calm.topic.reshape(-1, 40) == c).sum(axis=1) for c in range(6)], axis=1)
    assert even.var() < 40 * 5 / 36 * 1.6  # binomial
    assert counts.var() > 5 * even.var()


def test_histories_hold_articles_that_were_alive_each_once_oldest_first(large):
    history, reads = large.history, large.config.reads
    assert history.shape == (211, 16)
    make_batch(history, n_items=len(large.topic))  # ids, and padding on the left
    assert ((history > 0).sum(axis=1) >= 5).all()
    for column in range(16):
        day = column // reads - large.config.past
        there = history[:, column]
        there = there[there > 0] - 1
        age = day - large.birth[there]
        assert ((age >= 0) & (age < large.life[there])).all()
    for row in history:
        read = row[row > 0]
        assert len(set(read)) == len(read)


def test_histories_follow_taste_and_what_the_page_pushes():
    config = NewsConfig(n_people=2_003, per_day=7)
    for seed in (3, 5):
        pushed = build_news(config, seed)
        neutral = build_news(replace(config, a_c=0.0, a_f=0.0), seed)
        np.testing.assert_array_equal(pushed.taste, neutral.taste)
        np.testing.assert_array_equal(pushed.appeal, neutral.appeal)
        loved = int(pushed.editors.argmax())

        def share(page, topic: int) -> float:
            read = page.history[page.history > 0] - 1
            return float((page.topic[read] == topic).mean())

        assert share(pushed, loved) > share(neutral, loved) + 0.03
        # those who like a topic read more of it
        liked = neutral.taste[0][:, loved]
        events = np.where(neutral.history > 0, neutral.topic[neutral.history - 1] == loved, 0)
        assert np.corrcoef(events.mean(axis=1), liked)[0, 1] > 0.2


def test_texts_are_made_of_their_topic_and_their_style_tells_the_appeal(large):
    items, words = large.items, [set(w) for w in WORDS]
    assert items["item"].tolist() == list(range(1, 113))
    np.testing.assert_array_equal(items["category"], large.topic)
    own = []
    for topic, text, name in zip(large.topic, items["text"], items["name"], strict=True):
        tokens = text.replace(":", "").replace(".", "").split()
        assert set(tokens) - {"and"} <= set(VOCABULARY)
        assert text.startswith(name)
        own.append(sum(token in words[topic] for token in tokens))
    # six words of the topic, with chance .8 + .2 / 6
    chance = 0.8 + 0.2 / 6
    assert abs(np.mean(own) / 6 - chance) < 4 * math.sqrt(chance * (1 - chance) / (6 * 112))
    order = np.argsort(np.argsort(large.appeal)) * 3 // 112
    for tier, name in zip(order, items["name"], strict=True):
        assert name.split(":")[0] in STYLES[tier]
    clear = build_news(replace(SMALL, clear=1.0), 5)
    for topic, text in zip(clear.topic, clear.items["text"], strict=True):
        tokens = text.replace(":", "").replace(".", "").split()
        assert sum(token in words[topic] for token in tokens) == 6


def test_texts_work_as_features(large):
    for features in (bag_of_words, tf_idf):
        matrix, words = features(large.items["text"])
        assert set(words) <= set(VOCABULARY) | {"and"}
        near = (matrix @ matrix.T).toarray()
        same = large.topic[:, None] == large.topic
        apart = ~np.eye(112, dtype=bool)
        assert near[same & apart].mean() > near[~same].mean() + 0.1


# ------------------------------------------------------------------------------------ the log


def test_two_builds_with_one_seed_are_the_same_and_two_seeds_are_not(news):
    again, other = build_news(SMALL, 5), build_news(SMALL, 7)
    for field in fields(news):
        one, two = getattr(news, field.name), getattr(again, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, two)
    assert news.items.equals(again.items)
    assert (news.history != other.history).any()
    for stream in ("log", "heldout", "slice"):
        logs = [page.log(3, stream) for page in (news, again)]
        for name in LOGGED:
            np.testing.assert_array_equal(getattr(logs[0], name), getattr(logs[1], name))


def test_a_log_has_a_row_a_visit_and_shows_what_is_alive(large):
    log = large.log(8)
    assert log.n_visits == 8
    assert log.person.tolist() == list(range(211)) * 8
    assert log.day[::211].tolist() == [0, 1, 2, 3, 4, 5, 0, 1]  # days come round again
    np.testing.assert_array_equal(log.age, log.day - large.birth[log.shown - 1])
    assert ((log.age >= 0) & (log.age < large.life[log.shown - 1])).all()
    read_age = log.day[log.read_row] - large.birth[log.read_item - 1]
    assert ((read_age >= 0) & (read_age < large.life[log.read_item - 1])).all()
    reads = log.reads()
    np.testing.assert_array_equal(reads[np.arange(len(log.shown)), log.shown - 1], log.read_shown)
    np.testing.assert_array_equal(reads.reshape(8, 211, -1).sum(axis=0), log.counts())
    days = [sum(bool(large.alive(d)[j]) for d in log.day[::211]) for j in range(112)]
    assert log.alive_counts().tolist() == days
    heldout = large.log(4, "heldout")
    assert heldout.visit[::211].tolist() == [1000, 1001, 1002, 1003]
    assert heldout.day[::211].tolist() == [6, 7, 6, 7]


def test_the_log_is_drawn_by_the_law_of_its_day(news):
    """Displays, and reads of each article, over many visits of three days."""
    log = news.log(900)
    for day in range(3):
        rows = log.day == day
        exact = news.logging_policy(day)
        found = np.zeros(exact.shape)
        np.add.at(found, (log.person[rows], log.shown[rows] - 1, log.place[rows]), 1.0)
        expected = 300 * exact
        assert (found[expected == 0] == 0).all()
        large_cells = expected > 8
        error = np.sqrt(expected * (1 - exact))
        assert np.abs((found - expected)[large_cells] / error[large_cells]).max() < 4.8
        read = log.reads()[rows].reshape(300, 13, -1).sum(axis=0)
        rate = np.nan_to_num(news.see(day))
        error = np.sqrt(300 * rate * (1 - rate))
        alive = news.alive(day)
        assert np.abs((read - 300 * rate)[:, alive] / error[:, alive]).max() < 5.5
        assert read[:, ~alive].sum() == 0
        # of those shown at the top, and below
        for place in (0, 1):
            here = rows & (log.place == place)
            wanted = news.see_exposed(day, place)[log.person[here], log.shown[here] - 1]
            apart = (log.read_shown[here] - wanted).sum()
            assert abs(apart) < 4 * math.sqrt((wanted * (1 - wanted)).sum())


def test_the_weighted_log_values_another_policy_and_knows_the_news_day(large):
    """Fresh articles at the top, weighted: right with the open propensity, off with the other."""
    fresh = np.stack([(large.birth == d) / (large.birth == d).sum() for d in large.days])
    policy = np.zeros((120, 112, 2))
    policy[..., 0] = np.tile(fresh, (20, 1))
    done = np.mean([large.do(1, d)[:, large.birth == d].mean() for d in range(6)])
    policy, open_ = policy.reshape(120, -1), large.log(120).logged()
    told = ips(open_, policy)
    assert abs(told.value - done) < 4 * told.std_error
    untold = replace(large, config=replace(large.config, hidden=True)).log(120)
    rows = untold.logged()
    found = ips(rows, policy)
    seen = np.mean([large.see_exposed(d, 0)[:, large.birth == d].mean() for d in range(6)])
    assert abs(found.value - seen) < 4 * found.std_error
    # the same rows with two weights: what is between them is the exact bias
    apart = (rows.weight(policy) - open_.weight(policy)) * rows.reward
    error = apart.std(ddof=1) / math.sqrt(len(apart))
    assert abs(apart.mean() - (seen - done)) < 4 * error
    assert apart.mean() > 4 * error


def test_the_hidden_switch_changes_one_column_and_nothing_else(news):
    open_, hidden = news.log(5), replace(news, config=replace(SMALL, hidden=True)).log(5)
    for name in LOGGED:
        same = np.array_equal(getattr(open_, name), getattr(hidden, name))
        assert same == (name != "propensity"), name
    told = news.log(5, log_news=True)
    assert news.log(5).news_day is None
    for name in LOGGED:
        np.testing.assert_array_equal(getattr(open_, name), getattr(told, name))
    for day, z in ((0, 0), (1, 1)):
        rows = (told.day == day) & (told.news_day == z)
        chance = news.display(z, day)[told.person, told.shown - 1, told.place]
        np.testing.assert_allclose(told.propensity[rows], chance[rows], rtol=1e-12)
        average = news.logging_policy(day)[told.person, told.shown - 1, told.place]
        rows = told.day == day
        np.testing.assert_allclose(hidden.propensity[rows], average[rows], rtol=1e-12)


def test_a_randomised_slice_is_uniform_over_articles_and_places(large):
    log = large.log(12, stream="slice")
    assert log.randomised.all()
    alive = np.array([large.alive(int(d)).sum() for d in log.day])
    np.testing.assert_allclose(log.propensity, 1 / (2 * alive), rtol=1e-12)
    assert abs(log.place.mean() - 0.5) < 4 * 0.5 / math.sqrt(len(log.place))
    wanted = np.array([(large.birth == d).sum() for d in log.day]) / alive
    found = (log.age == 0).sum()
    assert abs(found - wanted.sum()) < 4 * math.sqrt((wanted * (1 - wanted)).sum())
    mixed = large.log(12, rand=0.25)
    assert abs(mixed.randomised.mean() - 0.25) < 4 * math.sqrt(0.1875 / len(mixed.shown))
    assert (mixed.randomised | (mixed.propensity != 1 / (2 * alive))).all()


def test_the_mean_weight_of_a_log_is_one(large):
    log = large.log(60)
    even = np.stack([large.alive(int(d)) / large.alive(int(d)).sum() / 2 for d in log.day[::211]])
    policy = np.repeat(even[..., None], 2, axis=2).reshape(60, -1)
    rows = log.logged()
    weight = rows.weight(policy)
    assert abs(weight.mean() - 1) < 4 * weight.std() / math.sqrt(rows.n)
    part = log.logged(log.place == 0)
    assert part.n == (log.place == 0).sum()
    assert (part.action % 2 == 0).all()


def test_the_tables_are_those_of_a_log(large):
    log = large.log(6)
    tables = log.to_log()
    assert (tables.n_people, tables.n_items, tables.n_categories) == (211, 112, 6)
    shown = tables.impressions
    np.testing.assert_array_equal(shown["item"], log.shown)
    np.testing.assert_array_equal(shown["reward"], log.read_shown)
    np.testing.assert_array_equal(shown["propensity"], log.propensity)
    np.testing.assert_array_equal(shown["place"], log.place)
    np.testing.assert_array_equal(shown["time"], log.day + 8)
    assert len(tables.purchases) == len(log.read_row)
    assert (tables.purchases["time"] >= 8).all()
    batch = history_batch(tables.events, np.arange(211), length=16, n_items=112)
    np.testing.assert_array_equal(batch.history, large.history)
    before, after = split_by_time(tables, 8)
    assert len(before.impressions) == 0
    assert len(after.events) == 0
    read = tables.events.merge(tables.items, on="item")
    age = read["time"] - 8 - read["birth"]
    assert ((age >= 0) & (age < read["life"])).all()


# ------------------------------------------------------------------------------- at the door


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"n_people": 0}, ValueError, "n_people must be at least 1; got 0"),
        ({"n_people": 5.0}, TypeError, r"n_people must be of type int; got 5\.0"),
        ({"n_topics": 7}, ValueError, "n_topics must be at most 6; got 7"),
        ({"life_max": 1}, ValueError, "life_max must be at least life_min, 2; got 1"),
        ({"reads": 6}, ValueError, "reads must be at most per_day, 5"),
        ({"past": 1, "reads": 3}, ValueError, "longest history, must be at least 5; got 3"),
        ({"keep": 1.2}, ValueError, r"keep must be from 0 to 1; got 1\.2"),
        ({"see_top": -0.1}, ValueError, r"see_top must be from 0 to 1; got -0\.1"),
        ({"g_y": math.nan}, ValueError, "g_y must be finite; got nan"),
        ({"hidden": 1}, TypeError, "hidden must be of type bool; got 1"),
        ({"wave": -1.0}, ValueError, r"wave must be at least 0; got -1\.0"),
    ],
)
def test_a_config_says_what_is_wrong(changed, error, message):
    with pytest.raises(error, match=message):
        replace(SMALL, **changed)


def test_a_log_and_a_build_say_what_is_wrong(news):
    with pytest.raises(ValueError, match=r"stream must be one of .* got 'tomorrow'"):
        news.log(1, "tomorrow")
    with pytest.raises(ValueError, match="visits must be from 1 to 1000; got 0"):
        news.log(0)
    with pytest.raises(TypeError, match=r"visits must be of type int; got 1\.0"):
        news.log(1.0)
    with pytest.raises(ValueError, match="rand must be from 0 to 1; got 2"):
        news.log(1, rand=2)
    with pytest.raises(ValueError, match="seed must be at least 0; got -1"):
        build_news(SMALL, -1)
    with pytest.raises(TypeError, match="seed must be of type int; got 'a'"):
        build_news(SMALL, "a")
