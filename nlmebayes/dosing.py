"""Regimens, targets and `recommend`: which dose keeps an exposure in its range, with what probability."""

import json
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nlmebayes import storage
from nlmebayes.design import resolve
from nlmebayes.evaluation import draws_of, effects, evaluator
from nlmebayes.model import ModelError, check_names
from nlmebayes.particles import KHAT
from nlmebayes.prediction import context

NODES = 16  # Gauss-Legendre nodes per panel of an AUC
GRADES = 4.0 ** -np.arange(5, -1, -1)  # panel ends between two doses, as fractions: fine where a dose acts


@dataclass(frozen=True)
class Regimen:
    """A schedule of equal doses.

    Parameters
    ----------
    amount : float
        Of one dose, in the unit of the data (mg).
    start : float
        Time of the first one.
    every : float, optional
        Interval between doses (h); needed for more than one.
    doses : int
        Number of doses.
    duration : float, optional
        Of the infusion of each; by default they are given at once.
    state : str, optional
        Which state is dosed, by name or CMT number; by default the structure's own.
    """

    amount: float
    start: float = 0.0
    every: float | None = None
    doses: int = 1
    duration: float | None = None
    state: str | None = None

    def __post_init__(self):
        if not (self.amount >= 0 and np.isfinite(self.amount)):
            raise ValueError(f"Regimen: the amount {self.amount} is not a dose")
        if self.doses < 1 or (self.doses > 1 and not (self.every and self.every > 0)):
            raise ValueError(f"Regimen: {self.doses} doses every {self.every}; more than one needs an interval, every=")
        if self.duration is not None and not self.duration > 0:
            raise ValueError(f"Regimen: the duration {self.duration} of an infusion is not positive")

    @property
    def times(self):
        """Times of the doses."""
        return self.start + (self.every or 0.0) * np.arange(self.doses)

    def __str__(self):
        over = f" over {self.duration:g}" if self.duration else ""
        return f"{self.amount:g}{over}" + (f" every {self.every:g} x {self.doses}" if self.doses > 1 else "")


class Target(ABC):
    """An exposure and the range it should be in; subclasses say at which times it is read."""

    low: float
    high: float

    @abstractmethod
    def nodes(self, doses):
        """Times to predict at and their weights, given the times of all doses: exposure = weights . f(times)."""


def _check_range(target):
    if not target.low < target.high:
        raise ValueError(f"{type(target).__name__}: low {target.low} is not below high {target.high}")


@dataclass(frozen=True)
class Trough(Target):
    """Concentration at ``time``, before a dose given at that time; wanted between ``low`` and ``high``."""

    low: float
    high: float
    time: float

    def __post_init__(self):
        _check_range(self)

    def nodes(self, doses):
        return np.array([self.time]), np.array([1.0])

    def __str__(self):
        return f"concentration at {self.time:g} in {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class AUC(Target):
    """Area under the predicted concentration from ``start`` to ``end``; wanted between ``low`` and ``high``.

    Gauss-Legendre quadrature, 16 nodes on each of 6 panels between doses, each 4 times as long as the one before; the
    relative error for exponentials is below 1e-13 from slow rates to 3000 per interval.
    """

    low: float
    high: float
    start: float
    end: float

    def __post_init__(self):
        _check_range(self)
        if not self.start < self.end:
            raise ValueError(f"AUC: start {self.start} is not before end {self.end}")

    def nodes(self, doses):
        inside = doses[(doses > self.start) & (doses < self.end)]
        stops = np.array([self.start, *inside, self.end])
        edges = np.append(self.start, (stops[:-1, None] + np.diff(stops)[:, None] * GRADES).ravel())
        x, w = np.polynomial.legendre.leggauss(NODES)
        half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
        return (middle[:, None] + half[:, None] * x).ravel(), (half[:, None] * w).ravel()

    def __str__(self):
        return f"AUC from {self.start:g} to {self.end:g} in {self.low:g} to {self.high:g}"


def recommend(forecast, regimens, targets, *, model=None, outcome=None):
    """Probability that each regimen brings each exposure below, into and above its range.

    Exposures are those of the individual prediction (without residual error), over the draws of the forecast, so
    that uncertainty about the patient and about the population both count. The patient's past doses stay.

    Parameters
    ----------
    forecast : DataTree
        From `forecast`.
    regimens : sequence of Regimen
        Future doses to compare.
    targets : Target or sequence of Target
        With several, ``p_all`` is the probability that every one is met at once.
    model : Model, optional
        By default the one stored in the forecast.
    outcome : str, optional
        Which outcome, if there are several.

    Returns
    -------
    DataFrame
        One row per regimen and target, the best regimen first: ``p_below``, ``p_in``, ``p_above``, ``mcse`` (Monte
        Carlo error of ``p_in``, from the forecast's effective sample size), quantiles of the exposure, and ``p_all``.

    Raises
    ------
    ModelError
        Not a forecast; a regimen that does not start after the last recorded dose; an unknown outcome.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> regimens = [nb.Regimen(mg, start=24, every=12, doses=6) for mg in (100, 200, 300)]
    >>> table = nb.recommend(forecast, regimens, nb.Trough(5, 10, time=96))  # doctest: +SKIP
    """
    regimens = [regimens] if isinstance(regimens, Regimen) else list(regimens)
    targets = [targets] if isinstance(targets, Target) else list(targets)
    if not regimens or not targets:
        raise ValueError("recommend: needs at least one regimen and one target")
    model, training = context(model, forecast)
    patient = storage.stored_dataset(forecast)
    if not model.structure.doses:
        raise ModelError(f"{model.structure.label} has no doses")
    outcome = outcome or _only(patient.outcomes)
    if outcome not in patient.outcomes:
        raise ModelError(f"no outcome {outcome!r} in the forecast; its outcomes are {', '.join(patient.outcomes)}")
    size = _independent(forecast)
    for regimen in regimens:
        _in_the_future(regimen, patient)
        _into_a_state(regimen, model.structure)
    draws = draws_of(forecast["posterior"].to_dataset(), training, model, patient.outcomes)
    rows = []
    for regimen in regimens:
        exposures = _exposures(model, training, draws, patient, regimen, targets, outcome)
        inside = [(x >= t.low) & (x <= t.high) for x, t in zip(exposures, targets, strict=True)]
        together = float(np.all(inside, axis=0).mean())
        for target, exposure, hit in zip(targets, exposures, inside, strict=True):
            rows.append(_row(regimen, target, exposure, hit, size) | {"p_all": together})
    table = pd.DataFrame(rows)
    return table.sort_values("p_all", ascending=False, kind="stable").reset_index(drop=True)


def _independent(forecast):
    """Effective number of draws of a forecast; warns of one that is not to be trusted."""
    if "nlmebayes_forecast" not in forecast.attrs:
        raise ModelError("recommend needs the tree of one patient, from forecast")
    report = json.loads(forecast.attrs["nlmebayes_forecast"])
    if report["khat"] > KHAT:
        warnings.warn(
            f"the forecast's k-hat {report['khat']:.2f} is above {KHAT}: its probabilities may be off", stacklevel=3
        )
    return report["effective_sample_size"]


def _in_the_future(regimen, patient):
    given = patient.doses
    last = (given[patient.time] + given["addl"] * given["ii"]).max() if len(given) else -np.inf
    if regimen.start <= last:
        raise ModelError(
            f"the regimen {regimen} starts at {regimen.start:g}; the patient's last recorded dose, at {last:g}, stays: "
            "give a later start="
        )


def _into_a_state(regimen, structure):
    states = getattr(structure, "states", ())
    known = [*states, *map(str, range(1, len(states) + 1))]
    if regimen.state is not None and regimen.state not in known:
        raise ModelError(f"the regimen {regimen}: no state {regimen.state!r}; there are {', '.join(known) or 'none'}")


def _row(regimen, target, exposure, hit, size):
    p, n = hit.mean(), min(len(hit), size)
    low, median, high = np.quantile(exposure, [0.05, 0.5, 0.95])
    return {
        "regimen": str(regimen), "amount": regimen.amount, "target": str(target),
        "p_below": float((exposure < target.low).mean()), "p_in": float(p),
        "p_above": float((exposure > target.high).mean()),
        "mcse": float(np.sqrt(max(p * (1 - p), 1 / n / 4) / n)),
        "q05": float(low), "median": float(median), "q95": float(high),
    }  # fmt: skip


def _only(outcomes):
    if len(outcomes) > 1:
        raise ModelError(f"several outcomes; choose one with outcome=: {', '.join(outcomes)}")
    return outcomes[0]


def with_doses(patient, regimen):
    """The patient's data with a regimen after the doses already there; a new dose acts after samples at its time."""
    first = patient.observations.iloc[0]
    followed = patient.levels[: patient.levels.index(patient.subject) + 1]
    levels = {level: first[level] for level in followed}  # an occasion follows from the time
    added = pd.DataFrame([
        {"row": -1, **levels, patient.time: time, "amount": float(regimen.amount), "position": np.inf,
         "state": regimen.state, "rate": regimen.amount / regimen.duration if regimen.duration else 0.0,
         "addl": 0, "ii": 0.0, "ss": 0}
        for time in regimen.times
    ])  # fmt: skip
    doses = pd.DataFrame([*patient.doses.to_dict("records"), *added.to_dict("records")], columns=patient.doses.columns)
    deeper = [level for level in patient.levels if level not in followed]
    return replace(patient, doses=doses.astype(dict.fromkeys(deeper, object)))


def _edges(patient):
    """Times at which recorded doses and infusions of known rate start and end."""
    for _, dose in patient.doses.iterrows():
        times = dose[patient.time] + dose["ii"] * np.arange(dose["addl"] + 1)
        yield from times
        if dose["rate"] > 0:
            yield from times + dose["amount"] / dose["rate"]


def _exposures(model, training, draws, patient, regimen, targets, outcome):
    """Exposure of each target, (draw,) each, under the regimen."""
    doses = np.unique([*_edges(patient), *regimen.times, *(regimen.times + (regimen.duration or 0.0))])
    each = [target.nodes(doses) for target in targets]
    data = with_doses(patient.over(**{patient.time: np.concatenate([t for t, _ in each])}), regimen)
    # Numbered before every dose: an exposure at the time of a dose is that before it.
    before = data.observations.assign(row=-1 - np.arange(len(data.observations)))
    data = replace(data, observations=before)
    design = resolve(model, data, training)
    check_names(model, design)
    eta = effects(design, draws, np.random.default_rng(0))
    _, f, _ = evaluator(model, design)(draws.theta, eta)
    pieces = np.split(f[outcome], np.cumsum([len(t) for t, _ in each])[:-1], axis=1)
    return [piece @ weights for piece, (_, weights) in zip(pieces, each, strict=True)]
