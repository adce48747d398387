"""`update`: a forecast as the prior of the next visit.

A forecast keeps the population that it started from (its group ``prior``), so the next visit is forecast from all
samples at once. The result is that of a joint forecast, without the error that a prior made of draws would add at each
visit.
"""

from dataclasses import replace

import pandas as pd
import xarray as xr

from nlmebayes import storage
from nlmebayes.forecasting import REPORT, forecast
from nlmebayes.model import ModelError


def update(tree, patient, **options):
    """Forecast of a patient who comes again.

    Parameters
    ----------
    tree : DataTree
        The earlier `forecast` of the same patient.
    patient : Dataset
        What is new: records later than those of the forecast. The earlier ones are in the tree.
    **options
        Of `forecast`.

    Returns
    -------
    DataTree
        As `forecast` gives it, from all records.

    Raises
    ------
    ModelError
        Not a forecast, of another patient, or with records that are not later.
    """
    if REPORT not in tree.attrs:
        raise ModelError("update: the tree is no forecast; use forecast")
    before = storage.stored_dataset(tree)
    return forecast(None, _population(tree, before), joined(before, patient), **options)


def _population(tree, before):
    """The tree that the forecast was made from, as far as it is kept."""
    prior = tree["prior"].to_dataset()
    own = [level for level in before.levels if f"eta_{level}" in prior]
    inner = before.levels[before.levels.index(before.subject) :]
    drop = [f"eta_{level}" for level in own if level in inner]
    population = prior.drop_vars([name for name in drop if name in prior])
    found = xr.DataTree.from_dict({"posterior": population})
    found.attrs |= {key: value for key, value in tree.attrs.items() if key != REPORT}
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
    seen = before.observations[before.observations["value"].notna()]
    last = seen[before.time].max() if len(seen) else -float("inf")
    if after.observations[after.time].min() <= last:
        raise ModelError(f"update: a record at {after.observations[after.time].min():g} is not later than {last:g}")
    offset = max(
        [before.observations["row"].max(), *(f["position"].max() for f in (before.doses, before.events) if len(f))]
    )
    frames = {}
    for name in ("observations", "doses", "events"):
        old, new = getattr(before, name), getattr(after, name).copy()
        old = seen if name == "observations" else old
        for column in ("row", "position"):
            if column in new.columns and len(new):
                new[column] = new[column].where(new[column] < 0, new[column] + offset)
        parts = [part for part in (old, new) if len(part)]
        frames[name] = pd.concat(parts, ignore_index=True) if parts else new
    outcomes = tuple(dict.fromkeys([*before.outcomes, *after.outcomes]))
    return replace(before, **frames, outcomes=outcomes, excluded={})
