"""Steps from a source frame to tidy frames: labels of levels, one row per measurement, order in time, roles."""

import numpy as np
import pandas as pd

from nlmebayes.data import validate

DOSE = ("amount", "position", "state", "rate", "addl", "ii", "ss")
EVENT = ("position", "kind")
MEASUREMENT = ("outcome", "value", "lower", "upper")
LARGEST = 2.0**63  # of whole numbers that a column of those holds
TYPES = {"row": int, "amount": float, "rate": float, "addl": int, "ii": float, "ss": int}


def label(value):
    """A label as text: 1 and 1.0 are one number, and "1", "1.0" and "01" three texts."""
    if isinstance(value, float | np.floating) and abs(value) < LARGEST and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def level_names(declared):
    """Names of the levels of declarations such as ``site/subject``."""
    return tuple(level.split("/")[-1] for level in declared)


def level_parts(declared):
    """The columns that declarations of levels read."""
    return tuple(dict.fromkeys(name for level in declared for name in level.split("/")))


def unique_levels(declared):
    """Levels below another that are declared without it."""
    return tuple(level for level in declared[1:] if "/" not in level)


def own_labels(units, levels, level):
    """Labels of a level without those of the level above, which begin them."""
    place = levels.index(level)
    if place == 0:
        return units[level].tolist()
    pairs = zip(units[level], units[levels[place - 1]], strict=True)
    return [path.removeprefix(f"{parent}/") for path, parent in pairs]


def labelled(frame, column, source):
    """The labels of a column; none is missing or blank."""
    values = frame[column]
    if values.dtype == object:  # 1 and True are one number there, and two labels
        labels = [label(x) for x in values.tolist()]
    else:
        codes, distinct = pd.factorize(values)
        labels = np.array([*map(label, distinct.tolist()), ""], dtype=object)[codes]
    labels = pd.Series(labels, dtype=object)
    empty = values.isna().to_numpy() | (labels == "").to_numpy()
    validate.refuse(frame, empty, column, "the label is missing (empty, a point, or NA)", source)
    return labels


def labelled_levels(frame, declared, source):
    """Level columns as labels, each with the path of its parents: ``site``, ``site/subject``."""
    plain = {}
    for part in level_parts(declared):
        plain[part] = labelled(frame, part, source)
    unique = pd.DataFrame({level.split("/")[-1]: plain[level.split("/")[-1]] for level in declared})
    for level in declared:
        steps = level.split("/")
        if len(steps) > 1:
            unique[steps[-1]] = [("/".join(x)) for x in zip(*(plain[s] for s in steps), strict=True)]
    unique["row"] = frame["row"].to_numpy()
    names = level_names(declared)
    validate.nested(unique, names, source)
    path = pd.DataFrame({"row": unique["row"]})
    for i, name in enumerate(names):
        steps = [n for n in names[:i] if n not in declared[i].split("/")] + declared[i].split("/")
        joined = ["/".join(x) for x in zip(*(plain[s] for s in steps), strict=True)] if steps[1:] else plain[steps[0]]
        path[name] = pd.Series(joined, dtype=object)
    return path


def melted(frame, outcomes):
    """One row per measurement, in the order of the source's rows."""
    keep = [c for c in frame.columns if c not in outcomes]
    long = frame.melt(id_vars=keep, value_vars=list(outcomes), var_name="outcome", value_name="value")
    kinds = frame.dtypes[keep].to_dict() | {"outcome": object}  # pandas' melt makes strings of objects
    return long.sort_values("row", kind="stable").reset_index(drop=True).astype(kinds)


def time_order(frame, subject, time, sort, source):
    """Positions of the records in order of time within each subject, which they have unless ``sort``."""
    if not sort:
        validate.ordered(frame, subject, time, source)
        return np.arange(len(frame))
    rank = frame[subject].map({label: i for i, label in enumerate(dict.fromkeys(frame[subject]))})
    return np.lexsort((frame["row"].to_numpy(), frame[time].to_numpy(), rank.to_numpy()))


def varying(frame, rest, covariates, inputs, unit, observed, source):
    """The columns of ``rest`` that vary within a unit, or are listed as ``inputs``; a declared covariate may not.

    A missing value is one that differs, but not on a dose or another event (``observed`` is false).
    """
    found = []
    for column in rest:
        here = frame[(observed | frame[column].notna()) & frame[unit].notna()]
        if column in covariates:
            validate.constant(here, unit, column, source)
        elif column in inputs or validate.changes(here, unit, column):
            found.append(column)
    return tuple(found)


def occasions_stay(frame, levels, subject, source):
    """No member of a level below the subject comes back; records are in order of time."""
    for level in levels[levels.index(subject) + 1 :]:
        validate.no_return(frame, subject, level, source)


def unique_records(frame, raw, keys, source):
    """No measurement stands twice; ``raw`` are the values before limits of quantification."""
    frame = frame.assign(value=raw)
    validate.no_duplicates(frame[frame["value"].notna()], [*keys, "lower", "upper"], source)


def tabled(frame, before, own, after):
    """The columns of one of a dataset's frames in their order, with the kinds of numbers they hold."""
    columns = list(dict.fromkeys((*before, *own, *after)))
    return frame[columns].astype({c: k for c, k in TYPES.items() if c in own or c == "row"})


def nothing_in(observations, before, own, after):
    """A frame without rows, whose columns are of the kinds that they have among the observations."""
    kinds = TYPES | {"position": int, "state": object, "kind": object} | observations.dtypes.to_dict()
    columns = list(dict.fromkeys((*before, *own, *after)))
    return pd.DataFrame({c: pd.Series([], dtype=kinds.get(c, float)) for c in columns})


def followed(observations, doses, events, subject, excluded):
    """The three frames without the doses (counted) and events of subjects who were not observed."""
    unseen = ~doses[subject].isin(observations[subject]) if len(doses) else np.zeros(0, dtype=bool)
    if unseen.any():
        excluded = excluded | {f"dose of a {subject} without observations": int(unseen.sum())}
    seen = events[subject].isin(observations[subject]) if len(events) else np.zeros(0, dtype=bool)
    kept = (observations, doses[~unseen], events[seen])
    return dict(zip(("observations", "doses", "events"), (f.reset_index(drop=True) for f in kept), strict=True)) | {
        "excluded": excluded
    }


def counted(reasons):
    """Reason -> number of records, in order of appearance."""
    return {why: int(n) for why, n in reasons.dropna().value_counts(sort=False).items()}
