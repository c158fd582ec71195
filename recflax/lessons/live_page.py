"""What the live page needs: a shop's equations, two networks of it, and people to start from.

Everything is written into the page as one JSON text. The page computes with it what
`recflax.worlds.store_truth` and `recflax.recommender` compute here, and a browser test holds the
two against each other.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from recflax.export import json_script, weights_to_json
from recflax.lessons.cells import count, fit_cells, log_cells
from recflax.lessons.trainings import clipped_cells
from recflax.recommender import Recommender
from recflax.worlds.store import Store
from recflax.worlds.store_text import CATEGORY_NAMES

CONSTANTS = ("o0", "o_pop", "b_t", "b_n", "b_c", "b_s", "pz", "g_y", "n_categories", "length")
"""What of a `recflax.worlds.store.StoreConfig` the exact answers need."""


class Networks(NamedTuple):
    """Two networks of one log.

    Attributes:
        log: trained on what was bought, one arm.
        causal: trained on exposed and unexposed rows, weighted by clipped inverse propensities,
            two arms: the difference of their chances is the uplift.
    """

    log: Recommender
    causal: Recommender


def train_networks(store: Store, key: jax.Array) -> Networks:
    """Train both on the store's log of eight visits a person.

    Args:
        store: the shop.
        key: a random key; the same one gives the same networks.
    """
    log, log_key, causal_key = store.log(), *jax.random.split(key)
    return Networks(
        fit_cells(store, log_cells(count(log)), key=log_key),
        fit_cells(store, clipped_cells(log), key=causal_key),
    )


def start_people(store: Store) -> dict[str, int]:
    """Four people of the store by what is to be seen in them: a label and the person's number.

    Each is the first of the store's people of whom the label is true, with 5 to 9 events.

    Raises:
        ValueError: the store has no such person.

    Example:
        >>> from recflax.worlds.store import StoreConfig, build_store
        >>> list(start_people(build_store(StoreConfig(n_people=500), seed=0)))[1]
        'somebody who has just bought a teapot'
    """
    found = store.mechanisms()
    short = (store.history > 0).sum(axis=1) <= 9
    calm = short & (found.hot < 0)
    of_event = store.category[np.maximum(store.history, 1) - 1]
    just_hot = short & (found.hot >= 0) & (of_event[:, -3] != found.hot)  # two, and not three
    favourite = store.taste.argmax(axis=1)
    bought_last = store.bought[:, -1]
    fits = {
        "somebody who wants a {}": (just_hot & ~bought_last, found.hot),
        "somebody who has just bought a {}": (calm & bought_last, found.last),
        "somebody with a taste for a {}": (calm & (store.taste.max(axis=1) > 2), favourite),
        "somebody of no great taste": (calm & (store.taste.max(axis=1) < 0.8), favourite),
    }
    people = {}
    for label, (fit, category) in fits.items():
        if not fit.any():
            raise ValueError(f"no person of the store is {label.format('product')}")
        person = int(fit.argmax())
        people[label.format(CATEGORY_NAMES[category[person]])] = person
    return people


def page_data(store: Store, networks: Mapping[str, Networks]) -> str:
    """Everything as JSON.

    Args:
        store: the shop; its exact answers do not depend on whom the campaign is shown to.
        networks: ``"on"`` and ``"off"``: those of this store, and of the same one whose campaign
            does not follow intent.

    Raises:
        ValueError: another key in ``networks``, or a network that is not of this store.
    """
    if set(networks) != {"on", "off"}:
        raise ValueError(f"networks must have the keys 'on' and 'off'; got {sorted(networks)}")
    for network in (network for pair in networks.values() for network in pair):
        if network.config.n_items != store.config.n_items:
            raise ValueError(
                f"networks must be of {store.config.n_items} items; one has "
                f"{network.config.n_items}"
            )
    people = [_person(store, label, person) for label, person in start_people(store).items()]
    newcomer = {**people[0], "label": "somebody new, of whom nothing is known", "history": []}
    return json.dumps(
        {
            "shop": shop_facts(store),
            "names": store.items["name"].tolist(),
            "categories": list(CATEGORY_NAMES[: store.config.n_categories]),
            "people": [*people, newcomer],
            "networks": {
                name: {part: _exported(network) for part, network in pair._asdict().items()}
                for name, pair in networks.items()
            },
        }
    )


def shop_facts(store: Store) -> dict[str, Any]:
    """What of a shop the exact answers need: the constants, and four numbers a product."""
    return {
        "constants": {name: getattr(store.config, name) for name in CONSTANTS},
        "category": store.category.tolist(),
        "popularity": store.popularity.tolist(),
        "lift": store.lift.tolist(),
        "price": store.price.tolist(),
    }


def live_page(data: str, name: str = "store-live") -> str:
    """A live page's place and its data, as HTML that a cell can show.

    The script that fills the place is not in it: the book loads it on the page.

    Args:
        data: JSON, such as that of `page_data`.
        name: the place's id; the data's is the same with ``-data``.

    Example:
        >>> page = live_page('{"names": ["a </b> c"]}')
        >>> page.count("</")  # the two tags' own ends: no text can end the script
        2
    """
    return f'<div id="{name}"></div>' + json_script(data, f'id="{name}-data"')


def _person(store: Store, label: str, person: int) -> dict[str, Any]:
    """One of the store's people, as the page reads her."""
    places = np.flatnonzero(store.history[person])
    return {
        "label": label,
        "taste": store.taste[person].tolist(),
        "history": [
            {"item": int(store.history[person, place]), "bought": bool(store.bought[person, place])}
            for place in places
        ],
    }


def _exported(network: Recommender) -> dict[str, Any]:
    """A network's weights and what the page has to know of its shape."""
    config = network.config
    return json.loads(
        weights_to_json(
            nnx.split(network)[1],
            arms=list(config.arms),
            categories=list(config.categories),
            heads=config.heads,
            max_length=config.max_length,
        )
    )
