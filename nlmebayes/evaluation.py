"""The model's graph evaluated for many draws at once, on arrays with a leading axis of draws.

Nothing is compiled: one evaluation serves all draws at NumPy speed, without waiting. `Draws` holds a population,
`effects` gives the groups of a design their random effects, `evaluator` their parameters and predictions, `measure` and
`log_density` the measurements.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.pytensorf import reseed_rngs
from pytensor.compile.mode import get_mode
from pytensor.tensor.random.type import RandomType

from nlmebayes import censoring, hierarchy
from nlmebayes.model import BARRIER, ModelError, barrier
from nlmebayes.structure.structure import Named
from nlmebayes.threads import in_turns, remembered

UNCOMPILED = "FAST_COMPILE"
FILLED = get_mode(UNCOMPILED).including("local_second_to_alloc")  # without it zeros_like loops in Python
UNCHECKED = get_mode(UNCOMPILED).including("local_remove_check_parameter")
DRIFT = "nlmebayes_drift"  # attribute of a group: `Draws.drift`
CHUNK = 2_000_000  # numbers in one array of an evaluation
_ARRAYS = WeakKeyDictionary()  # design -> structure -> arrays
NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)


@dataclass(frozen=True, eq=False)
class Draws:
    """Population draws with the sample axis first, and random effects of the groups they know.

    ``theta[parameter]`` (sample, term), ``omega[level]`` (sample, effect), ``corr[level]`` (sample, effect, effect),
    ``sigma[outcome][part]`` (sample,), ``eta[level]`` (sample, group, effect) with ``groups[level]`` its labels.
    ``drift`` is the level whose effects are a random walk of one patient, if there is one.
    """

    theta: dict
    omega: dict
    corr: dict
    sigma: dict
    eta: dict
    groups: dict
    drift: str | None = None
    smooth: dict = field(default_factory=dict)  # SDs of the smooths of a parameter, (sample, smooth)

    @property
    def size(self):
        return len(next(iter(self.theta.values())))

    def take(self, index):
        """The draws at ``index``."""
        part = [{k: v[index] for k, v in d.items()} for d in (self.theta, self.omega, self.corr)]
        sigma = {o: {k: v[index] for k, v in parts.items()} for o, parts in self.sigma.items()}
        eta, smooth = ({k: v[index] for k, v in d.items()} for d in (self.eta, self.smooth))
        return Draws(*part, sigma, eta, self.groups, self.drift, smooth)

    def of_groups(self, labels):
        """The same draws, knowing no more groups than those of ``labels`` (by level)."""
        known = {k: [i for i, g in enumerate(v) if g in labels.get(k, ())] for k, v in self.groups.items()}
        eta = {k: v[:, known[k]] for k, v in self.eta.items()}
        return replace(self, eta=eta, groups={k: [self.groups[k][i] for i in known[k]] for k in self.groups})

    def cholesky(self, level):
        """Factor of Omega, (sample, effect, effect)."""
        scale = self.omega[level][..., None]
        return scale * (np.linalg.cholesky(self.corr[level]) if level in self.corr else np.eye(scale.shape[1]))


def draws_of(dataset, design, model, outcomes):
    """`Draws` from a posterior or prior dataset; names are those of the design and of the model's residuals."""
    flat = dataset.stack(__sample__=("chain", "draw"), create_index=False)

    def values(name):
        if name not in flat:
            raise ModelError(f"the tree is damaged: it has no {name}, which its model has")
        variable = flat[name]
        return variable.transpose("__sample__", *[d for d in variable.dims if d != "__sample__"]).to_numpy()

    n = flat.sizes["__sample__"]
    theta = {p: values(f"theta_{p}") if m.terms else np.zeros((n, 0)) for p, m in design.fixed.items()}
    levels = [level.name for level in design.levels]
    parts = {o: [p for p in model.residual_of(o).priors(1.0) if f"sigma_{o}_{p}" in flat] for o in outcomes}
    return Draws(
        theta=theta,
        omega={name: values(f"omega_{name}") for name in levels},
        corr={name: values(f"corr_{name}") for name in levels if f"corr_{name}" in flat},
        sigma={o: {p: values(f"sigma_{o}_{p}") for p in found} for o, found in parts.items()},
        eta={name: values(f"eta_{name}") for name in levels if f"eta_{name}" in flat},
        groups={name: list(flat[name].to_numpy()) for name in levels if f"eta_{name}" in flat},
        drift=dataset.attrs.get(DRIFT),
        smooth={p: values(f"omega_{p}_smooth") for p in design.fixed if f"omega_{p}_smooth" in flat},
    )


def improper(variable):
    """Whether a variable's prior cannot be drawn from."""
    return variable.owner.op.name in ("flat", "half_flat")


def effects(design, draws: Draws, rng):
    """Random effects of the design's groups, level -> (sample, group, effect): known ones kept, new ones drawn."""
    eta = {}
    for level in design.levels:
        z = rng.standard_normal((draws.size, len(level.labels), len(level.effects)))
        values = z @ draws.cholesky(level.name).transpose(0, 2, 1)
        values = _walked(level, draws, values) if level.name == draws.drift else values
        eta[level.name] = keep_known(level, draws, values)
    return eta


def _walked(level, draws, steps):
    """Effects of the new groups of a random walk: steps from the last group that is known, in their order."""
    known = draws.groups.get(level.name, ())
    place = [g for g, label in enumerate(level.labels) if label in known]
    new = [g for g, label in enumerate(level.labels) if label not in known]
    if new and place and new[0] < place[-1]:
        raise ModelError(
            f"{level.name} {level.labels[new[0]]} comes before {level.labels[place[-1]]}, which the forecast knows, "
            "and its effects drift; only later ones can be predicted, or forecast it too"
        )
    steps[:, new] = np.cumsum(steps[:, new], axis=1) + (draws.eta[level.name][:, -1:] if known else 0.0)
    return steps


def keep_known(level, draws: Draws, values):
    """``values`` (sample, group, effect) with the draws of the groups that are known in their places."""
    position = {label: i for i, label in enumerate(draws.groups.get(level.name, ()))}
    for g, label in enumerate(level.labels):
        if label in position:
            values[:, g] = draws.eta[level.name][:, position[label]]
    return values


def _arrays(structure, design):
    """Arrays that a structure needs of a design; it takes longer to make them than to evaluate a few draws."""
    known = _ARRAYS.setdefault(design, {})
    if structure not in known:
        known[structure] = {name: value for name, (value, _) in structure.arrays(design).items()}
    return known[structure]


def evaluator(model, design):
    """A function of (theta, eta), draws first, that gives (phi, f, order): individual parameters by name (sample,
    unit), predictions by outcome (sample, record) and the log-barrier of the order constraints (sample,)."""
    shared = {name: value for name, (value, _) in hierarchy.arrays(design).items()}
    own = _arrays(model.structure, design)
    names = tuple(o.name for o in design.outcomes)
    levels = tuple(Effects(level.name, level.effects) for level in design.levels)
    compute = _graph(model.structure, levels, _kinds(shared), _kinds(own), names)
    data = [*shared.values(), *own.values()]
    step = max(1, CHUNK // max(len(design.labels), *(len(v) for v in data)))

    def evaluate(theta, eta):
        values = [*theta.values(), *eta.values()]
        parts = [compute(*(v[i : i + step] for v in values), *data) for i in range(0, len(values[0]), step)]
        found = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        phi = dict(zip(theta, found, strict=False))
        f = {o.name: o.folded(x) for o, x in zip(design.outcomes, found[len(phi) : -1], strict=True)}
        return phi, f, found[-1]

    return evaluate


def predictor(model, design):
    """A function of linear predictors, (draw, parameter, unit), that gives predictions by outcome (draw, record) and
    the log-barrier of the order constraints (draw, unit)."""
    own = _arrays(model.structure, design)
    names = tuple(o.name for o in design.outcomes)
    compute = _predictions(model.structure, _kinds(own), names)
    step = max(1, CHUNK // max(len(design.labels), *(len(v) for v in own.values())))

    def predict(linear):
        parts = [compute(linear[i : i + step], *own.values()) for i in range(0, len(linear), step)]
        found = parts[0] if len(parts) == 1 else [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        return {o.name: o.folded(x) for o, x in zip(design.outcomes, found[:-1], strict=True)}, found[-1]

    return predict


@remembered
def _predictions(structure, own, names):
    linear = pt.dtensor3("linear")
    phi = {p.name: p.scale.inverse(linear[:, i]) for i, p in enumerate(structure.parameters)}
    arrays = {name: pt.tensor(name, dtype=dtype, shape=(None,) * ndim) for name, dtype, ndim in own}
    f = structure.predict(Named(**phi), Named(**arrays), names)
    each_draw = linear[:, 0, :1] * 0.0
    order = sum(-pt.softplus(-gap(Named(**phi)) / BARRIER) for gap in structure.order) + linear[:, 0] * 0.0
    inputs, outputs = [linear, *arrays.values()], [*(f[name] + each_draw for name in names), order]
    return _function(inputs, outputs, FILLED, trust=True)  # they are arrays of these kinds


def _function(inputs, outputs, mode, trust=False):
    compute = pytensor.function(inputs, outputs, mode=mode, on_unused_input="ignore")
    compute.trust_input = trust
    return in_turns(compute)


class Effects(NamedTuple):
    """What the graph depends on of a level."""

    name: str
    effects: tuple


def _kinds(arrays):
    return tuple((name, value.dtype.str, value.ndim) for name, value in arrays.items())


@remembered
def _graph(structure, levels, shared, own, names):
    """The evaluation as a function of draws and data arrays; new data of the same kind need no new graph."""
    theta = {p.name: pt.dmatrix(f"theta_{p.name}") for p in structure.parameters}
    eta = {level.name: pt.dtensor3(f"eta_{level.name}") for level in levels}
    x, arrays = (
        {name: pt.tensor(name, dtype=dtype, shape=(None,) * ndim) for name, dtype, ndim in kinds}
        for kinds in (shared, own)
    )
    phi = hierarchy.individual(structure, levels, x, theta, eta)
    f = structure.predict(Named(**phi), Named(**arrays), names)
    each_draw = sum(value[:, :1] * 0.0 for value in phi.values())  # (sample, 1), for laws without parameters
    order = sum(barrier(gap(Named(**phi))) for gap in structure.order) + each_draw[:, 0]
    inputs = [*theta.values(), *eta.values(), *x.values(), *arrays.values()]
    outputs = [*phi.values(), *(f[name] + each_draw for name in names), order]
    return _function(inputs, outputs, FILLED)


def parts_at(residual, s, observed=None):
    """Parts and columns of a residual by name, of shape (sample, 1), (1, record) or (sample, record).

    ``s`` holds the parts, (sample,), or (sample, term) of those with a formula.
    """
    found = {}
    for part, values in s.items():
        values = np.asarray(values, dtype=float)
        scale = values.ndim == 2
        found[part] = np.exp(values @ observed.scales[part].T) if scale else values[:, None]
    if residual.columns and observed is None:
        raise ModelError(f"{residual} reads columns of the data at each record, which cannot be given here")
    columns = observed.columns if residual.columns else {}
    return found | {part: np.asarray(x, dtype=float)[None] for part, x in columns.items()}


def _cut(parts, rows, here):
    """Parts at some samples and records."""
    return [x[rows if len(x) > 1 else slice(None)][:, here if x.shape[1] > 1 else slice(None)] for x in parts.values()]


def _shapes(parts):
    """Names of parts, and which of their axes are of length one whatever the data: what a graph depends on."""
    return tuple((name, *(1 if n == 1 else None for n in x.shape)) for name, x in parts.items())


@in_turns
def measure(residual, f, s, rng, positive=False, observed=None):
    """Draws of the measurement, (sample, record); ``s`` holds the residual's parts, see `parts_at`."""
    if residual.folds:
        return residual.draw(f, observed.nodes, rng)
    if residual.correlated:
        return _series(residual, f, s, rng, observed)
    parts = parts_at(residual, s, observed)
    compute, generators = _measured(residual, _shapes(parts), positive)
    reseed_rngs(generators, int(rng.integers(2**31)))
    return compute(f, *parts.values()).astype(float)


def _series(residual, f, s, rng, observed):
    """Draws of whole series of correlated residuals."""
    scatter = np.exp(-_heights(residual.residual, f, parts_at(residual, s, observed))) / np.sqrt(2 * np.pi)
    return residual.draw(f, scatter, observed.columns, np.ravel(s["rho"]), rng)


@remembered
def _measured(residual, parts, positive):
    """A function that draws measurements, and its generators of random numbers, which are seeded anew for each use."""
    prediction, tensors = _given(residual, parts)
    variable = censoring.measurement(residual, prediction, Named(**tensors), positive)
    compute = pm.compile([prediction, *tensors.values()], variable, mode=UNCOMPILED, on_unused_input="ignore")
    return compute, [v for v in compute.get_shared() if isinstance(v.type, RandomType)]


def log_density(residual, f, s, observed, positive=False):
    """Log-density of the measurements of an `ObservedOutcome`, (sample, record)."""
    limits = censoring.limits(observed.values, observed.lower, observed.upper)
    parts = parts_at(residual, s, observed)
    special = (observed.censored | positive) & (not residual.folds)  # tails cost much more than a density
    f = f[..., : observed.nodes.time.shape[1]] if residual.folds else f
    if not special.any():
        return _density(residual, _shapes(parts), False, positive)(*(x[None] for x in limits), f, *parts.values())
    found = np.empty(f.shape[:2])
    for censored, here in ((False, ~special), (True, special)):
        if not here.any():
            continue
        compute = _density(residual, _shapes(parts), censored, positive)
        step = max(1, CHUNK // 20 // here.sum()) if censored else len(f)
        for i in range(0, len(f), max(1, step)):
            rows = slice(i, i + step)
            given = (x[None, here] for x in limits)
            found[rows, here] = compute(*given, f[rows, here], *_cut(parts, rows, here))
    return found


def slopes(residual, f, s, observed, positive=False):
    """Log-density of the measurements of an `ObservedOutcome`, its slope in the prediction and minus its curvature,
    (record,) or (draw, record) as the predictions ``f``. ``s`` holds the residual's parts, numbers or (term,).

    The curvature is the expected one where the residual gives it. Otherwise it is the mean of those at measurements one
    scatter above and below the prediction, which is the expected one of a normal residual; of censored records it is
    their own. The scatter follows from the height of the density.
    """
    limits = [x[None] for x in censoring.limits(observed.values, observed.lower, observed.upper)]
    special = observed.censored | positive
    every = np.atleast_2d(f)
    draws, found = len(every), np.zeros((3, *every.shape))
    parts = parts_at(residual, _one(s), observed)
    for censored, here in ((False, ~special), (True, special)):
        if here.any():
            compute, at = _slopes(residual, _shapes(parts), censored, positive), every[:, here].reshape(1, -1)
            given, own = [np.tile(x[:, here], draws) for x in limits], _cut(parts, slice(None), here)
            own = [np.tile(x, draws) if x.shape[1] > 1 else x for x in own]
            value, slope, curvature = compute(*given, at, *own)
            if not (censored or _expects(residual)):
                scatter = np.exp(-_heights(residual, at, dict(zip(parts, own, strict=True)))) / np.sqrt(2 * np.pi)
                apart = np.exp(scatter / at) if residual.positive else None
                pair = (at * apart, at / apart) if residual.positive else (at + scatter, at - scatter)
                curvature = sum(compute(y, *given[1:], at, *own)[2] for y in pair) / 2
            found[:, :, here] = np.reshape([value, slope, np.maximum(-curvature, 0.0)], (3, draws, -1))
    return found.reshape(3, *np.shape(f))


def _one(s):
    """Parts of one sample, (1,) or (1, term)."""
    return {part: np.asarray(values, dtype=float)[None] for part, values in s.items()}


@remembered
def _expects(residual):
    """Whether a residual gives the information it expects."""
    parts = {part: pt.dcol(part) for part in (*residual.priors(1.0), *residual.columns)}
    return residual.information(pt.dmatrix("f"), Named(**parts)) is not None


def heights(residual, f, s, observed=None):
    """How closely measurements tell predictions ``f``, (record,), see `Residual.height`, by the mean record."""
    parts = parts_at(residual, _one(s), observed)
    mean = {part: x.mean(axis=1, keepdims=True) for part, x in parts.items()}
    # of a part with a formula the mean is that on the formula's scale
    mean |= {k: np.exp(np.log(parts[k]).mean(axis=1, keepdims=True)) for k, x in s.items() if np.ndim(x)}
    return _heights(residual, f[None], mean)[0]


def _heights(residual, f, parts):
    return _height(residual, _shapes(parts))(f, *parts.values())


@remembered
def _height(residual, parts):
    prediction, tensors = pt.dmatrix("f"), _given(residual, parts)[1]
    height = residual.height(prediction, Named(**tensors))
    return _function([prediction, *tensors.values()], height, UNCHECKED)


def distances(residual, f, s, observed, positive=False):
    """How many scatters the measurements of an `ObservedOutcome` lie above predictions ``f``, (record,).

    The integral of 1 / scatter from one to the other, which is the logarithm of a ratio where the scatter is
    proportional; 0 for censored records.
    """
    found = np.zeros(len(f))
    if _expects(residual):
        return found
    here = ~(observed.censored | positive) & np.isfinite(f) & np.isfinite(observed.values)
    at, y = f[here], observed.values[here]
    both = (at > 0) & (y > 0)
    ratio = np.log(np.divide(y, at, out=np.ones_like(y), where=both))
    share = (NODES[:, None] + 1) / 2
    x = np.where(both, at * np.exp(share * ratio), at + share * (y - at))
    parts = parts_at(residual, _one(s), observed)
    each = np.exp(_heights(residual, x, dict(zip(parts, _cut(parts, slice(None), here), strict=True))))
    found[here] = WEIGHTS / 2 @ (np.sqrt(2 * np.pi) * each * np.where(both, x * ratio, y - at))
    return found


@remembered
def _slopes(residual, parts, censored, positive):
    prediction, tensors, limits, density = _terms(residual, parts, censored, positive)
    slope = pt.grad(density.sum(), prediction)
    expected = None if censored else residual.information(prediction, Named(**tensors))
    bent = pt.grad(slope.sum(), prediction, disconnected_inputs="ignore") if expected is None else -expected
    return _function([*limits, prediction, *tensors.values()], [density, slope, bent], UNCHECKED)


def _given(residual, parts):
    return (pt.dtensor3 if residual.folds else pt.dmatrix)("f"), {
        name: pt.tensor(name, dtype="float64", shape=shape) for name, *shape in parts
    }


@remembered
def _density(residual, parts, censored, positive):
    prediction, tensors, limits, density = _terms(residual, parts, censored, positive)
    # Without scatter there is no density, not an error: a particle of a forecast then has no weight.
    mode = FILLED.including("local_remove_check_parameter")
    return _function([*limits, prediction, *tensors.values()], density, mode, trust=True)


def _terms(residual, parts, censored, positive):
    prediction, tensors = _given(residual, parts)
    s, limits = Named(**tensors), [pt.drow("measured"), pt.drow("lower"), pt.drow("upper")]
    if censored:
        density = censoring.log_density(residual, prediction, s, *limits, positive)
    else:
        first = prediction[..., 0] if residual.folds else prediction
        density = pm.logp(residual.likelihood(prediction, s), limits[0] + pt.zeros_like(first))
    return prediction, tensors, limits, density
