"""Percentiles and shares of records beside those of replicates, each with an interval."""

import numpy as np
from scipy import stats

from nlmebayes.evaluation.tails import tails


def quantile(values, p):
    """Quantile of values (..., record), by linear interpolation; infinite where it lies among infinite ones."""
    ordered, place = np.sort(values, axis=-1), (values.shape[-1] - 1) * p
    i = int(place)
    low, high, part = ordered[..., i], ordered[..., min(i + 1, values.shape[-1] - 1)], place - i
    with np.errstate(invalid="ignore"):
        between = low + part * (high - low)
    beside = np.where(np.isinf(low), low, high)
    return np.where(np.isinf(low) | (np.isinf(high) & (part > 0)), beside, low if part == 0 else between)


def of_percentile(y, simulated, level, ci_prob):
    """Columns of a percentile of records (record,) and of replicates (replicate, record).

    The interval of the observed one is that of order statistics of independent records, infinite on the side where
    there are too few; that of the simulated ones is over replicates.
    """
    p, n = level / 100, len(y)
    low, high = stats.binom.ppf(tails(ci_prob), n, p)
    ordered = np.concatenate([[-np.inf], np.sort(y), [np.inf]])
    found = _finite({"observed": quantile(y, p)} | _of_replicates(quantile(simulated, p), ci_prob))
    return found | {"observed_lb": ordered[int(low)], "observed_ub": ordered[int(high) + 1]}


def of_share(counted, trials, simulated, of, ci_prob):
    """Columns of the share of so many ``counted`` (record,) among ``trials``, and of replicates (replicate, record).

    The interval of the observed one is Clopper and Pearson's, of independent trials.
    """
    k, n = round(float(counted.sum())), round(float(trials.sum()))
    own = stats.binomtest(k, n).proportion_ci(ci_prob)
    found = {"observed": k / n, "observed_lb": own.low, "observed_ub": own.high}
    return _finite(found | _of_replicates(simulated.sum(axis=1) / of.sum(axis=1), ci_prob))


def _of_replicates(every, ci_prob):
    low, high = tails(ci_prob)
    return {"median": quantile(every, 0.5), "eti_lb": quantile(every, low), "eti_ub": quantile(every, high)}


def _finite(found):
    """Missing in the place of what lies beyond quantification."""
    return {name: float(x) if np.isfinite(x) else np.nan for name, x in found.items()}
