"""Where real data come from: a folder that the reader names, the cache, or their publisher.

No data set is part of this project. A loader looks under ``RECFLAX_DATA_DIR``, then in the cache,
then asks the publisher, whose file must have a known SHA-256.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pooch


class DataNotFound(FileNotFoundError):  # noqa: N818 (says what happened, like FileNotFound)
    """The data are neither here nor to be had; the message says what to set."""


@dataclass(frozen=True)
class Source:
    """Where a file is published, and the SHA-256 that it must have."""

    url: str
    sha256: str


def cache_dir() -> Path:
    """Return the cache: ``RECFLAX_CACHE_DIR``, or the operating system's place for caches."""
    return Path(os.environ.get("RECFLAX_CACHE_DIR") or pooch.os_cache("recflax"))


def local_file(folder: str, name: str) -> Path | None:
    """Return ``folder/name`` under ``RECFLAX_DATA_DIR`` if there is such a file."""
    root = os.environ.get("RECFLAX_DATA_DIR")
    path = Path(root) / folder / name if root else None
    return path if path and path.is_file() else None


def download(source: Source, title: str, name: str, wanted: str) -> Path:
    """Fetch a publisher's file into the cache; its hash decides.

    Args:
        source: where, and which hash.
        title: the data set, for the message.
        name: name of the file in the cache.
        wanted: what would be looked for under ``RECFLAX_DATA_DIR``, for the message.

    Raises:
        DataNotFound: it cannot be had.
        ValueError: it has another hash.
    """
    try:
        found = pooch.retrieve(
            source.url, known_hash=f"sha256:{source.sha256}", fname=name, path=cache_dir()
        )
    except OSError as error:
        raise DataNotFound(
            f"{title} is not here, and {source.url} did not give it ({error}). Set "
            f"RECFLAX_DATA_DIR to a folder that holds {wanted}, or call load() once with "
            f"a network: it keeps a copy in {cache_dir()}."
        ) from error
    return Path(found)
