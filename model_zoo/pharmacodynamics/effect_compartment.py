from dataclasses import dataclass

from model_zoo.pharmacodynamics.emax import Emax
from model_zoo.pharmacokinetics.one_compartment import OneCompartment
from nlmebayes import Drive, LinearSystem, Named, Parameter, passed_on, unambiguous


@passed_on("kinetics")
@dataclass(frozen=True)
class EffectCompartment(LinearSystem):
    r"""A drug whose effect lags behind its concentration, because the effect site follows the plasma.

    .. math::
        \dot C_e = k_{e0} (C - C_e), \qquad
        E = E_0 + E_{max} \frac{C_e^{\gamma}}{EC_{50}^{\gamma} + C_e^{\gamma}}

    ``ke0`` equilibration rate (1/h), C the concentration of ``kinetics``, any model of compartments; the effect is
    that of `Emax`: ``e0``, ``emax`` (unit of the effect), ``ec50`` (mg/L), ``gamma``. The parameters of the kinetics,
    here ``cl`` (L/h) and ``v`` (L), keep their names. Outcomes: ``conc`` and ``effect``; either may be measured alone.

    Parameters
    ----------
    kinetics : a model of compartments
    sigmoid : bool

    References
    ----------
    Sheiner, Stanski, Vozeh, Miller and Ham (1979), Clin. Pharmacol. Ther. 25, 358-371,
    doi:10.1002/cpt1979253358.

    Examples
    --------
    What is expected of a typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import EffectCompartment
    >>> structure = EffectCompartment()
    >>> theta = {p.name: p.typical for p in structure.parameters}
    >>> tree = nb.population(structure, theta=theta, omega={"sd": {"cl": 0.3}},
    ...                      sigma={"conc": {"a": 0.1}, "effect": {"a": 1.0}}, residual=nb.Additive())
    >>> data = nb.Design([nb.Arm(1, [1, 6, 24], doses={"time": 0, "amt": 100})]).dataset(tree)
    >>> nb.predict(tree, data, groups="none")["posterior"]["f_effect"].to_numpy().ravel().round(2).tolist()
    [9.95, 14.69, 3.51]
    """

    kinetics: LinearSystem = OneCompartment()  # noqa: RUF009 (a frozen record)
    sigmoid: bool = False

    def __post_init__(self):
        super().__post_init__()
        unambiguous(self)

    @property
    def _response(self):
        return Emax(self.sigmoid)

    @property
    def states(self):
        return (*self.kinetics.states, "effect")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        own = Parameter("ke0", "1/h", typical=0.5)
        return (*self.kinetics.parameters, own, *self._response.parameters)

    def flows(self, p):
        return self.kinetics.flows(p) | {("central", "effect"): Drive(p.ke0), ("effect", None): p.ke0}

    def outcomes(self, t, y, p):
        site = Named(**vars(y) | {"central": y.effect})  # the amount that would give C_e in the central compartment
        concentration = self.kinetics.outcomes(t, site, p)["conc"]
        effect = self._response.curve(p, Named(concentration=concentration))
        return self.kinetics.outcomes(t, y, p) | {"effect": effect}
