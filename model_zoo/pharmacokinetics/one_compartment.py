from dataclasses import dataclass
from typing import Literal, get_args

import pytensor.tensor as pt

from nlmebayes import Parameter, Superposition, bateman


@dataclass(frozen=True)
class OneCompartment(Superposition):
    r"""One compartment with linear elimination, after boluses into the vein or with first-order absorption.

    .. math::
        C(t) = \frac{D}{V} e^{-k t} \quad\text{or}\quad
        C(t) = \frac{D\,k_a}{V (k_a - k)} \left(e^{-k t} - e^{-k_a t}\right), \qquad k = CL / V,

    summed over doses. ``cl`` clearance (L/h), ``v`` volume (L), ``ka`` absorption rate (1/h), D the dose (mg),
    C the concentration (mg/L); other consistent units do as well. After oral doses ``cl`` and ``v`` are apparent
    (CL/F, V/F). At ``ka = k`` the limit ``D k t exp(-k t) / V`` is taken, with exact gradients.

    Parameters
    ----------
    absorption : {"bolus", "first-order"}
    flip_flop : bool
        The oral curve is the same with ``ka`` and ``k`` exchanged (and V scaled), a second mode. Unless True, a
        soft barrier keeps ``ka > cl/v``.

    Source: Gibaldi and Perrier (1982), Pharmacokinetics, 2nd ed., eqs. 1.9 and 1.95.
    """

    absorption: Literal["bolus", "first-order"] = "bolus"
    flip_flop: bool = False

    def __post_init__(self):
        known = get_args(type(self).__annotations__["absorption"])
        if self.absorption not in known:
            raise ValueError(f"OneCompartment: no absorption {self.absorption!r}; there are {', '.join(known)}")

    @property
    def parameters(self):
        disposition = (Parameter("cl", "L/h", typical=3.0), Parameter("v", "L", typical=30.0))
        return (*disposition, Parameter("ka", "1/h", typical=1.5)) if self._oral else disposition

    @property
    def _oral(self):
        return self.absorption == "first-order"

    def response(self, p, t):
        k = p.cl / p.v
        return p.ka / p.v * bateman(p.ka, k, t) if self._oral else pt.exp(-k * t) / p.v

    @property
    def order(self):
        return (ka_above_k,) if self._oral and not self.flip_flop else ()


def ka_above_k(p):
    """Log ratio of the absorption to the elimination rate."""
    return pt.log(p.ka * p.v / p.cl)
