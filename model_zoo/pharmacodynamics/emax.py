from dataclasses import dataclass

import pytensor.tensor as pt

from nlmebayes import Curve, Parameter


@dataclass(frozen=True)
class Emax(Curve):
    r"""Concentration-effect relation that saturates, hyperbolic or sigmoid.

    .. math:: E = E_0 + E_{max} \frac{C^{\gamma}}{EC_{50}^{\gamma} + C^{\gamma}}

    ``e0`` baseline and ``emax`` maximal change (unit of the effect), ``ec50`` concentration of half the change
    (unit of the input), ``gamma`` Hill exponent (1 unless ``sigmoid=True``). The input ``concentration`` (>= 0) may be
    a concentration or a dose.

    Parameters
    ----------
    sigmoid : bool
        Whether there is a Hill exponent ``gamma``.

    References
    ----------
    Holford and Sheiner (1981), Clin. Pharmacokinet. 6, 429-453, doi:10.2165/00003088-198106060-00002.

    Examples
    --------
    >>> import numpy as np, nlmebayes as nb
    >>> from model_zoo import Emax
    >>> p = nb.Named(e0=0.0, emax=50.0, ec50=5.0)
    >>> Emax().curve(p, nb.Named(concentration=np.array([0.0, 5.0, 45.0]))).tolist()
    [0.0, 25.0, 45.0]
    """

    sigmoid: bool = False

    inputs = ("concentration",)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        hyperbola = (
            Parameter("e0", "effect", typical=0.0, spread=10.0, link="identity"),
            Parameter("emax", "effect", typical=50.0),
            Parameter("ec50", "mg/L", typical=5.0),
        )
        hill = Parameter("gamma", "", typical=1.0, spread=0.5, varies=False)
        return (*hyperbola, hill) if self.sigmoid else hyperbola

    @property
    def larger(self):
        return None if self.sigmoid else "Emax(sigmoid=True)"

    def curve(self, p, x):
        if not self.sigmoid:
            return p.e0 + p.emax * x.concentration / (p.ec50 + x.concentration)
        # log(0) would spoil the gradient; the effect of no drug is the baseline.
        present = x.concentration > 0
        log_ratio = pt.log(pt.switch(present, x.concentration, 1.0)) - pt.log(p.ec50)
        return p.e0 + p.emax * pt.switch(present, pt.sigmoid(p.gamma * log_ratio), 0.0)
