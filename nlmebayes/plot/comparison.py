"""Models beside the best of them: differences in what was left out, and what each group says."""

import numpy as np
from matplotlib.figure import Figure
from scipy import special

from nlmebayes.arguments import Share, checked
from nlmebayes.criticism.model_comparison import RECORD, Comparison
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.tails import tails
from nlmebayes.plot import panels
from nlmebayes.plot.panels import BLUE, CI_PROB, GREY, Places


@checked
def comparison(found: Comparison, *, ci_prob: Share = CI_PROB, ax: Places | None = None) -> Figure:
    """Differences in elpd to the best model with normal intervals of their SE, a row of panels for each kind of group
    left out, and beside them those of each group: a few groups, or many?

    Parameters
    ----------
    found : Comparison
        From `nlmebayes.compare`.
    ci_prob : float
        Probability of the intervals.
    ax : list of Axes, optional
        Two for each kind of group left out.

    Returns
    -------
    Figure

    Raises
    ------
    ModelError
        Fewer than two models with anything left out.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import LinearMixed
    >>> model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
    >>> short = {"draws": 100, "tune": 100, "chains": 2, "random_seed": 1, "progressbar": False}
    >>> tree = nb.fit(model, nb.datasets.dyestuff(), **short)
    >>> nb.plot.comparison(nb.compare({"one": tree, "same": tree}, match=False)).savefig("comparison.png")
    """
    table = found.differences
    if not len(table):
        raise ModelError("plot.comparison needs two models or more, with draws: nothing was left out of these")
    kinds = list(dict.fromkeys(table["left out"]))
    most = int(table["left out"].value_counts().max())
    made = panels.sheet(2 * len(kinds), 2, size=(3.6, 1.2 + 0.35 * most), ax=ax)
    for k, kind in enumerate(kinds):
        here = table[table["left out"] == kind]
        _whole(made.axes[2 * k], here, kind, ci_prob)
        _each(made.axes[2 * k + 1], found.by_group[found.by_group["level"] == kind], here, kind)
    return made.finished(f"How much worse than {table['best'].iloc[0]} are the others?", table)


def _whole(axis, table, kind, ci_prob):
    """The differences of all groups together, with their intervals."""
    wide = special.ndtri(tails(ci_prob)[1])
    place, label = np.arange(len(table)), panels.percent(ci_prob)
    axis.axvline(0.0, color=GREY, linewidth=0.8, label="the best model")
    axis.hlines(place, table["difference"] - wide * table["se"], table["difference"] + wide * table["se"], color=BLUE,
                linewidth=1.4, label=label)  # fmt: skip
    panels.points(axis, table["difference"], place, "difference", color=BLUE)
    axis.set_yticks(place, table["model"])
    axis.set_ylim(-0.6, len(table) - 0.4)
    given = ", given the effects of its group" if kind == RECORD else ""
    axis.set_title(f"each {kind} left out{given}", fontsize=panels.TITLE)
    axis.set_xlabel(f"elpd less that of {table['best'].iloc[0]}")


def _each(axis, groups, table, kind):
    """The difference in each group."""
    wide = groups.pivot(index="group", columns="model", values="elpd")
    axis.axvline(0.0, color=GREY, linewidth=0.8)
    for place, (name, best) in enumerate(zip(table["model"], table["best"], strict=True)):
        each = (wide[name] - wide[best]).sort_values()
        ranks = np.linspace(0.0, 1.0, len(each)) if len(each) > 1 else np.array([0.5])
        axis.plot(each, place + 0.6 * (ranks - 0.5), "o", color=BLUE, markersize=2.5, alpha=0.6, label=f"a {kind}")
    axis.set_yticks(range(len(table)), [])
    axis.set_ylim(-0.6, len(table) - 0.4)
    axis.set_title(f"{kind} by {kind} ({table['groups'].iloc[0]})", fontsize=panels.TITLE)
    axis.set_xlabel("difference in elpd")
