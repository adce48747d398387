from dataclasses import dataclass

from nlmebayes import Parameter, System


@dataclass(frozen=True)
class CarTPredatorPrey(System):
    r"""CAR-T cells that kill the tumour on which they grow, as predators do with prey.

    .. math::
        T' = r T \left(1 - \frac{T}{K}\right) - \text{kill}\, C\, T, \qquad
        C' = \text{expansion}\, \frac{C\, T}{\text{half} + T} - \text{death}\, C

    T the tumour (state ``tumour``), C the CAR-T cells (state ``cart``), both in 10^9 cells, about one mL of tumour.
    ``t0`` tumour burden at time 0 (10^9 cells), ``r`` its growth rate (1/day), ``k`` its carrying capacity (10^9
    cells); ``kill`` the rate at which 10^9 CAR-T cells kill (1/day/10^9 cells); ``expansion`` the largest rate of
    expansion (1/day), half of it at the burden ``half`` (10^9 cells); ``death`` of CAR-T cells (1/day). Doses are
    infusions of CAR-T cells. With ``half`` far above the burden the expansion is (expansion / half) C T, that of the
    source; it saturates here as in Kuznetsov et al. (1994), Bull. Math. Biol. 56, 295-321. Nothing is ever extinct:
    a tumour below 1e-9 is less than one cell. Outcomes: ``tumour`` and ``cart``; either may be measured alone.

    References
    ----------
    Sahoo et al. (2020), J. R. Soc. Interface 17, 20190734, doi:10.1098/rsif.2019.0734.

    Examples
    --------
    What is expected of a typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import CarTPredatorPrey
    >>> structure = CarTPredatorPrey()
    >>> theta = {p.name: p.typical for p in structure.parameters}
    >>> tree = nb.population(structure, theta=theta, omega={"sd": {"r": 0.3}},
    ...                      sigma={"tumour": {"a": 0.1}, "cart": {"a": 0.1}}, residual=nb.Additive())
    >>> data = nb.Design([nb.Arm(1, [1, 10, 28], doses={"time": 0, "amt": 0.1})]).dataset(tree)
    >>> nb.predict(tree, data, groups="none")["posterior"]["f_tumour"].to_numpy().ravel().round(2).tolist()
    [51.13, 37.99, 0.34]
    """

    states, nonnegative = ("tumour", "cart"), True
    dosed = "cart"
    # Round numbers with which 10^8 cells expand for two weeks and clear a tumour of 50 mL; the source is about dishes.
    parameters = (
        Parameter("t0", "10^9 cells", typical=50.0),
        Parameter("r", "1/day", typical=0.03),
        Parameter("k", "10^9 cells", typical=1000.0),
        Parameter("kill", "1/day/10^9 cells", typical=0.05),
        Parameter("expansion", "1/day", typical=0.8),
        Parameter("half", "10^9 cells", typical=20.0),
        Parameter("death", "1/day", typical=0.2),
    )

    def initial(self, p):
        return {"tumour": p.t0}

    def rhs(self, t, y, p):
        return {
            "tumour": p.r * y.tumour * (1 - y.tumour / p.k) - p.kill * y.cart * y.tumour,
            "cart": p.expansion * y.cart * y.tumour / (p.half + y.tumour) - p.death * y.cart,
        }

    def outcomes(self, t, y, p):
        return {"tumour": y.tumour, "cart": y.cart}
