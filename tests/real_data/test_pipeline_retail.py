"""The pipeline on the real file is the pandas path, row for row. Also run on Spark."""

import pytest

from recflax.data import online_retail
from tests.data.pipeline_cases import agree, start


@pytest.mark.parametrize("missing", ["drop", "fill"])
def test_online_retail_comes_out_as_in_pandas(tmp_path, missing) -> None:
    lines = online_retail.load()
    moments = (None, "2011-06-01")
    found = agree(lines, tmp_path, start(), missing=missing, length=20, moments=moments, size=701)
    assert found > 370_000
