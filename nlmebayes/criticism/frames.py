"""`to_frame`: what a tree says as tidy frames with units, and `write_table`, which writes one whole or not at all."""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import xarray as xr

from nlmebayes import arguments
from nlmebayes.arguments import Count, File, Seed, Share, Switch, Tree, checked, instance
from nlmebayes.criticism.residuals import residuals
from nlmebayes.criticism.tad import since_dose_of
from nlmebayes.data.dataset import AMOUNT
from nlmebayes.data.validate import RESERVED
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.evaluation.prediction import predicted
from nlmebayes.evaluation.quantities import quantities
from nlmebayes.evaluation.storage import stored_dataset, stored_model
from nlmebayes.evaluation.tails import tails
from nlmebayes.files import whole
from nlmebayes.files.errors import FileError
from nlmebayes.model.model import Data, Model
from nlmebayes.summaries.summary import summarised

What = Literal["parameters", "population", "etas", "individual", "residuals", "predictions", "simulated"]
Frame = Annotated[pd.DataFrame, instance("a DataFrame, such as to_frame gives", pd.DataFrame)]
RESULTS = (
    "DV", "replicate", "parameter", "unit", "mean", "sd", "median", "eti_lb", "eti_ub", "predictive_lb",
    "predictive_ub",
)  # fmt: skip
STUDIES = 100  # of ``"simulated"`` where nobody said how many


def checked_file[Thing](thing: Thing) -> Thing:
    """`arguments.checked`, which refuses by `FileError`."""
    return arguments.checked(thing, error=FileError)


@checked
def to_frame(
    tree: Tree, what: What, data: Data | None = None, *, draws: Count | None = None, ci_prob: Share = 0.9,
    random_seed: Seed | None = 0, model: Model | None = None,
) -> pd.DataFrame:  # fmt: skip
    """What a tree says as a tidy frame, one row per thing, with labels as they are in the data.

    Parameters
    ----------
    tree : DataTree
        From `fit`, `forecast` or `population`; for ``"simulated"`` also from `simulate`.
    what : str
        ================= ===========================================================================================
        ``"parameters"``  the table of `summary`: typical values, coefficients, SDs, correlations, residual parts
        ``"population"``  the draws of these, one row per draw and one column per quantity
        ``"etas"``        random effects: ``level, group, effect``, on the link scale
        ``"individual"``  individual parameters: levels and covariates of each unit, ``parameter, unit``
        ``"residuals"``   the table of `residuals`
        ``"predictions"`` each record with its covariates, ``tad``, ``dose_number``, its measurement ``DV``, the
                          prediction, and bounds ``predictive_lb, predictive_ub`` of a measurement
        ``"simulated"``   measurements of whole studies with other individuals: ``replicate``, the record, ``value``
        ================= ===========================================================================================
    data : Dataset, optional
        New data; by default those of the tree. Not of ``"parameters"`` and ``"population"``.
    draws : int, optional
        At most so many draws, evenly spaced, of ``"population"``, ``"etas"``, ``"individual"`` and ``"predictions"``,
        by default all; so many replicates of ``"simulated"``, by default 100 at most.
    ci_prob : float
        Of the intervals ``eti_lb, eti_ub`` beside ``mean, sd, median``; a tree of one draw (a maximum) has none.
    random_seed : int, optional
    model : Model, optional
        That of the tree, where its structure cannot be imported again.

    Returns
    -------
    DataFrame
        Units stand in a column ``unit`` where rows are of different quantities, and in ``frame.attrs["units"]``, by
        column or quantity, as far as the model and the data say them.

    Raises
    ------
    ModelError
        An unknown ``what``; data beside what is of the population.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> tree = nb.published("vancomycin_goti_2018")
    >>> nb.to_frame(tree, "parameters")[["quantity", "unit", "mean"]].head(1)["unit"].item()
    'L/h'
    """
    options = {"draws": draws, "ci_prob": ci_prob, "random_seed": random_seed}
    if what == "simulated" and "posterior" not in tree.children:
        return _studies(tree, data, model, options)
    if what == "residuals":
        frame = residuals(tree, data, ci_prob=ci_prob, random_seed=random_seed, model=model)
        known = fitted(tree, model)
        return _with_units(frame, known.data if data is None else data)
    known = fitted(tree, model)
    if data is not None and what in OF_POPULATION:
        raise ModelError(f"to_frame: {what!r} is of the population, and takes no data=")
    return MADE[what](known, known.data if data is None else known.completed(data), options)


@checked_file
def write_table(frame: Frame, path: File, *, force: Switch = True) -> None:
    """Write a frame as CSV (``.csv``), tab-separated text (``.tsv``) or Parquet (``.parquet``), whole or not at all.

    Numbers are written so that they read back the same. Parquet keeps ``frame.attrs``, with the units; a text does not.

    Parameters
    ----------
    frame : DataFrame
    path : path
        Ends in ``.csv``, ``.tsv`` or ``.parquet``.
    force : bool
        Whether a file of that name is replaced.

    Raises
    ------
    FileError
        Another ending, or the file cannot be written; what was there before is as it was.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> nb.write_table(nb.to_frame(tree, "etas"), "etas.csv")
    >>> import pandas as pd
    >>> pd.read_csv("etas.csv")[["level", "group", "effect"]].head(2)
       level group effect
    0  Batch     A     mu
    1  Batch     B     mu
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise FileError(f"{path.name}: a table is written as {', '.join(WRITERS)}; name the file so")
    with whole.file(path, force=force) as beside:
        writer(frame, beside)


WRITERS = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
}


def _parameters(known, _, options):
    found = summarised(known, options["ci_prob"])
    found.attrs["units"] = {name: unit for name, unit in zip(found["quantity"], found["unit"], strict=True) if unit}
    return found


def _population(known, _, options):
    drawn, notes = quantities(known.model, known.training, known.posterior)
    chains, each = (known.posterior.sizes[dim] for dim in ("chain", "draw"))
    columns = {"chain": np.repeat(np.arange(chains), each), "draw": np.tile(np.arange(each), chains)}
    columns |= {name: values.transpose("chain", "draw").to_numpy().ravel() for name, values in drawn.items()}
    found = _thinned(pd.DataFrame(columns), options["draws"])
    found.attrs["units"] = {name: note["unit"] for name, note in notes.items() if note.get("unit")}
    return found


def _etas(known, data, options):
    tree = known.tree if data is known.data and _holds_effects(known) else _predicted(known, data, options)
    rows = []
    for name in (v for v in tree["posterior"].data_vars if v.startswith("eta_")):
        level = name.removeprefix("eta_")
        drawn = tree["posterior"][name]
        values = drawn.transpose("chain", "draw", level, f"{level}_effect").to_numpy()
        groups, effects = (drawn[dim].to_numpy() for dim in (level, f"{level}_effect"))
        labels = {"level": level, "group": np.repeat(groups, len(effects)), "effect": np.tile(effects, len(groups))}
        rows.append(pd.DataFrame(labels).join(_described(_samples(values), options)))
    columns = ["level", "group", "effect", *_described(np.zeros((1, 0)), options)]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


def _holds_effects(known):
    return all(f"eta_{level.name}" in known.posterior for level in known.training.levels)


def _individual(known, data, options):
    tree, design = _predicted(known, data, options), known.design(data)
    units = _beside(design.units.reset_index(drop=True))
    tables = []
    for p in known.model.parameters:
        values = tree["posterior"][p.name].transpose("chain", "draw", "unit").to_numpy()
        labels = units.assign(parameter=p.name, unit=p.unit)
        tables.append(labels.join(_described(_samples(values), options)))
    found = pd.concat(tables, ignore_index=True)
    found.attrs["units"] = {p.name: p.unit for p in known.model.parameters if p.unit}
    return found


def _predictions(known, data, options):
    tree = _predicted(known, data, options)
    tables = []
    for o in known.design(data).outcomes:
        f, y = tree["posterior"][f"f_{o.name}"], tree["posterior_predictive"][o.name]
        values, measured = (x.transpose("chain", "draw", f"{o.name}_obs").to_numpy() for x in (f, y))
        low, high = _bounds(_samples(measured), options)
        found = _described(_samples(values), options).assign(predictive_lb=low, predictive_ub=high)
        tables.append(_records(data, o.name).join(found))
    return _with_units(pd.concat(tables).sort_values("row", kind="stable").reset_index(drop=True), data)


def _simulated(known, data, options):
    options = options | {"draws": options["draws"] or STUDIES}
    tree = predicted(_fewer(known, options["draws"]), data, redraw=True, random_seed=options["random_seed"])
    return _replicates(tree["posterior_predictive"], data, options)


def _studies(tree, data, model, options):
    """Of a tree from `simulate`, whose draws are studies."""
    if "prior_predictive" not in tree.children:
        groups = ", ".join(tree.children) or "none"
        raise ModelError(
            f"to_frame: needs a tree from fit, forecast, population or simulate; it has the groups {groups}"
        )
    if data is not None:
        raise ModelError("to_frame: a tree from simulate holds its studies; data= belongs to simulate")
    model = stored_model(tree) if model is None else model
    return _replicates(tree["prior_predictive"], stored_dataset(tree), options)


def _replicates(group, data, options):
    tables = []
    for name in data.outcomes:
        values = _samples(group[name].transpose("chain", "draw", f"{name}_obs").to_numpy())
        values = values[_evenly(len(values), options["draws"] or STUDIES)]
        records = _records(data, name)
        found = records.drop(columns="DV").iloc[np.tile(np.arange(len(records)), len(values))]
        found = found.assign(value=values.ravel())
        found.insert(0, "replicate", np.repeat(np.arange(1, len(values) + 1), len(records)))
        tables.append(found)
    found = pd.concat(tables).sort_values(["replicate", "row"], kind="stable").reset_index(drop=True)
    return _with_units(found, data)


def _predicted(known, data, options):
    """The tree of predictions, from some draws."""
    return predicted(_fewer(known, options["draws"]), data, random_seed=options["random_seed"])


def _fewer(known, draws):
    """The same with some of the draws, as one chain."""
    chains, each = (known.posterior.sizes[dim] for dim in ("chain", "draw"))
    chosen = _evenly(chains * each, draws)
    if len(chosen) == chains * each:
        return known
    flat = known.posterior.stack(sample=("chain", "draw"), create_index=False).drop_vars(("chain", "draw"))
    one = (
        flat.isel(sample=chosen).rename(sample="draw").expand_dims(chain=[0]).assign_coords(draw=np.arange(len(chosen)))
    )
    groups = {name: known.tree[name].to_dataset() for name in known.tree.children} | {"posterior": one}
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = known.tree.attrs
    return replace(known, tree=tree)


def _samples(values):
    """Draws of all chains on one axis: (sample, ...) with what follows flat."""
    return values.reshape(values.shape[0] * values.shape[1], -1)


def _evenly(many, wanted):
    return np.arange(many) if wanted is None or wanted >= many else np.linspace(0, many - 1, wanted).round().astype(int)


def _thinned(frame, wanted):
    return frame.iloc[_evenly(len(frame), wanted)].reset_index(drop=True)


def _described(values, options):
    """``mean, sd, median, eti_lb, eti_ub`` over the samples of each column."""
    values = values[_evenly(len(values), options["draws"])]
    low, high = _bounds(values, options)
    sd = values.std(axis=0) if len(values) > 1 else np.nan
    found = {"mean": values.mean(axis=0), "sd": sd, "median": np.median(values, axis=0), "eti_lb": low, "eti_ub": high}
    return pd.DataFrame(found)


def _bounds(values, options):
    """Ends of the interval of samples; none of a single one, such as the mode of a maximum."""
    if len(values) == 1:
        return np.full((2, values.shape[1]), np.nan)
    return np.quantile(values, tails(options["ci_prob"]), axis=0)


def _records(data, outcome):
    """What the records of an outcome are, with time after dose and number of the dose."""
    frame = data.observations[data.observations["outcome"] == outcome].reset_index(drop=True)
    first = ["row", *data.levels, *filter(None, [data.time]), "outcome"]
    rest = [c for c in frame.columns if c not in RESERVED and c not in first]
    parts = [frame[first].assign(DV=frame["value"]), _beside(frame[rest]), since_dose_of(data, frame)]
    return pd.concat(parts, axis=1)


def _beside(columns):
    """Columns of the data, of which those that are called as a result end in ``_data``."""
    return columns.rename(columns={name: f"{name}_data" for name in columns if name in RESULTS})


def _with_units(frame, data):
    """The frame with the units that the data say, by column and by outcome."""
    units = {name: unit for name, unit in data.unit_of.items() if name != AMOUNT and unit}
    if data.time in units and "tad" in frame:
        units["tad"] = units[data.time]
    frame.attrs["units"] = units
    return frame


MADE = {
    "parameters": _parameters, "population": _population, "etas": _etas, "individual": _individual,
    "predictions": _predictions, "simulated": _simulated,
}  # fmt: skip
OF_POPULATION = ("parameters", "population")
