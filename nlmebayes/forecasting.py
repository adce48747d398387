"""`forecast`: the population as prior, the new patient's samples as data.

    p(s, z | y)  ∝  p(s) Normal(z; 0, 1) p(y | theta_s, eta = chol(Omega_s) z, sigma_s)

over population draws s and standardised random effects z of the groups that the tree does not know (the patient, its
occasions, an unseen site), so population uncertainty is included, and population draws that explain the patient better
count for more. `target` is this density, `modes` finds its modes, `particles` draws from it.
"""

import json
import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from scipy import special, stats

from nlmebayes import charts, exact, particles, prediction, storage
from nlmebayes.design import Design, resolve
from nlmebayes.evaluation import Draws, draws_of, evaluator, measure
from nlmebayes.hazards import WITHIN
from nlmebayes.model import Model, ModelError, by_node, check_names
from nlmebayes.modes import modes
from nlmebayes.particles import Particles
from nlmebayes.publication import ABOUT
from nlmebayes.target import Target
from nlmebayes.weights import KHAT

log = logging.getLogger("nlmebayes")

Method = Literal["auto", "map", "laplace", "importance", "nuts"]
REPORT = "nlmebayes_forecast"
DENSITY = ("flatten", "half_life", "drift")  # options that change the density
FEW = 0.5  # share of the wanted effective sample size below which importance sampling goes on
RARE = "samples like these are rare in this population"
SURPRISING = 0.001  # prior predictive p-value below which a patient is not of this population
TELLING = 100  # draws without which there is no p-value
LATER = 10_000  # particles of a later round


def forecast(
    model: Model, tree, patient, *, method: Method = "auto", draws=2000, proposals=4000, rounds=15, random_seed=None,
    flatten=1.0, half_life=None, drift=None, now=None, unusual="error",
):  # fmt: skip
    """Posterior of one new patient's parameters and curve, given 0, 1, 2 ... samples.

    Parameters
    ----------
    model : Model or None
        The model of the tree; ``None`` takes the one stored in it.
    tree : DataTree
        A population: fitted, from `fit`, or published, from `population`.
    patient : Dataset
        The records of one new unit of the innermost level: its doses, covariates and samples. Its outer groups
        may be known to the tree (a known site keeps its effects). Without a sample yet, give the times of interest
        (``Dataset.from_nonmem(..., unmeasured="predict")``): the forecast is then the population's.
    method : {"auto", "map", "laplace", "importance", "nuts"}
        ``"map"``: the most probable effects under the mean population, one draw. ``"laplace"``: normal draws around
        the conditional mode of each population draw; its k-hat is reported without a warning. ``"importance"``: exact
        up to Monte Carlo error, with k-hat to tell. ``"nuts"``: a compiled sampler, the reference; exact for one
        population (`exact` says what becomes of several). ``"auto"``: importance, and NUTS where k-hat is above 0.7.
    draws : int
        Draws of the result, resampled by weight.
    proposals, rounds : int
        Particles of the first round, and the most further rounds of 10,000; none once the effective sample size is
        half of ``draws`` (or 1000).
    flatten : float
        Multiplies the variances of the random effects: above 1 the prior says less (a flattened prior).
    half_life : float, optional
        Weighs a sample down by half for each such time before the last one.
    drift : str, optional
        A level below the patient, such as an occasion, whose effects are a random walk: each group starts from the one
        before it with a step of variance Omega of that level.
    now : float, optional
        The time of asking: a sample after it is refused, a dose after it is warned of.
    unusual : {"error", "warn"}
        What a sample is that is hundreds of times off the population's range, or positive before any dose.

    Returns
    -------
    DataTree
        As `fit` gives it, for this patient: ``posterior`` (population, ``eta_<level>``, individual parameters,
        ``f_<outcome>``), ``posterior_predictive``, ``prior`` (the same before the samples), ``observed_data``.
        `predict` on it gives any curve of this patient under any doses; `recommend` chooses among regimens.
        ``tree.attrs["nlmebayes_forecast"]`` holds as JSON: method, ``flatten``, ``half_life`` and ``drift`` as given,
        effective sample size, k-hat, log evidence, and how
        far the patient is from the population: for each effect its posterior mean in SDs of the population
        (``z_scores``) and the share that its prior and posterior have in common (``overlap``), and the prior
        predictive p-value of all samples together (``prior_p``; a warning below 0.001).

    Raises
    ------
    ModelError
        The patient was in the training data, or there are several; records that cannot be right.
    """
    return forecaster(model, tree).forecast(
        patient, method=method, draws=draws, proposals=proposals, rounds=rounds, random_seed=random_seed,
        flatten=flatten, half_life=half_life, drift=drift, now=now, unusual=unusual,
    )  # fmt: skip


@contextmanager
def rare_allowed():
    """Without the warning of a patient who is rare in a population."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=f".*{RARE}")
        yield


def forecaster(model, tree):
    """A population made ready for many patients: reads model, design and draws once; see `Forecaster`."""
    model, training = prediction.context(model, tree)
    outcomes = tuple(o.name for o in training.outcomes)
    population = draws_of(tree["posterior"].to_dataset(), training, model, outcomes)
    return Forecaster(model, tree, storage.stored(storage.training_dataset(tree)), training, population)


@dataclass(frozen=True, eq=False)
class Forecaster:
    """A population ready for patients, from `forecaster`; its methods are `forecast` and `mode` without the reading.

    ``population`` are the draws of the tree; ``middle`` is one population, the mean of the draws on the link scale with
    the mean SDs and correlations of effects, under which modes are found.
    """

    model: Model
    tree: object
    data: object  # the training dataset as it is stored
    training: Design
    population: Draws

    @cached_property
    def middle(self):
        """The mean population, `Draws` of size one."""
        return particles.middle(self.population)

    def target(self, patient, *, flatten=1.0, half_life=None, drift=None, several=False):
        """The `Target` of a patient's records under all draws, and under the mean population."""
        prediction.same_outcomes(patient, self.training)
        design = resolve(self.model, patient, self.training)
        check_names(self.model, design)
        unknown = charts.unknown_groups(design, self.population, patient, several=several)
        labels = {level.name: level.labels for level in design.levels}
        model, asked = by_node(self.model, design)
        for o in design.outcomes:
            if self.model.residual_of(o.name).correlated or (o.nodes is not None and (o.nodes.seen == WITHIN).any()):
                what = "an event known to an interval" if o.nodes is not None else "a residual with a memory"
                raise ModelError(f"forecast: {o.name} has {what}, which it does not know; fit all patients together")
        weights = _weights(asked, half_life)
        if drift is not None and drift not in patient.levels[patient.levels.index(patient.subject) + 1 :]:
            raise ModelError(f"forecast: drift={drift!r} is no level below {patient.subject}")
        found = []
        for population in (self.population, self.middle):
            known = _of_outcomes(population.of_groups(labels), design)
            if flatten != 1.0:
                omega = {name: value * np.sqrt(flatten) for name, value in known.omega.items()}
                known = replace(known, omega=omega)
            found.append(Target(model, asked, known, unknown, patient.subject, weights, drift, design))
        return tuple(found)

    def mode(self, patient, **options):
        """Most probable effects under the mean population, `modes.Mode`, and the target they belong to.

        Nothing is labelled: the quick way to a point estimate. ``target.effects(mode.z[:1, None], [0])`` gives eta.
        """
        _, central = self.target(patient, **options)
        return modes(central), central

    def check_samples(self, patient, *, unusual="error", **options):
        """Refuse, or warn of, samples that `forecast` would not take; ``options`` are those of the density."""
        target, _ = self.target(patient, **options)
        charts.check_samples(
            target, patient, _prior(target, 1000, np.random.default_rng(0)).f, refuse=unusual == "error"
        )

    def forecast(
        self, patient, *, method="auto", draws=2000, proposals=4000, rounds=15, random_seed=None, flatten=1.0,
        half_life=None, drift=None, now=None, unusual="error",
    ):  # fmt: skip
        """As `forecast`."""
        if method not in get_args(Method):
            raise ModelError(f"forecast: no method {method!r}; there are {', '.join(get_args(Method))}")
        if unusual not in ("error", "warn"):
            raise ModelError(f"forecast: unusual={unusual!r} is none of 'error', 'warn'")
        charts.warn_outside(self.tree, patient)
        charts.check_now(patient, now)
        target, central = self.target(patient, flatten=flatten, half_life=half_life, drift=drift)
        rng = np.random.default_rng(random_seed)
        prior = _prior(target, draws, rng)
        charts.check_samples(target, patient, prior.f, refuse=unusual == "error")
        whole, found = _drawn(method, target, central, draws, proposals, rounds, rng)
        if found.khat > KHAT and method != "laplace":
            warnings.warn(
                f"forecast of {patient.subject} {target.labels[0]}: k-hat {found.khat:.2f} is above {KHAT}, so the "
                "draws may be off; take more proposals, or check the patient's records",
                stacklevel=3,
            )
        chosen = np.zeros(1, dtype=int) if method == "map" else found.draws(draws, rng)
        posterior = _Labelled(whole, found.which[chosen], found.z[chosen])
        said = {"method": method, "flatten": flatten, "half_life": half_life, "drift": drift}
        return self._tree(patient, said, prior, posterior, found, rng)

    def _tree(self, patient, said, prior, posterior, found, rng):
        design, model, n = posterior.target.reported, self.model, len(posterior.which)
        sigma = posterior.population.sigma
        groups = {"posterior": posterior.dataset()}
        groups |= prediction.observe(model, design, posterior.f, sigma, (1, n), rng)
        groups["prior"] = prior.dataset()
        report = said | {
            "effective_sample_size": found.size if said["method"] != "map" else 1.0, "khat": found.khat,
            "log_evidence": found.log_evidence,
        }  # fmt: skip
        report |= _distance(posterior, found) | {"prior_p": _surprise(prior, rng)}
        if report["prior_p"] is not None and report["prior_p"] < SURPRISING:
            warnings.warn(
                f"forecast of {patient.subject} {posterior.target.labels[0]}: {RARE} "
                f"(prior predictive p {report['prior_p']:.2g}); check the records, or try another one",
                stacklevel=4,
            )
        tree = storage.attached(groups, model, patient, self.data)
        tree.attrs |= {key: value for key, value in self.tree.attrs.items() if key == ABOUT}
        tree.attrs[REPORT] = json.dumps(report)
        return tree


@dataclass(frozen=True, eq=False)
class _Labelled:
    """Draws of a target with what follows from them."""

    target: Target
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
        phi, f, _ = evaluator(self.target.model, self.target.reported)(self.population.theta, self.eta)
        return phi, f

    @property
    def f(self):
        return self._evaluated[1]

    def dataset(self):
        """The group of these draws."""
        sizes = 1, len(self.which)
        population = replace(self.population, drift=self.target.drift)
        return prediction.labelled(self.target.reported, population, self.eta, *self._evaluated, sizes)


def _prior(target, n, rng):
    """Draws before the samples; populations are as often as each other."""
    which = np.resize(rng.permutation(target.population.size), n)
    return _Labelled(target, which, rng.standard_normal((n, target.size)))


def _weights(design, half_life):
    """Weight of each record's log-density, by outcome."""
    if half_life is None:
        return {}
    times = {o.name: o.inputs["time"] for o in design.outcomes if "time" in o.inputs}
    if not half_life > 0 or not times:
        raise ModelError(f"forecast: half_life={half_life} must be positive, and the samples must have times")
    last = max(
        t[np.isfinite(o.values)].max(initial=-np.inf) for o, t in zip(design.outcomes, times.values(), strict=True)
    )
    return {name: 0.5 ** (np.maximum(last - t, 0.0) / half_life) for name, t in times.items()}


def _of_outcomes(population, design):
    names = [o.name for o in design.outcomes]
    return replace(population, sigma={k: v for k, v in population.sigma.items() if k in names})


def _drawn(method, target, central, draws, proposals, rounds, rng):
    """The target that a method draws from, and its `Particles`."""
    if method == "map":
        best = modes(central)
        mass = float(np.logaddexp.reduce(best.mass))
        return central, Particles(np.zeros(1, dtype=int), best.z[:1], np.ones(1), 0.0, mass)
    if method == "laplace":
        return target, particles.laplace(target, central, draws, rng)
    found = particles.at_modes(target, central, proposals, rng)
    enough = FEW * min(draws, particles.ENOUGH)
    if method != "nuts" and rounds and target.size and (found.khat > KHAT or found.size < enough):
        other = particles.adapted(target, draws, LATER, rounds, rng)
        found = max(found, other, key=lambda x: (x.khat < KHAT, x.size))
    if method == "nuts" and target.drift is not None:
        raise ModelError('forecast: method="nuts" takes no drift; use "importance"')
    unsure = method == "auto" and found.khat > KHAT and target.drift is None
    if target.size and (method == "nuts" or unsure):
        log.info("NUTS (k-hat of importance sampling: %.2f) compiles the model once", found.khat)
        target, chains = exact.sampled(target, draws, rng)
        return target, replace(chains, log_evidence=found.log_evidence)
    return target, found


def _distance(posterior, found):
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


def _overlap(mean, weight, values):
    """Area under the lower of the standard normal density and a normal one with the moments of the values."""
    sd = max(float(np.sqrt(max(weight @ (values - mean) ** 2, 0.0))), 1e-9)
    x = np.linspace(-8.0, 8.0, 3201)
    ours = np.exp(-0.5 * ((x - mean) / sd) ** 2) / sd
    return float(np.minimum(ours, np.exp(-0.5 * x**2)).sum() * (x[1] - x[0]) / np.sqrt(2 * np.pi))


def _surprise(prior, rng):
    """Prior predictive p-value: how often replicates of all samples lie as far out, in Mahalanobis distance of their
    normal scores. What is censored counts at its limit, and so do replicates in the same interval: they lie as far out.
    None without a sample, or with draws too few to tell."""
    target, scores = prior.target, []
    if len(prior.which) < TELLING:
        return None
    for name, seen, records, *_ in target.judged:
        f = prior.f[name][:, seen]
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
