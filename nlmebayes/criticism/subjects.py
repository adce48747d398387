"""Subjects left out of a fit, where that is quick enough for every `check`."""

import numpy as np
import pandas as pd

from nlmebayes.criticism import leave_out
from nlmebayes.criticism.likelihoods import population
from nlmebayes.errors import ModelError

DRAWS = 100
QUICK = 50_000  # records and doses times nodes that are predicted
NODES = 7  # of each effect, for the estimate of these
ENOUGH = 100  # draws of the posterior
COLUMNS = "level", "groups", "elpd", "se", "mcse", "p", "high_k"


def subjects(known):
    """One row on the groups that the random effects of a `Fitted` tree are of, left out one by one: as the table of
    `compare` has it. None where levels are several, draws few, predictions many or a differential equation's."""
    levels, data = known.training.levels, known.training_data
    events = len(data.observations) + (0 if data.doses is None else len(data.doses))
    cost = events * NODES ** sum(len(level.effects) for level in levels)
    draws = known.posterior.sizes["chain"] * known.posterior.sizes["draw"]
    slow = cost > QUICK or known.model.structure.fallible  # a fit that is far off takes minutes of a solver
    if len(levels) != 1 or levels[0].name not in data.levels or slow or draws < ENOUGH:
        return pd.DataFrame(columns=COLUMNS)
    try:
        found = leave_out.marginals(known, levels[0].name, population(known, DRAWS), seed=0)
    except ModelError:  # a likelihood that is not known, such as of events known to an interval
        return pd.DataFrame(columns=COLUMNS)
    left = leave_out.left_out(levels[0].name, found.groups, found.values)
    row = levels[0].name, len(found.groups), left.total, left.se, left.mcse, left.p, len(left.worst)
    return pd.DataFrame([row], columns=COLUMNS) if np.isfinite(left.total) else pd.DataFrame(columns=COLUMNS)
