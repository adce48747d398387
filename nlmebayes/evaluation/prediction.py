"""`simulate` and `predict`: arrays of draws with labels on them, as trees.

A group that the tree knows keeps its draws; a new one is drawn from the population of each draw. Predictions for new
groups do not apply the order constraints of a structure (they matter only when the population overlaps the forbidden
side).
"""

from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Literal
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from pytensor.graph.replace import clone_replace

from nlmebayes.arguments import Array, Count, Seed, Switch, Text, Tree, checked, instance
from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation import storage
from nlmebayes.evaluation.evaluator import DRIFT, Draws, draws_of, effects, evaluator, improper, no_effects
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.evaluation.frames import as_dataset
from nlmebayes.evaluation.measurement import log_density, measure
from nlmebayes.model.agreement import check_doses, check_names
from nlmebayes.model.build import assemble, coordinates, designed
from nlmebayes.model.model import Data, Model
from nlmebayes.runtime.threads import in_turns
from nlmebayes.runtime.uncompiled import UNCOMPILED

Frame = Annotated[pd.DataFrame, instance("a DataFrame with the columns of the training data", pd.DataFrame)]
Groups = Literal["all", "none"]
NONE = "none"
OF_FORMULAS = ("_term", "_effect", "_effect_other")  # ends of coordinates that most designs of a model have in common
_LABELS = WeakKeyDictionary()  # design -> its coordinates
NAMED = 5  # subjects without a prediction that are named


@checked
def predict(
    tree: Tree, data: Data | Frame | None = None, *, redraw: Switch = False, groups: Groups = "all",
    random_seed: Seed | None = None, model: Model | None = None,
) -> Tree:  # fmt: skip
    """Posterior prediction for any data.

    Parameters
    ----------
    tree : DataTree
        From `fit`, `forecast` or `population`.
    data : Dataset or DataFrame, optional
        New data (``data.over(time=...)`` for a grid); by default those that the tree was made on. A DataFrame has the
        columns of the training data, and a prediction for each of its rows: measurements in it are not read, doses are
        those that its subjects have in the training data. Units and groups
        with a label that the tree knows keep their draws; others are drawn from the population of each draw. One who
        is in another group now (a patient in another centre) is known by its label, unless that was declared within
        the group (``levels=("centre", "centre/id")``): then it is another one's.
    redraw : bool
        Draw the effects of known groups anew too: replicates of the study with other individuals, as a visual
        predictive check needs them.
    groups : {"all", "none"}
        Whether random effects are those of all groups, or zero: predictions of typical people. A DataFrame then needs
        no columns of groups.
    random_seed : int, optional
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    DataTree
        Groups ``posterior`` (with ``f_<outcome>`` and individual parameters of these data), ``posterior_predictive``
        (with residual), ``log_likelihood`` and ``observed_data`` (of outcomes whose every record is measured),
        ``constant_data``. Predictions that there are none of, where a differential equation has no solution, are
        missing; a warning says how many, of whom and from when.

    Raises
    ------
    ModelError
        The tree was made with another model.
    DataError, FormulaError
        The data lack what the model reads.

    Examples
    --------
    What is expected of two people, an hour and a day after the dose:

    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> model = nb.Model(OneCompartment("first-order"), residual=nb.Combined())
    >>> data = nb.datasets.theophylline()
    >>> tree = nb.fit(model, data, method="ml")
    >>> later = nb.predict(tree, data.sel(id=["1", "2"]).over(time=[1, 24]))
    >>> later["posterior"]["f_conc"].to_numpy().round(1).tolist()
    [[[8.3, 2.9, 8.0, 0.9]]]

    Typical trees, by rows of a table:

    >>> line = nb.Model(nb.curve("a + b * age", a=nb.Parameter("a", "mm", 10.0), b=0.1))
    >>> tree = nb.fit(line, nb.datasets.orange(), method="ml")
    >>> typical = nb.predict(tree, pd.DataFrame({"age": [500, 1000]}), groups="none")
    >>> typical["posterior"]["f_circumference"].to_numpy().round(0).tolist()
    [[[70.0, 122.0]]]
    """
    known = fitted(tree, model)
    if redraw and groups == NONE:
        raise ModelError("predict: groups='none' has no effects that could be drawn anew; leave redraw=True out")
    if isinstance(data, pd.DataFrame):
        data = as_dataset(known, data, alone=groups == NONE)
    return predicted(known, data, redraw=redraw, typical=groups == NONE, random_seed=random_seed)


def predicted(known, data=None, *, redraw=False, typical=False, random_seed=None):
    """`predict` of a tree that was read, a `Fitted`."""
    data = known.data if data is None else known.completed(data)
    design, draws = known.design(data), known.draws_of(data.outcomes)
    check_names(known.model, design)
    if known.report is None:
        check_doses(known.model, design)
    if draws.drift:
        _same_patient(data, known.data, draws.drift)
    sizes = known.posterior.sizes["chain"], known.posterior.sizes["draw"]
    rng = np.random.default_rng(random_seed)
    if typical:
        eta = no_effects(design, draws)
    else:
        eta = effects(design, replace(draws, eta={}, groups={}) if redraw else draws, rng)
    phi, f, _ = evaluator(known.model, design)(draws.theta, eta)
    for line in unsolved(design, f):
        warn(f"predict: {line}")
    posterior = labelled(design, draws, eta, phi, f, sizes)
    past = {} if redraw or typical else _past(known, draws, data, f)
    groups = observe(known.model, design, f, draws.sigma, sizes, rng, past=past)
    return storage.attach(storage.as_tree({"posterior": posterior} | groups), known.model, data, known.training_data)


def _past(known, draws, data, f):
    """What is measured of the series of correlated residuals, by outcome: an `ObservedOutcome` of records whose groups
    the draws know, and the predictions of these.

    In other data than the tree's own there is none where records are merely in order: nobody says after how many.
    """
    own = data is known.data
    design = known.design(known.data)
    here = {level.name: np.isin(np.asarray(level.labels, dtype=object), list(draws.groups.get(level.name, ())))
            for level in design.levels}  # fmt: skip
    found = {}
    for o in design.outcomes:
        residual = known.model.residual_of(o.name)
        if o.name not in f or not residual.correlated or not (own or residual.over):
            continue
        chosen = np.ones(len(o.unit), dtype=bool)
        for level in design.levels:
            chosen &= here[level.name][level.of_unit[o.unit]]
        if chosen.any():
            found[o.name] = o, chosen
    if not found:
        return {}
    if not own:
        f = evaluator(known.model, design)(draws.theta, effects(design, draws, np.random.default_rng(0)))[1]
    return {name: (o.at(chosen), f[name][:, chosen]) for name, (o, chosen) in found.items()}


def unsolved(design, f):
    """A sentence for each outcome of which predictions (sample, record) are missing: how many, whose, from when."""
    for o in design.outcomes:
        bad = np.isnan(f[o.name]).reshape(len(f[o.name]), len(o.row), -1).any(axis=2)
        if not bad.any():
            continue
        each = [(label, bad[:, o.subject == label], o.subject == label) for label in dict.fromkeys(o.subject)]
        lost = [_lost(label, here, own, o.inputs.get("time")) for label, here, own in each if here.any()]
        more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
        yield (
            f"{bad.sum()} of {bad.size} predictions of {o.name} are missing, in {bad.any(axis=1).sum()} of {len(bad)} "
            f"draws: {'; '.join(lost[:NAMED])}{more}. The solution ends there (it grows without bound; a state that "
            "is empty stands under a root or a logarithm: write pt.maximum(state, 0); slopes lead back to a threshold "
            "from both sides), it takes more than max_steps, or there is none; records "
            "before keep their values"
        )


def _lost(label, bad, own, time):
    """Of whom predictions (sample, record) are missing, from when, and in how many draws."""
    count = f"({bad.any(axis=1).sum()} draw{'s' if bad.any(axis=1).sum() > 1 else ''})"
    if time is None or bad.any(axis=0).all():
        return f"{label} at all times {count}"
    return f"{label} from {time[own][bad.any(axis=0)].min():g} on {count}"


def _same_patient(data, own, drift):
    """A random walk is that of the patient who was forecast."""
    theirs, ours = (set(x.observations[x.subject]) for x in (data, own))
    if theirs != ours:
        raise ModelError(
            f"predict: the effects of {drift} are a random walk of {own.subject} {', '.join(sorted(ours))}; forecast "
            f"{', '.join(sorted(theirs - ours)) or 'the others'} too"
        )


@checked
@in_turns
def simulate(
    model: Model, data: Data, *, draws: Count = 500, values: dict[Text, Array] | None = None,
    random_seed: Seed | None = None,
) -> Tree:  # fmt: skip
    """Prior predictive simulation, or simulation at stated population values.

    Parameters
    ----------
    model : Model
    data : Dataset
        The design to simulate: who, when, doses, covariates. Its measurements set only the scale of default priors.
    draws : int
        Number of simulated studies, each with a population of its own.
    values : dict, optional
        Fixes population variables by name, e.g. ``{"theta_cl": [1.0], "omega_id": [0.3, 0.2], "sigma_conc_a": 0.5}``;
        the rest is drawn from its prior.
    random_seed : int, optional

    Returns
    -------
    DataTree
        Groups ``prior`` (population, individual parameters, ``f_<outcome>``), ``prior_predictive``, ``constant_data``.

    Raises
    ------
    ModelError
        ``values`` that name no population variable or have another shape; a flat prior that is not in ``values``.
    DataError, FormulaError
        As `build`.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import LinearMixed
    >>> model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
    >>> known = {"theta_mu": [1500.0], "omega_Batch": [40.0], "sigma_Yield_a": 50.0}
    >>> tree = nb.simulate(model, nb.datasets.dyestuff(), values=known, draws=1000, random_seed=1)
    >>> float(tree["prior_predictive"]["Yield"].std().round(-1))
    60.0
    """
    storage.statement(model)
    design = designed(model, data)
    built, _ = assemble(model, design)
    names = [v for v in built.named_vars if v.startswith(("theta_", "omega_", "corr_", "sigma_"))]
    stated = {name: _stated(built, names, name, value) for name, value in (values or {}).items()}
    rng = np.random.default_rng(random_seed)
    seed = int(rng.integers(2**31))
    flat = [n for n in names if n not in stated and built[n] in built.free_RVs and improper(built[n])]
    if flat:
        raise ModelError(f"simulate: the prior of {flat[0]} is flat, so it cannot be drawn; give it in values=")
    proper = [n for n in names if n not in stated]
    given = {built[n]: pt.constant(value) for n, value in stated.items() if built[n] in built.free_RVs}
    asked = clone_replace([built[n] for n in proper], given)  # coefficients of a smooth are drawn given its omega
    drawn = pm.draw(asked, draws=draws, random_seed=seed, mode=UNCOMPILED) if proper else []
    drawn = {n: np.reshape(x, (draws, *np.shape(x)[draws > 1 :])) for n, x in zip(proper, drawn, strict=True)}
    drawn |= {n: np.broadcast_to(value, (draws, *value.shape)).copy() for n, value in stated.items()}
    coords = {k: v for k, v in coordinates(design).items() if not k.endswith("_obs")}
    dims = {n: built.named_vars_to_dims.get(n, ()) for n in names}
    found = xr.Dataset(
        {n: (("chain", "draw", *dims[n]), v[None]) for n, v in drawn.items()}, coords=_used(coords, dims)
    )
    prior = draws_of(found, design, model, data.outcomes)
    eta = effects(design, prior, rng)
    phi, f, _ = evaluator(model, design)(prior.theta, eta)
    if stated and any(np.isnan(f[o.name]).reshape(draws, -1).any(axis=1).all() for o in design.outcomes):
        raise ModelError(f"simulate: there is no prediction with any draw under values= of {', '.join(stated)}")
    for line in unsolved(design, f):
        warn(f"simulate: {line}")
    prior_group = labelled(design, prior, eta, phi, f, (1, draws))
    groups = observe(model, design, f, prior.sigma, (1, draws), rng, density=False)
    groups["prior_predictive"] = groups.pop("posterior_predictive")
    return storage.attach(storage.as_tree({"prior": prior_group} | groups), model, data)


def _stated(built, names, name, value):
    """A value of a population variable, in its shape."""
    if name not in names:
        raise ModelError(f"values: no population variable {name!r}; there are {', '.join(names)}")
    shape = _shape(built, name)
    try:
        return np.broadcast_to(value, shape)
    except ValueError as error:
        raise ModelError(f"values: {name} has the shape {shape}; got {np.shape(value)}") from error


def _shape(built, name):
    return tuple(len(built.coords[dim]) for dim in built.named_vars_to_dims.get(name, ()))


def _used(coords, dims):
    wanted = {d for each in dims.values() for d in each}
    return {k: v for k, v in coords.items() if k in wanted}


def _labels(design):
    """`coordinates` of a design by name as xarray has them, whose indexes take longer to make than the groups that
    share them."""
    if design not in _LABELS:
        _LABELS[design] = {
            name: _indexed(name, tuple(each)) if name.endswith(OF_FORMULAS) else xr.Coordinates({name: each})
            for name, each in coordinates(design).items()
        }
    return _LABELS[design]


@lru_cache(maxsize=256)
def _indexed(name, labels):
    """Texts as coordinates."""
    return xr.Coordinates({name: list(labels)})


@lru_cache(maxsize=8)
def _samples(sizes):
    """Coordinates of the sample axis by name: chains and draws."""
    return {name: xr.Coordinates({name: np.arange(n)}) for name, n in zip(("chain", "draw"), sizes, strict=True)}


def _chosen(names, *coords):
    """Those of some coordinates, by name, that are named, with their indexes."""
    found = {name: each for some in coords for name, each in some.items() if name in names}
    variables = {name: each.variables[name] for name, each in found.items()}
    return xr.Coordinates(variables, {name: each.xindexes[name] for name, each in found.items()})


def labelled(design, draws: Draws, eta, phi, f, sizes):
    """The ``posterior`` group: population, random effects, individual parameters and predictions, with labels."""
    found = {}
    for level in (each.name for each in design.levels):
        found[f"eta_{level}"] = (eta[level], (level, f"{level}_effect"))
    found |= {name: (value, ("unit",)) for name, value in phi.items()}
    found |= {f"f_{o.name}": (o.read(f[o.name]), (f"{o.name}_obs",)) for o in design.outcomes if o.name in f}
    attrs = {DRIFT: draws.drift} if draws.drift else {}
    return with_chains(_population(design, draws) | found, _labels(design), sizes, attrs)


def labelled_population(design, draws: Draws, sizes):
    """The part of a ``posterior`` group that is no individual's."""
    return with_chains(_population(design, draws), _labels(design), sizes)


def _population(design, draws):
    """Arrays and dims of theta, omega, corr and sigma by variable."""
    found = {}
    for name, value in draws.theta.items():
        if value.shape[1]:
            found[f"theta_{name}"] = (value, (f"{name}_term",))
    for name, value in draws.smooth.items():
        found[f"omega_{name}_smooth"] = (value, (f"{name}_smooth",))
    for level in (each.name for each in design.levels):
        effect = f"{level}_effect"
        found[f"omega_{level}"] = (draws.omega[level], (effect,))
        if level in draws.corr:
            found[f"corr_{level}"] = (draws.corr[level], (effect, f"{effect}_other"))
    for outcome, parts in draws.sigma.items():
        for part, value in parts.items():
            name = f"sigma_{outcome}_{part}"
            found[name] = (value, (f"{name}_term",) if value.ndim == 2 else ())
    return found


def with_chains(found, coords, sizes, attrs=None):
    """Dataset of (sample, ...) arrays with the sample axis split into chain and draw."""
    variables = {n: (("chain", "draw", *dims), v.reshape(*sizes, *v.shape[1:])) for n, (v, dims) in found.items()}
    used = {"chain", "draw", *(d for _, dims in found.values() for d in dims)}
    return xr.Dataset(variables, coords=_chosen(used, _samples(tuple(sizes)), coords), attrs=attrs)


def observe(model, design, f, sigma, sizes, rng, *, density=True, past=None):
    """Groups ``posterior_predictive``, ``log_likelihood``, ``observed_data`` and ``constant_data``.

    ``past``, by outcome: as `measure` takes it.
    """
    coords = _labels(design)
    drawn, dense, seen = {}, {}, {}
    for observed in design.outcomes:
        name, dims = observed.name, (f"{observed.name}_obs",)
        known = np.isfinite(observed.values).all()
        residual = model.residual_of(name)
        before = (past or {}).get(name)
        drawn[name] = (measure(residual, f[name], sigma[name], rng, design.positive, observed, before), dims)
        if known:
            seen[name] = (dims, observed.values)
        if known and density:
            dense[name] = (log_density(residual, f[name], sigma[name], observed, design.positive), dims)
    groups = {
        "posterior_predictive": with_chains(drawn, coords, sizes),
        "constant_data": constant_data(design),
    }
    if dense:
        groups["log_likelihood"] = with_chains(dense, coords, sizes)
    if seen:
        groups["observed_data"] = xr.Dataset(seen, coords=_chosen({f"{n}_obs" for n in seen}, coords))
    return groups


def constant_data(design):
    """What each record is: its inputs, the limits of a censored value, its unit and its subject, by outcome."""
    found = {}
    for o in design.outcomes:
        dim = f"{o.name}_obs"
        found |= {f"{name}_{o.name}": (dim, values) for name, values in o.inputs.items()}
        if o.censored.any():
            found |= {f"lower_{o.name}": (dim, o.lower), f"upper_{o.name}": (dim, o.upper)}
        found[f"unit_of_{o.name}"] = (dim, o.unit)
        found[f"subject_of_{o.name}"] = (dim, o.subject.astype(str).astype(object))
    return xr.Dataset(found, coords=_chosen({f"{o.name}_obs" for o in design.outcomes}, _labels(design)))
