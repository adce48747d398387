"""What can be given of a drug: steps of its amounts, and whether it is infused, as a published model states them."""

from dataclasses import dataclass, field
from math import ceil, floor, log10

from nlmebayes.arguments import Positive, Switch, Text, checked
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import said
from nlmebayes.populations.stated import ABOUT

DIGITS = 3  # significant ones of an amount whose steps are not known
SMALL = 1e-9  # part of a step that is rounding


@checked
@dataclass(frozen=True)
class Dispensing:
    """What can be given of a drug.

    Parameters
    ----------
    step : float, optional
        Amounts are whole multiples of it, in the unit of the model's amounts,
    least : float, optional
        from this one on; by default the step.
    infused : bool
        Whether it may not be given at once, so that a first dose must say over how long.
    source : str
        Where that is from; stated with either.
    units : dict
        Those of the model, by what they are of: ``time``, ``amount``, outcomes.
    """

    step: Positive | None = None
    least: Positive | None = None
    infused: Switch = False
    source: Text = ""
    units: dict[Text, Text] = field(default_factory=dict, hash=False)

    def __post_init__(self):
        if (self.step or self.infused) and not self.source:
            raise ModelError("dispensing: say where it is from, source=")

    @classmethod
    def of(cls, tree):
        """That of the published model behind a tree; of other trees nothing is known."""
        about = said(tree, ABOUT)
        return cls(**about.get("dispensing", {}), units=about.get("units", {}))

    def nearest(self, amount):
        """The amounts next to one that can be given: multiples of the step, or three significant digits."""
        if self.step is None:
            return (rounded(amount),)
        below, first = floor(amount / self.step + SMALL), ceil((self.least or self.step) / self.step - SMALL)
        return tuple(self.step * n for n in dict.fromkeys((max(below, first), max(below + 1, first))))

    def __str__(self):
        unit, least = self.unit("amount"), f" from {self.least:g} on" if self.least else ""
        steps = f"multiples of {self.step:g}{unit}{least}" if self.step else "no step is known"
        infused = ", infused" if self.infused else ""
        return f"{steps}{infused} ({self.source})" if self.source else steps

    def unit(self, name):
        """``" mg"``, or nothing where it is not known."""
        return f" {self.units[name]}" if name in self.units else ""


def rounded(amount):
    """An amount to three significant digits.

    Examples
    --------
    >>> rounded(574.349)
    574.0
    """
    return round(amount, DIGITS - 1 - floor(log10(amount))) if amount > 0 else 0.0
