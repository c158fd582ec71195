"""The doors of the estimators: what a log must be, and what bad input is told."""

import jax.numpy as jnp
import numpy as np
import pytest

from recflax.causal.logged import SMALLEST, Logged, Nuisances, Predictions, Treated

N, C, A = 7, 3, 5


def parts(**changed):
    """A right log of N rows as a dict, with some of it changed."""
    rng = np.random.default_rng(0)
    right = {
        "context": np.arange(N) % C,
        "action": rng.integers(A, size=N),
        "reward": rng.random(N),
        "propensity": rng.uniform(0.1, 1.0, N),
        "person": np.arange(N) // 2,
    }
    return right | changed


def with_one(value, name="propensity", dtype=float):
    """The parts with entry 3 of one of them changed."""
    array = np.array(parts()[name], dtype=dtype)
    array[3] = value
    return parts(**{name: array})


def test_a_right_log_is_kept_as_it_is():
    given = parts()
    log = Logged(**given)
    assert log.n == N
    for name, array in given.items():
        np.testing.assert_array_equal(getattr(log, name), array)
    assert Logged(**parts(person=None)).person is not None
    np.testing.assert_array_equal(Logged(**parts(person=None)).person, given["context"])


def test_arrays_of_jax_and_lists_are_taken_and_become_float64():
    log = Logged([0, 1], jnp.array([2, 0]), [1, 0], jnp.array([0.5, 0.25], dtype=jnp.float32))
    assert log.reward.dtype == log.propensity.dtype == np.float64
    assert log.weight(np.full((2, 4), 1 / 4)).tolist() == [0.25 / 0.5, 0.25 / 0.25]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (with_one(0.0), r"propensity must be in \(0, 1\]; entry 3 is 0$"),
        (with_one(-0.2), r"propensity must be in \(0, 1\]; entry 3 is -0\.2$"),
        (with_one(1.5), r"propensity must be in \(0, 1\]; entry 3 is 1\.5$"),
        (with_one(np.nan), "propensity must be finite; entry 3 is nan"),
        (with_one(np.inf), "propensity must be finite; entry 3 is inf"),
        (
            parts(propensity=np.log(parts()["propensity"])),
            r"propensity must be in \(0, 1\]; entry 0 is -\d\.\d+; are these log-probabilities\?",
        ),
        (
            with_one(1e-39, dtype=np.float32),
            r"propensity must be at least 1\.18e-38, the smallest normal float32, or its inverse "
            r"overflows; entry 3 is 1e-39",
        ),
        (with_one(np.nan, "reward"), "reward must be finite; entry 3 is nan"),
        (with_one(-1, "action", int), "action must be at least 0; entry 3 is -1"),
        (with_one(-2, "context", int), "context must be at least 0; entry 3 is -2"),
    ],
)
def test_a_wrong_number_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        Logged(**given)


def test_the_smallest_propensity_has_a_float32_inverse():
    log = Logged(**with_one(np.float32(SMALLEST), dtype=np.float32))
    assert np.isfinite(np.float32(1) / np.float32(log.propensity.min()))


@pytest.mark.parametrize("name", ["context", "action", "reward", "propensity", "person"])
def test_a_column_of_columns_is_not_broadcast(name):
    column = parts()[name][:, None]
    wrong = "propensity" if name == "reward" else name
    with pytest.raises(ValueError, match=rf"(reward|{wrong}) must have shape \(7,\); got \(7, 1\)"):
        Logged(**parts(**{name: column}))


@pytest.mark.parametrize("name", ["context", "action", "propensity", "person"])
def test_another_length_is_an_error(name):
    with pytest.raises(ValueError, match=rf"{name} must have shape \(7,\); got \(5,\)"):
        Logged(**parts(**{name: parts()[name][:5]}))


def test_a_log_without_rows_is_an_error():
    with pytest.raises(ValueError, match="reward must have at least one row; got none"):
        Logged([], [], [], [])


def test_one_number_is_no_log():
    with pytest.raises(ValueError, match=r"reward must have shape \(n,\), n at least 1; got \(\)"):
        Logged(0, 0, 1.0, 0.5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"action": np.zeros(N)}, "action must hold integers, not float64"),
        ({"context": np.ones(N, dtype=bool)}, "context must hold integers, not bool"),
        ({"reward": np.array(["1"] * N)}, "reward must hold numbers, not <U1"),
        ({"propensity": np.array([None] * N)}, "propensity must hold numbers, not object"),
    ],
)
def test_arrays_of_another_kind_are_an_error(changed, message):
    with pytest.raises(TypeError, match=message):
        Logged(**parts(**changed))


def test_a_policy_that_is_none_is_told_its_row():
    log = Logged(**parts())
    policy = np.full((C, A), 1 / A)
    np.testing.assert_array_equal(log.check_policy(policy), policy)
    for entries, message in (
        ([0.2, 0.2, 0.2, 0.2, 0.3], r"row 1 sums to 1\.1, its smallest entry is 0\.2"),
        ([-0.2, 0.4, 0.2, 0.4, 0.2], r"row 1 sums to 1\.0, its smallest entry is -0\.2"),
        ([np.nan, 0.4, 0.2, 0.2, 0.2], "row 1 sums to nan"),
    ):
        wrong = policy.copy()
        wrong[1] = entries
        with pytest.raises(ValueError, match=f"policy must have rows of chances.*{message}"):
            log.check_policy(wrong)
    with pytest.raises(ValueError, match=r"policy must have shape \(C, A\); got \(5,\)"):
        log.check_policy(policy[0])
    with pytest.raises(TypeError, match="policy must hold numbers, not <U3"):
        log.check_policy(np.full((C, A), "0.2"))


def test_what_the_log_did_must_be_in_the_policy():
    log = Logged(**with_one(A, "action", int))
    with pytest.raises(ValueError, match=r"action 5 of the log is outside policy, .*\(3, 5\)"):
        log.check_policy(np.full((C, A), 1 / A))
    with pytest.raises(ValueError, match=r"action 5 of the log is outside predicted, .*\(3, 5\)"):
        log.bind(np.zeros((C, A)))
    log = Logged(**parts())
    with pytest.raises(ValueError, match=r"context 2 of the log is outside policy, .*\(2, 5\)"):
        log.check_policy(np.full((C - 1, A), 1 / A))


def test_predictions_belong_to_the_log_that_they_were_made_for():
    log = Logged(**parts())
    values = np.random.default_rng(1).random((C, A))
    np.testing.assert_array_equal(log.check_predictions(log.bind(values)), values)
    same_again = Logged(**parts())
    np.testing.assert_array_equal(same_again.check_predictions(log.bind(values)), values)
    for name in ("context", "action", "reward", "propensity"):  # of the same length
        array = parts()[name].copy()
        array[[2, 3]] = array[[3, 2]]
        assert array[2] != array[3]
        other = Logged(**parts(**{name: array}))
        with pytest.raises(ValueError, match="predictions were made for another log"):
            other.check_predictions(log.bind(values))
    shorter = Logged(**{name: array[:5] for name, array in parts().items()})
    with pytest.raises(ValueError, match="predictions were made for another log"):
        shorter.check_predictions(log.bind(values))
    with pytest.raises(TypeError, match=r"bound to the log .* log\.bind\(array\); got ndarray"):
        log.check_predictions(values)


def test_predictions_are_checked_when_they_are_bound():
    log = Logged(**parts())
    values = np.zeros((C, A))
    values[1, 2] = np.inf
    with pytest.raises(ValueError, match=r"predicted must be finite; \(1, 2\) is inf"):
        log.bind(values)
    with pytest.raises(ValueError, match=r"predicted must have shape \(C, A\); got \(3,\)"):
        log.bind(np.zeros(C))
    with pytest.raises(TypeError, match="predicted must hold numbers, not object"):
        log.bind(np.full((C, A), None))
    assert isinstance(log.bind(np.ones((C, A), dtype=int)), Predictions)


# ------------------------------------------------------------------------- one treatment


def test_a_treatment_is_given_or_not_and_to_some():
    log = Treated([1, 0, 1], [0.5, 0.0, 1.0])
    assert (log.n, log.person.tolist()) == (3, [0, 1, 2])
    for treatment, message in (
        ([1, 0, 2], "treatment must be 0 or 1; entry 2 is 2"),
        ([1, 0, 0.5], r"treatment must be 0 or 1; entry 2 is 0\.5"),
        ([-1, 0, 3], "treatment must be 0 or 1; entry 0 is -1"),  # the first of two
        ([1, 1, 1], "treatment must be given to some and not to others; all are 1"),
        ([[1], [0], [1]], r"treatment must have shape \(3,\); got \(3, 1\)"),
        ([1, 0, np.nan], "treatment must be finite; entry 2 is nan"),
    ):
        with pytest.raises(ValueError, match=message):
            Treated(treatment, [0.5, 0.0, 1.0])


def test_a_treatment_that_is_perfectly_predicted_is_an_error():
    log = Treated([1, 0, 1], [0.5, 0.0, 1.0])
    with pytest.raises(ValueError, match="entry 1 is 1: the treatment is perfectly predicted"):
        log.bind(propensity=[0.5, 1.0, 0.5])
    with pytest.raises(ValueError, match=r"propensity must be in \(0, 1\]; entry 2 is 0"):
        log.bind(propensity=[0.5, 0.5, 0.0])


def test_nuisances_belong_to_the_log_that_they_were_made_for():
    log = Treated([1, 0, 1], [0.5, 0.0, 1.0])
    bound = log.bind(propensity=[0.5, 0.25, 0.5], outcome_1=[0.0, 1.0, 2.0])
    propensity, outcome = log.check_nuisances(bound, "propensity", "outcome_1")
    assert (propensity.tolist(), outcome.tolist()) == ([0.5, 0.25, 0.5], [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="nuisances lack outcome_0"):
        log.check_nuisances(bound, "outcome_0", "outcome_1")
    with pytest.raises(ValueError, match="nuisances were made for another log"):
        Treated([1, 0, 0], [0.5, 0.0, 1.0]).check_nuisances(bound, "propensity")
    relabelled = Treated([1, 0, 1], [0.5, 0.0, 1.0], ["a", "b", "c"])
    relabelled.check_nuisances(bound, "propensity")  # whose rows they are is the same
    for person in ([0, 1, 1], [0, 0, 1]):  # two people in three rows
        with pytest.raises(ValueError, match="nuisances were made for another log"):
            Treated([1, 0, 1], [0.5, 0.0, 1.0], person).check_nuisances(bound, "propensity")
    with pytest.raises(TypeError, match=r"log\.bind\(\.\.\.\); got tuple"):
        log.check_nuisances((propensity,), "propensity")
    with pytest.raises(ValueError, match=r"outcome_0 must have shape \(3,\); got \(2,\)"):
        log.bind(outcome_0=[0.0, 1.0])
    assert isinstance(bound, Nuisances)
