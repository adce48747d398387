"""How far each group moves each estimate."""

import numpy as np
from matplotlib.figure import Figure

from nlmebayes.arguments import Tree, checked
from nlmebayes.plot import panels
from nlmebayes.plot.panels import BLUE, GREY, Places
from nlmebayes.summaries.influence import influence as table_of

MARKED = 0.5  # standard errors, from which on a group is named


@checked
def influence(tree: Tree, *, ax: Places | None = None) -> Figure:
    """How far each group moves each estimate of the population, in its standard errors; groups beyond half of one are
    named.

    Parameters
    ----------
    tree : DataTree
        From `fit`; see `nlmebayes.influence`, which has the numbers.
    ax : Axes, optional

    Returns
    -------
    Figure

    Raises
    ------
    ModelError
        As `nlmebayes.influence`.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> nb.plot.influence(tree).savefig("influence.png")
    """
    table = table_of(tree)
    level, names = table.index.name, list(table.columns)
    made = panels.sheet(1, size=(6.2, 1.1 + 0.3 * len(names)), ax=ax)
    (axis,) = made.axes
    axis.axvline(0.0, color=GREY, linewidth=0.8)
    axis.axvspan(-MARKED, MARKED, color=GREY, alpha=0.12, linewidth=0, label=f"within {MARKED:g} SE")
    for row, name in enumerate(names):
        x = table[name].to_numpy()
        panels.points(axis, x, np.full(len(x), row), f"a {level}", color=BLUE, alpha=0.6)
        for at in np.flatnonzero(np.abs(x) > MARKED):
            axis.annotate(table.index[at], (x[at], row), xytext=(0, 4), textcoords="offset points", ha="center",
                          fontsize=panels.TEXT - 1)  # fmt: skip
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.7)
    made.named(f"estimate less that without the {level} (standard errors)", "")
    return made.finished(f"Which {level} moves the population?", table)
