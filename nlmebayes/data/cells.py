"""What the cells of a table say: numbers as Fortran and other countries write them, numbers that stand for nothing."""

import re

import numpy as np
import pandas as pd

from nlmebayes.data import validate

FORTRAN = re.compile(r"([-+]?(?:\d+\.\d*|\.\d+))(?:[dD]([-+]?\d{1,3})|([-+]\d{3}))")  # 1.0D+02, 1.0+102
COMMA = re.compile(r"([<>]?\s*[-+]?\d*),(\d+(?:[eEdD][-+]?\d+)?)")
MARK = "[ '\N{RIGHT SINGLE QUOTATION MARK}\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]"  # between thousands
GROUPED = re.compile(
    rf"[-+]?\d{{1,3}}(?:(?:{MARK}\d{{3}})+(?:[.,]\d+)?|(?:,\d{{3}})+(?:\.\d+)?|(?:\.\d{{3}}){{2,}}(?:,\d+)?|(?:\.\d{{3}})+,\d+)"
)
POINT = re.compile(r"[-+]?\d*\.\d+")
OTHER = {
    ".": {COMMA: "has a decimal comma, or is a list; write a point, or say decimal=',' of a text file"},
    ",": {POINT: "has a point where decimals have a comma; write it without, or say decimal='.'"},
}  # the sign that is not before decimals
NOTHING = (-99.0, -999.0, -9999.0, -99999.0)  # by which tables without empty cells say that a value is missing
MOST = 200  # different texts of a column that are looked at


def converted(frame, labels, decimal):
    """The same with texts that are numbers as numbers: decimal commas, Fortran's exponents.

    A column that holds other text too keeps it, and its numbers with a point.
    """
    changed = {}
    for name in texts(frame, labels):
        cells = frame[name].astype(object)
        spelled = {cell: _plain(cell, decimal) for cell in cells.dropna().unique() if isinstance(cell, str)}
        if any(cell != plain for cell, plain in spelled.items()):
            cells = cells.map(lambda cell, spelled=spelled: spelled.get(cell, cell), na_action="ignore")
            changed[name] = cells
        blank = validate.blank(cells)
        numbers = pd.to_numeric(cells.mask(blank), errors="coerce")
        if numbers.notna().equals(~blank) and not validate.codes(cells[~blank].unique()):
            changed[name] = numbers
    return frame.assign(**changed)


def _plain(cell, decimal):
    text = cell.strip()
    if decimal == "," and COMMA.fullmatch(text):
        text = COMMA.sub(r"\1.\2", text)
    match = FORTRAN.fullmatch(text)
    return f"{match[1]}e{match[2] or match[3]}" if match else text if text != cell.strip() else cell


def not_grouped(frame, rows, labels, decimal, source):
    """No text is a number with signs between its thousands, or with the other sign before its decimals."""
    patterns = {GROUPED: "is a number with a sign between its thousands, or a list; write it without"} | OTHER[decimal]
    for name in texts(frame, labels):
        cells = frame[name].astype(object)
        distinct = [cell for cell in cells.dropna().unique()[:MOST] if isinstance(cell, str)]
        for pattern, problem in patterns.items():
            first = next((cell for cell in distinct if pattern.fullmatch(cell.strip())), None)
            if first is not None and first.strip()[:1] not in "<>":
                validate.fail(source, rows[int((cells == first).to_numpy().argmax())], name, f"{first!r} {problem}")


def texts(frame, labels):
    """Columns that may hold text, but for those of labels."""
    held = [isinstance(dtype, np.dtypes.ObjectDType | pd.StringDtype) for dtype in frame.dtypes]
    return [name for name in frame.columns[held] if name not in labels]


def without_placeholders(frame, rows, labels, missing, source):
    """The same with numbers that stand for nothing as missing values; where nobody said which, those that look so
    (one of `NOTHING` in a column without another negative number) are asked about."""
    plain = [name for name in frame.columns if frame[name].dtype.kind in "if" and name not in labels]
    numbers = {name: frame[name] for name in plain}
    numbers |= {name: pd.to_numeric(frame[name].astype(object), errors="coerce") for name in texts(frame, labels)}
    if missing is not None:
        said = missing if isinstance(missing, tuple) else (missing,)
        hidden = {name: values.isin(said) for name, values in numbers.items()}
        return frame.assign(**{name: frame[name].mask(here) for name, here in hidden.items() if here.any()})
    for name, values in numbers.items():
        _asked(values.to_numpy(float), rows, name, source)
    return frame


def _asked(values, rows, name, source):
    """No number of a column looks like a missing value."""
    negative = np.unique(values[values < 0])
    if len(negative) == 1 and negative[0] in NOTHING and (values >= 0).any():
        found = f"{negative[0]:g}"
        problem = f"{found} looks like a missing value; say missing={found}, or missing=() if it is a number"
        validate.fail(source, rows[int((values == negative[0]).argmax())], name, problem)
