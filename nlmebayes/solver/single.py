"""The step of `modal` for one mode without running infusions, in scalars: the most used models, at less of the cost.

What the forward step computes is kept on the tape for the adjoint, which then takes no exponential and no quotient:
E_0(ka), E_0(k), E_1(ka, k) and E_2(ka, ka, k); E_2(ka, k, k) = h E_1 - E_2(ka, ka, k), as the derivative in a common
shift of both rates says. No array is passed, since Numba counts the references of each.
"""

import math

from nlmebayes.solver.exponential import NEAR
from nlmebayes.solver.kernel import cached

KEPT = 4


@cached
def exponentials(h, ka, k):
    """(E_0(ka), E_0(k), E_1(ka, k), E_2(ka, ka, k)) over h."""
    ea, e = math.exp(-ka * h), math.exp(-k * h)
    gap = ka - k
    d = abs(gap) * h
    if d > NEAR:
        al = (e - ea) / gap
        return ea, e, al, (al - h * ea) / gap
    # (exp(-d) - 1 + d) / d^2 = sum of (-d)^i / (i + 2)!, even and odd powers apart
    q = d * d
    even = 1 / 2 + q * (1 / 24 + q * (1 / 720 + q * (1 / 40320 + q * (1 / 3628800 + q / 479001600))))
    odd = 1 / 6 + q * (1 / 120 + q * (1 / 5040 + q * (1 / 362880 + q / 39916800)))
    phi = even - d * odd
    slower = max(e, ea)
    al = h * slower * (1.0 - d * phi)
    aal = h * h * slower * phi
    return ea, e, al, h * al - aal if gap > 0.0 else aal


@cached
def adjoint(h, ka, g, m, wg, w, ea, e, al, aal):
    """Adjoints of depot and mode before the step, and slopes of the mode's rate, the flow and the depot's rate.

    ``g``, ``m`` are the amounts before the step, ``wg``, ``w`` the adjoints after it; the rest is `exponentials`.
    """
    slope = w * (m * h * e + ka * g * (h * al - aal))
    return wg * ea + ka * w * al, w * e, slope, w * g * al, -g * (ka * w * aal + wg * h * ea)
