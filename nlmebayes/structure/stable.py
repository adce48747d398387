"""Expressions with removable singularities, finite and with exact gradients on the singular set; log Gamma far out."""

from typing import Annotated

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor import TensorVariable

from nlmebayes.arguments import Array, checked, instance

Expression = Annotated[Variable, instance("an expression of parameters", Variable)] | Array


@checked
def decay_ratio(x: Expression) -> TensorVariable:
    """(1 - exp(-x)) / x, which is 1 at x = 0.

    Below |x| = 1e-3 its Taylor series to x^4 is exact to rounding (the next term is x^5 / 720).

    Parameters
    ----------
    x : expression
        Of any sign.

    Returns
    -------
    tensor

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> float(nb.decay_ratio(0.0).eval())
    1.0
    """
    small = pt.abs(x) < 1e-3
    safe = pt.switch(small, 1.0, x)
    series = 1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5)))
    return pt.switch(small, series, -pt.expm1(-safe) / safe)


@checked
def bateman(a: Expression, b: Expression, t: Expression) -> TensorVariable:
    """(exp(-b t) - exp(-a t)) / (a - b) for rates a, b >= 0, which is t exp(-a t) at a = b.

    Parameters
    ----------
    a, b : expression
        Rates (1/time), not negative.
    t : expression
        Times, from 0.

    Returns
    -------
    tensor
        In the unit of time.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    References
    ----------
    Bateman (1910), Proc. Camb. Phil. Soc. 15, 423-427. The smaller rate is taken out, so that nothing
    overflows.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> float(nb.bateman(0.5, 0.5, 2.0).eval().round(4))
    0.7358
    """
    gap = (a - b) * t
    slower = pt.switch(gap >= 0, b, a)
    return t * pt.exp(-slower * t) * decay_ratio(pt.switch(gap >= 0, gap, -gap))


COEFFICIENTS = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)  # Abramowitz and Stegun 6.1.41
BENT = tuple((2 * i + 1) * (2 * i + 2) * c for i, c in enumerate(COEFFICIENTS))  # of its second derivative
SHIFT = 12  # of the argument of the trigamma function to where its series is exact


def stirling(x):
    """log Gamma(x) - (x - 1/2) log x + x - log(2 pi) / 2, exact to rounding from about 20 on."""
    return _polynomial(x**-2, COEFFICIENTS) / x


def trigamma(x):
    """Second derivative of log Gamma, by recurrence and its asymptotic series: PyTensor's own runs in Python."""
    inverse = 1 / (x + SHIFT)
    tail = inverse + 0.5 * inverse**2 + inverse**3 * _polynomial(inverse**2, BENT)
    return tail + (1 / (pt.shape_padright(x) + np.arange(SHIFT)) ** 2).sum(axis=-1)


def _polynomial(x, coefficients):
    value = 0.0
    for c in reversed(coefficients):
        value = value * x + c
    return value
