"""What regimens do, and whether they meet their targets."""

from typing import Annotated

import numpy as np
import pandas as pd

from nlmebayes.arguments import Count, Number, Share, Text, Tree, checked, instance
from nlmebayes.dosing import recommendation
from nlmebayes.dosing.future_covariates import Coming
from nlmebayes.dosing.prospect import Case, History, Occasions, course
from nlmebayes.dosing.regimen import FOLLOW, NEW, Plan, Regimen, acts, kept
from nlmebayes.dosing.targets import AverageConcentration, Peak, Target, TimeAbove, Trough
from nlmebayes.errors import ModelError
from nlmebayes.model.model import Model
from nlmebayes.plot import panels
from nlmebayes.plot.panels import CI_PROB

Table = Annotated[pd.DataFrame, instance("a table of recommend", pd.DataFrame)]


@checked
def regimens(table: Table):
    """Probability of being below, in and above the target by regimen, from the table of `recommend`."""
    if "target" not in table or not len(table):
        raise ModelError("plot.regimens: the table is not that of recommend; give nb.recommend(...)")
    targets = list(dict.fromkeys(table["target"]))
    figure, axes = panels.panels(len(targets), min(2, len(targets)), size=(5.5, 3.6))
    for axis, target in zip(axes, targets, strict=False):
        part = table[table["target"] == target].sort_values("amount")
        left = np.zeros(len(part))
        for column, colour in (("p_below", "#7fa7d1"), ("p_in", "#58a063"), ("p_above", "#d18a7f")):
            axis.barh(part["regimen"], part[column], left=left, color=colour, label=column)
            left = left + part[column].to_numpy()
        axis.set(title=target, xlabel="probability", xlim=(0, 1))
    handles, labels = axes[0].get_legend_handles_labels()
    words = {"p_below": "below", "p_in": "in range", "p_above": "above"}
    figure.legend(handles, [words[k] for k in labels], loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


@checked
def doses(
    forecast: Tree, regimens: Regimen | Plan | list[Regimen | Plan], targets: Target | list[Target], *,
    times: list[Number] | None = None, outcome: Text | None = None, history: History = FOLLOW,
    occasions: Occasions = NEW, covariates: Coming | None = None, columns: Count = 2, ci_prob: Share = CI_PROB,
    model: Model | None = None,
):  # fmt: skip
    """What each regimen does: bands of 50 % and ``ci_prob``, what is wanted of it, with what probability.

    Parameters
    ----------
    forecast : DataTree
        From `forecast`.
    regimens : Regimen, Plan or sequence of them
    targets : Target or sequence of Target
        Troughs, peaks and averages are green bands, a threshold is a line; the time that a target is about is marked
        below. The title has the probability that all are met.
    times : array, optional
        By default from the first record to the end of the last interval.
    outcome, history, occasions, covariates, model
        As in `recommend`.
    """
    plans = [regimens] if isinstance(regimens, Regimen | Plan) else list(regimens)
    targets = [targets] if isinstance(targets, Target) else list(targets)
    if not plans or not targets or times == []:
        raise ModelError("plot.doses: needs one of regimens, one of targets, and times, if any, that are not empty")
    case = Case.of(forecast, model=model, outcome=outcome, history=history, occasions=occasions,
                   covariates=covariates)  # fmt: skip
    plans = recommendation.completed(case, plans)
    seen = case.patient.observations[case.patient.observations["outcome"] == case.outcome]
    figure, axes = panels.panels(len(plans), min(columns, len(plans)), size=(4.6, 3.1))
    for axis, (plan, exposures) in zip(axes, recommendation.evaluated(case, plans, targets), strict=True):
        at = _moments_of(case, plan, targets, times)
        f = course(case, plan, at).predicted([part.amount for part in plan.parts])[:, : len(at)]
        panels.bands(axis, at, np.nanquantile(f, panels.edges(ci_prob), axis=0))
        axis.plot(seen[case.patient.time], seen["value"], "o", color="black", markersize=3.5)
        for target in targets:
            _wanted(axis, target, target.window(plan))
        met = np.all([t.met(x) for x, t in zip(exposures, targets, strict=True)], axis=0).mean()
        axis.set_title(f"{plan}: {100 * met:.0f} %", fontsize=9)
    panels.name_axes(figure, case.patient.time, case.outcome)
    return figure


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


def _wanted(axis, target, window):
    """The range of a concentration, or the time that another exposure is about."""
    green = "#58a063"
    if isinstance(target, TimeAbove):
        axis.axhline(target.mic / target.free, color=green, linestyle=":")
    elif isinstance(target, Trough | Peak | AverageConcentration):
        high = target.high if np.isfinite(target.high) else max(axis.get_ylim()[1] * target.scale, target.low)
        axis.axhspan(target.low / target.scale, high / target.scale, color=green, alpha=0.15, linewidth=0)
    if window[0] < window[1]:
        axis.plot(window, [0.01, 0.01], color=green, linewidth=3, transform=axis.get_xaxis_transform())
    else:
        axis.axvline(window[0], color=green, linewidth=0.8)
