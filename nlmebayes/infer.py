"""`fit`: starts from a quick fit of typical values, then compiled NUTS (nutpie, Numba or JAX backend)."""

import dataclasses
import json
import logging

import numpy as np
import nutpie
import pymc as pm
from scipy import optimize

from nlmebayes import accuracy, compilation, prediction, storage
from nlmebayes.censoring import limits
from nlmebayes.data.dataset import Dataset
from nlmebayes.design import resolve
from nlmebayes.evaluation import UNCOMPILED, draws_of, evaluator, improper
from nlmebayes.model import Model, ModelError, assemble, designed

log = logging.getLogger("nlmebayes")

KINDS = ("observed", "lower", "upper")  # data of an outcome, see `censoring.register`
UNKEPT_STATS = ("divergence_",)  # where, and messages: ragged, or text with missing values, which NetCDF cannot hold


def fit(
    model: Model, data, *, draws=1000, tune=1000, chains=4, cores=None, random_seed=None, progressbar=True,
    target_accept=0.9, backend="numba", **options,
):  # fmt: skip
    """Sample the posterior of ``model`` on ``data``.

    Parameters
    ----------
    draws, tune, chains, cores : int
        Kept draws and warm-up per chain; number of chains, and how many run at once (by default all cores).
    random_seed : int, optional
        The same seed on the same machine and versions gives the same draws.
    progressbar : bool
    target_accept : float
        Raise it towards 1 when `check` reports divergences.
    backend : {"numba", "jax"}
        What compiles the log-density; "jax" is for accelerators, see `sampler`.
    **options
        Passed on to ``nutpie.sample``.

    Returns
    -------
    DataTree
        Groups ``posterior``, ``sample_stats``, ``posterior_predictive``, ``log_likelihood``, ``observed_data``,
        ``constant_data``, and ``dataset`` with what prediction needs in another process. Save it with
        ``tree.to_netcdf(path)``, reload it with ``xarray.open_datatree(path)``.

    Raises
    ------
    FormulaError, DataError, ModelError
        Before anything is sampled.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> model = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Combined())
    >>> tree = nb.fit(model, nb.datasets.theophylline(), random_seed=1)  # doctest: +SKIP
    """
    return sampler(model, data, backend=backend).sample(
        draws=draws, tune=tune, chains=chains, cores=cores, random_seed=random_seed, progressbar=progressbar,
        target_accept=target_accept, **options,
    )  # fmt: skip


def sampler(model: Model, data, *, backend="numba"):
    """Compile the model on these data; `fit` in two steps, for many fits of one design.

    ``backend="jax"`` takes curves, superposition, and differential equations (`System`), which diffrax solves; it needs
    ``pip install "nlmebayes[jax]"``. Linear compartments and steady states (SS=1) are Numba's alone.
    """
    compilation.prepare(backend, model.structure)
    design = designed(model, data, measured=True)
    storage.statement(model)  # what cannot be stored is refused before the sampling, not after
    built, _ = assemble(model, design)
    start = typical_start(model, design)  # an error here comes before the long compilation
    compiled = compilation.compiled(built, backend, _kept(built))
    return Sampler(model, data, built, compiled, start, backend)


@dataclasses.dataclass(frozen=True, eq=False)
class Sampler:
    """A compiled model with its data, from `sampler`."""

    model: Model
    data: Dataset
    built: pm.Model
    compiled: object
    start: dict
    backend: str = "numba"

    def with_values(self, **measured):
        """The same for other measurements at the same records, without another compilation.

        Default priors that take their scale from the measurements stay those of the first data.
        """
        data = self.data.with_values(**measured)
        design = resolve(self.model, data)
        start = typical_start(self.model, design)
        given = {f"{o.name}_{kind}": x for o in design.outcomes for kind, x in zip(KINDS, _limits(o), strict=True)}
        compiled = self.compiled.with_data(**{name: x for name, x in given.items() if name in self.built.named_vars})
        return dataclasses.replace(self, data=data, compiled=compiled, start=start)

    def sample(
        self, *, draws=1000, tune=1000, chains=4, cores=None, random_seed=None, progressbar=True, target_accept=0.9,
        **options,
    ):  # fmt: skip
        """The posterior, as `fit` gives it."""
        if min(draws, tune, chains) < 1:
            raise ModelError(f"draws {draws}, tune {tune} and chains {chains} must be at least 1")
        model, data, design = self.model, self.data, resolve(self.model, self.data)
        rng = np.random.default_rng(random_seed)
        start = _scattered(self.built, self.start, rng)
        if model.structure.fallible:
            options = {"store_divergences": True} | options
        sampled = nutpie.sample(
            compilation.started(self.compiled, self.backend, start),
            draws=draws, tune=tune, chains=chains, cores=cores, seed=int(rng.integers(2**31)),
            progress_bar=progressbar, save_warmup=False, target_accept=target_accept, **options,
        )  # fmt: skip
        population = draws_of(sampled["posterior"].to_dataset(), design, model, data.outcomes)
        phi, f, _ = evaluator(model, design)(population.theta, population.eta)
        stats = sampled["sample_stats"].to_dataset()
        groups = {
            "posterior": prediction.labelled(design, population, population.eta, phi, f, (chains, draws)),
            "sample_stats": stats.drop_vars([v for v in stats if v.startswith(UNKEPT_STATS)]),
        } | prediction.observe(model, design, f, population.sigma, (chains, draws), rng)
        tree = storage.attach(prediction.as_tree(groups), model, data)
        if model.structure.fallible:
            tree.attrs["nlmebayes_solver"] = accuracy.failures(self.built, design, stats)
        settings = {"draws": draws, "tune": tune, "chains": chains, "random_seed": random_seed}
        tree.attrs["nlmebayes_fit"] = json.dumps(settings | {"nutpie": nutpie.__version__})
        return tree


def _limits(observed):
    return limits(observed.values, observed.lower, observed.upper)


def _kept(built):
    """What the sampler stores; individual parameters and predictions follow from it."""
    return [v for v in built.named_vars if v.startswith(("theta_", "omega_", "corr_", "sigma_", "eta_"))]


def typical_start(model: Model, design):
    """Posterior mode of the model without random effects: theta and sigma by name.

    A poor estimate of the population, but a start on the right side of every ridge. The search runs on the
    unconstrained scale in units of the prior SDs.

    Raises
    ------
    ModelError
        The measurements have no density at the declared typical values; names the records.
    """
    priors = {k: v for k, v in model.priors.items() if k.startswith(("theta_", "sigma_"))}
    pooled, _ = assemble(_with_priors(model, priors), dataclasses.replace(design, levels=()))
    if not pooled.free_RVs:
        return {}
    scale = _spreads(pooled, np.random.default_rng(0))
    objective = pooled.logp_dlogp_function(ravel_inputs=True, mode=UNCOMPILED)
    objective.set_extra_values({})
    point = pooled.initial_point(random_seed=0)
    origin = pm.blocking.DictToArrayBijection.map({v.name: point[v.name] for v in pooled.value_vars})

    def negative(step):
        value, gradient = objective(pm.blocking.RaveledVars(origin.data + scale * step, origin.point_map_info))
        finite = np.isfinite(value) and np.isfinite(gradient).all()
        return (-value, -gradient * scale) if finite else (1e300, np.zeros_like(step))

    if not np.isfinite(objective(origin)[0]):
        _explain(model, pooled, point)
    best = optimize.minimize(
        negative, np.zeros_like(origin.data), jac=True, method="L-BFGS-B", options={"maxiter": 500}
    )
    values = pm.blocking.DictToArrayBijection.rmap(
        pm.blocking.RaveledVars(origin.data + scale * best.x, origin.point_map_info)
    )
    log.info("start: pooled fit, log-density %.2f after %d steps", -best.fun, best.nit)
    return _natural(pooled, values)


def _with_priors(model, priors):
    return Model(
        model.structure, *model.formulas, residual=model.residual, priors=priors, inputs=model.inputs,
        parametrisation=model.parametrisation, typical=model.typical,
    )  # fmt: skip


def _natural(built, values):
    """Free variables on their natural scale from values on the unconstrained one."""
    names = [v.name for v in built.free_RVs]
    backward = built.compile_fn(built.replace_rvs_by_values(built.free_RVs), inputs=built.value_vars, mode=UNCOMPILED)
    return dict(zip(names, backward(values), strict=True))


def _spreads(built, rng):
    """Prior SD of each free coordinate; 1 for the transformed, the standardised and the improper ones."""
    free = [v for v in built.free_RVs if v.name.startswith("theta_") and not improper(v)]
    drawn = pm.draw(free, draws=200, random_seed=int(rng.integers(2**31)), mode=UNCOMPILED) if free else []
    spread = {v.name: np.std(x, axis=0) for v, x in zip(free, drawn, strict=True)}
    point = built.initial_point(random_seed=0)
    sizes = [(rv.name, point[built.rvs_to_values[rv].name]) for rv in built.free_RVs]
    return np.concatenate([np.ravel(spread.get(name, np.ones_like(value, dtype=float))) for name, value in sizes])


def _scattered(built, start, rng):
    """Initial points of the chains: the start, scattered by a fifth of each coordinate's scale."""
    with compilation.quietly():
        spread = _spreads(built, rng)
        point = pm.initial_point.make_initial_point_fn(
            model=built, overrides=start, jitter_rvs=set(), default_strategy="support_point", return_transformed=True
        )(None)
    centre = np.concatenate([np.ravel(point[built.rvs_to_values[rv].name]) for rv in built.free_RVs])

    def initial(seed=None):
        return centre + 0.2 * spread * np.random.default_rng(seed).uniform(-1, 1, len(centre))

    return initial


def _explain(model, built, point):
    """Raise an error that names the records, or the variable, without a density at the start."""
    for outcome in built.observed_RVs:
        terms = built.compile_fn(built.logp(vars=outcome, sum=False), mode=UNCOMPILED)(point)[0]
        f = built.compile_fn(
            built.replace_rvs_by_values([built[f"f_{outcome.name}"]]), inputs=built.value_vars, mode=UNCOMPILED,
            on_unused_input="ignore",
        )(point)[0]  # fmt: skip
        bad = np.flatnonzero(~np.isfinite(terms) | np.isnan(f))
        if bad.size:
            rows = np.asarray(built.coords[f"{outcome.name}_obs"])[bad]
            raise ModelError(
                f"{bad.size} values of {outcome.name} have no density at the typical values, first row {rows[0]}, "
                f"where the prediction is {f[bad[0]]:g}: {model.residual_of(outcome.name)} has no scatter there, or "
                "the prediction is not finite. Use a residual with an additive part, such as Combined(), state other "
                "typical values, or leave these records out"
            )
    raise ModelError("the log-density is not finite at the typical values; check the priors")
