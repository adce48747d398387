"""Checks at the door: each names the source, the row (1 is the first data row) and the column, and says the mend."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd

from nlmebayes.data.ties import same

RESERVED = ("row", "outcome", "value", "lower", "upper")
OF_DOSES = ("amount", "position", "state", "rate", "addl", "ii", "ss", "kind")  # columns of doses and events


OTHER_LETTERS = "say encoding='cp1252' of a file from Excel, SAS or Windows in western Europe"
CODE = re.compile(r"\d+")
CLASS = re.compile(r"\d+\s*(-|to|\N{EN DASH})\s*\d+|\d+\s*\+")  # 0-5 or 3+, among whole numbers
CLASSES = 20  # more different ones than that are no classes, but numbers with slips


class DataError(ValueError):
    """Data that cannot mean what they say. The message names row and column.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.datasets.theophylline().sel(id="13")
    Traceback (most recent call last):
        ...
    nlmebayes.data.validate.DataError: no id '13' in the data
    """


def fail(source, row, column, problem):
    raise DataError(f"{source}, row {row}, column {column}: {problem}")


def refuse(frame, bad, column, problem, source, name=None):
    """Fail at the first row of which ``bad`` is true; ``problem`` may show the value, as ``{}``."""
    where = np.flatnonzero(bad)
    if where.size:
        value = frame[column].iloc[where[0]]
        value = value.item() if isinstance(value, np.generic) else value  # shown as it is written
        fail(source, frame["row"].iloc[where[0]], name or column, problem.format(value))


def short(value):
    """A value as one line of at most 40 letters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else text[:37] + "..."


def series(values, what):
    """Numbers in a row, as an array (n,)."""
    try:
        found = np.atleast_1d(np.asarray(values))
        found = found.astype(float) if found.dtype.kind in "iufO" else np.empty((0, 0))
    except (TypeError, ValueError, OverflowError):
        found = np.empty((0, 0))
    if found.ndim != 1:
        raise DataError(f"{what} takes a list of numbers; got {type(values).__name__} {short(values)}")
    return found


def free_of_doses(names, source):
    """No level or covariate is named as a column of doses or events, whose frames hold both."""
    for name in names:
        if name in OF_DOSES:
            raise DataError(f"{source}: the column name {name!r} is used by doses and events; rename that column")


def columns_exist(frame, names, source, reserved=RESERVED):
    for name in names:
        if name not in frame.columns:
            raise DataError(f"{source}: no column {name!r}; its columns are {', '.join(map(str, frame.columns))}")
    for name in reserved:
        if name in frame.columns and name not in names:
            raise DataError(f"{source}: the column name {name!r} is used by the library; rename that column")


def apart(source, **roles):
    """No column, level or outcome has two roles, and none is named twice."""
    seen = {}
    for role, names in roles.items():
        for name in names:
            if name in seen:
                raise DataError(
                    f"{source}: {name!r} is given as {seen[name]} and as {role}; it can be one of them, once"
                )
            seen[name] = role
            if "/" in name and role in ("an outcome", "a level"):
                raise DataError(
                    f"{source}: {name!r} is {role}, and variables cannot have a '/' in their names; rename it"
                )


def numbered(frame):
    """A copy with the 1-based number of each source row in ``row`` and a clean index."""
    return frame.reset_index(drop=True).assign(row=np.arange(1, len(frame) + 1))


def numeric(frame, column, source, mend=""):
    """The column as floats; text where a number belongs is an error, an empty cell is missing."""
    values = frame[column]
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        fail(source, frame["row"].iloc[0], column, f"{values.iloc[0]!r} is not a number")
    if pd.api.types.is_numeric_dtype(values):
        return values.astype(float)
    converted = pd.to_numeric(values.astype(object), errors="coerce").astype(float)
    text = converted.isna() & ~blank(values)
    refuse(frame, text, column, "{!r} is text where a number belongs" + mend, source)
    return converted


def blank(values):
    """Whether a cell is missing, empty or a point."""
    return values.isna() | values.astype(str).str.strip().isin(["", "."])


def column_of_covariate(frame, column, source):
    """A covariate as floats or as text labels; a number column with stray text in it is an error."""
    values = frame[column]
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.rename_categories(values.cat.categories.astype(str))
    if pd.api.types.is_bool_dtype(values):
        return values.astype(float)
    if pd.api.types.is_numeric_dtype(values):
        return values.astype(float)
    code, distinct = pd.factorize(values.astype(object).where(~blank(values)))
    numbers = pd.to_numeric(pd.Series(distinct, dtype=object), errors="coerce").astype(float)
    stray = np.append(numbers.isna(), False)[code]
    if not stray.any() and not codes(distinct):
        return pd.Series(np.append(numbers, np.nan)[code], index=values.index)
    labels = np.array([*map(_shown, distinct), None], dtype=object)
    if 0 < stray.sum() < 0.5 * (code >= 0).sum() and not _classes(labels[:-1], numbers.isna()):
        first = int(np.flatnonzero(stray)[0])
        fail(
            source, frame["row"].iloc[first], column,
            f"{values.iloc[first]!r} is text in a column of numbers; correct it, leave it empty where the number is "
            "not known, or make the numbers text too (level 3) where they are labels",
        )  # fmt: skip
    return pd.Series(labels[code], index=values.index, dtype=object)


def _shown(value):
    """A number or text as text: 5 of 5.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _classes(labels, stray):
    """Whether different labels are classes such as 0-5, 5, 10 or 0, 1, 2, 3+, rather than numbers with a slip."""
    ranges, numbers = labels[stray], labels[~stray]
    return len(labels) <= CLASSES and all(map(CLASS.fullmatch, ranges)) and all(map(CODE.fullmatch, numbers))


def codes(distinct):
    """Whether different cells are text, all whole numbers with digits only, of which some begin with 0, as 007 does."""
    if not all(isinstance(cell, str) for cell in distinct):
        return False
    found = [cell.strip() for cell in distinct if cell.strip()]
    return any(len(cell) > 1 and cell[0] == "0" for cell in found) and all(map(CODE.fullmatch, found))


def spelled_twice(frame, rows=None):
    """Columns of text, all numbers, that write a number in two ways -> these, in words: '1.1' (row 1) and '1.10' (row
    3). ``rows`` are the numbers of the rows, by default from 1."""
    found, rows = {}, np.arange(1, len(frame) + 1) if rows is None else rows
    for name in frame.columns[[dtype.kind == "O" for dtype in frame.dtypes]]:
        text = pd.Series(frame[name].unique(), dtype=object).dropna()
        text = text[[isinstance(cell, str) and cell.strip() != "" for cell in text]]
        number = pd.to_numeric(text, errors="coerce")
        if number.isna().any() or codes(text) or not number.duplicated().any():
            continue
        same = text[number == number[number.duplicated()].iloc[0]].iloc[:2]
        found[name] = " and ".join(f"{cell!r} (row {rows[(frame[name] == cell).to_numpy().argmax()]})" for cell in same)
    return found


def finite(frame, columns, source):
    """Every value present and finite."""
    for column in columns:
        bad = np.flatnonzero(~np.isfinite(frame[column].to_numpy(dtype=float)))
        if bad.size:
            value = frame[column].iloc[bad[0]]
            fail(source, frame["row"].iloc[bad[0]], column, "is missing" if np.isnan(value) else f"is {value}")


def not_negative(frame, column, source):
    refuse(frame, frame[column] < 0, column, "{:g} is negative", source)


def ordered(frame, subject, time, source):
    """Time does not decrease within a subject."""
    step = frame.groupby(subject, sort=False)[time].diff()
    now = frame[time].to_numpy()
    bad = np.flatnonzero((step.to_numpy() < 0) & ~same(now, now - step.to_numpy()))
    if bad.size:
        i = bad[0]
        earlier = frame[time].iloc[i] - step.iloc[i]
        fail(
            source, frame["row"].iloc[i], time,
            f"time goes back from {earlier:g} to {frame[time].iloc[i]:g} within {subject} {frame[subject].iloc[i]}; "
            "sort=True sorts the records of each subject by time; if the clock starts anew there, let it go on instead",
        )  # fmt: skip


def goes_on(frame, subject, time, gives, state, source, name=None):
    """The clock does not start anew within a subject, whose cycles sorting would lay on one another.

    It does where time goes back to a dose that was given before, or where two stretches of records, in each of which
    time does not go back, begin at the same time and each hold a dose (``gives``) into a ``state``.
    """
    back = frame.groupby(subject, sort=False)[time].diff() < 0
    if not back.any():
        return
    x = frame[[subject, time]].set_axis(["subject", "time"], axis=1).assign(gives=gives, state=state)
    x["run"] = back.groupby(x["subject"], sort=False).cumsum()
    begun = x.groupby(["subject", "run"], sort=False).agg(time=("time", "first"), gives=("gives", "any"))
    begun = begun[begun["gives"]].reset_index()
    doses = x[x["gives"]].drop_duplicates(["subject", "run", "time", "state"])
    again = begun[begun.duplicated(["subject", "time"])], doses[doses.duplicated(["subject", "time", "state"])]
    runs = pd.MultiIndex.from_frame(pd.concat(again)[["subject", "run"]])
    anew = back & pd.MultiIndex.from_frame(x[["subject", "run"]]).isin(runs)
    if anew.any():
        i = int(np.flatnonzero(anew)[0])
        fail(
            source, frame["row"].iloc[i], name or time,
            f"the clock starts anew, at {frame[time].iloc[i]:g}, within {subject} {frame[subject].iloc[i]}, and doses "
            "stand before and after; sort=True would lay them on one another: let time go on, by adding to each cycle "
            "when it began (where the drug is gone by then, its first dose may be EVID 4)",
        )  # fmt: skip


def no_return(frame, subject, column, source):
    """An occasion, once left, does not come back; records are in order of time."""
    here = frame[frame[column].notna()]
    pair = here[[subject, column]]
    starts = here[(pair != pair.shift()).any(axis=1)]
    back = np.flatnonzero(starts.duplicated([subject, column]))
    if back.size:
        i = back[0]
        labels = (f"{x:g}" if isinstance(x, float) else str(x) for x in starts[column].iloc[[i, i - 1]])
        now, before = (label.rsplit("/", 1)[-1] for label in labels)
        word = "occasion" if column.lower() == "occ" else column
        fail(
            source, starts["row"].iloc[i], column,
            f"{word} {now} comes back after {word} {before} within {subject} {starts[subject].iloc[i]}; give the later "
            "one a label of its own, or let time go on if it starts anew with each",
        )  # fmt: skip


def together(frame, subject, source):
    """The records of a subject stand together; NONMEM takes an ID that comes back for another individual."""
    labels = frame[subject].to_numpy()
    starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
    seen = set()
    for i in starts:
        if labels[i] in seen:
            fail(
                source, frame["row"].iloc[i], subject,
                f"{labels[i]} comes back after other subjects, which NONMEM takes for a new individual: give it a "
                "label of its own, or say with sort=True that it is the same",
            )  # fmt: skip
        seen.add(labels[i])


def no_duplicates(frame, keys, source):
    """No record twice. The same time with another value is a replicate, and welcome."""
    twice = frame.duplicated(keys, keep=False).to_numpy()
    if twice.any():
        first = int(np.flatnonzero(twice)[0])
        one = frame[keys].iloc[first]
        same = ((frame[keys] == one) | (frame[keys].isna() & one.isna())).all(axis=1)
        rows = ", ".join(map(str, frame["row"][same]))
        fail(
            source, frame["row"].iloc[first], keys[0],
            f"duplicate records: rows {rows} agree in {', '.join(keys)}; remove one, or say with duplicates='keep' "
            "that they are replicates",
        )  # fmt: skip


def not_all_missing(frame, column, source):
    if frame[column].isna().all():
        fail(source, "1 to " + str(len(frame)), column, "the outcome is missing in every record; of a patient "
             "without measurements say unmeasured='predict'")  # fmt: skip


def nested(frame, levels, source):
    """No label of a level occurs under two parents."""
    for parent, child in pairwise(levels):
        pairs = frame.drop_duplicates([parent, child])
        reused = pairs.duplicated(child, keep=False).to_numpy()
        if reused.any():
            label = pairs[child][reused].iloc[0]
            both = pairs[pairs[child] == label].iloc[:2]
            first, second = both[parent]
            fail(
                source, both["row"].iloc[1], child,
                f"label {label!r} of level {child} is used under {parent} {first!r} (row {both['row'].iloc[0]}) and "
                f"{second!r}. If these are two of them, nest: levels=(..., '{parent}/{child}'), which labels them "
                f"'{first}/{label}' and '{second}/{label}'. If it is the same one, the two levels are crossed: leave "
                "one out of levels; a formula may group by any column",
            )  # fmt: skip


def constant(frame, unit, column, source):
    """A covariate has one value in each unit."""
    where = changes(frame, unit, column)
    if where is not None:
        i, before = where
        fail(
            source, frame["row"].iloc[i], column,
            f"the covariate changes within {unit} {frame[unit].iloc[i]} from {before} to {frame[column].iloc[i]}; "
            f"list it in inputs= if it varies from record to record, or add a level (such as an occasion) below {unit}",
        )  # fmt: skip


def changes(frame, unit, column):
    """(position, earlier value) of the first change of ``column`` within a unit, or None."""
    values = frame[column]
    codes = pd.Series(pd.factorize(values, use_na_sentinel=True)[0])
    first = codes.groupby(frame[unit].to_numpy(), sort=False).transform("first")
    different = np.flatnonzero((codes != first).to_numpy())
    if not different.size:
        return None
    i = int(different[0])
    before = values.iloc[np.flatnonzero(codes == first.iloc[i])[0]]
    return i, "missing" if pd.isna(before) else before
