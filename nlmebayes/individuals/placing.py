"""Where the nodes of an `Integral` stand: at the modes of all groups under one population."""

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from nlmebayes.individuals.climbing import CLOSE, ROUNDS, climb, probe, record_slopes
from nlmebayes.individuals.coordinates import Coordinates, coordinates
from nlmebayes.individuals.integral import Integral
from nlmebayes.individuals.modes import NEAR, NEGLIGIBLE, climbed_soon, curvature, elsewhere, polished, positive
from nlmebayes.individuals.nesting import Nesting, everyone, nesting
from nlmebayes.individuals.rules import Points, cubature, product, scattered
from nlmebayes.individuals.starts import REACH
from nlmebayes.model.model import Model

MOST = 24  # effects of a group whose curvature is found by differences; of more it is Gauss-Newton's
ROWS = 750  # most rows of a product of nodes
ORDERS, LEAST = (41, 21, 15, 11, 9, 7, 6, 5, 4), 5  # the least is for comparison with a finer one alone
SCATTERED, LARGEST = 1024, 100_000  # quasi-random nodes; nodes of a product, of which some are left out
MOST_CUBATURE, NORMAL = 4000, 1e-4  # nodes, and how far their shares may differ, each beside their mean


@dataclass(frozen=True, eq=False)
class Place:
    """Modes z (group, column) under a population, the factor of the inverse curvature there (group, column, column),
    whether each was reached, and the probability of other modes by Laplace, where these were sought, (group,)."""

    target: object
    z: np.ndarray
    factor: np.ndarray
    hessian: np.ndarray
    closed: np.ndarray
    others: np.ndarray


@dataclass(frozen=True, eq=False)
class Population:
    """A model on a design, and what integrals over its effects need whatever the population."""

    model: Model
    design: object
    nest: Nesting
    coordinates: Coordinates

    def place(self, x, start=None):
        """`Place` under the population of coordinates x; modes are climbed to from ``start``, effects by level, or
        sought from many places."""
        target = everyone(self.model, self.design, self.nest, self.coordinates.population(x[None]))
        if not target.size:
            none = np.zeros((len(self.nest.labels), 0))
            square = np.zeros((len(none), 0, 0))
            return Place(target, none, square, square, ~none.any(axis=1), np.zeros(len(none)))
        others = np.zeros(len(self.nest.labels))
        if start is None:
            top = climbed_soon(target)[0]
            z, information, closed = top.z[0], top.information[0], top.closed[0]
            others = elsewhere(target, top)
        else:
            top = climb(target, _standardised(target, start)[None], np.zeros(1, dtype=int), NEAR)
            z, information, closed = top.z[0], top.information[0], top.closed[0]
        if target.size <= MOST:
            newton = polished(target, z[None], NEGLIGIBLE)
            good = newton.closed[0]
            z = np.where(good[:, None], newton.z[0], z)
            hessian = positive(curvature(target, z[None])[2][0], information)
            closed = closed | good
        else:
            none = np.zeros(1, dtype=int)
            again = climb(target, z[None], none, CLOSE, 3 * ROUNDS)
            z, closed = again.z[0], again.closed[0]
            hessian = probe(target, z[None], none, partial(record_slopes, floor=0.0))[2][0]
        return Place(target, z, _root(hessian), hessian, closed, others)

    def orders(self, most=ROWS):
        """Orders of products of nodes that take few rows enough, (outer, inner) each, the finest first; none where
        effects are many."""
        inner, outer = self._sizes()
        found = [(a if outer else 1, a if inner else 1) for a in ORDERS if a ** max(inner, outer) <= LARGEST]
        found = [pair for pair in found if len(product(pair[0], outer)[0]) * len(product(pair[1], inner)[0]) <= most]
        return list(dict.fromkeys(found)) if found and max(found[0]) >= min(LEAST, ORDERS[0] ** (inner + outer)) else []

    def _sizes(self):
        """Numbers of effects of a part, and of a group outside its parts."""
        nest = self.nest
        count = {level.name: np.bincount(nest.part_of(level)).max() for level in nest.inner}
        inner = int(sum(count[level.name] * len(level.effects) for level in nest.inner))
        return inner, len(nest.outer.effects) if nest.outer is not None else 0

    def quadrature(self, x, place, order):
        """`Integral` with Gauss-Hermite nodes at a `Place`; ``order`` is (outer, inner)."""
        inner, outer = self._sizes()
        (above, above_weight), (below, below_weight) = product(order[0], outer), product(order[1], inner)
        columns = self._columns(place.target, outer)
        return _Nodes(self, x, place, outer, columns).integral(above, above_weight, below, below_weight)

    def rule(self, x, place, rows, n, seed):
        """`Integral` at a `Place`: a product of nodes where that takes no more than so many ``rows``; else those that
        are exact for a normal law where the integrand is one, and n quasi-random ones where it is not."""
        orders = self.orders(rows)
        if orders:
            return self.quadrature(x, place, orders[0])
        together = Population(self.model, self.design, self.nest.together, self.coordinates)
        real = place.target.real
        if 2 * real.shape[1] <= MOST_CUBATURE and real.any(axis=1).all():
            nodes, weight = cubature(real)
            z = place.z + np.einsum("gij,ngj->ngi", place.factor, nodes)
            log_weight = weight + np.linalg.slogdet(place.factor)[1]
            found = replace(together.joint(x, place.target, z, log_weight), gauss=True)
            share = found.weighed(x, found.records(x)).share[:, 0] * 2 * real.sum(axis=1, keepdims=True)
            if np.abs(share - 1)[np.isfinite(weight.T)].max() < NORMAL:
                return found
        return self.scattered(x, place, n, seed)

    @cached_property
    def _points(self):
        """`Points` of nodes by their seed, the same at every place: to draw them takes as long as to predict at
        them."""
        return {}

    def scattered(self, x, place, n, seed):
        """`Integral` with n quasi-random nodes for all effects of a group together."""
        together = Population(self.model, self.design, self.nest.together, self.coordinates)
        if seed not in self._points:
            self._points[seed] = Points(place.target.real, np.random.default_rng(seed))
        z, log_weight = scattered(place.z, place.factor, place.target.real, self._points[seed].first(n))
        return together.joint(x, place.target, z, log_weight)

    def joint(self, x, target, z, log_weight):
        """`Integral` of nodes z (node, group, column) and weights (node, group) of all effects together."""
        n = len(z)
        eta = target.effects(z, np.zeros(n, dtype=int))
        effects = {level.name: _by_effect(eta[level.name])[:, :, None] for level in self.nest.inner}
        size = self._log_size(x, self.nest.inner, self.nest)
        shape, linear = (1, n), target.linear(z, np.zeros(n, dtype=int))
        weight = (log_weight.T + size[:, None])[:, None]
        none = np.zeros((len(self.nest.labels), 1))
        return Integral(target, self.nest, self.coordinates, x, linear, shape, effects, weight, none)

    def _columns(self, target, outer):
        """Columns of each part among those of its group, (part, column)."""
        part = {level.name: self.nest.part_of(level) for level in self.nest.inner}
        found = [[] for _ in self.nest.parent]
        for level, g, _, _, column in target.columns:
            if level.name in part:
                found[part[level.name][g]].append(column)
        most = max(map(len, found))
        return np.array([each + [-1] * (most - len(each)) for each in found], dtype=int).reshape(len(found), most)

    def _log_size(self, x, levels, nest):
        """Log of |A| of all effects of each part, (part,)."""
        factors, found = self.coordinates.factors(x[None]), np.zeros(len(nest.parent))
        for level in levels:
            size = np.linalg.slogdet(factors[level.name][0])[1]
            found += size * np.bincount(nest.part_of(level), minlength=len(found))
        return found


class _Nodes:
    """Gauss-Hermite nodes about a place: outer ones by the curvature that is left when the parts are integrated out,
    those of each part about where its mode is then."""

    def __init__(self, population, x, place, outer, columns):
        self.population, self.x, self.place, self.outer, self.columns = population, x, place, outer, columns
        self.nest = population.nest

    def integral(self, above, above_weight, below, below_weight):
        nest, place = self.nest, self.place
        target, outer, parent = place.target, np.arange(self.outer), self.nest.parent
        m, k = len(above), len(below)
        z = np.repeat(place.z[None], m * k, axis=0).reshape(m, k, *place.z.shape)
        real = self.columns >= 0
        own = _taken(place.hessian, parent, self.columns, self.columns, real)
        inverse = np.linalg.inv(own)
        log_outer = np.zeros((len(nest.labels), m))
        if self.outer:
            cross = place.hessian[parent[:, None], self.columns][..., : self.outer] * real[..., None]
            left = place.hessian[:, outer][:, :, outer].copy()
            np.subtract.at(left, parent, cross.transpose(0, 2, 1) @ inverse @ cross)
            root = _root(left)
            away = np.einsum("gij,mj->mgi", root, above)
            z[..., outer] += away[:, None]
            log_outer = above_weight + np.linalg.slogdet(root)[1][:, None] + self._size([nest.outer])[:, None]
        factor = _root(own)
        spread = np.einsum("pij,kj->kpi", factor, below)[None]
        if self.outer:
            spread = spread - np.einsum("pij,pjo,mpo->mpi", inverse, cross, away[:, parent])[:, None]
        spread = np.broadcast_to(spread, (m, k, *self.columns.shape))
        for j in range(self.columns.shape[1]):
            here = np.flatnonzero(real[:, j])
            z[:, :, parent[here], self.columns[here, j]] += spread[:, :, here, j]
        log_inner = below_weight + (np.linalg.slogdet(factor)[1] + self._size(nest.inner))[:, None]
        rows = z.reshape(m * k, *place.z.shape)
        which = np.zeros(m * k, dtype=int)
        eta, effects = target.effects(rows, which), {}
        for level in nest.inner:
            each = _by_effect(eta[level.name])
            effects[level.name] = each.reshape(*each.shape[:2], m, k)
        if self.outer:
            effects[nest.outer.name] = _by_effect(eta[nest.outer.name][::k])
        return Integral(
            target, nest, self.population.coordinates, self.x, target.linear(rows, which), (m, k), effects,
            log_inner[:, None], log_outer, gauss=True,
        )  # fmt: skip

    def _size(self, levels):
        """Log of |A| of the effects of levels, by group of the outer one or by part."""
        if levels == [self.nest.outer]:
            factor = self.population.coordinates.factors(self.x[None])[self.nest.outer.name][0]
            return np.full(len(self.nest.labels), np.linalg.slogdet(factor)[1])
        return self.population._log_size(self.x, levels, self.nest)


def _by_effect(eta):
    """Effects (node, group, effect) as (group, effect, node), with what is summed over side by side."""
    return np.ascontiguousarray(eta.transpose(1, 2, 0))


def _root(hessian):
    """S with S S' the inverse of a curvature."""
    return np.linalg.inv(np.linalg.cholesky(hessian)).swapaxes(-1, -2)


def _taken(matrices, which, rows, columns, real):
    """Blocks of matrices, the identity where there is no such row."""
    found = matrices[which[:, None, None], rows[:, :, None], columns[:, None, :]]
    both = real[:, :, None] & real[:, None, :]
    return np.where(both, found, np.eye(rows.shape[1]))


def _standardised(target, effects):
    """z (group, column) of effects by level, none farther out than anybody is."""
    z = np.zeros((len(target.labels), target.size))
    each = {name: np.linalg.solve(target.population.cholesky(name)[0], x.T).T for name, x in effects.items()}
    for level, g, k, subject, column in target.columns:
        z[subject, column] = each[level.name][g, k]
    return np.clip(z, -REACH, REACH)


def populated(model, design):
    """`Population` of a model on a design."""
    return Population(model, design, nesting(design), coordinates(model, design))
