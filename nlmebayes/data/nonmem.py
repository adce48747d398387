"""A NONMEM event table as the parts of a `Dataset`."""

import numpy as np
import pandas as pd

from nlmebayes.data import below, limits, tidy, validate
from nlmebayes.data.clock import hours
from nlmebayes.data.events import one_steady_state, records
from nlmebayes.data.outcomes import holds_units, named_outcomes, not_measured, one_unit
from nlmebayes.data.table import NONMEM, event_table
from nlmebayes.data.validate import DataError

BELOW = (
    "; of a measurement below the limit of quantification give the limit, and 1 in CENS, or say lloq= (lloq='<' where "
    "each cell says its limit, <0.5)"
)
LEFT_OUT = 2  # EVID of a record that gives no dose and is no observation


def read_nonmem(
    data, *, levels, outcome, covariates, inputs, sort, duplicates, unmeasured, lloq, uloq, blq, source, reading,
):  # fmt: skip
    """Fields of a `Dataset`; see `Dataset.from_nonmem`."""
    declared = _declared(levels, source or "event table")
    parts = tidy.level_parts(declared)
    table = event_table(data, source, lambda name: name.lower() in parts, reading, (*covariates, *inputs))
    frame, source = table.frame, table.name
    lower = ("id", "occ", *parts)
    frame = frame.rename(columns={c: c.lower() for c in frame.columns if c.lower() in lower})
    of_limits = limits.columns(lloq, uloq)
    needed = (*parts, *covariates, *inputs, *of_limits)
    validate.columns_exist(frame.drop(columns="row"), needed, source)
    names = tidy.level_names(declared)
    found = tidy.labelled_levels(frame, declared, source)
    subject = _followed(frame["id"], found, names)
    found["time"], origin = hours(frame, found[subject], source, reading.dates)
    validate.finite(found.rename(columns={"time": "TIME"}), ("TIME",), source)
    event = records(frame, source)
    measured, outcomes, why, raw = _measured(frame, event["evid"], outcome, unmeasured, lloq, uloq, blq, source)
    rest = tuple(c for c in frame.columns if c not in (*NONMEM, *names, *of_limits, "row"))
    units = _one_unit_each(frame, rest, (*covariates, *inputs), measured["outcome"], event["evid"], source)
    validate.free_of_doses((*names, *rest), source)
    for column in rest:
        found[column] = validate.column_of_covariate(frame, column, source)
    validate.apart(source, **{"a column": (*names, "time", *rest), "an outcome": outcomes})
    found = found.join(event.drop(columns="row")).join(measured.drop(columns="row"))
    found["evid"] = event["evid"].mask(why.notna(), LEFT_OUT)
    changing = tidy.varying(found, rest, covariates, inputs, names[-1], found["evid"] == 0, source)
    found, raw = _in_order(found, raw, subject, sort, source)
    tidy.occasions_stay(found, names, subject, source)
    if "occ" in rest:
        validate.no_return(found, subject, "occ", source)
    observations, doses, events = _split(found, names, rest)
    one_steady_state(doses, found[found["evid"].isin([0, 3, 4])], subject, "time", "SS", source)
    if duplicates == "error":
        keys = [names[-1], "time", "outcome", "value", *changing]
        tidy.unique_records(observations, raw[found["evid"] == 0], keys, source)
    units |= _below_the_names(table.units, outcomes, rest)
    return tidy.followed(observations, doses, events, subject, tidy.counted(why) | table.left_out) | {
        "levels": names, "outcomes": outcomes, "time": "time", "subject": subject, "blq": blq, "source": source,
        "covariates": tuple(c for c in rest if c not in changing), "inputs": changing, "origin": origin,
        "unique": tidy.unique_levels(declared),
        "notes": table.notes,
        "spelled": table.spelled, "unit_of": units,
    }  # fmt: skip


def _declared(levels, source):
    """The declared levels in lower case, an occasion below its subject."""
    declared = tuple(name.lower() for name in levels)
    if not declared:
        raise DataError(f"{source}: needs at least one level, such as levels=('id',)")
    return tuple("id/occ" if name == "occ" and "id" in declared else name for name in declared)


def _followed(individual, found, names):
    """The level that NONMEM's ID is, under whatever name; the innermost where none is."""
    if "id" in names:
        return "id"
    for name in reversed(names):
        pairs = pd.DataFrame({"id": individual.to_numpy(), "label": found[name]}).drop_duplicates()
        if not (pairs["id"].duplicated().any() or pairs["label"].duplicated().any()):
            return name
    return names[-1]


def _measured(frame, evid, outcome, unmeasured, lloq, uloq, blq, source):
    """Measurement of each record, the outcomes, why an observation record is left out, and DV as it is."""
    predict = unmeasured == "predict"
    observed = evid == 0
    mdv = not_measured(frame, source) & observed
    outcomes, name = named_outcomes(frame, observed, observed & (~mdv | predict), outcome, source)
    low, high = limits.quantified(lloq, uloq, frame.assign(outcome=name), outcomes, source)
    shown = frame.assign(DV=frame["DV"].mask(mdv))  # what MDV leaves out may say anything
    said = {"lloq": limits.of_words(lloq, low), "uloq": limits.of_words(uloq, high)}
    raw, worded = below.stated(shown, "DV", said, source, BELOW)
    _one_of_both(frame, evid, raw, source)
    x = frame[["row"]].assign(outcome=name, value=raw.where(observed))
    validate.refuse(x, np.isinf(x["value"]), "value", "is infinite", source, "DV")
    for each in () if predict else outcomes:
        if x["value"][name == each].isna().all():
            raise DataError(
                f"{source}, column DV: the outcome {each} is missing in every record; of a patient without "
                "measurements say unmeasured='predict'"
            )
    flag, limit = _censoring(frame, evid, source)
    flag = flag.mask(worded != 0, worded)
    here = observed & ~mdv
    names = {"value": "DV", "flag": "CENS", "limit": "LIMIT"}
    known = limits.limited(x[here], flag[here], limit[here], low[here], high[here], blq, names, source)
    x = known.reindex(x.index).assign(row=x["row"], outcome=name)
    why = limits.left_out(x, unmeasured, blq)
    why = why.mask(mdv & (not predict), "MDV is 1").where(observed, None)
    limits.some_left(x.assign(outcome=name.where(observed)), why, outcomes, source)
    return x, outcomes, why, raw


def _one_of_both(frame, evid, measured, source):
    """No record without EVID is a dose and a measurement, which NONMEM would leave out."""
    if "EVID" not in frame.columns and "MDV" not in frame.columns:
        both = evid.isin([1, 4]) & measured.notna() & (measured != 0)
        problem = (
            "{} on a record with a dose, so that NONMEM leaves the measurement out; write two records, or say with MDV "
            "or EVID which it is"
        )
        validate.refuse(frame, both, "DV", problem, source)


def _below_the_names(units, outcomes, rest):
    """Units of a line below the names, by outcome, covariate, time and the amounts."""
    of_all = {"TIME": ("time",), "AMT": ("amount",), "DV": outcomes}
    return {name: unit for column, unit in units.items()
            for name in of_all.get(column, (column,) if column in rest else ())}  # fmt: skip


def _censoring(frame, evid, source):
    """CENS and LIMIT; a dose has neither."""
    flag, limit = pd.Series(0.0, index=frame.index), pd.Series(np.nan, index=frame.index)
    if "CENS" in frame.columns:
        flag = limits.flags(frame, "CENS", source)
    if "LIMIT" in frame.columns:
        limit = validate.numeric(frame, "LIMIT", source)
    x = frame[["row"]].assign(CENS=flag, LIMIT=limit)
    dose = evid.isin([1, 4])
    validate.refuse(x, dose & (flag != 0), "CENS", "{:g} on a dose, which cannot be censored", source)
    validate.refuse(x, dose & limit.notna() & (limit != 0), "LIMIT", "{:g} on a dose, which cannot be censored", source)
    return flag, limit


def _one_unit_each(frame, rest, declared, outcome, evid, source):
    """Units of the outcomes, of the amounts and of time, as columns of units say them."""
    found = {}
    for column in rest:
        if holds_units(column) and column not in declared:
            found |= one_unit(frame, column, outcome, evid == 0, evid.isin([1, 4]), source)
    return found


def _in_order(found, raw, subject, sort, source):
    """Records by subject and time, as they are unless ``sort``."""
    if not sort:
        validate.together(found, subject, source)
        step = found.groupby(subject, sort=False)["time"].diff()
        problem = (
            "{:g}: time goes back at a reset (EVID 3 or 4), which is not supported; let it go on: a reset wipes the "
            "state, so any offset of the later times serves"
        )
        validate.refuse(found, (step < 0) & found["evid"].isin([3, 4]), "time", problem, source, "TIME")
    gives = found["evid"].isin([1, 4])
    validate.goes_on(found, subject, "time", gives, found["state"], source, "TIME")
    order = tidy.time_order(found, subject, "time", sort, source)
    return found.iloc[order].reset_index(drop=True), raw.iloc[order].reset_index(drop=True)


def _split(found, names, rest):
    """Observations, doses and other events."""
    before = ("row", *names, "time")
    found = found.assign(
        position=found["row"], kind=np.where(found["evid"] == LEFT_OUT, "other", "reset").astype(object)
    )
    parts = (((0,), tidy.MEASUREMENT), ((1, 4), tidy.DOSE), ((2, 3, 4), tidy.EVENT))
    return tuple(tidy.tabled(found[found["evid"].isin(evid)], before, own, rest) for evid, own in parts)
