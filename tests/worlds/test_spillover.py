import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from recflax.worlds.spillover import DESIGNS, Spillover

SMALL = Spillover(communities=4, size=3, inside=0.7, direct=0.4, spill=1.1, spread=0.6, noise=0.5)


def enumerated(world: Spillover, design: str) -> tuple[float, float]:
    """Mean and variance of the difference of means over every assignment, noise added by hand."""
    units = world.communities if design == "community" else world.people
    friends, level = world.friends(), np.repeat(world.levels(), world.size)
    estimates = []
    for chosen in itertools.combinations(range(units), units // 2):
        treated = np.zeros(units)
        treated[list(chosen)] = 1
        treated = np.repeat(treated, world.people // units)
        mean = level + world.direct * treated + world.spill * friends @ treated
        estimates.append(mean[treated == 1].mean() - mean[treated == 0].mean())
    noise = 2 * world.noise**2 / (world.people / 2)  # two means of half of the people each
    return float(np.mean(estimates)), float(np.var(estimates) + noise)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(
    "world",
    [
        SMALL,
        replace(SMALL, inside=0.0),
        replace(SMALL, inside=1.0),
        replace(SMALL, spill=0.0),
        replace(SMALL, spread=0.0, noise=0.0),
        Spillover(communities=6, size=2, inside=0.9, spill=-0.8),
        Spillover(communities=4, size=4, direct=0.0),
    ],
)
def test_mean_and_variance_are_those_of_every_assignment(world, design):
    mean, variance = enumerated(world, design)
    assert world.expected(design) == pytest.approx(mean, rel=1e-10, abs=1e-12)
    assert world.std_error(design) ** 2 == pytest.approx(variance, rel=1e-10, abs=1e-12)


def test_the_biases_are_the_closed_ones():
    for world in (SMALL, Spillover()):
        people, groups = world.people, world.communities
        assert world.bias("person") == pytest.approx(-world.spill * people / (people - 1))
        outside = (1 - world.inside) * groups / (groups - 1)
        assert world.bias("community") == pytest.approx(-world.spill * outside)
        assert world.effect() == world.direct + world.spill
        for design in DESIGNS:
            error = math.sqrt(world.bias(design) ** 2 + world.std_error(design) ** 2)
            assert world.error(design) == pytest.approx(error)


def test_without_spill_over_both_are_right_and_with_friends_all_inside_communities_are():
    calm = replace(SMALL, spill=0.0)
    assert [calm.bias(design) for design in DESIGNS] == pytest.approx([0, 0])
    closed = replace(SMALL, inside=1.0)
    assert closed.bias("community") == pytest.approx(0)
    assert closed.bias("person") < -1


def test_the_design_effect_is_that_of_kish_where_people_are_many():
    world = Spillover(communities=400, size=25, spill=0.0, spread=0.4)
    between = world.spread**2
    within = between / (between + world.noise**2)
    assert world.design_effect() == pytest.approx(1 + (25 - 1) * within, rel=0.02)
    assert replace(world, spread=0.0).design_effect() == pytest.approx(1)


def test_friends_are_shares_and_most_are_inside():
    friends = SMALL.friends()
    np.testing.assert_allclose(friends.sum(axis=1), 1)
    assert (np.diagonal(friends) == 0).all()
    assert friends[0, 1:3].sum() == pytest.approx(SMALL.inside)
    assert SMALL.levels().std(ddof=1) == pytest.approx(SMALL.spread)
    assert SMALL.levels().mean() == pytest.approx(0)


@pytest.mark.parametrize("design", DESIGNS)
def test_drawn_experiments_have_the_law(design):
    rng = np.random.default_rng(3)
    found = []
    for _ in range(400):
        treated, outcome = SMALL.draw(design, rng)
        assert treated.sum() == 6
        found.append(outcome[treated].mean() - outcome[~treated].mean())
    if design == "community":
        assert set(treated.reshape(4, 3).sum(axis=1).tolist()) == {0, 3}
    error = SMALL.std_error(design)
    assert abs(np.mean(found) - SMALL.expected(design)) < 4 * error / math.sqrt(400)
    assert np.std(found) == pytest.approx(error, rel=0.15)


def test_power_is_about_what_the_design_finds():
    world = Spillover()
    assert world.power("community") > world.power("person")
    none = replace(world, direct=0.0, spill=0.0)
    assert [none.power(design) for design in DESIGNS] == pytest.approx([0.05, 0.05])
    assert world.power("community", level=0.99) < world.power("community")


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"communities": 5}, ValueError, "communities must be even and at least 4; got 5"),
        ({"communities": 2}, ValueError, "communities must be even and at least 4; got 2"),
        ({"size": 1}, ValueError, "size must be at least 2; got 1"),
        ({"inside": 1.2}, ValueError, r"inside must be from 0 to 1; got 1\.2"),
        ({"noise": -1.0}, ValueError, r"noise must be at least 0; got -1\.0"),
        ({"spill": math.nan}, ValueError, "spill must be finite; got nan"),
        ({"size": 3.0}, TypeError, r"size must be of type int; got 3\.0"),
    ],
)
def test_bad_numbers_are_named(changed, error, message):
    with pytest.raises(error, match=message):
        Spillover(**changed)


def test_an_unknown_design_is_named():
    rng = np.random.default_rng(0)
    for question in (
        SMALL.expected,
        SMALL.bias,
        SMALL.std_error,
        SMALL.error,
        SMALL.power,
        lambda design: SMALL.draw(design, rng),
    ):
        with pytest.raises(ValueError, match=r"design must be one of .* got 'city'"):
            question("city")
