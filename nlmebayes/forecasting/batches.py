"""`forecast_each`: every patient of an event table, with no failure stopping the others."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd

from nlmebayes.arguments import Kind, Seed, Tree, checked
from nlmebayes.data.validate import DataError
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.forecasting import charts
from nlmebayes.forecasting.forecaster import forecaster
from nlmebayes.forecasting.modes import climbed
from nlmebayes.forecasting.options import Method, Options
from nlmebayes.formula import FormulaError
from nlmebayes.model.model import Data, Model, ModelError
from nlmebayes.populations import stated

TOGETHER = 100  # patients whose modes are climbed to at once
LOOKED_AT = charts.FOLD / 10  # times off the typical prediction, at which a sample is compared with the range


def _client(value):
    """What has dask's ``map`` and ``gather``."""
    if callable(value.map) and callable(value.gather):
        return value
    raise TypeError


Client = Annotated[object, Kind("a client with map and gather, such as distributed.Client()", _client)]
REFUSED = (ModelError, DataError, FormulaError)


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What `forecast_each` found.

    ``table``: one row per unit, with the patient, the unit, its individual parameters (of the mode, or posterior means)
    and the patient's log-density at the mode or log evidence. ``trees``: patient -> DataTree, for methods other than
    "map". ``failures``: patient -> why.
    """

    table: pd.DataFrame
    trees: dict
    failures: dict


@checked
def forecast_each(
    tree: Tree, data: Data, *, method: Method = "map", client: Client | None = None, random_seed: Seed | None = None,
    model: Model | None = None, **options: Options,
):  # fmt: skip
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
    client : optional
        Runs the parts elsewhere: anything with dask's ``map`` and ``gather``, such as ``distributed.Client()`` after
        ``pip install "nlmebayes[dask]"``.
    random_seed : int, optional
        Of the first patient; the others count from it.
    **options
        Further arguments of `forecast`; modes take no draws.

    Returns
    -------
    Forecasts

    Raises
    ------
    ModelError
        An option that `forecast` does not have.
    """
    options, ready = Options(**options), forecaster(tree, model=model)
    labels = list(dict.fromkeys(data.observations[data.subject]))
    size = TOGETHER if method == "map" else 1 if client is None else max(1, len(labels) // 64)
    parts = [labels[i : i + size] for i in range(0, len(labels), size)]
    seeds = [None if random_seed is None else random_seed + i * size for i in range(len(parts))]
    if client is None:
        found = [_some(ready, data, method, options, part, seed) for part, seed in zip(parts, seeds, strict=True)]
    else:
        pieces = [data.sel(**{data.subject: part}) for part in parts]
        found = client.gather(client.map(partial(_sent, ready.model, tree, method, options), pieces, parts, seeds))
    tables = [each.table for each in found if len(each.table)]
    return Forecasts(
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(),
        {k: v for each in found for k, v in each.trees.items()},
        {k: v for each in found for k, v in each.failures.items()},
    )


def _sent(model, tree, method, options, data, labels, seed):
    """`_some` in another process, to which a `Forecaster` cannot be sent."""
    return _some(forecaster(tree, model=model), data, method, options, labels, seed)


def _some(ready, data, method, options, labels, seed):
    """`Forecasts` of some patients."""
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


def why(error):
    """What the library refuses in its own words; anything else with its kind."""
    return str(error) if isinstance(error, REFUSED) else f"{type(error).__name__}: {error}"


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
        charts.warn_outside(ready.known.tree, patient)
        try:
            charts.check_now(patient, options.now)
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


def _modes(ready, data, options, labels):
    """The most probable effects of some patients, together; one by one where they fail."""
    try:
        part = data.sel(**{data.subject: labels})
        _, target = ready.target(part, options, several=True)
        refused = _refused(ready, part, target, options)
        if refused:
            others = [label for label in labels if label not in refused]
            found = _modes(ready, data, options, others) if others else Forecasts(pd.DataFrame(), {}, {})
            return replace(found, failures=refused | found.failures)
        found = climbed(target)
    except Exception as error:  # as above
        if len(labels) == 1:
            return Forecasts(pd.DataFrame(), {}, {labels[0]: why(error)})
        each = [_modes(ready, data, options, [label]) for label in labels]
        tables = [x.table for x in each if len(x.table)]
        failures = {k: v for x in each for k, v in x.failures.items()}
        return Forecasts(pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(), {}, failures)
    best = np.argmax(found.value, axis=0)
    value = np.take_along_axis(found.value, best[None], axis=0)[0]
    z = np.take_along_axis(found.z, best[None, :, None], axis=0)
    eta = target.effects(z, np.zeros(1, dtype=int))
    shown = target.recorded
    phi, _, _ = evaluator(target.model, shown.design)(target.population.theta, eta)
    owner = shown.of_unit
    table = pd.DataFrame(
        {part.subject: np.array(target.labels, dtype=object)[owner], "unit": list(shown.design.labels)}
        | {name: x[0] for name, x in phi.items()}
        | {
            f"eta_{level.name}_{effect.name}": eta[level.name][0, level.of_unit, k]
            for level, _ in shown.unknown
            for k, effect in enumerate(level.effects)
        }
        | {"log_density": value[owner]}
    )
    lost = ~np.isfinite(value)
    failures = {target.labels[i]: "no place gives the samples a finite density" for i in np.flatnonzero(lost)}
    return Forecasts(table[~lost[owner]].reset_index(drop=True), {}, failures)
