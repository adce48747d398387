"""Targets: an exposure of the individual prediction and the range it should be in.

Where no times are given, an exposure is that of the interval after one of the planned doses: ``dose=-1`` is the last
one, ``dose=0`` the first. Concentrations are the model's times ``free`` (the unbound fraction); exposures are divided
by ``mic`` where there is one.
"""

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from nlmebayes.arguments import Integer, Limit, NotNegative, Number, Positive, checked, number
from nlmebayes.dosing import exposure
from nlmebayes.errors import ModelError

if TYPE_CHECKING:
    from nlmebayes.dosing.regimen import Plan, Regimen

Fraction = Annotated[float, number("a fraction above 0, at most 1", 0.0, 1.0, "(]")]
ROUNDING = 1e-9  # relative: a share of the time this close to all of it is all of it


@dataclass(frozen=True)
class Target(ABC):
    """An exposure and the range, ``low`` to ``high``, that it should be in.

    Parameters
    ----------
    low, high : float
        Both limits count as in range; without ``high`` there is no upper one.
    weight : float
        How much it counts in the loss, where there are several.
    free : float
        Fraction of the drug that is unbound: exposures are of the free concentration.
    mic : float, optional
        Minimal inhibitory concentration, in the unit of the outcome.
    dose : int
        Position of the planned dose whose interval is meant where no times are given.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> print(nb.Trough(10, 15)); print(nb.DailyAUC(400, 600))
    trough in 10 to 15
    AUC per day in 400 to 600
    """

    low: Number
    high: Limit = np.inf
    _: KW_ONLY
    weight: NotNegative = 1.0
    free: Fraction = 1.0
    mic: Positive | None = None
    dose: Integer = -1

    ARGUMENT = "a target, such as Trough(10, 15)"

    threshold = False  # whether ``mic`` is a threshold instead of what the exposure is divided by
    most = np.inf  # that the exposure can be
    timed = False  # whether times are given, in place of a dose
    integral = False  # whether all that matters is the area

    def __post_init__(self):
        name = type(self).__name__
        if not self.low < self.high:
            raise ModelError(f"{name}: low {self.low:g} is not below high {self.high:g}; give the lower first")
        if self.threshold and self.mic is None:
            raise ModelError(f"{name}: give the threshold, mic=")
        if not self.low <= self.most:
            raise ModelError(f"{name}: low {self.low:g} % is above {self.most:g} %")
        self.check()

    @abstractmethod
    def check(self) -> None:
        """Refuse what is wrong with the times.

        Raises
        ------
        ModelError
            Names the time.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.AUC(400, start=24, end=48).check()
        """

    @abstractmethod
    def window(self, plan: "Regimen | Plan") -> tuple[float, float]:
        """(start, end) of the times that matter under a plan; the same time twice for a point.

        Parameters
        ----------
        plan : Regimen or Plan

        Returns
        -------
        (float, float)

        Raises
        ------
        ModelError
            The plan has no such dose, or no interval.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.AUC(400, start=24, end=48).window(nb.Regimen(500, every=12, doses=4))
        (24.0, 48.0)
        """

    @abstractmethod
    def measure(self, grid: exposure.Panels | exposure.Ends | None, f: np.ndarray) -> np.ndarray:
        """Exposure (draw,) of predictions (draw, time) at the times of the window: `exposure.Panels`, None for a
        point, or `exposure.Ends`, of which the predictions are areas.

        Parameters
        ----------
        grid : Panels, Ends or None
            Where the predictions stand.
        f : array (draw, time)
            Predictions.

        Returns
        -------
        array (draw,)

        Examples
        --------
        >>> import numpy as np, nlmebayes as nb
        >>> nb.Trough(10, 15, free=0.5).measure(None, np.array([[20.0], [30.0]]))
        array([10., 15.])
        """

    @property
    @abstractmethod
    def what(self) -> str:
        """The exposure in words."""

    def met(self, exposure: np.ndarray) -> np.ndarray:
        """Whether each exposure is in range; an infinite one, such as without a steady state, is above.

        Parameters
        ----------
        exposure : array (draw,)

        Returns
        -------
        array of bool (draw,)

        Examples
        --------
        >>> import numpy as np, nlmebayes as nb
        >>> nb.Trough(10, 15).met(np.array([8.0, 12.0, 20.0])).tolist()
        [False, True, False]
        """
        return (exposure >= self.low) & (exposure <= self.high) & np.isfinite(exposure)

    @property
    def scale(self) -> float:
        """What a concentration is multiplied with."""
        return self.free / (self.mic or 1.0)

    def __str__(self):
        free = "free " if self.free < 1 else ""
        over = "/MIC" if self.mic else ""
        limits = f"{self.low:g} to {self.high:g}" if np.isfinite(self.high) else f"at least {self.low:g}"
        often = "in " if np.isfinite(self.high) else ""
        return ", ".join([f"{free}{self.what.replace('(MIC)', over)} {often}{limits}", *self._apart()])

    def _apart(self):
        """What else sets a target apart from others, in words."""
        if self.mic and not self.threshold:
            yield f"mic {self.mic:g}"
        if self.free < 1:
            yield f"free {self.free:g}"
        if self.dose != -1 and not self.timed:
            yield f"after dose {self.dose + 1}" if self.dose >= 0 else f"after dose {-self.dose} from the last"


def interval(plan, dose, name):
    """(start, end) of the interval after a planned dose: up to the next, or as long as the last one's interval."""
    times = plan.times
    if not -len(times) <= dose < len(times):
        raise ModelError(f"{name}: the regimen {plan} has no dose number {dose}; it has {len(times)}")
    place = dose % len(times)
    if place + 1 < len(times):
        return times[place], times[place + 1]
    if not plan.every:
        raise ModelError(f"{name}: the interval of the regimen {plan} is not known; give it every=, or times here")
    return times[place], times[place] + plan.every


@checked
@dataclass(frozen=True)
class Trough(Target):
    """Concentration at ``time``, before a dose given at that time; by default at the end of the interval.

    Parameters
    ----------
    low, high, weight, free, mic, dose
        As of every `Target`.
    time : float, optional
        When it is measured.

    Raises
    ------
    ModelError
        A range without a width.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> print(nb.Trough(10, 15)); print(nb.Trough(10, 15, time=96))
    trough in 10 to 15
    concentration at 96 in 10 to 15
    """

    time: Number | None = None

    timed = property(lambda self: self.time is not None)

    def check(self):
        pass

    def window(self, plan):
        time = interval(plan, self.dose, "Trough")[1] if self.time is None else self.time
        return time, time

    def measure(self, grid, f):
        return f[:, 0] * self.scale

    @property
    def what(self):
        return "trough(MIC)" if self.time is None else f"concentration(MIC) at {self.time:g}"


@checked
@dataclass(frozen=True)
class Windowed(Target):
    """A target over the time from ``start`` to ``end``."""

    start: Number | None = None
    end: Number | None = None

    timed = property(lambda self: self.start is not None)

    def check(self):
        name = type(self).__name__
        if (self.start is None) != (self.end is None):
            raise ModelError(f"{name}: give both start and end, or neither")
        if self.start is not None and not self.start < self.end:
            raise ModelError(f"{name}: start {self.start:g} is not before end {self.end:g}")

    def window(self, plan):
        given = self.start is not None
        return (self.start, self.end) if given else interval(plan, self.dose, type(self).__name__)

    @property
    def when(self):
        return "" if self.start is None else f" from {self.start:g} to {self.end:g}"


@checked
@dataclass(frozen=True)
class AUC(Windowed):
    """Area under the concentration from ``start`` to ``end``; with ``mic`` AUC/MIC.

    Of a linear system it is one more state (`structure.area`), exact under any lags. Otherwise Gauss-Legendre
    quadrature, 16 nodes on each of 6 panels between doses (3 where these are many), each 4 times as long as the one
    before, cut where the curve asks for it; the relative error for exponentials is below 1e-13 from slow rates to 3000
    per interval. A lag of each draw's own then puts the kink or jump of a dose inside of a panel. With 2000 draws of
    lags of 0.1 to 2 h (CV 40 %) the errors had an SD of 2e-5 to 2e-3 and a mean below 2e-5 after a bolus, an SD below
    2e-4 after an infusion; that of a single draw with an unusual lag was up to 3e-2, and 6e-3.

    Parameters
    ----------
    low, high, weight, free, mic, dose
        As of every `Target`.
    start, end : float, optional
        By default the interval after the ``dose``.

    Raises
    ------
    ModelError
        A range without a width; one end of the times without the other, or an end before the start.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> print(nb.AUC(400, mic=1.0, start=24, end=48))
    AUC/MIC from 24 to 48 at least 400, mic 1
    """

    integral = True

    def measure(self, grid, f):
        return exposure.integral(grid, f) * self.scale

    @property
    def what(self):
        return f"AUC(MIC){self.when}"


@checked
@dataclass(frozen=True)
class DailyAUC(Windowed):
    """Area under the concentration per day: that from ``start`` to ``end``, times ``day`` / (end - start).

    With a regimen at steady state, or late in a long one, it is the AUC24 of guidelines whatever the interval.

    Parameters
    ----------
    low, high, start, end, weight, free, mic, dose
        As of `AUC`.
    day : float
        Length of a day in the unit of time.

    Raises
    ------
    ModelError
        As `AUC`.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> print(nb.DailyAUC(400, 600))
    AUC per day in 400 to 600
    """

    day: Positive = 24.0
    integral = True

    def measure(self, grid, f):
        return exposure.integral(grid, f) * self.scale * self.day / grid.widths.sum()

    @property
    def what(self):
        return f"AUC(MIC) per {'day' if self.day == 24 else f'{self.day:g}'}{self.when}"


@checked
@dataclass(frozen=True)
class AverageConcentration(Windowed):
    """Mean concentration from ``start`` to ``end``.

    Parameters
    ----------
    low, high, start, end, weight, free, mic, dose
        As of `AUC`.

    Raises
    ------
    ModelError
        As `AUC`.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> print(nb.AverageConcentration(15, 25))
    average concentration in 15 to 25
    """

    integral = True

    def measure(self, grid, f):
        return exposure.integral(grid, f) * self.scale / grid.widths.sum()

    @property
    def what(self):
        return f"average concentration(MIC){self.when}"


@checked
@dataclass(frozen=True)
class Peak(Windowed):
    """Largest concentration from ``start`` to ``end``: right after a bolus, at the end of an infusion, in between.

    Parameters
    ----------
    low, high, start, end, weight, free, mic, dose
        As of `AUC`.

    Raises
    ------
    ModelError
        As `AUC`.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> print(nb.Peak(20, 40))
    peak in 20 to 40
    """

    def measure(self, grid, f):
        return exposure.maximum(grid, f) * self.scale

    @property
    def what(self):
        return f"peak(MIC){self.when}"


@checked
@dataclass(frozen=True)
class TimeAbove(Windowed):
    """Percent of the time from ``start`` to ``end`` that the (free) concentration is above ``mic``, any threshold.

    Parameters
    ----------
    low, high, start, end, weight, free, dose
        As of `AUC`; ``low`` is at most 100.
    mic : float
        The threshold.

    Raises
    ------
    ModelError
        As `AUC`; no ``mic``.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> print(nb.TimeAbove(50, mic=4, free=0.7))
    free % of time above 4 at least 50, free 0.7
    """

    threshold = True
    most = 100.0

    def measure(self, grid, f):
        share = self.most * exposure.time_above(grid, f, self.mic / self.free) / grid.widths.sum()
        return np.where(share > self.most * (1 - ROUNDING), self.most, share)

    @property
    def what(self):
        return f"% of time above {self.mic:g}{self.when}"
