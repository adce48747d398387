"""What planned data must be like for a model or a tree: names of levels, outcomes, columns."""

from dataclasses import dataclass, field

import pandas as pd
import xarray as xr

from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.formula import parse
from nlmebayes.formula.sigma import is_scale
from nlmebayes.model.model import Model
from nlmebayes.structure.compartments import outcome_names

REFERENCE = "reference"  # source of the data of a stated population
CONC = "conc"  # name of the one outcome of a model that has no data


@dataclass(frozen=True)
class Setting:
    """``levels`` outermost first, ``outcomes``, the column of ``time`` or None, the level ``followed`` in the data of a
    fit, or None; a ``prefix`` of the labels of planned subjects, so that nobody takes them for those of a fit; kinds of
    ``categories`` by column, as the data of a fit have them: a category 1 is no number."""

    levels: tuple
    outcomes: tuple
    time: str | None
    followed: str | None = None
    prefix: str = ""
    categories: dict = field(default_factory=dict, hash=False)


def setting(of):
    """The `Setting` of a tree, of one that was read, or of a model."""
    if isinstance(of, xr.DataTree):
        return of_data(fitted(of).training_data)
    if not isinstance(of, Model):
        raise ModelError("dataset: of must be a tree or a Model; write design.dataset(tree)")
    each = [parse(text) for text in of.formulas if not is_scale(text)]
    names = [name for f in each for term in f.groups for factor in term.factors for name in factor.split(":")]
    levels = tuple(dict.fromkeys(names)) or ("id",)
    stated = tuple(of.residual) if isinstance(of.residual, dict) else ()
    return Setting(levels, stated or outcome_names(of.structure) or (CONC,), "time")


def of_data(data):
    """The `Setting` of a `Dataset`."""
    kinds = data.observations.dtypes
    some = {c: kind for c, kind in kinds.items() if isinstance(kind, pd.CategoricalDtype)}
    if data.source == REFERENCE:  # of a population that was stated, whose subjects nobody knows
        return Setting(data.levels, data.outcomes, data.time, categories=some)
    return Setting(data.levels, data.outcomes, data.time, data.subject, "new ", some)
