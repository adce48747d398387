"""`Regimen` and `Plan`: schedules of doses, and the patient's data with them."""

from dataclasses import KW_ONLY, dataclass, replace
from itertools import pairwise
from math import comb
from typing import Annotated

import numpy as np
import pandas as pd

from nlmebayes.arguments import Count, NotNegative, Number, Positive, Switch, Text, arguments, checked, whole
from nlmebayes.data.ties import ROUNDING
from nlmebayes.errors import ModelError

FOLLOW, REPLACE, NONE = HISTORY = "follow", "replace", "none"
NEW, LAST, EACH = OCCASIONS = "new", "last", "each"
MOST = 100_000  # doses of a plan, and amounts to choose from
Doses = Annotated[int, whole(f"a whole number from 1 to {MOST}", 1, MOST)]
Several = Positive | None | list[Positive | None]
Lengths = NotNegative | None | list[NotNegative | None]
OneOrMore = NotNegative | list[NotNegative]


@checked
@dataclass(frozen=True)
class Regimen:
    """A schedule of equal doses.

    Parameters
    ----------
    amount : float
        Of one dose, in the unit of the data (mg).
    start : float, optional
        Time of the first one; by default the next dose that the patient's records imply, see `recommend`.
    every : float, optional
        Interval between doses (h); needed for more than one.
    doses : int
        Number of doses.
    duration : float, optional
        Of the infusion of each, no longer than the interval; 0 gives them at once. By default that of the last
        recorded dose.
    state : str, optional
        Which state is dosed, by name or CMT number; by default that of the last recorded dose, or the structure's own.
    rate : float, optional
        Of the infusion of each, in place of ``duration``, which is then amount / rate.
    salt : float
        What part of the amount is the drug that the data are about: 0.8 of a salt or prodrug whose amounts are written
        as they are on the package.
    steady : bool
        Whether the first dose finds the steady state of the regimen, in place of what the patient has had (SS=1).

    Raises
    ------
    ModelError
        Several doses, or a steady state, without an interval; a duration beside a rate; an infusion that is longer than
        the interval.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> print(nb.Regimen(300, start=24, every=12, doses=6, duration=0.5))
    300 over 0.5 every 12 x 6
    """

    amount: NotNegative
    start: Number | None = None
    every: Positive | None = None
    doses: Doses = 1
    duration: NotNegative | None = None
    state: Text | None = None
    _: KW_ONLY
    rate: Positive | None = None
    salt: Positive = 1.0
    steady: Switch = False

    def __post_init__(self):
        if self.doses > 1 and not self.every:
            raise ModelError(f"Regimen: {self.doses} doses have no interval; give it, every=")
        if self.steady and not self.every:
            raise ModelError("Regimen: a steady state needs an interval, every=")
        if self.duration is not None and self.rate is not None:
            raise ModelError("Regimen: duration and rate say the same; give one")
        if self.infusion and self.every and self.infusion > self.every * (1 + 1e-9):
            raise ModelError(
                f"Regimen: by its duration or rate, an infusion over {self.infusion:g} is longer than the interval of "
                f"{self.every:g}; give it over the interval at most"
            )

    @property
    def infusion(self) -> float | None:
        """How long each infusion lasts, or None."""
        return (self.duration if self.rate is None else self.amount / self.rate) or None

    @property
    def times(self) -> np.ndarray:
        """Times of the doses; of one that does not say when it starts, since then."""
        return (self.start or 0.0) + (self.every or 0.0) * np.arange(self.doses)

    @property
    def parts(self) -> "tuple[Regimen, ...]":
        """The regimen itself, as the only part of a plan."""
        return (self,)

    @property
    def records(self) -> list[dict]:
        """The doses as records, in the words of NONMEM; one that does not say when it starts, from 0."""
        given = {"amt": float(self.amount * self.salt)} | ({"duration": self.infusion} if self.infusion else {})
        given |= {} if self.state is None else {"state": self.state}
        steady = {"ss": 1.0, "ii": self.every} if self.steady else {}
        return [{"time": float(t)} | given | (steady if i == 0 else {}) for i, t in enumerate(self.times)]

    def __str__(self):
        return self.worded()

    def worded(self, amount: str = "", time: str = "") -> str:
        """In words, with the units ``amount`` and ``time``, such as ``" mg"`` and ``" h"``.

        Parameters
        ----------
        amount, time : str
            What follows the numbers.

        Returns
        -------
        str

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Regimen(300, every=12, doses=6, duration=0.5).worded(" mg", " h")
        '300 mg over 0.5 h every 12 h x 6'
        """
        over = f" over {self.infusion:g}{time}" if self.infusion else ""
        often = f" every {self.every:g}{time} x {self.doses}" if self.doses > 1 else ""
        steady = f" every {self.every:g}{time} at steady state" if self.steady else often
        return f"{self.amount:g}{amount}{over}{steady}"


@checked
@dataclass(frozen=True, init=False)
class Plan:
    """Regimens one after the other: a loading dose, then maintenance.

    Parameters
    ----------
    *parts : Regimen
        In the order of their starts.

    Raises
    ------
    ModelError
        No parts; one that starts before the last dose of the one before it, or at a steady state.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> print(nb.Plan(nb.Regimen(2000, duration=2), nb.Regimen(1000, start=12, every=12, doses=6, duration=1)))
    2000 over 2, then 1000 over 1 every 12 x 6
    """

    parts: tuple[Regimen, ...]

    def __init__(self, *parts: Regimen):
        object.__setattr__(self, "parts", parts)
        if not parts:
            raise ModelError("Plan: parts must be regimens, e.g. Plan(Regimen(900), Regimen(300, start=12)); got none")
        for one, other in pairwise(parts):
            if other.steady:
                raise ModelError(f"Plan: the steady state of {other} would replace what {one} did; leave one out")
            if None not in (one.start, other.start) and other.start <= one.times[-1]:
                raise ModelError(
                    f"Plan: {other} starts at {other.start:g}, before the last dose of {one} at {one.times[-1]:g}"
                )

    @property
    def amount(self) -> float:
        """Of one dose of the last part."""
        return self.parts[-1].amount

    @property
    def records(self) -> list[dict]:
        """The doses of all parts as records, in the words of NONMEM."""
        return [dose for part in self.parts for dose in part.records]

    @property
    def start(self) -> float | None:
        """Of the first part."""
        return self.parts[0].start

    @property
    def every(self) -> float | None:
        """Of the last part."""
        return self.parts[-1].every

    @property
    def infusion(self) -> float | None:
        """Of the last part."""
        return self.parts[-1].infusion

    @property
    def times(self) -> np.ndarray:
        """Times of all doses."""
        return np.concatenate([part.times for part in self.parts])

    def __str__(self):
        return ", then ".join(map(str, self.parts))


def varied(plan, name, value):
    """The plan with another ``amount``, ``every``, ``duration`` or ``rate`` of its last part."""
    *first, last = plan.parts
    last = replace(last, **{name: float(value)})
    return Plan(*first, last) if first else last


@checked
def regimens(
    amounts: OneOrMore, *, every: Several = None, duration: Lengths = None, rate: Several = None,
    until: Number | None = None, **same: object,
) -> list[Regimen]:  # fmt: skip
    """Every `Regimen` of the given amounts, intervals, and infusion durations or rates.

    Parameters
    ----------
    amounts : sequence of float
        What can be given, e.g. ``range(250, 2001, 250)`` or `tablets`.
    every, duration, rate : float or sequence of float, optional
    until : float, optional
        In place of ``doses``: the time by which the last interval ends at the latest.
    **same
        The other arguments of `Regimen`.

    Returns
    -------
    list of Regimen
        Without those whose infusion would be longer than their interval.

    Raises
    ------
    ModelError
        No regimen is possible; ``until`` without an interval or a start, or beside ``doses``.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> for regimen in nb.regimens([500, 750], every=(12, 24), start=48, until=96):
    ...     print(regimen)
    500 every 12 x 4
    500 every 24 x 2
    750 every 12 x 4
    750 every 24 x 2
    """
    found, refused, same = [], None, arguments(Regimen, **same)
    for amount in np.atleast_1d(amounts):
        for interval in np.atleast_1d(every):
            for over in np.atleast_1d(duration):
                for speed in np.atleast_1d(rate):
                    given = {"amount": amount, "every": interval, "duration": over, "rate": speed} | same
                    if until is not None and "doses" in same:
                        raise ModelError("regimens: doses= and until= say the same; give one")
                    if until is not None:
                        given["doses"] = doses_until(until, same.get("start"), interval)
                    try:
                        found.append(Regimen(**given))
                    except ModelError as error:
                        if "longer than the interval" not in str(error):
                            raise
                        refused = error
    if not found:
        raise refused or ModelError("regimens: amounts, every, duration and rate must each hold a value")
    return found


def doses_until(until, start, every):
    """How many doses there are whose last interval ends at ``until`` at the latest, one at least."""
    if every is None:
        raise ModelError("regimens: until= needs an interval, every=")
    if start is None:
        raise ModelError("regimens: until= needs the start, start=, or give the number, doses=")
    if until <= start:
        raise ModelError(f"regimens: until={until:g} is not after the start, {start:g}; give a later time")
    count = max(1, int((until - start) / every + 1e-9))
    if count > MOST:
        raise ModelError(f"regimens: until={until:g}: doses must be a whole number from 1 to {MOST}; got {count:.3g}")
    return count


@checked
def tablets(*sizes: Positive, most: Count = 4, halves: Switch = False) -> list[float]:
    """Amounts that can be given with at most so many tablets of these sizes, halved where that is allowed.

    Parameters
    ----------
    *sizes : float
        Of tablets.
    most : int
        So many tablets at most.
    halves : bool
        Whether tablets may be halved.

    Returns
    -------
    list of float
        In order, each once.

    Raises
    ------
    ModelError
        No size, or more than 100,000 amounts.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.tablets(100, 250, most=2)
    [100.0, 200.0, 250.0, 350.0, 500.0]
    """
    pieces = [size / (2 if halves else 1) for size in sizes]
    if not pieces:
        raise ModelError("tablets: give the sizes of tablets, e.g. tablets(100, 250)")
    count = most * (2 if halves else 1)
    if comb(count + len(set(pieces)), count) > MOST:
        raise ModelError(f"tablets: most={most} of {len(pieces)} sizes make more than {MOST} amounts; give fewer")
    sums = {0.0}
    for _ in range(count):
        sums |= {round(total + piece, 9) for total in sums for piece in pieces}
    return sorted(sums - {0.0})


def kept(patient, plan, history):
    """The patient's data with the recorded doses and resets that stay: all, those before the plan, or none."""
    doses, events, start = patient.doses, patient.events, plan.parts[0].start
    if history != FOLLOW and len(events):
        gone = (events["kind"] == "reset") & ((history == NONE) | (events[patient.time] >= start))
        patient = replace(patient, events=events[~gone])
    if history == NONE or not len(doses):
        return replace(patient, doses=doses.iloc[:0])
    times, more = doses[patient.time].to_numpy(float), doses["addl"].to_numpy(float)
    if history == REPLACE:
        interval = doses["ii"].to_numpy(float)
        before = np.ceil((start - times) / np.where(interval > 0, interval, 1.0)) - 1
        addl = np.where(interval > 0, np.minimum(more, before), more)
        return replace(patient, doses=doses.assign(addl=addl.astype(int))[times < start])
    last = (times + more * doses["ii"].to_numpy(float)).max()
    if start <= last:
        raise ModelError(
            f"the regimen {plan} starts at {start:g}; the patient's last recorded dose, at {last:g}, stays: give a "
            "later start=, or take history='replace' if the doses from there on have not been given"
        )
    return patient


def with_doses(patient, regimen):
    """The patient's data with a regimen after the doses already there; a new dose acts after samples at its time.

    ``row`` of a new dose is minus the number of its part of the plan, ``position`` is infinite.
    """
    first = patient.observations.iloc[0]
    followed = patient.levels[: patient.levels.index(patient.subject) + 1]
    levels = {level: first[level] for level in followed}  # an occasion follows from the time
    added = pd.DataFrame([
        {"row": -1 - number, **levels, patient.time: time, "amount": float(part.amount * part.salt), "position": np.inf,
         "state": part.state, "rate": part.amount * part.salt / part.infusion if part.infusion else 0.0,
         "addl": 0, "ii": part.every if part.steady and time == part.start else 0.0,
         "ss": int(part.steady and time == part.start)}
        for number, part in enumerate(regimen.parts) for time in part.times
    ])  # fmt: skip
    doses = pd.DataFrame([*patient.doses.to_dict("records"), *added.to_dict("records")], columns=patient.doses.columns)
    deeper = [level for level in patient.levels if level not in followed]
    return replace(patient, doses=doses.astype(dict.fromkeys(deeper, object)))


def beginnings(patient, plan, occasions):
    """Times at which new occasions of the patient begin under a plan: none where nothing lies below the subject."""
    if patient.levels[-1] == patient.subject or occasions == LAST:
        return np.zeros(0)
    return plan.times if occasions == EACH else plan.times[:1]


def of_occasions(data, count):
    """Labels of so many occasions to come."""
    return [f"{data.observations[data.subject].iloc[0]}/next {n}" for n in range(1, count + 1)]


def with_occasions(data, starts):
    """The data in which what comes after each of ``starts`` is an occasion of its own, with labels not used before."""
    below = data.levels[data.levels.index(data.subject) + 1 :]
    names_of = np.array(["", *of_occasions(data, len(starts))], dtype=object)

    def relabelled(frame, number):
        names = names_of[number]
        new = {level: np.where(number > 0, names, frame[level].to_numpy(object)) for level in below}
        return frame.assign(**pd.DataFrame(new, index=frame.index, dtype=object))

    ends = starts + ROUNDING * np.abs(starts)  # a record at a start, but for rounding, ends the occasion before
    seen = np.searchsorted(ends, data.observations[data.time].to_numpy(float), side="left")
    given = np.searchsorted(starts, data.doses[data.time].to_numpy(float), side="right")
    planned = np.isinf(data.doses["position"].to_numpy(float))
    return replace(
        data, observations=relabelled(data.observations, seen),
        doses=relabelled(data.doses, np.where(planned, given, 0)),
    )  # fmt: skip


def acts(patient, plan=None):
    """Times at which recorded and planned doses, and their infusions of known rate, start and end, in order."""
    parts = plan.parts if plan else ()
    found = [np.zeros(0), *(part.times + lasts for part in parts for lasts in (0.0, part.infusion or 0.0))]
    for dose in patient.doses.to_dict("records"):
        times = each_time(dose, patient.time)
        found += [times, times + (dose["amount"] / dose["rate"] if dose["rate"] > 0 else 0.0)]
    return np.unique(np.concatenate(found))


def each_time(dose, time):
    """When a recorded dose is given: its time and those of its additional doses."""
    return dose[time] + dose["ii"] * np.arange(dose["addl"] + 1)


def restarts(patient, plan):
    """Times at which the states are what they are by a reset or a steady state, in place of what was."""
    found = [part.start for part in plan.parts if part.steady]
    found += [dose[patient.time] for dose in patient.doses.to_dict("records") if dose["ss"] == 1]
    found += [event[patient.time] for event in patient.events.to_dict("records") if event["kind"] == "reset"]
    return np.array(found, dtype=float)
