"""Where real data come from: a folder that the reader names, the cache, or their publisher.

No data set is part of this project. A loader looks under ``RECFLAX_DATA_DIR``, then in the cache,
then asks the publisher, whose file must have a known SHA-256.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch

MAX_DOWNLOAD = 2**27  # bytes; the largest published file has 24 million
TIMEOUT = 30  # seconds without a byte
_NOT_KEPT = {errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST}


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
    """Fetch a publisher's file into the cache, up to `MAX_DOWNLOAD` bytes; its hash decides.

    Nothing stands in the cache under that name before all of it has come and has the right hash.

    Args:
        source: where, and which hash.
        title: the data set, for the message.
        name: name of the file in the cache.
        wanted: what would be looked for under ``RECFLAX_DATA_DIR``, for the message.

    Raises:
        DataNotFound: it cannot be had, or the cache cannot keep it.
        ValueError: it is too large, or has another hash.
    """
    try:
        found = pooch.retrieve(
            source.url,
            known_hash=f"sha256:{source.sha256}",
            fname=name,
            path=cache_dir(),
            downloader=_fetch,
        )
    except OSError as error:
        if isinstance(error, PermissionError) or error.errno in _NOT_KEPT:
            raise DataNotFound(
                f"{title} cannot be kept in {cache_dir()} ({error}). Set RECFLAX_CACHE_DIR to a "
                "folder that has room and may be written, or RECFLAX_DATA_DIR to one that holds "
                f"{wanted}."
            ) from error
        raise DataNotFound(
            f"{title} is not here, and {source.url} did not give it ({error}). Set "
            f"RECFLAX_DATA_DIR to a folder that holds {wanted}, or call load() once with "
            f"a network: it keeps a copy in {cache_dir()}."
        ) from error
    return Path(found)


class _Limited:
    """A file that takes `MAX_DOWNLOAD` bytes and no more."""

    def __init__(self, file: Any, url: str) -> None:
        self.file, self.url, self.left = file, url, MAX_DOWNLOAD

    def write(self, chunk: bytes) -> None:
        self.left -= len(chunk)
        if self.left < 0:
            raise ValueError(f"{self.url} sends more than {MAX_DOWNLOAD} bytes; nothing is kept")
        self.file.write(chunk)

    def flush(self) -> None:
        self.file.flush()


def _fetch(url: str, path: str, _: Any) -> None:
    """Write what an address gives to a file, as `pooch.retrieve` asks of a downloader."""
    with Path(path).open("wb") as file:
        pooch.HTTPDownloader(timeout=TIMEOUT)(url, _Limited(file, url), None)
