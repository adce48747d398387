"""`forecast`: the population as prior, the new patient's samples as data.

Importance sampling over population draws s and standardised random effects z of the groups that the tree does not
know (the patient, an unseen site):

    p(s, z | y)  ∝  p(s) Normal(z; 0, 1) p(y | theta_s, eta = chol(Omega_s) z, sigma_s)

so population uncertainty is included, and population draws that explain the patient better count for more.
Proposals start at the prior and adapt: each round adds a Student t with the weighted moments of all particles so far,
tempered while the weights rest on few of them, and every particle is weighted by the mixture of all rounds (adaptive
multiple importance sampling; Cornuet, Marin, Mira and Robert 2012, Scand. J. Stat. 39, 798-812). The prior stays in the
mixture, so that weights are bounded. They are Pareto-smoothed at the end (Vehtari et al. 2024, JMLR 25(72)); k-hat
above 0.7 is a warning.
"""

import json
import warnings

import numpy as np
from arviz_stats.base import array_stats
from scipy import stats

from nlmebayes import prediction, storage
from nlmebayes.design import resolve
from nlmebayes.evaluation import draws_of, evaluator, keep_known, log_density
from nlmebayes.model import Model, ModelError, check_names

TAIL = 5  # degrees of freedom of the proposals
KHAT = 0.7  # above it, importance weights are not to be trusted
ENOUGH = 2000  # effective sample size beyond which no round is added
SUPPORT = 20  # particles per dimension that the moments of a proposal must rest on


def forecast(model: Model, tree, patient, *, draws=2000, proposals=10_000, rounds=15, random_seed=None):
    """Posterior of one new patient's parameters and curve, given 0, 1, 2 ... samples.

    Parameters
    ----------
    model : Model or None
        The model of the tree; ``None`` takes the one stored in it.
    tree : DataTree
        A fitted population, from `fit`.
    patient : Dataset
        The records of one new unit of the innermost level: its doses, covariates and samples. Its outer groups
        may be known to the tree (a known site keeps its effects). Without a sample yet, give the times of interest
        (``Dataset.from_nonmem(..., unmeasured="predict")``): the forecast is then the population's.
    draws : int
        Draws of the result, resampled by weight.
    proposals, rounds : int
        Particles per round, and the most rounds; fewer once the effective sample size is 2000 (or ``draws``).

    Returns
    -------
    DataTree
        As `fit` gives it, for this patient: ``posterior`` (population, ``eta_<level>``, individual parameters,
        ``f_<outcome>``), ``posterior_predictive``, ``prior`` (the same before the samples), ``observed_data``.
        `predict` on it gives any curve of this patient under any doses; `recommend` chooses among regimens.
        ``tree.attrs["nlmebayes_forecast"]``: effective sample size, k-hat and log evidence as JSON.

    Raises
    ------
    ModelError
        The patient was in the training data, or there are several.
    """
    model, training = prediction.context(model, tree)
    prediction.same_outcomes(patient, training)
    design = resolve(model, patient, training)
    check_names(model, design)
    population = draws_of(tree["posterior"].to_dataset(), training, model, patient.outcomes)
    unknown = _unknown(design, population, patient)
    population = population.of_groups({level.name: level.labels for level in design.levels})
    rng = np.random.default_rng(random_seed)
    target = _Target(model, design, population, unknown)
    which, z, log_weight = _adapt(target, draws, proposals, rounds, rng)
    weight, khat = _smoothed(log_weight)
    report = {
        "effective_sample_size": float(1 / np.sum(weight**2)),
        "khat": float(khat),
        "log_evidence": float(np.logaddexp.reduce(log_weight) - np.log(len(log_weight))),
    }
    if khat > KHAT:
        warnings.warn(
            f"forecast of {patient.subject} {design.labels[0]}: k-hat {khat:.2f} is above {KHAT}, so the draws may be "
            "off; take more proposals, or check the patient's records",
            stacklevel=2,
        )
    chosen = _systematic(weight, draws, rng)
    groups = {"posterior": target.labelled(which[chosen], z[chosen])}
    prior = rng.integers(population.size, size=draws), rng.standard_normal((draws, z.shape[1]))
    groups["prior"] = target.labelled(*prior)
    f = {o.name: groups["posterior"][f"f_{o.name}"].to_numpy()[0] for o in design.outcomes}
    groups |= prediction.observe(model, design, f, population.take(which[chosen]).sigma, (1, draws), rng)
    found = storage.attach(prediction.as_tree(groups), model, patient, storage.training_dataset(tree))
    found.attrs["nlmebayes_forecast"] = json.dumps(report)
    return found


def _unknown(design, population, patient):
    """(level, positions of the groups the tree does not know); refuses a known or a second patient."""
    innermost = patient.levels[-1]
    several = patient.observations[patient.subject].nunique()
    if several != 1:
        raise ModelError(f"forecast takes one patient; the data have {several} of level {patient.subject}")
    found = []
    for level in design.levels:
        new = [g for g, label in enumerate(level.labels) if label not in population.groups.get(level.name, ())]
        if level.name in (innermost, patient.subject) and len(new) < len(level.labels):
            raise ModelError(
                f"{level.name} {level.labels[0]} was in the training data: its samples would count twice. Use predict, "
                "or give the new patient another label"
            )
        found.append((level, np.array(new, dtype=int)))
    return found


class _Target:
    """Log-density of (population draw, z), and what follows from them."""

    def __init__(self, model, design, population, unknown):
        self.model, self.design, self.population, self.unknown = model, design, population, unknown
        self.size = sum(len(new) * len(level.effects) for level, new in unknown)
        self.evaluate = evaluator(model, design)
        self.chol = {level.name: population.cholesky(level.name) for level, _ in unknown}

    def effects(self, population, which, z):
        """eta by level, (particle, group, effect)."""
        eta, start = {}, 0
        for level, new in self.unknown:
            width = len(level.effects)
            value = np.empty((len(which), len(level.labels), width))
            for g in new:
                part = z[:, start : start + width]
                value[:, g] = np.einsum("nij,nj->ni", self.chol[level.name][which], part)
                start += width
            eta[level.name] = keep_known(level, population, value)
        return eta

    def log_density(self, which, z):
        """Log prior of z plus log-likelihood, (particle,)."""
        population = self.population.take(which)
        _, f, order = self.evaluate(population.theta, self.effects(population, which, z))
        total = order + stats.norm.logpdf(z).sum(axis=1)
        for observed in self.design.outcomes:
            residual = self.model.residual_of(observed.name)
            seen = np.isfinite(observed.values)  # the others are times at which only a prediction is wanted
            sigma = population.sigma[observed.name]
            dense = log_density(residual, f[observed.name][:, seen], sigma, observed.at(seen), self.design.positive)
            total = total + dense.sum(axis=1)
        return np.where(np.isnan(total), -np.inf, total)

    def labelled(self, which, z):
        """The ``posterior`` group of these particles."""
        population = self.population.take(which)
        eta = self.effects(population, which, z)
        phi, f, _ = self.evaluate(population.theta, eta)
        return prediction.labelled(self.design, population, eta, phi, f, (1, len(which)))


def _adapt(target, enough, proposals, rounds, rng):
    """Particles of the rounds up to the best one: population index, z, log weights."""
    components, which, z, log_target = [None], [], np.zeros((0, target.size)), np.zeros(0)
    best, quality = None, (False, 0.0)
    log_each = np.zeros((0, 0))  # log-density of every particle under every component
    for _ in range(rounds):
        new = _propose(components[-1], proposals, target.size, rng)
        indices = np.resize(rng.permutation(target.population.size), proposals)
        log_target = np.append(log_target, target.log_density(indices, new))
        which, z = [*which, indices], np.concatenate([z, new])
        older = np.stack([_log_proposal(c, new) for c in components], axis=1)
        log_each = np.column_stack([log_each, _log_proposal(components[-1], z[: len(log_each)])])
        log_each = np.concatenate([log_each, older])
        log_weight = log_target - np.logaddexp.reduce(log_each, axis=1) + np.log(len(components))
        if not np.isfinite(log_weight).any():
            raise ModelError("no proposal gives the patient's samples a finite density; check units, doses and times")
        weight, khat = _smoothed(log_weight)
        reached = (khat < KHAT, 1 / np.sum(weight**2))
        if best is None or reached > quality:
            best, quality = (np.concatenate(which), z, log_weight), reached
        if quality >= (True, min(enough, ENOUGH)):
            break
        components.append(_moments(log_weight, z))
    return best


def _smoothed(log_weight):
    """Pareto-smoothed weights that sum to one, and k-hat (0 where all weights are equal, as without samples)."""
    if np.ptp(log_weight) < 1e-9:
        return np.full(len(log_weight), 1 / len(log_weight)), 0.0
    try:
        smoothed, khat = array_stats.psislw(-log_weight)  # it takes the negative, as of a log-likelihood
    except ValueError:  # the largest weights are equal, as of a censored sample that says little: no tail to smooth
        smoothed, khat = log_weight, 0.0
    weight = np.exp(smoothed - smoothed.max())
    return weight / weight.sum(), float(khat)


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
        return stats.norm.logpdf(z).sum(axis=1)
    return np.atleast_1d(stats.multivariate_t(loc=component[0], shape=component[1], df=TAIL).logpdf(z))


def _systematic(weight, n, rng):
    """Systematic resampling: positions of n draws (Carpenter, Clifford and Fearnhead 1999)."""
    edges = np.cumsum(weight)
    points = (np.arange(n) + rng.random()) / n
    return rng.permutation(np.minimum(np.searchsorted(edges / edges[-1], points), len(weight) - 1))
