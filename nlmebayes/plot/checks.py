"""Do data that the model simulates look like the data? Visual predictive check, prior predictive check."""

from typing import Literal

import matplotlib.pyplot as plt
import numpy as np

from nlmebayes.arguments import Count, Names, Seed, Share, Switch, Text, Tree, checked
from nlmebayes.criticism.bins import Binning, Bins
from nlmebayes.criticism.limits import Limit
from nlmebayes.criticism.predictive import CheckOptions, Correction, of_study, outcome_of
from nlmebayes.criticism.replicates import Study, study_of
from nlmebayes.errors import ModelError
from nlmebayes.evaluation import storage
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model
from nlmebayes.plot.panels import CI_PROB

Axes = Literal["x", "y", "xy"]
COLOURS = ("#7fa7d1", "#d18a7f")  # of outer percentiles, and of the median
MANY = 13  # intervals of a line, so that each can be told from the next
MIDDLE = 50  # the percentile that is drawn as a whole line


@checked
def vpc(
    tree: Tree, *, x: Text | None = None, outcome: Text | None = None, by: Names = (), bins: Bins = 8,
    binning: Binning = "count", correct: Correction | None = None, logged: Switch = False, replicates: Count = 1000,
    lloq: Limit | None = None, uloq: Limit | None = None, log: Axes | None = None, ci_prob: Share = CI_PROB,
    random_seed: Seed | None = 0, model: Model | None = None,
):  # fmt: skip
    """Visual predictive check: observed 5, 50 and 95 % percentiles over bands of the simulated ones,
    of probability ``ci_prob``. The numbers are those of `nlmebayes.vpc`, which says what the arguments are.

    Individuals are drawn anew in every replicate. Each stratum of ``by`` has a panel; ``log`` names axes with
    logarithms. Up to 12 distinct values of ``x`` have a bin each; more are binned into ``bins``. Vertical lines are
    intervals of the observed percentiles. Where measurements are censored, a second panel has the fraction of them,
    observed over the band of the simulated one, and percentiles are drawn with the censored at their limits. Counts are
    shown per unit of exposure; of successes and of ordered categories the picture has shares instead of percentiles, of
    times to an event the Kaplan-Meier curve over the band of the simulated ones.
    """
    study = study_of(fitted(tree, model))
    options = CheckOptions(by=by, bins=bins, binning=binning, correct=correct, logged=logged, ci_prob=ci_prob)
    simulated = study.replicated(replicates, np.random.default_rng(random_seed))
    title = "Visual predictive check" + (f", {correct}-corrected" if correct else "")
    found = of_study(study, simulated, outcome, x, lloq, uloq, options)
    figure = _picture(found, outcome_of(study.data, outcome), ci_prob, title)
    for axis in log or "":
        getattr(figure.axes[0], f"set_{axis}scale")("log")
    return figure


@checked
def prior(
    tree: Tree, *, x: Text | None = None, outcome: Text | None = None, by: Names = (), bins: Bins = 8,
    binning: Binning = "count", ci_prob: Share = CI_PROB,
):  # fmt: skip
    """Prior predictive check of a tree from `simulate`: as `vpc`, with data that were simulated a priori."""
    if "prior_predictive" not in tree.children:
        raise ModelError("plot.prior needs a tree from simulate")
    model, data = storage.stored_model(tree), storage.stored_dataset(tree)
    study, drawn = Study(model, data, resolve(model, data), None), tree["prior_predictive"]
    simulated = {name: drawn[name].to_numpy().reshape(-1, drawn[name].shape[-1]) for name in data.outcomes}
    found = of_study(
        study, simulated, outcome, x, options=CheckOptions(by=by, bins=bins, binning=binning, ci_prob=ci_prob)
    )
    return _picture(found, outcome_of(data, outcome), ci_prob, "Prior predictive check")


def _picture(found, outcome, ci_prob, title):
    """The picture of a `predictive.Comparison`: a panel for each stratum."""
    table = found.table
    parts = [((), table)] if not found.by else list(table.groupby(list(found.by), sort=False, observed=True))
    censored = (table["statistic"] == "censored").any()
    figure, axes = _panels(len(parts), censored)
    for (values, part), column in zip(parts, axes.T, strict=True):
        _PANELS[found.kind](column[0], part[part["statistic"] != "censored"], outcome, ci_prob)
        if found.kind == "percentiles":
            _points(column[0], found, values)
        if censored:
            _fractions(column[1], part[part["statistic"] == "censored"])
        column[-1].set_xlabel(found.x)
        if values:
            column[0].set_title(", ".join(f"{name} {value}" for name, value in zip(found.by, values, strict=True)))
    if found.by:
        figure.suptitle(title)
    else:
        axes[0, 0].set_title(title)
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def _panels(strata, censored):
    """Figure and axes (row, stratum): the check, and below it the censored fraction where there is one."""
    heights = [3, 1] if censored else [1]
    size = 6.4 if strata == 1 else 4.2 * strata, 5.6 if censored else 4.2
    shape = {"figsize": size, "layout": "constrained", "sharex": True, "sharey": "row", "squeeze": False}
    return plt.subplots(len(heights), strata, height_ratios=heights, **shape)


def _percentiles(axis, part, outcome, ci_prob):
    levels = list(dict.fromkeys(part["statistic"]))
    for name in levels:
        here, middle = part[part["statistic"] == name], name == f"{MIDDLE} %"
        label = f"simulated, {100 * ci_prob:g} % interval" if name == levels[0] else None
        axis.fill_between(
            here["x"], here["eti_lb"], here["eti_ub"], color=COLOURS[middle], alpha=0.35, linewidth=0, label=label
        )
        style, own = "-" if middle else "--", None if name != levels[0] else f"observed, {100 * ci_prob:g} % interval"
        axis.plot(here["x"], here["observed"], color="black", linestyle=style, label=f"observed {name}")
        some = here.iloc[:: 1 + len(here) // MANY]
        ends = some[["observed_lb", "observed_ub"]].replace([-np.inf, np.inf], np.nan).to_numpy().T
        axis.vlines(some["x"], *ends, color="black", linewidth=0.6, label=own)
    axis.set(ylabel=outcome)


def _points(axis, found, values):
    """The measurements of a stratum, as they were corrected, without those that are censored."""
    records = found.records
    here = (records.flags == 0) & np.isfinite(records.y)
    if records.own is not None:
        here &= records.own
    for name, value in zip(found.by, values, strict=True):
        here &= (records.frame[name] == value).to_numpy()
    axis.plot(records.at[here], records.y[here], "o", color="grey", markersize=2.5, alpha=0.6)


def _shares(axis, part, outcome, ci_prob):
    """Shares by bin, observed over the bands of the simulated ones."""
    for i, name in enumerate(dict.fromkeys(part["statistic"])):
        here = part[part["statistic"] == name]
        axis.fill_between(here["x"], here["eti_lb"], here["eti_ub"], color=f"C{i}", alpha=0.25, linewidth=0)
        axis.plot(here["x"], here["observed"], "o-", color=f"C{i}", markersize=3.5, label=f"observed: {name}")
    axis.set(ylabel=f"share of {outcome}", ylim=(-0.02, 1.02))


def _survival(axis, part, outcome, ci_prob):
    """The Kaplan-Meier curve of the observed times over the band of those of simulated trials."""
    label = f"simulated, {100 * ci_prob:g} % interval"
    axis.fill_between(part["x"], part["eti_lb"], part["eti_ub"], color=COLOURS[0], alpha=0.35, linewidth=0, label=label)
    axis.step(part["x"], part["observed"], color="black", where="post", label="observed")
    axis.set(ylabel=f"without {outcome}", ylim=(-0.02, 1.02))


def _fractions(axis, part):
    """Observed censored fraction by bin over the band of the simulated one."""
    axis.fill_between(part["x"], part["eti_lb"], part["eti_ub"], color=COLOURS[0], alpha=0.35, linewidth=0)
    axis.plot(part["x"], part["observed"], color="black")
    axis.set(ylabel="censored", ylim=(-0.02, 1.02))


_PANELS = {"percentiles": _percentiles, "shares": _shares, "survival": _survival}
