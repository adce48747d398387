"""Estimates of groups."""

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from nlmebayes.arguments import Share, Text, Tree, checked
from nlmebayes.plot import panels
from nlmebayes.plot.panels import BLACK, BLUE, GREY, ORANGE, RED, Places
from nlmebayes.summaries.ranking import pooling

ALARM = 0.05  # probability that any group of a true model is marked
NAMED = 40  # groups up to which each has its name


@checked
def shrinkage(
    tree: Tree, level: Text | None = None, effect: Text | None = None, *, outcome: Text | None = None,
    ci_prob: Share = 0.9, ax: Places | None = None,
) -> Figure:  # fmt: skip
    """Each group's effect as its own records say it (open circles), as the population says it (the band) and by the
    model, which has both: it draws a group towards the typical one the more, the fewer its records, by the percentage
    at the right. Crosses mark groups whose records and population contradict each other.

    Parameters
    ----------
    tree : DataTree
        From `fit`.
    level, effect, outcome, ci_prob
        As in `pooling`, which has the numbers.
    ax : Axes, optional

    Returns
    -------
    Figure
        Its ``numbers``: the table of `pooling`.

    Raises
    ------
    ModelError
        As `pooling`.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> nb.plot.shrinkage(tree).savefig("shrinkage.png")
    """
    table = pooling(tree, level, effect, outcome=outcome, ci_prob=ci_prob).sort_values("mean")
    place, reach = np.arange(len(table)), stats.norm.ppf((1 + ci_prob) / 2)
    made, interval = panels.sheet(1, size=(5.8, min(1.2 + 0.18 * len(table), 12.0)), ax=ax), panels.percent(ci_prob)
    (axis,) = made.axes
    omega, error = reach * table["omega"].iloc[0], reach * table["alone_se"]
    axis.axvspan(-omega, omega, color=ORANGE, alpha=0.15, linewidth=0, label=f"population, {interval}")
    axis.axvline(0.0, color=GREY, linewidth=0.8, label="typical")
    known = table["alone"].notna().to_numpy()
    ends = (table["alone"] - error)[known], (table["alone"] + error)[known]
    axis.hlines(place[known] + 0.18, *ends, color=BLACK, linewidth=0.6, linestyle=":")
    panels.points(axis, table["alone"], place + 0.18, f"its own records, {interval} dotted", fillstyle="none")
    axis.hlines(place - 0.18, table["eti_lb"], table["eti_ub"], color=BLUE, linewidth=1.4, alpha=0.7)
    panels.points(axis, table["mean"], place - 0.18, f"in the model, {interval}", color=BLUE)
    odd = (table["p_conflict"] < ALARM / len(table)).to_numpy()
    if odd.any():
        label = "contradicts the population"
        panels.points(axis, table["alone"][odd], place[odd] + 0.18, label, marker="x", markersize=8, color=RED)
    if len(table) <= NAMED:
        for at, share in zip(place, table["shrinkage_pct"], strict=True):
            axis.annotate(f"{share:.0f} %", (1.01, at), xycoords=("axes fraction", "data"), fontsize=7, va="center")
        axis.annotate("drawn by", (1.01, len(table) - 0.3), xycoords=("axes fraction", "data"), fontsize=7)
    room = 0.5 * max(omega, np.ptp(table[["eti_lb", "eti_ub"]].to_numpy()))  # own intervals may be endless
    low, high = table[["alone", "eti_lb"]].min(axis=None), table[["alone", "eti_ub"]].max(axis=None)
    axis.set_xlim(min(low, -omega) - room, max(high, omega) + room)
    axis.set_yticks(*([place, table.index] if len(table) <= NAMED else [[], []]), fontsize=7)
    made.named(f"deviation of {effect or 'the group'} from the typical one", table.index.name)
    return made.finished(f"How far is each {table.index.name} drawn to the others?", table)
