r"""Expected information of a design without linearisation: the mean outer product of scores,

.. math:: M = \sum_i E[s_i s_i'], \quad s_i = \nabla \log \int p(y_i | \eta, \theta, \sigma) N(\eta; 0, \Omega) d\eta

over studies that are simulated and not fitted. Integrals are those of `individuals.integral`, their slopes exact given
the nodes (Fisher's identity). Simulation goes on until the Monte Carlo error of every standard error is a small part of
it: with V the inverse of M, V_aa is the mean of (V s)_a², whose scatter is seen.
"""

from dataclasses import dataclass, replace

import numpy as np

from nlmebayes.design.design import measured
from nlmebayes.design.planned import dataset_of, subjects_of
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import effects, evaluator
from nlmebayes.evaluation.measurement import log_density, measure
from nlmebayes.individuals.nesting import ALL, nesting
from nlmebayes.individuals.placing import Place, Population, populated

CLOSE = 0.02  # Monte Carlo error of a standard error, as a part of it
GROUPS, MOST, ROUNDS = 400, 20_000, 400  # outermost groups simulated at a time, and in all; times, at most
RECORDS = 6000  # simulated at a time, if one study has no more
NODES = ((150, 256), (750, 1024), (2500, 4096))  # of a product, and quasi-random ones where that takes too many
ALIKE = 0.01  # relative difference of standard errors by some nodes and by the next finer ones, which is enough


@dataclass(frozen=True, eq=False)
class Exact:
    """Information ``whole`` (coordinate, coordinate), and Monte Carlo errors of the standard errors of all numbers, as
    parts of them, (number,); from so many simulated ``groups``."""

    whole: np.ndarray
    error: np.ndarray
    groups: int

    @property
    def remark(self):
        """By how much it was simulated, and how well the errors are known where that is less than was wanted."""
        most = self.error.max(initial=0.0)
        rest = "" if most < CLOSE else f"; the errors are known to {100 * most:.0f} %"
        return f"by {self.groups} simulated groups{rest}"


def exact(asked, x, numbers, free, added=0.0):
    """`Exact` information of what is `Asked` at coordinates x; ``added`` is a former information, ``free`` are the
    positions of the numbers that are estimated."""
    rng = np.random.default_rng(asked.seed)
    studies, found, nodes = 0, [], None
    for rounds, study in enumerate(studies_of(asked, rng, GROUPS), start=1):
        one, seed = simulated(asked, study, x, rng), int(rng.integers(2**31))
        if nodes is None:
            nodes, first = _enough(one, x, asked.steps, numbers, free, seed, added)
        found.append(scores(one.integral(nodes, seed), x, asked.steps) if found else first)
        studies += study.copies
        every = np.concatenate(found)
        whole = every.T @ every / studies
        error = _error(every, studies, numbers, free, whole + added)
        if error.max(initial=0.0) < CLOSE or len(every) > MOST or rounds == ROUNDS:
            return Exact(whole, error, len(every))
    raise AssertionError


@dataclass(frozen=True, eq=False)
class Study:
    """Planned data of so many ``copies`` of a design."""

    data: object
    design: object
    copies: int


def studies_of(asked, rng, groups):
    """Copies of the planned study, about so many outermost ``groups``, again and again; those of drawn covariates and
    times anew."""
    outer = len({each.groups[0] if each.groups else each.label for each in asked.subjects})
    copies = max(1, min(groups // outer, RECORDS // asked.plan.records))
    copies = 1 if nesting(asked.design).labels == (ALL,) else copies
    again, found = any(arm.random for arm in asked.plan.arms), None
    while True:
        if found is None or again:
            data = dataset_of(subjects_of(asked.plan.arms, rng, asked.setting.prefix, copies), asked.setting)
            found = Study(data, asked.known.resolved(data), copies)
        yield found


@dataclass(frozen=True, eq=False)
class Simulated:
    """A study that was simulated under the population at coordinates x, and the `Place` of its modes there."""

    population: Population
    place: Place
    x: np.ndarray

    def integral(self, nodes, seed):
        """`Integral` over its effects, by some of `NODES`."""
        return self.population.rule(self.x, self.place, *nodes, seed)


def _enough(one, x, steps, numbers, free, seed, added):
    """The least nodes by which standard errors of a simulated study are those of the next finer ones, and its scores by
    them."""
    before = None
    for nodes in NODES:
        here = scores(one.integral(nodes, seed), x, steps)
        matrix = numbers.information(here.T @ here + added)[np.ix_(free, free)]
        variance = np.diag(np.linalg.pinv(matrix, hermitian=True))
        if before is not None and (np.abs(np.log(variance / before[2])) < 2 * ALIKE).all():
            return before[:2]
        before = nodes, here, variance
    return before[:2]


def simulated(asked, study, x, rng):
    """A `Simulated` study under the population at coordinates x."""
    model, one = asked.known.model, asked.coordinates.population(x[None])
    eta = effects(study.design, one, rng)
    f = evaluator(model, study.design)(one.theta, eta)[1]
    drawn = {
        o.name: measure(model.residual_of(o.name), f[o.name], one.sigma.get(o.name, {}), rng, observed=o)[0]
        for o in study.design.outcomes
    }
    lost = [name for name, y in drawn.items() if not np.isfinite(y).all()]
    if lost:
        raise ModelError(f"information: some individuals have no prediction of {lost[0]}, which can not be simulated")
    for o in study.design.outcomes:
        if o.nodes is None:
            drawn[o.name] = np.where(_scattered(model, o, f[o.name], one, drawn[o.name]), drawn[o.name], np.nan)
    population = populated(model, _measured(asked, study, drawn))
    place = population.place(x, {name: each[0] for name, each in eta.items()})
    return Simulated(population, place, x)


def scores(integral, x, steps):
    """Scores (group, coordinate) at coordinates x."""
    value, slope = integral.sloped(x, steps)
    return integral.weighed(x, value).scores(slope)


def _scattered(model, o, f, one, y):
    """Which measurements (record,) have a density: those without scatter lie on their predictions, and tell nothing."""
    seen = replace(o, values=y, lower=np.full(len(y), np.nan), upper=np.full(len(y), np.nan))
    with np.errstate(all="ignore"):
        return log_density(model.residual_of(o.name), f, one.sigma.get(o.name, {}), seen)[0] < np.inf


def _measured(asked, study, drawn):
    """The design of a study with its measurements."""
    data = measured(asked.plan.arms, study.data, drawn)
    if any(o.nodes is not None or o.series is not None for o in study.design.outcomes):
        return asked.known.resolved(data)
    outcomes = []
    for o in study.design.outcomes:
        own = data.observations[data.observations["outcome"] == o.name]
        values, lower, upper = (own[name].to_numpy(float) for name in ("value", "lower", "upper"))
        outcomes.append(replace(o, values=values, lower=lower, upper=upper))
    return replace(study.design, outcomes=tuple(outcomes))


def _error(scores, studies, numbers, free, whole):
    """Monte Carlo errors of standard errors, as parts of them."""
    matrix = numbers.information(whole)[np.ix_(free, free)]
    own = np.linalg.solve(numbers.jacobian.T, scores[:, numbers.inside].T)[free]
    with np.errstate(all="ignore"):
        each = (np.linalg.pinv(matrix, hermitian=True) @ own) ** 2
        return 0.5 * np.sqrt(each.shape[1]) * each.std(axis=1) / each.sum(axis=1)
