from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt

from nlmebayes import Disposition, Mammillary, Parameter

TINY = 1e-12  # of an exchange that vanishes where half-lives coincide


@dataclass(frozen=True)
class ThreeCompartment(Mammillary):
    r"""Three compartments with linear elimination from the central one, under any input and dosing history.

    .. math::
        \dot A_1 = -(k_{10} + k_{12} + k_{13}) A_1 + k_{21} A_2 + k_{31} A_3 + \text{input}, \quad
        \dot A_j = k_{1j} A_1 - k_{j1} A_j, \quad C = A_1 / V_1

    with :math:`k_{10} = CL/V_1,\ k_{1j} = Q_j/V_1,\ k_{j1} = Q_j/V_j`. ``cl`` clearance, ``q2``, ``q3``
    intercompartmental clearances (L/h), ``v1``, ``v2``, ``v3`` volumes (L); or the rates ``k10``, ``k12``, ``k21``,
    ``k13``, ``k31`` (1/h); or the half-lives ``thalf_alpha`` < ``thalf_beta`` < ``thalf_gamma`` (h) with ``fr_alpha``,
    the share of the fastest phase in the concentration after a bolus, and ``fr_beta``, the share of the second in the
    rest. The second compartment is the faster one. Inputs with ``ka``, ``ka2``, ``dur``, ``r0``, ``fr``, ``mtt``,
    ``tlag``, ``f``: see `Absorption`; metabolite and urine with ``fm``, ``clm``, ``vm``, ``fe``: see `Elimination`.

    Parameters
    ----------
    absorption : {"bolus", "first-order", "zero-order", "constant-rate", "sequential", "mixed", "parallel", "transit"}
    flip_flop : bool
        Unless True, a soft barrier keeps ``ka`` above CL / (V1 + V2 + V3), which is at least the terminal rate.
    parametrisation : {"clearance", "rates", "half-lives"}
    lag, bioavailability, metabolite, urine : bool
    transits : {0, 3}
        Number of transit compartments, any from 0.

    References
    ----------
    Gibaldi and Perrier (1982), Pharmacokinetics, 2nd ed., ch. 2, eqs. 2.78-2.99.

    Examples
    --------
    What is expected of a typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import ThreeCompartment
    >>> structure = ThreeCompartment("first-order")
    >>> theta = {p.name: p.typical for p in structure.parameters}
    >>> tree = nb.population(structure, theta=theta, omega={"sd": {"cl": 0.3}},
    ...                      sigma={"a": 0.1}, residual=nb.Additive())
    >>> data = nb.Design([nb.Arm(1, [1, 6, 24], doses={"time": 0, "amt": 100})]).dataset(tree)
    >>> nb.predict(tree, data, groups="none")["posterior"]["f_conc"].to_numpy().ravel().round(2).tolist()
    [3.73, 1.12, 0.26]
    """

    peripherals = ("peripheral1", "peripheral2")
    canonical = True

    def disposition_parameters(self):
        v1 = Parameter("v1", "L", typical=10.0)
        return {
            "clearance": (
                Parameter("cl", "L/h", typical=3.0), v1, Parameter("q2", "L/h", typical=10.0),
                Parameter("v2", "L", typical=20.0), Parameter("q3", "L/h", typical=2.0),
                Parameter("v3", "L", typical=60.0),
            ),
            "rates": (
                Parameter("k10", "1/h", typical=0.3), Parameter("k12", "1/h", typical=1.0),
                Parameter("k21", "1/h", typical=0.5), Parameter("k13", "1/h", typical=0.2),
                Parameter("k31", "1/h", typical=0.03), v1,
            ),
            "half-lives": (
                Parameter("thalf_alpha", "h", typical=0.4), Parameter("thalf_beta", "h", typical=3.0),
                Parameter("thalf_gamma", "h", typical=30.0),
                Parameter("fr_alpha", "fraction", typical=0.7, link="logit"),
                Parameter("fr_beta", "fraction", typical=0.7, link="logit"), v1,
            ),
        }  # fmt: skip

    def disposition(self, p):
        k10, k12, k21, k13, k31 = self._rates(p)
        slow = k10 / (1 + k12 / k21 + k13 / k31)
        return Disposition(p.v1, k10, ((k12, k21), (k13, k31)), slow=slow)

    def _rates(self, p):
        if self.parametrisation == "clearance":
            return p.cl / p.v1, p.q2 / p.v1, p.q2 / p.v2, p.q3 / p.v1, p.q3 / p.v3
        if self.parametrisation == "rates":
            return p.k10, p.k12, p.k21, p.k13, p.k31
        a, b, c = (np.log(2) / x for x in (p.thalf_alpha, p.thalf_beta, p.thalf_gamma))
        of_a, of_b = p.fr_alpha, (1 - p.fr_alpha) * p.fr_beta
        of_c = (1 - p.fr_alpha) * (1 - p.fr_beta)
        # k21 and k31 are the zeros of the numerator of C's Laplace transform
        total = of_a * (b + c) + of_b * (a + c) + of_c * (a + b)
        product = of_a * b * c + of_b * a * c + of_c * a * b
        root = pt.sqrt(pt.maximum(total**2 - 4 * product, (TINY * total) ** 2))
        k21, k31 = (total + root) / 2, 2 * product / (total + root)
        k12 = (a - k21) * (b - k21) * (c - k21) / (k21 * root)
        k13 = -(a - k31) * (b - k31) * (c - k31) / (k31 * root)
        return a * b * c / product, pt.maximum(k12, TINY * k21), k21, pt.maximum(k13, TINY * k31), k31

    def disposition_order(self):
        if self.parametrisation == "half-lives":
            return self.longer_half_lives()

        def k21_above_k31(p):
            """Log ratio of the two return rates: which compartment is the second."""
            _, _, k21, _, k31 = self._rates(p)
            return pt.log(k21 / k31)

        return (k21_above_k31,)
