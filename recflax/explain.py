r"""What each event of a history does to a score, and what it tells of the person, in one shape.

Three attributions of a fitted `Recommender`, each (B, N, L): person, candidate, place of the
history, and exactly 0 at padding.

- `attention_importance`: where the network looked. A share, without a sign.
- `leave_one_out`: the score without the event minus the score with it; older events move up a
  place. This is what the event does to the *model*, by definition.
- `gradient_times_input`: a guess at it to first order, from one backward pass.

`information` is what the event tells of the *person*, whatever the model; what it does to her is
``Store.history_effect``. All but attention have one sign, "without minus with": negative where the
event raises the number. `recflax.agreement` holds any two of them against each other.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recflax.data.batches import Batch, check_ids, make_batch
from recflax.recommender import Recommender
from recflax.worlds.history_oracle import given_history
from recflax.worlds.store import Store
from recflax.worlds.store_blocks import some_people

KINDS = ("cross", "rollout")
SCALES = ("probability", "logit")


def without_each(batch: Batch) -> Batch:
    """Every history as often as it has places, each time without the event of one of them.

    Args:
        batch: B histories of L places.

    Returns:
        A batch whose history, bought and mask are (B, L, L): entry ``[b, l]`` is history b without
        the event of place l. Older events have moved up, and padding fills the oldest place. At a
        padded place nothing is removed. Candidates, target and weight are left out.

    Example:
        >>> batch = make_batch([[0, 5, 7]], n_items=7)
        >>> without_each(batch).history[0].tolist()
        [[0, 5, 7], [0, 0, 7], [0, 0, 5]]
    """
    length = np.shape(batch.history)[1]
    place = np.arange(length)
    source = place - (place <= place[:, None])  # (L, L): which place stands there now, -1 for none
    kept = (np.pad(np.asarray(part), ((0, 0), (1, 0)))[:, source + 1] for part in batch[:3])
    return Batch(*kept)


def attention_importance(network: Recommender, batch: Batch, kind: str = "cross") -> np.ndarray:
    r"""Where the network looked in the history when it scored a candidate, (B, N, L).

    ``"cross"`` is the weights of cross-attention, averaged over its heads. ``"rollout"`` follows
    them back through the blocks of self-attention, since what cross-attention looked at was mixed
    before (Abnar and Zuidema 2020, section 3): with :math:`A_b` the weights of block b averaged
    over heads, and half of each event passed on by the residual connection,

    .. math:: r = c\, \tilde A_B \cdots \tilde A_1, \qquad \tilde A_b = \tfrac12 A_b + \tfrac12 I .

    Weights over a history sum to 1. Where the *person* attends, all candidates have the same
    weights. Where the *newest* event speaks for all there is no cross-attention; rollout starts
    from that event.

    Args:
        network: fitted.
        batch: histories, and candidates (B, N); without, N is M.
        kind: ``"cross"`` or ``"rollout"``.

    Raises:
        TypeError: ids that are not integers.
        ValueError: an unknown kind, ``"cross"`` of a network without cross-attention, or a batch
            that the network refuses.

    Example:
        >>> from recflax.recommender import RecommenderConfig
        >>> network = Recommender(RecommenderConfig(n_items=7), rngs=nnx.Rngs(0))
        >>> batch = make_batch([[0, 3, 5]], n_items=7, candidates=[[2, 6]])
        >>> weights = attention_importance(network, batch)
        >>> weights.shape, weights[0, :, 0].tolist()
        ((1, 2, 3), [0.0, 0.0])
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}; got {kind!r}")
    newest = network.config.query == "newest"
    if newest and kind == "cross":
        raise ValueError("kind must be 'rollout' for a network whose query is 'newest'")
    inside = network.intermediates(batch)
    rows, length = np.shape(batch.history)
    mask = np.asarray(batch.mask)[:, None]  # (B, 1, L)
    if newest:
        weights = np.broadcast_to(np.eye(length)[-1], (rows, 1, length)) * mask
    else:
        weights = np.asarray(inside["cross_attention"], float).mean(axis=1)  # (B, N or 1, L)
    if kind == "rollout":
        for block in reversed(range(network.config.blocks)):
            mixing = np.asarray(inside[f"self_attention_{block}"], float).mean(axis=1)
            weights = weights @ (0.5 * mixing + 0.5 * np.eye(length))  # (B, N or 1, L)
    return np.array(np.broadcast_to(weights * mask, (rows, _candidates(network, batch), length)))


def leave_one_out(
    network: Recommender, batch: Batch, arm: str | None = None, scale: str = "probability"
) -> np.ndarray:
    r"""What the network says without each event, minus what it says with it, (B, N, L).

    .. math:: \Delta_{nl} = f_n(h_{-l}) - f_n(h)

    Removal is that of `without_each` and of ``Store.history_effect``. All L removals of all
    histories are scored inside one compiled call.

    Args:
        network: fitted.
        batch: histories, and candidates (B, N); without, N is M.
        arm: which arm; None is the first.
        scale: ``"probability"``, the sigmoid of the score, or ``"logit"``, the score itself.

    Raises:
        TypeError: ids that are not integers.
        ValueError: an unknown arm or scale, or a batch that the network refuses.

    Example:
        >>> from recflax.recommender import RecommenderConfig
        >>> network = Recommender(RecommenderConfig(n_items=7), rngs=nnx.Rngs(0))
        >>> batch = make_batch([[0, 3, 5]], n_items=7, candidates=[[2, 6]])
        >>> effect = leave_one_out(network, batch)
        >>> effect.shape, effect[0, :, 0].tolist()
        ((1, 2, 3), [0.0, 0.0])
    """
    arm_number, batch = _asked(network, batch, arm, scale)
    graphdef, params = nnx.split(network)
    one_place_each = jax.tree.map(lambda part: part.swapaxes(0, 1), without_each(batch))
    found = _leave_one_out(graphdef, params, batch, one_place_each, arm_number, scale)
    return np.asarray(found, float) * batch.mask[:, None]


def gradient_times_input(
    network: Recommender,
    batch: Batch,
    arm: str | None = None,
    scale: str = "probability",
    baseline: Any = None,
) -> np.ndarray:
    r"""What taking an event's vector to a baseline does to the score, to first order, (B, N, L).

    .. math:: -\sum_d (x_{ld} - b_d)\, \frac{\partial f_n}{\partial x_{ld}}

    with :math:`x_l` the embedded event: item, category, place and whether it was bought. With b = 0
    it is gradient times input (Shrikumar et al. 2016). A network that normalises its
    events hardly feels how long their vectors are, so it hardly feels that they shrink towards 0; a
    mean event is then the better baseline.

    Args:
        network: fitted.
        batch: histories, and candidates (B, N); without, N is M.
        arm: which arm; None is the first.
        scale: ``"probability"`` or ``"logit"``.
        baseline: b, (D,) finite; None is 0.

    Raises:
        TypeError: ids that are not integers.
        ValueError: an unknown arm or scale, a baseline of another shape or not finite, or a batch
            that the network refuses.

    Example:
        >>> from recflax.recommender import RecommenderConfig
        >>> network = Recommender(RecommenderConfig(n_items=7), rngs=nnx.Rngs(0))
        >>> batch = make_batch([[0, 3, 5]], n_items=7, candidates=[[2, 6]])
        >>> gradient_times_input(network, batch).shape
        (1, 2, 3)
    """
    arm_number, batch = _asked(network, batch, arm, scale)
    width = network.config.width
    start = np.zeros(width) if baseline is None else np.asarray(baseline, float)
    if start.shape != (width,) or not np.isfinite(start).all():
        raise ValueError(f"baseline must be ({width},) and finite; got shape {start.shape}")
    params, place = nnx.split(network)[1], network.place[...]
    if not network.config.positions:  # give it places that are zero: they change nothing
        place = jnp.zeros_like(place)
    with_places = replace(network.config, positions=True)
    graphdef = nnx.split(nnx.eval_shape(lambda: Recommender(with_places, rngs=nnx.Rngs(0))))[0]
    given = params, place, batch, jnp.asarray(start, place.dtype)
    found = _gradient_times_input(graphdef, *given, arm_number, scale)
    return np.asarray(found, float) * batch.mask[:, None]


def information(
    store: Store, people: Any, items: Any, *, draws: int = 4_000, seed: int
) -> np.ndarray:
    r"""What each event tells about a person: the change of :math:`E[do(1) \mid H]`, (n, L).

    The best possible knowledge of an item's chance under display, from a history in which the
    event was never logged, minus that from the whole history. Nobody knows the taste, so none is
    held: the change has what the event tells of the taste, and what it did to the person as far as
    the history can say. Two events of one need in a row tell the same, and are exact ties: the
    change is rounded to 12 decimals.

    Args:
        store: the store.
        people: (n,) person ids.
        items: (n,) the item of each, 1 to M.
        draws: tastes drawn by `recflax.worlds.history_oracle.given_history`, at least 2.
        seed: of these draws, which all histories share.

    Raises:
        TypeError: ids that are not integers.
        ValueError: an id out of range, not one item for each person, or too few draws.

    Example:
        >>> from recflax.worlds.store import StoreConfig, build_store
        >>> store = build_store(StoreConfig(n_people=7, n_items=11, n_categories=3), seed=5)
        >>> information(store, [4, 0], [3, 3], draws=101, seed=0).shape
        (2, 16)
    """
    part = some_people(store, people)
    items = check_ids(items, "items", low=1, n_items=store.config.n_items, ndim=1)
    rows, length = part.history.shape
    if len(items) != rows:
        raise ValueError(f"items must hold one id for each of {rows} people; got {len(items)}")
    whole = make_batch(part.history, part.bought, n_items=store.config.n_items)
    shorter = without_each(whole)
    # one population: the people as they are, then each of them L times without an event
    everyone = np.concatenate([np.arange(rows), np.repeat(np.arange(rows), length)])
    asked = replace(
        some_people(part, everyone),
        history=np.concatenate([whole.history, shorter.history.reshape(-1, length)]),
        bought=np.concatenate([whole.bought, shorter.bought.reshape(-1, length)]),
    )
    known = given_history(asked, "do_1", draws=draws, seed=seed).value
    known = known[np.arange(len(everyone)), items[everyone] - 1]
    change = known[rows:].reshape(rows, length) - known[:rows, None]
    return change.round(12) * whole.mask


def _candidates(network: Recommender, batch: Batch) -> int:
    """N, how many candidates are scored."""
    return network.config.n_items if batch.candidates is None else np.shape(batch.candidates)[1]


def _asked(network: Recommender, batch: Batch, arm: str | None, scale: str) -> tuple[int, Batch]:
    """The number of the arm, and the batch, its ids checked."""
    arms = network.config.arms
    arm = arms[0] if arm is None else arm
    if arm not in arms:
        raise ValueError(f"arm must be one of {arms}; got {arm!r}")
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {SCALES}; got {scale!r}")
    n_items = network.config.n_items
    checked = make_batch(batch.history, batch.bought, n_items=n_items, candidates=batch.candidates)
    return arms.index(arm), checked


def _on_scale(scores: jax.Array, scale: str) -> jax.Array:
    return jax.nn.sigmoid(scores) if scale == "probability" else scores


@partial(jax.jit, static_argnames=("graphdef", "arm", "scale"))
def _leave_one_out(
    graphdef: Any, params: Any, batch: Batch, shorter: Batch, arm: int, scale: str
) -> jax.Array:
    """(B, N, L), from histories (B, L) and, a place after the other, those without it (L, B, L)."""
    network = nnx.merge(graphdef, params)

    def asked(parts: Batch) -> jax.Array:
        return _on_scale(network(parts._replace(candidates=batch.candidates))[:, arm], scale)

    without = jax.lax.map(asked, shorter)  # (L, B, N)
    return jnp.moveaxis(without - asked(batch), 0, -1)


@partial(jax.jit, static_argnames=("graphdef", "arm", "scale"))
def _gradient_times_input(
    graphdef: Any,
    params: Any,
    place: jax.Array,
    batch: Batch,
    start: jax.Array,
    arm: int,
    scale: str,
) -> jax.Array:
    """(B, N, L), person by person: the vector of an event is a sum with the row of its place.

    No two events of a history share a place, so the gradient with respect to that row is the
    gradient with respect to the event's vector.
    """
    length = batch.history.shape[1]

    def of_person(one: Batch) -> jax.Array:
        row = jax.tree.map(lambda part: part[None], one)

        def scores(place: jax.Array) -> tuple[jax.Array, jax.Array]:
            network = nnx.merge(graphdef, params)
            network.place = nnx.Param(place)
            found, inside = network.forward(row)
            return _on_scale(found[0, arm], scale), inside["events"][0]

        slope, events = jax.jacrev(scores, has_aux=True)(place)  # (N, P, D), (L, D)
        return -jnp.einsum("nld,ld->nl", slope[:, :length][:, ::-1], events - start)

    return jax.vmap(of_person)(batch)
