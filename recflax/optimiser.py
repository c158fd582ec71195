"""How to train, as one frozen record, and the optimiser that it describes."""

from dataclasses import dataclass

import numpy as np
import optax


@dataclass(frozen=True)
class TrainConfig:
    """How to train; the defaults are those of the book's lessons.

    Attributes:
        epochs: passes over the data, at least 1.
        batch_size: examples a step, at least 1.
        learning_rate: AdamW's step at the end of the warm-up.
        weight_decay: AdamW's decoupled decay (Loshchilov and Hutter, 2019).
        warmup_steps: steps in which the learning rate rises from 0, at least 0.
        schedule: ``"cosine"`` falls to 0 at the last step, ``"constant"`` does not fall.
        clip_norm: gradients of a larger norm are scaled down to it; None leaves them.
        patience: stop after so many epochs without a better validation loss; None never stops.

    Raises:
        TypeError: a number of epochs, examples or steps is not an integer.
        ValueError: a value is out of range.

    Example:
        >>> TrainConfig(epochs=0)
        Traceback (most recent call last):
        ...
        ValueError: epochs must be at least 1; got 0
    """

    epochs: int = 8
    batch_size: int = 250
    learning_rate: float = 4e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 20
    schedule: str = "cosine"
    clip_norm: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("epochs", "batch_size", "warmup_steps", "patience"):
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole and not (name == "patience" and value is None):
                raise TypeError(f"{name} must be an integer; got {value!r}")
        least = {"epochs": 1, "batch_size": 1, "warmup_steps": 0, "weight_decay": 0}
        for name, low in (least | {"patience": 1}).items():
            value = getattr(self, name)
            if value is not None and not low <= value < float("inf"):  # NaN is neither
                raise ValueError(f"{name} must be at least {low}; got {value}")
        for name in ("learning_rate", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} must be positive and finite; got {value}")
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"schedule must be 'cosine' or 'constant'; got {self.schedule!r}")


def make_optimiser(config: TrainConfig, steps: int) -> optax.GradientTransformation:
    """Return AdamW with the schedule of ``config`` over ``steps`` steps in all.

    Example:
        >>> optimiser = make_optimiser(TrainConfig(), steps=100)
        >>> sorted(optimiser._fields)
        ['init', 'update']
    """
    warmup = min(config.warmup_steps, steps - 1)
    if config.schedule == "cosine":
        rate = optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, warmup, steps)
    else:
        rate = optax.linear_schedule(0.0, config.learning_rate, warmup)
        rate = rate if warmup else optax.constant_schedule(config.learning_rate)
    adam = optax.adamw(rate, weight_decay=config.weight_decay)
    if config.clip_norm is None:
        return adam
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adam)
