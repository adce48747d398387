"""Models beside the best of them: differences in what was left out, and what each group says."""

import matplotlib.pyplot as plt
import numpy as np
from scipy import special

from nlmebayes.arguments import Share, checked
from nlmebayes.criticism.model_comparison import RECORD, Comparison
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.tails import tails
from nlmebayes.plot.panels import CI_PROB

COLOUR = "#3b6ea5"
HEIGHT = 0.42  # of a row, in inches


@checked
def comparison(found: Comparison, *, ci_prob: Share = CI_PROB):
    """Differences in elpd to the best model with normal intervals of their SE, one panel for each kind of group left
    out, and beside them those of each group: a few groups, or many?

    Parameters
    ----------
    found : Comparison
        From `nlmebayes.compare`.
    ci_prob : float
        Probability of the intervals.

    Raises
    ------
    ModelError
        Fewer than two models with anything left out.
    """
    table = found.differences
    if not len(table):
        raise ModelError("plot.comparison needs two models or more, with draws: nothing was left out of these")
    kinds = list(dict.fromkeys(table["left out"]))
    size = (8.0, sum(1.1 + HEIGHT * (table["left out"] == kind).sum() for kind in kinds))
    figure, axes = plt.subplots(len(kinds), 2, figsize=size, layout="constrained", squeeze=False)
    for kind, row in zip(kinds, axes, strict=True):
        here = table[table["left out"] == kind]
        _whole(row[0], here, kind, ci_prob)
        _each(row[1], found.by_group[found.by_group["level"] == kind], here)
    return figure


def _whole(axis, table, kind, ci_prob):
    """The differences of all groups together, with their intervals."""
    wide = special.ndtri(tails(ci_prob)[1])
    place = range(len(table))
    label = f"{100 * ci_prob:g} % interval"
    axis.axvline(0.0, color="grey", linewidth=0.8)
    axis.errorbar(table["difference"], place, xerr=wide * table["se"], fmt="o", color=COLOUR, markersize=5, label=label)
    axis.set_yticks(place, table["model"])
    axis.set_ylim(-0.6, len(table) - 0.4)
    given = " given the effects of its group" if kind == RECORD else ""
    axis.set_title(f"{kind} left out{given}", fontsize=9)
    axis.set_xlabel(f"elpd less that of {table['best'].iloc[0]}")
    axis.legend(frameon=False, fontsize=7)


def _each(axis, groups, table):
    """The difference in each group."""
    wide = groups.pivot(index="group", columns="model", values="elpd")
    axis.axvline(0.0, color="grey", linewidth=0.8)
    for place, (name, best) in enumerate(zip(table["model"], table["best"], strict=True)):
        each = (wide[name] - wide[best]).sort_values()
        axis.plot(each, place + 0.6 * (_ranks(len(each)) - 0.5), "o", color=COLOUR, markersize=2.5, alpha=0.6)
    axis.set_yticks(range(len(table)), [])
    axis.set_ylim(-0.6, len(table) - 0.4)
    axis.set_title(f"each of {table['groups'].iloc[0]}", fontsize=9)
    axis.set_xlabel("the same, group by group")


def _ranks(n):
    """Places of n points in order, from 0 to 1."""
    return np.linspace(0.0, 1.0, n) if n > 1 else np.array([0.5])
