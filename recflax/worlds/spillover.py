r"""When friends see it too: an experiment in a network, with the exact law of its estimate.

There are G communities of n people, N = Gn in all. Half of the units get the new feed, :math:`W_i`.
What a person does depends on her own feed and on the share :math:`E_i` of her friends who have it,

.. math:: Y_i = b_{c(i)} + d\,W_i + s\,E_i + \varepsilon_i , \qquad
    E_i = \frac{\rho}{n-1} \sum_{k \in c(i),\, k \ne i} W_k
        + \frac{1-\rho}{N-n} \sum_{k \notin c(i)} W_k

so a share :math:`\rho` of everybody's friends is in the own community. Wanted is everybody against
nobody, :math:`d + s`. Two designs draw who is treated: half of the *people*, or half of the
*communities*. With signs :math:`S = 2W - 1`, which sum to 0, the difference of means is

.. math:: \hat\tau = \frac{2}{N} S^\top Y
    = d + \frac{s}{N}\, S^\top\! A S + \frac{2}{N} S^\top (b + \varepsilon)

with A the matrix of shares. Its mean and variance over the draw of S and of the noise are closed
(here), and can be enumerated for small N (in the tests). Person by person the friends of the
treated are treated no more often than those of others, so the spill-over is lost; by communities
most of it is kept, and the levels :math:`b_c`, which no longer cancel, are paid for.

Sources: Hudgens and Halloran (2008) for the estimands, Eckles, Karrer and Ugander (2017) for the
designs, Kish (1965) for the design effect.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from recflax.causal.power import normal_power
from recflax.worlds.checks import check_config

DESIGNS = ("person", "community")


@dataclass(frozen=True)
class Spillover:
    """The equations of the experiment, and the exact law of its estimate under two designs.

    Attributes:
        communities: G, even, at least 4.
        size: n people a community, at least 2.
        inside: rho, share of everybody's friends who are in her own community, 0 to 1.
        direct: d, what her own new feed adds to a person's outcome.
        spill: s, what it adds if all of her friends have it.
        spread: standard deviation of the communities' levels b (of these G, divisor G - 1).
        noise: standard deviation of the noise.

    Raises:
        TypeError: a value of the wrong kind.
        ValueError: a value is out of range.

    Example:
        >>> world = Spillover(communities=4, size=3, inside=0.75, direct=1.0, spill=2.0)
        >>> world.effect(), round(world.bias("person"), 3), round(world.bias("community"), 3)
        (3.0, -2.182, -0.667)
        >>> Spillover(communities=5)
        Traceback (most recent call last):
        ...
        ValueError: communities must be even and at least 4; got 5
    """

    communities: int = 40
    size: int = 50
    inside: float = 0.8
    direct: float = 0.1
    spill: float = 0.3
    spread: float = 0.25
    noise: float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        check_config(self, least={"size": 2, "spread": 0, "noise": 0}, chances=("inside",))
        if self.communities < 4 or self.communities % 2:
            raise ValueError(f"communities must be even and at least 4; got {self.communities}")

    @property
    def people(self) -> int:
        """N, all people."""
        return self.communities * self.size

    def levels(self) -> np.ndarray:
        """(G,) levels b of the communities: evenly spaced, mean 0, standard deviation `spread`."""
        steps = np.arange(self.communities) - (self.communities - 1) / 2
        return self.spread * steps / steps.std(ddof=1)

    def friends(self) -> np.ndarray:
        """A, (N, N): each row the shares of a person's friends, which sum to 1."""
        community = np.repeat(np.arange(self.communities), self.size)
        same = community[:, None] == community
        near, far = self._shares()
        return np.where(same, near, far) - near * np.eye(self.people)

    def effect(self) -> float:
        """Everybody against nobody: d + s."""
        return self.direct + self.spill

    def expected(self, design: str) -> float:
        r"""The mean of the estimate over the draws of a design.

        With :math:`Q = \sum_c (\sum_{i \in c} S_i)^2` it is

        .. math:: d + \frac{s}{N}\Big( \frac{\rho\,(E[Q] - N)}{n - 1}
            - \frac{(1-\rho)\, E[Q]}{N - n} \Big)

        and Q is :math:`N n` by communities, and :math:`N (N-n)/(N-1)` on average by people.

        Raises:
            ValueError: an unknown design.
        """
        mean, _ = self._squares(design)
        near, far = self._shares()
        return self.direct + self.spill / self.people * (near * (mean - self.people) - far * mean)

    def bias(self, design: str) -> float:
        r"""How far the mean of the estimate is from the effect.

        By people :math:`-s\,N/(N-1)`, whatever the network; by communities
        :math:`-s\,(1-\rho)\,G/(G-1)`.
        """
        return self.expected(design) - self.effect()

    def std_error(self, design: str) -> float:
        r"""The standard deviation of the estimate over the draws of a design and the noise.

        The three parts of the estimate that vary are uncorrelated, since S and -S are equally
        likely: the exposure, :math:`\frac{s}{N} \big(\frac{\rho}{n-1} - \frac{1-\rho}{N-n}\big) Q`
        up to a constant, the levels, and the noise.

        Raises:
            ValueError: an unknown design.
        """
        _, variance = self._squares(design)
        near, far = self._shares()
        exposure = (self.spill / self.people * (near - far)) ** 2 * variance
        return math.sqrt(exposure + self._levels_variance(design) + 4 * self.noise**2 / self.people)

    def design_effect(self) -> float:
        """Variance by communities over variance by people: how many times the people it takes."""
        return (self.std_error("community") / self.std_error("person")) ** 2

    def error(self, design: str) -> float:
        """Root mean squared error of the estimate: bias and spread together."""
        return math.hypot(self.bias(design), self.std_error(design))

    def power(self, design: str, level: float = 0.95) -> float:
        """The chance that an interval of this level leaves out 0, by the normal law.

        Raises:
            ValueError: an unknown design, or a level that is not inside (0, 1).
        """
        return normal_power(self.expected(design), self.std_error(design), level)

    def draw(self, design: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One experiment: who is treated (N,) bool, and the outcomes (N,).

        Raises:
            ValueError: an unknown design.
        """
        units = self.communities if _check_design(design) == "community" else self.people
        treated = np.zeros(units, dtype=bool)
        treated[rng.permutation(units)[: units // 2]] = True
        treated = np.repeat(treated, self.people // units)
        exposure = self.friends() @ treated
        level = np.repeat(self.levels(), self.size)
        noise = self.noise * rng.normal(size=self.people)
        return treated, level + self.direct * treated + self.spill * exposure + noise

    def _shares(self) -> tuple[float, float]:
        """The share that one friend has who is in the own community, and one who is not."""
        return self.inside / (self.size - 1), (1 - self.inside) / (self.people - self.size)

    def _squares(self, design: str) -> tuple[float, float]:
        r"""Mean and variance of :math:`Q = \sum_c T_c^2`, with T_c the signs' sum in c.

        By people these need the mean products of two and of four different signs out of N that sum
        to 0: :math:`-1/(N-1)` and :math:`3/((N-1)(N-3))`.
        """
        groups, n, total = self.communities, self.size, self.people
        if _check_design(design) == "community":
            return float(total * n), 0.0
        two, four = -1 / (total - 1), 3 / ((total - 1) * (total - 3))
        pairs = n * (n - 1)
        mean = n + pairs * two
        # E[T^4]: all one, three and one, two pairs, a pair and two others, four different
        fourth = n + (4 * two + 3) * pairs
        fourth += 6 * pairs * (n - 2) * two + pairs * (n - 2) * (n - 3) * four
        across = n**2 + 2 * n * pairs * two + pairs**2 * four  # E[T_c^2 T_d^2]
        square = groups * fourth + groups * (groups - 1) * across
        return groups * mean, max(0.0, square - (groups * mean) ** 2)

    def _levels_variance(self, design: str) -> float:
        """What the levels of the communities add to the variance."""
        squares = (self.communities - 1) * self.spread**2
        if design == "community":
            return 4 * squares / (self.communities * (self.communities - 1))
        return 4 * squares * self.size / (self.people * (self.people - 1))


def _check_design(design: str) -> str:
    if design not in DESIGNS:
        raise ValueError(f"design must be one of {DESIGNS}; got {design!r}")
    return design
