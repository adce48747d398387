"""`Driven`: a system of differential equations that a drug drives, with any kinetics inside."""

from abc import abstractmethod
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytensor.tensor import TensorVariable

from nlmebayes.parameter.units import SECONDS, time_of
from nlmebayes.structure.linear import LinearSystem
from nlmebayes.structure.structure import unambiguous
from nlmebayes.structure.system import System
from nlmebayes.structure.traits import passed_on

if TYPE_CHECKING:
    from nlmebayes.parameter.parameter import Parameter
    from nlmebayes.structure.structure import Named


@passed_on("kinetics")
@dataclass(frozen=True)
class Driven(System):
    r"""What a drug does, over the kinetics of the drug.

    .. math:: x' = \text{kinetics}, \qquad z' = g(t, z, C(x), p)

    The states are those of ``kinetics``, any `LinearSystem` or `System` with an outcome ``conc``, then the subclass'
    own (``responses``). The parameters of the kinetics keep their names and come first; doses go where they go in the
    kinetics; outcomes are those of the kinetics and of `effects`. ``conc`` has the unit of the kinetics' outcome; time
    has one unit throughout, that of the subclass' own parameters, to which what the kinetics declare is brought.
    Shapes, options and errors are those of `System`; whatever else the kinetics say of themselves (order, scales, break
    points, ...) holds; kinetics with initial states are a ValueError.

    Parameters
    ----------
    kinetics : LinearSystem or System
        With an outcome ``conc``; a subclass gives a default.
    rtol, atol, solver, max_steps, min_steps
        As of `System`.

    Raises
    ------
    ValueError
        Kinetics with initial states, or without an outcome ``conc``; names of states or parameters that are there
        twice.

    References
    ----------
    Dayneka, Garg and Jusko (1993), J. Pharmacokinet. Biopharm. 21, 457-478, doi:10.1007/BF01061691.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import IndirectResponse
    >>> IndirectResponse().states
    ('central', 'response')
    """

    kinetics: LinearSystem | System = None

    # Of the responses, as those of a `System`.
    own_order, own_formulas, own_breaks, own_nonnegative = (), (), (), ()
    own_scales = MappingProxyType({})

    @property
    @abstractmethod
    def responses(self) -> tuple[str, ...]:
        """Names of the states beside those of the kinetics."""

    @property
    @abstractmethod
    def own_parameters(self) -> "tuple[Parameter, ...]":
        """Parameters beside those of the kinetics."""

    @abstractmethod
    def drive(self, t: TensorVariable, y: "Named", p: "Named", conc: TensorVariable) -> dict[str, TensorVariable]:
        """Slopes of the `responses` under a concentration.

        Parameters
        ----------
        t : tensor
            Time.
        y : Named
            States.
        p : Named
            Parameters.
        conc : tensor
            Concentration.

        Returns
        -------
        dict of str -> tensor

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import IndirectResponse
        >>> IndirectResponse().drive(0.0, nb.Named(response=10.0), nb.Named(e0=10.0, kout=0.5, imax=1.0, ic50=2.0), 2.0)
        {'response': -2.5}
        """

    @abstractmethod
    def effects(self, t: TensorVariable, y: "Named", p: "Named") -> dict[str, TensorVariable]:
        """Predictions beside those of the kinetics.

        Parameters
        ----------
        t, y, p
            As in `outcomes`.

        Returns
        -------
        dict of str -> tensor

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import IndirectResponse
        >>> IndirectResponse().effects(0.0, nb.Named(response=8.0), nb.Named())
        {'effect': 8.0}
        """

    @property
    def states(self):
        return (*self.kinetics.states, *self.responses)

    @property
    def parameters(self) -> "tuple[Parameter, ...]":
        """Those of the kinetics, in the unit of time of the subclass, then ``own_parameters``."""
        unit = time_of(self.own_parameters)
        units = {"time": unit} if unit in SECONDS and time_of(self.kinetics.parameters) in SECONDS else {}
        return (*(p.in_units(**units) for p in self.kinetics.parameters), *self.own_parameters)

    def __post_init__(self):
        super().__post_init__()
        name, kinetics = type(self).__name__, self.kinetics
        if not isinstance(kinetics, LinearSystem | System):  # of a subclass that annotates them otherwise
            raise ValueError(
                f"{name}: kinetics are a LinearSystem or a System, whose states it follows; got {kinetics!r}"
            )
        if getattr(kinetics, "initial", None):
            raise ValueError(f"{name}: kinetics with initial states of their own cannot be driven yet")
        if "conc" not in (known := kinetics.predicted):
            raise ValueError(f"{name}: {kinetics.label} has no outcome 'conc' that could drive it; it has {known}")
        unambiguous(self)
        for option in fields(System):
            own, theirs = getattr(self, option.name), getattr(kinetics, option.name, option.default)
            if theirs not in (own, option.default):
                raise ValueError(f"{name}: both are solved at once; give it {option.name}={theirs!r}, not its kinetics")
        if kinetics.period not in (None, self.period):
            raise ValueError(
                f"{name}: has the period {self.period}, and its kinetics {kinetics.period}; say one for both"
            )

    fallible, superposed, backends = System.fallible, System.superposed, System.backends
    needs_doses, tolerances = System.needs_doses, System.tolerances

    @property
    def origin(self):
        """That of kinetics which have one; linear ones are empty whenever they start."""
        return System.origin if self.kinetics.superposed else self.kinetics.origin

    @property
    def order(self):
        return (*self.kinetics.order, *self.own_order)

    @property
    def formulas(self):
        return (*self.kinetics.formulas, *self.own_formulas)

    @property
    def scales(self):
        return {**self.kinetics.scales, **self.own_scales}

    @property
    def nonnegative(self):
        theirs = ((self.kinetics.nonnegative, self.kinetics.states), (self.own_nonnegative, self.responses))
        return tuple(name for stated, every in theirs for name in (every if stated is True else stated))

    @property
    def breaks(self):
        theirs, own = self.kinetics.breaks, self.own_breaks
        if callable(theirs) or callable(own):
            return lambda p: tuple(at for each in (theirs, own) for at in (each(p) if callable(each) else each))
        return (*theirs, *own)

    def rhs(self, t, y, p):
        return self.kinetics.rhs(t, y, p) | self.drive(t, y, p, self.kinetics.outcomes(t, y, p)["conc"])

    def outcomes(self, t, y, p):
        theirs, own = self.kinetics.outcomes(t, y, p), self.effects(t, y, p)
        if theirs.keys() & own.keys():
            raise ValueError(f"{self.label}: its kinetics have the outcome {', '.join(theirs.keys() & own.keys())} too")
        return theirs | own
