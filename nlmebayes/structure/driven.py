"""`Driven`: a system of differential equations that a drug drives, with any kinetics inside."""

from abc import abstractmethod
from dataclasses import dataclass

from nlmebayes.structure.compartments import Compartments
from nlmebayes.structure.system import System


@dataclass(frozen=True)
class Driven(System):
    r"""What a drug does, over the kinetics of the drug.

    .. math:: x' = \text{kinetics}, \qquad z' = g(t, z, C(x), p)

    The states are those of ``kinetics``, any `LinearSystem` or `System` with an outcome ``conc``, then the subclass'
    own (``responses``). The parameters of the kinetics keep their names and come first; doses go where they go in the
    kinetics; outcomes are those of the kinetics and of `effects`. ``conc`` has the unit of the kinetics' outcome; time
    has one unit throughout. Shapes, options and errors are those of `System`; kinetics with initial states are a
    ValueError.

    Source: Dayneka, Garg and Jusko (1993), J. Pharmacokinet. Biopharm. 21, 457-478, doi:10.1007/BF01061691.
    """

    kinetics: Compartments = None

    @property
    @abstractmethod
    def responses(self):
        """Names of the states beside those of the kinetics."""

    @property
    @abstractmethod
    def own_parameters(self):
        """Parameters beside those of the kinetics."""

    @abstractmethod
    def drive(self, t, y, p, conc):
        """Slopes of the `responses`, a dict, under the concentration ``conc``."""

    @abstractmethod
    def effects(self, t, y, p):
        """Predictions beside those of the kinetics, a dict by outcome; arguments as in `outcomes`."""

    @property
    def states(self):
        return (*self.kinetics.states, *self.responses)

    @property
    def parameters(self):
        return (*self.kinetics.parameters, *self.own_parameters)

    def __post_init__(self):
        super().__post_init__()
        if getattr(self.kinetics, "initial", None):
            raise ValueError(f"{type(self).__name__}: kinetics with initial states of their own cannot be driven yet")

    @property
    def dosed(self):
        return self.kinetics.dosed or self.kinetics.states[0]

    @property
    def routes(self):
        return self.kinetics.routes

    @property
    def order(self):
        return self.kinetics.order

    def rhs(self, t, y, p):
        return self.kinetics.rhs(t, y, p) | self.drive(t, y, p, self.kinetics.outcomes(t, y, p)["conc"])

    def outcomes(self, t, y, p):
        return self.kinetics.outcomes(t, y, p) | self.effects(t, y, p)
