from dataclasses import dataclass

import pytensor.tensor as pt

from nlmebayes import Parameter, System


@dataclass(frozen=True)
class CarTExpansion(System):
    r"""CAR-T cells in blood: effectors expand, then contract, and leave memory cells that persist.

    .. math::
        E' = \rho\, s(t) E - (\alpha + k_{em}) (1 - s(t)) E, \quad
        M' = k_{em} (1 - s(t)) E - \beta M, \quad s(t) = \frac{1}{1 + e^{(t - t_{max}) / \text{width}}}

    with E(0) = c0 and M(0) = 0. ``c0`` level at time 0 (copies/ug of genomic DNA, or another unit of the level);
    ``rho`` expansion rate (1/day), ``tmax`` time of its end (day); ``alpha`` rate of contraction (1/day), ``kem`` rate
    from effector to memory cells (1/day), ``beta`` loss of memory cells (1/day). With a sharp switch the levels rise
    ``exp(rho tmax)``-fold and fall as two exponentials, of the rates alpha + kem (the source's alpha) and beta, the
    second with the part kem / (alpha + kem - beta) (its F_B). The switch is smooth, so that the likelihood has a
    gradient at ``tmax``: it goes from 88 to 12 % within four widths, and the peak is lower for it by about
    ``width (rho + alpha + kem) / 2``, relative to itself, or more. Outcome: the level E + M.

    Parameters
    ----------
    width : {0.1, 0.5}
        Of the switch, in days; any above 0. Much shorter than the time between samples around the peak, it is not seen.

    References
    ----------
    Stein et al. (2019), CPT Pharmacometrics Syst. Pharmacol. 8, 285-295, doi:10.1002/psp4.12388.

    Examples
    --------
    What is expected of a typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import CarTExpansion
    >>> structure = CarTExpansion()
    >>> theta = {p.name: p.typical for p in structure.parameters}
    >>> tree = nb.population(structure, theta=theta, omega={"sd": {"rho": 0.3}},
    ...                      sigma={"a": 0.1}, residual=nb.Additive(), outcome="level")
    >>> data = nb.Design([nb.Arm(1, [1, 10, 100])]).dataset(tree)
    >>> nb.predict(tree, data, groups="none")["posterior"]["f_level"].to_numpy().ravel().round(2).tolist()
    [14.76, 23148.69, 152.88]
    """

    width: float = 0.1

    states, nonnegative = ("effector", "memory"), True
    # Near table 1 of the source (children and young adults): peak 24000 at 9.3 days, 3900-fold expansion, alpha 0.16,
    # F_B 0.0079, beta 0.0032.
    parameters = (
        Parameter("c0", "copies/ug", typical=6.0),
        Parameter("rho", "1/day", typical=0.9),
        Parameter("tmax", "day", typical=9.3),
        Parameter("alpha", "1/day", typical=0.16),
        Parameter("kem", "1/day", typical=0.00125),
        Parameter("beta", "1/day", typical=0.0032),
    )

    def initial(self, p):
        return {"effector": p.c0}

    def rhs(self, t, y, p):
        expanding = pt.sigmoid((p.tmax - t) / self.width)
        contracting = pt.sigmoid((t - p.tmax) / self.width)
        turned = p.kem * contracting * y.effector
        return {
            "effector": (p.rho * expanding - p.alpha * contracting) * y.effector - turned,
            "memory": turned - p.beta * y.memory,
        }

    def outcomes(self, t, y, p):
        return {"level": y.effector + y.memory}
