import math

import numpy as np
import pytest

from recflax.causal.effects import difference_of_means
from recflax.causal.logged import Treated
from recflax.causal.power import normal_power, rows_needed


def test_the_power_is_that_of_drawn_estimates():
    rng = np.random.default_rng(0)
    for effect in (0.0, 0.5, -1.3, 3.0):
        found = 0.4 * rng.normal(size=40_000) + effect
        leaves_out = np.abs(found) > 1.959964 * 0.4
        power = normal_power(effect, 0.4)
        error = math.sqrt(power * (1 - power) / 40_000)
        assert abs(leaves_out.mean() - power) < 4 * error + 1e-6


def test_a_sign_does_not_matter_and_a_wider_interval_has_less_power():
    assert normal_power(0.7, 0.3) == pytest.approx(normal_power(-0.7, 0.3))
    assert normal_power(0.7, 0.3, level=0.99) < normal_power(0.7, 0.3)
    assert normal_power(0.0, 5.0, level=0.9) == pytest.approx(0.1)


@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_so_many_rows_have_that_power_and_two_fewer_have_not(power):
    rows = rows_needed(0.05, 0.4, power=power)
    assert rows % 2 == 0
    assert normal_power(0.05, 2 * 0.4 / math.sqrt(rows)) >= power
    assert normal_power(0.05, 2 * 0.4 / math.sqrt(rows - 4)) < power + 1e-3
    doubled = rows_needed(0.05, 0.4, power=power, design_effect=2.0)
    assert abs(doubled - 2 * rows) <= 4
    assert abs(rows_needed(0.025, 0.4, power=power) - 4 * rows) <= 8


def test_an_experiment_of_that_size_finds_its_effect_as_often_as_promised():
    rows = rows_needed(0.2, 0.5)
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(300):
        treated = rng.permutation(rows) < rows // 2
        outcome = rng.random(rows) < np.where(treated, 0.6, 0.4)
        found += difference_of_means(Treated(treated, outcome.astype(float))).lower > 0
    assert 0.7 < found / 300 < 0.9


def test_bad_numbers_are_named():
    with pytest.raises(ValueError, match="std_error must be positive and finite; got 0"):
        normal_power(0.1, 0)
    with pytest.raises(ValueError, match="level must be between 0 and 1; got 95"):
        normal_power(0.1, 1.0, level=95)
    with pytest.raises(ValueError, match="effect must be finite and not 0"):
        rows_needed(0.0, 1.0)
    with pytest.raises(ValueError, match="deviation must be positive and finite; got -1"):
        rows_needed(0.1, -1)
    with pytest.raises(ValueError, match="design_effect must be positive and finite; got 0"):
        rows_needed(0.1, 1.0, design_effect=0)
    with pytest.raises(ValueError, match="power must be between 0 and 1; got 80"):
        rows_needed(0.1, 1.0, power=80)
    with pytest.raises(ValueError, match=r"power must be above 0\.025; got 0\.02"):
        rows_needed(0.1, 1.0, power=0.02)
