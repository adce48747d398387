"""The published models as they are offered on the page: by drug, with whom they are for, and what they need to know."""

import tomllib
from dataclasses import dataclass
from functools import cache

from nlmebayes.cases.covariates import DERIVED
from nlmebayes.populations import library


@dataclass(frozen=True)
class Offer:
    """A published model: what it is called, for which drug and patients, and the covariates that it reads, by unit."""

    name: str
    title: str
    domain: str
    doses: str
    citation: str
    doi: str
    needs: dict
    occasions: bool

    @property
    def drug(self):
        """The drug, which the title begins with."""
        return self.title.split(",")[0]

    @property
    def patients(self):
        """Whom the model is for, which the title goes on with."""
        return self.title.partition(",")[2].strip()


@cache
def offers():
    """An `Offer` for every published model, by name."""
    return {entry.name: _offer(entry) for entry in library.catalogue()}


def _offer(entry):
    said = tomllib.loads((library.HOME / f"{entry.name}.toml").read_text(encoding="utf-8"))
    return Offer(**entry._asdict(), needs=_needs(said), occasions=len(said.get("levels", ())) > 1)


def _needs(said):
    """The covariates of a model's table, with their units; none of one that cannot be read."""
    units, columns = (found if isinstance(found := said.get(key), dict) else {} for key in ("units", "reference"))
    return {column: str(units.get(column, "")) for column in columns}


def drugs():
    """The offers of each drug, in the order of the alphabet."""
    found = {}
    for offer in offers().values():
        found.setdefault(offer.drug, []).append(offer)
    return dict(sorted(found.items()))


def needed(models, stated=()):
    """Covariates that the models read and that do not follow from what is asked of every patient, with their units.

    Parameters
    ----------
    models : sequence of str
    stated : dict of str, optional
        Models that a case states itself, as tables.
    """
    found = {}
    for name in models:
        if name in offers():
            found |= offers()[name].needs
        elif name in stated:
            found |= _needs(stated[name])
    return {column: unit for column, unit in found.items() if column not in DERIVED}
