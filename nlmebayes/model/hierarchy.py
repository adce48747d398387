"""Formulas and levels -> individual parameters: link(phi_u) = X_u theta + sum over levels of Z_u eta.

`individual` is that sentence; it serves building, prediction and forecasting alike. `add_law` and `add_effects` put the
variables behind it into a PyMC model, with their priors and in the parametrisation asked for:

- non-centred: ``eta = z (diag(omega) L)'`` with ``z ~ Normal(0, 1)``: for sparse data;
- transport: moved to where the data put them, see `transport`: for any data that a pilot has seen;
- centred: ``phi ~ Normal(location, Omega)``, ``eta = phi - location``, where the location holds the fixed effects
  that are constant within the group and the same effect at outer levels: for rich data
  (Papaspiliopoulos, Roberts and Sköld 2007, Stat. Sci. 22, 59-73).
"""

import math
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nlmebayes.formula import coefficients
from nlmebayes.formula.design import Design
from nlmebayes.formula.grouping import CENTRED, Effect, contains
from nlmebayes.formula.smooth import Shrunk
from nlmebayes.model import transport
from nlmebayes.outcomes.residual import scale_of
from nlmebayes.parameter.parameter import Identity, Parameter, Prior

LEVERAGE = 5.0  # of what slopes may do at the mean of a covariate, in spreads of the intercept


def arrays(design: Design):
    """Arrays that `individual` reads: name -> (array, dims). All of them differ between datasets."""
    found = {}
    for name, matrix in design.fixed.items():
        found[f"X_{name}"] = (matrix.values, ("unit", f"{name}_term"))
        if matrix.offset.any():
            found[f"offset_{name}"] = (matrix.offset, ("unit",))
    for level in design.levels:
        found[f"{level.name}_of_unit"] = (level.of_unit, ("unit",))
        if not (level.z == 1).all():
            found[f"Z_{level.name}"] = (level.z, ("unit", f"{level.name}_effect"))
    return found


def individual(links, levels, x, theta, eta):
    """Individual parameters, name -> tensor with a last axis over units.

    Parameters
    ----------
    links : (name, `Link`) of every parameter
    levels : the design's levels (their names and effects are read)
    x : mapping of the tensors of `arrays`
    theta : dict of tensors (..., term) by parameter
    eta : dict of tensors (..., group, effect) by level
    """
    phi = {}
    for name, link in links:
        linear = theta[name] @ x[f"X_{name}"].T
        if f"offset_{name}" in x:
            linear = linear + x[f"offset_{name}"]
        for level in levels:
            for k, effect in enumerate(level.effects):
                if effect.parameter == name:
                    each = eta[level.name][..., k][..., x[f"{level.name}_of_unit"]]
                    scaled = f"Z_{level.name}" in x and effect.column != "Intercept"
                    linear = linear + (each * x[f"Z_{level.name}"][:, k] if scaled else each)
        phi[name] = link.inverse(linear)
    return phi


@dataclass(frozen=True)
class Scale:
    """Mean and spread of the measurements, for parameters that take their prior from the data."""

    mean: float
    spread: float


def scale_of_data(model, design):
    """`Scale` of the measurements that are in the unit of their prediction; of all where there are none."""
    near = [o.values for o in design.outcomes if model.residual_of(o.name).comparable]
    values = np.concatenate(near or [o.values for o in design.outcomes])
    return Scale(float(np.nanmean(values)) if np.isfinite(values).any() else 0.0, scale_of(values))


def add_law(design, parameters, scale, variables):
    """Add theta, omega and corr to the current PyMC model; returns theta by parameter, and by level omega with the
    Cholesky factors of the correlations of its blocks."""
    theta = {}
    for p in parameters:
        matrix = design.fixed[p.name]
        if matrix.terms:
            prior = fixed_prior(p, matrix, scale)
            theta[p.name] = _add_fixed(p, matrix, prior, scale, variables)
        else:
            theta[p.name] = pt.zeros(0)
    by_name = {p.name: p for p in parameters}
    return theta, {level.name: _add_spread(level, by_name, scale, variables) for level in design.levels}


def _add_fixed(p, matrix, prior, scale, variables):
    """Add the fixed effects of a parameter, (term,); those of a smooth share its SD."""
    name, dim = f"theta_{p.name}", f"{p.name}_term"
    smooths = list(dict.fromkeys(filter(None, matrix.smooths)))
    if not smooths:
        sigma = np.array(list(prior.parameters["sigma"].values()))
        return variables.add(name, prior, dim, matrix.terms, coefficients.turned(matrix.values, sigma))
    spread = Prior("HalfNormal", sigma=dict.fromkeys(smooths, centre(p, scale)[2]))
    omega = variables.add(f"omega_{p.name}_smooth", spread, f"{p.name}_smooth", smooths)
    index = [smooths.index(smooth) if smooth else -1 for smooth in matrix.smooths]
    weight = (matrix.values**2).sum(axis=0) / centre(p, scale)[2] ** 2  # as if a unit told its value to its own spread
    transform = Shrunk(np.array(index) >= 0, weight)
    return variables.add_shrunk(name, prior, dim, matrix.terms, omega, index, transform)


def add_effects(design, theta, spread, information=None, precisions=None):
    """Add the random effects to the current PyMC model; returns eta by level, (group, effect), for `individual`.

    ``information``: of the levels that are transported (`transport.Information`); ``precisions``: that of each outcome.
    """
    eta, levels = {}, {level.name: level for level in design.levels}
    moved, beside = (information.levels, information.beside) if information else ((), ())
    for name in beside:
        eta[name] = _add_effects(design, levels[name], *spread[name], theta, eta)
    if moved:
        factors = {name: _factor(levels[name], *spread[name]) for name in moved}
        known = pt.concatenate([*theta.values(), *(eta[name].ravel() for name in beside)])
        eta |= transport.add_effects(information, levels, factors, known, precisions)
    for level in design.levels:
        if level.name not in eta:
            eta[level.name] = _add_effects(design, level, *spread[level.name], theta, eta)
        dims = (level.name, f"{level.name}_effect")
        eta[level.name] = pm.Deterministic(f"eta_{level.name}", eta[level.name], dims=dims)
    return eta


def centre(p: Parameter, scale: Scale):
    """(centre, spread, variation) of the default priors of a parameter, on the link scale."""
    if p.typical is None:
        middle = round(scale.mean, 2 - math.floor(math.log10(scale.spread)))  # to a hundredth of the spread
        spread = float(f"{scale.spread:.3g}")
        return float(p.scale.forward(middle)), 2.5 * spread, spread
    spread = p.scale.spread if p.spread is None else p.spread
    variation = p.variation or p.scale.variation or spread
    return float(p.scale.forward(p.typical)), spread, variation


def fixed_prior(p, matrix, scale):
    """Default prior of ``theta_<parameter>``: the parameter's own for the intercept (or cell means), 0 for slopes."""
    middle, spread, variation = centre(p, scale)
    if p.typical is None:  # what an offset takes away, measurements do not show
        spread = float(np.hypot(spread, spread / variation * matrix.offset.std()))
    return coefficients.prior(matrix, middle, spread, data=p.typical is None)


def doubts(model, design):
    """Sentences on fixed effects that default priors do not suit."""
    for p in model.parameters:
        matrix = design.fixed[p.name]
        yield from _combined(p, matrix)
        stated = model.priors.get(f"theta_{p.name}", {})
        if isinstance(stated, dict) and "Intercept" in matrix.terms and "Intercept" not in stated:
            yield from _off_centre(p, matrix, stated)


def _combined(p, matrix):
    """Terms that are combinations of those before them."""
    told = coefficients.independent(matrix.values)
    for k in sorted(set(range(len(matrix.terms))) - set(told)):
        others = ", ".join(matrix.terms[i] for i in told if i < k) or "nothing"
        yield (
            f"{p.name}: {matrix.terms[k]} is a combination of {others}, so that priors alone tell their coefficients "
            "apart: leave one of them out"
        )


def _off_centre(p, matrix, stated):
    """Covariates, but those ``stated``, so far from 0 that the intercept is a value of nobody."""
    for label, column in zip(matrix.terms, matrix.values.T, strict=True):
        spread = column.std()
        far = abs(column.mean()) > LEVERAGE * (spread if isinstance(p.scale, Identity) else max(1.0, spread))
        if label in stated or spread == 0 or set(np.unique(column)) <= {0.0, 1.0} or not far:
            continue
        mend = "subtract its mean" if ":" in label else f"write center({label})"
        trouble = (
            "where it is the value of nobody" if p.typical is None
            else "where its prior may forbid the slope"
        )  # fmt: skip
        yield (
            f"{p.name}: {label} has mean {column.mean():.4g} and SD {column.std():.3g}, so that the intercept lies far "
            f"from all data, {trouble}: {mend}, or state the prior of theta_{p.name}"
        )


def variation(level, parameters, scale):
    """Scales of the default priors of omega, one for each effect of a level; ``parameters`` by name."""
    of = np.array([effect.parameter for effect in level.effects])
    found = np.empty(len(of))
    for name in dict.fromkeys(of):
        p, z = parameters[name], level.z[:, of == name]
        plain, one = coefficients.indicators(z), (z == 1).all(axis=0)
        place = one if one.any() else plain
        found[of == name] = centre(p, scale)[2] * coefficients.multiples(z, place, p.typical is None)
    return [float(f"{x:.3g}") for x in found]


def _add_spread(level, parameters, scale, variables):
    """Add omega and corr of a level; returns omega and the Cholesky factor of the correlations of each block."""
    names = [effect.name for effect in level.effects]
    sigma = dict(zip(names, variation(level, parameters, scale), strict=True))
    dim = f"{level.name}_effect"
    omega = variables.add(f"omega_{level.name}", Prior("HalfNormal", sigma=sigma), dim, names)
    corr, factors = pt.eye(len(names)), []
    for block in level.blocks:
        k = np.array(block.effects)
        factors.append(variables.add_correlation(level.name, block.variable(level), len(k)) if block.name else None)
        if block.name:
            corr = _placed(corr, k, factors[-1] @ factors[-1].T)
    if any(block.name for block in level.blocks):
        pm.Deterministic(f"corr_{level.name}", corr, dims=(dim, f"{dim}_other"))
    return omega, factors


def _factor(level, omega, factors):
    """A with A A' = Omega, (effect, effect)."""
    if len(level.blocks) == 1 and factors[0] is not None:
        return omega[:, None] * factors[0]
    a = pt.diag(omega)
    for block, chol in zip(level.blocks, factors, strict=True):
        k = np.array(block.effects)
        if chol is not None:
            a = _placed(a, k, omega[k][:, None] * chol)
    return a


def _placed(whole, k, part):
    """``part`` in the rows and columns ``k`` of a matrix of which it may be all; the short ways compile faster."""
    if len(k) == k[-1] - k[0] + 1 and (np.diff(k) == 1).all():
        here = slice(k[0], k[-1] + 1)
        return pt.set_subtensor(whole[here, here], part)
    return pt.set_subtensor(whole[np.ix_(k, k)], part)


def _add_effects(design, level, omega, factors, theta, eta):
    """Add the effects of a level, block by block; returns eta, (group, effect)."""
    names, columns = [effect.name for effect in level.effects], [None] * len(level.effects)
    for block, chol in zip(level.blocks, factors, strict=True):
        k, name = np.array(block.effects), block.variable(level)
        location = location_of(design, level, k, theta, eta) if block.parametrisation == CENTRED else None
        dims = (level.name, f"{name}_effect")
        pm.modelcontext(None).add_coord(dims[1], [names[j] for j in k])
        values = _effects(name, dims, location, omega[k], chol)
        for position, j in enumerate(k):
            columns[j] = values[:, position]
    return pt.stack(columns, axis=1)


def _effects(name, dims, location, omega, chol):
    """Values of one block's effects, (group, effect), under its parametrisation."""
    scale = omega if chol is None else omega[:, None] * chol
    if location is None:
        z = pm.Normal(f"z_{name}", 0.0, 1.0, dims=dims)
        return z * scale if chol is None else z @ scale.T
    if chol is None:
        return pm.Normal(f"phi_{name}", location, scale, dims=dims) - location
    return pm.MvNormal(f"phi_{name}", location, chol=scale, dims=dims) - location


def location_of(design, level, positions, theta, eta):
    """Where the centred effects of each group sit: what their groups share, (group, effect)."""
    first = np.array([np.flatnonzero(level.of_unit == g)[0] for g in range(len(level.labels))])
    columns = []
    for k in positions:
        effect = level.effects[k]
        matrix = design.fixed[effect.parameter]
        shared = _shared_columns(level, effect, matrix, first)
        location = pt.as_tensor(matrix.values[first] * shared if effect.column == "Intercept" else 1.0 * shared)
        location = (location * theta[effect.parameter]).sum(axis=-1) + pt.zeros(len(first))
        for outer in design.levels:
            if outer.name in eta and effect in outer.effects and contains(outer, level):
                location = location + eta[outer.name][outer.of_unit[first], outer.effects.index(effect)]
        columns.append(location)
    return pt.stack(columns, axis=1)


def _shared_columns(level, effect: Effect, matrix, first):
    """0/1 for each fixed term: whether it belongs to the location of the effect."""
    if effect.column != "Intercept":
        return np.array([float(term == effect.column) for term in matrix.terms])
    same = matrix.values == matrix.values[first][level.of_unit]
    return same.all(axis=0).astype(float)
