"""What stands on an axis: the name of a thing with its unit."""

from dataclasses import dataclass

from nlmebayes.evaluation.fitted import said
from nlmebayes.parameter.units import TIMES, time_of
from nlmebayes.populations.stated import ABOUT


@dataclass(frozen=True, eq=False)
class Labels:
    """Units by name, in any case."""

    units: dict

    def __call__(self, name, of=None):
        """``conc (mg/L)``, or the name alone where no unit is known of it, or of what it is ``of``, or where it is the
        unit, as ``day`` is."""
        of = of or name
        unit = self.units.get(of) or self.units.get(of.lower())
        return f"{name} ({unit})" if unit and TIMES.get(name.lower(), "") != TIMES.get(unit) else name

    def of_axis(self, name, time):
        """The same of a column that may be made of the dataset's ``time``, such as tad."""
        if name != "tad" or name in self.units:
            return self(name)
        return f"time after dose ({self.units[time]})" if self.units.get(time) else "time after dose"


def labels_of(known, data=None):
    """Those of a tree that was read, a `Fitted`: of its parameters, of its data, and of a published model."""
    data = known.data if data is None else data
    return labelled(known.model, data, said(known.tree, ABOUT).get("units", {}), known.training_data.unit_of)


def labelled(model, data, *stated):
    """Those of a model and data; ``stated``: other units by name, which those of the data go before."""
    found = {p.name: p.unit for p in model.parameters}
    if data.time:
        found[data.time] = TIMES.get(data.time.lower()) or time_of(model.parameters)
    for units in (*stated, data.unit_of):
        found |= {name: unit for name, unit in units.items()} | {name.lower(): unit for name, unit in units.items()}
    if data.time and data.time not in data.unit_of:
        found[data.time] = found.get("time") or found.get(data.time, "")
    return Labels(found)
