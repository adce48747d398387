"""Where the variation is: variance by level on the scale of the outcome, with everything that follows from it.

`partition` splits the variance of a measurement among the levels and the residual, draw by draw, with the intraclass
correlation, design effect and effective sample size; `new_unit` splits the predictive variance of a unit that may
belong to a known site and be new itself; `intervals` prints either. Two methods, which agree where the prediction is
linear in the random effects:

- ``"delta"``: Omega of a level between the slopes of the prediction in its effects, at effects of zero. Exact for a
  linear predictor, the first-order approximation otherwise.
- ``"simulation"``: the law of total variance from the outermost level in,
  ``Var E[y | eta_1] + E Var(E[y | eta_1, eta_2] | eta_1) + ... + E Var(y | eta)``, by pairs of predictions that share
  the effects of the outer levels and have inner ones of their own (Sobol' 2001, Math. Comput. Simul. 55, 271-280,
  doi:10.1016/S0378-4754(00)00270-6), 1024 pairs for each draw.
"""

from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from nlmebayes.arguments import Count, Drawn, Seed, Share, Text, Tree, checked
from nlmebayes.evaluation.tails import tails
from nlmebayes.formula.grouping import contains
from nlmebayes.model.model import Data
from nlmebayes.summaries.moments import scenario_of

ESTIMATES = "estimates"
Method = Literal["delta", "simulation"]


@checked
def partition(
    tree: Tree,
    data: Data | None = None,
    *,
    outcome: Text | None = None,
    method: Method | None = None,
    draws: Count = 400,
    random_seed: Seed | None = None,
) -> xr.Dataset:
    """Variance by level on the scale of the outcome, for every draw.

    Parameters
    ----------
    tree : DataTree
        From `fit`.
    data : Dataset, optional
        Records to average over, such as one at a covariate of interest; by default those of the fit. All their groups
        are taken as new ones from the population.
    outcome : str, optional
        By default the first.
    method : {"delta", "simulation"}, optional
        See the module; by default delta where the prediction is linear in the effects (which is tried), else
        simulation.
    draws : int
        At most so many draws, evenly spaced.
    random_seed : int, optional
        Of the simulation.

    Returns
    -------
    Dataset
        ``variance`` and ``share`` (chain, draw, source), where a source is a level or ``"residual"``; ``icc`` (chain,
        draw, level), the correlation of two records that share the group of that level and all levels around it, and
        none inside; ``design_effect``, the variance of the mean of all records per that of as many independent ones
        (Kish 1965, Survey Sampling: 1 + (m - 1) icc for groups of m), and ``effective_size``, the number
        of independent records whose mean is as precise. The last two are by the delta method.

    Raises
    ------
    ModelError
        An unknown outcome or method; a residual without a mean and a variance.

    Examples
    --------
    How alike are two samples of one batch of a dye?

    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> float(nb.partition(tree)["icc"].sel(level="Batch").squeeze().round(2))
    0.36
    """
    scenario = scenario_of(tree, data, outcome, draws, new=True)
    gradients = scenario.gradients()
    _, variances = scenario.moments(method, gradients, random_seed)
    sources = list(variances)
    variance = np.stack([v.mean(axis=1) for v in variances.values()], axis=-1)
    with np.errstate(invalid="ignore"):  # not a number where the residual has no variance
        share = variance / variance.sum(axis=-1, keepdims=True)
    levels = scenario.design.levels
    around = np.array([[contains(outer, inner) for inner in levels] for outer in levels])
    effect = scenario.design_effect(gradients)
    size = len(scenario.observed.unit)
    found = {
        "variance": (variance, ("source",)), "share": (share, ("source",)),
        "icc": (share[..., :-1] @ around, ("level",)),
        "design_effect": (effect, ()), "effective_size": (size / effect, ()),
    }  # fmt: skip
    return scenario.labelled(found, {"source": sources, "level": sources[:-1]})


@checked
def new_unit(
    tree: Tree,
    data: Data | None = None,
    *,
    outcome: Text | None = None,
    method: Method | None = None,
    draws: Count = 400,
    random_seed: Seed | None = None,
) -> pd.DataFrame:
    """Predictive variance of a unit by source: estimates, each level, residual.

    Parameters
    ----------
    data : Dataset, optional
        Records of the unit. A group that the tree knows (a known site) brings what is known of it, and its uncertainty
        counts among the estimates; a new one brings the variance of its level. By default the records of the fit, of
        new groups at every level, on average.
    tree, outcome, method, draws, random_seed
        As in `partition`.

    Returns
    -------
    DataFrame
        By source ``variance``, ``share`` and ``sd``, and their ``total``: the law of total variance,
        ``Var(y) = Var_draws(E[y | draw]) + sum over levels of E_draws(variance of the level) + E_draws(residual)``.

    Raises
    ------
    ModelError
        As `partition`.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> nb.new_unit(tree)["share"].round(2).to_dict()
    {'estimates': 0.0, 'Batch': 0.36, 'residual': 0.64, 'total': 1.0}
    """
    scenario = scenario_of(tree, data, outcome, draws, new=data is None)
    mean, variances = scenario.moments(method, scenario.gradients(), random_seed)
    found = {ESTIMATES: mean.var(axis=0).mean()} | {name: v.mean() for name, v in variances.items()}
    total = sum(found.values())
    rows = [{"source": k, "variance": v, "share": v / total, "sd": np.sqrt(v)} for k, v in found.items()]
    rows.append({"source": "total", "variance": total, "share": 1.0, "sd": np.sqrt(total)})
    return pd.DataFrame(rows).set_index("source")


@checked
def intervals(draws: Drawn, ci_prob: Share = 0.9) -> pd.DataFrame:
    """Posterior mean, SD, median and equal-tailed interval of every element of a DataArray (chain, draw, ...).

    Parameters
    ----------
    draws : DataArray (chain, draw, ...)
        A variable of a tree, or what was computed from one.
    ci_prob : float
        Probability of the interval.

    Returns
    -------
    DataFrame
        One row per element: its coordinates, ``mean``, ``sd``, ``median``, ``eti_lb`` and ``eti_ub``.

    Raises
    ------
    ModelError
        What is no variable of a tree.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": {"Intercept": 3.0, "log(wt/70)": 0.75}, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15}, random_seed=1,
    ...                      uncertainty={"cl": {"Intercept": 10.0, "log(wt/70)": 20.0}, "v": 5.0}, draws=200)
    >>> nb.intervals(tree["posterior"]["theta_cl"]).loc["Intercept"].round(2).to_dict()
    {'mean': 1.08, 'sd': 0.09, 'median': 1.09, 'eti_lb': 0.94, 'eti_ub': 1.23}
    """
    sample, (low, high) = ("chain", "draw"), tails(ci_prob)
    shares = {"median": 0.5, "eti_lb": low, "eti_ub": high}
    columns = {"mean": draws.mean(sample), "sd": draws.std(sample)}
    columns |= {k: draws.quantile(q, dim=sample, keep_attrs=False).drop_vars("quantile") for k, q in shares.items()}
    if draws.ndim == 2:
        return pd.DataFrame({k: [float(v)] for k, v in columns.items()}, index=[draws.name or ""])
    return pd.DataFrame({k: v.to_series() for k, v in columns.items()})
