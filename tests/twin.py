"""A `LinearSystem` written again as a `System`: what the closed form says, the integration must say too."""

from dataclasses import dataclass

from nlmebayes.structure.linear import LinearSystem
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
        return self.of.rhs(t, y, p)

    def outcomes(self, t, y, p):
        return self.of.outcomes(t, y, p)
