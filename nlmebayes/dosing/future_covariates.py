"""Covariates to come: what if creatinine clearance falls to 40 from the third day on?

A stated value holds from its time until the next one, whatever `Dataset.interpolation` says of recorded ones, and what
is not stated stays as it was last. At each change stand two events, one with the old and one with the new value, before
everything else at that time.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from nlmebayes.arguments import Number, Text
from nlmebayes.errors import ModelError

Coming = dict[Text, Number | Text | dict[Number, Number | Text]]


def checked(covariates, patient, read):
    """The covariates to come, name -> number or {time: value}, as the patient's records spell their names; ``read`` are
    those that the formulas read.

    Raises
    ------
    ModelError
        A name that the patient's records do not have or no formula reads; a value of another kind; a time that is none.
    """
    known = {name.lower() for name in read}
    there = [name for name in (*patient.covariates, *patient.inputs) if name.lower() in known]
    found = {}
    for name, said in (covariates or {}).items():
        alike = [name] if name in there else [own for own in there if own.lower() == str(name).lower()]
        if len(alike) != 1:
            raise ModelError(
                f"covariates: {name!r} is no covariate that the model and the patient's records have; there are "
                f"{', '.join(there) or 'none'}"
            )
        for _, value in said.items() if isinstance(said, dict) else ((0.0, said),):
            _check_value(name, value, patient.observations[alike[0]])
        found[alike[0]] = said
    return found


def _check_value(name, value, column):
    if pd.api.types.is_numeric_dtype(column):
        if isinstance(value, str):
            raise ModelError(f"covariates: {name} is a number in the patient's records; got {value!r}")
    elif isinstance(column.dtype, pd.CategoricalDtype) and value not in column.cat.categories:
        raise ModelError(f"covariates: {name} is one of {', '.join(column.cat.categories)}; got {value!r}")
    elif not isinstance(value, str):
        raise ModelError(f"covariates: {name} is a text in the patient's records; got {value!r}")


def changes(covariates, plan):
    """(time, name, value) of every change, in order; a value without a time is that from the start of the plan on."""
    found = []
    for name, said in covariates.items():
        pairs = said.items() if isinstance(said, dict) else ((plan.start, said),)
        found += [(float(time), name, value) for time, value in pairs]
    return sorted(found, key=lambda change: change[0])


def with_covariates(patient, plan, covariates):
    """The patient's data with the changes as events.

    Raises
    ------
    ModelError
        A change before the last record that states the covariate.
    """
    rows, last = [], {}
    followed = patient.levels[: patient.levels.index(patient.subject) + 1]
    who = {level: patient.observations[level].iloc[0] for level in followed}
    for time, name, value in changes(covariates, plan):
        if name not in last:
            until, last[name] = _last(patient, name)
            if time < until:
                raise ModelError(
                    f"covariates: {name} {value} from {time:g} on, but the records state it up to {until:g}; say what "
                    "comes after that"
                )
        event = {"row": 0, **who, patient.time: time, "position": -np.inf, "kind": "other"}
        rows += [event | {name: last[name]}, event | {name: value}]
        last[name] = value
    if not rows:
        return patient
    added = pd.DataFrame(rows).reindex(columns=patient.events.columns)
    events = pd.concat([patient.events, added], ignore_index=True) if len(patient.events) else added
    changing = tuple(name for name in patient.covariates if name in last)
    return replace(
        patient, events=events, inputs=(*patient.inputs, *changing),
        covariates=tuple(name for name in patient.covariates if name not in changing),
    )  # fmt: skip


def _last(patient, name):
    """Time and value of the last record that states a covariate."""
    frames = [f[[patient.time, name]] for f in (patient.observations, patient.doses, patient.events) if name in f]
    found = pd.concat([f for f in frames if len(f)]).dropna(subset=[name]).sort_values(patient.time, kind="stable")
    return float(found[patient.time].iloc[-1]), found[name].iloc[-1]
