from dataclasses import dataclass
from typing import Literal

import pytensor.tensor as pt

from nlmebayes import Absorption, Parameter, System
from nlmebayes.structure.absorption import Kind, Transits


@dataclass(frozen=True)
class MichaelisMenten(System):
    r"""One or two compartments with elimination that saturates, under any input and dosing history.

    .. math::
        \dot A = \text{input} - \frac{V_{max} C}{K_m + C} - CL\,C - Q\,(C - C_2), \qquad
        \dot A_2 = Q\,(C - C_2), \qquad C = A / V_1, \quad C_2 = A_2 / V_2

    ``vmax`` maximal rate of elimination (mg/h), ``km`` the concentration (mg/L) at which it is half of that; of one
    compartment the volume ``v`` (L); of two the volumes ``v1``, ``v2`` (L) and the intercompartmental clearance ``q``
    (L/h). ``cl`` (L/h) is the clearance by a second path that does not saturate. Far below ``km`` the elimination is
    linear with the clearance vmax / km, and only this ratio shows in data. After oral doses ``vmax``, ``v``, ``q``
    and ``cl`` are apparent (divided by F). Inputs with ``ka``, ``ka2``, ``dur``, ``r0``, ``fr``, ``mtt``, ``tlag``,
    ``f``: see `Absorption`. Outcome: ``conc``, the concentration C.

    Without the linear path a steady state exists only below a mean dose rate of ``vmax``: a steady-state dose (SS=1)
    beyond it has no prediction.

    Typical values: ``vmax`` (415 mg/day) and ``km`` of phenytoin in an adult of 70 kg (Grasela et al. 1983, Clin.
    Pharmacokinet. 8, 355-364, doi:10.2165/00003088-198308040-00006); the others are round plausible numbers.

    Parameters
    ----------
    absorption : {"bolus", "first-order", "zero-order", "constant-rate", "sequential", "mixed", "parallel", "transit"}
    compartments : {1, 2}
    linear : bool
        A linear path of elimination beside the one that saturates.
    lag, bioavailability : bool
    transits : {0, 3}
        Number of transit compartments, any from 0.

    References
    ----------
    Gibaldi and Perrier (1982), Pharmacokinetics, 2nd ed., ch. 7.

    Examples
    --------
    What is expected of a typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import MichaelisMenten
    >>> structure = MichaelisMenten()
    >>> theta = {p.name: p.typical for p in structure.parameters}
    >>> tree = nb.population(structure, theta=theta, omega={"sd": {"v": 0.3}},
    ...                      sigma={"a": 0.1}, residual=nb.Additive())
    >>> data = nb.Design([nb.Arm(1, [1, 6, 24], doses={"time": 0, "amt": 100})]).dataset(tree)
    >>> nb.predict(tree, data, groups="none")["posterior"]["f_conc"].to_numpy().ravel().round(2).tolist()
    [2.12, 1.65, 0.6]
    """

    absorption: Kind = "bolus"
    compartments: Literal[1, 2] = 1
    linear: bool = False
    lag: bool = False
    bioavailability: bool = False
    transits: Transits = 3

    nonnegative = True

    @property
    def _input(self):
        return Absorption(self.absorption, self.lag, self.bioavailability, self.transits)

    @property
    def states(self):
        return (*self._input.states, "central", *("peripheral",) * (self.compartments - 1))

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        saturable = (Parameter("vmax", "mg/h", typical=17.0), Parameter("km", "mg/L", typical=5.7))
        linear = (Parameter("cl", "L/h", typical=1.0),) * self.linear
        space = {
            1: (Parameter("v", "L", typical=45.0),),
            2: (Parameter("v1", "L", typical=20.0), Parameter("q", "L/h", typical=5.0),
                Parameter("v2", "L", typical=40.0)),
        }  # fmt: skip
        return (*saturable, *linear, *space[self.compartments], *self._input.parameters)

    def routes(self, p):
        return self._input.routes(p)

    def rhs(self, t, y, p):
        c = self.outcomes(t, y, p)["conc"]
        slopes = dict.fromkeys(self.states, 0.0) | {"central": -p.vmax * c / (p.km + c)}
        if self.linear:
            slopes["central"] -= p.cl * c
        if self.compartments == 2:
            exchanged = p.q * (c - y.peripheral / p.v2)
            slopes["central"] -= exchanged
            slopes["peripheral"] += exchanged
        for (source, target), rate in self._input.flows(p).items():
            slopes[source] -= rate * getattr(y, source)
            slopes[target] += rate * getattr(y, source)
        return slopes

    def outcomes(self, t, y, p):
        return {"conc": y.central / (p.v if self.compartments == 1 else p.v1)}

    @property
    def order(self):
        def ka_above_ka2(p):
            """Log ratio of the two absorption rates."""
            return pt.log(p.ka / p.ka2)

        return (ka_above_ka2,) if self.absorption == "parallel" else ()
