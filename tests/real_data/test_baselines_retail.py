"""The baselines on Online Retail, against numbers that were measured apart from this code."""

import jax
import numpy as np
import pytest

from recflax.baselines import BuyItAgain, ItemCF, Popularity
from recflax.comparison import compare
from recflax.data import online_retail
from recflax.data.baskets import first_baskets, item_matrix, next_basket, purchase_counts
from recflax.data.cleaning import to_log
from recflax.data.logs import keep_known_items, split_by_time

WITHIN = 0.015


@pytest.fixture(scope="module")
def found(data_dir):
    log = to_log(online_retail.plain_sales(online_retail.load()))
    before, after = split_by_time(log, "2011-11-01")
    known = keep_known_items(before, first_baskets(after))
    test = next_basket(known.before, known.after)
    owned = purchase_counts(known.before, test.people) > 0
    return compare(
        {"popularity": Popularity(), "item": ItemCF(), "again": BuyItAgain()},
        test.people,
        item_matrix(test.items, known.before.n_items),
        log=known.before,
        where={"all": None, "new": ~owned},
        key=jax.random.key(0),
        replicates=199,
    )


def test_as_many_people_as_were_counted_apart(found):
    assert found["all"]["again"].n_evaluated == 1538
    assert found["new"]["again"].n_evaluated == 1396


@pytest.mark.parametrize(
    ("view", "model", "ndcg"),
    [
        ("all", "popularity", 0.071),
        ("all", "item", 0.142),
        ("all", "again", 0.278),
        ("new", "popularity", 0.031),
        ("new", "item", 0.061),
    ],
)
def test_ndcg_of_the_next_basket(found, view, model, ndcg):
    estimate = found[view][model]["ndcg@10"]
    assert estimate.value == pytest.approx(ndcg, abs=WITHIN)
    assert estimate.half_width < 0.02


def test_buying_again_beats_everybody_on_all_items_and_helps_nobody_find_new_ones(found):
    ndcg = {
        view: {name: result["ndcg@10"] for name, result in models.items()}
        for view, models in found.items()
    }
    assert ndcg["all"]["again"].lower > ndcg["all"]["item"].upper
    assert ndcg["new"]["item"].lower > ndcg["new"]["again"].upper
    assert np.isclose(ndcg["new"]["again"].value, ndcg["new"]["popularity"].value, atol=0.005)
