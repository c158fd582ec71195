r"""The article's network at its own size, with a switch for each of its faults.

The listing is an embedding, one layer of multi-head attention over itself, and a dense layer over
the catalogue. What data it was given is not said. We read it as its output shape suggests: a
sequence of items goes in, and at every place the next item is asked for. `Faults` has one switch
for each thing that goes wrong under that reading; all of them on is the listing (`LISTING`), all of
them off is the same network repaired (`REPAIRED`), and anything between can be trained too.

Item ids run from 1 to M, oldest to newest, with 0 as padding on the left. The dense layer has
M + 1 columns: column 0 is the padding, which the listing takes for one more item.
"""

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recflax.cross_attention import CrossAttention
from recflax.data.batches import make_batch
from recflax.self_attention import scaled_dot_product_attention

FAULTS = {
    "sees_future": "no future mask",
    "no_positions": "no positions",
    "wide_heads": "every head as wide as the network",
    "logits_as_probabilities": "logits where probabilities are expected",
    "counts_padding": "padding counts as an item",
    "no_cross_attention": "no cross-attention",
    "every_place": "every place is asked, not the last",
}
"""The faults of the listing: name of the switch and what it does."""


@dataclass(frozen=True)
class Faults:
    """One switch for each fault of the listing; True has the fault.

    Attributes:
        sees_future: places attend to later ones, so each sees the item that it is asked for.
        no_positions: events do not know their places.
        wide_heads: each head is D wide, and not D / H.
        logits_as_probabilities: the loss takes the logits for probabilities.
        counts_padding: padding is attended to, learned and scored like an item.
        no_cross_attention: nothing is asked of the history once it has been read.
        every_place: all L places are asked for their next item, and not only the last one.

    Example:
        >>> REPAIRED.with_fault("no_positions").names
        ('no_positions',)
        >>> len(LISTING.without("no_positions").names)
        6
    """

    sees_future: bool = False
    no_positions: bool = False
    wide_heads: bool = False
    logits_as_probabilities: bool = False
    counts_padding: bool = False
    no_cross_attention: bool = False
    every_place: bool = False

    def __post_init__(self) -> None:
        """Check the switches."""
        for field in fields(self):
            if not isinstance(getattr(self, field.name), bool):
                raise TypeError(
                    f"{field.name} must be True or False; got {getattr(self, field.name)!r}"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The faults that are there."""
        return tuple(name for name in FAULTS if getattr(self, name))

    def without(self, name: str) -> "Faults":
        """The same with one fault repaired."""
        return replace(self, **{_known(name): False})

    def with_fault(self, name: str) -> "Faults":
        """The same with one more fault."""
        return replace(self, **{_known(name): True})


LISTING = Faults(**dict.fromkeys(FAULTS, True))
REPAIRED = Faults()


@dataclass(frozen=True)
class ArticleConfig:
    """The shape of the network; the defaults are the article's.

    Attributes:
        n_items: M, the catalogue.
        width: D, a multiple of ``heads``.
        heads: H.
        length: L, the places of a history.
        faults: which faults it has.

    Raises:
        ValueError: a size below 1, or a width that ``heads`` does not divide.

    Example:
        >>> ArticleConfig(width=7)
        Traceback (most recent call last):
        ...
        ValueError: width must be a multiple of heads; got width 7 and heads 8
    """

    n_items: int = 10_000
    width: int = 512
    heads: int = 8
    length: int = 16
    faults: Faults = LISTING

    def __post_init__(self) -> None:
        """Check the sizes."""
        for name in ("n_items", "width", "heads", "length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.width % self.heads:
            raise ValueError(
                f"width must be a multiple of heads; got width {self.width} and heads {self.heads}"
            )

    @property
    def head_width(self) -> int:
        """How wide a head is: Keras's ``key_dim`` is the width of *each* head."""
        return self.width if self.faults.wide_heads else self.width // self.heads


class AnyWidthAttention(nnx.Module):
    """Self-attention with heads of any width, as Keras's ``MultiHeadAttention`` has them.

    With heads of D / H it computes what `recflax.self_attention.SelfAttention` does.

    Args:
        width: D, of the input and of the output.
        heads: H.
        head_width: of each head; H times it need not be D.
        rngs: the random streams that draw the initial weights.

    Example:
        >>> attention = AnyWidthAttention(512, 8, 512, rngs=nnx.Rngs(0))
        >>> sum(leaf.size for leaf in jax.tree.leaves(nnx.state(attention)))
        8401408
    """

    def __init__(self, width: int, heads: int, head_width: int, *, rngs: nnx.Rngs) -> None:
        """Draw the weights of the four projections."""
        self.heads, self.head_width = heads, head_width
        linear = partial(nnx.Linear, kernel_init=nnx.initializers.glorot_uniform(), rngs=rngs)
        self.query, self.key, self.value = (linear(width, heads * head_width) for _ in range(3))
        self.out = linear(heads * head_width, width)

    def __call__(self, x: jax.Array, allowed: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Attend from all places (B, L, D) to those that are allowed (B or 1, 1 or L, L)."""
        batch, length, width = x.shape
        split = (batch, length, self.heads, self.head_width)
        query, key, value = (
            layer(x.reshape(-1, width)).reshape(split).swapaxes(1, 2)  # (B, H, L, d)
            for layer in (self.query, self.key, self.value)
        )
        mixed, weights = scaled_dot_product_attention(query, key, value, allowed[:, None])
        flat = mixed.swapaxes(1, 2).reshape(batch * length, -1)
        output = self.out(flat).reshape(x.shape)
        return jnp.where(allowed.any(-1)[..., None], output, 0), weights


class ArticleNetwork(nnx.Module):
    """Embedding, attention, a dense layer over the catalogue; what else depends on the faults.

    Args:
        config: its shape and its faults.
        rngs: the random streams that draw the initial weights, as Keras draws them.

    Example:
        >>> config = ArticleConfig(n_items=11, width=8, heads=2, length=5, faults=REPAIRED)
        >>> network = ArticleNetwork(config, rngs=nnx.Rngs(0))
        >>> network(jnp.array([[0, 0, 3, 11, 2]])).shape  # the last place, M + 1 columns
        (1, 1, 12)
    """

    def __init__(self, config: ArticleConfig, *, rngs: nnx.Rngs) -> None:
        """Draw the weights."""
        self.config = config
        width, faults = config.width, config.faults
        embed = partial(nnx.Embed, features=width, embedding_init=_uniform, rngs=rngs)
        self.embedding = embed(config.n_items + 1)
        self.positions = None if faults.no_positions else embed(config.length)
        self.attention = AnyWidthAttention(width, config.heads, config.head_width, rngs=rngs)
        self.cross = (
            None if faults.no_cross_attention else CrossAttention(width, config.heads, rngs=rngs)
        )
        self.dense = nnx.Linear(
            width, config.n_items + 1, kernel_init=nnx.initializers.glorot_uniform(), rngs=rngs
        )

    def __call__(self, history: jax.Array) -> jax.Array:
        """Logits (B, L, M + 1), or (B, 1, M + 1) of the last place. Safe inside ``jax.jit``."""
        return self.forward(history)[0]

    def forward(self, history: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The one code path: logits, and the attention weights on the way by name."""
        faults, (batch, length) = self.config.faults, history.shape
        x = self.embedding(history)  # (B, L, D)
        if self.positions is not None:
            # counted from the newest, so that padding moves nothing
            x = x + self.positions(jnp.arange(length)[::-1])
        allowed = self.allowed(history)
        x, weights = self.attention(x, allowed)
        aux = {"self_attention": weights}  # (B, H, L, L)
        if not faults.every_place:
            asking, allowed = x[:, -1:], allowed[:, -1:]  # (B, 1, D)
        else:
            asking = x
        if self.cross is not None:  # what has been read asks the history once more
            mask = jnp.broadcast_to(allowed, (batch, asking.shape[1], length))
            asking, aux["cross_attention"] = self.cross(asking, x, mask)
        places = asking.shape[1]
        # as one matrix: with three axes XLA would transpose the gradient of all logits
        logits = self.dense(asking.reshape(batch * places, -1))
        return logits.reshape(batch, places, -1), aux

    def allowed(self, history: jax.Array) -> jax.Array:
        """(B, L, L) from which place to which one may look."""
        batch, length = history.shape
        everywhere = jnp.ones((batch, length, length), bool)
        if not self.config.faults.sees_future:
            everywhere = jnp.tril(everywhere)
        if self.config.faults.counts_padding:
            return everywhere
        real = history > 0
        return everywhere & real[:, None, :] & real[:, :, None]

    def scores(self, history: Any, rows: int = 512) -> np.ndarray:
        """The checked door: scores (B, M) of the next item, from the last place of histories.

        Args:
            history: (B, L') ids, oldest to newest, 0 as padding on the left; shorter histories are
                padded, of longer ones the newest L are read.
            rows: histories at a time at most, which bounds the memory.

        Raises:
            TypeError: ids that are not integers.
            ValueError: an id outside the catalogue, or padding that is not on the left.
        """
        ids = make_batch(history, n_items=self.config.n_items).history
        ids = ids[:, -self.config.length :]
        ids = np.pad(ids, ((0, 0), (self.config.length - ids.shape[1], 0)))
        graphdef, params = nnx.split(self)
        parts = [
            _last_place(graphdef, params, ids[start : start + rows])
            for start in range(0, max(1, len(ids)), rows)
        ]
        return np.concatenate([np.asarray(part)[:, 1:] for part in parts])


@partial(jax.jit, static_argnums=0)
def _last_place(graphdef: Any, params: Any, history: jax.Array) -> jax.Array:
    return nnx.merge(graphdef, params)(history)[:, -1]


def _uniform(key: jax.Array, shape: Any, dtype: Any = jnp.float32, **_: Any) -> jax.Array:
    """Keras's first embedding: uniform from -.05 to .05."""
    return jax.random.uniform(key, shape, dtype, -0.05, 0.05)


def _known(name: str) -> str:
    if name not in FAULTS:
        raise ValueError(f"a fault must be one of {tuple(FAULTS)}; got {name!r}")
    return name
