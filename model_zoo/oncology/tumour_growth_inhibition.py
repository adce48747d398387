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
        x_3' = k_1 (x_2 - x_3), \dots, \qquad w = x_1 + x_2 + \dots, \qquad C_t' = k_{e0} (C - C_t)

    C is the concentration of ``kinetics`` (mg/L), any model of compartments, or with ``site="tumour"`` that in the
    tumour in its stead, C_t (mg/L of plasma at equilibrium), which follows it at the rate ``ke0`` (1/day); x_1 the
    cycling cells, then damaged ones, stage by stage, and w the tumour. g is the growth of `TumourGrowth`, with ``y0``
    (mm^3) the size at time 0 and ``r`` (1/day), or ``lambda0`` (1/day) and ``lambda1`` (mm^3/day). ``k1`` rate from
    stage to stage (1/day), so that cells die ``transits / k1`` days after the damage on average; ``k2`` potency
    (L/mg/day). A constant C above lambda0 / k2 (r / k2) makes the tumour vanish in the end. The parameters of the
    kinetics, here ``cl`` (L/day) and ``v`` (L), keep their names, and their times are days like the rest. Give doses
    one by one or with ADDL: a steady state (SS=1) is one of all states, and of the tumour there is none. Outcomes:
    those of the kinetics, ``conc`` (mg/L), and ``size`` w (mm^3); with a tumour as site ``tumour_conc`` C_t too. Each
    may be measured alone.

    Parameters
    ----------
    kinetics : a model of compartments
    law : {"exponential", "simeoni"}
    transits : {1, 3}
        Number of stages of damaged cells, any from 0, with which damaged cells are gone at once.
    site : {"plasma", "tumour"}
        Where the concentration acts.

    References
    ----------
    Simeoni et al. (2004), Cancer Res. 64, 1094-1101, doi:10.1158/0008-5472.CAN-03-2524; for a site that follows the
    plasma Sheiner et al. (1979), Clin. Pharmacol. Ther. 25, 358-371, doi:10.1002/cpt1979253358.

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
    site: Literal["plasma", "tumour"] = "plasma"

    own_nonnegative = True

    @property
    def _growth(self):
        return TumourGrowth(self.law)

    @property
    def responses(self):
        return (*(["site"] if self._distant else []), "cycling", *self._damaged)

    @property
    def _distant(self):
        return self.site == "tumour"

    @property
    def _damaged(self):
        return tuple(f"damaged{i}" for i in range(1, self.transits + 1))

    @property
    def own_parameters(self):
        # Near those of the first experiment with paclitaxel in the source: 0.968 per day, 0.000629 per day and ng/mL.
        k1, k2 = Parameter("k1", "1/day", typical=1.0), Parameter("k2", "L/mg/day", typical=0.6)
        ke0 = Parameter("ke0", "1/day", typical=1.0, varies=False)
        return (*self._growth.parameters, *([k1] if self.transits else []), k2, *([ke0] if self._distant else []))

    def initial(self, p):
        return {"cycling": p.y0}

    def drive(self, t, y, p, conc):
        acting = y.site if self._distant else conc
        killed = p.k2 * acting * y.cycling
        found = {"site": p.ke0 * (conc - y.site)} if self._distant else {}
        found |= {"cycling": self._growth.relative_rate(self._size(y), p) * y.cycling - killed}
        for stage in self._damaged:
            left = p.k1 * getattr(y, stage)
            found[stage] = killed - left
            killed = left
        return found

    def _size(self, y):
        return sum((getattr(y, stage) for stage in self._damaged), start=y.cycling)

    def effects(self, t, y, p):
        return {"size": self._size(y)} | ({"tumour_conc": y.site} if self._distant else {})
