r"""Multi-head cross-attention: candidates (or a person) look at a history.

The queries come from one sequence and the keys and values from another:

.. math:: \mathrm{softmax}\!\left(q W^Q (c W^K)^\top / \sqrt{d}\right) c W^V

(Vaswani et al., "Attention Is All You Need", 2017, equation 1 and section 3.2.3). With the N
candidate items as queries and the history as context, every candidate gets a vector of its own:
the history as it matters to that candidate. With one query per person it gives one vector a
person, and the same for every item.

This file needs jax and flax and nothing else: copy it into your project as it is.

Example:
    >>> import jax, jax.numpy as jnp
    >>> from flax import nnx
    >>> attention = CrossAttention(width=8, heads=2, rngs=nnx.Rngs(0))
    >>> candidates = jax.random.normal(jax.random.key(1), (3, 7, 8))  # seven items a person
    >>> history = jax.random.normal(jax.random.key(2), (3, 5, 8))
    >>> real = jnp.arange(5) >= jnp.array([[0], [2], [5]])  # left padding; the third has no event
    >>> output, weights = attention(candidates, history, real)
    >>> output.shape, weights.shape
    ((3, 7, 8), (3, 2, 7, 5))
    >>> bool(jnp.all(output[2] == 0))  # nothing to look at gives zeros, never NaN
    True
"""

import jax
import jax.numpy as jnp
from flax import nnx


def scaled_dot_product_attention(
    query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    r"""Scaled dot-product attention, :math:`\mathrm{softmax}(QK^\top/\sqrt{d})\,V`.

    Args:
        query: (B, H, Lq, d).
        key: (B, H, Lk, d).
        value: (B, H, Lk, d).
        mask: boolean, broadcasts to (B, H, Lq, Lk), True where there is something to attend to.

    Returns:
        The output (B, H, Lq, d) and the weights (B, H, Lq, Lk). Weights of a row sum to 1, or are
        all 0 where the row has nothing to attend to.

    Source: Vaswani et al. (2017), equation 1.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1, 2, 3))
        >>> scaled_dot_product_attention(one, one, one)[1].tolist()
        [[[[0.5, 0.5], [0.5, 0.5]]]]
    """
    scores = jnp.einsum("bhqd,bhkd->bhqk", query, key) / query.shape[-1] ** 0.5
    if mask is None:
        weights = jax.nn.softmax(scores, axis=-1)  # (B, H, Lq, Lk)
    else:
        # the most negative number, not minus infinity: a row without any key stays finite, and so
        # does its gradient; its weights are then set to zero
        scores = jnp.where(mask, scores, jnp.finfo(scores.dtype).min)
        weights = jnp.where(mask, jax.nn.softmax(scores, axis=-1), 0)
    return jnp.einsum("bhqk,bhkd->bhqd", weights, value), weights


class CrossAttention(nnx.Module):
    r"""Multi-head cross-attention that returns what it computed and where it looked.

    For each head :math:`i`, :math:`A_i = \mathrm{softmax}(q W^Q_i (c W^K_i)^\top / \sqrt{d})` and
    the output is :math:`[A_1 c W^V_1, \dots, A_H c W^V_H]\, W^O`, with biases in every projection.

    Args:
        width: D, the width of queries, context and output; a multiple of ``heads``.
        heads: H, the number of heads; each is D / H wide.
        rngs: the random streams that draw the initial weights.

    Raises:
        ValueError: ``width`` is not a positive multiple of ``heads``.

    Source: Vaswani et al. (2017), sections 3.2.2 and 3.2.3.

    Example:
        >>> from flax import nnx
        >>> CrossAttention(width=6, heads=4, rngs=nnx.Rngs(0))
        Traceback (most recent call last):
        ...
        ValueError: width must be a positive multiple of heads; got width 6 and heads 4
    """

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs) -> None:
        """Draw the weights of the four projections."""
        if heads < 1 or width < 1 or width % heads:
            raise ValueError(
                f"width must be a positive multiple of heads; got width {width} and heads {heads}"
            )
        self.width, self.heads = width, heads
        self.query = nnx.Linear(width, width, rngs=rngs)
        self.key = nnx.Linear(width, width, rngs=rngs)
        self.value = nnx.Linear(width, width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)

    def __call__(
        self, queries: jax.Array, context: jax.Array, mask: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Attend.

        Args:
            queries: (B, N, D) floats, finite; or (1, N, D), asked alike by the whole batch, and
                then projected once.
            context: (B, L, D) floats. What stands at a place that no query may attend to
                (padding) has no influence, NaN included.
            mask: boolean, True where there is something to attend to: (B, L) over the context,
                or (B, N, L) over queries and context. None means everywhere.

        Returns:
            The output (B, N, D), and the weights (B, H, N, L) from query to context. A query with
            nothing to attend to gets zeros in both.

        Raises:
            TypeError: an input is not floating point, or ``mask`` is not boolean.
            ValueError: a shape is not one of those above (whatever would broadcast), or an input
                is NaN or infinite where it matters. The last is checked on concrete input only:
                ``jax.jit`` and ``jax.grad`` do not look at values.
        """
        for name, array in (("queries", queries), ("context", context)):
            if array.ndim != 3 or array.shape[-1] != self.width:
                raise ValueError(f"{name} must have shape (B, ., {self.width}); got {array.shape}")
        if len(queries) not in (1, len(context)):
            raise ValueError(
                f"queries and context must agree in B; got {queries.shape} and {context.shape}"
            )
        (batch, length, _), wanted = context.shape, queries.shape[1]
        allowed = attention_mask(mask, batch, wanted, length)  # (B, 1 or N, L) or None
        queries = hide_unattended(queries, None, "queries")
        context = hide_unattended(context, allowed, "context")
        query, key, value = (
            layer(content.reshape(-1, self.width))
            .reshape(*content.shape[:2], self.heads, self.width // self.heads)
            .swapaxes(1, 2)
            for layer, content in (
                (self.query, queries),  # (B or 1, H, N, d)
                (self.key, context),  # (B, H, L, d)
                (self.value, context),
            )
        )
        heads_mask = None if allowed is None else allowed[:, None]  # (B, 1, 1 or N, L)
        mixed, weights = scaled_dot_product_attention(query, key, value, heads_mask)
        # as one matrix of B N rows: with three axes XLA transposes what the gradient multiplies
        output = self.out(mixed.swapaxes(1, 2).reshape(-1, self.width))
        output = output.reshape(batch, wanted, self.width)  # (B, N, D)
        if allowed is not None:
            output = jnp.where(allowed.any(-1)[..., None], output, 0)
        return output, weights


def attention_mask(mask: jax.Array | None, batch: int, queries: int, keys: int) -> jax.Array | None:
    """Check a mask at the door and return it as (B, 1 or Lq, Lk), or None for everywhere.

    The number of dimensions alone says what a mask means, so that sizes which happen to be equal
    (as many people as heads, or as places) never change its meaning.

    Raises:
        TypeError: the mask is not boolean (a float mask means something else in every library).
        ValueError: its shape is neither (B, Lk) nor (B, Lq, Lk).

    Example:
        >>> import jax.numpy as jnp
        >>> attention_mask(jnp.ones((2, 3), bool), batch=2, queries=5, keys=3).shape
        (2, 1, 3)
    """
    if mask is None:
        return None if keys else jnp.zeros((batch, 1, 0), bool)  # no key: nothing to attend to
    if mask.dtype != jnp.bool_:
        raise TypeError(
            f"mask must be boolean, True where there is something to attend to; got {mask.dtype}"
        )
    if mask.shape == (batch, keys):
        return mask[:, None, :]
    if mask.shape != (batch, queries, keys):
        raise ValueError(
            f"mask must have shape {(batch, keys)} or {(batch, queries, keys)}; got {mask.shape}"
        )
    return mask


def hide_unattended(x: jax.Array, allowed: jax.Array | None, name: str) -> jax.Array:
    """Zero the places that no query may attend to, and refuse NaN at the others.

    Zero times NaN is NaN, so a weight of zero does not protect the output from what stands in the
    padding, nor the gradient. Only replacing the content does.

    Args:
        x: (B, L, D) the content that becomes keys and values.
        allowed: (B or 1, 1 or Lq, L) boolean, or None when every place is seen.
        name: what the caller calls ``x``.

    Raises:
        TypeError: ``x`` is not floating point.
        ValueError: ``x`` is NaN or infinite at a place that is seen, on concrete input.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[[jnp.nan], [2.0]]])
        >>> hide_unattended(x, jnp.array([[[False, True]]]), "x").tolist()
        [[[0.0], [2.0]]]
    """
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"{name} must be floating point; got {x.dtype}")
    if allowed is not None:
        x = jnp.where(allowed.any(1)[..., None], x, 0)
    finite = jnp.isfinite(x).all()
    if not isinstance(finite, jax.core.Tracer) and not bool(finite):
        place = jnp.argwhere(~jnp.isfinite(x))[0].tolist()
        raise ValueError(f"{name} must be finite where it is attended to; not so at {place}")
    return x
