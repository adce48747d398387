"""Log-likelihoods of groups at many populations, over as few sets of nodes as cover them.

Nodes are placed at the middle of the populations, a finer and a rougher product of them. Populations for which the two
differ - the law of effects with an SD near zero lies between two nodes of a wider one - are parted in two, and the last
few have nodes of their own, each judged like the whole.
"""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

from nlmebayes.individuals.judging import AGREED, judged
from nlmebayes.individuals.placing import ROWS, SCATTERED

POINTS = 9  # of the scale of a part of a residual, between which log-densities are interpolated
FACTOR = np.log(3.0)  # how far scales may differ for that
LARGEST = 50_000_000  # numbers that are kept for it
COVERED = 0.01  # difference of two rules in the log-likelihood of a group, up to which nodes cover a population
WIDE = 0.3  # SD of the logarithm of an SD of effects, from which on populations are parted by it
FEW = 12  # populations that have nodes of their own each, where one set does not cover them


@dataclass(frozen=True, eq=False)
class Found:
    """Log-likelihoods ``value`` (population, group); the largest ``error`` and ``khat`` of each group; the ``method``,
    the number of ``nodes``, and of groups that were integrated ``alone``."""

    value: np.ndarray
    error: np.ndarray
    khat: np.ndarray
    method: str
    nodes: int
    alone: int


def at_many(population, data, x, seed, training=None):
    """`Found` at coordinates x (population, coordinate), of a `placing.Population` on data."""
    value, error, khat = np.empty((len(x), len(population.nest.labels))), 0.0, -np.inf
    waiting, about = [np.arange(len(x))], None
    while waiting:
        here = waiting.pop()
        centre = x[here].mean(axis=0)
        ready = judged(population, data, centre, population.place(centre), seed, training)
        about = about or ready
        if ready.whole.gauss and population.coordinates.factor and not population.orders():
            found, off, covered = _each_exactly(population, ready, x[here])
        else:
            found, off = _over_draws(ready, x[here])
            covered = off.max(axis=1, initial=0.0) <= (COVERED if ready.whole.gauss else AGREED)
        covered |= len(here) == 1
        waiting += _parted(population.coordinates, x, here[~covered])
        value[here[covered]] = found[covered]
        if covered.any():
            off = np.maximum(ready.error, off[covered].max(axis=0, initial=0.0))
            error, khat = np.maximum(error, off), np.fmax(khat, ready.khat)
    return Found(value, error, khat, about.method, int(np.prod(about.whole.shape)), len(about.hard))


def _parted(c, x, here):
    """Each of the last few populations; else two halves: by the SD of effects whose logarithm differs most, or, where
    none does much, along the line from the middle to the one that is farthest from it."""
    if len(here) <= FEW:
        return [np.array([each]) for each in here]
    logs = c.of_factor.start + np.flatnonzero(c.is_log)
    wide = x[here][:, logs].std(axis=0) if len(logs) else np.zeros(1)
    if wide.max() > WIDE:
        along = x[here][:, logs[np.argmax(wide)]]
    else:
        z = (x[here] - x[here].mean(axis=0)) / np.maximum(x[here].std(axis=0), 1e-12)
        along = z @ z[_farthest(x[here])]
    return np.array_split(here[np.argsort(along)], 2)


def _farthest(x):
    """Position of the population that is farthest from the middle, in SDs of each coordinate."""
    spread = x.std(axis=0)
    known = spread > 1e-12
    return int(np.argmax((((x - x.mean(axis=0))[:, known] / spread[known]) ** 2).sum(axis=1)))


def _each_exactly(population, ready, x):
    """Log-likelihoods (population, group), each over nodes of its own that are exact for a normal law; how far off they
    are (not at all); and for which populations there are such nodes."""
    start = ready.whole.weighed(x[0], ready.whole.records(x[0])).means()
    rules = []
    for each in x:
        place = population.place(each, start)
        place = place if place.closed.all() else population.place(each)
        rules.append(population.rule(each, place, ROWS, SCATTERED, 0))
    found = np.stack([rule.log_likelihood(each) for rule, each in zip(rules, x, strict=True)])
    return found, np.zeros_like(found), np.array([rule.gauss for rule in rules])


def _over_draws(ready, x):
    """Log-likelihoods (draw, group) of `Judged` integrals at coordinates x (draw, coordinate), and how far off they may
    be: by the difference of two rules, or the spread of drawn nodes."""
    found, spread = _over(ready.whole, x)
    if ready.rough is not None:
        spread = np.abs(_over(ready.rough, x)[0] - found)
    elif ready.whole.gauss:
        spread = np.zeros_like(found)
    for i, integral in zip(ready.hard, ready.own, strict=True):
        each, off = _over(integral, x)
        found[:, i], spread[:, i] = each[:, 0], off[:, 0]
    return found, np.where(np.isfinite(spread), spread, 0.0)


def _over(integral, x):
    """Of an `Integral`, and how far off each may be where nodes are drawn: quasi-random ones by half of what
    independent ones would be.

    What moves with the parts of residuals alone is interpolated between Chebyshev points of these, exact to rounding
    for scales that differ by less than a factor of three.
    """
    scales = np.arange(integral.coordinates.of_sigma.start, integral.coordinates.size)
    points = POINTS ** len(scales)
    fixed = np.abs(x[:, integral.free] - integral.origin[integral.free]).max(initial=0.0) == 0
    low, high = x[:, scales].min(axis=0), x[:, scales].max(axis=0)
    wide = (high - low).max(initial=0.0) > FACTOR
    if not fixed or wide or points >= len(x) or points * integral.log_weight[:, 0].size > LARGEST:
        return _stacked(integral.weighed(each, integral.records(each)) for each in x)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-9)
    t = chebyshev.chebpts1(POINTS)
    grid = np.stack(np.meshgrid(*[t] * len(scales), indexing="ij"), axis=-1) if len(scales) else np.zeros((1, 0))
    grid = grid.reshape(points, len(scales))
    here = np.repeat(x[:1], points, axis=0)
    here[:, scales] = middle + half * grid
    dense = np.stack([integral.records(each) for each in here])
    lost = np.isneginf(dense).any(axis=0)
    dense = np.where(lost, 0.0, dense)
    back = np.linalg.inv(chebyshev.chebvander(t, POINTS - 1))
    each = chebyshev.chebvander((x[:, scales] - middle) / half, POINTS - 1) @ back  # (draw, scale, point)
    share = each[:, 0] if len(scales) else np.ones((len(x), 1))
    for k in range(1, len(scales)):
        share = (share[:, :, None] * each[:, k, None]).reshape(len(x), -1)
    values = (np.where(lost, -np.inf, np.tensordot(weight, dense, axes=1)) for weight in share)
    return _stacked(integral.weighed(place, value) for place, value in zip(x, values, strict=True))


def _stacked(weighed):
    each = [(one.value, np.zeros_like(one.value) if one.integral.gauss else one.spread / 2) for one in weighed]
    return tuple(np.stack(part) for part in zip(*each, strict=True))
