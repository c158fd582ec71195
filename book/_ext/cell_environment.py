"""Where the cells of the book run, and what beside their own text they depend on."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path


def kernel_environment(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What to add to the environment in which cells run.

    JAX warns on stderr where it sees an accelerator for which no plugin is installed; then, and
    whenever there is no plugin, it is told to use the processor. Who set ``JAX_PLATFORMS`` is
    obeyed. The kernel gets a profile of its own: the user's start-up files are left out, and so is
    its remark that it talks to this very machine without encryption.
    """
    paths = [str(root), *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    profile = root / "_build" / "ipython"
    added = {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONHASHSEED": environ.get("PYTHONHASHSEED", "0"),
        "IPYTHONDIR": str(profile),
    }
    settings = profile / "profile_default" / "ipython_kernel_config.py"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("c.IPKernelApp.log_level = 40  # errors only\n", encoding="utf-8")
    plugin = bool(entry_points(group="jax_plugins")) or importlib.util.find_spec("libtpu")
    if "JAX_PLATFORMS" not in environ and not plugin:
        added["JAX_PLATFORMS"] = "cpu"
    return added


def cache_key(root: Path, environ: Mapping[str, str]) -> str:
    """The name of everything, beside a cell's own text, that can change what the cell prints.

    That is the library, the lock file, the tables that chapters read, the version of Python, and
    which real data are here.
    """
    digest = hashlib.sha256(platform.python_version().encode())
    files = [*sorted((root / "recflax").rglob("*.py")), root / "requirements.txt"]
    files += sorted((root / "book" / "tables").glob("*"))
    for path in files:
        if path.is_file():
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    for name, size in _data_files(environ.get("RECFLAX_DATA_DIR", "")):
        digest.update(f"{name}\0{size}\0".encode())
    return digest.hexdigest()[:16]


def _data_files(folder: str) -> Iterator[tuple[str, int]]:
    if folder:
        base = Path(folder)
        for path in sorted(base.rglob("*")):
            if path.is_file():
                yield path.relative_to(base).as_posix(), path.stat().st_size
