"""People who are in no data: with covariates, inputs and doses as stated, and otherwise as those of the training data.

`columns` says what a prediction depends on, `usual` what is taken where nothing is stated, `values_of` what there is to
ask of a column; `copies` writes the records and doses of one subject down for each person.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd

from nlmebayes.data.dataset import AMOUNT
from nlmebayes.data.grid import last_position
from nlmebayes.data.tidy import label
from nlmebayes.errors import ModelError
from nlmebayes.formula.functions import FACTORS

QUANTILES = (0.1, 0.5, 0.9)  # of a numeric variable that lines are drawn for
FEW = 5  # different values up to which each has its line
TWO = 2  # values of an indicator, of which nobody has the mean


def covariates(known):
    """Parameters that read each covariate, by its name."""
    found = {}
    for formula in known.training.formulas:
        for name in (n for n in formula.columns[0] if n not in known.training_data.levels):
            found.setdefault(name, []).append(formula.parameter)
    return found


def inputs(known):
    """Columns that the structure reads at each record, the time among them where it does."""
    model, data = known.model, known.training_data
    named = [model.inputs.get(i) or (data.time if i == "time" else i) for i in model.structure.inputs]
    timed = [data.time] if model.structure.doses and data.time else []
    return tuple(dict.fromkeys([*filter(None, named), *timed]))


def is_factor(known, name):
    """Whether a column holds categories: text, or numbers that the formulas take as such."""
    if name == AMOUNT:
        return False
    values = known.training_data.observations[name]
    if not pd.api.types.is_numeric_dtype(values) or isinstance(values.dtype, pd.CategoricalDtype):
        return True
    parts = [part for formula in known.training.formulas for part in formula.parts]
    own = [e.function in FACTORS for part in parts for e in part.expressions if name in e.columns]
    return bool(own) and all(own)


def usual(known, name, outcome, here=None):
    """The value of a typical person: the mean of a numeric covariate over people and of an input over records, of what
    holds categories or only two values the commonest. ``here``: of the rows of one group alone."""
    data = known.training_data
    frame = data.observations[data.observations["outcome"] == outcome]
    frame = frame if here is None else frame[here[frame.index]]
    frame = frame[frame[name].notna()]
    values = (frame if name in data.inputs or name == data.time else _of_people(data, frame, [name]))[name]
    if not len(values):
        raise ModelError(f"the training data have no value of {name}; state it: at={{{name!r}: ...}}")
    if is_factor(known, name) or values.nunique() <= TWO:
        return values.mode().iloc[0]
    return float(values.mean())


def observed(known, outcome, here):
    """Covariates of everybody in the training data, dicts by column: of each record where some change from one to the
    next. ``here``: of which rows."""
    data, read = known.training_data, list(covariates(known))
    frame = data.observations[(data.observations["outcome"] == outcome) & here]
    changing = any(name in (*data.inputs, data.time) for name in read)
    frame = frame if changing else _of_people(data, frame, read)
    return frame[read].to_dict("records")


def _of_people(data, frame, names):
    """A row for each person; for each of his occasions where some of the columns change from one to the next."""
    changing = (frame.groupby(data.subject, observed=True)[names].nunique(dropna=False) > 1).any(axis=None)
    return frame.drop_duplicates(data.levels[-1] if changing else data.subject)


def values_of(known, name, outcome, points, lines=False):
    """What is asked of a column: groups, categories, or numbers over the range of the data; of ``lines`` a few."""
    data = known.training_data
    frame = data.doses if name == AMOUNT else data.observations[data.observations["outcome"] == outcome]
    values = frame[name].dropna()
    if name in data.levels:
        return list(dict.fromkeys(values))
    if isinstance(values.dtype, pd.CategoricalDtype):
        return [c for c in values.cat.categories if (values == c).any()]
    distinct = sorted(values.unique().tolist())
    most = FEW if lines else 1 if name == data.time else TWO
    if is_factor(known, name) or len(distinct) <= most:
        return distinct
    if lines:
        return [float(q) for q in values.drop_duplicates().quantile(QUANTILES)]
    first = data.doses[name].min() if name == data.time and len(data.doses) else distinct[0]
    return np.linspace(min(distinct[0], first), distinct[-1], points).tolist()


def subject_like(data, outcomes, records, predicted=True):
    """The first subject of some data, whose doses and events are kept, with one record of each outcome for each of
    ``records``, dicts by column: for a prediction, or as the first one was measured."""
    one = data.sel(**{data.subject: data.observations[data.subject].iloc[0]})
    frames = []
    for outcome in outcomes:
        seen = one.observations[one.observations["outcome"] == outcome]
        first = (seen if len(seen) else one.observations).iloc[[0]].assign(outcome=outcome)
        frames.append(first.loc[first.index.repeat(len(records))])
    frame = pd.concat(frames, ignore_index=True)
    frame = frame.assign(row=last_position(data) + 1 + np.arange(len(frame)))
    frame = frame.assign(value=np.nan, lower=np.nan, upper=np.nan) if predicted else frame
    for name in dict.fromkeys(name for record in records for name in record):
        frame[name] = column_of(frame[name], [record[name] for _ in outcomes for record in records], name)
    return replace(one, observations=frame, outcomes=tuple(outcomes), excluded={})


def column_of(like, values, name):
    """Values as a column of the kind of another one.

    Raises
    ------
    ModelError
        Text where numbers are; a category that there is not.
    """
    numeric = pd.api.types.is_numeric_dtype(like)
    values = values if numeric else [label(value) for value in values]
    if numeric and any(isinstance(value, str) for value in values):
        raise ModelError(
            f"{name} holds numbers in the training data; got {next(v for v in values if isinstance(v, str))!r}"
        )
    found = pd.Series(values, index=like.index, dtype=like.dtype)
    if found.isna().any() and not like.isna().all():
        known = ", ".join(map(str, like.cat.categories)) if isinstance(like.dtype, pd.CategoricalDtype) else "numbers"
        raise ModelError(f"{name} has no category {values[int(found.isna().argmax())]!r}; there are {known}")
    return found


def copies(data, cases):
    """One subject's dataset, once for each of ``cases``, dicts of column -> value with the same columns (``"amount"``
    is that of each dose); who has no label there is new. Doses and events are when they were, and infusions last as
    long as they did."""
    frames = {name: getattr(data, name) for name in ("observations", "doses", "events")}
    timed = {"observations": (), "doses": (data.time,), "events": (data.time,)}
    return replace(data, **{name: _repeated(frame, data, cases, timed[name]) for name, frame in frames.items()})


def label_of(i):
    """The label of a person who is in no group that is known."""
    return f"person {i}"


def _repeated(frame, data, cases, left):
    """The rows of a frame once for each case, with its values but in the columns that are ``left`` as they are."""
    many = len(frame)
    if not many:
        return frame
    found = frame.iloc[np.tile(np.arange(many), len(cases))].reset_index(drop=True)
    labels = [label_of(i) for i in range(len(cases)) for _ in range(many)]
    found = found.assign(**dict.fromkeys(data.levels, labels))
    for name in (name for name in cases[0] if name in frame and name not in left):
        before = found[name]
        found[name] = column_of(before, [case[name] for case in cases for _ in range(many)], name)
        if name == AMOUNT:  # infusions last as long as they did
            infused = (found["rate"] > 0) & (before > 0)
            found["rate"] = found["rate"].mask(infused, found["rate"] * found[name] / before)
    return found


def crossed(*columns):
    """Dicts of every combination of (name, values), the last one fastest."""
    names = [name for name, _ in columns]
    return [dict(zip(names, values, strict=True)) for values in product(*(values for _, values in columns))]
