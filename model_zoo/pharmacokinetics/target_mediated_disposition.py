from dataclasses import dataclass
from typing import Literal

import pytensor.tensor as pt

from nlmebayes import Parameter, System, seamless


@dataclass(frozen=True)
class TargetMediatedDisposition(System):
    r"""A drug, usually an antibody, that its target binds and removes.

    .. math::
        \dot A = \text{input} - CL\,L - Q\,(L - L_2) - V (k_{on} L R - k_{off} C), \qquad \dot A_2 = Q\,(L - L_2)

        \dot R = k_{syn} - k_{deg} R - k_{on} L R + k_{off} C, \qquad
        \dot C = k_{on} L R - (k_{off} + k_{int})\,C

    L = A / V free ligand, R free receptor, C their complex (nmol/L), :math:`L_2 = A_2 / V_2`; doses in nmol. ``cl``
    clearance (L/day) and ``v`` volume (L) of the free ligand, ``q`` (L/day) and ``v2`` (L) of the peripheral
    compartment; ``ksyn`` synthesis of the receptor (nmol/L/day), ``kdeg`` its degradation and ``kint`` the
    internalisation of the complex (1/day); ``kon`` (L/nmol/day) and ``koff`` (1/day) of the binding. Before the first
    dose R = ksyn / kdeg. Any other consistent units do as well.

    If binding is fast, the complex is at every time what its own balance asks for, and ``kon`` and ``koff`` act only
    through ``kss`` = (koff + kint) / kon (nmol/L). With the total ligand :math:`L_T = L + C` and the total receptor
    :math:`R_T = R + C` as states, :math:`L^2 - (L_T - R_T - K_{ss}) L - K_{ss} L_T = 0`, whose positive root is the
    free ligand, and

    .. math::
        \dot A_T = \text{input} - CL\,L - Q\,(L - L_2) - k_{int} V C, \qquad
        \dot R_T = k_{syn} - k_{deg} R - k_{int} C, \qquad C = \frac{R_T L}{K_{ss} + L}

    Outcomes: ``conc``, the free ligand L, and ``receptor``, the total receptor R + C.

    Typical values: round numbers within the range of monoclonal antibodies.

    Parameters
    ----------
    approximation : {"full", "quasi-steady-state"}
    peripheral : bool
        A second compartment for the free ligand.

    References
    ----------
    Mager and Jusko (2001), J. Pharmacokinet. Pharmacodyn. 28, 507-532, doi:10.1023/A:1014414520282, for the
    full model; Gibiansky, Gibiansky, Kakkar and Ma (2008), J. Pharmacokinet. Pharmacodyn. 35, 573-591,
    doi:10.1007/s10928-008-9102-8, for the quasi-steady state.

    Examples
    --------
    What is expected of a typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import TargetMediatedDisposition
    >>> structure = TargetMediatedDisposition()
    >>> theta = {p.name: p.typical for p in structure.parameters}
    >>> tree = nb.population(structure, theta=theta, omega={"sd": {"cl": 0.3}},
    ...                      sigma={"a": 0.1}, residual=nb.Additive())
    >>> data = nb.Design([nb.Arm(1, [1, 6, 24], doses={"time": 0, "amt": 100})]).dataset(tree)
    >>> nb.predict(tree, data, groups="none")["posterior"]["f_conc"].to_numpy().ravel().round(2).tolist()
    [25.56, 14.08, 0.0]
    """

    approximation: Literal["full", "quasi-steady-state"] = "full"
    peripheral: bool = False

    dosed, nonnegative = "central", True

    @property
    def _full(self):
        return self.approximation == "full"

    @property
    def states(self):
        return ("central", *("peripheral",) * self.peripheral, "receptor", *("complex",) * self._full)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        second = (Parameter("q", "L/day", typical=0.5), Parameter("v2", "L", typical=3.0))
        binding = (Parameter("kon", "L/nmol/day", typical=10.0), Parameter("koff", "1/day", typical=1.0))
        return (
            Parameter("cl", "L/day", typical=0.2), Parameter("v", "L", typical=3.0), *second * self.peripheral,
            Parameter("ksyn", "nmol/L/day", typical=1.0), Parameter("kdeg", "1/day", typical=0.2),
            Parameter("kint", "1/day", typical=0.5),
            *(binding if self._full else (Parameter("kss", "nmol/L", typical=0.15),)),
        )  # fmt: skip

    def initial(self, p):
        return {"receptor": p.ksyn / p.kdeg}

    def rhs(self, t, y, p):
        free, bound = self._ligand(y, p)
        out = p.cl * free
        if self._full:
            binding = p.kon * free * y.receptor - p.koff * bound
            slopes = {
                "central": -out - p.v * binding,
                "receptor": p.ksyn - p.kdeg * y.receptor - binding,
                "complex": binding - p.kint * bound,
            }
        else:
            unbound = y.receptor * p.kss / (p.kss + free)
            slopes = {
                "central": -out - p.kint * p.v * bound,
                "receptor": p.ksyn - p.kdeg * unbound - p.kint * bound,
            }
        if self.peripheral:
            exchanged = p.q * (free - y.peripheral / p.v2)
            slopes |= {"central": slopes["central"] - exchanged, "peripheral": exchanged}
        return slopes

    def outcomes(self, t, y, p):
        free, bound = self._ligand(y, p)
        return {"conc": free, "receptor": y.receptor + bound if self._full else y.receptor}

    def _ligand(self, y, p):
        """Concentrations of the free and the bound ligand."""
        total = y.central / p.v
        if self._full:
            return total, y.complex
        # Of the two roots the one that is larger in size is a sum without cancellation; their product is -kss total.
        b = total - y.receptor - p.kss
        larger = (seamless(pt.abs(b)) + pt.sqrt(b**2 + 4 * p.kss * total)) / 2
        free = pt.switch(seamless(b >= 0), larger, p.kss * total / larger)
        return free, y.receptor * free / (p.kss + free)
