"""Public datasets that come with the library: `names`, `describe`, `table`, and one function for each.

``theophylline()`` and its siblings return a `Dataset`. What is known of each dataset, and how it becomes one,
stands in ``catalogue.toml``.
"""

import textwrap
import tomllib
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nlmebayes.arguments import Text
from nlmebayes.data.dataset import Dataset, checked
from nlmebayes.data.validate import DataError

_HOME = files("nlmebayes.data")
_CATALOGUE = tomllib.loads((_HOME / "catalogue.toml").read_text(encoding="utf-8"))
__all__ = ["describe", "names", "table", *_CATALOGUE]


@checked
def names() -> tuple[str, ...]:
    """Names of the datasets, in the order of the catalogue.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.datasets.names()[:3]
    ('theophylline', 'indometh', 'phenobarbital')
    """
    return tuple(_CATALOGUE)


@checked
def table(name: Text) -> pd.DataFrame:
    """The table of a dataset as its source has it: a new DataFrame with the source's column names.

    Parameters
    ----------
    name : str
        As `names` gives it.

    Returns
    -------
    DataFrame

    Raises
    ------
    DataError
        Unknown name; lists those that exist.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.datasets.table("orange").columns.tolist()
    ['Tree', 'age', 'circumference']
    """
    with (_HOME / "tables" / _entry(name)["file"]).open(encoding="utf-8") as file:
        return pd.read_csv(file)


@checked
def describe(name: Text) -> str:
    """What was measured on whom, every column with its unit, what to beware of, and the source to cite.

    Parameters
    ----------
    name : str
        As `names` gives it.

    Returns
    -------
    str
        With the sections of a docstring.

    Raises
    ------
    DataError
        Unknown name; lists those that exist.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> print(nb.datasets.describe("orange").splitlines()[0])
    Trunk circumference of five orange trees at seven ages.
    """
    entry = _entry(name)
    rename = entry.get("rename", {})
    lines = [entry["title"], "", "Columns", "-------"]
    for column, meaning in entry["columns"].items():
        lines.append(f"{rename[column]} ({column} in the table)" if column in rename else column)
        lines.append(f"    {meaning}")
    if "note" in entry:
        lines += ["", "Notes", "-----", textwrap.fill(entry["note"], 100)]
    return "\n".join([*lines, "", "References", "----------", textwrap.fill(entry["source"], 100)])


def _entry(name):
    if name not in _CATALOGUE:
        raise DataError(f"no dataset {name!r}; the datasets are {', '.join(_CATALOGUE)}")
    return _CATALOGUE[name]


def _dataset(name):
    entry = _entry(name)
    frame = table(name).rename(columns=entry.get("rename", {}))
    for column, codes in entry.get("codes", {}).items():
        frame[column] = frame[column].map(codes)
    frame = frame.astype(dict.fromkeys(entry.get("categories", ()), "category"))
    arguments = entry["dataset"] | {"source": name, "units": entry.get("units")}
    if "doses" not in entry:
        return Dataset.from_frame(frame, **arguments)
    dosing = dict(entry["doses"])
    return _DOSING[dosing.pop("kind")](frame, arguments, **dosing)


def _by_weight(frame, arguments):
    """One dose per subject at time 0: its ``dose`` per weight times its weight ``wt``."""
    first = frame.drop_duplicates("id")
    doses = first[["id"]].assign(time=0.0, amt=first["dose"] * first["wt"])
    return Dataset.from_frame(frame, doses=doses, **arguments)


def _one_bolus(frame, arguments, amount):
    """The same dose to every subject at time 0."""
    doses = frame[["id"]].drop_duplicates().assign(time=0.0, amt=amount)
    return Dataset.from_frame(frame, doses=doses, **arguments)


def _records(frame, arguments, interval=None):
    """Doses in rows of their own, as in an event table; a dose with an ``interval`` is one of a steady state."""
    outcome = arguments["outcome"]
    events = frame.rename(columns={"dose": "AMT", outcome: "DV"})
    if interval:
        events = events.rename(columns={interval: "II"}).assign(SS=frame[interval].notna().astype(float))
    event = np.select([events["AMT"] > 0, events["DV"].notna()], [1, 0], 2)
    return Dataset.from_nonmem(events.assign(EVID=event), **arguments)


def _infusions(frame, arguments, amount, rate):
    """Infusions that start at the time of a record."""
    given = frame[frame[amount] > 0]
    doses = given[["id", "time"]].assign(amt=given[amount], rate=given[rate])
    return Dataset.from_frame(frame.drop(columns=[amount, rate]), doses=doses, **arguments)


_DOSING = {"by_weight": _by_weight, "one_bolus": _one_bolus, "records": _records, "infusions": _infusions}


def _function(name):
    def load() -> Dataset:
        return _dataset(name)

    load.__name__ = load.__qualname__ = name
    load.__doc__ = _documented(name)
    return checked(load)


def _documented(name):
    """The docstring of a function that gives a dataset: what it holds, and an example."""
    about, source = describe(name).split("References\n")
    outcome = _entry(name)["dataset"]["outcome"]
    outcomes = (outcome,) if isinstance(outcome, str) else tuple(outcome)
    example = f">>> import nlmebayes as nb\n>>> nb.datasets.{name}().outcomes\n{outcomes}"
    return f"{about}Returns\n-------\nDataset\n\nReferences\n{source}\n\nExamples\n--------\n{example}\n"


if TYPE_CHECKING:  # the functions below

    def __getattr__(name: str) -> Callable[[], Dataset]: ...


globals().update({name: _function(name) for name in _CATALOGUE})
