"""Which outcome an observation record of a NONMEM table belongs to, and whether all are in one unit."""

import re

import numpy as np
import pandas as pd

from nlmebayes.data import validate
from nlmebayes.data.events import states
from nlmebayes.data.validate import DataError


def named_outcomes(frame, observed, measured, outcome, source):
    """Names of the outcomes, and per record that of its own.

    ``observed`` are the observation records, ``measured`` those without MDV=1. DVID, or else CMT, tells several
    outcomes apart.
    """
    if not outcome:
        raise DataError(f"{source}: outcome= is empty; write a name for each DVID, {{1: 'conc', 2: 'effect'}}")
    if isinstance(outcome, str) and "DVID" not in frame.columns:
        one_compartment(frame, measured, source)
        return (outcome,), pd.Series(outcome, index=frame.index, dtype=object)
    column = next((name for name in ("DVID", "CMT") if name in frame.columns), None)
    if column is None:
        raise DataError(f"{source}: outcome= maps DVID (or CMT) to names, but there is no column DVID or CMT")
    keys = frame["DVID"] if column == "DVID" else states(frame, "CMT", source)
    if isinstance(outcome, str):
        outcome = _mapping(frame, keys, observed, measured, outcome, source)
    elif column == "CMT":
        outcome = {_state(key): name for key, name in outcome.items()}
    given = ", ".join(map(repr, outcome))
    mend = f"name it too, or leave it out: ignore='{column}.EQ.{{0}}'"
    problem = f"{{0}} has no name in outcome=, which names {given}; {mend}"
    validate.refuse(frame.assign(**{column: keys}), measured & ~keys.isin(list(outcome)), column, problem, source)
    names = tuple(dict.fromkeys(outcome.values()))
    if len(names) < len(outcome):
        raise DataError(f"{source}: outcome= gives one name to several of {', '.join(map(str, outcome))}")
    return names, keys.map(outcome).astype(object).where(keys.isin(list(outcome)), names[0])


def _state(key):
    return f"{key:g}" if isinstance(key, int | float) else str(key)


def _mapping(frame, keys, observed, measured, outcome, source):
    """DVID -> name where one name was given: all records are of that outcome, or text names itself."""
    validate.refuse(frame, measured & keys.isna(), "DVID", "is missing on an observation record", source)
    present = keys[observed].dropna()
    if len({isinstance(key, str) for key in present}) > 1:
        raise DataError(f"{source}, column DVID: numbers and text are mixed")
    seen = sorted(present.unique())
    if len(seen) <= 1:
        one_compartment(frame, measured, source)
        return dict.fromkeys(seen, outcome)
    if not isinstance(seen[0], str):
        example = ", ".join(f"{n:g}: 'outcome{i}'" for i, n in enumerate(seen, 1))
        raise DataError(f"{source}, column DVID: several outcomes; name them, e.g. outcome={{{example}}}")
    return {key: key for key in seen}


def one_compartment(frame, records, source):
    """These records name one compartment, if they name any."""
    label = states(frame, "CMT", source)
    named = frame[records & label.notna()].assign(CMT=label[records & label.notna()])
    if len(named):
        first = named["CMT"].iloc[0]
        problem = (
            f"{{}}: samples from several compartments ({first} before) need a column DVID, or names by compartment, "
            f"e.g. outcome={{{{{first}: 'conc', ...}}}}"
        )
        validate.refuse(named, named["CMT"] != first, "CMT", problem, source)


def one_unit(frame, column, outcome, observed, gives, source):
    """A column of units (UNIT, DVUNIT, AMTUNIT, TIMEUNIT, ...) says the same of all that it is about.

    AMTUNIT and DOSEUNIT are about doses, TIMEUNIT and DATEUNIT about every record, all others about the observations
    of each outcome. Returns the units, by outcome, of ``"amount"`` or ``"time"``; none of a column that is about
    something else, such as WTUNIT.
    """
    about = re.match("amt|dose|time|date", column.lower())
    kind = about.group() if about else ""
    groups = outcome.where(observed) if not kind else pd.Series("all", index=frame.index)
    groups = groups.where(gives) if kind in ("amt", "dose") else groups
    unit = frame[column].astype(object).where(~validate.blank(frame[column]))
    unit = unit.map(lambda text: str(text).strip(), na_action="ignore")
    here = groups.notna() & unit.notna()
    first = unit[here].groupby(groups[here]).transform("first").reindex(frame.index)
    where = np.flatnonzero(here & (unit != first))
    if where.size:
        i = where[0]
        validate.fail(
            source, frame["row"].iloc[i], column,
            f"{unit.iloc[i]} after {first.iloc[i]}: convert to one unit; nothing is converted silently. (If the column "
            "is no unit of measurement, list it in covariates= or inputs=)",
        )  # fmt: skip
    said = unit[here].groupby(groups[here]).first().to_dict()
    if kind:
        about = {"amt": "amount", "dose": "amount", "time": "time"}.get(kind)
        return dict.fromkeys([about] if about else [], next(iter(said.values()), ""))
    return said if re.fullmatch("(dv)?units?", column.lower()) else {}


def holds_units(column):
    return re.search("units?$", column.lower()) is not None


def not_measured(frame, source):
    """Whether MDV is 1."""
    if "MDV" not in frame.columns:
        return pd.Series(False, index=frame.index)
    mdv = validate.numeric(frame, "MDV", source).fillna(0.0)
    validate.refuse(frame.assign(MDV=mdv), ~mdv.isin([0, 1]), "MDV", "{:g} is neither 0 nor 1", source)
    return mdv == 1
