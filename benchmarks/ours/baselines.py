"""What the baselines' scripts share: pairs of person and item as a `Log`."""

import numpy as np
import pandas as pd

from recflax.data.logs import Log


def log_of(person: np.ndarray, item: np.ndarray, items: int) -> Log:
    """A log in which each pair of person and item (from 0) is a basket."""
    visit = np.arange(len(person))
    events = pd.DataFrame(
        {
            "person": person,
            "place": visit,
            "time": visit,
            "item": item + 1,
            "bought": True,
        }
    )
    purchases = pd.DataFrame(
        {
            "person": person,
            "visit": visit,
            "time": visit,
            "item": item + 1,
            "quantity": 1,
            "price": 1.0,
        }
    )
    catalogue = pd.DataFrame(
        {
            "item": np.arange(1, items + 1),
            "category": 0,
            "price": 1.0,
            "name": "",
            "text": "",
        }
    )
    return Log(events, purchases, catalogue)
