"""Dates and clock times of an event table, as hours."""

import re
from datetime import date

import numpy as np
import pandas as pd

from nlmebayes.data import validate
from nlmebayes.data.table import DATES
from nlmebayes.data.validate import DataError

LAST_YEAR = ("DATE", "DAT1")  # columns of dates that end in the year
PARTS = dict(zip(DATES, ("mdy", "dmy", "ymd", "ydm"), strict=True))
SPELLED = {"m": "month", "d": "day", "y": "year"}
CLOCK = re.compile(r"(-?)(\d+):(\d{1,2})(?::(\d{1,2}(?:\.\d*)?))?")
BY_DAY = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})\b(.*)")  # 31.12.2026 14:30, 12/31/2026
POINTED = re.compile(r"(\d{1,2})(\.)(\d{1,2})\.(?:\d{4}|\d{1,2})")  # 31.12.2026, 31.12.26
ORDERS = {"dmy": (0, 1), "mdy": (1, 0)}  # places of the day and of the month
MOMENT = re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?")
LAST20 = 50  # NM-TRAN's default: the last two-digit year of this century
EPOCH = date(1970, 1, 1).toordinal()
YEARS = 1678, 2261  # that nanoseconds since 1970 can tell; others are placeholders, such as 9999
YEARLESS = 2001  # of dates without a year; no leap year
PLACEHOLDER = f"lies outside the years {YEARS[0]} to {YEARS[1]}; correct it, or leave the record out"


def hours(frame, subject, source, dates=None):
    """Times (record,) of the column TIME: as they are, or since the first record of each ``subject``; and the zeros of
    the latter, subject -> (kind of date, hours).

    The latter where TIME holds clock times (hh:mm or hh:mm:ss, as NM-TRAN beside plain hours) or dates with times
    (yyyy-mm-dd hh:mm, or dd.mm.yyyy hh:mm, without a zone), or where there is a column of dates. ``dates``: whether
    the day (``"dmy"``) or the month (``"mdy"``) is first where the year is last; where nobody says so, a column shows
    it that has a day beyond the twelfth.

    Raises
    ------
    DataError
        Text that is neither, a missing date, a clock that goes back without dates, days and months that may be either;
        names row and column.
    """
    days, kind = _days(frame, source, dates)
    if _holds_moments(frame["TIME"]):
        if days is not None:
            raise DataError(f"{source}: dates stand in {days.name} and in TIME; leave one out")
        return _since_first(_moments(frame, source, dates), 0.0, subject, "date")
    clock = not pd.api.types.is_numeric_dtype(frame["TIME"]) and ":" in "".join(_text(frame["TIME"]))
    time = clock_hours(frame, "TIME", source)
    validate.finite(frame.assign(TIME=time), ("TIME",), source)
    if days is not None:
        over = clock & _text(frame["TIME"]).str.contains(":") & (time > 24)
        validate.refuse(frame, over, "TIME", "{} is later than 24:00 of its day", source)
        return _since_first(days, time, subject, kind)
    if not clock:
        return time, {}
    _never_back(frame, time, subject, source)
    return _since_first(0 * time, time, subject, "clock")


def moment(zero, time):
    """A time in hours after ``zero``, as `hours` gives it, by the calendar or the clock of the table, to the minute.

    Examples
    --------
    >>> moment(("date", 481521.5), 24.0), moment(("clock", 8.0), 18.5), moment(("day", 32.0), 1.0)
    ('2024-12-07 09:30', 'day 2, 02:30', 'day 1, 09:00')
    """
    kind, hours_of_zero = zero
    minutes = round(60 * (hours_of_zero + time))
    day, (hour, minute) = minutes // 1440, divmod(minutes % 1440, 60)
    dated = {"date": "%Y-%m-%d", "month and day": "%d %B"}
    if kind in dated:
        return f"{date.fromordinal(EPOCH + day):{dated[kind]}} {hour:02d}:{minute:02d}"
    return f"day {day + (kind == 'clock')}, {hour:02d}:{minute:02d}"


def instant(text):
    """(kind, hours) of one time: ``"hours"`` of a number, ``"clock"`` of hh:mm or of what `moment` prints of it,
    ``"date"`` of yyyy-mm-dd hh:mm since 1970; or None.

    Examples
    --------
    >>> instant("36.5"), instant("08:30"), instant("day 2, 08:30"), instant("2024-12-06 09:30")
    (('hours', 36.5), ('clock', 8.5), ('clock', 32.5), ('date', 481521.5))
    """
    text = text.strip()
    if MOMENT.fullmatch(text):
        when = pd.to_datetime(text, format="ISO8601", errors="coerce")
        inside = not pd.isna(when) and YEARS[0] <= when.year <= YEARS[1]
        return ("date", float((when - pd.Timestamp(0)) / pd.Timedelta(hours=1))) if inside else None
    day = re.fullmatch(r"day (\d{1,4}),? (.*)", text)
    found = _clock(day[2] if day else text)
    if found is None or not np.isfinite(found) or (day and ":" not in text):
        return None
    return ("clock", found + 24.0 * (int(day[1]) - 1 if day else 0)) if ":" in text else ("hours", found)


def clock_hours(frame, column, source):
    """A column of numbers, or of clock times as hours."""
    text = _text(frame[column])
    if not text.str.contains(":").any():
        return validate.numeric(frame, column, source)
    found = {cell: _clock(cell) for cell in text.unique()}
    bad = text.map({cell: value is None for cell, value in found.items()}).to_numpy(dtype=bool)
    validate.refuse(frame, bad, column, "{!r} is no time; write hours, hh:mm or hh:mm:ss", source)
    return text.map(found).astype(float)


def _clock(cell):
    match = CLOCK.fullmatch(cell)
    if match is None:
        number = pd.to_numeric(cell or "nan", errors="coerce")
        return None if np.isnan(number) and cell else float(number)
    sign, hour, minute, second = match.groups()
    if int(minute) > 59 or float(second or 0) >= 60:
        return None
    return (-1 if sign else 1) * (int(hour) + int(minute) / 60 + float(second or 0) / 3600)


def _text(values):
    """Cells as text; a missing one is empty."""
    text = values.astype(object).where(values.notna(), "").astype(str).str.strip()
    return text.where(text != ".", "")


def _holds_moments(values):
    if pd.api.types.is_numeric_dtype(values):
        return False
    text = _text(values)
    dated = text.str.match(r"\d{4}-\d") | text.str.match(BY_DAY)
    return pd.api.types.is_datetime64_any_dtype(values) or dated.any()


def _year_first(frame, column, dates, source):
    """Cells of a column as text, those that end in the year with it first."""
    text = _text(frame[column])
    found = _ending_in_the_year(text)
    if not found:
        return text
    day, month = ORDERS[dates or _shown_order(frame, text, column, found, source)]
    parts = {cell: (match[1], match[3]) for cell, match in found.items()}
    return text.replace({
        cell: f"{match[4]}-{parts[cell][month]}-{parts[cell][day]}{match[5]}" for cell, match in found.items()
    })  # fmt: skip


def _ending_in_the_year(text, form=BY_DAY):
    """Different cells that are dates with the year last -> their parts."""
    found = {cell: form.fullmatch(cell) for cell in text.unique()}
    return {cell: match for cell, match in found.items() if match}


def _shown_order(frame, text, column, found, source):
    """Whether the day or the month is first, as numbers that are no month show."""
    signs = text.map({cell: match[2] for cell, match in found.items()}).dropna()
    problem = "{} is written otherwise than others; write all dates alike, or say which, dates='dmy' or dates='mdy'"
    other = text.index.isin(signs.index[signs != signs.iloc[0]])
    validate.refuse(frame.assign(**{column: text}), other, column, problem, source)
    beyond = [max(int(match[place]) for match in found.values()) > 12 for place in (1, 3)]
    if beyond[0] != beyond[1]:
        return "dmy" if beyond[0] else "mdy"
    here = text.isin(list(found)).to_numpy()
    problem = (
        "{} is no date in one order with the others; say which is meant, dates='dmy' or 'mdy'" if beyond[0] else
        "{} may have its day or its month first; say which, dates='dmy' or dates='mdy'"
    )  # fmt: skip
    validate.refuse(frame.assign(**{column: text}), here, column, problem, source)


def _moments(frame, source, dates):
    """Dates with times as days since 1970, with their fractions as exact as they come."""
    values = frame["TIME"]
    validate.refuse(frame, values.isna(), "TIME", "is missing", source)
    if not pd.api.types.is_datetime64_any_dtype(values):
        text = _year_first(frame, "TIME", dates, source)
        values = pd.to_datetime(text.where(text.map(MOMENT.fullmatch).notna()), format="ISO8601", errors="coerce")
        problem = "{!r} is no date with a time; write yyyy-mm-dd hh:mm, or dd.mm.yyyy hh:mm, without a zone"
        validate.refuse(frame, values.isna(), "TIME", problem, source)
    elif values.dt.tz is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    outside = ~values.dt.year.between(*YEARS)
    validate.refuse(frame, outside, "TIME", f"{{}} {PLACEHOLDER}", source)
    return values


def _since_first(days, time, subject, kind):
    """Hours since the first record, of moments, or of days and hours of the day; and when that was."""
    groups = np.asarray(subject)
    first = days.groupby(groups).min()
    day = days - days.groupby(groups).transform("min")
    if pd.api.types.is_timedelta64_dtype(day):
        zero = (first - pd.Timestamp(0)) / pd.Timedelta(hours=1)
        return day / pd.Timedelta(hours=1), {label: (kind, float(x)) for label, x in zero.items()}
    total = 24.0 * day + time
    least = total.groupby(groups)
    zero = 24.0 * first + least.min()
    return total - least.transform("min"), {label: (kind, float(x)) for label, x in zero.items()}


def _never_back(frame, time, subject, source):
    step = time.groupby(np.asarray(subject), sort=False).diff()
    problem = "the clock goes back to {} within its subject; give the dates (DATE, DAT1, DAT2 or DAT3), or hours"
    validate.refuse(frame, step < 0, "TIME", problem, source)


def _days(frame, source, dates):
    """Number of the day of each record and kind of date, or None where there are no dates."""
    names = [name for name in DATES if name in frame.columns and (_text(frame[name]) != "").any()]
    if not names:
        return None, None
    if len(names) > 1:
        raise DataError(f"{source}: dates stand in {' and in '.join(names)}; leave one out")
    name = names[0]
    validate.refuse(frame, _text(frame[name]) == "", name, "is missing; every record needs its date", source)
    if pd.api.types.is_datetime64_any_dtype(frame[name]):
        validate.refuse(frame, ~frame[name].dt.year.between(*YEARS), name, f"{{}} {PLACEHOLDER}", source)
        return (frame[name].dt.tz_localize(None).dt.normalize() - pd.Timestamp(0)).dt.days.rename(name), "date"
    text = _text(frame[name])
    parts = _order(frame, text, name, dates, source)
    found = {cell: _day(cell, parts) for cell in text.unique()}
    first, last = (date(year, 1, 1).toordinal() - EPOCH for year in (YEARS[0], YEARS[1] + 1))
    far = {cell: day is not None and day[0] == "date" and not first <= day[1] < last for cell, day in found.items()}
    validate.refuse(frame, text.map(far).to_numpy(dtype=bool), name, f"{{}} {PLACEHOLDER}", source)
    bad = text.map({cell: day is None for cell, day in found.items()}).to_numpy(dtype=bool)
    order = "/".join(SPELLED[p] for p in parts)
    problem = f"{{!r}} is no date; {name} is {order} or the number of a day{_other_order(text[bad])}"
    validate.refuse(frame, bad, name, problem, source)
    kinds = text.map({cell: kind for cell, (kind, _) in found.items()})
    problem = f"{{!r}} is another kind of date than {text.iloc[0]!r} in row {frame['row'].iloc[0]}"
    validate.refuse(frame, kinds != kinds.iloc[0], name, problem, source)
    return text.map({cell: day for cell, (_, day) in found.items()}).rename(name), kinds.iloc[0]


def _order(frame, text, name, dates, source):
    """The parts of the dates of a column in their order: as its name says, as DATE does not where points part them."""
    if name in LAST_YEAR and dates:
        return dates
    if dates:
        short = ~text.str.match(r"\d{4}\D|[^-/.]*$").to_numpy()  # neither with its whole year first nor a number
        problem = f"{{}} is {'/'.join(SPELLED[p] for p in PARTS[name])} in a column {name}, and dates={dates!r} says "
        problem += "that the year is last; name the column DATE, or leave dates= out"
        validate.refuse(frame.assign(**{name: text}), short, name, problem, source)
    pointed = _ending_in_the_year(text, POINTED) if name == "DATE" else {}
    if not pointed:
        return PARTS[name]
    problem = "{!r} has no points, as others have; write all dates alike, or say which, dates='dmy' or dates='mdy'"
    validate.refuse(frame.assign(**{name: text}), ~text.isin(list(pointed)).to_numpy(), name, problem, source)
    return _shown_order(frame, text, name, pointed, source)


def _other_order(bad):
    year_first = len(bad) and re.match(r"\d{4}[-/]", bad.iloc[0])
    return ": with the year first, name the column DAT2" if year_first else ""


def _day(cell, order):
    """(kind of date, number of the day), or None."""
    number = pd.to_numeric(cell, errors="coerce")
    if not np.isnan(number):
        whole = float(number).is_integer() and abs(number) < 1e6  # 20240301 is meant for a date
        return ("day", int(number)) if whole else None
    parts = re.split(r"[-/.]", cell)
    if not all(part.isdecimal() for part in parts) or len(parts) not in (2, 3):
        return None
    named = dict(zip(order if len(parts) == 3 else order.replace("y", ""), parts, strict=True))
    year = named.get("y", str(YEARLESS))
    if len(year) not in (1, 2, 4):
        return None
    century = 0 if len(year) == 4 else 1900 if int(year) > LAST20 else 2000
    try:
        day = date(century + int(year), int(named["m"]), int(named["d"]))
    except ValueError:
        return None
    return ("date" if "y" in named else "month and day"), day.toordinal() - EPOCH
