"""Importance weights: smoothed, judged by k-hat, and draws by them."""

import numpy as np
from arviz_stats.base import array_stats

KHAT = 0.7  # above it, weights are not to be trusted (Vehtari et al. 2024, JMLR 25(72))


def smoothed(log_weight):
    """Pareto-smoothed weights that sum to one, and k-hat.

    That is 0 where all weights are equal, as without samples, and infinite where too few are finite to tell.
    """
    if np.ptp(log_weight) < 1e-9:
        return np.full(len(log_weight), 1 / len(log_weight)), 0.0
    try:
        ratios, khat = array_stats.psislw(-log_weight)  # it takes the negative, as of a log-likelihood
    except ValueError:  # the largest weights are equal, as of a censored sample that says little: no tail to smooth
        ratios, khat = log_weight, 0.0
    weight = np.exp(ratios - ratios.max())
    return weight / weight.sum(), float(np.inf if np.isnan(khat) else khat)


def systematic(weight, n, rng):
    """Positions of n draws by weight, systematic resampling (Carpenter, Clifford and Fearnhead 1999)."""
    edges = np.cumsum(weight)
    points = (np.arange(n) + rng.random()) / n
    return rng.permutation(np.minimum(np.searchsorted(edges / edges[-1], points), len(weight) - 1))
