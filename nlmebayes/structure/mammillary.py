"""`Mammillary`: a central compartment, peripherals that exchange with it, any input, any fate."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import pytensor.tensor as pt

from nlmebayes.arguments import checked
from nlmebayes.structure.absorption import Absorption, Elimination, Kind, Transits
from nlmebayes.structure.linear import LinearSystem
from nlmebayes.structure.mirror import mirrors
from nlmebayes.structure.stable import Expression

if TYPE_CHECKING:
    from nlmebayes.parameter.parameter import Parameter
    from nlmebayes.structure.structure import Named


@checked
@dataclass(frozen=True, eq=False)
class Disposition:
    """Where a drug goes once it is in the central compartment.

    Parameters
    ----------
    volume : expression
        Of the central compartment.
    k10 : expression
        Its elimination rate (1/time).
    exchange : tuple of (expression, expression)
        (k1j, kj1) of each peripheral (1/time).
    slow : expression, optional
        The slowest rate that matters for flip-flop kinetics: k10 times the central share of the volume at steady state.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Disposition(volume=30.0, k10=0.1, exchange=((0.2, 0.1),)).exchange
    ((array(0.2), array(0.1)),)
    """

    volume: Expression
    k10: Expression
    exchange: tuple[tuple[Expression, ...], ...] = ()
    slow: Expression | None = None


@dataclass(frozen=True)
class Mammillary(LinearSystem):
    """Compartment models of drugs: a subclass says what the disposition is and in which parameters.

    States, in the order of CMT: those of the input (see `Absorption`), ``central``, the peripherals, ``metabolite``,
    ``urine`` (see `Elimination`). Outcomes: ``conc`` (central amount by volume), ``metabolite``, ``urine``. Units
    are those of the parameters: with L and L/h, amounts in mg give mg/L; others that fit together do as well.

    Attributes
    ----------
    absorption : {"bolus", "first-order", "zero-order", "constant-rate", "sequential", "mixed", "parallel", "transit"}
    flip_flop : bool
    parametrisation : {"clearance", "rates", "half-lives"}
    lag, bioavailability, metabolite, urine : bool
    transits : int
        As of `Absorption` and `Elimination`; a soft barrier keeps ``ka`` above the slowest rate, unless ``flip_flop``.

    References
    ----------
    Gibaldi and Perrier (1982), Pharmacokinetics, 2nd ed., ch. 2 and appendix B.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import TwoCompartment
    >>> TwoCompartment("first-order", urine=True).states
    ('depot', 'central', 'peripheral', 'urine')
    """

    absorption: Kind = "bolus"
    flip_flop: bool = False
    parametrisation: Literal["clearance", "rates", "half-lives"] = "clearance"
    lag: bool = False
    bioavailability: bool = False
    metabolite: bool = False
    urine: bool = False
    transits: Transits = 3

    peripherals = ()
    canonical = False  # whether parameters are those that `mirrors` reads, in their order

    @abstractmethod
    def disposition_parameters(self) -> "dict[str, tuple[Parameter, ...]]":
        """Parameters of the disposition in each parametrisation, a dict.

        Returns
        -------
        dict of str -> tuple of Parameter

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> [p.name for p in OneCompartment().disposition_parameters()["half-lives"]]
        ['thalf', 'v']
        """

    @abstractmethod
    def disposition(self, p: "Named") -> Disposition:
        """The `Disposition` of individual parameters.

        Parameters
        ----------
        p : Named
            (unit,) or (draw, unit) each.

        Returns
        -------
        Disposition

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> OneCompartment().disposition(nb.Named(cl=3.0, v=30.0)).k10
        array(0.1)
        """

    @cached_property
    def input(self) -> Absorption:
        """How doses into the default state reach the central compartment."""
        return Absorption(self.absorption, self.lag, self.bioavailability, self.transits)

    @cached_property
    def output(self) -> Elimination:
        """What becomes of the drug that leaves it."""
        return Elimination(self.metabolite, self.urine)

    @cached_property
    def states(self):
        return (*self.input.states, "central", *self.peripherals, *self.output.states)

    @cached_property
    def parameters(self) -> "tuple[Parameter, ...]":
        """Those of the disposition, of the input and of what becomes of the drug."""
        own = self.disposition_parameters()[self.parametrisation]
        return (*own, *self.input.parameters, *self.output.parameters)

    def flows(self, p):
        d = self.disposition(p)
        exchange = {}
        for name, (out, back) in zip(self.peripherals, d.exchange, strict=True):
            exchange |= {("central", name): out, (name, "central"): back}
        return self.input.flows(p) | exchange | self.output.flows(p, d.k10)

    def routes(self, p):
        return self.input.routes(p)

    def outcomes(self, t, y, p):
        return {"conc": y.central / self.disposition(p).volume} | self.output.outcomes(y, p)

    @property
    def order(self):
        def ka_above_k(p):
            """Log ratio of the absorption rate to the slowest rate of disposition."""
            d = self.disposition(p)
            return pt.log(p.ka / (d.k10 if d.slow is None else d.slow))

        def ka_above_ka2(p):
            """Log ratio of the two absorption rates."""
            return pt.log(p.ka / p.ka2)

        oral = (ka_above_k,) if self.input.first_order and not self.flip_flop else ()
        both = (ka_above_ka2,) if self.absorption == "parallel" else ()
        return oral + both + self.disposition_order()

    @property
    def mirror(self):
        """Absorption and a rate of disposition exchanged (`mirrors`), where no other outcome tells them apart."""
        oral = self.input.first_order and self.absorption != "mixed" and (self.flip_flop or self.peripherals)
        exchangeable = self.canonical and oral and not (self.metabolite or self.urine)
        return partial(mirrors, self) if exchangeable else None

    @abstractmethod
    def disposition_order(self) -> tuple[Callable, ...]:
        """Order constraints among the parameters of the disposition; see `longer_half_lives`.

        Returns
        -------
        tuple of functions of the parameters
            Each is to be positive.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> OneCompartment().disposition_order()
        ()
        """

    def longer_half_lives(self) -> tuple[Callable, ...]:
        """Constraints that each half-life is longer than the one before it.

        Returns
        -------
        tuple of functions of the parameters

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import ThreeCompartment
        >>> [constraint.__name__ for constraint in ThreeCompartment().longer_half_lives()]
        ['thalf_beta_above_thalf_alpha', 'thalf_gamma_above_thalf_beta']
        """
        names = [p.name for p in self.disposition_parameters()["half-lives"] if p.name.startswith("thalf")]
        return tuple(_longer(a, b) for a, b in pairwise(names))


def _longer(short, long):
    def half_life(p):
        return pt.log(getattr(p, long) / getattr(p, short))

    half_life.__name__ = f"{long}_above_{short}"
    return half_life
