"""What points say on the whole: a smooth line through them, and bands in which points of a known law lie."""

import numpy as np
from scipy import interpolate, stats

from nlmebayes.criticism.bins import GAP

LEAST = 5  # distinct places that a smooth line needs
MOST = 40  # places; more are joined to as many, with as many points each
LINE = 100  # points of it


def smooth(x, y):
    """Places and heights of smoothing splines, their bends chosen by generalised cross-validation, which are broken
    where nothing lies for a fifth of the axis between many places; none of few."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(np.unique(x)) < LEAST:
        return None
    order = np.argsort(x, kind="stable")
    lines = [line for part in _parts(x, order) if (line := _spline(x[part], y[part]))]
    broken = [([*a, np.nan], [*b, np.nan]) for a, b in lines]
    return tuple(np.concatenate(each) for each in zip(*broken, strict=True)) if broken else None


def _parts(x, order):
    """Positions in ``order``, cut at gaps with enough places for a line on either side."""
    cuts, last = [], 0
    for cut in np.flatnonzero(np.diff(x[order]) > GAP * np.ptp(x)) + 1:
        if min(len(np.unique(x[part])) for part in (order[last:cut], order[cut:])) >= LEAST:
            cuts.append(cut)
            last = cut
    return np.split(order, cuts)


def _spline(x, y):
    edges = np.unique(np.quantile(x, np.linspace(0, 1, MOST + 1)))
    which = np.unique(np.searchsorted(edges[1:-1], x, side="left"), return_inverse=True)[1]
    count = np.bincount(which).astype(float)
    places, heights = np.bincount(which, x) / count, np.bincount(which, y) / count
    if len(places) < LEAST:
        return None
    at = (places - places[0]) / np.ptp(places)
    spline = interpolate.make_smoothing_spline(at, heights, w=count / count.max())
    inside = np.linspace(0, 1, LINE)
    return places[0] + np.ptp(places) * inside, spline(inside)


def ordered(n, ci_prob):
    """Expected standard normal order statistics of n values, and the interval of each, (n,) three times."""
    k = np.arange(1, n + 1)
    law = stats.beta(k, n + 1 - k)
    shares = ((1 - ci_prob) / 2, (1 + ci_prob) / 2)
    return stats.norm.ppf((k - 0.375) / (n + 0.25)), *(stats.norm.ppf(law.ppf(share)) for share in shares)


def counted(edges, n, ci_prob):
    """Interval of how many of n standard normal values lie between edges, (bin,) twice."""
    p = np.diff(stats.norm.cdf(edges))
    return tuple(stats.binom(n, p).ppf(share) for share in ((1 - ci_prob) / 2, (1 + ci_prob) / 2))
