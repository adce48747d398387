"""Tables as they come: a frame or the path of a CSV file, and NONMEM's names in any case."""

from pathlib import Path

import pandas as pd

from nlmebayes.data import validate
from nlmebayes.data.validate import DataError

DATES = ("DATE", "DAT1", "DAT2", "DAT3")
NONMEM = (
    "ID", "TIME", *DATES, "DV", "AMT", "EVID", "MDV", "CMT", "RATE", "ADDL", "II", "SS", "DVID", "OCC", "CENS", "LIMIT",
)  # fmt: skip


def read_table(data, name):
    """A frame and what to call it, from a frame (called ``name``) or the path of a CSV file."""
    if isinstance(data, pd.DataFrame):
        return _without_dots(data), name
    path = Path(data)
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}")
    try:
        header = pd.read_csv(path, header=None, nrows=1, dtype=str, skipinitialspace=True).iloc[0].str.strip()
        if header.duplicated().any():
            raise DataError(f"{path.name}: column {header[header.duplicated()].iloc[0]} occurs twice")
        return pd.read_csv(path, na_values=["."], skipinitialspace=True), path.name
    except DataError:
        raise
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path.name} cannot be read as CSV: {str(error).strip()}") from error


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


def event_table(data, source):
    """A NONMEM table with numbered rows and its reserved names in capitals, and what to call it."""
    frame, name = read_table(data, "event table")
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
    return frame, source


def _unread(frame, source):
    """Refuse what NONMEM would read as an order and this reader would take for data."""
    for column in (c for c in frame.columns if c.upper() == "CONT"):
        used = frame["row"][frame[column].notna() & (frame[column] != 0)]
        if len(used):
            validate.fail(source, used.iloc[0], column, "continued records (CONT) are not supported")
    marked = frame["row"][frame.iloc[:, 0].map(lambda x: isinstance(x, str) and x.strip().startswith("#"))]
    if len(marked):
        what = "the row begins with '#', which NONMEM's IGNORE=# leaves out: remove it, or the '#'"
        validate.fail(source, marked.iloc[0], frame.columns[0], what)
