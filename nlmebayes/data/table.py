"""Tables as they come: a frame or the path of a file, its columns renamed, records left out by rule, NONMEM's names in
any case."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nlmebayes.data import cells, rules, validate
from nlmebayes.data.flags import unflagged, unread
from nlmebayes.data.headers import NAMELESS, once
from nlmebayes.data.layout import PRINTED, existing, read_text
from nlmebayes.data.reading import PLAIN
from nlmebayes.data.validate import DataError, spelled_twice
from nlmebayes.data.workbooks import ZERO, read_workbook

DATES = ("DATE", "DAT1", "DAT2", "DAT3")
NONMEM = (
    "ID", "TIME", *DATES, "DV", "AMT", "EVID", "MDV", "CMT", "RATE", "ADDL", "II", "SS", "DVID", "OCC", "CENS", "LIMIT",
)  # fmt: skip
FLAGGED = "flagged to be ignored (C, or #)"
EMPTY = "an empty row"


@dataclass(frozen=True)
class Table:
    """A frame with the number of each row in its source, what to call it, and what was met on the way.

    ``spelled`` are numbers that a column spells twice, ``left_out`` counts of records by reason, ``units`` those of a
    line below the names, ``notes`` what else to know of how it was read.
    """

    frame: pd.DataFrame
    rows: np.ndarray
    name: str
    spelled: dict
    left_out: dict
    units: dict
    notes: tuple[str, ...] = ()


def read_table(data, name, *, is_label, is_number=lambda column: False, events=False, reading=PLAIN):
    """The `Table` of a frame (called ``name``) or a path; the rest is as in `layout.read_text`."""
    frame, name, spelled, decimal, units, notes = _held(data, name, is_label, is_number, events, reading)
    frame, named = _named(_whole(frame, name), name, reading)
    frame, notes = frame.reset_index(drop=True), (*notes, *named)
    labels = [column for column in frame.columns if is_label(column)]
    rows = np.arange(1, len(frame) + 1)
    why, idle = _why(frame, rows, labels, decimal, reading, name)
    kept = why.isna().to_numpy()
    if len(frame) and not kept.any():
        raise DataError(f"{name}: every record is left out: {', '.join(dict.fromkeys(why))}")
    frame, rows = (frame, rows) if kept.all() else (frame[kept].reset_index(drop=True), rows[kept])
    cells.not_grouped(frame, rows, labels, decimal, name)
    freely = [column for column in cells.texts(frame, labels) if not is_number(column)]
    twice = {reading.named(column): text for column, text in spelled.items()} | spelled_twice(frame[freely], rows)
    frame = cells.converted(frame, labels, decimal)
    frame = cells.without_placeholders(frame, rows, labels, reading.missing, name)
    left_out = {reason: int(n) for reason, n in why.dropna().value_counts(sort=False).items()}
    units = {reading.named(column): unit for column, unit in units.items()}
    return Table(frame, rows, name, twice, left_out, units, (*notes, *idle))


def _why(frame, rows, labels, decimal, reading, source):
    """Why each record is left out, None where it is not, and notes of rules that leave none out."""
    empty = frame.isna().all(axis=1).to_numpy() & (frame.shape[1] > 1)
    why, idle = pd.Series(None, index=frame.index, dtype=object).mask(empty, EMPTY), ()
    if reading.ignore or reading.accept:
        here = cells.converted(frame[~empty], labels, decimal)
        why[~empty], idle = rules.left_out(here, rows[~empty], reading, source)
    return why, idle


def _held(data, name, is_label, is_number, events, reading):
    """Frame, what to call it, numbers spelled twice, sign before decimals, units and notes."""
    if isinstance(data, pd.DataFrame):
        once([column for column in data.columns if isinstance(column, str)], name)
        return _of_text(data, name), name, {}, ".", {}, ()
    path = existing(data, name)
    frame = read_workbook(path, reading.encoding)
    if frame is not None:
        return _of_text(frame, path.name), path.name, {}, ".", {}, ()
    frame, spelled, head, decimal = read_text(
        path, is_label=is_label, is_number=is_number, events=events, reading=reading
    )
    return frame, path.name, spelled, decimal, head.units, (PRINTED,) if head.printed else ()


def _whole(frame, source):
    """The frame without columns that have no name: names of rows, and what ends in a separator."""
    nameless = [NAMELESS.format(i) for i in range(1, frame.shape[1] + 1)]
    nameless += [f"Unnamed: {i}" for i in range(frame.shape[1])]
    for place, name in enumerate(frame.columns):
        if name not in nameless or frame[name].isna().all():
            continue
        if place > 0 or not frame[name].is_unique:
            raise DataError(f"{source}: column {place + 1} has no name; write one in the first line")
    return frame.drop(columns=[name for name in frame.columns if name in nameless])


def _named(frame, source, reading):
    """The frame with the names that its columns are to have, and a note of them."""
    wanted = reading.columns or {}
    for old, new in wanted.items():
        if old not in frame.columns:
            raise DataError(f"{source}: columns= names {old!r}; its columns are {', '.join(map(str, frame.columns))}")
        if new in frame.columns and new not in wanted:
            raise DataError(
                f"{source}: columns= makes {old!r} to {new!r}, which is there already; give that another name too"
            )
    frame = frame.rename(columns=wanted)
    once(list(frame.columns), source)
    renamed = ", ".join(f"{old} is {new}" for old, new in wanted.items())
    return frame, ((f"columns: {renamed}",) if renamed else ())


def _of_text(frame, source):
    """A frame in which ``.`` is missing, as in a file, and no cell is of bytes, or what pandas makes of SAS's 0."""
    odd = [column for column in frame.columns if not isinstance(column, str)]
    if odd:
        raise DataError(f"{source}: the name of a column is text; rename {odd[0]!r}")
    changed = {}
    for column in frame.columns[[dtype.kind == "f" for dtype in frame.dtypes]]:
        rough = (frame[column] == ZERO).to_numpy(bool)
        if rough.any():
            problem = f"{ZERO:g} is what pandas reads for the 0 of a SAS file; give the path of that file instead"
            validate.fail(source, int(rough.argmax()) + 1, column, problem)
    for column in frame.columns[[dtype.kind == "O" for dtype in frame.dtypes]]:
        values = frame[column].astype(object)
        raw = values.map(lambda x: isinstance(x, bytes)).to_numpy(dtype=bool)
        if raw.any():
            first = int(raw.argmax())
            problem = (
                f"{values.iloc[first]!r} is of bytes, no text; give the path of the file, or read it with encoding="
            )
            validate.fail(source, first + 1, column, problem)
        dots = values.map(lambda x: isinstance(x, str) and x.strip() == ".").to_numpy(dtype=bool)
        if dots.any():
            changed[column] = values.mask(dots)
    return frame.assign(**changed)


def event_table(data, source, is_label, reading=PLAIN, declared=()):
    """The `Table` of a NONMEM table with numbered rows and its reserved names in capitals; ``declared`` are columns
    that are said to be covariates."""
    table = read_table(
        data, source or "event table", is_label=is_label, is_number=lambda name: name.upper() in NONMEM, events=True,
        reading=reading,
    )  # fmt: skip
    source = source or table.name
    frame = table.frame
    names = [str(c).strip() for c in frame.columns]
    upper = [c.upper() if c.upper() in NONMEM else c for c in names]
    twice = [c for c in upper if upper.count(c) > 1]
    if twice:
        raise DataError(f"{source}: column {twice[0]} occurs twice (names are read in any case)")
    frame = frame.set_axis(upper, axis=1)
    for name in ("ID", "TIME", "DV"):
        if name not in frame.columns:
            other = next((c for c in frame.columns if c not in NONMEM), None)
            mend = f"; if it has another name, say columns={{{str(other)!r}: {name!r}}}" if other else ""
            raise DataError(f"{source}: no column {name}; its columns are {', '.join(frame.columns)}{mend}")
    validate.columns_exist(frame, (), source)
    if frame.empty:
        raise DataError(f"{source}: no rows")
    frame = frame.assign(row=table.rows)
    frame, flagged = unflagged(frame, source)
    unread(frame, source, declared)
    left_out = table.left_out | ({FLAGGED: flagged} if flagged else {})
    units = {name.upper() if name.upper() in NONMEM else name: unit for name, unit in table.units.items()}
    return replace(table, frame=frame, rows=frame["row"].to_numpy(), name=source, left_out=left_out, units=units)
