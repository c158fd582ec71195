import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from recflax.causal.effects import cross_fit, difference_of_means, doubly_robust
from recflax.lessons import adjustment
from recflax.lessons.nuisance_network import TRAIN, NuisanceConfig, NuisanceNetwork, network_fit
from recflax.lessons.statements import by_name
from recflax.worlds.banner import BannerConfig, build_banner

SIZE, SEEDS = 4_000, (3, 5, 7, 11, 13)


def without_a_network(log, adjustment, key, train=TRAIN):
    """In the place of a network: one that knows all if it sees the order, and else nothing."""
    treated = log.treated()
    if adjustment != "attention":
        return difference_of_means(treated)
    kind = (log.tokens[:, -1] <= 4).astype(int)
    outcomes = (BannerConfig().law().see(t)[kind] for t in (0, 1))
    return doubly_robust(treated, treated.bind(log.propensity, *outcomes))


@pytest.fixture(scope="module")
def rows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adjustment, "network_estimate", without_a_network)
        return [adjustment.run(seed, SIZE) for seed in SEEDS]


# ------------------------------------------------------------------------------ the network


def network(attends: bool, positions: bool) -> NuisanceNetwork:
    config = NuisanceConfig(attends, positions, n_categories=7, length=11, width=6, heads=3)
    return NuisanceNetwork(config, rngs=nnx.Rngs(0))


TOKENS = jnp.array([[0, 0, 3, 1, 7], [2, 2, 5, 1, 4]])
SHUFFLED = jnp.array([[0, 0, 7, 3, 1], [4, 5, 2, 1, 2]])


@pytest.mark.parametrize("name", adjustment.SEES)
def test_only_the_network_with_positions_sees_the_order(name):
    model = network(*adjustment.SEES[name])
    apart = np.abs(model(TOKENS) - model(SHUFFLED)).max()
    assert apart > 1e-3 if name == "attention" else apart < 1e-5


@pytest.mark.parametrize("name", adjustment.SEES)
def test_padding_does_not_count(name):
    model = network(*adjustment.SEES[name])
    longer = jnp.concatenate([jnp.zeros((2, 4), int), TOKENS], axis=1)
    np.testing.assert_allclose(model(longer), model(TOKENS), atol=1e-5)
    assert jnp.isfinite(model(jnp.zeros((1, 5), int))).all()


def test_the_bag_is_an_average_of_categories():
    model = network(*adjustment.SEES["bag"])
    once, twice = jnp.array([[0, 0, 3, 1]]), jnp.array([[3, 1, 1, 3]])
    np.testing.assert_allclose(model(once), model(twice), atol=1e-5)
    assert np.abs(model(once) - model(jnp.array([[3, 3, 3, 1]]))).max() > 1e-3


def test_the_network_fits_chances_and_repeats_itself():
    log = build_banner(BannerConfig(n_people=304), 3).log()  # two folds of one size
    features = {"tokens": log.tokens, "person": log.person}
    fit = network_fit(NuisanceConfig())
    one, two, other = (
        cross_fit(log.treated(), features, fit, folds=2, key=jax.random.key(k)) for k in (0, 0, 1)
    )
    for name in ("propensity", "outcome_0", "outcome_1"):
        found = getattr(one, name)
        assert ((found > 0) & (found < 1)).all()
        np.testing.assert_array_equal(found, getattr(two, name))
        assert (found != getattr(other, name)).any()


# -------------------------------------------------------------------------------- the lesson


def test_with_places_attention_adjusts_and_without_them_it_does_not():
    """Over ten other seeds the distance from the true nuisances was .006 with sd .003."""
    with_places = adjustment.attention_row(3, 8_000)
    assert abs(with_places["attention_off"]) < 0.006 + 4 * 0.0033
    assert adjustment.attention_row(3, 8_000, hard=True)["attention_off"] > 0.05
    banner = build_banner(BannerConfig(n_people=8_000), 3)
    log = banner.log()
    blind = adjustment.network_estimate(log, "no_positions", jax.random.key(3))
    assert blind.value - adjustment.true_estimate(banner, log).value > 0.08
    assert blind.value == pytest.approx(difference_of_means(log.treated()).value, abs=0.03)
    assert blind.clipped_share == 0


def test_a_row_says_what_the_parts_say(rows):
    banner = build_banner(BannerConfig(n_people=SIZE), 3)
    log = banner.log()
    treated = log.treated()
    truth = BannerConfig().law().effect()
    found = difference_of_means(treated)
    known = treated.bind(log.propensity, *(banner.see(t)[log.person] for t in (0, 1)))
    true = doubly_robust(treated, known)
    row = rows[0]
    assert row["seed"] == 3
    assert row["people"] == SIZE
    assert row["difference_error"] == pytest.approx(found.value - truth)
    assert row["difference_std_error"] == pytest.approx(found.std_error)
    assert row["difference_off"] == pytest.approx(found.value - true.value)
    assert row["true_off"] == 0
    assert row["true_hit"] == (true.lower <= truth <= true.upper)
    quarter = build_banner(BannerConfig(n_people=SIZE // 4), 3)
    found = without_a_network(quarter.log(), "attention", None)
    assert row["people_0.25_attention_error"] == pytest.approx(found.value - truth)
    assert row["overfit_true_std_error"] == row["people_0.5_true_std_error"]


def test_every_statement_has_a_bound_and_a_name_of_its_own(rows):
    said = by_name(adjustment.claims(rows))
    assert all(s.at_least is not None or s.at_most is not None for s in said.values())
    assert all(name.startswith("adjust-") for name in said)
    assert {s.seeds for s in said.values()} == {len(SEEDS)}


TAKE_A_NETWORK = {"needs-people", "people-help", "overfitting-hurts"}


def test_the_others_hold_where_all_is_known_or_nothing(rows):
    said = by_name(adjustment.claims(rows))
    holding = {name for name, statement in said.items() if statement.holds}
    assert holding == set(said) - {f"adjust-{name}" for name in TAKE_A_NETWORK}


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("difference-misses", {"difference_off": 0.0}),
        ("bag-misses", {"bag_off": 0.0}),
        ("no-positions-misses", {"no_positions_off": 0.0}),
        ("blind-never-cover", {"bag_hit": 1.0}),
        ("attention-is-right", {"attention_off": 0.1}),
        ("attention-covers", {"attention_hit": 0.0}),
        ("true-covers", {"true_hit": 0.0}),
        ("positions-alone", {"no_positions_off": 0.0, "attention_off": 0.0}),
        ("needs-people", {"people_0.125_attention_off": 0.0}),
        ("people-help", {"people_0.25_attention_off": 0.0, "attention_off": 0.1}),
        ("overfitting-hurts", {"overfit_attention_off": 0.0, "people_0.5_attention_off": 0.1}),
    ],
)
def test_every_statement_fails_when_its_number_is_another(rows, name, broken):
    assert not by_name(adjustment.claims([row | broken for row in rows]))[f"adjust-{name}"].holds
