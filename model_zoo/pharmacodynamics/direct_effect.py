from dataclasses import dataclass, replace
from typing import Literal

import pytensor.tensor as pt

from model_zoo.pharmacodynamics.emax import Emax
from model_zoo.pharmacokinetics.one_compartment import OneCompartment
from nlmebayes import LinearSystem, Named, Parameter, System, passed_on, unambiguous
from nlmebayes.structure.compartments import Compartments


@passed_on("kinetics")
@dataclass(frozen=True)
class DirectEffect(Compartments):
    r"""A drug whose effect follows its concentration at once, by a law of choice.

    .. math::
        E = E_0 \pm s(C) \quad\text{or}\quad E_0 (1 \pm s(C)) \quad\text{or}\quad \pm s(C), \qquad
        s(C) = S C,\; S C^{\gamma},\; \frac{E_{max} C^{\gamma}}{EC_{50}^{\gamma} + C^{\gamma}},\; S (C - C_0)_+

    with + where the drug stimulates and - where it inhibits; C is the concentration of ``kinetics`` (mg/L), any model
    of compartments, solved as it is without the effect. ``e0`` baseline (unit of the effect); ``slope`` S (effect per
    mg/L, of the power law per (mg/L)^gamma), ``gamma`` exponent, ``threshold`` C_0 (mg/L), below which there is no
    effect; ``emax`` largest effect and ``ec50`` (mg/L) the concentration of half of it, called ``imax`` and ``ic50``
    of a drug that inhibits. In proportion to the baseline, effects are fractions of it: ``imax`` is at most 1 then,
    while laws without a maximum may fall below nothing. A step at a concentration has no slope in it for a sampler: it
    is the limit of the sigmoid law with a large ``gamma``. The parameters of the kinetics, here ``cl`` (L/h) and ``v``
    (L), keep their names. Outcomes: those of the kinetics, ``conc``, and ``effect``; either may be measured alone.

    Typical values of the effect are placeholders.

    Parameters
    ----------
    kinetics : a model of compartments with an outcome ``conc``
    law : {"emax", "sigmoid", "linear", "power", "threshold"}
    baseline : {"additive", "proportional", "none"}
    direction : {"stimulates", "inhibits"}

    References
    ----------
    Holford and Sheiner (1981), Clin. Pharmacokinet. 6, 429-453, doi:10.2165/00003088-198106060-00002.

    Examples
    --------
    What is expected of a typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import DirectEffect
    >>> structure = DirectEffect()
    >>> theta = {p.name: p.typical for p in structure.parameters}
    >>> tree = nb.population(structure, theta=theta, omega={"sd": {"cl": 0.3}},
    ...                      sigma={"conc": {"a": 0.1}, "effect": {"a": 1.0}}, residual=nb.Additive())
    >>> data = nb.Design([nb.Arm(1, [1, 6, 24], doses={"time": 0, "amt": 100})]).dataset(tree)
    >>> nb.predict(tree, data, groups="none")["posterior"]["f_effect"].to_numpy().ravel().round(2).tolist()
    [18.81, 13.39, 2.85]
    """

    kinetics: LinearSystem | System = OneCompartment()  # noqa: RUF009 (a frozen record)
    law: Literal["emax", "sigmoid", "linear", "power", "threshold"] = "emax"
    baseline: Literal["additive", "proportional", "none"] = "additive"
    direction: Literal["stimulates", "inhibits"] = "stimulates"

    def __post_init__(self):
        super().__post_init__()
        unambiguous(self)
        known = self.kinetics.predicted
        if "conc" not in known or "effect" in known:
            wanted = "no outcome 'effect' of its own" if "effect" in known else "an outcome 'conc'"
            raise ValueError(f"DirectEffect: kinetics need {wanted}; {self.kinetics.label} has {', '.join(known)}")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (*self.kinetics.parameters, *self._baseline, *self._response)

    @property
    def _baseline(self):
        additive = Parameter("e0", "effect", typical=0.0, spread=10.0, link="identity")
        proportional = Parameter("e0", "effect", typical=100.0)
        return {"additive": (additive,), "proportional": (proportional,), "none": ()}[self.baseline]

    @property
    def _response(self):
        hill = Parameter("gamma", "", typical=1.0, spread=0.5, varies=False)
        size = 0.1 if self._relative else 10.0
        rise = Parameter("slope", "L/mg" if self._relative else "effect/(mg/L)", typical=size)
        steep = Parameter("slope", f"{'fraction' if self._relative else 'effect'}/(mg/L)^gamma", typical=size)
        onset = Parameter("threshold", "mg/L", typical=1.0)
        return {
            "emax": self._saturation, "sigmoid": (*self._saturation, hill),
            "linear": (rise,), "power": (steep, hill), "threshold": (rise, onset),
        }[self.law]  # fmt: skip

    @property
    def _saturation(self):
        most, half = self._saturating
        if not self._relative:
            largest = Parameter(most, "effect", typical=50.0)
        elif self.direction == "inhibits":
            largest = Parameter(most, "fraction", typical=0.9, link="logit")
        else:
            largest = Parameter(most, "fraction", typical=1.0)
        return largest, Parameter(half, "mg/L", typical=5.0)

    @property
    def _saturating(self):
        return ("imax", "ic50") if self.direction == "inhibits" else ("emax", "ec50")

    @property
    def _relative(self):
        return self.baseline == "proportional"

    def tighter(self, factor: float) -> "DirectEffect":
        """The same with tolerances that are smaller by a factor.

        Parameters
        ----------
        factor : float
            Below 1.

        Returns
        -------
        DirectEffect

        Examples
        --------
        >>> from model_zoo import DirectEffect, MichaelisMenten
        >>> DirectEffect(MichaelisMenten(rtol=1e-4)).tighter(0.5).kinetics.rtol
        0.0002
        """
        return replace(self, kinetics=self.kinetics.tighter(factor))

    def amounts(self, p, x, read):
        return self.kinetics.amounts(p, x, read)

    def outcomes(self, t, y, p):
        found = self.kinetics.outcomes(t, y, p)
        change = self._change(p, found["conc"])
        change = -change if self.direction == "inhibits" else change
        effect = {
            "additive": lambda: p.e0 + change, "proportional": lambda: p.e0 * (1 + change), "none": lambda: change,
        }[self.baseline]()  # fmt: skip
        return found | {"effect": effect}

    def _change(self, p, conc):
        """Size of the effect at a concentration, a fraction of the baseline where it is in proportion to it."""
        if self.law == "linear":
            return p.slope * conc
        if self.law == "threshold":
            return p.slope * pt.maximum(conc - p.threshold, 0.0)
        if self.law == "power":
            # log(0) would spoil the gradient; no drug has no effect.
            present = conc > 0
            return p.slope * pt.switch(present, pt.switch(present, conc, 1.0) ** p.gamma, 0.0)
        most, half = (getattr(p, name) for name in self._saturating)
        hill = {"gamma": p.gamma} if self.law == "sigmoid" else {}
        return Emax(bool(hill)).curve(Named(e0=0.0, emax=most, ec50=half, **hill), Named(concentration=conc))
