"""A quick deterministic fit of any model: where chains start, and what the data say of each random effect.

From pooled typical values, all effects move together to their mode under a Gauss-Newton model of the likelihood, with
derivatives of the predictions by central differences in the linear predictors; then omega, correlations and residual
take the values expected under that model (an EM step: Dempster, Laird and Rubin 1977, J. R. Stat. Soc. B 39, 1-38;
Lindstrom and Bates 1990, Biometrics 46, 673-687). Subjects are tried from other places of the population too, so that
one that sits in a false mode leaves it.
"""

import logging
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import optimize

from nlmebayes.formula.grouping import columns_of, contains, parents, summed
from nlmebayes.inference.gauss_newton import GaussNewton

log = logging.getLogger("nlmebayes")

ROUNDS = 40  # of Gauss-Newton and EM, at most
CLOSE = 0.02  # last change of log omega
TRIALS = 8  # places in the population from which a subject is tried
FLOOR = 0.02  # least omega, in the scales of its prior


@dataclass(frozen=True, eq=False)
class Pilot:
    """What a pilot found.

    ``theta`` by parameter, (term,), with the ``covariance`` of all of them; ``eta`` by level, (group, effect);
    ``factor`` by level, (effect, effect), with factor factor' = Omega; ``sigma`` by outcome and part; ``f`` by outcome,
    the predictions (record,). ``j`` (outcome, unit, parameter, parameter) and ``h`` (outcome, unit, parameter): the
    log-likelihood is about -l' j l / 2 + h' l in the linear predictors l. ``failure`` says why one failed, which
    holds its start.
    """

    theta: dict
    covariance: np.ndarray
    eta: dict
    factor: dict
    sigma: dict
    f: dict
    j: np.ndarray
    h: np.ndarray
    rounds: int
    failure: str = ""

    def summary(self):
        """Estimates by name of the variable, lists of numbers; ``rounds``, and ``failure``."""
        found = {"rounds": self.rounds, "failure": self.failure}
        found |= {f"theta_{name}": values.tolist() for name, values in self.theta.items()}
        found |= {f"omega_{name}": np.linalg.norm(factor, axis=1).tolist() for name, factor in self.factor.items()}
        parts = [(outcome, part, value) for outcome, each in self.sigma.items() for part, value in each.items()]
        return found | {f"sigma_{outcome}_{part}": np.asarray(value).tolist() for outcome, part, value in parts}


def run(model, design, theta, sigma, prior, seed=0):
    """Pilot of a model on a design.

    Parameters
    ----------
    theta : dict of (term,) by parameter, and ``sigma``, dict by outcome and part: where it starts
    prior : dict of (mean, precision) by parameter, (term,) each: of the fixed effects

    Returns
    -------
    Pilot
    """
    problem = GaussNewton(model, design, prior)
    try:
        found = _found(problem, theta, sigma, np.random.default_rng(seed))
    except (np.linalg.LinAlgError, RuntimeError) as error:  # equations without a solution, dense or sparse
        log.warning("the pilot stopped: %s", error)
        return _nothing(problem, theta, sigma, f"{type(error).__name__}: {error}")
    if not all(np.isfinite(x).all() for x in (found.covariance, found.j, found.h)):
        return _nothing(problem, theta, sigma, "its information is not finite")
    return found


def _found(problem, theta, sigma, rng):
    design = problem.design
    x = np.zeros(problem.matrix.shape[1])
    x[: problem.terms] = np.concatenate([theta[name] for name in problem.names])
    factor = {name: 0.5 * np.diag(v) for name, v in problem.variation.items()}
    x = tried(problem, x, factor, sigma, rng)
    rounds = 0
    for rounds in range(1, ROUNDS + 1):
        for columns in (problem.own, np.ones(len(x), dtype=bool)):
            j, slope, each = problem.derivatives(x, factor, sigma)
            x = problem.best(x, factor, sigma, problem.step(x, factor, j, slope, columns)[0])
        if rounds in (4, 12):
            x = tried(problem, x, factor, sigma, rng)
        j, slope, each = problem.derivatives(x, factor, sigma)
        eta = problem.effects(x, factor)
        variance = _variances(problem, j.sum(axis=0), factor)
        sigma = _residual(problem, each, variance, sigma)
        before = factor
        factor = {level.name: _factor(problem, level, eta[level.name], variance[level.name]) for level in design.levels}
        x = problem.standardised(x, eta, factor)
        change = [np.abs(np.log(np.diag(factor[k] @ factor[k].T) / np.diag(before[k] @ before[k].T))) for k in factor]
        if rounds > 4 and (not change or max(c.max() for c in change) < 2 * CLOSE):
            break
    j, slope, each = problem.derivatives(x, factor, sigma, drawn=False)
    covariance = problem.step(x, factor, j, slope, np.ones(len(x), dtype=bool))[1]
    h = slope + np.einsum("oupq,uq->oup", j, problem.linear(x[None], factor)[0])
    log.info("pilot: %d rounds", rounds)
    f = {name: values for name, (values, _) in each.items()}
    return Pilot(problem.fixed(x), covariance, problem.effects(x, factor), factor, sigma, f, j, h, rounds)


def _nothing(problem, theta, sigma, failure):
    """The start alone, with no information on any effect."""
    levels, outcomes = problem.design.levels, problem.design.outcomes
    shape = len(outcomes), len(problem.design.labels), len(problem.names)
    return Pilot(
        theta, 0.01 * np.eye(problem.terms), {v.name: np.zeros((len(v.labels), len(v.effects))) for v in levels},
        {v.name: 0.5 * np.diag(problem.variation[v.name]) for v in levels}, sigma,
        {o.name: np.nan_to_num(o.values, nan=1.0) for o in outcomes}, np.zeros((*shape, shape[-1])), np.zeros(shape), 0,
        failure,
    )  # fmt: skip


def tried(problem, x, factor, sigma, rng):
    """x with every subject where it is best after a few steps from here and from the best of several places."""
    if not problem.own.any():
        return x
    places = np.repeat(x[None], TRIALS, axis=0)
    places[:, problem.own] = rng.standard_normal((TRIALS, problem.own.sum()))
    other = problem.chosen(places, problem.log_density(places, factor, sigma)[0])
    for _ in range(4):
        j, slope, _ = problem.derivatives(other, factor, sigma)
        other = problem.best(other, factor, sigma, problem.step(other, factor, j, slope, problem.own)[0])
    both = np.stack([other, x])
    return problem.chosen(both, problem.log_density(both, factor, sigma)[0])


def _variances(problem, j, factor):
    """Covariance of the effects of each group, (group, effect, effect) by level, given the fixed effects and the levels
    outside; those inside it are integrated out."""
    return {
        level.name: _posterior(factor[level.name], own)
        for level, own in zip(problem.design.levels, marginal(problem.design, problem.names, j, factor), strict=True)
    }


def marginal(design, names, j, factor):
    """Information on the effects of each level, (group, effect, effect) each, without the effects of levels inside."""
    found = []
    for level in design.levels:
        chain = [level]
        for other in sorted(design.levels, key=lambda v: len(v.labels)):
            if other is not level and contains(chain[-1], other):
                chain.append(other)
        effects = list(dict.fromkeys(effect for v in chain for effect in v.effects))
        z, places = columns_of(effects, chain), [names.index(e.parameter) for e in effects]
        each = z[:, :, None] * j[:, places][:, :, places] * z[:, None, :]
        each = summed(each, chain[-1].of_unit, len(chain[-1].labels))
        for outer, inner in reversed(list(pairwise(chain))):
            own = [effects.index(e) for e in inner.effects]
            cross = each[:, :, own]
            covariance = _posterior(factor[inner.name], cross[:, own])
            each = each - cross @ covariance @ cross.transpose(0, 2, 1)
            each = summed(each, parents(outer, inner), len(outer.labels))
        found.append(each[:, : len(level.effects), : len(level.effects)])
    return found


def _posterior(factor, j):
    """Covariance A (1 + A' J A)^-1 A' of the effects of each group, with A A' = Omega."""
    return factor @ np.linalg.inv(np.eye(len(factor)) + factor.T @ j @ factor) @ factor.T


def _factor(problem, level, eta, variance):
    """Factor of the most probable Omega given the expected squares of the effects; the SDs are half-normal in the
    scales of their default prior, the correlations drawn a tenth to zero."""
    scale, n = problem.variation[level.name], len(eta)
    expected = (eta.T @ eta + variance.sum(axis=0)) / n
    square = 0.5 * n * scale**2 * (np.sqrt(1 + 4 * np.diag(expected) / (n * scale**2)) - 1)
    omega = np.maximum(np.sqrt(square), FLOOR * scale)
    factor = np.diag(omega)
    for block in level.blocks:
        k = np.array(block.effects)
        if block.name is not None:
            spread = np.sqrt(np.diag(expected)[k])
            corr = 0.9 * expected[np.ix_(k, k)] / np.outer(spread, spread)
            np.fill_diagonal(corr, 1.0)
            factor[np.ix_(k, k)] = omega[k][:, None] * np.linalg.cholesky(corr)
    return factor


def _residual(problem, each, variance, sigma):
    """Parts of the residuals that are expected to fit best, given predictions with their variances."""
    design, found = problem.design, {}
    for o in design.outcomes:
        f, g = each[o.name]
        spread = np.zeros(len(f))
        for level in design.levels:
            places = [problem.names.index(e.parameter) for e in level.effects]
            z = g[:, places] * level.z[o.unit]
            spread += np.einsum("ra,rab,rb->r", z, variance[level.name][level.of_unit[o.unit]], z)
        names = list(sigma[o.name])

        def negative(values, o=o, f=f, spread=spread):
            parts = {o.name: parts_of(values, sigma[o.name])}
            value, _, curvature = problem.density(o, f, parts)
            total = (value - 0.5 * curvature * spread).sum()
            return -total if np.isfinite(total) else 1e300

        start = numbers_of(sigma[o.name])
        if names and negative(start) < 1e300:
            best = optimize.minimize(negative, start, method="Nelder-Mead", options={"maxiter": 60, "xatol": 0.01})
            start = np.clip(best.x, start - 1.5, start + 1.5)
        found[o.name] = parts_of(start, sigma[o.name])
    return found


def numbers_of(sigma):
    """Parts of a residual on the whole line: logarithms of numbers, coefficients of a formula as they are."""
    return np.concatenate([np.zeros(0), *(np.ravel(x) if np.ndim(x) else [np.log(x)] for x in sigma.values())])


def parts_of(values, like):
    """The parts of `numbers_of`, shaped as ``like``."""
    ends = np.cumsum([np.size(x) for x in like.values()])[:-1]
    each = zip(like.items(), np.split(values, ends), strict=True) if like else ()
    return {name: part if np.ndim(x) else float(np.exp(part[0])) for (name, x), part in each}
