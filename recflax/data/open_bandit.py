"""Open Bandit: impressions in a fashion shop, with the chances that the page drew them by.

Two policies filled three positions of a page of ZOZOTOWN for a week: one drew uniformly, one by
Bernoulli Thompson sampling, and both logged the chance of what they drew (Saito, Aihara, Matsutani
and Narita 2021, arXiv 2008.07146, CC BY 4.0). The full set is 11 GB unpacked and is never
downloaded here: whoever has it, or the authors' sample of 10,000 rows a log, sets
``RECFLAX_DATA_DIR`` to a folder that holds ``open_bandit/{random,bts}/{all,men,women}/``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from recflax.data.csv_files import numbers, read_words, refuse
from recflax.data.sources import DataNotFound, local_file

PUBLISHER = "https://research.zozo.com/data.html"
POLICIES = {"random": "uniformly drawn", "bts": "Bernoulli Thompson sampling"}
CAMPAIGNS = ("all", "men", "women")
POSITIONS = (1, 2, 3)
"""Left, centre and right of the page."""

FOLDER = "open_bandit"
_COLUMNS = ("timestamp", "item_id", "position", "click", "propensity_score")


@dataclass(frozen=True, eq=False)
class OpenBandit:
    """One log, one entry an impression: arrays (n,), in the order of the file.

    Attributes:
        time: of the impression, in UTC.
        item: what was shown, 0 to ``n_items`` - 1.
        position: where, 1 to 3.
        click: 1 if it was clicked, else 0.
        propensity: the chance with which the policy drew this item for this position, in (0, 1].
        n_items: A, how many items the campaign has.
    """

    time: np.ndarray
    item: np.ndarray
    position: np.ndarray
    click: np.ndarray
    propensity: np.ndarray
    n_items: int

    @property
    def n(self) -> int:
        """How many impressions."""
        return len(self.item)

    def where(self, rows: np.ndarray) -> OpenBandit:
        """The impressions for which a (n,) bool is True, or of these places, in this order."""
        names = [field.name for field in fields(self) if field.name != "n_items"]
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def uniform(self) -> np.ndarray:
        """(3, A) the policy that draws every item alike, at each position."""
        return np.full((len(POSITIONS), self.n_items), 1 / self.n_items)

    def impressions(self) -> pd.DataFrame:
        """A row an impression, as `recflax.causal.check_log.check_log` reads a log.

        The set has no customer id, so every impression is taken for a person of its own, and
        intervals are too narrow by as much as impressions of one person move together. Nor does
        it flag what was randomised: a log is, when every chance in it is 1/A. A chance of 1/A
        here and there in another log is what its policy happened to say.
        """
        return pd.DataFrame(
            {
                "person": np.arange(self.n),
                "item": self.item + 1,
                "position": self.position,
                "reward": self.click.astype(float),
                "propensity": self.propensity,
                "randomised": np.full(
                    self.n, np.isclose(self.propensity, 1 / self.n_items, rtol=1e-12).all()
                ),
            }
        )


def _found(policy: str, campaign: str) -> tuple[Path, Path] | None:
    folder = f"{FOLDER}/{policy}/{campaign}"
    names = (f"{campaign}.csv.xz", f"{campaign}.csv")
    log = next(filter(None, (local_file(folder, name) for name in names)), None)
    items = local_file(folder, "item_context.csv")
    return (log, items) if log and items else None


def _check_names(policy: str, campaign: str) -> None:
    for name, given, known in (
        ("policy", policy, tuple(POLICIES)),
        ("campaign", campaign, CAMPAIGNS),
    ):
        if given not in known:
            raise ValueError(f"{name} must be one of {known}, but is {given!r}")


def available(policy: str = "random", campaign: str = "men") -> bool:
    """Say whether `load` finds this log under ``RECFLAX_DATA_DIR``.

    Raises:
        ValueError: an unknown policy or campaign.
    """
    _check_names(policy, campaign)
    return _found(policy, campaign) is not None


def load(policy: str, campaign: str) -> OpenBandit:
    """Return one log, checked.

    Args:
        policy: ``"random"`` or ``"bts"``.
        campaign: ``"all"``, ``"men"`` or ``"women"``; the authors' sample has the last two here.

    Raises:
        DataNotFound: the log is not under ``RECFLAX_DATA_DIR``; nothing is downloaded.
        ValueError: an unknown name; or a file that is empty, damaged or cut short, lacks a column,
            or holds a value that cannot be: the first is named.
    """
    _check_names(policy, campaign)
    found = _found(policy, campaign)
    if found is None:
        raise DataNotFound(
            f"Open Bandit's {policy}/{campaign} is not here, and is too large to be fetched. Get "
            f"it from {PUBLISHER}, and set RECFLAX_DATA_DIR to a folder that holds "
            f"{FOLDER}/{policy}/{campaign}/{campaign}.csv and item_context.csv beside it"
        )
    return read(*found)


def read(log: str | os.PathLike[str], items: str | os.PathLike[str]) -> OpenBandit:
    """Read a log and the list of its campaign's items, of any number of rows.

    Args:
        log: A .csv, .csv.gz or .csv.xz with an impression a line.
        items: The campaign's ``item_context.csv``, with a line for each item.

    Errors are those of `load`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log, items = Path(folder) / "men.csv", Path(folder) / "item_context.csv"
        ...     _ = items.write_text("item_id\\n0\\n1\\n")
        ...     _ = log.write_text(
        ...         "timestamp,item_id,position,click,propensity_score\\n"
        ...         "2019-11-24 00:03:13.442536+00:00,1,3,0,0.5\\n"
        ...     )
        ...     one = read(log, items)
        >>> one.n, one.n_items, int(one.position[0]), float(one.propensity[0])
        (1, 2, 3, 0.5)
    """
    known = read_words(Path(items), ("item_id",), only=True)
    ids = numbers(known, "item_id")
    refuse(known["item_id"], ids != np.arange(len(ids)), "0, 1, 2, ... in order")
    frame = read_words(Path(log), _COLUMNS, only=True)
    item, position, click, propensity = (numbers(frame, name) for name in _COLUMNS[1:])
    time = pd.to_datetime(frame["timestamp"], utc=True, errors="coerce", format="ISO8601")
    for name, right, wanted in (
        ("timestamp", time.notna().to_numpy(), "a time"),
        ("item_id", np.isin(item, ids), f"an item of the campaign, 0 to {len(ids) - 1}"),
        ("position", np.isin(position, POSITIONS), f"one of {POSITIONS}"),
        ("click", np.isin(click, (0, 1)), "0 or 1"),
        ("propensity_score", (propensity > 0) & (propensity <= 1), "in (0, 1]"),
    ):
        refuse(frame[name], ~right, wanted)
    return OpenBandit(
        time=time.dt.tz_localize(None).to_numpy().astype("datetime64[us]"),
        item=item.astype(np.int64),
        position=position.astype(np.int64),
        click=click.astype(np.int8),
        propensity=propensity,
        n_items=len(ids),
    )
