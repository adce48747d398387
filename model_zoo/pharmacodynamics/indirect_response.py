from dataclasses import dataclass
from typing import Literal

import pytensor.tensor as pt

from model_zoo.pharmacokinetics.one_compartment import OneCompartment
from nlmebayes import Driven, Parameter, Structure, seamless


@dataclass(frozen=True)
class IndirectResponse(Driven):
    r"""A response that turns over, and a drug that slows down or speeds up its production or its loss.

    .. math::
        R' = k_{in} \left(1 - \frac{I_{max} C}{IC_{50} + C}\right) - k_{out} R, \qquad k_{in} = e_0 k_{out}, \qquad
        R(0) = e_0

    if the drug inhibits production, and likewise with the factor at the loss; or the factor is
    :math:`1 + E_{max} C / (EC_{50} + C)`; with ``sigmoid=True`` all concentrations have the exponent ``gamma``.

    ``e0`` baseline (unit of the response), by which people fit it rather than by kin (unit/h), and ``kout`` rate
    constant of loss (1/h); of a drug that inhibits, the largest inhibition ``imax`` (fraction) and the concentration of
    half of it ``ic50`` (mg/L); of one that stimulates, the largest increase ``emax`` (fraction of the rate without
    drug) and ``ec50`` (mg/L); ``gamma`` Hill exponent. The parameters of the kinetics, here ``cl`` (L/h) and ``v`` (L),
    keep their names. Outcomes: ``conc`` and ``effect``; either may be measured alone.

    Typical values: round numbers within the range of prothrombin activity (percent of normal, kout about 0.05 per hour)
    under warfarin (half of the inhibition at about 1 mg/L); those of a drug that stimulates are placeholders.

    Parameters
    ----------
    kinetics : a model with an outcome ``conc``
    action : {"inhibits production", "inhibits loss", "stimulates production", "stimulates loss"}
        Types I, II, III and IV of the source.
    sigmoid : bool

    References
    ----------
    Dayneka, Garg and Jusko (1993), J. Pharmacokinet. Biopharm. 21, 457-478, doi:10.1007/BF01061691.

    Examples
    --------
    What is expected of a typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import IndirectResponse
    >>> structure = IndirectResponse()
    >>> theta = {p.name: p.typical for p in structure.parameters}
    >>> tree = nb.population(structure, theta=theta, omega={"sd": {"cl": 0.3}},
    ...                      sigma={"conc": {"a": 0.1}, "effect": {"a": 1.0}}, residual=nb.Additive())
    >>> data = nb.Design([nb.Arm(1, [1, 6, 24], doses={"time": 0, "amt": 100})]).dataset(tree)
    >>> nb.predict(tree, data, groups="none")["posterior"]["f_effect"].to_numpy().ravel().round(2).tolist()
    [96.66, 83.5, 71.94]
    """

    kinetics: Structure = OneCompartment()  # noqa: RUF009 (a frozen record)
    action: Literal["inhibits production", "inhibits loss", "stimulates production", "stimulates loss"] = (
        "inhibits production"
    )
    sigmoid: bool = False

    responses, own_nonnegative = ("response",), True

    @property
    def _inhibits(self):
        return self.action.startswith("inhibits")

    @property
    def own_parameters(self):
        turnover = (Parameter("e0", "effect", typical=100.0), Parameter("kout", "1/h", typical=0.05))
        if self._inhibits:
            drug = (Parameter("imax", "fraction", typical=0.9, link="logit"), Parameter("ic50", "mg/L", typical=1.0))
        else:
            drug = (Parameter("emax", "fraction", typical=1.0), Parameter("ec50", "mg/L", typical=1.0))
        hill = Parameter("gamma", "", typical=1.0, spread=0.5, varies=False)
        return (*turnover, *drug, hill) if self.sigmoid else (*turnover, *drug)

    def initial(self, p):
        return {"response": p.e0}

    def drive(self, t, y, p, conc):
        half = p.ic50 if self._inhibits else p.ec50
        if self.sigmoid:
            present = seamless(conc > 1e-100)  # below, derivatives of the logarithm are too large for numbers
            log_ratio = pt.log(pt.switch(present, conc, 1.0)) - pt.log(half)
            share = pt.switch(present, pt.sigmoid(p.gamma * log_ratio), 0.0)
        else:
            share = conc / (half + conc)
        factor = 1 - p.imax * share if self._inhibits else 1 + p.emax * share
        production, loss = (factor, 1.0) if self.action.endswith("production") else (1.0, factor)
        return {"response": p.kout * (p.e0 * production - y.response * loss)}

    def effects(self, t, y, p):
        return {"effect": y.response}
