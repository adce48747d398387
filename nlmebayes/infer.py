"""`fit`: a pilot, the parametrisation that follows from it, then compiled NUTS (nutpie, Numba or JAX backend)."""

import dataclasses
import json

import numpy as np
import nutpie
import pymc as pm

from nlmebayes import accuracy, compilation, parametrisation, prediction, storage
from nlmebayes.censoring import limits
from nlmebayes.data.dataset import Dataset
from nlmebayes.design import Design, resolve
from nlmebayes.evaluation import draws_of, evaluator
from nlmebayes.grouping import TRANSPORT
from nlmebayes.model import Model, ModelError, assemble, designed
from nlmebayes.start import initial_points, pilot

EVEN, UNEVEN = 0.8, 0.9  # acceptance aimed at where the posterior is about normal, and elsewhere
KINDS = ("observed", "lower", "upper")  # data of an outcome, see `censoring.register`
UNKEPT_STATS = ("divergence_",)  # where, and messages: ragged, or text with missing values, which NetCDF cannot hold


def fit(
    model: Model, data, *, draws=1000, tune=1000, chains=4, cores=None, random_seed=None, progressbar=True,
    target_accept=None, backend="numba", **options,
):  # fmt: skip
    """Sample the posterior of ``model`` on ``data``.

    A pilot finds where the chains start and in which parametrisation the random effects are sampled; `check` tells
    which, and why.

    Parameters
    ----------
    draws, tune, chains, cores : int
        Kept draws and warm-up per chain; number of chains, and how many run at once (by default all cores).
    random_seed : int, optional
        The same seed on the same machine and versions gives the same draws.
    progressbar : bool
    target_accept : float, optional
        By default 0.8 where all random effects are transported, 0.9 elsewhere. Raise it towards 1 when `check` reports
        divergences.
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
    design = designed(model, data, measured=True)
    compilation.prepare(backend, model.structure)
    storage.statement(model)  # what cannot be stored is refused before the sampling, not after
    found = pilot(model, design)  # an error here comes before the long compilation
    design, information, chosen = parametrisation.settle(model, design, found)
    built, _ = assemble(model, design, information, fixed=True)
    compiled = compilation.compiled(built, backend, _kept(built))
    start = initial_points(built, design, found)
    return Sampler(model, data, design, built, compiled, start, found.summary(), chosen, backend)


@dataclasses.dataclass(frozen=True, eq=False)
class Sampler:
    """A compiled model with its data, from `sampler`."""

    model: Model
    data: Dataset
    design: Design
    built: pm.Model
    compiled: object
    start: object  # a function of a seed
    pilot: dict  # its estimates by variable
    chosen: list  # parametrisation of each effect, and why
    backend: str = "numba"

    def with_values(self, **measured):
        """The same for other measurements at the same records, without another compilation.

        Default priors that take their scale from the measurements stay those of the first data.
        """
        data = self.data.with_values(**measured)
        design = dataclasses.replace(self.design, outcomes=resolve(self.model, data).outcomes)
        found = pilot(self.model, design)
        information = parametrisation.information(self.model, design, found)
        given = {f"{o.name}_{kind}": x for o in design.outcomes for kind, x in zip(KINDS, _limits(o), strict=True)}
        given |= information.arrays() if information else {}
        compiled = self.compiled.with_data(**{name: x for name, x in given.items() if name in self.built.named_vars})
        start = initial_points(self.built, design, found)
        return dataclasses.replace(
            self, data=data, design=design, compiled=compiled, start=start, pilot=found.summary()
        )

    def sample(
        self, *, draws=1000, tune=1000, chains=4, cores=None, random_seed=None, progressbar=True, target_accept=None,
        **options,
    ):  # fmt: skip
        """The posterior, as `fit` gives it."""
        if min(draws, tune, chains) < 1:
            raise ModelError(f"draws {draws}, tune {tune} and chains {chains} must be at least 1")
        model, data, design = self.model, self.data, self.design
        rng = np.random.default_rng(random_seed)
        if target_accept is None:
            target_accept = EVEN if all(row["parametrisation"] == TRANSPORT for row in self.chosen) else UNEVEN
        if model.structure.fallible:
            options = {"store_divergences": True} | options
        sampled = nutpie.sample(
            compilation.started(self.compiled, self.backend, self.start),
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
        tree.attrs["nlmebayes_parametrisation"] = json.dumps(self.chosen)
        tree.attrs["nlmebayes_pilot"] = json.dumps(self.pilot)
        tree.attrs["nlmebayes_fit"] = json.dumps(settings | {"nutpie": nutpie.__version__})
        return tree


def _limits(observed):
    return limits(observed.values, observed.lower, observed.upper)


def _kept(built):
    """What the sampler stores; individual parameters and predictions follow from it."""
    return [v for v in built.named_vars if v.startswith(("theta_", "omega_", "corr_", "sigma_", "eta_"))]
