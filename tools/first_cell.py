# Makes this notebook run anywhere: a missing recflax is installed from RECFLAX_SOURCE.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("recflax") is None:
    source = os.environ.get("RECFLAX_SOURCE")
    if not source:
        raise ModuleNotFoundError(
            "recflax is not installed: set RECFLAX_SOURCE to its git address or its wheel, "
            "such as git+https://..., and run this cell again."
        )
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)
    importlib.invalidate_caches()
