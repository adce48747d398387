from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytensor.tensor as pt

from nlmebayes import Curve, Parameter

Association = Literal["value", "slope", "shared"]


@dataclass(frozen=True)
class JointModel(Curve):
    r"""A marker that moves along a line, and a hazard that depends on it.

    .. math:: m(t) = b_0 + b_1 t, \qquad
              h(t) = \lambda\,r(t)\,e^{\alpha (m(t) - c)}, \quad \lambda\,r(t)\,e^{\alpha b_1}, \quad
              \lambda\,r(t)\,e^{\alpha (b_0 - c) + \alpha_1 b_1}

    ``level`` b0 and ``slope`` b1 (unit of the marker, per time), ``rate`` lambda (1/time), the hazard at the marker c,
    ``association`` alpha and, of shared effects, ``association_slope`` alpha1; the ratio r is 1 up to the first of the
    ``breaks``, then ``ratio2``, ``ratio3``, ... The outcomes are ``marker``, with any residual, and ``event`` with
    `TimeToEvent`: dropout by the event is then no bias of the marker's slope. Effects of treatment stand in the
    formulas of ``slope`` and ``rate``.

    Parameters
    ----------
    association : {"value", "slope", "shared"}
        What of the marker the hazard depends on: its current value, its slope, or the effects of the individual.
    breaks : {()}
        Times at which the baseline hazard jumps, positive and increasing.
    reference : {0.0}
        The marker c at which ``rate`` is the hazard; near the mean it is estimated best.

    References
    ----------
    Rizopoulos (2012), Joint Models for Longitudinal and Time-to-Event Data, chapters 4 and 5.

    Examples
    --------
    Marker and hazard of one patient at years 0 and 2:

    >>> import numpy as np, nlmebayes as nb
    >>> from model_zoo import JointModel
    >>> p = nb.Named(level=1.0, slope=0.5, rate=0.1, association=np.log(2.0))
    >>> found = JointModel().curve(p, nb.Named(time=np.array([0.0, 2.0])))
    >>> found["marker"].tolist(), found["event"].eval().round(1).tolist()
    ([1.0, 2.0], [0.2, 0.4])
    """

    association: Association = "value"
    breaks: tuple[float, ...] = ()
    reference: float = 0.0

    inputs = ("time",)
    outcomes = ("marker", "event")

    def __post_init__(self):
        super().__post_init__()
        if self.breaks and (min(self.breaks) <= 0 or (np.diff(self.breaks) <= 0).any()):
            raise ValueError(f"JointModel: breaks must be positive and increase; got {self.breaks}")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        def fixed(name, unit):
            return Parameter(name, unit, typical=0.0, spread=1.0, link="identity", varies=False)

        shared = (fixed("association_slope", "time/marker"),) if self.association == "shared" else ()
        return (
            Parameter("level", "marker", typical=None, link="identity"),
            Parameter("slope", "marker/time", typical=0.0, spread=1.0, link="identity"),
            Parameter("rate", "1/time", typical=0.1, spread=2.0, varies=False),
            fixed("association", "1/marker"),
            *shared,
            *(Parameter(f"ratio{j}", "1", varies=False) for j in range(2, len(self.breaks) + 2)),
        )

    def curve(self, p, x):
        marker = p.level + p.slope * x.time
        relative = {
            "value": lambda: p.association * (marker - self.reference),
            "slope": lambda: p.association * p.slope,
            "shared": lambda: p.association * (p.level - self.reference) + p.association_slope * p.slope,
        }[self.association]()
        baseline = p.rate + 0.0 * x.time
        for j, start in enumerate(self.breaks, start=2):
            baseline = pt.switch(pt.gt(x.time, start), p.rate * vars(p)[f"ratio{j}"], baseline)
        return {"marker": marker, "event": baseline * pt.exp(relative)}
