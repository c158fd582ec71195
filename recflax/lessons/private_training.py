r"""What a network gives away of the people it was trained on, and what it costs to keep it quiet.

One store, one law, one network (a question of the person attends), one target: exposed rows, shown
and not shown. A part of the people belongs to the attacker, whose *reference* network is trained on
them; of the others a coin decides for each, on her own, whether she is a *member*. Networks are
trained on the members:

- *careful*: few epochs, as one would train it;
- *by heart*: four times as many at a faster rate, until it knows its members by heart;
- the latter once more on the log's purchases, which asks nothing causal;
- *private*: DP-SGD, at several noises.

Each is attacked twice: by its loss on the person's own visits, and by that loss less the
reference's. What the shop loses is exact: purchases that the slot adds, by the uplift.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from recflax.estimates import Estimate
from recflax.fitted import NetworkLoss, cell_loss
from recflax.intervals import mean_over_seeds
from recflax.lessons.cells import (
    ARMS,
    count,
    exposed_cells,
    histories,
    log_cells,
    network_config,
    probabilities,
)
from recflax.lessons.statements import Statement, column, paired_columns, sayer
from recflax.membership import loss_of_each, membership_attack
from recflax.metrics import ndcg_at_k
from recflax.optimiser import TrainConfig
from recflax.privacy import PrivateTraining, fit_private
from recflax.recommender import Recommender
from recflax.training import fit
from recflax.worlds.store import Store, StoreConfig, build_store

DELTA = 1e-5
"""Far below one over the number of people."""

POOL, MEMBERS = 0.42, 2 / 3
"""The attacker's share of the people, and the chance that one of the others is a member."""

CAREFUL = TrainConfig(epochs=8, batch_size=100)
BY_HEART = replace(CAREFUL, epochs=30, learning_rate=1e-2)
PRIVATE = PrivateTraining(clip_norm=0.1, batch_size=200, steps=100, learning_rate=1e-2)
NOISES = {"loose": 0.6, "medium": 1.0, "tight": 2.0}
"""Noise multipliers of the private trainings; the rest of their settings is `PRIVATE`."""

TRAININGS = {
    "heart": "plain, learned by heart",
    "careful": "plain, few epochs",
    "loose": "private, little noise",
    "medium": "private, more",
    "tight": "private, most",
}
"""The trainings that every measure is taken of: key and label."""


def configs() -> dict[str, TrainConfig | PrivateTraining]:
    """How each of `TRAININGS` is trained."""
    private = {name: replace(PRIVATE, noise_multiplier=noise) for name, noise in NOISES.items()}
    return {"heart": BY_HEART, "careful": CAREFUL} | private


class Task(NamedTuple):
    """A store, who belongs to whom, and the targets.

    Attributes:
        store: the store.
        member: (U,) bool.
        pool: (U,) bool, the attacker's own people.
        reference: (U,) bool, those of them whom the reference is trained on.
        data: one example a person, on exposed rows.
        log_data: the same people, on the purchases of the log.
        bought: (U, M) bool, held-out purchases.
    """

    store: Store
    member: np.ndarray
    pool: np.ndarray
    reference: np.ndarray
    data: Any
    log_data: Any
    bought: np.ndarray


class Trained(NamedTuple):
    """A network as its trainer knows it.

    Attributes:
        network: the network.
        loss_fn: the loss that it was trained on.
        params: its parameters.
    """

    network: Recommender
    loss_fn: NetworkLoss
    params: Any


def make_task(seed: int, size: int) -> Task:
    """The store of a seed, its people divided: first the attacker's, then by the coin."""
    store = build_store(StoreConfig(n_people=size), seed)
    rng = np.random.default_rng([seed, 8])
    pool = np.arange(size) < round(POOL * size)  # people of a store have no order
    member = ~pool & (rng.random(size) < MEMBERS)
    # the attacker trains on as many as the shop: a sharper reference, and one compilation
    reference = pool & (np.arange(size) < member.sum())
    counts, everyone = count(store.log()), histories(store)
    # the log has one arm: a second of weight 0 keeps the network the same
    log = [np.concatenate([part, np.zeros_like(part)], axis=1) for part in log_cells(counts)]
    target, weight = exposed_cells(counts)
    return Task(
        store=store,
        member=member,
        pool=pool,
        reference=reference,
        data=everyone._replace(target=target, weight=weight),
        log_data=everyone._replace(target=log[0], weight=log[1]),
        bought=store.log(4, stream="heldout").counts() > 0,
    )


def train(
    task: Task,
    config: TrainConfig | PrivateTraining,
    key: jax.Array,
    *,
    people: np.ndarray | None = None,
    on_log: bool = False,
) -> Trained:
    """Train the network on some people, plainly or privately.

    Args:
        task: the store and its people.
        config: a `TrainConfig` trains plainly, a `PrivateTraining` by DP-SGD.
        key: a random key, for the first weights and whatever else is drawn.
        people: (U,) bool, on whom; None: on the members.
        on_log: on the purchases of the log instead of the exposed rows.
    """
    rows = task.member if people is None else people
    data = task.log_data if on_log else task.data
    start_key, fit_key = jax.random.split(key)
    shape = network_config(task.store, arms=ARMS, query="person")
    graphdef, params = nnx.split(Recommender(shape, rngs=nnx.Rngs(params=start_key)))
    loss_fn = NetworkLoss(graphdef, cell_loss)
    examples = jax.tree.map(lambda array: array[rows], data)
    if isinstance(config, PrivateTraining):
        params = fit_private(params, loss_fn, examples, config, key=fit_key)
    else:
        params = fit(params, loss_fn, examples, config, key=fit_key).params
    return Trained(nnx.merge(graphdef, params), loss_fn, params)


def losses(task: Task, trained: Trained, *, on_log: bool = False) -> np.ndarray:
    """(U,) the loss of each person's own visits, on exposed rows or on purchases of the log."""
    data = task.log_data if on_log else task.data
    return loss_of_each(trained.loss_fn, trained.params, data)


def attacks(task: Task, loss: np.ndarray, reference: np.ndarray | None = None) -> dict[str, float]:
    """The attacks on everybody who is not the attacker's.

    Args:
        task: the store and its people.
        loss: (U,) losses of the network under attack.
        reference: (U,) losses of the attacker's own network; None leaves the sharper attack out.

    Returns:
        ``loss_auc`` and ``loss_advantage``; ``sharp_auc`` and ``sharp_advantage``.
    """
    asked = ~task.pool
    scores = {"loss": -loss} | ({} if reference is None else {"sharp": reference - loss})
    row: dict[str, float] = {}
    for name, score in scores.items():
        found = membership_attack(score[asked], task.member[asked])
        row |= {f"{name}_auc": found.auc, f"{name}_advantage": found.advantage}
    return row


def worth(task: Task, trained: Trained) -> dict[str, float]:
    """What the network is worth to all people of the store, members or not.

    Returns:
        ``ndcg``: NDCG@10 of held-out purchases, ranked by the chance of a purchase when shown;
        ``increment``: purchases that the slot adds per visit, exact, if it shows the product with
        the largest uplift.
    """
    shown, not_shown = (probabilities(trained.network, task.store, arm) for arm in ARMS)
    value = task.store.policy_value(task.store.greedy(shown - not_shown))
    ndcg = np.nanmean(ndcg_at_k(shown, task.bought, 10))
    return {"ndcg": float(ndcg), "increment": value.increment}


def spent(task: Task, config: PrivateTraining) -> dict[str, float]:
    """What a private training spends: epsilon at `DELTA`, and the most that any attack can do."""
    people = int(task.member.sum())
    return {
        "epsilon": config.epsilon(people, DELTA),
        "limit": config.largest_advantage(people),
    }


def run(seed: int, size: int = 6_000) -> dict[str, float]:
    """One row: every training of one store, attacked and used.

    Args:
        seed: the store's seed, and that of the networks.
        size: number of people.

    Returns:
        ``seed``, ``people``, ``members``; for each of `TRAININGS`, after its name, ``loss_auc``,
        ``loss_advantage``, ``sharp_auc``, ``sharp_advantage``, ``ndcg``, ``increment``; for the
        private ones ``epsilon`` and ``limit``, the largest advantage of any attack; the attacks on
        ``log``, the network that learned the log's purchases by heart; ``random_increment``.
    """
    task, key = make_task(seed, size), jax.random.key(seed)
    reference_key = jax.random.fold_in(key, 1)

    def attacker(on_log: bool) -> np.ndarray:
        own = train(task, CAREFUL, reference_key, people=task.reference, on_log=on_log)
        return losses(task, own, on_log=on_log)

    row: dict[str, float] = {"seed": seed, "people": size, "members": int(task.member.sum())}
    reference = attacker(on_log=False)
    for name, config in configs().items():
        trained = train(task, config, key)
        found = attacks(task, losses(task, trained), reference) | worth(task, trained)
        if isinstance(config, PrivateTraining):
            found |= spent(task, config)
        row |= {f"{name}_{what}": number for what, number in found.items()}
    loss = losses(task, train(task, BY_HEART, key, on_log=True), on_log=True)
    found = attacks(task, loss, attacker(on_log=True))
    row |= {f"log_{what}": number for what, number in found.items()}
    return row | {"random_increment": float(task.store.uplift().mean())}


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """

    def mean(name: str) -> Estimate:
        return mean_over_seeds(column(rows, name))

    def over(one: str, other: str) -> Estimate:
        return paired_columns(rows, one, other)

    say = sayer("privacy", rows)

    above = [
        column(rows, f"{name}_{attack}_advantage") - column(rows, f"{name}_limit")
        for name in NOISES
        for attack in ("loss", "sharp")
    ]
    return [
        say(
            "attack-works",
            "Knowing a person's visits, the loss of a network that learned its people by heart "
            "tells whether she was one of them: AUC.",
            mean("heart_loss_auc"),
            at_least=0.6,
        ),
        say(
            "reference-sharpens",
            "Taking off what a network of the attacker's own loses makes the attack sharper: "
            "difference in AUC.",
            over("heart_sharp_auc", "heart_loss_auc"),
            at_least=0.05,
        ),
        say(
            "not-causal",
            "The same attack works on a network that asks no causal question and learned the "
            "log's purchases by heart: AUC.",
            mean("log_sharp_auc"),
            at_least=0.65,
        ),
        say(
            "few-epochs-hide",
            "Few epochs, without any promise, take most of the attack away: AUC of the sharper "
            "attack, learned by heart less few epochs.",
            over("heart_sharp_auc", "careful_sharp_auc"),
            at_least=0.15,
        ),
        say(
            "few-epochs-leak",
            "But not all of it: AUC of the sharper attack after few epochs.",
            mean("careful_sharp_auc"),
            at_least=0.52,
        ),
        say(
            "private-hides",
            "Trained privately, the network gives less away than after few epochs: difference in "
            "AUC of the sharper attack.",
            over("careful_sharp_auc", "medium_sharp_auc"),
            at_least=0.015,
        ),
        say(
            "private-near-chance",
            "What is left of the sharper attack on it is close to a coin's: AUC.",
            mean("medium_sharp_auc"),
            at_least=0.48,
            at_most=0.53,
        ),
        say(
            "below-the-limit",
            "No attack on a private network comes near what its account allows: the advantage "
            "less the limit, the largest of all noises and attacks.",
            mean_over_seeds(np.max(above, axis=0)),
            at_most=0.0,
        ),
        say(
            "costs-increment",
            "Privacy costs the shop: increment per visit, few epochs less the most private.",
            over("careful_increment", "tight_increment"),
            at_least=0.01,
        ),
        say(
            "more-costs-more",
            "More noise costs more: increment per visit, the least private less the most private.",
            over("loose_increment", "tight_increment"),
            at_least=0.0,
        ),
        say(
            "by-heart-costs-too",
            "Learning people by heart serves nobody: increment per visit, few epochs less by "
            "heart.",
            over("careful_increment", "heart_increment"),
            at_least=0.0,
        ),
    ]
