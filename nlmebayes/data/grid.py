"""Prediction records over a grid of one column."""

import numpy as np
import pandas as pd

from nlmebayes.data.lines import between, on_lines
from nlmebayes.data.ties import ROUNDING, same


def over_units(data, column, values):
    """Each innermost unit at each value of ``column``; the rest is that of its first record."""
    first = data.observations.drop_duplicates(data.levels[-1])
    frame = first.loc[first.index.repeat(len(data.outcomes) * len(values))].reset_index(drop=True)
    frame["outcome"], frame[column] = _crossed(data, values, len(first))
    return _unmeasured(frame, data)


def over_subjects(data, times):
    """Each subject at each time; levels below it and inputs are those that govern the interval (`governing`)."""
    records = _records(data)
    inner = data.levels[-1]
    subjects = data.observations[data.subject].drop_duplicates()
    time = records[data.time].to_numpy(dtype=float)
    place = {}
    lines = on_lines(data)
    for name in (inner, *(name for name in data.inputs if name not in lines)):
        present = records[records[name].notna()].groupby(data.subject, sort=False)["number"]
        of_subject = {label: numbers.to_numpy() for label, numbers in present}
        found = [_governing(of_subject.get(label), time, times, data.interpolation) for label in subjects]
        place[name] = np.concatenate(found)
    each = len(data.outcomes)
    index = np.arange(len(subjects) * len(times)).reshape(-1, len(times)).repeat(each, axis=0).ravel()
    of_unit = records.iloc[place[inner][index]].reset_index(drop=True)
    frame = of_unit[list(data.observations.columns)].copy()
    for name in data.inputs:
        if name in lines:
            frame[name] = np.concatenate([_on_line(data, records, name, label, times) for label in subjects])[index]
        else:
            frame[name] = records[name].reindex(place[name][index]).array
    for name in data.covariates:
        known = records[records[name].notna()].drop_duplicates(inner).set_index(inner)["number"]
        frame[name] = records[name].reindex(of_unit[inner].map(known)).array
    frame["outcome"], frame[data.time] = _crossed(data, times, len(subjects))
    return _unmeasured(frame, data)


def _on_line(data, records, name, label, times):
    own = records[records[data.subject] == label]
    return between(own[data.time].to_numpy(float), own[name].to_numpy(float), times)


def with_observations(data, observations=None):
    """The events, and the observations (all by default) as events of which nothing is predicted: they govern occasions
    and inputs."""
    observations = data.observations if observations is None else observations
    own = ["outcome", "value", "lower", "upper"]
    told = observations.drop(columns=own).assign(position=observations["row"], kind="other")
    told = told.drop_duplicates([*data.levels, data.time, *data.inputs], keep="last")
    if not len(data.events):
        return told.reindex(columns=data.events.columns).reset_index(drop=True)
    return pd.concat([data.events, told], ignore_index=True)[list(data.events.columns)]


def _records(data):
    """Observations, doses and events by time and order, ``number`` their place; columns of the observations."""
    frames = [data.observations.assign(position=data.observations["row"])]
    columns = [*data.observations.columns, "position"]
    frames += [frame.reindex(columns=columns) for frame in (data.doses, data.events) if len(frame)]
    found = pd.concat(frames, ignore_index=True)
    order = np.lexsort((found["position"].to_numpy(dtype=float), found[data.time].to_numpy(dtype=float)))
    return found.iloc[order].reset_index(drop=True).assign(number=np.arange(len(found)))


def _governing(places, time, times, interpolation):
    """Which of ``places`` governs each time: locf the last up to it; else the last one at that time, or the next.

    Before the first and after the last record it is that record; -1 where there are none.
    """
    if places is None:
        return np.full(len(times), -1)
    at = time[places]
    last = np.searchsorted(at, times + ROUNDING * np.abs(times), side="right") - 1
    if interpolation != "locf":
        last = np.where((last >= 0) & same(at[last], times), last, last + 1)
    return places[np.clip(last, 0, len(places) - 1)]


def _crossed(data, values, n):
    """Outcomes and grid values of ``n`` units."""
    outcomes = np.tile(np.repeat(np.asarray(data.outcomes, dtype=object), len(values)), n)
    return outcomes, np.tile(values, len(data.outcomes) * n)


def last_position(data):
    """The largest number of a record of a dataset."""
    return max([data.observations["row"].max(), *(f["position"].max() for f in (data.doses, data.events) if len(f))])


def _unmeasured(frame, data):
    """Without measurements, and numbered after every record there is, so that a dose at the same time comes first."""
    nothing = {"value": np.nan, "lower": np.nan, "upper": np.nan}
    return frame.assign(**nothing, row=int(last_position(data)) + 1 + np.arange(len(frame)))
