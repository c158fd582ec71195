"""From the raw lines of invoices to a clean log, with a report of how many lines each rule took."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recflax.data.logs import TABLES, Log, check_columns, check_values, kind_of

LINES = ("invoice", "code", "description", "quantity", "time", "price", "customer", "country")
NON_PRODUCT_CODES = (
    *("POST", "DOT", "C2", "M", "m", "D", "S", "B"),
    *("BANK CHARGES", "AMAZONFEE", "CRUK", "PADS"),
)


@dataclass(frozen=True, eq=False)
class CleaningReport:
    """What `clean` did, rule by rule, in the order in which the rules were applied.

    Args:
        lines_in: Lines that came in.
        lines_out: Lines that were kept: ``lines_in`` less the sum of ``table.dropped``.
        table: Columns rule, dropped (lines that left), changed (lines that stayed, with a new
            customer, code or quantity).
    """

    lines_in: int
    lines_out: int
    table: pd.DataFrame

    def __str__(self) -> str:
        """Return the table as text, with the lines before and after."""
        body = self.table.to_string(index=False)
        return f"{self.lines_in} lines came in\n{body}\n{self.lines_out} lines were kept"


def check_lines(lines: pd.DataFrame) -> None:
    """Raise unless these are lines of invoices: all columns, dates, numbers and whole pieces.

    Raises:
        ValueError: A column is missing, or a quantity is a fraction.
        TypeError: ``time`` is not datetime64, or quantity or price is not numeric.
    """
    check_columns(lines, LINES, "lines")
    if kind_of(lines["time"]) != "M":
        raise TypeError(f"lines.time must be datetime64, not {lines['time'].dtype}")
    for name in ("quantity", "price"):
        if kind_of(lines[name]) not in "iuf":
            raise TypeError(f"lines.{name} must hold numbers, not {lines[name].dtype}")
    whole = lines["quantity"].isna() | (lines["quantity"] % 1 == 0)
    check_values(lines["quantity"], whole.to_numpy(), "lines.quantity", "whole pieces")


def _quantity_left(lines: pd.DataFrame) -> pd.Series:
    r"""Return what is left of each line once cancellations have taken back the latest sales.

    Per customer and code, sales and cancellations in the order of time are a stack of pieces: a
    sale lays its pieces on top, a cancellation takes from the top. What it takes beyond an empty
    stack is lost. So the height is the running sum :math:`S` reflected at 0,
    :math:`H_t = S_t - \min(0, \min_{s \le t} S_s)`, and of a sale that lifted it from ``a`` to
    ``b`` there stay the pieces below the lowest height that follows. Nothing is looped over.
    For a cancellation the result is minus the number of pieces that found no sale.
    """
    cancelled = lines["invoice"].str.startswith("C")
    order = lines.assign(cancelled=~cancelled)[["customer", "code", "time", "cancelled"]]
    order = order.sort_values(["time", "cancelled"], kind="stable")  # only strictly earlier sales
    group = order.groupby(["customer", "code"], dropna=False).ngroup().to_numpy()
    quantity = lines["quantity"].loc[order.index]
    total = quantity.groupby(group).cumsum()
    height = total - total.groupby(group).cummin().clip(upper=0)
    lowest = height[::-1].groupby(group[::-1]).cummin()[::-1]
    start = height - quantity  # for a sale, the height before it
    kept = (lowest - start).clip(lower=0)
    before = height.groupby(group).shift(fill_value=0)
    return kept.where(quantity > 0, quantity + before - height).loc[lines.index]


def clean(
    lines: pd.DataFrame,
    *,
    missing: str = "drop",
    non_products: tuple[str, ...] = NON_PRODUCT_CODES,
) -> tuple[pd.DataFrame, CleaningReport]:
    """Clean the lines of a shop's invoices, and say how many lines each rule took.

    The rules, in this order: no date; an exact copy of another line; no item; no customer; a code
    that is no product; a price that is missing or not above 0; a cancellation (its invoice starts
    with C), which takes back the latest strictly earlier sales of the same customer and code with
    pieces left; a quantity that is missing or not above 0. A purchase that repeats an earlier one
    in another invoice is a purchase, and always stays.

    Args:
        lines: Columns invoice, code, description, quantity (pieces), time (datetime64), price (of
            one piece), customer, country.
        missing: "drop" drops a line without customer or code. "fill" makes each invoice without
            a customer one guest of its own (its basket is kept, its person's past is not known),
            and takes a missing code from another line of the same description, where there is one.
        non_products: Codes of postage, fees, samples, corrections.

    Returns:
        The kept lines, in their order, with a new index; and the report.

    Raises:
        ValueError: A column is missing, ``missing`` is another word, or a quantity is a fraction.
        TypeError: ``time`` is not datetime64, or quantity or price is not numeric.

    Example:
        >>> lines = pd.DataFrame({
        ...     "invoice": ["1", "1", "C2"], "code": ["07", "08", "07"],
        ...     "description": ["red mug", "blue lamp", "red mug"], "quantity": [6, 1, -2],
        ...     "time": pd.to_datetime(["2011-01-01", "2011-01-01", "2011-01-02"]),
        ...     "price": [2.5, 9.0, 2.5], "customer": ["17", "17", "17"], "country": ["UK"] * 3})
        >>> kept, report = clean(lines)
        >>> kept["quantity"].tolist()
        [4, 1]
        >>> report.table.set_index("rule").loc["sale cancelled in part", "changed"].item()
        1
    """
    if missing not in ("drop", "fill"):
        raise ValueError(f"missing must be 'drop' or 'fill'; got {missing!r}")
    check_lines(lines)
    frame = lines.reset_index(drop=True).astype({"invoice": "str"})
    rules: list[tuple[str, int, int]] = []

    def drop(rule: str, wrong: pd.Series, changed: int = 0) -> None:
        nonlocal frame
        rules.append((rule, int(wrong.sum()), changed))
        frame = frame[~wrong]

    drop("no date", frame["time"].isna())
    drop("exact copy", frame.duplicated(list(LINES)))
    filled = [0, 0]
    if missing == "fill":
        pairs = frame.dropna(subset=["description", "code"]).groupby("description")["code"]
        usual = pairs.agg(lambda codes: codes.value_counts().index[0])
        for place, (column, value) in enumerate(
            [
                ("code", frame["description"].map(usual)),
                ("customer", "guest " + frame["invoice"]),
            ]
        ):
            gaps = frame[column].isna() & value.notna()
            filled[place] = int(gaps.sum())
            frame = frame.assign(**{column: frame[column].astype("object").where(~gaps, value)})
    drop("no item", frame["code"].isna(), filled[0])
    drop("no customer", frame["customer"].isna(), filled[1])
    drop("no product", frame["code"].isin(non_products))
    drop("price not above 0", ~(frame["price"] > 0))
    cancelled = frame["invoice"].str.startswith("C")
    drop("quantity not above 0", ~(frame["quantity"] * np.where(cancelled, -1, 1) > 0))
    frame = frame.astype({"quantity": "int64"})
    left, cancelled = _quantity_left(frame), frame["invoice"].str.startswith("C")
    unmatched = left == frame["quantity"]
    frame, sold = frame.assign(quantity=left), frame["quantity"]
    part = int((~cancelled & (left > 0) & (left < sold)).sum())
    rules.append(("sale cancelled in part", 0, part))
    for rule, wrong in (
        ("sale cancelled in full", ~cancelled & (left == 0)),
        ("cancellation, matched", cancelled & (left == 0)),
        ("cancellation, more than was left", cancelled & (left < 0) & ~unmatched),
        ("cancellation, unmatched", cancelled & unmatched),
    ):
        drop(rule, wrong.loc[frame.index])
    table = pd.DataFrame(rules, columns=["rule", "dropped", "changed"])
    return frame.reset_index(drop=True), CleaningReport(len(lines), len(frame), table)


def to_log(lines: pd.DataFrame, *, n_categories: int = 32) -> Log:
    """Number customers, invoices and codes of cleaned invoice lines, and return them as a `Log`.

    People are numbered in the order of their customer names, visits (one an invoice) in the order
    of time, items 1 to M in the order of their codes. Lines of one item in one invoice become one
    purchase: their quantities are added, their prices averaged over pieces. Every purchase is an
    event with ``bought`` True.

    An item's name and text are its most common description (among equals the first in the
    alphabet; "" if it has none), its price the median over lines. Its category is the last word
    of its name, the head noun of most English product names ("... T-LIGHT HOLDER"): the
    ``n_categories - 1`` most common words are 1, 2, ... and everything else is 0. ``items.code``
    and ``Log.person_labels`` keep the shop's own names.

    Args:
        lines: What `clean` returns.
        n_categories: At least 1; 1 puts everything in category 0.

    Raises:
        ValueError: There is no line, a column is missing, or ``n_categories`` is below 1.

    Example:
        >>> log = to_log(pd.DataFrame({
        ...     "invoice": ["1", "2"], "code": ["07", "07"], "description": ["RED MUG", None],
        ...     "quantity": [6, 1], "time": pd.to_datetime(["2011-01-01", "2011-01-02"]),
        ...     "price": [2.5, 3.5], "customer": ["17", "17"], "country": ["UK", "UK"]}))
        >>> print(log.items.drop(columns="text").to_string(index=False))
         item code    name  price  category
            1   07 RED MUG    3.0         1
    """
    check_columns(lines, LINES, "lines")
    if n_categories < 1 or not len(lines):
        raise ValueError(f"need n_categories >= 1 and a line; got {n_categories}, {len(lines)}")
    person, labels = pd.factorize(lines["customer"], sort=True)
    item, codes = pd.factorize(lines["code"], sort=True)
    table = lines[["invoice", "time", "quantity"]].assign(
        person=person, item=item + 1, paid=lines["quantity"] * lines["price"]
    )
    table["time"] = table.groupby("invoice")["time"].transform("min")
    table = table.sort_values(["time", "invoice"], kind="stable")
    table["visit"] = pd.factorize(table["invoice"])[0]
    bought = table.groupby(["person", "visit", "item"], sort=False).agg(
        time=("time", "first"), quantity=("quantity", "sum"), paid=("paid", "sum")
    )
    bought = bought.reset_index().sort_values(["person", "visit"], kind="stable", ignore_index=True)
    bought["price"] = bought["paid"] / bought["quantity"]
    events = bought[["person", "time", "item"]].assign(
        place=bought.groupby("person").cumcount(), bought=True
    )
    described = lines.assign(item=item + 1).groupby(["item", "description"])
    lines_of = described.size().sort_values(ascending=False, kind="stable").reset_index()
    names = lines_of.drop_duplicates("item").set_index("item")["description"].str.strip()
    items = pd.DataFrame({"item": np.arange(1, len(codes) + 1), "code": codes})
    items["name"] = items["text"] = items["item"].map(names).fillna("")
    items["price"] = lines["price"].groupby(item).median().to_numpy()
    noun = items["name"].str.extract(r"([^\W\d_]+)[\W\d_]*$", expand=False).str.upper()
    counts = noun.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    common = counts.index[: n_categories - 1]
    items["category"] = common.get_indexer(pd.Index(noun)) + 1
    return Log(events, bought[list(TABLES["purchases"])], items, person_labels=labels)
