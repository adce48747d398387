"""Weighted draws of (population, standardised effects) of one patient: importance sampling.

The first round proposes Student t distributions at the conditional modes, with wide copies, and the population itself
(`proposals`). For population s the mode is two steps of Newton's method from that of the mean population, with the
slopes of the predictions there, so that a thousand populations cost two evaluations each.

Particles that only the population explains, though they explain the samples, show a mode that the search has missed:
it is climbed to from there, and proposals are made anew. Where particles are too few still, proposals reach along the
ridges of the log-density (`ridges`) and adapt: each round moves and shapes the components by the weights so far (Cappe,
Douc, Guillin, Marin and Robert 2008, Stat. Comput. 18, 447-459), and adds some at the heaviest particles (Raftery and
Bao 2010, Biometrics 66, 1162-1173). Every particle is weighted by the mixture of all rounds (Cornuet, Marin, Mira and
Robert 2012, Scand. J. Stat. 39, 798-812). Weights are Pareto-smoothed (Vehtari, Simpson, Gelman, Yao and Gabry 2024,
JMLR 25(72)).
"""

from dataclasses import dataclass, replace

import numpy as np

from nlmebayes.errors import ModelError
from nlmebayes.evaluation.weights import KHAT, smoothed, systematic
from nlmebayes.individuals.climbing import climb
from nlmebayes.individuals.modes import QUICK, Mode, joined, modes
from nlmebayes.individuals.proposals import Proposal, log_normal
from nlmebayes.individuals.ridges import ridges
from nlmebayes.individuals.starts import SPREAD

WIDER = 1.1  # scale of the covariance of a proposal at a mode
EVEN = 0.1  # share of the proposals that is the same for all modes, whatever their mass
GOOD = 0.4  # k-hat below which no round is added: the variance of the weights is finite, not just about to be
ENOUGH = 2000  # effective sample size beyond which no round is added
BEYOND = 0.2  # share of the proposals beyond the modes
PLAIN = 0.6  # effective size by number of first particles where the posterior has no ridge; 0.6 to 0.8 if it is normal
THIN = 0.25  # the same after a further round, below which the moments that shaped it were not yet right
UNEVEN = 1.5  # standard error of a mean beside that of as many independent draws, above which rounds are added
SUPPORT = 20  # particles per dimension that the moments of a proposal must rest on
ADDED, NEIGHBOURS = 2, 0.02  # components that a round adds at the heaviest particles, and whose part shapes each
NEW = 0.3  # share of those
GLIMPSED, WORTH = 4, 12.0  # places that are climbed from for modes that were missed, and how far they may be below
SEARCHES = 3  # times that the proposal is made anew for modes that were missed
LATER = 10_000  # particles of a later round
CLIMBED, CLIMB = 50, 6  # populations with covariates of their own whose modes are climbed to, and steps
POPULATIONS = 1000  # most populations whose modes are found


@dataclass(frozen=True, eq=False)
class Particles:
    """Population ``which`` (particle,), ``z`` (particle, column), normalised ``weight`` (particle,), ``khat``, and the
    log of the patient's evidence; the modes and their ``probabilities`` (mode,); why not to trust it, in words."""

    which: np.ndarray
    z: np.ndarray
    weight: np.ndarray
    khat: float
    log_evidence: float
    independent: float | None = None  # of Markov chains, how many independent draws they are worth
    mode: Mode | None = None
    probabilities: np.ndarray | None = None
    doubt: str | None = None

    @property
    def size(self):
        """Effective number of particles, 1 / sum of squared weights."""
        return float(1 / np.sum(self.weight**2)) if self.independent is None else self.independent

    @property
    def error(self):
        """Largest Monte Carlo standard error of the mean of an effect, in posterior SDs."""
        if self.independent is not None or not self.z.shape[1]:
            return 1 / np.sqrt(self.size)
        square = (self.z - self.weight @ self.z) ** 2
        return float(np.sqrt((self.weight**2 @ square / np.maximum(self.weight @ square, 1e-300)).max()))

    def draws(self, n, rng):
        """Positions of n particles. They stand in the order of their widest axis when every n-th part of the weight is
        drawn, so that each mode, and each end, has the draws that it deserves."""
        deviation = self.z - self.weight @ self.z
        _, axes = np.linalg.eigh((self.weight[:, None] * deviation).T @ deviation)
        order = np.argsort(deviation @ axes[:, -1], kind="stable") if self.z.shape[1] else np.arange(len(self.z))
        return order[systematic(self.weight[order], n, rng)]


def weighted(which, z, log_weight):
    """`Particles` of log weights whose mean is the evidence."""
    weight, khat = smoothed(log_weight)
    evidence = float(np.logaddexp.reduce(log_weight) - np.log(len(log_weight)))
    return Particles(which, z, weight, khat, evidence)


def importance(target, central, n, rounds, enough, rng):
    """`Particles` of n proposals, and of up to ``rounds`` further rounds while they are worth fewer than ``enough``.
    ``central`` is the target under the `middle` population."""
    if not target.size or not target.observed:
        return _from_prior(target, n, rng)
    best, found, _ = pooled(target, central, n, rounds, enough, rng)
    return replace(best, mode=found, probabilities=np.bincount(found.nearest(best.z), best.weight, len(found.z)))


def pooled(target, central, n, rounds, enough, rng):
    """The best `Particles` of some rounds, the `Mode`, and the `Pool` of all of them; arguments as of `importance`."""
    found = modes(central, last=QUICK)
    used, none = rng.permutation(target.population.size)[:POPULATIONS], np.zeros(0)
    pool = Pool(target, used, none.astype(int), np.zeros((0, target.size)), none, none)
    for _ in range(SEARCHES):
        proposal = _at(target, central, found, pool.used)
        pool = pool.more(proposal, n, rng)
        seen = _glimpsed(pool, proposal, found)
        further = joined(central, found, seen) if len(seen) else found
        if len(further.z) == len(found.z):
            break
        found = further
    best = pool.weighted()
    for i in range(rounds):
        many = LATER if best.khat >= GOOD or best.size < enough or best.error >= UNEVEN / np.sqrt(enough) else n
        if many == n and best.size >= (PLAIN if i == 0 else THIN) * len(best.z):
            break
        shift, proposal = proposal.centre[0] - found.z[0], _adapted(pool, proposal)
        if i == 0:
            found, places = _reached(central, found)
            proposal = _with_ridges(proposal, places, shift)
        pool = pool.more(proposal, many, rng)
        best = max(best, pool.weighted(), key=lambda x: (x.khat < KHAT, x.size))
    return best, found, pool


@dataclass(frozen=True, eq=False)
class Pool:
    """Particles of all rounds so far: ``position`` in the populations ``used``, z, log p(z, y), and the log-density of
    the mixture of all proposals."""

    target: object
    used: np.ndarray
    position: np.ndarray
    z: np.ndarray
    log_target: np.ndarray
    log_proposed: np.ndarray  # log of the sum over rounds of particles times density
    proposals: tuple = ()

    def more(self, proposal, n, rng):
        """With n particles of another proposal.

        Raises
        ------
        ModelError
            No particle gives the samples a density.
        """
        position = np.resize(rng.permutation(len(self.used)), n)
        z = proposal.draw(position, rng)
        log_target = self.target.log_density(z[:, None], self.used[position])[:, 0]
        proposals = (*self.proposals, (proposal, n))
        before = np.logaddexp(self.log_proposed, _log_sum(proposals[-1:], self.z, self.position))
        log_proposed = np.concatenate([before, _log_sum(proposals, z, position)])
        log_target = np.concatenate([self.log_target, log_target])
        if not np.isfinite(log_target).any():
            raise ModelError("no proposal gives the patient's samples a finite density; check units, doses and times")
        position, z = np.concatenate([self.position, position]), np.concatenate([self.z, z])
        return Pool(self.target, self.used, position, z, log_target, log_proposed, proposals)

    @property
    def log_weight(self):
        """(particle,), whose mean is the evidence."""
        return self.log_target - self.log_proposed + np.log(len(self.z))

    def weighted(self):
        """`Particles`."""
        return weighted(self.used[self.position], self.z, self.log_weight)


def _log_sum(proposals, z, position):
    parts = [np.log(n) + np.logaddexp.reduce(each.log_parts(z, position), axis=0) for each, n in proposals]
    return np.logaddexp.reduce(parts, axis=0)


def _at(target, central, found, used):
    """The `Proposal` at the conditional modes."""
    return Proposal(
        _centres(target, central, found, used), np.linalg.cholesky(WIDER * found.covariance), _shares(found)
    )


def _reached(central, found):
    """The modes with those that a climb from a ridge leads to, and the ridges with those."""
    places = ridges(central, found)
    further = joined(central, found, places.z) if len(places.z) else found
    if len(further.z) == len(found.z):
        return found, places
    return further, Mode(*(np.concatenate(x) for x in zip(vars(places).values(), vars(further).values(), strict=True)))


def _with_ridges(proposal, places, shift):
    """The `Proposal` with a part at the places (`ridges`), which move from population to population by ``shift``
    (population, column), as the best mode does."""
    if not len(places.z):
        return proposal
    return Proposal(
        np.concatenate([proposal.centre, places.z[:, None] + shift]),
        np.concatenate([proposal.factor, np.linalg.cholesky(WIDER * places.covariance)]),
        np.concatenate([(1 - BEYOND) * proposal.share, BEYOND * _shares(places)]),
    )


def _shares(found):
    """Shares of proposals by their mass, a part of them even."""
    return (1 - EVEN) * np.exp(found.mass - np.logaddexp.reduce(found.mass)) + EVEN / len(found.mass)


def _glimpsed(pool, proposal, found):
    """Places (place, column) of particles that the population alone explains and that explain the samples."""
    parts = proposal.log_parts(pool.z, pool.position)
    value = np.where(parts[0] > np.logaddexp.reduce(parts[1:], axis=0), pool.log_target, -np.inf)
    chosen, least = [], found.value.max() - WORTH
    while len(chosen) < GLIMPSED and value.max() > least:
        chosen.append(pool.z[np.argmax(value)])
        value = np.where(np.abs(pool.z - chosen[-1]).max(axis=1) > SPREAD, value, -np.inf)
    return np.array(chosen)


def _adapted(pool, proposal):
    """The `Proposal` with the weighted moments of each component, and further ones at the heaviest particles."""
    log_weight = pool.log_weight
    parts = proposal.log_parts(pool.z, pool.position)
    mine = np.exp(parts - np.logaddexp.reduce(parts, axis=0))[1:]
    weight = _tempered(log_weight, SUPPORT * (pool.z.shape[1] + 1))
    share = mine @ weight + 1e-3
    centre, factor = proposal.centre.copy(), proposal.factor.copy()
    for k, each in enumerate(mine * weight):
        if each.sum() ** 2 / (each**2).sum() >= SUPPORT * (pool.z.shape[1] + 1):
            shift, factor[k] = _moments(pool.z - centre[k, pool.position], each / each.sum())
            centre[k] = centre[k] + shift
    more = [_around(pool, proposal, i, log_weight) for i in _heaviest(pool, log_weight)]
    share = np.concatenate([(1 - NEW) * share / share.sum(), np.full(len(more), NEW / len(more))])
    return Proposal(
        np.concatenate([centre, [c for c, _ in more]]), np.concatenate([factor, [f for _, f in more]]), share
    )


def _tempered(log_weight, enough):
    """Normalised weights, flattened until enough particles carry them."""
    finite, power = log_weight - log_weight.max(), 1.0
    while True:
        weight = np.exp(power * finite)
        weight /= weight.sum()
        if 1 / np.sum(weight**2) >= enough or power < 1e-6:
            return weight
        power *= 0.7


def _moments(z, weight):
    """Weighted mean, and the factor of the covariance."""
    mean = weight @ z
    deviation = z - mean
    covariance = (weight[:, None] * deviation).T @ deviation
    return mean, np.linalg.cholesky(WIDER * covariance + 1e-8 * np.eye(z.shape[1]))


def _heaviest(pool, log_weight):
    """Positions of the heaviest particles that are apart."""
    chosen, left = [], log_weight.copy()
    for _ in range(ADDED):
        chosen.append(int(np.argmax(left)))
        left = np.where(np.abs(pool.z - pool.z[chosen[-1]]).max(axis=1) > SPREAD / 2, left, -np.inf)
    return chosen


def _around(pool, proposal, i, log_weight):
    """Centres (population, column) and factor of a component at particle i, shaped by its neighbours."""
    distance = ((pool.z - pool.z[i]) ** 2).sum(axis=1)
    near = np.argpartition(distance, int(NEIGHBOURS * len(distance)))[: int(NEIGHBOURS * len(distance))]
    weight = _tempered(np.append(log_weight[near], log_weight[i]), SUPPORT)[:-1] + 1 / len(near)
    deviation = pool.z[near] - pool.z[i]
    covariance = (weight[:, None] / weight.sum() * deviation).T @ deviation + 1e-8 * np.eye(pool.z.shape[1])
    k = np.argmax(proposal.log_parts(pool.z[i : i + 1], pool.position[i : i + 1])[1:, 0])
    shift = pool.z[i] - proposal.centre[k, pool.position[i]]
    return proposal.centre[k] + shift, np.linalg.cholesky(covariance)


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
                each = target.slopes(samples, f[samples.name][:, samples.places], used)
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
    share = np.exp(np.logaddexp.reduce(mass, axis=1) - np.logaddexp.reduce(mass.ravel()))
    weight = np.full(n, 1 / n)
    return Particles(used[position], z, weight, smoothed(ratio)[1], evidence, mode=found, probabilities=share)


def at_mode(central):
    """`Particles` of one: the best mode under the mean population."""
    found = modes(central)
    evidence, which = float(np.logaddexp.reduce(found.mass)), np.zeros(1, dtype=int)
    share = np.exp(found.mass - evidence)
    return Particles(which, found.z[:1], np.ones(1), 0.0, evidence, mode=found, probabilities=share)


def _mass(target, centres, used, covariance):
    value, size = target.log_density(centres[:, None], used)[:, 0], len(covariance)
    return value + 0.5 * np.linalg.slogdet(covariance)[1] + 0.5 * size * np.log(2 * np.pi)
