"""`OptimalDesign`: the best design that was found, the best that can be carried out, and what their times matter."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from nlmebayes.arguments import Share, checked
from nlmebayes.design.design import Design
from nlmebayes.design.exchange import Candidates
from nlmebayes.design.search import times_of

GRID = 60  # times at which another sample is tried


@dataclass(frozen=True, eq=False)
class OptimalDesign:
    """What `optimise_design` found.

    Attributes
    ----------
    best : Design
        The best one found.
    rounded : Design
        The best one with times and amounts at multiples of ``step``, which can be carried out; the same without it.
    start : Design
        That it began with, in numbers that the budget allows.
    criterion, rounded_criterion, start_criterion : float
        Of D and Ds the logarithm of the determinant by number that it is about; of A minus the sum of variances.
    kind : {"D", "Ds", "A"}
        Which criterion.
    starts : DataFrame
        The criterion where each exchange of times began and ended, before candidates are drawn closer.
    slots, scenarios : tuple
        Times that are free, and the populations over which the criterion is averaged.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> design = nb.Design([nb.Arm(30, [1, 2, 3], doses={"time": 0, "amt": 100})])
    >>> found = nb.optimise_design(tree, design, free={"times": (0.5, 24)}, starts=1, step={"times": 0.5})
    >>> found.rounded.arms[0].times
    (0.5, 0.5, 24.0)
    """

    best: Design
    rounded: Design
    start: Design
    criterion: float
    rounded_criterion: float
    start_criterion: float
    kind: str
    starts: pd.DataFrame
    slots: tuple = field(repr=False)
    scenarios: tuple = field(repr=False)

    @property
    def efficiency(self) -> float:
        """How many times as many subjects the start would need to tell as much as the best one."""
        return self._efficiency(self.criterion, self.start_criterion)

    @property
    def rounded_efficiency(self) -> float:
        """What is left in the rounded one of the best one's efficiency."""
        return self._efficiency(self.rounded_criterion, self.criterion)

    def _efficiency(self, one, other):
        return float(other / one if self.kind == "A" else np.exp(one - other))

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """What one more sample of every subject would add to the criterion, by outcome and time, a DataFrame."""
        if not self.slots:
            return pd.DataFrame(columns=["outcome", "time", "gain"])
        grid = np.unique([t for slot in self.slots for t in np.linspace(slot.low, slot.high, GRID)])
        chosen = times_of(self.best, self.slots)
        candidates = Candidates(self.scenarios, self.best, self.slots, [[t] for t in chosen], grid.tolist())
        rows = [
            (outcome, t, candidates.value(chosen, [(outcome, t)]) - self.criterion)
            for outcome in dict.fromkeys(slot.outcome for slot in self.slots) for t in grid.tolist()
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["outcome", "time", "gain"])

    @checked
    def windows(self, efficiency: Share = 0.95) -> pd.DataFrame:
        """Between which times each sample of the best design may be taken alone, so that so much of its efficiency is
        left, a DataFrame.

        Parameters
        ----------
        efficiency : float
            What is left of the best design's.

        Returns
        -------
        DataFrame
            ``arms, outcome, time, low, high``: a row for each free time.

        Raises
        ------
        ModelError
            An argument of another kind: it is named, with what it may be.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> design = nb.Design([nb.Arm(30, [1, 2, 3], doses={"time": 0, "amt": 100})])
        >>> found = nb.optimise_design(tree, design, free={"times": (0.5, 24)}, starts=1, step={"times": 0.5})
        >>> found.windows(0.9)[["low", "high"]].round(0)
            low  high
        0   0.0  24.0
        1   0.0  24.0
        2  12.0  24.0
        """
        chosen, rows = times_of(self.best, self.slots), []
        tried = [
            np.unique([*slot.candidates(), *slot.near(t, (slot.high - slot.low) / 8)])
            for slot, t in zip(self.slots, chosen, strict=True)
        ]
        candidates = Candidates(self.scenarios, self.best, self.slots, tried)
        for k, (slot, times) in enumerate(zip(self.slots, candidates.times, strict=True)):
            each = [candidates.value([*chosen[:k], t, *chosen[k + 1 :]]) for t in times]
            bad = np.flatnonzero([self._efficiency(value, self.criterion) < efficiency for value in each])
            place = int(np.argmin(np.abs(times - chosen[k])))
            low, high = (bad[bad < place].max(initial=-1) + 1, bad[bad > place].min(initial=len(times)) - 1)
            rows.append((", ".join(slot.arms), slot.outcome, chosen[k], times[low], times[high]))
        return pd.DataFrame(rows, columns=["arms", "outcome", "time", "low", "high"])

    def __str__(self):
        first = f"efficiency {self.efficiency:.4g} beside the start, of which the rounded design keeps "
        return f"{first}{self.rounded_efficiency:.4g}\n{self.best.table.to_string()}\n{self.rounded.table.to_string()}"
