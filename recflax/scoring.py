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

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

_GROUP = 32  # columns of which the largest is taken first


def dot_scores(people: jax.Array, items: jax.Array) -> jax.Array:
    r"""Score :math:`s_{bn} = \langle p_b, i_{(b)n} \rangle`.

    Args:
        people: (B, D), one vector a person.
        items: (N, D), the same items for everybody, or (B, N, D), items of each person's own.

    Returns:
        Scores (B, N).

    Raises:
        TypeError: the vectors are not floating point (ids, perhaps, that were not looked up).
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
        """Score people with items.

        Args:
            people: (B, D), one vector a person.
            items: (N, D), the same items for everybody, or (B, N, D), items of each person's own.

        Returns:
            Scores (B, N).

        Raises:
            TypeError: the vectors are not floating point.
            ValueError: the shapes are not those above.
        """
        _check_vectors(people, items)
        inner = self.person(people)[:, None, :] + self.item(items)  # (B, N, hidden)
        return self.out(jnp.tanh(inner))[..., 0]


def top_k(
    scores: jax.Array, k: int, *, exclude: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Return the k best scores of each row, best first, and the item ids that have them.

    Among equal scores the lower id comes first, so the list does not depend on the machine.

    Args:
        scores: (B, M) floats over the catalogue, column j - 1 for item j.
        k: the length of the list, 1 to M.
        exclude: (B, M) boolean, True for items that must not be listed. Where fewer than k are
            left, the list ends in id 0 (no item) with a score of minus infinity.

    Returns:
        Scores (B, k) and ids (B, k), int32, from 1.

    Raises:
        TypeError: ``scores`` is not floating point, or ``exclude`` is not boolean.
        ValueError: a wrong shape, a k outside 1 to M, or a score that is NaN (the last on concrete
            input only).

    Example:
        >>> import jax.numpy as jnp
        >>> top_k(jnp.array([[0.5, 0.9, 0.9, 0.1]]), 3)[1].tolist()
        [[2, 3, 1]]
    """
    if scores.ndim != 2:
        raise ValueError(f"scores must have shape (B, M); got {scores.shape}")
    if not jnp.issubdtype(scores.dtype, jnp.floating):
        raise TypeError(f"scores must be floating point; got {scores.dtype}")
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k must be from 1 to {scores.shape[1]}; got {k}")
    wrong = jnp.isnan(scores).any()
    if not isinstance(wrong, jax.core.Tracer) and bool(wrong):
        row, column = jnp.argwhere(jnp.isnan(scores))[0].tolist()
        raise ValueError(f"scores must not be NaN; row {row} is, for item {column + 1}")
    if exclude is None:
        values, places = _first_best(scores, k)
        return values, places + 1
    if exclude.dtype != jnp.bool_:
        raise TypeError(f"exclude must be boolean; got {exclude.dtype}")
    if exclude.shape != scores.shape:
        raise ValueError(f"exclude must have shape {scores.shape}; got {exclude.shape}")
    # an item that may be listed stays ahead of an excluded one, even at minus infinity
    listed = jnp.maximum(scores, jnp.finfo(scores.dtype).min)
    _, places = _first_best(jnp.where(exclude, -jnp.inf, listed), k)
    values, gone = (jnp.take_along_axis(array, places, axis=1) for array in (scores, exclude))
    return jnp.where(gone, -jnp.inf, values), jnp.where(gone, 0, places + 1)


def catalogue_top_k(
    people: jax.Array, items: jax.Array, k: int, *, block: int = 4096
) -> tuple[jax.Array, jax.Array]:
    """Return `top_k` of the dot scores over a catalogue, one block of items at a time.

    The (B, M) scores never exist at once: memory is B times (block + k). The list is that of
    ``top_k(dot_scores(people, items), k)`` up to the rounding of the products; equal scores are
    ordered in the same way, since blocks are visited in the order of the ids and earlier winners
    stand to the left.

    Args:
        people: (B, D), finite.
        items: (M, D), finite: the whole catalogue, row j - 1 for item j.
        k: the length of the list, 1 to M.
        block: items a block, at least 1.

    Returns:
        Scores (B, k) and ids (B, k), int32, from 1.

    Raises:
        TypeError: the vectors are not floating point.
        ValueError: a wrong shape, k or ``block`` out of range, or a vector that is not finite (the
            last on concrete input only).

    Example:
        >>> import jax.numpy as jnp
        >>> items = jnp.array([[1.0], [3.0], [2.0], [3.0], [0.0]])
        >>> catalogue_top_k(jnp.array([[1.0]]), items, 3, block=2)[1].tolist()
        [[2, 4, 3]]
    """
    _check_vectors(people, items)
    if items.ndim != 2:
        raise ValueError(f"items must have shape (M, D); got {items.shape}")
    if block < 1:
        raise ValueError(f"block must be at least 1; got {block}")
    if not 1 <= k <= len(items):
        raise ValueError(f"k must be from 1 to {len(items)}; got {k}")
    values, ids, finite = _best_of_blocks(people, items, k, min(block, len(items)))
    # a vector that is not finite has no finite score with anybody, so that a catalogue is read
    # once and not twice; where a score is not, the vectors are looked at
    if not isinstance(finite, jax.core.Tracer) and not (len(people) and bool(finite)):
        for name, vectors in (("people", people), ("items", items)):
            wrong = ~jnp.isfinite(vectors)
            if wrong.any():
                raise ValueError(
                    f"{name} must be finite; row {int(jnp.argwhere(wrong)[0, 0])} is not"
                )
    return values, ids


@partial(jax.jit, static_argnames=("k", "block"))
def _best_of_blocks(
    people: jax.Array, items: jax.Array, k: int, block: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Keep the k best while walking over the blocks; ``block`` is at most M.

    The last of the three results says whether all scores were finite.
    """

    def visit(
        best: tuple[jax.Array, jax.Array, jax.Array], first: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], None]:
        """Merge the best so far with the block whose first new row is ``first``."""
        start = jnp.minimum(first, len(items) - block)  # the last block reaches back
        rows = start + jnp.arange(block, dtype=jnp.int32)
        new = people @ jax.lax.dynamic_slice_in_dim(items, start, block).T  # (B, block)
        values = jnp.concatenate([best[0], jnp.where(rows >= first, new, -jnp.inf)], axis=1)
        ids = jnp.concatenate(
            [best[1], jnp.broadcast_to(jnp.where(rows >= first, rows + 1, 0), new.shape)], axis=1
        )
        values, places = _first_best(values, k)
        finite = best[2] & jnp.isfinite(new).all()
        return (values, jnp.take_along_axis(ids, places, axis=1), finite), None

    nothing = (
        jnp.full((len(people), k), -jnp.inf, jnp.result_type(people, items)),
        jnp.zeros((len(people), k), jnp.int32),
        jnp.array(True),
    )
    firsts = jnp.arange(0, len(items), block, dtype=jnp.int32)
    return jax.lax.scan(visit, nothing, firsts)[0]


def _first_best(scores: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """Return the k largest of each row and their columns, the left one first among equals.

    XLA's top-k is stable, but holds 0.0 to be above -0.0; those are made equal here. And it is
    slow: a long row is cut into groups, and only the k groups with the largest best are searched.
    None of the k largest stands elsewhere: it would come after the best of each of those groups.
    """
    level = jnp.where(scores == 0, 0, scores)
    batch, count = scores.shape
    groups = count // _GROUP
    if groups <= 2 * k:  # little would be left out
        _, places = jax.lax.top_k(level, k)
    else:
        cut = groups * _GROUP
        _, chosen = jax.lax.top_k(level[:, :cut].reshape(batch, groups, _GROUP).max(axis=2), k)
        columns = jnp.sort(chosen, axis=1)[:, :, None] * _GROUP + jnp.arange(_GROUP)
        rest = jnp.broadcast_to(jnp.arange(cut, count), (batch, count - cut))
        columns = jnp.concatenate([columns.reshape(batch, -1), rest], axis=1)
        _, places = jax.lax.top_k(jnp.take_along_axis(level, columns, axis=1), k)
        places = jnp.take_along_axis(columns, places, axis=1)
    places = places.astype(jnp.int32)
    return jnp.take_along_axis(scores, places, axis=1), places


def _check_vectors(people: jax.Array, items: jax.Array) -> None:
    """Raise unless people are (B, D) and items are (N, D) or (B, N, D), all floating point."""
    for name, vectors in (("people", people), ("items", items)):
        if not jnp.issubdtype(vectors.dtype, jnp.floating):
            raise TypeError(f"{name} must be floating point; got {vectors.dtype}")
    if people.ndim != 2:
        raise ValueError(f"people must have shape (B, D); got {people.shape}")
    batch, width = people.shape
    shared = items.ndim == 2 and items.shape[1] == width
    own = items.ndim == 3 and items.shape[::2] == (batch, width)
    if not (shared or own):
        raise ValueError(
            f"items must have shape (N, {width}) or ({batch}, N, {width}); got {items.shape}"
        )
