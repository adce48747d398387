"""How the power of a test grows with the number of subjects."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nlmebayes.arguments import Name, Number, Share, Text, checked
from nlmebayes.design.expectation import DesignInformation
from nlmebayes.design.performance import Studies, spelled
from nlmebayes.errors import ModelError
from nlmebayes.plot import panels
from nlmebayes.plot.panels import BLACK, CYCLE, GREY, Places

LINES, MARKS = ("-", "--", "-.", ":"), ("o", "s", "^", "D")
PLACES, LEAST = 60, 10  # of a curve, evenly and by factors; subjects that it goes to
ROOM, FAR = 1.4, 3.0  # beyond what is needed, or beyond the design where nothing is enough


@checked
def power(
    information: DesignInformation | dict[Text, DesignInformation], parameter: Name, *, wanted: Share = 0.8,
    null: Number = 0.0, alpha: Share = 0.05, studies: Studies | tuple[Studies, ...] = (), ax: Places | None = None,
) -> Figure:  # fmt: skip
    """Power of Wald's two-sided test that a parameter is ``null``, over the number of subjects.

    Parameters
    ----------
    information : DesignInformation or dict of name -> DesignInformation
        From `information`, of one design or of several that are compared: subjects as theirs, more or fewer of them.
    parameter : str
        As in its table.
    wanted : float
        Power that is aimed at; a dotted line drops where it is reached.
    null, alpha : float
        What is tested, at which level.
    studies : Studies, or list of them
        From `simulate_studies`, each of another number of subjects: how often its tests rejected, with two Monte Carlo
        errors.
    ax : Axes, optional

    Returns
    -------
    Figure
        Its ``numbers``: power by design, kind and number of subjects.

    Raises
    ------
    ModelError
        No such parameter in the table.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> design = nb.Design([nb.Arm(30, [1, 6, 24], doses={"time": 0, "amt": 100})])
    >>> told = nb.information(tree, design)
    >>> nb.plot.power(told, "cl", null=3.5).savefig("power.png")
    """
    each = information if isinstance(information, dict) else {"expected": information}
    studies = [studies] if isinstance(studies, Studies) else list(studies)
    if not each:
        raise ModelError("plot.power: information holds no design; give nb.information(tree, design)")
    parameter = spelled(parameter, next(iter(each.values())).names, "plot.power")
    needed = {name: _needed(told, parameter, wanted, null, alpha) for name, told in each.items()}
    last = max([ROOM * (n or 0) for n in needed.values()] + [s.subjects * ROOM for s in studies])
    last = last or FAR * max(told.subjects for told in each.values())
    last = max(last, LEAST)
    subjects = np.unique(np.round(np.concatenate([np.linspace(2, last, PLACES), np.geomspace(2, last, PLACES)])))
    made = panels.sheet(1, size=(5.8, 3.6), ax=ax)
    (axis,) = made.axes
    axis.axhline(wanted, color=GREY, linewidth=0.8, linestyle=":", label=f"{100 * wanted:g} % power")
    drawn = []
    for i, (name, told) in enumerate(each.items()):
        values = [told.of_subjects(n).power(parameter, null=null, alpha=alpha) for n in subjects]
        colour, enough = CYCLE[i % len(CYCLE)], needed[name]
        reached = f", {enough} subjects reach it" if enough else ""
        axis.plot(subjects, values, color=colour, linestyle=LINES[i % len(LINES)], label=f"{name}{reached}")
        if enough:
            axis.vlines(enough, 0, wanted, color=colour, linewidth=0.8, linestyle=":")
        drawn.append(pd.DataFrame({"design": name, "kind": "expected", "subjects": subjects, "power": values}))
    drawn += _simulated(axis, studies, parameter, null, alpha)
    axis.set_ylim(0, 1.02)
    axis.set_xlim(0, subjects[-1])
    made.named("subjects", f"power to tell {parameter} from {null:g}")
    return made.finished("How many subjects are enough?", pd.concat(drawn, ignore_index=True))


def _needed(told, parameter, wanted, null, alpha):
    """The least number of subjects, or None where none is enough."""
    try:
        return told.subjects_for(parameter, wanted, null=null, alpha=alpha)
    except ModelError:
        return None


def _simulated(axis, studies, parameter, null, alpha):
    """How often tests of simulated studies rejected, by test."""
    found = [s.power(parameter, null=null, alpha=alpha).assign(subjects=s.subjects) for s in studies]
    if not found:
        return []
    whole = pd.concat(found, ignore_index=True)
    for mark, (test, part) in zip(MARKS, whole.groupby("test", sort=False), strict=False):
        away = np.minimum(2 * part["power_mcse"], [part["power"], 1 - part["power"]])
        axis.errorbar(
            part["subjects"], part["power"], away, color=BLACK, marker=mark, linestyle="none", markersize=4,
            fillstyle="none", linewidth=0.9, capsize=2, label=f"simulated, {test}, ± 2 Monte Carlo errors",
        )  # fmt: skip
    return [whole.assign(design="simulated").rename(columns={"test": "kind"})]
