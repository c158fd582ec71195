r"""Observational logs drawn from Hillstrom's experiment: the truth is known, for once on real data.

Of the customers who were sent the men's e-mail or none, keep a treated one with chance
:math:`p(x)` and an untreated one with chance :math:`1 - p(x)`. In what is left the treatment
depends on x as if a shop had chosen whom to write to, :math:`P(T = 1 \mid x, \text{kept}) = p(x)`;
and since a coin gave each arm a half, every customer is kept with chance 1/2 whatever x is, so the
customers are still those of the experiment, and its answer is still the truth (Gentzel, Pruthi and
Jensen 2021). x is what was known before the e-mail.
"""

import jax
import numpy as np
from sklearn.linear_model import LogisticRegression

from recflax.causal.effects import (
    Fit,
    Predict,
    cross_fit,
    difference_of_means,
    doubly_robust,
    inverse_weighting,
    outcome_regression,
)
from recflax.causal.logged import Treated
from recflax.data.hillstrom import ATTRIBUTES, Hillstrom
from recflax.estimates import Estimate
from recflax.lessons.attribute_network import (
    AttributeConfig,
    chances,
    fit_attributes,
    one_hot,
)
from recflax.optimiser import TrainConfig

RESAMPLES = "resamples of this experiment"

DESIGNS = {
    "risk": "the men's e-mail mostly to who would visit anyway: .9 above the median risk, else .1",
    "recent": "mostly to settled customers who bought lately: .8 for those, else .2",
}
"""The two designs: key, and whom the imagined shop would have written to."""

ADJUSTERS = {
    "naive": "difference of means",
    "ips": "weights, logged chance",
    "snips": "weights, logged chance, normalised",
    "logistic_ips": "weights, logistic propensity",
    "outcome": "logistic outcomes",
    "logistic_dr": "doubly robust, logistic",
    "network_dr": "doubly robust, attention",
}
"""The estimates: key and label."""

FITTED = ("logistic_ips", "outcome", "logistic_dr", "network_dr")
"""The adjusters that know nothing but the columns of the log."""

DRIVING = ("recency", "newbie")
"""The columns that drive the second design, and that are withheld once."""

LEVELS = tuple(len(names) for names in ATTRIBUTES.values())
FOLDS = 2
TRAIN = TrainConfig(epochs=30, batch_size=125, learning_rate=5e-3, weight_decay=3e-2, patience=6)


def risk_score(experiment: Hillstrom) -> np.ndarray:
    """(n,) log odds of a visit, by a logistic regression on who was sent the *women's* e-mail.

    Those are in neither arm of the comparison, so the score has seen none of its outcomes.
    """
    columns = one_hot(experiment.codes(), LEVELS)
    apart = experiment.arm == 2
    model = LogisticRegression(solver="newton-cholesky").fit(
        columns[apart], experiment.visit[apart]
    )
    return model.decision_function(columns)


def chance(experiment: Hillstrom, design: str) -> np.ndarray:
    """(n,) the chance p(x) with which the imagined shop sends the men's e-mail.

    Args:
        experiment: all customers, of the three arms.
        design: a key of `DESIGNS`.

    Raises:
        ValueError: an unknown design.
    """
    if design == "risk":
        risk = risk_score(experiment)
        return np.where(risk > np.median(risk[experiment.arm != 2]), 0.9, 0.1)
    if design == "recent":
        return np.where((experiment.recency <= 6) & (experiment.newbie == 0), 0.8, 0.2)
    raise ValueError(f"design must be one of {tuple(DESIGNS)}; got {design!r}")


def kept(treatment: np.ndarray, chance: np.ndarray, seed: int) -> np.ndarray:
    """(n,) bool: which rows of an experiment an observational log keeps.

    Args:
        treatment: (n,) 0 or 1, drawn with chance 1/2.
        chance: (n,) what P(T = 1 | x) is to be in the log.
        seed: of the draw.

    Example:
        >>> kept(np.array([1, 0, 1, 0]), np.array([1.0, 1.0, 0.0, 0.0]), seed=0).tolist()
        [True, False, False, True]
    """
    keep = np.where(treatment == 1, chance, 1 - chance)
    return np.random.default_rng(seed).random(len(keep)) < keep


def logistic_fit() -> Fit:
    """Nuisances by three logistic regressions, every level of an attribute a column."""

    def fit_three(codes: np.ndarray, t: np.ndarray, y: np.ndarray, key: jax.Array) -> Predict:
        columns = one_hot(codes, LEVELS)
        parts = ((columns, t), *((columns[t == arm], y[t == arm]) for arm in (0, 1)))
        models = [
            LogisticRegression(solver="newton-cholesky").fit(x, target) for x, target in parts
        ]

        def predict(new: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            asked = one_hot(new, LEVELS)
            found = [model.predict_proba(asked)[:, 1] for model in models]
            return found[0], found[1], found[2]

        return predict

    return fit_three


def network_fit(train: TrainConfig = TRAIN) -> Fit:
    """Nuisances by one `AttributeNetwork`, which is asked for T, Y without it, and Y with it."""

    def fit_network(codes: np.ndarray, t: np.ndarray, y: np.ndarray, key: jax.Array) -> Predict:
        config = AttributeConfig(LEVELS, questions=3)
        target, weight = np.stack([t, y, y], axis=1), np.stack([np.ones_like(t), 1 - t, t], axis=1)
        network = fit_attributes(config, codes, target, weight, train, key=key)

        def predict(new: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            found = chances(network, new)
            return found[:, 0], found[:, 1], found[:, 2]

        return predict

    return fit_network


def fitted_estimates(log: Treated, codes: np.ndarray, seed: int) -> dict[str, Estimate]:
    """The estimates of `FITTED`, cross-fitted, from a log and the codes (n, A) of its customers."""
    key = jax.random.key(seed)
    logistic = cross_fit(log, codes, logistic_fit(), folds=FOLDS, key=key)
    network = cross_fit(log, codes, network_fit(), folds=FOLDS, key=key)
    return {
        "logistic_ips": inverse_weighting(log, logistic, normalise=True),
        "outcome": outcome_regression(log, logistic),
        "logistic_dr": doubly_robust(log, logistic),
        "network_dr": doubly_robust(log, network),
    }


def logged_estimates(log: Treated, chance: np.ndarray) -> dict[str, Estimate]:
    """The difference of means, and the two that weight by the logged chance (n,) of the e-mail."""
    logged = log.bind(chance)
    return {
        "naive": difference_of_means(log),
        "ips": inverse_weighting(log, logged),
        "snips": inverse_weighting(log, logged, normalise=True),
    }


def withheld(codes: np.ndarray, names: tuple[str, ...] = DRIVING) -> np.ndarray:
    """The codes with some attributes made alike for all, so that nothing can be learned from them.

    >>> withheld(np.array([[3, 1, 0, 0, 2, 1, 0]])).tolist()
    [[0, 1, 0, 0, 2, 0, 0]]
    """
    places = [list(ATTRIBUTES).index(name) for name in names]
    codes = codes.copy()
    codes[:, places] = 0
    return codes


def sample_row(experiment: Hillstrom, seed: int) -> dict[str, float]:
    """One resample of each design, and how far every adjuster is from the experiment's answer.

    Args:
        experiment: all customers, of the three arms.
        seed: of the resamples, the folds and the networks.

    Returns:
        ``effect`` and ``effect_std_error``, what the whole experiment says of the men's e-mail on
        visits; ``design_adjuster_off``, estimate less that; and ``withheld_adjuster_off``, the
        second design for those of `FITTED` that do not see the columns that drive it.
    """
    rows = experiment.arm != 2
    compared = experiment.where(rows)
    whole = Treated(compared.arm, compared.visit)
    truth = difference_of_means(whole)
    row = {"effect": truth.value, "effect_std_error": truth.std_error}
    for design in DESIGNS:
        p = chance(experiment, design)[rows]
        keep = kept(whole.treatment, p, seed)
        log = Treated(whole.treatment[keep], whole.outcome[keep])
        codes = compared.codes()[keep]
        found = {design: logged_estimates(log, p[keep]) | fitted_estimates(log, codes, seed)}
        if design == "recent":
            found["withheld"] = fitted_estimates(log, withheld(codes), seed)
        row |= {
            f"{setting}_{name}_off": one.value - truth.value
            for setting, by_name in found.items()
            for name, one in by_name.items()
        }
    return row
