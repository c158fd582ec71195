"""Cross-fitted effects against DoubleML's interactive regression model, on the same folds."""

import math

import doubleml
import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from recflax.causal.effects import cross_fit, doubly_robust
from recflax.worlds.banner import BannerConfig, build_banner


@pytest.mark.parametrize("g", [0.0, 1.0])
def test_cross_fitted_doubly_robust_is_that_of_doubleml(g):
    draws = build_banner(BannerConfig(n_people=997, g=g), 3).log()
    log = draws.treated()
    X = np.eye(9)[draws.tokens[:, -1]]  # the newest event's category
    asked = []

    def fit(features, treatment, outcome, key):
        chance = LogisticRegression().fit(features["X"], treatment)
        arms = [
            LogisticRegression().fit(features["X"][treatment == t], outcome[treatment == t])
            for t in (0, 1)
        ]

        def predict(new):
            asked.append(new["row"])
            return [model.predict_proba(new["X"])[:, 1] for model in (chance, *arms)]

        return predict

    features = {"X": X, "row": np.arange(log.n)}
    mine = doubly_robust(log, cross_fit(log, features, fit, key=jax.random.key(0)))

    data = doubleml.DoubleMLData.from_arrays(X, log.outcome, log.treatment)
    theirs = doubleml.DoubleMLIRM(
        data, LogisticRegression(), LogisticRegression(), n_folds=4, draw_sample_splitting=False
    )
    theirs.set_sample_splitting([(np.setdiff1d(np.arange(log.n), rows), rows) for rows in asked])
    theirs.fit()
    assert mine.value == pytest.approx(theirs.coef[0], rel=1e-9)
    # theirs divides by n where one over people divides by n - 1
    assert mine.std_error == pytest.approx(theirs.se[0] * math.sqrt(997 / 996), rel=1e-9)
