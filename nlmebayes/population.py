"""Formulas and levels -> individual parameters: link(phi_u) = X_u theta + sum over levels of Z_u eta.

`individual` is that sentence; it serves building, prediction and forecasting alike. `add_population` puts the
variables behind it into a PyMC model, with their priors and in the parametrisation asked for:

- non-centred: ``eta = z (diag(omega) L)'`` with ``z ~ Normal(0, 1)``: for sparse data;
- centred: ``phi ~ Normal(location, Omega)``, ``eta = phi - location``, where the location holds the fixed effects
  that are constant within the group and the same effect at outer levels: for rich data
  (Papaspiliopoulos, Roberts and Sköld 2007, Stat. Sci. 22, 59-73).
"""

import math
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nlmebayes.design import Design
from nlmebayes.grouping import CENTRED, Effect, Level
from nlmebayes.parameter import Identity, Parameter, Prior


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


def individual(structure, levels, x, theta, eta):
    """Individual parameters, name -> tensor with a last axis over units.

    Parameters
    ----------
    levels : the design's levels (their names and effects are read)
    x : mapping of the tensors of `arrays`
    theta : dict of tensors (..., term) by parameter
    eta : dict of tensors (..., group, effect) by level
    """
    phi = {}
    for parameter in structure.parameters:
        name = parameter.name
        linear = theta[name] @ x[f"X_{name}"].T
        if f"offset_{name}" in x:
            linear = linear + x[f"offset_{name}"]
        for level in levels:
            for k, effect in enumerate(level.effects):
                if effect.parameter == name:
                    each = eta[level.name][..., k][..., x[f"{level.name}_of_unit"]]
                    scaled = f"Z_{level.name}" in x and effect.column != "Intercept"
                    linear = linear + (each * x[f"Z_{level.name}"][:, k] if scaled else each)
        phi[name] = parameter.scale.inverse(linear)
    return phi


@dataclass(frozen=True)
class Scale:
    """Mean and spread of the measurements, for parameters that take their prior from the data."""

    mean: float
    spread: float


def add_population(design, parameters, scale, variables):
    """Add theta, omega, corr and eta to the current PyMC model; returns theta and eta for `individual`."""
    theta = {}
    for p in parameters:
        matrix = design.fixed[p.name]
        if matrix.terms:
            prior = fixed_prior(p, matrix, scale)
            theta[p.name] = variables.add(f"theta_{p.name}", prior, f"{p.name}_term", matrix.terms)
        else:
            theta[p.name] = pt.zeros(0)
    by_name = {p.name: p for p in parameters}
    eta = {}
    for level in design.levels:
        eta[level.name] = _add_level(design, level, by_name, scale, theta, eta, variables)
    return theta, eta


def centre(p: Parameter, scale: Scale):
    """(centre, spread, variation) of the default priors of a parameter, on the link scale."""
    if p.typical is None:
        middle = round(scale.mean, 2 - math.floor(math.log10(scale.spread)))  # to a hundredth of the spread
        spread = float(f"{scale.spread:.3g}")
        return float(p.scale.forward(middle)), 2.5 * spread, spread
    spread = p.scale.spread if p.spread is None else p.spread
    variation = p.variation or p.scale.variation or spread
    return float(p.scale.forward(p.typical)), spread, variation


def _slope(p, column):
    """Prior scale of a slope per prior scale of the intercept.

    An identity link follows the units of the covariate. On the other links a unit of a covariate that varies
    little, such as log(wt/70), has a prior SD of the intercept's own spread, as an allometric exponent needs.
    """
    spread = float(f"{column.std():.3g}")
    if spread == 0 or set(np.unique(column)) <= {0.0, 1.0}:
        return 1.0
    return 1 / spread if isinstance(p.scale, Identity) else 1 / max(1.0, spread)


def fixed_prior(p, matrix, scale):
    """Default prior of ``theta_<parameter>``: the parameter's own for the intercept (or cell means), 0 for slopes."""
    middle, spread, _ = centre(p, scale)
    mu, sigma = {}, {}
    cell_means = "Intercept" not in matrix.terms
    for label, column in zip(matrix.terms, matrix.values.T, strict=True):
        level = label == "Intercept" or (cell_means and set(np.unique(column)) <= {0.0, 1.0})
        mu[label] = middle if level else 0.0
        sigma[label] = spread if level else spread * _slope(p, column)
    return Prior("Normal", mu=mu, sigma=sigma)


def _add_level(design, level, parameters, scale, theta, eta, variables):
    names = [effect.name for effect in level.effects]
    sigma = {}
    for k, effect in enumerate(level.effects):
        p = parameters[effect.parameter]
        factor = 1.0 if effect.column == "Intercept" else _slope(p, level.z[:, k])
        sigma[effect.name] = centre(p, scale)[2] * factor
    dim = f"{level.name}_effect"
    omega = variables.add(f"omega_{level.name}", Prior("HalfNormal", sigma=sigma), dim, names)
    columns, corr = [None] * len(names), pt.eye(len(names))
    for block in level.blocks:
        k = np.array(block.effects)
        suffix = "" if len(level.blocks) == 1 else f"_{block.name or block.parametrisation}"
        chol = None
        if block.name is not None:
            chol = variables.add_correlation(level.name, suffix, len(k))
            corr = pt.set_subtensor(corr[np.ix_(k, k)], chol @ chol.T)
        location = _location(design, level, k, theta, eta) if block.parametrisation == CENTRED else None
        dims = (level.name, f"{level.name}{suffix}_effect")
        pm.modelcontext(None).add_coord(dims[1], [names[j] for j in k])
        values = _effects(f"{level.name}{suffix}", dims, location, omega[k], chol)
        for position, j in enumerate(k):
            columns[j] = values[:, position]
    if any(block.name for block in level.blocks):
        pm.Deterministic(f"corr_{level.name}", corr, dims=(dim, f"{dim}_other"))
    return pm.Deterministic(f"eta_{level.name}", pt.stack(columns, axis=1), dims=(level.name, dim))


def _effects(name, dims, location, omega, chol):
    """Values of one block's effects, (group, effect), under its parametrisation."""
    scale = omega if chol is None else omega[:, None] * chol
    if location is None:
        z = pm.Normal(f"z_{name}", 0.0, 1.0, dims=dims)
        return z * scale if chol is None else z @ scale.T
    if chol is None:
        return pm.Normal(f"phi_{name}", location, scale, dims=dims) - location
    return pm.MvNormal(f"phi_{name}", location, chol=scale, dims=dims) - location


def _location(design, level, positions, theta, eta):
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
            if outer.name in eta and effect in outer.effects and _contains(outer, level):
                location = location + eta[outer.name][outer.of_unit[first], outer.effects.index(effect)]
        columns.append(location)
    return pt.stack(columns, axis=1)


def _shared_columns(level, effect: Effect, matrix, first):
    """0/1 for each fixed term: whether it belongs to the location of the effect."""
    if effect.column != "Intercept":
        return np.array([float(term == effect.column) for term in matrix.terms])
    same = matrix.values == matrix.values[first][level.of_unit]
    return same.all(axis=0).astype(float)


def _contains(outer: Level, inner: Level):
    pairs = {(i, o) for i, o in zip(inner.of_unit.tolist(), outer.of_unit.tolist(), strict=True)}
    return len(pairs) == len(inner.labels)
