r"""What the records of a design can tell of a population: expected information, to first order in the random effects.

With the predictions f of a block of records that depend on each other, their slopes G in the random effects and F in
the fixed effects, at no effects, and the variances R of the measurements around them,

.. math:: y \sim N(f, V), \quad V = G \Omega G' + R, \quad M_\theta = \sum F' V^{-1} F, \quad
    M_{ab} = \tfrac12 \sum \operatorname{tr} (V^{-1} \partial_a V \, V^{-1} \partial_b V)

for a, b among log omega, correlations and logs of residual parts: the reduced first-order matrix of Retout, Mentré and
Bruno 2002, Stat. Med. 21, 2623-2639, doi:10.1002/sim.1041. Where means say next to nothing of some direction of the
fixed effects, what variances say of it is added (loadings, an effect of a latent slope), after all that they must say
of variances. Left out is what the variance of a record says that is the only one of its group: omega and sigma would be
parted there by the form of the residual alone, of which nobody is sure.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg, sparse
from scipy.sparse import csgraph

from nlmebayes.inference.gauss_newton import GaussNewton
from nlmebayes.inference.normal_law import information
from nlmebayes.inference.pilot import numbers_of, parts_of
from nlmebayes.model.build import independent
from nlmebayes.model.hierarchy import fixed_prior, scale_of_data
from nlmebayes.outcomes.residual import scale_of

LARGEST, EVENLY = 40, 60  # blocks that are looked at: those with most records, and some of the others
MOST = 1500  # records of a block, from which on nothing is said
STEP = 1e-3  # of the logarithm of a residual part
AWAY = 0.02  # step of fixed effects along a direction, in SDs of their default priors
FACTORS = (0.1, 1.0, 10.0)  # of predictions at which parts of a residual should differ in what they do
ALIKE = 1e-3  # relative difference of what two parts do to the variance that makes them one
RANGE = 2.0  # of predictions, below which they are about the same
USUAL = 0.3  # of the scale of its half-normal prior: 15 % of proportional scatter
REACH = 3.0  # SDs of the default priors, within which fixed effects are taken: a pilot may have run away
HIDDEN = 1e-4  # squared slopes at no effects, of those at others, below which there are none
HARDLY = 1.0  # information of means on a direction, beside 1 of its prior, below which variances are asked too
CORRELATION = 0.5  # about the prior SD of one


@dataclass(frozen=True)
class Quantity:
    """A number of the population: its ``kind`` (theta, omega, corr, sigma), the level or outcome that it is ``of``, and
    the ``parameters`` that it is about."""

    name: str
    kind: str
    of: str
    parameters: tuple


@dataclass(frozen=True, eq=False)
class Information:
    """Expected information (quantity, quantity) about quantities, each in units of the SD of its default prior.

    ``lone``: by level, the share of the records that are the only one of their group. ``hidden``: names of parameters
    in which predictions slope only where there are effects (a product of two of them), of which nothing is said.
    ``alike``: names of the outcomes whose predictions are about the same.
    """

    quantities: tuple
    matrix: np.ndarray
    lone: dict
    hidden: tuple
    alike: tuple


def expected(model, design, theta, sigma):
    """The `Information` of a model on a design at typical values, with a usual scatter, or None where records hang
    together too far, or are times to events.

    Parameters
    ----------
    theta : dict of (term,) by parameter
    sigma : dict of part -> value by outcome
    """
    if any(model.residual_of(o.name).folds for o in design.outcomes):
        return None
    theta = np.concatenate([np.zeros(0), *(theta[p.name] for p in model.parameters)])
    model, design = independent(model, design)
    sigma = {o.name: _usual(model.residual_of(o.name), o, sigma[o.name]) for o in design.outcomes}
    records = _Records(model, design, theta, sigma)
    if not len(records.r) or max(map(len, records.blocks)) > MOST:
        return None
    try:
        matrix = sum(times * records.of_block(here) for here, times in records.chosen)
        matrix = _through_variances(records, matrix)
    except np.linalg.LinAlgError:  # nothing scatters
        return None
    q = len(records.quantities)
    if not np.isfinite(matrix).all():
        return None
    matrix = _without(matrix, q)
    lone = {name: float(alone.mean()) for name, alone in records.lone.items()}
    return Information(records.quantities, matrix, lone, records.hidden, records.alike)


def _usual(residual, o, sigma):
    """Parts of a residual of records that stand alone, no larger than is usual: a pilot takes for scatter what its
    curves do not describe."""
    priors = residual.priors(scale_of(o.values))
    largest = {part: USUAL * p.parameters["sigma"] for part, p in priors.items() if p.family == "HalfNormal"}
    own = {part: sigma[part] for part in priors}
    return {part: x if np.ndim(x) else np.minimum(x, largest.get(part, np.inf)) for part, x in own.items()}


def _without(matrix, q):
    """Information on the first ``q`` numbers when the others are not known."""
    return matrix[:q, :q] - matrix[:q, q:] @ np.linalg.pinv(matrix[q:, q:]) @ matrix[q:, :q]


def _through_variances(records, matrix):
    """Information with what variances say of directions of the fixed effects of which means say next to nothing."""
    terms = records.slopes[0].shape[1]
    values, vectors = np.linalg.eigh(matrix[:terms, :terms])
    hardly = vectors[:, values < HARDLY]
    if not hardly.size:
        return matrix
    moved = [[records.at(records.theta + way * AWAY * records.law[1] * u) for way in (1, -1)] for u in hardly.T]
    if any(len(one.r) != len(records.r) for pair in moved for one in pair):
        return matrix
    both = sum(times * records.of_variances(here, moved) for here, times in records.chosen)
    found = matrix.copy()
    found[:terms, :terms] += hardly @ _without(both, len(moved)) @ hardly.T
    return found


class _Records:
    """All records that say something: their slopes and variances at typical values."""

    def __init__(self, model, design, theta, sigma):
        self.model, self.design, self.sigma = model, design, sigma
        self.problem = problem = GaussNewton(model, design)
        x = np.zeros(problem.matrix.shape[1])
        self.theta = np.clip(theta, *(self.law[0] + way * REACH * self.law[1] for way in (-1, 1)))
        x[: problem.terms] = self.theta
        factor = {name: np.diag(v) for name, v in problem.variation.items()}
        self.start = x, factor
        each = problem.derivatives(x, factor, sigma, drawn=False)[2]
        ends = {name: np.quantile(np.abs(f), (0.05, 0.95)) for name, (f, _) in each.items()}
        self.alike = tuple(name for name, (low, high) in ends.items() if high < RANGE * low)
        parts = [self._outcome(o, *each[o.name], sigma) for o in design.outcomes]
        unit, g, r, changes, names = zip(*parts, strict=True)
        self.unit, self.g, self.r = (np.concatenate(x) for x in (unit, g, r))
        self.parts = [(o.name, name) for o, own in zip(design.outcomes, names, strict=True) for name in own]
        free = [_one_trial(model.residual_of(o.name), o) for o in design.outcomes]
        free = linalg.block_diag(*[np.ones((len(x), int(one))) for x, one in zip(r, free, strict=True)])
        self.changes = np.concatenate([linalg.block_diag(*changes), free], axis=1)

    def _outcome(self, o, f, g, sigma):
        """Unit, slopes in the parameters and variance of the records of an outcome that are expected to say something,
        what each part of the residual does to the log variance (record, part), and the names of these parts."""
        start = numbers_of(sigma[o.name])
        steps = STEP * np.eye(len(start))

        def log_variance(values, at=f):
            with np.errstate(divide="ignore", invalid="ignore"):
                return -np.log(self.problem.density(o, at, {o.name: parts_of(values, sigma[o.name])})[2])

        def told(at):
            up, down = (np.array([log_variance(start + way * step, at) for step in steps]) for way in (1, -1))
            with np.errstate(invalid="ignore"):  # of records that say nothing
                found = (up - down).reshape(len(start), len(at)).T / (2 * STEP)
            return np.nan_to_num(found, posinf=0, neginf=0)

        r = log_variance(start)
        known = np.isfinite(r) & np.isfinite(g).all(axis=1)
        kept = _apart(np.concatenate([told(c * f) for c in FACTORS]))
        kept = np.zeros(0, dtype=int) if _one_trial(self.model.residual_of(o.name), o) else kept
        names = [_names(sigma[o.name])[k] for k in kept]
        return o.unit[known], g[known], np.exp(r[known]), told(f)[known][:, kept], names

    @property
    def hidden(self):
        """Names of parameters in which predictions hardly slope at no effects, and do at others."""
        (x, factor), terms, rng = self.start, self.problem.terms, np.random.default_rng(0)
        other = np.concatenate([x[:terms], rng.standard_normal(len(x) - terms)])
        each = (self.problem.derivatives(at, factor, self.sigma, drawn=False)[2].values() for at in (x, other))
        here, there = (sum((g**2).sum(axis=0) for _, g in slopes) for slopes in each)
        return tuple(name for name, a, b in zip(self.problem.names, here, there, strict=True) if a < HIDDEN * b)

    @cached_property
    def quantities(self):
        """Every `Quantity`, in the order of the rows of the information."""
        found = []
        for name in self.problem.names:
            terms = self.design.fixed[name].terms
            words = [name if term == "Intercept" else f"the effect of {term} on {name}" for term in terms]
            found += [Quantity(word, "theta", name, (name,)) for word in words]
        for level in self.design.levels:
            for e in level.effects:
                found.append(Quantity(f"omega_{level.name} of {e.name}", "omega", level.name, (e.parameter,)))
            for j, k in _pairs(level):
                one, other = level.effects[j], level.effects[k]
                word = f"corr_{level.name} of {one.name} and {other.name}"
                found.append(Quantity(word, "corr", level.name, (one.parameter, other.parameter)))
        found += [Quantity(f"sigma_{outcome}_{part}", "sigma", outcome, ()) for outcome, part in self.parts]
        return tuple(found)

    @cached_property
    def lone(self):
        """Whether each record is the only one of its group, by level."""
        found = {}
        for level in self.design.levels:
            group = level.of_unit[self.unit]
            found[level.name] = np.bincount(group, minlength=len(level.labels))[group] == 1
        return found

    @cached_property
    def blocks(self):
        """Records that hang together, as arrays of their numbers."""
        n = len(self.r)
        columns, start = [], 0
        for level in self.design.levels:
            columns.append(start + level.of_unit[self.unit])
            start += len(level.labels)
        if not columns:
            return [np.array([k]) for k in range(n)]
        rows = np.tile(np.arange(n), len(columns))
        graph = sparse.coo_array((np.ones(len(rows)), (rows, n + np.concatenate(columns))), (n + start, n + start))
        which = csgraph.connected_components(graph, directed=False)[1][:n]
        order = np.argsort(which, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(which[order])) + 1)

    @property
    def chosen(self):
        """Blocks to look at, each with how many it stands for."""
        order = sorted(range(len(self.blocks)), key=lambda k: -len(self.blocks[k]))
        rest = order[LARGEST:]
        some = [rest[k] for k in np.unique(np.linspace(0, len(rest) - 1, min(EVENLY, len(rest))).astype(int))]
        found = [(self.blocks[k], 1.0) for k in order[:LARGEST]]
        return found + [(self.blocks[k], len(rest) / len(some)) for k in some]

    @cached_property
    def slopes(self):
        """In the fixed effects (record, term), and in those of each level (record, effect)."""
        problem = self.problem
        places = self.unit[:, None] * len(problem.names) + np.arange(len(problem.names))
        rows = np.repeat(np.arange(len(self.r)), len(problem.names))
        shape = len(self.r), problem.matrix.shape[0]
        fixed = sparse.csr_array((self.g.ravel(), (rows, places.ravel())), shape) @ problem.matrix[:, : problem.terms]
        random = {}
        for level in self.design.levels:
            which = [problem.names.index(e.parameter) for e in level.effects]
            own = self.g[:, which] * level.z[self.unit] * problem.variation[level.name]
            alone = self.lone[level.name]
            if alone.any():  # their variances follow R, whatever the model says
                share = (own[alone] ** 2 / self.r[alone, None]).mean(axis=0)
                own[alone] = np.sqrt(share * self.r[alone, None])
            random[level.name] = own
        return fixed.toarray() * self.law[1], random

    @cached_property
    def law(self):
        """Means and SDs of the default priors of the fixed effects, (2, term)."""
        scale = scale_of_data(self.model, self.design)
        matrices = [(p, self.design.fixed[p.name]) for p in self.model.parameters]
        each = [fixed_prior(p, matrix, scale).parameters for p, matrix in matrices if matrix.terms]
        return np.array(
            [np.concatenate([np.zeros(0), *(list(q[name].values()) for q in each)]) for name in ("mu", "sigma")]
        )

    def at(self, theta):
        """The same at other fixed effects (term,)."""
        return _Records(self.model, self.design, theta, self.sigma)

    def of_block(self, here):
        """Information of the records of a block."""
        fixed, changes = self.slopes[0][here], self._changes(here)
        slopes = np.concatenate([fixed, np.zeros((len(here), len(changes)))], axis=1)
        still = [np.zeros((len(here), len(here)))] * fixed.shape[1]  # the reduced matrix: variances stay
        return information(slopes, self._variance(here), [*still, *changes])

    def of_variances(self, here, moved):
        """Information of variances on directions of the fixed effects, and then on all that they depend on otherwise;
        ``moved``: pairs of the same records a step along each direction, and back."""
        changes = [(one._random(here) - other._random(here)) / (2 * AWAY) for one, other in moved]
        changes += self._changes(here)
        return information(np.zeros((len(here), len(changes))), self._variance(here), changes)

    def _random(self, here):
        """Covariance of the records of a block through random effects."""
        found = np.zeros((len(here), len(here)))
        for level in self.design.levels:
            g, group = self.slopes[1][level.name][here], level.of_unit[self.unit[here]]
            found += (g @ g.T) * (group[:, None] == group)
        return found

    def _variance(self, here):
        return self._random(here) + np.diag(self.r[here])

    def _changes(self, here):
        """Slopes of the variance of a block in all that it depends on."""
        found = []
        for level in self.design.levels:
            g, group = self.slopes[1][level.name][here], level.of_unit[self.unit[here]]
            same = group[:, None] == group
            found += [2 * np.outer(column, column) * same for column in g.T]
            for j, k in _pairs(level):
                cross = np.outer(g[:, j], g[:, k])
                found.append(CORRELATION * (cross + cross.T) * same)
        return found + [np.diag(self.r[here] * each) for each in self.changes[here].T]


def _pairs(level):
    return [(i, j) for b in level.blocks if b.name for i in b.effects for j in b.effects if i < j]


def _apart(told):
    """The parts that do something to variances which those before them do not, at predictions of any size; others (the
    tails of a t law) are told by more than variances."""
    kept = []
    for k, x in enumerate(told.T):
        before = told[:, kept]
        rest = x - before @ np.linalg.lstsq(before, x, rcond=None)[0]
        if np.linalg.norm(rest) > ALIKE * np.sqrt(len(x)):
            kept.append(k)
    return np.array(kept, dtype=int)


def _one_trial(residual, o):
    """Whether the variance of an answer follows from its mean, so that a single one tells nothing of it."""
    counted = residual.shares(o.values[None], o.columns) if residual.discrete else None
    return counted is not None and all(np.max(of) <= 1 for _, of in counted.values())


def _names(sigma):
    """Names of the parts of a residual, those with a formula once for each coefficient."""
    return [name for name, x in sigma.items() for _ in range(np.size(x))]
