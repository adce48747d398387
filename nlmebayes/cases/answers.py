"""`answer`: what the verbs of the library say of a case, from the chart to the next dose."""

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nlmebayes.arguments import checked
from nlmebayes.cases import courses
from nlmebayes.cases.case import Case
from nlmebayes.cases.entry import Entry, read
from nlmebayes.data.validate import DataError
from nlmebayes.dosing.monitoring import next_sample
from nlmebayes.dosing.recommendation import ranked, recommend
from nlmebayes.dosing.regimen import varied
from nlmebayes.dosing.search import optimise
from nlmebayes.dosing.targets import Trough, Windowed
from nlmebayes.errors import warn
from nlmebayes.evaluation.fitted import REPORT, fitted, said
from nlmebayes.files import whole
from nlmebayes.files.text import finite
from nlmebayes.forecasting.averaging import average
from nlmebayes.populations.dispensing import rounded
from nlmebayes.reporting.document import INTENDED, report
from nlmebayes.reporting.patient import standing
from nlmebayes.runtime.threads import in_turns

CI_PROB = 0.9
SPAN = 48.0  # hours of a regimen that are drawn, and three intervals at least
REPLICATES = 200  # simulated samples at each time: errors of a hundredth of the SD
LITTLE = 0.05  # probability of the targets below which the best regimen is no good one
FAR = 2.0  # times the largest dose of the chart
SAMPLES = 5  # times at which the next sample may be taken, within the first interval
ABOUT = ("name", "citation", "doi", "note", "units", "domain")


@dataclass(frozen=True, eq=False)
class Answer:
    """What is found of a case.

    Attributes
    ----------
    entry : Entry
    forecasts, weights : dict
        Tree of each model, and what it counts.
    course : DataFrame
        ``time``; ``median, eti_lb, q25, q75, eti_ub`` of the concentration after the samples, under the doses recorded
        and then the best regimen; the same with ``before_`` as expected before the samples.
    standing : DataFrame
        Of each model and parameter the patient's interval, that of such people, and the ``percentile``.
    regimens : DataFrame
        As `recommend` gives it; of several models probabilities weighed by what each counts, without exposures.
    by_model : DataFrame
        The tables of `recommend`, with a column ``model``.
    plans : dict
        The regimens, by their words and starts.
    changes : DataFrame
        As ``regimens``: the first interval of the best one as planned, late and missed, column ``change``.
    changed : DataFrame
        The courses under these: columns ``change``, ``time``, ``median`` and so on.
    samples : DataFrame
        As `next_sample` gives it, by the model that counts most.
    sampled : str
        What of.
    warnings : tuple of str
    """

    entry: Entry
    forecasts: dict
    weights: dict
    course: pd.DataFrame
    standing: pd.DataFrame
    regimens: pd.DataFrame
    by_model: pd.DataFrame
    plans: dict
    changes: pd.DataFrame
    changed: pd.DataFrame
    samples: pd.DataFrame
    sampled: str
    warnings: tuple[str, ...]

    @property
    def tables(self):
        """Tables by name, for files and pages."""
        names = ("course", "standing", "regimens", "by_model", "changes", "changed", "samples")
        return {name: getattr(self, name) for name in names if len(getattr(self, name))}

    @property
    def leading(self):
        """The model that counts most."""
        return max(self.weights, key=self.weights.get)

    @property
    def best(self):
        """The best regimen, or None."""
        return _best(self.regimens, self.plans)

    def said(self):
        """All of it as plain values, which JSON takes: the same on the page and on the command line."""
        times, entry = self.entry.times, self.entry
        tables = {name: table.to_dict("records") for name, table in self.tables.items()}
        return finite({
            "case": entry.case.tables,
            "understood": entry.shown, "covariates": entry.covariates, "assumed": list(entry.assumed),
            "models": [{"model": model.name, "weight": self.weights[model.name]} | {
                key: model.about[key] for key in ABOUT if key in model.about} for model in entry.models],
            "clock": {"kind": times.kind, "zero": times.zero},
            "patient": {name: said(tree, REPORT) for name, tree in self.forecasts.items()},
            "targets": [str(target) for target in entry.targets],
            "best": None if self.best is None else self._worded(self.best), "sampled": self.sampled, **tables,
            "warnings": list(self.warnings),
            "looked_at": [{"field": p.field, "message": p.message} for p in entry.problems], "intended_use": INTENDED,
        })  # fmt: skip

    def _worded(self, plan):
        units, start = self.entry.models[0].unit, plan.parts[0].start
        amount = f" {units('amount')}".rstrip()
        words = ", then ".join(part.worded(amount, " h") for part in plan.parts)
        return {"regimen": str(plan), "words": words, "start": start, "when": self.entry.times.worded(start)}

    def report(self, path, **options):
        """Write the one-page report of the model that counts most; ``options`` as `report` takes them."""
        tables = {"samples": self.samples} if len(self.samples) else {}
        if len(self.by_model):
            own = self.by_model[self.by_model["model"] == self.leading]
            tables["regimens"] = own.drop(columns="model").reset_index(drop=True)
        return report(self.forecasts[self.leading], path, warned=list(self.warnings), **tables, **options)

    def write_tables(self, folder, *, force=False):
        """Write each table as CSV into a folder, whole or not at all."""
        with whole.folder(folder, ("*.csv",), force=force) as made:
            for name, table in self.tables.items():
                table.to_csv(made / f"{name}.csv", index=False)


@checked
@in_turns  # what is warned of is caught for the whole process: another thread's would be told of this patient
def answer(case: Case) -> Answer:
    """The `Answer` about a case, made of `forecast` or `average`, `recommend`, `optimise` and `next_sample`.

    Parameters
    ----------
    case : Case

    Returns
    -------
    Answer

    Raises
    ------
    DataError
        The case has problems that stop it; names all of them with their fields.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> case = nb.Case(
    ...     models=["vancomycin_goti_2018"], patient={"weight": "70 kg", "crcl": "65 mL/min", "dial": "no"},
    ...     doses=[{"time": "0", "amount": "2 g", "duration": "2 h"}], samples=[{"time": "13", "value": "12 mg/L"}],
    ... )
    >>> list(nb.answer(case).standing["parameter"])
    ['cl', 'v1', 'q', 'v2']
    """
    entry = read(case)
    if entry.stopping:
        raise DataError("case: " + "; ".join(map(str, entry.stopping)))
    with _collected() as warned:
        return _answered(entry, warned)


def _answered(entry, warned):
    forecasts, weights = _forecast(entry)
    known = {name: fitted(tree) for name, tree in forecasts.items()}
    plans = _amounts(entry, forecasts) if entry.targets else {}
    by_model = _compared(forecasts, plans, entry.targets, entry.now)
    table = ranked(mixture(by_model, weights)) if by_model else pd.DataFrame()
    best = _best(table, plans)
    _doubt_best(table)
    coming = None if best is None else courses.repeated(best, max(SPAN, 3 * (best.every or 0.0)))
    changes = {} if coming is None else courses.changes(coming, entry.late)
    samples, sampled = _next(entry, forecasts[max(weights, key=weights.get)], coming)
    return Answer(
        entry, forecasts, weights, _course(entry, known, weights, coming),
        pd.concat([standing(each, CI_PROB).assign(model=name) for name, each in known.items()], ignore_index=True),
        table, _joined(by_model), plans, _over_the_first(entry, forecasts, weights, changes),
        _changed(known, weights, changes), samples, sampled,
        tuple(warned),
    )  # fmt: skip


def _forecast(entry):
    """Tree and weight of each model."""
    patient, options = entry.patient, {"random_seed": entry.seed, "now": entry.now, "missing": entry.missing}
    if len(entry.models) > 1:
        found = average({model.name: model.tree for model in entry.models}, patient, **options)
        return found.forecasts, found.weights
    (model,) = entry.models
    return {model.name: model.forecaster.forecast(patient, **options)}, {model.name: 1.0}


def _amounts(entry, forecasts):
    """The candidates with every amount: those that are sought are the best that can be given, of each model."""
    found, step = {}, entry.models[0].dispensing.step
    for each in entry.candidates:
        plans = [each.plan]
        if each.sought:
            best = [optimise(tree, each.plan, list(entry.targets), given=step, now=entry.now)["amount"].iloc[0]
                    for tree in forecasts.values()]  # fmt: skip
            plans = [varied(each.plan, "amount", amount if step else rounded(amount)) for amount in best]
            _doubt(plans, entry)
        found |= {_key(plan): plan for plan in plans}
    return found


def _doubt(plans, entry):
    """Warn of amounts that were sought and are far above those that were given: nobody stated the most that may be."""
    given = entry.patient.doses["amount"].max() if len(entry.patient.doses) else np.inf
    for plan in plans:
        if plan.amount > FAR * given:
            fold = plan.amount / given
            warn(
                f"the best amount of the regimen {plan} is {fold:.2g} times the largest that was given; enter the "
                "amounts that may be given"
            )


def _doubt_best(table):
    """Warn where even the best regimen hardly reaches the targets: it only misses them by less than others."""
    if len(table) and table["p_all"].iloc[0] < LITTLE:
        best = table.iloc[0]
        warn(f"no regimen is likely to reach the targets: the best, {best['regimen']}, does so with probability "
             f"{best['p_all']:.2g}; enter other targets or regimens")  # fmt: skip


def _key(plan):
    """What sets plans apart in a table: two that differ in their starts have the same words."""
    return str(plan), plan.start


def _best(table, plans):
    """The plan that comes first in a table, or None."""
    return plans[table["regimen"].iloc[0], table["start"].iloc[0]] if len(table) else None


def _compared(forecasts, plans, targets, now=None):
    """The table of `recommend` of each model; nothing where there is nothing to compare."""
    if not (plans and targets):
        return {}
    return {name: recommend(tree, list(plans.values()), list(targets), now=now, ci_prob=CI_PROB)
            for name, tree in forecasts.items()}  # fmt: skip


def mixture(tables, weights):
    """Tables of `recommend` of several models as one: probabilities are weighed, their errors add up in squares.

    Exposures of a mixture are no means of those of its models, so of several models they are left out.
    """
    if len(tables) == 1:
        return next(iter(tables.values()))
    keys = ["regimen", "start", "target"]
    first = next(iter(tables.values()))
    ordered = {name: table.set_index(keys).loc[first.set_index(keys).index] for name, table in tables.items()}
    found = first[["regimen", "amount", "start", "every", "duration", "target"]].copy()
    for column in ("p_below", "p_in", "p_above", "p_all"):
        found[column] = sum(weights[name] * table[column].to_numpy() for name, table in ordered.items())
    for column in ("mcse", "mcse_below", "mcse_above"):
        found[column] = np.sqrt(sum((weights[name] * table[column].to_numpy()) ** 2 for name, table in ordered.items()))
    return found


def _joined(tables):
    each = [table.assign(model=name) for name, table in tables.items()]
    return pd.concat(each, ignore_index=True) if each else pd.DataFrame()


def _course(entry, known, weights, coming):
    """Before and after the samples, up to the end of what is planned."""
    patient = entry.patient
    last = max(patient.observations[patient.time].max(), entry.now or 0.0)
    until = last + SPAN / 2 if coming is None else coming.times[-1] + (coming.every or SPAN / 2)
    times = courses.moments(patient, [] if coming is None else [coming], float(until))
    counts = list(weights.values())
    after = courses.bands([courses.curve(each, coming, times) for each in known.values()], counts, CI_PROB)
    earlier = [courses.curve(each.before(), coming, times) for each in known.values()]
    before = courses.bands(earlier, counts, CI_PROB, "before_")
    return pd.concat([pd.DataFrame({"time": times}), after, before], axis=1)


def _over_the_first(entry, forecasts, weights, changes):
    """What the changes of a plan do to the targets in its first interval."""
    if len(changes) < 2:
        return pd.DataFrame()
    plan = changes["as planned"]
    targets = [_within(target, plan.start, plan.start + plan.parts[0].every) for target in entry.targets]
    names = {_key(each): name for name, each in changes.items()}
    table = mixture(_compared(forecasts, changes, targets), weights)
    table.insert(0, "change", [names[key] for key in zip(table["regimen"], table["start"], strict=True)])
    order = {name: i for i, name in enumerate(changes)}
    return table.sort_values("change", key=lambda c: c.map(order), kind="stable").reset_index(drop=True)


def _within(target, start, end):
    """A target whose times are those of an interval, if it does not state its own."""
    if target.timed:
        return target
    if isinstance(target, Windowed):
        return replace(target, start=start, end=end)
    return replace(target, time=end) if isinstance(target, Trough) else target


def _changed(known, weights, changes):
    """Courses under the changes of a plan, from its start over three intervals."""
    if len(changes) < 2:
        return pd.DataFrame()
    plan, first = changes["as planned"], next(iter(known.values())).data
    times = courses.moments(first, list(changes.values()), float(plan.start + 3 * plan.parts[0].every))
    times = times[times >= plan.start]
    found = []
    for name, each in changes.items():
        curves = [courses.curve(model, each, times) for model in known.values()]
        bands = courses.bands(curves, list(weights.values()), CI_PROB)
        found.append(pd.concat([pd.DataFrame({"change": name, "time": times}), bands], axis=1))
    return pd.concat(found, ignore_index=True)


def _next(entry, tree, coming):
    """When the next sample says most, of the first target or of the first parameter; and of what."""
    about = entry.targets[0] if coming is not None else entry.models[0].forecaster.model.parameters[0].name
    times = list(entry.sampled) or _within_reach(entry, coming)
    return next_sample(tree, times, about, plan=coming, replicates=REPLICATES), str(about)


def _within_reach(entry, coming):
    """Times after the last record and up to the end of the first interval to come."""
    patient = entry.patient
    begin = max(patient.observations[patient.time].max(), entry.now or 0.0)
    if coming is None:
        return list(begin + SPAN / 2 * np.arange(1, SAMPLES + 1) / SAMPLES)
    part = coming.parts[0]
    end = part.start + (part.every or SPAN / 2)
    over = part.start + (part.infusion or 0.0)
    begin = max(begin, over if over < end else part.start)
    return list(np.unique(np.round(np.linspace(begin, end, SAMPLES + 1)[1:], 2)))


@contextmanager
def _collected():
    """Texts of what is warned of, each once."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)

        def collect(message, category, *_, **__):
            text = " ".join(str(message).split())
            if issubclass(category, UserWarning) and text not in found:
                found.append(text)

        warnings.showwarning = collect
        yield found
