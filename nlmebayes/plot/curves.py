"""A prediction over time or another input with its bands and the measurements: by subject, of a forecast, in a loop."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from nlmebayes.arguments import Count, Number, Share, Text, Tree, checked
from nlmebayes.criticism.predictive import axis_of, outcome_of
from nlmebayes.errors import ModelError
from nlmebayes.evaluation import prediction, storage
from nlmebayes.evaluation.fitted import REPORT, fitted
from nlmebayes.model.model import Data, Model
from nlmebayes.plot import panels
from nlmebayes.plot.panels import CI_PROB

Labels = list[Text | Number]


@checked
def fits(
    tree: Tree, data: Data | None = None, *, x: Text | None = None, subjects: Labels | None = None,
    outcome: Text | None = None, columns: Count = 4, ci_prob: Share = CI_PROB, model: Model | None = None,
):  # fmt: skip
    """Each subject's measurements over its prediction: median, bands of 50 % and ``ci_prob``; dashed, new measurements.

    Counts are shown on the scale of the prediction: per trial, per unit of exposure.

    Parameters
    ----------
    x : str, optional
        Column on the horizontal axis; by default time, or the structure's first input.
    subjects : sequence, optional
        Labels of the innermost level; by default the first twelve.
    ci_prob : float
        Probability of the outer band.
    """
    known = fitted(tree, model)
    data = known.data if data is None else data
    outcome, x, level = outcome_of(data, outcome), axis_of(known.model, data, x), data.levels[-1]
    seen = data.observations[data.observations["outcome"] == outcome]
    labels = subjects if subjects is not None else list(dict.fromkeys(seen[level]))[:12]
    if not labels:
        raise ModelError(f"plot.fits: subjects names none; the first of level {level} is {seen[level].iloc[0]!r}")
    data = data.sel(**{level: labels})
    seen = seen[seen[level].isin(labels)]
    values = panels.of_one(known, data, outcome)
    fine = panels.fine(data, x)
    smooth = prediction.predicted(known, fine, random_seed=0)
    bands = panels.quantiles(smooth["posterior"][f"f_{outcome}"], ci_prob)
    measured = panels.quantiles(smooth["posterior_predictive"][outcome], ci_prob)
    wide = panels.of_one(known, fine, outcome, measured)
    grid = storage.stored_dataset(smooth).observations
    grid = grid[grid["outcome"] == outcome].reset_index(drop=True)
    columns = min(columns, len(labels))
    figure, axes = panels.panels(len(labels), columns)
    for axis, label in zip(axes, labels, strict=False):
        here = (grid[level] == label).to_numpy()
        panels.bands(axis, grid[x][here], bands[:, here], wide[:, here])
        own = (seen[level] == label).to_numpy()
        axis.plot(seen[x][own], values[own], "o", color="black", markersize=3.5)
        axis.set_title(f"{level} {label}", fontsize=9)
    panels.name_axes(figure, x, outcome)
    return figure


@checked
def hysteresis(
    tree: Tree, data: Data | None = None, *, x: Text = "conc", y: Text = "effect", subjects: Labels | None = None,
    columns: Count = 4, model: Model | None = None,
):  # fmt: skip
    """One predicted outcome over another as time goes on, by subject: a loop where one lags behind the other.

    Parameters
    ----------
    data : Dataset, optional
        By default that of the tree; its subjects and doses count, over a fine grid of its times.
    x, y : str
        Outcomes of the structure; both need not have been measured.
    subjects : sequence, optional
        Labels of the innermost level; by default the first four.

    Returns
    -------
    Figure
        Medians of the individual predictions, darker as time goes on, with an arrow; points where both were measured.
    """
    known = fitted(tree, model)
    data = known.data if data is None else data
    for name in (x, y):
        if name not in data.outcomes:
            raise ModelError(f"hysteresis: no outcome {name!r} in the data; there are {', '.join(data.outcomes)}")
    level = data.levels[-1]
    labels = list(subjects or ()) or list(dict.fromkeys(data.observations[level]))[:4]
    smooth = prediction.predicted(known, panels.fine(data.sel(**{level: labels}), data.time), random_seed=0)
    grid = storage.stored_dataset(smooth).observations
    middle = {name: smooth["posterior"][f"f_{name}"].median(("chain", "draw")).to_numpy() for name in (x, y)}
    figure, axes = panels.panels(len(labels), min(columns, len(labels)))
    for axis, label in zip(axes, labels, strict=False):
        across, up = (middle[n][(grid[grid["outcome"] == n][level] == label).to_numpy()] for n in (x, y))
        _loop(axis, across, up)
        seen = data.observations[data.observations[level] == label]
        both = seen.pivot_table(index=data.time, columns="outcome", values="value").reindex(columns=[x, y]).dropna()
        axis.plot(both[x], both[y], "o", color="black", markersize=3.5)
        axis.set_title(f"{level} {label}", fontsize=9)
    panels.name_axes(figure, x, y)
    return figure


def _loop(axis, x, y):
    """A path that darkens with time, with an arrow at its middle."""
    for i in range(len(x) - 1):
        axis.plot(x[i : i + 2], y[i : i + 2], color="#3b6ea5", alpha=0.25 + 0.75 * i / len(x))
    i = int(np.argmax(np.hypot(np.diff(x) / (np.ptp(x) or 1), np.diff(y) / (np.ptp(y) or 1))))
    axis.annotate("", (x[i + 1], y[i + 1]), (x[i], y[i]), arrowprops={"arrowstyle": "->", "color": "#3b6ea5"})


@checked
def forecast(
    tree: Tree, times: list[Number] | None = None, *, x: Text | None = None, held_out: Data | None = None,
    outcome: Text | None = None, ci_prob: Share = CI_PROB, model: Model | None = None,
):  # fmt: skip
    """A forecast patient: samples, curve with bands, and (grey) what was expected before the samples.

    Parameters
    ----------
    times : array, optional
        By default from the first record to twice as far as the last.
    x : str, optional
        Column on the horizontal axis; by default time, or the structure's first input.
    held_out : Dataset, optional
        Other samples of the patient, not used by the forecast, shown as open circles.
    ci_prob : float
        Probability of the outer bands.
    """
    if REPORT not in tree.attrs:
        raise ModelError("plot.forecast needs a tree from forecast; plot.fits shows those of a fit")
    known = fitted(tree, model)
    data = known.data
    outcome, x = outcome_of(data, outcome), axis_of(known.model, data, x)
    if times is not None and not times:
        raise ModelError("plot.forecast: times holds no time; leave it out, or give some")
    values = panels.of_one(known, data, outcome)
    if times is None:
        records = data.observations[x].to_numpy()
        if x == data.time:
            records = np.append(records, data.doses[x].to_numpy(float))
        times = np.linspace(records.min(), 2 * records.max() - records.min(), 2 * panels.GRID)
    grid = data.over(**{x: times})
    after = prediction.predicted(known, grid, random_seed=0)
    before = prediction.predicted(replace(known, tree=_before(tree)), grid, random_seed=0)
    figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    expected, wide = (
        panels.of_one(known, grid, outcome, panels.quantiles(found["posterior_predictive"][outcome], ci_prob))
        for found in (before, after)
    )
    axis.fill_between(
        times, expected[0], expected[-1], color="grey", alpha=0.2, label=f"before the samples, {100 * ci_prob:g} %"
    )
    panels.bands(axis, times, panels.quantiles(after["posterior"][f"f_{outcome}"], ci_prob), wide)
    if held_out is not None:
        others = held_out.observations[held_out.observations["outcome"] == outcome]
        there = panels.of_one(known, held_out, outcome)
        axis.plot(others[x], there, "o", color="black", fillstyle="none", label="not used")
    seen = data.observations[data.observations["outcome"] == outcome]
    axis.plot(seen[x], values, "o", color="black", label="samples")
    axis.set(xlabel=x, ylabel=outcome, title=f"Forecast of {data.subject} {data.observations[data.subject].iloc[0]}")
    axis.legend(frameon=False)
    return figure


def _before(tree):
    """The forecast's prior in the place of its posterior."""
    found = tree.copy()
    found["posterior"] = tree["prior"].copy()
    return found
