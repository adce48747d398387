"""Which records of a table are left out by rule: NONMEM's ``IGNORE=`` and ``ACCEPT=``.

    rules  = [IGNORE= | ACCEPT=] ( character | "(" condition {"," condition} ")" | condition {"," condition} )
    condition = column operator value

Operators are ``.EQ. .NE. .EQN. .NEN. .LT. .LE. .GT. .GE.`` in any case, and ``== != /= = < <= > >=``. Conditions of a
list are alternatives: one suffices. Two cells are equal if they are one number or one text (NM-TRAN compares texts by
``.EQ.``, so that 1 is not 1.0 there, and numbers by ``.EQN.``). A missing cell equals ``.`` alone, and is compared with
nothing by order: NM-TRAN would take it for 0.
"""

import operator
import re

import numpy as np
import pandas as pd

from nlmebayes.data import validate
from nlmebayes.data.validate import DataError

WORDS = {
    ".eq.": "==", ".eqn.": "==", "=": "==", ".ne.": "!=", ".nen.": "!=", "/=": "!=", ".lt.": "<", ".le.": "<=",
    ".gt.": ">", ".ge.": ">=",
}  # fmt: skip
COMPARED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
CONDITION = re.compile(
    r"\s*(?P<column>.+?)\s*(?P<operator>\.(?:eqn?|nen?|lt|le|gt|ge)\.|==|!=|/=|<=|>=|=|<|>)\s*(?P<value>.*?)\s*", re.I
)


def characters(ignore):
    """Of the rules, those that are one character with which a record begins."""
    return tuple(rule for rule in map(_stripped, ignore) if len(rule) == 1)


def beginning(characters):
    """A pattern of what a record that is left out begins with; ``@`` is any letter too, as in NM-TRAN."""
    return "[" + "".join("@A-Za-z" if c == "@" else re.escape(c) for c in characters) + "]"


def left_out(frame, rows, reading, source):
    """Why each record (row of ``frame``) is left out by rule, and None where it is not."""
    why = pd.Series(None, index=frame.index, dtype=object)
    marks = characters(reading.ignore)
    if marks and frame.shape[1]:
        text = frame.iloc[:, 0].astype(object)
        begins = text.map(lambda x: isinstance(x, str) and re.match(beginning((*marks, "#")), x.strip()) is not None)
        why = why.mask(begins.to_numpy(bool), f"ignored ({', '.join(marks)})")
    for rule in reading.ignore:
        for condition in _conditions(rule, source, "ignore="):
            kept = frame[why.isna()]
            holds = _holds(kept, np.asarray(rows)[why.isna().to_numpy()], condition, source)
            why[kept.index[holds]] = f"ignored ({condition})"
    for rule in reading.accept:
        kept = frame[why.isna()]
        numbers = np.asarray(rows)[why.isna().to_numpy()]
        found = [_holds(kept, numbers, condition, source) for condition in _conditions(rule, source, "accept=")]
        if not found:
            raise DataError(f"{source}: accept={rule!r} states no condition; write accept='(EVID.EQ.1, DV.GT.0)'")
        why[kept.index[~np.any(found, axis=0)]] = f"not accepted ({_inside(rule)})"
    return why


def _stripped(rule):
    """A rule without NONMEM's word before it, and a character without its quotes."""
    text = re.sub(r"^\s*(ignore|accept)\s*=(?!=)\s*", "", rule, flags=re.I).strip()
    return text[1:-1] if re.fullmatch(r"(['\"]).\1", text) else text


def _inside(rule):
    text = _stripped(rule)
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text


def _conditions(rule, source, word):
    """The conditions of a rule; none of a character."""
    if len(_stripped(rule)) == 1:
        return []
    parts = [part.strip() for part in re.findall(r"""(?:"[^"]*"|'[^']*'|[^,])+""", _inside(rule))]
    for part in parts or [rule]:
        if CONDITION.fullmatch(part) is None:
            raise DataError(
                f"{source}: {word}{rule!r}: {part!r} is no condition; write COLUMN.EQ.VALUE (or .NE. .LT. .LE. .GT. "
                ".GE.), several with commas in between, or one character"
            )
    return parts


def _holds(frame, rows, condition, source):
    """Of which records a condition is true."""
    match = CONDITION.fullmatch(condition)
    column = _column(frame, match["column"].strip("'\""), condition, source)
    sign, said = WORDS.get(match["operator"].lower(), match["operator"]), match["value"].strip("'\"").strip()
    cells = frame[column]
    number = pd.to_numeric(cells.astype(object), errors="coerce").to_numpy(float)
    wanted = pd.to_numeric(said, errors="coerce") if said else np.nan
    if sign in COMPARED:
        return _ordered(frame, rows, column, number, sign, wanted, condition, source)
    if said in (".", ""):
        same = validate.blank(cells).to_numpy()
    else:
        same = (number == wanted) | (cells.astype(object).map(lambda x: str(x).strip()) == said).to_numpy()
    return same if sign == "==" else ~same


def _ordered(frame, rows, column, number, sign, wanted, condition, source):
    if np.isnan(wanted):
        raise DataError(f"{source}: {condition}: a number belongs after {sign}")
    bad = np.flatnonzero(np.isnan(number))
    if bad.size:
        cell = frame[column].iloc[bad[0]]
        shown = "is missing" if validate.blank(frame[column]).iloc[bad[0]] else f"{cell!r} is no number"
        validate.fail(
            source, rows[bad[0]], column,
            f"{shown}, and {condition} cannot be told of it (NONMEM takes a missing value for 0); leave it out by "
            f"{column}.EQ.. first, or give it a number",
        )  # fmt: skip
    return COMPARED[sign](number, wanted)


def _column(frame, name, condition, source):
    found = [c for c in frame.columns if c == name] or [c for c in frame.columns if str(c).upper() == name.upper()]
    if len(found) != 1:
        raise DataError(
            f"{source}: {condition}: no column {name!r}; its columns are {', '.join(map(str, frame.columns))}"
        )
    return found[0]
