r"""DP-SGD: training whose result hardly depends on whether any one person was in the data.

At every step each of n people is drawn with chance q on her own (Poisson sampling), so that the
number drawn varies; the gradient of each, over all her visits, is scaled down to the norm C at
most; their sum gets Gaussian noise of standard deviation :math:`\sigma C`; and it is divided by the
*expected* number qn (Abadi et al., 2016, algorithm 1). What an optimiser then does with it costs no
more privacy. `recflax.privacy_account` says what it spends, and of what.

Three things are outside the account. The number of people n counts as known. The noise is drawn in
floating point by a generator that is not cryptographic, which a determined attacker can use
(Mironov, 2012): this is for learning, not for release. And whoever chooses settings by looking at
the data spends privacy too.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from scipy import stats

from recflax.optimiser import TrainConfig, make_optimiser
from recflax.privacy_account import check_noise, check_whole, epsilon, largest_advantage
from recflax.training import Loss

OVERFLOW = 1e-15
"""Chance, over a whole training, that a step draws more people than its batch has places."""


@dataclass(frozen=True)
class PrivateTraining:
    r"""How to train with DP-SGD.

    Attributes:
        noise_multiplier: :math:`\sigma`, the noise in units of ``clip_norm``, at least 0.
        clip_norm: C, the largest norm of one person's gradient.
        batch_size: how many people a step draws on average, at least 1.
        steps: how many steps.
        learning_rate: of AdamW, with warm-up and cosine as in `recflax.optimiser.TrainConfig`.

    Raises:
        TypeError: a number of people or steps is no integer.
        ValueError: a value is out of range.

    Example:
        >>> config = PrivateTraining(noise_multiplier=4.0, batch_size=100, steps=400)
        >>> round(config.epsilon(1_000, delta=1e-4), 2)
        1.76
    """

    noise_multiplier: float = 1.0
    clip_norm: float = 1.0
    batch_size: int = 100
    steps: int = 300
    learning_rate: float = 4e-3

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("batch_size", "steps"):
            check_whole(getattr(self, name), name)
        check_noise(self.noise_multiplier)
        for name in ("clip_norm", "learning_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive and finite; got {getattr(self, name)}")

    def sampling_rate(self, people: int) -> float:
        """The chance q with which each of so many people is drawn at a step.

        Raises:
            ValueError: fewer people than ``batch_size``.
        """
        if not people >= self.batch_size:
            raise ValueError(f"batch_size is {self.batch_size}, more than the {people} people")
        return self.batch_size / people

    def places(self, people: int) -> int:
        r"""Places of the padded batch: more are drawn in no step of a training, but for `OVERFLOW`.

        Who would not fit is left out. That this can happen at all, with chance
        :math:`\tau \le 10^{-15}`, adds at most :math:`(1 + e^{\varepsilon})\,\tau` to
        :math:`\delta`.
        """
        more = stats.binom.sf(np.arange(people + 1), people, self.sampling_rate(people))
        return int(np.argmax(more <= OVERFLOW / self.steps))  # the first that is rare enough

    def epsilon(self, people: int, delta: float, *, accountant: str = "pld") -> float:
        """What training on so many people spends: see `recflax.privacy_account.epsilon`."""
        q = self.sampling_rate(people)
        return epsilon(self.noise_multiplier, q, self.steps, delta, accountant=accountant)

    def largest_advantage(self, people: int) -> float:
        """What no attack can exceed: see `recflax.privacy_account.largest_advantage`."""
        return largest_advantage(self.noise_multiplier, self.sampling_rate(people), self.steps)


def poisson_sample(
    key: jax.Array, people: int, rate: Any, places: int
) -> tuple[jax.Array, jax.Array]:
    """Draw each person on her own with chance ``rate``, into a batch of fixed size.

    Returns:
        Places (P,) of the people drawn, in order, then 0 as filler; and (P,) bool, True where
        somebody was drawn. Safe inside ``jax.jit``.

    Example:
        >>> who, drawn = poisson_sample(jax.random.key(0), people=3, rate=1.0, places=5)
        >>> who.tolist(), drawn.tolist()
        ([0, 1, 2, 0, 0], [True, True, True, False, False])
    """
    chosen = jax.random.bernoulli(key, rate, (people,))
    who = jnp.nonzero(chosen, size=places, fill_value=0)[0]
    return who, jnp.arange(places) < chosen.sum()


def private_gradient(
    loss_fn: Loss,
    params: Any,
    examples: Any,
    drawn: jax.Array,
    *,
    clip_norm: Any,
    noise_multiplier: Any,
    batch_size: Any,
    key: jax.Array,
) -> Any:
    r"""The gradient of one step: clipped person by person, summed, noised, divided.

    .. math::

        \tilde g = \frac1b \Big( \sum_i g_i \min\big(1, \tfrac{C}{\|g_i\|}\big) + \sigma C z \Big)

    over the people i that were drawn, with z standard normal in every direction.
    The clipping and the noise are ``differentially_private_aggregate`` of ``optax.contrib``. Safe
    inside ``jax.jit``: nothing is checked.

    Args:
        loss_fn: a loss of parameters, a batch and a key; it is asked for one person at a time.
        params: the parameters.
        examples: a pytree of arrays (P, ...), one example a person.
        drawn: (P,) bool; where it is False there is nobody.
        clip_norm: C.
        noise_multiplier: :math:`\sigma`.
        batch_size: b, the expected number of people drawn.
        key: a random key.

    Source: Abadi et al. (2016), algorithm 1, with the expected number in the place of the drawn
    one, so that the sum's sensitivity is C whoever is drawn.

    Example:
        >>> def squares(slope, batch, key):
        ...     return ((slope * batch) ** 2).mean() / 2
        >>> x = jnp.array([1.0, 2.0, 5.0])
        >>> how = {"noise_multiplier": 0.0, "batch_size": 2, "key": jax.random.key(0)}
        >>> drawn = jnp.array([True, True, False])
        >>> for clip in (100.0, 3.0):  # the gradients are 1 and 4
        ...     print(float(private_gradient(squares, 1.0, x, drawn, clip_norm=clip, **how)))
        2.5
        2.0
    """
    noise_key, loss_key = jax.random.split(key)
    flat, unravel = ravel_pytree(params)  # one vector: clipping is of the norm of all of it

    def of_one(example: Any, key: jax.Array) -> jax.Array:
        batch = jax.tree.map(lambda array: array[None], example)
        return jax.grad(lambda v: loss_fn(unravel(v), batch, key))(flat)

    places = len(drawn)
    gradients = jax.vmap(of_one)(examples, jax.random.split(loss_key, places))  # (P, parameters)
    gradients = jnp.where(drawn[:, None], gradients, 0)
    aggregate = optax.contrib.differentially_private_aggregate(
        clip_norm, noise_multiplier, noise_key
    )
    mean, _ = aggregate.update(gradients, aggregate.init(flat))
    return unravel(mean * (places / batch_size))  # it divides by the places


def fit_private(
    params: Any, loss_fn: Loss, data: Any, config: PrivateTraining, *, key: jax.Array
) -> Any:
    """Train parameters by DP-SGD, in one jitted scan.

    Nothing but the parameters comes back: a training loss would be a second release.

    Args:
        params: a pytree of arrays; it is not changed.
        loss_fn: ``loss_fn(params, batch, key)``, a scalar, static as in `recflax.training.fit`.
        data: a pytree of arrays with the same first axis, **one example a person**. Whoever has
            several examples in it is not protected by the account.
        config: see `PrivateTraining`.
        key: a random key; the same key gives the same result, so it is a secret.

    Returns:
        The trained parameters.

    Raises:
        ValueError: arrays of unequal first axis, or fewer people than ``config.batch_size``.
        FloatingPointError: a parameter is not finite.

    Example:
        >>> def squares(slope, batch, key):
        ...     return ((slope * batch - 3 * batch) ** 2).mean()
        >>> config = PrivateTraining(1.0, batch_size=10, steps=300, learning_rate=0.1)
        >>> x = jnp.linspace(0.5, 1.5, 40)
        >>> slope = fit_private(jnp.zeros(()), squares, x, config, key=jax.random.key(0))
        >>> bool(abs(slope - 3) < 0.1), round(config.epsilon(40, delta=1e-3))
        (True, 29)
    """
    people = _count(data)
    q = config.sampling_rate(people)
    shape = {"places": config.places(people), "steps": config.steps}
    params, data = jax.tree.map(jnp.asarray, (params, data))
    scale = (config.noise_multiplier, config.clip_norm, q, config.batch_size)
    trained = _train(
        params, data, scale, key, loss_fn=loss_fn, learning_rate=config.learning_rate, **shape
    )
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(trained)):
        raise FloatingPointError(f"a parameter is not finite after {config.steps} steps")
    return trained


@partial(jax.jit, static_argnames=("loss_fn", "learning_rate", "places", "steps"))
def _train(
    params: Any,
    data: Any,
    scale: tuple,
    key: jax.Array,
    *,
    loss_fn: Loss,
    learning_rate: float,
    places: int,
    steps: int,
) -> Any:
    """All steps; one compilation for all noises, clips and rates."""
    noise_multiplier, clip_norm, rate, batch_size = scale
    optimiser = make_optimiser(TrainConfig(learning_rate=learning_rate), steps)
    people = len(jax.tree.leaves(data)[0])
    start, unravel = ravel_pytree(params)

    def flat_loss(params: jax.Array, batch: Any, key: jax.Array) -> jax.Array:
        return loss_fn(unravel(params), batch, key)

    def step(carry: tuple[jax.Array, Any], key: jax.Array) -> tuple[tuple[jax.Array, Any], None]:
        flat, state = carry
        sample_key, gradient_key = jax.random.split(key)
        who, drawn = poisson_sample(sample_key, people, rate, places)
        gradient = private_gradient(
            flat_loss,
            flat,
            jax.tree.map(lambda array: array[who], data),
            drawn,
            clip_norm=clip_norm,
            noise_multiplier=noise_multiplier,
            batch_size=batch_size,
            key=gradient_key,
        )
        updates, state = optimiser.update(gradient, state, flat)
        return (optax.apply_updates(flat, updates), state), None

    carry = start, optimiser.init(start)
    (flat, _), _ = jax.lax.scan(step, carry, jax.random.split(key, steps))
    return unravel(flat)


def _count(data: Any) -> int:
    """The number of examples of a pytree of arrays."""
    counts = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(data)}
    if len(counts) != 1 or () in counts or (0,) in counts:
        raise ValueError(
            f"data must hold arrays with one first axis of at least 1 person; got {counts}"
        )
    return counts.pop()[0]
