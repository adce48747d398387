"""A `LinearSystem` written again as a `System`: what the closed form says, the integration must say too."""

from dataclasses import dataclass

from nlmebayes.structure.linear import Drive, LinearSystem
from nlmebayes.structure.system import System


@dataclass(frozen=True)
class Twin(System):
    """The system ``of``, as differential equations."""

    of: LinearSystem = None
    rtol: float = 1e-11
    atol: float = 1e-12

    @property
    def states(self):
        return self.of.states

    @property
    def parameters(self):
        return self.of.parameters

    @property
    def routes(self):
        return self.of.routes

    def rhs(self, t, y, p):
        slopes = dict.fromkeys(self.states, 0.0)
        for (source, target), rate in self.of.flows(p).items():
            drive = isinstance(rate, Drive)
            flow = (rate.rate if drive else rate) * getattr(y, source)
            if not drive:
                slopes[source] = slopes[source] - flow
            if target is not None:
                slopes[target] = slopes[target] + flow
        return slopes

    def outcomes(self, t, y, p):
        return self.of.outcomes(t, y, p)
