"""Expressions with removable singularities, finite and with exact gradients on the singular set."""

import pytensor.tensor as pt


def decay_ratio(x):
    """(1 - exp(-x)) / x, which is 1 at x = 0.

    Below |x| = 1e-3 its Taylor series to x^4 is exact to rounding (the next term is x^5 / 720).
    """
    small = pt.abs(x) < 1e-3
    safe = pt.switch(small, 1.0, x)
    series = 1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5)))
    return pt.switch(small, series, -pt.expm1(-safe) / safe)


def bateman(a, b, t):
    """(exp(-b t) - exp(-a t)) / (a - b) for rates a, b >= 0, which is t exp(-a t) at a = b.

    Source: Bateman (1910), Proc. Camb. Phil. Soc. 15, 423-427. The smaller rate is taken out, so that nothing
    overflows.
    """
    gap = (a - b) * t
    slower = pt.switch(gap >= 0, b, a)
    return t * pt.exp(-slower * t) * decay_ratio(pt.switch(gap >= 0, gap, -gap))
