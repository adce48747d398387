"""The events of a dataset in the order in which they act, and their expansion into the arrays that a solver reads.

`in_order` puts observations, doses and other events of each subject into one frame. `Timeline` expands it, once, into
*courses*: runs of records and doses that start empty (at the first event, after a reset) or at a steady state, which
SS=1 puts in the place of what was, and SS=2 adds to it in a course beside. So a solver meets neither resets nor ADDL,
and linear superposition is kept where it belongs.

Order, as in NONMEM: by time, then by record, where times that differ by rounding are one (`data.ties`); additional and
lagged doses that fall on the time of a record act before it if their own record came earlier. With ``nocb`` the
parameters of a record hold over the interval that it ends, with ``locf`` over the one that it starts; the state is
carried on through both. With ``linear`` they change in between, in the parts of `data.lines`, each of which ends in an
event.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from nlmebayes.data.lines import between, cut, on_lines, written_out
from nlmebayes.data.ties import merged, snapped
from nlmebayes.data.validate import DataError

ORDER = {"reset": 0, "dose": 1, "other": 2, "observation": 3}  # of what stands in one row, as EVID 4 does
DOSE = ("state", "amount", "rate", "addl", "ii", "ss")
IMPLIED = 100_000  # additional doses of a subject that come before its last record
MODELLED = {-1.0: "rate", -2.0: "duration"}  # NONMEM's codes of RATE


def in_order(data, columns, parts=True):
    """All records of a dataset by subject and time, with the values of ``columns`` where they were recorded.

    Columns: ``row``, the levels, ``time``, ``position`` (order at equal times), ``what`` (observation, dose, reset,
    other), ``place`` (position among the observations, by outcome as in ``data.outcomes``), and those of a dose. A
    value that a dose or other event lacks is that of the observation or event that governs its time. Intervals in which
    a value changes on a line are cut, unless ``parts`` is false.
    """
    inner = list(dict.fromkeys([*data.levels, *columns]))
    lines = [name for name in on_lines(data) if name in columns]
    _check_implied(data)
    doses = written_out(data.doses, data, snapped) if lines else data.doses
    frames = [(data.observations, "row", places(data), "observation"), (doses, "position", None, "dose")]
    frames.append((data.events, "position", None, None))
    frames = [frame for frame in frames if len(frame[0])]
    found = {name: _joined([_column(part[0], name) for part in frames]) for name in ("row", *inner)}
    found["time"] = _joined([_column(part[0], data.time) for part in frames])
    found["position"] = _joined([_column(part[0], part[1]) for part in frames])
    found["what"] = _joined([_column(part[0], "kind", part[3]) for part in frames])
    found["place"] = _joined([np.full(len(part[0]), -1) if part[2] is None else part[2] for part in frames])
    found |= {
        name: _joined([_column(f, name) if what == "dose" else np.full(len(f), np.nan) for f, _, _, what in frames])
        for name in DOSE
    }
    rank = {label: i for i, label in enumerate(dict.fromkeys(data.observations[data.subject].tolist()))}
    place = np.array([ORDER[what] for what in found["what"]], dtype=float)
    of_subject = np.array([rank[label] for label in found[data.subject]], dtype=float)
    found["time"] = merged(found["time"].astype(float), of_subject)
    order = np.lexsort((place, found["position"].astype(float), found["time"], of_subject))
    found = _filled({name: values[order] for name, values in found.items()}, data, inner, lines)
    return cut(found, lines, data.subject) if lines and parts else found


def _check_implied(data):
    """The additional doses of a subject are not too many to be written out."""
    further = data.doses["addl"].to_numpy() > 0
    if not further.any():
        return
    repeated = data.doses[further]
    frames = [frame[[data.subject, data.time]] for frame in (data.observations, data.doses, data.events) if len(frame)]
    last = pd.concat(frames).groupby(data.subject)[data.time].max()
    time = repeated[data.subject].map(last) - repeated[data.time]
    implied = np.minimum(repeated["addl"], time / repeated["ii"])
    if (implied.groupby(repeated[data.subject]).sum() > IMPLIED).any():
        dose = repeated.loc[implied.idxmax()]
        raise DataError(
            f"{data.source}, row {dose['row']}, column ADDL: {dose['addl']} doses every {dose['ii']:g}: a subject has "
            f"more than {IMPLIED:,} additional doses before its last record; correct II, or give an infusion (RATE)"
        )


def _column(frame, name, fill=np.nan):
    """A column as objects, or ``fill`` where the frame has none or where that is no missing value."""
    if name not in frame.columns or isinstance(fill, str):
        return np.full(len(frame), fill, dtype=object)
    return frame[name].to_numpy(dtype=object)


def _joined(parts):
    return np.concatenate([np.asarray(part, dtype=object) for part in parts])


def places(data):
    """Position of each observation when outcomes follow one another in the order of ``data.outcomes``."""
    position = {name: i for i, name in enumerate(data.outcomes)}
    number = np.array([position[name] for name in data.observations["outcome"].tolist()])
    place = np.empty(len(number), dtype=int)
    place[np.argsort(number, kind="stable")] = np.arange(len(number))
    return place


def _filled(found, data, inner, lines):
    """The frame, with missing values of doses and events from the record, or the line, that governs their time."""
    for column in inner:
        values = found[column]
        missing = pd.isna(values)
        if missing.any() and column in lines:
            for label in dict.fromkeys(found[data.subject][missing]):
                own = found[data.subject] == label
                time, known = found["time"][own].astype(float), values[own].astype(float)
                values[own] = np.where(np.isnan(known), between(time, known, time), known)
        elif missing.any():
            values = pd.Series(np.where(missing, None, values), dtype=object)
            near, far = ("ffill", "bfill") if data.interpolation == "locf" else ("bfill", "ffill")
            for way in (near, far):
                values = getattr(values.groupby(found[data.subject], sort=False), way)()
        if column in data.observations:
            kind, whole = data.observations[column].dtype, not missing.any()
            numbers = whole and kind in (float, int)
            values = values.astype(kind) if numbers else pd.Series(values, dtype=object if whole else None).astype(kind)
        found[column] = values
    for column in ("time", "position", "place", "amount", "rate", "addl", "ii", "ss"):
        found[column] = found[column].astype(float)
    return pd.DataFrame(found)


@dataclass(frozen=True, eq=False)
class Timeline:
    """Courses, their records and their doses, as arrays.

    ``courses`` (course, 5): first and last-plus-one record, the same of its doses, its steady-state dose or -1;
    ``records`` (record, 2): time, position; ``of_record`` (record, 2): the unit that governs the interval before it,
    its place among the observations or -1; ``doses`` (dose, 6): time, position, amount, rate (0 a bolus, -1 or -2
    modelled rate or duration), interval of a steady state and how many doses make its cycle; ``of_dose`` (dose, 2):
    unit, route.
    """

    courses: np.ndarray
    records: np.ndarray
    of_record: np.ndarray
    doses: np.ndarray
    of_dose: np.ndarray


def expand(records, entries, interpolation, source, *, superposed=True, origin=None):
    """The `Timeline` of ordered records.

    Parameters
    ----------
    records : DataFrame
        From `in_order`, with ``unit``, ``subject`` as a number, and where wanted ``cycle``, how many doses make the
        cycle of a steady state.
    entries : dict of state label -> tuple of (route, kind)
        What a dose into a state becomes; ``None`` is the default state. ``kind``: "as given", "rate" or "duration",
        for routes whose doses take a modelled time.
    superposed : bool
        Whether doses add up. If not, every event is a record, and a steady state that needs superposition is refused.
    origin : float, optional
        Where the first course of a subject starts if all its records come later.

    Raises
    ------
    DataError
        A dose into a state that does not exist, or with a modelled rate or duration that the structure lacks; names
        row and column.
    """
    writer = _Writer(entries, interpolation, source, superposed, origin)
    names = ("time", "position", "place", "unit", "what", "row", *DOSE)
    columns = {name: records[name].to_numpy() for name in names}
    columns["cycle"] = records["cycle"].to_numpy() if "cycle" in records else np.ones(len(records))
    number = records["subject"].to_numpy()
    edges = np.flatnonzero(np.diff(number, prepend=-1, append=-1))
    for start, stop in pairwise(edges):
        writer.subject({name: values[start:stop] for name, values in columns.items()})
    return writer.finish()


class _Writer:
    """Collects courses subject by subject."""

    def __init__(self, entries, interpolation, source, superposed, origin):
        self.entries, self.nocb, self.source = entries, interpolation != "locf", source
        self.superposed, self.origin = superposed, origin
        self.courses, self.records, self.doses = [], [], []

    def subject(self, x):
        """Split the records of one subject into courses and write them."""
        every = not self.superposed or (x["unit"] != x["unit"][0]).any()
        main, beside = _Course(), []
        if self.origin is not None and x["time"][0] > self.origin:
            main.records.append((self.origin, -np.inf, x["unit"][0], -1))
        last = x["time"][-1]
        for i, what in enumerate(x["what"]):
            unit = x["unit"][i]
            governing = unit if self.nocb or i == 0 else x["unit"][i - 1]
            record = (x["time"][i], x["position"][i], governing, x["place"][i])
            if what == "reset":
                self._write(main, beside)
                main, beside = _Course(), []
            steady = what == "dose" and x["ss"][i] > 0
            if steady:
                self._check_steady(x, i)
                heads = [_Course(head) for head in self._given(x, i, x["time"][i], unit)]
                begin = (x["time"][i], x["position"][i], unit, -1)
                for course in heads:
                    course.records.append(begin)
                if x["ss"][i] == 1:
                    self._write(main, beside)
                    main, *beside = heads
                else:
                    for course in (main, *beside):
                        course.records.append(record)
                    beside += heads
            elif what == "observation" or every:
                for course in (main, *beside):
                    course.records.append(record)
            if what == "dose":
                self._add(main, x, i, last, steady)
        self._write(main, beside)

    def _check_steady(self, x, i):
        split = len(self.entries.get(_label(x["state"][i]), ())) > 1
        if not self.superposed and (split or x["ss"][i] == 2):
            what = "a steady state of a dose that is split" if split else "SS=2 adds one steady state to another, which"
            raise DataError(
                f"{self.source}, row {int(x['row'][i])}, column SS: {what} needs a linear system; this one need not be "
                "linear. Write the doses out, one by one or with ADDL and II, from a time long before"
            )

    def _add(self, course, x, i, last, steady):
        """The dose of record i and its additional doses, as far as they can matter."""
        for k in range(1 if steady else 0, int(x["addl"][i]) + 1):
            at = x["time"][i]
            if k > 0:
                at = snapped(at + k * x["ii"][i], x["time"])
                if at > last:
                    break
            course.doses += self._given(x, i, at, x["unit"][i] if k == 0 else self._governing(x, at))

    def _governing(self, x, at):
        """Unit of the interval that a time falls in."""
        if self.nocb:
            return x["unit"][min(np.searchsorted(x["time"], at, side="left"), len(x["time"]) - 1)]
        return x["unit"][max(np.searchsorted(x["time"], at, side="right") - 1, 0)]

    def _given(self, x, i, at, unit):
        """Rows of `Timeline.doses` and ``of_dose`` that a dose record becomes: one for each of its routes."""
        label = _label(x["state"][i])
        if label not in self.entries:
            known = ", ".join(str(name) for name in self.entries if name is not None)
            raise DataError(
                f"{self.source}, row {int(x['row'][i])}, column CMT: no state {label!r} that can be dosed; there are "
                f"{known} (a number is the position among the states)"
            )
        period = x["ii"][i] if x["ss"][i] > 0 else 0.0
        rows = []
        for route, kind in self.entries[label]:
            rate = self._rate(x, i, kind)
            rows.append((at, x["position"][i], x["amount"][i], rate, period, x["cycle"][i], unit, route))
        return rows

    def _rate(self, x, i, kind):
        rate = x["rate"][i]
        if rate > 0:
            return rate
        if rate < 0 and MODELLED[rate] != kind:
            raise DataError(
                f"{self.source}, row {int(x['row'][i])}, column RATE: {rate:g} asks for a modelled {MODELLED[rate]} of "
                "the input, which this structure does not have for that state; choose an absorption that has one "
                "(zero-order, constant-rate), or give the rate"
            )
        return {"as given": 0.0, "rate": -1.0, "duration": -2.0}[kind]

    def _write(self, main, beside):
        for course in (main, *beside):
            while course.records and course.records[-1][3] < 0:
                course.records.pop()  # nothing is read after the last observation
            if course.records:
                first, head = (len(self.records), len(self.doses)), -1
                if course.head is not None:
                    self.doses.append(course.head)
                    first, head = (first[0], first[1] + 1), first[1]
                self.records += course.records
                self.doses += sorted(course.doses, key=lambda dose: dose[:2])
                self.courses.append((first[0], len(self.records), first[1], len(self.doses), head))

    def finish(self):
        records = np.array(self.records, dtype=float).reshape(-1, 4)
        doses = np.array(self.doses, dtype=float).reshape(-1, 8)
        return Timeline(
            np.array(self.courses, dtype=np.int64).reshape(-1, 5), np.ascontiguousarray(records[:, :2]),
            records[:, 2:].astype(np.int64), np.ascontiguousarray(doses[:, :6]), doses[:, 6:].astype(np.int64),
        )  # fmt: skip


def _label(state):
    return None if state is None or state != state else state


class _Course:
    """A run of records that starts empty, or at the steady state of ``head``."""

    def __init__(self, head=None):
        self.head, self.records, self.doses = head, [], []
