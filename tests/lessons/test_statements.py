import math

import pytest

from recflax import claims
from recflax.claims import ClaimError
from recflax.intervals import mean_over_seeds
from recflax.lessons.statements import Statement, by_name, column


def statement(**bounds):
    return Statement("s", "A sentence.", mean_over_seeds([2.0, 3.0, 4.0]), seeds=3, **bounds)


def test_the_interval_end_nearest_to_the_bound_decides():
    lower, upper = statement().ends
    assert lower < 2.5 < 3.5 < upper
    assert statement(at_least=lower).holds
    assert not statement(at_least=2.5).holds
    assert statement(at_most=upper).holds
    assert not statement(at_most=3.5).holds
    assert not statement(at_least=lower, at_most=3.5).holds


def test_an_exact_number_is_its_own_interval_and_nan_holds_nothing():
    assert Statement("s", "t", 0.5, at_least=0.5, exact=True).ends == (0.5, 0.5)
    assert Statement("s", "t", 0.5, at_least=0.5, exact=True).holds
    assert not Statement("s", "t", math.nan, at_least=-math.inf, exact=True).holds


def test_made_it_is_a_claim_with_its_bounds(monkeypatch):
    monkeypatch.setattr(claims, "_made", {})
    statement(at_most=9.0).make()
    with pytest.raises(ClaimError, match="A sentence"):
        Statement("t", "A sentence.", mean_over_seeds([2.0, 4.0]), at_least=9.0, seeds=2).make()


def test_names_are_unique_and_columns_complete():
    assert by_name([statement()])["s"].seeds == 3
    with pytest.raises(ValueError, match="'s' comes twice"):
        by_name([statement(), statement()])
    with pytest.raises(KeyError):
        column([{"a": 1}, {}], "a")
