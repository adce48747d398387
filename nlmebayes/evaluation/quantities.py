"""The population as people read it: typical values, coefficients, SDs, correlations and parts of residuals by name."""

import numpy as np
import pytensor.tensor as pt

from nlmebayes.parameter.parameter import Log
from nlmebayes.runtime.uncompiled import UNCOMPILED


def quantities(model, design, posterior):
    """Arrays (chain, draw) by name, and what a table notes of some: ``unit``, ``cv_pct``.

    A typical value is on its natural scale, at reference covariates; one that is known is not there.
    """
    parameters = {p.name: p for p in model.parameters}
    drawn, notes = {}, {}
    for name, p in parameters.items():
        for term in design.fixed[name].terms:
            values = posterior[f"theta_{name}"].sel({f"{name}_term": term})
            if term == "Intercept":
                drawn[name] = values.copy(data=p.scale.inverse(pt.as_tensor(values.to_numpy())).eval(mode=UNCOMPILED))
                notes[name] = {"unit": p.unit}
            else:
                drawn[f"{name}: {term}"] = values
        for smooth in posterior[f"{name}_smooth"].to_numpy() if f"omega_{name}_smooth" in posterior else ():
            drawn[f"omega {name}: {smooth}"] = posterior[f"omega_{name}_smooth"].sel({f"{name}_smooth": smooth})
    for level in design.levels:
        for k, effect in enumerate(level.effects):
            key = f"omega_{level.name} {effect.name}"
            drawn[key] = posterior[f"omega_{level.name}"].isel({f"{level.name}_effect": k})
            if isinstance(parameters[effect.parameter].scale, Log) and effect.column == "Intercept":
                notes[key] = {"cv_pct": 100 * float(np.sqrt(np.expm1(drawn[key] ** 2)).mean())}
        for i, j in _pairs(level):
            names = level.effects[i].name, level.effects[j].name
            drawn[f"corr_{level.name} {names[0]}, {names[1]}"] = posterior[f"corr_{level.name}"][..., i, j]
    for name in (v for v in posterior if v.startswith("sigma_")):
        terms = posterior[f"{name}_term"].to_numpy() if f"{name}_term" in posterior[name].dims else ()
        drawn |= {f"{name}: {term}": posterior[name].sel({f"{name}_term": term}) for term in terms}
        drawn |= {} if len(terms) else {name: posterior[name]}
    return drawn, notes


def _pairs(level):
    return [(i, j) for b in level.blocks if b.name for i in b.effects for j in b.effects if i < j]
