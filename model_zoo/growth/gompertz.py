from dataclasses import dataclass

import pytensor.tensor as pt

from nlmebayes import Curve, Parameter, decay_ratio


@dataclass(frozen=True)
class Gompertz(Curve):
    r"""Growth whose relative rate declines exponentially, as of tumours.

    .. math:: V(t) = V_0 \exp\!\left(\frac{\alpha}{\beta}\left(1 - e^{-\beta t}\right)\right)

    ``v0`` size at t = 0 (unit of the outcome), ``alpha`` relative growth rate at t = 0 (1/day), ``beta`` its rate of
    decline (1/day); the size tends to ``v0 exp(alpha/beta)``, so a wide prior of alpha and beta is a very wide one of
    the size: their default spread on the log scale is 0.3.

    References
    ----------
    Vaghi et al. (2020), PLoS Comput. Biol. 16, e1007178, doi:10.1371/journal.pcbi.1007178, eq. 1.

    Examples
    --------
    >>> import numpy as np, nlmebayes as nb
    >>> from model_zoo import Gompertz
    >>> p = nb.Named(v0=1.0, alpha=0.5, beta=0.1)
    >>> Gompertz().curve(p, nb.Named(time=np.array([0.0, 10.0, 100.0]))).eval().round(1).tolist()
    [1.0, 23.6, 148.4]
    """

    inputs = ("time",)
    parameters = (
        Parameter("v0", "mm^3", typical=1.0, spread=0.5, varies=False),
        Parameter("alpha", "1/day", typical=0.8, spread=0.3, variation=0.3),
        Parameter("beta", "1/day", typical=0.08, spread=0.3, variation=0.3),
    )

    def curve(self, p, x):
        return p.v0 * pt.exp(p.alpha * x.time * decay_ratio(p.beta * x.time))
