r"""Divided differences of the exponential: the integrals that linear compartments in a chain lead to.

.. math::
    E_0(a) = e^{-ah}, \quad E_1(a, b) = \int_0^h e^{-a(h-s)} e^{-bs} ds, \quad
    E_2(a, b, c) = \int_0^h e^{-a(h-s)} E_1(b, c; s) ds, \ ...

They are symmetric and positive, with :math:`E_k = (E_{k-1}(\text{without } p) - E_{k-1}(\text{without } q)) / (p - q)`
for any two of their rates, and :math:`-\partial E_k / \partial a = E_{k+1}(a, a, ...)`. The quotient is taken at the
widest pair and only where it is further apart than ``NEAR``; nearer ones are summed as a Taylor series, so that equal
rates are no special case and nothing cancels. Source: McCurdy, Ng and Parlett (1984), Math. Comp. 43, 501-528,
doi:10.1090/S0025-5718-1984-0758198-0.
"""

import math

import numpy as np

from nlmebayes.solver.shared.kernel import cached

NEAR = 0.3  # |p - q| h below which the series is summed; the quotient then loses one digit an order
TERMS = 12  # of the series: NEAR**12 / 12! is below rounding
RECIPROCAL = np.array([0.0, *(1.0 / k for k in range(1, TERMS + 6))])


@cached
def e1(a, b, h, ea, eb):
    """E_1(a, b) from E_0(a) and E_0(b)."""
    d = (a - b) * h
    if abs(d) > NEAR:
        return (eb - ea) / (a - b)
    # h exp(-b h) (1 - exp(-d)) / d
    total = 1.0
    for k in range(TERMS + 1, 1, -1):
        total = 1.0 - d * RECIPROCAL[k] * total
    return eb * h * total


@cached
def _series2(x, y, z):
    """exp[x, y, z] of arguments that lie within NEAR of one another and of 0."""
    u, v, w, total = 1.0, 0.0, 0.0, 0.0
    for k in range(1, TERMS + 3):
        w = (w * z + v) * RECIPROCAL[k]
        v = (v * y + u) * RECIPROCAL[k]
        u = u * x * RECIPROCAL[k]
        total += w
    return total


@cached
def _series3(x, y, z, o):
    u, v, w, q, total = 1.0, 0.0, 0.0, 0.0, 0.0
    for k in range(1, TERMS + 4):
        q = (q * o + w) * RECIPROCAL[k]
        w = (w * z + v) * RECIPROCAL[k]
        v = (v * y + u) * RECIPROCAL[k]
        u = u * x * RECIPROCAL[k]
        total += q
    return total


@cached
def e2(a, b, c, h, bc, ac, ab):
    """E_2(a, b, c) from the three E_1."""
    x, y, z = abs(a - b), abs(a - c), abs(b - c)
    widest = max(x, y, z)
    if widest * h > NEAR:
        if widest == x:
            return (bc - ac) / (a - b)
        if widest == y:
            return (bc - ab) / (a - c)
        return (ac - ab) / (b - c)
    low = min(a, b, c)
    return h * h * math.exp(-low * h) * _series2((low - a) * h, (low - b) * h, (low - c) * h)


@cached
def e3(a, b, c, d, h, bcd, acd, abd, abc):
    """E_3(a, b, c, d) from the four E_2, each without one of its rates."""
    low, high = min(a, b, c, d), max(a, b, c, d)
    if (high - low) * h > NEAR:
        top = bcd if high == a else acd if high == b else abd if high == c else abc
        bottom = bcd if low == a else acd if low == b else abd if low == c else abc
        return (top - bottom) / (high - low)
    x, y, z, o = (low - a) * h, (low - b) * h, (low - c) * h, (low - d) * h
    return h * h * h * math.exp(-low * h) * _series3(x, y, z, o)
