"""The measurements themselves, before any model."""

import numpy as np
from matplotlib.figure import Figure

from nlmebayes.arguments import Name, Text, checked
from nlmebayes.criticism.predictive import outcome_of
from nlmebayes.criticism.tad import NAMES, since_dose_of
from nlmebayes.data.validate import DataError
from nlmebayes.dosing.regimen import each_time
from nlmebayes.errors import ModelError
from nlmebayes.model.model import Data
from nlmebayes.plot import panels
from nlmebayes.plot.labels import Labels
from nlmebayes.plot.panels import BLUE, GREEN, GREY, Places

PARTS = 3  # into which a covariate of many numbers is cut
FEW = 6  # values that have a row each
TELL = 40  # subjects up to which lines are well apart


@checked
def data(
    data: Data, *, outcome: Text | None = None, x: Text | None = None, by: Name | None = None, ax: Places | None = None
) -> Figure:  # fmt: skip
    """Every subject's measurements, on a linear and on a logarithmic axis, with doses marked below.

    Parameters
    ----------
    data : Dataset
    outcome : str, optional
        By default the first.
    x : str, optional
        Column on the horizontal axis; by default time, or the first input. ``"tad"``, the time after the last dose, and
        ``"dose_number"`` too: along tad a line is that of a subject after one dose, and records before the first dose
        are counted in the title.
    by : str, optional
        A covariate: each of its values, or thirds of its numbers, has a row of its own.
    ax : Axes, optional
        Axes to draw on, two for each row.

    Returns
    -------
    Figure
        Its ``numbers``: the measurements, with the ``row`` of the picture in the column ``by``.

    Raises
    ------
    ModelError
        A column that is not there.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> figure = nb.plot.data(nb.datasets.theophylline())
    >>> len(figure.axes), len(figure.numbers)
    (2, 132)
    """
    outcome, x = outcome_of(data, outcome), _axis(data, x)
    seen = data.observations[data.observations["outcome"] == outcome]
    seen = seen[seen["value"].notna()]
    seen = seen.join(since_dose_of(data, seen))
    early = int(seen[x].isna().sum()) if x in NAMES else 0
    seen = seen[seen[x].notna()] if early else seen
    rows, which = _rows(seen, by, data)
    made = panels.sheet(2 * len(rows), 2, (3.2, 2.6), ax, sharex=True)
    lows = [axis for axis in made.axes[::2]]
    for k, name in enumerate(rows):
        here = seen[which == k]
        for axis in made.axes[2 * k : 2 * k + 2]:
            _lines(axis, here, x, data)
            _doses(axis, data, here, x)
            if name:
                axis.set_title(f"{name} ({here[data.subject].nunique()} {data.subject}s)", fontsize=panels.TITLE)
        _logarithmic(made.axes[2 * k + 1], here)
    _alike(lows, seen["value"])
    _alike([axis for axis in made.axes[1::2] if axis.get_yscale() == "log"], seen["value"])
    names = Labels(data.unit_of)
    made.named(names.of_axis(x, data.time), names(outcome))
    for axis in made.axes[1::2]:
        axis.set_ylabel(f"{names(outcome)}, logarithmic")
    drawn = seen[[*data.levels, x, "value", *([by] if by and by not in data.levels else [])]].assign(
        panel=[rows[k] for k in which]
    )
    left = f" {early} records before the first dose are not here." if early else ""
    return made.finished(f"What was measured{f', by {by}' if by else ''}?{left}", drawn.reset_index(drop=True))


def _axis(data, x):
    numbers = [c for c in (data.time, *data.inputs) if c and data.observations[c].dtype.kind in "iuf"]
    numbers += [name for name in NAMES if data.time and len(data.doses)]
    if x is None and numbers:
        return numbers[0]
    if x not in numbers:
        there = ", ".join(numbers) or "none"
        raise ModelError(f"plot.data: no time or input {x!r} of numbers in the data for x=; there are {there}")
    return x


def _rows(seen, by, data):
    """Names of the rows of the picture, and the row of each record."""
    if by is None:
        return [""], np.zeros(len(seen), dtype=int)
    known = [*data.levels, *data.covariates, *data.inputs]
    if by not in known:
        raise ModelError(f"plot.data: no covariate {by!r} for by=; there are {', '.join(known)}")
    values, unit = seen[by], data.unit_of.get(by, "")
    if values.isna().any():
        raise DataError(
            f"{data.source}, row {seen['row'][values.isna()].iloc[0]}: {by} is missing; leave the record out"
        )
    distinct = np.unique(values.to_numpy()) if values.dtype.kind in "iuf" else list(dict.fromkeys(values))
    if len(distinct) > FEW and values.dtype.kind not in "iuf":
        raise ModelError(f"plot.data: {by} has {len(distinct)} values, of which a picture has no room; at most {FEW}")
    if len(distinct) <= FEW:
        place = {value: k for k, value in enumerate(distinct)}
        words = [
            f"{by} {value:g} {unit}".rstrip() if values.dtype.kind in "iuf" else f"{by} {value}" for value in distinct
        ]
        return words, values.map(place).to_numpy()
    person = seen.drop_duplicates(data.subject)[by]
    edges = np.quantile(person, np.linspace(0, 1, PARTS + 1))
    which = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, PARTS - 1)
    parts = [values[which == k] for k in range(PARTS)]
    kept = [k for k, part in enumerate(parts) if len(part)]
    words = [f"{by} {parts[k].min():g} to {parts[k].max():g} {unit}".rstrip() for k in kept]
    return words, np.searchsorted(kept, which)


def _lines(axis, here, x, data):
    """A line for each subject, broken between its occasions, with open triangles where it is censored."""
    alpha = 0.9 if here[data.subject].nunique() <= TELL else 0.35
    each = [data.levels[-1], *(["dose_number"] if x == "tad" and "dose_number" in here else [])]
    for i, (_, part) in enumerate(here.groupby(each, sort=False, observed=True)):
        label = None if i else f"one {data.levels[-1]}"
        axis.plot(part[x], part["value"], color=BLUE, linewidth=0.7, alpha=alpha, label=label)
    panels.measured(axis, here[x], here, markersize=2.5)


def _doses(axis, data, here, x):
    """Ticks at the foot of the picture where doses are given."""
    doses = data.doses[data.doses[data.subject].isin(here[data.subject])] if len(data.doses) else data.doses
    if x != data.time or not len(doses):
        return
    times = np.unique(np.concatenate([each_time(dose, data.time) for dose in doses.to_dict("records")]))
    times = times[times <= here[x].max()]
    shown = {"color": GREEN, "markersize": 5, "transform": axis.get_xaxis_transform(), "clip_on": False, "marker": "^"}
    panels.points(axis, times, np.full(len(times), 0.015), "doses", **shown)


def _logarithmic(axis, here):
    """A logarithmic axis, if any measurement is positive; those that are not are counted in the title."""
    left = int((here["value"] <= 0).sum())
    if left == len(here):
        axis.annotate("no positive value", (0.5, 0.5), xycoords="axes fraction", ha="center", color=GREY)
        return
    for line in axis.lines:
        if line.get_transform() == axis.transData:  # and not a tick at the foot
            line.set_ydata(np.where(np.asarray(line.get_ydata()) > 0, line.get_ydata(), np.nan))
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    if left:
        axis.annotate(f"{left} values of 0 or less are not here", (0.98, 0.98), xycoords="axes fraction", ha="right",
                      va="top", fontsize=panels.TEXT - 1, color=GREY)  # fmt: skip


def _alike(axes, values):
    """The same vertical axis for all rows."""
    if not axes:
        return
    if axes[0].get_yscale() == "log":
        values = values[values > 0]
        limits = values.min() / 1.3, values.max() * 1.3
    else:
        room = 0.05 * (np.ptp(values) or 1.0)
        limits = (0.0 if values.min() >= 0 else values.min() - room), values.max() + room
    for axis in axes:
        axis.set_ylim(*limits)
