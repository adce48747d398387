"""Nodes for integrals over effects, about the mode of each group.

With the mode m and the inverse curvature V = S S' there, z = m + S x. Gauss-Hermite nodes x are a product, of which
those of next to no weight are left out (adaptive Gauss-Hermite quadrature: Pinheiro and Bates 1995, J. Comput. Graph.
Stat. 4, 12-35). Quasi-random ones are drawn from a mixture of a t law and of the population itself, which bounds the
weights, with a shift of its own for every group, so that errors do not add up.
"""

from functools import lru_cache, reduce

import numpy as np
from scipy import special
from scipy.stats import qmc

NEGLIGIBLE = 1e-13  # weight of a node, beside that of the heaviest
PRIOR = 0.1  # share of the population
TAIL, WIDER = 5, 1.1  # degrees of freedom of few effects, and how many times as wide the law is
LOG_2PI = np.log(2 * np.pi)


@lru_cache(maxsize=64)
def product(order, size):
    """Nodes x (node, column), and the log of their weights over the standard normal density there, (node,)."""
    x, w = np.polynomial.hermite_e.hermegauss(order)
    w = w / w.sum()
    grid = np.stack(np.meshgrid(*[x] * size, indexing="ij"), axis=-1).reshape(-1, size) if size else np.zeros((1, 0))
    weight = reduce(np.multiply.outer, [w] * size, np.ones(())).ravel()
    kept = weight > NEGLIGIBLE * weight.max()
    found = grid[kept], np.log(weight[kept]) + 0.5 * (grid[kept] ** 2 + LOG_2PI).sum(axis=1)
    for each in found:
        each.setflags(write=False)
    return found


def cubature(real):
    """Nodes x (node, group, column) with the moments of a normal law up to the third in the ``real`` columns of each
    group, and the log of their weights over the standard normal density there, (node, group): exact where the integrand
    is a normal density times a quadratic function. Nodes of columns that are none weigh nothing.

    Source: Arasaratnam and Haykin (2009), IEEE Trans. Autom. Control 54, 1254-1269.
    """
    many = np.maximum(real.sum(axis=1), 1)
    each = np.sqrt(many)[:, None, None] * (np.eye(real.shape[1]) * real[:, None])
    here = np.where(real, -np.log(2 * many[:, None]) + 0.5 * many[:, None] * (1 + LOG_2PI), -np.inf)
    return np.concatenate([each, -each], axis=1).swapaxes(0, 1), np.concatenate([here, here], axis=1).T


class Points:
    """Quasi-random points for the ``real`` (group, column) of a `Density`: those of more nodes begin with those of
    fewer, so that only what is added has to be made."""

    def __init__(self, real, rng):
        self.real, self.engine = real, qmc.Sobol(real.shape[1] + 2, seed=rng)
        self.shift = rng.random((len(real), real.shape[1] + 2))
        self.made = self._more(0)

    def first(self, n):
        """n points x (node, group, column) of a standard normal law, how far a t law stretches each, and which are the
        population's, (node, group, 1) each."""
        have = len(self.made[0])
        if n > have:
            self.made = tuple(map(np.concatenate, zip(self.made, self._more(n - have), strict=True)))
        return tuple(x[:n] for x in self.made)

    def _more(self, n):
        u = (self.engine.random(n)[:, None] + self.shift) % 1.0 if n else np.zeros((0, *self.shift.shape))
        x = special.ndtri(np.clip(u[..., 2:], 1e-12, 1 - 1e-12)) * self.real
        tail = np.maximum(TAIL, self.real.sum(axis=1))
        stretch = WIDER / np.sqrt(2 * special.gammaincinv(tail / 2, np.clip(u[..., 1], 1e-12, 1 - 1e-12)) / tail)
        return x, stretch[..., None], u[..., :1] < PRIOR


def scattered(mode, factor, real, drawn):
    """Nodes z (node, group, column) of a mixture about the modes (group, column) at ``drawn`` `Points`, and the logs of
    their weights (node, group); ``factor`` (group, column, column)."""
    (x, stretch, own), many, n = drawn, real.sum(axis=1), len(drawn[0])
    tail = np.maximum(TAIL, many)
    z = np.where(own, x, mode + _each(factor, x * stretch))
    back = _each(np.linalg.inv(factor), (z - mode) / WIDER) * real
    constant = special.gammaln((tail + many) / 2) - special.gammaln(tail / 2) - 0.5 * many * np.log(tail * np.pi)
    constant = constant - np.linalg.slogdet(factor)[1] - many * np.log(WIDER)
    student = constant - 0.5 * (tail + many) * np.log1p((back**2).sum(axis=2) / tail)
    prior = -0.5 * (z**2 + LOG_2PI * real).sum(axis=2)
    dense = np.logaddexp(np.log(PRIOR) + prior, np.log(1 - PRIOR) + student)
    return z, -dense - np.log(n)


def _each(factor, x):
    """Products of a matrix of each group with its nodes (node, group, column)."""
    return (x.swapaxes(0, 1) @ factor.swapaxes(1, 2)).swapaxes(0, 1)
