"""The fields of the page, and the plain tables of a case that they hold.

A field is called by its place in the case: ``label``, ``patient.weight``, ``doses.0.amount``, ``targets.1``.
"""

import re
from dataclasses import dataclass

from nlmebayes.cases.case import MOST, ROWS
from nlmebayes.data.validate import DataError

PLACE = re.compile(r"([a-z_]+)\.(\d{1,4})(?:\.(\w+))?")
SINGLE = ("label", "now", "equation", "missing", "next_sample", "late")
LISTS = ("models", "targets")
WORDS = {"crcl": "Measured clearance", "dial": "On dialysis", "weight": "Weight", "creatinine": "Serum creatinine"}
EMPTY = {"doses": 2, "samples": 2, "later": 1, "regimens": 1, "targets": 1}  # rows shown of nothing
MORE = {"doses": 4, "samples": 4, "later": 2, "regimens": 3, "targets": 1}  # rows that a button adds


@dataclass(frozen=True)
class Column:
    """A column of fields: its key, its head, and an example."""

    key: str
    head: str
    example: str = ""
    rare: bool = False


COLUMNS = {
    "doses": (
        Column("time", "Time", "2026-05-01 08:00 or 0"), Column("amount", "Amount", "1000 mg"),
        Column("duration", "Infused over", "1 h"), Column("every", "Repeated every", "12 h"),
        Column("doses", "Doses in all", "1"), Column("rate", "Rate", "1000 mg/h", True),
        Column("steady", "Steady state", "no", True), Column("occasion", "Occasion", "1", True),
    ),
    "samples": (
        Column("time", "Time", "2026-05-02 07:30 or 23.5"), Column("value", "Concentration", "12.5 mg/L or <0.5"),
        Column("occasion", "Occasion", "1", True),
    ),
    "regimens": (
        Column("amount", "Amount", "empty: the best is sought"), Column("every", "Every", "12 h"),
        Column("doses", "Doses", "6"), Column("duration", "Infused over", "1 h"),
        Column("start", "First dose at", "empty: when it is due"), Column("steady", "Steady state", "no", True),
    ),
}  # fmt: skip


def tables(fields, kept=None):
    """The plain tables of a case of (field, text) pairs, without what is empty.

    Parameters
    ----------
    fields : sequence of (str, str)
    kept : dict, optional
        Tables that no field shows: ``seed``, ``population``.

    Raises
    ------
    DataError
        More rows than a case may have.
    """
    found, rows = dict(kept or {}), {}
    for field, text in fields:
        text = text.strip()
        place = PLACE.fullmatch(field)
        if field in LISTS and text:
            found.setdefault(field, []).append(text)
        elif field in SINGLE and text:
            found[field] = text
        elif field.startswith("patient.") and text:
            found.setdefault("patient", {})[field.removeprefix("patient.")] = text
        elif place and place[1] in (*ROWS, "targets"):
            rows.setdefault(place[1], {}).setdefault(int(place[2]), {})[place[3]] = text
    for name, table in rows.items():
        full = [row for _, row in sorted(table.items()) if any(row.values())]
        if len(full) > MOST[name]:
            raise DataError(f"{len(full)} rows of {name}; at most {MOST[name]} are read")
        plain = [{key: text for key, text in row.items() if text} for row in full]
        found[name] = [row[None] for row in plain] if name == "targets" else plain
    return {name: value for name, value in found.items() if value}


def columns(name, rows, needs=(), wanted=()):
    """The columns of a table of fields: the usual ones, and rarer ones that a row fills or that are ``wanted``."""
    filled = {key for row in rows for key in row} | set(wanted)
    if name == "later":
        keys = dict.fromkeys(("weight", "creatinine", *needs, *sorted(filled - {"time"})))
        return (Column("time", "From"), *(Column(key, WORDS.get(key, key)) for key in keys))
    return tuple(column for column in COLUMNS[name] if not column.rare or column.key in filled)


def padded(rows, name, more=0):
    """The rows with empty ones below them."""
    rows = list(rows)
    return rows + [{}] * max(more, EMPTY[name] - len(rows))
