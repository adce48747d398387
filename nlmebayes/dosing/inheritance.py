"""What a regimen leaves open, taken from the patient's records: when it starts, over how long and where it is given.

The next dose is due one interval after the last: II of the last record, or the time between the last two doses, or,
of a single dose, the interval of the regimen itself. It is given as the last dose was.
"""

from dataclasses import dataclass, replace

import numpy as np

from nlmebayes.dosing.regimen import FOLLOW, NONE, REPLACE, Plan, each_time
from nlmebayes.errors import ModelError


def stated(plan, chart, history=FOLLOW, now=None):
    """The plan with nothing left open, and what it takes from the records: words -> the arguments that say another.

    Parameters
    ----------
    plan : Regimen or Plan
    chart : Chart
    history : {"follow", "replace", "none"}
    now : float, optional
        Before which nothing starts; by default the last measurement.

    Raises
    ------
    ModelError
        The records do not tell: no next dose, several states, infusions of several lengths, or nothing recorded of
        a drug that is infused.
    """
    words, parts = {}, []
    for part in plan.parts:
        manner, part = chart.given(part)
        if part.start is None:
            when, start = _following(parts[-1], part) if parts else chart.due(part.every, history, now)
            words |= {f"starts at {start:g}, {when}": "start"}
            part = replace(part, start=start)
        words |= manner if part.amount else {}
        parts.append(part)
    return Plan(*parts) if len(parts) > 1 else parts[0], words


def sentence(words, option="{}="):
    """One line of what was taken; ``option`` is how an argument is written."""
    others = ", ".join(option.format(name) for name in dict.fromkeys(words.values()))
    return f"the regimen {' and '.join(words)}; for another say {others}"


def _following(before, part):
    """When a later part of a plan starts that does not say so: an interval after the part before it."""
    every = before.every or part.every
    if every is None:
        raise ModelError(f"Plan: {part} does not say when it starts, nor after which interval; give start= or every=")
    return f"{every:g} after {before}", float(before.times[-1] + every)


@dataclass(frozen=True, eq=False)
class Chart:
    """The recorded doses, each with its times, in the order in which they end; ``seen`` is the last measurement,
    ``end`` the last record, ``infused`` whether the drug may not be given at once."""

    structure: object
    doses: list
    times: np.ndarray
    seen: float
    end: float
    infused: bool

    @classmethod
    def of(cls, patient, structure, infused=False):
        time = patient.time
        doses = [dose | {"times": each_time(dose, time)} for dose in patient.doses.to_dict("records")]
        doses = sorted((dose for dose in doses if dose["amount"] > 0), key=lambda dose: dose["times"][-1])
        times = np.unique(np.concatenate([dose["times"] for dose in doses])) if doses else np.zeros(0)
        measured = patient.observations[patient.observations["value"].notna()]
        records = [frame[time].max() for frame in (measured, patient.events) if len(frame)]
        seen = float(max(records or [patient.observations[time].max()]))
        end = float(max([patient.observations[time].max(), seen, *times[-1:]]))
        return cls(structure, doses, times, seen, end, infused)

    def due(self, every, history, now):
        """When the next dose is due, in words and as a time."""
        seen = self.seen if now is None else now
        if history == NONE or not self.doses:
            return "the last record" if now is None else "now", self.end if now is None else now
        coming = self.times[self.times > seen]
        if history == REPLACE and coming.size:
            return "the first recorded dose that it replaces", float(coming[0])
        interval = self.doses[-1]["ii"] or (np.diff(self.times)[-1] if len(self.times) > 1 else every)
        last = float(self.times[-1])
        if not interval:
            raise ModelError(
                f"the records imply no next dose after that at {last:g}, the only one: say when the regimen starts, "
                "start=, or its interval, every="
            )
        due = float(last + interval)
        if due < seen:
            what = "the last record" if now is None else "now"
            return f"{what}: the dose due at {due:g}, {interval:g} after the last, is not recorded", float(seen)
        return f"{interval:g} after the last dose, at {last:g}", due

    def given(self, part):
        """What a part of a plan takes from the last dose in words, and the part with it."""
        words, said = {}, part.duration is not None or part.rate is not None
        if not self.doses:
            if self.infused and not said and part.amount:
                raise ModelError(
                    f"the regimen {part}: this drug is infused, and no dose is recorded that says over how long; give "
                    "duration= (0 at once)"
                )
            words = {"is given at once, for no dose is recorded": "duration"}
            return ({} if said or part.start is not None else words), part
        last = [dose for dose in self.doses if dose["times"][-1] == self.times[-1]]
        if part.state is None:
            state = self._only(part, [self._name(dose["state"]) for dose in last], "into several states", "state=")
            if state != self._name(None):
                words[f"goes into {state}, as the last dose"] = "state"
                part = replace(part, state=state)
        if said:
            return words, part
        alike = [dose for dose in self.doses if self._name(dose["state"]) == self._name(part.state)]
        alike = [dose for dose in alike if dose["times"][-1] == alike[-1]["times"][-1]]
        lengths = [round(dose["amount"] / dose["rate"], 9) if dose["rate"] > 0 else 0.0 for dose in alike]
        duration = self._only(part, lengths, "over several lengths of time", "duration=") if alike else 0.0
        if duration:
            words[f"runs over {duration:g}, as the last dose"] = "duration"
        return words, replace(part, duration=duration)

    def _name(self, state):
        """The state that a label means: a name, a number, or nothing for the default one."""
        states = self.structure.states
        if state is None or state != state:
            return self.structure.dosed or (states[0] if states else None)
        return states[int(state) - 1] if str(state).isdecimal() and 0 < int(state) <= len(states) else state

    def _only(self, part, values, what, argument):
        if len(set(values)) > 1:
            found = ", ".join(map(str, dict.fromkeys(values)))
            raise ModelError(f"the regimen {part}: the last doses went {what}, {found}; say which, {argument}")
        return values[0]
