"""The models of a case: published ones, or stated in the case, read once and kept ready for the next answer."""

import json
import re
from dataclasses import dataclass
from functools import lru_cache

import xarray as xr

from nlmebayes.cases.quantities import Unclear, factor
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import said
from nlmebayes.forecasting.forecaster import Forecaster, forecaster
from nlmebayes.populations import library
from nlmebayes.populations.dispensing import Dispensing
from nlmebayes.populations.stated import ABOUT

KEPT = 32  # models that are kept ready
NAME = re.compile(r"\w[\w .-]*")  # of a stated model: it stands in tables, where a spreadsheet runs what begins with =
MOST = 100  # compartments and the like that an option of a stated model may ask for; each takes memory and time


@dataclass(frozen=True, eq=False)
class Ready:
    """A model, and what a chart must hold for it."""

    name: str
    tree: xr.DataTree
    forecaster: Forecaster

    @property
    def about(self):
        """Its ``name``, ``citation``, ``doi``, ``note``, ``units``, ``domain``, as far as they are stated."""
        return said(self.tree, ABOUT)

    @property
    def training(self):
        """The reference data, whose columns a patient needs."""
        return self.forecaster.known.training_data

    @property
    def levels(self):
        return self.training.levels

    @property
    def outcomes(self):
        return self.training.outcomes

    @property
    def columns(self):
        """The covariates that it reads."""
        read = self.forecaster.known.training.units.columns
        return tuple(name for name in read if name not in self.levels)

    @property
    def drawn(self):
        """Covariates whose distribution it states, so that missing ones can be drawn."""
        return tuple(self.about.get("covariates", {}))

    @property
    def dispensing(self):
        return Dispensing.of(self.tree)

    def unit(self, name):
        """Unit of a column, the ``"amount"``, the ``"time"`` or an outcome; empty of what has none that can be read."""
        found = self.about.get("units", {}).get(name, "")
        try:
            factor(found, found)
        except Unclear:
            return found if " " not in found else ""
        return found


def ready(name, population):
    """The `Ready` model of a name: stated in the case, or published.

    Raises
    ------
    ModelError
        There is none, or what is stated is no model; lists what exists.
    """
    if name in population:
        _check(name, population[name])
        return _stated(name, json.dumps(population[name], sort_keys=True, default=str))
    if name not in library.published_names():
        own = f", and in the case {', '.join(population)}" if population else ""
        raise ModelError(f"no published model {name!r}{library.near(name)} there are "
                         f"{', '.join(library.published_names())}{own}")  # fmt: skip
    return _published(name)


def _check(name, stated):
    """Refuse what is no table, and options that would fill the memory."""
    if not NAME.fullmatch(name):
        raise ModelError(f"a model cannot be called {name[:40]!r}; write letters, digits, _, - and points")
    options = stated.get("options", {}) if isinstance(stated, dict) else None
    if not isinstance(options, dict):
        raise ModelError(f"{name}: a model is a table, [population.{name}], and so are its options")
    for option, value in options.items():
        if isinstance(value, int | float) and not -MOST <= value <= MOST:
            raise ModelError(f"{name}: option {option} is {value:g}; a case takes at most {MOST}")


@lru_cache(KEPT)
def _published(name):
    tree = library.published(name)
    return Ready(name, tree, forecaster(tree))


@lru_cache(KEPT)
def _stated(name, text):
    tree = library.of_tables(json.loads(text), name)
    return Ready(name, tree, forecaster(tree))
