"""Integrals that were judged: by a rule of other nodes, and group by group where the two disagree.

A product of nodes at a mode is blind to what it does not meet: a second mode, a ridge along which the data say nothing.
Quasi-random nodes of which a tenth are drawn from the population see it, by their own sum and by the k-hat of their
weights. Such groups are integrated by adaptive importance sampling from many places (`particles`), each on its own.
"""

from dataclasses import dataclass

import numpy as np

from nlmebayes.data.tidy import label
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.weights import KHAT, smoothed
from nlmebayes.formula.design import resolve
from nlmebayes.individuals.integral import Integral
from nlmebayes.individuals.nesting import everyone, nesting
from nlmebayes.individuals.particles import pooled
from nlmebayes.individuals.placing import ROWS, SCATTERED, Place, Population
from nlmebayes.individuals.several import Several

AGREED = 0.02  # difference of two rules in the log-likelihood of a group that is none
ERRORS = 4.0  # standard errors of the judge, within which the two agree
UNEQUAL = 0.01  # difference of two products in the log-likelihood of a group, from which on neither is trusted
OTHERS = 1e-3  # probability of other modes, with which a group is integrated on its own
TOTAL, FINEST = 0.02, 2500  # error of all groups for which there are more nodes than usual, and how many rows of them
PARTICLES, ROUNDS, WORTH = 4000, 4, 4000  # of adaptive importance sampling
JUDGES = 512  # nodes of the judge


@dataclass(frozen=True, eq=False)
class Judged:
    """Integrals of all groups: ``whole``, and ``own`` ones of the groups at positions ``hard``; by group the ``error``
    at the population of the nodes and ``khat`` of the judge's weights."""

    whole: Integral
    hard: np.ndarray
    own: tuple
    error: np.ndarray
    khat: np.ndarray
    rough: Integral | None = None  # a product of fewer nodes

    @property
    def method(self):
        """How most groups are integrated."""
        return "quadrature" if self.whole.gauss else "importance"

    @property
    def integral(self):
        """All of them as one."""
        return Several(self.whole, self.hard, self.own) if len(self.hard) else self.whole

    def log_likelihood(self, x):
        """(group,) at coordinates x."""
        return self.integral.log_likelihood(x)


def judged(population: Population, data, x, place: Place, seed, training=None, known=None):
    """`Judged` integrals at a `Place` under the population of coordinates x; ``data`` are those of the design.
    ``known``: the `Integral` of most nodes, where it was made already."""
    orders = population.orders(ROWS)
    if not place.target.size:
        whole = population.quadrature(x, place, (1, 1))
        none = np.zeros(len(population.nest.labels))
        return Judged(whole, none[:0].astype(int), (), none, none)
    whole = None if orders else known
    if whole is None and not orders:
        whole = population.rule(x, place, ROWS, 2 * SCATTERED, seed)
    if whole is not None and whole.gauss:  # exact, whatever a judge in so many dimensions says
        none = np.zeros(len(population.nest.labels))
        return Judged(whole, np.zeros(0, dtype=int), (), none, np.full(len(none), np.nan))
    value, spread, khat = _judge(population, x, place, seed)
    rough = None
    if orders:
        whole = population.quadrature(x, place, orders[0]) if known is None else known
        here, error = whole.log_likelihood(x), np.full(len(value), np.nan)
        if len(orders) > 1:
            rough = population.quadrature(x, place, orders[1])
            error = np.abs(rough.log_likelihood(x) - here)
        finest = population.orders(FINEST)[0]
        if error.sum() > TOTAL and finest != orders[0]:
            rough, whole = whole, population.quadrature(x, place, finest)
            here, before = whole.log_likelihood(x), here
            error = np.abs(here - before)
    else:
        here = whole.log_likelihood(x)
        error = np.maximum(np.abs(here - value) / 2, spread / 2)
    apart = ~(np.abs(here - value) <= AGREED + ERRORS * np.where(khat > KHAT, np.inf, spread))
    doubtful = apart | (khat > KHAT) | ~place.closed | (place.others > OTHERS) | (whole.gauss & (error > UNEQUAL))
    hard, own = [], []
    for n, i in enumerate(np.flatnonzero(doubtful)):
        integral, told = alone(population, data, x, i, seed + n, training)
        value, spread = integral.log_likelihood(x)[0], told.size**-0.5
        away, khat[i] = np.abs(value - here[i]), told.khat
        agreed = away <= AGREED + ERRORS * spread and not error[i] > spread
        if agreed and whole.gauss:  # nodes of a product have no noise
            error[i] = max(error[i], min(away, spread))
        else:
            hard, own, error[i] = [*hard, i], [*own, integral], spread
    return Judged(whole, np.array(hard, dtype=int), tuple(own), error, khat, rough)


def _judge(population, x, place, seed):
    """Log-likelihoods of independent nodes with their standard errors, and the k-hat of their weights, (group,)."""
    integral = population.scattered(x, place, JUDGES, seed)
    found = integral.weighed(x, integral.records(x))
    with np.errstate(divide="ignore"):
        khat = np.array([smoothed(np.maximum(each, each.max() - 700))[1] for each in np.log(found.share[:, 0])])
    return found.value, np.where(np.isfinite(found.value), found.spread, np.inf), khat


def alone(population, data, x, i, seed, training=None):
    """`Integral` of one group by adaptive importance sampling, and its `Particles`."""
    own = population.design
    if len(population.nest.labels) > 1:
        own = resolve(population.model, _records_of(population.nest, data, i), training or population.design)
    one = Population(population.model, own, nesting(own).together, population.coordinates)
    target = everyone(one.model, own, one.nest, population.coordinates.population(x[None]))
    best, _, pool = pooled(target, target, PARTICLES, ROUNDS, WORTH, np.random.default_rng(seed))
    return one.joint(x, target, pool.z[:, None], -pool.log_proposed[:, None]), best


def _records_of(nest, data, i):
    """The data of one group.

    Raises
    ------
    ModelError
        Groups of several columns together.
    """
    if nest.level not in data.observations:
        raise ModelError(
            f"rules of integration disagree on {nest.level} {nest.labels[i]}, which cannot be integrated on its own: "
            "groups of several columns; make one column of them"
        )
    values = data.observations[nest.level].unique()
    return data.sel(**{nest.level: [value for value in values if str(label(value)) == nest.labels[i]]})
