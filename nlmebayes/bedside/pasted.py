"""A chart that was pasted or uploaded as a table: its lines as doses, samples and later values of a case.

The first line names the columns, in the words of the page and with units in brackets; lines are parted by tabulators,
semicolons or commas. A line with an amount is a dose, one with a concentration a sample, and weight, creatinine and
covariates hold from their time on.
"""

import csv
import re

import numpy as np

from nlmebayes.cases import chart
from nlmebayes.cases.quantities import Unclear
from nlmebayes.data.validate import DataError

LONGEST = 200_000  # characters
WORDS = {
    "label": ("label", "id", "patient", "subject", "bed"),
    "time": ("time", "date", "when", "clock", "datetime", "date and time"),
    "amount": ("amount", "amt", "dose", "given"),
    "duration": ("duration", "dur", "infused over", "over", "infusion", "tinf"),
    "rate": ("rate",),
    "every": ("every", "repeated every", "interval", "ii", "tau"),
    "doses": ("doses", "number", "doses in all", "count"),
    "steady": ("steady", "steady state", "ss"),
    "value": ("value", "concentration", "conc", "level", "sample", "measured", "dv", "result"),
    "occasion": ("occasion", "occ"),
    "weight": ("weight", "wt", "body weight"),
    "creatinine": ("creatinine", "scr", "serum creatinine", "crea"),
    "height": ("height", "ht"), "age": ("age",), "sex": ("sex", "gender"),
}  # fmt: skip
DOSE = ("amount", "duration", "rate", "every", "doses", "steady")
EMPTY = ("", ".", "-", "na", "nan", "none")
HEAD = re.compile(r"\s*(.*?)\s*(?:[(\[]\s*(.*?)\s*[)\]])?\s*")


def rows(text, covariates=()):
    """``{"doses": [...], "samples": [...], "later": [...], "patient": {...}, "label": ...}`` of a table as text.

    Raises
    ------
    DataError
        No table, a column that is not known, or a line that has not as many cells; names the line.
    """
    if len(text) > LONGEST:
        raise DataError(f"the pasted chart has {len(text):,} characters; at most {LONGEST:,} are read")
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        raise DataError("a pasted chart begins with a line of names, such as 'time, amount (mg), concentration (mg/L)'")
    sign = max("\t;,", key=lines[0].count)
    try:
        table = list(csv.reader(lines, delimiter=sign, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise DataError(f"the chart is no table: {error}") from None
    heads = [_head(cell, covariates) for cell in table[0]]
    keys = [key for key, _ in heads]
    if "time" not in keys or len(set(keys)) < len(keys):
        raise DataError(f"the chart's columns are {', '.join(keys)}; it needs one time, and no column twice")
    found = {"doses": [], "samples": [], "later": [], "patient": {}}
    before, labels, lines = {}, set(), []
    for number, cells in enumerate(table[1:], start=2):
        if len(cells) != len(heads):
            raise DataError(f"line {number} of the chart has {len(cells)} cells, and {len(heads)} columns are named")
        said = {key: _said(cell, unit) for (key, unit), cell in zip(heads, cells, strict=True)}
        labels.add(said.pop("label", ""))
        lines.append((number, said))
    for number, said in _in_time(lines):
        _sorted_in(said, number, found, before)
    if len(labels) > 1:
        raise DataError(f"the chart holds {len(labels)} patients, {', '.join(sorted(labels)[:5])}; give one")
    return found | ({"label": labels.pop()} if labels != {""} else {})


def _in_time(lines):
    """(number, values) of lines in the order of their times, in which values hold; of a clock they must be in it.

    Times that cannot be read are told with the fields.
    """
    try:
        times = [chart.instant(said["time"]) for _, said in lines]
    except Unclear:
        return lines
    before = -np.inf
    for (number, said), each in zip(lines, times, strict=True):
        try:
            chart.check_forward(said["time"], each, before)
        except Unclear as error:
            raise DataError(f"line {number} of the chart: {error}") from None
        before = each[1]
    order = sorted(range(len(lines)), key=lambda i: times[i][1])
    return [lines[i] for i in order]


def _head(cell, covariates):
    """The key of a column, and the unit of its values."""
    word, unit = HEAD.fullmatch(cell).groups()
    for key, words in WORDS.items():
        if word.lower().replace("_", " ") in words:
            return key, unit or ""
    for name in covariates:
        if word.lower() == name.lower():
            return name, unit or ""
    known = ", ".join([*WORDS, *covariates])
    raise DataError(f"the chart's column {cell[:40]!r} is not known; its columns may be {known}")


def _said(cell, unit):
    """A value with the unit of its column."""
    cell = cell.strip()
    if cell.lower() in EMPTY:
        return ""
    return f"{cell} {unit}" if unit and re.fullmatch(r"[<>]?\s*[-+\d.,]+(?:[eE][-+]?\d+)?", cell) else cell


def _nothing(dose):
    """Whether a line says of a dose that there was none, as event tables do beside a sample."""
    return all(re.fullmatch(r"[0.,]+( .*)?", text) for text in dose.values())


def _sorted_in(said, number, found, before):
    """One line into doses, samples and what the patient is like, where that is new."""
    time = said.pop("time")
    if not time:
        raise DataError(f"line {number} of the chart has no time")
    own = {"occasion": said.pop("occasion")} if said.get("occasion") else {}
    value = said.pop("value", "")
    dose = {key: said.pop(key) for key in DOSE if key in said}
    dose = {key: text for key, text in dose.items() if text}
    if dose and not (value and _nothing(dose)):
        found["doses"].append({"time": time} | dose | own)
    if value:
        found["samples"].append({"time": time, "value": value} | own)
    fresh = {key: text for key, text in said.items() if text and before.get(key) != text}
    first = {key: text for key, text in fresh.items() if key not in before}
    found["patient"] |= first
    later = {key: text for key, text in fresh.items() if key in before}
    if later:
        found["later"].append({"time": time} | later)
    before |= fresh
