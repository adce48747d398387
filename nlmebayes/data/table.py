"""Tables as they come: a frame or the path of a text file, and NONMEM's names in any case."""

import pandas as pd

from nlmebayes.data import validate
from nlmebayes.data.layout import IGNORED, existing, once, read_text
from nlmebayes.data.validate import DataError

DATES = ("DATE", "DAT1", "DAT2", "DAT3")
NONMEM = (
    "ID", "TIME", *DATES, "DV", "AMT", "EVID", "MDV", "CMT", "RATE", "ADDL", "II", "SS", "DVID", "OCC", "CENS", "LIMIT",
)  # fmt: skip
MARKS = ("C", "c", "#", "@")  # by which a column C says that a record is to be left out (IGNORE=C, IGNORE=@)
FLAGGED = "flagged to be ignored (C, or #)"


def read_table(data, name, *, is_label, is_number=lambda column: False, events=False):
    """A frame, what to call it, and numbers that are spelled twice, from a frame (called ``name``) or a path; the rest
    is as in `layout.read_text`."""
    if isinstance(data, pd.DataFrame):
        odd = [column for column in data.columns if not isinstance(column, str)]
        if odd and not events:
            raise DataError(f"{name}: the name of a column is text; rename {odd[0]!r}")
        once(list(data.columns), name)
        return _without_dots(data), name, {}
    path = existing(data, name)
    frame, spelled = read_text(path, is_label=is_label, is_number=is_number, events=events)
    return frame, path.name, spelled


def _without_dots(frame):
    """A frame in which ``.`` is missing, as in a file; columns that it made text are numbers again."""
    frame = frame.copy()
    for column in frame.columns[[dtype.kind == "O" for dtype in frame.dtypes]]:
        values = frame[column]
        dots = values.map(lambda x: isinstance(x, str) and x.strip() == ".").to_numpy(dtype=bool)
        if dots.any():
            values = values.astype(object).mask(dots)
            numbers = pd.to_numeric(values, errors="coerce")
            frame[column] = numbers if numbers.notna().equals(values.notna()) else values
    return frame


def event_table(data, source, is_label):
    """A NONMEM table with numbered rows and its reserved names in capitals, how many records were left out because they
    are flagged, numbers that are spelled twice, and what to call the table."""
    frame, name, spelled = read_table(
        data, source or "event table", is_label=is_label, is_number=lambda name: name.upper() in NONMEM, events=True
    )
    source = source or name
    names = [str(c).strip() for c in frame.columns]
    upper = [c.upper() if c.upper() in NONMEM else c for c in names]
    twice = [c for c in upper if upper.count(c) > 1]
    if twice:
        raise DataError(f"{source}: column {twice[0]} occurs twice (names are read in any case)")
    frame = frame.set_axis(upper, axis=1)
    for name in ("ID", "TIME", "DV"):
        if name not in frame.columns:
            raise DataError(f"{source}: no column {name}; its columns are {', '.join(frame.columns)}")
    validate.columns_exist(frame, (), source)
    if frame.empty:
        raise DataError(f"{source}: no rows")
    frame = validate.numbered(frame)
    _unread(frame, source)
    return *_kept(frame, source), spelled, source


def _unread(frame, source):
    """Refuse what NONMEM would read as an order and this reader would take for data."""
    for column in (c for c in frame.columns if c.upper() == "CONT"):
        used = frame["row"][frame[column].notna() & (frame[column] != 0)]
        if len(used):
            validate.fail(source, used.iloc[0], column, "continued records (CONT) are not supported")


def _kept(frame, source):
    """The records that are not flagged, as in NONMEM with IGNORE=# (its default), IGNORE=C or IGNORE=@, and how many
    are."""
    flagged = _begins(frame.iloc[:, 0], IGNORED)
    for column in (c for c in frame.columns if c.upper() == "C"):
        marks = frame[column].astype(object).where(~validate.blank(frame[column]))
        marks = marks.map(lambda x: x.strip() if isinstance(x, str) else x)
        held = set(marks[~flagged].dropna())
        if set(marks.dropna()) <= {*MARKS, "0", 0} and held != {0}:
            flagged = flagged | marks.isin(MARKS)
            frame = frame.drop(columns=column)
        elif held == {0, 1}:
            problem = (
                "1 flags a record to be ignored, or is a covariate: take the flagged records out, or rename the column"
            )
            validate.fail(source, frame["row"][marks == 1].iloc[0], column, problem)
    frame = frame[~flagged].reset_index(drop=True)
    if frame.empty:
        raise DataError(f"{source}: every record is flagged to be ignored (IGNORE)")
    return frame, int(flagged.sum())


def _begins(values, mark):
    """Whether a cell is text that begins with a mark."""
    if pd.api.types.is_numeric_dtype(values):
        return pd.Series(False, index=values.index)
    return values.isin([x for x in values.unique() if isinstance(x, str) and x.strip().startswith(mark)])
