"""Exact draws of a linear mixed model with independent effects, without the library: Gibbs sampling in NumPy."""

import numpy as np
from trees import stated

import nlmebayes as nb
from model_zoo import LinearMixed


def draws(y, fixed, varying, group, count, seed, warm=200):
    """(coefficients, SDs of effects, effects (draw, group, effect), SD of the residual), of ``count`` draws each.

    ``fixed`` (record, coefficient), ``varying`` (record, effect) and ``group`` (record,) are the design. Flat priors of
    coefficients, inverse-gamma (1, 0.1 variance of y) of the variances of effects, (0.01, 0.01) of the residual's.
    """
    rng, groups = np.random.default_rng(seed), group.max() + 1
    members = [np.flatnonzero(group == g) for g in range(groups)]
    eta, omega, sigma = np.zeros((groups, varying.shape[1])), np.full(varying.shape[1], y.std()), y.std()
    root = np.linalg.cholesky(np.linalg.inv(fixed.T @ fixed))
    solved, kept = np.linalg.pinv(fixed), []
    for _ in range(warm + count):
        left = y - (varying * eta[group]).sum(axis=1)
        theta = solved @ left + sigma * root @ rng.normal(size=fixed.shape[1])
        left = y - fixed @ theta
        for g, here in enumerate(members):
            z = varying[here]
            cover = np.linalg.inv(z.T @ z / sigma**2 + np.diag(1 / omega**2))
            eta[g] = cover @ z.T @ left[here] / sigma**2 + np.linalg.cholesky(cover) @ rng.normal(size=z.shape[1])
        square = (eta**2).sum(axis=0)
        omega = np.sqrt((0.1 * y.var() + square / 2) / rng.gamma(1 + groups / 2, size=len(omega)))
        error = ((left - (varying * eta[group]).sum(axis=1)) ** 2).sum()
        sigma = np.sqrt((0.01 + error / 2) / rng.gamma(0.01 + len(y) / 2))
        kept.append((theta, omega, eta.copy(), sigma))
    return tuple(np.array(each) for each in zip(*kept[warm:], strict=True))


def tree(data, formula, fixed, varying, count=800, seed=1):
    """A tree of `LinearMixed` on data of one level with draws from its exact posterior."""
    frame, level = data.observations, data.levels[0]
    (name,) = data.outcomes
    labels = list(dict.fromkeys(frame[level]))
    group = frame[level].map({label: g for g, label in enumerate(labels)}).to_numpy()
    theta, omega, eta, sigma = draws(frame["value"].to_numpy(), fixed, varying, group, count, seed)
    found = stated(nb.Model(LinearMixed(), formula), data, draws=count)
    posterior = found["posterior"].to_dataset()
    assert posterior[level].to_numpy().tolist() == labels
    values = {"theta_mu": theta, f"omega_{level}": omega, f"eta_{level}": eta, f"sigma_{name}_a": sigma}
    found["posterior"] = posterior.assign({k: posterior[k].copy(data=v[None]) for k, v in values.items()})
    return nb.predict(found, random_seed=0)
