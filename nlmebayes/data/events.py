"""What an event record says: a dose, a reset, or nothing but new covariates. Each rule stands once, in `RULES`."""

from itertools import pairwise

import numpy as np
import pandas as pd

from nlmebayes.data import validate
from nlmebayes.data.clock import clock_hours

DOSE = ("amount", "rate", "addl", "ii", "ss")
NAMES = {"amount": "AMT", "rate": "RATE", "addl": "ADDL", "ii": "II", "ss": "SS", "evid": "EVID"}
MOST = 100_000  # additional doses of a record: every six minutes for a year
NO_DOSES = {0: "an observation record", 2: "another event", 3: "a reset"}

# (column, where it is broken, what is wrong); the earlier rules may be taken for granted by the later ones.
# x.gives: the record gives a dose; x.constant: an infusion that has always run.
RULES = (
    ("amount", lambda x: x.amount < 0, "{:g} is negative"),
    *(
        ("amount", lambda x, evid=evid: (x.evid == evid) & (x.amount > 0), f"{{:g}} on {kind} (EVID {evid})")
        for evid, kind in NO_DOSES.items()
    ),
    (
        "rate",
        lambda x: (x.rate < 0) & ~x.rate.isin([-1, -2]),
        "{:g} is negative; only -1 (modelled rate) and -2 (modelled duration) have a meaning",
    ),
    ("rate", lambda x: ~x.gives & (x.rate != 0), "{:g} on a record that gives no dose"),
    ("addl", lambda x: x.addl < 0, "{:g} is negative; NONMEM's negative ADDL is not supported"),
    ("addl", lambda x: x.addl % 1 != 0, "{:g} is not a whole number"),
    (
        "addl",
        lambda x: x.addl > MOST,
        f"{{:g}} additional doses; at most {MOST:,} can be, so give as many as were taken",
    ),
    ("addl", lambda x: ~x.gives & (x.addl > 0), "{:g} on a record that gives no dose"),
    ("ii", lambda x: x.ii < 0, "{:g} is negative"),
    ("ii", lambda x: ~x.gives & (x.ii > 0), "{:g} on a record that gives no dose"),
    (
        "ss",
        lambda x: ~x.ss.isin([0, 1, 2, 3]),
        "{:g} is none of 0, 1, 2, 3; leave it empty where there is no steady state",
    ),
    ("ss", lambda x: ~x.gives & (x.ss > 0), "{:g} on a record that gives no dose; leave it empty there"),
    (
        "addl",
        lambda x: x.constant & (x.addl > 0),
        "{:g} additional doses of a constant infusion (SS with AMT 0 and II 0), which has none",
    ),
    ("addl", lambda x: (x.addl > 0) & (x.ii == 0), "{:g} additional doses without an interval II"),
    (
        "ss",
        lambda x: (x.ss > 0) & (x.ii == 0) & (x.rate == -2),
        "{:g}: the steady state of an infusion of modelled duration (RATE -2) needs an interval II",
    ),
    (
        "ss",
        lambda x: (x.ss > 0) & (x.ii == 0) & ~x.constant,
        "{:g}: a steady state needs the interval II, or for a constant infusion AMT 0 and a RATE; leave SS empty where "
        "there is none",
    ),
    *(
        (
            "amount",
            lambda x, evid=evid: (x.evid == evid) & (x.amount == 0) & ~x.constant,
            f"a dose record (EVID {evid}) without an amount",
        )
        for evid in (1, 4)
    ),
    ("rate", lambda x: (x.rate != 0) & (x.amount == 0) & ~x.constant, "{:g} without an amount"),
    ("ii", lambda x: (x.ii > 0) & (x.addl == 0) & (x.ss == 0), "{:g} without ADDL or SS"),
)


def records(frame, source):
    """Event and dose of each record of a NONMEM table: ``row, evid``, those of `DOSE`, and ``state``."""
    found = frame[["row"]].copy()
    for name in DOSE:
        found[name] = _column(frame, NAMES[name], source)
    found["evid"] = _evid(frame, found, source)
    found = checked(found, found["evid"].isin([1, 4]), NAMES, source)
    return found.assign(state=states(frame, "CMT", source))


def checked(doses, gives, names, source):
    """The doses, having passed `RULES`; ``names`` are those of the columns in the source."""
    validate.finite(doses.rename(columns=names), [names[name] for name in DOSE if name in names], source)
    constant = (doses["ss"] > 0) & (doses["ii"] == 0) & (doses["amount"] == 0)
    x = doses.assign(gives=gives, constant=constant & ((doses["rate"] > 0) | (doses["rate"] == -1)))
    for column, broken, problem in RULES:
        validate.refuse(x, broken(x), column, problem, source, names.get(column))
    # NONMEM's SS=3 is 1 but for where its search of a steady state starts.
    return doses.assign(addl=doses["addl"].astype(int), ss=doses["ss"].replace(3, 1).astype(int))


def one_steady_state(doses, seen, subject, time, column, source):
    """No steady state takes the place of another at its very time, which would never have been; ``seen`` are records
    between which it may: observations and resets."""
    steady = doses[doses["ss"] == 1]
    for _, same in steady[steady.duplicated([subject, time], keep=False)].groupby([subject, time], sort=False):
        here = seen["row"][(seen[subject] == same[subject].iloc[0]) & (seen[time] == same[time].iloc[0])]
        for first, second in pairwise(same["row"]):
            if not here.between(first, second, inclusive="right").any():
                problem = (
                    f"SS 1 takes the place of all that was, so that of row {first}, at the same time, would be lost "
                    "(as in NONMEM); with SS 2 this steady state is added to it, or leave one out"
                )
                validate.fail(source, second, column, problem)


def states(frame, column, source):
    """Labels of the states of a column of numbers or names; None where it is empty or 0."""
    if column not in frame.columns:
        return pd.Series([None] * len(frame), index=frame.index, dtype=object)
    values = frame[column].astype(object)
    number = pd.to_numeric(values, errors="coerce").astype(float)
    validate.refuse(frame, number < 0, column, "{}: turning compartments off is not supported", source)
    validate.refuse(frame, number % 1 > 0, column, "{} is neither a whole number nor a name", source)
    nothing = validate.blank(values) | (number == 0)
    labels = [
        None if no else str(int(n)) if np.isfinite(n) else str(text).strip()
        for no, n, text in zip(nothing, number, values, strict=True)
    ]
    return pd.Series(labels, index=frame.index, dtype=object)


def _column(frame, name, source):
    if name not in frame.columns:
        return pd.Series(0.0, index=frame.index)
    return (clock_hours if name == "II" else validate.numeric)(frame, name, source).fillna(0.0)


def _evid(frame, doses, source):
    """EVID, or what it would be: 1 where there is an amount, or a rate at a steady state."""
    if "EVID" not in frame.columns:
        steady = (doses["ss"] > 0) & (doses["rate"] != 0)
        return ((doses["amount"] != 0) | steady).astype(int)
    evid = validate.numeric(frame, "EVID", source)
    validate.refuse(frame, evid.isna(), "EVID", "is missing", source)
    where = np.flatnonzero(~evid.isin([0, 1, 2, 3, 4]))
    if where.size:
        value = evid.iloc[where[0]]
        old = 100 <= value < 1e9 and value % 100 == 1
        mend = f": RxODE's old coding; write EVID 1 with CMT {value // 100 % 100:g} (EVID // 100)" if old else ""
        problem = f"{value:g} is none of 0, 1, 2, 3, 4{mend}"
        validate.fail(source, frame["row"].iloc[where[0]], "EVID", problem)
    return evid.astype(int)
