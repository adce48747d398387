"""`build`: the PyMC graph of a model on a dataset, and the pieces of it that arrays of draws go through too."""

from dataclasses import replace

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nlmebayes.arguments import checked
from nlmebayes.errors import ModelError
from nlmebayes.formula.design import Design, resolve
from nlmebayes.formula.sigma import link_of, scale_prior
from nlmebayes.model import hierarchy, transport
from nlmebayes.model.agreement import check_doses, check_names, check_residuals
from nlmebayes.model.model import Data, Model
from nlmebayes.outcomes import censoring
from nlmebayes.outcomes.hazards import Rows
from nlmebayes.outcomes.residual import scale_of
from nlmebayes.parameter.variables import Variables
from nlmebayes.structure.structure import Named

LARGE = 20_000  # numbers in an array that is never made a constant
BARRIER = 0.02  # width of the barrier of an order constraint: a log-ratio of 0.1 costs exp(-5)


@checked
def build(model: Model, data: Data) -> pm.Model:
    """The PyMC model of ``model`` on ``data``, with named dims, for use with any PyMC tool.

    Free variables ``theta_<parameter>``, ``omega_<level>``, ``sigma_<outcome>_<part>`` and the standardised
    effects; deterministics ``eta_<level>``, ``corr_<level>``, the individual parameters and ``f_<outcome>``;
    observed variables under the outcomes' own names. All that differs between datasets is ``pm.Data``.

    Parameters
    ----------
    model : Model
    data : Dataset

    Returns
    -------
    pymc.Model

    Raises
    ------
    FormulaError, DataError, ModelError
        The statement does not fit together, or does not fit the data.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import LinearMixed
    >>> built = nb.build(nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)"), nb.datasets.dyestuff())
    >>> [variable.name for variable in built.free_RVs]
    ['theta_mu', 'omega_Batch', 'sigma_Yield_a', 'z_Batch']
    """
    return assemble(model, designed(model, data, measured=True))[0]


def designed(model, data, *, measured=False) -> Design:
    """The design of a model on a dataset; ``measured`` asks for every measurement."""
    missing = data.observations["row"][data.observations["value"].isna()]
    if measured and len(missing):
        raise ModelError(f"row {missing.iloc[0]} has no measurement: these data are for prediction, not for a fit")
    design = resolve(model, data)
    known = {p.name for p in model.structure.parameters} | {level.name for level in design.levels}
    if isinstance(model.parametrisation, dict):
        for key in model.parametrisation:
            for name in key if isinstance(key, tuple) else (key,):
                if name not in known:
                    raise ModelError(
                        f"parametrisation: no parameter or level {name!r}; there are {', '.join(sorted(known))}"
                    )
    return design


def assemble(model: Model, design: Design, information=None, *, fixed=False):
    """The PyMC model of a resolved design, and the `Variables` with its priors.

    ``information``, of the levels that are transported, is that of `transport.Information`. ``fixed``: all data but
    measurements and information are constants, unless they are large; such a model compiles faster.
    """
    check_names(model, design)
    check_doses(model, design)
    check_residuals(model, design)
    design = replace(design, outcomes=tuple(o.fitted for o in design.outcomes))
    variables = Variables(model.priors)
    given = model.structure.arrays(design)
    lengths = {dims[0]: range(len(values)) for values, dims in given.values() if dims}
    with pm.Model(coords=lengths | coordinates(design)) as built:
        x = {name: _data(name, *value, fixed) for name, value in hierarchy.arrays(design).items()}
        scale = hierarchy.scale_of_data(model, design)
        theta, spread = hierarchy.add_law(design, model.parameters, scale, variables)
        sigma = {o.name: _add_residual(model, design, o, variables) for o in design.outcomes}
        precisions = _precisions(model, design, sigma, information) if information else None
        eta = hierarchy.add_effects(design, theta, spread, information, precisions)
        phi = hierarchy.individual(model.scales, design.levels, x, theta, eta)
        phi = {name: pm.Deterministic(name, value, dims="unit") for name, value in phi.items()}
        for gap in model.structure.order:
            pm.Potential(f"order_{gap.__name__}", barrier(gap(Named(**phi))))
        own = Named(**{name: _data(name, *value, fixed) for name, value in given.items()})
        f = model.structure.predict(Named(**phi), own, tuple(o.name for o in design.outcomes))
        for observed in design.outcomes:
            s = _at_records(model, observed, sigma[observed.name], fixed)
            _add_outcome(model, design, observed, f[observed.name], s)
        variables.finish()
    return built, variables


def by_node(model, design):
    """A model and design in which the nodes of event times are records of their own."""
    each = {o.name: model.residual_of(o.name) for o in design.outcomes}
    if not any(residual.folds for residual in each.values()):
        return model, design
    rows = replace(design, outcomes=tuple(o.fitted.asked for o in design.outcomes))
    return model.but(residual={k: Rows() if residual.folds else residual for k, residual in each.items()}), rows


def independent(model, design):
    """The same, with every record alone: as a pilot takes them."""
    model, design = by_node(model, design)
    each = {o.name: model.residual_of(o.name) for o in design.outcomes}
    if not any(residual.correlated for residual in each.values()):
        return model, design
    return model.but(residual={name: residual.alone for name, residual in each.items()}), design


def _data(name, value, dims, fixed):
    return pt.constant(value, name=name) if fixed and value.size <= LARGE else pm.Data(name, value, dims=dims)


def barrier(gap):
    """Soft barrier that keeps ``gap`` positive, summed over units (last axis): log sigmoid(gap / BARRIER)."""
    return -pt.softplus(-gap / BARRIER).sum(axis=-1)


def coordinates(design: Design):
    """Coordinates of the PyMC model and of the tree."""
    coords = {"unit": list(design.labels)}
    for name, matrix in design.fixed.items():
        coords[f"{name}_term"] = list(matrix.terms)
        smooths = list(dict.fromkeys(filter(None, matrix.smooths)))
        coords |= {f"{name}_smooth": smooths} if smooths else {}
    for level in design.levels:
        names = [effect.name for effect in level.effects]
        coords |= {
            level.name: list(level.labels),
            f"{level.name}_effect": names,
            f"{level.name}_effect_other": names,
        }
    coords |= {f"sigma_{o}_{part}_term": list(matrix.terms) for (o, part), matrix in design.scales.items()}
    return coords | {f"{o.name}_obs": o.row for o in design.outcomes}


def _add_residual(model, design, observed, variables):
    """The free parts of an outcome's residual by name: numbers, or coefficients of those with a formula, (term,)."""
    found = {}
    for part, prior in model.residual_of(observed.name).priors(scale_of(observed.values)).items():
        name, matrix = f"sigma_{observed.name}_{part}", design.scales.get((observed.name, part))
        if matrix is None:
            found[part] = variables.add(name, prior, None, ())
        else:
            found[part] = variables.add(name, scale_prior(prior, matrix), f"{name}_term", matrix.terms)
    return found


def _at_records(model, observed, parts, fixed):
    """Parts and columns of a residual as its likelihood takes them."""
    name = observed.name
    dims = {1: (f"{name}_obs",), 2: None}
    data = {part: _data(f"{name}_{part}", x, dims[x.ndim], fixed) for part, x in observed.columns.items()}
    each = {part: (f"X_sigma_{name}_{part}", x, (*dims[1], f"sigma_{name}_{part}_term"))
            for part, x in observed.scales.items()}  # fmt: skip
    residual = model.residual_of(name)
    parts = parts | {
        part: link_of(residual, part).inverse(_data(*given, fixed) @ parts[part]) for part, given in each.items()
    }
    return Named(**parts, **data)


def _on_average(model, observed, parts):
    """Parts and columns of a residual at the mean record."""
    residual = model.residual_of(observed.name)
    parts = parts | {
        part: link_of(residual, part).inverse(pt.dot(x.mean(axis=0), parts[part]))
        for part, x in observed.scales.items()
    }
    return Named(**parts, **{part: float(x.mean()) for part, x in observed.columns.items()})


def _precisions(model, design, sigma, information):
    """How much more the measurements of each outcome say than in the pilot, (outcome,): the square of the scatter there
    by the one here, at the predictions that stand for all."""
    data = {name: transport.fixed_data(name, value) for name, value in information.scatter().items()}
    log_precision = []
    for k, observed in enumerate(design.outcomes):
        s = _on_average(model, observed, sigma[observed.name])
        log_precision.append(model.residual_of(observed.name).log_precision(data["transport_f"][k], s).mean())
    return pt.exp(2 * (pt.stack(log_precision) - data["transport_log_precision"]))


def _add_outcome(model, design, observed, f, s):
    name, residual = observed.name, model.residual_of(observed.name)
    _possible(observed, residual, design.positive)
    if residual.folds:
        f = f.reshape((len(observed.row), -1))
        pm.Deterministic(f"f_{name}", (f * (s.until + s.within)).sum(axis=-1), dims=f"{name}_obs")
    else:
        f = pm.Deterministic(f"f_{name}", f, dims=f"{name}_obs")
    if model.structure.fallible:  # a point without a prediction has no density, but its gradient is finite
        known = ~pt.isnan(f)
        pm.Potential(f"solved_{name}", pt.switch(pt.all(known), 0.0, -np.inf))
        f = pt.switch(known, f, 1.0)
    # missing ones are only simulated, never fitted
    known = np.where(np.isnan(observed.values) & (~observed.censored | residual.folds), 1.0, observed.values)
    if residual.correlated or (not residual.folds and (observed.censored.any() or design.positive)):
        limits = known, observed.lower, observed.upper
        censoring.register(residual, f, s, *limits, name, f"{name}_obs", design.positive)
        return
    values = pm.Data(f"{name}_observed", known, dims=f"{name}_obs")
    pm.modelcontext(None).register_rv(residual.likelihood(f, s), name, observed=values, dims=(f"{name}_obs",))


def _possible(observed, residual, positive):
    """Measured values have a density."""
    measured = ~observed.censored & np.isfinite(observed.values)
    bad = np.flatnonzero(measured & residual.outside(observed.values, observed.columns))
    if bad.size:
        read = {} if residual.correlated else observed.columns
        columns = "".join(f", {name} = {x[bad[0]]:g}" for name, x in read.items())
        raise ModelError(
            f"row {observed.row[bad[0]]}: {observed.name} = {observed.values[bad[0]]:g}{columns}, to which {residual} "
            f"gives no density; use another residual (this one takes {residual.values})"
        )
    bad = np.flatnonzero(measured & (observed.values <= 0)) if positive else bad
    if bad.size:
        raise ModelError(f"row {observed.row[bad[0]]}: {observed.name} is not positive, and blq='M4' says it is")
