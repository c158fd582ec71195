"""What the lesson says of the authors' sample. Collected only where the data are."""

import numpy as np
import pytest

from recflax.causal.check_log import check_log
from recflax.data import open_bandit
from recflax.lessons import bandit_data


@pytest.fixture(scope="module")
def logs():
    keys = [(c, policy) for c in bandit_data.CAMPAIGNS for policy in bandit_data.OTHER]
    return {key: open_bandit.load(key[1], key[0]) for key in keys}


@pytest.fixture(scope="module")
def found(logs):
    return bandit_data.ask_all(logs)


def test_every_claim_holds_on_the_sample(found) -> None:
    broken = [one.name for one in bandit_data.claims(found) if not one.holds]
    assert broken == []


@pytest.mark.parametrize("seed", [1, 2])
def test_another_deal_of_the_halves_says_the_same(logs, seed) -> None:
    found = bandit_data.ask_all(logs, seed=seed, replicates=200)
    assert all(one.holds for one in bandit_data.claims(found))


def test_the_answers_rest_on_some_fifty_clicks(found) -> None:
    clicks = {key: answered.truth.value * 10_000 for key, answered in found.items()}
    assert clicks == pytest.approx(
        {("men", "random"): 69, ("men", "bts"): 46, ("women", "random"): 46, ("women", "bts"): 46}
    )
    share = found["men", "bts"].truth.std_error / found["men", "bts"].truth.value
    assert share == pytest.approx(46**-0.5, abs=0.002)


def test_weights_that_are_shuffled_are_seen(logs) -> None:
    log = logs["men", "bts"]
    frame = log.impressions()
    assert check_log(frame, log.n_items).ok
    mean = "mean weight, all rows"
    verdicts = check_log(frame, log.n_items).table.set_index("check")["verdict"]
    assert verdicts[mean] == "ok"
    frame["propensity"] = np.random.default_rng(0).permutation(frame["propensity"])
    report = check_log(frame, log.n_items).table.set_index("check")["verdict"]
    assert any("1: " in report[name] for name in report.index if name.startswith("calibration"))


def test_the_adaptive_logs_are_not_flagged_for_a_chance_that_happens_to_be_uniform(logs) -> None:
    for campaign, accidents in (("men", 1), ("women", 3)):
        log = logs[campaign, "bts"]
        assert (log.propensity == 1 / log.n_items).sum() == accidents
        assert not log.impressions()["randomised"].any()
