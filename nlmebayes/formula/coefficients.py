r"""Default priors of the coefficients of a linear predictor, from what each column says beside the others.

A coefficient is moved by what its column holds that no other column does, so that is what its prior SD is scaled by,

.. math:: \operatorname{sd}(\beta_k) = \text{spread} / r_k, \qquad r_k^2 = 1 / [(X'X/n)^{-1}]_{kk}

with :math:`r_k` the root mean square of column k after regression on the others: beside an intercept the SD of what is
left. Scaled by the column alone, raw powers of a time or two covariates that go together have priors that no data can
move. The coefficients keep their names and are independent a priori; their prior SDs are the diagonal of a prior on the
QR-scaled columns, as rstanarm, brms and Bambi argue for one.
"""

import numpy as np
import pytensor.tensor as pt
from pymc.logprob.transforms import Transform

from nlmebayes.formula.matrix import INTERCEPT
from nlmebayes.parameter.parameter import Prior

TURNED = 5.0  # size of a column per what it holds beside the others, from which on the sampler sees other coordinates
NOTHING = 1e-8  # of a column's size: what it holds beside those before it, where it is a combination of them


def independent(values):
    """Positions of the columns (row, column) that are no combination of those before them."""
    length = np.linalg.norm(values, axis=0)
    scaled = values / np.where(length > 0, length, 1.0)
    beyond = np.abs(np.diag(np.linalg.qr(scaled, mode="r")))  # of each column what those before it do not hold
    if len(beyond) == scaled.shape[1] and (beyond > NOTHING).all():
        return list(range(len(beyond)))
    basis, found = np.zeros((len(values), 0)), []  # one at a time, since a combination must leave no direction behind
    for k, column in enumerate(scaled.T):
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)  # twice is enough for rounding (Kahan)
        left = np.linalg.norm(rest)
        if left > NOTHING:
            basis = np.column_stack([basis, rest / left])
            found.append(k)
    return found


def size(values):
    """Root mean square of each column."""
    return np.sqrt((values**2).mean(axis=0))


def apart(values):
    """Root mean square of what is left of each column after regression on the others, (column,).

    That of a combination of columns before it is nothing; it has its own SD, or 1 where it is constant, and the others
    are regressed on one another.
    """
    found = np.where(values.std(axis=0) > NOTHING * size(values), values.std(axis=0), 1.0)
    here = independent(values)
    if here:
        scale = size(values)[here]
        triangle = np.linalg.qr(values[:, here] / (scale * np.sqrt(len(values))), mode="r")
        found[here] = scale / np.linalg.norm(np.linalg.inv(triangle), axis=1)
    return found


def indicators(values):
    """Whether each column holds zeros and ones alone."""
    return ((values == 0) | (values == 1)).all(axis=0)


def levels(matrix):
    """Terms of a `Matrix` whose coefficients are values of the parameter: the intercept, or a factor in full."""
    if INTERCEPT in matrix.terms:
        return {INTERCEPT}
    total, found = np.zeros(len(matrix.values)), set()
    for label, column in zip(matrix.terms, matrix.values.T, strict=True):
        if indicators(column[:, None])[0] and (total + column <= 1).all() and not total.all():
            total += column
            found.add(label)
    return found if total.all() else set()


def turned(values, sigma):
    """`Turned` of coefficients with prior SDs ``sigma``, or None where no column is near a combination of others."""
    size_of, here = size(values), independent(values)
    if len(here) < len(sigma) or (size_of < TURNED * apart(values)).all():
        return None
    triangle = np.linalg.qr(values / size_of, mode="r") * size_of
    return Turned(triangle * (sigma / np.linalg.norm(triangle * sigma, axis=1))[:, None])


class Turned(Transform):
    """Coefficients as the sampler sees them, A theta, with A the triangle of a QR decomposition of their columns.

    Columns that go together make a ridge of the posterior, along which steps are short; there is none in A theta. The
    coordinates have the prior SDs of the coefficients, and the first moves the first coefficient alone.
    """

    name = "turned"

    def __init__(self, matrix):
        self.matrix, self.inverse = matrix, np.linalg.inv(matrix)

    def forward(self, value, *inputs):
        return (self.matrix * value).sum(axis=-1)

    def backward(self, value, *inputs):
        return (self.inverse * value).sum(axis=-1)

    def log_jac_det(self, value, *inputs):
        return -np.log(np.abs(np.diag(self.matrix))) + pt.zeros_like(value)


def multiples(values, place, data):
    """Prior SD of each coefficient per prior SD of a value of the parameter, (column,).

    ``place``: which coefficients are values themselves, (column,). ``data``: that SD is one of measurements, which
    bound what groups may differ by. A stated one says how two values differ, also where a group is small.
    """
    own = size(values)
    scaled = np.where(place & (own > 0), own, 1.0) / apart(values)
    return scaled if data else np.where(place | indicators(values), 1.0, scaled)


def prior(matrix, middle, spread, *, data=False):
    """Prior of the coefficients of a `Matrix`, where a value of its linear predictor has Normal(middle, spread).

    ``data``: middle and spread are those of measurements, at the mean of all columns and offsets. The intercept then
    lies where the columns are 0, with an SD to match; a stated one is a statement about that place. Without intercept
    and without a factor in full, the slopes have to make the level too. Coefficients that a smooth shrinks have no
    part in this.
    """
    place = np.array([label in levels(matrix) for label in matrix.terms])
    height = middle - matrix.offset.mean() if data or not place.any() else middle
    width = spread if place.any() else np.hypot(height, spread)
    free = np.array([smooth is None for smooth in matrix.smooths])
    factor = np.ones(len(matrix.terms))
    factor[free] = multiples(matrix.values[:, free], place[free], data)
    mu = {t: float(height) if here else 0.0 for t, here in zip(matrix.terms, place, strict=True)}
    sigma = {t: float(f"{width * k:.3g}") for t, k in zip(matrix.terms, factor, strict=True)}
    return Prior("Normal", mu=mu, sigma=sigma)
