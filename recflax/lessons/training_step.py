"""One step of training, to be counted and timed: any sizes, on paper or for real.

A step is what `recflax.training.fit` does with a batch: the loss of the next item over the whole
catalogue, its gradient, and AdamW's update of every number. The operations are read from the
program before it is compiled, so they are the same everywhere, also for sizes that no machine here
could hold. The seconds are of one machine, and are never asserted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from recflax.data.batches import Batch
from recflax.fitted import NetworkLoss, basket_loss
from recflax.lessons.attention_cost import operations, timed
from recflax.optimiser import TrainConfig, make_optimiser
from recflax.recommender import Recommender, RecommenderConfig

BATCH = 32
REPEATS = 7
RUN = 1_000  # steps of the run that the learning rate's schedule is made for


@dataclass(frozen=True)
class Shape:
    """The sizes of a step.

    Attributes:
        items: M.
        length: L.
        width: D, even.
        batch: B, histories a step, each asked for one next item.

    Raises:
        ValueError: a size below 1, or an odd width.

    Example:
        >>> Shape(width=3)
        Traceback (most recent call last):
        ...
        ValueError: width must be even (two heads); got 3
    """

    items: int = 1_000
    length: int = 16
    width: int = 64
    batch: int = BATCH

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("items", "length", "width", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.width % 2:
            raise ValueError(f"width must be even (two heads); got {self.width}")


class Step(NamedTuple):
    """A step of training, and what it is called with.

    Attributes:
        function: ``function(params, state, batch, key)`` to the next params, state, and the loss.
        arguments: the shapes of its four arguments; nothing is allocated.
    """

    function: Callable[..., tuple[Any, Any, jax.Array]]
    arguments: tuple[Any, Any, Batch, Any]


def training_step(shape: Shape) -> Step:
    """The step of a one-block network whose newest event speaks, with the full softmax.

    Args:
        shape: the sizes.

    Example:
        >>> params, *_ = training_step(Shape(items=1_000_000)).arguments
        >>> params["item"].shape  # and no memory was taken
        (1000000, 64)
    """
    config = RecommenderConfig(
        n_items=shape.items,
        width=shape.width,
        max_length=shape.length,
        query="newest",
        mask_future=True,
        initial_bias=0.0,
    )
    graphdef, params = nnx.split(nnx.eval_shape(lambda: Recommender(config, rngs=nnx.Rngs(0))))
    optimiser = make_optimiser(TrainConfig(), RUN)
    loss_fn = NetworkLoss(graphdef, basket_loss)

    def function(params: Any, state: Any, batch: Batch, key: Any) -> tuple[Any, Any, jax.Array]:
        loss, gradients = jax.value_and_grad(loss_fn)(params, batch, key)
        updates, state = optimiser.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    of = partial(jax.ShapeDtypeStruct, (shape.batch, shape.length))
    target = jax.ShapeDtypeStruct((shape.batch, 1), jnp.int32)
    batch = Batch(of(jnp.int32), of(jnp.bool_), of(jnp.bool_), target=target)
    state, key = jax.eval_shape(optimiser.init, params), jax.eval_shape(lambda: jax.random.key(0))
    return Step(function, (params, state, batch, key))


def step_operations(shape: Shape) -> int:
    """Additions and multiplications of a step, counted before the program is compiled.

    Args:
        shape: the sizes; a hundred million items take no memory.

    Example:
        >>> one, two, three = (step_operations(Shape(n, 2, 4, 3)) for n in (5, 10, 15))
        >>> three - two == two - one  # linear in the catalogue
        True
    """
    step = training_step(shape)
    return operations(step.function, *step.arguments)


def numbers(shape: Shape) -> int:
    """Numbers that are trained: table, biases and the network.

    Args:
        shape: the sizes.
    """
    return sum(leaf.size for leaf in jax.tree.leaves(training_step(shape).arguments[0]))


def step_arguments(shape: Shape, seed: int = 0) -> tuple[Any, Any, Batch, jax.Array]:
    """Arguments of a `Step` that are numbers: small weights, an empty state, full histories.

    Args:
        shape: the sizes.
        seed: of the weights and the histories.
    """
    params, _, batch, _ = training_step(shape).arguments
    rng = np.random.default_rng(seed)

    def small(leaf: Any) -> jax.Array:
        return jnp.asarray(rng.standard_normal(leaf.shape, np.float32) / shape.width**0.5)

    history, target = (
        jnp.asarray(rng.integers(1, shape.items + 1, array.shape), jnp.int32)
        for array in (batch.history, batch.target)
    )
    every = jnp.ones(history.shape, bool)
    weights = jax.tree.map(small, params)
    state = make_optimiser(TrainConfig(), RUN).init(weights)
    return weights, state, Batch(history, every, every, target=target), jax.random.key(seed)


def step_seconds(shape: Shape, repeats: int = REPEATS, seed: int = 0) -> np.ndarray:
    """Seconds of each of several steps, one after the other as in training.

    The step overwrites its parameters, as `recflax.training.fit` has it.

    Args:
        shape: the sizes.
        repeats: how many steps, at least 1, after one that compiles.
        seed: of the weights and the histories.

    Raises:
        ValueError: ``repeats`` is below 1.
    """
    step = jax.jit(training_step(shape).function, donate_argnums=(0, 1))
    params, state, batch, key = step_arguments(shape, seed)
    now = [params, state]

    def call() -> jax.Array:
        now[0], now[1], loss = step(now[0], now[1], batch, key)
        jax.block_until_ready(now)
        return loss

    return timed(call, repeats)
