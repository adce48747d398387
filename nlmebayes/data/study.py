"""A tidy frame of observations, and one of doses, as the parts of a `Dataset`."""

import numpy as np
import pandas as pd

from nlmebayes.data import below, limits, tidy, validate
from nlmebayes.data.doses import dose_frame
from nlmebayes.data.flags import ask_of_flags
from nlmebayes.data.table import read_table
from nlmebayes.data.validate import DataError

BELOW = (
    "; of a measurement below the limit of quantification give the limit, and 1 in the column that censored= names, or "
    "say lloq= (lloq='<' where each cell says its limit, <0.5)"
)
CLOCK = "; write times as numbers, such as hours since the first record (dates and clocks are read by from_nonmem)"


def read_study(
    frame, *, outcome, levels, time, covariates, inputs, doses, amount, subject, sort, duplicates, unmeasured,
    censored, limit, lloq, uloq, blq, source, reading, status=None, complete=(),
):  # fmt: skip
    """Fields of a `Dataset`; see `Dataset.from_frame`."""
    declared, outcomes = levels, outcome
    if reading.dates is not None:
        raise DataError(f"{source or 'data'}: dates={reading.dates!r}: no date is read here{CLOCK}")
    parts, names = tidy.level_parts(declared), tidy.level_names(declared)
    table = read_table(
        frame, source or "data", is_label=lambda column: column in parts,
        is_number=lambda column: column in (time, *outcomes), reading=reading,
    )  # fmt: skip
    frame, source = table.frame, source or table.name
    status = _status(status, outcomes, source)
    of_limits = limits.columns(censored, limit, lloq, uloq, *status.values())
    roles = {
        "a level": names, "the time": (time,) if time else (), "an outcome": outcomes,
        "a covariate": covariates, "an input": inputs, "a limit": of_limits,
    }  # fmt: skip
    _check_roles(frame, roles, declared, subject, source)
    frame = frame.assign(row=table.rows)
    told = (*outcomes, *names, *covariates, *inputs, *of_limits)
    ask_of_flags(frame, told, "censored='{name}'", source)
    said = {"lloq": lloq, "uloq": uloq}
    labelled, worded, rest = _labelled(frame, declared, roles, said, source)
    given = None
    if doses is not None and subject is None and time is not None:
        _not_in_turn(labelled, names, time, source)
    subject = names[-1] if subject is None else subject
    if doses is not None:
        given = dose_frame(
            doses, labelled, declared, rest, time=time, amount=amount, subject=subject, sort=sort,
            source=f"{source}, doses", reading=reading,
        )  # fmt: skip
        doubled = given.loc[given.duplicated([subject, time, "state"]), subject]
        validate.goes_on(labelled, subject, time, labelled[subject].isin(doubled), None, source)
    validate.columns_exist(frame, complete, source, reserved=())
    changing = _changing(labelled, given, rest, roles, subject, source)
    observations, why = _measured(
        labelled, worded, frame, outcomes, unmeasured=unmeasured, censored=censored, limit=limit, lloq=lloq, uloq=uloq,
        blq=blq, source=source, status=status,
    )  # fmt: skip
    for column in complete:
        lost = _at(frame, observations["row"])[column].isna().to_numpy()
        why = why.mask(lost & why.isna().to_numpy(), f"{column} is missing")
    if time is not None:
        validate.finite(observations, (time,), source)
        order = tidy.time_order(observations, subject, time, sort, source)
        observations, why = observations.iloc[order], why.iloc[order]
        tidy.occasions_stay(observations, names, subject, source)
        if duplicates == "error":
            keys = [names[-1], time, "outcome", "value", *changing]
            tidy.unique_records(observations, observations["raw"], keys, source)
    kept = tidy.tabled(observations[why.isna()], ("row", *names, *roles["the time"]), tidy.MEASUREMENT, rest)
    before = ("row", *names, time or "time")
    given = tidy.nothing_in(kept, before, tidy.DOSE, rest) if given is None else given
    within = [c for c in (*names[names.index(subject) + 1 :], *rest) if validate.changes(labelled, subject, c)]
    events = _unmeasured(observations, kept, before, rest, within if time else ())
    return tidy.followed(kept, given, events, subject, tidy.counted(why) | table.left_out) | {
        "levels": names, "outcomes": outcomes, "time": time, "subject": subject, "blq": blq, "source": source,
        "covariates": tuple(c for c in rest if c not in changing), "inputs": changing,
        "unique": tidy.unique_levels(declared),
        "notes": table.notes,
        "unit_of": {name: unit for name, unit in table.units.items() if name in (*roles["the time"], *outcomes, *rest)},
        "spelled": table.spelled,
    }  # fmt: skip


def _unmeasured(observations, kept, before, rest, changing):
    """Rows on which nothing was measured, as events at which what changes within the subject is known."""
    known = observations[~observations["row"].isin(kept["row"]) & observations["value"].isna()].drop_duplicates("row")
    if not (changing and len(known)):
        return tidy.nothing_in(kept, before, tidy.EVENT, rest)
    return tidy.tabled(known.assign(position=known["row"], kind="other"), before, tidy.EVENT, rest)


def _status(status, outcomes, source):
    """Column that says whether the event was seen, by outcome."""
    if status is None or isinstance(status, dict):
        for name in status or {}:
            if name not in outcomes:
                raise DataError(f"{source}: status= names {name!r}; the outcomes are {', '.join(outcomes)}")
        return status or {}
    if len(outcomes) > 1:
        raise DataError(f"{source}: several outcomes; say of which status= is: {{{outcomes[0]!r}: {status!r}}}")
    return {outcomes[0]: status}


def _check_roles(frame, roles, declared, subject, source):
    """Every column that an argument names exists and has one role."""
    names = roles["a level"]
    if not names or not roles["an outcome"] or subject not in (None, *names):
        raise DataError(f"{source}: needs an outcome, at least one level, and as subject= one of the levels {names}")
    validate.apart(source, **roles)
    others = [c for role, columns in roles.items() if role != "a level" for c in columns]
    validate.columns_exist(frame, (*tidy.level_parts(declared), *others), source)
    if frame.empty:
        raise DataError(f"{source}: no rows")


def _not_in_turn(labelled, names, time, source):
    """Members of the innermost level are not occasions of one subject, by the look of their times: those of each group
    of several follow one another."""
    if len(names) < 2:
        return
    parent, inner = names[-2:]
    spans = labelled.groupby([parent, inner], sort=False)[time].agg(["min", "max"])
    spans = spans.sort_values([parent, "min", "max"])
    later = spans.groupby(parent, sort=False).shift()
    pairs = later["min"].notna()
    touch = (spans["min"] == later["max"]) & (later["max"] > later["min"])
    follows = (spans["min"] > later["max"]) | touch
    if pairs.any() and follows[pairs].all():
        raise DataError(
            f"{source}: one {inner} of a {parent} follows after another, so it may be an occasion: say "
            f"subject={parent!r} (what is left of a dose is carried over), or subject={inner!r} (each {inner} starts "
            "without drug)"
        )


def _at(frame, rows):
    """The rows of a frame with these numbers."""
    return frame.set_index("row", drop=False).loc[rows].reset_index(drop=True)


def _labelled(frame, declared, roles, limit_of, source):
    """The frame with labels of levels and with numbers, -1, 0 or 1 of the measurements of each outcome that are stated
    in words, and the columns that have no role yet or are covariates."""
    found, worded = tidy.labelled_levels(frame, declared, source), {}
    outcomes = roles["an outcome"]
    measured = (*roles["the time"], *outcomes)
    for column in roles["the time"]:
        found[column] = validate.numeric(frame, column, source, CLOCK)
    for column in outcomes:
        per_record = limits.quantified(*limit_of.values(), frame.assign(outcome=column), outcomes, source)
        said = {word: limits.of_words(limit_of[word], x) for word, x in zip(limit_of, per_record, strict=True)}
        found[column], worded[column] = below.stated(frame, column, said, source, BELOW)
    taken = (*roles["a level"], *measured, *roles["a limit"], "row")
    rest = tuple(c for c in frame.columns if c not in taken)
    for column in rest:
        found[column] = validate.column_of_covariate(frame, column, source)
    return found, worded, rest


def _changing(labelled, given, rest, roles, subject, source):
    """Columns that vary within the innermost unit, in the observations or the doses."""
    names, covariates, inputs = roles["a level"], roles["a covariate"], roles["an input"]
    seen = pd.Series(True, index=labelled.index)
    changing = tidy.varying(labelled, rest, covariates, inputs, names[-1], seen, source)
    if given is None:
        return changing
    both = pd.concat([labelled, given[["row", *names, *rest]]], ignore_index=True)
    seen = pd.Series(np.arange(len(both)) < len(labelled))
    changing = tidy.varying(both, rest, covariates, inputs, names[-1], seen, f"{source}, doses")
    # A dose of no innermost unit can be compared with its subject, where that has one value.
    of_subject = both[seen | both[names[-1]].isna()]
    one = [c for c in rest if c not in changing and validate.changes(labelled, subject, c) is None]
    more = tidy.varying(of_subject, one, covariates, inputs, subject, seen[of_subject.index], f"{source}, doses")
    return tuple(c for c in rest if c in (*changing, *more))


def _measured(labelled, worded, frame, outcomes, *, unmeasured, censored, limit, lloq, uloq, blq, source, status):
    """One row per measurement with its limits and its ``raw`` value, and why each is left out."""
    if len(outcomes) > 1 and (censored or limit):
        raise DataError(f"{source}: censored= and limit= are of a single outcome; give lloq={{outcome: limit}}")
    long = tidy.melted(labelled, outcomes)
    for name in outcomes:
        here = long.loc[long["outcome"] == name, ["row", "value"]].rename(columns={"value": name})  # also "outcome"
        if unmeasured == "exclude":
            validate.not_all_missing(here, name, source)
        validate.refuse(here, np.isinf(here[name]), name, "is infinite", source)
    origin = _at(frame, long["row"]).assign(outcome=long["outcome"])
    nothing = pd.Series(np.nan, index=long.index)
    flag = limits.flags(origin, censored, source) if censored else nothing.fillna(0.0)
    for name, each in worded.items():
        said = each.set_axis(frame["row"]).reindex(long["row"]).to_numpy()
        flag = flag.mask((long["outcome"] == name) & (said != 0), pd.Series(said, index=long.index))
    for name, column in status.items():
        flag = flag.mask(limits.ended(origin, long, name, column, source), -1.0)
    other = validate.numeric(origin, limit, source) if limit else nothing
    low, high = limits.quantified(lloq, uloq, origin, outcomes, source)
    names = {"flag": censored, "limit": limit} | ({"value": outcomes[0]} if len(outcomes) == 1 else {})
    found = limits.limited(long, flag, other, low, high, blq, names, source).assign(raw=long["value"])
    why = limits.left_out(found, unmeasured, blq)
    limits.some_left(found, why, outcomes, source)
    return found, why
