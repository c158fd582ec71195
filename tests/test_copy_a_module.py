"""Each copyable file, alone in an empty folder, with jax and flax only, runs its own examples."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import recflax

RUN = """
import doctest, importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused!r}:
            raise ModuleNotFoundError("not in this folder: " + name)

sys.meta_path.insert(0, Refuse())
import {name}
result = doctest.testmod({name})
assert result.attempted >= 4, result
sys.exit(result.failed)
"""
# what recflax needs and flax does not
REFUSED = {"recflax", "pandas", "sklearn", "scipy.stats", "matplotlib", "pooch", "openpyxl", "rax"}


@pytest.mark.parametrize("name", ["self_attention", "cross_attention", "scoring"])
def test_a_copied_file_runs_its_examples(name: str, tmp_path: Path) -> None:
    shutil.copy(Path(recflax.__file__).parent / f"{name}.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN.format(name=name, refused=REFUSED)],
        cwd=tmp_path,
        env={"JAX_PLATFORMS": "cpu", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
