"""Maximum likelihood: the population under which the measurements are likeliest, all random effects integrated out.

The integrals are those of `individuals.integral`. In rounds, nodes are placed at the modes of all groups; the
likelihood over these nodes, in which what predictions depend on is taken to second order, is maximised; and nodes are
placed anew, until nothing moves. In the last rounds the modes are sought from many places, since a search that goes on
from the modes before it keeps false ones, and the nodes are finer.
"""

import logging
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import optimize

from nlmebayes.errors import ModelError
from nlmebayes.individuals.integral import Integral
from nlmebayes.individuals.judging import Judged, alone, judged
from nlmebayes.individuals.placing import ROWS, SCATTERED, Place, Population, populated
from nlmebayes.individuals.several import Several
from nlmebayes.model.hierarchy import centre, scale_of_data, variation

log = logging.getLogger("nlmebayes")

ROUNDS = 30  # at most
COARSE, DRAWN = 400, 256  # rows of the first rounds, and quasi-random nodes of them
SLOW, PATIENCE = 1e-3, 4  # gain of a round, and rounds of it: parameters drift, the likelihood does not
ROUGH, CLOSE = 5e-3, 5e-5  # last gain in log-likelihood, half the square of a step in standard errors
NOISE, STILL = 0.5, 0.02  # gain where nodes are drawn: of coarse ones, and of fine ones, that others give as well
INSIDE = 0.99  # of the width, up to which it does not hold back
SETTLED = 0.05  # gain since integrals were judged, up to which they stay so
LEAST = 1e-3  # of the width of a round
SMALLEST = 1e-3  # of an SD of effects, in scales of its default prior: below it is 0
TINY = 1e-2  # covariances beside an SD at 0 that are none
BOUNDARY = 2e-3  # of the log-likelihood, that an SD at its boundary may cost
FAR, STEP = 0.02, 0.1  # step of fixed effects that move predictions, in scales of their parameters, in standard errors
DIFFERENCE, AGAIN = 1e-3, 0.03  # step of the slopes for their curvature, in standard errors, and with modes sought anew
SINGULAR = 1e-9  # least eigenvalue of the information, coordinates scaled, that tells something
SEED = 1


@dataclass(frozen=True, eq=False)
class Maximum:
    """Coordinates ``x`` of the likeliest population; log-likelihoods ``value`` (group,), their ``error`` and ``khat``;
    minus the second derivatives ``hessian``, (coordinate, coordinate), ``scores`` (group, coordinate);
    coordinates at a ``boundary``, and the most probable effects, ``place``."""

    population: Population
    x: np.ndarray
    value: np.ndarray
    error: np.ndarray
    khat: np.ndarray
    hessian: np.ndarray
    scores: np.ndarray
    boundary: np.ndarray
    place: Place
    method: str
    hard: tuple  # positions of groups with nodes of their own
    rounds: int
    converged: bool

    @property
    def total_error(self):
        """Of -2 log L: errors of quadrature add up, those of draws do so as squares."""
        return float(2 * (self.error.sum() if self.method == "quadrature" else np.linalg.norm(self.error)))

    @cached_property
    def effects(self):
        """The most probable effects by level, in the design's order, (1, group, effect)."""
        found = self.place.target.effects(self.place.z[None], np.zeros(1, dtype=int))
        return {level.name: found[level.name] for level in self.population.design.levels}

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
        return self.covariance @ self.scores.T @ self.scores @ self.covariance

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


@dataclass(frozen=True, eq=False)
class Ended:
    """Where a search ends: coordinates x, those at a ``boundary``, nodes at their place, and integrals judged there."""

    x: np.ndarray
    boundary: np.ndarray
    place: Place
    integral: Integral
    judged: Judged


class Search:
    """A search of the likeliest population of a model on a design; ``errors`` (fixed effect,) are about theirs."""

    def __init__(self, model, design, data, errors=None, added=None):
        self.population, self.data = populated(model, design), data
        self.coordinates, self.nest = self.population.coordinates, self.population.nest
        self.added, self.hard = added, []
        scale = scale_of_data(model, design)
        by_name = {p.name: p for p in model.parameters}
        spread = {p.name: centre(p, scale)[1] for p in model.parameters}
        self.scales, n = np.ones(self.coordinates.size), len(self.coordinates.theta)
        for i, (name, k) in enumerate(self.coordinates.theta):
            size = np.sqrt((design.fixed[name].values[:, k] ** 2).mean())
            self.scales[i] = spread[name] / (size or 1.0)
        self.steps = FAR * self.scales
        if errors is not None and np.isfinite(errors).all():
            self.steps[:n] = np.clip(STEP * errors, 1e-3 * self.steps[:n], self.steps[:n])
        of = {level.name: np.array(variation(level, by_name, scale)) for level in design.levels}
        self.least = np.array([np.log(SMALLEST * of[name][i]) for name, i, _ in self.coordinates.factor])
        self.lowest = np.full(self.coordinates.size, -np.inf)  # of every coordinate
        self.lowest[self.coordinates.of_factor] = np.where(self.coordinates.is_log, self.least, -np.inf)

    def maximum(self, x, start):
        """`Maximum` from coordinates x and effects by level.

        Nodes are judged where the search ends; with the groups that need nodes of their own it goes on.
        """
        stages, trust, searched, slow, kept = [COARSE, ROWS], 1.0, False, 0, False
        end, since, ready = None, 0.0, False
        for rounds in range(1, ROUNDS + 1):
            if ready:
                place, integral = end.place, self._with_own(end)
            elif not kept:
                place = self.population.place(x, None if len(stages) == 1 and not searched else start)
                searched |= len(stages) == 1
                integral = self.integral(x, place, stages[0])
            if self._exact_at_place(integral):
                return self._directly(x, start)
            found, weighed, gain, missed, trust = self.climbed(integral, x, trust)
            start = weighed.means()
            log.info("ml: round %d, -2LL %.3f, gain %.3g", rounds, -2 * weighed.value.sum(), gain)
            x, since = found, since + gain
            slow = slow + 1 if len(stages) == 1 and gain < SLOW else 0
            kept = len(stages) == 1 and not integral.gauss and gain < STILL  # nodes drawn anew would move x for ever
            ready = False
            rough = ROUGH if integral.gauss else NOISE
            left = missed if kept else gain
            if left < (CLOSE if len(stages) == 1 else rough) or slow == PATIENCE:
                if len(stages) > 1 and place.target.size:
                    stages = stages[1:]
                    continue
                if kept and end is not None and since < SETTLED and not end.boundary.any():
                    end = replace(end, x=x, place=place, integral=integral)
                    return self.finished(end, start, rounds, converged=True)
                end, since = self.ended(x, start), 0.0
                if set(end.judged.hard) <= set(self.hard):
                    return self.finished(end, start, rounds, converged=True)
                self.hard, kept = sorted({*self.hard, *end.judged.hard}), False
                ready = not end.boundary.any()  # it ended at x
        return self.finished(self.ended(x, start), start, rounds, converged=False)

    def _exact_at_place(self, integral):
        """Whether nodes are exact at their own place alone, and say little of any other."""
        return integral.gauss and not self.population.orders()

    def _directly(self, x, start):
        """`Maximum` by a search that places nodes anew at each of its steps."""

        def negative(step):
            value, slope = self._anew(x + self.scales * step, start)
            return -value, -slope * self.scales

        low = np.minimum(self.lowest, x)
        bounds = [(None if np.isneginf(b) else b, None) for b in (low - x) / self.scales]
        end = optimize.minimize(
            negative, np.zeros_like(x), jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": 300, "ftol": 1e-11, "gtol": 1e-4, "maxcor": 30},
        )  # fmt: skip
        found = self.ended(x + self.scales * end.x, start)
        return self.finished(found, start, end.nit, converged=bool(end.success))

    def _anew(self, x, start):
        """What is maximised and its slopes, with nodes placed at x."""
        near = self.integral(x, self.population.place(x, start), ROWS)
        here = near.local(x, self.steps)
        return self._valued(near, x, here.value, here.slope)

    def integral(self, x, place, rows):
        """Nodes at a place: a product of few rows, quasi-random ones where that takes too many."""
        return self._parted(x, self.population.rule(x, place, rows, DRAWN if rows < ROWS else SCATTERED, SEED))

    def _parted(self, x, found):
        """An integral whose hard groups have nodes of their own."""
        if not self.hard:
            return found
        own = tuple(alone(self.population, self.data, x, i, SEED + n)[0] for n, i in enumerate(self.hard))
        return Several(found, np.array(self.hard), own)

    def _with_own(self, end):
        """The nodes where a search ended, with those of the groups that were judged to need their own."""
        whole, own = end.integral, {}
        if isinstance(whole, Several):
            whole, own = whole.whole, dict(zip(whole.hard, whole.own, strict=True))
        own |= dict(zip(end.judged.hard, end.judged.own, strict=True))
        return Several(whole, np.array(self.hard), tuple(own[i] for i in self.hard))

    def climbed(self, integral, x, trust):
        """The likeliest coordinates near x, the nodes weighed there, the gain in log-likelihood, how much the expected
        one missed it by (infinitely, where the width held it back), and how much of its width the next round may go."""
        local = integral.local(x, self.steps)
        local = local.held(integral.weighed(x, local.value).joint)
        before = self._valued(integral, x, local.value)[0]
        if not np.isfinite(before):
            raise ModelError("a group's measurements have no density at any node; look at units and typical values")
        while True:
            found, expected = self._climbed(integral, local, x, trust * self._width(integral, x))
            weighed = integral.weighed(found, integral.records(found))
            gain = weighed.value.sum() + self._more(found)[0] - before
            if expected < CLOSE or gain > 0.25 * expected or trust < LEAST:
                break
            trust /= 4
        if not gain > -CLOSE:
            return x, integral.weighed(x, local.value), 0.0, 0.0, trust
        held = (np.abs(found - x) > INSIDE * trust * self._width(integral, x)).any()
        missed = np.inf if held else abs(gain - expected)
        return found, weighed, gain, missed, min(1.0, 2 * trust) if gain > 0.75 * expected else trust

    def _climbed(self, integral, local, x, width):
        """The likeliest coordinates no farther than ``width`` from x by what is `Local`, and the expected gain."""
        low, high = np.minimum(np.maximum(x - width, self.lowest), x), x + width

        def negative(step):
            here = x + width * step
            dense, slope = local.at(here)
            value, slope = self._valued(integral, here, dense, slope)
            return (-value, -slope * width) if np.isfinite(value) else (1e300, np.zeros_like(step))

        bounds = list(zip((low - x) / width, (high - x) / width, strict=True))
        origin = np.zeros_like(x)
        end = optimize.minimize(
            negative, origin, jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": 300, "ftol": 1e-12, "gtol": 1e-5, "maxcor": 30},
        )  # fmt: skip
        return x + width * end.x, negative(origin)[0] - end.fun

    def _valued(self, integral, x, dense, slope=None):
        """What is maximised, and its slopes."""
        weighed, (more, also) = integral.weighed(x, dense), self._more(x)
        found = None if slope is None else weighed.scores(slope).sum(axis=0) + also
        return weighed.value.sum() + more, found

    def _more(self, x):
        return (0.0, 0.0) if self.added is None else self.added(x)

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

    def ended(self, x, start):
        """`Ended` at x, or where SDs that cost nothing at 0 are 0."""
        x, boundary = self._at_boundary(x, start)
        place = self.population.place(x, start)
        known = self.population.rule(x, place, ROWS, 2 * SCATTERED, SEED)
        integral = self._parted(x, known if known.gauss else known.first(SCATTERED))
        return Ended(x, boundary, place, integral, judged(self.population, self.data, x, place, SEED, known=known))

    def finished(self, end, start, rounds, converged):
        """The `Maximum`, with what its nodes miss and the curvature there."""
        x, integral, ready = end.x, end.integral, end.judged
        local = integral.local(x, self.steps)
        scores = integral.weighed(x, local.value).scores(local.slope)
        return Maximum(
            self.population, x, ready.log_likelihood(x), ready.error, ready.khat,
            self._hessian(integral, local, x, start), scores, end.boundary, end.place, ready.method,
            tuple(map(int, ready.hard)), rounds, converged,
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
            beside = beside if np.abs(x[len(c.theta) + np.array([n, *beside])][1:]).max(initial=0.0) < TINY else []
            values = [self._value(at, start) for at in (here, x)]
            if values[0] > values[1] - BOUNDARY:
                x = here
                boundary[len(c.theta) + np.array([n, *beside])] = True
        return x, boundary

    def _value(self, x, start):
        place = self.population.place(x, start)
        return self.integral(x, place, ROWS).log_likelihood(x).sum()

    def _hessian(self, integral, local, x, start):
        """Minus the second derivatives of the log-likelihood, by differences of its slopes; where nodes are exact at
        their own place alone, modes are sought for each of them."""

        def slope(at):
            return self._valued(integral, at, *local.at(at))[1]

        rough = np.diag(differences(slope, x, 1e-4 * np.ones(len(x))))
        step = 1 / np.sqrt(np.maximum(np.abs(rough), 1e-6))
        if self._exact_at_place(integral):
            return differences(lambda at: self._anew(at, start)[1], x, AGAIN * step)
        return differences(slope, x, DIFFERENCE * step)


def differences(slope, x, steps):
    """Minus the derivatives of slopes, symmetric."""
    found = [(slope(x - move) - slope(x + move)) / (2 * step) for step, move in zip(steps, np.diag(steps), strict=True)]
    found = np.stack(found) if found else np.zeros((0, 0))
    return (found + found.T) / 2
