"""Values that lie on straight lines between the records that state them (``interpolation="linear"``).

A solver takes parameters that are constant from record to record. So an interval in which such a value changes is cut
into equal parts, in each of which the parameters are those of the value in its middle: the exponential midpoint rule,
whose error falls with the square of the number of parts (Hochbruck and Ostermann 2010, Acta Numerica 19, 209-286,
doi:10.1017/S0962492910000048). At records and doses the value is exact, and beyond the first and the last record that
state it, it stays what it was there.
"""

import numpy as np
import pandas as pd

PARTS = 16  # into which an interval is cut


def on_lines(data):
    """The inputs of a dataset that lie on lines: numbers, but no indicators, which are 0 and 1 only."""
    if data.interpolation != "linear" or data.time is None:
        return ()
    return tuple(name for name in data.inputs if continuous(data.observations[name]))


def continuous(values):
    """Whether a column holds numbers, and not indicators."""
    return pd.api.types.is_numeric_dtype(values) and not values.dropna().isin([0, 1]).all()


def between(time, value, at):
    """Values at times ``at`` on the lines through (time, value); where several are stated at once, the last."""
    known = np.isfinite(value)
    if not known.any():
        return np.full(len(at), np.nan)
    return np.interp(at, time[known], value[known])


def written_out(doses, data, snapped):
    """Dose records with every additional dose as a record of its own, whose covariates are those of its time.

    ``snapped`` is a function of (time, times of all records) that gives the time that is meant.
    """
    if not len(doses) or not (doses["addl"] > 0).any():
        return doses
    frames = [f[[data.subject, data.time]] for f in (data.observations, data.doses, data.events) if len(f)]
    times = {label: part.to_numpy(float) for label, part in pd.concat(frames).groupby(data.subject)[data.time]}
    followed = data.levels[: data.levels.index(data.subject) + 1]
    kept = {data.time, "row", "position", "state", "amount", "rate", *followed}
    unknown = {name: None if doses[name].dtype == object else np.nan for name in doses.columns if name not in kept}
    rows = []
    for dose in doses.to_dict("records"):
        own, steady = times[dose[data.subject]], dose["ss"] > 0
        rows.append(dose | {"addl": 0, "ii": dose["ii"] if steady else 0.0})
        for k in range(1, int(dose["addl"]) + 1):
            at = snapped(dose[data.time] + k * dose["ii"], own)
            if at > own.max():
                break
            rows.append(dose | unknown | {data.time: at, "addl": 0, "ii": 0.0, "ss": 0})
    return pd.DataFrame(rows, columns=doses.columns)


def cut(records, lines, subject):
    """Ordered records with an event after each part of an interval in which a value on a line changes."""
    time, owner = records["time"].to_numpy(float), records[subject].to_numpy()
    values = records[list(lines)].to_numpy(float)
    moves = (np.diff(values, axis=0) != 0).any(axis=1) & (np.diff(time) > 0) & (owner[1:] == owner[:-1])
    start = np.repeat(np.flatnonzero(moves), PARTS)
    if not len(start):
        return records
    part = np.tile(np.arange(PARTS), int(moves.sum()))
    ends = np.where(part + 1 == PARTS, time[start + 1], time[start] + np.diff(time)[start] * (part + 1) / PARTS)
    middle = values[start] + (values[start + 1] - values[start]) * ((part + 0.5) / PARTS)[:, None]
    added = records.iloc[start + 1].reset_index(
        drop=True
    )  # what does not lie on a line is that of the record at its end
    nothing = {name: np.nan for name in ("amount", "rate", "addl", "ii", "ss")}
    added = added.assign(time=ends, position=-np.inf, what="other", place=-1.0, state=None, **nothing)
    added[list(lines)] = middle
    order = np.argsort(np.append(np.arange(len(records), dtype=float), start + 0.5), kind="stable")
    return (
        pd.concat([records, added.astype(records.dtypes.to_dict())], ignore_index=True)
        .iloc[order]
        .reset_index(drop=True)
    )
