"""Each copyable file, alone in an empty folder, with jax and flax only, runs its own examples."""

import re
import shutil
import subprocess
import sys
from importlib import metadata
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


def needed_by(*roots: str) -> set[str]:
    """Distributions that an installation of ``roots`` brings along, extras left out."""
    found, waiting = set(), list(roots)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name not in found:
            found.add(name)
            lines = [line for line in metadata.requires(name) or [] if ";" not in line]
            waiting += [re.match(r"[\w.-]+", line)[0] for line in lines]
    return found


def refused() -> set[str]:
    """Every installed package that jax and flax do not need, recflax itself among them."""
    kept = needed_by("jax", "flax")
    return {"recflax"} | {
        package
        for package, owners in metadata.packages_distributions().items()
        if not {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners} & kept
    }


def test_what_readers_may_lack_is_refused_and_what_flax_needs_is_not() -> None:
    names = refused()
    assert {"recflax", "pandas", "sklearn", "matplotlib", "pooch", "openpyxl", "rax"} <= names
    assert not {"jax", "jaxlib", "flax", "numpy", "scipy", "optax"} & names


@pytest.mark.parametrize("name", ["self_attention", "cross_attention", "scoring"])
def test_a_copied_file_runs_its_examples(name: str, tmp_path: Path) -> None:
    shutil.copy(Path(recflax.__file__).parent / f"{name}.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN.format(name=name, refused=refused())],
        cwd=tmp_path,
        env={"JAX_PLATFORMS": "cpu", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
