"""Read from packed files that nobody trusts: in memory, up to a size, and damage is named."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import zipfile
import zlib
from pathlib import Path

DAMAGE = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, zlib.error)
"""What Python raises where a packed file is damaged or cut short."""

DAMAGED_ZIP = (*DAMAGE, OverflowError, RuntimeError, ValueError, struct.error)
"""The same of a .zip or .npz, whose tables of contents can be damaged too."""


def unzip(path: Path, ending: str, limit: int) -> dict[str, bytes]:
    """Return the files of an archive whose names end so, by name.

    Nothing is written, so it does not matter where a name leads.

    Args:
        path: A .zip.
        ending: Such as ``".xlsx"``.
        limit: How many bytes they may have together once unpacked.

    Raises:
        ValueError: The archive is damaged, cut short or locked, or would unpack to more.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "two.zip"
        ...     with zipfile.ZipFile(path, "w") as archive:
        ...         archive.writestr("../../up/a.txt", "one")
        ...         archive.writestr("b.csv", "two")
        ...     unzip(path, ".txt", 10)
        {'../../up/a.txt': b'one'}
    """
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(ending)]
            size = sum(entry.file_size for entry in entries)
            if size <= limit:
                return {entry.filename: archive.read(entry) for entry in entries}
    except DAMAGED_ZIP as error:
        raise ValueError(f"{path.name} is damaged or cut short ({error})") from error
    raise ValueError(f"{path.name} would unpack to {size} bytes; at most {limit} are read")


def unxz(path: Path, limit: int) -> bytes:
    """Return what is packed in a .xz file, at most ``limit`` bytes.

    Raises:
        ValueError: The file is damaged or cut short, or would unpack to more.
    """
    try:
        with lzma.open(path) as file:
            content = file.read(limit + 1)
    except (EOFError, lzma.LZMAError) as error:
        raise ValueError(f"{path.name} is damaged or cut short ({error})") from error
    if len(content) > limit:
        raise ValueError(f"{path.name} would unpack to more than {limit} bytes")
    return content
