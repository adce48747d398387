"""`forecast`: the population as prior, the new patient's samples as data.

Importance sampling over population draws s and standardised random effects z of the groups that the tree does not
know (the patient, an unseen site):

    p(s, z | y)  ∝  p(s) Normal(z; 0, 1) p(y | theta_s, eta = chol(Omega_s) z, sigma_s)

so population uncertainty is included, and population draws that explain the patient better count for more. Proposals
start at the prior and adapt (population Monte Carlo; Cappé, Guillin, Marin and Robert 2004, J. Comput. Graph. Stat.
13, 907-929): a Student t with the weighted moments of the round before, mixed with a tenth of the prior, so that no
weight can exceed ten times that of the prior proposal. The last round's weights are Pareto-smoothed
(Vehtari et al. 2024, JMLR 25(72)); k-hat above 0.7 is reported as a warning.
"""

import json
import warnings

import numpy as np
from arviz_stats.base import array_stats
from scipy import stats

from nlmebayes import prediction, storage
from nlmebayes.design import resolve
from nlmebayes.model import Model, ModelError, check_names

PRIOR_SHARE, TAIL = 0.1, 5  # of the proposal mixture: prior component, degrees of freedom of the t


def forecast(model: Model, tree, patient, *, draws=2000, proposals=20_000, rounds=4, random_seed=None):
    """Posterior of one new patient's parameters and curve, given 0, 1, 2 ... samples.

    Parameters
    ----------
    model : Model or None
        The model of the tree; ``None`` takes the one stored in it.
    tree : DataTree
        A fitted population, from `fit`.
    patient : Dataset
        The records of one new unit of the innermost level: its doses, covariates and samples. Its outer groups
        may be known to the tree (a known site keeps its effects).
    draws : int
        Draws of the result, resampled by weight.
    proposals, rounds : int
        Particles per round and number of rounds.

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
    design = resolve(model, patient, training)
    check_names(model, design)
    population = prediction.draws_of(tree["posterior"].to_dataset(), training, patient.outcomes)
    unknown = _unknown(design, population, patient)
    rng = np.random.default_rng(random_seed)
    target = _Target(model, design, population, unknown)
    which, z, log_weight = _adapt(target, proposals, rounds, rng)
    smoothed, khat = array_stats.psislw(-log_weight)  # takes the negative, as of a log-likelihood
    weight = np.exp(smoothed - smoothed.max())
    weight /= weight.sum()
    report = {
        "effective_sample_size": float(1 / np.sum(weight**2)),
        "khat": float(khat),
        "log_evidence": float(np.logaddexp.reduce(log_weight) - np.log(len(log_weight))),
    }
    if khat > 0.7:
        warnings.warn(
            f"forecast of {patient.subject} {design.labels[0]}: k-hat {khat:.2f} is above 0.7, so the draws may be "
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
        self.evaluate = prediction.evaluator(model, design)
        self.chol = {level.name: population.cholesky(level.name) for level, _ in unknown}

    def effects(self, which, z):
        """eta by level, (particle, group, effect)."""
        eta, start = {}, 0
        for level, new in self.unknown:
            width = len(level.effects)
            known = self.population.groups.get(level.name, [])
            value = np.empty((len(which), len(level.labels), width))
            for g, label in enumerate(level.labels):
                if g in new:
                    part = z[:, start : start + width]
                    value[:, g] = np.einsum("nij,nj->ni", self.chol[level.name][which], part)
                    start += width
                else:
                    value[:, g] = self.population.eta[level.name][which, known.index(label)]
            eta[level.name] = value
        return eta

    def log_density(self, which, z):
        """Log prior of z plus log-likelihood, (particle,)."""
        population = self.population.take(which)
        _, f, order = self.evaluate(population.theta, self.effects(which, z))
        total = order + stats.norm.logpdf(z).sum(axis=1)
        for observed in self.design.outcomes:
            residual = self.model.residual_of(observed.name)
            each = prediction.log_density(residual, f[observed.name], population.sigma[observed.name], observed.values)
            total = total + each.sum(axis=1)
        return np.where(np.isnan(total), -np.inf, total)

    def labelled(self, which, z):
        """The ``posterior`` group of these particles."""
        population, eta = self.population.take(which), self.effects(which, z)
        phi, f, _ = self.evaluate(population.theta, eta)
        return prediction.labelled(self.design, population, eta, phi, f, (1, len(which)))


def _adapt(target, proposals, rounds, rng):
    """Rounds of importance sampling; returns the last: population index, z, log weights."""
    moments = None
    for _ in range(max(1, rounds)):
        which = rng.permutation(np.resize(np.arange(target.population.size), proposals))
        z, log_proposal = _propose(proposals, target.size, moments, rng)
        log_weight = target.log_density(which, z) - log_proposal
        if not np.isfinite(log_weight).any():
            raise ModelError("no proposal gives the patient's samples a finite density; check units, doses and times")
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        mean = weight @ z
        cov = np.einsum("n,ni,nj->ij", weight, z - mean, z - mean) + 1e-6 * np.eye(target.size)
        moments = mean, cov
    return which, z, log_weight


def _propose(n, size, moments, rng):
    """Draws of the proposal mixture and their log-density."""
    z = rng.standard_normal((n, size))
    log_prior = stats.norm.logpdf(z).sum(axis=1)
    if moments is None or size == 0:
        return z, log_prior
    t = stats.multivariate_t(loc=moments[0], shape=moments[1], df=TAIL)
    fitted = rng.random(n) >= PRIOR_SHARE
    z[fitted] = t.rvs(size=int(fitted.sum()), random_state=rng).reshape(-1, size)
    log_prior = stats.norm.logpdf(z).sum(axis=1)
    return z, np.logaddexp(np.log(PRIOR_SHARE) + log_prior, np.log1p(-PRIOR_SHARE) + t.logpdf(z))


def _systematic(weight, n, rng):
    """Systematic resampling: positions of n draws (Carpenter, Clifford and Fearnhead 1999)."""
    edges = np.cumsum(weight)
    points = (np.arange(n) + rng.random()) / n
    return rng.permutation(np.minimum(np.searchsorted(edges / edges[-1], points), len(weight) - 1))
