r"""Multi-head self-attention over a history: every place looks at every other place.

One head computes, for queries :math:`Q`, keys :math:`K` and values :math:`V` of width :math:`d`,

.. math:: \mathrm{softmax}\!\left(QK^\top / \sqrt{d}\right) V

(Vaswani et al., "Attention Is All You Need", 2017, equation 1). Several heads do so side by side
on projections of their own, and one more projection mixes what they found (section 3.2.2).

This file needs jax and flax and nothing else: copy it into your project as it is.

Example:
    >>> import jax, jax.numpy as jnp
    >>> from flax import nnx
    >>> attention = SelfAttention(width=8, heads=2, rngs=nnx.Rngs(0))
    >>> history = jax.random.normal(jax.random.key(1), (3, 5, 8))  # three people, five events
    >>> real = jnp.arange(5) >= jnp.array([[0], [2], [5]])  # left padding; the third has no event
    >>> output, weights = attention(history, real)
    >>> output.shape, weights.shape
    ((3, 5, 8), (3, 2, 5, 5))
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


class SelfAttention(nnx.Module):
    r"""Multi-head self-attention that returns what it computed and where it looked.

    For each head :math:`i`, :math:`A_i = \mathrm{softmax}(x W^Q_i (x W^K_i)^\top / \sqrt{d})` and
    the output is :math:`[A_1 x W^V_1, \dots, A_H x W^V_H]\, W^O`, with biases in every projection.

    Args:
        width: D, the width of the input and of the output; a multiple of ``heads``.
        heads: H, the number of heads; each is D / H wide.
        mask_future: hide later places, so that place l attends to places up to l only (often
            called a causal mask; in this library the word *causal* is kept for causes).
        rngs: the random streams that draw the initial weights.

    Raises:
        ValueError: ``width`` is not a positive multiple of ``heads``.

    Source: Vaswani et al. (2017), section 3.2.2.

    Example:
        >>> from flax import nnx
        >>> SelfAttention(width=6, heads=4, rngs=nnx.Rngs(0))
        Traceback (most recent call last):
        ...
        ValueError: width must be a positive multiple of heads; got width 6 and heads 4
    """

    def __init__(
        self, width: int, heads: int, *, mask_future: bool = False, rngs: nnx.Rngs
    ) -> None:
        """Draw the weights of the four projections."""
        if heads < 1 or width < 1 or width % heads:
            raise ValueError(
                f"width must be a positive multiple of heads; got width {width} and heads {heads}"
            )
        self.width, self.heads, self.mask_future = width, heads, mask_future
        self.query = nnx.Linear(width, width, rngs=rngs)
        self.key = nnx.Linear(width, width, rngs=rngs)
        self.value = nnx.Linear(width, width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Attend.

        Args:
            x: (B, L, D) floats. What stands at a place that no query may attend to (padding) has
                no influence on the other places, NaN included. Such a place still asks, and gets
                an output of its own; where its content is not finite it asks with zeros.
            mask: boolean, True where there is something to attend to: (B, L) over keys, or
                (B, L, L) over queries and keys. None means everywhere.

        Returns:
            The output (B, L, D), and the weights (B, H, L, L) from query to key. A place with
            nothing to attend to gets zeros in both.

        Raises:
            TypeError: ``x`` is not floating point, or ``mask`` is not boolean.
            ValueError: a shape is not one of those above (whatever would broadcast), or ``x`` is
                NaN or infinite at a place that some query may attend to. The last is checked on
                concrete input only: ``jax.jit`` and ``jax.grad`` do not look at values.
        """
        if x.ndim != 3 or x.shape[-1] != self.width:
            raise ValueError(f"x must have shape (B, L, {self.width}); got {x.shape}")
        batch, length, _ = x.shape
        allowed = attention_mask(mask, batch, length, length)  # (B, 1 or L, L) or None
        if self.mask_future:
            past = jnp.tril(jnp.ones((1, length, length), bool))
            allowed = past if allowed is None else allowed & past
        seen = hide_unattended(x, allowed, "x")  # what keys and values are made of
        # a hidden place may hold NaN, or a number so large that its own scores overflow
        limit = jnp.finfo(x.dtype).max ** 0.5
        asking = x if allowed is None else jnp.where(jnp.abs(x) < limit, x, seen)
        split = (batch, length, self.heads, self.width // self.heads)
        query, key, value = (
            layer(content.reshape(-1, self.width)).reshape(split).swapaxes(1, 2)  # (B, H, L, d)
            for layer, content in ((self.query, asking), (self.key, seen), (self.value, seen))
        )
        heads_mask = None if allowed is None else allowed[:, None]  # (B, 1, 1 or L, L)
        mixed, weights = scaled_dot_product_attention(query, key, value, heads_mask)
        # as one matrix of B L rows: with three axes XLA transposes what the gradient multiplies
        output = self.out(mixed.swapaxes(1, 2).reshape(-1, self.width)).reshape(
            x.shape
        )  # (B, L, D)
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
