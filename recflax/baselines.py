r"""Five recommenders that count, behind one door: fit on a `Log`, ask by person.

>>> from recflax.data.logs import tiny_log
>>> for model in (Popularity(), BuyItAgain(), UserCF(), ItemCF(), SVD(rank=1)):
...     scores = model.fit(tiny_log()).scores([1, 0], candidates=[[3, 1], [3, 1]])
...     print(type(model).__name__, scores.round(2).tolist())
Popularity [[1.0, 2.0], [1.0, 2.0]]
BuyItAgain [[1.5, 0.5], [0.5, 2.5]]
UserCF [[0.0, 0.5], [0.5, 0.0]]
ItemCF [[1.0, 0.0], [1.0, 0.0]]
SVD [[1.0, 0.0], [0.0, 0.0]]

Two things are taken from a log. A person's *history* is the set of items in ``log.events``, bought
or viewed. Their *purchases* are the baskets in ``log.purchases``; an item counts once a basket. In
a shop that logs purchases alone the two hold the same items.

Nothing that a person owns is excluded: purchases repeat. To rank new items only, exclude what is
owned when ranking (``where`` in `recflax.metrics`). Each class says what a person without history
or purchases gets.
"""

from __future__ import annotations

import jax
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from recflax.data.logs import Log
from recflax.interface import Baseline, basket_counts, binary, history_matrix


class Popularity(Baseline):
    """The number of baskets that hold the item, the same for everybody.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> Popularity().fit(tiny_log()).scores([1])
        array([[2., 1., 1.]], dtype=float32)
    """

    def _fit(self, log: Log, key: jax.Array | None) -> None:
        self.popularity = basket_counts(log).sum(axis=0, dtype=np.float32)  # (M,)

    def _score(self, people: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.popularity, (len(people), len(self.popularity)))


class BuyItAgain(Baseline):
    r"""The number of the person's own baskets that hold the item.

    Ties, the items never bought among them, go by popularity: half the share of the people that
    the most bought item has is added, which never outweighs one basket.

    .. math:: s_{uj} = n_{uj} + \tfrac12 \, p_j / \max_i p_i

    Someone without purchases therefore gets popularity, counted in people.

    Example:
        >>> from recflax.data.logs import tiny_log
        >>> BuyItAgain().fit(tiny_log()).scores([0])
        array([[2.5, 0.5, 0.5]], dtype=float32)
    """

    def _fit(self, log: Log, key: jax.Array | None) -> None:
        self.baskets = basket_counts(log)  # (U, M)
        buyers = np.bincount(self.baskets.indices, minlength=log.n_items)
        self.tie_breaker = 0.5 * buyers / buyers.max()  # (M,)

    def _score(self, people: np.ndarray) -> np.ndarray:
        return self.baskets[people].toarray() + self.tie_breaker


class UserCF(Baseline):
    r"""People with a like history, and what they bought (user-based collaborative filtering).

    .. math:: s_{uj} = \sum_{v \in N(u)} \cos(h_u, h_v) \, a_{vj}

    with binary histories h and a = 1 where the neighbour v bought j. N(u) are the nearest
    neighbours, without u; all that tie for the last place are in (Herlocker et al. 1999).

    Someone without history gets zeros.

    Args:
        neighbours: How many neighbours, at least 1.

    Raises:
        ValueError: Fewer than one neighbour.
    """

    def __init__(self, neighbours: int = 100) -> None:
        """Remember how to fit."""
        if neighbours < 1:
            raise ValueError(f"neighbours must be at least 1; got {neighbours}")
        self.neighbours = neighbours

    def _fit(self, log: Log, key: jax.Array | None) -> None:
        history = history_matrix(log)
        self.directions = _scaled(history, rows=_inverse(np.sqrt(history.sum(axis=1))))
        self.bought = binary(basket_counts(log))

    def _score(self, people: np.ndarray) -> np.ndarray:
        near = (self.directions[people] @ self.directions.T).toarray()  # (B, U)
        near[np.arange(len(people)), people] = 0.0
        if self.neighbours < near.shape[1]:
            bar = np.partition(near, -self.neighbours, axis=1)[:, -self.neighbours, None]
            near[near < bar] = 0.0
        return (sparse.csr_array(near) @ self.bought).toarray()


class ItemCF(Baseline):
    r"""Items that are bought by the same people as those in the history.

    .. math:: s_{uj} = \sum_{i \in h_u,\, i \ne j} \text{sim}(i, j)

    With :math:`a_i` the column of item i in the table of people and items, the cosine (Sarwar et
    al. 2001) and the conditional (Deshpande and Karypis 2004, without its power of the popularity)
    similarities are

    .. math:: \text{sim}(i, j) = \frac{a_i \cdot a_j}{\|a_i\| \, \|a_j\|}
              \qquad \text{and} \qquad \frac{a_i \cdot a_j}{\sum_u a_{ui}} .

    Someone without history gets zeros.

    Args:
        similarity: ``"cosine"`` or ``"conditional"``.
        counts: Whether the table counts baskets; otherwise it says bought or not.
        own_items: Whether an item in the history speaks for itself too (i = j).
        history: ``"events"``: :math:`h_u` are the items of ``log.events``; ``"purchases"``: those
            of ``log.purchases``.

    Raises:
        ValueError: An unknown ``similarity`` or ``history``.
    """

    def __init__(
        self,
        similarity: str = "cosine",
        *,
        counts: bool = False,
        own_items: bool = False,
        history: str = "events",
    ) -> None:
        """Remember how to fit."""
        if similarity not in ("cosine", "conditional"):
            raise ValueError(f"similarity must be 'cosine' or 'conditional'; got {similarity!r}")
        if history not in ("events", "purchases"):
            raise ValueError(f"history must be 'events' or 'purchases'; got {history!r}")
        self.similarity, self.history = similarity, history
        self.counts, self.own_items = counts, own_items

    def _fit(self, log: Log, key: jax.Array | None) -> None:
        baskets = basket_counts(log)
        table = baskets if self.counts else binary(baskets)
        together = (table.T @ table).tocsr()  # (M, M)
        if self.similarity == "cosine":
            scale = _inverse(np.sqrt(together.diagonal()))
            together = _scaled(_scaled(together, rows=scale), columns=scale)
        else:
            together = _scaled(together, rows=_inverse(table.sum(axis=0)))
        if not self.own_items:
            together = together - sparse.diags_array(together.diagonal())
        self.together = sparse.csr_array(together)
        self.seen = history_matrix(log) if self.history == "events" else binary(baskets)

    def _score(self, people: np.ndarray) -> np.ndarray:
        return (self.seen[people] @ self.together).toarray()


class SVD(Baseline):
    r"""The purchases of a person, projected on the main directions of the table (PureSVD).

    .. math:: s_u = a_u V V^\top

    with a = 1 where a person bought an item and V the first right singular vectors of that table
    (Cremonesi, Koren and Turrin 2010, section 3.2). Someone without purchases gets zeros.

    Args:
        rank: Number of directions, below the numbers of people and of items.

    Raises:
        ValueError: The rank is below 1, or (when fitting) not below the sides of the table.
    """

    def __init__(self, rank: int = 32) -> None:
        """Remember how to fit."""
        if rank < 1:
            raise ValueError(f"rank must be at least 1; got {rank}")
        self.rank = rank

    def _fit(self, log: Log, key: jax.Array | None) -> None:
        self.bought = binary(basket_counts(log))
        side = min(self.bought.shape)
        if self.rank >= side:
            raise ValueError(f"rank must be below {side}, people or items; got {self.rank}")
        # A fixed start of the iteration makes the result the same every time.
        _, _, directions = svds(self.bought.astype(float), k=self.rank, v0=np.ones(side))
        self.directions = directions.astype(np.float32)  # (rank, M)

    def _score(self, people: np.ndarray) -> np.ndarray:
        return (self.bought[people] @ self.directions.T) @ self.directions


def _inverse(values: np.ndarray) -> np.ndarray:
    """Return 1 / values, and 0 where a value is 0."""
    return np.divide(1.0, values, out=np.zeros(len(values)), where=values > 0)


def _scaled(
    table: sparse.csr_array, *, rows: np.ndarray | None = None, columns: np.ndarray | None = None
) -> sparse.csr_array:
    """Multiply each row, or each column, by its own number."""
    if rows is not None:
        table = sparse.diags_array(rows.astype(np.float32)) @ table
    if columns is not None:
        table = table @ sparse.diags_array(columns.astype(np.float32))
    return sparse.csr_array(table)
