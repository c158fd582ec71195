"""Coat Shopping: 290 people rate 300 coats, some that they chose and some drawn at random.

Each person rated 24 coats that they looked for themselves (``train``) and 16 that were drawn
uniformly at random (``test``), so what a person does not choose to rate can be seen here, as in few
data sets (Schnabel et al. 2016, arXiv 1602.05352). No licence is stated: for research, cite them,
and never pass the files on. The download is tested against a local server; it could not be tried
against the publisher.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recflax.data.archives import unxz, unzip
from recflax.data.sources import DataNotFound, Source, download, local_file

PUBLISHER = Source(
    url="https://www.cs.cornell.edu/~schnabts/mnar/coat.zip",
    sha256="6073d0b515ed1f6e830e4fead66dc76ad7991a7553eaa58e228b234a9d19daed",
)
FOLDER = "coat"
PEOPLE, COATS = 290, 300
TABLES = ("train", "test", "propensities", "user_features", "item_features")
MAX_UNPACKED = 2**26  # bytes; the published tables have 2 million


class Coat(NamedTuple):
    """The tables, with U = 290 people and M = 300 coats.

    Attributes:
        train: (U, M) ratings 1 to 5 of coats that the person chose to rate; 0 is no rating.
        test: (U, M) the same for coats drawn uniformly at random. Some cells are in both.
        propensities: (U, M) the authors' estimate of the chance that a cell is in ``train``,
            in (0, 1], from the features of person and coat.
        user_features: (U, F) 0 or 1.
        item_features: (M, G) 0 or 1.
    """

    train: np.ndarray
    test: np.ndarray
    propensities: np.ndarray
    user_features: np.ndarray
    item_features: np.ndarray


def available() -> bool:
    """Say whether `load` finds the tables under ``RECFLAX_DATA_DIR``."""
    return local_file(FOLDER, "train.ascii") is not None


def load(path: str | os.PathLike[str] | None = None, *, source: Source = PUBLISHER) -> Coat:
    """Return the tables, checked.

    Args:
        path: A folder with the five tables, as ``name.ascii`` or ``name.ascii.xz``, or an archive
            (.zip) that holds them. None looks under ``RECFLAX_DATA_DIR``, then in the cache, then
            asks the publisher.
        source: Where to download from.

    Raises:
        DataNotFound: The tables are nowhere, and the publisher cannot be reached.
        ValueError: A table is missing, damaged or cut short, has another shape, or holds a number
            out of range; the first is named.
    """
    if path is None:
        local = local_file(FOLDER, "train.ascii")
        path = local.parent if local else None
    if path is None:
        path = download(source, "Coat", "coat.zip", f"{FOLDER}/train.ascii")
    path = Path(path)
    if not path.exists():
        raise DataNotFound(f"{path} does not exist")
    texts = _in_archive(path) if path.is_file() else _in_folder(path)
    tables = {name: _numbers(texts[name], name) for name in TABLES}
    for name, shape in (
        ("train", (PEOPLE, COATS)),
        ("test", (PEOPLE, COATS)),
        ("propensities", (PEOPLE, COATS)),
        ("user_features", (PEOPLE, None)),
        ("item_features", (COATS, None)),
    ):
        found = tables[name].shape
        wanted = tuple(found[axis] if side is None else side for axis, side in enumerate(shape))
        if found != wanted:
            raise ValueError(f"{name} must have shape {shape}; got {found}: is it cut short?")
    for name in ("train", "test"):
        _check(
            tables[name], name, np.isin(tables[name], range(6)), "a rating 1 to 5, or 0 for none"
        )
        tables[name] = tables[name].astype(np.int8)
    _check(
        tables["propensities"],
        "propensities",
        (tables["propensities"] > 0) & (tables["propensities"] <= 1),
        "in (0, 1]",
    )
    for name in ("user_features", "item_features"):
        _check(tables[name], name, np.isin(tables[name], (0, 1)), "0 or 1")
        tables[name] = tables[name].astype(np.int8)
    return Coat(**tables)


def _in_folder(folder: Path) -> dict[str, str]:
    texts = {}
    for name in TABLES:
        plain, packed = folder / f"{name}.ascii", folder / f"{name}.ascii.xz"
        if plain.is_file():
            texts[name] = _text(plain.read_bytes(), plain.name)
        elif packed.is_file():
            texts[name] = _text(unxz(packed, MAX_UNPACKED), packed.name)
        else:
            raise ValueError(f"the folder {folder.name} has no {name}.ascii")
    return texts


def _in_archive(path: Path) -> dict[str, str]:
    files = {Path(name).name: file for name, file in unzip(path, ".ascii", MAX_UNPACKED).items()}
    missing = [name for name in TABLES if f"{name}.ascii" not in files]
    if missing:
        raise ValueError(f"{path.name} holds no {missing[0]}.ascii")
    return {name: _text(files[f"{name}.ascii"], f"{name}.ascii") for name in TABLES}


def _text(content: bytes, name: str) -> str:
    """The content of a file of plain digits; where it is anything else, that is named."""
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} must be plain text (ASCII); byte {error.start} is {content[error.start]:#04x}"
        ) from error


def _numbers(text: str, name: str) -> np.ndarray:
    """The numbers of a table, one row a line; a line that is shorter than the first is named."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if not rows:
        raise ValueError(f"{name} is empty")
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"{name} has {len(row)} numbers in row {number}, and {len(rows[0])} in row 0: is "
                "it cut short?"
            )
    try:
        return np.array(rows, dtype=float)
    except ValueError as error:
        raise ValueError(f"{name} must hold numbers ({error})") from error


def _check(table: np.ndarray, name: str, right: np.ndarray, wanted: str) -> None:
    if not right.all():
        row, column = (int(i) for i in np.argwhere(~right)[0])
        raise ValueError(f"{name} must be {wanted}; ({row}, {column}) is {table[row, column]:g}")
