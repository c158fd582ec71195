"""The report on a log: right logs pass, and each fault is caught by name."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recflax.causal.check_log import FEWEST_ROWS, _mean_line, check_log
from recflax.worlds.store import StoreConfig, build_store

SMALL = StoreConfig(n_people=701, n_items=23, n_categories=5, length=7)


def impressions(seed: int = 7, **changed) -> pd.DataFrame:
    table = build_store(replace(SMALL, **changed), seed).log().to_log().impressions
    assert table is not None
    return table


def verdicts(table: pd.DataFrame, **options) -> dict[str, str]:
    """What is not ok."""
    report = check_log(table, 23, **options).table
    wrong = report[report["verdict"] != "ok"]
    return dict(zip(wrong["check"], wrong["verdict"], strict=True))


@pytest.mark.parametrize("seed", [2, 3, 5, 7, 11, 13])
def test_a_right_log_is_ok_in_every_line(seed):
    assert verdicts(impressions(seed), planned_randomised=0.0) == {}
    assert verdicts(impressions(seed, rand=0.2), planned_randomised=0.2) == {}
    assert verdicts(impressions(seed, hidden=True)) == {}  # averaged over intent, and right


def test_the_report_is_printed_in_columns():
    report = check_log(impressions(rand=0.2), 23, planned_randomised=0.2)
    assert report.ok
    lines = str(report).splitlines()
    assert lines[0].split() == ["check", "found", "expected", "verdict"]
    assert len(lines) == 1 + len(report.table) == 19
    assert {line.index("ok") for line in lines[1:]} == {lines[0].index("verdict")}
    randomised = report.table.set_index("check").loc["mean weight, randomised rows"]
    assert randomised["found"] == "1.000 (standard error 0.000)"


ALL, GROUPS = "mean weight, all rows", "calibration, items {} of 4 by displays"


def test_half_a_catalogue_out_of_reach_is_caught():
    found = verdicts(impressions(no_overlap=True))
    assert found[ALL] == "below 1: items are out of reach, or propensities too large"
    assert found["mass never shown"].startswith("11 items were never shown")
    assert found[GROUPS.format(1)] == "not checked: too few rows"
    assert GROUPS.format(4) not in found


@pytest.mark.parametrize(
    ("power", "verdict"),
    [
        (2.0, "above 1: propensities are too small"),
        (0.5, "below 1: items are out of reach, or propensities too large"),
    ],
)
def test_wrong_propensities_are_caught(power, verdict):
    table = impressions()
    table["propensity"] **= power
    assert verdicts(table)[ALL] == verdict


def test_shuffled_propensities_have_the_right_mean_and_are_caught_by_the_groups():
    table = impressions()
    rng = np.random.default_rng(0)
    table["propensity"] = rng.permutation(table["propensity"].to_numpy())
    found = verdicts(table)
    assert ALL not in found  # the same numbers have the same mean
    assert "below 1" in found[GROUPS.format(1)]  # rare items, with the chances of all
    assert "above 1" in found[GROUPS.format(4)]


def test_randomised_rows_that_carry_the_chance_of_the_mixture_are_caught():
    table, rand = impressions(rand=0.2), 0.2
    policy_rows = ~table["randomised"].to_numpy()
    wrong = table["propensity"].to_numpy().copy()
    wrong[policy_rows] = (1 - rand) * wrong[policy_rows] + rand / 23
    wrong[~policy_rows] = 0.08
    table["propensity"] = wrong
    found = verdicts(table)
    assert found["propensity, randomised rows"] == "not 1 over the items"
    assert "below 1" in found["mean weight, other rows"]


def test_randomised_rows_that_are_not_uniform_are_caught():
    table = impressions(rand=0.2)
    rows = np.flatnonzero(table["randomised"])
    table.loc[rows[:200], "item"] = 3
    found = verdicts(table)
    assert found["items, randomised rows"].startswith("a uniform draw would do so with chance")


def test_too_few_randomised_rows_decide_nothing_about_the_items():
    table = impressions(rand=0.2)
    rows = np.flatnonzero(table["randomised"])
    found = verdicts(table.drop(index=rows[4 * 23 + 1 :]))  # 4 displays an item, and one
    assert found["items, randomised rows"] == "not checked: fewer than 5 displays an item"


def test_the_randomised_share_is_held_against_the_plan():
    table = impressions(rand=0.2)
    assert "the plan would give this" in verdicts(table, planned_randomised=0.1)["randomised share"]
    assert verdicts(table, planned_randomised=0.2) == {}
    # where people are randomised, people are counted: 140 of 701, and not 1120 of 5608
    by_person = impressions()
    some = by_person["person"].to_numpy() < 140
    by_person.loc[some, "randomised"] = True
    report = check_log(by_person, 23, planned_randomised=0.22).table.set_index("check")
    assert report.loc["randomised share", "found"] == "140 of 701 people (19.97%)"
    assert report.loc["randomised share", "verdict"] == "ok"


def test_a_log_with_little_overlap_is_told_so():
    table = impressions(eps=0.0, sharp=4.0, a_p=2.0)
    found = verdicts(table)
    assert found["effective sample size"].startswith("too few")
    assert found["largest weight"] == "one row speaks for too many"


def test_a_policy_without_chance_has_no_propensity_to_use():
    table = impressions()
    table["propensity"] = 1.0
    assert "below 1" in verdicts(table)[ALL]


@pytest.mark.parametrize(
    ("column", "change", "verdict"),
    [
        ("propensity", lambda c: c.where(c.index != 3, 0.0), "1 wrong, the first in row 3: 0.0"),
        ("propensity", lambda c: c.where(c.index != 3, 1.5), "1 wrong, the first in row 3: 1.5"),
        ("propensity", lambda c: c.where(c.index != 3), "1 wrong, the first in row 3: nan"),
        ("propensity", lambda c: np.log(c), "; are these log-probabilities?"),
        ("propensity", lambda c: c.astype(str), "holds "),
        ("propensity", lambda c: c * 0 + 1e-39, "5608 wrong, the first in row 0: 1e-39"),
        ("item", lambda c: c - 1, "wrong, the first in row"),
        ("item", lambda c: c + 0.5, "holds float64"),
        ("reward", lambda c: c.where(c.index != 5, np.inf), "1 wrong, the first in row 5: inf"),
        ("randomised", lambda c: c.astype(int), "holds int64"),
        ("person", lambda c: c * 0, "too few people for an interval"),
        ("person", lambda c: c.where(c.index != 2), "1 wrong, the first in row 2: nan"),
    ],
)
def test_a_wrong_column_is_named_and_nothing_is_computed_from_it(column, change, verdict):
    table = impressions()
    table[column] = change(table[column])
    found = verdicts(table)
    assert verdict in found.pop(f"column {column}")
    assert list(found.values()) == ["not checked: mend the columns first"]


def test_a_missing_column_is_named():
    found = verdicts(impressions().drop(columns="propensity"))
    assert found["column propensity"] == "missing"


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (({"item": [1]}, 23), {}, TypeError, "impressions must be a pandas DataFrame, not dict"),
        ((None, 1), {}, ValueError, "n_items must be at least 2; got 1"),
        ((None, 23.0), {}, TypeError, "n_items must be an integer, not float"),
        ((None, 23), {"planned_randomised": 5}, ValueError, r"in \[0, 1\]; got 5"),
    ],
)
def test_arguments_are_checked(arguments, options, error, message):
    table, n_items = arguments
    with pytest.raises(error, match=message):
        check_log(impressions() if table is None else table, n_items, **options)


def test_the_index_and_the_labels_of_people_do_not_matter():
    table = impressions()
    other = table.assign(person=table["person"].map("p{:04d}".format))
    other.index = other.index[::-1]
    assert str(check_log(other, 23)) == str(check_log(table, 23))


def test_the_fewest_people_and_rows_that_are_checked():
    table = impressions()
    one, two = (table.assign(person=np.arange(len(table)) % people) for people in (1, 2))
    assert verdicts(one)["column person"] == "too few people for an interval"
    found = verdicts(two)  # each of the two alone is too few for a group of items
    assert found == {GROUPS.format(n): "not checked: too few rows" for n in (1, 2, 3, 4)}

    ones, people = np.ones(50), np.arange(50)
    few = _mean_line("group", ones, people, rows=FEWEST_ROWS - 1)
    assert few.verdict == "not checked: too few rows"
    assert _mean_line("group", ones, people, rows=FEWEST_ROWS).verdict == "ok"
