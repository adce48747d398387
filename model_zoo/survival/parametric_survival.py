from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytensor.tensor as pt

from nlmebayes import Hazard, Parameter, decay_ratio

Baseline = Literal["exponential", "weibull", "gompertz"]


@dataclass(frozen=True)
class ParametricSurvival(Hazard):
    r"""Time to an event under a parametric hazard, with proportional hazards and frailties in the formula of ``rate``.

    .. math:: h(t) = \lambda\,r(t)\,b(t), \qquad b(t) = 1, \quad k\,t^{k-1}, \quad e^{\gamma t}

    ``rate`` lambda (1/time; with the Weibull law 1/time^k), ``shape`` k, ``slope`` gamma (1/time). The ratio r is 1 up
    to the first of the ``breaks``, then ``ratio2``, ``ratio3``, ...: with the exponential law, piecewise-constant
    hazards. A coefficient of ``rate`` is the logarithm of a hazard ratio: ``"rate ~ 1 + arm + (1|site)"``. The residual
    is `TimeToEvent`.

    Parameters
    ----------
    baseline : {"exponential", "weibull", "gompertz"}
    breaks : {()}
        Times at which the hazard jumps, positive and increasing, e.g. (1.0, 2.0).

    References
    ----------
    Kalbfleisch and Prentice (2002), The Statistical Analysis of Failure Time Data, 2nd ed., chapter 2.

    Examples
    --------
    The probability of no event within 2 years, of a Weibull law:

    >>> import numpy as np, nlmebayes as nb
    >>> from model_zoo import ParametricSurvival
    >>> structure = ParametricSurvival()
    >>> p = nb.Named(**{each.name: each.typical for each in structure.parameters})
    >>> [f"{each.name} = {each.typical:g} {each.unit}".strip() for each in structure.parameters]
    ['rate = 0.1 1/time', 'shape = 1 1']
    >>> float(np.exp(-structure.cumulative(p, 2.0).eval()).round(2))
    0.82
    """

    baseline: Baseline = "weibull"
    breaks: tuple[float, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        if self.breaks and (min(self.breaks) <= 0 or (np.diff(self.breaks) <= 0).any()):
            raise ValueError(f"ParametricSurvival: breaks must be positive and increase; got {self.breaks}")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        own = {
            "weibull": (Parameter("shape", "1", typical=1.0, spread=0.5, varies=False),),
            "gompertz": (
                Parameter("slope", "1/time", typical=0.0, spread=0.5, link="identity", variation=0.1, varies=False),
            ),
        }
        ratios = (Parameter(f"ratio{j}", "1", varies=False) for j in range(2, len(self.breaks) + 2))
        rate = Parameter("rate", "1/time", typical=0.1, spread=2.0)
        return (rate, *own.get(self.baseline, ()), *ratios)

    def hazard(self, p, t):
        base = 1.0
        if self.baseline == "weibull":
            base = p.shape * t ** (p.shape - 1)
        if self.baseline == "gompertz":
            base = pt.exp(p.slope * t)
        return p.rate * base * (1 + sum((pt.gt(t, c) * step for c, step in self._steps(p)), 0.0 * t))

    def cumulative(self, p, t):
        whole = self._base(p, t)
        for c, step in self._steps(p):
            whole = whole + step * (self._base(p, pt.maximum(t, c)) - self._base(p, c + 0.0 * t))
        return p.rate * whole

    def _base(self, p, t):
        """Integral of b from 0 to t."""
        if self.baseline == "weibull":
            started = pt.gt(t, 0)
            return pt.switch(started, pt.switch(started, t, 1.0) ** p.shape, 0.0)
        return t * decay_ratio(-p.slope * t) if self.baseline == "gompertz" else t

    def _steps(self, p):
        """(time, change of the ratio) at each break."""
        before = 1.0
        for j, c in enumerate(self.breaks, start=2):
            ratio = vars(p)[f"ratio{j}"]
            yield c, ratio - before
            before = ratio
