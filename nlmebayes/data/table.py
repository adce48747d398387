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
        return data, name
    path = Path(data)
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}")
    try:
        return pd.read_csv(path, na_values=["."], skipinitialspace=True), path.name
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path.name} cannot be read as CSV: {str(error).strip()}") from error


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
    return validate.numbered(frame), source
