"""Comparisons with packages that recflax does not need: collected only where they are installed.

``pip install ".[extra]"``, then ``python -m pytest tests/extra``.
"""

from importlib.util import find_spec

NEEDS = {"test_doubleml.py": "doubleml", "test_keras_listing.py": "keras"}

collect_ignore = [name for name, package in NEEDS.items() if find_spec(package) is None]
