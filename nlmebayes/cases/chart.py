"""The doses and samples of a case as a `Dataset`, and which field each of its rows comes from."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nlmebayes.cases.quantities import Unclear, quantity
from nlmebayes.data import clock
from nlmebayes.data.dataset import Dataset

FIRST = {"later": 0, "samples": 1, "doses": 2}  # order at one time: a sample is taken before the dose
SPELLED = {
    "hours": "hours, such as 36.5", "clock": "clock times, such as 08:30 or day 2, 08:30",
    "date": "dates with the hour, such as 2024-12-06 08:30",
}  # fmt: skip
EXACT = 9  # decimals of an hour that a date in hours since 1970 has, and a microsecond needs
CLOCKLIKE = re.compile(r"\s*(\d{1,2})[.,]?(\d\d)\s*")  # 0830 and 08.30, which are no numbers as people write them
WHETHER = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}


@dataclass(frozen=True)
class Times:
    """Times of a case in hours since its zero, by field, and what that zero is."""

    kind: str
    zero: float
    hours: dict

    def of(self, text):
        """Hours of another text.

        Raises
        ------
        Unclear
            It is no time, or one of another kind.
        """
        return round(instant(text, self.kind)[1] - self.zero, EXACT)

    def worded(self, hours):
        """As it is entered: hours, or the date or the clock."""
        return f"{hours:g} h" if self.kind == "hours" else clock.moment((self.kind, self.zero), hours)


def instant(text, kind=None):
    """(kind, hours) of a time as it is entered, of the ``kind`` that is wanted.

    Raises
    ------
    Unclear
        It is no time, or one of another kind.
    """
    if text.startswith("0") and (parts := CLOCKLIKE.fullmatch(text)) and len(parts[1]) == 2:
        raise Unclear(
            f"{text!r} can be read in two ways; write {parts[1]}:{parts[2]}, or the hours without the first 0"
        )
    found = clock.instant(text)
    if found is None and ":" not in text:
        found = "hours", quantity(text, "h")
    if found is None:
        raise Unclear(f"{text!r} is no time; write {', or '.join(SPELLED.values())}")
    if found[0] == "date" and ":" not in text:
        raise Unclear(f"{text!r} has no hour; write {text} 08:30")
    if kind is not None and found[0] != kind:
        raise Unclear(f"{text!r} is another kind of time than the first dose; write {SPELLED[kind]}")
    return found


def times(case, notes):
    """The `Times` of doses, samples and later values, field -> hours, of those that can be read."""
    texts = {f"{name}.{i}.time": row.get("time", "") for name in FIRST for i, row in enumerate(getattr(case, name))}
    ordered = sorted(texts, key=lambda place: place.split(".")[0] != "doses")
    kind, found = None, {}
    for place in ordered:
        if not texts[place]:
            notes.say(place, "a time is missing; write " + (SPELLED[kind] if kind else ", or ".join(SPELLED.values())))
            continue
        with notes.at(place):
            each = instant(texts[place], kind)
            _check_forward(texts[place], place, each, found)
            kind, found[place] = each
    kind = kind or "hours"
    zero = min(found.values(), default=0.0) if kind != "hours" else 0.0
    if kind == "clock":
        notes.shown |= {place: clock.moment((kind, 0.0), hours) for place, hours in found.items()}
    return Times(kind, zero, {place: round(value - zero, EXACT) for place, value in found.items()})


def _check_forward(text, place, each, found):
    name, number, _ = place.split(".")
    check_forward(text, each, found.get(f"{name}.{int(number) - 1}.time", -np.inf))


def check_forward(text, each, before):
    """Refuse a time of a clock that goes back from the row before it: over midnight, its day must be said.

    Parameters
    ----------
    text : str
    each : (kind, float)
        What it says, by `instant`.
    before : float
        Hours of the row before.

    Raises
    ------
    Unclear
    """
    kind, hours = each
    if kind == "clock" and "day" not in text and hours < before:
        earlier, later = (clock.moment((kind, 0.0), time) for time in (before, hours))
        raise Unclear(f"the clock goes back from {earlier} to {later}; write day {int((before - hours) // 24) + 2}, "
                      f"{text.strip()}, or the rows in their order")  # fmt: skip


def positive(text, unit, *, zero=False):
    """A quantity above 0, or from 0 on."""
    value = quantity(text, unit)
    if value < 0 or (value == 0 and not zero):
        raise Unclear(f"{text!r} is not above 0; write a positive number" if not zero else f"{text!r} is below 0")
    return value


def whether(text):
    """What yes and no say, and nothing, which is no."""
    if text.strip().lower() not in WHETHER:
        raise Unclear(f"{text!r} is neither yes nor no")
    return WHETHER[text.strip().lower()]


def count(text):
    """A number of doses."""
    value = quantity(text)
    if value != int(value) or not 1 <= value <= 1000:
        raise Unclear(f"{text!r} is no number of doses; write a whole number from 1 to 1000")
    return int(value)


def dose(row, place, amount_unit, notes):
    """A dose record in NONMEM's words, of what can be read."""
    found = {}
    with notes.at(f"{place}.amount"):
        found["AMT"] = positive(row.get("amount", ""), amount_unit)
        notes.shown[f"{place}.amount"] = f"{found['AMT']:g} {amount_unit}"
    if row.get("duration") and row.get("rate"):
        notes.say(f"{place}.rate", "duration and rate say the same; write one")
    elif row.get("duration"):
        with notes.at(f"{place}.duration"):
            lasts = positive(row["duration"], "h", zero=True)
            found["RATE"] = found.get("AMT", 0.0) / lasts if lasts else 0.0
            notes.shown[f"{place}.duration"] = f"{lasts:g} h"
    elif row.get("rate"):
        with notes.at(f"{place}.rate"):
            found["RATE"] = positive(row["rate"], f"{amount_unit}/h")
            notes.shown[f"{place}.rate"] = f"{found['RATE']:g} {amount_unit}/h"
    return found | _repeated(row, place, notes)


def _repeated(row, place, notes):
    found, steady = {}, False
    with notes.at(f"{place}.steady"):
        steady = whether(row.get("steady", ""))
    if row.get("every"):
        with notes.at(f"{place}.every"):
            found["II"] = positive(row["every"], "h")
            notes.shown[f"{place}.every"] = f"{found['II']:g} h"
    if row.get("doses"):
        with notes.at(f"{place}.doses"):
            found["ADDL"] = count(row["doses"]) - 1
    if steady:
        found["SS"] = 1
    if (steady or found.get("ADDL")) and not row.get("every"):
        notes.say(f"{place}.every", "several doses need their interval; write it, such as 12 h")
    if row.get("every") and not (steady or row.get("doses")):
        notes.say(f"{place}.doses", "how many doses were given? write their number, or that a steady state was reached")
    return found


def sample(row, place, unit, notes):
    """A measurement in the words of an event table: a number, or ``<limit``."""
    text = row.get("value", "").strip()
    if not text:
        notes.say(f"{place}.value", f"a value is missing; write the number in {unit}, or <0.5 below quantification")
        return {}
    with notes.at(f"{place}.value"):
        below = text.startswith("<")
        value = positive(text.lstrip("<= "), unit, zero=not below)
        notes.shown[f"{place}.value"] = f"{'below ' if below else ''}{value:g} {unit}"
        return {"DV": f"<{value:.15g}" if below else value}
    return {}


@dataclass(frozen=True, eq=False)
class Chart:
    """Records of a case in order: rows in the words of an event table, and the field of each."""

    rows: list
    fields: list

    def dataset(self, models, columns, label, when):
        """The `Dataset` that the models take."""
        frame = pd.DataFrame(self.rows).assign(ID=label)
        frame = frame.reindex(columns=list(dict.fromkeys([*frame.columns, "DV", "AMT"])))
        levels, outcome = models[0].levels, models[0].outcomes[0]
        units = {name: column.unit for name, column in columns.items() if column.unit}
        units |= {name: models[0].unit(name) for name in ("amount", "time", outcome)}
        data = Dataset.from_nonmem(
            frame, levels=levels, outcome=outcome, unmeasured="predict", lloq="<", interpolation="locf",
            source=label, units=units,
        )  # fmt: skip
        return data if when.kind == "hours" else replace(data, origin={label: (when.kind, when.zero)})


def chart(case, models, when, later, notes):
    """The `Chart` of what can be read; ``later`` are the columns by time, [(hours, {column: value})], in order."""
    amount, outcome = models[0].unit("amount"), models[0].unit(models[0].outcomes[0])
    rows = [{"time": when.hours.get(f"{name}.{i}.time", np.nan), "order": FIRST[name], "field": f"{name}.{i}",
             "said": _record(name, row, f"{name}.{i}", amount, outcome, notes)}
            for name in FIRST for i, row in enumerate(getattr(case, name))]  # fmt: skip
    if not case.samples:
        rows.append({"time": max(when.hours.values(), default=0.0), "order": 3, "field": "now",
                     "said": {"EVID": 0, "DV": np.nan}})  # fmt: skip
    rows.sort(key=lambda row: (row["time"], row["order"]))
    found = []
    for row in rows:
        held = [columns for time, columns in later if time <= row["time"]] or [columns for _, columns in later[:1]]
        found.append({"TIME": row["time"]} | row["said"] | (held[-1] if held else {}))
    _occasions(case, models, found, [row["field"] for row in rows], notes)
    return Chart(found, [row["field"] for row in rows])


def _record(name, row, place, amount, outcome, notes):
    kinds = {"doses": (1, lambda: dose(row, place, amount, notes)), "later": (2, dict),
             "samples": (0, lambda: sample(row, place, outcome, notes))}  # fmt: skip
    evid, said = kinds[name]
    return {"EVID": evid} | said()


def _occasions(case, models, rows, fields, notes):
    """The occasion of each record where the models vary between them: as said, or that of the record before."""
    below = models[0].levels[1:]
    entered = {f"{name}.{i}": row["occasion"] for name in ("doses", "samples")
               for i, row in enumerate(getattr(case, name)) if row.get("occasion")}  # fmt: skip
    if not below:
        for place in entered:
            notes.say(f"{place}.occasion", f"{models[0].name} does not vary between occasions; leave it out")
        return
    last = None
    for place, row in zip(fields, rows, strict=True):
        last = entered.get(place, last)
        if last is None:
            notes.say(f"{place}.occasion", f"{models[0].name} varies between occasions; number them from 1")
            last = "1"
        row[below[-1]] = last
