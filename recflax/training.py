"""Training: one jitted scan an epoch, early stopping, and runs that can be taken up again.

`fit` knows no model. It takes parameters (any pytree), a loss of parameters and a batch, and data
(any pytree of arrays whose first axis counts examples), and it gives parameters back.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from recflax.checkpoints import RunFolder
from recflax.optimiser import TrainConfig, make_optimiser


class Loss(Protocol):
    """A loss of parameters and a batch; hashable, so that equal losses compile once."""

    def __call__(self, params: Any, batch: Any, key: jax.Array) -> jax.Array:
        """Return the mean loss of the batch, a scalar."""
        ...


class FitResult(NamedTuple):
    """What a run gives back.

    Attributes:
        params: the parameters of the best epoch by validation loss, or of the last one where
            there is no validation.
        loss: (E,) mean training loss of each epoch that was run.
        validation_loss: (E,) after each epoch, or None.
        best_epoch: which epoch, from 0, the parameters are of.
        steps: gradient steps taken in all.
    """

    params: Any
    loss: np.ndarray
    validation_loss: np.ndarray | None
    best_epoch: int
    steps: int


@partial(jax.jit, static_argnames=("loss_fn", "config", "n_steps"), donate_argnums=(0, 1))
def _train_epoch(
    params: Any,
    state: optax.OptState,
    data: Any,
    key: jax.Array,
    *,
    loss_fn: Loss,
    config: TrainConfig,
    n_steps: int,
) -> tuple[Any, optax.OptState, jax.Array, jax.Array]:
    """One epoch: shuffle, then a scan over batches that are gathered inside.

    The last of the four results says whether all parameters are finite at the end.
    """
    optimiser = make_optimiser(config, n_steps * config.epochs)
    examples = len(jax.tree.leaves(data)[0])
    shuffle_key, loss_key = jax.random.split(key)
    order = jax.random.permutation(shuffle_key, examples)
    batch_size = min(config.batch_size, examples)
    order = jnp.resize(order, (n_steps, batch_size))  # the last batch is filled up from the front

    def step(
        carry: tuple[Any, optax.OptState], at: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[Any, optax.OptState], jax.Array]:
        params, state = carry
        places, key = at
        batch = jax.tree.map(lambda array: array[places], data)
        loss, gradients = jax.value_and_grad(loss_fn)(params, batch, key)
        updates, state = optimiser.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), loss

    keys = jax.random.split(loss_key, n_steps)
    (params, state), losses = jax.lax.scan(step, (params, state), (order, keys))
    sound = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]).all()
    return params, state, losses.mean(), sound


@partial(jax.jit, static_argnames=("loss_fn", "batch_size"))
def _mean_loss(params: Any, data: Any, key: jax.Array, *, loss_fn: Loss, batch_size: int) -> Any:
    """The loss over all of the data: batch by batch, weighted by their sizes."""
    examples = len(jax.tree.leaves(data)[0])
    whole = examples // batch_size
    total = jnp.zeros(())
    if whole:
        parts = jax.tree.map(
            lambda a: a[: whole * batch_size].reshape(whole, batch_size, *a.shape[1:]), data
        )
        total += batch_size * jax.lax.map(lambda part: loss_fn(params, part, key), parts).sum()
    if examples % batch_size:
        rest = jax.tree.map(lambda array: array[whole * batch_size :], data)
        total += examples % batch_size * loss_fn(params, rest, key)
    return total / examples


def fit(
    params: Any,
    loss_fn: Loss,
    data: Any,
    config: TrainConfig,
    *,
    key: jax.Array,
    validation: Any = None,
    checkpoint_dir: str | Path | None = None,
    on_epoch: Callable[[int, float, float | None], None] | None = None,
) -> FitResult:
    """Train parameters on data, in one jitted scan an epoch.

    Every epoch visits every example: they are shuffled, cut into batches of ``batch_size``, and
    the last batch is filled up with the first examples of the same order.

    Args:
        params: a pytree of arrays; it is not changed.
        loss_fn: ``loss_fn(params, batch, key)``, a scalar. It is a static argument of a jitted
            function: two losses that compare equal share one compilation.
        data: a pytree of arrays with the same first axis, at least one example.
        config: see `TrainConfig`.
        key: a random key; the same key gives the same result.
        validation: held-out examples, in the form of ``data``; needed for ``patience``.
        checkpoint_dir: a folder; the run is saved there after every epoch, and a run that is found
            there is taken up after its last epoch, with the same result as without interruption.
        on_epoch: called after each epoch with its number (from 0), loss and validation loss: for
            progress on long runs.

    Raises:
        ValueError: no examples, arrays of unequal first axis, ``patience`` without validation, or
            a checkpoint that another configuration, key, data or other parameters made.
        FloatingPointError: the loss or a parameter is not finite; names the epoch.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.arange(12.0)
        >>> def squares(params, batch, key):
        ...     return ((params["slope"] * batch - 3 * batch) ** 2).mean()
        >>> config = TrainConfig(epochs=200, batch_size=5, learning_rate=0.1, weight_decay=0.0)
        >>> result = fit({"slope": jnp.zeros(())}, squares, x, config, key=jax.random.key(0))
        >>> round(float(result.params["slope"]), 2), result.steps
        (3.0, 600)
    """
    examples = _count(data, "data")
    if validation is not None:
        _count(validation, "validation")
    elif config.patience is not None:
        raise ValueError("patience needs validation data, and none came")
    data, validation = jax.tree.map(jnp.asarray, (data, validation))
    n_steps = -(-examples // min(config.batch_size, examples))
    # a copy, since the epoch may overwrite its input; with a type of its own, since one taken from
    # a Python number ("weak") would change after the first epoch, which would then compile again
    params = jax.tree.map(lambda array: jnp.array(array, dtype=jnp.asarray(array).dtype), params)
    state = make_optimiser(config, n_steps * config.epochs).init(params)
    run = _Run(params=params, state=state, best=params)
    saved = None
    if checkpoint_dir is not None:
        made_by = {"key": jax.random.key_data(key), "data": data, "validation": validation}
        digests = {name: _digest(tree) for name, tree in made_by.items()}
        saved = RunFolder(checkpoint_dir, asdict(config) | digests)
        run = run.restored(saved)
    for epoch in range(len(run.loss), config.epochs):
        if config.patience is not None and epoch - 1 - run.best_epoch >= config.patience:
            break
        epoch_key = jax.random.fold_in(key, epoch)
        new = _train_epoch(
            run.params, run.state, data, epoch_key, loss_fn=loss_fn, config=config, n_steps=n_steps
        )
        run = run.after(
            new,
            None
            if validation is None
            else _mean_loss(
                new[0], validation, epoch_key, loss_fn=loss_fn, batch_size=config.batch_size
            ),
        )
        if saved is not None:
            saved.save(len(run.loss), run.arrays, run.numbers)
        if on_epoch is not None:
            on_epoch(
                epoch, run.loss[-1], run.validation_loss[-1] if validation is not None else None
            )
    return FitResult(
        params=run.best,
        loss=np.array(run.loss),
        validation_loss=None if validation is None else np.array(run.validation_loss),
        best_epoch=run.best_epoch,
        steps=n_steps * len(run.loss),
    )


def print_epoch(epoch: int, loss: float, validation_loss: float | None) -> None:
    """Print one line on standard output: an ``on_epoch`` for `fit`.

    Example:
        >>> print_epoch(2, 0.5, None)
        epoch   3  loss 0.5000
    """
    held_out = "" if validation_loss is None else f"  held out {validation_loss:.4f}"
    print(f"epoch {epoch + 1:3d}  loss {loss:.4f}{held_out}")


def _count(data: Any, name: str) -> int:
    """The number of examples of a pytree of arrays."""
    counts = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(data)}
    if len(counts) != 1 or () in counts or (0,) in counts:
        raise ValueError(
            f"{name} must hold arrays with one first axis of at least 1 example; got {counts}"
        )
    return counts.pop()[0]


def _digest(tree: Any) -> str:
    """A fingerprint of the arrays of a pytree, by which a checkpoint knows its own run again."""
    leaves, form = jax.tree.flatten(tree)
    found = hashlib.sha256(str(form).encode())
    for leaf in map(np.asarray, leaves):
        found.update(f"{leaf.dtype}{leaf.shape}".encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class _Run:
    """Where a run stands after an epoch."""

    params: Any
    state: optax.OptState
    best: Any
    best_epoch: int = 0
    loss: tuple[float, ...] = ()
    validation_loss: tuple[float, ...] = ()

    @property
    def arrays(self) -> tuple[Any, optax.OptState, Any]:
        """What a checkpoint keeps as arrays."""
        return self.params, self.state, self.best

    @property
    def numbers(self) -> dict[str, Any]:
        """What a checkpoint keeps as numbers."""
        return {name: getattr(self, name) for name in ("best_epoch", "loss", "validation_loss")}

    def restored(self, saved: RunFolder) -> "_Run":
        """The run as it was saved last, or this one where nothing was saved."""
        found = saved.restore(self.arrays)
        if found is None:
            return self
        (params, state, best), numbers = found
        return _Run(
            params=params,
            state=state,
            best=best,
            best_epoch=numbers["best_epoch"],
            loss=tuple(numbers["loss"]),
            validation_loss=tuple(numbers["validation_loss"]),
        )

    def after(self, new: tuple[Any, optax.OptState, jax.Array, jax.Array], held_out: Any) -> "_Run":
        """The run one epoch later."""
        params, state, loss, sound = new
        epoch = len(self.loss)
        for name, value in (("loss", loss), ("validation loss", held_out)):
            if value is not None and not np.isfinite(value):
                raise FloatingPointError(f"{name} is {float(value)} in epoch {epoch + 1}")
        if not sound:  # the last step can break them when every loss before it was finite
            raise FloatingPointError(f"a parameter is not finite after epoch {epoch + 1}")
        history = (
            self.validation_loss if held_out is None else (*self.validation_loss, float(held_out))
        )
        better = held_out is None or epoch == 0 or history[-1] < history[self.best_epoch]
        return _Run(
            params=params,
            state=state,
            # a copy: the next epoch overwrites its own input
            best=jax.tree.map(jnp.array, params) if better else self.best,
            best_epoch=epoch if better else self.best_epoch,
            loss=(*self.loss, float(loss)),
            validation_loss=history,
        )
