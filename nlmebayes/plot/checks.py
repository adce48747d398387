"""Do data that the model simulates look like the data? Visual predictive check, prior predictive check."""

import matplotlib.pyplot as plt
import numpy as np

from nlmebayes.arguments import Count, Seed, Share, Text, Tree, checked
from nlmebayes.evaluation import prediction, storage
from nlmebayes.evaluation.fitted import Fitted, fitted
from nlmebayes.evaluation.tails import tails
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model, ModelError
from nlmebayes.outcomes import censoring
from nlmebayes.plot import panels
from nlmebayes.plot.panels import CI_PROB

REPLICATES = 200  # simulated trials of a survival curve


@checked
def vpc(
    tree: Tree, *, x: Text | None = None, outcome: Text | None = None, bins: Count = 8, ci_prob: Share = CI_PROB,
    random_seed: Seed | None = 0, model: Model | None = None,
):  # fmt: skip
    """Visual predictive check: observed 5, 50 and 95 % percentiles over bands of the simulated ones,
    of probability ``ci_prob``.

    Individuals are drawn anew in every replicate. Up to 12 distinct values of ``x`` have a bin each; more are binned by
    quantiles into ``bins``. Where measurements are censored, a second panel has the fraction of them, observed over
    the band of the simulated one, and percentiles are drawn with the censored at their limits. Counts are shown
    per unit of exposure; of successes and of ordered categories the picture has shares instead of percentiles, of times
    to an event the Kaplan-Meier curve over the band of the simulated ones.
    """
    known = fitted(tree, model)
    replicated = prediction.predicted(known, redraw=True, random_seed=random_seed)["posterior_predictive"]
    return _compared(known, replicated, x, outcome, bins, ci_prob, "Visual predictive check")


@checked
def prior(tree: Tree, *, x: Text | None = None, outcome: Text | None = None, bins: Count = 8, ci_prob: Share = CI_PROB):
    """Prior predictive check of a tree from `simulate`: as `vpc`, with data that were simulated a priori."""
    if "prior_predictive" not in tree.children:
        raise ModelError("plot.prior needs a tree from simulate")
    model, data = storage.stored_model(tree), storage.stored_dataset(tree)
    known = Fitted(tree, model, resolve(model, data), data)
    return _compared(known, tree["prior_predictive"], x, outcome, bins, ci_prob, "Prior predictive check")


def _compared(known, simulated, x, outcome, bins, ci_prob, title):
    """The picture of an outcome beside simulated ones, in the way that its residual takes."""
    data, edges = known.data, 100 * np.array(tails(ci_prob))
    outcome = panels.outcome_of(data, outcome)
    residual, simulated = known.model.residual_of(outcome), simulated[outcome].to_numpy()
    simulated = simulated.reshape(-1, simulated.shape[-1])  # (sample, record)
    if residual.folds:
        return _survival(residual, data, outcome, simulated, edges, title)
    x, o = panels.axis_of(known.model, data, x), panels.records(known, data, outcome)
    frame = data.observations[data.observations["outcome"] == outcome]
    kept = np.isfinite(o.values) | o.censored
    o, at = o.at(kept), frame[x].to_numpy(dtype=float)[kept]
    simulated, which = simulated[:, kept], _binned(at, bins)
    shares = residual.shares(o.values, o.columns)
    if shares is not None:
        return _shares(at, which, shares, residual.shares(simulated, o.columns), x, outcome, edges, title)
    scaled = [residual.of_one(y, o.columns) for y in (o.values, simulated)]
    return _percentiles(o, at, which, *scaled, x, outcome, edges, title)


def _percentiles(o, at, which, observed, simulated, x, outcome, edges, title):
    censored = o.censored
    figure, axes = _one_or_two(censored.any())
    if censored.any():
        limits = censoring.quantified(o.lower, o.upper)
        _fractions(axes[1], at, which, censored, (simulated < limits[0]) | (simulated > limits[1]), edges)
        simulated = np.clip(simulated, *limits)
    levels = [5, 50, 95]
    found = [(at[which == b].mean(), np.percentile(observed[which == b], levels),
              np.percentile(np.percentile(simulated[:, which == b], levels, axis=1), edges, axis=1))
             for b in np.unique(which)]  # fmt: skip
    middle, axis = np.array([m for m, _, _ in found]), axes[0]
    axis.plot(at[~censored], observed[~censored], "o", color="grey", markersize=2.5, alpha=0.6)
    for i, (level, colour) in enumerate(zip(levels, ("#7fa7d1", "#d18a7f", "#7fa7d1"), strict=True)):
        bands = np.array([s[:, i] for _, _, s in found])
        axis.fill_between(middle, bands[:, 0], bands[:, 1], color=colour, alpha=0.35, linewidth=0)
        style = "-" if level == 50 else "--"
        axis.plot(middle, [o[i] for _, o, _ in found], color="black", linestyle=style, label=f"observed {level} %")
    axis.set(ylabel=outcome, title=title)
    axes[-1].set_xlabel(x)
    axis.legend(frameon=False, fontsize=8)
    return figure


def _shares(at, which, observed, simulated, x, outcome, edges, title):
    """Shares by bin, observed over the bands of the simulated ones."""
    figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    inside = [which == b for b in np.unique(which)]
    middle = np.array([at[here].mean() for here in inside])
    for i, (name, (counted, trials)) in enumerate(observed.items()):
        seen = np.array([counted[here].sum() / trials[here].sum() for here in inside])
        drawn, of = simulated[name]
        every = np.stack([drawn[:, here].sum(axis=1) / of[:, here].sum(axis=1) for here in inside])
        low, high = np.percentile(every, edges, axis=1)
        axis.fill_between(middle, low, high, color=f"C{i}", alpha=0.25, linewidth=0)
        axis.plot(middle, seen, "o-", color=f"C{i}", markersize=3.5, label=f"observed: {name}")
    axis.set(xlabel=x, ylabel=f"share of {outcome}", ylim=(-0.02, 1.02), title=title)
    axis.legend(frameon=False, fontsize=8)
    return figure


def _survival(residual, data, outcome, simulated, edges, title):
    """The Kaplan-Meier curve of the observed times over the band of those of simulated trials."""
    frame, entry = data.observations[data.observations["outcome"] == outcome], residual.entry
    entry = np.zeros(len(frame)) if entry is None else frame[entry].to_numpy(dtype=float)
    value, lower, upper = (frame[c].to_numpy(dtype=float) for c in ("value", "lower", "upper"))
    kept = np.isfinite(value) | np.isfinite(lower)
    seen, left = kept & np.isnan(lower), kept & np.isposinf(upper)
    if (kept & ~seen & ~left).any():
        raise ModelError(f"{outcome}: times known to an interval have no Kaplan-Meier curve; look at f_{outcome}")
    end = np.where(left, lower, value)[kept]
    at = np.linspace(0.0, end.max(), panels.GRID)
    few = simulated[np.unique(np.linspace(0, len(simulated) - 1, REPLICATES).astype(int))][:, kept]
    every = np.stack([kaplan_meier(trial, np.isfinite(trial), entry[kept], at) for trial in few])
    figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    axis.fill_between(at, *np.percentile(every, edges, axis=0), color="#7fa7d1", alpha=0.35, linewidth=0)
    axis.step(at, kaplan_meier(end, seen[kept], entry[kept], at), color="black", where="post", label="observed")
    axis.set(xlabel="time", ylabel=f"without {outcome}", ylim=(-0.02, 1.02), title=title)
    axis.legend(frameon=False, fontsize=8)
    return figure


def kaplan_meier(end, seen, entry, at):
    """Estimate of the survival function at times ``at``.

    ``end`` of follow-up, ``seen``, whether the event was then, ``entry``, from when there was a risk, (record,) each.
    Source: Kaplan and Meier (1958), J. Am. Stat. Assoc. 53, 457-481, doi:10.1080/01621459.1958.10501452.
    """
    times, events = np.unique(end[seen], return_counts=True)
    at_risk = np.searchsorted(np.sort(entry), times) - np.searchsorted(np.sort(end), times)
    left = np.concatenate([[1.0], np.cumprod(1 - events / at_risk)])
    return left[np.searchsorted(times, at, side="right")]


def _one_or_two(two):
    """Figure and axes: the check, and below it the censored fraction where there is one."""
    if not two:
        figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
        return figure, [axis]
    shape = {"figsize": (6.4, 5.6), "layout": "constrained", "sharex": True}
    return plt.subplots(2, 1, height_ratios=[3, 1], **shape)


def _fractions(axis, at, which, censored, simulated, edges):
    """Observed censored fraction by bin over the band of the simulated one."""
    bins = np.unique(which)
    middle = [at[which == b].mean() for b in bins]
    bands = np.array([np.percentile(simulated[:, which == b].mean(axis=1), edges) for b in bins])
    axis.fill_between(middle, bands[:, 0], bands[:, 1], color="#7fa7d1", alpha=0.35, linewidth=0)
    axis.plot(middle, [censored[which == b].mean() for b in bins], color="black")
    axis.set(ylabel="censored", ylim=(-0.02, 1.02))


def _binned(at, bins):
    """Bin of each record: one per distinct value where these are few, else quantiles."""
    distinct = np.unique(at)
    if len(distinct) <= max(bins, 12):
        return np.searchsorted(distinct, at)
    edges = np.unique(np.quantile(at, np.linspace(0, 1, bins + 1)))
    which = np.clip(np.searchsorted(edges, at, side="left") - 1, 0, len(edges) - 2)
    gaps = np.diff(distinct)
    wide = distinct[1:][gaps > 0.2 * (distinct[-1] - distinct[0])]  # no bin reaches over a fifth of the axis unsampled
    return which * (len(wide) + 1) + np.searchsorted(wide, at, side="right")
