"""Which record governs each time of an event outcome: the history of what changes within a subject.

A hazard is asked for at times at which nothing was recorded. The parameters there are those of the record that governs
the time, by the dataset's ``interpolation``: with ``nocb`` the next one, with ``locf`` the last one before (so that an
event is explained by what was known before it), with ``linear`` the one on the line between the two. A unit that has
several rows at risk, each from its ``entry`` on, says by each what it was in that interval.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from nlmebayes.data.lines import between, on_lines
from nlmebayes.data.ties import ROUNDING
from nlmebayes.data.validate import DataError
from nlmebayes.errors import ModelError
from nlmebayes.structure.timeline import in_order, places


@dataclass(frozen=True, eq=False)
class History:
    """``rows`` (interval,) of a table govern the intervals that end at ``changes`` (interval - 1,) and the last, open
    one. ``lines``: columns that move on a line, each as its times and values."""

    changes: np.ndarray
    rows: np.ndarray
    lines: dict = field(default_factory=dict)

    @property
    def breaks(self):
        """Times at which what governs jumps or bends."""
        return np.unique(np.concatenate([self.changes, *(time for time, _ in self.lines.values())]))

    def governing(self, time):
        """The row that governs each time; an interval holds its end."""
        return self.rows[np.searchsorted(self.changes * (1 + ROUNDING), time, side="left")]


@dataclass(frozen=True, eq=False)
class AtRisk:
    """The records of an event outcome, (record,): the row of the source, the interval in which it is at risk, and
    whether it is one at which survival is predicted, which counts no risk."""

    row: np.ndarray
    start: np.ndarray
    end: np.ndarray
    ahead: np.ndarray


def table_of(data, columns):
    """All records by subject and time with these columns, and the position there of each observation."""
    if data.time is None:
        return data.observations.assign(what="observation"), np.arange(len(data.observations))
    table = in_order(data, columns, parts=False)
    seen = np.flatnonzero(table["what"] == "observation")
    position = np.empty(len(seen), dtype=int)
    position[table["place"].to_numpy(int)[seen]] = seen
    return table, position[places(data)]


def histories(data, name, table, position, columns, risk):
    """The `History` of each record of the event outcome ``name``, in whose table ``position`` is that of each
    observation; ``columns`` are those that parameters and hazard read.

    Raises
    ------
    ModelError
        Rows that are at risk at the same time: of one subject where there is a clock, of one unit where there is none.
    DataError
        A record inside of an interval at risk that says otherwise than the row of the interval.
    """
    here = np.flatnonzero(data.observations["outcome"] == name)
    own, groups = position[here], _numbers(table, data.levels)
    code = _numbers(table, [*data.levels, *columns])
    subject = _numbers(table, [data.subject])
    time = np.zeros(len(table)) if data.time is None else table["time"].to_numpy(float)
    lines = [c for c in on_lines(data) if c in columns]
    level, whose = (data.levels[-1], groups) if data.time is None else (data.subject, subject)
    for rows in _places(whose[own]).values():
        _apart(data, name, table[level], own, rows[~risk.ahead[rows]], risk)
    members = _members(subject[own], groups[own], risk.ahead)
    found, of_group, of_subject = [None] * len(own), _places(groups), _places(subject)
    for group, each in _places(groups[own]).items():
        at_risk = each[~risk.ahead[each]]
        if len(at_risk) > 1:
            ends = np.where(risk.ahead[each], time[own[each]], risk.end[each])
            history = _steps(ends, own[each], code, locf=False)
            others = np.setdiff1d(of_group[group], own[each])
            _agree(data, table, time, code, others, own, at_risk, risk)
        elif data.time is None:
            history = History(np.zeros(0), own[each[:1]])
        else:
            rows = of_group[group] if members[each[0]] else of_subject[subject[own[each[0]]]]
            history = _steps(time[rows], rows, code, data.interpolation == "locf", _lines(table, rows, time, lines))
        for i in each:
            found[i] = history
    return found


def _numbers(table, columns):
    """The number of each row's combination of values."""
    return table.groupby(list(columns), sort=False, dropna=False, observed=True).ngroup().to_numpy()


def _places(number):
    """Where each number stands, by number, in order of appearance."""
    return {key: np.asarray(places) for key, places in pd.Series(number).groupby(number, sort=False).indices.items()}


def _members(subject, groups, ahead):
    """Whether the subject of each record has rows at risk in several of its groups: patients of a site, each with a
    history of their own."""
    risky = pd.Series(groups).where(~ahead)
    return (risky.groupby(subject).transform("nunique") > 1).to_numpy()


def _steps(time, rows, code, locf, lines=None):
    """The `History` of rows at these times; those that say the same are one interval."""
    order = np.argsort(time, kind="stable")
    time, rows = time[order], rows[order]
    first = np.append(True, np.diff(time) > 0)  # of records at one time the first ends an interval
    last = np.append(np.diff(time) > 0, True)  # and the last begins one
    kept = rows[last if locf else first]
    at = time[last][1:] if locf else time[first][:-1]
    new = code[kept][1:] != code[kept][:-1]
    # an interval is governed by the first of the rows that say the same
    return History(at[new], kept[np.append(True, new)], lines or {})


def _lines(table, rows, time, lines):
    """Columns that change on a line among these rows."""
    values = {name: table[name].to_numpy(float)[rows] for name in lines}
    return {name: (time[rows], x) for name, x in values.items() if np.ptp(x) > 0}


def _apart(data, name, labels, own, rows, risk):
    """No time at risk is counted twice."""
    rows = rows[np.lexsort((risk.end[rows], risk.start[rows]))]
    late = risk.end[rows[:-1]]
    twice = np.flatnonzero(risk.start[rows[1:]] < late * (1 - ROUNDING))
    if twice.size:
        one, other = rows[twice[0]], rows[twice[0] + 1]
        inner = f"follow them, subject={data.levels[-1]!r}" if labels.name != data.levels[-1] else "make them a level"
        raise ModelError(
            f"{data.source}, row {risk.row[other]}: {name} of {labels.name} {labels.iloc[own[other]]} is at risk from "
            f"{risk.start[other]:g} to {risk.end[other]:g}, and in row {risk.row[one]} from {risk.start[one]:g} to "
            f"{risk.end[one]:g}: that counts the risk twice. Name the column where each row begins, "
            "TimeToEvent(entry='column'), keep one row with the time of the event, or, if these are two individuals, "
            f"{inner}"
        )


def _agree(data, table, time, code, others, own, rows, risk):
    """What other records say within an interval at risk is what the row of the interval says."""
    for i in rows if data.time is not None else ():
        inside = others[(time[others] > risk.start[i]) & (time[others] < risk.end[i])]
        other = inside[code[inside] != code[own[i]]]
        if other.size:
            raise DataError(
                f"{data.source}, row {risk.row[i]}: is at risk from {risk.start[i]:g} to {risk.end[i]:g} with other "
                f"values than row {int(table['row'].iloc[other[0]])} has at {time[other[0]]:g}, inside of it; end the "
                "interval there"
            )


def at_nodes(histories, table, time, governing, columns):
    """Values of ``columns`` at times (record, column) with the rows that govern them: a frame by record and column."""
    frame = table[list(columns)].iloc[governing.ravel()].reset_index(drop=True)
    for name in dict.fromkeys(name for history in histories for name in history.lines):
        known = zip(histories, time, frame[name].to_numpy(float).reshape(time.shape), strict=True)
        frame[name] = np.concatenate([
            between(*history.lines[name], at) if name in history.lines else held for history, at, held in known
        ])  # fmt: skip
    return frame
