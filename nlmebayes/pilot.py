"""A quick deterministic fit of any model: where chains start, and what the data say of each random effect.

From pooled typical values, all effects move together to their mode under a Gauss-Newton model of the likelihood, with
derivatives of the predictions by central differences in the linear predictors; then omega, correlations and residual
take the values expected under that model (an EM step: Dempster, Laird and Rubin 1977, J. R. Stat. Soc. B 39, 1-38;
Lindstrom and Bates 1990, Biometrics 46, 673-687). Subjects are tried from other places of the population too, so that
one that sits in a false mode leaves it.
"""

import logging
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import optimize, sparse
from scipy.sparse import linalg

from nlmebayes.evaluation import predictor
from nlmebayes.grouping import columns_of, contains, parents, summed
from nlmebayes.hierarchy import centre, scale_of_data, variation
from nlmebayes.measurement import distances, slopes

log = logging.getLogger("nlmebayes")

ROUNDS = 40  # of Gauss-Newton and EM, at most
CLOSE = 0.02  # last change of log omega
TRIALS = 8  # places in the population from which a subject is tried
LENGTHS = np.array([1.0, 0.5, 0.2, 0.05, 0.0])  # of a step
FAR = 3.0  # scatters from its prediction, beyond which a measurement draws by its distance
FLOOR = 0.02  # least omega, in the scales of its prior


@dataclass(frozen=True, eq=False)
class Pilot:
    """What a pilot found.

    ``theta`` by parameter, (term,), with the ``covariance`` of all of them; ``eta`` by level, (group, effect);
    ``factor`` by level, (effect, effect), with factor factor' = Omega; ``sigma`` by outcome and part; ``f`` by outcome,
    the predictions (record,). ``j`` (outcome, unit, parameter, parameter) and ``h`` (outcome, unit, parameter): the
    log-likelihood is about -l' j l / 2 + h' l in the linear predictors l. ``rounds`` is 0 for one that failed, which
    holds its start.
    """

    theta: dict
    covariance: np.ndarray
    eta: dict
    factor: dict
    sigma: dict
    f: dict
    j: np.ndarray
    h: np.ndarray
    rounds: int

    def summary(self):
        """Estimates by name of the variable, lists of numbers; and ``rounds``."""
        found = {"rounds": self.rounds} | {f"theta_{name}": values.tolist() for name, values in self.theta.items()}
        found |= {f"omega_{name}": np.linalg.norm(factor, axis=1).tolist() for name, factor in self.factor.items()}
        parts = [(outcome, part, value) for outcome, each in self.sigma.items() for part, value in each.items()]
        return found | {f"sigma_{outcome}_{part}": np.asarray(value).tolist() for outcome, part, value in parts}


def run(model, design, theta, sigma, prior, seed=0):
    """Pilot of a model on a design.

    Parameters
    ----------
    theta : dict of (term,) by parameter, and ``sigma``, dict by outcome and part: where it starts
    prior : dict of (mean, precision) by parameter, (term,) each: of the fixed effects

    Returns
    -------
    Pilot
    """
    problem = Problem(model, design, prior)
    try:
        found = _found(problem, theta, sigma, np.random.default_rng(seed))
    except (np.linalg.LinAlgError, RuntimeError) as error:  # equations without a solution, dense or sparse
        log.warning("the pilot stopped: %s", error)
        found = None
    if found is None or not all(np.isfinite(x).all() for x in (found.covariance, found.j, found.h)):
        return _nothing(problem, theta, sigma)
    return found


def _found(problem, theta, sigma, rng):
    design = problem.design
    x = np.zeros(problem.matrix.shape[1])
    x[: problem.terms] = np.concatenate([theta[name] for name in problem.names])
    factor = {name: 0.5 * np.diag(v) for name, v in problem.variation.items()}
    x = tried(problem, x, factor, sigma, rng)
    rounds = 0
    for rounds in range(1, ROUNDS + 1):
        for columns in (problem.own, np.ones(len(x), dtype=bool)):
            j, slope, each = problem.derivatives(x, factor, sigma)
            x = problem.best(x, factor, sigma, problem.step(x, factor, j, slope, columns)[0])
        if rounds in (4, 12):
            x = tried(problem, x, factor, sigma, rng)
        j, slope, each = problem.derivatives(x, factor, sigma)
        eta = problem.effects(x, factor)
        variance = _variances(problem, j.sum(axis=0), factor)
        sigma = _residual(problem, each, variance, sigma)
        before = factor
        factor = {level.name: _factor(problem, level, eta[level.name], variance[level.name]) for level in design.levels}
        x = problem.standardised(x, eta, factor)
        change = [np.abs(np.log(np.diag(factor[k] @ factor[k].T) / np.diag(before[k] @ before[k].T))) for k in factor]
        if rounds > 4 and (not change or max(c.max() for c in change) < 2 * CLOSE):
            break
    j, slope, each = problem.derivatives(x, factor, sigma, drawn=False)
    covariance = problem.step(x, factor, j, slope, np.ones(len(x), dtype=bool))[1]
    h = slope + np.einsum("oupq,uq->oup", j, problem.linear(x[None], factor)[0])
    log.info("pilot: %d rounds", rounds)
    f = {name: values for name, (values, _) in each.items()}
    return Pilot(problem.fixed(x), covariance, problem.effects(x, factor), factor, sigma, f, j, h, rounds)


def _nothing(problem, theta, sigma):
    """The start alone, with no information on any effect."""
    levels, outcomes = problem.design.levels, problem.design.outcomes
    shape = len(outcomes), len(problem.design.labels), len(problem.names)
    return Pilot(
        theta, 0.01 * np.eye(problem.terms), {v.name: np.zeros((len(v.labels), len(v.effects))) for v in levels},
        {v.name: 0.5 * np.diag(problem.variation[v.name]) for v in levels}, sigma,
        {o.name: np.nan_to_num(o.values, nan=1.0) for o in outcomes}, np.zeros((*shape, shape[-1])), np.zeros(shape), 0,
    )  # fmt: skip


class Problem:
    """A model on a design as numbers x: all fixed effects, then the standardised effects u of each level, eta = A u."""

    def __init__(self, model, design, prior=None):
        self.model, self.design = model, design
        self.names = [p.name for p in model.parameters]
        self.predict = predictor(model, design)
        scale = scale_of_data(model, design)
        by_name = {p.name: p for p in model.parameters}
        self.lengths = np.array([1e-3 * centre(p, scale)[1] for p in model.parameters])
        self.variation = {v.name: np.array(variation(v, by_name, scale)) for v in design.levels}
        self.offset = np.stack([design.fixed[name].offset for name in self.names], axis=1)
        self.terms = sum(len(design.fixed[name].terms) for name in self.names)
        self.matrix = self._matrix()
        none = {name: (np.zeros(len(design.fixed[name].terms)),) * 2 for name in self.names}
        each = [(none | (prior or {}))[name] for name in self.names]
        self.mean = np.concatenate([mean for mean, _ in each] + [np.zeros(self._effects)])
        self.precision = np.concatenate([precision for _, precision in each] + [np.ones(self._effects)])
        self._subjects()

    @property
    def _effects(self):
        return self.matrix.shape[1] - self.terms

    def _matrix(self):
        """Sparse (unit and parameter, fixed and random effect)."""
        design, rows, blocks = self.design, len(self.names), []
        at = np.arange(len(design.labels)) * rows
        height = len(at) * rows
        for i, name in enumerate(self.names):
            r, c = np.nonzero(design.fixed[name].values)
            values = design.fixed[name].values[r, c]
            blocks.append(sparse.coo_matrix((values, (at[r] + i, c)), (height, len(design.fixed[name].terms))))
        for level in design.levels:
            k = len(level.effects)
            r = np.concatenate([at + self.names.index(e.parameter) for e in level.effects])
            c = np.concatenate([level.of_unit * k + m for m in range(k)])
            blocks.append(sparse.coo_matrix((level.z.T.ravel(), (r, c)), (height, len(level.labels) * k)))
        return sparse.hstack(blocks).tocsr()

    def _subjects(self):
        """Subject of each unit, and of each column of x or -1; columns of effects that belong to one subject alone."""
        design = self.design
        self.subject = np.zeros(len(design.labels), dtype=int)
        if design.records is not None:  # doses may have units of their own
            self.subject[design.records["unit"]] = design.records["subject"]
        for o in design.outcomes if design.records is None else ():
            self.subject[o.unit] = o.subject_number
        self.count = int(self.subject.max()) + 1
        parts = [np.full(self.terms, -1)]
        for level in design.levels:
            low, high = np.full(len(level.labels), self.count), np.full(len(level.labels), -1)
            np.minimum.at(low, level.of_unit, self.subject)
            np.maximum.at(high, level.of_unit, self.subject)
            parts.append(np.repeat(np.where(low == high, low, -1), len(level.effects)))
        self.of_column = np.concatenate(parts)
        self.own = self.of_column >= 0

    def fixed(self, x):
        ends = np.cumsum([len(self.design.fixed[name].terms) for name in self.names])[:-1]
        return dict(zip(self.names, np.split(x[: self.terms], ends), strict=True))

    def effects(self, x, factor):
        """eta by level, (group, effect)."""
        found, rest = {}, x[self.terms :]
        for level in self.design.levels:
            size = len(level.labels) * len(level.effects)
            found[level.name] = rest[:size].reshape(len(level.labels), -1) @ factor[level.name].T
            rest = rest[size:]
        return found

    def standardised(self, x, eta, factor):
        """x with these effects under a new factor."""
        parts = [np.linalg.solve(factor[level.name], eta[level.name].T).T.ravel() for level in self.design.levels]
        return np.concatenate([x[: self.terms], *parts])

    def scaled(self, factor):
        """Slopes of the linear predictors in x, sparse (unit and parameter, column)."""
        parts = [sparse.eye(self.terms)]
        parts += [sparse.kron(sparse.eye(len(level.labels)), factor[level.name]) for level in self.design.levels]
        return (self.matrix @ sparse.block_diag(parts)).tocsr()

    def linear(self, x, factor):
        """Linear predictors, (draw, unit, parameter), of x (draw, column)."""
        return (self.scaled(factor) @ x.T).T.reshape(len(x), *self.offset.shape) + self.offset

    def density(self, observed, f, sigma):
        with np.errstate(all="ignore"):
            return slopes(
                self.model.residual_of(observed.name), f, sigma[observed.name], observed, self.design.positive
            )

    def distance(self, observed, f, sigma):
        with np.errstate(all="ignore"):
            return distances(
                self.model.residual_of(observed.name), f, sigma[observed.name], observed, self.design.positive
            )

    def log_density(self, x, factor, sigma):
        """By subject, (draw, subject): of measurements and of its own effects; and of the rest, (draw,)."""
        f, order = self.predict(np.ascontiguousarray(self.linear(x, factor).transpose(0, 2, 1)))
        quadratic = -0.5 * self.precision * (x - self.mean) ** 2
        found = np.zeros((len(x), self.count))
        for d in range(len(x)):
            found[d] += np.bincount(self.subject, order[d], self.count)
            found[d] += np.bincount(self.of_column[self.own], quadratic[d, self.own], self.count)
            for o in self.design.outcomes:
                found[d] += np.bincount(self.subject[o.unit], self.density(o, f[o.name][d], sigma)[0], self.count)
        return np.where(np.isnan(found), -np.inf, found), quadratic[:, ~self.own].sum(axis=1)

    def derivatives(self, x, factor, sigma, *, drawn=True):
        """Information (outcome, unit, parameter, parameter) and slope (outcome, unit, parameter) of the log-likelihood
        in the linear predictors; and by outcome the predictions and their derivatives (record, parameter).

        ``drawn``: measurements that are `FAR` off draw their predictions in proportion to the distance; the likelihood
        itself hardly slopes where a prediction with proportional scatter is many times too large.
        """
        return self.around(self.linear(x[None], factor), sigma, drawn=drawn)

    def around(self, linear, sigma, *, drawn=False):
        """`derivatives` on average over linear predictors (draw, unit, parameter); those that are ``drawn`` are one."""
        draws, units, n = linear.shape
        rows = np.concatenate([np.zeros((1, n)), np.diag(self.lengths), -np.diag(self.lengths)])
        moved = (linear[:, None] + rows[:, None]).reshape(-1, units, n)
        f, _ = self.predict(np.ascontiguousarray(moved.transpose(0, 2, 1)))
        outcomes, each = self.design.outcomes, {}
        j, slope = np.zeros((len(outcomes), units, n, n)), np.zeros((len(outcomes), units, n))
        for k, o in enumerate(outcomes):
            here = f[o.name].reshape(draws, len(rows), -1)
            g = (here[:, 1 : n + 1] - here[:, n + 1 :]) / (2 * self.lengths[:, None])  # (draw, parameter, record)
            _, s, w = self.density(o, here[:, 0], sigma)
            if drawn:
                away = self.distance(o, here[0, 0], sigma)
                s = np.where(np.abs(away) > FAR, np.sqrt(w) * away, s)
            known = np.isfinite(s) & np.isfinite(w) & np.isfinite(g).all(axis=1)
            g, s, w = np.where(known[:, None], g, 0.0), np.where(known, s, 0.0), np.where(known, w, 0.0)
            sums = sparse.csr_array((np.ones(len(o.unit)), (np.arange(len(o.unit)), o.unit)), (len(o.unit), units))
            slope[k] = ((g * s[:, None]).mean(axis=0) @ sums).T
            products = np.einsum("dnr,dmr,dr->nmr", g, g, w, optimize=True) / draws
            j[k] = (products.reshape(n * n, -1) @ sums).T.reshape(units, n, n)
            each[o.name] = here[:, 0].mean(axis=0), g.mean(axis=0).T
        return j, slope, each

    def step(self, x, factor, j, slope, columns):
        """Gauss-Newton step of the chosen columns, (column,), and the covariance of the fixed effects among them."""
        change = np.zeros(len(x))
        if not columns.any():
            return change, np.zeros((self.terms, self.terms))
        j, slope = j.sum(axis=0), slope.sum(axis=0)
        d = self.scaled(factor)[:, columns]
        blocks = sparse.bsr_matrix((j, np.arange(len(j)), np.arange(len(j) + 1)))
        hessian = d.T @ blocks @ d + sparse.diags(self.precision[columns])
        solver = linalg.splu(hessian.tocsc(), permc_spec="MMD_AT_PLUS_A")
        change[columns] = solver.solve(d.T @ slope.ravel() - (self.precision * (x - self.mean))[columns])
        if not columns[: self.terms].all() or not self.terms:
            return change, np.zeros((self.terms, self.terms))
        return change, solver.solve(np.eye(columns.sum(), self.terms))[: self.terms]

    def best(self, x, factor, sigma, change):
        """x after the best part of a step: one part for all, or one for each subject if only its own effects move."""
        tried = x + LENGTHS[:, None] * change
        own, rest = self.log_density(tried, factor, sigma)
        if change[~self.own].any():
            return tried[np.argmax(own.sum(axis=1) + rest)]
        return self.chosen(tried, own)

    def chosen(self, tried, own):
        """Of several x that differ in the subjects' own effects, the best for each subject."""
        best = np.argmax(own, axis=0)
        found = tried[-1].copy()
        found[self.own] = tried[best[self.of_column[self.own]], np.flatnonzero(self.own)]
        return found


def tried(problem, x, factor, sigma, rng):
    """x with every subject where it is best after a few steps from here and from the best of several places."""
    if not problem.own.any():
        return x
    places = np.repeat(x[None], TRIALS, axis=0)
    places[:, problem.own] = rng.standard_normal((TRIALS, problem.own.sum()))
    other = problem.chosen(places, problem.log_density(places, factor, sigma)[0])
    for _ in range(4):
        j, slope, _ = problem.derivatives(other, factor, sigma)
        other = problem.best(other, factor, sigma, problem.step(other, factor, j, slope, problem.own)[0])
    both = np.stack([other, x])
    return problem.chosen(both, problem.log_density(both, factor, sigma)[0])


def _variances(problem, j, factor):
    """Covariance of the effects of each group, (group, effect, effect) by level, given the fixed effects and the levels
    outside; those inside it are integrated out."""
    return {
        level.name: _posterior(factor[level.name], own)
        for level, own in zip(problem.design.levels, marginal(problem.design, problem.names, j, factor), strict=True)
    }


def marginal(design, names, j, factor):
    """Information on the effects of each level, (group, effect, effect) each, without the effects of levels inside."""
    found = []
    for level in design.levels:
        chain = [level]
        for other in sorted(design.levels, key=lambda v: len(v.labels)):
            if other is not level and contains(chain[-1], other):
                chain.append(other)
        effects = list(dict.fromkeys(effect for v in chain for effect in v.effects))
        z, places = columns_of(effects, chain), [names.index(e.parameter) for e in effects]
        each = z[:, :, None] * j[:, places][:, :, places] * z[:, None, :]
        each = summed(each, chain[-1].of_unit, len(chain[-1].labels))
        for outer, inner in reversed(list(pairwise(chain))):
            own = [effects.index(e) for e in inner.effects]
            cross = each[:, :, own]
            covariance = _posterior(factor[inner.name], cross[:, own])
            each = each - cross @ covariance @ cross.transpose(0, 2, 1)
            each = summed(each, parents(outer, inner), len(outer.labels))
        found.append(each[:, : len(level.effects), : len(level.effects)])
    return found


def _posterior(factor, j):
    """Covariance A (1 + A' J A)^-1 A' of the effects of each group, with A A' = Omega."""
    return factor @ np.linalg.inv(np.eye(len(factor)) + factor.T @ j @ factor) @ factor.T


def _factor(problem, level, eta, variance):
    """Factor of the most probable Omega given the expected squares of the effects; the SDs are half-normal in the
    scales of their default prior, the correlations drawn a tenth to zero."""
    scale, n = problem.variation[level.name], len(eta)
    expected = (eta.T @ eta + variance.sum(axis=0)) / n
    square = 0.5 * n * scale**2 * (np.sqrt(1 + 4 * np.diag(expected) / (n * scale**2)) - 1)
    omega = np.maximum(np.sqrt(square), FLOOR * scale)
    factor = np.diag(omega)
    for block in level.blocks:
        k = np.array(block.effects)
        if block.name is not None:
            spread = np.sqrt(np.diag(expected)[k])
            corr = 0.9 * expected[np.ix_(k, k)] / np.outer(spread, spread)
            np.fill_diagonal(corr, 1.0)
            factor[np.ix_(k, k)] = omega[k][:, None] * np.linalg.cholesky(corr)
    return factor


def _residual(problem, each, variance, sigma):
    """Parts of the residuals that are expected to fit best, given predictions with their variances."""
    design, found = problem.design, {}
    for o in design.outcomes:
        f, g = each[o.name]
        spread = np.zeros(len(f))
        for level in design.levels:
            places = [problem.names.index(e.parameter) for e in level.effects]
            z = g[:, places] * level.z[o.unit]
            spread += np.einsum("ra,rab,rb->r", z, variance[level.name][level.of_unit[o.unit]], z)
        names = list(sigma[o.name])

        def negative(values, o=o, f=f, spread=spread):
            parts = {o.name: _parts(values, sigma[o.name])}
            value, _, curvature = problem.density(o, f, parts)
            total = (value - 0.5 * curvature * spread).sum()
            return -total if np.isfinite(total) else 1e300

        start = _numbers(sigma[o.name])
        if names and negative(start) < 1e300:
            best = optimize.minimize(negative, start, method="Nelder-Mead", options={"maxiter": 60, "xatol": 0.01})
            start = np.clip(best.x, start - 1.5, start + 1.5)
        found[o.name] = _parts(start, sigma[o.name])
    return found


def _numbers(sigma):
    """Parts of a residual on the whole line: logarithms of numbers, coefficients of a formula as they are."""
    return np.concatenate([np.zeros(0), *(np.ravel(x) if np.ndim(x) else [np.log(x)] for x in sigma.values())])


def _parts(values, like):
    """The parts of `_numbers`, shaped as ``like``."""
    ends = np.cumsum([np.size(x) for x in like.values()])[:-1]
    each = zip(like.items(), np.split(values, ends), strict=True) if like else ()
    return {name: part if np.ndim(x) else float(np.exp(part[0])) for (name, x), part in each}
