"""`fit`: a pilot, the parametrisation that follows from it, then compiled NUTS (nutpie, Numba or JAX backend)."""

import copy
import dataclasses
import inspect
import json
from typing import Literal

import numpy as np
import nutpie
import pyarrow as pa
import pymc as pm
import xarray as xr
from arviz_stats.base import array_stats
from nutpie._lib import PyNutsSettings

from nlmebayes import (
    accuracy,
    approximation,
    compilation,
    continuation,
    parametrisation,
    prediction,
    storage,
    streaming,
)
from nlmebayes.arguments import Count, File, Seed, Share, Switch, Tree, checked
from nlmebayes.censoring import limits
from nlmebayes.data.dataset import Dataset
from nlmebayes.design import Design
from nlmebayes.errors import warn
from nlmebayes.evaluation import draws_of, evaluator
from nlmebayes.grouping import TRANSPORT
from nlmebayes.hierarchy import doubts
from nlmebayes.model import Data, Model, ModelError, assemble, designed
from nlmebayes.pilot import Pilot
from nlmebayes.recalibration import recalibrated
from nlmebayes.start import initial_points, pilot

EVEN, UNEVEN = 0.8, 0.9  # acceptance aimed at where the posterior is about normal, and elsewhere
LEARN = 200  # least warm-up whose first half the information of transported effects is learnt from
LONGEST = 0.7  # step, in SDs, of what is nearly normal: the seven of a tree then go three quarters of a period
EXACT = 1e-6  # of the range of the measurements: those that are nearer to their predictions have no scatter
FEW = 3  # measurements, of fewer of which nothing is said
SLOW = 0.5  # effective draws per draw in the warm-up below which trajectories are made longer
INFORMATION = "transport"  # group of a tree, and how the names of its arrays begin
OWN = ("save_warmup", "store_unconstrained", "return_raw_trace", "zarr_store", "seed")  # options that are set here
KINDS = ("observed", "lower", "upper")  # data of an outcome, see `censoring.register`
NUTPIE = tuple(inspect.signature(nutpie.sample).parameters)  # its arguments beside the settings of the sampler
Backend = Literal["numba", "jax"]
Approximation = Literal["map", "laplace", "pathfinder"]
Method = Literal["nuts", "map", "laplace", "pathfinder"]
UNKEPT_STATS = ("divergence_", "transformation_update")  # ragged, or text with missing values: not for NetCDF


@checked
def fit(
    model: Model, data: Data, *, draws: Count = 1000, tune: Count = 1000, chains: Count = 4, cores: Count | None = None,
    random_seed: Seed | None = None, progressbar: Switch = True, target_accept: Share | None = None,
    backend: Backend = "numba", method: Method = "nuts", resume: Tree | None = None, store: File | None = None,
    **options,
):  # fmt: skip
    """Sample the posterior of ``model`` on ``data``.

    A pilot finds where the chains start and in which parametrisation the random effects are sampled; `check` tells
    which, and why. Interrupted (Ctrl-C, the stop button), it returns the draws so far with a warning.

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
    method : {"nuts", "map", "laplace", "pathfinder"}
        All but the first are approximations, for exploration and simulation studies: the posterior mode (one draw),
        a normal law there, or Pathfinder. `check` names them as such, with the k-hat of their weights.
    resume : DataTree, optional
        A tree of the same fit: its chains go on where they ended, after another ``tune`` steps, and the new draws are
        appended.
    store : path, optional
        A new folder for the tree, in which the draws are written as they come (zarr): memory then does not grow with
        draws times subjects. The tree that is returned reads from it; so does
        ``xarray.open_datatree(store, engine="zarr", consolidated=False)``.
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
    _approximable(method, backend)
    _own(options)
    streaming.check(store, method, resume)
    if resume is not None:
        continuation.same_fit(model, data, resume)
    ready = sampler(model, data, backend=backend)
    if method != "nuts":
        return ready.approximate(method, draws=draws, paths=chains, random_seed=random_seed)
    return ready.sample(
        draws=draws, tune=tune, chains=chains, cores=cores, random_seed=random_seed, progressbar=progressbar,
        target_accept=target_accept, resume=resume, store=store, **options,
    )  # fmt: skip


@checked
def sampler(model: Model, data: Data, *, backend: Backend = "numba"):
    """Compile the model on these data; `fit` in two steps, for many fits of one design.

    ``backend="jax"`` takes curves, superposition, and differential equations (`System`), which diffrax solves; it needs
    ``pip install "nlmebayes[jax]"``. Linear compartments and steady states (SS=1) are Numba's alone.
    """
    design = designed(model, data, measured=True)
    compilation.prepare(backend, model.structure)
    storage.statement(model)  # what cannot be stored is refused before the sampling, not after
    for doubt in doubts(model, design):
        warn(doubt)
    found = pilot(model, design)  # an error here comes before the long compilation
    _check_scatter(design, found)
    design, information, chosen = parametrisation.settle(model, design, found)
    built, _ = assemble(model, design, information, fixed=True)
    compiled = compilation.compiled(built, backend, _kept(built))
    start = initial_points(built, design, found)
    arrays = information.arrays() if information else {}
    return Sampler(model, data, design, built, compiled, start, found, chosen, backend, arrays)


def _check_scatter(design, found):
    """Refuse measurements that lie on their predictions: their SD has no lower end, and the density no upper one."""
    for o in design.outcomes:
        measured = np.isfinite(o.values) & ~o.censored
        if o.nodes is not None or o.name not in found.f or measured.sum() < FEW:
            continue
        away = np.abs(o.values - found.f[o.name])[measured]
        if away.max() < EXACT * np.ptp(o.values[measured]):
            raise ModelError(
                f"{o.name}: the measurements lie on the predictions of the model, at most {away.max():.2g} away, so "
                "there is no residual scatter to estimate. Simulated data need a measurement error"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Sampler:
    """A compiled model with its data, from `sampler`."""

    model: Model
    data: Dataset
    design: Design
    built: pm.Model
    compiled: object
    start: object  # a function of a seed
    pilot: Pilot
    chosen: list  # parametrisation of each effect, and why
    backend: str
    arrays: dict  # data of the graph by name: information, and measurements where they are other ones

    def with_values(self, **measured):
        """The same for other measurements at the same records, without another compilation.

        Default priors that take their scale from the measurements stay those of the first data.
        """
        for o in self.design.outcomes:
            if o.name in measured and (o.nodes is not None or self.model.residual_of(o.name).correlated):
                raise ModelError(f"with_values: the design of {o.name} depends on its measurements; fit anew")
        data = self.data.with_values(**measured)
        outcomes = designed(self.model, data, measured=True).outcomes
        design = dataclasses.replace(self.design, outcomes=outcomes)
        given = {f"{o.name}_{kind}": x for o in design.outcomes for kind, x in zip(KINDS, _limits(o), strict=True)}
        other = dataclasses.replace(self._with_arrays(given), data=data, design=design)
        return other._piloted(pilot(self.model, design))

    def _with_arrays(self, given):
        """The same with other data in its graph; names that it does not read are passed over."""
        given = {name: x for name, x in given.items() if name in self.built.named_vars}
        return dataclasses.replace(self, compiled=self.compiled.with_data(**given), arrays=self.arrays | given)

    def _piloted(self, found):
        """The same after another pilot."""
        information = parametrisation.information(self.model, self.design, found)
        other = self._with_arrays(information.arrays()) if information else self
        return dataclasses.replace(other, pilot=found, start=initial_points(self.built, self.design, found))

    @checked
    def sample(
        self, *, draws: Count = 1000, tune: Count = 1000, chains: Count = 4, cores: Count | None = None,
        random_seed: Seed | None = None, progressbar: Switch = True, target_accept: Share | None = None,
        resume: Tree | None = None, store: File | None = None, **options,
    ):  # fmt: skip
        """The posterior, as `fit` gives it."""
        streaming.check(store, resume=resume)
        _own(options)
        rng = np.random.default_rng(random_seed)
        even = all(row["parametrisation"] == TRANSPORT for row in self.chosen)
        if self.model.structure.fallible:
            options |= {"store_divergences": True}
        options |= {"chains": chains, "cores": cores, "progress_bar": progressbar}
        options["target_accept"] = target_accept or (EVEN if even else UNEVEN)
        nuts = options.get("sampler", "nuts") == "nuts"
        if even and nuts:
            options = {"exact_normal_trajectory": True, "max_step_size": LONGEST} | options
        ready, rest = self, tune
        if resume is not None:
            ready = self._continued(resume, rng, options)
        elif tune >= LEARN and any(row["parametrisation"] == TRANSPORT for row in self.chosen):
            ready, slow = self._recalibrated(tune // 2, rng, options)
            rest = tune - tune // 2
            if slow and nuts:
                options = {"extra_doublings": 1} | options
        settings = {"method": "nuts", "tune": tune, "random_seed": random_seed, "nutpie": nutpie.__version__}
        with streaming.raw(store) as folder:
            *found, kept = _whole(*ready._run(draws, rest, rng, options | folder), draws)
            tree = ready._finished(*found, rng, settings, store)
        return tree if resume is None else continuation.appended(resume, tree, kept)

    def _run(self, draws, tune, rng, options):
        """Draws and statistics."""
        found = self._sampled(draws, tune, rng, options | {"store_unconstrained": True})
        return found["posterior"].to_dataset(), found["sample_stats"].to_dataset()

    def _sampled(self, draws, tune, rng, options):
        """What nutpie gives."""
        try:
            with compilation.quietly():
                return nutpie.sample(
                    compilation.started(self.compiled, self.backend, self.start), draws=draws, tune=tune,
                    seed=int(rng.integers(2**31)), save_warmup=False, **options,
                )  # fmt: skip
        except RuntimeError as error:
            if "initialization points" not in str(error):
                raise
            raise ModelError(
                "there is no finite log-density where the chains start: look at the priors, the units and the typical "
                "values (typical=)"
            ) from error

    def _recalibrated(self, steps, rng, options):
        """The same with information from draws of a warm-up of that many steps, in one part or two; and whether the
        last of them still hang together. Then trajectories should go on after their turn, which comes too early: the
        many effects that are independent of each other set it."""
        ready, parts = self, 1 if steps < LEARN else 2
        for _ in range(parts):
            size = steps // parts
            last = size // 4
            drawn = _unlabelled(ready._sampled(last, size - last, rng, options | {"return_raw_trace": True}), last)
            draws = draws_of(drawn, self.design, self.model, self.data.outcomes)
            ready = ready._piloted(recalibrated(self.model, self.design, ready.pilot, draws))
        return ready, _least(drawn) < SLOW

    def _continued(self, tree, rng, options):
        """The same with the information of a tree, and its chains' last points as starts.

        Chains ask for their starts in any order, each with a seed of its own, which a run of one draw tells.
        """
        continuation.same_fit(self.model, self.data, tree)
        given = {name: x.to_numpy() for name, x in tree[INFORMATION].data_vars.items()} if INFORMATION in tree else {}
        points = continuation.ends(tree, options["chains"], self.compiled.n_dim)
        seeds, following = [], iter(points)

        def listen(seed):
            seeds.append(seed)
            return next(following)

        ready = self._with_arrays(given)
        alone = {"cores": 1, "progress_bar": False, "return_raw_trace": True}  # one after the other
        dataclasses.replace(ready, start=listen)._sampled(1, 1, copy.deepcopy(rng), options | alone)
        return dataclasses.replace(ready, start=dict(zip(seeds, points, strict=True)).__getitem__)

    def _finished(self, drawn, stats, rng, settings, store):
        """The tree of a run; on disk, where ``store`` names a folder."""
        stats["position"] = stats["unconstrained_draw"].isel(draw=-1).load()
        attrs = {"nlmebayes_fit": json.dumps(settings | {"draws": stats.sizes["draw"], "chains": stats.sizes["chain"]})}
        if self.model.structure.fallible:
            with self.built:
                pm.set_data(self.arrays)
            attrs[accuracy.SOLVER] = accuracy.failures(self.built, self.design, stats)
        kept = stats.drop_vars([v for v in stats if not _lasting(stats[v])])
        information = {n: (_axes(n, x), x) for n, x in self.arrays.items() if n.startswith(INFORMATION)}
        rest = {"sample_stats": kept} | ({INFORMATION: xr.Dataset(information)} if information else {})
        if store is None:
            return self._tree(self._groups(drawn, rng) | rest, attrs)
        blocks = streaming.blocks(drawn, self.design)
        return streaming.written(store, (self._groups(block, rng) for block in blocks), rest, self._tree, attrs)

    @checked
    def approximate(
        self, method: Approximation, *, draws: Count = 1000, paths: Count = 4, random_seed: Seed | None = None
    ):
        """An approximation of the posterior, as `fit` gives it: ``method`` is "map", "laplace" or "pathfinder"."""
        _approximable(method, self.backend)
        rng = np.random.default_rng(random_seed)
        starts = [self.start(int(rng.integers(2**31))) for _ in range(paths)]
        found = approximation.found(compilation.density(self.compiled), starts, method, draws, rng)
        values = compilation.expanded(self.compiled, found.draws)
        dims = self.built.named_vars_to_dims
        named = {name: (values[name], tuple(dims.get(name, ()))) for name in _kept(self.built)}
        coords = {name: list(labels) for name, labels in self.built.coords.items() if labels is not None}
        drawn = prediction.with_chains(named, coords, (1, len(found.draws)))
        settings = {"method": method, "draws": len(found.draws), "random_seed": random_seed, "height": found.height}
        settings["khat"] = None if method == "map" else found.khat
        return self._tree(self._groups(drawn, rng), {"nlmebayes_fit": json.dumps(settings)})

    def _groups(self, drawn, rng):
        """Population draws with what follows from them, by group."""
        model, data, design = self.model, self.data, self.design
        sizes = drawn.sizes["chain"], drawn.sizes["draw"]
        population = draws_of(drawn, design, model, data.outcomes)
        phi, f, _ = evaluator(model, design)(population.theta, population.eta)
        groups = {"posterior": prediction.labelled(design, population, population.eta, phi, f, sizes)}
        return groups | prediction.observe(model, design, f, population.sigma, sizes, rng)

    def _tree(self, groups, attrs):
        """A tree of groups with what it must carry."""
        tree = storage.attach(prediction.as_tree(groups), self.model, self.data)
        own = {"nlmebayes_parametrisation": self.chosen, "nlmebayes_pilot": self.pilot.summary()}
        tree.attrs |= attrs | {name: json.dumps(value) for name, value in own.items()}
        return tree


def _approximable(method, backend):
    if method != "nuts" and backend != "numba":
        raise ModelError(f'method={method!r} takes backend="numba"')


def _own(options):
    """Refuse options that nutpie does not have, or has for other values, and those that are not the user's."""
    for name in OWN:
        if name in options:
            raise ModelError(f"{name}= is set by fit; leave it out")
    settings = PyNutsSettings.Diag(0)
    for name, value in options.items():
        if name in NUTPIE:
            continue
        try:
            settings.update({name: value})
        except AttributeError:
            known = ", ".join(name for name in inspect.signature(fit).parameters if name != "options")
            raise ModelError(f"fit: no argument {name!r}; its arguments are {known}, and options of nutpie") from None
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"fit: nutpie does not take {name}={value!r}: {error}; give another value") from None


def _whole(drawn, stats, draws):
    """Draws and statistics of chains that were interrupted, cut where the chains that got furthest are complete; and
    which chains these are."""
    done = np.isfinite(stats["logp"].to_numpy()).sum(axis=1)
    if done.min() == draws:
        return drawn, stats, np.arange(len(done))
    if done.max() == 0:
        raise KeyboardInterrupt("interrupted in the warm-up, before the first draw")
    kept = np.flatnonzero(done >= done.max() / 2)
    n = int(done[kept].min())
    warn(f"interrupted: {n} draws of each of {len(kept)} chains are kept, of {draws} of {len(done)}")
    cut = (x.isel(chain=kept, draw=slice(n)).assign_coords(chain=np.arange(len(kept))) for x in (drawn, stats))
    return *cut, kept


def _unlabelled(trace, draws):
    """The last draws of a raw trace as a Dataset without labels, which take longer to make than a warm-up."""
    chains = [{name: batch.column(name) for name in batch.column_names} for batch in trace.get_arrow_trace()[0]]
    if min(len(column) for chain in chains for column in chain.values()) < draws:
        raise KeyboardInterrupt("interrupted in the warm-up, before the first draw")
    found = {}
    for name, column in chains[0].items():
        about = {key.decode(): value.decode() for key, value in column.field.metadata.items()}
        shape = [int(n) for n in about["shape"].split(",")] if about.get("shape") else []
        dims = about["dims"].split(",") if about.get("dims") else [f"{name}_{i}" for i in range(len(shape))]
        each = [np.asarray(pa.array(chain[name]).flatten() if shape else chain[name]) for chain in chains]
        found[name] = ("chain", "draw", *dims), np.stack([x.reshape(-1, *shape)[-draws:] for x in each])
    return xr.Dataset(found)


def _least(drawn):
    """The least number of effective draws per draw, over all population variables."""
    population = [x.to_numpy() for name, x in drawn.items() if name.startswith(("theta_", "omega_", "sigma_"))]
    every = np.concatenate([x.reshape(*x.shape[:2], -1) for x in population], axis=2)
    return min(float(array_stats.ess(every[..., i])) for i in range(every.shape[2])) / every[..., 0].size


def _lasting(statistic):
    """Whether a statistic is kept: one of each draw, or the position of each chain."""
    ragged = {"divergence", "transformation_update"} & set(statistic.dims)
    wide = {"draw", "unconstrained_parameter"} <= set(statistic.dims)
    return not (ragged or wide or statistic.name.startswith(UNKEPT_STATS))


def _axes(name, values):
    return tuple(f"{name}_{i}" for i in range(values.ndim))


def _limits(observed):
    return limits(observed.values, observed.lower, observed.upper)


def _kept(built):
    """What the sampler stores; individual parameters and predictions follow from it."""
    return [v for v in built.named_vars if v.startswith(("theta_", "omega_", "corr_", "sigma_", "eta_"))]
