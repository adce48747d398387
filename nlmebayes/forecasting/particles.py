"""Weighted draws of (population, standardised effects) of one patient: importance sampling.

The first round proposes from Student t distributions at the conditional modes. For population s the mode is two steps
of Newton's method from that of the mean population, with the slopes of the predictions there, so that a thousand
populations cost two evaluations each. A tenth of the proposals comes from the prior, which bounds the weights:

    q(z | s)  =  0.9 sum over modes k  pi_k t_5(z; m_ks, 1.1 V_k)  +  0.1 Normal(z; 0, 1)

Where that is not enough, proposals adapt: each round adds a Student t with the weighted moments of all particles so
far, tempered while the weights rest on few of them, and every particle is weighted by the mixture of all rounds
(adaptive multiple importance sampling; Cornuet, Marin, Mira and Robert 2012, Scand. J. Stat. 39, 798-812). Weights are
Pareto-smoothed (Vehtari, Simpson, Gelman, Yao and Gabry 2024, JMLR 25(72)).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from nlmebayes.forecasting.modes import QUICK, climb, modes
from nlmebayes.model import ModelError
from nlmebayes.weights import KHAT, smoothed, systematic

TAIL = 5  # degrees of freedom of the proposals
WIDER = 1.1  # scale of their covariance
DEFENSIVE = 0.1  # share of the prior among them
ENOUGH = 2000  # effective sample size beyond which no round is added
SUPPORT = 20  # particles per dimension that the moments of a proposal must rest on
CLIMBED, CLIMB = 50, 6  # populations with covariates of their own whose modes are climbed to, and steps
POPULATIONS = 1000  # most populations whose modes are found


@dataclass(frozen=True, eq=False)
class Particles:
    """Population ``which`` (particle,), ``z`` (particle, column), normalised ``weight`` (particle,), ``khat``, and the
    log of the patient's evidence."""

    which: np.ndarray
    z: np.ndarray
    weight: np.ndarray
    khat: float
    log_evidence: float
    independent: float | None = None  # of Markov chains, how many independent draws they are worth

    @property
    def size(self):
        """Effective number of particles, 1 / sum of squared weights."""
        return float(1 / np.sum(self.weight**2)) if self.independent is None else self.independent

    def draws(self, n, rng):
        """Positions of n particles."""
        return systematic(self.weight, n, rng)


def weighted(which, z, log_weight):
    """`Particles` of log weights whose mean is the evidence."""
    weight, khat = smoothed(log_weight)
    evidence = float(np.logaddexp.reduce(log_weight) - np.log(len(log_weight)))
    return Particles(which, z, weight, khat, evidence)


def middle(population):
    """One population: the mean of the draws, with the SDs and correlations of effects at their mean."""
    if population.size == 1:
        return population
    first = population.take(np.array([0]))
    means = [{k: v.mean(axis=0, keepdims=True) for k, v in getattr(population, name).items()} for name in
             ("theta", "omega", "corr", "eta")]  # fmt: skip
    sigma = {o: {k: v.mean(axis=0, keepdims=True) for k, v in parts.items()} for o, parts in population.sigma.items()}
    return replace(first, theta=means[0], omega=means[1], corr=means[2], eta=means[3], sigma=sigma)


def at_modes(target, central, n, rng):
    """`Particles` proposed at the conditional modes; ``central`` is the target under the `middle` population."""
    if not target.size or not target.observed:
        return _from_prior(target, n, rng)
    found = modes(central, last=QUICK)
    share = np.exp(found.mass - np.logaddexp.reduce(found.mass))
    known = min(target.population.size, POPULATIONS)
    used = rng.permutation(target.population.size)[:known]
    centres = _centres(target, central, found, used)  # (mode, population, column)
    position = np.resize(rng.permutation(known), n)
    which = used[position]
    factor = np.linalg.cholesky(WIDER * found.covariance)
    z = rng.standard_normal((n, target.size))
    prior = rng.random(n) < DEFENSIVE
    mode = rng.choice(len(share), size=n, p=share)
    heavy = np.einsum("nij,nj->ni", factor[mode], z) / np.sqrt(rng.chisquare(TAIL, n) / TAIL)[:, None]
    z = np.where(prior[:, None], z, centres[mode, position] + heavy)
    log_q = np.log(DEFENSIVE) + log_normal(z)
    for k in range(len(share)):
        with np.errstate(divide="ignore"):
            part = np.log((1 - DEFENSIVE) * share[k]) + log_student(z - centres[k, position], factor[k])
        log_q = np.logaddexp(log_q, part)
    log_weight = target.log_density(z[:, None], which)[:, 0] - log_q
    if not np.isfinite(log_weight).any():
        raise ModelError("no proposal gives the patient's samples a finite density; check units, doses and times")
    return weighted(which, z, log_weight)


def _from_prior(target, n, rng):
    """Of a patient without effects or without samples."""
    which = np.resize(rng.permutation(target.population.size), n)
    z = rng.standard_normal((n, target.size))
    return weighted(which, z, target.log_density(z[:, None], which)[:, 0] - log_normal(z))


def _centres(target, central, found, used):
    """Conditional modes, (mode, population, column), by two steps with the slopes at the modes of the mean."""
    centres = np.repeat(found.z[:, None], len(used), axis=1)
    if target.population.size == 1:
        return centres
    if target.imputed is not None:  # covariates differ too much for the slopes of one population
        return np.stack([_followed(target, z, used) for z in centres])
    for k, z in enumerate(found.z):
        slopes = _slopes(central, z)
        for _ in range(2):
            here = centres[k]
            f, _ = target.at(here[:, None], used)
            slope = -here
            for samples in target.observed:
                at = f[samples.name][:, samples.places]
                h = 1e-4 * (np.abs(at) + 1e-3 * np.abs(at).mean() + 1e-12)
                up, down = (target.densities(samples, x, used) for x in (at + h, at - h))
                each = (up - down) / (2 * h) * samples.counted((up + down) / 2)[1]
                slope = slope + np.where(np.isfinite(each), each, 0.0) @ slopes[samples.name]
            step = slope @ found.covariance[k]
            length = np.sqrt((step @ np.linalg.inv(found.covariance[k]) * step).sum(axis=1, keepdims=True))
            centres[k] = here + step * np.minimum(1.0, 3.0 / np.maximum(length, 1e-9))
    return centres


def _followed(target, z, used):
    """Conditional modes (population, column): climbed to in some populations, in the others by regression on how far
    their covariates move the intercepts. Weights make up for what that misses."""
    some = used[:CLIMBED]
    found = climb(target, z[:CLIMBED, None], some, rounds=CLIMB).z[:, 0]
    shifts = np.stack(list(target.imputed.shifts.values()), axis=1) if target.imputed.shifts else np.zeros((len(z), 0))
    x = np.concatenate([np.ones((len(shifts), 1)), shifts, shifts**2], axis=1)
    return x[used] @ np.linalg.lstsq(x[some], found, rcond=None)[0]


def _slopes(target, z, step=1e-4):
    """Slopes of the predictions of measured records, by outcome (record, column)."""
    eye = step * np.eye(len(z))
    f, _ = target.at((z + np.concatenate([eye, -eye]))[:, None], np.zeros(2 * len(z), dtype=int))
    found = {}
    for name, seen, *_ in target.observed:
        g = (f[name][: len(z), seen] - f[name][len(z) :, seen]) / (2 * step)
        found[name] = np.where(np.isfinite(g), g, 0.0).T
    return found


def adapted(target, enough, proposals, rounds, rng):
    """`Particles` of the rounds up to the best one."""
    components, which, z, log_target = [None], [], np.zeros((0, target.size)), np.zeros(0)
    best, quality = None, (False, 0.0)
    log_each = np.zeros((0, 0))  # log-density of every particle under every component
    for _ in range(rounds):
        new = _propose(components[-1], proposals, target.size, rng)
        indices = np.resize(rng.permutation(target.population.size), proposals)
        log_target = np.append(log_target, target.log_density(new[:, None], indices)[:, 0])
        which, z = [*which, indices], np.concatenate([z, new])
        older = np.stack([_log_proposal(c, new) for c in components], axis=1)
        log_each = np.column_stack([log_each, _log_proposal(components[-1], z[: len(log_each)])])
        log_each = np.concatenate([log_each, older])
        log_weight = log_target - np.logaddexp.reduce(log_each, axis=1) + np.log(len(components))
        if not np.isfinite(log_weight).any():
            raise ModelError("no proposal gives the patient's samples a finite density; check units, doses and times")
        found = weighted(np.concatenate(which), z, log_weight)
        if best is None or (found.khat < KHAT, found.size) > quality:
            best, quality = found, (found.khat < KHAT, found.size)
        if quality >= (True, min(enough, ENOUGH)):
            break
        components.append(_moments(log_weight, z))
    return best


def _moments(log_weight, z):
    """Weighted mean and covariance, with the weights flattened until enough particles carry them."""
    finite = log_weight - log_weight.max()
    power = 1.0
    while True:
        weight = np.exp(power * finite)
        weight /= weight.sum()
        if 1 / np.sum(weight**2) >= SUPPORT * (z.shape[1] + 1) or power < 1e-6:
            break
        power *= 0.7
    mean = weight @ z
    deviation = z - mean
    return mean, (weight[:, None] * deviation).T @ deviation + 1e-8 * np.eye(z.shape[1])


def _propose(component, n, size, rng):
    """Draws of one proposal component: the prior (None) or a Student t."""
    if component is None:
        return rng.standard_normal((n, size))
    mean, cov = component
    heavy = rng.standard_normal((n, size)) / np.sqrt(rng.chisquare(TAIL, n) / TAIL)[:, None]
    return mean + heavy @ np.linalg.cholesky(cov).T


def _log_proposal(component, z):
    if component is None or not z.size:
        return log_normal(z)
    return log_student(z - component[0], np.linalg.cholesky(component[1]))


def log_normal(z):
    """Log-density of the prior, (particle,)."""
    return -0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1)


def log_student(deviation, factor):
    """Log-density of t_5 with the scale factor factor', (particle,)."""
    d = len(factor)
    square = (np.linalg.solve(factor, deviation.T) ** 2).sum(axis=0)
    constant = special.gammaln((TAIL + d) / 2) - special.gammaln(TAIL / 2) - 0.5 * d * np.log(TAIL * np.pi)
    return constant - np.log(np.diag(factor)).sum() - 0.5 * (TAIL + d) * np.log1p(square / TAIL)


def laplace(target, central, n, rng):
    """`Particles` of equal weight from the Gaussian approximation at the conditional modes; populations are drawn by
    their evidence in the same approximation. ``khat`` is that of the weights that would correct them."""
    if not target.size or not target.observed:
        return _from_prior(target, n, rng)
    found = modes(central)
    used = rng.permutation(target.population.size)[:POPULATIONS]
    centres = _centres(target, central, found, used)
    mass = np.stack([_mass(target, centres[k], used, found.covariance[k]) for k in range(len(found.z))])
    share = np.exp(mass - mass.max())
    mode, position = np.unravel_index(rng.choice(share.size, size=n, p=(share / share.sum()).ravel()), share.shape)
    factor = np.linalg.cholesky(found.covariance)
    normal = rng.standard_normal((n, target.size))
    z = centres[mode, position] + np.einsum("nij,nj->ni", factor[mode], normal)
    proposed = mass[mode, position] + log_normal(normal) - 0.5 * np.linalg.slogdet(found.covariance)[1][mode]
    ratio = target.log_density(z[:, None], used[position])[:, 0] - proposed
    evidence = float(np.logaddexp.reduce(mass.ravel()) - np.log(len(used)))
    return Particles(used[position], z, np.full(n, 1 / n), smoothed(ratio)[1], evidence)


def _mass(target, centres, used, covariance):
    value, size = target.log_density(centres[:, None], used)[:, 0], len(covariance)
    return value + 0.5 * np.linalg.slogdet(covariance)[1] + 0.5 * size * np.log(2 * np.pi)
