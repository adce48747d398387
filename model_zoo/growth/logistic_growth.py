from dataclasses import dataclass

import pytensor.tensor as pt

from nlmebayes import Curve, Parameter


@dataclass(frozen=True)
class LogisticGrowth(Curve):
    r"""Growth to an asymptote along a symmetric S.

    .. math:: y(t) = \frac{A}{1 + \exp(-(t - t_{mid}) / s)}

    ``asym`` asymptote (unit of the outcome), ``xmid`` time of half the asymptote, ``scal`` time from there to 73 %
    of it (units of time). With ``asym`` on the identity link it is normally distributed among individuals, as in nlme.

    Source: Pinheiro and Bates (2000), Mixed-Effects Models in S and S-PLUS, Appendix C.7 (SSlogis).
    """

    inputs = ("time",)
    parameters = (
        Parameter("asym", "outcome", typical=200.0, spread=100.0, link="identity", variation=50.0),
        Parameter("xmid", "day", typical=700.0, varies=False),
        Parameter("scal", "day", typical=350.0, varies=False),
    )

    def curve(self, p, x):
        return p.asym * pt.sigmoid((x.time - p.xmid) / p.scal)
