"""Draws of correlated normal scores: whole new series, and records given what is known of theirs.

Arrays of scores are (sample, record); `autocorrelation` says how a measurement and its score hang together.
"""

import numpy as np
from scipy import special

from nlmebayes.outcomes.autocorrelation import NONE, RUN

CANDIDATES = 200  # for the scores of a run of censored records, of which one is taken by its weight
LARGE = 2_000_000  # numbers in an array of them


def correlations(rho, distance):
    """With a record at a distance in units (record,), (sample, record); 0 where there is none."""
    return np.where(distance < 0, 0.0, rho ** np.maximum(distance, 0.0))


def fresh(series, rho, rng):
    """Scores of new series (sample, record); ``rho`` (sample, 1)."""
    return given(series, np.zeros(len(series.place), dtype=bool), np.zeros((len(rho), len(series.place))), rho, rng)


def given(series, known, z, rho, rng):
    """The same with scores drawn where they are not ``known`` (record,), given those that are.

    Each is drawn given the one before it and the next one that is known; at the place of a known one it is equal.
    """
    order, follows = series.order(~known)
    index, here, z = np.arange(len(order)), known[order], z.copy()
    coming = np.minimum.accumulate(np.append(np.where(here, index, len(index)), len(index))[::-1])[::-1][1:]
    number, place = np.cumsum(~follows), series.place[order]
    real = coming < len(index)
    real[real] = number[coming[real]] == number[real]
    until = np.where(real, place[coming * real] - place, NONE)
    step = np.where(follows, np.diff(place, prepend=0.0), NONE)
    first = np.maximum.accumulate(np.where(here | ~follows, index, 0))  # where the stretch of each begins
    depth = np.where(here, 0, index - first + ~here[first])
    for k in range(1, int(depth.max(initial=0)) + 1):
        now = np.flatnonzero(depth == k)
        mean, sd = _bridge(
            correlations(rho, step[now]), correlations(rho, until[now]), z[:, order[now - 1]],
            z[:, order[coming[now] * real[now]]],
        )  # fmt: skip
        z[:, order[now]] = mean + sd * rng.standard_normal(mean.shape)
    return z


def _bridge(a, b, before, after):
    """Mean and SD of a score given those before and after it, with which it has the correlations a and b."""
    rest = 1 - (a * b) ** 2
    mean = (a * (1 - b**2) * before + b * (1 - a**2) * after) / rest
    return mean, np.sqrt(np.maximum((1 - a**2) * (1 - b**2) / rest, 0.0))


def filled(columns, z, bottom, top, rho, rng):
    """Scores z of the measured records with those of the censored ones, drawn within their limits given all of them.

    ``columns`` are those of `autocorrelation.linked`; ``bottom`` and ``top`` the limits, (sample, record). Of a run of
    several, candidates are drawn one record after the other and one is taken by its weight (Rubin 1988, Bayesian
    Statistics 3, 395-402).
    """
    runs = [x.astype(int) for name, x in columns.items() if name.startswith(RUN)]
    if not runs:
        return z
    size = max(1, LARGE // (CANDIDATES * runs[0].shape[1]))
    if len(z) > size:
        parts = [slice(i, i + size) for i in range(0, len(z), size)]
        return np.concatenate([filled(columns, z[i], bottom[i], top[i], rho[i], rng) for i in parts])
    many = 1 if len(runs) == 1 else CANDIDATES
    before, after = columns["before"].astype(int), columns["after"].astype(int)
    shape = len(z), runs[0].shape[1], many
    log_weight, x, root, drawn = np.zeros(shape), None, np.arange(shape[1]), []
    for k, (here, parent) in enumerate(runs):
        previous, root = (z[:, before[here], None], root) if k == 0 else (x[:, parent], root[parent])
        a, b = (correlations(rho, columns[d][here])[..., None] for d in ("gap", "until"))
        mean, sd = _bridge(a, b, previous, z[:, after[here], None])
        low, high = ((limit[:, here, None] - mean) / sd for limit in (bottom, top))
        step, log_within = _truncated(low, high, rng.random((len(z), len(here), many)))
        x = mean + sd * step
        log_weight[:, root] += log_within
        drawn.append((here, root, x))
    chosen = np.argmax(log_weight + rng.gumbel(size=shape), axis=2)[..., None]
    z = z.copy()
    for here, root, x in drawn:
        z[:, here] = np.take_along_axis(x, chosen[:, root], axis=2)[..., 0]
    return z


def _truncated(low, high, u):
    """The value of a standard normal variable between two limits at the part u of its probability there, and the
    logarithm of that."""
    flip = low > 0  # in the tail in which the interval lies
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    least, most = special.log_ndtr(low), special.log_ndtr(high)
    ratio = np.exp(least - most)
    found = special.ndtri_exp(most + np.log(u + (1 - u) * ratio))
    return np.where(flip, -found, found), most + np.log1p(-ratio)
