r"""Runs of censored records in a series: the probability of a Markov chain of normal scores within its limits.

Given the measured records around a run, its scores z_1 ... z_d are a Markov chain of normal steps,

.. math:: z_k \mid z_{k-1}, z_e \sim N\left(\frac{a (1 - b^2) z_{k-1} + b (1 - a^2) z_e}{1 - a^2 b^2},
          \frac{(1 - a^2)(1 - b^2)}{1 - a^2 b^2}\right)

with z_e the next measured score, a and b the correlations with it and with the one before (0 where there is none). The
record k, given the measured ones and those of its run before it, has the probability

.. math:: P_k = \int p_{k-1}(z)\, P(l_k < z_k < h_k \mid z, z_e)\, dz, \qquad
          p_k(x) \propto 1[l_k < x < h_k] \int p_{k-1}(z)\, p(x \mid z, z_e)\, dz

and their product is the normal rectangle of the run. A run of one is a closed form; of more, densities live on `NODES`
Gauss-Legendre nodes of the part of the interval that they reach. Each row of transitions is divided by its sum and
multiplied by its exact probability, so that a step much shorter than the nodes are apart costs accuracy and no more.
The logarithm of a run's probability is right to 1e-10 for correlations up to 0.9 between neighbours, to 1e-6 up to 0.99
and to 3e-3 at 0.999, where no measured record of the series says where it is; to the last digits where one does. Nodes
lie where the records before let the score be: limits that contradict those of a later record of the same run by many
SDs (a prediction far off, as in a warm-up) have a probability, and slopes, that are rough.
"""

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad

from nlmebayes.outcomes.censoring import log_interval
from nlmebayes.outcomes.residual import normal_tails

NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)
REACH = 49.0  # square of the scores within which a normal law is integrated; the rest is 1e-11 of it
FAINT = 25.0  # how far below the largest a log-weight is that does not count


def log_probabilities(z, bottom, top, before, after, steps):
    """Positions (m,) of the first records of all runs and their log-probabilities (..., m); then of the second, ...

    Parameters
    ----------
    z, bottom, top : tensor (..., record)
        Scores of the measured records, and the limits of the censored ones.
    before, after : pair of tensors
        Positions (record,) of the measured records around a run, or of the record before in the run; correlations with
        them, (..., record), 0 where there is none.
    steps : list of tensor (2, m)
        Positions of the k-th records of runs, and which of the records of the step before come before them.
    """
    state = None
    for k, step in enumerate(steps):
        here, parent = step[0], step[1]
        a, b = before[1][..., here], after[1][..., here]
        rest = 1 - (a * b) ** 2
        sd = pt.shape_padright(pt.sqrt((1 - a**2) * (1 - b**2) / rest))
        mean = pt.shape_padright(b * (1 - a**2) / rest * z[..., after[0][here]])
        x, weight = (pt.shape_padright(z[..., before[0][here]]), 0.0) if k == 0 else (v[..., parent, :] for v in state)
        mean = mean + pt.shape_padright(a * (1 - b**2) / rest) * x
        low, high = (pt.shape_padright(limit[..., here]) for limit in (bottom, top))
        joint = weight + log_within(low, high, mean, sd)
        total = pt.logsumexp(joint, axis=-1, keepdims=True)
        yield here, total[..., 0]
        if k + 1 < len(steps):
            state = _onward(low, high, mean, sd, joint - total)


def log_within(low, high, mean, sd):
    """Log-probability of a normal law between two limits, of which either may be infinite."""
    a, b = _standardised(low, mean, sd), _standardised(high, mean, sd)
    inside, narrow = log_interval(*normal_tails(pt.stack([a, b])))
    middle, width = pt.switch(narrow, 0.5 * (a + b), 0.0), pt.switch(narrow, b - a, 1.0)
    return pt.switch(narrow, pt.log(width) - 0.5 * middle**2 - 0.5 * np.log(2 * np.pi), inside)


def _standardised(limit, mean, sd):
    """A limit in SDs of a normal law, with finite slopes where it is infinite."""
    infinite = pt.isinf(limit)
    return pt.switch(infinite, limit + 0 * mean, (pt.switch(infinite, 0.0, limit) - mean) / sd)


def _onward(low, high, mean, sd, share):
    """Nodes (..., m, node) within the limits, and log-weights of a mixture of normal laws there that sum to one.

    ``mean`` and ``share`` (..., m, part) are the means of its parts and the logarithms of what each has within.
    """
    a, b = _standardised(low, mean, sd), _standardised(high, mean, sd)
    # Only the limits themselves carry slopes; where these ends are theirs, rounding would decide.
    start = mean - sd * pt.sqrt(pt.minimum(b, 0.0) ** 2 + REACH)
    end = mean + sd * pt.sqrt(pt.maximum(a, 0.0) ** 2 + REACH)
    counts = pt.gt(share, share.max(axis=-1, keepdims=True) - FAINT)
    first = pt.switch(counts, start, np.inf).min(axis=-1, keepdims=True)
    last = pt.switch(counts, end, -np.inf).max(axis=-1, keepdims=True)
    first, last = pt.maximum(low, disconnected_grad(first)), pt.minimum(high, disconnected_grad(last))
    x = first + (last - first) * (0.5 + 0.5 * NODES)
    step = (x[..., None, :] - mean[..., None]) / sd[..., None]
    move = np.log(WEIGHTS) - 0.5 * step**2
    move = move - pt.logsumexp(move, axis=-1, keepdims=True)
    return x, pt.logsumexp(share[..., None] + move, axis=-2)
