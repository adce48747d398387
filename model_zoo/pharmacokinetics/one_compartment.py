from dataclasses import dataclass

import numpy as np

from nlmebayes import Disposition, Mammillary, Parameter


@dataclass(frozen=True)
class OneCompartment(Mammillary):
    r"""One compartment with linear elimination, under any input and dosing history.

    .. math:: \dot A = -k A + \text{input}, \qquad C = A / V, \qquad k = CL / V

    ``cl`` clearance (L/h) and ``v`` volume (L); or ``k`` (1/h); or the half-life ``thalf`` = log(2) / k (h); A the
    amount (mg), C the concentration (mg/L); other consistent units do as well. After oral doses ``cl`` and ``v`` are
    apparent (CL/F, V/F) unless ``bioavailability=True`` and some doses go into central. Inputs with ``ka``, ``ka2``,
    ``dur``, ``r0``, ``fr``, ``mtt``, ``tlag``, ``f``: see `Absorption`; metabolite and urine with ``fm``, ``clm``,
    ``vm``, ``fe``: see `Elimination`.

    Parameters
    ----------
    absorption : {"bolus", "first-order", "zero-order", "constant-rate", "sequential", "mixed", "parallel", "transit"}
    flip_flop : bool
        The oral curve is the same with ``ka`` and ``k`` exchanged (and V scaled), a second mode. Unless True, a
        soft barrier keeps ``ka > k``.
    parametrisation : {"clearance", "rates", "half-lives"}
    lag, bioavailability, metabolite, urine : bool
    transits : {0, 3}
        Number of transit compartments, any from 0.

    References
    ----------
    Gibaldi and Perrier (1982), Pharmacokinetics, 2nd ed., eqs. 1.9 and 1.95.

    Examples
    --------
    What is expected of a typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> structure = OneCompartment("first-order")
    >>> theta = {p.name: p.typical for p in structure.parameters}
    >>> tree = nb.population(structure, theta=theta, omega={"sd": {"cl": 0.3}},
    ...                      sigma={"a": 0.1}, residual=nb.Additive())
    >>> data = nb.Design([nb.Arm(1, [1, 6, 24], doses={"time": 0, "amt": 100})]).dataset(tree)
    >>> nb.predict(tree, data, groups="none")["posterior"]["f_conc"].to_numpy().ravel().round(2).tolist()
    [2.43, 1.96, 0.32]
    """

    @property
    def larger(self):
        return self.label.replace(type(self).__name__, "TwoCompartment", 1)

    canonical = True

    def disposition_parameters(self):
        v = Parameter("v", "L", typical=30.0)
        return {
            "clearance": (Parameter("cl", "L/h", typical=3.0), v),
            "rates": (Parameter("k", "1/h", typical=0.1), v),
            "half-lives": (Parameter("thalf", "h", typical=7.0), v),
        }

    def disposition(self, p):
        if self.parametrisation == "clearance":
            return Disposition(p.v, p.cl / p.v)
        return Disposition(p.v, p.k if self.parametrisation == "rates" else np.log(2) / p.thalf)

    def disposition_order(self):
        return ()
