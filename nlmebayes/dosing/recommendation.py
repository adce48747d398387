"""`recommend`: which regimen brings the exposures of a patient into their range, with what probability."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from nlmebayes.arguments import NotNegative, Number, Share, Text, Tree, checked
from nlmebayes.dosing import inheritance, plausibility
from nlmebayes.dosing.future_covariates import Coming
from nlmebayes.dosing.prospect import Case, History, Occasions, prospect
from nlmebayes.dosing.regimen import FOLLOW, NEW, NONE, Plan, Plans, Regimen, kept
from nlmebayes.dosing.targets import Target, Targets
from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation.tails import tails
from nlmebayes.forecasting.plausibility import not_yet
from nlmebayes.model.model import Model
from nlmebayes.parameter.units import time_of
from nlmebayes.populations.stated import outside


@checked
@dataclass(frozen=True)
class Loss:
    """What it costs to be outside of a target's range.

    ``kind="outside"``: ``below`` if the exposure E is below low, ``above`` if it is above high.
    ``"relative"``: below * (low - E) / low, above * (E - high) / high. ``"log"``: below * log(low / E),
    above * log(E / high). A target's loss is multiplied by its ``weight``; losses of several targets add up.

    Parameters
    ----------
    below, above : float
        What it costs on each side.
    kind : {"outside", "relative", "log"}
        How it grows with the distance.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    Examples
    --------
    Too much is three times as bad as too little:

    >>> import nlmebayes as nb
    >>> nb.Loss(below=1.0, above=3.0).of(nb.Trough(10, 15), [8.0, 12.0, 20.0])
    array([1., 0., 3.])
    """

    below: NotNegative = 1.0
    above: NotNegative = 1.0
    kind: Literal["outside", "relative", "log"] = "outside"

    def of(self, target: Target, exposure: np.ndarray) -> np.ndarray:
        """Loss of each exposure, (draw,).

        Parameters
        ----------
        target : Target
        exposure : array (draw,)
            In the unit of the target.

        Returns
        -------
        array (draw,)

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Loss(kind="relative").of(nb.Trough(10, 15), [8.0, 12.0, 18.0]).round(1).tolist()
        [0.2, 0.0, 0.2]
        """
        exposure = np.asarray(exposure, dtype=float)
        under, over = exposure < target.low, (exposure > target.high) | np.isposinf(exposure)
        if self.kind == "outside":
            return target.weight * (self.below * under + self.above * over)
        low, high = (limit if 0 < limit < np.inf else 1.0 for limit in (target.low, target.high))
        with np.errstate(divide="ignore"):
            short, long = np.where(under, exposure / low, 1.0), np.where(over, exposure / high, 1.0)
            if self.kind == "log":
                short, long = 1 - np.log(np.maximum(short, 0)), 1 + np.log(long)
                return target.weight * (self.below * (short - 1) + self.above * (long - 1))
        return target.weight * (self.below * (1 - short) + self.above * (long - 1))


@checked
def recommend(
    forecast: Tree, regimens: Plans, targets: Targets, *,
    model: Model | None = None, outcome: Text | None = None, loss: Loss | None = None, history: History = FOLLOW,
    occasions: Occasions = NEW, covariates: Coming | None = None, now: Number | None = None, ci_prob: Share = 0.9,
) -> pd.DataFrame:  # fmt: skip
    """Probability that each regimen brings each exposure below, into and above its range.

    Exposures are those of the individual prediction (without residual error), over the draws of the forecast, so
    that uncertainty about the patient and about the population both count. The patient's past doses count.

    What a regimen leaves open is taken from the records, and a warning says what that is: it starts at the next dose
    that they imply, one interval after the last one (II of its record, or the time between the last two, or its own
    interval), at the last record if that is later; it is given into the same state over the same time.

    Parameters
    ----------
    forecast : DataTree
        From `forecast`.
    regimens : sequence of Regimen or Plan
        Future doses to compare; `regimens` makes them from amounts, intervals and durations.
    targets : Target or sequence of Target
        With several, ``p_all`` is the probability that every one is met at once.
    model : Model, optional
        By default the one stored in the forecast.
    outcome : str, optional
        Which outcome, if there are several.
    loss : Loss, optional
        Ranks the regimens by expected loss; without one, by ``p_all``.
    history : {"follow", "replace", "none"}
        What becomes of the recorded doses: all stay, and the regimen follows; those from its start on are replaced by
        it; or all are left out, as if the patient started anew.
    occasions : {"new", "last", "each"}
        Of a patient with occasions: the regimen is a new one, whose effects are drawn from the population; goes on with
        the last; or each of its doses begins another.
    covariates : dict, optional
        Covariates to come: ``{"crcl": 40.0}`` from the start of the regimen on, ``{"crcl": {72.0: 40.0, 96.0: 65.0}}``
        from each time on. Without it the last recorded values hold.
    now : float, optional
        A dose recorded for a later time is refused, unless ``history`` takes it out, and a regimen that starts
        earlier.
    ci_prob : float
        Probability of the interval of an exposure.

    Returns
    -------
    DataFrame
        One row per regimen and target, the best regimen first: ``p_below``, ``p_in``, ``p_above`` with Monte Carlo
        errors ``mcse_below``, ``mcse``, ``mcse_above`` (from the forecast's effective sample size), ``median``,
        ``eti_lb`` and ``eti_ub`` of the exposure, ``p_all``, and the expected ``loss`` over all targets with
        ``mcse_loss``.

    Raises
    ------
    ModelError
        Not a forecast; a regimen that does not start after the last recorded dose, unless it replaces it; one that
        leaves open what the records do not tell; an unknown outcome or state. Amounts or targets that look like
        another unit are warnings.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> forecast = nb.forecast(tree, nb.Dataset.from_nonmem(records, outcome="conc"), random_seed=1)
    >>> table = nb.recommend(forecast, nb.regimens([25, 50, 100], every=12, doses=6, start=12), nb.Trough(0.5, 1.5))
    >>> table[["regimen", "p_below", "p_in", "p_above"]].round(1)
                regimen  p_below  p_in  p_above
    0  100 every 12 x 6      0.0   0.8      0.1
    1   50 every 12 x 6      0.5   0.5      0.0
    2   25 every 12 x 6      1.0   0.0      0.0
    """
    plans = [regimens] if isinstance(regimens, Regimen | Plan) else list(regimens)
    targets = [targets] if isinstance(targets, Target) else list(targets)
    if not plans or not targets:
        raise ModelError("recommend: needs at least one regimen and one target")
    case = Case.of(forecast, model=model, outcome=outcome, history=history, occasions=occasions,
                   covariates=covariates)  # fmt: skip
    plans = completed(case, plans, now)
    doubted(case, plans)
    each = [exposures for _, exposures in evaluated(case, plans, targets)]
    for target, column in zip(targets, zip(*each, strict=True), strict=True):
        doubt = plausibility.other_unit(target, [np.median(x) for x in column])
        if doubt:
            warn(doubt)
    found = ranked(tabled(plans, targets, each, loss or Loss(), case.size, ci_prob), loss)
    found.attrs["units"] = units_of(case)
    return found


def units_of(case):
    """The units of the numbers in the names of regimens and targets, where they are known."""
    stated, time = case.known.training_data.unit_of | case.patient.unit_of, case.patient.time
    found = {"amounts": stated.get("amount"), "times": stated.get(time) or time_of(case.model.parameters)}
    return {name: unit for name, unit in (found | {case.outcome: stated.get(case.outcome)}).items() if unit}


def completed(case, plans, now=None):
    """The plans with what they take from the records, which is warned of.

    Raises
    ------
    ModelError
        Plans that cannot be, and a chart that knows the future, as far as it stays.
    """
    chart = inheritance.Chart.of(case.patient, case.model.structure, case.dispensing.infused)
    found = [inheritance.stated(plan, chart, case.history, now) for plan in plans]
    for line in dict.fromkeys(inheritance.sentence(words) for _, words in found if words):
        warn(line)
    plans = [plan for plan, _ in found]
    check(case, plans, now)
    return plans


def check(case, plans, now=None):
    """Refuse plans that cannot be, and a chart that knows the future, as far as it stays."""
    for plan in plans:
        if now is not None and plan.start < now and case.history != NONE:
            raise ModelError(f"the regimen {plan} starts at {plan.start:g}, and now is {now:g}; give a later start=")
        late = None if now is None else not_yet(kept(case.patient, plan, case.history), now)
        if late:
            raise ModelError(late)
        for part in plan.parts:
            _into_a_state(part, case.model.structure)
    changed, start = _last_change(case.patient), min(plan.start for plan in plans)
    if case.history == NONE and start < changed:
        warn(
            f"the regimen starts at {start:g}, and the patient's covariates or occasions change up to {changed:g}: "
            "those of the past hold until then; start at the last record"
        )


def _last_change(patient):
    """Time of the last record whose occasion or covariates may be others than before."""
    changing = patient.inputs or patient.levels[-1] != patient.subject
    return patient.observations[patient.time].max() if changing else -np.inf


def doubted(case, plans):
    """Warn of what in the chart and the plans can hardly be meant."""
    for doubt in plausibility.doubts(case.known.training_data, case.patient, plans):
        warn(doubt)
    for name, said in case.covariates.items():
        values = list(said.values()) if isinstance(said, dict) else [said]
        stated = replace(case.patient, observations=pd.DataFrame({name: values}))
        for line in outside(case.known.tree, stated):
            warn(f"covariates: {line}, the range of the published model; it extrapolates")


def _into_a_state(part, structure):
    states = structure.states
    known = [*states, *map(str, range(1, len(states) + 1))]
    if part.state is not None and part.state not in known:
        raise ModelError(f"the regimen {part}: no state {part.state!r}; there are {', '.join(known) or 'none'}")
    if structure.boluses and (part.infusion or part.steady):
        raise ModelError(f"the regimen {part}: {structure.label}, a superposition of responses, takes boluses only")


def evaluated(case, plans, targets):
    """(plan, exposures of each target) in the order of the plans; those that differ in amounts only share work."""
    groups = {}
    for plan in plans:
        groups.setdefault(_shape(plan), []).append(plan)
    found = {}
    for same in groups.values():
        amounts = {id(plan): [part.amount for part in plan.parts] for plan in same}
        largest = np.max(list(amounts.values()), axis=0) if len(same) > 1 else None
        view = prospect(case, same[0], targets, largest)
        found |= {id(plan): [known(x, plan) for x in view.exposures(amounts[id(plan)])] for plan in same}
    return [(plan, found[id(plan)]) for plan in plans]


def _shape(plan):
    """All of a plan but its amounts."""
    return tuple((p.start, p.every, p.doses, p.infusion, p.state, p.salt, p.steady, p.rate) for p in plan.parts)


def known(exposure, plan):
    """Exposures without a prediction, as of a steady state that is never reached, count as above every limit."""
    unknown = np.isnan(exposure)
    if unknown.any():
        warn(
            f"the regimen {plan} has no solution in {100 * unknown.mean():.2g} % of the draws, such as no steady "
            "state; they count as above"
        )
    return np.where(unknown, np.inf, exposure)


def tabled(plans, targets, exposures, loss, size, ci_prob):
    """One row per plan and target."""
    rows = []
    for plan, each in zip(plans, exposures, strict=True):
        inside = [t.met(x) for x, t in zip(each, targets, strict=True)]
        lost = np.sum([loss.of(t, x) for x, t in zip(each, targets, strict=True)], axis=0)
        shared = {
            "p_all": float(np.all(inside, axis=0).mean()), "loss": float(lost.mean()),
            "mcse_loss": float(lost.std() / np.sqrt(size)) if np.isfinite(lost).all() else np.inf,
        }  # fmt: skip
        rows += [_row(plan, t, x, hit, size, ci_prob) | shared for t, x, hit in zip(targets, each, inside, strict=True)]
    return pd.DataFrame(rows)


def _row(plan, target, exposure, hit, size, ci_prob):
    method = "linear" if np.isfinite(exposure).all() else "inverted_cdf"
    low, high = tails(ci_prob)
    low, median, high = np.quantile(exposure, [low, 0.5, high], method=method)
    shares = {
        "below": (exposure < target.low).mean(),
        "in": hit.mean(),
        "above": (~hit & (exposure >= target.low)).mean(),
    }
    errors = {name: float(np.sqrt(max(p * (1 - p), 1 / size / 4) / size)) for name, p in shares.items()}
    return {
        "regimen": str(plan), "amount": plan.amount, "start": plan.start, "every": plan.every,
        "duration": plan.infusion, "target": str(target), **{f"p_{name}": float(p) for name, p in shares.items()},
        "mcse": errors["in"], "mcse_below": errors["below"], "mcse_above": errors["above"],
        "eti_lb": float(low), "median": float(median), "eti_ub": float(high),
    }  # fmt: skip


def ranked(table, loss=None):
    """The table with the best regimen first: least expected loss, or without a loss the largest ``p_all``."""
    by, up = ("loss", True) if loss is not None else ("p_all", False)
    return table.sort_values(by, ascending=up, kind="stable").reset_index(drop=True)
