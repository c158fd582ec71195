r"""What can be computed before anybody asks, and what a request then costs.

*One vector a person.* Where the person attends (``query="person"``), or the newest event speaks for
her (``"newest"``), a score is an inner product,

.. math:: s_n = \langle v, k_n \rangle + b_n = \langle [v, 1], [k_n, b_n] \rangle,

with :math:`v` from the history alone and :math:`k_n` from the item alone. The item's side is a
table (M, D + 1), and finding its largest inner products is what an index of vectors does.

*Every item attends* (``"candidates"``): the softmax over the history is taken for each item anew,
so no vector of the person serves all items, and no index can search. What depends on the item
alone can still be computed beforehand: its query :math:`q_n = W^Q i_n`, and the output projection,
moved from the mixture to the item's side,

.. math:: \langle W^O c_n + b^O, k_n \rangle = \langle c_n, {W^O}^\top k_n \rangle
   + \langle b^O, k_n \rangle .

A request then costs :math:`4 N L D` operations for the comparisons and the mixtures of N items
with L events, :math:`2 N D` for the inner products, and a softmax. That is the least that this
network can do without a change of its answer.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recflax.cross_attention import scaled_dot_product_attention
from recflax.data.batches import Batch, make_batch
from recflax.recommender import Recommender
from recflax.scale.top_k import top_k_of
from recflax.scoring import catalogue_top_k


def catalogue_vectors(network: Recommender, arm: str | None = None) -> jax.Array:
    """The item's side of a score, (M, D + 1): its key, and its bias as one more number.

    Args:
        network: one in which the person attends, or the newest event speaks.
        arm: which arm; None is the first.

    Raises:
        ValueError: a network whose score is no inner product, or an unknown arm.

    Example:
        >>> from recflax.recommender import RecommenderConfig
        >>> config = RecommenderConfig(n_items=7, width=4, query="person")
        >>> network = Recommender(config, rngs=nnx.Rngs(0))
        >>> batch = make_batch([[0, 3, 5], [1, 1, 2]], n_items=7)
        >>> scores = person_vectors(network, batch) @ catalogue_vectors(network).T
        >>> bool(np.allclose(scores, network.scores(batch), atol=1e-5))
        True
    """
    if network.config.query == "candidates":
        raise ValueError(
            "query must be 'person' or 'newest', since an item that attends has no vector that "
            "serves all people; got 'candidates'"
        )
    return _catalogue(*nnx.split(network), _arm(network, arm))


def person_vectors(network: Recommender, batch: Batch) -> jax.Array:
    """The person's side of a score, (B, D + 1): what the history says, and a 1 for the bias.

    Safe inside ``jax.jit``: nothing is checked.

    Args:
        network: one that `catalogue_vectors` takes.
        batch: histories.
    """
    return _person(*nnx.split(network), batch)


class AttendingItems(NamedTuple):
    """The item's side of cross-attention in which every item asks; M items, H heads of width d.

    Attributes:
        query: (M, H, d) :math:`q_n`.
        out: (M, H, d) the key through the output projection.
        fixed: (M,) what the score adds whatever the history is, unless it is empty.
        alone: (M,) the score for an empty history.
    """

    query: jax.Array
    out: jax.Array
    fixed: jax.Array
    alone: jax.Array


def attending_items(network: Recommender, arm: str | None = None) -> AttendingItems:
    """Compute the item's side of a network in which every item attends, once for all requests.

    Args:
        network: one with ``query="candidates"``.
        arm: which arm; None is the first.

    Raises:
        ValueError: another network, or an unknown arm.

    Example:
        >>> from recflax.recommender import RecommenderConfig
        >>> network = Recommender(RecommenderConfig(n_items=7, width=4), rngs=nnx.Rngs(0))
        >>> batch = make_batch([[0, 3, 5], [1, 1, 2]], n_items=7)
        >>> scores = attend(network, attending_items(network), batch)
        >>> bool(np.allclose(scores, network.scores(batch), atol=1e-5))
        True
    """
    if network.config.query != "candidates":
        raise ValueError(f"query must be 'candidates'; got {network.config.query!r}")
    return _items(*nnx.split(network), _arm(network, arm))


def attend(
    network: Recommender, items: AttendingItems, batch: Batch, ids: jax.Array | None = None
) -> jax.Array:
    """Scores of items that attend to histories, from what was computed of the items beforehand.

    Safe inside ``jax.jit``: nothing is checked.

    Args:
        network: the one that ``items`` were made from.
        items: see `attending_items`.
        batch: histories.
        ids: (B, N) the items to score, 1 to M; None scores all.

    Returns:
        Scores (B, N), or (B, M).
    """
    return _attend(*nnx.split(network), items, batch, ids)


def retrieve_then_rerank(
    retriever: Recommender,
    ranker: Recommender,
    batch: Batch,
    *,
    retrieved: int,
    k: int,
    arm: str | None = None,
) -> np.ndarray:
    """Let one network choose a few items out of the catalogue, and another put them in order.

    Args:
        retriever: a network with one vector a person.
        ranker: any network of the same catalogue.
        batch: histories; ids are checked.
        retrieved: how many items the first hands to the second, k to M.
        k: the length of the list.
        arm: which arm of both; None is the first.

    Returns:
        Ids (B, k), best first; among equals the lower id first, as in a ranking of everything.

    Raises:
        ValueError: a retriever whose score is no inner product, different catalogues, numbers out
            of range, or an id outside the catalogue.

    Example:
        >>> from recflax.recommender import RecommenderConfig
        >>> one, two = (
        ...     Recommender(RecommenderConfig(n_items=7, width=4, query=query), rngs=nnx.Rngs(0))
        ...     for query in ("person", "candidates")
        ... )
        >>> batch = make_batch([[0, 3, 5], [1, 1, 2]], n_items=7)
        >>> retrieve_then_rerank(one, two, batch, retrieved=4, k=2).shape
        (2, 2)
    """
    sizes = retriever.config.n_items, ranker.config.n_items
    if sizes[0] != sizes[1]:
        raise ValueError(f"retriever and ranker must have one catalogue; got {sizes} items")
    if not 1 <= k <= retrieved <= sizes[0]:
        raise ValueError(
            f"k and retrieved must be 1 <= k <= retrieved <= {sizes[0]}; got {k} and {retrieved}"
        )
    batch = make_batch(batch.history, batch.bought, n_items=sizes[0])
    people = person_vectors(retriever, batch)
    found = catalogue_top_k(people, catalogue_vectors(retriever, arm), retrieved)[1]
    candidates = np.sort(np.asarray(found), axis=1)
    scores = ranker.scores(batch._replace(candidates=candidates), arm)
    return np.asarray(top_k_of(jnp.asarray(scores), jnp.asarray(candidates), k)[1])


def _arm(network: Recommender, arm: str | None) -> int:
    """The number of an arm of a network without features of repetition, or raise."""
    if network.config.repetition:
        raise ValueError(
            "repetition must be off: what it adds to a score depends on the person and the item"
        )
    if arm is not None and arm not in network.config.arms:
        raise ValueError(f"arm must be one of {network.config.arms}; got {arm!r}")
    return 0 if arm is None else network.config.arms.index(arm)


@partial(jax.jit, static_argnums=(0, 2))
def _catalogue(graphdef: Any, params: Any, arm: int) -> jax.Array:
    """`catalogue_vectors`, compiled once for all networks of one shape."""
    network = nnx.merge(graphdef, params)
    return jnp.concatenate([_keys(network, arm), network.bias[...][arm][:, None]], axis=1)


@partial(jax.jit, static_argnums=0)
def _person(graphdef: Any, params: Any, batch: Batch) -> jax.Array:
    """`person_vectors`."""
    attended = _without_catalogue(nnx.merge(graphdef, params), batch)["attended"][:, 0]  # (B, D)
    return jnp.concatenate([attended, jnp.ones_like(attended[:, :1])], axis=1)


@partial(jax.jit, static_argnums=(0, 2))
def _items(graphdef: Any, params: Any, arm: int) -> AttendingItems:
    """`attending_items`."""
    network = nnx.merge(graphdef, params)
    keys, cross, bias = _keys(network, arm), network.cross, network.bias[...][arm]
    heads = (len(keys), cross.heads, cross.width // cross.heads)
    return AttendingItems(
        query=cross.query(network.item_vectors()).reshape(heads),
        out=(keys @ cross.out.kernel[...].T).reshape(heads),
        fixed=keys @ cross.out(jnp.zeros(cross.width)) + bias,  # what it adds to nothing
        alone=bias,
    )


@partial(jax.jit, static_argnums=0)
def _attend(
    graphdef: Any, params: Any, items: AttendingItems, batch: Batch, ids: jax.Array | None
) -> jax.Array:
    """`attend`."""
    network = nnx.merge(graphdef, params)
    history = _without_catalogue(network, batch)["history"]  # (B, L, D)
    heads, width = items.query.shape[1:]
    key, value = (
        layer(history).reshape(*history.shape[:2], heads, width).swapaxes(1, 2)
        for layer in (network.cross.key, network.cross.value)  # (B, H, L, d)
    )
    rows = items if ids is None else jax.tree.map(lambda table: table[ids - 1], items)
    query, out = (  # (1 or B, H, N, d)
        table.swapaxes(-3, -2).reshape(-1, heads, table.shape[-3], width)
        for table in (rows.query, rows.out)
    )
    mask = jnp.asarray(batch.mask)
    mixed, _ = scaled_dot_product_attention(query, key, value, mask[:, None, None, :])
    scores = (mixed * out).sum(axis=(1, 3)) + rows.fixed
    return jnp.where(mask.any(axis=1)[:, None], scores, rows.alone)


def _keys(network: Recommender, arm: int) -> jax.Array:
    """The items' vectors through one arm's matrix, (M, D), as `Recommender.forward` has them."""
    return network.item_vectors() @ network.arm[...][arm] / network.config.width**0.5


def _without_catalogue(network: Recommender, batch: Batch) -> dict[str, jax.Array]:
    """What a network computes of histories, its catalogue cut down to one item."""
    one = jnp.ones((len(batch.history), 1), jnp.int32)
    return network.forward(batch._replace(candidates=one))[1]
