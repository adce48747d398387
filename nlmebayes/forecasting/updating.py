"""`update`: a forecast as the prior of the next visit.

A forecast keeps the population that it started from (its group ``prior``), so the next visit is forecast from all
samples at once. The result is that of a joint forecast, without the error that a prior made of draws would add at each
visit.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from nlmebayes.arguments import Seed, Tree, checked
from nlmebayes.data.grid import last_position
from nlmebayes.errors import ModelError
from nlmebayes.evaluation import storage
from nlmebayes.evaluation.fitted import REPORT, fitted, said
from nlmebayes.evaluation.imputation import filled
from nlmebayes.evaluation.imputation import known as known_values
from nlmebayes.forecasting.forecaster import forecast
from nlmebayes.forecasting.options import DENSITY, Method, Options
from nlmebayes.model.model import Data


@checked
def update(
    tree: Tree, patient: Data, *, method: Method = "auto", random_seed: Seed | None = None, **options: Options
) -> Tree:
    """Forecast of a patient who comes again.

    Parameters
    ----------
    tree : DataTree
        The earlier `forecast` of the same patient.
    patient : Dataset
        What is new: records later than those of the forecast. The earlier ones are in the tree.
    method, random_seed, **options
        Of `forecast`; those that change the density are by default those of the earlier one.

    Returns
    -------
    DataTree
        As `forecast` gives it, from all records.

    Raises
    ------
    ModelError
        Not a forecast, of another patient, with records that are not later or on another clock, or doses twice.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> forecast = nb.forecast(tree, nb.Dataset.from_nonmem(records, outcome="conc"), random_seed=1)
    >>> later = pd.DataFrame({"id": "ann", "time": [24], "conc": [0.2]})
    >>> new = nb.Dataset.from_frame(later, outcome="conc", time="time", levels="id")
    >>> again = nb.update(forecast, new, random_seed=1)
    >>> bool(again["posterior"]["cl"].std() < forecast["posterior"]["cl"].std())
    True
    """
    if REPORT not in tree.attrs:
        raise ModelError("update: the tree is no forecast; use forecast")
    known = fitted(tree)
    if "prior" not in tree.children:
        raise ModelError("update: the tree is damaged: it has no group prior; forecast anew from all records")
    report, (before, patient) = known.report, _unfilled(known, patient)
    options = {name: report[name] for name in DENSITY if name in report} | options
    population = _population(tree, before, report.get("flatten", 1.0))
    return forecast(population, joined(before, patient), method=method, random_seed=random_seed, **options)


def _unfilled(forecast, after):
    """The records of the forecast and the new ones, as they are known: an imputed covariate is missing in both, or
    holds in both what the new ones say."""
    before = forecast.data
    for name in said(forecast.tree, storage.IMPUTED):
        before = filled(before, known_values(after, [name]) or {name: np.nan})
        after = after if name in after.observations else filled(after, {name: np.nan})
    return before, after


def _population(tree, before, flatten):
    """The tree that the forecast was made from, as far as it is kept; its omega was ``flatten``ed."""
    prior = tree["prior"].to_dataset()
    own = [level for level in before.levels if f"eta_{level}" in prior]
    inner = before.levels[before.levels.index(before.subject) :]
    drop = [f"eta_{level}" for level in own if level in inner]
    population = prior.drop_vars([name for name in drop if name in prior])
    population = population.assign({k: v / flatten**0.5 for k, v in population.items() if k.startswith("omega_")})
    found = xr.DataTree.from_dict({"posterior": population})
    found.attrs |= {key: value for key, value in tree.attrs.items() if key not in (REPORT, storage.IMPUTED)}
    found[storage.DATASET] = tree[storage.TRAINING] if storage.TRAINING in tree.children else tree[storage.DATASET]
    return found


def joined(before, after):
    """The records of two datasets of one patient, the second being later."""
    for what in ("levels", "time", "subject", "interpolation", "blq"):
        if getattr(before, what) != getattr(after, what):
            raise ModelError(f"update: {what} was {getattr(before, what)!r} and is {getattr(after, what)!r}")
    labels = [set(x.observations[x.subject]) for x in (before, after)]
    if labels[0] != labels[1]:
        raise ModelError(f"update: the forecast is of {before.subject} {', '.join(sorted(labels[0]))}")
    if before.time is None:
        raise ModelError("update: the data have no times, so what is new cannot be told; forecast from all records")
    after = _on_one_clock(before, after, *labels[0])
    seen = before.observations[before.observations["value"].notna()]
    last = seen[before.time].max() if len(seen) else -float("inf")
    if after.observations[after.time].min() <= last:
        raise ModelError(f"update: a record at {after.observations[after.time].min():g} is not later than {last:g}")
    _given_once(before, after, last)
    offset, frames = last_position(before), {}
    for name in ("observations", "doses", "events"):
        old, new = getattr(before, name), getattr(after, name).copy()
        old = seen if name == "observations" else old
        for column in ("row", "position"):
            if column in new.columns and len(new):
                at_once = (new[before.time] <= last) & (column == "position")  # acts after the sample that is known
                new[column] = new[column].where((new[column] < 0) & ~at_once, new[column].clip(lower=0) + offset)
        parts = [part for part in (old, new) if len(part)]
        frames[name] = pd.concat(parts, ignore_index=True) if parts else new
    outcomes = tuple(dict.fromkeys([*before.outcomes, *after.outcomes]))
    changing = [name for name in before.covariates if name in after.inputs or _changes(frames, before.levels[-1], name)]
    return replace(
        before, **frames, outcomes=outcomes, excluded={}, inputs=(*before.inputs, *changing),
        covariates=tuple(name for name in before.covariates if name not in changing),
    )  # fmt: skip


def _on_one_clock(before, after, label):
    """``after`` with times since the zero of ``before``."""
    (old, zero), (new, start) = (x.origin.get(label, ("number", 0.0)) for x in (before, after))
    if old != new or old == "clock":
        raise ModelError(
            f"update: the time is a {old} in the earlier records and a {new} in the new ones, so the hours between "
            "them are not known; give both with dates, or as hours since one zero"
        )
    frames = {name: getattr(after, name) for name in ("observations", "doses", "events")}
    later = {k: x.assign(**{after.time: x[after.time] + start - zero}) for k, x in frames.items() if len(x)}
    return replace(after, **later) if start != zero else after


def _given_once(before, after, last):
    """Doses and resets are later than those known, and not earlier than the last sample."""
    for name, what in (("doses", "dose"), ("events", "reset")):
        old, new = (getattr(x, name) for x in (before, after))
        if name == "events":
            old, new = (x[x["kind"] == "reset"] if len(x) else x for x in (old, new))
        if not len(new):
            continue
        end = (old[before.time] + (old["addl"] * old["ii"] if name == "doses" else 0.0)).max() if len(old) else last
        row = new.loc[new[after.time].idxmin()]
        if row[after.time] < last or (len(old) and row[after.time] <= end):
            raise ModelError(
                f"update: {after.source}, row {row['row']}: the {what} at {row[after.time]:g} is not later than the "
                f"records of the first forecast, up to {max(last, end):g}; leave out what that had, or forecast anew"
            )


def _changes(frames, unit, column):
    """Whether a covariate has more than one value in an innermost unit; a dose of no unit differs from none of them."""
    observed = frames["observations"]
    known = pd.concat([f[[unit, column]] for f in frames.values() if len(f)]).dropna(subset=[column])
    loose = set(known[column][known[unit].isna()]) - set(observed[column])
    several = (observed.groupby(unit)[column].nunique(dropna=False), known.groupby(unit)[column].nunique())
    return bool(loose) or any((count > 1).any() for count in several)
