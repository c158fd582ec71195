"""Write an address into notebooks, so that they install recflax from there when it is missing.

    python tools/stamp_notebooks.py git+https://host/owner/name@commit book/*.ipynb

The first code cell of a chapter installs from the environment variable RECFLAX_SOURCE; this puts
a default for that variable above it. The notebooks in the repository carry no address; the
workflow that publishes the book stamps the copies that it publishes.
"""

import json
import sys
from pathlib import Path


def stamp(notebook: dict, source: str) -> dict:
    """Return the notebook with a default RECFLAX_SOURCE at the top of its first code cell.

    Raises:
        ValueError: the source cannot be an address, or the notebook has no code cell.

    Example:
        >>> cell = {"cell_type": "code", "source": ["import recflax"]}
        >>> print("".join(stamp({"cells": [cell]}, "git+https://a/b@c")["cells"][0]["source"]))
        import os
        <BLANKLINE>
        os.environ.setdefault("RECFLAX_SOURCE", "git+https://a/b@c")
        <BLANKLINE>
        import recflax
    """
    if not source or any(sign in source for sign in "\"'\\\n "):
        raise ValueError(f"source must be the address of a repository or a wheel; got {source!r}")
    cells = notebook["cells"]
    first = next((n for n, cell in enumerate(cells) if cell["cell_type"] == "code"), None)
    if first is None:
        raise ValueError("the notebook has no code cell to stamp")
    top = ["import os\n", "\n", f'os.environ.setdefault("RECFLAX_SOURCE", "{source}")\n', "\n"]
    stamped = cells[first] | {"source": top + list(cells[first]["source"])}
    return notebook | {"cells": [*cells[:first], stamped, *cells[first + 1 :]]}


def main(arguments: list[str]) -> int:
    """Stamp the files in place; returns the exit status."""
    if len(arguments) < 2:
        print("usage: stamp_notebooks.py SOURCE NOTEBOOK...", file=sys.stderr)
        return 2
    source, *paths = arguments
    for path in map(Path, paths):
        stamped = stamp(json.loads(path.read_text(encoding="utf-8")), source)
        path.write_text(json.dumps(stamped, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
