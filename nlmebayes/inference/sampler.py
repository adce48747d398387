"""`sampler`: a model compiled on data, to be drawn from again and again."""

import copy
import dataclasses
import itertools
import json
import math
from contextlib import contextmanager
from functools import partial
from typing import Literal

import numpy as np
import pymc as pm
import xarray as xr

from nlmebayes.arguments import Count, File, Seed, Share, Switch, Tree, checked
from nlmebayes.data.dataset import Dataset
from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation import prediction, storage
from nlmebayes.evaluation.evaluator import draws_of, evaluator
from nlmebayes.formula.design import Design
from nlmebayes.formula.grouping import TRANSPORT
from nlmebayes.inference import accuracy, approximation, compilation, parametrisation, resuming, streaming, trace
from nlmebayes.inference import chains as elsewhere
from nlmebayes.inference.methods import Backend, check_approximable
from nlmebayes.inference.nuts import nutpie
from nlmebayes.inference.parting import unparted
from nlmebayes.inference.pilot import Pilot
from nlmebayes.inference.recalibration import recalibrated
from nlmebayes.inference.starts import check_scatter, initial_points, pilot
from nlmebayes.model.build import assemble, designed
from nlmebayes.model.hierarchy import doubts
from nlmebayes.model.model import Data, Model
from nlmebayes.outcomes.censoring import limits
from nlmebayes.runtime.garbage import collected_seldom
from nlmebayes.runtime.spread import Client, Work
from nlmebayes.runtime.threads import in_turns

EVEN, UNEVEN = 0.8, 0.9  # acceptance aimed at where the posterior is about normal, and elsewhere
HIGHER = (0.95, 0.99)  # where draws diverge at that
DIVERGED = 0.0005  # share of the draws that may, before all are drawn anew
TELLING = 400  # draws from which on it is looked at
LEARN = 200  # least warm-up whose first half the information of transported effects is learnt from
LONGEST = 0.7  # step, in SDs, of what is nearly normal: the seven of a tree then go three quarters of a period
SLOW = 0.5  # effective draws per draw in the warm-up below which trajectories are made longer
INFORMATION = "transport"  # group of a tree, and how the names of its arrays begin
KINDS = (  # options of nutpie that say how a chain uses its random numbers
    "sampler", "adaptation", "low_rank_modified_mass_matrix", "transform_adapt", "use_grad_based_mass_matrix",
)  # fmt: skip
MEASURED = ("observed", "lower", "upper")  # data of an outcome, see `censoring.register`
Approximation = Literal["map", "laplace", "pathfinder"]


@checked
@in_turns
@collected_seldom
def sampler(model: Model, data: Data, *, backend: Backend = "numba") -> "Sampler":
    """Compile the model on these data; `fit` in two steps, for many fits of one design.

    ``backend="jax"`` takes curves, superposition, and differential equations (`System`), which diffrax solves; it needs
    ``pip install "nlmebayes[jax]"``. Linear compartments and steady states (SS=1) are Numba's alone.

    Parameters
    ----------
    model : Model
    data : Dataset
    backend : {"numba", "jax"}
        What compiles the log-density.

    Returns
    -------
    Sampler
        ``sampler.sample(draws=..., tune=..., chains=...)`` gives a tree; ``sampler.with_values(...)`` is the same for
        other measurements at the same records.

    Raises
    ------
    FormulaError, DataError, ModelError
        As `fit`; a structure that the backend does not take.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import LinearMixed
    >>> ready = nb.sampler(nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)"), nb.datasets.dyestuff())
    >>> tree = ready.sample(draws=50, tune=100, chains=1, random_seed=1, progressbar=False)
    >>> tree["posterior"].sizes["draw"]
    50
    """
    design = designed(model, data, measured=True)
    compilation.prepare(backend, model.structure)
    storage.statement(model)  # what cannot be stored is refused before the sampling, not after
    for doubt in doubts(model, design):
        warn(doubt)
    found = pilot(model, design)  # an error here comes before the long compilation
    check_scatter(design, found)
    for doubt in unparted(model, data, design, found.theta, found.sigma):
        warn(doubt)
    return _compiled(model, data, backend, found, design)


@in_turns
@collected_seldom
def _compiled(model, data, backend, found, design=None):
    """The `Sampler` that follows from a pilot."""
    if design is None:  # in another process
        design = designed(model, data, measured=True)
        compilation.prepare(backend, model.structure)
    design, information, chosen = parametrisation.settle(model, design, found)
    built, variables = assemble(model, design, information, fixed=True)
    compiled = compilation.compiled(built, backend, _kept(built))
    start = initial_points(built, design, found)
    arrays, origin = information.arrays() if information else {}, (model, data, backend, found)
    return Sampler(model, data, design, built, compiled, start, found, chosen, backend, arrays, variables.laws, origin)


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
    laws: list  # priors
    origin: tuple  # what another process makes the same from
    client: object = None  # of dask, whose workers draw the chains

    @in_turns
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
        given = {f"{o.name}_{kind}": x for o in design.outcomes for kind, x in zip(MEASURED, _limits(o), strict=True)}
        other = dataclasses.replace(self.with_arrays(given), data=data, design=design)
        return other._piloted(pilot(self.model, design))

    def with_arrays(self, given):
        """The same with other data in its graph; names that it does not read are passed over."""
        given = {name: x for name, x in given.items() if name in self.built.named_vars}
        return dataclasses.replace(self, compiled=self.compiled.with_data(**given), arrays=self.arrays | given)

    @in_turns
    @collected_seldom
    def _piloted(self, found):
        """The same after another pilot."""
        information = parametrisation.information(self.model, self.design, found)
        other = self.with_arrays(information.arrays()) if information else self
        return dataclasses.replace(other, pilot=found, start=initial_points(self.built, self.design, found))

    @checked
    def sample(
        self, *, draws: Count = 1000, tune: Count = 1000, chains: Count = 4, cores: Count | None = None,
        random_seed: Seed | None = None, progressbar: Switch = True, target_accept: Share | None = None,
        resume: Tree | Switch | None = None, store: File | None = None, client: Client | None = None, **options,
    ):  # fmt: skip
        """The posterior, as `fit` gives it."""
        self = dataclasses.replace(self, client=client)
        streaming.check(store, resume=resume)
        compilation.check_options(options, Sampler.sample)
        rng = np.random.default_rng(random_seed)
        even = bool(self.chosen) and all(row["parametrisation"] == TRANSPORT for row in self.chosen)
        if self.model.structure.fallible:
            options |= {"store_divergences": True}
        options |= {"chains": chains, "cores": cores, "progress_bar": progressbar}
        options["target_accept"] = (target_accept,) if target_accept else (EVEN if even else UNEVEN, *HIGHER)
        if even and options.get("sampler", "nuts") == "nuts":
            options = {"exact_normal_trajectory": True, "max_step_size": LONGEST} | options
        settings = {"method": "nuts", "tune": tune, "random_seed": random_seed, "nutpie": nutpie.__version__}
        if store is not None:
            with streaming.room(store) as folder:
                return self._streamed(store, folder, draws, tune, rng, options, settings)
        ready, rest, options = self._prepared(resume, tune, rng, options)
        drawn, accept = ready._sampled(draws, rest, rng, options | {"store_unconstrained": True})
        *found, kept = trace.whole(drawn["posterior"].to_dataset(), drawn["sample_stats"].to_dataset(), draws)
        tree = ready._finished(*found, rng, settings | {"target_accept": accept})
        return tree if resume is None else resuming.appended(resume, tree, kept)

    def _prepared(self, resume, tune, rng, options):
        """The same with the information that its draws are made under, the warm-up that is left, and the options."""
        if resume is not None:
            return self._continued(resume, rng, options), tune, options
        if tune < LEARN or all(row["parametrisation"] != TRANSPORT for row in self.chosen):
            return self, tune, options
        ready, slow = self._recalibrated(tune // 2, rng, options)
        if slow and options.get("sampler", "nuts") == "nuts":
            options = {"extra_doublings": 1} | options
        return ready, tune - tune // 2, options

    def _streamed(self, store, folder, draws, tune, rng, options, settings):
        """The tree on disk; what is in the folder of its draws already is gone on from."""
        before, size = streaming.about(folder), options["chains"]
        if before is None:
            ready, tune, options = self._prepared(None, tune, rng, options)
            streaming.begin(folder, ready._tree({INFORMATION: ready._information()}, {}))
        else:
            resuming.same_fit(self.model, self.data, before)
            ready, rng = self.with_arrays(_informed(before)), rng.spawn(1 + streaming.times(folder))[-1]
        held = streaming.held(folder, size)
        numbers = [i for i, chain in enumerate(held) if chain.size < draws]
        if numbers:
            options |= {"chains": len(numbers), "store_unconstrained": True}
            if before is not None:
                ready = ready._starting([held[i].end for i in numbers], rng, options)
            left = draws - min(held[i].size for i in numbers)
            segments = streaming.segments if self.client is None else streaming.apart
            _, accept = ready._sampled(left, tune, rng, options, segments(folder, numbers))
            held, settings = streaming.held(folder, size), settings | {"target_accept": accept}
        n, kept = trace.complete(np.minimum([chain.size for chain in held], draws), draws)
        return ready._finished_on_disk([held[i] for i in kept], n, store, rng, settings)

    def _sampled(self, draws, tune, rng, options, places=None):
        """What nutpie gives, and the acceptance: the first of the ones to aim at with which few draws diverge.

        ``places``: an iterator of options that say where the draws go, anew for each time.
        """
        size = draws * options["chains"]
        most, accepts = math.ceil(DIVERGED * size), options["target_accept"][: None if size >= TELLING else 1]
        for accept, higher in itertools.zip_longest(accepts, accepts[1:]):
            given = options | (next(places) if places else {}) | {"target_accept": accept}
            found = self._drawn(draws, tune, rng, given, None if higher is None else most)
            if found is not None:
                return found, accept
            warn(f"more than {most} of {size} draws diverged at target_accept={accept}: all are drawn anew at {higher}")

    def _drawn(self, draws, tune, rng, options, most=None):
        options = options | {
            "draws": draws, "tune": tune, "seed": int(rng.integers(2**31)), "save_warmup": False
        }  # fmt: skip
        with _explained():
            if self.client is not None:
                work = Work(_compiled, self.origin, elsewhere.drawn)
                return compilation.judged(elsewhere.sampled(self, work, self.client, **options), most)
            started = compilation.started(self.compiled, self.backend, self.start)
            found = compilation.sampled(started, most, **options)
            return trace.unlabelled(found.get_arrow_trace()[0], draws) if "return_raw_trace" in options else found

    def _recalibrated(self, steps, rng, options):
        """The same with information from draws of a warm-up of that many steps, in one part or two; and whether the
        last of them still hang together. Then trajectories should go on after their turn, which comes too early: the
        many effects that are independent of each other set it."""
        ready, parts = self, 1 if steps < LEARN else 2
        for _ in range(parts):
            size = steps // parts
            last = size // 4
            drawn = ready._drawn(last, size - last, rng, _once(options))
            draws = draws_of(drawn, self.design, self.model, self.data.outcomes)
            ready = ready._piloted(recalibrated(self.model, self.design, ready.pilot, draws))
        return ready, trace.least(drawn) < SLOW

    def _continued(self, tree, rng, options):
        """The same with the information of a tree, and its chains' last points as starts."""
        resuming.same_fit(self.model, self.data, tree)
        points = resuming.ends(tree, options["chains"], self.compiled.n_dim)
        return self.with_arrays(_informed(tree))._starting(points, rng, options)

    def _starting(self, points, rng, options):
        """The same with a start for each chain; None is one of the pilot's.

        Chains ask for their starts in any order, each with a seed of its own.
        """
        usual, seed = self.start, int(copy.deepcopy(rng).integers(2**31))
        starts = dict(zip(self.asked(seed, options), points, strict=True))

        def start(seed):
            point = starts.get(seed)
            return usual(seed) if point is None else point

        return dataclasses.replace(self, start=start)

    def asked(self, seed, options):
        """The seed with which each chain of a run first asks for its start.

        A run of one draw tells, with one chain after the other; all start where another one ended, so that none has
        to ask twice.
        """
        given = {name: options[name] for name in KINDS if name in options}
        given |= {"seed": seed, "draws": 1, "tune": 1, "cores": 1, "progress_bar": False}
        if options.get("sampler", "nuts") == "nuts":
            given["maxdepth"] = 1
        seeds, model = [], partial(compilation.started, self.compiled, self.backend)
        with _explained():
            one = compilation.sampled(model(self.start), chains=1, store_unconstrained=True, **given)
        point = one["sample_stats"]["unconstrained_draw"].to_numpy()[0, -1]

        def listen(seed):
            seeds.append(seed)
            return point

        compilation.sampled(model(listen), chains=options["chains"], return_raw_trace=True, **given)
        return tuple(seeds)

    @in_turns
    def _finished(self, drawn, stats, rng, settings):
        """The tree of a run."""
        rest, attrs = self._about(stats, stats["unconstrained_draw"].isel(draw=-1), settings)
        return self._tree(self._groups(drawn, rng) | rest, attrs)

    @in_turns
    def _finished_on_disk(self, kept, draws, store, rng, settings):
        """The tree of the chains in a folder of draws."""
        first = kept[0].pieces[0].tree["sample_stats"]
        told = ("diverging", "divergence_end") if self.model.structure.fallible else ()
        names = [v for v in first.data_vars if trace.lasting(first[v]) or v in told]
        stats = streaming.joined(kept, "sample_stats", names, 0, draws)
        ends = streaming.joined(kept, "sample_stats", ["unconstrained_draw"], draws - 1, draws)
        rest, attrs = self._about(stats, ends["unconstrained_draw"].isel(draw=0, drop=True), settings)
        blocks = streaming.blocks(kept, draws, _kept(self.built), self.design)
        groups = (self._groups(block, rng) for block in blocks)
        return streaming.written(store, groups, rest, self._tree, attrs)

    def _about(self, stats, position, settings):
        """Groups of a tree beside the draws and what follows from them, and its attributes."""
        stats["position"] = position
        attrs = {"nlmebayes_fit": json.dumps(settings | {"draws": stats.sizes["draw"], "chains": stats.sizes["chain"]})}
        if self.model.structure.fallible:
            with self.built:
                pm.set_data(self.arrays)
            attrs[accuracy.SOLVER] = accuracy.failures(self.built, self.design, stats)
        kept = stats.drop_vars([v for v in stats if not trace.lasting(stats[v])])
        information = self._information()
        return {"sample_stats": kept} | ({INFORMATION: information} if information else {}), attrs

    def _information(self):
        given = {name: x for name, x in self.arrays.items() if name.startswith(INFORMATION)}
        return xr.Dataset({n: (tuple(f"{n}_{i}" for i in range(x.ndim)), x) for n, x in given.items()})

    @checked
    @in_turns
    def approximate(
        self, method: Approximation, *, draws: Count = 1000, paths: Count = 4, random_seed: Seed | None = None
    ):
        """An approximation of the posterior, as `fit` gives it: ``method`` is "map", "laplace" or "pathfinder"."""
        check_approximable(method, self.backend)
        rng = np.random.default_rng(random_seed)
        starts = [self.start(int(rng.integers(2**31))) for _ in range(paths)]
        found = approximation.found(compilation.density(self.compiled), starts, method, draws, rng)
        values = compilation.expanded(self.compiled, found.draws)
        dims = self.built.named_vars_to_dims
        named = {name: (values[name], tuple(dims.get(name, ()))) for name in _kept(self.built)}
        coords = self.built.coords.items()
        coords = {name: xr.Coordinates({name: list(labels)}) for name, labels in coords if labels is not None}
        drawn = prediction.with_chains(named, coords, (1, len(found.draws)))
        settings = {"method": method, "draws": len(found.draws), "random_seed": random_seed}
        settings |= {"log_density": found.log_density, "khat": None if method == "map" else found.khat}
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
        tree = storage.attach(storage.as_tree(groups), self.model, self.data)
        own = {"nlmebayes_parametrisation": self.chosen, "nlmebayes_pilot": self.pilot.summary()}
        tree.attrs |= attrs | {name: json.dumps(value) for name, value in own.items()}
        tree.attrs[storage.LAWS] = storage.written_laws(self.laws)
        return tree


@contextmanager
def _explained():
    """What nutpie says of chains that find no start, in a sentence."""
    try:
        yield
    except RuntimeError as error:
        if "initialization points" not in str(error):
            raise
        raise ModelError(
            "there is no finite log-density where the chains start: look at the priors, the units and the typical "
            "values (typical=)"
        ) from error


def _once(options):
    """Those of a run whose draws are not kept."""
    return options | {"target_accept": options["target_accept"][0], "return_raw_trace": True}


def _informed(tree):
    """The information of a tree, arrays by name."""
    return {name: x.to_numpy() for name, x in tree[INFORMATION].data_vars.items()} if INFORMATION in tree else {}


def _limits(observed):
    return limits(observed.values, observed.lower, observed.upper)


def _kept(built):
    """What the sampler stores; individual parameters and predictions follow from it."""
    return [v for v in built.named_vars if v.startswith(("theta_", "omega_", "corr_", "sigma_", "eta_"))]
