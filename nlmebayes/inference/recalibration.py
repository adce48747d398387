r"""What the data say of each random effect, learnt anew from draws of the posterior.

A pilot takes the likelihood of a group for a parabola at one point, which may be far from where the posterior is, and
is nowhere good where it bends. Over draws l of the linear predictors the parabola that is right on average has

.. math:: J = E[W(l)], \qquad h = E[s(l)] + J E[l]

with the slope s of the log-likelihood and its Gauss-Newton curvature W: the normal law nearest to the posterior has
these sites (Opper and Archambeau 2009, Neural Comput. 21, 786-792). The draws are those of the first half of a warm-up.
"""

from dataclasses import replace

import numpy as np

from nlmebayes.evaluation.evaluator import CHUNK
from nlmebayes.inference.gauss_newton import GaussNewton
from nlmebayes.model.build import independent

MOST = 40  # draws that derivatives are taken at


def recalibrated(model, design, found, draws):
    """The pilot with estimates and information of draws.

    Parameters
    ----------
    found : Pilot
    draws : Draws
        Of the posterior, roughly, with the effects of all groups.

    Returns
    -------
    Pilot
    """
    problem = GaussNewton(*independent(model, design))
    few = draws.take(np.unique(np.linspace(0, draws.size - 1, MOST).astype(int)))
    one = {level.name: np.eye(len(level.effects)) for level in design.levels}
    linear = problem.linear(_columns(problem, few), one)
    sigma = {o: {part: np.median(few.sigma[o][part], axis=0) for part in parts} for o, parts in found.sigma.items()}
    j, slope, f = np.zeros_like(found.j), np.zeros_like(found.h), dict.fromkeys(found.f, 0.0)
    records = sum(len(o.row) for o in problem.design.outcomes) * (2 * len(problem.names) + 1)
    for part in np.array_split(linear, min(len(linear), -(-len(linear) * records // CHUNK))):
        curvature, first, predicted = problem.around(part, sigma)
        share = len(part) / len(linear)
        j, slope = j + share * curvature, slope + share * first
        f = {name: total + share * predicted[name][0] for name, total in f.items()}
    theta = np.concatenate([draws.theta[name] for name in problem.names], axis=1)
    return replace(
        found, theta={name: draws.theta[name].mean(axis=0) for name in problem.names},
        covariance=np.cov(theta, rowvar=False).reshape(2 * theta.shape[1:]),
        eta={name: values.mean(axis=0) for name, values in draws.eta.items()},
        factor={level.name: draws.cholesky(level.name).mean(axis=0) for level in design.levels},
        sigma=sigma, f=f, j=j, h=slope + np.einsum("oupq,uq->oup", j, linear.mean(axis=0)), failure="",
    )  # fmt: skip


def _columns(problem, draws):
    """Fixed and random effects of each draw in the order of the columns of a `GaussNewton`."""
    parts = [draws.theta[name] for name in problem.names]
    parts += [draws.eta[level.name].reshape(draws.size, -1) for level in problem.design.levels]
    return np.concatenate(parts, axis=1)
