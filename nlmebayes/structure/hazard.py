"""`Hazard`: a law of event times whose cumulative hazard is known in closed form."""

from abc import abstractmethod

import pytensor.tensor as pt

from nlmebayes.structure.curve import Curve


class Hazard(Curve):
    """Hazard and cumulative hazard as formulas, for outcomes with the residual `TimeToEvent`.

    A hazard without a closed integral is a `Curve` that gives the hazard at ``x.time``; its jumps are ``breaks``.
    """

    inputs = ("time",)
    closed = True

    @abstractmethod
    def hazard(self, p, t):
        """Hazard at the times t, which are positive."""

    @abstractmethod
    def cumulative(self, p, t):
        """Integral of the hazard from 0 to t, which may be 0; finite with finite gradients there."""

    def curve(self, p, x):
        whole = pt.eq(x.cumulative, 1.0)
        later = pt.switch(whole, 1.0, x.time)  # where the hazard is not asked for it may be infinite
        return pt.switch(whole, self.cumulative(p, x.time), self.hazard(p, later))
