"""Hillstrom's e-mail challenge: 64,000 customers of a shop, a coin with three sides, two weeks.

A third was sent an e-mail about men's goods, a third one about women's, a third none; whether each
visited, bought and for how much is known for the two weeks after (Hillstrom 2008, the MineThatData
E-Mail Analytics and Data Mining Challenge). The file has no customer id, and thousands of its rows
are exact copies of others: they are different customers, and none is ever dropped. No licence is
stated: credit him, and never pass the file on. The download is tested against a local server; it
could not be tried against the publisher, whose address is not encrypted, so that the hash decides.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recflax.data.csv_files import numbers, read_words, refuse
from recflax.data.sources import Source, cache_dir, download, local_file

PUBLISHER = Source(
    url="http://www.minethatdata.com/"
    "Kevin_Hillstrom_MineThatData_E-MailAnalytics_DataMiningChallenge_2008.03.20.csv",
    sha256="0e5893329d8b93cefecc571777672028290ab69865718020c78c7284f291aece",
)
FOLDER, FILES = "hillstrom", ("hillstrom.csv.xz", "hillstrom.csv")
ROWS = 64_000

PUBLISHED = {
    "zip_code": ("Rural", "Surburban", "Urban"),  # the file's own spelling
    "channel": ("Multichannel", "Phone", "Web"),
    "segment": ("No E-Mail", "Mens E-Mail", "Womens E-Mail"),
    "history_segment": (
        "1) $0 - $100",
        "2) $100 - $200",
        "3) $200 - $350",
        "4) $350 - $500",
        "5) $500 - $750",
        "6) $750 - $1,000",
        "7) $1,000 +",
    ),
}
"""The words of the file, in the order of the codes that `load` gives them."""

ARMS = ("none", "men's e-mail", "women's e-mail")
OUTCOMES = ("visit", "conversion", "spend")
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "recency": tuple(f"{month} months" for month in range(1, 13)),
    "history_segment": tuple(words.split(") ")[1] for words in PUBLISHED["history_segment"]),
    "mens": ("no men's goods", "men's goods"),
    "womens": ("no women's goods", "women's goods"),
    "zip_code": ("Rural", "Suburban", "Urban"),
    "newbie": ("customer for over a year", "new within a year"),
    "channel": PUBLISHED["channel"],
}
"""What was known of a customer before the e-mails: each attribute and the names of its levels."""

_WHOLE = {"recency": (1, 12)} | dict.fromkeys(
    ("mens", "womens", "newbie", "visit", "conversion"), (0, 1)
)
_COLUMNS = (
    *("recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie"),
    *("channel", "segment", "visit", "conversion", "spend"),
)


@dataclass(frozen=True, eq=False)
class Hillstrom:
    """The experiment, one entry a customer: arrays (n,), in the order of the file.

    Attributes:
        recency: months since the last purchase, 1 to 12.
        history_segment: code of the dollars spent in the past year, in seven steps.
        history: the same in dollars.
        mens: 1 if men's goods were bought in the past year, else 0.
        womens: the same for women's goods.
        zip_code: code of the kind of place; `raw_zip_code` has the word of the file.
        newbie: 1 for a customer who was new within the past year.
        channel: code of where the customer bought.
        arm: which e-mail came, an index into `ARMS`; drawn at random.
        visit: 1 if the site was visited in the two weeks after.
        conversion: 1 if something was bought there then.
        spend: dollars spent then.
    """

    recency: np.ndarray
    history_segment: np.ndarray
    history: np.ndarray
    mens: np.ndarray
    womens: np.ndarray
    zip_code: np.ndarray
    newbie: np.ndarray
    channel: np.ndarray
    arm: np.ndarray
    visit: np.ndarray
    conversion: np.ndarray
    spend: np.ndarray

    @property
    def n(self) -> int:
        """How many customers."""
        return len(self.arm)

    @property
    def raw_zip_code(self) -> np.ndarray:
        """(n,) the kind of place as the file spells it, ``"Surburban"`` among them."""
        return np.array(PUBLISHED["zip_code"])[self.zip_code]

    def codes(self) -> np.ndarray:
        """(n, A) the `ATTRIBUTES` in their order, each as the number of its level, from 0."""
        columns = [getattr(self, name) - (name == "recency") for name in ATTRIBUTES]
        return np.stack(columns, axis=1).astype(np.int32)

    def where(self, rows: np.ndarray) -> Hillstrom:
        """The customers for whom a (n,) bool is True, or of these places, in this order."""
        return Hillstrom(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def _cached() -> Path:
    return cache_dir() / FILES[1]


def available() -> bool:
    """Say whether `load` needs no network: the file is under ``RECFLAX_DATA_DIR`` or cached."""
    return any(local_file(FOLDER, name) for name in FILES) or _cached().is_file()


def load(path: str | os.PathLike[str] | None = None, *, source: Source = PUBLISHER) -> Hillstrom:
    """Return the experiment, checked; every row is kept, copies too.

    Args:
        path: A .csv file (also .csv.xz or .csv.gz), with either kind of line end. None looks under
            ``RECFLAX_DATA_DIR``, then in the cache, then asks the publisher.
        source: Where to download from.

    Raises:
        DataNotFound: The file is nowhere, and the publisher cannot be reached.
        ValueError: The file is empty, damaged or cut short, lacks a column, or holds a value that
            cannot be; the first is named. Or the download has another SHA-256.
    """
    if path is None:
        path = next(filter(None, (local_file(FOLDER, name) for name in FILES)), None)
    if path is None:
        path = download(source, "Hillstrom", FILES[1], f"{FOLDER}/{FILES[0]}")
    found = read(path)
    if found.n != ROWS:
        raise ValueError(
            f"{Path(path).name} has {found.n:,} customers; the experiment has {ROWS:,}: is it cut "
            "short, or were copies dropped? Equal rows are different customers"
        )
    return found


def read(path: str | os.PathLike[str]) -> Hillstrom:
    """Read a file of the form of the published one, of any number of rows.

    Arguments and errors are those of `load`.

    Example:
        >>> import tempfile
        >>> line = "10,2) $100 - $200,142.44,1,0,Surburban,0,Phone,Womens E-Mail,1,0,0"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "two.csv"
        ...     _ = path.write_text("\\r\\n".join([",".join(_COLUMNS), line, line]))
        ...     two = read(path)
        >>> two.n, [ARMS[arm] for arm in two.arm], [str(word) for word in two.raw_zip_code]
        (2, ["women's e-mail", "women's e-mail"], ['Surburban', 'Surburban'])
        >>> [ATTRIBUTES[name][code] for name, code in zip(ATTRIBUTES, two.codes()[0])][:5]
        ['10 months', '$100 - $200', "men's goods", "no women's goods", 'Suburban']
    """
    frame = read_words(Path(path), _COLUMNS, row="customer")
    arrays: dict[str, Any] = {name: _codes(frame, name) for name in PUBLISHED}
    arrays |= {name: _whole(frame, name, *ends) for name, ends in _WHOLE.items()}
    for name in ("history", "spend"):
        dollars = numbers(frame, name)
        refuse(frame[name], ~(np.isfinite(dollars) & (dollars >= 0)), "a number of dollars")
        arrays[name] = dollars
    return Hillstrom(arm=arrays.pop("segment"), **arrays)


def _codes(frame: pd.DataFrame, name: str) -> np.ndarray:
    """The place of each word in `PUBLISHED`; the first unknown one is named."""
    codes = pd.Index(PUBLISHED[name]).get_indexer(pd.Index(frame[name]))
    refuse(frame[name], codes < 0, f"one of {PUBLISHED[name]}")
    return codes.astype(np.int8)


def _whole(frame: pd.DataFrame, name: str, low: int, high: int) -> np.ndarray:
    found = numbers(frame, name)
    right = (found >= low) & (found <= high) & (found == np.floor(found))
    refuse(frame[name], ~right, f"{low} or {high}" if high == 1 else f"a month {low} to {high}")
    return found.astype(np.int8)
