"""What every test shares: float32 at full precision, and real data only where it is present."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis
import jax
import matplotlib
import pytest

matplotlib.use("Agg")
jax.config.update("jax_default_matmul_precision", "highest")
hypothesis.settings.register_profile("recflax", derandomize=True, deadline=None, max_examples=25)
hypothesis.settings.load_profile("recflax")

# Tests on real data exist only where the data are: they are not collected, so never skipped.
collect_ignore = [] if os.environ.get("RECFLAX_DATA_DIR") else ["real_data"]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data, named by ``RECFLAX_DATA_DIR``."""
    return Path(os.environ["RECFLAX_DATA_DIR"])
