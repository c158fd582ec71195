"""An estimate prints the digits that say something, and refuses nonsense."""

import math

import numpy as np
import pytest

from recflax.estimates import Estimate


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.317, 0.002, 0.313, 0.321, "stores"), ".317 ± .004"),
        (Estimate(-0.0004, 0.0006, -0.0017, 0.0009, "stores"), "-.0004 ± .0013"),
        (Estimate(-0.04, 1.0, -3.04, 2.96, "stores"), "0 ± 3"),
        (Estimate(5.22, 0.2, 4.8, 5.64, "stores"), "5.2 ± .4"),
        (Estimate(0.5, 0.1, 0.45, 0.9, "stores"), ".5 [.5, .9]"),
        (Estimate(0.25, 0.0, 0.25, 0.25, "stores"), ".250 ± .000"),
        (Estimate(0.25, 0.1, -math.inf, 0.5, "stores"), ".250 [-inf, .500]"),
        (Estimate(4321.0, 500.0, 3321.0, 5321.0, "stores"), "4321 ± 1000"),
    ],
)
def test_an_estimate_prints_the_digits_that_say_something(estimate, text):
    assert str(estimate) == text
    assert text in estimate._repr_html_()
    assert "95% interval, stores" in estimate._repr_html_()


def test_decimals_on_request():
    estimate = Estimate(0.317, 0.002, 0.313, 0.321, "stores")
    assert f"{estimate:.1f}" == ".3 ± .0"
    assert estimate.with_interval(2) == ".32 [.31, .32]"
    assert estimate.half_width == pytest.approx(0.004)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((math.nan, 1, 0, 1, "stores"), ValueError, "value is NaN"),
        ((0, math.nan, 0, 1, "stores"), ValueError, "std_error is NaN"),
        ((0, -1, 0, 1, "stores"), ValueError, "std_error must be at least 0; got -1"),
        ((0, 1, 2, 1, "stores"), ValueError, "lower must not exceed upper; got 2.0 and 1.0"),
        ((0, 1, 0, 1, ""), ValueError, "target must say whom"),
        ((0, 1, 0, 1, 3), TypeError, "target must be text, not int"),
        (("1", 1, 0, 1, "stores"), TypeError, "value must be one number"),
        (([1, 2], 1, 0, 1, "stores"), TypeError, "value must be one number"),
        ((0, 1, 0, 1, "stores", None, None, 2.0), ValueError, "clipped_share must be in"),
        ((0, 1, 0, 1, "stores", None, math.nan), ValueError, "max_weight is NaN"),
        ((0, 1, 0, 1, "stores", None, None, None, 95), ValueError, "level must be between"),
    ],
)
def test_an_estimate_refuses_nonsense(arguments, error, message):
    with pytest.raises(error, match=message):
        Estimate(*arguments)


def test_an_estimate_keeps_plain_floats():
    estimate = Estimate(np.float32(1), np.array(0.5), 0, 2, "stores", max_weight=np.int64(3))
    assert [type(x) for x in (estimate.value, estimate.std_error, estimate.lower)] == [float] * 3
    assert type(estimate.max_weight) is float
