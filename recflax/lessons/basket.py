r"""The basket betrays the hidden intent: the rest of a visit's purchases as a negative control.

In the store intent raises every purchase of a visit, and showing one product changes no other
(the stated assumption). So the rest of the basket, the slot's product left out, is a *negative-
control outcome*: the display cannot move it, and where the two go together, something hidden moves
both (Lipsitch, Tchetgen Tchetgen and Cohen 2010). It is a *proxy* as well: visits with baskets of
one size are nearly of one intent, and can be compared.

Neither is free. If showing a product takes sales from others, or brings them along, the basket
answers to the display and both uses are wrong.
"""

from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score

from recflax.causal.effects import inverse_weighting
from recflax.causal.logged import Treated
from recflax.estimates import Estimate
from recflax.intervals import ratio_over_people
from recflax.worlds.store import STREAMS, Store, draw_rows


class Visits(NamedTuple):
    """Visits of a store, with what its log leaves out.

    Attributes:
        person: (R,) 0 to U - 1.
        intent: (R,) 0 or 1; never logged.
        shown: (R,) 0 to M - 1, the product in the slot.
        bought_shown: (R,) bool, whether it was bought.
        rest: (R,) how many other products were bought.
    """

    person: np.ndarray
    intent: np.ndarray
    shown: np.ndarray
    bought_shown: np.ndarray
    rest: np.ndarray


def draw_visits(store: Store, visits: int = 4) -> Visits:
    """Draw visits by the store's equations, and keep the intent.

    Args:
        store: the store; ``rand`` of its config is not looked at.
        visits: visits a person.
    """
    child = np.random.SeedSequence(store.seed, spawn_key=(len(STREAMS) + 1,))
    rng = np.random.default_rng(child)
    people, items = len(store.history), len(store.category)
    everyone = np.arange(people)
    display = np.stack([store.display(z) for z in (0, 1)])  # (2, U, M)
    mu = np.stack([[store.mu(t, z) for z in (0, 1)] for t in (0, 1)])  # (2, 2, U, M)
    drawn = []
    for _ in range(visits):
        z = (rng.random(people) < store.config.pz).astype(int)
        shown = draw_rows(display[z, everyone], rng)
        organic = rng.random((people, items)) < mu[0, z, everyone]
        bought = rng.random(people) < mu[1, z, everyone, shown]
        rest = organic.sum(axis=1) - organic[everyone, shown]
        drawn.append(Visits(everyone, z, shown, bought, rest))
    return Visits(*(np.concatenate(parts) for parts in zip(*drawn, strict=True)))


def mean_rest(store: Store, z: int) -> float:
    """The mean size of the rest of a basket at visits of intent z, exactly."""
    others = 1 - store.display(z)
    return float((others * store.mu(0, z)).sum(axis=1).mean())


def negative_control(store: Store, visits: Visits) -> Estimate:
    """The "effect" on the rest of the basket of a slot that goes to the campaign.

    Weighted by the chance that the slot goes to the campaign given the history, averaged over the
    intent: the exact one. If nothing hidden moved both, the estimate would be 0, but for the one
    product of the slot that the rest leaves out.
    """
    campaign = store.campaign[visits.shown]
    log = Treated(campaign, visits.rest, visits.person)
    chance = store.logging_policy()[:, store.campaign].sum(axis=1)
    known = log.bind(propensity=chance[visits.person])
    return inverse_weighting(log, known, normalise=True)


def campaign_bias(store: Store, visits: Visits, stratum: np.ndarray | None = None) -> Estimate:
    """How far purchases of shown campaign products lie above P(Y | do(show)), per display.

    With strata each display weighs as its stratum does among all visits, over what it does among
    displays of the campaign: the adjustment formula.

    Args:
        store: the truth.
        visits: visits of its people.
        stratum: (R,) integers from 0, such as the size of the rest of the basket; None adjusts
            for nothing.

    Raises:
        ValueError: a stratum of visits has no display of the campaign.
    """
    campaign = store.campaign[visits.shown]
    weight = np.ones(campaign.sum())
    if stratum is not None:
        every = np.bincount(stratum) / len(stratum)
        among = np.bincount(stratum[campaign], minlength=len(every)) / campaign.sum()
        empty = np.flatnonzero((every > 0) & (among == 0))
        if len(empty):
            raise ValueError(f"stratum {empty[0]} has visits and no display of the campaign")
        weight = every[stratum[campaign]] / among[stratum[campaign]]
    cells = visits.person[campaign], visits.shown[campaign]
    above = visits.bought_shown[campaign] - store.do(1)[cells]
    return ratio_over_people(weight * above, weight, cells[0])


def basket(store: Store, visits: int = 4, largest: int = 4) -> dict[str, float]:
    """What the rest of the basket gives away, and what adjusting for it removes.

    Args:
        store: a store with its default confounding, or with another.
        visits: visits a person that are drawn.
        largest: basket sizes from here on are one stratum.

    Returns:
        ``rest_0`` and ``rest_1``, mean size of the rest at either intent, exact; ``auc``, the
        chance that a visit with intent has the larger one (a tie counts half); ``control`` and
        ``control_std_error`` of `negative_control`; ``naive``, ``by_basket`` and ``by_intent``,
        `campaign_bias` without adjustment, adjusted for the basket's size, and for the intent
        itself, which nobody could; ``naive_std_error`` and so on.
    """
    drawn = draw_visits(store, visits)
    control = negative_control(store, drawn)
    strata = {
        "naive": None,
        "by_basket": np.minimum(drawn.rest, largest),
        "by_intent": drawn.intent,
    }
    row = {f"rest_{z}": mean_rest(store, z) for z in (0, 1)}
    row["auc"] = float(roc_auc_score(drawn.intent, drawn.rest))
    row |= {"control": control.value, "control_std_error": control.std_error}
    for name, stratum in strata.items():
        found = campaign_bias(store, drawn, stratum)
        row |= {name: found.value, f"{name}_std_error": found.std_error}
    return row
