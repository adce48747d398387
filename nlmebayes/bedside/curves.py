"""Courses of concentrations as charts: what is drawn, in the places of a sheet, which a template writes as SVG.

Drawn by hand, a chart takes milliseconds; what a colour tells, a dash, a hatch or a mark tells too.
"""

from dataclasses import dataclass

import numpy as np

from nlmebayes.reporting.tables import as_given, number

WIDE, TALL = 640.0, 320.0  # units of the sheet
LEFT, RIGHT, TOP, BOTTOM = 62.0, 12.0, 14.0, 54.0  # margins
STEPS = (1.0, 2.0, 5.0)  # between ticks, times a power of ten
HOURS = (1, 2, 4, 6, 12, 24, 48, 72, 96, 168, 336)  # between ticks of time
TICKS = 5  # about
LINES = ("first", "second", "third", "fourth")  # styles of lines beside one another


@dataclass(frozen=True)
class Shape:
    """A band or a line: its style, its points in SVG's words, and what it is."""

    kind: str
    style: str
    points: str
    label: str = ""


@dataclass(frozen=True)
class Mark:
    """A sample at its place; ``below`` where only a limit is known."""

    x: float
    y: float
    below: bool
    label: str


@dataclass(frozen=True)
class Chart:
    """A drawing with its title, what it shows in words, ticks as (place, text), doses and now as places."""

    title: str
    description: str
    x_label: str
    y_label: str
    x_ticks: tuple
    y_ticks: tuple
    shapes: tuple
    marks: tuple = ()
    doses: tuple = ()
    now: float | None = None
    box: tuple = (LEFT, TOP, WIDE - RIGHT, TALL - BOTTOM)
    size: tuple = (WIDE, TALL)

    @property
    def legend(self):
        """(kind, style, label) of what has a label."""
        found = [(s.kind, s.style, s.label) for s in self.shapes if s.label]
        found += [("mark", "sample", "samples")] * any(not m.below for m in self.marks)
        found += [("mark", "below", "below quantification: the limit")] * any(m.below for m in self.marks)
        found += [("mark", "dose", "doses given")] * bool(self.doses)
        return found + [("mark", "now", "now")] * (self.now is not None)


@dataclass(frozen=True)
class Scale:
    """From times and concentrations to places on the sheet."""

    first: float
    last: float
    top: float

    def x(self, time):
        return LEFT + (np.asarray(time, float) - self.first) / (self.last - self.first) * (WIDE - LEFT - RIGHT)

    def y(self, value):
        return TALL - BOTTOM - np.asarray(value, float) / self.top * (TALL - TOP - BOTTOM)

    def line(self, time, value):
        """Points of a line."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(self.x(time), self.y(value), strict=True))

    def band(self, time, low, high):
        """Points around a band."""
        return f"{self.line(time, high)} {self.line(time[::-1], np.asarray(low)[::-1])}"


def course(table, samples, doses, unit, times, now=None):
    """The `Chart` of a course before and after the samples.

    Parameters
    ----------
    table : DataFrame
        ``course`` of an answer.
    samples : DataFrame
        ``time``, ``value``, ``below``.
    doses : sequence of float
        Times.
    unit : str
        Of concentrations.
    times : Times
        How times are written.
    """
    t = table["time"].to_numpy(float)
    scale = _scale(t, [table["eti_ub"], samples["value"], table["before_eti_ub"]])
    shapes = (
        Shape("band", "before", scale.band(t, table["before_eti_lb"], table["before_eti_ub"]),
              "expected before the samples, 90 %"),
        Shape("band", "wide", scale.band(t, table["eti_lb"], table["eti_ub"]), "concentration, 90 %"),
        Shape("band", "narrow", scale.band(t, table["q25"], table["q75"]), "concentration, 50 %"),
        Shape("line", "earlier", scale.line(t, table["before_median"]), "median expected before"),
        Shape("line", "median", scale.line(t, table["median"]), "median"),
    )  # fmt: skip
    marks = [
        Mark(float(scale.x(row.time)), float(scale.y(row.value)), bool(row.below),
             f"{'below ' * bool(row.below)}{as_given(row.value)} {unit} at {said(row.time, times)}")
        for row in samples.itertuples()
    ]  # fmt: skip
    words = (
        f"Concentration from {said(t[0], times)} to {said(t[-1], times)}, with {len(marks)} samples; at the end the "
        f"median is {number(table['median'].iloc[-1])} {unit}."
    )
    return _chart("Course before and after the samples", words, scale, shapes, unit, times, tuple(marks), doses, now)


def changed(table, unit, times):
    """The `Chart` of medians of a regimen as planned, late and missed."""
    t = table["time"].to_numpy(float)
    scale = _scale(t, [table["median"]])
    shapes = [
        Shape("line", style, scale.line(part["time"].to_numpy(float), part["median"]), str(change))
        for style, (change, part) in zip(LINES, table.groupby("change", sort=False), strict=False)
    ]
    words = f"Median concentrations: {', '.join(s.label for s in shapes)}."
    return _chart("A dose late or missed", words, scale, tuple(shapes), unit, times)


def said(time, times):
    """A time in hours, or by the date or the clock."""
    return f"{as_given(float(time))} h" if times.kind == "hours" else times.worded(float(time))


def _chart(title, words, scale, shapes, unit, times, marks=(), doses=(), now=None):
    inside = [float(scale.x(x)) for x in dict.fromkeys(doses) if scale.first <= x <= scale.last]
    at = None if now is None or not scale.first < now < scale.last else float(scale.x(now))
    label = {"hours": "Time, h", "clock": "Time by the clock"}.get(times.kind, "Date and time")
    return Chart(
        title, words, label, f"Concentration, {unit}".rstrip(", "), tuple(_times(scale, times)), tuple(_values(scale)),
        shapes, marks, tuple(inside), at,
    )  # fmt: skip


def _scale(times, values):
    top = max((float(np.nanmax(v)) for v in values if len(v) and np.isfinite(v).any()), default=1.0)
    last = times[-1] if times[-1] > times[0] else times[0] + 1.0
    return Scale(float(times[0]), float(last), 1.05 * top or 1.0)


def _values(scale):
    rough = scale.top / TICKS
    power = 10.0 ** np.floor(np.log10(rough))
    step = next((s * power for s in STEPS if s * power >= rough), 10 * power)
    return [(float(scale.y(v)), as_given(v)) for v in np.arange(0, scale.top, step)]


def _times(scale, times):
    """Ticks at whole hours, or at whole hours of the day."""
    step = next((h for h in HOURS if h >= (scale.last - scale.first) / TICKS), HOURS[-1])
    begun = 0.0 if times.kind == "hours" else times.zero % 24
    first = np.ceil((scale.first + begun) / step) * step - begun
    for time in np.arange(first, scale.last + 1e-9, step):
        text = as_given(time) if times.kind == "hours" else _short(times.worded(float(time)))
        yield float(scale.x(time)), text


def _short(moment):
    """A date without its year, or a day, and the hour."""
    return moment.partition("-")[2] if moment[:4].isdigit() else moment.replace("day ", "d")
