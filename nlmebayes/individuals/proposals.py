"""Where the particles of a patient come from: a mixture, conditional on the population s,

    q(z | s)  =  (1 - a) sum over components k  pi_k h(z; m_ks, V_k)  +  a Normal(z; 0, 1)
    h(z; m, V)  =  (1 - w) t_5(z; m, V)  +  w t_5(z; m, 9 V)

with the share a of the population itself and the share w of wide copies. A particle is weighed by the whole mixture,
not by the component that it came from (Owen and Zhou 2000, J. Am. Stat. Assoc. 95, 135-143), so no weight is above
p(y | z) / a, and what no component covers shows in the weights. Draws are quasi-random.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special
from scipy.stats import qmc

TAIL = 5  # degrees of freedom
PRIOR = 0.15  # share of the population
WIDE, WIDER = 0.1, 3.0  # share of the wide copies, and how many times as wide they are
LOG_2PI = np.log(2 * np.pi)


@dataclass(frozen=True, eq=False)
class Proposal:
    """``centre`` (component, population, column), ``factor`` (component, column, column) with V = factor factor',
    ``share`` (component,), which sum to one."""

    centre: np.ndarray
    factor: np.ndarray
    share: np.ndarray

    @cached_property
    def _inverse(self):
        return np.linalg.inv(self.factor)

    @cached_property
    def _constant(self):
        d = self.factor.shape[1]
        found = special.gammaln((TAIL + d) / 2) - special.gammaln(TAIL / 2) - 0.5 * d * np.log(TAIL * np.pi)
        return found + np.linalg.slogdet(self._inverse)[1]

    def draw(self, position, rng):
        """z (particle, column) under the populations at ``position`` (particle,)."""
        n, d = len(position), self.factor.shape[1]
        u = qmc.Sobol(min(d + 1, 21201), seed=rng).random_base2(int(n - 1).bit_length())[:n]
        z = special.ndtri(np.clip(u[:, 1:], 1e-12, 1 - 1e-12))
        edges = np.cumsum([PRIOR, *((1 - PRIOR) * self.share)])
        component = np.searchsorted(edges / edges[-1], u[:, 0], side="right").clip(max=len(self.share))
        k = np.maximum(component - 1, 0)
        width = np.where(rng.random(n) < WIDE, WIDER, 1.0) / np.sqrt(rng.chisquare(TAIL, n) / TAIL)
        moved = self.centre[k, position] + np.einsum("nij,nj->ni", self.factor[k], z) * width[:, None]
        return np.where(component[:, None] > 0, moved, z)

    def log_parts(self, z, position):
        """Log-density of each part with its share, the population first, (part, particle)."""
        found = [np.log(PRIOR) + log_normal(z)]
        d = z.shape[1]
        for centre, inverse, constant, share in zip(
            self.centre, self._inverse, self._constant, self.share, strict=True
        ):
            square = (((z - centre[position]) @ inverse.T) ** 2).sum(axis=1) / TAIL
            near, far = (-0.5 * (TAIL + d) * np.log1p(x) for x in (square, square / WIDER**2))
            both = np.logaddexp(np.log(1 - WIDE) + near, np.log(WIDE) - d * np.log(WIDER) + far)
            with np.errstate(divide="ignore"):
                found.append(np.log((1 - PRIOR) * share) + constant + both)
        return np.stack(found)


def log_normal(z):
    """Log-density of the population, (particle,)."""
    return -0.5 * (z**2 + LOG_2PI).sum(axis=1)
