"""Read a published .csv as the words that stand there, and name the first that cannot be."""

from __future__ import annotations

import gzip
import lzma
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from recflax.data.logs import check_columns
from recflax.data.sources import DataNotFound


def read_words(
    path: Path, columns: tuple[str, ...], *, row: str = "row", only: bool = False
) -> pd.DataFrame:
    """Return the lines of a file, every cell a string.

    Args:
        path: A .csv, .csv.gz or .csv.xz.
        columns: what the heading must have; there may be more.
        row: what a line stands for, for the message.
        only: leave the other columns unread, where there are many. Lines with too many cells then
            pass.

    Raises:
        DataNotFound: there is no such file.
        ValueError: it is empty, damaged or cut short, no table, lacks a column or has no line.
    """
    if not path.is_file():
        raise DataNotFound(f"{path} does not exist")
    try:
        if only:
            check_columns(pd.read_csv(path, dtype=str, nrows=0), columns, path.name)
        frame = pd.read_csv(
            path, dtype=str, keep_default_na=False, usecols=list(columns) if only else None
        )
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path.name} is empty") from error
    except pd.errors.ParserError as error:
        raise ValueError(f"{path.name} is no table ({str(error).strip()})") from error
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is damaged or cut short ({error})") from error
    check_columns(frame, columns, path.name)
    if frame.empty:
        raise ValueError(f"{path.name} has a heading and no {row}")
    return frame


def numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Floats, NaN where there is no number: what `refuse` then names."""
    return pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float)


def refuse(column: pd.Series, wrong: np.ndarray, wanted: str) -> None:
    """Raise a ValueError that names the first wrong value and its row, if there is one.

    Example:
        >>> refuse(pd.Series(["1", "x"], name="click"), np.array([False, True]), "0 or 1")
        Traceback (most recent call last):
        ...
        ValueError: click must be 0 or 1; row 1 has 'x'
    """
    rows = np.flatnonzero(wrong)
    if len(rows):
        value = column.iloc[rows[0]]
        cut = "; is the file cut short?" if pd.isna(value) or value == "" else ""
        raise ValueError(f"{column.name} must be {wanted}; row {rows[0]} has {value!r}{cut}")
