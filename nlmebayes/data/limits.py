"""Measurements known to an interval only: censoring flags and limits of quantification, as ``lower`` and ``upper``."""

from typing import Literal

import numpy as np
import pandas as pd

from nlmebayes.data import validate
from nlmebayes.data.below import WRITTEN
from nlmebayes.data.validate import DataError

Blq = Literal["M1", "M3", "M4"]
BELOW = " is below the limit of quantification (M1)"


def flags(frame, column, source):
    """A column of -1, 0 or 1; an empty cell is 0."""
    values = validate.numeric(frame, column, source).fillna(0.0)
    validate.refuse(
        frame.assign(**{column: values}), ~values.isin([-1, 0, 1]), column, "{:g} is none of -1, 0, 1", source
    )
    return values


def ended(origin, frame, outcome, column, source):
    """Records of an outcome whose status is 0: follow-up ended without the event."""
    here = (frame["outcome"] == outcome) & frame["value"].notna()
    truth = pd.api.types.is_bool_dtype(origin[column])
    values = origin[column].astype(float) if truth else validate.numeric(origin, column, source)
    wrong = here & ~values.isin([0, 1])
    validate.refuse(origin.assign(**{column: values}), wrong, column, "{:g} is neither 1 (event) nor 0", source)
    return here & (values == 0)


def limited(frame, flag, limit, lloq, uloq, blq, names, source):
    """``value``, ``lower`` and ``upper`` of records with ``row, outcome, value``.

    Parameters
    ----------
    flag, limit : Series
        -1, 0 or 1 and the other end of the interval, as CENS and LIMIT.
    lloq, uloq : Series
        Limits of quantification, missing where there are none.
    blq : {"M1", "M3", "M4"}
    names : dict
        Names of the columns: ``value`` (or that of the outcome), ``flag``, ``limit``.
    """
    _check(frame, flag, limit, names, source)
    value = frame["value"]
    below, above = (flag == 0) & (value < lloq), (flag == 0) & (value > uloq)
    value = value.mask(below, lloq).mask(above, uloq)
    left, right = (flag == 1) | below, (flag == -1) | above
    lower = limit.where(flag == 1, np.nan).fillna(-np.inf).where(left).mask(right, value)
    upper = limit.where(flag == -1, np.nan).fillna(np.inf).where(right).mask(left, value)
    found = frame.assign(value=value, lower=lower, upper=upper)
    return _positive(found, names, source) if blq == "M4" else found


def _check(frame, flag, limit, names, source):
    column = names.get("value", "value")
    x = frame.assign(limit=limit)
    stray = (flag == 0) & limit.notna() & (limit != 0)
    validate.refuse(x, stray, "limit", "{:g} on a record that is not censored", source, names["limit"])
    if names.get("flag"):
        problem = f"is missing on a censored record; it holds the limit ({names['flag']})"
        validate.refuse(x, (flag != 0) & x["value"].isna(), "value", problem, source, column)
    for sign, word in ((1, "below"), (-1, "above")):
        wrong = (flag == sign) & ~(sign * limit < sign * x["value"]) & limit.notna()
        problem = f"{{:g}} is not {word} the {column} of a record that is censored {word} it"
        validate.refuse(x, wrong, "limit", problem, source, names["limit"])


def _positive(found, names, source):
    """Limits of measurements that are known to be positive (M4)."""
    known = np.where(found["lower"].notna(), found["upper"], found["value"])
    where = np.flatnonzero(known <= 0)
    if where.size:
        i = where[0]
        problem = f"{known[i]:g} is not positive; blq='M4' takes every measurement for positive, 'M3' does not"
        validate.fail(source, found["row"].iloc[i], names.get("value", found["outcome"].iloc[i]), problem)
    return found.assign(lower=found["lower"].clip(lower=0.0))


def quantified(lloq, uloq, frame, outcomes, source):
    """Lower and upper limits of quantification per record, missing where there are none."""
    low, high = (_per_record(x, frame, outcomes, w, source) for x, w in ((lloq, "lloq"), (uloq, "uloq")))
    problem = "the lower limit of quantification {:g} is not below the upper one"
    validate.refuse(frame.assign(lloq=low), low >= high, "lloq", problem, source)
    return low, high


def columns(*stated):
    """Of stated limits those that are columns."""
    return tuple(dict.fromkeys(x for x in stated if isinstance(x, str) and x not in WRITTEN.values()))


def of_words(stated, limit):
    """How a measurement in words is read: by a ``limit`` per record, by its own number, or not (None)."""
    return stated if stated is None or stated in WRITTEN.values() else limit


def _per_record(limit, frame, outcomes, word, source):
    """A number, a column, or a number for each outcome; none where each cell says its own."""
    if limit is None or limit == WRITTEN[word]:
        return pd.Series(np.nan, index=frame.index)
    if isinstance(limit, str):
        return validate.numeric(frame, limit, source)
    each = limit if isinstance(limit, dict) else dict.fromkeys(outcomes, limit)
    for name in each:
        if name not in outcomes:
            raise DataError(f"{source}: {word}= names {name!r}; the outcomes are {', '.join(outcomes)}")
    return frame["outcome"].map(each).astype(float)


def left_out(frame, unmeasured, blq):
    """Why a record is no observation, or None where it is one."""
    why = pd.Series(None, index=frame.index, dtype=object)
    if unmeasured == "exclude":
        why = why.mask(frame["value"].isna(), frame["outcome"].astype(object) + " is missing")
    if blq == "M1":
        # An interval from 0 is what is below the limit, of a quantity that cannot be negative.
        why = why.mask((frame["lower"] <= 0) & np.isfinite(frame["upper"]), frame["outcome"].astype(object) + BELOW)
    return why


def some_left(frame, why, outcomes, source):
    """An outcome of which records are left out as below the limit keeps others."""
    for name in outcomes:
        if (why == name + BELOW).any() and not (why.isna() & (frame["outcome"] == name)).any():
            raise DataError(
                f"{source}: every measurement of {name} is below its limit of quantification, and blq='M1' drops them"
            )
