"""Estimators of a policy's value against the exact truth, a second implementation and theory.

The toy world: a person is of one of C kinds (her context), drawn with chances p(c), and visits V
times. At a visit she has an intent z that nobody logs; action and reward depend on kind and
intent. Two features keep her visits together: her kind, and a mood of her own that moves every
reward of hers up or down. All truths are sums over a few cells.
"""

import itertools
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from recflax.causal import policy_value as pv
from recflax.causal.logged import Logged
from recflax.worlds.store import StoreConfig, build_store

LOGS, PEOPLE, VISITS = 1000, 211, 3
C, A = 5, 3
MOOD = 0.05
LOW, HIGH = stats.binom.ppf([0.0005, 0.9995], LOGS, 0.95)
"""Exact 99.9% band of how many of 1,000 intervals of 95% hold the truth: 926 to 971."""


@dataclass(frozen=True)
class World:
    """The toy world, and what its log is to be evaluated with.

    Attributes:
        kinds: (C,) chances of each kind.
        intent: (2,) chances of z.
        display: (2, C, A) chances with which the logging policy acts, given intent and kind.
        reward: (2, C, A) chances of a reward, given intent, kind and action.
        policy: (C, A).
        propensity: (2, C, A) what is logged as propensity.
        predicted: (C, A) predicted rewards.
    """

    kinds: np.ndarray
    intent: np.ndarray
    display: np.ndarray
    reward: np.ndarray
    policy: np.ndarray
    propensity: np.ndarray
    predicted: np.ndarray

    @property
    def do(self) -> np.ndarray:
        """(C, A) chance of a reward if we act: the intent is as it comes."""
        return np.einsum("z,zca->ca", self.intent, self.reward)

    @property
    def seen(self) -> np.ndarray:
        """(C, A) chance of a reward among the visits with this action."""
        acted = np.einsum("z,zca->ca", self.intent, self.display)
        return np.einsum("z,zca->ca", self.intent, self.display * self.reward) / acted

    @property
    def truth(self) -> float:
        return float(self.kinds @ (self.policy * self.do).sum(axis=1))

    def mean(self, weight: np.ndarray, predicted: np.ndarray | float = 0.0) -> float:
        """Expectation of v + w (R - q), with weights (2, C, A), by summing over every cell."""
        q = np.broadcast_to(predicted, (C, A))
        corrected = self.display * weight * (self.reward - q)
        inside = (self.policy * q).sum(axis=1) + np.einsum("z,zca->c", self.intent, corrected)
        return float(self.kinds @ inside)

    @property
    def weight(self) -> np.ndarray:
        """(2, C, A) the weights that the logged propensities give."""
        return self.policy / self.propensity

    def logs(self, seed: int = 0, logs: int = LOGS) -> list[Logged]:
        """Draw logs of PEOPLE people with VISITS visits each."""
        rng = np.random.default_rng(seed)
        shape = logs, PEOPLE, VISITS
        kind = rng.choice(C, size=shape[:2], p=self.kinds)[..., None]
        kind = np.broadcast_to(kind, shape)
        mood = np.broadcast_to(rng.choice([-MOOD, MOOD], size=(*shape[:2], 1)), shape)
        z = (rng.random(shape) < self.intent[1]).astype(int)
        # over a log's people the display of zero actions has no place, so that none is drawn
        cumulative = np.cumsum(self.display, axis=2)[z, kind]
        action = (cumulative[..., :-1] <= rng.random(shape)[..., None]).sum(axis=-1)
        reward = rng.random(shape) < self.reward[z, kind, action] + mood
        columns = (kind, action, reward, self.propensity[z, kind, action])
        person = np.repeat(np.arange(PEOPLE), VISITS)
        return [Logged(*(column[i].ravel() for column in columns), person) for i in range(logs)]


def toy(seed: int = 7, confounded: bool = True) -> World:
    """A world of bounded weights, with exact propensities and right predictions."""
    rng = np.random.default_rng(seed)
    kinds, intent = rng.dirichlet(np.full(C, 5.0)), np.array([0.7, 0.3])
    display = 0.15 + 0.55 * rng.dirichlet(np.ones(A), (2, C))  # at least .15
    reward = rng.uniform(0.1, 0.6, (C, A)) + 0.3 * np.arange(2)[:, None, None]
    if not confounded:
        display = np.stack([display[0]] * 2)
    policy = rng.dirichlet(np.ones(A), C)
    world = World(kinds, intent, display, reward, policy, display, np.zeros((C, A)))
    return replace(world, predicted=world.do)


WORLD = toy()
PLAIN = toy(confounded=False)
WRONG = np.random.default_rng(11).uniform(0.0, 0.4, (C, A))  # predictions that are too low
UNIFORM = np.full((2, C, A), 1 / A)  # propensities that are wrong


@dataclass(frozen=True)
class Found:
    """What 1,000 logs gave: values, and how many intervals held the truth."""

    values: np.ndarray
    covered: int

    def centre(self, truth: float) -> float:
        """How many Monte Carlo standard errors the mean estimate is away from something."""
        return float((self.values.mean() - truth) / stats.sem(self.values))


def over_logs(logs: list[Logged], truth: float, estimate) -> Found:
    estimates = [estimate(log) for log in logs]
    return Found(
        np.array([e.value for e in estimates]),
        sum(e.lower <= truth <= e.upper for e in estimates),
    )


def doubly_robust(world: World):
    return lambda log: pv.doubly_robust(log, world.policy, log.bind(world.predicted))


@pytest.fixture(scope="module")
def logs():
    return {"confounded": WORLD.logs(0), "plain": PLAIN.logs(1)}


# ----------------------------------------------------- unbiased where theory says unbiased


def test_ips_is_unbiased_and_covers(logs):
    found = over_logs(logs["confounded"], WORLD.truth, lambda log: pv.ips(log, WORLD.policy))
    assert abs(found.centre(WORLD.truth)) < 4
    assert LOW <= found.covered <= HIGH  # bounded weights


@pytest.mark.parametrize("predicted", [WORLD.do, WRONG], ids=["both right", "outcome broken"])
def test_doubly_robust_is_unbiased_and_covers_with_right_propensities(logs, predicted):
    world = replace(WORLD, predicted=predicted)
    found = over_logs(logs["confounded"], world.truth, doubly_robust(world))
    assert abs(found.centre(world.truth)) < 4
    assert LOW <= found.covered <= HIGH


def test_doubly_robust_is_unbiased_and_covers_with_a_right_outcome_model():
    world = replace(PLAIN, propensity=UNIFORM)
    found = over_logs(world.logs(2), world.truth, doubly_robust(world))
    assert abs(found.centre(world.truth)) < 4
    assert LOW <= found.covered <= HIGH


def test_the_direct_method_is_unbiased_and_covers_with_a_right_outcome_model(logs):
    found = over_logs(
        logs["confounded"],
        WORLD.truth,
        lambda log: pv.direct_method(log, WORLD.policy, log.bind(WORLD.do)),
    )
    assert abs(found.centre(WORLD.truth)) < 4
    assert LOW <= found.covered <= HIGH


def test_a_bootstrap_interval_covers_too(logs):
    options = {"method": "bootstrap", "replicates": 199}
    few = logs["confounded"][:300]
    found = over_logs(few, WORLD.truth, lambda log: pv.snips(log, WORLD.policy, **options))
    low, high = stats.binom.ppf([0.0005, 0.9995], 300, 0.95)
    assert low <= found.covered <= high


def test_rows_of_one_person_taken_for_people_give_intervals_that_are_too_short():
    # the direct method moves with the kind alone, so her three visits are one
    few = WORLD.logs(3, 300)
    alone = [replace(log, person=np.arange(log.n)) for log in few]

    def direct(log):
        return pv.direct_method(log, WORLD.policy, log.bind(WORLD.do))

    assert over_logs(few, WORLD.truth, direct).covered > stats.binom.ppf(0.0005, 300, 0.95)
    assert over_logs(alone, WORLD.truth, direct).covered < stats.binom.ppf(0.0005, 300, 0.95)
    wide, short = direct(few[0]), direct(alone[0])
    assert wide.std_error == pytest.approx(short.std_error * np.sqrt(VISITS), rel=0.01)


# ------------------------------------------- what fails, fails by what the formula says


def assert_off_by(found: Found, truth: float, bias: float) -> None:
    """The mean estimate is where the formula says, and not at the truth."""
    assert abs(found.centre(truth + bias)) < 4
    assert abs(found.centre(truth)) > 4


def test_clipping_takes_what_it_cuts_off(logs):
    clip = 0.8
    found = over_logs(
        logs["confounded"], WORLD.truth, lambda log: pv.clipped_ips(log, WORLD.policy, clip)
    )
    kept = np.minimum(WORLD.policy, clip * WORLD.display)  # e min(w, c)
    lost = np.einsum("c,z,zca->", WORLD.kinds, WORLD.intent, (WORLD.policy - kept) * WORLD.reward)
    assert lost > 0.05
    assert_off_by(found, WORLD.truth, -lost)


def test_clipped_doubly_robust_loses_only_what_the_predictions_miss(logs):
    world, clip = replace(WORLD, predicted=WRONG), 0.8
    found = over_logs(
        logs["confounded"],
        world.truth,
        lambda log: pv.doubly_robust(log, world.policy, log.bind(WRONG), clip=clip),
    )
    kept = np.minimum(world.policy, clip * world.display)
    missed = (world.policy - kept) * (WRONG - world.reward)
    assert_off_by(found, world.truth, np.einsum("c,z,zca->", world.kinds, world.intent, missed))


def test_switch_has_the_bias_of_the_predictions_where_it_is_switched_off(logs):
    threshold = 0.8
    found = over_logs(
        logs["confounded"],
        WORLD.truth,
        lambda log: pv.switch_dr(log, WORLD.policy, log.bind(WRONG), threshold),
    )
    off = WORLD.weight > threshold
    missed = off * WORLD.policy * (WRONG - WORLD.reward)
    assert_off_by(found, WORLD.truth, np.einsum("c,z,zca->", WORLD.kinds, WORLD.intent, missed))


def test_a_wrong_outcome_model_is_all_that_the_direct_method_has(logs):
    found = over_logs(
        logs["confounded"],
        WORLD.truth,
        lambda log: pv.direct_method(log, WORLD.policy, log.bind(WRONG)),
    )
    bias = WORLD.kinds @ (WORLD.policy * (WRONG - WORLD.do)).sum(axis=1)
    assert_off_by(found, WORLD.truth, bias)
    assert found.covered < LOW / 2


def test_both_nuisances_wrong_fail_by_their_product():
    world = replace(PLAIN, propensity=UNIFORM, predicted=WRONG)
    found = over_logs(world.logs(4), world.truth, doubly_robust(world))
    ratio = world.display[0] / UNIFORM[0]
    bias = world.kinds @ (world.policy * (WRONG - world.do) * (1 - ratio)).sum(axis=1)
    assert_off_by(found, world.truth, bias)
    assert found.covered < LOW


def test_wrong_propensities_alone_fail_ips_by_the_ratio():
    world = replace(PLAIN, propensity=UNIFORM)
    found = over_logs(world.logs(4), world.truth, lambda log: pv.ips(log, world.policy))
    ratio = world.display[0] / UNIFORM[0]
    bias = world.kinds @ (world.policy * world.do * (ratio - 1)).sum(axis=1)
    assert_off_by(found, world.truth, bias)


def test_without_overlap_ips_misses_the_value_of_what_is_never_shown():
    display = WORLD.display.copy()
    display[:, :, 0] = 0.0
    display /= display.sum(axis=2, keepdims=True)
    logged = np.where(display > 0, display, 1.0)  # never drawn, so never logged
    world = replace(WORLD, display=display, propensity=logged)
    drawn = world.logs(5)
    missed = world.kinds @ (world.policy * world.do)[:, 0]
    found = over_logs(drawn, world.truth, lambda log: pv.ips(log, world.policy))
    assert_off_by(found, world.truth, -missed)
    # the free test: the mean weight is the mass that was reached
    reached = world.kinds @ world.policy[:, 1:].sum(axis=1)
    mean_weight = Found(np.array([log.weight(world.policy).mean() for log in drawn]), 0)
    assert abs(mean_weight.centre(reached)) < 4
    # a doubly robust estimate is as good as its predictions there
    wrong = replace(world, predicted=WRONG)
    guessed = world.kinds @ (world.policy * (WRONG - world.do))[:, 0]
    assert_off_by(over_logs(drawn, world.truth, doubly_robust(wrong)), world.truth, guessed)


@pytest.mark.parametrize("predicted", [WORLD.do, WORLD.seen, WRONG], ids=["do", "seen", "wrong"])
def test_a_hidden_confounder_fails_every_doubly_robust_estimate_alike(predicted):
    marginal = np.einsum("z,zca->ca", WORLD.intent, WORLD.display)
    world = replace(WORLD, propensity=np.stack([marginal] * 2), predicted=predicted)
    found = over_logs(world.logs(6), world.truth, doubly_robust(world))
    bias = world.kinds @ (world.policy * (world.seen - world.do)).sum(axis=1)
    assert_off_by(found, world.truth, bias)
    ips = over_logs(world.logs(6), world.truth, lambda log: pv.ips(log, world.policy))
    assert_off_by(ips, world.truth, bias)


def test_the_formulas_of_these_tests_agree_with_the_sum_over_every_cell():
    marginal = np.stack([np.einsum("z,zca->ca", WORLD.intent, WORLD.display)] * 2)
    hidden = replace(WORLD, propensity=marginal)
    for q in (0.0, WORLD.do, WORLD.seen, WRONG):
        assert WORLD.mean(WORLD.weight, q) == pytest.approx(WORLD.truth, rel=1e-12)
        seen = WORLD.kinds @ (WORLD.policy * WORLD.seen).sum(axis=1)
        assert hidden.mean(hidden.weight, q) == pytest.approx(seen, rel=1e-12)
    broken = replace(WORLD, propensity=UNIFORM)  # right for do is not right for the rows
    assert abs(broken.mean(broken.weight, broken.do) - broken.truth) > 0.001
    broken = replace(PLAIN, propensity=UNIFORM)
    assert broken.mean(broken.weight, broken.do) == pytest.approx(broken.truth, rel=1e-12)


# ------------------------------------------------------------------------ heavy tails


def test_intervals_of_ips_and_snips_fail_as_overlap_shrinks():
    # One context, two actions; the policy takes the first, the log with chance e. With no such
    # row both intervals are [0, 0] or none, so the share of misses is at least (1 - e)^n.
    n, q, chances = 200, 0.5, (0.5, 0.05, 0.01, 0.005)
    rng = np.random.default_rng(8)
    share = {"ips": [], "snips": []}
    for e in chances:
        covered = dict.fromkeys(share, 0)
        for _ in range(LOGS):
            action = (rng.random(n) >= e).astype(int)
            reward = rng.random(n) < q
            log = Logged(np.zeros(n, int), action, reward, np.array([e, 1 - e])[action], range(n))
            for name, estimator in (("ips", pv.ips), ("snips", pv.snips)):
                if action.all() and name == "snips":
                    continue  # no row with a weight: no estimate
                found = estimator(log, [[1.0, 0.0]])
                covered[name] += found.lower <= q <= found.upper
        for name, hits in covered.items():
            nothing = (1 - e) ** n
            assert LOGS - hits > stats.binom.ppf(0.0005, LOGS, nothing)
            share[name].append(hits)
    for hits in share.values():
        assert LOW <= hits[0] <= HIGH
        assert hits[-1] < LOW
        # the last share is below the first by more than both could vary
        spread = np.sqrt(sum(h * (LOGS - h) / LOGS for h in (hits[0], hits[-1])))
        assert hits[0] - hits[-1] > 4 * spread
        assert hits == sorted(hits, reverse=True)


def test_snips_is_told_when_no_row_has_a_weight():
    log = Logged([0, 0], [1, 1], [1.0, 0.0], [0.5, 0.5], person=[0, 1])
    with pytest.raises(ValueError, match="policy never does what the log did"):
        pv.snips(log, [[1.0, 0.0]])
    assert pv.ips(log, [[1.0, 0.0]]).effective_sample_size == 0


# ------------------------------------------------------------------------- the store


def test_in_the_store_1000_logs_are_right_on_average():
    # one store, 1,000 visits of each person, each visit a log: the target is these people
    config = StoreConfig(n_people=101, n_items=13, n_categories=5, length=7, o0=-4.0)
    store = build_store(config, 3)
    policy = store.uplift() / store.uplift().sum(axis=1, keepdims=True)
    drawn = store.log(visits=LOGS)
    truth = store.policy_value(policy).slot_rate
    columns = [
        column.reshape(LOGS, config.n_people)
        for column in (drawn.person, drawn.shown - 1, drawn.bought_shown, drawn.propensity)
    ]
    visits = [Logged(*(column[i] for column in columns)) for i in range(LOGS)]
    right, wrong = store.do(1), store.see()
    for estimate in (
        lambda log: pv.ips(log, policy),
        lambda log: pv.doubly_robust(log, policy, log.bind(right)),
        lambda log: pv.doubly_robust(log, policy, log.bind(wrong)),
    ):
        found = over_logs(visits, truth, estimate)
        assert abs(found.centre(truth)) < 4
        # an interval over people like them is conservative for these people, whose draw is held
        assert found.covered >= stats.binom.ppf(0.0005, LOGS, 0.9)
    clip = 1.0
    lost = sum(
        p * ((policy - np.minimum(policy, clip * store.display(z))) * store.mu(1, z)).sum(1).mean()
        for z, p in store.intents()
    )
    found = over_logs(visits, truth, lambda log: pv.clipped_ips(log, policy, clip))
    assert_off_by(found, truth, -lost)
    direct = pv.direct_method(visits[0], policy, visits[0].bind(right))
    assert direct.value == pytest.approx(truth, rel=1e-12)  # everyone is in every log


# --------------------------------------------------- every log of two rows, enumerated


def test_unbiased_means_the_average_over_every_possible_log():
    """All 144 logs of two visits, each with its chance: no Monte Carlo, so equal to 1e-12."""
    rng = np.random.default_rng(5)
    kinds, policy = np.array([0.4, 0.6]), rng.dirichlet(np.ones(3), 2)
    display, reward = rng.dirichlet(np.ones(3), 2), rng.uniform(0.2, 0.8, (2, 3))
    wrong, other = rng.random((2, 3)), rng.dirichlet(np.ones(3), 2)
    truth = float(kinds @ (policy * reward).sum(axis=1))
    cells = list(itertools.product(range(2), range(3), (0, 1)))
    chance = {
        (c, a, r): kinds[c] * display[c, a] * (reward[c, a] if r else 1 - reward[c, a])
        for c, a, r in cells
    }
    mean = dict.fromkeys(("ips", "dr, outcome", "dr, propensity", "dr, neither", "snips"), 0.0)
    for one, two in itertools.product(cells, cells):
        context, action, got = (np.array(pair) for pair in zip(one, two, strict=True))
        right, broken = (
            Logged(context, action, got, table[context, action], person=[0, 1])
            for table in (display, other)
        )
        p = chance[one] * chance[two]
        mean["ips"] += p * pv.ips(right, policy).value
        mean["snips"] += p * pv.snips(right, policy).value
        mean["dr, outcome"] += p * pv.doubly_robust(right, policy, right.bind(wrong)).value
        mean["dr, propensity"] += p * pv.doubly_robust(broken, policy, broken.bind(reward)).value
        mean["dr, neither"] += p * pv.doubly_robust(broken, policy, broken.bind(wrong)).value
    for name in ("ips", "dr, outcome", "dr, propensity"):
        assert mean[name] == pytest.approx(truth, rel=1e-12)
    bias = kinds @ (policy * (wrong - reward) * (1 - display / other)).sum(axis=1)
    assert mean["dr, neither"] == pytest.approx(truth + bias, rel=1e-12)
    assert abs(bias) > 0.01
    assert abs(mean["snips"] - truth) > 0.01  # two rows: its bias goes with 1/n


# ------------------------------------------------------------- a second implementation


def by_the_book(log: Logged, policy, predicted, clip, threshold) -> dict[str, float]:
    """The estimators written out row by row, after Dudík et al. and Open Bandit Pipeline."""
    n, actions = len(log.reward), len(policy[0])
    total = dict.fromkeys(("ips", "clipped", "direct", "dr", "dr clipped", "switch"), 0.0)
    weights = 0.0
    for i in range(n):
        x, a, r = log.context[i], log.action[i], log.reward[i]
        iw = policy[x][a] / log.propensity[i]
        weights += iw
        total["ips"] += r * iw
        total["clipped"] += r * min(iw, clip)
        expected = 0.0
        for b in range(actions):
            expected += policy[x][b] * predicted[x][b]
        total["direct"] += expected
        total["dr"] += iw * (r - predicted[x][a]) + expected
        total["dr clipped"] += min(iw, clip) * (r - predicted[x][a]) + expected
        total["switch"] += (iw * (r - predicted[x][a]) if iw <= threshold else 0.0) + expected
    return {name: value / n for name, value in total.items()} | {"snips": total["ips"] / weights}


def ours(log: Logged, policy, predicted, clip, threshold) -> dict[str, float]:
    bound = log.bind(predicted)
    return {
        "ips": pv.ips(log, policy).value,
        "clipped": pv.clipped_ips(log, policy, clip).value,
        "direct": pv.direct_method(log, policy, bound).value,
        "dr": pv.doubly_robust(log, policy, bound).value,
        "dr clipped": pv.doubly_robust(log, policy, bound, clip=clip).value,
        "switch": pv.switch_dr(log, policy, bound, threshold).value,
        "snips": pv.snips(log, policy).value,
    }


def small_log(seed: int = 13, n: int = 47, contexts: int = 7, actions: int = 5) -> Logged:
    rng = np.random.default_rng(seed)
    return Logged(
        rng.integers(contexts, size=n),
        rng.integers(actions, size=n),
        rng.normal(size=n),
        rng.uniform(0.05, 1.0, n),
        person=rng.integers(11, size=n),
    )


def test_a_second_implementation_gives_the_same_numbers():
    for seed in range(13):
        rng, log = np.random.default_rng(seed), small_log(seed)
        policy, predicted = rng.dirichlet(np.ones(5), 7), rng.normal(size=(7, 5))
        arguments = (log, policy, predicted, 0.4, 0.3)
        theirs = by_the_book(*arguments)
        assert ours(*arguments) == pytest.approx(theirs, rel=1e-10)
        assert len({round(value, 6) for value in theirs.values()}) == len(theirs)


def test_diagnostics_by_hand():
    log = Logged([0, 0, 0, 0], [0, 1, 1, 0], [1, 0, 1, 1], [0.5, 0.1, 0.5, 0.25], [0, 0, 1, 2])
    policy = [[0.5, 0.5]]  # weights 1, 5, 1, 2
    raw = pv.ips(log, policy)
    assert raw.effective_sample_size == pytest.approx(9**2 / (1 + 25 + 1 + 4))
    assert (raw.max_weight, raw.clipped_share, raw.target) == (5, 0, "people like them")
    cut = pv.clipped_ips(log, policy, 2.0)
    assert cut.effective_sample_size == pytest.approx(6**2 / (1 + 4 + 1 + 4))
    assert (cut.max_weight, cut.clipped_share) == (2, 0.25)  # a weight at the clip is not cut
    bound = log.bind([[0.5, 0.5]])
    switch = pv.switch_dr(log, policy, bound, 2.0)
    assert (switch.max_weight, switch.clipped_share) == (2, 0.25)
    direct = pv.direct_method(log, policy, bound)
    assert direct.effective_sample_size is direct.max_weight is direct.clipped_share is None
    # sums 1 + 0, 1, 2 over 2, 1, 1 rows, mean 1: residuals -1, 0, 1; G/(G-1) = 3/2; N = 4
    assert raw.value == 1
    assert raw.std_error == pytest.approx(np.sqrt(3 / 2 * 2) / 4)


# ------------------------------------------------------------------------ properties

cases = st.integers(0, 10_000)
constants = st.floats(-10, 10)


def case(seed: int):
    rng, log = np.random.default_rng(seed), small_log(seed)
    return log, rng.dirichlet(np.ones(5), 7), rng.normal(size=(7, 5))


@given(cases, constants)
def test_a_constant_more_in_every_reward_is_a_constant_more_in_snips(seed, shift):
    log, policy, _ = case(seed)
    before = pv.snips(log, policy)
    after = pv.snips(replace(log, reward=log.reward + shift), policy)
    assert after.value == pytest.approx(before.value + shift, abs=1e-9)
    assert after.std_error == pytest.approx(before.std_error, rel=1e-6)
    weight = log.weight(policy)
    touched = log.reward[weight > 0]
    assert touched.min() - 1e-12 <= before.value <= touched.max() + 1e-12


@given(cases, constants)
def test_ips_does_not_grant_that_unless_the_mean_weight_is_one(seed, shift):
    log, policy, _ = case(seed)
    moved = pv.ips(replace(log, reward=log.reward + shift), policy).value
    expected = pv.ips(log, policy).value + shift * log.weight(policy).mean()
    assert moved == pytest.approx(expected, abs=1e-9)


@given(cases, st.floats(0.1, 5))
def test_the_estimators_contain_each_other(seed, level):
    log, policy, predicted = case(seed)
    bound, nothing = log.bind(predicted), log.bind(np.zeros((7, 5)))
    raw, robust = pv.ips(log, policy), pv.doubly_robust(log, policy, bound)
    assert pv.doubly_robust(log, policy, nothing) == raw
    assert pv.clipped_ips(log, policy, np.inf) == raw
    assert pv.doubly_robust(log, policy, bound, clip=np.inf) == robust
    assert pv.switch_dr(log, policy, bound, np.inf) == robust
    direct, off = pv.direct_method(log, policy, bound), pv.switch_dr(log, policy, bound, 0.0)
    assert (off.value, off.std_error) == (direct.value, direct.std_error)
    assert off.max_weight == 0
    cut = pv.clipped_ips(log, policy, level)
    assert cut.max_weight == min(level, raw.max_weight)
    assert cut.effective_sample_size >= raw.effective_sample_size - 1e-9


@given(cases)
def test_the_order_of_rows_does_not_matter(seed):
    log, policy, predicted = case(seed)
    order = np.random.default_rng(seed + 1).permutation(log.n)
    names = ("context", "action", "reward", "propensity", "person")
    other = Logged(**{name: getattr(log, name)[order] for name in names})
    arguments = (policy, predicted, 0.4, 0.3)
    assert ours(log, *arguments) == pytest.approx(ours(other, *arguments), rel=1e-12)
    one, two = pv.ips(log, policy), pv.ips(other, policy)
    assert one.std_error == pytest.approx(two.std_error, rel=1e-12)


@given(hnp.arrays(float, 11, elements=st.floats(0, 50)), st.floats(0.1, 60))
def test_clipping_and_switching_are_what_they_say(weight, level):
    np.testing.assert_array_equal(pv.clipped(weight, level), np.minimum(weight, level))
    np.testing.assert_array_equal(
        pv.switched(weight, level), np.where(weight <= level, weight, 0.0)
    )


# ------------------------------------------------------------------ the same terms in jax


def test_the_terms_run_in_jax_compiled_and_give_the_numbers_of_numpy():
    log, policy, predicted = case(17)
    weight = log.weight(policy)
    taken = predicted[log.context, log.action]

    def every_term(weight, reward, taken, policy, predicted, context):
        direct = pv.direct_terms(policy, predicted, context)
        return (
            pv.ips_terms(pv.clipped(weight, 1.1), reward),
            direct,
            pv.doubly_robust_terms(pv.switched(weight, 0.9), reward, taken, direct),
        )

    arguments = (weight, log.reward, taken, policy, predicted, log.context)
    with jax.enable_x64(True):
        compiled = jax.jit(every_term)(*(jnp.asarray(argument) for argument in arguments))
        for jitted, plain in zip(compiled, every_term(*arguments), strict=True):
            assert isinstance(jitted, jax.Array)
            assert jitted.dtype == jnp.float64
            np.testing.assert_allclose(jitted, plain, rtol=1e-10)
    compiled = jax.jit(every_term)(*(jnp.asarray(argument) for argument in arguments))
    for jitted, plain in zip(compiled, every_term(*arguments), strict=True):
        np.testing.assert_allclose(jitted, plain, rtol=1e-5, atol=1e-6)


def test_the_value_has_a_gradient_in_the_policy():
    # d IPS / d pi(a | x) is the sum of reward / propensity over its rows, over n
    log, policy, predicted = case(19)

    def value(policy, predicted):
        weight = policy[log.context, log.action] / log.propensity
        direct = pv.direct_terms(policy, predicted, log.context)
        taken = predicted[log.context, log.action]
        return pv.doubly_robust_terms(weight, log.reward, taken, direct).mean()

    with jax.enable_x64(True):
        nothing = jnp.zeros((7, 5))
        assert float(value(jnp.asarray(policy), nothing)) == pytest.approx(
            pv.ips(log, policy).value, rel=1e-12
        )
        slope = jax.jit(jax.grad(value))(jnp.asarray(policy), nothing)
        by_hand = np.zeros((7, 5))
        for x, a, r, e in zip(log.context, log.action, log.reward, log.propensity, strict=True):
            by_hand[x, a] += r / e / log.n
        np.testing.assert_allclose(slope, by_hand, rtol=1e-10)
        # doubly robust is linear in the policy too: its slope times the policy is its value
        slope = jax.grad(value)(jnp.asarray(policy), jnp.asarray(predicted))
        expected = pv.doubly_robust(log, policy, log.bind(predicted)).value
        assert float((slope * policy).sum()) == pytest.approx(expected, rel=1e-10)


# ------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "estimate",
    [
        lambda log, policy: pv.ips(log, policy),
        lambda log, policy: pv.snips(log, policy),
        lambda log, policy: pv.clipped_ips(log, policy, 2.0),
        lambda log, policy: pv.direct_method(log, policy, log.bind(np.zeros((7, 5)))),
        lambda log, policy: pv.doubly_robust(log, policy, log.bind(np.zeros((7, 5)))),
        lambda log, policy: pv.switch_dr(log, policy, log.bind(np.zeros((7, 5))), 2.0),
    ],
    ids=["ips", "snips", "clipped_ips", "direct_method", "doubly_robust", "switch_dr"],
)
def test_every_estimator_refuses_a_policy_that_is_none(estimate):
    log, policy, _ = case(0)
    estimate(log, policy)
    with pytest.raises(ValueError, match="row 0 sums to 2"):
        estimate(log, 2 * policy)
    negative = policy.copy()
    negative[3, :2] = -0.5, policy[3, :2].sum() + 0.5
    with pytest.raises(ValueError, match=r"row 3 sums to .*, its smallest entry is -0\.5"):
        estimate(log, negative)
    with pytest.raises(ValueError, match="action 4 of the log is outside policy"):
        estimate(log, np.full((7, 4), 1 / 4))


def test_predictions_for_another_log_or_of_another_shape_are_errors():
    log, policy, predicted = case(0)
    other = replace(log, reward=log.reward[::-1])
    short = Logged(log.context[:31], log.action[:31], log.reward[:31], log.propensity[:31])
    for estimate in (
        lambda predictions: pv.direct_method(log, policy, predictions),
        lambda predictions: pv.doubly_robust(log, policy, predictions),
        lambda predictions: pv.switch_dr(log, policy, predictions, 2.0),
    ):
        for made_for in (other, short):
            with pytest.raises(ValueError, match="predictions were made for another log"):
                estimate(made_for.bind(predicted))
        with pytest.raises(TypeError, match="predictions must be bound to the log"):
            estimate(predicted)
        with pytest.raises(ValueError, match=r"one shape; got \(7, 5\) and \(7, 6\)"):
            estimate(log.bind(np.zeros((7, 6))))


def test_what_is_no_log_or_no_bound_is_an_error():
    log, policy, predicted = case(0)
    bound = log.bind(predicted)
    with pytest.raises(TypeError, match="log must be a Logged, not dict"):
        pv.ips({"reward": [1.0]}, policy)
    with pytest.raises(TypeError, match="log must be a Logged, not ndarray"):
        pv.doubly_robust(predicted, policy, bound)
    for clip in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match=f"clip must be above 0; got {clip}"):
            pv.clipped_ips(log, policy, clip)
        with pytest.raises(ValueError, match=f"clip must be above 0; got {clip}"):
            pv.doubly_robust(log, policy, bound, clip=clip)
    for threshold in (-1.0, np.nan):
        with pytest.raises(ValueError, match=f"threshold must be at least 0; got {threshold}"):
            pv.switch_dr(log, policy, bound, threshold)
    with pytest.raises(ValueError, match="method must be 'normal' or 'bootstrap'; got 'exact'"):
        pv.ips(log, policy, method="exact")
    with pytest.raises(TypeError, match="alpha"):
        pv.snips(log, policy, alpha=0.05)
    alone = replace(log, person=np.zeros(log.n, int))
    with pytest.raises(ValueError, match="at least two people"):
        pv.ips(alone, policy)
