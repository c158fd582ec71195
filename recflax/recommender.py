r"""The network of the book: a history goes in, a score for every candidate comes out.

Events are embedded by item, category, place and whether they were a purchase; pre-norm blocks of
self-attention and feed-forward turn the history into one vector an event. Who then queries that
history is the one choice that matters (``query``):

- ``"candidates"``: every item does, and gets a vector of its own (*items attend*);
- ``"person"``: one learned question does, and gives one vector a person (*the person attends*);
- ``"newest"``: nobody does; the newest event's vector speaks for the whole history, as in SASRec
  (Kang and McAuley, 2018).

Either way :math:`s_{an} = \langle W_a v_n, i_n \rangle / \sqrt{D} + b_{an}`, with one matrix and
one bias an *arm*: the same item has one score for "if it is shown" and one for "if it is not".
"""

from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recflax.cross_attention import CrossAttention
from recflax.data.batches import Batch, make_batch
from recflax.self_attention import SelfAttention

QUERIES = ("candidates", "person", "newest")
REPETITION_FEATURES = 3


@dataclass(frozen=True)
class RecommenderConfig:
    """The shape of a `Recommender`; the defaults are those of the book's lessons.

    Attributes:
        n_items: M, the size of the catalogue.
        categories: the category 0 to C - 1 of item 1, of item 2, ...; empty: no categories.
        width: D, a multiple of ``heads``.
        heads: H.
        blocks: pre-norm blocks, at least 0.
        max_length: the longest history L that can be read.
        arms: the names of the arms, one score each.
        positions: whether events know their place, counted from the newest.
        mask_future: whether an event sees only itself and older ones.
        query: who queries the history: ``"candidates"``, ``"person"`` or ``"newest"``.
        repetition: whether a score may use how often and how lately the candidate stands in the
            history (three learned numbers an arm).
        initial_bias: where every item's bias starts; the logit of a rare purchase.

    Raises:
        ValueError: a value is out of range.

    Example:
        >>> RecommenderConfig(n_items=3, categories=(0, 1))
        Traceback (most recent call last):
        ...
        ValueError: categories must be empty or one for each of 3 items; got 2
    """

    n_items: int
    categories: tuple[int, ...] = ()
    width: int = 24
    heads: int = 2
    blocks: int = 1
    max_length: int = 16
    arms: tuple[str, ...] = ("shown",)
    positions: bool = True
    mask_future: bool = False
    query: str = "candidates"
    repetition: bool = False
    initial_bias: float = -4.5

    def __post_init__(self) -> None:
        """Check the values."""
        least = {"n_items": 1, "width": 1, "heads": 1, "blocks": 0, "max_length": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}; got {getattr(self, name)}")
        if len(self.categories) not in (0, self.n_items):
            raise ValueError(
                f"categories must be empty or one for each of {self.n_items} items; "
                f"got {len(self.categories)}"
            )
        if self.categories and min(self.categories) < 0:
            raise ValueError(f"categories must be at least 0; got {min(self.categories)}")
        if not self.arms or len(set(self.arms)) != len(self.arms):
            raise ValueError(f"arms must be different names, at least one; got {self.arms}")
        if self.query not in QUERIES:
            raise ValueError(f"query must be one of {QUERIES}; got {self.query!r}")
        if not np.isfinite(self.initial_bias):
            raise ValueError(f"initial_bias must be finite; got {self.initial_bias}")


class Block(nnx.Module):
    """A pre-norm block: attention, then a feed-forward layer, each added to what came in.

    Example:
        >>> block = Block(RecommenderConfig(n_items=3, width=4), rngs=nnx.Rngs(0))
        >>> output, weights = block(jnp.ones((2, 5, 4)), jnp.ones((2, 5), bool))
        >>> output.shape, weights.shape
        ((2, 5, 4), (2, 2, 5, 5))
    """

    def __init__(self, config: RecommenderConfig, *, rngs: nnx.Rngs) -> None:
        """Draw the weights."""
        width = config.width
        self.attention = SelfAttention(
            width, config.heads, mask_future=config.mask_future, rngs=rngs
        )
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(2)])
        self.wide = nnx.Linear(width, 2 * width, rngs=rngs)
        self.narrow = nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Turn events (B, L, D) with mask (B, L) into events (B, L, D) and weights (B, H, L, L)."""
        attended, weights = self.attention(self.norms[0](x), mask)
        x = x + attended
        x = x + self.narrow(jax.nn.gelu(self.wide(self.norms[1](x))))
        return x, weights


class Recommender(nnx.Module):
    """Scores for candidates, given histories; see the head of this file for the formula.

    Args:
        config: the shape.
        rngs: the random streams that draw the initial weights.

    Example:
        >>> config = RecommenderConfig(n_items=7, arms=("shown", "not_shown"))
        >>> network = Recommender(config, rngs=nnx.Rngs(0))
        >>> batch = make_batch([[0, 3, 5], [1, 1, 2]], n_items=7)
        >>> network.scores(batch, arm="not_shown").shape  # checked, for the whole catalogue
        (2, 7)
        >>> sorted(network.intermediates(batch))  # doctest: +NORMALIZE_WHITESPACE
        ['attended', 'block_0', 'cross_attention', 'events', 'history', 'self_attention_0']
    """

    def __init__(self, config: RecommenderConfig, *, rngs: nnx.Rngs) -> None:
        """Draw the weights."""
        self.config = config
        width, arms = config.width, len(config.arms)
        small = nnx.initializers.normal(width**-0.5)

        def table(*shape: int) -> nnx.Param:
            return nnx.Param(small(rngs.params(), shape))

        self.item = table(config.n_items, width)
        self.category = table(max(config.categories, default=0) + 1, width)
        self.place = table(config.max_length, width)
        self.bought = table(2, width)
        self.blocks = nnx.List([Block(config, rngs=rngs) for _ in range(config.blocks)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        if config.query != "newest":
            self.cross = CrossAttention(width, config.heads, rngs=rngs)
        if config.query == "person":
            self.question = table(1, width)
        self.arm = table(arms, width, width)
        self.bias = nnx.Param(jnp.full((arms, config.n_items), config.initial_bias))
        if config.repetition:
            self.repetition = nnx.Param(jnp.zeros((arms, REPETITION_FEATURES)))

    def item_vectors(self) -> jax.Array:
        """The vectors of the catalogue, item plus category, (M, D)."""
        vectors = self.item[...]
        if self.config.categories:
            vectors = vectors + self.category[...][jnp.array(self.config.categories)]
        return vectors

    def encode(self, batch: Batch) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The history as vectors (B, L, D), zero at padding, and what was computed on the way."""
        length = batch.history.shape[1]
        if length > self.config.max_length:
            raise ValueError(f"history has {length} places; max_length is {self.config.max_length}")
        mask = jnp.asarray(batch.mask)
        x = self.item_vectors()[jnp.maximum(batch.history, 1) - 1]  # (B, L, D)
        x = x + self.bought[...][jnp.asarray(batch.bought, jnp.int32)]
        if self.config.positions:
            x = x + self.place[...][:length][::-1]  # row 0 of the table is the newest place
        aux = {"events": x}
        for number, block in enumerate(self.blocks):
            x, aux[f"self_attention_{number}"] = block(x, mask)
            aux[f"block_{number}"] = x
        aux["history"] = jnp.where(mask[..., None], self.norm(x), 0)
        return aux["history"], aux

    def forward(self, batch: Batch) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The one code path: scores (B, A, N) and every intermediate by name.

        Without candidates N is M, the whole catalogue. Safe inside ``jax.jit``: nothing is checked.
        """
        history, aux = self.encode(batch)
        mask = jnp.asarray(batch.mask)
        everything = self.item_vectors()  # (M, D)
        shared = batch.candidates is None
        items = everything if shared else everything[batch.candidates - 1]  # (M, D) or (B, N, D)
        bias = self.bias[...] if shared else self.bias[...][:, batch.candidates - 1].swapaxes(0, 1)
        letters = "nd" if shared else "bnd"
        # through one matrix an arm: the item's side, since it is shared by all people
        keys = jnp.einsum(f"{letters},ade->{letters[:-2]}ane", items, self.arm[...])
        keys = keys / self.config.width**0.5
        pair = "ane" if shared else "bane"
        if self.config.query == "newest":
            attended = history[:, -1:]  # (B, 1, D)
        else:
            queries = items if self.config.query == "candidates" else self.question[...]
            queries = queries if queries.ndim == 3 else queries[None]  # all people ask alike
            attended, weights = self.cross(queries, history, mask)
            aux["cross_attention"] = weights  # (B, H, N or 1, L)
        # one vector a candidate (B, N, D), or one a person (B, 1, D) that serves them all
        vector = "bne" if attended.shape[1] > 1 else "bxe"
        scores = jnp.einsum(f"{vector},{pair}->ban", attended, keys)
        aux["attended"] = attended
        scores = scores + bias
        if self.config.repetition:
            features = repetition_features(batch, self.config.n_items)  # (B, M, F)
            if not shared:
                rows = jnp.arange(len(history))[:, None]
                features = features[rows, batch.candidates - 1]
            aux["repetition"] = features
            scores = scores + jnp.einsum("bnf,af->ban", features, self.repetition[...])
        return scores, aux

    def __call__(self, batch: Batch) -> jax.Array:
        """Scores (B, A, N), logits; N is M without candidates. Safe inside ``jax.jit``."""
        return self.forward(batch)[0]

    def next_item_logits(self, batch: Batch) -> jax.Array:
        """Scores (B, L, M) of the first arm from every place of the history: the person attends."""
        history, _ = self.encode(batch)
        keys = self.item_vectors() @ self.arm[...][0] / self.config.width**0.5
        return history @ keys.T + self.bias[...][0]

    def intermediates(self, batch: Batch) -> dict[str, jax.Array]:
        """Every intermediate of `forward` by name, from checked input."""
        return _intermediates(*nnx.split(self), self._checked(batch))

    def scores(self, batch: Batch, arm: str | None = None, rows: int = 1024) -> np.ndarray:
        """The checked door: scores (B, N) of one arm, as numpy.

        Args:
            batch: histories, and candidates or None for the whole catalogue. Ids are checked.
            arm: which arm; None is the first.
            rows: histories at a time at most, which bounds the memory.

        Raises:
            TypeError: ids that are not integers.
            ValueError: an id outside the catalogue, padding that is not on the left, a history
                longer than ``max_length``, or an unknown arm.
        """
        arm = self.config.arms[0] if arm is None else arm
        if arm not in self.config.arms:
            raise ValueError(f"arm must be one of {self.config.arms}; got {arm!r}")
        batch = self._checked(batch)
        graphdef, params = nnx.split(self)
        number = self.config.arms.index(arm)
        blocks = max(1, -(-len(batch.history) // rows))
        step = max(1, -(-len(batch.history) // blocks))  # even blocks, so that one is compiled
        parts = [
            _scores(graphdef, params, jax.tree.map(itemgetter(slice(start, start + step)), batch))
            for start in range(0, max(1, len(batch.history)), step)
        ]
        return np.concatenate([np.asarray(part[:, number]) for part in parts])

    def _checked(self, batch: Batch) -> Batch:
        """The batch, its ids checked against the catalogue; targets and weights left out."""
        return make_batch(
            batch.history, batch.bought, n_items=self.config.n_items, candidates=batch.candidates
        )


@partial(jax.jit, static_argnums=0)
def _scores(graphdef: Any, params: Any, batch: Batch) -> jax.Array:
    """`Recommender.forward`, compiled once for all networks of one shape."""
    return nnx.merge(graphdef, params)(batch)


@partial(jax.jit, static_argnums=0)
def _intermediates(graphdef: Any, params: Any, batch: Batch) -> dict[str, jax.Array]:
    """What `Recommender.forward` computes on its way to the scores."""
    return nnx.merge(graphdef, params).forward(batch)[1]


def repetition_features(batch: Batch, n_items: int) -> jax.Array:
    r"""How a candidate stands in the history, (B, M, 3).

    :math:`\log(1 + c)` with c the times it occurs, :math:`1/(1 + a)` with a the places between its
    last occurrence and the newest event (0 if it never occurs), and whether it occurs.

    Example:
        >>> batch = make_batch([[2, 1, 2, 1]], n_items=3)
        >>> repetition_features(batch, 3)[0, :, 1].tolist()
        [1.0, 0.5, 0.0]
    """
    history = jnp.asarray(batch.history)
    batch_size, length = history.shape
    rows = jnp.arange(batch_size)[:, None]
    empty = jnp.zeros((batch_size, n_items + 1))  # column 0 takes the padding
    count = empty.at[rows, history].add(1.0)[:, 1:]
    lately = 1.0 / jnp.arange(length, 0, -1)
    recency = empty.at[rows, history].max(jnp.broadcast_to(lately, history.shape))[:, 1:]
    return jnp.stack([jnp.log1p(count), recency, (count > 0).astype(count.dtype)], axis=-1)
