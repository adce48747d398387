"""Maximum likelihood: the population under which the measurements are likeliest, all random effects integrated out.

The integrals are those of `individuals.integral`. In rounds, nodes are placed at the modes of all groups; the
likelihood over these nodes, in which what predictions depend on is taken to second order, is maximised; and nodes are
placed anew, until nothing moves. In the last rounds the modes are sought from many places, since a search that goes on
from the modes before it keeps false ones, and the nodes are finer.
"""

import logging
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize

from nlmebayes.errors import ModelError
from nlmebayes.individuals.judging import judged
from nlmebayes.individuals.placing import ROWS, SCATTERED, Place, Population, populated
from nlmebayes.model.hierarchy import centre, scale_of_data, variation

log = logging.getLogger("nlmebayes")

ROUNDS = 30  # at most
COARSE, DRAWN = 400, 256  # rows of the first rounds, and quasi-random nodes of them
CLOSE = 0.01  # last step, in standard errors
SMALLEST = 1e-3  # of an SD of effects, in scales of its default prior: below it is 0
BOUNDARY = 2e-3  # of the log-likelihood, that an SD at its boundary may cost
DIFFERENCE = 1e-3  # step of the slopes, in standard errors, for their curvature
SINGULAR = 1e-9  # least eigenvalue of the information, coordinates scaled, that tells something
SEED = 1


@dataclass(frozen=True, eq=False)
class Maximum:
    """Coordinates ``x`` of the likeliest population; log-likelihoods ``value`` (group,), their ``error`` and ``khat``;
    minus the second derivatives ``hessian`` and the sum of squares of the scores ``outer``, (coordinate, coordinate);
    coordinates at a ``boundary``, and the most probable effects, ``place``."""

    population: Population
    x: np.ndarray
    value: np.ndarray
    error: np.ndarray
    khat: np.ndarray
    hessian: np.ndarray
    outer: np.ndarray
    boundary: np.ndarray
    place: Place
    method: str
    rounds: int
    converged: bool

    @property
    def total_error(self):
        """Of -2 log L: errors of quadrature add up, those of draws do so as squares."""
        return float(2 * (self.error.sum() if self.method == "quadrature" else np.linalg.norm(self.error)))

    @cached_property
    def covariance(self):
        """Inverse of the observed information, 0 at a boundary, missing where the data leave something open."""
        found, here = np.zeros_like(self.hessian), ~self.boundary
        each = self.hessian[np.ix_(here, here)]
        scale = 1 / np.sqrt(np.maximum(np.abs(np.diag(each)), 1e-300))
        values = np.linalg.eigvalsh(scale[:, None] * each * scale) if len(each) else np.ones(1)
        singular = not np.isfinite(values).all() or values.min() < SINGULAR
        found[np.ix_(here, here)] = np.nan if singular else np.linalg.inv(each)
        return found

    @property
    def sandwich(self):
        """Covariance that holds where the law of the data is another one."""
        return self.covariance @ self.outer @ self.covariance

    @property
    def condition(self):
        """Largest by smallest eigenvalue of the correlations of the estimates, as NONMEM's."""
        here = ~self.boundary
        each = self.covariance[np.ix_(here, here)]
        if not len(each) or not np.isfinite(each).all():
            return float("nan")
        scale = 1 / np.sqrt(np.diag(each))
        values = np.linalg.eigvalsh(scale[:, None] * each * scale)
        return float(values.max() / values.min())


class Search:
    """A search of the likeliest population of a model on a design."""

    def __init__(self, model, design, data, added=None):
        self.population, self.data = populated(model, design), data
        self.coordinates, self.nest = self.population.coordinates, self.population.nest
        self.added = added
        scale = scale_of_data(model, design)
        by_name = {p.name: p for p in model.parameters}
        spread = {p.name: centre(p, scale)[1] for p in model.parameters}
        self.scales = np.ones(self.coordinates.size)
        self.scales[: len(self.coordinates.theta)] = [spread[name] for name, _ in self.coordinates.theta]
        of = {level.name: np.array(variation(level, by_name, scale)) for level in design.levels}
        self.least = np.array([np.log(SMALLEST * of[name][i]) for name, i, _ in self.coordinates.factor])

    def maximum(self, x, start):
        """`Maximum` from coordinates x and effects by level."""
        fine = False
        for rounds in range(1, ROUNDS + 1):
            place = self.population.place(x, None if fine else start)
            integral = self.integral(x, place, fine)
            found, local = self.climbed(integral, x)
            weighed = integral.weighed(found, local.at(found)[0])
            start = {name: mean for name, (mean, _) in weighed.moments().items()}
            outer = self._outer(weighed, local)
            step = np.abs((found - x) * np.sqrt(np.maximum(np.diag(outer), 1e-12))).max(initial=0.0)
            log.info("ml: round %d, -2LL %.3f, step %.3g", rounds, -2 * weighed.value.sum(), step)
            x = found
            if step < (CLOSE if fine else 10 * CLOSE):
                if fine or not place.target.size:
                    break
                fine = True
        return self._finished(x, start, rounds, step < CLOSE)

    def integral(self, x, place, fine):
        """Nodes at a place: a product of few rows, quasi-random ones where that takes too many."""
        orders = self.population.orders(ROWS if fine else COARSE)
        if orders:
            return self.population.quadrature(x, place, orders[0])
        n = SCATTERED if fine else DRAWN
        return self.population.scattered(x, place, n, np.random.default_rng(SEED))

    def climbed(self, integral, x):
        """The likeliest coordinates near x, and `Local` there."""
        local = integral.local(x, self.scales)
        width = self._width(integral, x)
        low, high = x - width, x + width
        low[self.coordinates.of_factor] = np.where(
            self.coordinates.is_log, np.maximum(low[self.coordinates.of_factor], self.least),
            low[self.coordinates.of_factor],
        )  # fmt: skip
        low = np.minimum(low, x)

        def negative(step):
            here = x + width * step
            dense, slope = local.at(here)
            weighed = integral.weighed(here, dense)
            value, slope = weighed.value.sum(), weighed.scores(slope).sum(axis=0)
            if self.added is not None:
                more, also = self.added(here)
                value, slope = value + more, slope + also
            return (-value, -slope * width) if np.isfinite(value) else (1e300, np.zeros_like(step))

        if not np.isfinite(negative(np.zeros_like(x))[0]) or negative(np.zeros_like(x))[0] >= 1e300:
            raise ModelError("a group's measurements have no density at any node; look at units and typical values")
        bounds = list(zip((low - x) / width, (high - x) / width, strict=True))
        end = optimize.minimize(
            negative, np.zeros_like(x), jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": 300, "ftol": 1e-12, "gtol": 1e-5, "maxcor": 30},
        )  # fmt: skip
        return x + width * end.x, local

    def _width(self, integral, x):
        """How far the coordinates may go in one round: where the nodes still cover the effects."""
        c, found = self.coordinates, np.full(len(x), 0.5)
        sd = {name: np.linalg.norm(a[0], axis=1) for name, a in c.factors(x[None]).items()}
        for i, each in enumerate(integral.absorbed):
            found[i] = 0.5 * self.scales[i]
            if each.level is not None:
                moved = np.abs(each.shift).max(axis=0)
                found[i] = min(found[i], (1.5 * sd[each.level][moved > 0] / moved[moved > 0]).min(initial=np.inf))
        for n, (name, i, j) in enumerate(c.factor):
            found[len(c.theta) + n] = 0.7 if i == j else 0.7 * sd[name][i]
        return np.maximum(found, 1e-6)

    def _outer(self, weighed, local):
        scores = weighed.scores(local.at(weighed.x)[1])
        return scores.T @ scores

    def _finished(self, x, start, rounds, converged):
        """The `Maximum`, with what its nodes miss and the curvature there."""
        x, boundary = self._at_boundary(x, start)
        place = self.population.place(x, start)
        integral = self.integral(x, place, fine=True)
        local = integral.local(x, self.scales)
        scores = integral.weighed(x, local.value).scores(local.slope)
        hessian = self._hessian(integral, local, x, np.diag(scores.T @ scores))
        ready = judged(self.population, self.data, x, place, SEED)
        value = ready.log_likelihood(x)
        return Maximum(
            self.population, x, value, ready.error, ready.khat, hessian, scores.T @ scores, boundary, place,
            ready.method, rounds, converged,
        )  # fmt: skip

    def _at_boundary(self, x, start):
        """x with those SDs at 0 that cost nothing there, and which they are."""
        boundary = np.zeros(len(x), dtype=bool)
        c = self.coordinates
        if not c.factor:
            return x, boundary
        low = np.flatnonzero(c.is_log & (x[c.of_factor] < self.least + np.log(0.1 / SMALLEST)))
        for n in low:
            here = x.copy()
            here[len(c.theta) + n] = self.least[n]
            name, i, _ = c.factor[n]
            beside = [m for m, (other, a, _) in enumerate(c.factor) if other == name and a == i and m != n]
            values = [self._value(at, start) for at in (here, x)]
            if values[0] > values[1] - BOUNDARY:
                x = here
                boundary[len(c.theta) + np.array([n, *beside])] = True
        return x, boundary

    def _value(self, x, start):
        place = self.population.place(x, start)
        return self.integral(x, place, fine=True).log_likelihood(x).sum()

    def _hessian(self, integral, local, x, information):
        """Minus the second derivatives of the log-likelihood, by differences of its slopes."""
        steps = DIFFERENCE / np.sqrt(np.maximum(information, 1e-8))

        def slope(at):
            dense, own = local.at(at)
            found = integral.weighed(at, dense).scores(own).sum(axis=0)
            return found if self.added is None else found + self.added(at)[1]

        moves = np.diag(np.maximum(steps, 1e-7))
        found = np.stack([(slope(x - move) - slope(x + move)) / (2 * move.sum()) for move in moves])
        return (found + found.T) / 2
