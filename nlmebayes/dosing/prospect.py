"""What a plan of doses does to the patient of a forecast: predicted curves over draws, and the exposures of targets.

A plan's design is resolved once; other amounts are other numbers in its records. Where effects of doses add up, three
evaluations serve any number of amounts: f = base + amount * unit. That is checked on a few draws before it is used.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from nlmebayes.data.validate import DataError
from nlmebayes.dosing import future_covariates, regimen
from nlmebayes.dosing.exposure import Ends, Panels, panels
from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation.evaluator import Draws, effects, evaluator
from nlmebayes.evaluation.fitted import REPORT, Fitted, fitted, said
from nlmebayes.evaluation.weights import KHAT
from nlmebayes.formula.design import Design, resolve
from nlmebayes.model.model import Model
from nlmebayes.populations.dispensing import Dispensing
from nlmebayes.structure.area import area_of

History = Literal["follow", "replace", "none"]
Occasions = Literal["new", "last", "each"]
ROUNDS = 3  # in which panels that are too wide are cut
LOOK = 200  # draws that decide on it
FEW = 8  # draws on which a curve is checked to be linear in the amounts
AGREE = 1e-7  # relative to the largest prediction


@dataclass(frozen=True, eq=False)
class Case:
    """The patient of a forecast as dosing sees it: draws, records, and what holds of doses to come.

    ``size`` is the number of draws that count as independent, ``history`` and ``occasions`` are as in `recommend`.
    """

    known: Fitted
    draws: Draws
    patient: object
    outcome: str
    size: float
    history: str = regimen.FOLLOW
    occasions: str = regimen.NEW
    drift: str | None = None  # the level whose effects go on from the last group's
    covariates: dict = field(default_factory=dict)  # to come, as in `recommend`
    dispensing: Dispensing = field(default_factory=Dispensing)

    @property
    def model(self):
        """The `Model` of the forecast."""
        return self.known.model

    @property
    def training(self):
        """The `Design` of the data that the population was fitted to."""
        return self.known.training

    @classmethod
    def of(cls, forecast, *, model=None, outcome=None, history=regimen.FOLLOW, occasions=regimen.NEW, covariates=None):
        """From the tree of a forecast.

        Raises
        ------
        ModelError
            Not a forecast, of a model without doses, or of several outcomes none of which is chosen.
        """
        return cls.read(fitted(forecast, model), outcome, history, occasions, covariates)

    @classmethod
    def read(cls, known, outcome, history, occasions, covariates):
        """The same of a forecast that was read, a `Fitted`."""
        forecast, patient = known.tree, known.data
        if not known.model.structure.doses:
            raise ModelError(f"{known.model.structure.label} has no doses")
        outcome = only(patient, outcome)
        size = independent(forecast)
        draws = known.draws_of(patient.outcomes)
        drift = known.report.get("drift")
        coming = future_covariates.checked(covariates, patient, known.training.units.columns)
        size = min(draws.size, size)
        given = Dispensing.of(forecast)
        return cls(known, draws, patient, outcome, size, history, occasions, drift, coming, given)


def only(patient, outcome=None):
    """The outcome that is meant: the one chosen, or the only one there is."""
    if outcome is None and len(patient.outcomes) > 1:
        raise ModelError(f"several outcomes; choose one with outcome=: {', '.join(patient.outcomes)}")
    outcome = outcome or patient.outcomes[0]
    if outcome not in patient.outcomes:
        raise ModelError(f"no outcome {outcome!r} in the forecast; its outcomes are {', '.join(patient.outcomes)}")
    return outcome


def independent(forecast):
    """Effective number of draws of a forecast; warns of one that is not to be trusted."""
    if REPORT not in forecast.attrs:
        raise ModelError("recommend needs the tree of one patient, from forecast")
    report = {"khat": None} | said(forecast, REPORT)
    if not isinstance(report.get("effective_sample_size"), float):
        raise ModelError("the tree is damaged: it does not say how many draws are independent; forecast anew")
    if (report["khat"] or 0.0) > KHAT:
        warn(f"the forecast's k-hat {report['khat']:.2f} is above {KHAT}: its probabilities may be off")
    return report["effective_sample_size"]


@dataclass(frozen=True, eq=False)
class Course:
    """Records of a patient under a plan, and the random effects of all their groups; ``model`` predicts."""

    case: Case
    plan: object
    design: Design
    eta: dict
    model: Model

    def predicted(self, amounts, few=None):
        """Predictions (draw, record) under amounts (part,) of the plan; of the first ``few`` draws."""
        records = self.design.records
        row = records["row"].to_numpy(float)
        planned = (records["what"] == "dose").to_numpy() & np.isinf(records["position"].to_numpy(float))
        amount, rate = (records[name].to_numpy(float, copy=True) for name in ("amount", "rate"))
        for number, (part, value) in enumerate(zip(self.plan.parts, amounts, strict=True)):
            here = planned & (row == -1 - number)
            amount[here] = value * part.salt
            rate[here] = value * part.salt / part.infusion if part.infusion else 0.0
        design = replace(self.design, records=records.assign(amount=amount, rate=rate))
        theta, eta = ({k: v[:few] for k, v in each.items()} for each in (self.case.draws.theta, self.eta))
        return evaluator(self.model, design)(theta, eta)[1][self.case.outcome]


def course(case, plan, times):
    """The `Course` of a plan, read at ``times``; an exposure at the time of a dose is that before it."""
    data = future_covariates.with_covariates(regimen.kept(case.patient, plan, case.history), plan, case.covariates)
    starts = regimen.beginnings(data, plan, case.occasions)
    data = replace(data, outcomes=(case.outcome,))
    data = regimen.with_doses(data.over(**{data.time: np.concatenate([times, starts])}), plan)
    # Numbered before every dose; a record where an occasion begins ends the one before it.
    data = replace(data, observations=data.observations.assign(row=-1 - np.arange(len(data.observations))))
    if len(starts):
        data = regimen.with_occasions(data, starts)
    try:
        design = resolve(case.model, data, case.training)
    except DataError as error:
        if not len(starts):
            raise
        mend = "If it is the new occasion that the formula does not know, take occasions='last'"
        raise ModelError(f"{error} {mend}") from error
    eta = effects(design, replace(case.draws, drift=None), np.random.default_rng(0))  # `_walked` knows the start
    return Course(case, plan, design, _walked(case, design, eta, starts), case.model)


def _walked(case, design, eta, starts):
    """The effects, of which those of a drifting level in new occasions are steps away from the last one before."""
    level = next((each for each in design.levels if each.name == case.drift), None)
    if level is None or not len(starts):
        return eta
    time, labels = case.patient.time, list(level.labels)
    frames = [frame[[time, level.name]] for frame in (case.patient.observations, case.patient.doses) if len(frame)]
    records = pd.concat(frames).sort_values(time, kind="stable")
    past = records[(records[time] <= starts[0]) & records[level.name].isin(case.draws.groups[level.name])]
    if past.empty:
        raise ModelError(
            f"a patient who drifts has no {level.name} before {starts[0]:g} to go on from: give a later start=, or "
            "take occasions='last'"
        )
    last = case.draws.groups[level.name].index(past[level.name].iloc[-1])
    new = regimen.of_occasions(case.patient, len(starts))
    new = [labels.index(label) for label in new if label in labels]
    values = eta[level.name].copy()
    values[:, new] = case.draws.eta[level.name][:, [last]] + eta[level.name][:, new].cumsum(axis=1)
    return eta | {level.name: values}


def curves(course, largest=None, there=None):
    """A function of amounts (part,) that gives predictions (draw, record).

    With the ``largest`` amounts that will be asked for, and the predictions ``there`` if they are known, it scales
    instead of evaluating anew, where that is right.
    """
    if largest is None or not _superposed(course.case.model.structure, course.plan):
        return course.predicted
    largest = np.asarray(largest, dtype=float)
    nothing = np.zeros(len(largest))
    base = course.predicted(nothing)
    alone = np.diag(largest)
    each = [course.predicted(alone[k]) if there is None or len(largest) > 1 else there for k in range(len(largest))]
    units = [(f - base) / value if value else 0.0 for f, value in zip(each, largest, strict=True)]
    few = min(FEW, len(base))
    twice = course.predicted(2 * largest, few)
    guess = sum((2 * a * unit[:few] for a, unit in zip(largest, units, strict=True) if a), base[:few])
    if not np.allclose(guess, twice, rtol=AGREE, atol=AGREE * np.abs(twice).max()):
        return course.predicted  # such as a modelled rate of infusion, which makes the duration that of the amount
    return lambda amounts: sum((a * unit for a, unit in zip(amounts, units, strict=True) if a), base)


def _superposed(structure, plan):
    return structure.superposed and all(part.rate is None for part in plan.parts)


@dataclass(frozen=True, eq=False)
class Prospect:
    """Exposures of targets under plans that differ in their amounts only."""

    targets: tuple
    windows: tuple  # one of each target: (start, end, whether its area is predicted)
    grids: dict  # window -> `Panels`, None for a point, or `Ends`
    places: dict  # window -> slice of the records
    f: object  # function of amounts
    area: object  # the same for the windows of which areas are predicted

    def exposures(self, amounts):
        """(draw,) of each target, under amounts (part,)."""
        amounts = np.asarray(amounts, dtype=float)
        f = {area: each(amounts) for area, each in ((False, self.f), (True, self.area)) if each is not None}
        return [
            target.measure(self.grids[window], f[window[2]][:, self.places[window]])
            for target, window in zip(self.targets, self.windows, strict=True)
        ]


def prospect(case, plan, targets, largest=None):
    """The `Prospect` of a plan; ``largest`` are the largest amounts that will be asked for, of each part."""
    area = area_of(case.model.structure, case.outcome)
    windows = tuple((*map(float, t.window(plan)), t.integral and area is not None) for t in targets)
    for target, (start, end, _) in zip(targets, windows, strict=True):
        early = end < plan.start or start < end <= plan.start
        if early and any(part.amount for part in plan.parts):
            raise ModelError(
                f"the target {target} is about times up to {end:g}, before the regimen {plan} starts at "
                f"{plan.start:g} and can change anything; give later times, or an amount of 0 to look at the past"
            )
        if case.history == regimen.NONE and start < plan.start:
            raise ModelError(
                f"the target {target} is about times from {start:g} on, before the regimen {plan} starts at "
                f"{plan.start:g}, and history='none' leaves out all doses before; count its times from the start"
            )
    kept = regimen.kept(case.patient, plan, case.history)
    breaks = np.union1d(
        regimen.acts(kept, plan), [time for time, *_ in future_covariates.changes(case.covariates, plan)]
    )
    grids = {w: _grid(*w, breaks, regimen.restarts(kept, plan)) for w in windows}
    amounts = np.asarray([part.amount for part in plan.parts] if largest is None else largest, dtype=float)
    curve, seen = _curve(case, plan, {w: grid for w, grid in grids.items() if not w[2]}, amounts, largest)
    grids |= seen
    ends = {w: grid for w, grid in grids.items() if w[2]}
    areas = None
    if ends:
        found = replace(
            course(case, plan, _times(ends)), model=Model(area, links=case.model.links, typical=case.model.typical)
        )
        areas = curves(found, largest)
    return Prospect(tuple(targets), windows, grids, _places(seen) | _places(ends), curve, areas)


def _grid(start, end, area, breaks, restarts):
    if area:
        return Ends.of(start, end, restarts)
    return None if start == end else panels(start, end, breaks)


def _curve(case, plan, grids, amounts, largest):
    """Predictions of the curve as a function of amounts, or None where nothing is to be read from it, and the grids,
    with panels cut as the curve asks for it."""
    if not grids:
        return None, grids
    for left in reversed(range(ROUNDS + 1)):
        places = _places(grids)
        found = course(case, plan, _times(grids))
        first = found.predicted(amounts, LOOK if left else None)
        finer = {w: _finer(grid, first[:, places[w]]) for w, grid in grids.items()}
        if not left:
            break
        if not any(finer.values()):
            first = found.predicted(amounts) if len(first) < case.draws.size else first
            break
        grids = {w: finer[w] or grid for w, grid in grids.items()}
    f = curves(found, largest, first)
    return (lambda a: first if np.array_equal(a, amounts) else f(a)), grids


def _finer(grid, values) -> Panels | None:
    return None if grid is None else grid.refined(values)


def _times(grids):
    return np.concatenate([[w[0]] if grid is None else grid.times for w, grid in grids.items()])


def _places(grids):
    """Slice of the records of each window."""
    sizes = [1 if grid is None else len(grid.times) for grid in grids.values()]
    stops = np.cumsum(sizes)
    return {w: slice(stop - size, stop) for w, size, stop in zip(grids, sizes, stops, strict=True)}
