"""Integrals that were judged: by a rule of other nodes, and group by group where the two disagree.

A product of nodes at a mode is blind to what it does not meet: a second mode, a ridge along which the data say nothing.
Quasi-random nodes of which a tenth are drawn from the population see it, by their own sum and by the k-hat of their
weights. Such groups are integrated by adaptive importance sampling from many places (`particles`), each on its own.
"""

from dataclasses import dataclass, replace

import numpy as np

from nlmebayes.errors import ModelError
from nlmebayes.evaluation.weights import KHAT, smoothed
from nlmebayes.formula.design import resolve
from nlmebayes.individuals.integral import Integral
from nlmebayes.individuals.nesting import everyone, nesting
from nlmebayes.individuals.particles import pooled
from nlmebayes.individuals.placing import ROWS, SCATTERED, Place, Population

AGREED = 0.02  # difference of two rules in the log-likelihood of a group that is none
ERRORS = 4.0  # standard errors of the judge, within which the two agree
ENOUGH = 0.002  # error of the log-likelihood of a group, for which the fewest nodes are taken
PARTICLES, ROUNDS, WORTH = 4000, 4, 4000  # of adaptive importance sampling
JUDGES = 1024  # nodes of the judge


@dataclass(frozen=True, eq=False)
class Judged:
    """Integrals of all groups: ``whole``, and ``own`` ones of the groups at positions ``hard``; by group the ``error``
    at the population of the nodes and ``khat`` of the judge's weights."""

    whole: Integral
    hard: np.ndarray
    own: tuple
    error: np.ndarray
    khat: np.ndarray
    place: Place

    @property
    def method(self):
        """How most groups are integrated."""
        return "quadrature" if self.whole.gauss else "importance"

    def finer(self, population, x):
        """The same with as many nodes as there may be."""
        if not self.whole.gauss:
            return self
        return replace(self, whole=population.quadrature(x, self.place, population.orders(ROWS)[0]))

    def log_likelihood(self, x):
        """(group,) at coordinates x."""
        found = self.whole.log_likelihood(x)
        for i, integral in zip(self.hard, self.own, strict=True):
            found[i] = integral.log_likelihood(x)[0]
        return found


def judged(population: Population, data, x, place: Place, seed, training=None):
    """`Judged` integrals at a `Place` under the population of coordinates x; ``data`` are those of the design."""
    orders = population.orders(ROWS)
    rng = np.random.default_rng(seed)
    if not place.target.size:
        whole = population.quadrature(x, place, (1, 1))
        none = np.zeros(len(population.nest.labels))
        return Judged(whole, none[:0].astype(int), (), none, none, place)
    value, spread, khat = _judge(population, x, place, rng)
    if orders:
        whole, error = _plain(population, x, place, orders)
        here = whole.log_likelihood(x)
    else:
        whole = population.scattered(x, place, 4 * SCATTERED, rng)
        here = whole.log_likelihood(x)
        error = np.maximum(np.abs(here - value) / 2, spread / 2)
    apart = ~(np.abs(here - value) <= AGREED + ERRORS * np.where(khat > KHAT, np.inf, spread))
    hard = np.flatnonzero(apart | (khat > KHAT) | ~place.closed)
    own = []
    for n, i in enumerate(hard):
        alone, told = _alone(population, data, x, i, seed + n, training)
        own.append(alone)
        error[i], khat[i] = told.size**-0.5, told.khat
    return Judged(whole, hard, tuple(own), error, khat, place)


def _plain(population, x, place, orders):
    """The product of fewest nodes that is right enough, and what it may miss, (group,)."""
    fine = population.quadrature(x, place, orders[0])
    best = fine.log_likelihood(x)
    if len(orders) == 1:
        return fine, np.full(len(best), np.nan)
    chosen, error = fine, None
    for order in orders[1:]:
        coarse = population.quadrature(x, place, order)
        apart = np.abs(coarse.log_likelihood(x) - best)
        error = apart if error is None else error
        if not apart.max() < ENOUGH:
            break
        chosen, error = coarse, apart
    return chosen, error


def _judge(population, x, place, rng):
    """Log-likelihoods of independent nodes with their standard errors, and the k-hat of their weights, (group,)."""
    integral = population.scattered(x, place, JUDGES, rng)
    found = integral.weighed(x, integral.records(x))
    share = found.share[:, 0]
    spread = np.sqrt((share**2).sum(axis=1) - 1 / share.shape[1])
    with np.errstate(divide="ignore"):
        khat = np.array([smoothed(np.maximum(each, each.max() - 700))[1] for each in np.log(share)])
    return found.value, np.where(np.isfinite(found.value), spread, np.inf), khat


def _alone(population, data, x, i, seed, training):
    """`Integral` of one group by adaptive importance sampling, and its `Particles`."""
    nest = population.nest
    if nest.level not in data.levels:
        raise ModelError(f"a group of {nest.level} has no density that two rules agree on")
    label = nest.labels[i].rpartition("/")[2] if nest.level in data.unique else nest.labels[i]
    own = resolve(population.model, data.sel(**{nest.level: label}), training or population.design)
    alone = Population(population.model, own, nesting(own).together, population.coordinates)
    target = everyone(alone.model, own, alone.nest, population.coordinates.population(x[None]))
    best, _, pool = pooled(target, target, PARTICLES, ROUNDS, WORTH, np.random.default_rng(seed))
    return alone.joint(x, target, pool.z[:, None], -pool.log_proposed[:, None]), best
