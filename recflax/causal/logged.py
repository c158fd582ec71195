r"""Logs as the estimators take them: arrays, checked once at the door, and what was fitted to them.

`Logged` is a log of a slot with A actions, `Treated` one of a treatment that was given or not.
Whatever a model predicted for a log is bound to that log (`Logged.bind`, `Treated.bind`), so that
predictions made for another one, of the same length or not, are an error and not a number.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

SMALLEST = float(np.finfo(np.float32).tiny)
"""Smallest propensity: below it 1 / propensity leaves the range of float32."""


@dataclass(frozen=True, eq=False)
class Logged:
    """Rows of a log of one slot: in a context, one of A actions was taken and a reward came.

    Attributes:
        context: (n,) integers 0 to C - 1: which row of a policy (C, A) a row of the log was under.
            In the book's store a context is a person.
        action: (n,) integers 0 to A - 1: item id minus 1.
        reward: (n,) finite.
        propensity: (n,) the chance with which the logging policy took that action, in (0, 1].
        person: (n,) labels; rows of one person move together. None: the contexts.

    Raises:
        TypeError: integers that are none, or arrays that hold no numbers.
        ValueError: another shape, a number that is not finite, or one out of range; the first
            offender is named.

    Example:
        >>> log = Logged([0, 1], [2, 0], [1.0, 0.0], [0.5, 0.25])
        >>> log.n, log.weight(np.full((2, 3), 1 / 3)).round(3).tolist()
        (2, [0.667, 1.333])
    """

    context: Any
    action: Any
    reward: Any
    propensity: Any
    person: Any = None

    def __post_init__(self) -> None:
        """Check the arrays, and keep them as numpy."""
        n = np.shape(self.reward)[:1]
        object.__setattr__(self, "reward", finite_vector(self.reward, "reward", n))
        object.__setattr__(self, "propensity", check_propensity(self.propensity, n))
        for name in ("context", "action"):
            object.__setattr__(self, name, _indices(getattr(self, name), name, n))
        if self.person is None:
            object.__setattr__(self, "person", self.context)
        else:
            person = np.asarray(self.person)
            check_shape(person, "person", n)
            object.__setattr__(self, "person", person)

    @property
    def n(self) -> int:
        """How many rows."""
        return len(self.reward)

    @cached_property
    def fingerprint(self) -> str:
        """What tells this log from another one."""
        return _digest(
            self.context, self.action, self.reward, self.propensity, _groups(self.person)
        )

    def bind(self, predicted: Any) -> Predictions:
        """Bind predicted rewards (C, A), of every action in every context, to this log.

        Raises:
            TypeError: no numbers.
            ValueError: another shape, or a number that is not finite.
        """
        values = np.asarray(predicted)
        _check_numbers(values, "predicted")
        self._check_table(values, "predicted")
        if not np.isfinite(values).all():
            first = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise ValueError(f"predicted must be finite; {first} is {values[first]}")
        return Predictions(values.astype(float), self.fingerprint)

    def check_predictions(self, predictions: Predictions) -> np.ndarray:
        """Return (C, A) the predicted rewards that were bound to this log, or raise."""
        if not isinstance(predictions, Predictions):
            raise TypeError(
                "predictions must be bound to the log that they are for: log.bind(array); "
                f"got {type(predictions).__name__}"
            )
        if predictions.made_for != self.fingerprint:
            raise ValueError("predictions were made for another log")
        return predictions.values

    def check_policy(self, policy: Any) -> np.ndarray:
        """Return a policy (C, A) as floats: rows of chances that sum to 1, or raise."""
        policy = np.asarray(policy)
        _check_numbers(policy, "policy")
        policy = policy.astype(float)
        self._check_table(policy, "policy")
        wrong = ~(policy.min(axis=1) >= 0) | ~(np.abs(policy.sum(axis=1) - 1) <= 1e-5)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                "policy must have rows of chances that sum to 1; row "
                f"{row} sums to {policy[row].sum()}, its smallest entry is {policy[row].min()}"
            )
        return policy

    def weight(self, policy: Any) -> np.ndarray:
        r"""Return (n,) :math:`w_i = \pi(A_i \mid x_i) / e_i`, how often the policy would do so."""
        return self.check_policy(policy)[self.context, self.action] / self.propensity

    def _check_table(self, table: np.ndarray, name: str) -> None:
        if table.ndim != 2:
            raise ValueError(f"{name} must have shape (C, A); got {table.shape}")
        for axis, what in enumerate(("context", "action")):
            most = int(getattr(self, what).max(initial=-1))
            if most >= table.shape[axis]:
                raise ValueError(
                    f"{what} {most} of the log is outside {name}, which has shape {table.shape}"
                )


@dataclass(frozen=True)
class Predictions:
    """Predicted rewards, (C, A) each action in each context, and the log that they are for."""

    values: np.ndarray
    made_for: str


@dataclass(frozen=True, eq=False)
class Treated:
    """Rows of a log of one treatment, given (1) or not (0), and an outcome.

    Attributes:
        treatment: (n,) 0 or 1.
        outcome: (n,) finite.
        person: (n,) labels; None: every row is another person.

    Raises:
        TypeError: arrays that hold no numbers.
        ValueError: another shape, a number that is not finite, a treatment that is neither 0 nor
            1, or one that everybody or nobody got.

    Example:
        >>> log = Treated([1, 0, 1], [0.5, 0.0, 1.0])
        >>> log.n, log.person.tolist()
        (3, [0, 1, 2])
    """

    treatment: Any
    outcome: Any
    person: Any = None

    def __post_init__(self) -> None:
        """Check the arrays, and keep them as numpy."""
        n = np.shape(self.outcome)[:1]
        outcome = finite_vector(self.outcome, "outcome", n)
        treatment = finite_vector(self.treatment, "treatment", n)
        wrong = np.flatnonzero((treatment != 0) & (treatment != 1))
        if len(wrong):
            raise ValueError(
                f"treatment must be 0 or 1; entry {wrong[0]} is {treatment[wrong[0]]:g}"
            )
        if len({*treatment}) < 2:
            raise ValueError(
                f"treatment must be given to some and not to others; all are {treatment[0]:g}"
            )
        person = np.arange(len(outcome)) if self.person is None else np.asarray(self.person)
        check_shape(person, "person", n)
        for name, array in (("outcome", outcome), ("treatment", treatment), ("person", person)):
            object.__setattr__(self, name, array)

    @property
    def n(self) -> int:
        """How many rows."""
        return len(self.outcome)

    @cached_property
    def fingerprint(self) -> str:
        """What tells this log from another one."""
        return _digest(self.treatment, self.outcome, _groups(self.person))

    def bind(
        self, propensity: Any = None, outcome_0: Any = None, outcome_1: Any = None
    ) -> Nuisances:
        """Bind what was fitted for each row of this log.

        Args:
            propensity: (n,) chance of the treatment, inside (0, 1); or None.
            outcome_0: (n,) expected outcome without the treatment; or None.
            outcome_1: (n,) expected outcome with it; or None.

        Raises:
            TypeError: no numbers.
            ValueError: another shape, a number that is not finite, or a propensity of 0 or 1.
        """
        n = (self.n,)
        if propensity is not None:
            propensity = check_propensity(propensity, n)
            sure = np.flatnonzero(propensity >= 1)
            if len(sure):
                raise ValueError(
                    f"propensity must be below 1; entry {sure[0]} is 1: the treatment is perfectly "
                    "predicted there, so nobody like that row went without it"
                )
        if outcome_0 is not None:
            outcome_0 = finite_vector(outcome_0, "outcome_0", n)
        if outcome_1 is not None:
            outcome_1 = finite_vector(outcome_1, "outcome_1", n)
        return Nuisances(propensity, outcome_0, outcome_1, self.fingerprint)

    def check_nuisances(self, nuisances: Nuisances, *needed: str) -> tuple[np.ndarray, ...]:
        """Return the named arrays of nuisances that were bound to this log, or raise."""
        if not isinstance(nuisances, Nuisances):
            raise TypeError(
                "nuisances must be bound to the log that they are for: log.bind(...); "
                f"got {type(nuisances).__name__}"
            )
        if nuisances.made_for != self.fingerprint:
            raise ValueError("nuisances were made for another log")
        missing = [name for name in needed if getattr(nuisances, name) is None]
        if missing:
            raise ValueError(f"nuisances lack {' and '.join(missing)}")
        return tuple(getattr(nuisances, name) for name in needed)


@dataclass(frozen=True, eq=False)
class Nuisances:
    """What was fitted for each row (n,) of a log of a treatment, and the log that it is for.

    Attributes:
        propensity: chance of the treatment, or None.
        outcome_0: expected outcome without the treatment, or None.
        outcome_1: expected outcome with it, or None.
        made_for: fingerprint of the log.
    """

    propensity: np.ndarray | None
    outcome_0: np.ndarray | None
    outcome_1: np.ndarray | None
    made_for: str


def check_propensity(propensity: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return propensities as floats, finite and in (0, 1], or raise.

    Example:
        >>> check_propensity([-0.7, -1.2], (2,))
        Traceback (most recent call last):
        ...
        ValueError: propensity must be in (0, 1]; entry 0 is -0.7; are these log-probabilities?
    """
    array = finite_vector(propensity, "propensity", shape)
    wrong = np.flatnonzero(~((array > 0) & (array <= 1)))
    if len(wrong):
        hint = "; are these log-probabilities?" if (array <= 0).all() and (array < 0).any() else ""
        raise ValueError(
            f"propensity must be in (0, 1]; entry {wrong[0]} is {array[wrong[0]]:g}{hint}"
        )
    tiny = np.flatnonzero(array < SMALLEST)
    if len(tiny):
        raise ValueError(
            f"propensity must be at least {SMALLEST:.3g}, the smallest normal float32, or "
            f"its inverse overflows; entry {tiny[0]} is {array[tiny[0]]:.3g}"
        )
    return array


def finite_vector(values: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return (n,) floats, finite and of one shape with the rest of the log, or raise."""
    array = np.asarray(values)
    _check_numbers(array, name)
    check_shape(array, name, shape)
    array = array.astype(float)
    wrong = np.flatnonzero(~np.isfinite(array))
    if len(wrong):
        raise ValueError(f"{name} must be finite; entry {wrong[0]} is {array[wrong[0]]}")
    return array


def check_shape(array: np.ndarray, name: str, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless an array has shape (n,), n at least 1; nothing is broadcast."""
    if array.shape == (0,):
        raise ValueError(f"{name} must have at least one row; got none")
    if array.ndim != 1 or array.shape != shape or not len(array):
        wanted = f"{shape}" if len(shape) == 1 and shape[0] else "(n,), n at least 1"
        raise ValueError(f"{name} must have shape {wanted}; got {array.shape}")


def _check_numbers(array: np.ndarray, name: str) -> None:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, not {array.dtype}")


def _indices(values: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, not {array.dtype}")
    check_shape(array, name, shape)
    wrong = np.flatnonzero(array < 0)
    if len(wrong):
        raise ValueError(f"{name} must be at least 0; entry {wrong[0]} is {array[wrong[0]]}")
    return array


def _groups(person: np.ndarray) -> np.ndarray:
    """Which rows are one person's, whatever the labels."""
    return np.unique(person, return_inverse=True)[1]


def _digest(*arrays: np.ndarray) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
