r"""A network behind the door that the baselines have: fit it on a log, ask it for scores.

Two objectives, both of what was bought, whether or not it was shown:

- ``"next_basket"``: the softmax over the catalogue against each basket, from what came before it;
- ``"purchases"``: for each person and item the share of visits in which the item was bought, from
  the person's frozen history (the simulated store has one history a person).

`fit_network` is underneath, for a loss of your own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from flax import nnx

from recflax.data.baskets import basket_examples, purchase_counts
from recflax.data.batches import Batch, check_ids, history_batch
from recflax.data.logs import Log
from recflax.losses import basket_cross_entropy, binary_cross_entropy, squared_error
from recflax.optimiser import TrainConfig
from recflax.recommender import Recommender, RecommenderConfig
from recflax.training import FitResult, fit


def cell_loss(network: Recommender, batch: Batch) -> jax.Array:
    """Binary cross-entropy of cells: targets and weights (B, A, M), each arm a mean of its own.

    Every arm is divided by its own total weight, so that an arm with few cells counts as much as
    one with many.

    Example:
        >>> import jax.numpy as jnp
        >>> network = Recommender(RecommenderConfig(n_items=2, initial_bias=0.0), rngs=nnx.Rngs(0))
        >>> empty = Batch(*(jnp.zeros((1, 3), kind) for kind in (int, bool, bool)))
        >>> cells = empty._replace(target=jnp.ones((1, 1, 2)), weight=jnp.ones((1, 1, 2)))
        >>> bool(jnp.isclose(cell_loss(network, cells), jnp.log(2)))  # nothing known: even odds
        True
    """
    by_arm = jax.vmap(binary_cross_entropy, in_axes=1)
    return by_arm(network(batch), batch.target, batch.weight).sum()


def squared_cell_loss(network: Recommender, batch: Batch) -> jax.Array:
    """`cell_loss` with the squared error of the probability: targets may leave [0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> network = Recommender(RecommenderConfig(n_items=2, initial_bias=0.0), rngs=nnx.Rngs(0))
        >>> empty = Batch(*(jnp.zeros((1, 3), kind) for kind in (int, bool, bool)))
        >>> cells = empty._replace(target=-jnp.ones((1, 1, 2)), weight=jnp.ones((1, 1, 2)))
        >>> float(squared_cell_loss(network, cells))  # (.5 + 1)^2
        2.25
    """
    by_arm = jax.vmap(squared_error, in_axes=1)
    return by_arm(network(batch), batch.target, batch.weight).sum()


def basket_loss(network: Recommender, batch: Batch) -> jax.Array:
    """Cross-entropy of the first arm against baskets: targets (B, T) of ids, 0 as padding.

    Example:
        >>> import jax.numpy as jnp
        >>> network = Recommender(RecommenderConfig(n_items=2), rngs=nnx.Rngs(0))
        >>> empty = Batch(*(jnp.zeros((1, 3), kind) for kind in (int, bool, bool)))
        >>> loss = basket_loss(network, empty._replace(target=jnp.array([[2, 0]])))
        >>> bool(jnp.isclose(loss, jnp.log(2)))
        True
    """
    return basket_cross_entropy(network(batch)[:, 0], batch.target)


@dataclass(frozen=True)
class NetworkLoss:
    """A loss of a network, as the loss of parameters that `recflax.training.fit` takes.

    Equal for equal network shapes and losses, so a second network of one shape compiles nothing.

    Attributes:
        graphdef: the network without its numbers.
        loss: ``loss(network, batch)``.
        drop_events: chance with which an event is hidden from attention while training, so that
            no score leans on one event. 0 is all of them seen.
    """

    graphdef: nnx.GraphDef
    loss: Callable[[Any, Batch], jax.Array]
    drop_events: float = 0.0

    def __call__(self, params: Any, batch: Batch, key: jax.Array) -> jax.Array:
        """Return the loss, after hiding each event with the chance ``drop_events``."""
        if self.drop_events:
            kept = jax.random.bernoulli(key, 1 - self.drop_events, batch.mask.shape)
            batch = batch._replace(mask=batch.mask & kept)
        return self.loss(nnx.merge(self.graphdef, params), batch)


def fit_network(
    config: RecommenderConfig,
    loss: Callable[[Any, Batch], jax.Array],
    data: Batch,
    train: TrainConfig,
    *,
    key: jax.Array,
    validation: Batch | None = None,
    drop_events: float = 0.0,
    **arguments: Any,
) -> tuple[Recommender, FitResult]:
    """Draw a network, train it, and return it with the record of its training.

    Args:
        config: the shape of the network.
        loss: ``loss(network, batch)``, a scalar: `cell_loss`, `basket_loss`, or your own.
        data: a `Batch` of all examples, with the targets and weights that the loss wants.
        train: how to train.
        key: a random key, for the first weights and for the order of the batches.
        validation: held-out examples, or None.
        drop_events: chance with which an event is hidden while training, 0 to below 1.
        **arguments: ``checkpoint_dir`` and ``on_epoch`` of `recflax.training.fit`.

    Raises:
        ValueError: ``drop_events`` is out of range.

    Example:
        >>> history = np.array([[0, 1], [1, 2], [2, 3]])
        >>> data = Batch(history, history > 0, history > 0, target=np.array([[2], [3], [1]]))
        >>> config = RecommenderConfig(n_items=3, width=4)
        >>> train = TrainConfig(epochs=2, batch_size=3)
        >>> network, record = fit_network(config, basket_loss, data, train, key=jax.random.key(0))
        >>> record.steps
        2
    """
    if not 0 <= drop_events < 1:
        raise ValueError(f"drop_events must be from 0 to below 1; got {drop_events}")
    start_key, fit_key = jax.random.split(key)
    graphdef, params = nnx.split(Recommender(config, rngs=nnx.Rngs(params=start_key)))
    loss_fn = NetworkLoss(graphdef, loss, drop_events)
    result = fit(params, loss_fn, data, train, key=fit_key, validation=validation, **arguments)
    return nnx.merge(graphdef, result.params), result


class AttentionRecommender:
    """A `Recommender` that is fitted on a `Log` and asked by person, like any baseline.

    Args:
        config: the shape; ``n_items``, ``categories`` and ``max_length`` are taken from the log
            and ``length``.
        train: how to train.
        length: L, how many of a person's last events are read.
        objective: ``"purchases"`` or ``"next_basket"``.
        max_targets: items kept of a basket under ``"next_basket"``.
        drop_events: chance with which an event is hidden while training.

    Attributes:
        network: the fitted network.
        record: the record of its training, a `recflax.training.FitResult`.

    Raises:
        ValueError: an unknown objective.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> model = AttentionRecommender(train=TrainConfig(epochs=2, batch_size=2), length=2)
        >>> model.fit(tiny_log(), key=jax.random.key(0)).scores([1, 0]).shape
        (2, 3)
    """

    def __init__(
        self,
        config: RecommenderConfig | None = None,
        train: TrainConfig | None = None,
        *,
        length: int = 16,
        objective: str = "purchases",
        max_targets: int = 64,
        drop_events: float = 0.0,
    ) -> None:
        """Remember how to fit."""
        if objective not in ("purchases", "next_basket"):
            raise ValueError(f"objective must be 'purchases' or 'next_basket'; got {objective!r}")
        self.config = RecommenderConfig(n_items=1) if config is None else config
        self.train = TrainConfig() if train is None else train
        self.length, self.objective, self.max_targets = length, objective, max_targets
        self.drop_events = drop_events
        self.network: Recommender | None = None

    def fit(self, log: Log, *, key: jax.Array, **arguments: Any) -> "AttentionRecommender":
        """Train on a log.

        Args:
            log: what to learn from; nothing later may be in it.
            key: a random key.
            **arguments: ``checkpoint_dir`` and ``on_epoch`` of `recflax.training.fit`.
        """
        config = replace(
            self.config,
            n_items=log.n_items,
            categories=tuple(log.items["category"].tolist()),
            max_length=self.length,
        )
        people = np.arange(log.n_people)
        self.histories = history_batch(log.events, people, length=self.length, n_items=log.n_items)
        if self.objective == "purchases":
            loss, data = cell_loss, purchase_cells(log, self.histories)
        else:
            loss = basket_loss
            examples = basket_examples(log, length=self.length, max_targets=self.max_targets)
            data = Batch(*(examples[name] for name in ("history", "bought", "mask")))
            data = data._replace(target=examples["target"])
        self.network, self.record = fit_network(
            config, loss, data, self.train, key=key, drop_events=self.drop_events, **arguments
        )
        return self

    def scores(self, people: Any, candidates: Any = None) -> np.ndarray:
        """Scores (B, N) of candidates (B, N), or (B, M) of the whole catalogue, for people (B,).

        Raises:
            RuntimeError: not fitted yet.
            ValueError: a person or an item that the log does not have; the first is named.
        """
        if self.network is None:
            raise RuntimeError("fit the recommender before asking it for scores")
        last = len(self.histories.history) - 1
        people = check_ids(people, "people", low=0, n_items=last, ndim=1)
        history, bought, mask = (array[people] for array in self.histories[:3])
        return self.network.scores(Batch(history, bought, mask, candidates))


def purchase_cells(log: Log, histories: Batch) -> Batch:
    """One example a person: in which share of their visits they bought each item.

    Args:
        log: visits are its impressions where it has them, else its baskets.
        histories: one history a person, in the order of the ids.

    Returns:
        The histories with target (U, 1, M), the share of visits, and weight (U, 1, M), the visits.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> log = tiny_log()
        >>> histories = history_batch(log.events, [0, 1], length=2, n_items=3)
        >>> purchase_cells(log, histories).target[:, 0].tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]
    """
    people = np.arange(log.n_people)
    counts = purchase_counts(log, people)  # (U, M)
    table = log.purchases if log.impressions is None else log.impressions
    person = table[["person", "visit"]].drop_duplicates()["person"].to_numpy()
    visits = np.bincount(person, minlength=log.n_people)[:, None]  # (U, 1)
    target = (counts / np.maximum(visits, 1)).astype(np.float32)
    weight = np.broadcast_to(visits, counts.shape).astype(np.float32)
    return histories._replace(target=target[:, None], weight=weight[:, None])
