"""`fit` by maximum likelihood: the tree of the likeliest population, with standard errors.

The effects of a group are the most probable ones under that population. Standard errors are those of the observed
information; the sandwich, which holds where the law of the data is another one, stands beside them (Huber 1967; White
1982, Econometrica 50, 1-25). Quantities on their natural scale take theirs by the delta method.
"""

import json
from dataclasses import replace

import numpy as np
import xarray as xr

from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation import prediction, storage
from nlmebayes.evaluation.evaluator import Draws, evaluator
from nlmebayes.evaluation.fitted import ESTIMATES
from nlmebayes.evaluation.quantities import quantities
from nlmebayes.individuals.likelihood import MARGINAL
from nlmebayes.individuals.placing import populated
from nlmebayes.inference.maximum import Search
from nlmebayes.inference.parting import unparted
from nlmebayes.inference.penalty import Penalty
from nlmebayes.inference.restricted import Restricted
from nlmebayes.inference.starts import check_scatter, pilot
from nlmebayes.model.build import assemble, designed
from nlmebayes.model.hierarchy import doubts

STEP = 1e-4  # of a difference of quantities
OPEN = 5.0  # SD of the logarithm of an SD or scale, above which draws keep it at its estimate
NODES = 512  # from which effects are drawn
MIDDLE = 0.3  # where a part of a residual starts that a pilot does not know, in its range


def estimated(model, data, method, *, random_seed=None):
    """The tree of the likeliest population: "ml" whatever the priors, "reml" with fixed effects integrated out, "map"
    the most probable one under the priors.

    Raises
    ------
    ModelError
        A smooth, whose coefficients are random effects themselves; a group without a density.
    """
    design = designed(model, data, measured=True)
    storage.statement(model)
    refuse_smooths(design)
    for doubt in doubts(model, design):
        warn(doubt)
    found = pilot(model, design)
    check_scatter(design, found)
    search = Search(model, design, data, np.sqrt(np.maximum(np.diag(found.covariance), 0.0)))
    for doubt in unparted(model, data, design, found.theta, found.sigma):
        warn(doubt)
    laws = assemble(model, design)[1].laws
    x, more = started(search.coordinates, found), {"method": method}
    if method == "map":
        search.added = Penalty(laws, search.coordinates, design)
    if method == "reml":
        x, value, covariance, boundary = Restricted(search, x, found.eta).maximum()
        best, here = search.finished(search.ended(x, found.eta), found.eta, 1, converged=True), ~boundary
        hessian = np.zeros_like(covariance)
        hessian[np.ix_(here, here)] = np.linalg.inv(covariance[np.ix_(here, here)])
        best, more = replace(best, hessian=hessian, boundary=boundary), more | {"minus2reml": -2 * value}
    else:
        best = search.maximum(x, found.eta)
    return _tree(model, data, design, best, random_seed, more, laws)


def refuse_smooths(design):
    """A model whose coefficients have a law of their own has no likeliest population here."""
    for name, matrix in design.fixed.items():
        if any(matrix.smooths):
            raise ModelError(f"{name} has a smooth s(), whose coefficients have a law of their own: take method='nuts'")


def maximum_from(model, design, data, population, eta, *, method="ml", errors=None):
    """`Maximum` by a search from a population, one of `Draws`, and effects by level: of simulated data, from the truth.

    ``errors`` (fixed effect,) are about theirs.
    """
    search = Search(model, design, data, errors)
    if method == "map":
        search.added = Penalty(assemble(model, design)[1].laws, search.coordinates, design)
    return search.maximum(search.coordinates.vector(population)[0], eta)


def started(coordinates, found):
    """Coordinates (coordinate,) of what a pilot found."""
    theta = {name: x[None] for name, x in found.theta.items()}
    omega = {name: np.linalg.norm(a, axis=1)[None] for name, a in found.factor.items()}
    corr = {name: (a @ a.T / np.outer(omega[name], omega[name]))[None] for name, a in found.factor.items()}
    corr = {name: x for name, x in corr.items() if name in coordinates.correlated}
    sigma = {outcome: {part: np.asarray(x, dtype=float)[None] for part, x in parts.items()}
             for outcome, parts in found.sigma.items()}  # fmt: skip
    for (outcome, part), link in coordinates.links.items():
        low, high = link.bounds
        middle = low + MIDDLE * (high - low) if np.isfinite(high) else 1.0
        sigma[outcome].setdefault(part, np.array([middle]))
    return coordinates.vector(Draws(theta, omega, corr, sigma, {}, {}))[0]


def _tree(model, data, design, best, seed, more, laws):
    c, rng = best.population.coordinates, np.random.default_rng(seed)
    population = c.population(best.x[None])
    phi, f, _ = evaluator(model, design)(population.theta, best.effects)
    told = {"posterior": prediction.labelled(design, population, best.effects, phi, f, (1, 1))}
    told |= prediction.observe(model, design, f, population.sigma, (1, 1), rng)
    told |= {ESTIMATES: estimates(model, design, best), MARGINAL: _marginal(best)}
    tree = storage.attach(storage.as_tree(told), model, data)
    tree.attrs["nlmebayes_fit"] = json.dumps(_about(tree[ESTIMATES], best) | more)
    tree.attrs[storage.LAWS] = storage.written_laws(laws)
    return tree


def _about(estimates, best):
    records = sum(len(o.values) for o in best.population.design.outcomes)
    return {
        "draws": 1, "minus2ll": float(-2 * best.value.sum()), "minus2ll_error": best.total_error,
        "parameters": len(best.x), "groups": len(best.value), "records": records, "rounds": best.rounds,
        "converged": bool(best.converged), "integral": best.method, "boundary": list(estimates.attrs["boundary"]),
    }  # fmt: skip


def _marginal(best):
    level, labels = best.population.nest.level, np.array(best.population.nest.labels, dtype=object)
    values = {"value": best.value, "error": best.error, "khat": best.khat}
    return xr.Dataset({name: (level, x) for name, x in values.items()}, coords={level: labels})


def estimates(model, design, best):
    """Estimates with their errors, by the names that a summary gives them."""
    c, x = best.population.coordinates, best.x
    rows = np.concatenate([x[None], x + STEP * np.eye(len(x)), x - STEP * np.eye(len(x))])
    drawn = c.population(rows)
    values, _ = quantities(model, design, prediction.labelled_population(design, drawn, (1, len(rows))))
    table = np.stack([v.to_numpy()[0] for v in values.values()])
    slope = (table[:, 1 : len(x) + 1] - table[:, len(x) + 1 :]) / (2 * STEP)
    moving = np.array([_moves(name, table[k, 0], slope[k], best.boundary) for k, name in enumerate(values)])
    each = {"": best.covariance, "_sandwich": best.sandwich}
    found = {"value": ("quantity", table[:, 0]), "positive": ("quantity", _positive(model, values))}
    for name, covariance in each.items():
        square = slope @ covariance @ slope.T
        sd = np.where(moving, np.sqrt(np.maximum(np.diag(square), 0.0)), np.nan)
        found[f"se{name}"] = "quantity", sd
        found[f"covariance{name}"] = ("quantity", "other"), square
    with np.errstate(divide="ignore", invalid="ignore"):
        found["rse"] = "quantity", 100 * found["se"][1] / np.abs(table[:, 0])
    level = best.population.nest.level
    found["influence"] = ("quantity", level), slope @ best.covariance @ best.scores.T
    found |= {"point": ("coordinate", x), "point_covariance": (("coordinate", "coordinate_other"), best.covariance)}
    found |= _shrinkage(design, best)
    names = list(values)
    coords = {"quantity": names, "other": names, level: np.array(best.population.nest.labels, dtype=object)}
    coords |= {f"{level.name}_effect": [e.name for e in level.effects] for level in design.levels}
    told = xr.Dataset(found, coords=coords)
    told.attrs = {"boundary": [name for name, free in zip(names, moving, strict=True) if not free],
                  "condition_number": best.condition}  # fmt: skip
    return told


def drawn(known, chains=4, draws=100, seed=0):
    """The tree of a maximum, `Fitted`, with draws of the population from the normal law of its estimates, and effects
    drawn from their conditional law given each; the predictions and measurements that follow.

    That is about the posterior under flat priors, for checks that need one.
    """
    model, design = known.model, known.design(known.data)
    population, rng, n = populated(model, design), np.random.default_rng(seed), chains * draws
    x, points = _points(known, population, n, rng)
    place = population.place(x)
    integral = population.scattered(x, place, NODES, seed)
    eta = {level.name: np.empty((n, len(level.labels), len(level.effects))) for level in design.levels}
    for i, point in enumerate(points):
        weighed = integral.weighed(point, integral.records(point))
        for name, each in weighed.drawn(rng).items():
            eta[name][i] = each
    found = population.coordinates.population(points)
    phi, f, _ = evaluator(model, design)(found.theta, eta)
    groups = {"posterior": prediction.labelled(design, found, eta, phi, f, (chains, draws))}
    groups |= prediction.observe(model, design, f, found.sigma, (chains, draws), rng)
    return _beside(known, groups)


def drawn_population(known, draws=1000, seed=0):
    """The same of the population alone, in no time."""
    design = known.design(known.data)
    population = populated(known.model, design)
    _, points = _points(known, population, draws, np.random.default_rng(seed))
    found = population.coordinates.population(points)
    return _beside(known, {"posterior": prediction.labelled_population(design, found, (1, draws))})


def _points(known, population, n, rng):
    """The estimates (coordinate,), and draws (draw, coordinate) of the normal law of their errors."""
    told = known.tree[ESTIMATES].to_dataset()
    x, covariance = told["point"].to_numpy(), np.nan_to_num(told["point_covariance"].to_numpy())
    told_nothing = np.diag(covariance) > OPEN**2
    told_nothing[: len(population.coordinates.theta)] = False
    covariance[told_nothing], covariance[:, told_nothing] = 0.0, 0.0
    values, vectors = np.linalg.eigh(covariance)
    return x, x + (rng.standard_normal((n, len(x))) * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _beside(known, groups):
    """Groups as a tree, beside what the tree of a maximum carries."""
    tree = storage.attach(storage.as_tree(groups), known.model, known.data, known.training_data)
    tree.attrs |= {name: known.tree.attrs[name] for name in ("nlmebayes_fit", storage.LAWS)}
    return tree


def _moves(name, value, slope, boundary):
    """Whether a quantity is off its boundary: not an SD that is 0, nor a correlation that is 1."""
    if not (slope[boundary] != 0).any():
        return True
    return name.startswith("omega_") and (slope[~boundary] != 0).any()


def _positive(model, values):
    """Whether each quantity is positive by its nature, so that its error is one of its logarithm."""
    typical = {p.name: p.scale.bounds[0] == 0 and not np.isfinite(p.scale.bounds[1]) for p in model.parameters}
    return [typical.get(name, name.startswith("omega_")) or (name.startswith("sigma_") and ":" not in name)
            for name in values]  # fmt: skip


def _shrinkage(design, best):
    """Shrinkage of the most probable effects, in % of the SD and of the variance, by level."""
    omega, found = best.population.coordinates.population(best.x[None]).omega, {}
    for level in design.levels:
        if len(level.labels) > 1:
            share = best.effects[level.name][0].std(axis=0, ddof=1) / omega[level.name][0]
            for name, x in (("sd", 1 - share), ("variance", 1 - share**2)):
                found[f"shrinkage_{name}_{level.name}"] = f"{level.name}_effect", 100 * x
    return found
