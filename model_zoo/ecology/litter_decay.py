from dataclasses import dataclass

import pytensor.tensor as pt

from nlmebayes import Curve, Parameter


@dataclass(frozen=True)
class LitterDecay(Curve):
    r"""Fraction of leaf litter mass that remains, as of bags in plots in sites.

    .. math:: y(t) = e^{-k t} \quad\text{or}\quad y(t) = A + (1 - A)\, e^{-k t}

    ``k`` decay rate (1/year), ``a`` fraction that does not decay (with ``asymptote=True``), t in years, y(0) = 1.

    Source: Olson (1963), Ecology 44, 322-331, doi:10.2307/1932179; asymptotic form Wieder and Lang (1982),
    Ecology 63, 1636-1642, doi:10.2307/1940104.
    """

    asymptote: bool = False

    inputs = ("time",)

    @property
    def parameters(self):
        rate = Parameter("k", "1/year", typical=0.3)
        return (rate, Parameter("a", "fraction", typical=0.1, link="logit")) if self.asymptote else (rate,)

    def curve(self, p, x):
        decayed = pt.exp(-p.k * x.time)
        return p.a + (1 - p.a) * decayed if self.asymptote else decayed
