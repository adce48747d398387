"""The sheet that every picture is drawn on: one style, axes with names and units, one legend, and the numbers beside.

Colours are those of Okabe and Ito (2008), which colour-blind readers tell apart; what they tell, line styles and
markers tell too, so that a print without colours can be read.
"""

from dataclasses import dataclass
from textwrap import wrap
from typing import Annotated

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nlmebayes.arguments import Kind
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.measurement import measure
from nlmebayes.evaluation.tails import tails

CI_PROB = 0.9  # of the outer band; that of the inner one is a half
GRID = 60
AGAIN, LARGE = 20, 5_000_000  # times that each draw scatters, and numbers in all of them
BLUE, RED, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
CYCLE = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)
GREY, BLACK = "#7f7f7f", "black"
TITLE, TEXT = 9, 8  # points
LETTER = 0.075  # inches of a letter of a title, about
STYLE = {
    "font.size": TEXT, "axes.titlesize": TITLE, "axes.labelsize": TEXT, "xtick.labelsize": TEXT - 1,
    "ytick.labelsize": TEXT - 1, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7,
    "lines.linewidth": 1.3, "axes.xmargin": 0.03, "legend.frameon": False, "legend.fontsize": TEXT,
    "figure.titlesize": TITLE + 1, "font.family": "sans-serif",
}  # fmt: skip


def _axes(value):
    """One axes of matplotlib, or several of them."""
    found = np.atleast_1d(np.asarray(value, dtype=object)).ravel()
    if not all(isinstance(axis, Axes) for axis in found):
        raise TypeError
    return found


Places = Annotated[np.ndarray, Kind("axes of matplotlib, or a list of them", _axes)]


@dataclass(frozen=True, eq=False)
class Sheet:
    """A figure of its own, or axes that somebody gave, with a panel for each of the first ``count`` axes (row, column).

    ``own``: whether the figure is this picture's alone, so that it may have a title and a legend.
    """

    figure: Figure
    grid: np.ndarray
    count: int
    own: bool

    @property
    def axes(self):
        """Those of the panels, row by row."""
        return self.grid.ravel()[: self.count]

    def named(self, x, y):
        """Names on the axes, at the left and below where they are shared."""
        for i, axis in enumerate(self.axes):
            below = i + self.grid.shape[1] >= self.count
            if below or not self.own:
                axis.set_xlabel(x)
                axis.xaxis.set_tick_params(labelbottom=True)
            if i % self.grid.shape[1] == 0 or not self.own:
                axis.set_ylabel(y)

    def finished(self, title, numbers, legend=True):
        """The figure, with the question that it answers as its title, what lines and bands are, and its numbers."""
        shown = {}
        for axis in self.axes:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                shown.setdefault(label, handle)
        if self.own and self.count == 1 and not self.axes[0].get_title():
            self.axes[0].set_title(title, fontsize=TITLE, loc="left")
        elif self.own:
            title = "\n".join(wrap(title, int(self.figure.get_figwidth() / LETTER)))
            self.figure.suptitle(title, fontsize=TITLE + 1, x=0.01, ha="left")
        elif not self.axes[0].get_title():
            self.axes[0].set_title(title, fontsize=TITLE, loc="left")
        if legend and shown:
            self._explained(list(shown.values()), list(shown))
        self.figure.numbers = numbers
        return self.figure

    def _explained(self, handles, labels):
        if not self.own:
            self.axes[0].legend(handles, labels, frameon=False, fontsize=TEXT - 1)
            return
        widest = max(map(len, labels)) * 0.06 + 0.5  # inches of the longest entry, about
        columns = max(1, min(len(labels), int(self.figure.get_figwidth() / widest)))
        options = {"loc": "outside lower center", "ncols": columns, "frameon": False, "fontsize": TEXT}
        self.figure.legend(handles, labels, **options)


def sheet(count, columns=1, size=(2.8, 2.3), ax=None, *, sharex=False, sharey=False, heights=None):
    """A `Sheet` of so many panels, in rows of ``columns``; or of the axes that were given, which must be as many.

    ``heights``: of rows in parts of each other, ``size`` is then that of the first.
    """
    if ax is not None:
        if len(ax) != count:
            raise ModelError(f"ax: this picture has {count} panels; got {len(ax)} axes")
        return Sheet(ax[0].figure, np.array(ax, dtype=object)[None], count, own=False)
    rows = -(-count // columns)
    tall = rows if heights is None else sum(heights) / heights[0]
    plt.draw_if_interactive()  # loads the backend: Jupyter's says that it is interactive, which the context would undo
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            rows, columns, figsize=(size[0] * columns, size[1] * tall + 0.5), sharex=sharex, sharey=sharey,
            squeeze=False, layout="constrained", height_ratios=heights,
        )  # fmt: skip
        for axis in grid.flat:
            axis.xaxis.label.set_size(TEXT)
            axis.yaxis.label.set_size(TEXT)
    for axis in grid.flat[count:]:
        axis.set_visible(False)
    return Sheet(figure, grid, count, own=True)


def of_one(known, data, outcome, y=None):
    """Measurements of the records of an outcome, or others ``y`` of the same records, on the scale of the prediction.

    Raises
    ------
    ModelError
        They have no place there.
    """
    o = known.design(data).outcome(outcome)
    try:
        return known.model.residual_of(outcome).of_one(o.values if y is None else y, o.columns)
    except ModelError as error:
        raise ModelError(f"{outcome}: {error}; plot.vpc has a picture of it") from None


def new_measurements(known, data, found, outcome, ci_prob):
    """Quantiles (5, record) of new measurements around predictions of a tree ``found``, on the scale of the prediction.

    Each draw scatters again and again, so that the ends of the interval are smooth.
    """
    residual, design = known.model.residual_of(outcome), known.design(data)
    if residual.correlated or residual.folds:
        return of_one(known, data, outcome, quantiles(found["posterior_predictive"][outcome], ci_prob))
    f = found["posterior"][f"f_{outcome}"].stack(draw_=("chain", "draw")).transpose("draw_", ...).to_numpy()
    sigma, rng, o = known.draws_of((outcome,)).sigma[outcome], np.random.default_rng(0), design.outcome(outcome)
    times = max(1, min(AGAIN, LARGE // f.size))
    drawn = [measure(residual, f, sigma, rng, design.positive, o) for _ in range(times)]
    return of_one(known, data, outcome, np.quantile(np.concatenate(drawn), edges(ci_prob), axis=0))


def quantiles(variable, ci_prob):
    """Of the outer band, the inner one, the median, and back, (5, record)."""
    return variable.quantile(edges(ci_prob), dim=("chain", "draw")).to_numpy()


def edges(ci_prob):
    """Where `bands` begin and end, as probabilities."""
    low, high = tails(ci_prob)
    return [low, 0.25, 0.5, 0.75, high]


def percent(ci_prob):
    return f"{100 * ci_prob:g} % interval"


def bands(axis, x, f, ci_prob, measured=(), name="prediction"):
    """Bands of 50 % and ``ci_prob`` around a median, and the ends of the interval of new measurements."""
    axis.fill_between(x, f[0], f[4], color=BLUE, alpha=0.2, linewidth=0, label=f"{name}, {percent(ci_prob)}")
    axis.fill_between(x, f[1], f[3], color=BLUE, alpha=0.35, linewidth=0, label=f"{name}, {percent(0.5)}")
    axis.plot(x, f[2], color=BLUE, label=f"{name}, median")
    for i, edge in enumerate(measured[::4]):
        label = None if i else f"new measurement, {percent(ci_prob)}"
        axis.plot(x, edge, color=BLUE, linestyle="--", linewidth=0.8, label=label)


def points(axis, x, y, label, **options):
    """Measurements."""
    given = {"color": BLACK, "markersize": 3.5, "linestyle": "none", "marker": "o"} | options
    axis.plot(x, y, label=label, **given)


def measured(axis, x, rows, label="measured", **options):
    """Measurements in rows of a table of records; those that are censored as open triangles at their limits."""
    censored = (rows["lower"].notna() | rows["upper"].notna()).to_numpy()
    points(axis, x[~censored], rows["value"][~censored], label, **options)
    if censored.any():
        shown = options | {"marker": "v", "fillstyle": "none", "color": RED}
        shown["markersize"] = options.get("markersize", 2.5) + 1.5
        points(axis, x[censored], rows["value"][censored], f"{label}, censored, at its limit", **shown)


def from_nothing(axes, *values):
    """Vertical axes from 0 on where nothing that is drawn lies below it; everything is drawn by then.

    They stay free, so that whoever asks for logarithms gets limits of what is positive.
    """
    if all(np.nanmin(v) >= 0 for v in values if np.size(v)):
        for axis in (axis for axis in axes if axis.get_yscale() == "linear"):
            axis.update_datalim([(0.0, 0.0)], updatex=False)
            for drawn in (*axis.lines, *axis.collections):
                drawn.sticky_edges.y.append(0.0)  # no margin below
            axis.autoscale_view(scalex=False)


def banded(x, f, ci_prob, measured=None, **columns):
    """The numbers of `bands`, a row for each place."""
    found = dict(columns) | {"x": x, "median": f[2], "eti_lb": f[0], "eti_ub": f[4], "q25": f[1], "q75": f[3]}
    if measured is not None:
        found |= {"new_eti_lb": measured[0], "new_eti_ub": measured[4]}
    return pd.DataFrame(found)
