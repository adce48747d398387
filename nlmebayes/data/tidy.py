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


def dose_frame(doses, declared, time, amount, subject, source):
    names = [level.split("/")[-1] for level in declared]
    empty = pd.DataFrame(columns=["row", *names, time or "time", "amount", "position"])
    if doses is None:
        return empty
    if time is None:
        raise DataError(f"{source}: doses need a time column; give time=")
    kept = declared[: names.index(subject) + 1] if subject else declared
    validate.columns_exist(doses, (*dict.fromkeys(p for d in kept for p in d.split("/")), time, amount), source)
    extra = [c for c in doses.columns if c.lower() in ("rate", "addl", "ii", "ss", "dur", "cmt", "evid")]
    if extra:
        raise DataError(f"{source}: column {extra[0]!r} is not supported yet; doses are single boluses")
    frame = validate.numbered(doses)
    labelled = labelled_levels(frame, kept, source)
    labelled[time] = validate.numeric(frame, time, source)
    labelled["amount"] = validate.numeric(frame, amount, source)
    return labelled.assign(position=-1)
