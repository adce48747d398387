"""Do data that the model simulates look like the data? Visual predictive check, prior predictive check."""

from itertools import cycle
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

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
from nlmebayes.plot import panels
from nlmebayes.plot.labels import labelled, labels_of
from nlmebayes.plot.panels import BLACK, BLUE, CI_PROB, CYCLE, GREEN, GREY, RED, SKY, Places

Axes = Literal["x", "y", "xy"]
MANY = 13  # intervals of a line, so that each can be told from the next
MIDDLE = 50  # the percentile that is drawn as a whole line
LOW, MEDIAN, HIGH = (SKY, ":"), (RED, "-"), (BLUE, "--")  # colour of a band and line in it, of percentiles


@checked
def vpc(
    tree: Tree, *, x: Text | None = None, outcome: Text | None = None, by: Names = (), bins: Bins = 8,
    binning: Binning = "count", correct: Correction | None = None, logged: Switch = False, replicates: Count = 1000,
    lloq: Limit | None = None, uloq: Limit | None = None, log: Axes | None = None, ci_prob: Share = CI_PROB,
    random_seed: Seed | None = 0, ax: Places | None = None, model: Model | None = None,
) -> Figure:  # fmt: skip
    """Visual predictive check: observed 5, 50 and 95 % percentiles over bands of the simulated ones.

    Individuals are drawn anew in every replicate. Up to 12 distinct values of ``x`` have a bin each; more are binned
    into
    ``bins``. Vertical lines are intervals of the observed percentiles. Where measurements are censored, a second panel
    has
    the fraction of them, observed over the band of the simulated one, and percentiles are drawn with the censored at
    their
    limits. Counts are shown per unit of exposure; of successes and of ordered categories the picture has shares instead
    of
    percentiles, of times to an event the Kaplan-Meier curve over the band of the simulated ones.

    Parameters
    ----------
    tree, x, outcome, bins, binning, correct, logged, replicates, lloq, uloq, random_seed, model
        As of `nlmebayes.vpc`, which has the numbers.
    by : str or list of str
        Columns that make strata; each has a panel.
    ci_prob : float
        Probability of the bands.
    log : str
        Axes with logarithms: ``"x"``, ``"y"`` or ``"xy"``.
    ax : Axes, optional
        Axes to draw on, one for each stratum, and as many again for censored fractions.

    Returns
    -------
    Figure
        Its ``numbers``: the table of `nlmebayes.vpc`.

    Raises
    ------
    ModelError
        As `nlmebayes.vpc`.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> model = nb.Model(OneCompartment("first-order"), residual=nb.Combined())
    >>> tree = nb.fit(model, nb.datasets.theophylline(), method="ml")
    >>> nb.plot.vpc(tree, bins=5).savefig("vpc.png")
    """
    known = fitted(tree, model)
    study = study_of(known)
    options = CheckOptions(by=by, bins=bins, binning=binning, correct=correct, logged=logged, ci_prob=ci_prob)
    simulated = study.replicated(replicates, np.random.default_rng(random_seed))
    title = "Do simulated data look like the data?" + (f" ({correct}-corrected)" if correct else "")
    found = of_study(study, simulated, outcome, x, lloq, uloq, options)
    names = _names(labels_of(known), study.data, found, outcome)
    return _picture(found, names, ci_prob, title, ax, log or "")


@checked
def prior(
    tree: Tree, *, x: Text | None = None, outcome: Text | None = None, by: Names = (), bins: Bins = 8,
    binning: Binning = "count", ci_prob: Share = CI_PROB, ax: Places | None = None,
) -> Figure:  # fmt: skip
    """Prior predictive check of a tree from `simulate`: as `vpc`, with data that were simulated a priori.

    Parameters
    ----------
    tree : DataTree
        From `simulate`.
    x, outcome, by, bins, binning, ci_prob, ax
        As of `vpc`.

    Returns
    -------
    Figure

    Raises
    ------
    ModelError
        Not a tree from `simulate`; as `vpc`.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> model = nb.Model(OneCompartment("first-order"), residual=nb.Combined())
    >>> tree = nb.simulate(model, nb.datasets.theophylline(), draws=100, random_seed=1)
    >>> nb.plot.prior(tree).savefig("prior.png")
    """
    if "prior_predictive" not in tree.children:
        raise ModelError("plot.prior needs a tree from simulate")
    model, data = storage.stored_model(tree), storage.stored_dataset(tree)
    study, drawn = Study(model, data, resolve(model, data), None), tree["prior_predictive"]
    simulated = {name: drawn[name].to_numpy().reshape(-1, drawn[name].shape[-1]) for name in data.outcomes}
    found = of_study(
        study, simulated, outcome, x, options=CheckOptions(by=by, bins=bins, binning=binning, ci_prob=ci_prob)
    )
    names = _names(labelled(model, data), data, found, outcome)
    return _picture(found, names, ci_prob, "Could these data have been expected?", ax)


def _names(labels, data, found, outcome):
    """Names of both axes with their units, and that of the outcome."""
    outcome = outcome_of(data, outcome)
    return labels.of_axis(found.x, data.time), labels(outcome), outcome


def _picture(found, names, ci_prob, title, ax=None, log=""):
    """The picture of a `predictive.Comparison`: a panel for each stratum, and below it the censored fraction where
    there is one; ``names`` of both axes, and of the outcome."""
    table, (x, y, of) = found.table, names
    parts = [((), table)] if not found.by else list(table.groupby(list(found.by), sort=False, observed=True))
    censored = (table["statistic"] == "censored").any()
    size = 6.4 if len(parts) == 1 else 4.2, 3.7
    count = len(parts) * (1 + censored)
    made = panels.sheet(count, len(parts), size, ax, sharex=True, sharey="row", heights=[3, 1] if censored else None)
    for (values, part), column in zip(parts, made.axes.reshape(-1, len(parts)).T, strict=True):
        if found.kind == "percentiles":
            _points(column[0], found, values)
        _PANELS[found.kind](column[0], part[part["statistic"] != "censored"], ci_prob)
        if censored:
            _fractions(column[1], part[part["statistic"] == "censored"], ci_prob)
        if values:
            said = ", ".join(f"{name} {value}" for name, value in zip(found.by, values, strict=True))
            column[0].set_title(said, fontsize=panels.TITLE)
        for axis in log:
            getattr(column[0], f"set_{axis}scale")("log")
    made.named(x, {"shares": f"share of {of}", "survival": f"share without {of}"}.get(found.kind, y))
    for axis in made.axes[len(parts) :][:: len(parts)]:
        axis.set_ylabel("share censored")
    if found.kind == "percentiles":
        panels.from_nothing(made.axes[: len(parts)], table["eti_lb"], found.records.y)
    return made.finished(title, table)


def _percentiles(axis, part, ci_prob):
    levels = list(dict.fromkeys(part["statistic"]))
    place = levels.index(f"{MIDDLE} %") if f"{MIDDLE} %" in levels else len(levels) // 2
    for i, name in enumerate(levels):
        here, (colour, style) = part[part["statistic"] == name], (LOW, MEDIAN, HIGH)[1 + np.sign(i - place)]
        label = f"simulated {name}, {panels.percent(ci_prob)}"
        axis.fill_between(here["x"], here["eti_lb"], here["eti_ub"], color=colour, alpha=0.3, linewidth=0, label=label)
        axis.plot(here["x"], here["observed"], color=BLACK, linestyle=style, label=f"observed {name}")
        some = here.iloc[:: 1 + len(here) // MANY]
        ends = some[["observed_lb", "observed_ub"]].replace([-np.inf, np.inf], np.nan).to_numpy().T
        own = f"observed, {panels.percent(ci_prob)}" if i == 0 else None
        axis.vlines(some["x"], *ends, color=BLACK, linewidth=0.6, label=own)


def _points(axis, found, values):
    """The measurements of a stratum, as they were corrected, without those that are censored."""
    records = found.records
    here = (records.flags == 0) & np.isfinite(records.y)
    if records.own is not None:
        here &= records.own
    for name, value in zip(found.by, values, strict=True):
        here &= (records.frame[name] == value).to_numpy()
    panels.points(axis, records.at[here], records.y[here], "measured", color=GREY, markersize=2.5, alpha=0.6)


def _shares(axis, part, ci_prob):
    """Shares by bin, observed over the bands of the simulated ones."""
    for name, colour, marker in zip(dict.fromkeys(part["statistic"]), cycle(CYCLE), cycle("osD^v")):
        here, label = part[part["statistic"] == name], f"simulated: {name}, {panels.percent(ci_prob)}"
        axis.fill_between(here["x"], here["eti_lb"], here["eti_ub"], color=colour, alpha=0.25, linewidth=0, label=label)
        axis.plot(here["x"], here["observed"], marker=marker, color=colour, markersize=3.5, label=f"observed: {name}")
    axis.set(ylim=(-0.02, 1.02))


def _survival(axis, part, ci_prob):
    """The Kaplan-Meier curve of the observed times over the band of those of simulated trials."""
    label = f"simulated, {panels.percent(ci_prob)}"
    axis.fill_between(part["x"], part["eti_lb"], part["eti_ub"], color=BLUE, alpha=0.3, linewidth=0, label=label)
    axis.step(part["x"], part["observed"], color=BLACK, where="post", label="observed")
    axis.set(ylim=(-0.02, 1.02))


def _fractions(axis, part, ci_prob):
    """Observed censored fraction by bin over the band of the simulated one."""
    label = f"simulated share censored, {panels.percent(ci_prob)}"
    axis.fill_between(part["x"], part["eti_lb"], part["eti_ub"], color=GREEN, alpha=0.3, linewidth=0, label=label)
    axis.plot(part["x"], part["observed"], color=BLACK, marker=".", label="observed share censored")
    axis.set(ylim=(-0.02, 1.02))


_PANELS = {"percentiles": _percentiles, "shares": _shares, "survival": _survival}
