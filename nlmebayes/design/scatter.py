"""How measurements scatter around their predictions, on the scale on which they are normal, or nearly."""

from functools import singledispatch

import numpy as np

from nlmebayes.errors import ModelError
from nlmebayes.evaluation.measurement import parts_at, precisions
from nlmebayes.outcomes.counts import NegativeBinomial, Poisson
from nlmebayes.outcomes.families import Binomial, Gamma
from nlmebayes.outcomes.residual import Gaussian, LogNormal, Residual
from nlmebayes.summaries.moments import residual_moments


@singledispatch
def scatter(residual: Residual, f, s, observed):
    """Variances of measurements and slopes of their scale at predictions ``f``, (sample, record) each; ``s`` are the
    parts of the residual, (sample,).

    Raises
    ------
    ModelError
        A measurement that is nowhere near normal, or one that depends on others.
    """
    raise ModelError(
        f"information: {observed.name}, {residual}, would be wrong to first order in the effects; take method='exact'"
    )


@scatter.register
def _(residual: Gaussian, f, s, observed):
    with np.errstate(all="ignore"):  # of records without a prediction
        return np.exp(-2 * precisions(residual, f, parts_at(residual, s, observed))) / (2 * np.pi), np.ones_like(f)


@scatter.register
def _(residual: LogNormal, f, s, observed):
    with np.errstate(all="ignore"):
        return np.broadcast_to(parts_at(residual, s, observed)["a"] ** 2, f.shape), 1 / f


@scatter.register
def _(residual: Binomial | Poisson | NegativeBinomial | Gamma, f, s, observed):
    return residual_moments(residual, f, parts_at(residual, s, observed))[1], np.ones_like(f)


@singledispatch
def normal(residual: Residual):
    """Whether measurements are normal on that scale, so that their variance tells what it depends on."""
    return False


@normal.register
def _(residual: Gaussian | LogNormal):
    return True
