"""What a forecast may be told: one record, whose fields are keywords of every verb that forecasts."""

from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from nlmebayes.arguments import Count, NotNegative, Number, Positive, Text, Whole, checked

Method = Literal["auto", "map", "laplace", "importance", "nuts"]
Missing = Literal["refuse", "impute"]
Unusual = Literal["error", "warn"]
OF_DENSITY = {"density": True}  # a field that changes the density of the patient


@checked
@dataclass(frozen=True)
class Options:
    """Keywords of `forecast`, `forecast_each`, `retrospect`, `average` and `update`; `forecast` says what each does."""

    draws: Count = 2000
    proposals: Count = 4000
    rounds: Whole = 15
    flatten: Positive = field(default=1.0, metadata=OF_DENSITY)
    half_life: Positive | None = field(default=None, metadata=OF_DENSITY)
    drift: Text | None = field(default=None, metadata=OF_DENSITY)
    time_sd: NotNegative | Text | None = field(default=None, metadata=OF_DENSITY)
    missing: Missing = field(default="refuse", metadata=OF_DENSITY)
    now: Number | None = None
    unusual: Unusual = "error"

    @property
    def density(self):
        """Those that change the density of the patient, by name."""
        return {name: value for name, value in asdict(self).items() if name in DENSITY}


DENSITY = tuple(f.name for f in fields(Options) if f.metadata)
