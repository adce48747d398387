"""Estimates of groups."""

import numpy as np

from nlmebayes.arguments import Share, Text, Tree, checked
from nlmebayes.plot import panels
from nlmebayes.plot.panels import BLUE, GREY, Places
from nlmebayes.summaries.ranking import pooling


@checked
def shrinkage(
    tree: Tree, level: Text | None = None, effect: Text | None = None, *, outcome: Text | None = None,
    ci_prob: Share = 0.9, ax: Places | None = None,
):  # fmt: skip
    """Each group's effect as estimated alone (open circles) and by the model (with its interval), which draws it
    towards the typical group the more, the fewer its records.

    Parameters
    ----------
    level, effect, outcome, ci_prob
        As in `pooling`, which has the numbers.
    ax : Axes, optional
    """
    table = pooling(tree, level, effect, outcome=outcome, ci_prob=ci_prob).sort_values("mean")
    place = np.arange(len(table))
    made = panels.sheet(1, size=(5.2, min(1.2 + 0.18 * len(table), 12.0)), ax=ax)
    (axis,) = made.axes
    axis.axvline(0.0, color=GREY, linewidth=0.8, label="typical")
    axis.hlines(place, table["eti_lb"], table["eti_ub"], color=BLUE, linewidth=1.2, alpha=0.6)
    axis.hlines(place, table["mean"], table["alone"], color=GREY, linewidth=0.6, linestyle=":")
    panels.points(axis, table["alone"], place, "alone", fillstyle="none")
    label = f"in the model, with its {panels.percent(ci_prob)}"
    panels.points(axis, table["mean"], place, label, color=BLUE)
    axis.set_yticks(place if len(table) <= 40 else [], table.index if len(table) <= 40 else None, fontsize=7)
    made.named(f"deviation of {effect or 'the group'} from the typical one", table.index.name)
    return made.finished(f"How far is each {table.index.name} drawn to the others?", table)
