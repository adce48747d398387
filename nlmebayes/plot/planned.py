"""What a study will see, before it is run: its samples over the course that is expected."""

from typing import Annotated

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nlmebayes.arguments import Count, Seed, Share, Text, Tree, checked, instance
from nlmebayes.criticism.predictive import axis_of, outcome_of
from nlmebayes.criticism.replicates import spread, study_of
from nlmebayes.design.design import Design
from nlmebayes.dosing.regimen import each_time
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import effects
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.model.model import Data, Model
from nlmebayes.plot import moments, panels
from nlmebayes.plot.labels import labels_of
from nlmebayes.plot.panels import BLACK, CI_PROB, GREEN, GREY, ORANGE, PURPLE, RED, Places

PEOPLE, TIMES = 25, 40  # subjects of an arm whose covariates are taken, and draws of each
AGAIN = 10  # times that each draw is measured, so that the ends of the interval are smooth
ALL = ""  # key of what is said of all outcomes
Gains = Annotated[pd.DataFrame, instance("a table of outcome, time and gain", pd.DataFrame)]


@checked
def design(
    tree: Tree, design: Design | Data, *, outcome: Text | None = None, sensitivity: Gains | None = None,
    columns: Count = 2,
    ci_prob: Share = CI_PROB, random_seed: Seed = 0, ax: Places | None = None,
    model: Model | None = None,
) -> Figure:  # fmt: skip
    """Samples and windows of each arm over the course that is expected of its subjects.

    Parameters
    ----------
    tree : DataTree
        From `fit` or `population`.
    design : Design or Dataset
        What is planned.
    outcome : str, optional
        By default the only one.
    sensitivity : DataFrame, optional
        ``outcome, time, gain``: what one more sample of everybody would add to a criterion, as `optimise_design` finds
        it; a second row of panels.
    columns : int
        Panels in a row; all arms stand in one where there is a second row below them.
    ci_prob : float
        Probability of the outer band of individual courses, and of new measurements.
    random_seed : int
        Of the courses.
    ax : Axes, optional
        Axes to draw on, one for each arm, and as many again for the sensitivity.
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    Figure
        Samples stand on the median course; doses are ticks at the foot. Its ``numbers``: what is drawn, a row for each
        arm and place.

    Raises
    ------
    ModelError
        A design that does not fit the model; no such outcome.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> design = nb.Design([nb.Arm(30, [1, 6, 24], doses={"time": 0, "amt": 100})])
    >>> nb.plot.design(tree, design).savefig("design.png")
    """
    known = fitted(tree, model)
    plan = design if isinstance(design, Design) else Design.from_dataset(design)
    parts = [(arm, Design([arm.but(n=min(arm.n, PEOPLE))]).dataset(known.tree, random_seed)) for arm in plan.arms]
    outcome, many = outcome_of(parts[0][1], outcome), len(parts)
    gains = _gains(sensitivity, outcome)
    columns, heights = (min(columns, many), None) if gains is None else (many, [3, 1])
    size, shared = (6.4 if many == 1 else 5.2, 3.4), gains is not None and "col"
    made = panels.sheet(
        many if gains is None else 2 * many, columns, size, ax, sharex=shared, sharey="row", heights=heights
    )
    drawn, rng = [], np.random.default_rng(random_seed)
    for axis, (arm, data) in zip(made.axes, parts, strict=False):
        x = axis_of(known.model, data)
        at, f, wide = _course(known, data, x, outcome, arm, ci_prob, rng)
        panels.bands(axis, at, f, ci_prob, wide, "individual course")
        _sampled(axis, arm, data, x, outcome, at, f[2])
        drawn.append(panels.banded(at, f, ci_prob, wide, arm=arm.name))
        axis.set_title(f"arm {arm.name}, n = {arm.n}", fontsize=panels.TITLE)
    drawn = pd.concat(drawn, ignore_index=True)
    panels.from_nothing(made.axes[:many], drawn["eti_lb"], drawn["new_eti_lb"])
    names = labels_of(known)
    made.named(names(x), names(outcome))
    for axis in made.axes[many:]:
        axis.plot(gains["time"], gains["gain"], color=PURPLE, label="gain of one more sample each")
        axis.set_ylabel("gain" if axis is made.axes[many] or not made.own else "")
    return made.finished("What will the study see?", drawn)


def _gains(sensitivity, outcome):
    """Rows of an outcome, or of all outcomes."""
    if sensitivity is None:
        return None
    if not {"outcome", "time", "gain"} <= set(sensitivity):
        raise ModelError("plot.design: sensitivity has the columns outcome, time, gain; optimise_design gives it")
    found = sensitivity[sensitivity["outcome"].isin([outcome, ALL])]
    if not len(found):
        there = ", ".join(dict.fromkeys(sensitivity["outcome"])) or "none"
        raise ModelError(f"plot.design: sensitivity says nothing of {outcome!r}; there are {there}")
    return found


def _course(known, data, x, outcome, arm, ci_prob, rng):
    """Places on the axis, quantiles of individual courses there, and of new measurements, (5, place) each."""
    records = data.observations[x].to_numpy(float)
    windows = [edge for t in _times(arm, outcome) for edge in np.atleast_1d(t)] if x == data.time else []
    first, last = min(records.min(), 0.0), max([records.max(), *windows])
    at = np.linspace(first, last, 2 * panels.GRID)
    if x == data.time:
        one = data.sel(**{data.subject: data.observations[data.subject].iloc[0]})
        at = np.unique(np.concatenate([moments.through(known, one, at), windows]))
    study = study_of(known, data.over(**{x: at}))
    draws = spread(study.draws, TIMES)
    f = study.predictions(draws, effects(study.design, draws.of_groups({}), rng))
    measured = np.concatenate([study.measured(f, draws, rng)[outcome] for _ in range(AGAIN)])
    grid, edges = study.frame(outcome)[x].to_numpy(), panels.edges(ci_prob)
    by_place = [np.flatnonzero(grid == place) for place in at]

    def quantiles(values):
        return np.stack([np.nanquantile(values[:, here], edges) for here in by_place], axis=1)

    course, new = f[outcome], panels.of_one(known, study.data, outcome, measured)
    return at, quantiles(study.design.outcome(outcome).read(course)), quantiles(new)


def _times(arm, outcome):
    """Times and windows of the samples of an outcome."""
    return arm.by_outcome.get(outcome, arm.by_outcome.get(ALL, ()))


def _sampled(axis, arm, data, x, outcome, at, median):
    """When an arm is sampled and dosed, and what it can measure."""
    planned = _times(arm, outcome) if x == data.time else tuple((arm.inputs or {}).get(x, ()))
    windows = [t for t in planned if isinstance(t, tuple)]
    fixed = np.array([t for t in planned if not isinstance(t, tuple)], dtype=float)
    for i, (low, high) in enumerate(windows):
        label = None if i else "sampling window, a sample each"
        axis.axvspan(low, high, color=ORANGE, alpha=0.25, linewidth=0, label=label)
    if len(fixed):
        panels.points(axis, fixed, np.interp(fixed, at, median), "samples of each subject", color=BLACK, markersize=5)
    for t, count in zip(*np.unique(fixed, return_counts=True), strict=True):
        if count > 1:
            place = t, np.interp(t, at, median)
            axis.annotate(f"×{count}", place, (4, 4), textcoords="offset points", fontsize=panels.TEXT)
    for word, name in (("lloq", "lower"), ("uloq", "upper")):
        limit = arm.limits(word).get(outcome, arm.limits(word).get(ALL))
        if limit is not None:
            axis.axhline(limit, color=RED, linewidth=0.9, linestyle=":", label=f"{name} limit of quantification")
    if x != data.time:
        return
    for i, start in enumerate(arm.starts[1:]):
        axis.axvline(start, color=GREY, linewidth=0.8, linestyle=":", label=None if i else "start of an occasion")
    doses = [each_time(dose, data.time) for dose in data.doses.to_dict("records")]
    if doses:
        shown = {"color": GREEN, "markersize": 5, "transform": axis.get_xaxis_transform(), "clip_on": False}
        when = np.unique(np.concatenate(doses))
        when = when[when <= at.max()]
        panels.points(axis, when, np.full(len(when), 0.015), "doses", marker="^", **shown)
