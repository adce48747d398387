r"""Penalised splines in formulas: ``"cl ~ 1 + s(age) + (1|id)"``.

``s(x)`` is a thin-plate regression spline (Wood 2003, J. R. Stat. Soc. B 65, 95-114) written as a mixed model: a
straight line, and curved columns whose coefficients share one standard deviation,

.. math:: s(x) = \beta\,\tilde x + \sum_k b_k Z_k(x), \qquad b_k \sim N(0, \omega^2)

so that the data say how curved it is; omega = 0 is the line. The columns are scaled together so that omega is about the
SD of the curved part over the training data. ``s(x, k=20)`` takes more columns, ``s(x):group`` a smooth for each group.
The basis of new data is that of the training data, beyond whose range the spline is about a straight line.
"""

import re

import numpy as np
import pytensor.tensor as pt
from formulae.transforms import ThinPlateRegressionSpline
from pymc.logprob.transforms import Transform

from nlmebayes.formula.scan import FormulaError

COLUMN = re.compile(r"(?<![\w.])s\((?:[^()]|\([^()]*\))*\)\[(\d+)\]")


class Smooth:
    """The function ``s`` of formulas: remembers the basis of the data it saw first.

    The curved columns are rotated to be orthogonal to the line and to one another over these data, which changes
    neither the functions nor their penalty but the sampler's work; their signs are fixed by their largest values, so
    that the basis is the same on every machine.
    """

    __stateful_transform__ = True  # what formulae asks for

    def __init__(self):
        self.spline = None
        self.along = None  # how much of the line is in each curved column
        self.turn = None  # (column, column): rotation and scale

    def __call__(self, x, k=10):
        """Columns (record, k - 1): the standardised covariate, then the curved ones."""
        x = np.asarray(x, dtype=float)
        if self.spline is None:
            self._start(x, k)
        basis = self.spline.to_random(self.spline.eval(x))
        line = basis[:, :1]
        return np.hstack([line, (basis[:, 1:] - line * self.along) @ self.turn])

    def _start(self, x, k):
        if not isinstance(k, int) or k < 4:
            raise ValueError(f"s(x, k={k}): k must be a whole number from 4")
        if len(np.unique(x)) < k:
            raise ValueError(f"s(x, k={k}): the covariate has {len(np.unique(x))} values; give a smaller k=")
        self.spline = ThinPlateRegressionSpline()
        self.spline(x, df=k - 1)
        basis = self.spline.to_random()
        line, curved = basis[:, :1], basis[:, 1:]
        self.along = (line * curved).mean(axis=0)
        left, size, right = np.linalg.svd(curved - line * self.along, full_matrices=False)
        sign = np.sign(left[np.abs(left).argmax(axis=0), np.arange(len(size))])
        self.turn = right.T * sign / np.sqrt((size**2).sum() / len(x))


def smooth_of(term, formula=""):
    """The smooth whose SD the coefficient of a term has, e.g. ``s(age)``, or None."""
    found = COLUMN.findall(term)
    if len(found) > 1:
        raise FormulaError(f"formula {formula!r}: {term} is a product of smooths, which have no penalty here")
    if not found or found[0] == "0":
        return None
    return COLUMN.sub(lambda match: match[0].rpartition("[")[0], term)


class Shrunk(Transform):
    """Coefficients of a smooth in units of about their own posterior SD, (1 / omega^2 + weight)^-1/2.

    A smooth without curvature is then no funnel (units of omega), nor is one that the data know well a ridge (units
    that do not change). The weight is a guess of what the data say of a coefficient; any gives the same posterior.
    """

    name = "shrunk"

    def __init__(self, curved, weight):
        self.curved, self.weight = np.asarray(curved), np.asarray(weight)

    def _scale(self, inputs):
        omega = pt.switch(self.curved, inputs[-1], 1.0)  # the last input of a normal law is its SD
        return pt.switch(self.curved, omega / pt.sqrt(1 + self.weight * omega**2), 1.0)

    def forward(self, value, *inputs):
        return value / self._scale(inputs)

    def backward(self, value, *inputs):
        return value * self._scale(inputs)

    def log_jac_det(self, value, *inputs):
        return pt.log(self._scale(inputs)) + pt.zeros_like(value)
