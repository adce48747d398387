"""Groups beside each other: their ranks with uncertainty, and how far each was drawn towards the others."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from nlmebayes.arguments import Drawn, Number, Share, Switch, Text, Tree, checked
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import Draws
from nlmebayes.evaluation.tails import tails
from nlmebayes.formula.grouping import contains
from nlmebayes.summaries.moments import scenario_of

ROUNDS, SETTLED = 30, 1e-8  # of Gauss and Newton, for a group on its own
LEAST = 1e-300  # variance


@checked
def ranking(
    draws: Drawn, *, above: Number | None = None, largest_first: Switch = True, ci_prob: Share = 0.9
) -> pd.DataFrame:
    """Groups in the order of their expected ranks, with what is not known of them.

    Parameters
    ----------
    draws : DataArray (chain, draw, group)
        What is ranked, e.g. ``tree["posterior"]["eta_hospital"].sel(hospital_effect="mu")`` or an individual parameter.
    above : float, optional
        The value that ``p_above`` is about, such as 0 for the typical group of ``eta``; by default the average of these
        groups in the same draw.
    largest_first : bool
        Whether rank 1 is the largest.
    ci_prob : float
        Probability of the intervals.

    Returns
    -------
    DataFrame
        By group the posterior ``mean``, ``eti_lb`` and ``eti_ub``, the expected ``rank`` with ``rank_eti_lb`` and
        ``rank_eti_ub``, ``p_first`` the probability of rank 1, ``p_above`` that of exceeding the average. Ranks far
        from their extremes mean that the data do not order the groups (Goldstein and Spiegelhalter 1996, J. R. Stat.
        Soc. A 159, 385-443, doi:10.2307/2983325).

    Raises
    ------
    ModelError
        Draws that are not of one dimension of groups.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> batches = tree["posterior"]["eta_Batch"].sel(Batch_effect="mu")
    >>> nb.ranking(batches)["mean"].round(0).to_dict()
    {'E': 54.0, 'C': 27.0, 'B': 0.0, 'A': -17.0, 'D': -22.0, 'F': -42.0}
    """
    others = [d for d in draws.dims if d not in ("chain", "draw")]
    if len(others) != 1 or draws.ndim != 3:
        raise ModelError(
            f"ranking needs draws over chain, draw and one dimension of groups; these have {', '.join(draws.dims)}. "
            "Choose an effect, e.g. .sel(site_effect='mu')"
        )
    (dim,) = others
    values = draws.transpose("chain", "draw", dim).to_numpy().reshape(-1, draws.sizes[dim])
    order = np.argsort(-values if largest_first else values, axis=1, kind="stable")
    rank = np.argsort(order, axis=1) + 1
    average = values.mean(axis=1, keepdims=True) if above is None else above
    low, high = np.quantile(values, tails(ci_prob), axis=0)
    rank_low, rank_high = np.quantile(rank, tails(ci_prob), axis=0, method="inverted_cdf")
    table = pd.DataFrame(
        {
            "mean": values.mean(axis=0), "eti_lb": low, "eti_ub": high, "rank": rank.mean(axis=0),
            "rank_eti_lb": rank_low, "rank_eti_ub": rank_high, "p_first": (rank == 1).mean(axis=0),
            "p_above": (values > average).mean(axis=0),
        },
        index=pd.Index(draws[dim].to_numpy(), name=dim),
    )  # fmt: skip
    return table.sort_values("rank")


@checked
def pooling(
    tree: Tree,
    level: Text | None = None,
    effect: Text | None = None,
    *,
    outcome: Text | None = None,
    ci_prob: Share = 0.9,
) -> pd.DataFrame:
    """What each group's own records and the population say of its effect, beside the model, which has both.

    Parameters
    ----------
    tree : DataTree
        From `fit`.
    level, effect : str, optional
        By default the innermost level and its first effect.
    outcome : str, optional
        Whose records the group has alone; by default the first.
    ci_prob : float
        Probability of the intervals.

    Returns
    -------
    DataFrame
        By group

        ============== ==========================================================================================
        records        how many it has
        alone          the least-squares estimate of its effect from them, with all else at its posterior mean and no
                       effects of the groups inside it (missing where they are too few)
        alone_se       its standard error, with what the groups inside it scatter
        omega          the SD of the effect in the population, around 0: what is known of a group without records
        mean, sd       of the posterior, with ``median``, ``eti_lb`` and ``eti_ub``
        shrinkage_pct  100 var(effect | records, population) / omega²: what the records leave to the population. 0: the
                       group speaks for itself; 100: it says nothing
        p_conflict     how often a group of this population has an estimate ``alone`` as far from 0. A small one (below
                       0.05 / groups) is a group that is not of this population, or has wrong records
        ============== ==========================================================================================

    Raises
    ------
    ModelError
        An unknown level or effect.

    Examples
    --------
    The mean of each batch alone, and by the model, which draws it to the typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> nb.pooling(tree)[["alone", "mean", "shrinkage_pct"]].round(0).to_dict("index")["A"]
    {'alone': -22.0, 'mean': -17.0, 'shrinkage_pct': 26.0}
    """
    scenario = scenario_of(tree, None, outcome, 1000, new=False)
    levels = {each.name: each for each in scenario.design.levels}
    name = level or next(reversed(levels), None)
    chosen = _one(levels, name, "level")
    effects = {e.name: k for k, e in enumerate(chosen.effects)}
    k = _one(effects, effect or next(iter(effects)), "effect")
    if not scenario.draws.groups[name]:
        raise ModelError(f"pooling: this tree has a population, and no effects of {name}; give the tree of a fit")
    drawn = scenario.draws.eta[name][..., k]
    low, high = np.quantile(drawn, tails(ci_prob), axis=0)
    of_record = chosen.of_unit[scenario.observed.unit]
    inside = [other.name for other in scenario.design.levels if contains(chosen, other)]
    average = replace(scenario, draws=_average(scenario.draws, inside))
    factor = average.draws.cholesky(name)[0]
    alone, omega = _alone(average, chosen)[:, k], np.linalg.norm(factor[k])
    others = [other for other in scenario.design.levels if other.name in inside and other.name != name]
    error, shrinkage = _told(average, chosen, scenario.draws.eta[name].mean(axis=0), factor, others)
    found = {
        "records": np.bincount(of_record, minlength=len(chosen.labels)), "alone": alone, "alone_se": error[:, k],
        "omega": omega, "mean": drawn.mean(axis=0), "sd": drawn.std(axis=0), "median": np.median(drawn, axis=0),
        "eti_lb": low, "eti_ub": high, "shrinkage_pct": 100 * shrinkage[:, k],
        "p_conflict": 2 * stats.norm.sf(np.abs(alone) / np.hypot(omega, error[:, k])),
    }  # fmt: skip
    return pd.DataFrame(found, index=pd.Index(chosen.labels, name=name))


def _one(known, name, what):
    if name not in known:
        raise ModelError(f"no {what} {name!r} in this tree; there are {', '.join(known) or 'none'}")
    return known[name]


def _alone(scenario, level):
    """Effects of each group by least squares, (group, effect), by Gauss and Newton."""
    of_record, eta = level.of_unit[scenario.observed.unit], np.zeros((len(level.labels), len(level.effects)))
    for _ in range(ROUNDS):
        mean, _, slopes = scenario.gradients({level.name: eta})
        rest = scenario.observed.values - mean[0]
        step = np.array([_step(slopes[level.name][0][of_record == g], rest[of_record == g]) for g in range(len(eta))])
        eta = eta + step
        if np.abs(np.nan_to_num(step)).max() <= SETTLED * np.abs(np.nan_to_num(eta)).max():
            break
    return eta


def _told(scenario, level, eta, factor, inside):
    """Standard errors of effects by least squares (missing where records are too few), and the shares of variances that
    the records of a group leave, (group, effect) each, about effects ``eta``; factor factor' = Omega. Records scatter
    by the residual and by the effects of the levels ``inside``."""
    _, variance, slopes = scenario.gradients({level.name: eta})
    of_record, one = level.of_unit[scenario.observed.unit], np.eye(len(factor))
    errors, left = np.full(eta.shape, np.nan), np.ones(eta.shape)
    for g in range(len(eta)):
        own, scatter = slopes[level.name][0][of_record == g], np.maximum(variance[0][of_record == g], LEAST)
        inner = _inner(scenario, slopes, inside, of_record == g)
        here = np.abs(own).any(axis=0)
        if here.any() and np.linalg.matrix_rank(own[:, here]) == here.sum():
            inverse = np.linalg.pinv(own[:, here])
            errors[g, here] = np.sqrt((inverse**2 * scatter).sum(axis=1) + ((inverse @ inner) ** 2).sum(axis=1))
        weighted = own / scatter[:, None]
        blurred = inner.T @ weighted
        known = np.eye(inner.shape[1]) + inner.T @ (inner / scatter[:, None])
        told = weighted.T @ own - blurred.T @ np.linalg.solve(known, blurred)
        rest = factor @ np.linalg.inv(one + factor.T @ told @ factor) @ factor.T
        left[g] = np.diag(rest) / np.maximum((factor**2).sum(axis=1), LEAST)
    return errors, left


def _inner(scenario, slopes, levels, here):
    """Slopes of the records ``here`` in the effects, of variance 1, of their groups of ``levels``, (record, effect)."""
    parts = [np.zeros((here.sum(), 0))]
    for level in levels:
        own = slopes[level.name][0][here] @ scenario.draws.cholesky(level.name)[0]
        _, group = np.unique(level.of_unit[scenario.observed.unit][here], return_inverse=True)
        of_group = np.eye(group.max(initial=-1) + 1)[group]
        parts.append((of_group[:, :, None] * own[:, None]).reshape(len(own), -1))
    return np.hstack(parts)


def _step(slopes, rest):
    """Least squares of one group in the effects that its records depend on; missing if they are too few."""
    here = np.abs(slopes).any(axis=0) if len(slopes) else np.zeros(slopes.shape[1], dtype=bool)
    found = np.full(slopes.shape[1], np.nan)
    if here.any() and np.isfinite(slopes).all():
        solution, _, rank, _ = np.linalg.lstsq(slopes[:, here], rest)
        found[here] = solution if rank == here.sum() else np.nan
    return found


def _average(draws, without):
    """The posterior mean as one draw, which does not know the groups of some levels."""

    def mean(part):
        return {k: mean(v) if isinstance(v, dict) else v.mean(axis=0, keepdims=True) for k, v in part.items()}

    theta, omega, corr, sigma, eta = map(mean, (draws.theta, draws.omega, draws.corr, draws.sigma, draws.eta))
    groups = {k: [] if k in without else v for k, v in draws.groups.items()}
    return Draws(theta, omega, corr, sigma, {k: v[:, : len(groups[k])] for k, v in eta.items()}, groups)
