"""Doses that come in a frame of their own, beside a frame of observations."""

import numpy as np
import pandas as pd

from nlmebayes.data import tidy, validate
from nlmebayes.data.events import DOSE, checked, one_steady_state, states
from nlmebayes.data.reading import PLAIN
from nlmebayes.data.table import read_table
from nlmebayes.data.tidy import label, labelled_levels, level_names, level_parts
from nlmebayes.data.validate import DataError

OPTIONAL = ("rate", "duration", "addl", "ii", "ss", "state", "cmt")


def dose_frame(doses, observed, declared, rest, *, time, amount, subject, sort, source, reading=PLAIN):
    """Doses of a second frame, each acting before the records at its time (``position`` -1).

    ``observed`` is the first frame, ``rest`` its covariates and inputs, which a dose may have too; levels below the
    subject are missing where the doses do not have them.
    """
    if time is None:
        raise DataError(f"{source}: doses need a time column; give time=")
    names = level_names(declared)
    validate.free_of_doses((*names, time, *rest), source.removesuffix(", doses"))
    parts = level_parts(declared)
    table = read_table(doses, source, is_label=lambda column: column in parts, reading=reading.of_doses(doses))
    doses = table.frame
    own = _own_levels(doses, declared, subject)
    lacking = [part for part in level_parts(own) if part not in doses.columns]
    if lacking and len(names) > 1 and level_parts(own)[0] in doses.columns:
        raise DataError(
            f"{source}: no column {lacking[0]!r}, of the level whose doses they are: give it, or say which level is "
            f"followed in time, such as subject={names[0]!r}"
        )
    validate.columns_exist(doses, (*level_parts(own), time, amount), source)
    _known(doses, (*level_parts(own), time, amount), rest, source)
    frame = doses.assign(row=table.rows)
    found = labelled_levels(frame, own, source)
    for name in names:
        found[name] = found[name] if name in found else pd.Series([None] * len(found), dtype=object)
    found[time] = validate.numeric(frame, time, source)
    validate.finite(found, (time,), source)
    found = found.join(_given(frame, amount, source).drop(columns="row"))
    for column in rest:
        found[column] = _as_observed(frame, column, observed[column], source)
    validate.goes_on(found, subject, time, pd.Series(True, index=found.index), found["state"], source)
    one_steady_state(found, found[:0], subject, time, "ss", source)
    found = found.iloc[tidy.time_order(found, subject, time, sort, source)].reset_index(drop=True)
    tidy.occasions_stay(found, names, subject, source)
    return tidy.tabled(found.assign(position=-1), ("row", *names, time), tidy.DOSE, rest)


def _own_levels(doses, declared, subject):
    """Declarations down to the subject, and of the levels below it those that the doses have."""
    depth = level_names(declared).index(subject) + 1
    below = [level for level in declared[depth:] if set(level.split("/")) <= set(doses.columns)]
    return (*declared[:depth], *below)


def _known(doses, needed, rest, source):
    unknown = [c for c in doses.columns if c not in (*needed, *OPTIONAL, *rest)]
    if unknown:
        raise DataError(
            f"{source}: no meaning for column {unknown[0]!r}; a dose is {', '.join(needed)} and, where wanted, rate or "
            "duration, addl, ii, ss, state (or cmt), levels below the subject, and columns that the observations have"
        )
    for one, other in (("rate", "duration"), ("state", "cmt")):
        if one in doses.columns and other in doses.columns:
            raise DataError(f"{source}: columns {one!r} and {other!r} say the same; leave one out")
    both = [c for c in OPTIONAL if c in doses.columns and c in rest]
    if both:
        raise DataError(
            f"{source}: the column {both[0]!r} of doses is a covariate of the observations; rename that one"
        )


def _given(frame, amount, source):
    """Checked doses: ``row``, the columns of `events.DOSE`, ``state``."""
    values = validate.numeric(frame, amount, source)
    validate.finite(frame.assign(**{amount: values}), (amount,), source)
    found = frame[["row"]].assign(amount=values)
    for column in ("rate", "addl", "ii", "ss"):
        present = column in frame.columns
        found[column] = validate.numeric(frame, column, source).fillna(0.0) if present else 0.0
    if "duration" in frame.columns:
        found["rate"] = _rate(frame, values, source)
    names = {name: name for name in DOSE} | {"amount": amount}
    found = checked(found.assign(evid=np.nan), pd.Series(True, index=found.index), names, source).drop(columns="evid")
    return found.assign(state=states(frame, "cmt" if "cmt" in frame.columns else "state", source))


def _rate(frame, amount, source):
    """Rate of infusions of a given duration; an empty or zero duration is a bolus."""
    duration = validate.numeric(frame, "duration", source).fillna(0.0)
    known = frame.assign(duration=duration)
    validate.finite(known, ("duration",), source)
    validate.not_negative(known, "duration", source)
    return (amount / duration.where(duration > 0)).fillna(0.0)


def _as_observed(frame, column, observed, source):
    """A column of doses, of the kind that it has among the observations."""
    if column not in frame.columns:
        return pd.Series(np.nan, index=frame.index, dtype=observed.dtype)
    values = frame[column]
    if pd.api.types.is_bool_dtype(values):
        values = values.astype(float)
    if pd.api.types.is_float_dtype(observed):
        return validate.numeric(frame.assign(**{column: values}), column, source)
    text = values.astype(object).map(label, na_action="ignore")
    if not isinstance(observed.dtype, pd.CategoricalDtype):
        return text
    known = list(observed.cat.categories)
    problem = f"{{}} is no category of the observations, which are {', '.join(known)}"
    validate.refuse(frame.assign(**{column: text}), text.notna() & ~text.isin(known), column, problem, source)
    return pd.Series(pd.Categorical(text, categories=known, ordered=observed.cat.ordered), index=frame.index)
