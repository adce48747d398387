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
from nlmebayes.evaluation.measurement import measure
from nlmebayes.individuals.nesting import ALL, nesting
from nlmebayes.individuals.placing import populated

CLOSE = 0.02  # Monte Carlo error of a standard error, as a part of it
GROUPS, MOST, ROUNDS = 400, 20_000, 400  # outermost groups simulated at a time, and in all; times, at most
ROWS, SCATTERED = 150, 256  # nodes of a product, and quasi-random ones where that takes too many


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
    studies, found = 0, []
    for rounds, study in enumerate(studies_of(asked, rng, GROUPS), start=1):
        found.append(scores(simulated(asked, study, x, rng), x, asked.steps))
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
    copies = 1 if nesting(asked.design).labels == (ALL,) else max(1, groups // outer)
    again, found = any(arm.random for arm in asked.plan.arms), None
    while True:
        if found is None or again:
            data = dataset_of(subjects_of(asked.plan.arms, rng, asked.setting.prefix, copies), asked.setting)
            found = Study(data, asked.known.resolved(data), copies)
        yield found


def simulated(asked, study, x, rng):
    """`Integral` over the effects of a study that is simulated under the population at coordinates x, nodes there."""
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
    population = populated(model, _measured(asked, study, drawn))
    place = population.place(x, {name: each[0] for name, each in eta.items()})
    return population.rule(x, place, ROWS, SCATTERED, int(rng.integers(2**31)))


def scores(integral, x, steps):
    """Scores (group, coordinate) at coordinates x."""
    value, slope = integral.sloped(x, steps)
    return integral.weighed(x, value).scores(slope)


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
    told = numbers.told(whole)[np.ix_(free, free)]
    own = np.linalg.solve(numbers.jacobian.T, scores[:, numbers.inside].T)[free]
    with np.errstate(all="ignore"):
        each = (np.linalg.pinv(told, hermitian=True) @ own) ** 2
        return 0.5 * np.sqrt(each.shape[1]) * each.std(axis=1) / each.sum(axis=1)
