r"""A network small enough to be trained while you watch, twice on one log.

All trainings start from the same numbers and see the same people in the same order. One asks what
was bought at a visit. The other asks what is bought if a product is shown and what if it is not,
and weighs each visit by the inverse of its propensity; a third asks that without weights. After
every few steps two things are read off: how likely the network finds the purchases of later visits,
and what it would add by filling everybody's slot with its first choice, which is exact.

The live page does the same in the reader's browser, from the same log; here it is done in JAX, so
that the page has something to be held against, and a record to show where a browser cannot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from recflax.data.batches import Batch
from recflax.fitted import cell_loss
from recflax.lessons.cells import (
    ARMS,
    count,
    exposed_cells,
    histories,
    log_cells,
    network_config,
)
from recflax.lessons.statements import Statement, paired_columns, sayer
from recflax.lessons.trainings import clipped_cells
from recflax.recommender import Recommender, RecommenderConfig
from recflax.worlds.store import Store, StoreConfig, build_store
from recflax.worlds.store_log import StoreLog

WAYS = {
    "purchases": "on purchases",
    "weights": "on what showing adds, with propensity weights",
    "exposed": "on what showing adds, without weights",
}
"""The trainings: key and label. The third tells what of the second is the weights' doing."""
SHARES = (0.0, 0.1, 0.5, 1.0)
"""Shares of the traffic whose slot is filled at random, as the table has them."""
HELDOUT_VISITS = 4


@dataclass(frozen=True)
class Schedule:
    """How long, and by what steps.

    Attributes:
        steps: steps of Adam.
        batch: people a step.
        rate: Adam's learning rate, which does not fall.
        every: steps between two readings; it divides ``steps``.

    Example:
        >>> Schedule(steps=50, every=20)
        Traceback (most recent call last):
        ...
        ValueError: every must divide steps; got 20 and 50
    """

    steps: int = 480
    batch: int = 32
    rate: float = 4e-3
    every: int = 30

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("steps", "batch", "rate", "every"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if self.steps % self.every:
            raise ValueError(f"every must divide steps; got {self.every} and {self.steps}")


class Record(NamedTuple):
    """What was read off a training.

    Attributes:
        loss: (S,) the training loss of each step.
        likelihood: (1 + S / every,) nats a held-out visit, before the first step and after each
            stretch: the log chance of what was bought and what was not, summed over the catalogue.
        increment: as many: purchases added per visit by the network's first choice, exactly.
    """

    loss: np.ndarray
    likelihood: np.ndarray
    increment: np.ndarray


def small_store(seed: int, size: int = 2_000) -> Store:
    """A shop of 40 products, which a few hundred steps get to know."""
    return build_store(StoreConfig(n_people=size, n_items=40), seed)


def small_config(store: Store) -> RecommenderConfig:
    """The lessons' network with two arms; the person attends, which is less work by far."""
    return network_config(store, arms=ARMS, query="person")


def learned_cells(log: StoreLog, way: str) -> tuple[np.ndarray, np.ndarray]:
    """Targets and weights (U, 2, M) of one of `WAYS`.

    Purchases are learned in the first arm. The second stays as it was: it has no weight.

    Raises:
        ValueError: an unknown way.
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {tuple(WAYS)}; got {way!r}")
    if way != "purchases":
        return clipped_cells(log) if way == "weights" else exposed_cells(count(log))
    target, weight = (np.repeat(cells, 2, axis=1) for cells in log_cells(count(log)))
    weight[:, 1] = 0
    return target, weight


def batch_order(people: int, schedule: Schedule, key: jax.Array) -> jax.Array:
    """(S, B) whom each step sees: everybody once, shuffled, then again; a short rest is left out.

    Raises:
        ValueError: fewer people than a batch holds.
    """
    whole = people // schedule.batch
    if not whole:
        raise ValueError(f"people must be at least batch, {schedule.batch}; got {people}")
    keys = jax.random.split(key, -(-schedule.steps // whole))
    passes = [jax.random.permutation(one, people)[: whole * schedule.batch] for one in keys]
    return jnp.concatenate(passes).reshape(-1, schedule.batch)[: schedule.steps]


@partial(jax.jit, static_argnames=("graphdef", "every"))
def train_steps(
    graphdef: Any, params: Any, data: Batch, order: jax.Array, rate: float, every: int
) -> tuple[jax.Array, Any]:
    """Adam on the cells of some people after another.

    Args:
        graphdef: the network without its numbers.
        params: its numbers.
        data: histories of all people with targets and weights (U, A, M).
        order: (S, B) the people of each step.
        rate: the learning rate.
        every: steps between two snapshots.

    Returns:
        The loss of each step (S,), and the parameters after each stretch, stacked.
    """
    optimiser = optax.adam(rate)

    def loss(params: Any, batch: Batch) -> jax.Array:
        return cell_loss(nnx.merge(graphdef, params), batch)

    def step(state: Any, people: jax.Array) -> tuple[Any, jax.Array]:
        params, memory = state
        batch = jax.tree.map(lambda array: array[people], data)
        value, gradient = jax.value_and_grad(loss)(params, batch)
        updates, memory = optimiser.update(gradient, memory, params)
        return (optax.apply_updates(params, updates), memory), value

    def stretch(state: Any, people: jax.Array) -> tuple[Any, Any]:
        state, losses = jax.lax.scan(step, state, people)
        return state, (losses, state[0])

    people = order.reshape(-1, every, order.shape[1])
    losses, snapshots = jax.lax.scan(stretch, (params, optimiser.init(params)), people)[1]
    return losses.ravel(), snapshots


@partial(jax.jit, static_argnames="graphdef")
def _chances(graphdef: Any, snapshots: Any, batch: Batch) -> jax.Array:
    """(T, U, A, M) chances of every snapshot."""
    return jax.lax.map(lambda p: jax.nn.sigmoid(nnx.merge(graphdef, p)(batch)), snapshots)


def readings(
    store: Store, chances: np.ndarray, way: str, later: np.ndarray, visits: int
) -> tuple[np.ndarray, np.ndarray]:
    r"""Held-out likelihood and exact increment of chances.

    A network with two arms is asked for the chance of a purchase at a visit with a random product
    in the slot, :math:`p_1 / M + (1 - 1/M)\, p_0`, and ranks by :math:`p_1 - p_0`.

    Args:
        store: the shop.
        chances: (T, U, A, M), in (0, 1).
        way: which of `WAYS` they come from.
        later: (U, M) at how many later visits each person bought each product.
        visits: later visits a person.

    Returns:
        Nats a visit, and purchases added per visit, each (T,).
    """
    shown, not_shown = (chances[:, :, arm].astype(float) for arm in (0, 1))
    see, rank = shown, shown
    if way != "purchases":
        share = 1 / chances.shape[-1]
        see, rank = share * shown + (1 - share) * not_shown, shown - not_shown
    log_chance = later * np.log(see) + (visits - later) * np.log1p(-see)
    uplift = store.uplift()
    added = uplift[np.arange(len(uplift)), rank.argmax(axis=-1)]
    return log_chance.sum(axis=-1).mean(axis=-1) / visits, added.mean(axis=-1)


def record(store: Store, log: StoreLog, way: str, schedule: Schedule, key: jax.Array) -> Record:
    """Train in one of `WAYS`, and read it off.

    Args:
        store: the shop.
        log: its log.
        way: which cells count, and for how much.
        schedule: how long.
        key: of the first numbers and of the order; the same for both ways.
    """
    start, shuffle = jax.random.split(key)
    graphdef, params = nnx.split(Recommender(small_config(store), rngs=nnx.Rngs(params=start)))
    target, weight = learned_cells(log, way)
    batch = histories(store)
    data = jax.tree.map(jnp.asarray, batch._replace(target=target, weight=weight))
    order = batch_order(store.config.n_people, schedule, shuffle)
    losses, snapshots = train_steps(graphdef, params, data, order, schedule.rate, schedule.every)
    whole = jax.tree.map(lambda p, later: jnp.concatenate([p[None], later]), params, snapshots)
    chances = np.asarray(_chances(graphdef, whole, jax.tree.map(jnp.asarray, batch)))
    later = count(store.log(HELDOUT_VISITS, "heldout"))
    read = readings(store, chances, way, later.purchases, HELDOUT_VISITS)
    return Record(np.asarray(losses), *read)


def run(
    seed: int, size: int = 2_000, schedule: Schedule | None = None, shares: Sequence[float] = SHARES
) -> dict[str, float]:
    """One row: every training at every share of randomised traffic, on one store.

    Args:
        seed: the store's seed, and that of the networks.
        size: number of people.
        schedule: how long; None is the page's own.
        shares: shares of the traffic whose slot is filled at random.

    Returns:
        ``seed``, ``people``, ``random`` and ``best`` (purchases added by a random product and by
        the best), and for each way and share, in per cent, ``way_share_likelihood`` and
        ``_increment`` at the end, and ``_first_likelihood`` and ``_first_increment`` after the
        first stretch.
    """
    store = small_store(seed, size)
    uplift = store.uplift()
    row: dict[str, float] = {"seed": seed, "people": size, "random": float(uplift.mean())}
    row["best"] = float(uplift.max(axis=1).mean())
    for share in shares:
        log = store.log(rand=share)
        for way in WAYS:
            found = record(store, log, way, schedule or Schedule(), jax.random.key(seed))
            name = f"{way}_{100 * share:.0f}"
            for at, which in ((1, "first_"), (-1, "")):
                row[f"{name}_{which}likelihood"] = float(found.likelihood[at])
                row[f"{name}_{which}increment"] = float(found.increment[at])
    return row


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run` with the shares of `SHARES`, one a seed, at least two.
    """
    say = sayer("train-here", rows)
    change = {
        name: paired_columns(rows, name, name.replace("_0_", "_0_first_"))
        for way in WAYS
        for name in (f"{way}_0_likelihood", f"{way}_0_increment")
    }
    return [
        say(
            "purchases-learn",
            "Trained on purchases the network finds later purchases likelier from stretch to "
            "stretch: nats per visit, from the first stretch to the end.",
            change["purchases_0_likelihood"],
            at_least=0.05,
        ),
        say(
            "purchases-add-nothing",
            "What it adds by filling the slot is what a random product adds, nearly: purchases "
            "per visit beyond random.",
            paired_columns(rows, "purchases_0_increment", "random"),
            at_least=-0.03,
            at_most=0.03,
        ),
        say(
            "weights-add",
            "With propensity weights the same network adds more, from the same log: purchases per "
            "visit beyond training on purchases.",
            paired_columns(rows, "weights_0_increment", "purchases_0_increment"),
            at_least=0.03,
        ),
        say(
            "weights-are-less-likely",
            "It finds later purchases less likely all the same: nats per visit less than training "
            "on purchases.",
            paired_columns(rows, "purchases_0_likelihood", "weights_0_likelihood"),
            at_least=0.03,
        ),
        say(
            "the-question-does-most",
            "Most of the gain comes with the question, without any weight: purchases per visit "
            "beyond training on purchases.",
            paired_columns(rows, "exposed_0_increment", "purchases_0_increment"),
            at_least=0.03,
        ),
        say(
            "weights-do-little",
            "In so small a log the weights do not help the first choice; they cost it a little: "
            "purchases per visit beyond the same question without them.",
            paired_columns(rows, "weights_0_increment", "exposed_0_increment"),
            at_least=-0.02,
            at_most=0.0,
        ),
        say(
            "randomised-does-not-help-purchases",
            "Randomising all of the traffic does not mend the wrong question: purchases per visit "
            "that training on purchases gains by it.",
            paired_columns(rows, "purchases_100_increment", "purchases_0_increment"),
            at_most=0.03,
        ),
        say(
            "randomised-helps-the-weighted",
            "It helps the weighted network, whose weights are then all the same: purchases per "
            "visit that it gains when all of the traffic is random.",
            paired_columns(rows, "weights_100_increment", "weights_0_increment"),
            at_least=0.0,
        ),
        say(
            "randomised-ends-where-no-weights-began",
            "With that it stands where the same question without weights stood on the log as it "
            "is: the difference, purchases per visit.",
            paired_columns(rows, "weights_100_increment", "exposed_0_increment"),
            at_least=-0.02,
            at_most=0.02,
        ),
    ]
