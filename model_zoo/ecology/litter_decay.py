from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytensor.tensor as pt

from nlmebayes import Curve, Parameter


@dataclass(frozen=True)
class LitterDecay(Curve):
    r"""Fraction of leaf litter mass that remains, as of bags in plots in sites.

    .. math::
        y(t) = e^{-k t} \quad\text{or}\quad y(t) = a + (1 - a)\, e^{-k t} \quad\text{or}\quad
        y(t) = a\, e^{-k_{slow} t} + (1 - a)\, e^{-k t}

    ``k`` decay rate (1/year), ``a`` fraction that does not decay, or decays with ``k_slow`` (1/year), t in years,
    y(0) = 1. Climate is in the formulas: with ``k ~ 1 + I((celsius - 10) / 10)`` the slope is log Q10.

    Parameters
    ----------
    form : {"single", "asymptotic", "double"}
        One pool; one that decays and one that stays; one that decays fast and one that decays slowly, whose rates a
        soft barrier keeps in order (the curve is the same with both exchanged).

    References
    ----------
    Olson (1963), Ecology 44, 322-331, doi:10.2307/1932179; Wieder and Lang (1982), Ecology 63, 1636-1642,
    doi:10.2307/1940104, for the three forms beside each other.

    Examples
    --------
    >>> import numpy as np, nlmebayes as nb
    >>> from model_zoo import LitterDecay
    >>> p = nb.Named(k=0.5)
    >>> LitterDecay().curve(p, nb.Named(time=np.array([0.0, 1.0, 5.0]))).eval().round(2).tolist()
    [1.0, 0.61, 0.08]
    """

    form: Literal["single", "asymptotic", "double"] = "single"

    inputs = ("time",)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        rate = Parameter("k", "1/year", typical=0.3 if self.form != "double" else 1.0)
        left = Parameter("a", "fraction", typical=0.1 if self.form == "asymptotic" else 0.5, link="logit")
        slow = Parameter("k_slow", "1/year", typical=0.1, varies=False)
        return {"single": (rate,), "asymptotic": (rate, left), "double": (rate, left, slow)}[self.form]

    def curve(self, p, x):
        decayed = pt.exp(-p.k * x.time)
        if self.form == "single":
            return decayed
        return p.a * (pt.exp(-p.k_slow * x.time) if self.form == "double" else 1.0) + (1 - p.a) * decayed

    @property
    def order(self):
        def k_above_k_slow(p):
            """Log ratio of the two rates."""
            return pt.log(p.k / p.k_slow)

        return (k_above_k_slow,) if self.form == "double" else ()

    def residence(self, p: Mapping) -> Any:
        """Mean time that a gram stays (years), infinite where some of it does not decay.

        Parameters
        ----------
        p : dict, or the posterior of a tree
            The parameters by name: numbers, arrays, or variables for every draw and unit.

        Returns
        -------
        As the parameters

        Examples
        --------
        >>> from model_zoo import LitterDecay
        >>> LitterDecay().residence({"k": 0.5})
        2.0
        """
        if self.form == "single":
            return 1 / p["k"]
        slow = 1 / p["k_slow"] if self.form == "double" else float("inf")
        return p["a"] * slow + (1 - p["a"]) / p["k"]
