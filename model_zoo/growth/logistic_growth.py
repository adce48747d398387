from dataclasses import dataclass

import pytensor.tensor as pt

from nlmebayes import Curve, Parameter


@dataclass(frozen=True)
class LogisticGrowth(Curve):
    r"""Growth to an asymptote along a symmetric S.

    .. math:: y(t) = \frac{A}{1 + \exp(-(t - t_{mid}) / s)}

    ``asym`` asymptote (unit of the outcome), ``xmid`` time of half the asymptote, ``scal`` time from there to 73 %
    of it (units of time). With ``asym`` on the identity link it is normally distributed among individuals, as in nlme.

    References
    ----------
    Pinheiro and Bates (2000), Mixed-Effects Models in S and S-PLUS, Appendix C.7 (SSlogis).

    Examples
    --------
    >>> import numpy as np, nlmebayes as nb
    >>> from model_zoo import LogisticGrowth
    >>> p = nb.Named(asym=200.0, xmid=700.0, scal=350.0)
    >>> LogisticGrowth().curve(p, nb.Named(time=np.array([0.0, 700.0, 1400.0]))).eval().round(1).tolist()
    [23.8, 100.0, 176.2]
    """

    inputs = ("time",)
    parameters = (
        Parameter("asym", "outcome", typical=200.0, spread=100.0, link="identity", variation=50.0),
        Parameter("xmid", "day", typical=700.0, varies=False),
        Parameter("scal", "day", typical=350.0, varies=False),
    )

    def curve(self, p, x):
        return p.asym * pt.sigmoid((x.time - p.xmid) / p.scal)
