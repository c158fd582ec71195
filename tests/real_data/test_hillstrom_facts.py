"""Facts of the real experiment. Collected only where the data are."""

import hashlib
import lzma

import numpy as np
import pandas as pd
import pytest

from recflax.data import hillstrom
from recflax.lessons import email_sample, uplift_email


@pytest.fixture(scope="module")
def experiment():
    return hillstrom.load()


def test_the_file_is_the_publishers_but_for_its_line_ends(data_dir) -> None:
    content = lzma.decompress((data_dir / "hillstrom" / "hillstrom.csv.xz").read_bytes())
    published = hashlib.sha256(content.replace(b"\n", b"\r\n")).hexdigest()
    assert published == hillstrom.PUBLISHER.sha256


def test_the_published_counts(experiment) -> None:
    assert experiment.n == 64_000
    assert np.bincount(experiment.arm).tolist() == [21_306, 21_307, 21_387]
    table = pd.DataFrame(vars(experiment))
    assert table.duplicated().sum() == 6_562
    assert (experiment.raw_zip_code == "Surburban").sum() == 28_776
    assert ((experiment.spend > 0) == (experiment.conversion == 1)).all()
    assert (experiment.visit >= experiment.conversion).all()


@pytest.mark.parametrize(
    ("campaign", "outcome", "value", "error"),
    [
        ("mens", "visit", 0.0766, 0.0034),
        ("womens", "visit", 0.0452, 0.0032),
        ("mens", "conversion", 0.0068, None),
        ("womens", "conversion", 0.0031, None),
        ("mens", "spend", 0.770, 0.145),
        ("womens", "spend", 0.424, 0.130),
    ],
)
def test_the_average_effects(experiment, campaign, outcome, value, error) -> None:
    found = uplift_email.effects(experiment)[campaign, outcome]
    digits = 3 if outcome == "spend" else 4
    assert round(found.value, digits) == value
    if error is not None:
        assert round(found.std_error, digits) == error


def test_a_coin_decided_the_arms(experiment) -> None:
    """No level of an attribute is commoner in one arm than chance allows (chi-square)."""
    from scipy import stats

    for column in experiment.codes().T:
        table = pd.crosstab(column, experiment.arm)
        assert stats.chi2_contingency(table).pvalue > 0.001


def test_resamples_of_the_experiment_keep_its_customers_and_their_answer(experiment) -> None:
    rows = experiment.arm != 2
    treatment = (experiment.arm[rows] == 1).astype(int)
    codes = experiment.codes()[rows]
    for design in email_sample.DESIGNS:
        p = email_sample.chance(experiment, design)[rows]
        keep = email_sample.kept(treatment, p, seed=3)
        spread = np.sqrt((p * (1 - p)).sum())
        assert abs(keep.sum() - rows.sum() / 2) < 4 * spread
        means = codes.mean(axis=0), codes[keep].mean(axis=0)
        error = codes.std(axis=0) / np.sqrt(keep.sum())
        assert (np.abs(means[0] - means[1]) < 4 * error).all()
        share = treatment[keep][p[keep] == p.max()].mean()
        assert share == pytest.approx(p.max(), abs=0.02)
