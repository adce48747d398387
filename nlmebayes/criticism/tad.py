"""How long ago the last dose was, and which one it was."""

import numpy as np
import pandas as pd

NAMES = ("tad", "dose_number")  # columns that every table of records has where there are doses


def since_dose(data, frame):
    """Time after the last dose and its number, counted from 1, (record,) each, of rows of observations.

    A dose acts on later records, and on those at its time that stand after it; additional doses count, those that a
    steady state has had before do not. Before the first dose, and without doses, the time is missing and the number 0.
    """
    tad, number = np.full(len(frame), np.nan), np.zeros(len(frame), dtype=int)
    if data.time is None or not len(data.doses):
        return tad, number
    given = _given(data)
    time, row = frame[data.time].to_numpy(dtype=float), frame["row"].to_numpy()
    for label, here in frame.reset_index(drop=True).groupby(data.subject, sort=False, observed=True).indices.items():
        if label not in given:
            continue
        doses, position = given[label]
        before = doses < time[here, None]
        before |= (doses == time[here, None]) & (position < row[here, None])
        number[here] = before.sum(axis=1)
        last = np.where(before, doses, -np.inf).max(axis=1)
        tad[here] = np.where(np.isfinite(last), time[here] - last, np.nan)
    return tad, number


def since_dose_of(data, frame):
    """The columns `NAMES` of rows of observations, but for those whose name a column of the data has; none without
    doses."""
    found = dict(zip(NAMES, since_dose(data, frame), strict=True)) if len(data.doses) and data.time else {}
    return pd.DataFrame({name: x for name, x in found.items() if name not in frame}, index=frame.index)


def _given(data):
    """Times and positions of every dose of a subject, additional ones included, by label."""
    found = {}
    for label, doses in data.doses.groupby(data.subject, sort=False, observed=True):
        many = doses["addl"].to_numpy(dtype=int) + 1
        each = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        every = np.repeat(np.arange(len(doses)), many)
        interval = np.nan_to_num(doses["ii"].to_numpy(dtype=float))
        time = doses[data.time].to_numpy(dtype=float)[every] + interval[every] * each
        found[label] = time, doses["position"].to_numpy(dtype=float)[every]
    return found
