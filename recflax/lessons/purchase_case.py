r"""The case of chapter 4: a purchase log, one customer in three words, then every customer.

The article's five steps (clean, features, self-attention, cross-attention, score) without anything
learned. For one customer every number can be followed by hand; `five_steps` runs the same formulas
for all customers at once.
"""

import itertools
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pandas as pd

from recflax.data.cleaning import LINES
from recflax.data.logs import Log, check_columns

CUSTOMER = "15793"
WORDS = ("bird", "heart", "light")
UNTIL = pd.Timestamp("2011-11-01")
FIRST_DAY = pd.Timestamp("2011-01-03")


class Source(NamedTuple):
    """Where the case comes from: a shop's lines, one customer of it, and what to read of them.

    Attributes:
        lines: lines of invoices, as `recflax.data.online_retail.load` gives them.
        customer: whom to follow.
        words: the three words that describe a product, in alphabetical order.
        until: what was bought before this time is known, what came after is not.
    """

    lines: pd.DataFrame
    customer: str
    words: tuple[str, str, str]
    until: pd.Timestamp


def retail(lines: pd.DataFrame) -> Source:
    """Customer 15793 of Online Retail, who buys hearts, lights and birds.

    Raises:
        ValueError: a column is missing, or the customer is.
    """
    check_columns(lines, LINES, "lines")
    if not (lines["customer"] == CUSTOMER).any():
        raise ValueError(f"lines must hold customer {CUSTOMER}; they hold none")
    return Source(lines, CUSTOMER, WORDS, UNTIL)


def simulated(log: Log, *, length: int = 5) -> Source:
    """The same of a log of the simulated store, whose visits become invoices of one day each.

    The customer is the first whose last ``length`` purchases before the last visit come from
    exactly three categories, and who buys from one of them at the last visit. The words are the
    nouns of the three.

    Args:
        log: what ``store.log(...).to_log()`` gives.
        length: how many purchases are followed, at least 3.

    Raises:
        ValueError: ``length`` is below 3, or no customer is like that.

    Example:
        >>> from recflax.worlds.store import StoreConfig, build_store
        >>> store = build_store(StoreConfig(n_people=200), seed=2)
        >>> source = simulated(store.log().to_log())
        >>> len(source.words), list(source.lines.columns) == list(LINES)
        (3, True)
    """
    if length < 3:
        raise ValueError(f"length must be at least 3; got {length}")
    bought = log.purchases.merge(log.items[["item", "name"]], on="item")
    bought = bought.sort_values(["person", "time"], kind="stable", ignore_index=True)
    bought["noun"] = bought["name"].str.split().str[-1]
    last = bought["time"].max()
    for person, own in bought.groupby("person"):
        before, after = own[own["time"] < last], own[own["time"] == last]
        nouns = set(before["noun"].tail(length))
        if len(before) >= length and len(nouns) == 3 and nouns & set(after["noun"]):
            customer = str(person)
            break
    else:
        raise ValueError(f"no customer's last {length} purchases come from three categories")
    day = FIRST_DAY + pd.to_timedelta(7 * (bought["time"] - bought["time"].min()), unit="D")
    lines = pd.DataFrame(
        {
            "invoice": bought["person"].astype(str) + "-" + bought["visit"].astype(str),
            "code": bought["item"].astype(str).str.zfill(4),
            "description": bought["name"],
            "quantity": bought["quantity"],
            "time": day,
            "price": bought["price"],
            "customer": bought["person"].astype(str),
            "country": "the simulated store",
        }
    )
    first, second, third = sorted(nouns)
    return Source(lines, customer, (first, second, third), day.max())


def only_words(texts: Iterable[str], words: Iterable[str]) -> list[str]:
    """Return each text with nothing left but the given words, in its own order.

    Example:
        >>> only_words(["RED HEART T-LIGHT", "red mug"], ["heart", "light"])
        ['heart light', '']
    """
    pattern = rf"\b(?:{'|'.join(words)})\b"
    return (
        pd.Series(list(texts), dtype="str").str.lower().str.findall(pattern).str.join(" ").tolist()
    )


def candidates(
    log: Log, wanted: Iterable[int], allowed: Iterable[int], n_items: int
) -> pd.DataFrame:
    """Return the items to rank: those that will be bought, then what the shop sells most.

    Args:
        log: what was sold.
        wanted: item ids that come first, in this order.
        allowed: item ids that may fill up the list, by the number of purchases.
        n_items: how many items in all, or fewer where ``allowed`` does not suffice.

    Returns:
        Columns item, name, and bought_next (bool).

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> candidates(tiny_log(), [3], [1, 2], 2)["item"].tolist()
        [3, 1]
    """
    wanted = list(wanted)
    sold = log.purchases["item"].value_counts().reindex(log.items["item"], fill_value=0)
    sold = sold.loc[sorted(set(allowed) - set(wanted))].sort_values(ascending=False, kind="stable")
    chosen = list(itertools.islice(itertools.chain(wanted, sold.index), n_items))
    table = log.items.set_index("item").loc[chosen, ["name"]].reset_index()
    return table.assign(bought_next=table["item"].isin(wanted))


@partial(jax.jit, static_argnames="rows")
def five_steps(
    similarity: jax.Array, history: jax.Array, mask: jax.Array, sharpness: float, *, rows: int = 32
) -> jax.Array:
    r"""Self-attention, cross-attention and score of every item, for every history.

    With feature vectors :math:`x` of length 1, values as they are, and queries multiplied by a
    number so that a score is :math:`\beta` times a cosine,

    .. math::

        x'_l &= \sum_m \mathrm{softmax}_m(\beta\, x_l \cdot x_m)\, x_m \\
        c_j &= \sum_l \mathrm{softmax}_l(\beta\, x_j \cdot x'_l)\, x'_l \qquad s_j = x_j \cdot c_j

    Nothing but dot products of items enters, so the (M, M) table of them is enough.

    Args:
        similarity: (M, M), the dot products of all items.
        history: (B, L) item ids, 0 where there is none.
        mask: (B, L) bool, True where there is an event; a row without any scores 0.
        sharpness: :math:`\beta`, at least 0; 0 is the mean of the history.
        rows: histories at a time, which bounds the memory.

    Returns:
        Scores (B, M).

    Example:
        >>> similarity = jnp.array([[1.0, 0.6], [0.6, 1.0]])
        >>> history, mask = jnp.array([[0, 1]]), jnp.array([[False, True]])
        >>> print(five_steps(similarity, history, mask, 5.0).round(3))
        [[1.  0.6]]
    """

    def softmax(scores: jax.Array, seen: jax.Array) -> jax.Array:
        least = jnp.finfo(scores.dtype).min
        return jnp.where(seen, jax.nn.softmax(jnp.where(seen, sharpness * scores, least)), 0)

    def one(row: tuple[jax.Array, jax.Array]) -> jax.Array:
        items, seen = jnp.maximum(row[0], 1) - 1, row[1]
        to_history = similarity[:, items]  # (M, L)
        mixed = to_history @ softmax(to_history[items], seen).T  # (M, L): x_j . x'_l
        return (softmax(mixed, seen) * mixed).sum(axis=-1)

    return jax.lax.map(one, (history, mask), batch_size=rows)
