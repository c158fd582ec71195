r"""A softmax over a sample of the catalogue: which corrections lead to the same optimum.

The full cross-entropy needs the logit of every item for every step. A sampled one takes the right
item and S others, drawn from a proposal q, usually in proportion to popularity. Whether its
optimum is that of the full loss, :math:`s_j = \log p(j) + \text{const}`, depends on what is
subtracted from the logits:

- *nothing*: at the optimum the softmax of s is p / q normalised, for every S: popular items are
  marked down, since they are drawn as negatives more often;
- *from the drawn ones*: :math:`\log(S q_j)`, which makes the sum over the sample an unbiased
  estimate of the sum over the catalogue (Bengio and Senécal 2008). The loss takes the logarithm of
  that sum, so its optimum is p only as S grows;
- *from both*: :math:`\log q_j` of the right item too, as in logQ correction (Yi et al. 2019). Of
  1 + S candidates, one of which is drawn from p and the rest from q, candidate x is the one from p
  with probability proportional to p(x) / q(x). So the optimum is p for every S (Ma and Collins
  2018).

The problem here is small enough to be known: a few kinds of history, thirty items, the exact law
of the next item given each. All trainings are of one free logit for each pair, and the right items
enter with their exact probabilities, so all that is random is the sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recflax.estimates import Estimate
from recflax.intervals import mean_over_seeds
from recflax.lessons.statements import Statement, column, paired_columns, sayer
from recflax.losses import sampled_cross_entropy
from recflax.optimiser import TrainConfig
from recflax.training import fit

ITEMS = 30
SAMPLES = (1, 4, 16, 64)
WAYS = {
    "plain": "no correction",
    "drawn": "drawn items corrected",
    "both": "both corrected (logQ)",
}
"""The sampled losses: key and label."""

STEPS = 1_000
TRAIN = TrainConfig(epochs=4, batch_size=1, learning_rate=0.05, weight_decay=0.0)


class Problem(NamedTuple):
    """What there is to learn, exactly.

    Attributes:
        chance: (C, M) the law p of the next item given each kind of history.
        proposal: (M,) q, from which negatives are drawn: the mean of p over the kinds.
    """

    chance: np.ndarray
    proposal: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """(C, M) p / q normalised: where the uncorrected loss ends."""
        ratio = self.chance / self.proposal
        return ratio / ratio.sum(axis=1, keepdims=True)


def problem(seed: int, kinds: int, n_items: int = ITEMS) -> Problem:
    """Popular and unpopular items, and a taste of its own for each kind of history.

    Args:
        seed: of the tastes.
        kinds: C, at least 1.
        n_items: M, at least 2.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> problem(0, kinds=3, n_items=5).chance.sum(axis=1).round(12).tolist()
        [1.0, 1.0, 1.0]
    """
    if kinds < 1 or n_items < 2:
        raise ValueError(f"kinds and n_items must be at least 1 and 2; got {kinds} and {n_items}")
    popularity = -np.log1p(np.arange(n_items))
    popularity = 1.2 * (popularity - popularity.mean()) / popularity.std()
    taste = np.random.default_rng(seed).standard_normal((kinds, n_items))
    weight = np.exp(popularity + taste)
    chance = weight / weight.sum(axis=1, keepdims=True)
    return Problem(chance, chance.mean(axis=0))


@dataclass(frozen=True)
class SampledLoss:
    """One of `WAYS`, or ``"full"``, as a loss of logits (C, M) for `recflax.training.fit`.

    Attributes:
        way: ``"full"``, ``"plain"``, ``"drawn"`` or ``"both"``.
        samples: S, negatives drawn for each kind and right item; they are drawn with replacement.

    Raises:
        ValueError: an unknown way, or fewer than one sample.

    Example:
        >>> even = SampledLoss("full", 1)(jnp.zeros((1, 2)), jnp.full((1, 1, 2), 0.5), None)
        >>> bool(jnp.isclose(even, jnp.log(2)))
        True
    """

    way: str
    samples: int

    def __post_init__(self) -> None:
        """Check the values."""
        if self.way not in ("full", *WAYS):
            raise ValueError(f"way must be 'full' or one of {tuple(WAYS)}; got {self.way!r}")
        if self.samples < 1:
            raise ValueError(f"samples must be at least 1; got {self.samples}")

    def __call__(self, params: jax.Array, batch: jax.Array, key: Any) -> jax.Array:
        """Return the mean over kinds and right items, each with its probability.

        Args:
            params: (C, M) the logits.
            batch: (1, C, M) the law p.
            key: a random key for the sample; the full loss needs none.
        """
        logits, chance = params, batch[0]
        if self.way == "full":
            return -(chance * jax.nn.log_softmax(logits, axis=1)).sum(axis=1).mean()
        kinds, n_items = chance.shape
        q = jnp.broadcast_to(chance.mean(axis=0), (n_items, n_items))  # one row a right item
        if self.way == "drawn":  # there the right item is not among the drawn ones
            q = jnp.where(jnp.eye(n_items, dtype=bool), 0, q)
            q = q / q.sum(axis=1, keepdims=True)
        uniform = jax.random.uniform(key, (n_items, kinds * self.samples))
        steps = jnp.cumsum(q, axis=1)
        # "right": an item whose chance is 0 is no step, and is never drawn
        drawn = jax.vmap(lambda at, value: jnp.searchsorted(at, value, side="right"))(
            steps, uniform * steps[:, -1:]
        ).reshape(n_items, kinds, self.samples)
        negative = logits[jnp.arange(kinds)[:, None], drawn].swapaxes(0, 1)  # (C, M, S)
        log_q = jnp.log(q[jnp.arange(n_items)[:, None, None], drawn]).swapaxes(0, 1)
        if self.way == "plain":
            return sampled_cross_entropy(logits, negative, weight=chance)
        if self.way == "drawn":
            expected = jnp.log(self.samples) + log_q
            return sampled_cross_entropy(logits, negative, expected, weight=chance)
        return sampled_cross_entropy(logits - jnp.log(q[0]), negative, log_q, weight=chance)


def learned(
    what: Problem, way: str, samples: int, key: jax.Array, train: TrainConfig = TRAIN
) -> np.ndarray:
    """(C, M) the softmax of the logits after `STEPS` steps, starting from zero.

    Args:
        what: the problem.
        way: ``"full"`` or one of `WAYS`.
        samples: S, at least 1.
        key: a random key, for the samples.
        train: how to train; its epochs share `STEPS`.

    Raises:
        ValueError: an unknown way, or fewer than one sample.
    """
    steps = STEPS // train.epochs  # in an epoch, each on all there is: the law itself
    data = jnp.broadcast_to(jnp.asarray(what.chance, jnp.float32), (steps, *what.chance.shape))
    result = fit(jnp.zeros(what.chance.shape), SampledLoss(way, samples), data, train, key=key)
    return np.asarray(jax.nn.softmax(result.params, axis=1), dtype=float)


def divergence(truth: np.ndarray, found: np.ndarray) -> float:
    r"""The mean over kinds of :math:`\sum_j p_j \log(p_j / \hat p_j)`, in nats.

    Args:
        truth: (C, M) p, rows that sum to 1, positive.
        found: (C, M).

    Example:
        >>> round(divergence(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])), 4)
        0.1438
    """
    return float((truth * np.log(truth / found)).sum(axis=1).mean())


def run(seed: int, size: int = 4) -> dict[str, float]:
    """One row: the full loss and every sampled one, on one problem.

    Args:
        seed: the problem's seed, and that of the samples.
        size: kinds of history.

    Returns:
        ``seed``, ``people`` (the kinds), ``full``, the divergence of the full loss's optimum from
        the truth; for each of `WAYS` and `SAMPLES` ``way_samples``, the divergence from the truth,
        and ``way_samples_ratio``, that from p / q; and ``ratio``, that of p / q from the truth.
    """
    what, key = problem(seed, size), jax.random.key(seed)
    row: dict[str, float] = {"seed": seed, "people": size}
    row["full"] = divergence(what.chance, learned(what, "full", 1, key))
    row["ratio"] = divergence(what.chance, what.ratio)
    for way in WAYS:
        for samples in SAMPLES:
            found = learned(what, way, samples, key)
            row[f"{way}_{samples}"] = divergence(what.chance, found)
            row[f"{way}_{samples}_ratio"] = divergence(what.ratio, found)
    return row


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """
    few, many = SAMPLES[0], SAMPLES[-1]

    say = sayer("sampled", rows)

    def mean(name: str) -> Estimate:
        return mean_over_seeds(column(rows, name))

    return [
        say(
            "full-is-the-truth",
            "The full cross-entropy learns the law of the next item: divergence, in nats.",
            mean("full"),
            at_most=0.001,
        ),
        say(
            "both-same-optimum",
            f"With both sides corrected and {many} negatives the sampled loss has the optimum of "
            "the full one: divergence from the truth, in nats.",
            mean(f"both_{many}"),
            at_most=0.005,
        ),
        say(
            "both-with-one-negative",
            "With both sides corrected a single negative is enough: divergence from the truth, in "
            "nats.",
            mean(f"both_{few}"),
            at_most=0.1,
        ),
        say(
            "drawn-needs-many",
            "With only the drawn items corrected the optimum depends on how many are drawn: "
            f"divergence with one negative less that with {many}, in nats.",
            paired_columns(rows, f"drawn_{few}", f"drawn_{many}"),
            at_least=0.1,
        ),
        say(
            "drawn-same-optimum",
            f"With {many} negatives it has the optimum of the full loss too: divergence from the "
            "truth, in nats.",
            mean(f"drawn_{many}"),
            at_most=0.005,
        ),
        say(
            "plain-stays-wrong",
            f"Without a correction {many} negatives do not help: divergence from the truth, in "
            "nats.",
            mean(f"plain_{many}"),
            at_least=0.1,
        ),
        say(
            "plain-is-the-ratio",
            "What it learns is p / q normalised: divergence from that, in nats.",
            mean(f"plain_{many}_ratio"),
            at_most=0.005,
        ),
    ]
