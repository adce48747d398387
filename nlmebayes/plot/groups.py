"""Estimates of groups."""

import matplotlib.pyplot as plt
import numpy as np

from nlmebayes.arguments import Share, Text, Tree, checked
from nlmebayes.summaries.ranking import pooling


@checked
def shrinkage(
    tree: Tree, level: Text | None = None, effect: Text | None = None, *, outcome: Text | None = None,
    ci_prob: Share = 0.9,
):  # fmt: skip
    """Each group's effect as estimated alone (open circles) and by the model (with its interval), which draws it
    towards the typical group the more, the fewer its records.

    Parameters
    ----------
    level, effect, outcome, ci_prob
        As in `pooling`, which has the numbers.
    """
    table = pooling(tree, level, effect, outcome=outcome, ci_prob=ci_prob).sort_values("mean")
    place = np.arange(len(table))
    size = (5.2, min(1.2 + 0.18 * len(table), 12.0))
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    axis.axvline(0.0, color="grey", linewidth=0.8)
    axis.hlines(place, table["eti_lb"], table["eti_ub"], color="#3b6ea5", linewidth=1.2, alpha=0.6)
    axis.hlines(place, table["mean"], table["alone"], color="grey", linewidth=0.6, linestyle=":")
    axis.plot(table["alone"], place, "o", color="black", fillstyle="none", markersize=4, label="alone")
    axis.plot(
        table["mean"],
        place,
        "o",
        color="#3b6ea5",
        markersize=4,
        label=f"in the model, with its {100 * ci_prob:g} % interval",
    )
    axis.set_yticks(place if len(table) <= 40 else [], table.index if len(table) <= 40 else None, fontsize=7)
    axis.set(xlabel=f"deviation of {effect or 'the group'} from the typical one", ylabel=table.index.name)
    axis.legend(frameon=False, fontsize=8)
    return figure
