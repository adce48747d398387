from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt

from nlmebayes import Disposition, Mammillary, Parameter

TINY = 1e-12  # of an exchange that vanishes where half-lives coincide


@dataclass(frozen=True)
class TwoCompartment(Mammillary):
    r"""Two compartments with linear elimination from the central one, under any input and dosing history.

    .. math::
        \dot A_1 = -(k_{10} + k_{12}) A_1 + k_{21} A_2 + \text{input}, \quad \dot A_2 = k_{12} A_1 - k_{21} A_2,
        \quad C = A_1 / V_1, \quad k_{10} = CL / V_1, \ k_{12} = Q / V_1, \ k_{21} = Q / V_2

    ``cl`` clearance, ``q`` intercompartmental clearance (L/h), ``v1``, ``v2`` volumes (L); or the rates ``k10``,
    ``k12``, ``k21`` (1/h); or the half-lives ``thalf_alpha`` < ``thalf_beta`` (h) with ``fr_alpha``, the share of the
    fast phase in the concentration after a bolus:
    :math:`k_{21} = f\beta + (1 - f)\alpha,\ k_{10} = \alpha\beta/k_{21},\ k_{12} = \alpha + \beta - k_{21} - k_{10}`.
    Inputs with ``ka``, ``ka2``, ``dur``, ``r0``, ``fr``, ``mtt``, ``tlag``, ``f``: see `Absorption`; metabolite and
    urine with ``fm``, ``clm``, ``vm``, ``fe``: see `Elimination`.

    Parameters
    ----------
    absorption : {"bolus", "first-order", "zero-order", "constant-rate", "sequential", "mixed", "parallel", "transit"}
    flip_flop : bool
        Unless True, a soft barrier keeps ``ka`` above CL / (V1 + V2), which is at least the terminal rate.
    parametrisation : {"clearance", "rates", "half-lives"}
    lag, bioavailability, metabolite, urine : bool
    transits : {0, 3}
        Number of transit compartments, any from 0.

    References
    ----------
    Gibaldi and Perrier (1982), Pharmacokinetics, 2nd ed., eqs. 2.11-2.35.

    Examples
    --------
    What is expected of a typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import TwoCompartment
    >>> structure = TwoCompartment("first-order")
    >>> theta = {p.name: p.typical for p in structure.parameters}
    >>> tree = nb.population(structure, theta=theta, omega={"sd": {"cl": 0.3}},
    ...                      sigma={"a": 0.1}, residual=nb.Additive())
    >>> data = nb.Design([nb.Arm(1, [1, 6, 24], doses={"time": 0, "amt": 100})]).dataset(tree)
    >>> nb.predict(tree, data, groups="none")["posterior"]["f_conc"].to_numpy().ravel().round(2).tolist()
    [3.07, 1.11, 0.39]
    """

    peripherals = ("peripheral",)
    canonical = True

    @property
    def larger(self):
        return self.label.replace(type(self).__name__, "ThreeCompartment", 1)

    def disposition_parameters(self):
        v1 = Parameter("v1", "L", typical=20.0)
        return {
            "clearance": (
                Parameter("cl", "L/h", typical=3.0), v1, Parameter("q", "L/h", typical=5.0),
                Parameter("v2", "L", typical=40.0),
            ),
            "rates": (
                Parameter("k10", "1/h", typical=0.15), Parameter("k12", "1/h", typical=0.25),
                Parameter("k21", "1/h", typical=0.125), v1,
            ),
            "half-lives": (
                Parameter("thalf_alpha", "h", typical=1.5), Parameter("thalf_beta", "h", typical=15.0),
                Parameter("fr_alpha", "fraction", typical=0.7, link="logit"), v1,
            ),
        }  # fmt: skip

    def disposition(self, p):
        k10, k12, k21 = self._rates(p)
        return Disposition(p.v1, k10, ((k12, k21),), slow=k10 * k21 / (k12 + k21))

    def _rates(self, p):
        if self.parametrisation == "clearance":
            return p.cl / p.v1, p.q / p.v1, p.q / p.v2
        if self.parametrisation == "rates":
            return p.k10, p.k12, p.k21
        alpha, beta = np.log(2) / p.thalf_alpha, np.log(2) / p.thalf_beta
        k21 = p.fr_alpha * beta + (1 - p.fr_alpha) * alpha
        # (alpha - k21)(k21 - beta) / k21, written without a difference that could cancel
        k12 = p.fr_alpha * (1 - p.fr_alpha) * (alpha - beta) ** 2 / k21
        return alpha * beta / k21, pt.maximum(k12, TINY * k21), k21

    def disposition_order(self):
        return self.longer_half_lives() if self.parametrisation == "half-lives" else ()
