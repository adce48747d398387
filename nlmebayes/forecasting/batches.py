"""`forecast_each`: every patient of an event table, with no failure stopping the others."""

from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Annotated, Any

import numpy as np
import pandas as pd
from rich.progress import track

from nlmebayes.arguments import Seed, Switch, Tree, checked
from nlmebayes.errors import warn
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.evaluation.refusals import REFUSED, why
from nlmebayes.forecasting import plausibility
from nlmebayes.forecasting.forecaster import ELSEWHERE, forecaster, forecaster_of
from nlmebayes.forecasting.options import Method, Options
from nlmebayes.individuals.modes import climbed_soon, climbed_well, elsewhere
from nlmebayes.model.model import Data, Model
from nlmebayes.populations import stated
from nlmebayes.runtime.spread import Client, Lost, Work, each

TOGETHER = 100  # patients whose modes are climbed to at once
OTHERS = "other_modes"  # column of the probability of other modes
NAMED = 5  # patients that a warning names
LOOKED_AT = plausibility.FOLD / 10  # times off the typical prediction, at which a sample is compared with the range


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What `forecast_each` found.

    Attributes
    ----------
    table : DataFrame
        One row per unit, with the patient, the unit and its individual parameters, of the mode or posterior means; of a
        mode also its effects, the patient's ``log_density`` there, and in ``other_modes`` the probability that other
        modes have by Laplace's approximation, of which a warning tells where it is above 5 %.
    trees : dict of patient -> DataTree
        For methods other than "map".
    failures : dict of patient -> str
        Why there is none.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
    >>> found = nb.forecast_each(tree, patient)
    >>> len(found.table), found.failures
    (1, {})
    """

    table: pd.DataFrame
    trees: dict
    failures: dict


NONE = Forecasts(pd.DataFrame(), {}, {})


@checked
def forecast_each(
    tree: Tree, data: Data, *, method: Method = "map", random_seed: Seed | None = None, progressbar: Switch = False,
    client: Client | None = None, model: Model | None = None, **options: Annotated[Any, Options],
) -> Forecasts:  # fmt: skip
    """Forecast every patient of a dataset.

    Parameters
    ----------
    tree, model
        As in `forecast`.
    data : Dataset
        Patients that the tree does not know.
    method : str
        As in `forecast`. Modes ("map") are climbed to for a hundred patients at once; other methods, and "map" where a
        hundred fail together, take one patient at a time.
    random_seed : int, optional
        Of the first patient; the others count from it.
    progressbar : bool
    client : distributed.Client, optional
        Whose workers do the work, after ``pip install "nlmebayes[dask]"``; the same is found as in this process. A
        part whose worker is lost is done again; patients at whom workers die again and again are in ``failures``.
    **options
        Further arguments of `forecast`; modes take no draws.

    Returns
    -------
    Forecasts

    Raises
    ------
    ModelError
        An option that `forecast` does not have.

    Examples
    --------
    The most probable parameters of twelve patients:

    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment("first-order"), theta={"cl": 2.8, "v": 32.0, "ka": 1.5},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2, "ka": 0.6}}, sigma={"a": 0.3, "b": 0.1},
    ...                      residual=nb.Combined())
    >>> found = nb.forecast_each(tree, nb.datasets.theophylline())
    >>> found.table[["id", "cl", "v"]].round(1).head(3)
      id   cl     v
    0  1  1.7  29.5
    1  2  3.2  31.7
    2  3  2.9  33.1
    """
    options, ready = Options(**options), forecaster(tree, model=model)
    labels = list(dict.fromkeys(data.observations[data.subject]))
    size = TOGETHER if method == "map" else 1
    parts = [labels[i : i + size] for i in range(0, len(labels), size)]
    seeds = [None if random_seed is None else random_seed + i * size for i in range(len(parts))]
    work = Work(forecaster_of, (tree, ready.model), partial(_some, method, options))
    pieces = [data] * len(parts) if client is None else pieces_of(data, parts)
    items = zip(pieces, parts, seeds, strict=True)
    found = track(each(work, items, client, ready=ready), "Patients", len(parts), disable=not progressbar)
    found = [_lost(parts[i], one) if isinstance(one, Lost) else one for i, one in sorted(found, key=itemgetter(0))]
    found = _joined(found)
    _tell_of_others(found.table, data.subject)
    return found


def pieces_of(data, parts):
    """The data of each of some parts of the patients, lists of labels: of a million patients not each is looked for
    among all."""
    for start in range(0, len(parts), TOGETHER):
        some = parts[start : start + TOGETHER]
        block = data.sel(**{data.subject: [label for part in some for label in part]})
        for part in some:
            yield block.sel(**{data.subject: part})


def _lost(labels, error):
    """Of patients at whom workers died."""
    return replace(NONE, failures=dict.fromkeys(labels, why(error)))


def _some(method, options, ready, item):
    """`Forecasts` of some patients: of data with at least these, their labels, and the seed of the first."""
    data, labels, seed = item
    if method == "map":
        return _modes(ready, data, options, labels)
    tables, trees, failures = [], {}, {}
    for i, label in enumerate(labels):
        try:
            patient = data.sel(**{data.subject: label})
            own = None if seed is None else seed + i
            trees[label] = tree = ready.forecast(patient, method=method, random_seed=own, **vars(options))
            tables.append(_means(tree, ready, patient, label))
        except Exception as error:  # whatever it is, the next patient is forecast
            failures[label] = why(error)
    return Forecasts(pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(), trees, failures)


def _means(tree, ready, patient, label):
    posterior = tree["posterior"].to_dataset()
    names = [p.name for p in ready.model.structure.parameters]
    means = {name: posterior[name].mean(("chain", "draw")).to_numpy() for name in names}
    return pd.DataFrame({patient.subject: label, "unit": posterior["unit"].to_numpy()} | means)


def _refused(ready, part, target, options):
    """Patients whose charts `forecast` would not take, and why; warns as it does."""
    failures, far = {}, _far(target)
    every = options.now is not None or stated.outside(ready.known.tree, part)
    for label in target.labels if every else sorted(far):
        patient = part.sel(**{part.subject: label})
        plausibility.warn_outside(ready.known.tree, patient)
        try:
            plausibility.check_now(patient, options.now)
            if label in far:
                ready.check_samples(patient, options)
        except REFUSED as error:
            failures[label] = str(error)
    return failures


def _far(target):
    """Patients with a sample that is far off the typical prediction, so that a closer look is due."""
    f, _ = target.at(np.zeros((1, len(target.labels), target.size)), np.zeros(1, dtype=int))
    found = set()
    for name, seen, records, *_ in target.observed:
        here, y = f[name][0, seen], records.values
        off = ~((y < LOOKED_AT * here) & (y * LOOKED_AT > here)) & ~records.censored & (y > 0)
        found |= set(records.subject[off])
    return found


def _modes(ready, data, options, labels, *, soon=True):
    """The most probable effects of some patients, together; those who take more places or steps again, and one by one
    where they fail. ``soon``: few places and steps first."""
    try:
        part = data.sel(**{data.subject: labels})
        _, target = ready.target(part, options, several=True)
        refused = _refused(ready, part, target, options)
        if refused:
            others = [label for label in labels if label not in refused]
            found = _modes(ready, data, options, others) if others else NONE
            return replace(found, failures=refused | found.failures)
        found, unsettled = climbed_soon(target) if soon else (climbed_well(target), np.zeros(len(labels), dtype=bool))
        again = [label for label, more in zip(target.labels, unsettled, strict=True) if more]
        table, failures = _tabled(part, target, found, ~unsettled)
    except Exception as error:  # as above
        if len(labels) == 1:
            return replace(NONE, failures={labels[0]: why(error)})
        return _joined([_modes(ready, data, options, [label], soon=soon) for label in labels])
    found = Forecasts(table, {}, failures)
    if not again:
        return found
    found = _joined([found, _modes(ready, data, options, again, soon=False)])
    place = {label: i for i, label in enumerate(target.labels)}
    order = found.table[part.subject].map(place).argsort(kind="stable") if len(found.table) else []
    return replace(found, table=found.table.iloc[order].reset_index(drop=True))


def _joined(each):
    """`Forecasts` of all."""
    tables = [found.table for found in each if len(found.table)]
    return Forecasts(
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(),
        {k: v for found in each for k, v in found.trees.items()},
        {k: v for found in each for k, v in found.failures.items()},
    )


def _tabled(part, target, found, shown):
    """The rows of the patients who are ``shown`` (subject,) at the best of the places found, and failures."""
    value, z = found.value.max(axis=0), found.best[None]
    eta = target.effects(z, np.zeros(1, dtype=int))
    recorded = target.recorded
    phi, _, _ = evaluator(target.model, recorded.design)(target.population.theta, eta)
    owner = recorded.of_unit
    table = pd.DataFrame(
        {part.subject: np.array(target.labels, dtype=object)[owner], "unit": list(recorded.design.labels)}
        | {name: x[0] for name, x in phi.items()}
        | {
            f"eta_{level.name}_{effect.name}": eta[level.name][0, level.of_unit, k]
            for level, _ in recorded.unknown
            for k, effect in enumerate(level.effects)
        }
        | {"log_density": value[owner], OTHERS: elsewhere(target, found)[owner]}
    )
    lost = shown & ~np.isfinite(value)
    failures = {target.labels[i]: "no place gives the samples a finite density" for i in np.flatnonzero(lost)}
    return table[(shown & ~lost)[owner]].reset_index(drop=True), failures


def _tell_of_others(table, subject):
    """Warn once of patients with another mode that may be the right one."""
    several = table.loc[table[OTHERS] > ELSEWHERE, subject].drop_duplicates().tolist() if OTHERS in table else []
    if several:
        named = ", ".join(map(str, several[:NAMED])) + (", ..." if len(several) > NAMED else "")
        warn(
            f"forecast_each: of {len(several)} of {table[subject].nunique()} patients the most probable effects are "
            f"one of several modes, and others hold more than {100 * ELSEWHERE:.0f} % (column {OTHERS}): {named}; "
            'method="importance" weighs them exactly'
        )
