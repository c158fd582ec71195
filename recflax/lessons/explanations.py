r"""Lesson 6: what an explanation explains, asked of three targets.

Two networks that differ in their first weights alone learn the same causal cells of one log. For
the product that the first of them would show each person, several explainers rank the events of
her history, and are held against

- the *model*: its own leave-one-out;
- *information* about the person: the change of :math:`E[do(1) \mid H]` when the event was never
  logged;
- the *effect* on the person: the change of do(1) when the event is removed and the taste is held.

The last two are exact functions of the store (the second up to the draws of its oracle).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recflax.agreement import Agreement, compare
from recflax.estimates import Estimate
from recflax.explain import information
from recflax.intervals import mean_over_seeds
from recflax.lessons.cells import probabilities
from recflax.lessons.explainers import (
    EXPLAINERS,
    NETWORK,
    UNIFORM,
    attributions,
    effect,
    fitted,
    quality,
    rules,
)
from recflax.lessons.statements import Statement, column, paired_columns
from recflax.recommender import Recommender
from recflax.worlds.store import Store, StoreConfig, build_store

PEOPLE = 250
"""How many people's recommendations are explained: the first of the store."""

TARGETS = {
    "model": "the model",
    "information": "information",
    "effect": "the person",
}
"""What they are held against: key and label."""


def agreements(name: str, agreement: Agreement, *measures: str) -> dict[str, float]:
    """Means over the people for whom a measure is defined, by ``name_measure``; NaN for nobody."""
    found = {}
    for measure in measures:
        values = getattr(agreement, measure)
        known = values[np.isfinite(values)]
        found[f"{name}_{measure}"] = float(known.mean()) if len(known) else np.nan
    return found


def against(
    found: Mapping[str, np.ndarray], target: np.ndarray, mask: np.ndarray, name: str, *more: str
) -> dict[str, float]:
    """Columns ``explainer_name_measure`` of every explainer, and ``name_chance`` for the first.

    Args:
        found: by the keys of `EXPLAINERS`, each (n, L); others are left out.
        target: (n, L).
        mask: (n, L).
        name: of the target.
        more: measures beside the rank correlation and the first place.
    """
    row: dict[str, float] = {}
    for explainer in EXPLAINERS:
        agreement = compare(found[explainer], target, mask)
        row |= agreements(f"{explainer}_{name}", agreement, "rank", "top_1", *more)
    return row | agreements(name, agreement, "chance")


def of_one_network(
    network: Recommender, store: Store, people: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, float]]:
    """What needs one network and no oracle: its items, all explainers, and a part of the row.

    Returns:
        Items (n,), the one with the highest chance if shown of each person; (n, L) by the keys of
        `EXPLAINERS` and ``"effect"``; and the columns that these give.
    """
    chance = probabilities(network, store, "shown")
    items = chance[people].argmax(axis=1) + 1
    mask = store.history[people] > 0
    found = attributions(network, store, people, items) | rules(store, people)
    model, truth = found["leave_one_out"], effect(store, people, items)
    row = quality(network, store, "first") | {
        "zero": float((truth[mask] == 0).mean()),
        "people_with_effect": float((truth != 0).any(axis=1).mean()),
        "model_on_zero": _on_zero(model, truth),
    }
    row |= against(found, model, mask, "model") | against(found, truth, mask, "effect", "auc")
    row |= agreements(
        "attention_gradient", compare(found["attention"], found["gradient"], mask), "rank"
    )
    moved = truth != 0
    row["leave_one_out_sign"] = float((np.sign(model) == np.sign(truth))[moved].mean())
    return items, found | {"effect": truth}, row


def run(seed: int, size: int = 8_000) -> dict[str, float]:
    """One row: every explainer against every target, on the store of one seed.

    Args:
        seed: of the store and of the networks.
        size: number of people; the first `PEOPLE` of them are explained.

    Returns:
        ``seed``, ``people``; ``explainer_target_measure`` for the keys of `EXPLAINERS` and
        `TARGETS` and the fields of `recflax.agreement.Agreement` (``auc`` where a target can be
        exactly 0), and the same for ``information`` as an explainer of the effect; ``drawn_`` in
        front for an item drawn at random a person; ``between_explainer_measure`` of the two
        networks; ``network_slot`` and ``network_rmse`` of ``first``, ``second`` and the keys of
        `UNIFORM`; and the shares that the claims name.
    """
    store = build_store(StoreConfig(n_people=size), seed)
    people = np.arange(min(PEOPLE, size))
    mask = store.history[people] > 0
    networks = [fitted(store, seed, number) for number in (0, 1)]
    items, found, of_first = of_one_network(networks[0], store, people)
    row: dict[str, float] = {"seed": seed, "people": size} | of_first

    row |= quality(networks[1], store, "second")
    for name, layers in UNIFORM.items():
        row |= quality(fitted(store, seed, 0, layers), store, name)
    other = attributions(networks[1], store, people, items)
    for name in NETWORK:
        row |= agreements(f"between_{name}", compare(found[name], other[name], mask), "rank")

    told, again = (information(store, people, items, seed=each) for each in (seed, seed + 1))
    row |= against(found, told, mask, "information")
    row |= agreements(
        "information_effect", compare(told, found["effect"], mask), "rank", "top_1", "auc"
    )
    row |= agreements("information_again", compare(told, again, mask), "rank")
    row["information_on_zero"] = _on_zero(told, found["effect"])

    drawn = np.random.default_rng(seed).integers(1, store.config.n_items + 1, len(people))
    truth = effect(store, people, drawn)
    explained = attributions(networks[0], store, people, drawn) | rules(store, people)
    row["drawn_zero"] = float((truth[mask] == 0).mean())
    return row | against(explained, truth, mask, "drawn", "auc")


def _on_zero(sizes: np.ndarray, truth: np.ndarray) -> float:
    """The share of the sizes' total that falls on events without an effect."""
    sizes = np.abs(sizes)
    return float(sizes[truth == 0].sum() / sizes.sum())


def claims(rows: Sequence[Mapping[str, float]]) -> list[Statement]:
    """What the rows say, each with the bound that would refuse it.

    Args:
        rows: rows of `run`, one a seed, at least two.
    """

    def mean(name: str) -> Estimate:
        return mean_over_seeds(column(rows, name))

    def gap(one: str, other: str) -> Estimate:
        return paired_columns(rows, one, other)

    def say(name: str, sentence: str, number: Estimate, **bounds: Any) -> Statement:
        return Statement(f"explain-{name}", sentence, number, seeds=len(rows), **bounds)

    return [
        say(
            "attention-is-not-the-model",
            "Over a history, the order of the attention weights agrees little with the order of "
            "the events' effects on the network's own answer: rank correlation.",
            mean("attention_model_rank"),
            at_most=0.3,
        ),
        say(
            "newest-explains-the-model-better",
            "The rule 'the newest event matters most' agrees better with those effects than the "
            "attention weights do: difference of rank correlations.",
            gap("newest_model_rank", "attention_model_rank"),
            at_least=0.1,
        ),
        say(
            "newest-tells-more-than-attention",
            "That rule is nearer to the information about the person, too: difference of rank "
            "correlations.",
            gap("newest_information_rank", "attention_information_rank"),
            at_least=0.0,
        ),
        say(
            "attention-hardly-finds-the-effect",
            "Attention weights hardly put an event that changes the person above one that does "
            "not: AUC, 0.5 is chance.",
            mean("attention_effect_auc"),
            at_most=0.7,
        ),
        say(
            "rules-ahead-for-drawn-items",
            "For a product drawn at random the rule 'newest event' finds the events that change "
            "the person better than the model's leave-one-out, too: difference of AUC.",
            gap("newest_drawn_auc", "leave_one_out_drawn_auc"),
            at_least=0.0,
        ),
        say(
            "rollout-explains-the-model-better",
            "So do the same weights, once they are followed back through self-attention: "
            "difference of rank correlations.",
            gap("rollout_model_rank", "attention_model_rank"),
            at_least=0.1,
        ),
        say(
            "rollout-no-better-than-newest",
            "Rollout does not find the events that change the person better than the rule that "
            "reads no weight: difference of AUC.",
            gap("rollout_effect_auc", "newest_effect_auc"),
            at_most=0.02,
        ),
        say(
            "attention-is-not-the-gradient",
            "The order of the attention weights has little to do with the order of gradient times "
            "input: rank correlation.",
            mean("attention_gradient_rank"),
            at_least=-0.3,
            at_most=0.3,
        ),
        say(
            "gradient-needs-a-baseline",
            "Gradient times input explains this network better from the mean event than from zero, "
            "to which the network is nearly blind: difference of rank correlations.",
            gap("gradient_mean_model_rank", "gradient_model_rank"),
            at_least=0.05,
        ),
        say(
            "cross-weights-do-no-work",
            "A network whose cross-attention must weigh all events alike is as good: difference of "
            "root mean squared errors against do(1).",
            gap("flat_cross_rmse", "first_rmse"),
            at_least=-0.002,
            at_most=0.002,
        ),
        say(
            "self-weights-do-some",
            "Without a choice in self-attention either it is worse: the same difference.",
            gap("flat_both_rmse", "first_rmse"),
            at_least=0.0003,
        ),
        say(
            "starts-are-equally-good",
            "Two networks that differ in their first weights alone are equally good: difference of "
            "their root mean squared errors against do(1).",
            gap("second_rmse", "first_rmse"),
            at_least=-0.005,
            at_most=0.005,
        ),
        say(
            "attention-depends-on-the-start",
            "Their attention weights, for one person and one product, do not agree: rank "
            "correlation.",
            mean("between_attention_rank"),
            at_most=0.2,
        ),
        say(
            "leave-one-out-depends-less",
            "Their leave-one-outs agree better than their attention weights: difference of rank "
            "correlations.",
            gap("between_leave_one_out_rank", "between_attention_rank"),
            at_least=0.1,
        ),
        say(
            "most-events-do-nothing",
            "Most events of a history do exactly nothing to the chance that the recommended "
            "product is bought: share of events.",
            mean("zero"),
            at_least=0.85,
        ),
        say(
            "model-moves-on-nothing",
            "Most of what the model's answer moves on when events are left out falls on events "
            "that did nothing to the person: share of the total.",
            mean("model_on_zero"),
            at_least=0.5,
        ),
        say(
            "knowledge-moves-on-nothing",
            "Even perfect knowledge of the history moves on them, since they tell of the taste: "
            "share of the total.",
            mean("information_on_zero"),
            at_least=0.1,
        ),
        say(
            "knowledge-finds-the-effect",
            "What changes the person also tells most about her: AUC of the information, for events "
            "with an effect against those without.",
            mean("information_effect_auc"),
            at_least=0.95,
        ),
        say(
            "leave-one-out-is-nearer-to-the-information",
            "The model's leave-one-out agrees better with the information about the person than "
            "attention weights do: difference of rank correlations.",
            gap("leave_one_out_information_rank", "attention_information_rank"),
            at_least=0.0,
        ),
        say(
            "leave-one-out-is-nearer-to-the-effect",
            "It agrees better with the effect on the person, too: difference of AUC.",
            gap("leave_one_out_effect_auc", "attention_effect_auc"),
            at_least=0.0,
        ),
        say(
            "newest-is-nearer-still",
            "The rule 'newest event' finds the events that change the person better than the "
            "model's leave-one-out: difference of AUC.",
            gap("newest_effect_auc", "leave_one_out_effect_auc"),
            at_least=0.0,
        ),
        say(
            "leave-one-out-has-the-sign",
            "Where an event does something to the person, the model's leave-one-out mostly has "
            "its sign right: share of these events.",
            mean("leave_one_out_sign"),
            at_least=0.6,
        ),
        say(
            "information-is-computed-well-enough",
            "The order of the information is that of the events, not that of the oracle's draws: "
            "rank correlation of two oracles.",
            mean("information_again_rank"),
            at_least=0.75,
        ),
    ]
