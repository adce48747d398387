"""What the solver of a system did to a fit: proposals that had no solution, and the error of those that had one."""

import json
from types import SimpleNamespace

import numpy as np
import pymc as pm
import xarray as xr

from nlmebayes.evaluation.evaluator import draws_of, evaluator
from nlmebayes.evaluation.measurement import log_density
from nlmebayes.runtime.uncompiled import UNCOMPILED, uncompiled

SOLVER = "nlmebayes_solver"  # attribute of a tree
TIGHTER = 100.0  # tolerances of the comparison
DRAWS = 25  # of the posterior that are compared
MATTERS = 0.1  # change of the log-likelihood from draw to draw that is reported
SHARED = 1.0  # change of all draws alike that is reported: it moves none against another, but the law is not this


@uncompiled()
def failures(built, design, stats):
    """Proposals without a solution, from the divergences of a sampler, as JSON for the tree.

    ``proposals`` how many; ``units`` where, with how often; ``example`` the parameters of one of them.
    """
    chain, draw = np.nonzero(stats["diverging"].to_numpy())
    ends = stats["divergence_end"].isel(chain=xr.DataArray(chain), draw=xr.DataArray(draw)).to_numpy()
    ends = ends[np.isfinite(ends).all(axis=1)]
    if not len(ends):
        return json.dumps({"proposals": 0})
    outcomes = [o.name for o in design.outcomes]
    names = [v for v in built.named_vars if built.named_vars_to_dims.get(v) == ("unit",)]
    outputs = built.replace_rvs_by_values([built[v] for v in (*names, *(f"f_{o}" for o in outcomes))])
    compute = built.compile_fn(outputs, inputs=built.value_vars, mode=UNCOMPILED, on_unused_input="ignore")
    shape = pm.blocking.DictToArrayBijection.map(built.initial_point(random_seed=0)).point_map_info
    count, units, example = 0, {}, None
    for end in ends:
        found = compute(pm.blocking.DictToArrayBijection.rmap(pm.blocking.RaveledVars(end, shape)))
        phi, f = found[: len(names)], found[len(names) :]
        bad = np.unique(np.concatenate([o.unit[np.isnan(x)] for o, x in zip(design.outcomes, f, strict=True)]))
        if len(bad):
            count += 1
            for unit in bad:
                units[design.labels[unit]] = units.get(design.labels[unit], 0) + 1
            example = example or {name: float(values[bad[0]]) for name, values in zip(names, phi, strict=True)}
    worst = dict(sorted(units.items(), key=lambda item: -item[1])[:5])
    return json.dumps({"proposals": count, "units": worst, "example": example})


def together(first, second):
    """`failures` of a fit and of its continuation."""
    first, second = json.loads(first), json.loads(second)
    units = dict(first.get("units", {}))
    for unit, count in second.get("units", {}).items():
        units[unit] = units.get(unit, 0) + count
    both = {"proposals": first["proposals"] + second["proposals"], "units": units}
    return json.dumps(both | {"example": first.get("example") or second.get("example")})


def findings(model, design, tree):
    """Sentences for a report; none for a structure that has a closed form."""
    if not model.structure.fallible:
        return
    met = json.loads(tree.attrs.get(SOLVER, "{}"))
    if met.get("proposals"):
        at = ", ".join(f"{name} {value:.3g}" for name, value in met["example"].items())
        where = ", ".join(f"{unit} ({n})" for unit, n in met["units"].items())
        yield (
            f"{met['proposals']} proposals of the sampler had no solution and were rejected, most often in {where}; "
            f"one of them at {at}. If such parameters are possible, raise max_steps or choose solver='stiff'; if not, "
            "say so in the priors"
        )
    change, shared = tolerance(model, design, tree)
    if not (change <= MATTERS and shared <= SHARED):
        rtol, atol, steps = model.structure.tighter(TIGHTER).tolerances
        size = f"{change:.2g} from draw to draw" if not change <= MATTERS else f"{shared:.2g} of all draws alike"
        yield (
            f"the solver's error changes the log-likelihood by up to {size}: fit again with rtol={rtol:g}, "
            f"atol={atol:g}, min_steps={steps} (where slopes change within less than a step, breaks of the class say "
            "when)"
        )


def tolerance(model, design, tree):
    """Changes of the log-likelihood at tighter tolerances: the largest of a draw beyond that of all draws, and that.

    More steps see what was stepped over."""
    outcomes = [o.name for o in design.outcomes]
    draws = draws_of(tree["posterior"].to_dataset(), design, model, outcomes)
    draws = draws.take(np.unique(np.linspace(0, draws.size - 1, DRAWS).astype(int)))
    total = []
    for structure in (model.structure, model.structure.tighter(TIGHTER)):
        f = evaluator(SimpleNamespace(structure=structure, scales=model.scales), design)(draws.theta, draws.eta)[1]
        each = [
            log_density(model.residual_of(o.name), f[o.name], draws.sigma.get(o.name, {}), o, design.positive)
            for o in design.outcomes
        ]
        total.append(sum(terms.sum(axis=1) for terms in each))
    change = total[1] - total[0]
    return float(np.abs(change - np.median(change)).max()), abs(float(np.median(change)))
