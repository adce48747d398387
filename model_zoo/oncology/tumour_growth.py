from dataclasses import dataclass
from typing import Literal

import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from nlmebayes import Named, Parameter, System, seamless

PSI = 20  # Simeoni et al. (2004): large enough for a sharp passage from exponential to linear growth


@dataclass(frozen=True)
class TumourGrowth(System):
    r"""Growth of a tumour without treatment.

    .. math::
        y' = g(y)\, y, \quad y(0) = y_0, \qquad
        g = r, \quad r \left(1 - \frac{y}{K}\right), \quad r \log\frac{K}{y}, \quad
        \frac{\lambda_0}{\left(1 + (\lambda_0 y / \lambda_1)^{20}\right)^{1/20}}

    ``y0`` size at time 0 (mm^3, or another unit of size in place of it throughout). Exponential: ``r`` relative growth
    rate (1/day). Logistic: ``r`` (1/day) that of a small tumour, ``k`` carrying capacity (mm^3). Gompertz: ``k`` as
    before and ``r`` (1/day) the rate at which log y approaches log ``k``; in the terms of `Gompertz` beta = r,
    alpha = r log(k / y0). Simeoni: exponential growth at the rate ``lambda0`` (1/day), then linear growth by
    ``lambda1`` (mm^3/day), from the size lambda1/lambda0 on. Outcome: the size.

    Parameters
    ----------
    law : {"exponential", "logistic", "gompertz", "simeoni"}

    References
    ----------
    Benzekry et al. (2014), PLoS Comput. Biol. 10, e1003800, doi:10.1371/journal.pcbi.1003800; Simeoni et al.
    (2004), Cancer Res. 64, 1094-1101, doi:10.1158/0008-5472.CAN-03-2524.

    Examples
    --------
    What is expected of a typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import TumourGrowth
    >>> structure = TumourGrowth()
    >>> theta = {p.name: p.typical for p in structure.parameters}
    >>> tree = nb.population(structure, theta=theta, omega={"sd": {"r": 0.3}},
    ...                      sigma={"a": 0.1}, residual=nb.Additive(), outcome="size")
    >>> data = nb.Design([nb.Arm(1, [0, 7, 28])]).dataset(tree)
    >>> nb.predict(tree, data, groups="none")["posterior"]["f_size"].to_numpy().ravel().round(2).tolist()
    [100.0, 535.18, 3296.86]
    """

    law: Literal["exponential", "logistic", "gompertz", "simeoni"] = "gompertz"

    states, nonnegative = ("size",), True

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        # Round numbers for mice. Simeoni's are near those of his first experiment with paclitaxel, 0.273/day and
        # 0.814 g/day (1 g = 1000 mm^3), Gompertz' r near the beta of the curve `Gompertz`.
        y0, k = Parameter("y0", "mm^3", typical=100.0), Parameter("k", "mm^3", typical=5000.0)
        return {
            "exponential": (y0, Parameter("r", "1/day", typical=0.2)),
            "logistic": (y0, Parameter("r", "1/day", typical=0.3), k),
            "gompertz": (y0, Parameter("r", "1/day", typical=0.08), k),
            "simeoni": (y0, Parameter("lambda0", "1/day", 0.27), Parameter("lambda1", "mm^3/day", 800.0)),
        }[self.law]

    def initial(self, p):
        return {"size": p.y0}

    def rhs(self, t, y, p):
        return {"size": self.relative_rate(y.size, p) * y.size}

    def relative_rate(self, size: TensorVariable, p: Named) -> TensorVariable:
        """Growth per day and size, of a tumour of this size.

        Parameters
        ----------
        size : tensor
            In the unit of ``y0``.
        p : Named
            The parameters.

        Returns
        -------
        tensor

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import TumourGrowth
        >>> TumourGrowth("logistic").relative_rate(500.0, nb.Named(r=0.1, k=1000.0))
        0.05
        """
        if self.law == "exponential":
            return p.r
        if self.law == "logistic":
            return p.r * (1 - size / p.k)
        if self.law == "gompertz":
            return p.r * pt.log(p.k / size)
        linear = p.lambda0 / p.lambda1 * size  # 1 where growth becomes linear; below 0.001 all is exponential
        linear = seamless(pt.maximum(linear, 0.001))
        return p.lambda0 * pt.exp(-pt.softplus(PSI * pt.log(linear)) / PSI)

    def outcomes(self, t, y, p):
        return {"size": y.size}
