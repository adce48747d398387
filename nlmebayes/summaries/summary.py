"""`summary`: the population in one table, as a pharmacometrician reads it."""

import numpy as np
import pandas as pd
import pytensor.tensor as pt
from arviz_stats import ess, rhat

from nlmebayes.arguments import Share, Tree, checked
from nlmebayes.evaluation.evaluator import UNCOMPILED
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.evaluation.tails import tails
from nlmebayes.model.model import Model
from nlmebayes.parameter.parameter import Log
from nlmebayes.runtime.threads import in_turns


@checked
@in_turns
def summary(tree: Tree, *, ci_prob: Share = 0.9, model: Model | None = None) -> pd.DataFrame:
    """The population as a pharmacometrician reads it, with convergence diagnostics.

    One row per typical value (natural scale, at reference covariates), coefficient, omega, correlation and sigma:
    posterior ``mean``, ``sd``, ``median`` and equal-tailed interval from ``eti_lb`` to ``eti_ub``, of probability
    ``ci_prob``; ``rse_pct`` is the SD in % of the mean, ``cv_pct`` is 100 sqrt(exp(omega^2) - 1) for log links. A
    parameter that is known is there as ``v0 (fixed)``, without any.
    """
    return summarised(fitted(tree, model), ci_prob)


def summarised(known, ci_prob=0.9):
    """`summary` of a tree that was read, a `Fitted`."""
    model, design, posterior = known.model, known.training, known.posterior
    parameters = {p.name: p for p in model.parameters}
    drawn, notes = {}, {}
    for name, p in parameters.items():
        if name in model.fixed:
            drawn[f"{name} (fixed)"] = posterior[name].isel(unit=0)
            notes[f"{name} (fixed)"] = {"unit": p.unit}
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
    return pd.DataFrame([_describe(name, values, notes.get(name, {}), ci_prob) for name, values in drawn.items()])


def _pairs(level):
    return [(i, j) for b in level.blocks if b.name for i in b.effects for j in b.effects if i < j]


def _describe(name, values, note, ci_prob):
    if name.endswith(" (fixed)"):
        return {"quantity": name, "unit": note["unit"], "mean": float(values.mean())}
    mean, sd = float(values.mean()), float(values.std())
    low, median, high = np.quantile(values, [tails(ci_prob)[0], 0.5, tails(ci_prob)[1]])
    several = values.sizes["chain"] > 1
    return {
        "quantity": name, "unit": note.get("unit", ""), "mean": mean, "sd": sd,
        "median": median, "rse_pct": 100 * sd / abs(mean) if mean else np.nan, "eti_lb": low, "eti_ub": high,
        "cv_pct": note.get("cv_pct", np.nan),
        "rhat": float(rhat(values)) if several else np.nan,
        "ess_bulk": float(ess(values, method="bulk")), "ess_tail": float(ess(values, method="tail")),
    }  # fmt: skip


def shrinkage(tree, design):
    """Shrinkage of the mean effects of each level in percent of omega, one row per effect."""
    rows = []
    for level in design.levels:
        eta = tree["posterior"][f"eta_{level.name}"].mean(("chain", "draw")).to_numpy()
        omega = tree["posterior"][f"omega_{level.name}"].mean(("chain", "draw")).to_numpy()
        for k, effect in enumerate(level.effects):
            percent = 100 * (1 - eta[:, k].std(ddof=1) / omega[k]) if len(eta) > 1 else np.nan
            rows.append({"level": level.name, "effect": effect.name, "groups": len(eta), "shrinkage_pct": percent})
    return pd.DataFrame(rows)
