import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recflax.lessons.attention_cost import (
    attention_operations,
    attention_seconds,
    exponent,
    in_powers,
    operations,
    request_operations,
)
from recflax.recommender import RecommenderConfig


def test_a_product_of_matrices_is_two_operations_a_cell_and_inner_place():
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((3, 5), (5, 7))]
    assert operations(jnp.matmul, *shapes) == 2 * 3 * 5 * 7


def test_attention_is_its_five_products_and_a_softmax():
    length, width, heads = 13, 22, 2
    products = 4 * 2 * length * width**2 + 2 * 2 * length**2 * width
    rest = attention_operations(length, width, heads) - products
    assert 0 < rest < 10 * heads * length**2 + 10 * length * width


def second_difference(length, width):
    counts = [attention_operations(length + step, width) for step in (-1, 0, 1)]
    return counts[0] - 2 * counts[1] + counts[2]


def test_the_count_is_quadratic_in_length_with_four_operations_a_pair_and_width():
    here, there, wider = (second_difference(*at) for at in ((5, 6), (11, 6), (5, 14)))
    assert here == there  # the same everywhere: no higher power
    assert (wider - here) / 2 == 4 * (14 - 6)


def test_the_count_is_quadratic_in_width_with_eight_operations_a_place():
    counts = [attention_operations(7, width) for width in (2, 4, 6, 8)]
    first = np.diff(counts, n=2)
    assert first[0] == first[1] == 2 * 2**2 * 8 * 7


def test_a_count_beyond_single_precision_is_right_to_seven_digits():
    small = [attention_operations(length, 22) for length in (1, 2, 3)]
    quadratic = (small[0] - 2 * small[1] + small[2]) / 2
    linear = small[1] - small[0] - 3 * quadratic
    constant = small[0] - linear - quadratic
    expected = constant + linear * 2003 + quadratic * 2003**2
    assert expected > 2**24
    assert attention_operations(2003, 22) == pytest.approx(expected, rel=1e-6)


def test_the_count_is_linear_in_people():
    config = RecommenderConfig(n_items=11, width=4, max_length=5)
    one, two, three = (attention_operations(5, 4, batch=batch) for batch in (1, 2, 3))
    assert two == 2 * one
    assert three == 3 * one
    whole = [request_operations(config, people=people) for people in (2, 3, 5)]
    assert (whole[2] - whole[1]) == 2 * (whole[1] - whole[0]) > 0


def test_a_request_is_linear_in_the_catalogue_and_one_question_is_cheaper_than_many():
    def count(n_items, query):
        return request_operations(RecommenderConfig(n_items=n_items, width=4, query=query))

    for query in ("candidates", "person"):
        assert count(31, query) - count(23, query) == count(23, query) - count(15, query) > 0
    assert count(31, "person") < count(31, "candidates")


def test_a_million_products_take_no_memory():
    count = request_operations(RecommenderConfig(n_items=1_000_000))
    assert count > 1_000_000 * 4 * 16 * 24  # every product compares itself with every place


def test_seconds_are_positive_and_sizes_are_checked():
    assert attention_seconds(3, 4, repeats=3) > 0
    with pytest.raises(ValueError, match="repeats must be at least 1; got 0"):
        attention_seconds(3, 4, repeats=0)
    with pytest.raises(ValueError, match="length and batch must be at least 1; got 0 and 1"):
        attention_operations(0, 4)
    with pytest.raises(ValueError, match="got width 5 and heads 2"):
        attention_operations(3, 5)
    with pytest.raises(ValueError, match="people must be at least 1; got 0"):
        request_operations(RecommenderConfig(n_items=3), people=0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0.01, 100), min_size=3, max_size=3), st.floats(1, 1000))
def test_a_polynomial_gives_its_own_parts_back(parts, scale):
    x = scale * np.array([1.0, 2.0, 3.0, 5.0, 7.0])
    y = np.vander(x, 3, increasing=True) @ parts
    fitted = np.vander(x, 3, increasing=True) @ in_powers(x, y)
    assert np.allclose(fitted, y, rtol=1e-6)


def test_no_part_falls_below_zero():
    parts = in_powers([1, 2, 3, 5], [5.0, 4.0, 3.0, 2.0])
    assert (parts >= 0).all()
    assert parts[1] == parts[2] == 0


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2, 3], [1, 2], "vectors of one length"),
        ([1, 2, 2], [1, 2, 3], "three different numbers"),
        ([1, 2, 3], [1, 0, 3], "positive and finite"),
        ([1, 2, 3], [1, np.nan, 3], "positive and finite"),
    ],
)
def test_points_that_cannot_be_fitted_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        in_powers(x, y)


def test_the_exponent_of_a_power_is_its_own():
    assert exponent([3, 7], [5 * 3**1.7, 5 * 7**1.7]) == pytest.approx(1.7, rel=1e-12)
    for x, y in (([2, 2], [1, 3]), ([1, 2], [0, 3]), ([1, 2, 3], [1, 2, 3])):
        with pytest.raises(ValueError, match="two points"):
            exponent(x, y)
