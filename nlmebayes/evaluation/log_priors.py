"""Log-densities of the priors of a fit at draws, law by law."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nlmebayes.evaluation.evaluator import function
from nlmebayes.parameter.laws import IMPROPER, alike
from nlmebayes.runtime.uncompiled import UNCOMPILED


def within(laws, posterior):
    """Those that are proper and of variables of a posterior."""
    return [law for law in laws if law.variable in posterior and law.prior.family not in IMPROPER]


def values_of(laws, posterior):
    """Draws of what laws are of, (chain, draw, law)."""
    found = []
    for law in laws:
        x = posterior[law.variable]
        own = {x.dims[2]: law.coordinate} if x.ndim > 2 else {}
        found.append(x.sel(own).to_numpy())
    return np.stack(found, axis=-1)


def log_priors(laws, values):
    """Log-densities of laws at their values, (chain, draw, law)."""
    return densities(laws)(values)


def densities(laws):
    """A function of values (chain, draw, law) that gives their log-densities, of the same shape."""
    values, parts, order = pt.dtensor3("values"), [], []
    for here, prior, squared in alike(laws):
        x = values[..., here]
        log_density = pm.logp(prior.of(), x**2 if squared else x)
        parts.append(log_density + pt.log(x) if squared else log_density)
        order += here
    if not parts:
        return np.zeros_like
    found = pt.concatenate(parts, axis=-1)[..., np.argsort(order)]
    return function([values], found, UNCOMPILED)


def correlations(laws, design, posterior):
    """(laws, log-densities (chain, draw, law)) of the correlations of each block."""
    stated, found, log_densities = {law.variable: law for law in laws}, [], []
    for level in design.levels:
        for block in level.blocks:
            law = stated.get(f"chol_corr_{block.variable(level)}")
            if law is not None and law.prior.family == "LKJCorr":
                k = np.array(block.effects)
                corr = posterior[f"corr_{level.name}"].to_numpy()[..., k[:, None], k]
                found.append(law)
                log_densities.append((law.prior.parameters["eta"] - 1) * np.linalg.slogdet(corr)[1])
    return found, log_densities
