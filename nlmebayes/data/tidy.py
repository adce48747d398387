"""Steps from a source frame to tidy frames: labels of levels, one row per measurement, order in time, doses."""

import numpy as np
import pandas as pd

from nlmebayes.data import validate
from nlmebayes.data.validate import DataError


def label(value):
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def labelled_levels(frame, declared, source):
    """Level columns as labels, each with the path of its parents: ``site``, ``site/subject``."""
    parts = list(dict.fromkeys(name for level in declared for name in level.split("/")))
    plain = {}
    for part in parts:
        missing = np.flatnonzero(frame[part].isna())
        if missing.size:
            validate.fail(source, frame["row"].iloc[missing[0]], part, "the label is missing")
        plain[part] = pd.Series([label(x) for x in frame[part].tolist()], dtype=object)
    unique = pd.DataFrame({level.split("/")[-1]: plain[level.split("/")[-1]] for level in declared})
    for level in declared:
        steps = level.split("/")
        if len(steps) > 1:
            unique[steps[-1]] = [("/".join(x)) for x in zip(*(plain[s] for s in steps), strict=True)]
    unique["row"] = frame["row"].to_numpy()
    names = [level.split("/")[-1] for level in declared]
    validate.nested(unique, names, source)
    path = pd.DataFrame({"row": unique["row"]})
    for i, name in enumerate(names):
        steps = [n for n in names[:i] if n not in declared[i].split("/")] + declared[i].split("/")
        path[name] = pd.Series(["/".join(x) for x in zip(*(plain[s] for s in steps), strict=True)], dtype=object)
    return path


def melted(frame, outcomes):
    keep = [c for c in frame.columns if c not in outcomes]
    long = frame.melt(id_vars=keep, value_vars=list(outcomes), var_name="outcome", value_name="value")
    return long.sort_values("row", kind="stable").reset_index(drop=True)


def in_time(frame, subject, time, sort, source):
    if sort:
        rank = frame[subject].map({label: i for i, label in enumerate(dict.fromkeys(frame[subject]))})
        order = np.lexsort((frame["row"].to_numpy(), frame[time].to_numpy(), rank.to_numpy()))
        return frame.iloc[order].reset_index(drop=True)
    validate.ordered(frame, subject, time, source)
    return frame


def dose_frame(doses, declared, time, amount, subject, sort, source):
    """Boluses of a second frame, each acting before the records at its time (``position`` -1)."""
    names = [level.split("/")[-1] for level in declared]
    if doses is None:
        return pd.DataFrame(columns=["row", *names, time or "time", "amount", "position"])
    if time is None:
        raise DataError(f"{source}: doses need a time column; give time=")
    parts = dict.fromkeys(p for d in declared[: names.index(subject) + 1] for p in d.split("/"))
    validate.columns_exist(doses, (*parts, time, amount), source)
    allowed = (*dict.fromkeys(p for d in declared for p in d.split("/")), time, amount)
    extra = [c for c in doses.columns if c not in allowed]
    if extra:
        wanted = ", ".join((*parts, time, amount))
        raise DataError(f"{source}: column {extra[0]!r} is not supported yet; a bolus is {wanted}")
    frame = validate.numbered(doses)
    labelled = labelled_levels(frame, declared[: names.index(subject) + 1], source)
    for column in (time, amount):
        labelled[column] = validate.numeric(frame, column, source)
    validate.finite(labelled, (time, amount), source)
    validate.not_negative(labelled, amount, source)
    labelled = in_time(labelled, subject, time, sort, source)
    return labelled.rename(columns={amount: "amount"}).assign(position=-1)
