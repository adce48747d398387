"""The model's graph evaluated for many draws at once, on arrays with a leading axis of draws.

Nothing is compiled: one evaluation serves all draws at NumPy speed, without waiting. `Draws` holds a population,
`effects` gives the groups of a design their random effects, `evaluator` their parameters and predictions; the scatter
around them is in `measurement`.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import get_mode

from nlmebayes.errors import ModelError
from nlmebayes.model import hierarchy
from nlmebayes.model.build import BARRIER, barrier
from nlmebayes.runtime.threads import in_turns, remembered
from nlmebayes.runtime.uncompiled import UNCOMPILED
from nlmebayes.structure.structure import Named

FILLED = get_mode(UNCOMPILED).including("local_second_to_alloc")  # without it zeros_like loops in Python
UNCHECKED = get_mode(UNCOMPILED).including("local_remove_check_parameter")
DRIFT = "nlmebayes_drift"  # attribute of a group: `Draws.drift`
CHUNK = 2_000_000  # numbers in one array of an evaluation
_ARRAYS = WeakKeyDictionary()  # design -> structure -> arrays


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


def spread(draws, many):
    """So many draws, evenly spaced among those that there are, or all of them again and again."""
    if many <= draws.size:
        return draws.take(np.linspace(0, draws.size - 1, many).astype(int))
    return draws.take(np.resize(np.arange(draws.size), many))


def middle(population):
    """One population: the mean of the draws, with the SDs and correlations of effects at their mean."""
    if population.size == 1:
        return population
    first = population.take(np.array([0]))
    means = [{k: v.mean(axis=0, keepdims=True) for k, v in getattr(population, name).items()} for name in
             ("theta", "omega", "corr", "eta")]  # fmt: skip
    sigma = {o: {k: v.mean(axis=0, keepdims=True) for k, v in parts.items()} for o, parts in population.sigma.items()}
    return replace(first, theta=means[0], omega=means[1], corr=means[2], eta=means[3], sigma=sigma)


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
    return getattr(variable.owner.op, "name", None) in ("flat", "half_flat")


def effects(design, draws: Draws, rng):
    """Random effects of the design's groups, level -> (sample, group, effect): known ones kept, new ones drawn."""
    eta = {}
    for level in design.levels:
        z = rng.standard_normal((draws.size, len(level.labels), len(level.effects)))
        values = z @ draws.cholesky(level.name).transpose(0, 2, 1)
        values = _walked(level, draws, values) if level.name == draws.drift else values
        eta[level.name] = keep_known(level, draws, values)
    return eta


def no_effects(design, draws: Draws):
    """Random effects of zero: those of typical people."""
    return {v.name: np.zeros((draws.size, len(v.labels), len(v.effects))) for v in design.levels}


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
    compute = _graph(model.structure, model.scales, levels, _kinds(shared), _kinds(own), names)
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
    compute = _predictions(model.structure, model.scales, _kinds(own), names)
    step = max(1, CHUNK // max(len(design.labels), *(len(v) for v in own.values())))

    def predict(linear):
        parts = [compute(linear[i : i + step], *own.values()) for i in range(0, len(linear), step)]
        found = parts[0] if len(parts) == 1 else [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        return {o.name: o.folded(x) for o, x in zip(design.outcomes, found[:-1], strict=True)}, found[-1]

    return predict


@remembered
def _predictions(structure, links, own, names):
    linear, arrays, phi, f = _of_linear(structure, links, own, names)
    order = sum(_log_sigmoid(gap(Named(**phi)) / BARRIER) for gap in structure.order) + linear[:, 0] * 0.0
    inputs, outputs = [linear, *arrays.values()], [*(f[name] for name in names), order]
    return function(inputs, outputs, FILLED, trust=True)  # they are arrays of these kinds


def _log_sigmoid(x):
    """As `softplus` has it, of which the uncompiled one is a loop in Python."""
    return pt.minimum(x, 0.0) - pt.log1p(pt.exp(-pt.abs(x)))


def _of_linear(structure, links, own, names):
    """Tensors: linear predictors (draw, parameter, unit), arrays, parameters and predictions (draw, record) by name."""
    linear = pt.dtensor3("linear")
    phi = {name: link.inverse(linear[:, i]) for i, (name, link) in enumerate(links)}
    arrays = {name: pt.tensor(name, dtype=dtype, shape=(None,) * ndim) for name, dtype, ndim in own}
    f = structure.predict(Named(**phi), Named(**arrays), names)
    return linear, arrays, phi, {name: f[name] + linear[:, 0, :1] * 0.0 for name in names}


def differentiator(model, design):
    """A function of linear predictors (draw, parameter, unit) and of weights by outcome (draw, record): predictions by
    outcome (draw, record), and the slopes of the weighted sum of each draw's predictions in its linear predictors,
    (draw, parameter, unit), exact."""
    own = _arrays(model.structure, design)
    names = tuple(o.name for o in design.outcomes)
    compute = _differentiated(model.structure, model.scales, _kinds(own), names)
    step = max(1, CHUNK // max(len(design.labels), *(len(v) for v in own.values())))

    def differentiate(linear, weights):
        each = [weights[name] for name in names]
        parts = [compute(linear[i : i + step], *(w[i : i + step] for w in each), *own.values())
                 for i in range(0, len(linear), step)]  # fmt: skip
        *f, slope = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
        return dict(zip(names, f, strict=True)), slope

    return differentiate


@remembered
def _differentiated(structure, links, own, names):
    linear, arrays, _, f = _of_linear(structure, links, own, names)
    weights = {name: pt.dmatrix(f"weight_{name}") for name in names}
    slope = pt.grad(sum((weights[name] * f[name]).sum() for name in names), linear)
    return function([linear, *weights.values(), *arrays.values()], [*f.values(), slope], FILLED)


def function(inputs, outputs, mode, trust=False):
    """A graph as a function for one thread at a time; ``trust`` where arguments are arrays of its kinds."""
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
def _graph(structure, links, levels, shared, own, names):
    """The evaluation as a function of draws and data arrays; new data of the same kind need no new graph."""
    theta = {name: pt.dmatrix(f"theta_{name}") for name, _ in links}
    eta = {level.name: pt.dtensor3(f"eta_{level.name}") for level in levels}
    x, arrays = (
        {name: pt.tensor(name, dtype=dtype, shape=(None,) * ndim) for name, dtype, ndim in kinds}
        for kinds in (shared, own)
    )
    phi = hierarchy.individual(links, levels, x, theta, eta)
    f = structure.predict(Named(**phi), Named(**arrays), names)
    each_draw = sum(value[:, :1] * 0.0 for value in phi.values())  # (sample, 1), for laws without parameters
    order = sum(barrier(gap(Named(**phi))) for gap in structure.order) + each_draw[:, 0]
    inputs = [*theta.values(), *eta.values(), *x.values(), *arrays.values()]
    outputs = [*phi.values(), *(f[name] + each_draw for name in names), order]
    return function(inputs, outputs, FILLED)
