from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest

from recflax.causal import logged
from recflax.causal.effects import difference_of_means
from recflax.lessons import social, social_network
from recflax.lessons.statements import by_name
from recflax.worlds.social import Social
from recflax.worlds.social_law import SocialLaw
from recflax.worlds.social_log import SocialLog

SIZE = 53  # one size for all networks, so that one is compiled
SEEDS = (3, 5, 7)


@pytest.fixture(scope="module")
def rows():
    return [social.run(seed, SIZE) for seed in SEEDS]


@pytest.fixture(scope="module")
def worlds():
    return social.build(3, SIZE)


# -------------------------------------------------------------------------------- the lesson


def test_every_statement_has_a_bound_and_a_name_of_its_own(rows):
    said = by_name(social.claims(rows))
    assert all(s.at_least is not None or s.at_most is not None for s in said.values())
    assert all(name.startswith("social-") for name in said)
    assert {s.seeds for s in said.values()} == {3}


@pytest.mark.parametrize(
    "name",
    [
        "one-log",
        "one-log-row-by-row",
        "two-answers",
        "one-network",
        "random-suggestions-do-not-help",
        "known-propensities-answer-the-platform",
        "weights-miss-by-the-closed-form",
        "weights-would-do-if-the-likeness-were-told",
        "coin-covers",
        "similar-people-are-liked-more",
        "similar-people-add-nothing-under-homophily",
        "nothing-to-gain-under-homophily",
    ],
)
def test_what_does_not_take_many_people_holds_on_small_networks(rows, name):
    assert by_name(social.claims(rows))[f"social-{name}"].holds


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("one-log", {"cells_apart": 1e-9}),
        ("one-log-row-by-row", {"rows_apart": 1.0}),
        ("two-answers", {"effect_homophily": 0.1, "effect_influence": 0.1}),
        ("one-network", {"network_apart": 1e-6}),
        ("network-wrong-under-homophily", {"network": 0.05}),
        ("network-right-under-influence", {"network": 0.3}),
        ("random-suggestions-do-not-help", {"chosen_apart": 1e-9}),
        ("known-propensities-answer-the-platform", {"suggest_error": 0.1}),
        ("weights-miss-by-the-closed-form", {"hidden_error": 0.0}),
        ("weights-are-sure", {"hidden_error": 0.01}),
        ("weights-would-do-if-the-likeness-were-told", {"open_error": 0.14}),
        ("coin-covers", {"coin_influence_hit": 0.0}),
        ("coin-tells-the-worlds-apart", {"coin_homophily_other": 1.0}),
        ("similar-people-are-liked-more", {"similar_slot": 0.1}),
        ("similar-people-add-nothing-under-homophily", {"similar_homophily": 0.01}),
        ("nothing-to-gain-under-homophily", {"increment_homophily": -0.01}),
        ("something-to-gain-under-influence", {"increment_influence": 0.0}),
    ],
)
def test_every_statement_fails_when_its_number_is_another(rows, name, broken):
    assert not by_name(social.claims([row | broken for row in rows]))[f"social-{name}"].holds


def test_a_row_says_what_the_parts_say(rows):
    row, (homophily, influence) = rows[0], social.build(3, SIZE)
    assert row["seed"] == 3
    assert row["people"] == SIZE
    assert row["effect_homophily"] == 0
    assert row["effect_influence"] == pytest.approx(homophily.adjusted(), rel=1e-12)
    assert row["bias"] == pytest.approx(row["effect_influence"], rel=1e-12)
    assert row["suggesting_influence"] == pytest.approx(influence.effect_of_suggesting())
    log = influence.log(20, stream="slice")
    found = log.engaged[log.displayed].mean() - log.engaged[~log.displayed].mean()
    assert row["coin_influence_value"] == pytest.approx(found)
    assert row["coin_influence_error"] == pytest.approx(found - row["suggesting_influence"])
    ends = difference_of_means(log.displays())
    assert row["coin_influence_other"] == (ends.lower <= 0 <= ends.upper)
    log = homophily.log(60)
    terms = log.engaged / log.propensity / (SIZE - 1)
    truth = homophily.policy_value(homophily.uniform()).slot_rate
    assert row["suggest_error"] == pytest.approx(terms.mean() - truth)
    assert row["raw"] == pytest.approx(
        log.engaged[log.followed].mean() - log.engaged[~log.followed].mean()
    )


def test_the_same_seed_gives_the_same_row(rows):
    assert social.run(3, SIZE) == rows[0]


def test_the_cells_are_counts_over_displayed_rows(worlds):
    log = worlds.homophily.log(7, rand=0.5)
    target, weight = social_network.follow_cells(log)
    wanted = np.zeros((2, SIZE, 2, SIZE))
    columns = zip(log.person, log.suggested, log.displayed, log.followed, log.engaged, strict=True)
    for u, j, displayed, followed, engaged in columns:
        if displayed:
            arm = 0 if followed else 1
            wanted[0, u, arm, j - 1] += 1
            wanted[1, u, arm, j - 1] += engaged
    np.testing.assert_array_equal(weight, wanted[0])
    np.testing.assert_array_equal(target * weight, wanted[1])
    assert weight.sum() == log.displayed.sum() < len(log.person)


def test_people_similar_to_the_one_liked_last_are_those_of_a_loop(worlds):
    world = worlds.homophily
    policy = social.similar_to_liked(world)
    for u in range(SIZE):
        liked = [i - 1 for i, x in zip(world.history[u], world.liked[u], strict=True) if x]
        b = liked[-1] if liked else world.history[u, -1] - 1
        wanted = [
            j for j in range(SIZE) if world.community[j] == world.community[b] and j not in (u, b)
        ]
        assert np.flatnonzero(policy[u]).tolist() == wanted
        np.testing.assert_allclose(policy[u, wanted], 1 / len(wanted))
    one, two = (w.policy_value(policy) for w in worlds)
    assert one.slot_rate == pytest.approx(two.slot_rate)
    assert one.increment == 0
    assert two.increment > 0.02


def test_rows_that_differ_are_counted(worlds):
    log = worlds.homophily.log(3)
    assert social.rows_apart(log, log) == 0
    assert social.rows_apart(log, worlds.influence.log(3)) == 0
    flipped = log.followed.copy()
    flipped[[2, 11]] ^= True
    assert social.rows_apart(log, replace(log, followed=flipped)) == 2
    other = replace(log, follow_chance=log.follow_chance + 1e-9)
    assert social.rows_apart(log, other) == len(log.person)


def test_a_network_reads_who_was_followed_and_not_who_was_not(worlds):
    """Where liking is certain after a follow and impossible else, the arms learn that."""
    log = worlds.homophily.log(60)
    certain = replace(log, engaged=log.followed)
    yes, no = social_network.fitted(worlds.homophily, certain, jax.random.key(0))
    assert yes.mean() > 0.75
    assert no.mean() < 0.15


# ------------------------------------------------------- what is broken, and which claim says so


def rows_of(part: Callable[[int], dict[str, float]]) -> list[dict[str, float]]:
    """A part of the rows made afresh on three networks; the other columns are 1."""
    return [defaultdict(lambda: 1.0, part(seed)) for seed in SEEDS]


unbroken = cache(rows_of)


def holds(name: str, rows: list[dict[str, float]]) -> bool:
    return by_name(social.claims(rows))[f"social-{name}"].holds


def exact(seed: int) -> dict[str, float]:
    return social.exact_row(social.build(seed, SIZE))


def weights(seed: int) -> dict[str, float]:
    worlds = social.build(seed, SIZE)
    return social.weights_row(worlds.homophily) | social.exact_row(worlds)


def coin(seed: int) -> dict[str, float]:
    return social.experiment_row(social.build(seed, 211))


def trained(seed: int) -> dict[str, float]:
    worlds = social.build(seed, SIZE)
    return social.network_row(worlds, seed) | social.exact_row(worlds)


def see_in_the_place_of_do(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SocialLaw, "do", lambda self, t: self.see(t))


def the_twin_keeps_the_effect(patch: pytest.MonkeyPatch) -> None:
    def without(self: SocialLaw) -> SocialLaw:
        engage = np.stack([self.do(t)[None] for t in (0, 1)])
        often = self.follow_chance()[None]
        return replace(self, similarity=np.ones(1), follow=often, engage=engage)

    patch.setattr(SocialLaw, "without_similarity", without)


def propensities_shuffled(patch: pytest.MonkeyPatch) -> None:
    draw = Social.log

    def shuffled(self: Social, *arguments: object, **named: object) -> SocialLog:
        log = draw(self, *arguments, **named)
        return replace(log, propensity=np.random.default_rng(0).permutation(log.propensity))

    patch.setattr(Social, "log", shuffled)


def the_likeness_is_always_told(patch: pytest.MonkeyPatch) -> None:
    honest = Social.log

    def told(self: Social, *arguments: object, **named: object) -> SocialLog:
        open_ = replace(self, config=replace(self.config, hidden=False))
        return honest(open_, *arguments, **named)

    patch.setattr(Social, "log", told)


def weights_ignored(patch: pytest.MonkeyPatch) -> None:
    honest = logged.Treated.bind

    def as_if_all_alike(self: logged.Treated, propensity: np.ndarray) -> logged.Nuisances:
        return honest(self, np.full_like(propensity, propensity.mean()))

    patch.setattr(logged.Treated, "bind", as_if_all_alike)


def follows_in_the_place_of_the_coin(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SocialLog, "displays", SocialLog.follows)


def one_experiment_for_both_worlds(patch: pytest.MonkeyPatch) -> None:
    honest = Social.log

    def log(self: Social, *arguments: object, **named: object) -> SocialLog:
        return honest(self.without_similarity(), *arguments, **named)

    patch.setattr(Social, "log", log)


def another_seed_for_the_other_world(patch: pytest.MonkeyPatch) -> None:
    honest = social.build

    def build(seed: int, size: int) -> social.Worlds:
        return social.Worlds(honest(seed, size)[0], honest(seed + 1, size)[1])

    patch.setattr(social, "build", build)


def arms_exchanged(patch: pytest.MonkeyPatch) -> None:
    honest = social_network.follow_cells
    patch.setattr(
        social_network, "follow_cells", lambda log: tuple(part[:, ::-1] for part in honest(log))
    )


def likes_in_the_place_of_what_suggesting_adds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SocialLaw, "suggestion_uplift", SocialLaw.displayed)


MUTATIONS = [
    ("two-answers", exact, see_in_the_place_of_do),
    ("one-log", exact, the_twin_keeps_the_effect),
    ("random-suggestions-do-not-help", exact, the_twin_keeps_the_effect),
    ("known-propensities-answer-the-platform", weights, propensities_shuffled),
    ("weights-miss-by-the-closed-form", weights, the_likeness_is_always_told),
    ("weights-would-do-if-the-likeness-were-told", weights, weights_ignored),
    ("coin-covers", coin, follows_in_the_place_of_the_coin),
    ("coin-tells-the-worlds-apart", coin, one_experiment_for_both_worlds),
    ("one-network", trained, another_seed_for_the_other_world),
    ("one-log-row-by-row", trained, another_seed_for_the_other_world),
    ("network-wrong-under-homophily", trained, arms_exchanged),
    (
        "similar-people-add-nothing-under-homophily",
        exact,
        likes_in_the_place_of_what_suggesting_adds,
    ),
    ("nothing-to-gain-under-homophily", trained, likes_in_the_place_of_what_suggesting_adds),
]


@pytest.mark.parametrize(
    ("name", "part", "breakage"), MUTATIONS, ids=[f"{n}-{b.__name__}" for n, _, b in MUTATIONS]
)
def test_what_is_claimed_holds_and_does_not_survive_its_breakage(name, part, breakage):
    assert holds(name, unbroken(part))
    with pytest.MonkeyPatch.context() as patch:
        breakage(patch)
        assert not holds(name, rows_of(part))
