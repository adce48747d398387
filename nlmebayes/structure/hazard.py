"""`Hazard`: a law of event times whose cumulative hazard is known in closed form."""

from abc import abstractmethod
from typing import TYPE_CHECKING

import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from nlmebayes.structure.curve import Curve

if TYPE_CHECKING:
    from nlmebayes.structure.structure import Named


class Hazard(Curve):
    """Hazard and cumulative hazard as formulas, for outcomes with the residual `TimeToEvent`.

    A hazard without a closed integral is a `Curve` that gives the hazard at ``x.time``; its jumps are ``breaks``.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> class Constant(nb.Hazard):
    ...     parameters = (nb.Parameter("rate", "1/year", 0.1),)
    ...     def hazard(self, p, t):
    ...         return p.rate + 0 * t
    ...     def cumulative(self, p, t):
    ...         return p.rate * t
    >>> Constant().cumulative(nb.Named(rate=0.1), 5.0)
    0.5
    """

    inputs = ("time",)
    closed = True

    @abstractmethod
    def hazard(self, p: "Named", t: TensorVariable) -> TensorVariable:
        """Hazard at times.

        Parameters
        ----------
        p : Named
            Parameters.
        t : tensor
            Times, which are positive.

        Returns
        -------
        tensor

        Examples
        --------
        >>> import nlmebayes as nb
        >>> class Weibull(nb.Hazard):
        ...     parameters = (nb.Parameter("scale", "year", 5.0), nb.Parameter("shape", "", 1.0))
        ...     def hazard(self, p, t):
        ...         return p.shape / p.scale * (t / p.scale) ** (p.shape - 1)
        ...     def cumulative(self, p, t):
        ...         return (t / p.scale) ** p.shape
        >>> structure, p = Weibull(), nb.Named(scale=4.0, shape=2.0)
        >>> structure.hazard(p, 2.0)
        0.25
        """

    @abstractmethod
    def cumulative(self, p: "Named", t: TensorVariable) -> TensorVariable:
        """Integral of the hazard from 0 to a time.

        Parameters
        ----------
        p : Named
            Parameters.
        t : tensor
            Times, which may be 0; it is finite with finite gradients there.

        Returns
        -------
        tensor

        Examples
        --------
        >>> import nlmebayes as nb
        >>> class Weibull(nb.Hazard):
        ...     parameters = (nb.Parameter("scale", "year", 5.0), nb.Parameter("shape", "", 1.0))
        ...     def hazard(self, p, t):
        ...         return p.shape / p.scale * (t / p.scale) ** (p.shape - 1)
        ...     def cumulative(self, p, t):
        ...         return (t / p.scale) ** p.shape
        >>> structure, p = Weibull(), nb.Named(scale=4.0, shape=2.0)
        >>> structure.cumulative(p, 2.0)
        0.25
        """

    def curve(self, p, x):
        whole = pt.eq(x.cumulative, 1.0)
        later = pt.switch(whole, 1.0, x.time)  # where the hazard is not asked for it may be infinite
        return pt.switch(whole, self.cumulative(p, x.time), self.hazard(p, later))
