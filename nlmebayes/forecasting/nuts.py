"""The reference: a patient's posterior by NUTS, compiled once per kind of patient.

Under one population (a published model) the sampled density is that of `target` exactly. Under several draws of a
fitted population, NUTS cannot walk from draw to draw; the population is then normal in (theta, log omega, link sigma,
effects of known groups) with the mean and covariance of the draws, and correlations of effects at their mean, which is
close for a posterior from enough subjects.

Chains do not walk from one mode to another, so some start in each mode that importance sampling gives a probability.
Where they meet, as R-hat tells, all draws count alike. Where they stay apart, the draws near mode k have together the
weight that importance sampling gives to the places near it, P(k | y), which a chain cannot know; where that is in doubt
too (k-hat), so is the answer, in words.

Everything that differs between patients is data of the compiled model, so a new patient with as many effects and the
same kind of records needs no compilation.
"""

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from arviz_stats.base import array_stats
from pytensor.graph.traversal import ancestors

from nlmebayes.errors import ModelError
from nlmebayes.evaluation import storage
from nlmebayes.evaluation.evaluator import Draws, Effects
from nlmebayes.evaluation.weights import KHAT
from nlmebayes.individuals.coordinates import inside, range_link
from nlmebayes.individuals.particles import Particles
from nlmebayes.inference import compilation
from nlmebayes.model import hierarchy
from nlmebayes.model.build import barrier
from nlmebayes.outcomes import censoring
from nlmebayes.runtime.garbage import collected_seldom
from nlmebayes.runtime.threads import in_turns
from nlmebayes.runtime.uncompiled import UNCOMPILED
from nlmebayes.structure.structure import Named

CHAINS, TUNE, KEEP = 4, 500, 2  # every second draw is kept
RARE = 0.005  # probability of a mode below which no chain starts in it
MET, MIXED = 1.02, 1.1  # R-hat below which chains that started in several modes have met, and those of one agree
KEPT = 8  # compiled models
NOTHING = -1e30  # log of a density that adds nothing
SMALL = 1e-10  # relative variance of a direction in which populations do not differ
_COMPILED = OrderedDict()


def sampled(target, n, rng, guide):
    """The target with populations of their own, and `Particles`, n or a few more.

    ``guide``: the `Particles` of importance sampling, whose evidence they have; ``khat`` is 0: NUTS knows neither.
    """
    vector = _Vector(target)
    data = _data(target, vector)
    key = _key(target, data)
    compiled, used = _compiled(key, target, vector, data)
    ready = compiled.with_data(**{name: value for name, value in data.items() if name in used})
    which = _likely(guide)
    chains = max(CHAINS // len(which), 2)
    groups = []
    for k in which:
        start = np.concatenate(
            [np.zeros(target.size) if guide.mode is None else guide.mode.z[k], np.zeros(vector.rank)]
        )
        groups.append(
            compilation.sampled(
                compilation.started(ready, "numba", lambda _, start=start: start.copy()), chains=chains,
                draws=KEEP * -(-n // (chains * len(which))), tune=TUNE, seed=int(rng.integers(2**31)),
                progress_bar=False, save_warmup=False, target_accept=0.9,
            )["posterior"].isel(draw=slice(None, None, KEEP))
        )  # fmt: skip
    z = np.stack([each["z"].to_numpy() for each in groups])  # (mode, chain, draw, column)
    w = np.stack([each["w"].to_numpy() for each in groups]) if vector.rank else np.zeros((*z.shape[:3], 0))
    moved = replace(target, population=vector.draws(w.reshape(z[..., 0].size, vector.rank)))
    return moved, _pooled(z, guide, which)


def _likely(guide):
    """Positions of the modes that chains start in."""
    if guide.mode is None:
        return [0]
    return [k for k in np.argsort(-guide.probabilities, kind="stable")[:CHAINS] if guide.probabilities[k] > RARE] or [0]


def _pooled(z, guide, which):
    """`Particles` of chains (mode, chain, draw, column) that started in the modes ``which``."""
    every = z.reshape(-1, *z.shape[2:])
    flat, n = every.reshape(-1, z.shape[3]), len(which)
    met = _worst_rhat(every) < (MET if n > 1 else MIXED)
    if n == 1 or met:
        doubt = None if met else f"chains of NUTS disagree (R-hat {_worst_rhat(every):.2f}), so its draws are not exact"
        weight, size = np.full(len(flat), 1 / len(flat)), _size(every)
    else:
        near = guide.mode.nearest(flat)
        weight = guide.probabilities[near] / np.bincount(near)[near]
        weight /= weight.sum()
        apart, halves = _within(every, near)
        size = _size(apart) / len(flat) / (weight**2).sum()
        within = max(map(_worst_rhat, halves))
        doubt = (
            None if guide.khat <= KHAT and within < MIXED else
            f"chains of NUTS stay in {n} modes apart, and what each of them weighs is not known (k-hat "
            f"{guide.khat:.2f}, R-hat within modes {within:.2f}), so its draws are not exact"
        )  # fmt: skip
    return Particles(
        np.arange(len(flat)), flat, weight, 0.0, guide.log_evidence, float(size), guide.mode, guide.probabilities, doubt
    )


def _within(chains, near):
    """Chains (chain, draw, column) less the mean of their mode, and the halves of them that lie in each.

    The modes weigh what the guide says, so it does not matter how often a chain goes from one to another. Halves, so
    that a chain that is alone in its mode can be compared with itself.
    """
    flat, half = chains.reshape(-1, chains.shape[2]), chains.shape[1] // 2
    middle = np.stack([np.bincount(near, column) for column in flat.T], axis=1)
    middle /= np.maximum(np.bincount(near), 1)[:, None]
    apart, near = (flat - middle[near]).reshape(chains.shape), near.reshape(chains.shape[:2])
    halves = apart[:, : 2 * half].reshape(-1, half, chains.shape[2])
    mostly = np.array([np.bincount(each).argmax() for each in near[:, : 2 * half].reshape(-1, half)])
    return apart, [halves[mostly == k] for k in set(mostly)]


def _size(chains):
    """Least effective sample size of the columns of chains (chain, draw, column)."""
    columns = range(chains.shape[2])
    return min(
        (array_stats.ess(chains[..., i], chain_axis=0, draw_axis=1) for i in columns), default=chains[..., 0].size
    )


def _worst_rhat(chains):
    found = [array_stats.rhat(chains[..., i], chain_axis=0, draw_axis=1) for i in range(chains.shape[2])]
    return max(found, default=1.0)


@in_turns
@collected_seldom
def _compiled(key, target, vector, data):
    """A compiled model of a kind of patient, and the names of the data that it reads."""
    if key not in _COMPILED:
        built = _built(target, vector, data)
        kept = ["z", "w"] if vector.rank else ["z"]
        used = {variable.name for variable in ancestors([*built.potentials, *built.free_RVs])}
        _COMPILED[key] = compilation.compiled(built, "numba", kept), used
        while len(_COMPILED) > KEPT:
            _COMPILED.popitem(last=False)
    return _COMPILED[key]


class _Vector:
    """A population as one vector: theta, log omega, sigma on the links of its parts, effects of known groups; its
    moments over the draws."""

    def __init__(self, target):
        self.population = population = target.population
        self.links = {
            (o, part): range_link(target.model.residual_of(o).priors(1.0)[part])
            for o, each in _plain(population.sigma).items()
            for part in each
        }
        self.parts = [("theta", name, value) for name, value in population.theta.items()]
        self.parts += [("omega", name, np.log(np.maximum(v, 1e-12))) for name, v in population.omega.items()]
        self.parts += [
            ("sigma", (o, part), link.forward(inside(link, population.sigma[o][part]))[:, None])
            for (o, part), link in self.links.items()
        ]
        self.parts += [("eta", name, value.reshape(len(value), -1)) for name, value in population.eta.items()]
        values = np.concatenate([value for *_, value in self.parts], axis=1)
        self.mean = values.mean(axis=0)
        deviation = (values - self.mean) / np.sqrt(max(len(values) - 1, 1))
        _, scale, rows = np.linalg.svd(deviation, full_matrices=False)
        wide = scale > SMALL * max(1.0, np.abs(self.mean).max())
        self.factor = rows[wide].T * scale[wide]
        self.rank = int(wide.sum())
        self.chol = {name: np.eye(value.shape[1]) for name, value in population.omega.items()}
        self.chol |= {name: np.linalg.cholesky(value.mean(axis=0)) for name, value in population.corr.items()}

    def split(self, vector):
        """(kind, name, part) of a vector or of a tensor, its last axis split."""
        start = 0
        for kind, name, value in self.parts:
            width = value.shape[1]
            yield kind, name, vector[..., start : start + width]
            start += width

    def draws(self, w):
        """`Draws` of w (sample, direction)."""
        found = {"theta": {}, "omega": {}, "eta": {}, "sigma": {}}
        for kind, name, part in self.split(self.mean + w @ self.factor.T):
            if kind == "sigma":
                value = self.links[name].inverse(pt.as_tensor(part[:, 0])).eval(mode=UNCOMPILED)
                found["sigma"].setdefault(name[0], {})[name[1]] = value
            elif kind == "eta":
                found["eta"][name] = part.reshape(len(w), *self.population.eta[name].shape[1:])
            else:
                found[kind][name] = np.exp(part) if kind == "omega" else part
        corr = {
            name: np.repeat((self.chol[name] @ self.chol[name].T)[None], len(w), axis=0)
            for name in self.population.corr
        }
        return Draws(**found, corr=corr, groups=self.population.groups)


def _data(target, vector):
    """Everything that differs between patients, by name."""
    design = target.design
    found = {name: value for name, (value, _) in hierarchy.arrays(design).items()}
    found |= {f"own_{name}": value for name, (value, _) in target.model.structure.arrays(design).items()}
    found |= {"population_mean": vector.mean, "population_factor": vector.factor}
    for level, _ in target.unknown:
        place = {label: i for i, label in enumerate(target.population.groups.get(level.name, ()))}
        count = len(place)
        index = np.full((len(level.labels), len(level.effects)), target.size)
        for other, g, k, _, column in target.columns:
            if other is level:
                index[g, k] = column
        found[f"column_{level.name}"] = index
        found[f"known_{level.name}"] = np.array([place.get(label, count) for label in level.labels])
        found[f"chol_{level.name}"] = vector.chol[level.name]
    for samples in target.observed:
        name, records = samples.name, samples.records
        limits = censoring.limits(records.values, records.lower, records.upper)
        found |= {f"{name}_{kind}": x for kind, x in zip(("value", "lower", "upper"), limits, strict=True)}
        found |= {f"{name}_column_{column}": x for column, x in records.columns.items()}
        found |= {f"{name}_seen": samples.places, f"{name}_weight": samples.weights[samples.first]}
        if samples.starts is not None:
            found |= {f"{name}_nodes": _of_samples(samples), f"{name}_log_weight": samples.log_weight}
    return found


def _of_samples(samples):
    """Positions of the nodes of each sample, (sample, node); where it has fewer, one beyond the last."""
    many = np.diff(np.append(samples.starts, len(samples.places)))
    index = samples.starts[:, None] + np.arange(many.max())
    return np.where(np.arange(many.max()) < many[:, None], index, len(samples.places))


def _key(target, data):
    kinds = tuple((name, np.asarray(v).dtype.str, np.ndim(v)) for name, v in data.items())
    fixed = tuple(np.shape(v) for name, v in data.items() if name.startswith(("population_", "column_")))
    levels = tuple((level.name, level.effects) for level, _ in target.unknown)
    censored = tuple(bool(records.censored.any()) for _, _, records, *_ in target.observed)
    return storage.statement(target.model), target.size, kinds, fixed, levels, censored, target.design.positive


def _built(target, vector, data):
    """The PyMC model of one patient's standardised effects."""
    model, design = target.model, target.design
    with pm.Model() as built:
        x = {name: pm.Data(name, value) for name, value in data.items()}
        z = pm.Normal("z", shape=target.size)
        whole = x["population_mean"]
        if vector.rank:
            whole = whole + x["population_factor"] @ pm.Normal("w", shape=vector.rank)
        parts = {(kind, name): part for kind, name, part in vector.split(whole)}
        theta = {p.name: parts["theta", p.name] for p in model.structure.parameters}
        padded = pt.concatenate([z, pt.zeros(1)])
        eta = {}
        for level, _ in target.unknown:
            chol = pt.exp(parts["omega", level.name])[:, None] * x[f"chol_{level.name}"]
            new = padded[x[f"column_{level.name}"]] @ chol.T
            if ("eta", level.name) in parts:
                known = parts["eta", level.name].reshape((-1, len(level.effects)))
                new = new + pt.concatenate([known, pt.zeros((1, len(level.effects)))])[x[f"known_{level.name}"]]
            eta[level.name] = new
        levels = tuple(Effects(level.name, level.effects) for level in design.levels)
        phi = hierarchy.individual(model.scales, levels, x, theta, eta)
        for gap in model.structure.order:
            pm.Potential(f"order_{gap.__name__}", barrier(gap(Named(**phi))))
        own = Named(**{name.removeprefix("own_"): value for name, value in x.items() if name.startswith("own_")})
        f = model.structure.predict(Named(**phi), own, tuple(o.name for o in design.outcomes))
        for name, _, records, *_ in target.observed:
            if len(records.values):
                links = {part: link for (o, part), link in vector.links.items() if o == name}
                s = {part: link.inverse(parts["sigma", (name, part)][0]) for part, link in links.items()}
                _add_samples(target, name, f[name], Named(**s), x, records.censored.any())
    return built


def _plain(sigma):
    """Parts of residuals, none of which has a formula."""
    for outcome, parts in sigma.items():
        for part, values in parts.items():
            if values.ndim == 2:
                raise ModelError(f"forecast: sigma_{outcome}_{part} has a formula, which method='nuts' does not know")
    return sigma


def _add_samples(target, name, f, s, x, censored):
    residual, start = target.model.residual_of(name), f"{name}_column_"
    if residual.columns and not residual.correlated:
        raise ModelError(f"forecast: {residual} reads columns of the data, which method='nuts' does not know")
    s = Named(**vars(s), **{column.removeprefix(start): v for column, v in x.items() if column.startswith(start)})
    f = f[x[f"{name}_seen"]]
    if target.model.structure.fallible:
        known = ~pt.isnan(f)
        pm.Potential(f"solved_{name}", pt.switch(pt.all(known), 0.0, -np.inf))
        f = pt.switch(known, f, 1.0)
    value, lower, upper = (x[f"{name}_{kind}"] for kind in ("value", "lower", "upper"))
    if censored or target.design.positive or residual.correlated:
        dense = censoring.log_density(residual, f, s, value, lower, upper, target.design.positive)
    else:
        dense = pm.logp(residual.likelihood(f, s), value)
    if f"{name}_nodes" in x:
        each = pt.concatenate([dense + x[f"{name}_log_weight"], [NOTHING]])
        dense = pt.logsumexp(each[x[f"{name}_nodes"]], axis=1)
    pm.Potential(f"samples_{name}", (x[f"{name}_weight"] * dense).sum())
