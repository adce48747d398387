r"""Draws of a `Target` at the records of people: for random effects of zero, of one new person, or averaged over these.

An average over new people is that of :math:`g(l + e)` with the linear predictors l of a typical person and
:math:`e \sim Normal(0, \sum_L Z_L \Omega_L Z_L')`, their covariance over all levels of which nothing is known, by draw.
So it is an integral over as many dimensions as parameters vary that the target reads, whatever the levels: by a product
of Gauss-Hermite rules for up to three (exact for polynomials), by quasi-random points and their mirror images beyond.
"""

from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt
from scipy import special
from scipy.stats import qmc

from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation.evaluator import FILLED, Draws, function, keep_known, predictor
from nlmebayes.evaluation.measurement import probabilities
from nlmebayes.evaluation.prediction import unsolved
from nlmebayes.formula.design import Design
from nlmebayes.individuals.rules import LOG_2PI, product
from nlmebayes.model import hierarchy
from nlmebayes.model.model import Model
from nlmebayes.parameter.parameter import Identity
from nlmebayes.runtime.threads import remembered
from nlmebayes.summaries.targets import Target

NONE, AVERAGE, NEW = "none", "average", "new"
ORDERS = {1: 60, 2: 24, 3: 12}  # of the rules, by dimension
POINTS = 512  # quasi-random ones, beside as many mirror images; a power of 2
MANY = 10  # groups that are named
JITTER = 1e-14  # of the largest variance, without which a covariance of rank one has no factor


@dataclass(frozen=True, eq=False)
class Predictions:
    """A target of a model on the design of some people, under population draws.

    ``kept``: levels whose known groups keep their effects; those of all others are as ``groups`` says. ``place``: an
    outcome with a record for each value of the target.
    """

    model: Model
    design: Design
    draws: Draws
    target: Target
    kept: tuple[str, ...]
    columns: dict
    place: str

    @property
    def observed(self):
        """The records of that outcome, whatever is asked."""
        return self.design.outcome(self.place)

    def at(self, groups, rng):
        """Values (draw, record)."""
        if groups == NEW:
            return self._of(self._linear(self._new(rng)))
        linear = self._linear(self._known(lambda level: 0.0))
        return self._averaged(linear) if groups == AVERAGE else self._of(linear)

    def _known(self, others):
        """Effects by level: those of known groups where they are kept, and ``others`` of the rest."""
        found = {}
        for level in self.design.levels:
            self._has_effects(level)
            shape = self.draws.size, len(level.labels), len(level.effects)
            values = np.broadcast_to(others(level), shape).copy()
            found[level.name] = keep_known(level, self.draws, values) if level.name in self.kept else values
        return found

    def _has_effects(self, level):
        """The draws know the effects of the groups that are to keep theirs."""
        have = self.draws.groups.get(level.name, ())
        strange = [label for label in level.labels if level.name in self.kept and label not in have]
        if strange:
            raise ModelError(
                f"the tree does not know the effects of {level.name} {strange[0]}; it knows those of "
                f"{', '.join(have[:MANY]) or 'none'}{' ...' if have[MANY:] else ''}"
            )

    def _new(self, rng):
        """Effects of one new person, who is everybody that is asked about, so that answers can be compared."""
        z = {v.name: rng.standard_normal((self.draws.size, 1, len(v.effects))) for v in self.design.levels}
        return self._known(lambda level: z[level.name] @ self.draws.cholesky(level.name).transpose(0, 2, 1))

    def _linear(self, eta):
        """Linear predictors, (draw, parameter, unit)."""
        x = {name: value for name, (value, _) in hierarchy.arrays(self.design).items()}
        plain = [(name, Identity()) for name, _ in self.model.scales]
        found = hierarchy.individual(plain, self.design.levels, x, self.draws.theta, eta)
        return np.stack([found[name] for name, _ in self.model.scales], axis=1)

    def _of(self, linear):
        """The target (draw, record) of linear predictors (draw, parameter, unit)."""
        phi = _natural(self.model.scales)(linear)
        unit = self.observed.unit
        phi = {name: values[:, unit] for (name, _), values in zip(self.model.scales, phi, strict=True)}
        return self.target.values(phi, self._predicted(linear), self.columns)

    def _predicted(self, linear):
        """Predictions (draw, record) by outcome; of an ordered one the probability of a category."""
        if not self.target.outcomes:
            return {}
        f, _ = predictor(self.model, self.design)(linear)
        for line in unsolved(self.design, f):
            warn(line)
        found = {name: self.design.outcome(name).read(f[name]) for name in self.target.outcomes}
        if self.target.category is None:
            return found
        residual, scatter = self.model.residual_of(self.place), self.draws.sigma[self.place]
        each = probabilities(residual, found[self.place], scatter, self.observed)
        return {self.place: each[..., self.target.category - 1]}

    def _averaged(self, linear):
        names = [name for name, _ in self.model.scales]
        covariance = self._covariance(names)
        here = [i for i, name in enumerate(names) if name in self.target.parameters and covariance[:, :, i, i].any()]
        x, weight = nodes(len(here))
        part = covariance[:, :, here][..., here]
        if here:
            part = part + JITTER * np.eye(len(here)) * (np.einsum("duii->du", part).max() + 1e-300)
        factor, total = np.linalg.cholesky(part), 0.0
        for z, w in zip(x, weight, strict=True):
            moved = linear.copy()
            moved[:, here] += (factor @ z).transpose(0, 2, 1)
            total = total + w * self._of(moved)
        return total

    def _covariance(self, names):
        """Of the linear predictors of each unit under the effects that are not known, (draw, unit, parameter,
        parameter)."""
        units = len(self.design.labels)
        found = np.zeros((self.draws.size, units, len(names), len(names)))
        for level in self.design.levels:
            told = np.isin(np.asarray(level.labels, dtype=object), list(self.draws.groups.get(level.name, ())))
            new = ~told[level.of_unit] if level.name in self.kept else np.ones(units, dtype=bool)
            loads = np.zeros((units, len(names), len(level.effects)))
            for k, effect in enumerate(level.effects):
                loads[:, names.index(effect.parameter), k] = level.z[:, k] * new
            half = np.einsum("upk,dkj->dupj", loads, self.draws.cholesky(level.name))
            found += half @ half.transpose(0, 1, 3, 2)
        return found


@remembered
def _natural(links):
    """A function of linear predictors (draw, parameter, unit) that gives the parameters, (draw, unit) each."""
    linear = pt.dtensor3("linear")
    return function([linear], [link.inverse(linear[:, i]) for i, (_, link) in enumerate(links)], FILLED)


def nodes(size):
    """Nodes (node, dimension) of a standard normal law, and their weights, which sum to one."""
    if size <= max(ORDERS):
        x, log_weight = product(ORDERS.get(size, 1), size)
        weight = np.exp(log_weight - 0.5 * (x**2 + LOG_2PI).sum(axis=1))
        return x, weight / weight.sum()
    half = special.ndtri(qmc.Sobol(size, rng=0).random(POINTS))
    half = np.linalg.solve(np.linalg.cholesky(half.T @ half / POINTS), half.T).T  # exact for cubic functions
    return np.concatenate([half, -half]), np.full(2 * POINTS, 0.5 / POINTS)
