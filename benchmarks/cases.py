"""What is raced against what: tasks, cases, contenders, and which results must agree."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import inputs
import numpy as np
from race import Contender

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Pair:
    """A row of the tables: which case, which of ours, which peer, and what is unlike."""

    case: str
    ours: str
    peer: str
    note: str = ""


@dataclass(frozen=True)
class Case:
    """A race.

    Attributes:
        task: the heading that its rows stand under.
        name: of the case.
        make: makes the inputs from the sizes.
        sizes: of the task; every contender is told them.
        contenders: in the order of their turns.
        pairs: the rows.
        agree: says in words how two results compare; None where they are not comparable.
        operations: floating-point operations of matrix products in what is timed; None where that
            is not most of the work.
    """

    task: str
    name: str
    make: Callable[[dict[str, Any]], dict[str, np.ndarray]]
    sizes: dict[str, Any]
    contenders: tuple[Contender, ...]
    pairs: tuple[Pair, ...]
    agree: Callable[[Arrays, Arrays], str] | None = None
    operations: float | None = None


def same_loss(ours: Arrays, peer: Arrays) -> str:
    """Whether two networks that start at the same weights have the same loss."""
    if "loss" not in peer:
        return ""
    apart = abs(float(ours["loss"]) / float(peer["loss"]) - 1)
    return "same first loss" if apart < 1e-4 else f"first losses {apart:.1%} apart"


def same_lists(ours: Arrays, peer: Arrays) -> str:
    """In how many rows two lists of ids are the same."""
    share = (ours["ids"] == peer["ids"]).all(axis=1).mean()
    return "same lists" if share == 1 else f"{share:.1%} of the lists are the same"


def same_values(ours: Arrays, peer: Arrays) -> str:
    """How far two arrays of values are apart."""
    apart = np.nanmax(np.abs(ours["values"] - peer["values"]))
    return "same values" if apart < 1e-5 else f"values up to {apart:.2g} apart"


def pairs(name: str, contenders: tuple[Contender, ...], **notes: str) -> tuple[Pair, ...]:
    """One row for each peer of the one that is ours, the first."""
    ours, *peers = contenders
    return tuple(Pair(name, ours.name, peer.name, notes.get(peer.name, "")) for peer in peers)


# --------------------------------------------------------------------------------------- training

NETWORKS = {
    "plain": {"items": 10_000, "width": 512, "heads": 8, "length": 20, "batch": 64},
    "repaired": {"items": 10_000, "width": 512, "heads": 8, "length": 20, "batch": 64},
    "sasrec": {
        "items": 10_000,
        "width": 64,
        "heads": 2,
        "length": 50,
        "blocks": 2,
        "batch": 256,
    },
}
TITLES = {
    "plain": "article's plain network",
    "repaired": "article's repaired network",
    "sasrec": "SASRec",
}


def training(network: str, part: str, quick: bool) -> Case:
    """A step or an epoch of one network, in every library that has it."""
    steps = {"plain": 12, "repaired": 20, "sasrec": 24}[network] if part == "epoch" else 4
    steps = 2 if quick else steps
    sizes = NETWORKS[network] | {"network": network, "part": part, "steps": steps}
    sizes |= {"examples": sizes["batch"] * (steps if part == "epoch" else 1)}
    told = dict(sizes)
    contenders = [Contender("recflax", "ours/train.py", None, told)]
    for name, backend, compiled in (
        ("Keras on TensorFlow", "tensorflow", True),
        ("Keras on TensorFlow, no XLA", "tensorflow", False),
        ("Keras on JAX", "jax", True),
    ):
        more = {"backend": backend, "jit_compile": compiled}
        contenders.append(Contender(name, "peers/keras/train.py", "keras", told | more))
    for name, compiled in (("PyTorch, eager", False), ("PyTorch, compiled", True)):
        more = {"compiled": compiled}
        contenders.append(Contender(name, "peers/torch/train.py", "torch", told | more))
    notes = {}
    if network == "sasrec" and part == "epoch":
        contenders.append(Contender("RecBole", "peers/recbole/train.py", "recbole", told))
        notes["RecBole"] = "its own SASRec: normalised after the blocks, and no matrix of an arm"
    everybody = tuple(contenders)
    name = f"{part}, {TITLES[network]}"
    return Case(
        task="training",
        name=name,
        make=inputs.training,
        sizes=sizes,
        contenders=everybody,
        pairs=pairs(name, everybody, **notes),
        agree=same_loss,
        operations=products(sizes) * (steps if part == "epoch" else 1),
    )


def products(sizes: dict[str, Any]) -> float:
    """Floating-point operations of the matrix products of one training step."""
    batch, length, width = (sizes[name] for name in ("batch", "length", "width"))
    events = batch * length
    projections = 2 * events * width**2
    weighing = 2 * 2 * events * length * width
    if sizes["network"] == "plain":
        forward = 4 * projections + weighing + 2 * events * width * sizes["items"]
    elif sizes["network"] == "repaired":
        last = 2 * 2 * batch * width**2 + 2 * 2 * batch * length * width
        forward = 6 * projections + weighing + last + 2 * batch * width * (sizes["items"] + 1)
    else:
        block = 4 * projections + weighing + 4 * projections
        forward = sizes["blocks"] * block + 2 * sizes["items"] * width * (batch + width)
    return 3 * forward  # the backward pass multiplies twice for each product of the forward one


def matmul(quick: bool) -> list[Case]:
    """The machine's own rate, by products of the shapes that training has and a square one."""
    tokens, width, items = 64 * 20, 512, 10_000
    shapes = [(tokens, width, items), (width, tokens, items), (tokens, items, width)]
    shapes += [(2048, 2048, 2048)]
    return [
        Case(
            task="matrix products",
            name=" x ".join(map(str, shape)),
            make=lambda sizes: {},
            sizes={},
            contenders=(
                Contender("recflax", "ours/matmul.py", None, {"shape": shape, "inner": 8}),
            ),
            pairs=(),
            operations=2.0 * shape[0] * shape[1] * shape[2],
        )
        for shape in (shapes[-1:] if quick else shapes)
    ]


# -------------------------------------------------------------------------------------- the others


def top_k(items: int, batch: int) -> Case:
    """The ten best of a catalogue by dot product."""
    work = items * batch
    sizes = {"items": items, "batch": batch, "width": 64, "k": 10}
    sizes |= {"inner": max(1, min(100, 20_000_000 // work))}
    contenders = (
        Contender("recflax", "ours/top_k.py", None, sizes),
        Contender("faiss", "peers/faiss/top_k.py", "faiss", sizes),
        Contender("numpy", "peers/numpy/top_k.py", None, sizes),
    )
    name = f"{items:,} items, batch {batch}"
    return Case(
        "top 10", name, inputs.catalogue, sizes, contenders, pairs(name, contenders), same_lists
    )


ESTIMATORS = ("ips", "snips", "direct_method", "doubly_robust")


def policy_values(estimator: str, quick: bool) -> Case:
    """A policy's value with its interval, by the standard error and by the bootstrap."""
    sizes = {
        "rows": 5_000 if quick else 100_000,
        "contexts": 200,
        "actions": 10,
        "estimator": estimator,
        "replicates": 100 if quick else 1000,
    }
    normal, bootstrap = "recflax, standard error", "recflax, bootstrap"
    contenders = (
        Contender(normal, "ours/policy_value.py", None, sizes | {"method": "normal", "inner": 5}),
        Contender(bootstrap, "ours/policy_value.py", None, sizes | {"method": "bootstrap"}),
        Contender("Open Bandit Pipeline", "peers/obp/policy_value.py", "obp", sizes),
    )
    name = f"{estimator}, {sizes['rows']:,} rows, {sizes['replicates']:,} replicates"
    rows = tuple(Pair(name, ours, contenders[2].name) for ours in (normal, bootstrap))
    return Case("policy value", name, inputs.logged, sizes, contenders, rows, same_values)


def item_similarity(quick: bool) -> Case:
    """Cosine similarity of items, all of them neighbours, and the ten best for everybody."""
    sizes = {"people": 500 if quick else 6_000, "items": 2_000, "each": 40}
    contenders = (
        Contender("recflax", "ours/item_cf.py", None, sizes),
        Contender("implicit", "peers/implicit/item_cf.py", "implicit", sizes),
    )
    name = "item-based, cosine: fit, and a list for everybody"
    return Case(
        "baselines", name, inputs.purchases, sizes, contenders, pairs(name, contenders), same_lists
    )


def factorisation(quick: bool) -> Case:
    """Matrix factorisation of purchases: not one algorithm, so quality stands beside time."""
    sizes = {"people": 500 if quick else 6_000, "items": 2_000, "each": 40, "width": 16}
    told = [sizes | {"model": model} for model in ("als", "logistic", "bpr")]
    contenders = (
        Contender("recflax", "ours/factorisation.py", None, sizes),
        Contender("implicit, ALS", "peers/implicit/factorisation.py", "implicit", told[0]),
        Contender("implicit, logistic", "peers/implicit/factorisation.py", "implicit", told[1]),
        Contender("implicit, BPR", "peers/implicit/factorisation.py", "implicit", told[2]),
    )
    name = "factorisation of purchases, width 16: fit"
    return Case(
        "baselines", name, inputs.purchases, sizes, contenders, pairs(name, contenders), found
    )


def found(ours: Arrays, peer: Arrays) -> str:
    """How many of the held-out purchases each finds in its first ten."""
    return f"recall@10 {float(ours['recall']):.3f}, peer {float(peer['recall']):.3f}"


def ratings(quick: bool) -> Case:
    """Biased factorisation of ratings; ours runs L-BFGS, surprise stochastic steps."""
    sizes = {"people": 300 if quick else 2_000, "items": 1_000, "each": 40, "width": 20}
    contenders = (
        Contender("recflax", "ours/ratings.py", None, sizes),
        Contender("scikit-surprise, SVD", "peers/surprise/ratings.py", "surprise", sizes),
    )
    name = "factorisation of ratings, width 20: fit, and predict all cells"

    def errors(ours: Arrays, peer: Arrays) -> str:
        return f"error on held-out {float(ours['error']):.3f}, peer {float(peer['error']):.3f}"

    return Case(
        task="baselines",
        name=name,
        make=inputs.purchases,
        sizes=sizes,
        contenders=contenders,
        pairs=(
            Pair(
                name,
                "recflax",
                "scikit-surprise, SVD",
                "another algorithm: 20 rounds of single stochastic steps, compiled, and not to the "
                "minimum; ours goes there by L-BFGS over the dense table, and ends with less error",
            ),
        ),
        agree=errors,
    )


METRICS = ("ndcg", "mrr", "recall", "precision")


def metrics(metric: str, quick: bool) -> Case:
    """A ranking metric at ten."""
    sizes = {"people": 20 if quick else 200, "candidates": 10_000, "k": 10, "metric": metric}
    contenders = (
        Contender("recflax", "ours/metrics.py", None, sizes),
        Contender("rax", "peers/rax/metrics.py", None, sizes),
    )
    name = f"{metric}@10, {sizes['people']:,} people, {sizes['candidates']:,} candidates"
    return Case(
        "metrics", name, inputs.ranking, sizes, contenders, pairs(name, contenders), same_values
    )


def all_cases(quick: bool) -> list[Case]:
    """Everything that ``make bench`` runs, in its order."""
    catalogues = (10_000,) if quick else (10_000, 100_000, 1_000_000)
    return [
        *matmul(quick),
        *(
            training(network, part, quick)
            for network in NETWORKS
            for part in ("step", "epoch")
            if not quick or (part == "epoch") == (network == "sasrec")  # every script once
        ),
        *(top_k(items, batch) for items in catalogues for batch in (1, 256)),
        *(policy_values(estimator, quick) for estimator in ESTIMATORS),
        item_similarity(quick),
        factorisation(quick),
        ratings(quick),
        *(metrics(metric, quick) for metric in METRICS),
    ]
