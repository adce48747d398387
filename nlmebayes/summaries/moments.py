"""Mean and variance of measurements given the population: by slopes in the random effects, or by simulation.

The mathematics of `variation`, on arrays whose first axis is the draw.
"""

from dataclasses import dataclass
from functools import singledispatch

import numpy as np
import pytensor.tensor as pt
import xarray as xr
from scipy import special
from scipy.stats import qmc

from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import Draws, draws_of, evaluator, keep_known
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.evaluation.measurement import parts_at
from nlmebayes.formula.design import Design, ObservedOutcome
from nlmebayes.outcomes.counts import NegativeBinomial, Poisson
from nlmebayes.outcomes.families import Bernoulli, Binomial, Gamma
from nlmebayes.outcomes.residual import Gaussian, LogNormal, Residual, StudentT
from nlmebayes.runtime.threads import in_turns
from nlmebayes.runtime.uncompiled import UNCOMPILED
from nlmebayes.structure.structure import Named

METHODS = DELTA, SIMULATION = "delta", "simulation"
STEP = 1e-3  # of the largest omega: the step of a slope
PAIRS = 1024  # of predictions for each draw; twice a power of 2, as Sobol' points are balanced
LARGE = 2_000_000  # numbers in an array of a simulation
RESIDUAL = "residual"


@singledispatch
def residual_moments(residual: Residual, f, s):
    """Mean and variance of a measurement whose prediction is ``f`` (sample, record); ``s`` are its parts and columns.

    Of trials and exposures, of the proportion and the rate.
    """
    raise ModelError(f"{residual}: its mean and variance are not known here, so its variance cannot be split")


@residual_moments.register
@in_turns
def _(residual: Gaussian, f, s):
    scatter = residual.scatter(pt.as_tensor(f), Named(**s)).eval(mode=UNCOMPILED)
    return f, np.broadcast_to(scatter**2, f.shape)


@residual_moments.register
@in_turns
def _(residual: Bernoulli | Binomial | Poisson | NegativeBinomial | Gamma, f, s):
    # Of a mean, a proportion or a rate: the variance is what one record says of it, inverted.
    return f, 1 / residual.information(pt.as_tensor(f), Named(**s)).eval(mode=UNCOMPILED)


@residual_moments.register
@in_turns
def _(residual: LogNormal, f, s):
    factor = np.exp(s["a"] ** 2)
    return f * np.sqrt(factor), f**2 * factor * (factor - 1)


@residual_moments.register
@in_turns
def _(residual: StudentT, f, s):
    with np.errstate(divide="ignore"):  # infinite for nu <= 2
        factor = s["nu"] / np.maximum(s["nu"] - 2, 0.0)
    return f, np.broadcast_to(s["a"] ** 2 * factor, f.shape)


def scenario_of(tree, data, outcome, draws, new):
    """The `Scenario` of an outcome of a tree on data, by default its own; at most so many draws."""
    known = fitted(tree)
    data, model = known.data if data is None else data, known.model
    outcome = outcome or data.outcomes[0]
    if outcome not in data.outcomes:
        raise ModelError(f"no outcome {outcome!r} in the data; there are {', '.join(data.outcomes)}")
    posterior = tree["posterior"].to_dataset()
    each = max(1, min(posterior.sizes["draw"], draws // posterior.sizes["chain"]))
    posterior = posterior.isel(draw=np.linspace(0, posterior.sizes["draw"] - 1, each).astype(int))
    design = known.design(data)
    found = draws_of(posterior, known.training, model, data.outcomes)
    observed = design.outcome(outcome)
    groups = {level.name: [] if new else found.groups.get(level.name, []) for level in design.levels}
    none = {level.name: np.zeros((found.size, 0, len(level.effects))) for level in design.levels}
    eta = {k: v[:, : len(groups[k])] for k, v in (none | found.eta).items() if k in groups}
    found = Draws(found.theta, found.omega, found.corr, found.sigma, eta, groups)
    return Scenario(model, design, found, observed, posterior[["chain", "draw"]])


@dataclass(frozen=True, eq=False)
class Scenario:
    """The records of an outcome, and draws that know the effects of some of their groups, or of none."""

    model: object
    design: Design
    draws: Draws
    observed: ObservedOutcome
    coords: xr.Dataset

    def moments(self, method, gradients, random_seed):
        """Mean (sample, record), and variance by source (sample, record)."""
        if method not in (None, *METHODS):
            raise ModelError(f"no method {method!r}; methods are {', '.join(METHODS)}")
        rng = np.random.default_rng(random_seed)
        linear = method is None and self._is_linear(gradients, rng)
        return self._by_delta(gradients) if linear or method == DELTA else self._by_simulation(rng)

    def gradients(self, effects=None):
        """Mean and residual variance of the measurements (sample, record) at effects of the new groups, which are 0 if
        not given, and slopes of the mean in the effects of each level (sample, record, effect)."""
        at = {level.name: np.zeros(len(level.effects)) for level in self.design.levels} | (effects or {})
        slopes = {}
        for level in self.design.levels:
            columns = []
            for k in range(len(level.effects)):
                step = np.zeros(len(level.effects))
                step[k] = STEP * max(self.draws.omega[level.name][:, k].max(), 1e-8)
                up, down = (self._at(self.draws, at | {level.name: at[level.name] + s * step})[0] for s in (1, -1))
                columns.append((up - down) / (2 * step[k]))
            slopes[level.name] = np.stack(columns, axis=-1)
        return *self._at(self.draws, at), slopes

    def design_effect(self, gradients):
        """Variance of the mean of all records per that of as many independent ones, (sample,)."""
        _, variance, slopes = gradients
        total = of_mean = variance.sum(axis=1)
        for level in self.design.levels:
            each, of_record = slopes[level.name], level.of_unit[self.observed.unit]
            order = np.argsort(of_record, kind="stable")
            starts = np.flatnonzero(np.diff(of_record[order], prepend=-1))
            summed = np.add.reduceat(each[:, order], starts, axis=1)
            total = total + self._between(level, each).sum(axis=1)
            of_mean = of_mean + self._between(level, summed).sum(axis=1)
        with np.errstate(invalid="ignore"):  # not a number where the residual has no variance
            return of_mean / total

    def labelled(self, found, coords):
        """Arrays (sample, ...) with their dims, as a Dataset."""
        sizes = self.coords.sizes["chain"], self.coords.sizes["draw"]
        variables = {k: (("chain", "draw", *dims), v.reshape(*sizes, *v.shape[1:])) for k, (v, dims) in found.items()}
        return xr.Dataset(variables, coords=coords).assign_coords(self.coords.coords)

    def _by_delta(self, gradients):
        mean, variance, slopes = gradients
        found = {}
        for level in self.design.levels:
            new = np.array([label not in self.draws.groups[level.name] for label in level.labels])
            found[level.name] = self._between(level, slopes[level.name]) * new[level.of_unit[self.observed.unit]]
        return mean, found | {RESIDUAL: variance}

    def _by_simulation(self, rng):
        z = self._points(rng)
        size = max(len(self.observed.unit), *(len(level.labels) * len(level.effects) for level in self.design.levels))
        step = max(1, LARGE // (PAIRS * size))
        starts = range(0, self.draws.size, step)
        parts = [self._simulated(self.draws.take(np.arange(i, min(i + step, self.draws.size))), z) for i in starts]
        means, variances = zip(*parts, strict=True)
        return np.concatenate(means), {k: np.concatenate([v[k] for v in variances]) for k in variances[0]}

    def _points(self, rng):
        """Standard normal effects, level -> (2, pair, group, effect), for both predictions of a pair; half of the pairs
        mirror the others. The groups of a level have the same where a prediction depends on those of its record alone.
        """
        levels, alike = self.design.levels, self.model.structure.recordwise
        shapes = [(1 if alike else len(level.labels), len(level.effects)) for level in levels]
        ends = np.cumsum([2 * np.prod(shape) for shape in shapes])
        if alike:
            half = special.ndtri(qmc.Sobol(ends[-1], rng=rng).random(PAIRS // 2))
        else:
            half = rng.standard_normal((PAIRS // 2, ends[-1]))
        parts = np.split(np.concatenate([half, -half]), ends[:-1], axis=1)
        each = zip(levels, shapes, parts, strict=True)
        return {level.name: part.reshape(PAIRS, 2, *shape).swapaxes(0, 1) for level, shape, part in each}

    def _simulated(self, draws, z):
        """Mean and variance by source of some draws, each with all its pairs.

        What is linear in the effects is known exactly, so that only the rest of a covariance is simulated.
        """
        repeated = draws.take(np.repeat(np.arange(draws.size), PAIRS))
        shape, levels = (draws.size, PAIRS, len(self.observed.unit)), self.design.levels
        effects = {level.name: [_spread(draws, level.name, side) for side in z[level.name]] for level in levels}
        mean, variance = (x.reshape(shape) for x in self._at(repeated, {k: v[0] for k, v in effects.items()}))
        centre = mean.mean(axis=1, keepdims=True)
        of_record = {level.name: _of_record(z[level.name], level.of_unit[self.observed.unit]) for level in levels}
        slopes = {k: np.einsum("spr,pre->sre", mean - centre, v[0]) / PAIRS for k, v in of_record.items()}
        straight, found, before = _summed(slopes, of_record, dict.fromkeys(z, 0)), {}, 0.0
        for j, name in enumerate(z):
            side = {k: int(i > j) for i, k in enumerate(z)}  # the same effects down to this level, others inside
            second = self._at(repeated, {k: v[side[k]] for k, v in effects.items()})[0].reshape(shape) - centre
            known = sum((slopes[k] ** 2).sum(axis=-1) for k in z if not side[k])
            rest = _covariance(mean - centre, second) - _covariance(straight, _summed(slopes, of_record, side))
            found[name], before = known + rest - before, known + rest
        return centre[:, 0], found | {RESIDUAL: variance.mean(axis=1)}

    def _at(self, draws, effects):
        """Mean and variance of the measurements given effects of the new groups, level -> (..., effect)."""
        eta = {}
        for level in self.design.levels:
            shape = draws.size, len(level.labels), len(level.effects)
            eta[level.name] = keep_known(level, draws, np.broadcast_to(effects[level.name], shape).copy())
        _, f, _ = evaluator(self.model, self.design)(draws.theta, eta)
        name = self.observed.name
        residual = self.model.residual_of(name)
        return residual_moments(residual, f[name], parts_at(residual, draws.sigma[name], self.observed))

    def _is_linear(self, gradients, rng):
        """Whether the mean is what its slopes say, at effects drawn from the population."""
        mean, variance, slopes = gradients
        expected, effects, size = mean, {}, 0.0
        for level in self.design.levels:
            z = rng.standard_normal((self.draws.size, 1, len(level.effects)))
            effects[level.name] = z @ self.draws.cholesky(level.name).swapaxes(1, 2)
            known = np.isin(level.labels, list(self.draws.groups[level.name]))[level.of_unit[self.observed.unit]]
            change = np.einsum("sre,sue->sr", slopes[level.name], effects[level.name]) * ~known
            expected, size = expected + change, size + np.abs(change).max()
        found, scattered = self._at(self.draws, effects)
        alike = np.allclose(found, expected, rtol=1e-10, atol=1e-7 * size)
        return alike and np.allclose(scattered, variance, rtol=1e-9)

    def _between(self, level, slopes):
        """Variance of effects with the given slopes (sample, record, effect)."""
        return ((slopes @ self.draws.cholesky(level.name)) ** 2).sum(axis=-1)


def _spread(draws, level, z):
    """Effects from standard normal ones: (pair, group, effect) -> (draw x pair, group, effect)."""
    found = z @ draws.cholesky(level).swapaxes(1, 2)[:, None]
    return found.reshape(-1, *z.shape[1:])


def _of_record(z, group):
    """Standard normal effects (2, pair, group, effect) by record."""
    return z[:, :, group] if z.shape[2] > 1 else np.repeat(z, len(group), axis=2)


def _summed(slopes, z, side):
    """The linear part of a prediction, (draw, pair, record)."""
    return sum(np.einsum("sre,pre->spr", slopes[k], z[k][side[k]]) for k in z)


def _covariance(one, two):
    """Of pairs that have the same mean, (draw, record)."""
    return (one * two).mean(axis=1) - ((one.mean(axis=1) + two.mean(axis=1)) / 2) ** 2
