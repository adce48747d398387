r"""The likelihood of every group of a design with its random effects integrated out, and its slopes.

.. math:: L_i(\theta, A, \sigma) = \int p(y_i | f(\ell), \sigma) N(\eta; 0, A A') d\eta \approx
          \sum_k w_{ik} p(y_i | f_{ik}, \sigma) N(\eta_{ik} - D_i (\theta - \theta_0); 0, A A')

Nodes are places of the linear predictors l = X theta + Z eta, made at theta_0. Where columns of X are those of effects,
X = Z D, another theta leaves l and so the predictions f alone and moves the effects instead; so do A and sigma. What
else theta moves is predicted again. Given the nodes, the slopes in all parameters are exact (Fisher's identity: the
expectation over the nodes of those of the complete data).

Of nested levels the outer effects have nodes of their own, and the parts of a group are independent at each of these.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from nlmebayes.individuals.coordinates import Coordinates
from nlmebayes.individuals.density import LOG_2PI, Density
from nlmebayes.individuals.nesting import Nesting

SAME = 1e-9  # of a column, that its effects may miss
CURVED = 1e-3  # step of the scale of a part of a residual, for its curvature
SHARE = 1e-7  # of a node among those of its part, below which it is out of the way


@dataclass(frozen=True, eq=False)
class Absorbed:
    """What a fixed effect does: it moves the effects of ``level`` by ``shift`` (group, effect) for each unit, or, where
    level is None, linear predictors of ``parameter`` (its position) by ``column`` (unit,)."""

    level: str | None
    shift: np.ndarray | None
    parameter: int
    column: np.ndarray


def absorbed(design, names, nest, theta):
    """`Absorbed` of the fixed effects ``theta``, (parameter, term) each."""
    levels = [level for level in (nest.outer, *nest.inner) if level is not None]
    return [_absorbed(design.fixed[name].values[:, k], name, names.index(name), levels) for name, k in theta]


def _absorbed(column, name, place, levels):
    for level in levels:
        for k, effect in enumerate(level.effects):
            if effect.parameter != name:
                continue
            z, count = level.z[:, k], len(level.labels)
            top, bottom = (np.bincount(level.of_unit, x, count) for x in (column * z, z * z))
            each = np.divide(top, bottom, out=np.zeros(count), where=bottom > 0)
            if np.abs(column - each[level.of_unit] * z).max(initial=0.0) <= SAME * np.abs(column).max(initial=1.0):
                shift = np.zeros((count, len(level.effects)))
                shift[:, k] = each
                return Absorbed(level.name, shift, place, column)
    return Absorbed(None, None, place, column)


def _at_places(f, places):
    """Predictions (row, place), no copy where all of them are asked for in their order."""
    return f if np.array_equal(places, np.arange(f.shape[1])) else f[:, places]


@dataclass(frozen=True, eq=False)
class Local:
    """Log-densities of the records at the nodes, (part, outer node, node), with their ``slope`` (..., own) and
    ``curvature`` (..., own, own) in the coordinates that move them; ``own`` are the positions of these."""

    origin: np.ndarray
    value: np.ndarray
    own: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray

    def held(self, share):
        """The same where nodes with next to no ``share`` of their part keep their log-densities: far from the data
        these are no parabolas."""
        still = (share < SHARE)[..., None]
        slope, curvature = np.where(still, 0.0, self.slope), np.where(still[..., None], 0.0, self.curvature)
        return replace(self, slope=slope, curvature=curvature)

    def at(self, x):
        """Log-densities at coordinates x, to second order, and their slopes in those that are ``own``."""
        if not len(self.own):
            return self.value, self.slope
        step = (x - self.origin)[self.own]
        bent = (self.curvature.reshape(-1, len(step)) @ step).reshape(self.slope.shape)
        return self.value + (self.slope + 0.5 * bent) @ step, self.slope + bent


@dataclass(frozen=True, eq=False)
class Integral:
    """Nodes of all groups, and what is known there.

    ``linear`` (row, parameter, unit) of the rows, outer nodes times nodes, ``shape`` their numbers; ``effects`` by
    level: (group, effect, outer node) of the outer one, (group, effect, outer node, node) of others; ``log_weight``
    (part, outer node, node) and ``outer_weight`` (group, outer node).
    """

    target: Density
    nest: Nesting
    coordinates: Coordinates
    origin: np.ndarray
    linear: np.ndarray
    shape: tuple
    effects: dict
    log_weight: np.ndarray
    outer_weight: np.ndarray
    gauss: bool = False  # whether the nodes are a product, not drawn

    @cached_property
    def absorbed(self):
        names = [p.name for p in self.target.model.structure.parameters]
        return absorbed(self.target.design, names, self.nest, self.coordinates.theta)

    @cached_property
    def free(self):
        """Positions of the fixed effects that move predictions."""
        return np.array([i for i, each in enumerate(self.absorbed) if each.level is None], dtype=int)

    @cached_property
    def own(self):
        """Positions of the coordinates that move the log-densities of records."""
        return np.concatenate([self.free, np.arange(self.coordinates.of_sigma.start, self.coordinates.size)])

    @cached_property
    def moving(self):
        """The inner levels with the sums of their groups over parts, a sparse matrix (part, group)."""
        found = []
        for level in self.nest.inner:
            part, count = self.nest.part_of(level), len(level.labels)
            sums = sparse.csr_array((np.ones(count), (part, np.arange(count))), (len(self.nest.parent), count))
            found.append((level.name, part, sums))
        return found

    @cached_property
    def of_parent(self):
        """Sums of parts over groups, (group, part)."""
        count = len(self.nest.parent)
        return sparse.csr_array((np.ones(count), (self.nest.parent, np.arange(count))), (len(self.nest.labels), count))

    @cached_property
    def sums(self):
        """Sums of records over parts by outcome, (record, part)."""
        found = {}
        for samples in self.target.observed:
            part = self.nest.part_of_unit[samples.records.unit]
            count = len(part)
            found[samples.name] = sparse.csr_array(
                (np.ones(count), (np.arange(count), part)), (count, len(self.nest.parent))
            )
        return found

    @cached_property
    def predictions(self):
        """Predictions of measured records at the nodes by outcome, (row, record)."""
        return self._predicted(np.zeros(len(self.free)))

    def first(self, n):
        """The first n of nodes that were drawn for all effects together, with the predictions there."""
        effects = {name: np.ascontiguousarray(x[..., :n]) for name, x in self.effects.items()}
        weight = self.log_weight[..., :n] + np.log(self.shape[1] / n)
        found = replace(self, linear=self.linear[:n], shape=(1, n), effects=effects, log_weight=weight)
        found.__dict__["predictions"] = {name: f[:n] for name, f in self.predictions.items()}
        return found

    def _predicted(self, moved):
        linear = self.linear
        if moved.any():
            linear = linear.copy()
            for k, step in zip(self.free, moved, strict=True):
                linear[:, self.absorbed[k].parameter] += step * self.absorbed[k].column
        f, _ = self.target.predict(linear)
        return {samples.name: _at_places(f[samples.name], samples.places) for samples in self.target.observed}

    def records(self, x):
        """Log-densities of the records of each part at the nodes, (part, outer node, node), at coordinates x."""
        moved = (x - self.origin)[self.free]
        f = self._predicted(moved) if moved.any() else self.predictions
        sigma = self.coordinates.population(x[None]).sigma
        found = np.zeros((np.prod(self.shape), len(self.nest.parent)))
        for samples in self.target.observed:
            dense = self.target.scattered(samples, f[samples.name], sigma[samples.name])
            found += np.where(np.isnan(dense), -np.inf, dense) @ self.sums[samples.name]
        return found.T.reshape(-1, *self.shape)

    def local(self, x, steps):
        """`Local` about x; ``steps`` (coordinate,) are those of the fixed effects."""
        value, slope, (moves, up, down) = self._sloped(x, steps)
        n, steps = len(self.own), moves[:, self.own].sum(axis=1)
        curvature = np.zeros((*value.shape, n, n))
        with np.errstate(invalid="ignore"):
            for a in range(n):
                curvature[..., a, a] = (up[a] - 2 * value + down[a]) / steps[a] ** 2
                for b in range(a):
                    both = self.records(x + moves[a] + moves[b]) - up[a] - up[b] + value
                    curvature[..., a, b] = curvature[..., b, a] = both / (steps[a] * steps[b])
        return Local(x, value, self.own, slope, np.where(np.isfinite(curvature), curvature, 0.0))

    def sloped(self, x, steps):
        """Log-densities of the records of each part at x, (part, outer node, node), and their slopes in the coordinates
        that are ``own``, (..., own), as `Weighed.scores` takes them."""
        return self._sloped(x, steps)[:2]

    def _sloped(self, x, steps):
        """The same, and moves (own, coordinate), with the log-densities up and down each of them."""
        value, own = self.records(x), self.own
        moves = np.zeros((len(own), len(x)))
        moves[np.arange(len(own)), own] = np.where(own < len(self.coordinates.theta), steps[own], CURVED)
        up, down = [self.records(x + move) for move in moves], [self.records(x - move) for move in moves]
        slope = np.zeros((*value.shape, len(own)))
        with np.errstate(invalid="ignore"):
            for a, k in enumerate(own):
                slope[..., a] = (up[a] - down[a]) / (2 * moves[a, k])
        return value, np.where(np.isfinite(slope), slope, 0.0), (moves, up, down)

    def _normal(self, name, factor, x):
        """Standardised effects u (group, effect, node) and their log-densities (group, node), at each node of a part
        and outer node."""
        inverse = np.linalg.inv(factor)
        u = inverse @ self.effects[name].reshape(-1, len(factor), np.prod(self.effects[name].shape[2:]))
        moved = [step * each.shift for step, each in zip(x - self.origin, self.absorbed, strict=False)
                 if each.level == name and step]  # fmt: skip
        if moved:
            u -= (sum(moved) @ inverse.T)[..., None]
        constant = np.linalg.slogdet(factor)[1] + 0.5 * len(factor) * LOG_2PI
        return u, -0.5 * np.einsum("gkn,gkn->gn", u, u) - constant

    def weighed(self, x, dense):
        """`Weighed` at coordinates x, of log-densities of records there."""
        factors = {name: a[0] for name, a in self.coordinates.factors(x[None]).items()}
        total, u = dense + self.log_weight, {}
        for name, part, sums in self.moving:
            u[name], log_density = self._normal(name, factors[name], x)
            alone = len(part) == len(total) and (part == np.arange(len(part))).all()
            total = total + (log_density if alone else sums @ log_density).reshape(total.shape)
        inner, share = _normalised(total)
        outer = self.outer_weight + (self.of_parent @ inner)
        if self.nest.outer is not None:
            name = self.nest.outer.name
            u[name], log_density = self._normal(name, factors[name], x)
            outer = outer + log_density
        value, above = _normalised(outer)
        return Weighed(self, x, factors, u, value, share, above)

    def log_likelihood(self, x):
        """Of every group, (group,), at coordinates x."""
        return self.weighed(x, self.records(x)).value


@dataclass(frozen=True, eq=False)
class Weighed:
    """Nodes weighed by the data at coordinates x: log-likelihoods ``value`` (group,), the ``share`` of each node among
    those of its part and outer node, and that of each outer node (``above``)."""

    integral: Integral
    x: np.ndarray
    factors: dict
    u: dict
    value: np.ndarray
    share: np.ndarray
    above: np.ndarray

    @cached_property
    def joint(self):
        """Probability of each outer node and node, (part, outer node, node)."""
        return self.share * self.above[self.integral.nest.parent][..., None]

    @property
    def spread(self):
        """Standard error of the log-likelihood of each part if its nodes are independent draws, (part,)."""
        share = self.share[:, 0]
        return np.sqrt(np.maximum((share**2).sum(axis=1) - 1 / share.shape[1], 0.0))

    def _by_group(self):
        """Of every level its name, its standardised effects u (group, effect, node), the probabilities of the nodes
        (group, node), and the outermost group of each group."""
        parts = {name: part for name, part, _ in self.integral.moving}
        for name, u in self.u.items():
            if name in parts:
                part = parts[name]
                weight, parent = self.joint[part].reshape(len(part), -1), self.integral.nest.parent[part]
            else:
                weight, parent = self.above, np.arange(len(self.value))
            yield name, u, weight, parent

    def scores(self, slope):
        """Slopes of the log-likelihood of every group in all coordinates, (group, coordinate); ``slope``: those of the
        log-densities of records in the integral's own, (part, outer node, node, own)."""
        integral, c = self.integral, self.integral.coordinates
        found = np.zeros((len(self.value), c.size))
        if len(integral.own):
            expected = np.einsum("jmk,jmka->ja", self.joint, slope)
            found[:, integral.own] += integral.of_parent @ expected
        for name, u, weight, parent in self._by_group():
            self._add(found, name, u, weight, parent)
        return found

    def _add(self, found, name, u, weight, parent):
        """Add what the law of a level's effects says."""
        integral, c = self.integral, self.integral.coordinates
        scaled = u * weight[:, None]
        mean, square = scaled.sum(axis=2), scaled @ u.transpose(0, 2, 1)
        inverse = np.linalg.inv(self.factors[name])
        for i, each in enumerate(integral.absorbed):
            if each.level == name:
                np.add.at(found[:, i], parent, ((each.shift @ inverse.T) * mean).sum(axis=1))
        change = inverse.T @ (square - np.eye(len(inverse)))
        for n, (level, i, j) in enumerate(c.factor):
            if level == name:
                each = change[:, i, j] * (self.factors[name][i, i] if i == j else 1.0)
                np.add.at(found[:, len(c.theta) + n], parent, each)

    def drawn(self, rng):
        """One draw of the conditional law of the effects by level, (group, effect); of nodes without outer ones."""
        edges = self.share[:, 0].cumsum(axis=1)
        chosen = (edges < rng.random((len(edges), 1)) * edges[:, -1:]).sum(axis=1)
        found = {}
        for name, part, _ in self.integral.moving:
            u = self.u[name][np.arange(len(part)), :, chosen[part]]
            found[name] = u @ self.factors[name].T
        return found

    def means(self):
        """Conditional means of the effects by level, (group, effect)."""
        return {name: (u @ weight[..., None])[..., 0] @ self.factors[name].T
                for name, u, weight, _ in self._by_group()}  # fmt: skip


def _normalised(total):
    """Log of the sum of exponentials along the last axis, and the share of each."""
    most = total.max(axis=-1, keepdims=True)
    most = np.where(np.isfinite(most), most, 0.0)
    share = np.exp(total - most)
    whole = share.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (np.log(whole) + most)[..., 0], np.where(whole > 0, share / whole, 0.0)
