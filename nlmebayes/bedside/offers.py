"""The published models as they are offered on the page: by drug, with whom they are for, and what they need to know."""

import tomllib
from dataclasses import dataclass
from functools import cache

from nlmebayes.populations import library

ENTERED = {"wt": "weight", "ht": "height", "age": "age"}  # columns that a field of every patient fills


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
    units: dict
    occasions: bool

    @property
    def drug(self):
        """The drug, which the title begins with."""
        return self.title.split(",")[0]

    @property
    def patients(self):
        """Whom the model is for, which the title goes on with."""
        return self.title.partition(",")[2].strip()

    @property
    def concentration(self):
        """The unit of the concentrations."""
        return self.units.get("conc", "")


@cache
def offers():
    """An `Offer` for every published model, by name."""
    return {entry.name: _offer(entry) for entry in library.catalogue()}


def _offer(entry):
    said = tomllib.loads((library.HOME / f"{entry.name}.toml").read_text(encoding="utf-8"))
    units = said.get("units", {})
    needs = {column: units.get(column, "") for column in said.get("reference", {})}
    return Offer(**entry._asdict(), needs=needs, units=units, occasions="occ" in said.get("levels", ()))


def drugs():
    """The offers of each drug, in the order of the alphabet."""
    found = {}
    for offer in offers().values():
        found.setdefault(offer.drug, []).append(offer)
    return dict(sorted(found.items()))


def needed(models):
    """Covariates that the models read and no field of every patient fills, with their units."""
    found = {}
    for name in models:
        found |= offers()[name].needs if name in offers() else {}
    return {column: unit for column, unit in found.items() if column not in ENTERED}
