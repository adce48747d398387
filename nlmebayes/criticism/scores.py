r"""Measurements as numbers that a true model makes independent and standard normal, given the draw of a posterior.

.. math:: z = \Phi^{-1}(F(y \mid f, \sigma)), \qquad F \text{ the law of the measurement at its individual prediction}

which is :math:`(y - f) / w` of a normal residual, and the innovation of one with a memory. Of a censored record F is
drawn from U(F(lower), F(upper)); of families without a distribution function here (counts, categories), the rank of
the measurement among simulated ones, with ties broken at random, gives a number that is uniform all the same.
"""

import numpy as np
import pytensor.tensor as pt
from scipy import special

from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import FILLED, function
from nlmebayes.evaluation.measurement import innovations, measure, parts_at, shapes_of
from nlmebayes.outcomes import censoring
from nlmebayes.runtime.threads import remembered
from nlmebayes.structure.structure import Named

COPIES = 49  # simulated measurements among which one has its rank


def scored(residual, f, sigma, observed, positive, rng):
    """Scores (draw, record) of an `ObservedOutcome` around predictions ``f`` (draw, record); missing where there is
    none in some draw."""
    known = np.isfinite(observed.values) | observed.censored
    if residual.correlated:
        z = innovations(residual, f, sigma, observed, rng)
    else:
        try:
            z = _by_tails(residual, f, parts_at(residual, sigma, observed), observed, positive, rng)
        except (ModelError, NotImplementedError):  # there is no distribution function
            z = _by_rank(residual, f, sigma, observed, positive, rng)
    return np.where(known & np.isfinite(z).all(axis=0), z, np.nan)


def _by_tails(residual, f, parts, observed, positive, rng):
    compute = _tails(residual, shapes_of(parts))

    def tails(y):
        with np.errstate(all="ignore"):
            below, above = compute(f, np.asarray(y, dtype=float)[None], *parts.values())
        return np.broadcast_to(below, f.shape), np.broadcast_to(above, f.shape)

    value, lower, upper = censoring.limits(observed.values, observed.lower, observed.upper)
    z = _of_tails(*tails(value), tails(np.zeros_like(value))[1] if positive and not residual.positive else None)
    if observed.censored.any():
        low, high, none = (np.exp(tails(y)[0]) for y in (lower, upper, np.zeros_like(value)))
        floor = none if positive and not residual.positive else 0.0
        low, high = (np.maximum(x - floor, 0.0) / (1 - floor) for x in (low, high))
        drawn = special.ndtri(low + rng.random(f.shape) * (high - low))
        z = np.where(observed.censored, drawn, z)
    return z


def _of_tails(below, above, possible):
    """Normal scores by the smaller tail; ``possible``: log-probability of what is positive, of a law cut at zero."""
    if possible is not None:
        above = above - possible
        below = np.log(-np.expm1(np.minimum(above, -1e-300)))
    with np.errstate(all="ignore"):
        low, high = (special.ndtri_exp(np.minimum(x, 0.0)) for x in (below, above))
        return np.where(below < above, low, -high)


@remembered
def _tails(residual, shapes):
    """A function of predictions, measurements and parts that gives log F and log(1 - F)."""
    f, y = pt.dmatrix("f"), pt.drow("y")
    tensors = {name: pt.tensor(name, dtype="float64", shape=shape) for name, *shape in shapes}
    below, above = residual.log_tails(f, Named(**tensors), y + pt.zeros_like(f))
    return function([f, y, *tensors.values()], [below, above], FILLED)


def _by_rank(residual, f, sigma, observed, positive, rng):
    """Scores by the rank among simulated measurements of the same draw."""
    below, same = np.zeros(f.shape), np.zeros(f.shape)
    for _ in range(COPIES):
        drawn = measure(residual, f, sigma, rng, positive, observed)
        below += drawn < observed.values
        same += drawn == observed.values
    return special.ndtri((below + rng.random(f.shape) * (same + 1)) / (COPIES + 1))
