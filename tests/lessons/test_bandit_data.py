"""The lesson on Open Bandit, on logs made here whose clicks and chances are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from recflax.causal.logged import Logged
from recflax.causal.power import normal_power
from recflax.data.open_bandit import OpenBandit
from recflax.estimates import Estimate
from recflax.intervals import mean_over_people
from recflax.lessons import bandit_data
from recflax.lessons.statements import by_name

ITEMS = 7
RATES = np.random.default_rng(2).uniform(0.05, 0.4, (3, ITEMS))
UNIFORM = np.full((3, ITEMS), 1 / ITEMS)
SHARP = np.random.default_rng(3).dirichlet(np.full(ITEMS, 0.7), 3).clip(0.02)
SHARP /= SHARP.sum(axis=1, keepdims=True)


def made(policy=UNIFORM, rows=1009, seed=5, rates=RATES):
    """A log that a policy (3, A) wrote, with its true chances."""
    rng = np.random.default_rng(seed)
    position = rng.integers(0, 3, rows)
    item = (np.cumsum(policy, axis=1)[position] <= rng.random(rows)[:, None]).sum(axis=1)
    item = item.clip(max=ITEMS - 1)
    click = rng.random(rows) < rates[position, item]
    time = np.datetime64("2019-11-24") + np.arange(rows).astype("timedelta64[s]")
    chance = policy[position, item]
    return OpenBandit(time, item, position + 1, click.astype(np.int8), chance, ITEMS)


def value(policy, rates=RATES):
    return float((policy * rates).sum(axis=1).mean())


def tiny(item, position, click, propensity, items=3):
    time = np.full(len(item), np.datetime64("2019-11-24"))
    columns = (np.array(column) for column in (item, position, click, propensity))
    return OpenBandit(time, *columns, items)


FOUR = tiny([0, 0, 2, 1], [1, 1, 2, 3], [1, 0, 0, 1], [0.5, 0.5, 0.25, 1.0])


def test_shares_are_those_of_each_position():
    assert bandit_data.shares(FOUR).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    np.testing.assert_allclose(bandit_data.shares(made(SHARP, 20_011)), SHARP, atol=0.03)


def test_a_position_without_an_impression_is_named():
    with pytest.raises(ValueError, match="impressions at all positions; none at 2"):
        bandit_data.shares(FOUR.where(FOUR.position != 2))


def test_predicted_clicks_are_drawn_towards_their_position():
    rates = bandit_data.click_rates(FOUR, prior=2.0)
    # position 1: one click of two, rate 1/2; position 2: none; position 3: one of one
    expected = [[(1 + 2 * 0.5) / (2 + 2), 0.5, 0.5], [0.0, 0.0, 0.0], [1.0, (1 + 2) / (1 + 2), 1.0]]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    with pytest.raises(ValueError, match="prior must be above 0; got 0"):
        bandit_data.click_rates(FOUR, prior=0)


def test_predictions_of_a_row_have_not_seen_its_click():
    log = made()
    asked = bandit_data.question(log, SHARP, seed=11)
    first = asked.log.context < 3
    assert abs(first.sum() - log.n / 2) <= 1
    flipped = replace(log, click=np.where(first, 1 - log.click, log.click))
    again = bandit_data.question(flipped, SHARP, seed=11)
    assert (asked.log.context == again.log.context).all()
    before, after = asked.predictions.values, again.predictions.values
    np.testing.assert_array_equal(before[:3], after[:3])  # what the flipped half is told
    assert (np.abs(before[3:] - after[3:]) > 1e-6).all()


def test_the_six_estimates_written_out_by_rows():
    log = made(SHARP, 211)
    asked = bandit_data.question(log, UNIFORM, seed=3)
    predicted = asked.predictions.values
    sums = dict.fromkeys(("ips", "clip", "dm", "dr", "switch", "weight"), 0.0)
    for row in range(log.n):
        context = asked.log.context[row]
        weight = 1 / ITEMS / log.propensity[row]
        direct = predicted[context].mean()
        error = log.click[row] - predicted[context, log.item[row]]
        sums["ips"] += weight * log.click[row]
        sums["weight"] += weight
        sums["clip"] += min(weight, 10) * log.click[row]
        sums["dm"] += direct
        sums["dr"] += direct + weight * error
        sums["switch"] += direct + (weight * error if weight <= 10 else 0)
    found = bandit_data.judge(asked)
    assert list(found) == list(bandit_data.WAYS)
    for name in ("ips", "clip", "dm", "dr", "switch"):
        assert found[name].value == pytest.approx(sums[name] / log.n, rel=1e-12)
    assert found["snips"].value == pytest.approx(sums["ips"] / sums["weight"], rel=1e-12)


def test_weighted_estimates_are_right_on_average_over_logs_and_the_naive_mean_is_not():
    logs = [made(SHARP, 499, seed) for seed in range(120)]
    found = [bandit_data.judge(bandit_data.question(log, UNIFORM, seed=1)) for log in logs]
    for name in ("ips", "dr"):
        values = np.array([one[name].value for one in found])
        error = values.std(ddof=1) / np.sqrt(len(values))
        assert abs(values.mean() - value(UNIFORM)) < 4 * error
    naive = np.array([log.click.mean() for log in logs])
    assert abs(naive.mean() - value(UNIFORM)) > 4 * naive.std(ddof=1) / np.sqrt(len(naive))
    assert naive.mean() == pytest.approx(value(SHARP), abs=4 * naive.std(ddof=1) / 120**0.5)


def test_positions_are_kept_apart():
    log = made(UNIFORM, 1511)
    found = bandit_data.by_position(log, SHARP)
    for position, estimate in found.items():
        rows = log.position == position
        weight = SHARP[position - 1, log.item[rows]] * ITEMS
        expected = (weight * log.click[rows]).sum() / weight.sum()
        assert estimate.value == pytest.approx(expected, rel=1e-12)
    changed = replace(log, click=np.where(log.position == 2, 1 - log.click, log.click))
    again = bandit_data.by_position(changed, SHARP)
    assert [found[k].value == again[k].value for k in (1, 2, 3)] == [True, False, True]


def test_a_policy_of_another_shape_or_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"policy must have shape \(3, 7\); got \(7, 3\)"):
        bandit_data.question(made(), UNIFORM.T)
    with pytest.raises(ValueError, match="policy must have rows of chances that sum to 1"):
        bandit_data.question(made(), 2 * UNIFORM)


def test_the_difference_of_two_logs_covers():
    one, other = (made(p, 2003, 7) for p in (SHARP, UNIFORM))
    gap = bandit_data.less(bandit_data.on_policy(one), bandit_data.on_policy(other))
    spread = one.click.var(ddof=1) / one.n + other.click.var(ddof=1) / other.n
    assert gap.value == pytest.approx(one.click.mean() - other.click.mean())
    assert gap.std_error == pytest.approx(spread**0.5, rel=1e-12)
    assert gap.half_width == pytest.approx(stats.norm.ppf(0.975) * spread**0.5, rel=1e-12)


def test_the_nearest_estimate_by_drawing_the_rows_one_by_one():
    """A second implementation: the estimators themselves, on logs of the rows that were drawn."""
    log, answer = made(SHARP, 61, 13), made(UNIFORM, 67, 17)
    asked = bandit_data.question(log, UNIFORM, seed=2)
    replicates = 23
    found = bandit_data.nearest(asked, answer, replicates=replicates, seed=19)
    rng = np.random.default_rng(19)
    counts = rng.multinomial(log.n, np.full(log.n, 1 / log.n), size=replicates)
    truths = rng.binomial(answer.n, answer.click.mean(), size=replicates) / answer.n
    wins = dict.fromkeys(bandit_data.WAYS, 0.0)
    for count, truth in zip(counts, truths, strict=True):
        rows = np.repeat(np.arange(log.n), count)
        part = Logged(
            asked.log.context[rows],
            log.item[rows],
            log.click[rows].astype(float),
            log.propensity[rows],
            np.arange(len(rows)),
        )
        bound = part.bind(asked.predictions.values)
        judged = bandit_data.judge(bandit_data.Question(part, asked.policy, bound))
        away = {name: abs(one.value - truth) for name, one in judged.items()}
        best = [name for name in away if away[name] <= min(away.values()) + 1e-12]
        for name in best:
            wins[name] += 1 / len(best) / replicates
    assert sum(found.values()) == pytest.approx(1)
    assert found == pytest.approx(wins, abs=1e-9)


def test_an_estimator_that_is_always_right_wins():
    """All rows alike but for the predictions, which are the truth: no noise, no rival."""
    rates = np.full((3, ITEMS), 1.0)
    log, answer = made(SHARP, 307, 1, rates), made(UNIFORM, 307, 2, rates)
    wins = bandit_data.nearest(bandit_data.question(log, UNIFORM), answer, replicates=50)
    # every click is 1, so self-normalised, direct and doubly robust are all exactly right
    assert wins["ips"] == 0
    exact = ("snips", "dm", "dr", "switch")
    assert sum(wins[name] for name in exact) == pytest.approx(1)


def four(stress=True):
    """Logs like those of the sample: two uniform ones, and two of policies that prefer."""
    thin = np.full((3, ITEMS), 1e-3)
    thin[:, 0] = 1 - thin[:, 1:].sum(axis=1)
    logs = {}
    for number, campaign in enumerate(bandit_data.CAMPAIGNS):
        logs[campaign, "random"] = made(UNIFORM, 2003, 20 + number)
        logs[campaign, "bts"] = made(thin, 2003, 30 + number)
    if stress:
        log = logs["women", "bts"]
        chance = log.propensity.copy()
        chance[[17, 41]] = 1e-6
        logs["women", "bts"] = replace(log, propensity=chance)
    return logs


def holds(logs):
    found = bandit_data.ask_all(logs, replicates=60)
    return {name: one.holds for name, one in by_name(bandit_data.claims(found)).items()}


def test_claims_on_thin_logs_and_what_refuses_them():
    found = holds(four())
    assert found["bandit-adaptive-logs-are-thin"]
    assert found["bandit-two-rows"]
    assert not holds(four(stress=False))["bandit-two-rows"]
    weightless = {
        key: replace(log, propensity=np.full(log.n, 1 / ITEMS)) for key, log in four().items()
    }
    without = holds(weightless)  # as if the chances had not been logged
    assert not without["bandit-adaptive-logs-are-thin"]
    assert not without["bandit-nothing-refutes-the-weights"]


def test_the_claim_that_nobody_wins_is_refused_where_somebody_does():
    found = bandit_data.ask_all(four(), replicates=60)
    winner = dict.fromkeys(bandit_data.WAYS, 0.0) | {"dm": 1.0}
    found["men", "bts"] = replace(found["men", "bts"], wins=winner)
    assert not by_name(bandit_data.claims(found))["bandit-no-estimator-wins"].holds


def test_impressions_to_see_a_bias_have_the_power_they_promise():
    answered = bandit_data.ask_all(four(), replicates=2)["men", "random"]
    rows = answered.impressions_to_see("ips", share=0.1)
    n = answered.asked.log.n
    one, other = answered.estimates["ips"].std_error, answered.truth.std_error
    error = np.sqrt((one**2 + other**2) * n / (rows / 2))  # each log has half of the rows
    assert normal_power(0.1 * answered.truth.value, error) == pytest.approx(0.8, abs=1e-3)


def test_the_answer_of_a_log_is_its_mean_click():
    log = made()
    assert bandit_data.on_policy(log) == mean_over_people(log.click.astype(float))
    assert isinstance(bandit_data.on_policy(log), Estimate)
