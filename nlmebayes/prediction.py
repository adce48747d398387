"""`simulate` and `predict`: the model's graph evaluated for many draws at once.

Draws are a leading axis, so one evaluation of the graph serves all of them, uncompiled: no waiting. A group that the
tree knows keeps its draws; a new one is drawn from the population of each draw. Predictions for new groups do not
apply the order constraints of a structure (they matter only when the population overlaps the forbidden side).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import xarray as xr

from nlmebayes import population, storage
from nlmebayes.design import resolve
from nlmebayes.model import Model, ModelError, assemble, barrier, check_names, coordinates, outcome_arrays
from nlmebayes.structure.structure import Named

UNCOMPILED = "FAST_COMPILE"
CHUNK = 2_000_000  # numbers in one array of an evaluation


@dataclass(frozen=True, eq=False)
class Draws:
    """Population draws with the sample axis first, and random effects of the groups they know.

    ``theta[parameter]`` (sample, term), ``omega[level]`` (sample, effect), ``corr[level]`` (sample, effect, effect),
    ``sigma[outcome][part]`` (sample,), ``eta[level]`` (sample, group, effect) with ``groups[level]`` its labels.
    """

    theta: dict
    omega: dict
    corr: dict
    sigma: dict
    eta: dict
    groups: dict

    @property
    def size(self):
        return len(next(iter(self.theta.values())))

    def take(self, index):
        """The draws at ``index``."""
        part = [{k: v[index] for k, v in d.items()} for d in (self.theta, self.omega, self.corr)]
        sigma = {o: {k: v[index] for k, v in parts.items()} for o, parts in self.sigma.items()}
        return Draws(*part, sigma, {k: v[index] for k, v in self.eta.items()}, self.groups)

    def cholesky(self, level):
        """Factor of Omega, (sample, effect, effect)."""
        scale = self.omega[level][..., None]
        return scale * (np.linalg.cholesky(self.corr[level]) if level in self.corr else np.eye(scale.shape[1]))


def draws_of(dataset, design, outcomes):
    """`Draws` from a posterior or prior dataset; names are those of the design."""
    flat = dataset.stack(__sample__=("chain", "draw"), create_index=False)

    def values(name):
        variable = flat[name]
        return variable.transpose("__sample__", *[d for d in variable.dims if d != "__sample__"]).to_numpy()

    n = flat.sizes["__sample__"]
    theta = {p: values(f"theta_{p}") if m.terms else np.zeros((n, 0)) for p, m in design.fixed.items()}
    levels = [level.name for level in design.levels]
    prefix = {o: f"sigma_{o}_" for o in outcomes}
    return Draws(
        theta=theta,
        omega={name: values(f"omega_{name}") for name in levels},
        corr={name: values(f"corr_{name}") for name in levels if f"corr_{name}" in flat},
        sigma={o: {v[len(p) :]: values(v) for v in flat if v.startswith(p)} for o, p in prefix.items()},
        eta={name: values(f"eta_{name}") for name in levels if f"eta_{name}" in flat},
        groups={name: list(flat[name].to_numpy()) for name in levels if f"eta_{name}" in flat},
    )


def effects(design, draws: Draws, rng):
    """Random effects of the design's groups, level -> (sample, group, effect): known ones kept, new ones drawn."""
    eta = {}
    for level in design.levels:
        z = rng.standard_normal((draws.size, len(level.labels), len(level.effects)))
        eta[level.name] = z @ draws.cholesky(level.name).transpose(0, 2, 1)
        position = {label: i for i, label in enumerate(draws.groups.get(level.name, ()))}
        for g, label in enumerate(level.labels):
            if label in position:
                eta[level.name][:, g] = draws.eta[level.name][:, position[label]]
    return eta


def evaluator(model, design):
    """A function of (theta, eta), draws first, that gives (phi, f, order): individual parameters by name (sample,
    unit), predictions by outcome (sample, record) and the log-barrier of the order constraints (sample,)."""
    shared = {name: value for name, (value, _) in population.arrays(design).items()}
    own = {o.name: {name: v for name, _, v, _ in outcome_arrays(model, o)} for o in design.outcomes}
    levels = tuple(Effects(level.name, level.effects) for level in design.levels)
    compute = _graph(model.structure, levels, _kinds(shared), tuple((name, _kinds(arrays)) for name, arrays in own.items()))
    data = [*shared.values(), *(v for arrays in own.values() for v in arrays.values())]
    step = max(1, CHUNK // max(len(design.labels), *(len(v) for v in data)))

    def evaluate(theta, eta):
        values = [*theta.values(), *eta.values()]
        parts = [compute(*(v[i : i + step] for v in values), *data) for i in range(0, len(values[0]), step)]
        found = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        phi = dict(zip(theta, found, strict=False))
        return phi, dict(zip(own, found[len(phi) : -1], strict=True)), found[-1]

    return evaluate


class Effects(NamedTuple):
    """What the graph depends on of a level."""

    name: str
    effects: tuple


def _kinds(arrays):
    return tuple((name, value.dtype.str, value.ndim) for name, value in arrays.items())


@lru_cache(maxsize=32)
def _graph(structure, levels, shared, own):
    """The evaluation as a function of draws and data arrays; new data of the same kind need no new graph."""
    theta = {p.name: pt.dmatrix(f"theta_{p.name}") for p in structure.parameters}
    eta = {level.name: pt.dtensor3(f"eta_{level.name}") for level in levels}
    x = {name: pt.tensor(name, dtype=dtype, shape=(None,) * ndim) for name, dtype, ndim in shared}
    phi = population.individual(structure, levels, x, theta, eta)
    arrays = {o: {n: pt.tensor(n, dtype=dtype, shape=(None,) * ndim) for n, dtype, ndim in kinds} for o, kinds in own}
    f = [structure.predict(Named(**phi), Named(**each), outcome) for outcome, each in arrays.items()]
    each_draw = sum(value[:, :1] * 0.0 for value in phi.values())  # (sample, 1), for laws without parameters
    order = sum(barrier(gap) for gap in structure.order(Named(**phi)).values()) + each_draw[:, 0]
    inputs = [
        *theta.values(),
        *eta.values(),
        *x.values(),
        *(v for each in arrays.values() for v in each.values()),
    ]
    outputs = [*phi.values(), *(value + each_draw for value in f), order]
    return pytensor.function(inputs, outputs, mode=UNCOMPILED, on_unused_input="ignore")


def measure(residual, f, s, rng):
    """Draws of the measurement, (sample, record); ``s`` holds the residual's parts, (sample,) each."""
    variable, inputs = _likelihood(residual, tuple(s))
    compute = pm.compile(inputs, variable, mode=UNCOMPILED, random_seed=int(rng.integers(2**31)))
    return compute(f, *(column[:, None] for column in s.values()))


def log_density(residual, f, s, values):
    """Log-density of the measurements, (sample, record)."""
    compute = _density(residual, tuple(s))
    return compute(np.asarray(values, dtype=float)[None, :], f, *(column[:, None] for column in s.values()))


def _likelihood(residual, parts):
    tensors = {part: pt.dcol(part) for part in parts}
    prediction = pt.dmatrix("f")
    return residual.likelihood(prediction, Named(**tensors)), [prediction, *tensors.values()]


@lru_cache(maxsize=32)
def _density(residual, parts):
    variable, inputs = _likelihood(residual, parts)
    measured = pt.drow("measured")
    return pytensor.function(
        [measured, *inputs], pm.logp(variable, measured + pt.zeros_like(inputs[0])), mode=UNCOMPILED
    )


def predict(model: Model, tree, data=None, *, redraw=False, random_seed=None):
    """Posterior prediction for any data.

    Parameters
    ----------
    model : Model or None
        The model of the tree; ``None`` takes the one stored in it.
    tree : DataTree
        From `fit` or `forecast`.
    data : Dataset, optional
        New data (``data.over(time=...)`` for a grid); by default those that the tree was made on. Units and groups
        with a label that the tree knows keep their draws; others are drawn from the population of each draw.
    redraw : bool
        Draw the effects of known groups anew too: replicates of the study with other individuals, as a visual
        predictive check needs them.
    random_seed : int, optional

    Returns
    -------
    DataTree
        Groups ``posterior`` (with ``f_<outcome>`` and individual parameters of these data), ``posterior_predictive``
        (with residual), ``log_likelihood``, ``observed_data`` (where there are measurements), ``constant_data``.

    Raises
    ------
    ModelError
        The tree was made with another model.
    DataError, FormulaError
        The data lack what the model reads.
    """
    model, training = context(model, tree)
    data = storage.stored_dataset(tree) if data is None else data
    design = resolve(model, data, training)
    check_names(model, design)
    draws = draws_of(tree["posterior"].to_dataset(), training, data.outcomes)
    sizes = tree["posterior"].sizes["chain"], tree["posterior"].sizes["draw"]
    rng = np.random.default_rng(random_seed)
    eta = effects(design, replace(draws, eta={}, groups={}) if redraw else draws, rng)
    phi, f, _ = evaluator(model, design)(draws.theta, eta)
    posterior = labelled(design, draws, eta, phi, f, sizes)
    groups = observe(model, design, f, draws.sigma, sizes, rng)
    return storage.attach(as_tree({"posterior": posterior} | groups), model, data, storage.training_dataset(tree))


def context(model, tree):
    """The model of a tree (checked, if one is given) and its training design."""
    if model is None:
        model = storage.stored_model(tree)
    else:
        storage.same_model(model, tree)
    return model, resolve(model, storage.training_dataset(tree))


def simulate(model: Model, data, *, draws=500, values=None, random_seed=None):
    """Prior predictive simulation, or simulation at stated population values.

    Parameters
    ----------
    data : Dataset
        The design to simulate: who, when, doses, covariates. Its measurements set only the scale of default priors.
    values : dict, optional
        Fixes population variables by name, e.g. ``{"theta_cl": [1.0], "omega_id": [0.3, 0.2], "sigma_conc_a": 0.5}``;
        the rest is drawn from its prior.

    Returns
    -------
    DataTree
        Groups ``prior`` (population, individual parameters, ``f_<outcome>``), ``prior_predictive``, ``constant_data``.
    """
    design = resolve(model, data)
    built, _ = assemble(model, design)
    names = [v for v in built.named_vars if v.startswith(("theta_", "omega_", "corr_", "sigma_"))]
    rng = np.random.default_rng(random_seed)
    seed = int(rng.integers(2**31))
    drawn = pm.draw([built[n] for n in names], draws=draws, random_seed=seed, mode=UNCOMPILED)
    drawn = dict(zip(names, drawn, strict=True))
    for name, value in (values or {}).items():
        if name not in drawn:
            raise ModelError(f"values: no population variable {name!r}; there are {', '.join(names)}")
        drawn[name] = np.broadcast_to(np.asarray(value, dtype=float), drawn[name].shape).copy()
    coords = {k: v for k, v in coordinates(design).items() if not k.endswith("_obs")}
    dims = {n: built.named_vars_to_dims.get(n, ()) for n in names}
    found = xr.Dataset(
        {n: (("chain", "draw", *dims[n]), v[None]) for n, v in drawn.items()}, coords=_used(coords, dims)
    )
    prior = draws_of(found, design, data.outcomes)
    eta = effects(design, prior, rng)
    phi, f, _ = evaluator(model, design)(prior.theta, eta)
    prior_group = labelled(design, prior, eta, phi, f, (1, draws))
    groups = observe(model, design, f, prior.sigma, (1, draws), rng, density=False)
    groups["prior_predictive"] = groups.pop("posterior_predictive")
    return storage.attach(as_tree({"prior": prior_group} | groups), model, data)


def _used(coords, dims):
    wanted = {d for each in dims.values() for d in each}
    return {k: v for k, v in coords.items() if k in wanted}


def labelled(design, draws: Draws, eta, phi, f, sizes):
    """The ``posterior`` group: population, random effects, individual parameters and predictions, with labels."""
    coords = coordinates(design)
    found = {}
    for name, value in draws.theta.items():
        if value.shape[1]:
            found[f"theta_{name}"] = (value, (f"{name}_term",))
    for level in (each.name for each in design.levels):
        effect = f"{level}_effect"
        found[f"omega_{level}"] = (draws.omega[level], (effect,))
        if level in draws.corr:
            found[f"corr_{level}"] = (draws.corr[level], (effect, f"{effect}_other"))
        found[f"eta_{level}"] = (eta[level], (level, effect))
    for outcome, parts in draws.sigma.items():
        found |= {f"sigma_{outcome}_{part}": (value, ()) for part, value in parts.items()}
    found |= {name: (value, ("unit",)) for name, value in phi.items()}
    found |= {f"f_{name}": (value, (f"{name}_obs",)) for name, value in f.items()}
    return with_chains(found, coords, sizes)


def with_chains(found, coords, sizes):
    """Dataset of (sample, ...) arrays with the sample axis split into chain and draw."""
    variables = {n: (("chain", "draw", *dims), v.reshape(*sizes, *v.shape[1:])) for n, (v, dims) in found.items()}
    used = _used(coords, {n: dims for n, (_, dims) in found.items()})
    return xr.Dataset(variables, coords={"chain": np.arange(sizes[0]), "draw": np.arange(sizes[1]), **used})


def observe(model, design, f, sigma, sizes, rng, *, density=True):
    """Groups ``posterior_predictive``, ``log_likelihood``, ``observed_data`` and ``constant_data``."""
    coords = coordinates(design)
    drawn, dense, seen = {}, {}, {}
    for observed in design.outcomes:
        name, dims = observed.name, (f"{observed.name}_obs",)
        known = np.isfinite(observed.values).all()
        residual = model.residual_of(name)
        drawn[name] = (measure(residual, f[name], sigma[name], rng), dims)
        if known:
            seen[name] = (dims, observed.values)
        if known and density:
            dense[name] = (log_density(residual, f[name], sigma[name], observed.values), dims)
    records = {k: v for k, v in coords.items() if k.endswith("_obs")}
    groups = {
        "posterior_predictive": with_chains(drawn, records, sizes),
        "constant_data": constant_data(design),
    }
    if dense:
        groups["log_likelihood"] = with_chains(dense, records, sizes)
    if seen:
        groups["observed_data"] = xr.Dataset(seen, coords={f"{n}_obs": records[f"{n}_obs"] for n in seen})
    return groups


def constant_data(design):
    """What each record is: its inputs, its unit and its subject, by outcome."""
    found, coords = {}, {}
    for o in design.outcomes:
        dim = f"{o.name}_obs"
        coords[dim] = o.row
        found |= {f"{name}_{o.name}": (dim, values) for name, values in o.inputs.items()}
        found[f"unit_of_{o.name}"] = (dim, o.unit)
        found[f"subject_of_{o.name}"] = (dim, o.subject.astype(str).astype(object))
    return xr.Dataset(found, coords=coords)


def as_tree(groups):
    """DataTree of the groups, in ArviZ order."""
    return xr.DataTree.from_dict(groups)
