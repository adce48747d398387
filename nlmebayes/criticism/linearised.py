r"""A model as a straight line in the random effects: conditional modes, WRES and CWRES.

With the standardised effects u of all levels, eta = A u, the predictions of the records of a subject at a place are f,
their slopes in u are G, the variances of the measurements around them R:

.. math:: E[y] = f - G u, \qquad V = G G' + R, \qquad V^{-1/2} (y - E[y])

with the symmetric root. At u = 0 these are NONMEM's WRES, at the conditional modes CWRES (FOCE, interaction: R at the
modes). Slopes are those of the graph, exact, but of subjects with very many records.

Source: Hooker, Staatz and Karlsson (2007), Pharm. Res. 24, 2187-2197, doi:10.1007/s11095-007-9361-x.
"""

from dataclasses import dataclass, replace
from functools import cached_property, singledispatch

import numpy as np
from scipy import sparse, special
from scipy.sparse import linalg

from nlmebayes.criticism.decorrelation import by_symmetric_root
from nlmebayes.criticism.npde import places
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import differentiator
from nlmebayes.evaluation.measurement import parts_at, whitening
from nlmebayes.inference.gauss_newton import GaussNewton
from nlmebayes.inference.pilot import tried
from nlmebayes.model.build import by_node
from nlmebayes.model.model import Model
from nlmebayes.outcomes.autocorrelation import Autoregressive
from nlmebayes.outcomes.residual import LogNormal, Residual, StudentT
from nlmebayes.summaries.moments import residual_moments

ROUNDS, CLOSE = 50, 1e-5  # steps towards the modes, and the last one, in SDs of the effects
MOVING = 1e-3  # a last step that shows that they were not found
POINTS, ORDERS = np.linspace(-10.0, 10.0, 2001), np.arange(1, 42, 2)  # scores, and odd Hermite polynomials of them
MASS = np.exp(-0.5 * POINTS**2) / np.sqrt(2 * np.pi) * (POINTS[1] - POINTS[0])
EVEN = 1e-9  # of a log-density that is as high
MANY = 60  # records of a block from which on central differences of its parameters take much less time


@dataclass(frozen=True, eq=False)
class Place:
    """Effects ``u`` (column,) of one population, and the predictions (record,) by outcome there, with their slopes
    (record, column), sparse; the numbers of subjects whose effects were sought and ``lost``."""

    u: np.ndarray
    f: dict
    slopes: dict
    lost: tuple = ()


class Linearised:
    """A model on a design under one population, a `Draws` of size one."""

    def __init__(self, model: Model, design, population):
        self.stated = model
        self.model, self.design = by_node(model, design)
        self.problem = GaussNewton(self.model, self.design)
        self.factor = {level.name: population.cholesky(level.name)[0] for level in design.levels}
        self.sigma = {o.name: {k: v[0] for k, v in population.sigma.get(o.name, {}).items()} for o in design.outcomes}
        self.fixed = np.concatenate([np.zeros(0), *(population.theta[name][0] for name in self.problem.names)])
        self.differentiate = differentiator(self.model, self.design)

    @cached_property
    def loads(self):
        """Slopes of the linear predictors in u, sparse (unit and parameter, column)."""
        return self.problem.scaled(self.factor)[:, self.problem.terms :].tocsr()

    @cached_property
    def typical(self):
        """The `Place` without effects."""
        return self.at(np.zeros(self.loads.shape[1]))

    @cached_property
    def modes(self):
        """The `Place` of the most probable effects of all groups, given the population and all records."""
        x, change = self._x(self.typical.u), np.zeros(len(self.fixed) + self.loads.shape[1])
        if not len(self.typical.u):
            return self.typical
        x = tried(self.problem, x, self.factor, self.sigma, np.random.default_rng(0))
        for _ in range(ROUNDS):
            change[self.problem.terms :] = self._step(self.at(x[self.problem.terms :]))
            x = self._moved(x, change)
            if np.abs(change).max() < CLOSE:
                break
        return replace(self.at(x[self.problem.terms :]), lost=self._lost(change))

    def _lost(self, change):
        """Numbers of the subjects whose effects would still move: all of them where those of an outer level do."""
        moving = np.abs(change) > MOVING
        if moving[~self.problem.own].any():
            return tuple(range(self.problem.count))
        return tuple(np.unique(self.problem.of_column[moving]).tolist())

    def _moved(self, x, change):
        """x after a step, or after the best part of it where the whole one leads some subject down."""
        own, rest = self.problem.log_density(np.stack([x, x + change]), self.factor, self.sigma)
        if (own[1] >= own[0] - EVEN).all() and rest[1] >= rest[0] - EVEN:
            return x + change
        return self.problem.best(x, self.factor, self.sigma, change)

    def at(self, u):
        """The `Place` of effects u (column,)."""
        ((f, slopes),) = self.around(self.problem.linear(self._x(u)[None], self.factor))
        return Place(u, f, {name: g @ self.loads for name, g in slopes.items()})

    def around(self, linear):
        """At linear predictors (place, unit, parameter), for each place: predictions by outcome (record,), and their
        slopes in the linear predictors, sparse (record, unit and parameter)."""
        if self._by_differences:
            return [self._differences(each[None]) for each in linear]
        rows, weights = self._rows
        many = np.repeat(np.ascontiguousarray(linear.transpose(0, 2, 1)), rows, axis=0)
        f, slope = self.differentiate(many, {name: np.tile(w, (len(linear), 1)) for name, w in weights.items()})
        starts = rows * np.arange(len(linear))
        return [({k: x[i] for k, x in f.items()}, self._of_records(slope[i : i + rows])) for i in starts]

    @cached_property
    def _by_differences(self):
        """Whether a block is so long that a row for each record takes too long, and has one unit only."""
        alone = len(np.unique(self._blocks)) == len(self._blocks)
        return alone and self._rows[0] > MANY

    def _differences(self, linear):
        """The same, by the central differences of the pilot: records depend on the parameters of their own unit."""
        each = self.problem.around(linear, self.sigma)[2]
        units, parameters = linear.shape[1:]
        slopes = {}
        for o in self.design.outcomes:
            columns = o.unit[:, None] * parameters + np.arange(parameters)
            rows = np.repeat(np.arange(len(o.unit)), parameters)
            shape = len(o.unit), units * parameters
            slopes[o.name] = sparse.csr_array((each[o.name][1].ravel(), (rows, columns.ravel())), shape)
        return {name: f for name, (f, _) in each.items()}, slopes

    def effects(self, u):
        """eta by level, (group, effect)."""
        return self.problem.effects(self._x(u), self.factor)

    def compared(self, place, name):
        """The `Scattered` records of an outcome around the predictions of a `Place`."""
        observed = self.design.outcome(name)
        return scattered(self.stated.residual_of(name), place.f[name], self.sigma[name], observed)

    def _x(self, u):
        return np.concatenate([self.fixed, u])

    def _step(self, place):
        """Newton's step of all effects, with the expected curvature of each record: (column,)."""
        slope, information = -place.u, sparse.eye(len(place.u))
        for o in self.design.outcomes:
            dense, s, w = self.problem.density(o, place.f[o.name], self.sigma)
            known = np.isfinite(s) & np.isfinite(w)
            g = place.slopes[o.name].multiply(known[:, None]).tocsr()
            g.data = np.nan_to_num(g.data)  # of records without a prediction
            s, w = np.where(known, s, 0.0), sparse.diags(np.where(known, w, 0.0))
            if o.series is not None:
                w = self._information(o, place.f[o.name], dense)
            slope, information = slope + g.T @ s, information + g.T @ w @ g
        return linalg.spsolve(information.tocsc(), slope)

    def _information(self, observed, f, dense):
        """Expected information of correlated records on their predictions, sparse (record, record)."""
        s = {part: np.asarray(x, dtype=float)[None] for part, x in self.sigma[observed.name].items()}
        with np.errstate(all="ignore"):
            own, other = whitening(self.stated.residual_of(observed.name), f[None], s, observed, dense[None])
        own, other = (np.where(np.isfinite(own + other), x, 0.0)[0] for x in (own, other))
        n, before = np.arange(len(f)), observed.columns["before"].astype(int)
        root = sparse.csr_array((np.append(own, other), (np.append(n, n), np.append(n, before))), shape=(len(n),) * 2)
        return root.T @ root

    @cached_property
    def _blocks(self):
        """The block of each unit, (unit,): units on whose parameters the same records may depend."""
        alone = self.model.structure.recordwise
        return np.arange(len(self.design.labels)) if alone else self.problem.subject

    @cached_property
    def _ranks(self):
        """The rank of each record among those of its block, by outcome: records of one rank share no block."""
        blocks = np.concatenate([self._blocks[o.unit] for o in self.design.outcomes])
        order = np.argsort(blocks, kind="stable")
        starts = np.flatnonzero(np.diff(blocks[order], prepend=-1))
        rank = np.empty(len(blocks), dtype=int)
        rank[order] = np.arange(len(blocks)) - np.repeat(starts, np.diff(np.append(starts, len(blocks))))
        ends = np.cumsum([len(o.unit) for o in self.design.outcomes])[:-1]
        return dict(zip([o.name for o in self.design.outcomes], np.split(rank, ends), strict=True))

    @cached_property
    def _rows(self):
        """How many rows of predictions are differentiated, and which record each row tells of, by outcome."""
        rows = 1 + max(int(rank.max(initial=0)) for rank in self._ranks.values())
        return rows, {name: (rank == np.arange(rows)[:, None]).astype(float) for name, rank in self._ranks.items()}

    def _of_records(self, slope):
        """Slopes of each record in the linear predictors, sparse (record, unit and parameter), by outcome, from those
        of rows (row, parameter, unit)."""
        found, parameters = {}, slope.shape[1]
        order = np.argsort(self._blocks, kind="stable")
        ends = np.searchsorted(self._blocks[order], np.arange(self._blocks.max() + 2))
        for o in self.design.outcomes:
            block = self._blocks[o.unit]
            many = ends[block + 1] - ends[block]
            record = np.repeat(np.arange(len(o.unit)), many)
            within = np.arange(len(record)) - np.repeat(np.cumsum(many) - many, many)
            unit = order[ends[block][record] + within]
            values = slope[self._ranks[o.name][record], :, unit]
            columns = unit[:, None] * parameters + np.arange(parameters)
            shape = len(o.unit), len(self._blocks) * parameters
            rows = np.repeat(record, parameters)
            found[o.name] = sparse.csr_array((values.ravel(), (rows, columns.ravel())), shape)
        return found


@dataclass(frozen=True, eq=False)
class Scattered:
    """Measurements y, predictions f, the slope of the scale on which both are compared, the SD there, (record,) each;
    and the correlation of the records within a series, or None."""

    y: np.ndarray
    f: np.ndarray
    slope: np.ndarray
    sd: np.ndarray
    correlation: sparse.csr_array


def _independent(n):
    return sparse.eye_array(n, format="csr")


@singledispatch
def scattered(residual: Residual, f, s, observed):
    """`Scattered` records of an `ObservedOutcome` around predictions ``f`` (record,); ``s`` are the residual's parts.

    Raises
    ------
    ModelError
        The residual has no variance, or its outcomes no place on the scale of the prediction.
    """
    mean, variance = residual_moments(residual, f[None], _parts(residual, s, observed))
    y = residual.of_one(observed.values, observed.columns)
    return Scattered(y, mean[0], np.ones(len(f)), np.sqrt(variance[0]), _independent(len(f)))


@scattered.register
def _(residual: LogNormal, f, s, observed):
    with np.errstate(all="ignore"):  # where the prediction is not positive there is no residual
        sd = np.broadcast_to(_parts(residual, s, observed)["a"][0], f.shape)
        return Scattered(np.log(observed.values), np.log(f), 1 / f, sd, _independent(len(f)))


@scattered.register
def _(residual: Autoregressive, f, s, observed):
    inside, rho = scattered(residual.alone, f, s, observed), float(np.ravel(s["rho"])[0])
    place, correlation = observed.series.place, sparse.lil_array((len(f), len(f)))
    for here in places(observed.series.label).values():
        distance = np.abs(np.subtract.outer(place[here], place[here]))
        correlation[np.ix_(here, here)] = of_measurements(residual.alone, rho**distance, s)
    return replace(inside, correlation=correlation.tocsr())


@singledispatch
def of_measurements(residual: Residual, r, s):
    """Correlations of measurements whose normal scores have the correlations r: the same where they are linear."""
    return r


@of_measurements.register
def _(residual: StudentT, r, s):
    """By Mehler's formula, sum of c_k^2 r^k / k! over the variance, with c_k the mean of He_k(z) y(z) (Mehler 1866, J.
    reine angew. Math. 66, 161-176); what is left beyond the last order goes with it."""
    nu = float(np.ravel(s["nu"])[0])
    if nu <= 2:  # no variance, and so no residuals
        return r
    t = -np.sign(POINTS) * special.stdtrit(nu, special.ndtr(-np.abs(POINTS)))
    hermite = special.eval_hermitenorm(ORDERS[:, None], POINTS)
    share = (hermite @ (MASS * t)) ** 2 / special.factorial(ORDERS) * (nu - 2) / nu
    share[-1] += 1 - share.sum()
    return sum(c * r**k for c, k in zip(share, ORDERS, strict=True))


def _parts(residual, s, observed):
    return parts_at(residual, {part: np.asarray(x, dtype=float)[None] for part, x in s.items()}, observed)


def weighted(linearised, place):
    """Weighted residuals around a `Place`, by outcome (record,), of measurements that are comparable with their
    predictions and not censored; all of a subject together. Missing where a record is none of these or has no scatter.
    """
    each = _comparable(linearised, place)
    if not each:
        return {}
    observed = [o for o in linearised.design.outcomes if o.name in each]
    y, f, slope, sd = (
        np.concatenate([getattr(each[o.name], part) for o in observed]) for part in ("y", "f", "slope", "sd")
    )
    correlation = sparse.block_diag([each[o.name].correlation for o in observed]).tocsr()
    with np.errstate(all="ignore"):  # of records without a prediction, which are not used
        g = sparse.vstack([place.slopes[o.name] for o in observed]).tocsr().multiply(slope[:, None]).tocsr()
        mean, finite = f - g @ place.u, np.isfinite(g.sum(axis=1)).ravel()
    used = np.concatenate([~o.censored & np.isfinite(o.values) for o in observed]) & finite & (sd > 0)
    used &= np.isfinite([y, f, sd]).all(axis=0)
    found = np.full(len(y), np.nan)
    for label, here in places(np.concatenate([o.subject for o in observed])).items():
        here = here[used[here]]
        if not len(here):
            continue
        own, around = g[here], sd[here, None] * correlation[here][:, here].toarray() * sd[here]
        try:
            found[here] = by_symmetric_root(y[here], mean[here], (own @ own.T).toarray() + around)
        except ModelError as error:
            raise ModelError(f"residuals: {label}: {error}") from None
    ends = np.cumsum([len(o.row) for o in observed])[:-1]
    return dict(zip([o.name for o in observed], np.split(found, ends), strict=True))


def _comparable(linearised, place):
    """`Scattered` records by outcome, of measurements near their predictions whose variance is known."""
    found = {}
    for o in linearised.design.outcomes:
        residual = linearised.stated.residual_of(o.name)
        if residual.comparable and not residual.folds:
            try:
                found[o.name] = linearised.compared(place, o.name)
            except ModelError:  # a residual of one's own, without moments
                continue
    return found
