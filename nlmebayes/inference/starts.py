"""Where chains start: a pooled fit of typical values, then the pilot, then draws around what it found."""

import dataclasses
import itertools
import logging

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.pytensorf import join_nonshared_inputs, rewrite_pregrad
from pytensor.compile.mode import get_mode
from scipy import linalg, optimize

from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import improper
from nlmebayes.formula.coefficients import Turned
from nlmebayes.formula.grouping import CENTRED, TRANSPORT
from nlmebayes.inference import pilot as piloting
from nlmebayes.model.build import assemble, independent
from nlmebayes.model.hierarchy import location_of
from nlmebayes.model.model import Model
from nlmebayes.outcomes.residual import Combined
from nlmebayes.runtime.uncompiled import UNCOMPILED, uncompiled

log = logging.getLogger("nlmebayes")

PLACES, TRIED = 20, 2  # draws from the prior where the pooled fit might start, and from how many of them it does
SHIFTS = (-6.9, -4.6, -2.3, 2.3, 4.6, 6.9)  # a thousand, a hundred and ten times where a prior SD is a factor e
DRAWS = 500  # of a prior, for its mean and SD
SCATTER = 0.5  # of the starts, in SDs of the pilot's approximation
EXACT = 1e-6  # of the range of the measurements: those that are nearer to their predictions have no scatter
FEW = 3  # measurements, of fewer of which nothing is said


def pilot(model: Model, design):
    """The `Pilot` of a model on a design, from its typical start; for a model without random effects too.

    Raises
    ------
    ModelError
        The measurements have no density at the typical values, or one without bound; names the first row.
    """
    pooled = _pooled(model, design)
    start = typical_start(model, design, pooled)
    theta, prior = {}, _prior_of_fixed(model, design, pooled)
    for p in model.parameters:
        theta[p.name] = np.atleast_1d(start.get(f"theta_{p.name}", np.zeros(0)))
    sigma = {}
    for o in design.outcomes:
        parts = independent(model, design)[0].residual_of(o.name).priors(1.0)
        sigma[o.name] = {part: np.asarray(start[f"sigma_{o.name}_{part}"]) for part in parts}
    found = piloting.run(*independent(model, design), theta, sigma, prior)
    _refuse_zeros(model, design, found)
    return found


def _refuse_zeros(model, design, found):
    """Refuse zeros that are predicted exactly, as before a dose, where nothing else was measured there: additive and
    proportional scatter together could then have no additive part at all, with a density without bound.
    """
    for o in design.outcomes:
        if isinstance(model.residual_of(o.name).alone, Combined):
            zero = np.flatnonzero((found.f[o.name] == 0) & ~o.censored)
            if len(zero) and (o.values[zero] == 0).all():
                raise ModelError(
                    f"{len(zero)} values of {o.name} are 0 where the prediction is 0, first row {o.row[zero[0]]}: they "
                    "tell nothing but that the additive error is 0. Leave them out (before a dose there is nothing to "
                    "measure), or make them censored at the limit of quantification"
                )


def _pooled(model, design):
    """The PyMC model without random effects."""
    priors = {k: v for k, v in model.priors.items() if k.startswith(("theta_", "sigma_"))}
    return assemble(model.but(priors=priors), dataclasses.replace(design, levels=()))[0]


def _prior_of_fixed(model, design, pooled):
    """Mean and precision of the fixed effects' priors, (term,) each by parameter; an improper one tells nothing."""
    free = [v for v in pooled.free_RVs if v.name.startswith("theta_")]
    proper = [v for v in free if not improper(v)]
    drawn = pm.draw(proper, draws=DRAWS, random_seed=0, mode=UNCOMPILED) if proper else []
    found = {v.name: (x.mean(axis=0), 1 / x.var(axis=0)) for v, x in zip(proper, drawn, strict=True)}
    none = {p.name: np.zeros(len(design.fixed[p.name].terms)) for p in model.parameters}
    return {name: found.get(f"theta_{name}", (zero, zero)) for name, zero in none.items()}


@uncompiled()
def initial_points(built, design, found):
    """A function of a seed that gives unconstrained values of the free variables, (coordinate,): draws of what the
    pilot ``found``, on the design whose parametrisations are settled, drawn together by `SCATTER`."""
    start, spread = _values(design, found)
    names = [rv.name for rv in built.free_RVs]
    values = _unconstrained(built, {k: v for k, v in start.items() if k in built.named_vars})
    if not all(np.isfinite(v).all() for v in values):  # a prior whose bounds the pilot does not know excludes it
        each = zip(values, _unconstrained(built, {}), strict=True)
        values = [np.where(np.isfinite(v), v, usual) for v, usual in each]
    centre = np.concatenate([np.ravel(value) for value in values])
    each = [np.broadcast_to(spread.get(k, 0.1), np.shape(v)) for k, v in zip(names, values, strict=True)]
    width = SCATTER * np.concatenate([np.ravel(x) for x in each])
    where = dict(
        zip(names, np.split(np.arange(len(centre)), np.cumsum([np.size(v) for v in values])[:-1]), strict=True)
    )
    fixed = np.concatenate([where.get(f"theta_{name}", np.zeros(0, dtype=int)) for name in found.theta])
    turn = linalg.block_diag(*[_turn(built, f"theta_{name}", len(x)) for name, x in found.theta.items() if len(x)])
    chol = turn @ np.linalg.cholesky(found.covariance + 1e-12 * np.eye(len(found.covariance)))

    def initial(seed=None):
        rng = np.random.default_rng(seed)
        value = centre + width * rng.standard_normal(len(centre))
        value[fixed] = centre[fixed] + SCATTER * chol @ rng.standard_normal(len(fixed))
        return value

    return initial


def _turn(built, name, n):
    """What takes small changes of a variable to those of the sampler's coordinates, (coordinate, coordinate)."""
    transform = built.rvs_to_transforms.get(built[name])
    return transform.matrix if isinstance(transform, Turned) else np.eye(n)


def _unconstrained(built, given):
    """Values of the free variables on their unconstrained scale; those that are not ``given`` by name at the middle of
    their prior."""
    point = pm.initial_point.make_initial_point_fn(
        model=built, overrides=given, jitter_rvs=set(), default_strategy="support_point", return_transformed=True
    )(None)
    return [point[built.rvs_to_values[rv].name] for rv in built.free_RVs]


def _values(design, found):
    """Values of the free variables by name, and how far their logarithms or they themselves may be off."""
    start = {f"theta_{name}": values for name, values in found.theta.items() if len(values)}
    spread = {}
    records = sum(len(o.values) for o in design.outcomes)
    for outcome, parts in found.sigma.items():
        start |= {f"sigma_{outcome}_{part}": value for part, value in parts.items()}
        spread |= {f"sigma_{outcome}_{part}": 1 / np.sqrt(2 * records) for part in parts}
    for level in design.levels:
        factor, eta, groups = found.factor[level.name], found.eta[level.name], len(level.labels)
        omega = np.sqrt(np.einsum("ab,ab->a", factor, factor))
        start[f"omega_{level.name}"], spread[f"omega_{level.name}"] = omega, 1 / np.sqrt(2 * groups)
        spread[f"z_{level.name}"] = 1.0
        for block in level.blocks:
            k = np.array(block.effects)
            if block.parametrisation == TRANSPORT:
                continue
            name = block.variable(level)
            if block.parametrisation == CENTRED:
                others = {other: values for other, values in found.eta.items() if other != level.name}
                location = location_of(design, level, k, found.theta, others).eval(mode=UNCOMPILED)
                start[f"phi_{name}"], spread[f"phi_{name}"] = location + eta[:, k], 0.3 * omega[k]
            else:
                part = factor[np.ix_(k, k)]
                start[f"z_{name}"], spread[f"z_{name}"] = np.linalg.solve(part, eta[:, k].T).T, 0.3
    return start, spread


def typical_start(model: Model, design, pooled=None):
    """Posterior mode of the model without random effects: theta and sigma by name.

    A poor estimate of the population, but a start on the right side of every ridge. The search runs on the
    unconstrained scale in units of the prior SDs. ``pooled`` is that model, if it is there already.

    Raises
    ------
    ModelError
        The measurements have no density at the declared typical values; names the records.
    """
    pooled = _pooled(model, design) if pooled is None else pooled
    if not pooled.free_RVs:
        return {}
    scale = _spreads(pooled, np.random.default_rng(0))
    objective = _log_density(pooled)
    point = pooled.initial_point(random_seed=0)
    origin = pm.blocking.DictToArrayBijection.map({v.name: point[v.name] for v in pooled.value_vars})

    size = 10.0 * sum(len(o.values) for o in design.outcomes)

    def negative(step):
        """Minus the log-density, and its gradient; far out (10^26) drawn in, lest the first step be the last."""
        with np.errstate(all="ignore"):
            value, gradient = objective(origin.data + scale * step)
        finite = np.isfinite(value) and np.isfinite(gradient).all()
        if not finite:
            return 1e4 * size, np.zeros_like(step)
        return -size * np.arcsinh(value / size), -gradient * scale / np.hypot(1.0, value / size)

    if not np.isfinite(objective(origin.data)[0]):
        _explain(model, pooled, point)
    rng = np.random.default_rng(0)
    places = [np.zeros_like(origin.data), *(rng.standard_normal((PLACES, len(origin.data))) * (scale > 0))]
    places[1:] = sorted(places[1:], key=lambda place: negative(place)[0])[:TRIED]

    def searched(places):
        runs = [optimize.minimize(negative, x, jac=True, method="L-BFGS-B", options={"maxiter": 500}) for x in places]
        return min(runs, key=lambda run: run.fun)

    best = searched(places)
    if not model.structure.fallible and -size * np.sinh(best.fun / size) < _unexplained(design):
        # no better than a mean: perhaps in other units, where even this residual is likelier
        far = min(_elsewhere(best.x, _typical(design, pooled, point)), key=lambda place: negative(place)[0])
        if negative(far)[0] < best.fun:
            best = searched([far])
    values = pm.blocking.DictToArrayBijection.rmap(
        pm.blocking.RaveledVars(origin.data + scale * best.x, origin.point_map_info)
    )
    log.info("start: pooled fit, log-density %.2f after %d steps", -size * np.sinh(best.fun / size), best.nit)
    return _natural(pooled, values)


def _unexplained(design):
    """Log-density of the measurements as normal, without any prediction."""
    total = 0.0
    for o in design.outcomes:
        values = o.values[np.isfinite(o.values)]
        spread = values.std() if len(values) else 0.0
        total -= len(values) * np.log(spread * np.sqrt(2 * np.pi * np.e)) if spread > 0 else 0.0
    return total


def _typical(design, pooled, point):
    """Coordinates of the typical values among those of the pooled model, whose values are as many as in ``point``."""
    found, start = [], 0
    for variable in pooled.free_RVs:
        name = variable.name.removeprefix("theta_")
        if variable.name.startswith("theta_") and "Intercept" in design.fixed[name].terms:
            found.append(start + design.fixed[name].terms.index("Intercept"))
        start += np.size(point[pooled.rvs_to_values[variable].name])
    return found


def _elsewhere(x, coordinates):
    """Places in which one or two coordinates, or all, are some prior SDs off."""
    whole = tuple(coordinates)
    for some in dict.fromkeys((*itertools.combinations(whole, 1), *itertools.combinations(whole, 2), whole)):
        for shift in SHIFTS:
            place = x.copy()
            place[list(some)] += shift
            yield place


def _log_density(built):
    """A function of the unconstrained values (coordinate,) that gives the log-density and its gradient, uncompiled.

    The terms stay a stack: there is one for each variable and outcome, and NumPy adds no more than 32 at once.
    """
    terms = rewrite_pregrad(built.logp(sum=False))
    whole, point = pt.stack([term.sum() for term in terms]).sum(), built.initial_point(random_seed=0)
    gradient = pt.concatenate([slope.ravel() for slope in pt.grad(whole, built.value_vars)])
    outputs, values = join_nonshared_inputs(point, [whole, gradient], built.value_vars)
    mode = get_mode(UNCOMPILED).excluding("local_sum_make_vector")
    return pm.compile([values], outputs, mode=mode)


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


def _explain(model, built, point):
    """Raise an error that names the records, or the variable, without a density at the start."""
    for outcome in built.observed_RVs:
        terms = built.compile_fn(built.logp(vars=outcome, sum=False), mode=UNCOMPILED)(point)[0]
        f = built.compile_fn(
            built.replace_rvs_by_values([built[f"f_{outcome.name}"]]), inputs=built.value_vars, mode=UNCOMPILED,
            on_unused_input="ignore",
        )(point)[0]  # fmt: skip
        bad = np.flatnonzero(~np.isfinite(terms) | np.isnan(f))
        bad = bad[f[bad] == 0] if (f[bad] == 0).any() else bad  # one record without scatter spoils the density of all
        if bad.size:
            rows = np.asarray(built.coords[f"{outcome.name}_obs"])[bad]
            raise ModelError(
                f"{bad.size} values of {outcome.name} have no density at the typical values, first row {rows[0]}, "
                f"where the prediction is {f[bad[0]]:g}: {model.residual_of(outcome.name)} has no scatter there, or "
                "the prediction is not finite. Use a residual with an additive part, such as Combined(), state other "
                "typical values, or leave these records out"
            )
    raise ModelError("the log-density is not finite at the typical values; check the priors")


def check_scatter(design, found):
    """Refuse measurements that lie on their predictions: their SD has no lower end, and the density no upper one."""
    for o in () if found.failure else design.outcomes:  # a pilot that failed has the measurements for predictions
        measured = np.isfinite(o.values) & ~o.censored
        if o.nodes is not None or o.name not in found.f or measured.sum() < FEW:
            continue
        away = np.abs(o.values - found.f[o.name])[measured]
        if away.max() < EXACT * np.ptp(o.values[measured]):
            raise ModelError(
                f"{o.name}: the measurements lie on the predictions of the model, at most {away.max():.2g} away, so "
                "there is no residual scatter to estimate. Simulated data need a measurement error"
            )
