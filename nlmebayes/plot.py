"""Pictures of a tree: individual fits, visual predictive check, prior predictive, forecast, regimens.

Every function returns a matplotlib Figure.
"""

import matplotlib.pyplot as plt
import numpy as np

from nlmebayes import censoring, prediction, storage
from nlmebayes.dosing import recommendation, targets
from nlmebayes.dosing.prospect import Case, course
from nlmebayes.dosing.regimen import FOLLOW, NEW, Plan, Regimen, acts, kept
from nlmebayes.model import ModelError
from nlmebayes.ranks import pooling

BANDS = ((0.05, 0.95, 0.2), (0.25, 0.75, 0.3))
GRID = 60


def fits(model, tree, data=None, *, x=None, subjects=None, outcome=None, columns=4):
    """Each subject's measurements over its prediction: median, 50 and 90 % bands; dashed, new measurements.

    Parameters
    ----------
    x : str, optional
        Column on the horizontal axis; by default time, or the structure's first input.
    subjects : sequence, optional
        Labels of the innermost level; by default the first twelve.
    """
    model, _ = prediction.context(model, tree)
    data = storage.stored_dataset(tree) if data is None else data
    outcome, x, level = outcome or data.outcomes[0], x or _axis(model, data), data.levels[-1]
    seen = data.observations[data.observations["outcome"] == outcome]
    labels = [str(s) for s in subjects] if subjects is not None else list(dict.fromkeys(seen[level]))[:12]
    data = data.sel(**{level: labels})
    seen = seen[seen[level].isin(labels)]
    smooth = prediction.predict(model, tree, _grid(data, x), random_seed=0)
    bands = _quantiles(smooth["posterior"][f"f_{outcome}"])
    wide = _quantiles(smooth["posterior_predictive"][outcome])
    grid = storage.stored_dataset(smooth).observations
    grid = grid[grid["outcome"] == outcome].reset_index(drop=True)
    columns = min(columns, len(labels))
    figure, axes = _panels(len(labels), columns)
    for axis, label in zip(axes, labels, strict=False):
        here = (grid[level] == label).to_numpy()
        _bands(axis, grid[x][here], bands[:, here], wide[:, here])
        points = seen[seen[level] == label]
        axis.plot(points[x], points["value"], "o", color="black", markersize=3.5)
        axis.set_title(f"{level} {label}", fontsize=9)
    _name_axes(figure, x, outcome)
    return figure


def vpc(model, tree, *, x=None, outcome=None, bins=8, random_seed=0):
    """Visual predictive check: observed 5, 50 and 95 % percentiles over 90 % bands of the simulated ones.

    Individuals are drawn anew in every replicate. Up to 12 distinct values of ``x`` have a bin each; more are binned by
    quantiles into ``bins``. Where measurements are censored, a second panel has the fraction of them, observed over
    the 90 % band of the simulated one, and percentiles are drawn with the censored at their limits.
    """
    model, _ = prediction.context(model, tree)
    data = storage.stored_dataset(tree)
    outcome, x = outcome or data.outcomes[0], x or _axis(model, data)
    replicated = prediction.predict(model, tree, redraw=True, random_seed=random_seed)
    return _percentiles(data, outcome, x, replicated["posterior_predictive"][outcome], bins, "Visual predictive check")


def hysteresis(model, tree, data=None, *, x="conc", y="effect", subjects=None, columns=4):
    """One predicted outcome over another as time goes on, by subject: a loop where one lags behind the other.

    Parameters
    ----------
    data : Dataset, optional
        By default that of the tree; its subjects and doses count, over a fine grid of its times.
    x, y : str
        Outcomes of the structure; both need not have been measured.
    subjects : sequence, optional
        Labels of the innermost level; by default the first four.

    Returns
    -------
    Figure
        Medians of the individual predictions, darker as time goes on, with an arrow; points where both were measured.
    """
    model, _ = prediction.context(model, tree)
    data = storage.stored_dataset(tree) if data is None else data
    for name in (x, y):
        if name not in data.outcomes:
            raise ModelError(f"hysteresis: no outcome {name!r} in the data; there are {', '.join(data.outcomes)}")
    level = data.levels[-1]
    labels = [str(s) for s in subjects or ()] or list(dict.fromkeys(data.observations[level]))[:4]
    smooth = prediction.predict(model, tree, _grid(data.sel(**{level: labels}), data.time), random_seed=0)
    grid = storage.stored_dataset(smooth).observations
    middle = {name: smooth["posterior"][f"f_{name}"].median(("chain", "draw")).to_numpy() for name in (x, y)}
    figure, axes = _panels(len(labels), min(columns, len(labels)))
    for axis, label in zip(axes, labels, strict=False):
        across, up = (middle[n][(grid[grid["outcome"] == n][level] == label).to_numpy()] for n in (x, y))
        _loop(axis, across, up)
        seen = data.observations[data.observations[level] == label]
        both = seen.pivot_table(index=data.time, columns="outcome", values="value").reindex(columns=[x, y]).dropna()
        axis.plot(both[x], both[y], "o", color="black", markersize=3.5)
        axis.set_title(f"{level} {label}", fontsize=9)
    _name_axes(figure, x, y)
    return figure


def _loop(axis, x, y):
    """A path that darkens with time, with an arrow at its middle."""
    for i in range(len(x) - 1):
        axis.plot(x[i : i + 2], y[i : i + 2], color="#3b6ea5", alpha=0.25 + 0.75 * i / len(x))
    i = int(np.argmax(np.hypot(np.diff(x) / (np.ptp(x) or 1), np.diff(y) / (np.ptp(y) or 1))))
    axis.annotate("", (x[i + 1], y[i + 1]), (x[i], y[i]), arrowprops={"arrowstyle": "->", "color": "#3b6ea5"})


def shrinkage(tree, level=None, effect=None, *, outcome=None):
    """Each group's effect as estimated alone (open circles) and by the model (with its 90 % interval), which draws it
    towards the typical group the more, the fewer its records.

    Parameters
    ----------
    level, effect, outcome : str, optional
        As in `pooling`, which has the numbers.
    """
    table = pooling(tree, level, effect, outcome=outcome).sort_values("estimate")
    place = np.arange(len(table))
    size = (5.2, min(1.2 + 0.18 * len(table), 12.0))
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    axis.axvline(0.0, color="grey", linewidth=0.8)
    axis.hlines(place, table["q05"], table["q95"], color="#3b6ea5", linewidth=1.2, alpha=0.6)
    axis.hlines(place, table["estimate"], table["alone"], color="grey", linewidth=0.6, linestyle=":")
    axis.plot(table["alone"], place, "o", color="black", fillstyle="none", markersize=4, label="alone")
    axis.plot(table["estimate"], place, "o", color="#3b6ea5", markersize=4, label="in the model")
    axis.set_yticks(place if len(table) <= 40 else [], table.index if len(table) <= 40 else None, fontsize=7)
    axis.set(xlabel=f"deviation of {effect or 'the group'} from the typical one", ylabel=table.index.name)
    axis.legend(frameon=False, fontsize=8)
    return figure


def prior(tree, *, x=None, outcome=None, bins=8):
    """Prior predictive check of a tree from `simulate`: observed percentiles over bands of those simulated a priori."""
    if "prior_predictive" not in tree.children:
        raise ModelError("plot.prior needs a tree from simulate")
    model, data = storage.stored_model(tree), storage.stored_dataset(tree)
    outcome, x = outcome or data.outcomes[0], x or _axis(model, data)
    return _percentiles(data, outcome, x, tree["prior_predictive"][outcome], bins, "Prior predictive check")


def forecast(tree, times=None, *, x=None, held_out=None, outcome=None):
    """A forecast patient: samples, curve with bands, and (grey) what was expected before the samples.

    Parameters
    ----------
    times : array, optional
        By default from the first record to twice as far as the last.
    x : str, optional
        Column on the horizontal axis; by default time, or the structure's first input.
    held_out : Dataset, optional
        Other samples of the patient, not used by the forecast, shown as open circles.
    """
    if "nlmebayes_forecast" not in tree.attrs:
        raise ModelError("plot.forecast needs a tree from forecast; plot.fits shows those of a fit")
    data = storage.stored_dataset(tree)
    outcome, x = outcome or data.outcomes[0], x or _axis(storage.stored_model(tree), data)
    if times is None:
        records = data.observations[x].to_numpy()
        if x == data.time:
            records = np.append(records, data.doses[x].to_numpy(float))
        times = np.linspace(records.min(), 2 * records.max() - records.min(), 2 * GRID)
    grid = data.over(**{x: times})
    after = prediction.predict(None, tree, grid, random_seed=0)
    before = prediction.predict(None, _before(tree), grid, random_seed=0)
    figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    low, high = before["posterior_predictive"][outcome].quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
    axis.fill_between(times, low, high, color="grey", alpha=0.2, label="before the samples, 90 %")
    wide = _quantiles(after["posterior_predictive"][outcome])
    _bands(axis, times, _quantiles(after["posterior"][f"f_{outcome}"]), wide)
    if held_out is not None:
        others = held_out.observations[held_out.observations["outcome"] == outcome]
        axis.plot(others[x], others["value"], "o", color="black", fillstyle="none", label="not used")
    seen = data.observations[data.observations["outcome"] == outcome]
    axis.plot(seen[x], seen["value"], "o", color="black", label="samples")
    axis.set(xlabel=x, ylabel=outcome, title=f"Forecast of {data.subject} {data.observations[data.subject].iloc[0]}")
    axis.legend(frameon=False)
    return figure


def regimens(table):
    """Probability of being below, in and above the target by regimen, from the table of `recommend`."""
    targets = list(dict.fromkeys(table["target"]))
    figure, axes = _panels(len(targets), min(2, len(targets)), size=(5.5, 3.6))
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


def doses(tree, plans, aims, *, times=None, outcome=None, history=FOLLOW, occasions=NEW, covariates=None, columns=2):
    """What each regimen does: bands of the concentration (50 and 90 %), what is wanted of it, with what probability.

    Parameters
    ----------
    tree : DataTree
        From `forecast`.
    plans : Regimen, Plan or sequence of them
    aims : Target or sequence of Target
        Troughs, peaks and averages are green bands, a threshold is a line; the time that a target is about is marked
        below. The title has the probability that all are met.
    times : array, optional
        By default from the first record to the end of the last interval.
    outcome, history, occasions, covariates
        As in `recommend`.
    """
    plans = [plans] if isinstance(plans, Regimen | Plan) else list(plans)
    aims = [aims] if isinstance(aims, targets.Target) else list(aims)
    case = Case.of(tree, outcome=outcome, history=history, occasions=occasions, covariates=covariates)
    recommendation.check(case, plans)
    seen = case.patient.observations[case.patient.observations["outcome"] == case.outcome]
    figure, axes = _panels(len(plans), min(columns, len(plans)), size=(4.6, 3.1))
    for axis, (plan, exposures) in zip(axes, recommendation.evaluated(case, plans, aims), strict=True):
        at = _moments_of(case, plan, aims, times)
        f = course(case, plan, at).predicted([part.amount for part in plan.parts])[:, : len(at)]
        _bands(axis, at, np.nanquantile(f, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0))
        axis.plot(seen[case.patient.time], seen["value"], "o", color="black", markersize=3.5)
        for aim in aims:
            _wanted(axis, aim, aim.window(plan))
        met = np.all([t.met(x) for x, t in zip(exposures, aims, strict=True)], axis=0).mean()
        axis.set_title(f"{plan}: {100 * met:.0f} %", fontsize=9)
    _name_axes(figure, case.patient.time, case.outcome)
    return figure


def _moments_of(case, plan, aims, times):
    """Times to draw at, with both sides of every jump."""
    jumps = acts(kept(case.patient, plan, case.history), plan)
    if times is None:
        records = case.patient.observations[case.patient.time].to_numpy(float)
        ends = [aim.window(plan)[1] for aim in aims]
        last = plan.times[-1] + (plan.every or 0.0)
        times = np.linspace(min(records.min(), jumps.min()), max(last, records.max(), *ends), 4 * GRID)
    times = np.asarray(times, dtype=float)
    inside = jumps[(jumps >= times.min()) & (jumps < times.max())]
    return np.unique(np.concatenate([times, inside, inside + 1e-6 * np.ptp(times)]))


def _wanted(axis, aim, window):
    """The range of a concentration, or the time that another exposure is about."""
    green = "#58a063"
    if isinstance(aim, targets.TimeAbove):
        axis.axhline(aim.mic / aim.free, color=green, linestyle=":")
    elif isinstance(aim, targets.Trough | targets.Peak | targets.AverageConcentration):
        high = aim.high if np.isfinite(aim.high) else max(axis.get_ylim()[1] * aim.scale, aim.low)
        axis.axhspan(aim.low / aim.scale, high / aim.scale, color=green, alpha=0.15, linewidth=0)
    if window[0] < window[1]:
        axis.plot(window, [0.01, 0.01], color=green, linewidth=3, transform=axis.get_xaxis_transform())
    else:
        axis.axvline(window[0], color=green, linewidth=0.8)


def _before(tree):
    """The forecast's prior in the place of its posterior."""
    found = tree.copy()
    found["posterior"] = tree["prior"].copy()
    return found


def _axis(model, data):
    """Column for the horizontal axis."""
    wanted = [model.inputs.get(i, data.time if i == "time" else i) for i in model.structure.inputs]
    options = [*wanted, data.time, *data.inputs]
    found = [c for c in options if c and data.observations[c].dtype.kind == "f"]
    if not found:
        raise ValueError("no time and no numeric input to plot over; give x=")
    return found[0]


def _spread(values):
    return np.linspace(float(np.min(values)), float(np.max(values)), GRID)


def _grid(data, x):
    return data.over(**{x: _spread(data.observations[x])})


def _quantiles(variable):
    return variable.quantile([0.05, 0.25, 0.5, 0.75, 0.95], dim=("chain", "draw")).to_numpy()


def _bands(axis, x, f, measured=()):
    axis.fill_between(x, f[0], f[4], color="#3b6ea5", alpha=BANDS[0][2], linewidth=0)
    axis.fill_between(x, f[1], f[3], color="#3b6ea5", alpha=BANDS[1][2], linewidth=0)
    axis.plot(x, f[2], color="#3b6ea5")
    for edge in measured[::4]:
        axis.plot(x, edge, color="#3b6ea5", linestyle="--", linewidth=0.8)


def _percentiles(data, outcome, x, simulated, bins, title):
    frame = data.observations[data.observations["outcome"] == outcome]
    at, observed = frame[x].to_numpy(dtype=float), frame["value"].to_numpy()
    simulated = simulated.to_numpy().reshape(-1, simulated.shape[-1])
    which = _binned(at, bins)
    censored = frame["lower"].notna().to_numpy()
    figure, axes = _one_or_two(censored.any())
    if censored.any():
        limits = censoring.quantified(frame["lower"].to_numpy(), frame["upper"].to_numpy())
        _fractions(axes[1], at, which, censored, (simulated < limits[0]) | (simulated > limits[1]))
        simulated = np.clip(simulated, *limits)
    levels = [5, 50, 95]
    found = [(at[which == b].mean(), np.percentile(observed[which == b], levels),
              np.percentile(np.percentile(simulated[:, which == b], levels, axis=1), [5, 50, 95], axis=1))
             for b in np.unique(which)]  # fmt: skip
    middle, axis = np.array([m for m, _, _ in found]), axes[0]
    axis.plot(at[~censored], observed[~censored], "o", color="grey", markersize=2.5, alpha=0.6)
    for i, (level, colour) in enumerate(zip(levels, ("#7fa7d1", "#d18a7f", "#7fa7d1"), strict=True)):
        bands = np.array([s[:, i] for _, _, s in found])
        axis.fill_between(middle, bands[:, 0], bands[:, 2], color=colour, alpha=0.35, linewidth=0)
        style = "-" if level == 50 else "--"
        axis.plot(middle, [o[i] for _, o, _ in found], color="black", linestyle=style, label=f"observed {level} %")
    axis.set(ylabel=outcome, title=title)
    axes[-1].set_xlabel(x)
    axis.legend(frameon=False, fontsize=8)
    return figure


def _one_or_two(two):
    """Figure and axes: the check, and below it the censored fraction where there is one."""
    if not two:
        figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
        return figure, [axis]
    shape = {"figsize": (6.4, 5.6), "layout": "constrained", "sharex": True}
    return plt.subplots(2, 1, height_ratios=[3, 1], **shape)


def _fractions(axis, at, which, censored, simulated):
    """Observed censored fraction by bin over the band of the simulated one."""
    bins = np.unique(which)
    middle = [at[which == b].mean() for b in bins]
    bands = np.array([np.percentile(simulated[:, which == b].mean(axis=1), [5, 95]) for b in bins])
    axis.fill_between(middle, bands[:, 0], bands[:, 1], color="#7fa7d1", alpha=0.35, linewidth=0)
    axis.plot(middle, [censored[which == b].mean() for b in bins], color="black")
    axis.set(ylabel="censored", ylim=(-0.02, 1.02))


def _binned(at, bins):
    """Bin of each record: one per distinct value where these are few, else quantiles."""
    distinct = np.unique(at)
    if len(distinct) <= max(bins, 12):
        return np.searchsorted(distinct, at)
    edges = np.unique(np.quantile(at, np.linspace(0, 1, bins + 1)))
    which = np.clip(np.searchsorted(edges, at, side="left") - 1, 0, len(edges) - 2)
    gaps = np.diff(distinct)
    wide = distinct[1:][gaps > 0.2 * (distinct[-1] - distinct[0])]  # no bin reaches over a fifth of the axis unsampled
    return which * (len(wide) + 1) + np.searchsorted(wide, at, side="right")


def _panels(n, columns, size=(2.8, 2.3)):
    rows = -(-n // columns)
    shape = (size[0] * columns, size[1] * rows)
    figure, axes = plt.subplots(rows, columns, figsize=shape, sharex=True, squeeze=False, layout="constrained")
    for axis in axes.flat[n:]:
        axis.set_visible(False)
    return figure, axes.flat[:n]


def _name_axes(figure, x, y):
    figure.supxlabel(x, fontsize=10)
    figure.supylabel(y, fontsize=10)
