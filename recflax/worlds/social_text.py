"""The people of the social network: names and profiles that a person can read."""

import numpy as np
import pandas as pd

COMMUNITIES = (
    "astronomy", "baking", "chess", "cycling", "gardening", "jazz", "climbing", "knitting",
)  # fmt: skip
FIRST_NAMES = (
    "ada", "ben", "chen", "dora", "emil", "fatima", "goro", "hana", "igor", "jana", "kofi", "lena",
    "mira", "nils", "olga", "pia", "quim", "rosa", "sami", "tove", "uma", "vera", "wanda",
)  # fmt: skip


def describe_accounts(community: np.ndarray) -> pd.DataFrame:
    """The accounts as a catalogue: item, category (their community), price 0, name, text.

    Args:
        community: (U,) 0 to C - 1, C at most 8.

    Example:
        >>> describe_accounts(np.array([1, 0]))["text"].tolist()
        ['ada.1 posts about baking', 'ben.2 posts about astronomy']
    """
    number = np.arange(len(community))
    first = [FIRST_NAMES[n] for n in number % len(FIRST_NAMES)]
    names = [f"{name}.{n + 1}" for name, n in zip(first, number, strict=True)]
    topic = [COMMUNITIES[k] for k in community]
    text = [f"{name} posts about {what}" for name, what in zip(names, topic, strict=True)]
    return pd.DataFrame(
        {"item": number + 1, "category": community, "price": 0.0, "name": names, "text": text}
    )
