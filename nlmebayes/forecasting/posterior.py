"""Draws of a patient's target with what follows from them: labelled groups, and where the patient stands."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import special, stats

from nlmebayes.evaluation import prediction
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.evaluation.measurement import measure
from nlmebayes.individuals.density import Density

FEW = 500  # draws that are looked at where sampling times are uncertain
TELLING = 100  # draws without which there is no p-value


@dataclass(frozen=True, eq=False)
class Labelled:
    """Draws of a target with what follows from them."""

    target: Density
    which: np.ndarray
    z: np.ndarray

    @cached_property
    def population(self):
        return self.target.population.take(self.which)

    @cached_property
    def eta(self):
        return self.target.effects(self.z[:, None], self.which)

    @cached_property
    def _evaluated(self):
        """Parameters and predictions by the evaluation that `predict` uses, so that both give the same numbers."""
        phi, f, _ = evaluator(self.target.model, self.target.recorded.reported)(self.population.theta, self.eta)
        return phi, f

    @property
    def f(self):
        return self._evaluated[1]

    def dataset(self, *, moved):
        """The group of these draws; with ``moved`` intercepts where covariates are imputed, or those of the tree."""
        sizes, target = (1, len(self.which)), self.target
        population = replace(self.population, drift=target.drift)
        found = prediction.labelled(target.recorded.reported, population, self.eta, *self._evaluated, sizes)
        return found if target.imputed is None else target.imputed.told(found, self.which, moved=moved)


def prior_of(target, n, rng):
    """Draws before the samples; populations are as often as each other."""
    which = np.resize(rng.permutation(target.population.size), n)
    return Labelled(target, which, rng.standard_normal((n, target.size)))


def distance(posterior, found):
    """z-scores and overlaps of the effects that were not known, by level, group and effect, in SDs of their prior."""
    target, weight = posterior.target, found.weight
    scores, shared = {}, {}
    several = {level.name: len(new) > 1 for level, new in target.unknown}
    omega = {level.name: target.population.omega[level.name].mean(axis=0) for level, _ in target.unknown}
    eta = target.effects(found.z[:, None], found.which)
    for level, g, k, _, _ in target.columns:
        scale = omega[level.name][k] * np.sqrt(target.steps(level, g))
        values = eta[level.name][:, g, k] / scale if scale > 0 else np.zeros(len(weight))
        name = f"{level.name} {level.labels[g]}: " if several[level.name] else f"{level.name}: "
        mean = float(weight @ values)
        scores[name + level.effects[k].name] = round(mean, 4)
        if len(weight) > 1:
            shared[name + level.effects[k].name] = round(_overlap(mean, weight, values), 4)
    return {"z_scores": scores, "overlap": shared}


def alternatives(target, found):
    """Of each mode of `Particles` its ``probability`` and the individual ``parameters`` of the patient's first unit,
    the most probable first where the draws are weighed, else the densest; ``target`` has one population."""
    if found.mode is None:
        return []
    phi, _ = Labelled(target, np.zeros(len(found.mode.z), dtype=int), found.mode.z)._evaluated
    first = {name: np.broadcast_to(x, (len(found.mode.z), x.shape[-1]))[:, 0] for name, x in phi.items()}
    return [
        {"probability": float(p), "parameters": {name: float(x[k]) for name, x in first.items()}}
        for k, p in enumerate(found.probabilities)
    ]


def times(posterior):
    """Posterior mean and SD of the time of each sample, by outcome and row."""
    target, found, which = posterior.target, {}, posterior.which[:FEW]
    f, _ = target.at(posterior.z[:FEW, None], which)
    for samples in target.observed:
        dense = target.densities(samples, f[samples.name][:, samples.places], which)
        share = (samples.counted(dense)[1] / samples.weights).mean(axis=0)
        time = target.nodes[samples.name].time
        mean = np.add.reduceat(share * time, samples.starts)
        away = time - np.repeat(mean, np.diff(np.append(samples.starts, len(time))))
        size = np.abs(away).max() or 1.0
        sd = size * np.sqrt(np.add.reduceat(share * (away / size) ** 2, samples.starts))
        rows = samples.records.row[samples.first]
        found |= {f"{samples.name} row {r}": [float(m), float(s)] for r, m, s in zip(rows, mean, sd, strict=True)}
    return found


def _overlap(mean, weight, values):
    """Area under the lower of the standard normal density and a normal one with the moments of the values."""
    sd = max(float(np.sqrt(max(weight @ (values - mean) ** 2, 0.0))), 1e-9)
    x = np.linspace(-8.0, 8.0, 3201)
    ours = np.exp(-0.5 * ((x - mean) / sd) ** 2) / sd
    return float(np.minimum(ours, np.exp(-0.5 * x**2)).sum() * (x[1] - x[0]) / np.sqrt(2 * np.pi))


def surprise(prior, rng):
    """Prior predictive p-value: how often replicates of all samples lie as far out, in Mahalanobis distance of their
    normal scores. What is censored counts at its limit, and so do replicates in the same interval: they lie as far out.
    None without a sample, or with draws too few to tell."""
    target, scores = prior.target, []
    if len(prior.which) < TELLING:
        return None
    if target.nodes:
        prior = Labelled(target, prior.which[:FEW], prior.z[:FEW])
    f_at = target.at(prior.z[:, None], prior.which)[0] if target.nodes else prior.f
    for samples in target.judged:
        name, records = samples.name, samples.records.at(samples.first)
        f = samples.drawn(f_at[name][:, samples.places], rng)
        drawn = measure(target.model.residual_of(name), f, prior.population.sigma.get(name, {}), rng,
                                   target.design.positive, records)  # fmt: skip
        values = np.where(np.isfinite(records.values), records.values, 0.0)
        drawn = np.where(np.isfinite(drawn), drawn, 0.0)
        hidden = records.censored & (drawn >= records.lower) & (drawn <= records.upper)
        both = np.concatenate([values[None], np.where(hidden, values, drawn)])
        scores.append(special.ndtri((stats.rankdata(both, axis=0) - 0.5) / len(both)))
    if not scores:
        return None
    scores = np.concatenate(scores, axis=1)
    spread = scores[1:].std(axis=0)
    scores = scores[:, spread > 0]  # a limit that every replicate shares tells nothing
    if not scores.shape[1]:
        return 1.0
    corr = np.atleast_2d(np.corrcoef(scores[1:].T)) + 1e-3 * np.eye(scores.shape[1])
    distance = (scores * np.linalg.solve(corr, scores.T).T).sum(axis=1)
    return float((distance[1:] >= distance[0]).mean())
