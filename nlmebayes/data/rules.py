"""Which records of a table are left out by rule: NONMEM's ``IGNORE=`` and ``ACCEPT=``.

    rules  = [IGNORE= | ACCEPT=] ( character | "(" condition {"," condition} ")" | condition {"," condition} )
    condition = column operator value

Operators are ``.EQ. .NE. .EQN. .NEN. .LT. .LE. .GT. .GE.`` in any case, and ``== != /= = < <= > >=``. Conditions of a
list, and of several lists, are alternatives: one suffices. Two cells are equal if they are one number or one text
(NM-TRAN compares texts by ``.EQ.``, so that 1 is not 1.0 there, and numbers by ``.EQN.``). A missing cell equals ``.``
alone, and is compared with nothing by order: NM-TRAN would take it for 0.
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
JOINED = re.compile(r"\.(?:and|or|not|eqn?|nen?|lt|le|gt|ge)\.|[&|<>=]", re.I)  # in a value: more than one condition
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
    """Why each record (row of ``frame``) is left out by rule, None where it is not, and notes of idle conditions."""
    why, idle = pd.Series(None, index=frame.index, dtype=object), []
    marks = characters(reading.ignore)
    if marks and frame.shape[1]:
        text = frame.iloc[:, 0].astype(object)
        begins = text.map(lambda x: isinstance(x, str) and re.match(beginning((*marks, "#")), x.strip()) is not None)
        why = why.mask(begins.to_numpy(bool), f"ignored ({', '.join(marks)})")
    for rule in reading.ignore:
        conditions, holds = _holding(frame, why, rows, rule, source, "ignore=")
        for condition, each in zip(conditions, holds, strict=True):
            why = why.mask(why.isna() & (each == 1), f"ignored ({condition})")
        idle += _idle("ignore", conditions, holds)
    for rule in [", ".join(map(_inside, reading.accept))] if reading.accept else ():
        conditions, holds = _holding(frame, why, rows, rule, source, "accept=")
        if not conditions:
            raise DataError(f"{source}: accept={rule!r} states no condition; write accept='(EVID.EQ.1, DV.GT.0)'")
        accepted = np.any([each == 1 for each in holds], axis=0)
        why = why.mask(why.isna() & ~accepted, f"not accepted ({_inside(rule)})")
        idle += _idle("accept", conditions, holds)
    return why, tuple(idle)


def _idle(word, conditions, holds):
    """Notes of the conditions that are true of no record, as those with a slip are."""
    pairs = zip(conditions, holds, strict=True)
    return [f"{word}: no record has {condition}" for condition, each in pairs if not (each == 1).any()]


def _holding(frame, why, rows, rule, source, word):
    """The conditions of a rule, and of which records each is true (1), false (0) or cannot be told (NaN); of a record
    that is not left out already some condition is true, or all can be told."""
    conditions = _conditions(rule, source, word)
    holds = [_holds(frame, condition, source) for condition in conditions]
    settled = why.notna().to_numpy() | np.any([each == 1 for each in holds], axis=0)
    for condition, each in zip(conditions, holds, strict=True):
        _told(frame, np.isnan(each) & ~settled, rows, condition, source)
    return conditions, holds


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
        match = CONDITION.fullmatch(part)
        if match is None or (match["value"][:1] not in ("'", '"') and JOINED.search(match["value"], 1)):
            raise DataError(
                f"{source}: {word}{rule!r}: {part!r} is no condition; write COLUMN.EQ.VALUE (or .NE. .LT. .LE. .GT. "
                ".GE.), several with commas in between, or one character"
            )
    return parts


def _parts(frame, condition, source):
    """Column, sign and value of a condition."""
    match = CONDITION.fullmatch(condition)
    column = _column(frame, match["column"].strip("'\""), condition, source)
    sign = WORDS.get(match["operator"].lower(), match["operator"])
    return column, sign, match["value"].strip("'\"").strip()


def _holds(frame, condition, source):
    """Of which records a condition is true (1), false (0), or cannot be told (NaN)."""
    column, sign, said = _parts(frame, condition, source)
    cells = frame[column]
    number = pd.to_numeric(cells.astype(object), errors="coerce").to_numpy(float)
    wanted = float(pd.to_numeric(said, errors="coerce")) if said else np.nan
    if sign in COMPARED:
        if np.isnan(wanted):
            raise DataError(f"{source}: {condition}: a number belongs after {sign}")
        return np.where(np.isnan(number), np.nan, COMPARED[sign](number, wanted))
    if said in (".", ""):
        same = validate.blank(cells).to_numpy()
    else:
        same = (number == wanted) | (cells.astype(object).map(lambda x: str(x).strip()) == said).to_numpy()
    return (same if sign == "==" else ~same).astype(float)


def _told(frame, bad, rows, condition, source):
    """Refuse the first record of which a condition cannot be told."""
    where = np.flatnonzero(bad)
    if not where.size:
        return
    column, _, _ = _parts(frame, condition, source)
    blank = validate.blank(frame[column]).iloc[where[0]]
    shown = "is missing" if blank else f"{frame[column].iloc[where[0]]!r} is no number"
    validate.fail(
        source, rows[where[0]], column,
        f"{shown}, and {condition} cannot be told of it (NONMEM takes a missing value for 0); add a condition that is "
        f"true of it, such as {column}.EQ.., or give it a number",
    )  # fmt: skip


def _column(frame, name, condition, source):
    found = [c for c in frame.columns if c == name] or [c for c in frame.columns if str(c).upper() == name.upper()]
    if len(found) != 1:
        raise DataError(
            f"{source}: {condition}: no column {name!r}; its columns are {', '.join(map(str, frame.columns))}"
        )
    return found[0]
