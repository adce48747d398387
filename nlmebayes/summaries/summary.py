"""`summary`: the population in one table, as a pharmacometrician reads it."""

import numpy as np
import pandas as pd
from arviz_stats import ess, rhat
from scipy import special

from nlmebayes.arguments import Share, Tree, checked
from nlmebayes.evaluation.fitted import ESTIMATES, fitted
from nlmebayes.evaluation.quantities import quantities
from nlmebayes.evaluation.tails import tails
from nlmebayes.model.model import Model
from nlmebayes.runtime.threads import in_turns


@checked
@in_turns
def summary(tree: Tree, *, ci_prob: Share = 0.9, model: Model | None = None) -> pd.DataFrame:
    """The population as a pharmacometrician reads it, with convergence diagnostics.

    Parameters
    ----------
    tree : DataTree
        From `fit`, `forecast` or `population`.
    ci_prob : float
        Probability of the equal-tailed interval.
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    DataFrame
        One row per typical value (natural scale, at reference covariates), coefficient, omega, correlation and sigma:
        posterior ``mean``, ``sd``, ``median`` and the interval from ``eti_lb`` to ``eti_ub``; ``rse_pct`` is the SD in
        % of the mean, ``cv_pct`` is 100 sqrt(exp(omega^2) - 1) for log links. A parameter that is known is there as
        ``v0 (fixed)``, without any. Of a tree of ``method="ml"`` the mean is the estimate, ``sd`` its standard error,
        and the interval Wald's, on the log scale of what is positive.

    Raises
    ------
    ModelError
        The tree has no posterior.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> model = nb.Model(OneCompartment("first-order"), residual=nb.Combined())
    >>> tree = nb.fit(model, nb.datasets.theophylline(), method="ml")
    >>> nb.summary(tree)[["quantity", "unit", "mean", "rse_pct"]].round({"mean": 2, "rse_pct": 0})
           quantity unit   mean  rse_pct
    0            cl  L/h   2.76      8.0
    1             v    L  31.70      5.0
    2            ka  1/h   1.51     19.0
    3   omega_id cl        0.26     23.0
    4    omega_id v        0.13     32.0
    5   omega_id ka        0.63     24.0
    6  sigma_conc_a        0.25     22.0
    7  sigma_conc_b        0.09     18.0
    """
    return summarised(fitted(tree, model), ci_prob)


def summarised(known, ci_prob=0.9):
    """`summary` of a tree that was read, a `Fitted`."""
    model, posterior = known.model, known.posterior
    drawn, notes = quantities(model, known.training, posterior)
    rows = {name: _describe(name, values, notes.get(name, {}), ci_prob) for name, values in drawn.items()}
    if ESTIMATES in known.tree.children:
        told = known.tree[ESTIMATES].to_dataset()
        rows = {name: row | _estimated(told.sel(quantity=name), ci_prob) for name, row in rows.items()}
    units = {p.name: p.unit for p in model.parameters}
    fixed = [{"quantity": f"{name} (fixed)", "unit": units[name], "mean": float(posterior[name].isel(unit=0).mean())}
             for name in units if name in model.fixed]  # fmt: skip
    return pd.DataFrame([*rows.values(), *fixed])


def _estimated(told, ci_prob):
    """Columns of an estimate: its standard error, and Wald's interval."""
    value, se = float(told["value"]), float(told["se"])
    low, high = wald(told, ci_prob)
    rse = 100 * se / abs(value) if value else np.nan
    return {"sd": se, "rse_pct": rse, "eti_lb": float(low), "eti_ub": float(high), "ess_bulk": np.nan,
            "ess_tail": np.nan}  # fmt: skip


def wald(told, ci_prob):
    """Bounds (quantity,) of Wald's intervals of estimates, on the log scale of what is positive."""
    value, se = told["value"].to_numpy(), told["se"].to_numpy()
    z, log = special.ndtri(tails(ci_prob)[1]), told["positive"].to_numpy() & (value > 0)
    with np.errstate(over="ignore"):  # a bound at infinity is one
        away = np.exp(z * se / np.where(log, value, 1.0))
        return np.where(log, value / away, value - z * se), np.where(log, value * away, value + z * se)


def _describe(name, values, note, ci_prob):
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
