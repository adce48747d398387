"""What regimens do, and whether they meet their targets."""

from itertools import cycle
from typing import Annotated

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nlmebayes.arguments import Count, Number, Share, Text, Tree, checked, instance
from nlmebayes.dosing import recommendation
from nlmebayes.dosing.future_covariates import Coming
from nlmebayes.dosing.prospect import Case, History, Occasions, course
from nlmebayes.dosing.regimen import FOLLOW, NEW, Plan, Plans, Regimen, acts, kept
from nlmebayes.dosing.targets import AverageConcentration, Peak, Target, Targets, TimeAbove, Trough
from nlmebayes.errors import ModelError
from nlmebayes.model.model import Model
from nlmebayes.plot import panels
from nlmebayes.plot.labels import labels_of
from nlmebayes.plot.panels import CI_PROB, GREEN, ORANGE, PURPLE, SKY, Places

PARTS = {
    "p_below": ("below", SKY, "//"), "p_in": ("in range", GREEN, ""), "p_above": ("above", ORANGE, "\\\\")
}  # fmt: skip
SHADES = (GREEN, ORANGE, PURPLE)  # of targets
Table = Annotated[pd.DataFrame, instance("a table of recommend", pd.DataFrame)]


@checked
def regimens(table: Table, *, ax: Places | None = None) -> Figure:
    """Probability of being below, in and above the target by regimen, from the table of `recommend`: its ``numbers``.

    ``ax``: axes to draw on, one for each target.

    Parameters
    ----------
    table : DataFrame
        From `recommend`.
    ax : Axes, optional
        Axes to draw on, one for each target.

    Returns
    -------
    Figure
        Its ``numbers``: the table.

    Raises
    ------
    ModelError
        Not a table of `recommend`.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> forecast = nb.forecast(tree, nb.Dataset.from_nonmem(records, outcome="conc"), random_seed=1)
    >>> table = nb.recommend(forecast, nb.regimens([50, 100], every=12, doses=4, start=12), nb.Trough(0.5, 1.5))
    >>> nb.plot.regimens(table).savefig("regimens.png")
    """
    if "target" not in table or not len(table):
        raise ModelError("plot.regimens: the table is not that of recommend; give nb.recommend(...)")
    targets = list(dict.fromkeys(table["target"]))
    rows = table.groupby("target").size().max()
    columns = min(2, len(targets))
    made = panels.sheet(len(targets), columns, size=(6.4 if columns == 1 else 5.5, 1.0 + 0.4 * rows), ax=ax)
    for axis, target in zip(made.axes, targets, strict=True):
        part = table[table["target"] == target].sort_values("amount")
        left = np.zeros(len(part))
        for column, (word, colour, hatch) in PARTS.items():
            axis.barh(
                part["regimen"], part[column], left=left, color=colour, hatch=hatch, edgecolor="white", label=word
            )
            left = left + part[column].to_numpy()
        axis.set_title(target, fontsize=panels.TITLE)
        axis.set_xlim(0, 1)
    made.named("probability", "")
    units = _said(table.attrs.get("units", {}))
    title = "Which regimen reaches the target?" if len(targets) > 1 or units else targets[0]
    return made.finished(title + units, table)


def _said(units):
    """Units of the numbers in the names of regimens and targets, as the end of a title."""
    return f" ({', '.join(f'{name} in {unit}' for name, unit in units.items())})" if units else ""


@checked
def doses(
    forecast: Tree, regimens: Plans, targets: Targets, *,
    times: list[Number] | None = None, outcome: Text | None = None, history: History = FOLLOW,
    occasions: Occasions = NEW, covariates: Coming | None = None, columns: Count = 2, ci_prob: Share = CI_PROB,
    ax: Places | None = None, model: Model | None = None,
) -> Figure:  # fmt: skip
    """What each regimen does: bands of 50 % and ``ci_prob``, what is wanted of it, with what probability.

    Parameters
    ----------
    forecast : DataTree
        From `forecast`.
    regimens : Regimen, Plan or sequence of them
        What may be given.
    targets : Target or sequence of Target
        Troughs, peaks and averages are bands, a threshold is a line; the time that a target is about is marked
        below. The title has the probability that all are met.
    times : array, optional
        By default from the first record to the end of the last interval.
    outcome, history, occasions, covariates, model
        As in `recommend`.
    columns : int
        Panels in a row.
    ci_prob : float
        Probability of the outer band.
    ax : Axes, optional
        Axes to draw on, one for each regimen.

    Returns
    -------
    Figure
        Its ``numbers``: what is drawn, a row for each regimen and time.

    Raises
    ------
    ModelError
        As `recommend`.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> forecast = nb.forecast(tree, nb.Dataset.from_nonmem(records, outcome="conc"), random_seed=1)
    >>> regimens = nb.regimens([50, 100], every=12, doses=4, start=12)
    >>> nb.plot.doses(forecast, regimens, nb.Trough(0.5, 1.5)).savefig("doses.png")
    """
    plans = [regimens] if isinstance(regimens, Regimen | Plan) else list(regimens)
    targets = [targets] if isinstance(targets, Target) else list(targets)
    if not plans or not targets or times == []:
        raise ModelError("plot.doses: needs one of regimens, one of targets, and times, if any, that are not empty")
    case = Case.of(forecast, model=model, outcome=outcome, history=history, occasions=occasions,
                   covariates=covariates)  # fmt: skip
    plans = recommendation.completed(case, plans)
    seen = case.patient.observations[case.patient.observations["outcome"] == case.outcome]
    made, drawn = panels.sheet(len(plans), min(columns, len(plans)), (4.6, 3.1), ax, sharey=True), []
    for axis, (plan, exposures) in zip(made.axes, recommendation.evaluated(case, plans, targets), strict=True):
        at = _moments_of(case, plan, targets, times)
        f = course(case, plan, at).predicted([part.amount for part in plan.parts])[:, : len(at)]
        quantiles = np.nanquantile(f, panels.edges(ci_prob), axis=0)
        panels.bands(axis, at, quantiles, ci_prob)
        drawn.append(panels.banded(at, quantiles, ci_prob, regimen=str(plan)))
        panels.measured(axis, seen[case.patient.time], seen, "samples")
        met = np.all([t.met(x) for x, t in zip(exposures, targets, strict=True)], axis=0).mean()
        axis.set_title(f"{plan}: {100 * met:.0f} %", fontsize=panels.TITLE)
    drawn = pd.concat(drawn, ignore_index=True)
    for axis, plan in zip(made.axes, plans, strict=True):
        for target, colour in zip(targets, cycle(SHADES)):
            _wanted(axis, target, target.window(plan), colour)
    panels.from_nothing(made.axes, drawn["eti_lb"], seen["value"].dropna())
    names = labels_of(case.known)
    made.named(names(case.patient.time), names(case.outcome))
    title = "What does each regimen do, and how likely does it meet all targets?"
    return made.finished(title + _said(recommendation.units_of(case)), drawn)


def _moments_of(case, plan, targets, times):
    """Times to draw at, with both sides of every jump."""
    jumps = acts(kept(case.patient, plan, case.history), plan)
    if times is None:
        records = case.patient.observations[case.patient.time].to_numpy(float)
        ends = [target.window(plan)[1] for target in targets]
        last = plan.times[-1] + (plan.every or 0.0)
        times = np.linspace(min(records.min(), jumps.min()), max(last, records.max(), *ends), 4 * panels.GRID)
    times = np.asarray(times, dtype=float)
    inside = jumps[(jumps >= times.min()) & (jumps < times.max())]
    return np.unique(np.concatenate([times, inside, inside + 1e-6 * np.ptp(times)]))


def _wanted(axis, target, window, colour):
    """The range of a concentration, or the time that another exposure is about."""
    if isinstance(target, TimeAbove):
        axis.axhline(target.mic / target.free, color=colour, linestyle=":", label=f"threshold of {target}")
    elif isinstance(target, Trough | Peak | AverageConcentration):
        high = target.high if np.isfinite(target.high) else max(axis.get_ylim()[1] * target.scale, target.low)
        shown = {"color": colour, "alpha": 0.18, "linewidth": 0, "label": f"wanted: {target}"}
        axis.axhspan(target.low / target.scale, high / target.scale, **shown)
    if window[0] < window[1]:
        under = axis.get_xaxis_transform()
        axis.plot(window, [0.01, 0.01], color=colour, linewidth=3, transform=under, label=f"time of {target}")
    else:
        axis.axvline(window[0], color=colour, linewidth=0.8, linestyle="--", label=f"time of {target}")
