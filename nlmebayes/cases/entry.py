"""What a `Case` says: its texts as numbers in the units of its models, and every problem beside the field that has it.

Fields are named by their place: ``patient.weight``, ``doses.0.amount``, ``samples.2.time``, ``now``.
"""

import re
from dataclasses import dataclass

import numpy as np

from nlmebayes.arguments import checked
from nlmebayes.cases import chart, covariates, doubts, models
from nlmebayes.cases.case import Case
from nlmebayes.cases.problems import Notes, Problem
from nlmebayes.cases.quantities import Unclear, quantity
from nlmebayes.data.dataset import Dataset
from nlmebayes.data.validate import DataError
from nlmebayes.dosing import inheritance, wanted
from nlmebayes.dosing.regimen import FOLLOW, Regimen, kept
from nlmebayes.dosing.targets import Target
from nlmebayes.parameter.units import TIMES
from nlmebayes.runtime.threads import in_turns

UNITS = "mg", "mg/L"  # of amounts and samples, where there is no model to say it
COMMA = re.compile(r"\d,\d")  # 60,5 is one time or two
DAY = re.compile(r"day (\d+), *")  # whose comma parts no times
MISSING = ("refuse", "impute")
USUAL = (12.0, 24.0)  # hours between doses, where neither the case nor its chart says


@dataclass(frozen=True)
class Candidate:
    """A regimen to compare; its amount is to be sought where none was entered."""

    plan: Regimen
    sought: bool


@dataclass(frozen=True, eq=False)
class Entry:
    """A case that was read.

    Attributes
    ----------
    problems : tuple of Problem
        All of them; with one that stops there is no ``patient``.
    shown : dict of str
        Field -> what was understood, in the units of the models: ``{"patient.weight": "69.9 kg"}``.
    models : tuple of Ready
    patient : Dataset or None
        Times in hours since the first record, or as they were entered.
    covariates : dict
        Column of the models -> what it is at the end of the chart, in words: ``{"crcl": "65 mL/min by ..."}``.
    targets : tuple of Target
    candidates : tuple of Candidate
        With nothing left open but amounts that are sought; without any entered, those at the interval of the chart.
    assumed : tuple of str
        What the candidates take from the chart.
    now : float or None
    sampled : tuple of float
        Candidate times of the next sample.
    late : float or None
        Hours by which the next dose may be late.
    """

    case: Case
    problems: tuple[Problem, ...]
    shown: dict[str, str]
    models: tuple
    patient: Dataset | None
    covariates: dict[str, str]
    targets: tuple[Target, ...]
    candidates: tuple[Candidate, ...]
    assumed: tuple[str, ...]
    times: chart.Times
    now: float | None
    sampled: tuple[float, ...]
    late: float | None
    missing: str
    seed: int

    @property
    def stopping(self):
        """The problems that stand in the way of an answer."""
        return tuple(problem for problem in self.problems if problem.stops)


@checked
@in_turns
def read(case: Case):
    """The `Entry` of a case; what was entered raises no error, it becomes a `Problem`."""
    notes = Notes()
    ready = _ready(case, notes)
    when = chart.times(case, notes)
    now = _time(case.now, "now", when, notes)
    amount, outcome = (ready[0].unit("amount"), ready[0].unit(ready[0].outcomes[0])) if ready else UNITS
    targets, candidates = _targets(case, outcome, notes), _candidates(case, amount, when, notes)
    sampled = _sampled(case, when, now, notes)
    missing, seed = _missing(case, notes), _seed(case, notes)
    _in_order(case, when, now, notes)
    patient, words = None, {}
    if ready:
        made, words = _chart(case, ready, when, missing, notes)
        patient = _patient(made, case, ready, when, notes)
    assumed = ()
    if patient is not None:
        doubts.given_by(now, patient, made.fields, notes)
        candidates, assumed = _complete(candidates, targets, ready[0], patient, now, notes)
        plans = [each.plan for each in candidates if not each.sought]
        doubts.look(ready, patient, case.patient, made.fields, plans, missing, notes)
    late = _late(case, candidates, notes)
    stopped = any(problem.stops for problem in notes.problems)
    return Entry(
        case, tuple(notes.problems), notes.shown, ready, None if stopped else patient, words, targets, candidates,
        assumed, when, now, sampled, late, missing, seed,
    )  # fmt: skip


def _ready(case, notes):
    """The models, as far as they are there and fit together."""
    found = []
    for i, name in enumerate(case.models):
        with notes.at(f"models.{i}"):
            if name in case.models[:i]:
                raise Unclear(f"{name} stands twice; leave one out")
            found.append(models.ready(name, case.population))
    if not case.models:
        notes.say("models", "choose a model")
    with notes.at("models"):
        covariates.wanted(found)
        for model in found:
            _together(found[0], model)
        return tuple(found)
    return ()


def _together(first, other):
    """Refuse models that one chart cannot serve."""
    if len(other.outcomes) > 1 or not other.forecaster.model.structure.doses:
        raise Unclear(f"{other.name} is no model of one concentration after doses; the command line takes it")
    for what, name in (("times", "time"), ("doses", "amount"), ("samples", other.outcomes[0])):
        if not other.unit(name):
            raise Unclear(f"{other.name} does not say in which unit {what} are; add {name} to its units")
    if TIMES.get(other.unit("time")) != "h":
        raise Unclear(f"{other.name} has times in {other.unit('time')}, and a case has hours; state it in hours")
    for what, mine, its in (
        ("levels", first.levels, other.levels), ("outcomes", first.outcomes, other.outcomes),
        ("amounts in", first.unit("amount"), other.unit("amount")),
        ("concentrations in", first.unit(first.outcomes[0]), other.unit(other.outcomes[0])),
    ):  # fmt: skip
        if mine != its:
            raise Unclear(f"{first.name} has {what} {_listed(mine)}, {other.name} {_listed(its)}: ask them one by one")


def _listed(value):
    return value if isinstance(value, str) else ", ".join(value)


def _time(text, place, when, notes):
    if not text:
        return None
    with notes.at(place):
        found = when.of(text)
        notes.shown[place] = when.worded(found)
        return found
    return None


def _targets(case, unit, notes):
    found = []
    for i, text in enumerate(case.targets):
        with notes.at(f"targets.{i}"):
            target = wanted.target(text, unit)
            notes.shown[f"targets.{i}"] = str(target)
            if str(target) in map(str, found):
                raise Unclear(f"{target} stands twice; leave one out")
            found.append(target)
    return tuple(found)


def _candidates(case, unit, when, notes):
    found = []
    for i, row in enumerate(case.regimens):
        place, said = f"regimens.{i}", {}
        readers = {
            "every": lambda text: chart.positive(text, "h"), "doses": chart.count, "start": when.of,
            "duration": lambda text: chart.positive(text, "h", zero=True),
            "amount": lambda text: chart.positive(text, unit), "steady": chart.whether,
        }  # fmt: skip
        for name, reader in readers.items():
            if row.get(name):
                with notes.at(f"{place}.{name}"):
                    said[name] = reader(row[name])
        if "every" in said and "doses" not in said:
            if said.get("steady") is False:
                notes.say(f"{place}.doses", "how many doses? write their number, or leave no steady state out")
            said["steady"] = True
        with notes.at(place):
            found.append(Candidate(Regimen(**{"amount": 1.0} | said), "amount" not in said))
            notes.shown[place] = found[-1].plan.worded(f" {unit}", " h") if "amount" in said else "the best is sought"
    return tuple(found)


def _complete(candidates, targets, model, patient, now, notes):
    """The candidates with nothing left open, and what they take from the chart."""
    infused, structure = model.dispensing.infused, model.forecaster.model.structure
    chart_, found, lines = inheritance.Chart.of(patient, structure, infused), [], {}
    for i, each in enumerate(candidates or (_usual(chart_) if targets else ())):
        with notes.at(f"regimens.{i}" if candidates else "regimens"):
            plan, words = inheritance.stated(each.plan, chart_, now=now)
            _check_start(plan, patient, now)
            for target in targets:
                target.window(plan)
            if each.sought:
                _check_limits(targets)
            found.append(Candidate(plan, each.sought))
            lines |= {inheritance.sentence(words, "{}"): None} if words else {}
    return tuple(found), tuple(lines)


def _usual(given):
    """Where no regimen was entered: amounts are sought at the interval of the chart, or at the usual ones."""
    recorded = given.doses[-1]["ii"] if given.doses else 0.0
    apart = np.diff(given.times)
    intervals = [recorded] if recorded else [float(round(apart[-1]))] if apart.size and apart[-1] >= 1 else USUAL
    return [Candidate(Regimen(given.doses[-1]["amount"] if given.doses else 1.0, every=every, steady=True), True)
            for every in intervals]  # fmt: skip


def _check_limits(targets):
    """A best amount is sought between two limits."""
    for word, there in (("more", any(np.isfinite(t.high) for t in targets)), ("less", any(t.low > 0 for t in targets))):
        if targets and not there:
            raise Unclear(f"of {' and '.join(map(str, targets))} {word} is always better; enter the amounts that can "
                          "be given")  # fmt: skip


def _check_start(plan, patient, now):
    """A regimen is one to come, after the doses that were given."""
    kept(patient, plan, FOLLOW)
    if now is not None and plan.start < now:
        raise Unclear(f"starts at {plan.start:g} h, before now, {now:g} h; let it start later")


def _sampled(case, when, now, notes):
    with notes.at("next_sample"):
        texts = DAY.sub(r"day \1 ", case.next_sample)
        if COMMA.search(texts):
            raise Unclear(f"{case.next_sample!r} can be read in two ways; write a semicolon or a space between times")
        times = tuple(when.of(text) for text in filter(None, map(str.strip, texts.replace(";", ",").split(","))))
        seen = [time for place, time in when.hours.items() if place.startswith("samples")]
        last = max([-np.inf, *seen]) if now is None else now
        for time in times:
            if time < last:
                what = "the last sample" if now is None else "now"
                raise Unclear(f"{when.worded(time)} lies before {what}, {when.worded(last)}; write times to come")
        return times
    return ()


def _late(case, candidates, notes):
    """By how much the next dose is late, which is less than any interval: else it is the one after."""
    if not case.late:
        return None
    with notes.at("late"):
        late = chart.positive(case.late, "h")
        shortest = min([each.plan.every for each in candidates if each.plan.every], default=np.inf)
        if late >= shortest:
            raise Unclear(f"a dose that is {late:g} h late is the next one, {shortest:g} h after; write less")
        return late
    return None


def _missing(case, notes):
    if case.missing not in MISSING:
        notes.say("missing", f"{case.missing!r} is none of {', '.join(MISSING)}")
    return case.missing if case.missing in MISSING else MISSING[0]


def _seed(case, notes):
    with notes.at("seed"):
        value = quantity(case.seed)
        if value != int(value) or not 0 <= value < 2**53:
            raise Unclear(f"{case.seed!r} is no seed; write a whole number from 0 on")
        return int(value)
    return 1


def _in_order(case, when, now, notes):
    """Samples lie after the first dose, and neither they nor doses after now."""
    given = [time for place, time in when.hours.items() if place.startswith("doses")]
    first = min(given, default=None)
    for place, time in when.hours.items():
        kind, number, _ = place.split(".")
        if kind == "samples" and (first is None or time < first) and _measured(case.samples[int(number)]):
            begun = "no dose was entered" if first is None else f"the first dose was given at {when.worded(first)}"
            notes.say(
                place, f"sampled at {when.worded(time)}, and {begun}; correct a time, or enter the doses before it"
            )
        if now is not None and time > now and kind != "later":
            mend = "correct one" if kind == "samples" else "a dose to come is a regimen"
            notes.say(place, f"{when.worded(time)} lies after now, {when.worded(now)}; {mend}")


def _measured(row):
    return not row.get("value", "").strip().startswith("<")


def _chart(case, ready, when, missing, notes):
    """The `Chart`, and the covariates at its end in words."""
    columns, impute = covariates.wanted(ready), missing == "impute"
    known = covariates.values(case.patient, columns, notes, "patient")
    found = covariates.columns_of(columns, known, case.equation, notes, "patient", impute)
    course = [(-np.inf, {name: value for name, (value, _) in found.items()})]
    for i in sorted(range(len(case.later)), key=lambda i: when.hours.get(f"later.{i}.time", 0.0)):
        covariates.check_changed(case.later[i], columns, known, notes, f"later.{i}")
        known = known | covariates.values(case.later[i], columns, notes, f"later.{i}")
        found = covariates.columns_of(columns, known, case.equation, notes, f"later.{i}", impute)
        course.append((when.hours.get(f"later.{i}.time", 0.0), {name: value for name, (value, _) in found.items()}))
    made = chart.chart(case, ready, when, course, notes)
    return made, {name: text for name, (_, text) in found.items()}


def _patient(made, case, ready, when, notes):
    """The `Dataset`, or None where a problem stops it."""
    if not any(problem.stops for problem in notes.problems):
        try:
            return made.dataset(ready, covariates.wanted(ready), case.label or "patient", when)
        except DataError as error:
            place, text = doubts.placed(str(error), made.fields, "value")
            notes.say(place or "label", text)
    return None
