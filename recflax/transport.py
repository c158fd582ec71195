r"""The transportation problem: people go to a few groups, each with its share, at the least loss.

.. math::

    \begin{aligned}
    \min_x\ & \sum_{u,g} x_{ug}\, \ell_{ug} \\
    \text{with}\ & \sum_g x_{ug} = 1, \quad x \ge 0, \\
    & \frac1U \sum_u x_{ug} = s_g \text{ (or } \ge s_g)
    \end{aligned}

It is a linear program, and the dual simplex method of HiGHS solves it. What that finds is a vertex:
at most U + G - 1 of the x are not 0, so fewer than G people are divided between groups.

Source: Dantzig (1963), *Linear Programming and Extensions*, chapter 14.
"""

from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from recflax.causal.logged import finite_vector

EXACT = 1e-9
"""How far a share may be from the one that was asked for."""


def transport(loss: Any, share: Any, *, exactly: bool = True) -> np.ndarray:
    """Return x (U, G), what each person gives to each group; every row sums to 1.

    Args:
        loss: (U, G) at least 0; infinite where a person may not go. Everybody may go somewhere.
        share: (G,) at least 0, summing to 1, or to at most 1 if it is only asked for at least.
        exactly: whether each group gets its share, or at least it.

    Raises:
        TypeError: no numbers.
        ValueError: another shape, a loss that is negative or NaN, a person who may go nowhere, a
            share out of range, shares with a wrong sum, or shares that are out of reach.
        RuntimeError: the solver found no optimum, or missed a share by more than 1e-9.

    Example:
        >>> transport([[0.0, 2.0], [0.0, 0.5]], [0.5, 0.5]).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        >>> transport([[0.0, 2.0]], [0.75, 0.25]).tolist()  # one person, divided
        [[0.75, 0.25]]
    """
    loss = number_table(loss, "loss", "(U, G)")
    if not (loss >= 0).all():
        raise ValueError(f"loss must be at least 0; the smallest is {loss.min()}")
    for nowhere in np.flatnonzero(np.isinf(loss).all(axis=1)):
        raise ValueError(f"loss is infinite for person {nowhere} in every group")
    people, count = loss.shape
    share = _shares(share, count, exactly)
    person, group = np.nonzero(np.isfinite(loss))
    cell, ones = np.arange(len(person)), np.ones(len(person))
    of_person = sparse.csr_array((ones, (person, cell)), (people, len(cell)))
    of_group = sparse.csr_array((ones, (group, cell)), (count, len(cell)))
    rows: dict[str, Any] = {"A_eq": of_person, "b_eq": np.ones(people)}
    if exactly:  # the last group gets what is left: its row would be redundant, and slow
        rows["A_eq"] = sparse.vstack([of_person, of_group[:-1]])
        rows["b_eq"] = np.concatenate([rows["b_eq"], people * share[:-1]])
    else:
        rows |= {"A_ub": -of_group, "b_ub": -people * share}
    found = linprog(loss[person, group], bounds=(0, None), method="highs-ds", **rows)
    if found.status == 2:
        raise ValueError(f"share {share.tolist()} is out of reach")
    if found.status != 0:
        raise RuntimeError(f"no optimum was found: {found.message}")
    taken = np.zeros(loss.shape)
    taken[person, group] = np.maximum(found.x, 0)
    taken /= taken.sum(axis=1, keepdims=True)
    short = share - taken.mean(axis=0)
    off = (np.abs(short) if exactly else short).max()
    if off > EXACT:
        raise RuntimeError(f"the solver left a group {off} from its share")
    return taken


def number_table(values: Any, name: str, sizes: str) -> np.ndarray:
    """Numbers in rows and columns, neither of them none; or raise.

    Args:
        values: what came.
        name: what it is called.
        sizes: how its shape is written, such as ``"(U, G)"``.

    Example:
        >>> number_table([1.0], "loss", "(U, G)")
        Traceback (most recent call last):
        ...
        ValueError: loss must have shape (U, G), neither of them 0; got (1,)
    """
    table = np.asarray(values)
    if table.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, not {table.dtype}")
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"{name} must have shape {sizes}, neither of them 0; got {table.shape}")
    return table


def _shares(share: Any, count: int, exactly: bool) -> np.ndarray:
    share = finite_vector(share, "share", (count,))
    for wrong in np.flatnonzero((share < 0) | (share > 1)):
        raise ValueError(f"share must be from 0 to 1; group {wrong} asks for {share[wrong]}")
    total = share.sum()
    if total > 1 + EXACT or (exactly and total < 1 - EXACT):
        wanted = "1 to be met exactly" if exactly else "at most 1"
        raise ValueError(f"share must sum to {wanted}; it sums to {total}")
    return share / total if exactly or total > 1 else share
