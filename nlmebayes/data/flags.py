"""Columns that flag records, and those that mean something to another program: read, or asked about."""

import numpy as np
import pandas as pd

from nlmebayes.data import validate
from nlmebayes.data.headers import IGNORED
from nlmebayes.data.validate import DataError

FLAGS = ("C", "c", "#", "@")  # by which a column C says that a record is to be left out (IGNORE=C, IGNORE=@)
# Columns that other programs give a meaning which these readers do not: silence would be another number.
CONTINUED = "continued records (CONT) are not supported"
MEANT = {
    **dict.fromkeys(("TINF", "DUR", "TINFUSION"), "a duration of infusion? Give RATE = AMT / duration"),
    **dict.fromkeys(("ADM", "ADMID"), "Monolix's kind of administration? Say columns={{'{name}': 'CMT'}}"),
}
AT_ONE = ("ADM", "ADMID")  # whose 1 says nothing
BELOW = ("BLQ", "BQL", "BLOQ", "BLQFL", "BLQFN")  # flags, of 0 and 1
OUT = ("EXCL", "EXCLUDE", "EXCLUDED", "EXCLFL", "OMIT")
CENSORED = "columns={{'{name}': 'CENS'}}, with the limit in DV"


def ask_of_flags(frame, declared, mend, source):
    """Refuse columns of 0 and 1 that flag records, by their names, and say nothing to this reader.

    ``mend`` is what to say of those below quantification, ``declared`` are columns that are told to be something.
    """
    leave = "ignore='{name}.EQ.1'"
    told = dict.fromkeys(BELOW, f"measurements below quantification? Say {mend}, or leave them out: {leave}")
    told |= dict.fromkeys(OUT, f"records to be left out? Say {leave}")
    for column in (c for c in frame.columns if str(c).upper() in told and c not in declared):
        value = pd.to_numeric(frame[column].astype(object), errors="coerce")
        if value.dropna().isin([0, 1]).all():
            _ask(frame, value == 1, column, "flags " + told[column.upper()], source)


def _ask(frame, used, column, problem, source):
    where = np.flatnonzero(used)
    if where.size:
        said = f"{frame[column].iloc[where[0]]}: {problem.format(name=column)}"
        mend = "; if it is a covariate, list it in covariates= or inputs="
        validate.fail(source, frame["row"].iloc[where[0]], column, said + mend)


def unread(frame, source, declared):
    """Refuse what NONMEM or another program would read as an order and this reader would take for data."""
    for column in frame.columns:
        value = pd.to_numeric(frame[column].astype(object), errors="coerce")
        used = value.notna() & (value != 0)
        if column.upper() == "CONT":
            validate.refuse(frame, used | (value.isna() & ~validate.blank(frame[column])), column, CONTINUED, source)
        elif column.upper() in MEANT and column not in declared:
            _ask(frame, used & ~(value.eq(1) & (column.upper() in AT_ONE)), column, MEANT[column.upper()], source)
    ask_of_flags(frame, declared, CENSORED, source)


def unflagged(frame, source):
    """The records that are not flagged, as in NONMEM with IGNORE=# (its default), IGNORE=C or IGNORE=@, and how many
    are."""
    flagged = _begins(frame.iloc[:, 0], IGNORED)
    for column in (c for c in frame.columns if c.upper() == "C"):
        marks = frame[column].astype(object).where(~validate.blank(frame[column]))
        marks = marks.map(lambda x: x.strip() if isinstance(x, str) else x)
        held = set(marks[~flagged].dropna())
        if set(marks.dropna()) <= {*FLAGS, "0", 0} and held != {0}:
            flagged = flagged | marks.isin(FLAGS)
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
