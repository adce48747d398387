"""Records beside replicates of them, bin by bin and stratum by stratum: what a visual predictive check shows."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nlmebayes.criticism.npde import ABOVE, BELOW, MEASURED
from nlmebayes.criticism.shares import of_percentile, of_share, quantile
from nlmebayes.criticism.survival import kaplan_meier
from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation.tails import tails

STRATA = 30  # at most
GRID = 60  # times of a survival curve
TRIALS = 200  # replicates of one


@dataclass(frozen=True, eq=False)
class Records:
    """Measurements ``y`` (record,) at places ``at``, in ``bins``, beside ``simulated`` (replicate, record).

    ``frame`` holds the rows of the data, ``pred`` the predictions without effects, ``flags`` what a record is, as CENS,
    ``lloq`` and ``uloq`` the limits of all records or None. Where windows overlap, records stand here several times,
    and ``own`` says in which one they are at home.
    """

    frame: pd.DataFrame
    at: np.ndarray
    bins: np.ndarray
    y: np.ndarray
    simulated: np.ndarray
    flags: np.ndarray
    lloq: np.ndarray | None = None
    uloq: np.ndarray | None = None
    pred: np.ndarray | None = None
    own: np.ndarray | None = None

    def take(self, here):
        """The records at ``here``."""
        each = {name: x[here] for name, x in vars(self).items() if isinstance(x, np.ndarray) and name != "simulated"}
        return replace(self, **each, frame=self.frame.iloc[here], simulated=self.simulated[:, here])

    def binned(self, bins):
        """The same in other bins."""
        return replace(self, bins=bins)

    def scaled(self, y, simulated):
        """The same records with measurements on another scale."""
        return replace(self, y=y, simulated=simulated)

    @property
    def limits(self):
        """(lloq, uloq), infinite where there are none."""
        none = np.full(len(self.y), np.inf)
        return -none if self.lloq is None else self.lloq, none if self.uloq is None else self.uloq


def strata(frame, by):
    """(values of the columns ``by``, positions of their records) of each stratum; one, without values, of none.

    Raises
    ------
    ModelError
        A column that is not there, is missing for some records, or has many values.
    """
    for column in by:
        if column not in frame.columns:
            raise ModelError(f"by: no column {column!r}; there are {', '.join(map(str, frame.columns))}")
        many, lost = frame[column].nunique(), frame[column].isna().sum()
        if lost or many > STRATA:
            raise ModelError(
                f"by: {column} has {many} values, {lost} are missing; take one with at most {STRATA}, of every record"
            )
    if not by:
        return [({}, np.arange(len(frame)))]
    groups = frame.reset_index(drop=True).groupby(list(by), observed=True).indices
    return [(dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True)), np.sort(x))
            for key, x in groups.items()]  # fmt: skip


def corrected(records, by, correct, logged):
    r"""`Records` with prediction correction, and with variance correction where ``correct`` says so.

    .. math:: pc_{ij} = y_{ij} \frac{P}{PRED_{ij}}, \qquad pvc_{ij} = P + (pc_{ij} - P) \frac{S}{SD_{ij}}

    with P and S the medians of PRED and SD over the records of a bin and stratum, SD that of the corrected replicates
    of a record. Of ``logged`` measurements pc is y + P - PRED. What is censored lies beyond all others.

    Source: Bergstrand, Hooker, Wallin and Karlsson (2011), AAPS J. 13, 143-151, doi:10.1208/s12248-011-9255-z.

    Raises
    ------
    ModelError
        Predictions that are negative.
    """
    pred = records.pred
    if not logged:
        if (pred < 0).any():
            raise ModelError("correct: predictions are negative; of measurements that are logarithms say logged=True")
        if (pred == 0).any():
            warn(f"vpc: {(pred == 0).sum()} records with the prediction 0 cannot be corrected and are left out")
            records = records.take(np.flatnonzero(pred > 0))
            pred = records.pred
    low, high = records.limits
    below, above = records.simulated < low, records.simulated > high
    beyond = _beyond(records.flags == BELOW, records.flags == ABOVE), _beyond(below, above)
    y, simulated = records.y.astype(float), records.simulated.astype(float)
    for _, stratum in strata(records.frame, by):
        for b in np.unique(records.bins[stratum]):
            here = stratum[records.bins[stratum] == b]
            middle = np.median(pred[here])
            each = [x[..., here] + middle - pred[here] if logged else x[..., here] * middle / pred[here]
                    for x in (y, simulated)]  # fmt: skip
            if correct == "variance":
                sd = each[1].std(axis=0, ddof=1)
                each = [middle + (x - middle) * np.median(sd) / sd for x in each]
            y[here], simulated[:, here] = each
    return replace(records, y=y + beyond[0], simulated=simulated + beyond[1], lloq=None, uloq=None)


def _beyond(below, above):
    """What makes censored records the least or the largest of all, when added."""
    return np.where(below, -np.inf, np.where(above, np.inf, 0.0))


def percentiles(records, by, levels, ci_prob):
    """Table of percentiles by stratum and bin, and of the censored share where a record is censored."""
    low, high = records.limits
    censored = records.flags != MEASURED
    gone = (records.simulated < low) | (records.simulated > high) | np.isinf(records.simulated)
    y, simulated = records.y, records.simulated
    if records.lloq is not None or records.uloq is not None:
        y, simulated = np.clip(y, low, high), np.clip(simulated, low, high)

    def of_bin(here):
        for level in levels:
            yield f"{level:g} %", of_percentile(y[here], simulated[:, here], level, ci_prob)
        if censored.any():
            one = np.ones(len(here))
            yield "censored", of_share(censored[here], one, gone[:, here], np.ones((len(gone), len(here))), ci_prob)

    return _tabled(records, by, of_bin)


def shares(records, by, observed, simulated, ci_prob):
    """Table of shares by stratum and bin: ``observed`` and ``simulated`` by name how many, and of how many."""

    def of_bin(here):
        for name, (counted, trials) in observed.items():
            drawn, of = simulated[name]
            of = np.broadcast_to(of, drawn.shape)
            yield name, of_share(counted[here], trials[here], drawn[:, here], of[:, here], ci_prob)

    return _tabled(records, by, of_bin)


def _tabled(records, by, of_bin):
    rows = []
    for values, stratum in strata(records.frame, by):
        for b in np.unique(records.bins[stratum]):
            here = stratum[records.bins[stratum] == b]
            told = values | {"bin": int(b), "x": float(np.median(records.at[here])), "n": len(here)}
            rows += [told | {"statistic": name} | columns for name, columns in of_bin(here)]
    return pd.DataFrame(rows)


def survival(frame, by, end, seen, entry, simulated, ci_prob):
    """Table of the Kaplan-Meier curve by stratum over times: ``end`` of follow-up, ``seen``, ``entry`` (record,), and
    times of replicates (replicate, record)."""
    few = simulated[np.unique(np.linspace(0, len(simulated) - 1, TRIALS).astype(int))]
    at, tables = np.linspace(0.0, end.max(), GRID), []
    low, high = tails(ci_prob)
    for values, here in strata(frame, by):
        every = np.stack([kaplan_meier(trial, np.isfinite(trial), entry[here], at) for trial in few[:, here]])
        tables.append(pd.DataFrame(values | {
            "bin": np.arange(GRID), "x": at, "n": len(here), "statistic": "survival",
            "observed": kaplan_meier(end[here], seen[here], entry[here], at),
            "median": quantile(every.T, 0.5), "eti_lb": quantile(every.T, low), "eti_ub": quantile(every.T, high),
        }))  # fmt: skip
    return pd.concat(tables, ignore_index=True)
