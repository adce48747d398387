"""``nlmebayes predict``: what a fitted tree expects of any data, record by record."""

import json
from pathlib import Path

import numpy as np
import xarray as xr

import nlmebayes as nb
from nlmebayes import storage
from nlmebayes.app import statement, whole
from nlmebayes.app.fit import READ_AS
from nlmebayes.app.words import StatementError, number

STATISTICS = {"mean": None, "median": 0.5, "q05": 0.05, "q95": 0.95}


def run(path, said, out, say, *, times=None, grid=None, over="time", netcdf=None, force=False, seed=1):
    """Predict the records of new data, or a grid for each of their units, into the CSV file ``out``.

    Parameters
    ----------
    path : path of a tree
    said : dict
        Table ``data``; what it leaves open is read as the data of the fit were.
    times, grid : str, optional
        ``"0,1,2"`` or ``"start:stop:n"``: values of the column ``over``.
    netcdf : path, optional
        For the whole tree of predictions.
    """
    tree = opened(path)
    data = statement.dataset(reading(tree) | said | {"unmeasured": "predict"})
    values = grid_of(times, grid)
    wanted = data if values is None else data.over(**{over: values})
    predicted = nb.predict(None, tree, wanted, random_seed=seed)
    with whole.file(out, force=force) as file:
        table(predicted, wanted).to_csv(file, index=False)
        if netcdf is not None:
            with whole.file(netcdf, force=force) as other:
                predicted.to_netcdf(other)
    say(told(wanted, storage.training_dataset(tree)))
    say(f"Written to {out}" + (f" and {netcdf}" if netcdf is not None else ""))


def opened(path):
    """The tree of a NetCDF file."""
    if not Path(path).is_file():
        raise StatementError(f"no file {str(path)!r}")
    try:
        tree = xr.open_datatree(path, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise StatementError(f"{path} cannot be read as NetCDF: {error}") from error
    if "posterior" not in tree.children:
        raise StatementError(f"{path} is no fit: it has no posterior")
    return tree


def reading(tree):
    """How the data of the fit were read."""
    if READ_AS in tree.attrs:
        return json.loads(tree.attrs[READ_AS])
    data = storage.training_dataset(tree)
    outcome = {"outcome": data.outcomes[0]} if len(data.outcomes) == 1 else {}
    return {"levels": list(data.levels)} | outcome


def grid_of(times, grid):
    """The values of ``--times`` or ``--grid``, or None."""
    if times is not None and grid is not None:
        raise StatementError("give --times or --grid, not both")
    if times is not None:
        return [number(text, "--times") for text in times.split(",")]
    if grid is None:
        return None
    parts = [number(text, "--grid start:stop:n") for text in grid.split(":")]
    if len(parts) != 3 or not isinstance(parts[2], int) or parts[2] < 1:
        raise StatementError(f"--grid {grid!r}: write start:stop:n, such as 0:24:97")
    return np.linspace(*parts)


def table(predicted, data):
    """One row per record: its place, what was measured, and mean, median, 5 and 95 % of f and of a measurement."""
    frame = data.observations.reset_index(drop=True)
    time = (data.time,) if data.time else ()
    found = frame[["row", *data.levels, *time, *data.inputs, "outcome"]].assign(observed=frame["value"])
    sources = {"f": ("posterior", "f_"), "y": ("posterior_predictive", "")}
    for short, (group, prefix) in sources.items():
        for name, share in STATISTICS.items():
            column = np.full(len(frame), np.nan)
            for outcome in data.outcomes:
                here = (frame["outcome"] == outcome).to_numpy()
                column[here] = _statistic(predicted[group][f"{prefix}{outcome}"], share)
            found[f"{short}_{name}"] = column
    return found


def _statistic(variable, share):
    dims = ("chain", "draw")
    return (variable.mean(dims) if share is None else variable.quantile(share, dims)).to_numpy()


def told(data, training):
    """How many were predicted, how many of them are new, and what was left out."""
    labels = data.observations[data.subject].unique()
    known = set(training.observations[training.subject]) if training.subject == data.subject else set()
    new = sum(label not in known for label in labels)
    lines = [f"{len(data.observations)} records of {len(labels)} {data.subject}, {new} of them not in the fit"]
    return "\n".join([*lines, *(f"left out: {n} x {why}" for why, n in data.excluded.items())])
