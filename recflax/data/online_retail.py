"""Online Retail: every line of every invoice of a British gift shop, December 2010 to 2011.

The file (UCI Machine Learning Repository, id 352, CC BY 4.0; Chen 2015, doi 10.24432/C5BW33) is
looked for in three places: under ``RECFLAX_DATA_DIR``, in the cache, and at its publisher, from
where it is downloaded once and checked against its SHA-256. The download is tested against a local
server; it could not be tried against the publisher. The file holds no exposures and no
propensities: nothing causal can be verified on it.
"""

from __future__ import annotations

import io
import os
import uuid
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recflax.data.archives import DAMAGE, DAMAGED_ZIP, unzip
from recflax.data.cleaning import LINES, NON_PRODUCT_CODES
from recflax.data.logs import check_columns
from recflax.data.sources import DataNotFound, Source, cache_dir, download, local_file

PUBLISHED = {
    "InvoiceNo": "invoice",
    "StockCode": "code",
    "Description": "description",
    "Quantity": "quantity",
    "InvoiceDate": "time",
    "UnitPrice": "price",
    "CustomerID": "customer",
    "Country": "country",
}
FOLDER, FILE = "online_retail", "online_retail.csv.xz"
MAX_UNPACKED = 2**30  # bytes; the publisher's workbook unpacks to a few hundred million


PUBLISHER = Source(
    url="https://archive.ics.uci.edu/static/public/352/online+retail.zip",
    sha256="f5385cbb54bbebf7196389109c6b0621faab0c304e3702548165e71c84aede8b",
)


def _columnar_copy(source: Source) -> Path:
    return cache_dir() / f"online_retail_{source.sha256[:16]}.npz"


def available() -> bool:
    """Say whether `load` needs no network: the data are under ``RECFLAX_DATA_DIR`` or cached."""
    return local_file(FOLDER, FILE) is not None or _columnar_copy(PUBLISHER).is_file()


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    day_first: bool = True,
    source: Source = PUBLISHER,
) -> pd.DataFrame:
    """Return the lines of all invoices, as they were published, with short column names.

    Args:
        path: A .csv (also .csv.xz, .csv.gz), .xlsx or .zip file. None looks under
            ``RECFLAX_DATA_DIR``, then in the cache, then asks the publisher; the workbook from
            there is read once (a minute or two) and kept in the cache column by column.
        day_first: Whether 03/12/2011 is in December. A date that begins with the year always
            means what it says.
        source: Where to download from.

    Returns:
        Columns invoice, code, description, customer, country (text, or missing), quantity (int),
        time (datetime64, NaT where it could not be read), price (pounds a piece). Codes keep their
        leading zeros, customers have no ".0".

    Raises:
        DataNotFound: The file is nowhere, and the publisher cannot be reached.
        ValueError: The file is empty, damaged or cut short, is no table, has other columns, a
            number or all dates cannot be read, dates are month-first, or the download has another
            SHA-256.

    Warns:
        UserWarning: The cache cannot keep the columns, so that the next call reads the workbook
            again.
    """
    if path is not None:
        return read_lines(path, day_first=day_first)
    local = local_file(FOLDER, FILE)
    if local is not None:
        return read_lines(local, day_first=day_first)
    copy = _columnar_copy(source)
    if copy.is_file():
        try:
            return _load_columns(copy)
        except (*DAMAGED_ZIP, LookupError):
            copy.unlink(missing_ok=True)  # damaged: it is made again
    archive = download(source, "Online Retail", "online_retail.zip", f"{FOLDER}/{FILE}")
    frame = read_lines(archive, day_first=day_first)
    try:
        _save_columns(frame, copy)
    except OSError as error:
        warnings.warn(
            f"Online Retail cannot be kept column by column in {copy.parent} ({error}): the next "
            "call reads the workbook again",
            stacklevel=2,
        )
    return frame


def read_lines(path: str | os.PathLike[str], *, day_first: bool = True) -> pd.DataFrame:
    """Read one file of invoice lines; arguments, result and errors are those of `load`.

    Example:
        >>> import tempfile
        >>> heading = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,"
        >>> line = "536365,00123,RED MUG,6,2010-12-01 08:26:00,2.55,17850.0,Norway"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "lines.csv"
        ...     _ = path.write_text(heading + "Country\\n" + line)
        ...     lines = read_lines(path)
        >>> print(lines[["code", "quantity", "customer"]].to_string(index=False))
         code  quantity customer
        00123         6    17850
    """
    path = Path(path)
    if not path.is_file():
        raise DataNotFound(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise ValueError(f"{path.name} is empty")
    try:
        if path.suffix == ".zip":
            frame = _read_workbook(_workbook_in(path), path.name)
        elif path.suffix == ".xlsx":
            frame = _read_workbook(path.read_bytes(), path.name)
        else:
            frame = _read_csv(path)
    except DAMAGE as error:
        raise ValueError(f"{path.name} is damaged or cut short ({error})") from error
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path.name} is empty") from error
    except pd.errors.ParserError as error:
        raise ValueError(f"{path.name} is no table ({str(error).strip()})") from error
    check_columns(frame, tuple(PUBLISHED), path.name)
    unknown = [name for name in frame.columns if name not in PUBLISHED]
    if unknown:
        raise ValueError(f"{path.name} has the unknown columns {unknown}")
    if frame.empty:
        raise ValueError(f"{path.name} has a heading and no line")
    frame = frame.rename(columns=PUBLISHED)[list(LINES)]
    for name in ("invoice", "code", "description", "customer", "country"):
        frame[name] = _as_text(frame[name])
    frame["customer"] = frame["customer"].str.replace(r"\.0$", "", regex=True)
    frame["price"] = _as_number(frame["price"])
    frame["quantity"] = _as_whole(frame["quantity"])
    frame["time"] = parse_dates(frame["time"], day_first=day_first)
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    """Read text columns in UTF-8, or in Latin-1 where the bytes are no UTF-8."""
    for encoding in ("utf-8-sig", "latin-1"):
        try:
            return pd.read_csv(
                path, dtype=str, keep_default_na=False, na_values=[""], encoding=encoding
            )
        except UnicodeDecodeError:
            if encoding == "latin-1":
                raise
    raise AssertionError("Latin-1 reads any byte")


def _workbook_in(path: Path) -> bytes:
    """Return the one workbook of an archive."""
    books = unzip(path, ".xlsx", MAX_UNPACKED)
    if len(books) != 1:
        raise ValueError(f"{path.name} must hold one .xlsx file; it holds {len(books)}")
    return next(iter(books.values()))


def _read_workbook(book: bytes, name: str) -> pd.DataFrame:
    """Read the first sheet; a workbook is itself an archive, so its size is checked first."""
    try:
        with zipfile.ZipFile(io.BytesIO(book)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size <= MAX_UNPACKED:
            return pd.read_excel(
                io.BytesIO(book),
                engine="openpyxl",
                dtype=object,
                keep_default_na=False,
                na_values=[""],
            )
    except Exception as error:  # openpyxl raises whatever its parts stumble over
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"{name} is damaged or cut short, or no workbook ({what})") from error
    raise ValueError(f"the workbook would unpack to {size} bytes; at most {MAX_UNPACKED} are read")


def _as_text(column: pd.Series) -> pd.Series:
    """Return text with missing values kept missing: the number 85123 becomes "85123"."""
    if not pd.api.types.is_string_dtype(column):
        column = column.astype(object)
        column = column.where(column.isna(), column.map(str))
    return pd.Series(column.to_numpy(dtype=object), dtype="str", index=column.index)


def _as_number(column: pd.Series) -> pd.Series:
    """Return finite numbers; name the first entry that is none."""
    numbers = pd.to_numeric(column, errors="coerce")
    _refuse(column, ~np.isfinite(numbers.to_numpy(dtype=float)), "numbers")
    return numbers


def _as_whole(column: pd.Series) -> pd.Series:
    """Return int64; name the first entry that is no whole number, or too large for one."""
    numbers = _as_number(column)
    if numbers.dtype.kind != "i":
        floats = numbers.to_numpy(dtype=float)
        _refuse(column, (floats % 1 != 0) | (abs(floats) > 2**53), "whole numbers")
        numbers = numbers.astype("int64")
    return numbers


def _refuse(column: pd.Series, wrong: np.ndarray, wanted: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise ValueError(
            f"{column.name} must hold {wanted}; row {rows[0]} has {column.iloc[rows[0]]!r}"
        )


def parse_dates(column: pd.Series, *, day_first: bool = True) -> pd.Series:
    """Return dates from text such as 2011-12-03 08:26:00 or 3/12/2011 8:26; NaT if unreadable.

    Raises:
        ValueError: No date at all could be read, or the order of day and month is not the one
            that ``day_first`` says: the first date that shows it is named.

    Example:
        >>> dates = parse_dates(pd.Series(["2011-12-03 08:26", "3/12/2011 8:26", "soon"]))
        >>> dates.isna().tolist(), bool(dates[0] == dates[1])
        ([False, False, True], True)
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        return column
    text = _as_text(column)
    parts = r"^(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?:\s+(\d{1,2})(:\d\d(?::\d\d)?))?$"
    short = text.str.extract(parts)  # first, second, year, hour, the rest of the time
    is_short = short[0].notna()
    day, month = (short[0], short[1]) if day_first else (short[1], short[0])
    wrong = np.flatnonzero((month[is_short].astype(int) > 12) & (day[is_short].astype(int) <= 12))
    if len(wrong):
        raise ValueError(
            f"{text[is_short].iloc[wrong[0]]!r} has no such month: dates seem to be "
            f"{'month' if day_first else 'day'}-first; pass day_first={not day_first}"
        )
    clock = short[3].fillna("0").str.zfill(2) + short[4].fillna(":00")
    iso = short[2] + "-" + month.str.zfill(2) + "-" + day.str.zfill(2) + " " + clock
    dates = pd.to_datetime(text.where(~is_short, iso), format="ISO8601", errors="coerce")
    if dates.isna().all():
        raise ValueError(
            f"{column.name} holds no date that can be read; row 0 has {text.iloc[0]!r}"
        )
    return dates


def plain_sales(lines: pd.DataFrame) -> pd.DataFrame:
    """Keep lines with a customer, of a product, not cancelled, quantity and price above 0.

    The simple filter that most papers apply. Unlike `recflax.data.cleaning.clean` it keeps exact
    copies, and a sale that was cancelled later.

    Args:
        lines: What `load` returns.

    Raises:
        ValueError: A column is missing.

    Example:
        >>> lines = pd.DataFrame({
        ...     "invoice": ["1", "1", "C2"], "code": ["07", "POST", "07"], "description": "mug",
        ...     "quantity": [6, 1, -6], "time": pd.Timestamp("2011-01-01"), "price": 2.5,
        ...     "customer": "17", "country": "Norway"})
        >>> plain_sales(lines)["quantity"].tolist()
        [6]
    """
    check_columns(lines, LINES, "lines")
    kept = lines["customer"].notna() & ~lines["invoice"].str.startswith("C")
    kept &= (lines["quantity"] > 0) & (lines["price"] > 0) & ~lines["code"].isin(NON_PRODUCT_CODES)
    return lines[kept].reset_index(drop=True)


def _save_columns(frame: pd.DataFrame, path: Path) -> None:
    """Write the columns as plain arrays, text as its distinct values and an index into them."""
    arrays: dict[str, Any] = {}
    for name in frame.columns:
        if frame[name].dtype.kind in "ifM":
            arrays[name] = frame[name].to_numpy()
        else:
            index, values = pd.factorize(frame[name])
            arrays[f"{name}.index"] = index.astype(np.int32)  # -1 where it is missing
            arrays[f"{name}.values"] = np.asarray(values, dtype=np.str_)
    part = path.with_name(f"{path.stem}-{uuid.uuid4().hex}.part")  # another process has its own
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _load_columns(path: Path) -> pd.DataFrame:
    columns = {}
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        for name in LINES:
            if name in arrays:
                columns[name] = pd.Series(arrays[name])
            else:
                values = np.array([*arrays[f"{name}.values"].tolist(), np.nan], dtype=object)
                columns[name] = pd.Series(values[arrays[f"{name}.index"]], dtype="str")  # -1: NaN
    return pd.DataFrame(columns)
