from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt

from nlmebayes import Parameter, System


@dataclass(frozen=True)
class AntibodyDecay(System):
    r"""Antibody titre after B cells are depleted: the source-sink form of first-order turnover.

    .. math::
        A' = k a_0 \left(fr + (1 - fr)\, S\right) - k A, \qquad A(0) = a_0, \qquad k = \log 2 / t_{half}

    Up to the treatment, at time 0, plasma cells make as much antibody as is broken down. The part of them that must be
    renewed from B cells is lost then, at once (S = 0), and the titre falls from ``a0`` (unit of the titre) to the part
    ``fr`` of it (fraction) that long-lived cells maintain, with the half-life ``thalf`` (days) of the antibody:

    .. math:: A = a_0 \left(fr + (1 - fr)\, e^{-k t}\right)

    Or it dies out with the half-life ``thalf_cells`` (days): S' = -log(2) / thalf_cells S, S(0) = 1. Times are in days;
    before time 0 the titre is ``a0``.

    Typical values: 21 days is about the half-life of IgG in people (that of IgG3 is shorter); White et al. found
    short-lived cells to have half-lives of 2 to 10 days and long-lived ones of years. ``fr`` is a round number, and
    ``a0`` in the unit of the assay has none: state it.

    Parameters
    ----------
    long_lived : bool
        Whether the lost cells live on and die out, rather than stop at once.
    flip_flop : bool
        The curve is the same with ``thalf`` and ``thalf_cells`` exchanged, a second mode. Unless True, a soft barrier
        keeps ``thalf > thalf_cells``.

    References
    ----------
    White et al. (2014), J. Infect. Dis. 210, 1115-1122, doi:10.1093/infdis/jiu219, for antibody from short- and
    long-lived cells; Hammarlund et al. (2017), Nat. Commun. 8, 1781, doi:10.1038/s41467-017-01901-w, for titres that
    last without B cells.

    Examples
    --------
    What is expected of a typical one:

    >>> import nlmebayes as nb
    >>> from model_zoo import AntibodyDecay
    >>> structure = AntibodyDecay()
    >>> theta = {p.name: p.typical for p in structure.parameters}
    >>> tree = nb.population(structure, theta=theta, omega={"sd": {"thalf": 0.3}},
    ...                      sigma={"a": 0.1}, residual=nb.Additive(), outcome="titre")
    >>> data = nb.Design([nb.Arm(1, [0, 21, 365])]).dataset(tree)
    >>> nb.predict(tree, data, groups="none")["posterior"]["f_titre"].to_numpy().ravel().round(2).tolist()
    [100.0, 60.0, 20.0]
    """

    long_lived: bool = False
    flip_flop: bool = False

    nonnegative = True

    @property
    def states(self):
        return ("antibody", "cells") if self.long_lived else ("antibody",)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        own = (
            Parameter("a0", "titre", typical=100.0), Parameter("fr", "fraction", typical=0.2, link="logit"),
            Parameter("thalf", "days", typical=21.0),
        )  # fmt: skip
        return (*own, Parameter("thalf_cells", "days", typical=5.0)) if self.long_lived else own

    def initial(self, p):
        return {"antibody": p.a0} | ({"cells": 1.0} if self.long_lived else {})

    def rhs(self, t, y, p):
        renewed = pt.switch(t < 0, 1.0, y.cells if self.long_lived else 0.0)
        source = p.a0 * (p.fr + (1 - p.fr) * renewed)
        slopes = {"antibody": np.log(2) / p.thalf * (source - y.antibody)}
        dying = pt.switch(t < 0, 0.0, np.log(2) / p.thalf_cells * y.cells) if self.long_lived else None
        return slopes | ({"cells": -dying} if self.long_lived else {})

    def outcomes(self, t, y, p):
        return {"titre": y.antibody}

    @property
    def order(self):
        def thalf_above_thalf_cells(p):
            """Log ratio of the half-life of the antibody to that of the cells."""
            return pt.log(p.thalf / p.thalf_cells)

        return (thalf_above_thalf_cells,) if self.long_lived and not self.flip_flop else ()
