"""Preparing a log that does not fit in memory: `clean` and `to_log` once more, as expressions.

The rules are those of `recflax.data.cleaning`, and the results are equal row for row. Here they are
Ibis expressions, which run where the lines are: in DuckDB on one machine, or in Spark on many
(`recflax.data.engines.connect` picks one). Nothing is computed before a result is asked for, and
`recflax.data.engines.store` keeps it as Parquet, so that the next step need not compute it again::

    lines = read(connect("duckdb://", memory="2GB"), "lines")
    judged = store(judge(store(distinct(lines), "distinct")), "judged")
    print(report(judged))
    lines = store(kept(judged), "kept")
    ids = [store(table(lines), table.__name__) for table in (people, items, visits)]
    bought = store(purchases(lines, *ids), "purchases")
    store(histories(events(bought), length=20), "histories")
    for people, batch in batches("histories", length=20, n_items=3684):
        ...

A table has no order of its own, so that the lines carry their place in the file, ``row``, and
every tie is broken by it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recflax.data.cleaning import LINES, NON_PRODUCT_CODES, CleaningReport
from recflax.data.engines import check_table, require

if TYPE_CHECKING:
    from ibis.expr.types import Column, Table

LINE_TYPES = dict.fromkeys(LINES, "text") | {
    "row": "integers",
    "quantity": "integers",
    "price": "numbers",
    "time": "times",
}
EVENT_TYPES = {
    "person": "integers",
    "place": "integers",
    "time": "times or integers",
    "item": "integers",
    "bought": "booleans",
}
RULES = (
    *("no date", "exact copy", "no item", "no customer", "no product"),
    *("price not above 0", "quantity not above 0", "sale cancelled in part"),
    *("sale cancelled in full", "cancellation, matched"),
    *("cancellation, more than was left", "cancellation, unmatched"),
)


def _int64(column: Column) -> Column:
    """Cast, also where Ibis sees no need: DuckDB sums in 128 bits, Spark numbers rows in 32."""
    return require("ibis").expr.operations.Cast(column, to="int64").to_expr()


def _rank(order_by: list[Column], group_by: list[Column] | None = None) -> Column:
    """Number rows from 0."""
    return _int64(require("ibis").row_number().over(group_by=group_by, order_by=order_by))


def distinct(lines: Table) -> Table:
    """Make one row of all exact copies of a line; the first step of the cleaning.

    Args:
        lines: Columns row (the place in the file, each once), invoice, code, description,
            customer, country (text), quantity (integers), time (a timestamp without a zone), price
            (of one piece). `recflax.data.engines.write_lines` makes such a table.

    Returns:
        The same columns, with the first ``row``, and copies: how often the line stands there.

    Raises:
        ValueError: A column or the name of an invoice is missing, or a price is infinite.
        TypeError: ``lines`` is no Ibis table, or a column has another type.
    """
    ibis = require("ibis")
    check_table(lines, LINE_TYPES, "lines")
    price = lines.price.cast("float64")
    faults = lines.aggregate(
        invoice=lines.row.min(where=lines.invoice.isnull()),
        price=lines.row.min(where=(price.abs() > sys.float_info.max) & ~price.isnan()),
    )
    for name, first in faults.to_pyarrow().to_pylist()[0].items():
        if first is not None:
            wanted = {"invoice": "a name; row {} has none", "price": "finite; row {} is not"}[name]
            raise ValueError(f"lines.{name} must be {wanted.format(first)}")
    price = ibis.cases((~price.isnan(), price))  # NaN is a missing price; for engines above 0
    lines = lines.mutate(quantity=lines.quantity.cast("int64"), price=price)
    return lines.group_by(list(LINES)).aggregate(row=lines.row.min(), copies=lines.count())


def _usual_codes(lines: Table) -> Table:
    """The code of most lines of a description, among equals the first: description, usual."""
    known = lines.filter(lines.time.notnull() & lines.description.notnull() & lines.code.notnull())
    pairs = known.group_by(["description", "code"]).aggregate(
        n=known.count(), first=known.row.min()
    )
    order = [pairs.n.desc(), pairs["first"]]
    pairs = pairs.mutate(rank=_rank(order, [pairs.description]))
    return pairs.filter(pairs["rank"] == 0).select("description", usual="code")


def _rules_of_a_line(lines: Table, usual: Table | None, non_products: tuple[str, ...]) -> Table:
    """Fill what is missing, and add the rule that takes a line whatever other lines there are."""
    ibis = require("ibis")
    if usual is None:
        lines = lines.mutate(filled_code=False, filled_customer=False)
    else:
        lines = lines.left_join(usual, "description").drop("description_right")
        lines = lines.mutate(
            code=ibis.coalesce(lines.code, lines.usual),
            customer=ibis.coalesce(lines.customer, ibis.literal("guest ") + lines.invoice),
            filled_code=lines.code.isnull() & lines.usual.notnull(),
            filled_customer=lines.customer.isnull(),
        ).drop("usual")
    lines = lines.mutate(cancelled=lines.invoice.startswith("C"))
    pieces = lines.cancelled.ifelse(-lines.quantity, lines.quantity)
    rule = ibis.cases(
        (lines.time.isnull(), "no date"),
        (lines.code.isnull(), "no item"),
        (lines.customer.isnull(), "no customer"),
        (lines.code.isin(non_products), "no product"),
        (~(lines.price > 0).fill_null(False), "price not above 0"),
        (~(pieces > 0).fill_null(False), "quantity not above 0"),
    )
    return lines.mutate(rule=rule)


def _quantity_left(sales: Table, cancelled: Table) -> Table:
    """What `recflax.data.cleaning` computes under this name: columns row, left.

    Only sales of which something was cancelled are looked at; of the others everything is left.
    """
    ibis = require("ibis")
    key = ["customer", "code"]
    sales = sales.select("row", *key, "time", "quantity", new=~sales.cancelled)
    stack = sales.semi_join(cancelled.select(key).distinct(), key)
    order = {"group_by": key, "order_by": ["time", "new", "row"]}
    so_far, from_here = {**order, "rows": (None, 0)}, {**order, "rows": (0, None)}
    stack = stack.mutate(total=_int64(stack.quantity.sum().over(**so_far)))
    lost = ibis.least(stack.total.min().over(**so_far), 0)
    stack = stack.mutate(height=stack.total - lost)
    lowest = stack.height.min().over(**from_here)
    before = ibis.coalesce(stack.height.lag().over(**order), 0)
    stack = stack.mutate(lowest=lowest, before=before)
    of_sale = ibis.greatest(stack.lowest - (stack.height - stack.quantity), 0)
    left = stack.new.ifelse(of_sale, stack.quantity + stack.before - stack.height)
    return stack.select("row", left=left)


def judge(
    lines: Table,
    *,
    missing: str = "drop",
    non_products: tuple[str, ...] = NON_PRODUCT_CODES,
) -> Table:
    """Say of every distinct line which rule of `recflax.data.cleaning.clean` takes it, if any.

    Args:
        lines: What `distinct` returns; stored, or it is computed three times by some engines.
        missing: "drop" or "fill", as in `clean`.
        non_products: Codes of postage, fees, samples, corrections.

    Returns:
        The columns of ``lines``, and left (pieces after cancellations), rule (null for a line that
        is kept), filled_code and filled_customer.

    Raises:
        ValueError: A column is missing, or ``missing`` is another word.
        TypeError: ``lines`` is no Ibis table, or a column has another type.

    Example:
        >>> import ibis, pyarrow as pa
        >>> lines = ibis.memtable(pa.table({
        ...     "row": [0, 1, 2], "invoice": ["1", "1", "C2"], "code": ["07", "POST", "07"],
        ...     "description": ["red mug", "postage", "red mug"], "quantity": [6, 1, -2],
        ...     "time": pd.to_datetime(["2011-01-01", "2011-01-01", "2011-01-02"]),
        ...     "price": [2.5, 9.0, 2.5], "customer": ["17"] * 3, "country": ["UK"] * 3}))
        >>> judge(distinct(lines)).order_by("row").select("left", "rule").to_pyarrow().to_pydict()
        {'left': [4, 1, 0], 'rule': [None, 'no product', 'cancellation, matched']}
    """
    ibis = require("ibis")
    check_table(lines, LINE_TYPES | {"copies": "integers"}, "lines")
    if missing not in ("drop", "fill"):
        raise ValueError(f"missing must be 'drop' or 'fill'; got {missing!r}")
    usual = _usual_codes(lines) if missing == "fill" else None

    def not_taken(part: Table) -> Table:
        part = _rules_of_a_line(part, usual, non_products)
        return part.filter(part.rule.isnull())

    # each from ``lines`` anew and with few columns, so that no engine puts whole lines aside
    sales = lines.drop("country", "copies")
    left = _quantity_left(not_taken(sales), not_taken(sales.filter(sales.invoice.startswith("C"))))
    lines = _rules_of_a_line(lines, usual, non_products)
    lines = lines.left_join(left, "row").drop("row_right")
    lines = lines.mutate(left=ibis.coalesce(lines.left, lines.quantity))
    rule = ibis.cases(
        (lines.rule.notnull(), lines.rule),
        (~lines.cancelled & (lines.left == 0), "sale cancelled in full"),
        (lines.cancelled & (lines.left == 0), "cancellation, matched"),
        (lines.cancelled & (lines.left == lines.quantity), "cancellation, unmatched"),
        (lines.cancelled, "cancellation, more than was left"),
    )
    flags = ["filled_code", "filled_customer"]
    return lines.select("row", *LINES, "copies", *flags, "left", rule=rule)


def kept(judged: Table) -> Table:
    """Return what `recflax.data.cleaning.clean` returns: the lines that no rule took, and ``row``.

    Args:
        judged: What `judge` returns.
    """
    lines = judged.filter(judged.rule.isnull())
    return lines.mutate(quantity=lines.left).select("row", *LINES)


def report(judged: Table) -> CleaningReport:
    """Count what each rule took, as `recflax.data.cleaning.clean` reports it.

    Args:
        judged: What `judge` returns; stored, or everything is computed once more.
    """
    part = judged.rule.isnull() & (judged.left < judged.quantity)
    counts = judged.group_by("rule").aggregate(
        lines=judged.count(),
        copies=judged.copies.sum(),
        part=part.sum(),
        code=judged.filled_code.sum(),
        customer=judged.filled_customer.sum(),
    )
    table = counts.to_pyarrow().to_pandas().fillna({"rule": "kept"})
    table = table.set_index("rule").astype("int64")
    no_date = table.index == "no date"
    dropped = table["lines"].where(~no_date, table["copies"]).reindex(RULES, fill_value=0)
    dropped["exact copy"] = (table["copies"] - table["lines"])[~no_date].sum()
    changed = pd.Series(0, index=dropped.index)
    changed["no item"] = table["code"][~no_date].sum()
    changed["no customer"] = table["customer"][~no_date].sum()
    changed["sale cancelled in part"] = table["part"].sum()
    rules = pd.DataFrame({"rule": RULES, "dropped": dropped.array, "changed": changed.array})
    lines_in = int(table["copies"].sum())
    return CleaningReport(lines_in, lines_in - int(dropped.sum()), rules)


def _number(table: Table, column: str, name: str, first: int) -> Table:
    """Number the values of a column in their order, which is that of the bytes of their text."""
    values = table.select(column).distinct()
    return values.mutate(**{name: _rank([values[column]]) + first})


def people(lines: Table) -> Table:
    """Return columns customer and person, 0 to U-1: the person's place in ``Log.person_labels``."""
    return _number(lines, "customer", "person", 0)


def items(lines: Table) -> Table:
    """Return columns code and item, 1 to M: the ids of ``Log.items``."""
    return _number(lines, "code", "item", 1)


def visits(lines: Table) -> Table:
    """Return columns invoice, time (of its earliest line) and visit, from 0 in their order."""
    table = lines.group_by("invoice").aggregate(time=lines.time.min())
    return table.mutate(visit=_rank([table.time, table.invoice]))


def purchases(lines: Table, people: Table, items: Table, visits: Table) -> Table:
    """Return the ``purchases`` that `recflax.data.cleaning.to_log` makes, and ``row``.

    Args:
        lines: What `kept` returns. Store it and the three tables, or each is computed again here.
        people: What `people` returns of these lines.
        items: What `items` returns of them.
        visits: What `visits` returns of them.

    Returns:
        Columns person, visit, time, item, quantity, price, and row (the first line of the
        purchase: the order of the purchases of one visit).

    Raises:
        ValueError: A column is missing.
        TypeError: ``lines`` is no Ibis table, or a column has another type.
    """
    check_table(lines, LINE_TYPES, "lines")
    check_table(people, {"customer": "text", "person": "integers"}, "people")
    check_table(items, {"code": "text", "item": "integers"}, "items")
    check_table(visits, {"invoice": "text", "time": "times", "visit": "integers"}, "visits")
    table = lines.select("row", "invoice", "code", "customer", "quantity", "price")
    table = table.join(items, "code").join(people, "customer").join(visits, "invoice")
    bought = table.group_by(["person", "visit", "item"]).aggregate(
        time=table.time.min(),
        row=table.row.min(),
        quantity=_int64(table.quantity.sum()),
        paid=(table.quantity * table.price).sum(),
    )
    price = bought.paid / bought.quantity
    return bought.select("person", "visit", "time", "item", "quantity", "row", price=price)


def events(bought: Table) -> Table:
    """Return the ``events`` of the `Log`: person, place, time, item, bought.

    Args:
        bought: What `purchases` returns.
    """
    place = _rank([bought.visit, bought.row], [bought.person])
    return bought.select("person", "time", "item", place=place, bought=True)


def histories(events: Table, *, length: int, before: Any = None) -> Table:
    """Return the last events of each person, as `recflax.data.batches.history_batch` does.

    The event that is ``back`` steps from a person's newest stands in column ``length - 1 - back``
    of the (B, L) array that `recflax.data.engines.batches` makes of it; what has none is padding.

    Args:
        events: Columns person, place, time, item, bought, as in a `Log`.
        length: L, at least 1.
        before: Only events strictly before this time: a date or its text, or an integer where the
            times are integers. A person who has none keeps one row, whose item is 0.

    Returns:
        Columns person, back, item, bought; ordered by person, from oldest to newest.

    Raises:
        ValueError: ``length`` is below 1, or a column is missing.
        TypeError: A column has another type, or ``before`` is not of the kind of the times.

    Example:
        >>> import ibis, pyarrow as pa
        >>> from recflax.data.logs import tiny_log
        >>> table = ibis.memtable(pa.Table.from_pandas(tiny_log().events))
        >>> histories(table, length=2, before=20).to_pyarrow().to_pydict()
        {'person': [0, 0, 1], 'back': [1, 0, 0], 'item': [1, 2, 3], 'bought': [True, False, True]}
    """
    ibis = require("ibis")
    check_table(events, EVENT_TYPES, "events")
    if length < 1:
        raise ValueError(f"length must be at least 1; got {length}")
    early = ibis.literal(True) if before is None else is_early(events, before, "before")
    table = events.mutate(early=early)
    order = [table.early.desc(), table.place.desc()]
    table = table.mutate(back=_rank(order, [table.person]))
    table = table.filter((table.back == 0) | (table.early & (table.back < length)))
    item = table.early.ifelse(table.item, 0)
    table = table.select("person", "back", item=item, bought=table.early & table.bought)
    return table.order_by(["person", table.back.desc()])


def is_early(table: Table, at: Any, name: str = "at") -> Column:
    """Say of each row whether its time lies before ``at``: a filter that splits any table by time.

    Args:
        table: A table with a column time.
        at: The moment, as in `recflax.data.logs.split_by_time`.
        name: What the message calls it.

    Raises:
        TypeError: ``at`` is not of the kind of the table's times.

    Example:
        >>> import ibis, pyarrow as pa
        >>> from recflax.data.logs import tiny_log
        >>> table = ibis.memtable(pa.Table.from_pandas(tiny_log().events))
        >>> table.filter(is_early(table, 20)).item.to_pyarrow().to_pylist()
        [1, 2, 3]
    """
    ibis = require("ibis")
    dates = table.time.type().is_timestamp()
    if dates != (not isinstance(at, int | np.integer)):
        raise TypeError(f"{name} is {at!r}, but time is {table.time.type()}")
    return table.time < (ibis.literal(pd.Timestamp(at)) if dates else int(at))
