"""The shelves of the simulated shop: names that a person can read, and texts for words to count."""

import numpy as np
import pandas as pd

# each category's complement is the next one, and the last one's the first: a candle wants a
# holder, a holder stands beside a lamp, a lamp lights a reading corner with cushion and throw,
# under the throw one drinks from a mug, tea comes from a pot, biscuits go with it, by candlelight
CATEGORY_NAMES = (
    "candle",
    "candle holder",
    "lamp",
    "cushion",
    "throw",
    "mug",
    "teapot",
    "biscuit tin",
)
COLOURS = (
    "red", "ivory", "blue", "green", "amber", "grey", "pink", "white", "copper", "black",
    "lilac", "sand", "teal",
)  # fmt: skip
MOTIFS = (
    "rose", "star", "woodland", "harbour", "paisley", "hen", "tulip", "stripe", "heart", "swallow",
    "garden",
)  # fmt: skip
POPULARITY = ("rare find", "steady favourite", "bestseller")
PRICE = ("for a small budget", "at a middle price", "at the price of a luxury")


def describe_items(category: np.ndarray, popularity: np.ndarray, price: np.ndarray) -> pd.DataFrame:
    """The catalogue as a table: item, category, price, name, text.

    Args:
        category: (M,) 0 to C - 1.
        popularity: (M,).
        price: (M,).

    Returns:
        A row a product. The text is made from the name, the popularity tier and the price tier,
        thirds of the catalogue each.

    Example:
        >>> table = describe_items(np.array([0, 1]), np.array([1.0, 0.0]), np.array([9.0, 4.0]))
        >>> table["name"].tolist()
        ['red rose candle', 'red rose candle holder']
        >>> table["text"][1]
        'red rose candle holder. A rare find for a small budget.'
    """
    category = np.asarray(category)
    number = pd.Series(category).groupby(category).cumcount().to_numpy()  # within the category
    colour, motif = number % len(COLOURS), number // len(COLOURS) % len(MOTIFS)
    # neighbours on a shelf differ in both words
    motif = (motif + number) % len(MOTIFS)
    edition = number // (len(COLOURS) * len(MOTIFS))
    names = [
        f"{COLOURS[c]} {MOTIFS[m]} {CATEGORY_NAMES[k]}" + (f" no. {e + 1}" if e else "")
        for c, m, k, e in zip(colour, motif, category, edition, strict=True)
    ]
    texts = [
        f"{name}. A {POPULARITY[p]} {PRICE[q]}."
        for name, p, q in zip(names, _thirds(popularity), _thirds(price), strict=True)
    ]
    return pd.DataFrame(
        {
            "item": np.arange(1, len(category) + 1),
            "category": category,
            "price": price,
            "name": names,
            "text": texts,
        }
    )


def _thirds(values: np.ndarray) -> np.ndarray:
    """0, 1 or 2: the third of the catalogue that a value falls in, lowest first."""
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return rank * 3 // len(rank)
