"""Goodness of fit: what was observed beside what was predicted, and residuals beside everything."""

import numpy as np
from matplotlib.figure import Figure

from nlmebayes.arguments import Count, Seed, Share, Text, Tree, checked
from nlmebayes.criticism.predictive import outcome_of
from nlmebayes.criticism.residuals import residuals
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.model.model import Data, Model
from nlmebayes.plot import panels, trends
from nlmebayes.plot.labels import labels_of
from nlmebayes.plot.panels import BLACK, BLUE, CI_PROB, GREY, RED, Places

RESIDUALS = ("CWRES", "npde")
LIMIT = 1.96  # between which 95 % of standard normal values lie


@checked
def gof(
    tree: Tree, data: Data | None = None, *, outcome: Text | None = None, replicates: Count = 1000,
    ci_prob: Share = CI_PROB, random_seed: Seed | None = 0, ax: Places | None = None, model: Model | None = None,
) -> Figure:  # fmt: skip
    """Goodness of fit: observed over PRED and over IPRED; CWRES and npde over time, time after dose and PRED, their
    distributions and their quantiles, with the bands in which those of a true model lie.

    Parameters
    ----------
    tree : DataTree
        From `fit`, `forecast` or `population`.
    data, replicates, random_seed, model
        As in `residuals`, which has the numbers.
    outcome : str, optional
        By default the first.
    ci_prob : float
        Probability of the bands, pointwise.
    ax : Axes, optional
        Axes to draw on, as many as the picture has panels.

    Returns
    -------
    Figure
        Its ``numbers``: the table of `residuals`, of the outcome that is drawn.

    Raises
    ------
    ModelError
        A time to an event, of which `vpc` has the survival.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> model = nb.Model(OneCompartment("first-order"), residual=nb.Combined())
    >>> tree = nb.fit(model, nb.datasets.theophylline(), method="ml")
    >>> nb.plot.gof(tree).savefig("gof.png")
    """
    known = fitted(tree, model)
    data = known.data if data is None else data
    options = {"replicates": replicates, "random_seed": random_seed, "model": model}
    return goodness(known, data, outcome_of(data, outcome), lambda: residuals(tree, data, **options), ci_prob, ax)


def goodness(known, data, outcome, table, ci_prob, ax=None):
    """The picture of `gof` of the residuals that ``table()`` gives, of all outcomes."""
    if known.model.residual_of(outcome).folds:
        raise ModelError(f"plot.gof: {outcome} is a time to an event; plot.vpc has its survival")
    table = table()
    table = table[table["outcome"] == outcome].reset_index(drop=True)
    names = labels_of(known, data)
    drawn = list(_panels(table, data, names, outcome, ci_prob))
    made = panels.sheet(len(drawn), 4 if len(drawn) > 10 else 3, (2.7, 2.4), ax)
    for axis, (draw, x, y) in zip(made.axes, drawn, strict=True):
        draw(axis)
        axis.set_xlabel(x)
        axis.set_ylabel(y)
    return made.finished(f"Does the model describe {outcome}?", table)


def _panels(table, data, names, outcome, ci_prob):
    """What draws each panel, with the names of its axes; none of what the records do not have."""
    has = {name: table[name].notna().any() for name in (*RESIDUALS, "PRED", "IPRED", "RES")}
    unit = names(outcome).removeprefix(outcome)
    for name in ("PRED", "IPRED") if has["RES"] else ():
        yield _observed(table, name), f"{name}{unit}", f"observed {names(outcome)}"
    along = [c for c in (data.time, "tad", "PRED") if c in table and table[c].nunique() > 1]
    shown = [name for name in RESIDUALS if has[name]]
    wide = len(along) == 3
    for name in shown if wide else ():
        yield _distribution(table[name], ci_prob), name, "records"
    for name in shown:
        for x in along:
            label = f"{x}{unit}" if x == "PRED" else names.of_axis(x, data.time)
            yield _residuals(table[x], table[name]), label, name
        yield _quantiles(table[name], ci_prob), "standard normal quantile", f"quantile of {name}"
    for name in () if wide else shown:
        yield _distribution(table[name], ci_prob), name, "records"


def _observed(table, name):
    def draw(axis):
        value = table["DV"] - 0.0
        if table["RES"].notna().any():  # on the scale of the prediction
            value = (table["PRED"] + table["RES"]).where(table["CENS"] == 0, value)
        censored = (table["CENS"] != 0).to_numpy()
        panels.points(axis, table[name][~censored], value[~censored], "measured", markersize=3, alpha=0.6)
        if censored.any():
            shown = {"marker": "v", "fillstyle": "none", "markersize": 4}
            panels.points(axis, table[name][censored], value[censored], "censored, at its limit", **shown)
        both = np.concatenate([table[name], value])
        low, high = np.nanmin(both), np.nanmax(both)
        axis.plot([low, high], [low, high], color=BLACK, linewidth=0.8, label="identity")
        _trend(axis, table[name], value)

    return draw


def _residuals(x, y):
    def draw(axis):
        panels.points(axis, x, y, "residual of a record", markersize=3, alpha=0.6, color=GREY)
        axis.axhline(0, color=BLACK, linewidth=0.8)
        for side in (-LIMIT, LIMIT):
            label = "95 % of a true model" if side > 0 else None
            axis.axhline(side, color=BLACK, linewidth=0.8, linestyle="--", label=label)
        _trend(axis, x, y)

    return draw


def _trend(axis, x, y):
    line = trends.smooth(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    if line is not None:
        axis.plot(*line, color=RED, label="smooth")


def _distribution(values, ci_prob):
    def draw(axis):
        known = values.dropna().to_numpy()
        reach = max(3.0, np.abs(known).max()) * 1.001
        edges = np.linspace(-reach, reach, max(9, min(25, 1 + int(np.sqrt(len(known))) // 2 * 2)))
        low, high = trends.counted(edges, len(known), ci_prob)
        label = f"standard normal, {panels.percent(ci_prob)}"
        axis.stairs(high, edges, baseline=low, fill=True, color=BLUE, alpha=0.3, label=label)
        axis.stairs(np.histogram(known, edges)[0], edges, color=BLACK, linewidth=1.2, label="number of records")
        axis.set_ylim(bottom=0)

    return draw


def _quantiles(values, ci_prob):
    def draw(axis):
        known = np.sort(values.dropna().to_numpy())
        expected, low, high = trends.ordered(len(known), ci_prob)
        label = f"standard normal, {panels.percent(ci_prob)}"
        axis.fill_between(expected, low, high, color=BLUE, alpha=0.3, linewidth=0, label=label)
        axis.plot(expected, expected, color=BLACK, linewidth=0.8, label="identity")
        panels.points(axis, expected, known, "residual of a record", markersize=3, alpha=0.6, color=GREY)

    return draw
