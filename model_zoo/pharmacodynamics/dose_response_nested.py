from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt

from nlmebayes import Curve, Parameter


@dataclass(frozen=True)
class DoseResponseNested(Curve):
    r"""Viability over the dose of a drug, as of organoids on plates, of lines, of patients.

    .. math::
        y = bottom + \frac{top - bottom}{1 + (d / ec50)^{hill}}, \qquad
        AUC = \frac{1}{\log(d_2 / d_1)} \int_{d_1}^{d_2} y \, \frac{dd}{d}

    ``top`` viability without drug and ``bottom`` that of the resistant part (fraction of the untreated), ``ec50`` dose
    halfway between them (unit of the dose), ``hill`` slope. The input ``dose`` is >= 0. Each parameter may vary at each
    level; by default all but ``hill`` do.

    References
    ----------
    Hill (1910), J. Physiol. 40, iv-vii; Fallahi-Sichani et al. (2013), Nat. Chem. Biol. 9, 708-714,
    doi:10.1038/nchembio.1337, for what top, bottom, EC50, slope and AUC tell.

    Examples
    --------
    >>> import numpy as np, nlmebayes as nb
    >>> from model_zoo import DoseResponseNested
    >>> p = nb.Named(top=1.0, bottom=0.2, ec50=1.0, hill=1.5)
    >>> DoseResponseNested().curve(p, nb.Named(dose=np.array([0.0, 1.0, 100.0]))).eval().round(2).tolist()
    [1.0, 0.6, 0.2]
    """

    inputs = ("dose",)
    parameters = (
        Parameter("top", "fraction", typical=1.0, spread=0.3, link="identity", variation=0.2),
        Parameter("bottom", "fraction", typical=0.2, spread=0.3, link="identity", variation=0.2),
        Parameter("ec50", "umol/L", typical=1.0, spread=2.5, variation=1.0),
        Parameter("hill", "dimensionless", typical=1.0, spread=0.7, varies=False),
    )

    def curve(self, p, x):
        # log(0) would spoil the gradient; without drug all are alive.
        present = x.dose > 0
        log_ratio = pt.log(pt.switch(present, x.dose, 1.0)) - pt.log(p.ec50)
        return p.bottom + (p.top - p.bottom) * pt.switch(present, pt.sigmoid(-p.hill * log_ratio), 1.0)

    def auc(self, p: Mapping, low: float, high: float) -> Any:
        """Mean viability over the logarithm of doses from ``low`` to ``high``.

        Parameters
        ----------
        p : dict, or the posterior of a tree
            The parameters by name: numbers, arrays, or variables for every draw and unit.
        low, high : float
            Doses.

        Returns
        -------
        As the parameters

        Examples
        --------
        >>> from model_zoo import DoseResponseNested
        >>> p = {"top": 1.0, "bottom": 0.2, "ec50": 1.0, "hill": 1.5}
        >>> round(float(DoseResponseNested().auc(p, 0.01, 100.0)), 2)
        0.6
        """
        top, bottom, ec50, hill = (p[name] for name in ("top", "bottom", "ec50", "hill"))
        # log(1 + (d / ec50)^hill) at both ends, which may be far beyond the range of exp
        ends = [np.logaddexp(0.0, hill * np.log(dose / ec50)) for dose in (low, high)]
        return bottom + (top - bottom) * (1 - (ends[1] - ends[0]) / (hill * np.log(high / low)))
