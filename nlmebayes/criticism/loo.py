"""LOO-PIT: where a record lies in what all the others say of it, by importance sampling."""

import numpy as np

from nlmebayes.criticism.npde import ABOVE, BELOW, MEASURED
from nlmebayes.evaluation.measurement import log_density
from nlmebayes.evaluation.weights import smoothed

FEWEST = 100  # draws without which a share says little


def loo_pit(case, observed, draws, f, drawn, flags, rng):
    """Share of the posterior predictive of each record, given all others, below it, and k-hat, (record,) each.

    Draws of the posterior are weighted by 1 / p(y | draw), Pareto-smoothed. Equal values count by a random part, and a
    censored record by a draw from the part beyond its limit. Missing where a residual has a memory, and of few draws.

    Parameters
    ----------
    f, drawn : array (draw, record)
        Predictions of the posterior, and measurements around them.
    flags : array (record,)
        As CENS.

    Source: Vehtari, Gelman and Gabry (2017), Stat. Comput. 27, 1413-1432, doi:10.1007/s11222-016-9696-4; Säilynoja,
    Bürkner and Vehtari (2022), Stat. Comput. 32, 32, doi:10.1007/s11222-022-10090-6.
    """
    residual, found, khat = case.model.residual_of(observed.name), *np.full((2, len(observed.row)), np.nan)
    if len(f) < FEWEST or residual.correlated:
        return found, khat
    dense = log_density(residual, f, draws.sigma.get(observed.name, {}), observed, case.design.positive)
    at = np.where(flags == BELOW, observed.upper, np.where(flags == ABOVE, observed.lower, observed.values))
    within = observed.censored & (flags == MEASURED)  # an event that is known to an interval
    for r in np.flatnonzero(np.isfinite(at) & np.isfinite(dense).all(axis=0) & ~within):
        with np.errstate(all="ignore"):  # of records that no draw explains; k-hat says so
            weight, khat[r] = smoothed(-dense[:, r])
        low, high = weight @ (drawn[:, r] < at[r]), weight @ (drawn[:, r] <= at[r])
        low, high = {BELOW: (0.0, low), ABOVE: (high, 1.0)}.get(flags[r], (low, high))
        found[r] = low + rng.random() * (high - low)
    return found, khat
