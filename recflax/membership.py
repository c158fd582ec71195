r"""Who was in the data? Membership inference: the attack that privacy is measured by.

An attacker has a network and the record of one person, and asks whether the network was trained on
it. A network that has learned its examples by heart loses less on them than on others: call those
members whose loss is small (Yeom et al., 2018). Some people are hard for anybody, though. A second
network, trained on people of the attacker's own, tells how hard each one is, and what is left when
its loss is taken off is a sharper score (Watson et al., 2022).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from recflax.training import Loss

BLOCK = 256
"""People whose losses are computed at once."""


def loss_of_each(loss_fn: Loss, params: Any, data: Any) -> np.ndarray:
    """The loss (n,) of each example alone, as an attacker asks it.

    Args:
        loss_fn: as in `recflax.training.fit`; a part of it that is random is drawn once.
        params: the parameters.
        data: a pytree of arrays with the same first axis.

    Example:
        >>> def squares(slope, batch, key):
        ...     return ((slope * batch) ** 2).mean()
        >>> loss_of_each(squares, jnp.array(2.0), jnp.array([1.0, 3.0])).tolist()
        [4.0, 36.0]
    """
    people = len(jax.tree.leaves(data)[0])
    block = min(people, BLOCK)
    places = np.resize(np.arange(people), (-(-people // block), block))  # filled from the front
    blocks = jax.tree.map(lambda array: jnp.asarray(array)[places], data)
    return np.asarray(_loss_of_each(params, blocks, loss_fn=loss_fn)).reshape(-1)[:people]


@partial(jax.jit, static_argnames="loss_fn")
def _loss_of_each(params: Any, blocks: Any, *, loss_fn: Loss) -> jax.Array:
    """Losses (K, b) of K blocks of b examples, a block at a time."""

    def of_one(example: Any) -> jax.Array:
        return loss_fn(params, jax.tree.map(lambda a: a[None], example), jax.random.key(0))

    return jax.lax.map(jax.vmap(of_one), blocks)


class Attack(NamedTuple):
    """How well a score tells members from others.

    Attributes:
        auc: chance that a member has the higher score than another person; ties count half.
        advantage: the largest true-positive less false-positive rate over all thresholds. It is
            the best threshold *afterwards*: some way above 0 even for a score that knows nothing.
    """

    auc: float
    advantage: float


def membership_attack(score: Any, member: Any) -> Attack:
    """Call those members whose score is high, and say how often that is right.

    The score is minus the loss of each (`loss_of_each`), or a reference network's loss less that.

    Args:
        score: (n,) finite; higher is more likely a member.
        member: (n,) bool; some of each.

    Raises:
        TypeError: ``member`` is not boolean.
        ValueError: another shape, a score that is not finite, or people of one kind only.

    Source: Yeom et al. (2018); with a reference, Watson et al. (2022).

    Example:
        >>> membership_attack([3.0, 2.0, 2.0, 1.0], [True, True, False, False])
        Attack(auc=0.875, advantage=0.5)
    """
    score, member = np.asarray(score, dtype=float), np.asarray(member)
    if member.dtype != np.bool_:
        raise TypeError(f"member must hold booleans, not {member.dtype}")
    if score.ndim != 1 or score.shape != member.shape:
        raise ValueError(
            f"score and member must be (n,) and (n,); got {score.shape} and {member.shape}"
        )
    wrong = np.flatnonzero(~np.isfinite(score))
    if len(wrong):
        raise ValueError(f"score must be finite; entry {wrong[0]} is {score[wrong[0]]}")
    if member.all() or not member.any():
        raise ValueError("member must name some people who were in and some who were not")
    false_rate, true_rate, _ = roc_curve(member, score)
    return Attack(float(roc_auc_score(member, score)), float((true_rate - false_rate).max()))
