"""``nlmebayes predict``: what a fitted tree expects of any data, record by record."""

import numpy as np

import nlmebayes as nb
from nlmebayes.app import statement
from nlmebayes.app.fit import READ_AS
from nlmebayes.data.tidy import own_labels
from nlmebayes.dosing.wanted import MOST
from nlmebayes.evaluation import storage
from nlmebayes.files import trees, whole
from nlmebayes.files.text import read_json
from nlmebayes.words import StatementError, number

STATISTICS = {"mean": None, "median": 0.5, "eti_lb": 0.05, "eti_ub": 0.95}


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
    predicted = nb.predict(tree, wanted, random_seed=seed)
    with whole.file(out, force=force) as file:
        table(predicted, wanted).to_csv(file, index=False)
        if netcdf is not None:
            trees.save(predicted, netcdf, force=force)
    say(told(wanted, storage.training_dataset(tree)))
    say(f"Written to {out}" + (f" and {netcdf}" if netcdf is not None else ""))


def opened(path):
    """The tree of a NetCDF file."""
    tree = trees.load(path)
    if "posterior" not in tree.children:
        raise StatementError(f"{path} is no fit: it has no posterior")
    return tree


def reading(tree):
    """How the data of the fit were read."""
    if READ_AS in tree.attrs:
        said = read_json(tree.attrs[READ_AS], "how the data of the tree were read")
        known = set(statement.arguments()) - set(statement.OF_THE_FILE)  # a file from elsewhere names no other file
        return {key: value for key, value in said.items() if key in known} if isinstance(said, dict) else {}
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
    if len(parts) != 3 or not isinstance(parts[2], int) or not 1 <= parts[2] <= MOST or not np.isfinite(parts).all():
        raise StatementError(f"--grid {grid!r}: write start:stop:n, such as 0:24:97, with {MOST:,} values at most")
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


def _who(data, alone):
    """Labels of the subjects, without those of the levels above where they say it ``alone``."""
    units = data.units
    return set(own_labels(units, data.levels, data.subject) if alone else units[data.subject])


def told(data, training):
    """How many were predicted, how many of them are new, and what was left out."""
    alone = data.subject in data.unique and data.subject in training.unique
    labels, known = _who(data, alone), _who(training, alone) if training.subject == data.subject else set()
    new = len(labels - known)
    lines = [f"{len(data.observations)} records of {len(labels)} {data.subject}, {new} of them not in the fit"]
    return "\n".join([*lines, *(f"left out: {n} x {why}" for why, n in data.excluded.items())])
