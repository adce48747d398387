"""A prediction over time or another input with its bands and the measurements: by subject, of a forecast, in a loop."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nlmebayes.arguments import Count, Number, Share, Text, Tree, checked
from nlmebayes.criticism.predictive import axis_of, outcome_of
from nlmebayes.criticism.replicates import study_of
from nlmebayes.criticism.tad import NAMES, since_dose_of
from nlmebayes.errors import ModelError
from nlmebayes.evaluation import prediction, storage
from nlmebayes.evaluation.fitted import REPORT, fitted
from nlmebayes.model.model import Data, Model
from nlmebayes.plot import moments, panels
from nlmebayes.plot.labels import labels_of
from nlmebayes.plot.panels import BLUE, CI_PROB, GREY, RED, Places

Labels = list[Text | Number]
PAGE = 12  # subjects on a page
TAD = "tad"  # time after the last dose


@checked
def fits(
    tree: Tree, data: Data | None = None, *, x: Text | None = None, subjects: Labels | None = None,
    outcome: Text | None = None, page: Count = 1, columns: Count = 4, ci_prob: Share = CI_PROB,
    ax: Places | None = None, model: Model | None = None,
) -> Figure:  # fmt: skip
    """Each subject's measurements over its prediction: median, bands of 50 % and ``ci_prob``; dashed, new measurements
    and the typical individual (PRED).

    The curve goes through every record, dose, lag and end of an infusion; occasions of a subject share its panel, and
    dotted lines mark where they start. Counts are shown on the scale of the prediction: per trial, per unit of
    exposure.

    Parameters
    ----------
    tree : DataTree
        From `fit` or `forecast`.
    data : Dataset, optional
        By default that of the tree.
    x : str, optional
        Column on the horizontal axis; by default time, or the structure's first input. ``"tad"``: the time after the
        last dose, with a line for each dose after which something was measured, which is numbered; what is before the
        first dose is left out.
    subjects : sequence, optional
        Labels of the level that is followed in time; by default all, a page of them.
    outcome : str, optional
        By default the first.
    columns : int
        Panels in a row.
    ci_prob : float
        Probability of the bands.
    page : int
        Which part of many subjects.
    ax : Axes, optional
        Axes to draw on, one for each subject.
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    Figure
        Its ``numbers``: what is drawn, a row for each subject and place.

    Raises
    ------
    ModelError
        No such subject, outcome, column or page.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> model = nb.Model(OneCompartment("first-order"), residual=nb.Combined())
    >>> tree = nb.fit(model, nb.datasets.theophylline(), method="ml")
    >>> nb.plot.fits(tree, subjects=["1", "2"]).savefig("fits.png")
    """
    known = fitted(tree, model)
    data = known.data if data is None else data
    _free(data, x)
    made_of_time = (TAD,) if data.time and len(data.doses) else ()
    outcome, x, level = outcome_of(data, outcome), axis_of(known.model, data, x, made_of_time), data.subject
    seen = data.observations[data.observations["outcome"] == outcome]
    every = list(dict.fromkeys(seen[level]))
    labels = subjects if subjects is not None else every[PAGE * (page - 1) : PAGE * page]
    if not labels and subjects is not None:
        raise ModelError(f"plot.fits: subjects names none; the first of level {level} is {every[0]!r}")
    if not labels:
        raise ModelError(f"plot.fits: no page {page}; the {len(every)} {level}s fill {-(-len(every) // PAGE)}")
    data = data.sel(**{level: labels})
    labels = list(dict.fromkeys(data.observations[level]))
    drawn = _drawn(known, data, x, outcome, ci_prob)
    names = labels_of(known, data)
    made = panels.sheet(len(labels), min(columns, len(labels)), ax=ax, sharex=True, sharey=True)
    seen = data.observations[data.observations["outcome"] == outcome]
    seen = seen.assign(value=panels.of_one(known, data, outcome), **since_dose_of(data, seen))
    if x in made_of_time:
        drawn, seen = _after_doses(drawn, seen, level)
    for axis, label in zip(made.axes, labels, strict=True):
        _panel(axis, data, drawn[drawn[level] == label], seen[seen[level] == label], x, ci_prob)
        axis.set_title(f"{level} {label}", fontsize=panels.TITLE)
    panels.from_nothing(made.axes, drawn["eti_lb"], drawn["new_eti_lb"], seen["value"])
    made.named(names.of_axis(x, data.time), names(outcome))
    total = -(-len(every) // PAGE)
    of = f" (page {page} of {total})" if subjects is None and total > 1 else ""
    return made.finished(f"Does the model describe each {level}?{of}", drawn)


def _free(data, x):
    """The names of what is drawn over the time after a dose are those of no columns."""
    for name in NAMES if x == TAD else ():
        if name in data.observations:
            raise ModelError(f"plot.fits: x={TAD!r} is made of times and doses, and the data have a column {name!r}; "
                             f"read it under another name, columns={{{name!r}: ...}}")  # fmt: skip


def _drawn(known, data, x, outcome, ci_prob):
    """The numbers of the curves of subjects: their quantiles, those of new measurements, and PRED."""
    x = data.time if x == TAD else x
    fine = moments.curves(known, data, x)
    smooth = prediction.predicted(known, fine, random_seed=0)
    f = panels.quantiles(smooth["posterior"][f"f_{outcome}"], ci_prob)
    wide = panels.new_measurements(known, fine, smooth, outcome, ci_prob)
    grid = storage.stored_dataset(smooth).observations
    grid = grid[grid["outcome"] == outcome].reset_index(drop=True)
    own = {name: grid[name] for name in data.levels} | (dict(since_dose_of(data, grid)) if x == data.time else {})
    typical = study_of(known, fine).at()[outcome]
    return panels.banded(grid[x], f, ci_prob, wide, **own).assign(pred=typical)


def _after_doses(drawn, seen, level):
    """Curves and measurements over the time after the last dose, of doses after which something was measured."""
    seen = seen[seen["dose_number"] > 0]
    known = pd.MultiIndex.from_frame(seen[[level, "dose_number"]])
    kept = pd.MultiIndex.from_frame(drawn[[level, "dose_number"]]).isin(known)
    return drawn[kept].assign(x=drawn[TAD][kept]).reset_index(drop=True), seen


def _panel(axis, data, drawn, seen, x, ci_prob):
    """Curves of one subject, one for each dose, or for each unit inside it where they are not followed in time."""
    followed = x == data.time
    each = "dose_number" if x == TAD and "dose_number" in drawn else data.levels[-1]
    for number, part in [(None, drawn)] if followed else drawn.groupby(each, sort=False):
        part = part.sort_values("x", kind="stable")
        f, wide = part[["eti_lb", "q25", "median", "q75", "eti_ub"]], part[["new_eti_lb", "new_eti_ub"]]
        wide = wide.to_numpy().T.repeat([4, 1], axis=0)  # the ends are the first and the last of five
        panels.bands(axis, part["x"], f.to_numpy().T, ci_prob, wide, "IPRED")
        if x == TAD and drawn[each].nunique() > 1:
            last = part.iloc[-1]
            axis.annotate(f"{number}", (last["x"], last["median"]), color=BLUE, fontsize=panels.TEXT, ha="left")
        axis.plot(part["x"], part["pred"], color=RED, linestyle="-.", linewidth=1, label="PRED, typical individual")
    panels.measured(axis, seen[x], seen)
    inner = data.levels[-1]
    if followed and inner != data.subject:
        starts = seen.groupby(inner, sort=False)[x].min().iloc[1:]
        for i, start in enumerate(starts):
            label = None if i else f"start of another {inner}"
            axis.axvline(start, color=GREY, linestyle=":", linewidth=0.8, label=label)


@checked
def hysteresis(
    tree: Tree, data: Data | None = None, *, x: Text = "conc", y: Text = "effect", subjects: Labels | None = None,
    columns: Count = 4, ax: Places | None = None, model: Model | None = None,
) -> Figure:  # fmt: skip
    """One predicted outcome over another as time goes on, by subject: a loop where one lags behind the other.

    Parameters
    ----------
    tree : DataTree
        From `fit`, `forecast` or `population`.
    data : Dataset, optional
        By default that of the tree; its subjects and doses count, through its events.
    x, y : str
        Outcomes of the structure; both need not have been measured.
    subjects : sequence, optional
        Labels of the level that is followed in time; by default the first four.
    columns : int
        Panels in a row.
    ax : Axes, optional
        Axes to draw on, one for each subject.
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    Figure
        Medians of the individual predictions, darker as time goes on, with an arrow; points where both were measured.
        Its ``numbers``: the medians by subject and time.

    Raises
    ------
    ModelError
        No such outcome or subject.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import EffectCompartment
    >>> typical = {p.name: p.typical for p in EffectCompartment().parameters}
    >>> typical["e0"] = 10.0
    >>> tree = nb.population(EffectCompartment(), theta=typical, omega={"sd": {"cl": 0.3}},
    ...                      sigma={"conc": {"a": 0.1}, "effect": {"a": 1.0}}, residual=nb.Additive())
    >>> design = nb.Design([nb.Arm(2, [1, 2, 4, 8, 24], doses={"time": 0, "amt": 100})])
    >>> nb.plot.hysteresis(tree, design.dataset(tree)).savefig("loops.png")
    """
    known = fitted(tree, model)
    data = known.data if data is None else data
    for name in (x, y):
        if name not in data.outcomes:
            raise ModelError(f"hysteresis: no outcome {name!r} in the data; there are {', '.join(data.outcomes)}")
    level = data.subject
    labels = list(subjects or ()) or list(dict.fromkeys(data.observations[level]))[:4]
    data = data.sel(**{level: labels})
    labels = list(dict.fromkeys(data.observations[level]))
    smooth = prediction.predicted(known, moments.curves(known, data, data.time), random_seed=0)
    grid = storage.stored_dataset(smooth).observations
    middle = {name: smooth["posterior"][f"f_{name}"].median(("chain", "draw")).to_numpy() for name in (x, y)}
    own = grid[grid["outcome"] == x].reset_index(drop=True)
    drawn = own[[level, data.time]].assign(**middle)
    made = panels.sheet(len(labels), min(columns, len(labels)), ax=ax, sharex=True, sharey=True)
    for axis, label in zip(made.axes, labels, strict=True):
        here = drawn[drawn[level] == label]
        _loop(axis, here[x].to_numpy(), here[y].to_numpy())
        seen = data.observations[data.observations[level] == label]
        both = seen.pivot_table(index=data.time, columns="outcome", values="value").reindex(columns=[x, y]).dropna()
        if len(both):
            panels.points(axis, both[x], both[y], "both measured")
        axis.set_title(f"{level} {label}", fontsize=panels.TITLE)
    names = labels_of(known, data)
    made.named(names(x), names(y))
    return made.finished(f"Does {y} lag behind {x}?", drawn)


def _loop(axis, x, y):
    """A path that darkens with time, with an arrow at its middle."""
    for i in range(len(x) - 1):
        label = "predicted, darker as time goes on" if i == len(x) - 2 else None
        axis.plot(x[i : i + 2], y[i : i + 2], color=BLUE, alpha=0.25 + 0.75 * i / len(x), label=label)
    i = int(np.argmax(np.hypot(np.diff(x) / (np.ptp(x) or 1), np.diff(y) / (np.ptp(y) or 1))))
    axis.annotate("", (x[i + 1], y[i + 1]), (x[i], y[i]), arrowprops={"arrowstyle": "->", "color": BLUE})


@checked
def forecast(
    tree: Tree, times: list[Number] | None = None, *, x: Text | None = None, held_out: Data | None = None,
    outcome: Text | None = None, ci_prob: Share = CI_PROB, ax: Places | None = None, model: Model | None = None,
) -> Figure:  # fmt: skip
    """A forecast patient: samples, curve with bands, and (grey) what was expected before the samples.

    Parameters
    ----------
    tree : DataTree
        From `forecast`.
    times : array, optional
        By default from the first record to the last one and beyond, or to the last one that was held out.
    x : str, optional
        Column on the horizontal axis.
    held_out : Dataset, optional
        Later samples of the same patient, which were not used.
    outcome : str, optional
        By default the first.
    ci_prob : float
        Probability of the bands.
    ax : Axes, optional
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    Figure
        Its ``numbers``: what is drawn, a row for each place.

    Raises
    ------
    ModelError
        Not a forecast; no such outcome.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> forecast = nb.forecast(tree, nb.Dataset.from_nonmem(records, outcome="conc"), random_seed=1)
    >>> nb.plot.forecast(forecast).savefig("ann.png")
    """
    if REPORT not in tree.attrs:
        raise ModelError("plot.forecast needs a tree from forecast; plot.fits shows those of a fit")
    known = fitted(tree, model)
    data = known.data
    outcome, x = outcome_of(data, outcome), axis_of(known.model, data, x)
    if times is not None and not times:
        raise ModelError("plot.forecast: times holds no time; leave it out, or give some")
    values = panels.of_one(known, data, outcome)
    times = _span(data, x, held_out) if times is None else np.array(times)
    times = moments.through(known, data, times) if x == data.time else times
    grid = data.over(**{x: times})
    after, earlier = prediction.predicted(known, grid, random_seed=0), known.before()
    before = prediction.predicted(earlier, grid, random_seed=0)
    made = panels.sheet(1, size=(6.4, 4.2), ax=ax)
    (axis,) = made.axes
    expected, wide = (
        panels.new_measurements(each, grid, found, outcome, ci_prob)
        for each, found in ((earlier, before), (known, after))
    )
    label = f"expected before the samples, {panels.percent(ci_prob)}"
    axis.fill_between(times, expected[0], expected[-1], color=GREY, alpha=0.2, linewidth=0, label=label)
    f = panels.quantiles(after["posterior"][f"f_{outcome}"], ci_prob)
    panels.bands(axis, times, f, ci_prob, wide)
    drawn = panels.banded(times, f, ci_prob, wide, before_eti_lb=expected[0], before_eti_ub=expected[-1])
    others = pd.DataFrame({x: [], "value": []})
    if held_out is not None:
        others = held_out.observations[held_out.observations["outcome"] == outcome]
        others = others.assign(value=panels.of_one(known, held_out, outcome))
        panels.measured(axis, others[x], others, "measured, not used", markersize=6, fillstyle="none")
    seen = data.observations[data.observations["outcome"] == outcome]
    panels.measured(axis, seen[x], seen.assign(value=values), "samples", markersize=6)
    panels.from_nothing(made.axes, expected[0], wide[0], f[0], values[np.isfinite(values)], others["value"])
    names = labels_of(known)
    made.named(names(x), names(outcome))
    return made.finished(f"What is to come of {data.subject} {data.observations[data.subject].iloc[0]}?", drawn)


def _span(data, x, held_out):
    """Through the records, and the doses where ``x`` is the time, and to twice as far, or to what was held out."""
    records = data.observations[x].to_numpy()
    if x == data.time:
        records = np.append(records, data.doses[x].to_numpy(float))
    further = 2 * records.max() - records.min() if held_out is None else held_out.observations[x].to_numpy()
    return moments.fine(np.append(records, further), 2 * panels.GRID)
