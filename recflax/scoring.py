r"""From vectors to scores, and from scores to a list.

Two scores for a query vector :math:`q` (a person) and a key vector :math:`k` (an item): the dot
product :math:`q \cdot k`, and the additive score :math:`v^\top \tanh(W q + U k)` (Bahdanau, Cho and
Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", 2015, appendix
A.1.2). The first is one matrix product over a whole catalogue; the second is not.

Items are numbered from 1: column j - 1 of an array over the catalogue is item j.

This file needs jax and flax and nothing else: copy it into your project as it is.

Example:
    >>> import jax, jax.numpy as jnp
    >>> people = jax.random.normal(jax.random.key(0), (2, 4))
    >>> items = jax.random.normal(jax.random.key(1), (9, 4))
    >>> best, ids = top_k(dot_scores(people, items), 3)
    >>> blocks, block_ids = catalogue_top_k(people, items, 3, block=4)  # never all scores at once
    >>> bool((ids == block_ids).all())
    True
"""

import jax
import jax.numpy as jnp
from flax import nnx


def dot_scores(people: jax.Array, items: jax.Array) -> jax.Array:
    r"""Score :math:`s_{bn} = \langle p_b, i_{(b)n} \rangle`.

    Args:
        people: (B, D), one vector a person.
        items: (N, D), the same items for everybody, or (B, N, D), items of each person's own.

    Returns:
        Scores (B, N).

    Raises:
        ValueError: the shapes are not those above.

    Example:
        >>> import jax.numpy as jnp
        >>> dot_scores(jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0], [5.0, 6.0]])).tolist()
        [[11.0, 17.0]]
    """
    _check_vectors(people, items)
    return jnp.einsum("bd,nd->bn" if items.ndim == 2 else "bd,bnd->bn", people, items)


class AdditiveScores(nnx.Module):
    r"""The additive score :math:`s_{bn} = v^\top \tanh(W p_b + U i_{(b)n})`.

    It costs N times ``hidden`` evaluations of tanh a person, and no index can search by it.

    Args:
        width: D, the width of both vectors.
        hidden: the width of the layer inside; at least 1.
        rngs: the random streams that draw the initial weights.

    Raises:
        ValueError: a width is below 1.

    Source: Bahdanau, Cho and Bengio (2015), appendix A.1.2.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> scores = AdditiveScores(width=4, hidden=3, rngs=nnx.Rngs(0))
        >>> scores(jnp.ones((2, 4)), jnp.ones((5, 4))).shape
        (2, 5)
    """

    def __init__(self, width: int, hidden: int, *, rngs: nnx.Rngs) -> None:
        """Draw the weights."""
        if width < 1 or hidden < 1:
            raise ValueError(f"widths must be at least 1; got width {width}, hidden {hidden}")
        self.person = nnx.Linear(width, hidden, use_bias=False, rngs=rngs)
        self.item = nnx.Linear(width, hidden, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(hidden, 1, use_bias=False, rngs=rngs)

    def __call__(self, people: jax.Array, items: jax.Array) -> jax.Array:
        """Score people (B, D) with items (N, D) or (B, N, D); returns (B, N)."""
        _check_vectors(people, items)
        inner = self.person(people)[:, None, :] + self.item(items)  # (B, N, hidden)
        return self.out(jnp.tanh(inner))[..., 0]


def top_k(
    scores: jax.Array, k: int, *, exclude: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Return the k best scores of each row, best first, and the item ids that have them.

    Among equal scores the lower id comes first, so the list does not depend on the machine.

    Args:
        scores: (B, M) over the catalogue, column j - 1 for item j.
        k: the length of the list, 1 to M.
        exclude: (B, M) boolean, True for items that must not be listed. They come last, with a
            score of minus infinity, where fewer than k are left.

    Returns:
        Scores (B, k) and ids (B, k), int32, from 1.

    Raises:
        TypeError: ``exclude`` is not boolean.
        ValueError: a wrong shape, a k outside 1 to M, or a score that is NaN (the last on concrete
            input only).

    Example:
        >>> import jax.numpy as jnp
        >>> top_k(jnp.array([[0.5, 0.9, 0.9, 0.1]]), 3)[1].tolist()
        [[2, 3, 1]]
    """
    if scores.ndim != 2:
        raise ValueError(f"scores must have shape (B, M); got {scores.shape}")
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k must be from 1 to {scores.shape[1]}; got {k}")
    wrong = jnp.isnan(scores).any()
    if not isinstance(wrong, jax.core.Tracer) and bool(wrong):
        row, column = jnp.argwhere(jnp.isnan(scores))[0].tolist()
        raise ValueError(f"scores must not be NaN; row {row} is, for item {column + 1}")
    if exclude is not None:
        if exclude.dtype != jnp.bool_:
            raise TypeError(f"exclude must be boolean; got {exclude.dtype}")
        if exclude.shape != scores.shape:
            raise ValueError(f"exclude must have shape {scores.shape}; got {exclude.shape}")
        scores = jnp.where(exclude, -jnp.inf, scores)
    # XLA's top-k is stable: among equals the lower index comes first
    values, places = jax.lax.top_k(scores, k)
    return values, places.astype(jnp.int32) + 1


def catalogue_top_k(
    people: jax.Array, items: jax.Array, k: int, *, block: int = 4096
) -> tuple[jax.Array, jax.Array]:
    """Return `top_k` of the dot scores over a catalogue, one block of items at a time.

    The (B, M) scores never exist at once: memory is B times (block + k). The result is that of
    ``top_k(dot_scores(people, items), k)``, ties included, since blocks are visited in the order
    of the ids and earlier winners stand to the left.

    Args:
        people: (B, D), finite.
        items: (M, D), finite: the whole catalogue.
        k: the length of the list, 1 to M.
        block: items a block, at least 1.

    Returns:
        Scores (B, k) and ids (B, k), int32, from 1.

    Raises:
        ValueError: a wrong shape, or k or ``block`` out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> items = jnp.array([[1.0], [3.0], [2.0], [3.0], [0.0]])
        >>> catalogue_top_k(jnp.array([[1.0]]), items, 3, block=2)[1].tolist()
        [[2, 4, 3]]
    """
    _check_vectors(people, items)
    if items.ndim != 2:
        raise ValueError(f"items must have shape (M, D); got {items.shape}")
    catalogue = len(items)
    if not 1 <= k <= catalogue:
        raise ValueError(f"k must be from 1 to {catalogue}; got {k}")
    if block < 1:
        raise ValueError(f"block must be at least 1; got {block}")
    blocks = -(-catalogue // block)
    padded = jnp.pad(items, ((0, blocks * block - catalogue), (0, 0)))
    ids = jnp.arange(1, blocks * block + 1, dtype=jnp.int32)

    def visit(
        best: tuple[jax.Array, jax.Array], part: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        """Merge the best so far with one block."""
        values, winners = best
        table, numbers = part
        new = jnp.where(numbers <= catalogue, people @ table.T, -jnp.inf)  # (B, block)
        values = jnp.concatenate([values, new], axis=1)
        winners = jnp.concatenate([winners, jnp.broadcast_to(numbers, new.shape)], axis=1)
        values, places = jax.lax.top_k(values, k)
        return (values, jnp.take_along_axis(winners, places, axis=1)), None

    start = (
        jnp.full((len(people), k), -jnp.inf, people.dtype),
        jnp.full((len(people), k), catalogue + 1, jnp.int32),
    )
    parts = padded.reshape(blocks, block, -1), ids.reshape(blocks, block)
    (values, winners), _ = jax.lax.scan(visit, start, parts)
    return values, winners


def _check_vectors(people: jax.Array, items: jax.Array) -> None:
    """Raise unless people are (B, D) and items are (N, D) or (B, N, D)."""
    if people.ndim != 2:
        raise ValueError(f"people must have shape (B, D); got {people.shape}")
    batch, width = people.shape
    shared = items.ndim == 2 and items.shape[1] == width
    own = items.ndim == 3 and items.shape[::2] == (batch, width)
    if not (shared or own):
        raise ValueError(
            f"items must have shape (N, {width}) or ({batch}, N, {width}); got {items.shape}"
        )
