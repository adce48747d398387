from dataclasses import dataclass
from typing import Literal

from model_zoo.oncology.tumour_growth import TumourGrowth
from model_zoo.pharmacokinetics.one_compartment import OneCompartment
from nlmebayes import Driven, Parameter, Structure
from nlmebayes.structure.absorption import Transits


@dataclass(frozen=True)
class TumourGrowthInhibition(Driven):
    r"""A tumour whose cells a drug damages at a rate in proportion to its concentration; they die with a delay.

    .. math::
        x_1' = g(w)\, x_1 - k_2 C x_1, \quad x_2' = k_2 C x_1 - k_1 x_2, \quad
        x_3' = k_1 (x_2 - x_3), \dots, \qquad w = x_1 + x_2 + \dots

    C is the concentration of ``kinetics`` (mg/L), any model of compartments; x_1 the cycling cells, then damaged ones,
    stage by stage, and w the tumour. g is the growth of `TumourGrowth`, with ``y0`` (mm^3) the size at time 0 and ``r``
    (1/day), or ``lambda0`` (1/day) and ``lambda1`` (mm^3/day). ``k1`` rate from stage to stage (1/day), so that cells
    die ``transits / k1`` days after the damage on average; ``k2`` potency (L/mg/day). A constant C above lambda0 / k2
    (r / k2) makes the tumour vanish in the end. The parameters of the kinetics, here ``cl`` (L/day) and ``v`` (L), keep
    their names, and their times are days like the rest. Give doses one by one or with ADDL: a steady state (SS=1) is
    one of all states, and of the tumour there is none. Outcomes: those of the kinetics, ``conc`` (mg/L), and ``size`` w
    (mm^3).

    Parameters
    ----------
    kinetics : a model of compartments
    law : {"exponential", "simeoni"}
    transits : {1, 3}
        Number of stages of damaged cells, any from 0, with which damaged cells are gone at once.

    References
    ----------
    Simeoni et al. (2004), Cancer Res. 64, 1094-1101, doi:10.1158/0008-5472.CAN-03-2524.

    Examples
    --------
    What is expected of a typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import TumourGrowthInhibition
    >>> structure = TumourGrowthInhibition()
    >>> theta = {p.name: p.typical for p in structure.parameters}
    >>> tree = nb.population(structure, theta=theta, omega={"sd": {"cl": 0.3}},
    ...                      sigma={"conc": {"a": 0.1}, "size": {"a": 1.0}}, residual=nb.Additive())
    >>> data = nb.Design([nb.Arm(1, [1, 7, 28], doses={"time": 0, "amt": 100})]).dataset(tree)
    >>> nb.predict(tree, data, groups="none")["posterior"]["f_size"].to_numpy().ravel().round(2).tolist()
    [116.14, 290.26, 12840.36]
    """

    kinetics: Structure = OneCompartment()  # noqa: RUF009 (a frozen record)
    law: Literal["exponential", "simeoni"] = "simeoni"
    transits: Transits = 3

    own_nonnegative = True

    @property
    def _growth(self):
        return TumourGrowth(self.law)

    @property
    def responses(self):
        return ("cycling", *self._damaged)

    @property
    def _damaged(self):
        return tuple(f"damaged{i}" for i in range(1, self.transits + 1))

    @property
    def own_parameters(self):
        # Near those of the first experiment with paclitaxel in the source: 0.968 per day, 0.000629 per day and ng/mL.
        k1, k2 = Parameter("k1", "1/day", typical=1.0), Parameter("k2", "L/mg/day", typical=0.6)
        return (*self._growth.parameters, *([k1] if self.transits else []), k2)

    def initial(self, p):
        return {"cycling": p.y0}

    def drive(self, t, y, p, conc):
        killed = p.k2 * conc * y.cycling
        found = {"cycling": self._growth.relative_rate(self._size(y), p) * y.cycling - killed}
        for stage in self._damaged:
            left = p.k1 * getattr(y, stage)
            found[stage] = killed - left
            killed = left
        return found

    def _size(self, y):
        return sum((getattr(y, stage) for stage in self._damaged), start=y.cycling)

    def effects(self, t, y, p):
        return {"size": self._size(y)}
