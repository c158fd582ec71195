r"""Fairness of exposure: which products are shown, what they would deserve, and the price of it.

A slot goes to the product that is best for this person, so exposure is not in proportion to
anything: a product that is always second best is never shown. Here the exposure of groups of
products (the popular half, the campaign, the categories) is held against their *merit*, the mean
uplift of a product over all people, and then made to be in proportion to it, or alike for every
product, at the least cost. What that costs is exact, whoever's scores the policy was made from.

Two questions are kept apart. The price *by the scores* is what the re-ranking gives up of what it
believes; it is never negative. The *true* price is what the shop gives up; if the scores are
estimates it can be anything, and below zero if the constraint happens to undo a mistake.
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from recflax.causal.propensity import effective_sample_size
from recflax.estimates import Estimate
from recflax.fairness import (
    ByGroup,
    by_group,
    exposure_per_merit,
    fair_policy,
    group_exposure,
    item_exposure,
    merit_share,
    unequal_attention,
)
from recflax.intervals import mean_over_seeds
from recflax.lessons.cells import count, exposed_cells, fit_cells, log_cells
from recflax.lessons.statements import Statement, column, paired_columns, sayer
from recflax.lessons.trainings import clipped_cells
from recflax.lessons.who_gains import of_each, ranked_by
from recflax.worlds.store import Store, StoreConfig, build_store
from recflax.worlds.store_blocks import some_people

SCORES = {
    "log": "attention, trained on the log",
    "exposed": "attention, exposed rows",
    "causal": "attention, causal objective",
    "oracle": "oracle of uplift",
}
"""Whose scores fill the slot: key and label. The logging policy stands beside them."""

GROUPS = {"popular": "popular half", "campaign": "campaign", "category": "categories"}
"""What products are grouped by: key and label."""

TARGETS = {"merit": "in proportion to merit", "equal": "alike for every product"}
"""What exposure is made to be: key and label."""

RERANKED = ("exposed", "causal", "oracle")
FEW = 500
"""People in the one problem in which every product is a group of its own."""


def item_groups(store: Store, by: str) -> np.ndarray:
    """(M,) the group of each product: 1 for the popular half or the campaign, or its category.

    Raises:
        ValueError: ``by`` is none of `GROUPS`.
    """
    if by not in GROUPS:
        raise ValueError(f"by must be one of {tuple(GROUPS)}; got {by!r}")
    if by == "category":
        return store.category
    if by == "campaign":
        return store.campaign.astype(int)
    order = np.argsort(-store.popularity, kind="stable")
    return (order.argsort() < len(order) // 2).astype(int)


def merit(values: np.ndarray) -> np.ndarray:
    """(M,) what showing each product is worth on average over people, by values (U, M).

    An estimate below 0 counts as 0.
    """
    return values.mean(axis=0).clip(min=0)


def target(values: np.ndarray, groups: np.ndarray, kind: str) -> np.ndarray:
    """(G,) the share of exposure that a target of `TARGETS` gives each group.

    Raises:
        ValueError: ``kind`` is none of `TARGETS`.
    """
    if kind not in TARGETS:
        raise ValueError(f"kind must be one of {tuple(TARGETS)}; got {kind!r}")
    return merit_share(merit(values) if kind == "merit" else np.ones(len(groups)), groups)


def fitted_scores(store: Store, key: jax.Array) -> dict[str, np.ndarray]:
    """(U, M) scores of `SCORES`: three trainings of one network on one log, and the truth."""
    log = store.log()
    counts, keys = count(log), jax.random.split(key, 3)
    on_log = fit_cells(store, log_cells(counts), key=keys[0])
    found = {"log": ranked_by(on_log, store)}
    for name, cells, own in (
        ("exposed", exposed_cells(counts), keys[1]),
        ("causal", clipped_cells(log), keys[2]),
    ):
        found[name] = ranked_by(fit_cells(store, cells, key=own), store)
    return found | {"oracle": store.uplift()}


def provider_side(store: Store, policy: np.ndarray) -> dict[str, float]:
    """How exposure under a policy (U, M) stands to merit.

    Returns:
        ``popular``, ``campaign``: their share of all visits; ``category``: exposure per merit of
        the category that gets least for what it is worth; ``unequal``: the distance of exposure
        from merit, product by product; ``effective``: how many products in equal shares would be
        as concentrated.
    """
    worth, exposure = merit(store.uplift()), item_exposure(policy)
    shares = {
        by: float(group_exposure(policy, item_groups(store, by))[1])
        for by in ("popular", "campaign")
    }
    return shares | {
        "category": float(exposure_per_merit(policy, worth, store.category).min()),
        "unequal": unequal_attention(policy, worth),
        "effective": effective_sample_size(exposure),
    }


def people_side(store: Store, policy: np.ndarray) -> ByGroup:
    """What a policy (U, M) adds per visit for people of each favourite category."""
    return by_group(of_each(store, policy), store.taste.argmax(axis=1))


def reranked(store: Store, scores: np.ndarray, by: str, kind: str) -> tuple[dict, np.ndarray]:
    """Exposure of groups made to be what a target says, by scores (U, M).

    Merit, where the target needs it, is taken from the same scores.

    Returns:
        ``promised``, the price by the scores; ``price``, the true one in purchases added per visit;
        ``off``, the largest distance of an exposure from its target; and the policy (U, M).
    """
    groups = item_groups(store, by)
    share = target(scores, groups, kind)
    fair = fair_policy(scores, groups, share)
    free = store.policy_value(store.greedy(scores)).increment
    found = {
        "promised": fair.price,
        "price": free - store.policy_value(fair.policy).increment,
        "off": float(np.abs(group_exposure(fair.policy, groups) - share).max()),
    }
    return found, fair.policy


def every_item(store: Store) -> dict[str, float]:
    """The oracle's price where every single product gets exposure in proportion to its merit.

    Returns:
        ``items_price`` and ``items_free``, what the oracle adds without the constraint, per visit
        of the first `FEW` people.
    """
    few = some_people(store, np.arange(min(FEW, store.config.n_people)))
    values = few.uplift()
    share = target(values, np.arange(values.shape[1]), "merit")
    fair = fair_policy(values, np.arange(values.shape[1]), share)
    return {"items_price": fair.price, "items_free": fair.value + fair.price}


def run(seed: int, size: int = 4_000) -> dict[str, float]:
    """One row: who is shown by each policy on one store, and the price of showing others.

    Args:
        seed: the store's seed, and that of the networks.
        size: number of people.

    Returns:
        ``seed``, ``people``; ``name_what`` for `SCORES` and ``logging`` with ``increment``, the
        columns of `provider_side`, and ``gap`` and ``worst`` of `people_side`;
        ``merit_popular``, ``merit_campaign``, and the popular half's share of do(show),
        ``merit_do_popular``; ``name_by_kind_price`` and its companions of `reranked` for
        `RERANKED`, `GROUPS` and `TARGETS`; ``name_fair_gap`` and ``name_fair_worst``, the people's
        side where all categories are exposed alike; and the columns of `every_item`.
    """
    store = build_store(StoreConfig(n_people=size), seed)
    scores = fitted_scores(store, jax.random.key(seed))
    policies = {name: store.greedy(score) for name, score in scores.items()}
    row: dict[str, float] = {"seed": seed, "people": size}
    for name, policy in ({"logging": store.logging_policy()} | policies).items():
        people = people_side(store, policy)
        found = provider_side(store, policy) | {
            "increment": store.policy_value(policy).increment,
            "gap": people.gap,
            "worst": float(people.mean.min()),
        }
        row |= {f"{name}_{what}": value for what, value in found.items()}
    for by in ("popular", "campaign"):
        groups = item_groups(store, by)
        row[f"merit_{by}"] = float(target(store.uplift(), groups, "merit")[1])
    halves = item_groups(store, "popular")
    row["merit_do_popular"] = float(target(store.do(1), halves, "merit")[1])
    for name in RERANKED:
        for by in GROUPS:
            for kind in TARGETS:
                found, policy = reranked(store, scores[name], by, kind)
                row |= {f"{name}_{by}_{kind}_{what}": value for what, value in found.items()}
        people = people_side(store, policy)  # of the last: categories, alike
        row |= {f"{name}_fair_gap": people.gap, f"{name}_fair_worst": float(people.mean.min())}
    return row | every_item(store)


def settings(names: Sequence[str] = RERANKED) -> list[str]:
    """The names of all re-rankings, such as ``"oracle_popular_merit"``."""
    return [f"{name}_{by}_{kind}" for name in names for by in GROUPS for kind in TARGETS]


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """

    say = sayer("fair", rows)

    def share_lost(price: str, free: str) -> Estimate:
        return mean_over_seeds(column(rows, price) / column(rows, free))

    def every(what: str) -> np.ndarray:
        return np.array([column(rows, f"{setting}_{what}") for setting in settings()])

    return [
        say(
            "log-shows-the-popular",
            "The network trained on the log gives the popular half of the products nearly every "
            "visit: its share.",
            mean_over_seeds(column(rows, "log_popular")),
            at_least=0.9,
        ),
        say(
            "popular-deserve-half",
            "By what showing them adds, the popular half deserves about half of the visits: its "
            "share of merit.",
            mean_over_seeds(column(rows, "merit_popular")),
            at_least=0.4,
            at_most=0.6,
        ),
        say(
            "campaign-overexposed",
            "The network trained on exposed rows, which takes the campaign's customers for its "
            "work, gives the campaign more visits than its share of merit: by how much.",
            paired_columns(rows, "exposed_campaign", "merit_campaign"),
            at_least=0.2,
        ),
        say(
            "weights-take-exposure-back",
            "With inverse-propensity weights the same network gives the campaign fewer visits: by "
            "how much.",
            paired_columns(rows, "exposed_campaign", "causal_campaign"),
            at_least=0.05,
        ),
        say(
            "shares-exact",
            "Every re-ranking meets its shares of exposure: the largest distance, over all rows.",
            float(every("off").max()),
            at_most=1e-9,
            exact=True,
        ),
        say(
            "price-never-negative",
            "By the scores it was made from, no re-ranking gains: the smallest price, over all "
            "rows.",
            float(every("promised").min()),
            at_least=0.0,
            exact=True,
        ),
        say(
            "halves-cheap",
            "With the oracle's values, exposure of the popular half in proportion to merit costs a "
            "small share of the increment.",
            share_lost("oracle_popular_merit_price", "oracle_increment"),
            at_most=0.05,
        ),
        say(
            "categories-cheap",
            "With the oracle's values, the same exposure for every category costs a small share of "
            "the increment.",
            share_lost("oracle_category_equal_price", "oracle_increment"),
            at_most=0.1,
        ),
        say(
            "items-dear",
            "Exposure in proportion to merit for every single product costs the oracle a large "
            "share of the increment.",
            share_lost("items_price", "items_free"),
            at_least=0.2,
        ),
        say(
            "groups-hide-items",
            "Of one hundred and twenty products the oracle of uplift shows so few that this many "
            "in equal shares would be as concentrated.",
            mean_over_seeds(column(rows, "oracle_effective")),
            at_most=20.0,
        ),
        say(
            "campaign-held-to-its-share-pays",
            "Holding the network that was trained on exposed rows to the campaign's share of the "
            "products adds purchases per visit, since it undoes a part of its mistake: true "
            "price.",
            mean_over_seeds(column(rows, "exposed_campaign_equal_price")),
            at_most=-0.005,
        ),
        say(
            "believed-dearer-than-it-is",
            "The causal network believes that the same exposure for every category costs more than "
            "it does: price by its scores less true price, purchases per visit.",
            paired_columns(rows, "causal_category_equal_promised", "causal_category_equal_price"),
            at_least=0.002,
        ),
        say(
            "worst-off-gain",
            "The same exposure for every category raises what the causal network adds for the "
            "favourite category that it serves worst: purchases per visit.",
            paired_columns(rows, "causal_fair_worst", "causal_worst"),
            at_least=0.002,
        ),
        say(
            "worst-off-keep-nearly-all",
            "With the oracle's values the same constraint takes little from the group that is "
            "served worst, if anything: purchases per visit.",
            paired_columns(rows, "oracle_fair_worst", "oracle_worst"),
            at_least=-0.03,
            at_most=0.005,
        ),
    ]
