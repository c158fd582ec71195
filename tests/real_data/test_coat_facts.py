"""Facts of the real ratings, and the paper's table 2. Collected only where the data are."""

import jax
import numpy as np

from recflax.data.coat import load
from recflax.lessons import coat as lesson


def test_the_published_counts() -> None:
    coat = load()
    assert ((coat.train > 0).sum(axis=1) == 24).all()
    assert ((coat.test > 0).sum(axis=1) == 16).all()
    assert ((coat.train > 0) & (coat.test > 0)).sum() == 366
    assert coat.user_features.shape[1] == 14
    assert coat.item_features.shape[1] == 33


def test_the_means_of_train_test_and_reweighted_train() -> None:
    coat = load()
    seen = coat.train > 0
    weight, given = 1 / coat.propensities[seen], coat.train[seen]
    assert round(given.mean(), 3) == 2.611
    assert round(coat.test[coat.test > 0].mean(), 3) == 2.229
    assert round((weight * given).sum() / coat.train.size, 3) == 2.424
    assert round((weight * given).sum() / weight.sum(), 3) == 2.331


def test_table_2_of_schnabel_et_al() -> None:
    """One start, at the penalty that cross-validation chooses."""
    coat = load()
    found = {
        way: lesson.measure(coat, lesson.predict(coat, "factors", way, 7, 6.0))
        for way in lesson.WAYS
    }
    assert 1.18 <= found["naive"]["mse"] <= 1.23
    assert 1.08 <= found["ips"]["mse"] <= 1.12
    assert found["naive"]["mse"] - found["ips"]["mse"] >= 0.08


def test_the_attention_recommender_does_not_see_what_it_is_asked() -> None:
    """Of ratings that it is trained on it is far from sure, and better than a constant."""
    coat = load()
    one = lesson.attention_ratings(coat, "naive", jax.random.key(0))
    assert one.shape == coat.train.shape
    assert ((one > 1) & (one < 5)).all()
    seen = coat.train > 0
    constant = np.square(coat.train[seen] - coat.train[seen].mean()).mean()
    wrong = np.square(one - coat.train)[seen].mean()
    assert 0.3 * constant < wrong < constant  # it learned, and did not read the answers off
