"""Sampling times that are known up to an error.

A sample that was written down at t was taken at u ~ Normal(t, sd), but on the same side of every recorded dose and
reset as t. Samples are independent given the parameters, so each error is integrated out on its own,

    p(y | phi)  =  ∫ p(y | f(u; phi)) Normal(u; t, sd) du / ∫ Normal(u; t, sd) du,

by Gauss-Legendre nodes on panels of one SD, cut where infusions end. The nodes are times to predict, governed as any
other time by the records around them; nothing is added to what is explored.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nlmebayes.data.grid import last_position
from nlmebayes.errors import ModelError

NODES, WEIGHTS = np.polynomial.legendre.leggauss(6)  # of a panel
WIDE = 4  # SDs that the nodes cover on either side


@dataclass(frozen=True, eq=False)
class TimeNodes:
    """Of one outcome, by node: position of its prediction, position of its sample, time, log of its weight. The nodes
    of a sample stand together."""

    place: np.ndarray
    sample: np.ndarray
    time: np.ndarray
    log_weight: np.ndarray


def with_nodes(patient, time_sd):
    """The data with the nodes as times to predict, and `TimeNodes` by outcome.

    Parameters
    ----------
    patient : Dataset
    time_sd : float or str
        SD of the error of every time, or the column that holds it.

    Raises
    ------
    ModelError
        No such column, or an SD that is missing or negative.
    """
    frame = patient.observations
    sd = _spread(patient, time_sd)
    seen = np.flatnonzero(frame["value"].notna() | frame["lower"].notna())
    added, found = [], {name: [] for name in patient.outcomes}
    count = {name: int((frame["outcome"] == name).sum()) for name in patient.outcomes}
    position = frame.groupby("outcome", sort=False).cumcount().to_numpy()
    for label in dict.fromkeys(frame[patient.subject]):
        own = [i for i in seen if frame[patient.subject].iloc[i] == label]
        each = [_of_sample(patient, frame.iloc[i], sd[i]) for i in own]
        added.append(_governed(patient, label, frame.iloc[own], [times for times, _ in each]))
        for i, (times, log_weight) in zip(own, each, strict=True):
            name, many = frame["outcome"].iloc[i], len(times)
            place = count[name] + np.arange(many) if many else position[[i]]
            count[name] += many
            known = times if many else frame[patient.time].to_numpy(float)[[i]]
            found[name].append((place, np.full(len(place), position[i]), known, log_weight))
    added = pd.concat(added, ignore_index=True).astype(frame.dtypes.to_dict())
    added = added.assign(row=int(last_position(patient)) + 1 + np.arange(len(added)))
    nodes = {name: TimeNodes(*map(np.concatenate, zip(*parts, strict=True))) for name, parts in found.items() if parts}
    return replace(patient, observations=pd.concat([frame, added], ignore_index=True)), nodes


def _spread(patient, time_sd):
    """SD of the time of each record, (record,)."""
    frame = patient.observations
    if patient.time is None:
        raise ModelError("forecast: time_sd= needs data with a time column")
    if isinstance(time_sd, str):
        if time_sd not in frame.columns:
            known = ", ".join((*patient.covariates, *patient.inputs)) or "none"
            raise ModelError(f"forecast: no column {time_sd!r} for time_sd=; columns are {known}")
        sd = pd.to_numeric(frame[time_sd], errors="coerce").to_numpy(float)
    else:
        sd = np.full(len(frame), float(time_sd))
    bad = np.flatnonzero(~((sd >= 0) & (sd < np.inf)) & (frame["value"].notna() | frame["lower"].notna()).to_numpy())
    if len(bad):
        where = f"{patient.source}, row {frame['row'].iloc[bad[0]]}"
        raise ModelError(f"{where}: the SD of the sampling time, {sd[bad[0]]:g}, is no number of 0 or more")
    return sd


def _of_sample(patient, record, sd):
    """Times of the nodes of a sample and their log weights; no time where the recorded one is exact."""
    t, acts, ends = float(record[patient.time]), *_around(patient, record)
    before = [at for at, earlier in acts if earlier]
    after = [at for at, earlier in acts if not earlier]
    low, high = max([t - WIDE * sd, *before]), min([t + WIDE * sd, *after])
    if not low < high:
        return np.zeros(0), np.zeros(1)
    inner = [*(t + sd * np.arange(1 - WIDE, WIDE)), *ends]
    edges = np.unique([low, high, *(at for at in inner if low < at < high)])
    half = np.diff(edges)[:, None] / 2
    times = (edges[:-1, None] + half * (1 + NODES)).ravel()
    log_weight = np.log(half * WEIGHTS).ravel() - 0.5 * ((times - t) / sd) ** 2
    return times, log_weight - np.logaddexp.reduce(log_weight)


def _around(patient, record):
    """(time, whether it acts before the record) of every dose and reset of its subject, and the ends of infusions."""
    acts, ends, t = [], [], record[patient.time]
    for frame in (patient.doses, patient.events):
        for event in frame[frame[patient.subject] == record[patient.subject]].to_dict("records") if len(frame) else ():
            if event.get("kind") == "other":
                continue
            times = event[patient.time] + event.get("ii", 0.0) * np.arange(event.get("addl", 0) + 1)
            acts += [(at, at < t or (at == t and event["position"] < record["row"])) for at in times]
            if event.get("rate", 0.0) > 0:
                ends += list(times + event["amount"] / event["rate"])
    return acts, ends


def _governed(patient, label, samples, times):
    """Records to predict of one subject at the nodes of its samples."""
    if not sum(map(len, times)):
        return patient.observations.iloc[:0]
    one = patient.sel(**{patient.subject: label})
    grid = one.over(time=np.concatenate(times)).observations
    outcome = np.repeat(samples["outcome"].to_numpy(object), [len(each) for each in times])
    wanted = [grid[(grid["outcome"] == name)].iloc[np.flatnonzero(outcome == name)] for name in one.outcomes]
    order = np.argsort(np.concatenate([np.flatnonzero(outcome == name) for name in one.outcomes]), kind="stable")
    return pd.concat(wanted, ignore_index=True).iloc[order]
