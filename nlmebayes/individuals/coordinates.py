"""A population as one vector, unconstrained, for searches and derivatives.

Coordinates are the fixed effects as they are; of every level the Cholesky factor A of Omega = A A', block by block, the
diagonal as logarithms; the parts of the residuals on the scale of their range (log, logit, as they are), coefficients
of a formula as they are.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from nlmebayes.evaluation.evaluator import Draws
from nlmebayes.parameter.parameter import LINKS, Logit, support

TINY = 1e-12  # part of a range, or of 1, that a residual part is away from its ends


def range_link(prior):
    """The link of a part of a residual, by the values that it can have."""
    low, high = support(prior)
    if np.isfinite(high):
        return Logit(low, high)
    return LINKS["log" if low == 0 else "identity"]


def inside(link, values):
    """Values that are not at an end of the range of a link, where it is infinite."""
    low, high = link.bounds
    width = high - low if np.isfinite(high) else 1.0
    return np.clip(values, low + TINY * width, high - TINY * width)


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The coordinates of a model on a design: ``theta`` (parameter, term), ``factor`` (level, i, j) of the entries of A
    that vary, ``sigma`` (outcome, part, term or None)."""

    theta: tuple
    factor: tuple
    sigma: tuple
    terms: dict  # parameter -> number of fixed effects
    links: dict  # (outcome, part) -> link, of those without a formula
    outcomes: tuple
    sizes: dict  # level -> number of effects
    correlated: tuple  # levels with correlations

    @property
    def size(self):
        return len(self.theta) + len(self.factor) + len(self.sigma)

    @property
    def of_factor(self):
        """Where the entries of A stand."""
        return slice(len(self.theta), len(self.theta) + len(self.factor))

    @property
    def of_sigma(self):
        """Where the parts of the residuals stand."""
        return slice(len(self.theta) + len(self.factor), self.size)

    @cached_property
    def is_log(self):
        """(entry of A,): whether it is on the diagonal, a logarithm."""
        return np.array([i == j for _, i, j in self.factor], dtype=bool)

    def vector(self, population):
        """Coordinates (sample, coordinate) of `Draws`."""
        chol = {name: population.cholesky(name) for name in self.sizes}
        found = [population.theta[name][:, k] for name, k in self.theta]
        for level, i, j in self.factor:
            entry = chol[level][:, i, j]
            found.append(np.log(np.maximum(entry, 1e-300)) if i == j else entry)
        for outcome, part, term in self.sigma:
            value = population.sigma[outcome][part]
            if term is None:
                link = self.links[outcome, part]
                found.append(link.forward(inside(link, value)))
            else:
                found.append(value[:, term])
        return np.stack(found, axis=1) if found else np.zeros((population.size, 0))

    def population(self, x):
        """`Draws` of coordinates (sample, coordinate), without effects."""
        ends = np.cumsum([0, *self.terms.values()])
        theta = {name: x[:, ends[i] : ends[i + 1]] for i, name in enumerate(self.terms)}
        omega, corr, sigma = {}, {}, {name: {} for name in self.outcomes}
        for level, a in self.factors(x).items():
            square = a @ a.transpose(0, 2, 1)
            omega[level] = np.sqrt(np.einsum("skk->sk", square))
            if level in self.correlated:
                corr[level] = square / (omega[level][:, :, None] * omega[level][:, None, :])
        for (outcome, part, term), column in zip(self.sigma, x.T[self.of_sigma], strict=True):
            if term is None:
                sigma[outcome][part] = natural(self.links[outcome, part], column)
            else:
                before = sigma[outcome].get(part, np.zeros((len(x), 0)))
                sigma[outcome][part] = np.concatenate([before, column[:, None]], axis=1)
        return Draws(theta, omega, corr, sigma, {}, {})

    def factors(self, x):
        """A of every level, (sample, effect, effect), of coordinates (sample, coordinate)."""
        found = {name: np.zeros((len(x), size, size)) for name, size in self.sizes.items()}
        for (level, i, j), value in zip(self.factor, x.T[self.of_factor], strict=True):
            found[level][:, i, j] = np.exp(value) if i == j else value
        return found


def natural(link, values):
    """Values on their natural scale, of values on that of a `range_link`, arrays."""
    low, high = link.bounds
    if np.isfinite(high):
        return low + (high - low) * special.expit(values)
    return np.exp(values) if low == 0 else values


def coordinates(model, design):
    """`Coordinates` of a model on a design."""
    theta = tuple((p.name, k) for p in model.parameters for k in range(len(design.fixed[p.name].terms)))
    factor, correlated = [], []
    for level in design.levels:
        for block in level.blocks:
            places = list(block.effects)
            correlated += [level.name] if block.name is not None else []
            for a, i in enumerate(places):
                factor += [(level.name, i, j) for j in (places[: a + 1] if block.name is not None else [i])]
    sigma, links = [], {}
    for o in design.outcomes:
        for part, prior in model.residual_of(o.name).priors(1.0).items():
            matrix = design.scales.get((o.name, part))
            if matrix is None:
                links[o.name, part] = range_link(prior)
                sigma.append((o.name, part, None))
            else:
                sigma += [(o.name, part, k) for k in range(len(matrix.terms))]
    sizes = {level.name: len(level.effects) for level in design.levels}
    terms = {p.name: len(design.fixed[p.name].terms) for p in model.parameters}
    outcomes = tuple(o.name for o in design.outcomes)
    return Coordinates(
        theta, tuple(factor), tuple(sigma), terms, links, outcomes, sizes, tuple(dict.fromkeys(correlated))
    )
