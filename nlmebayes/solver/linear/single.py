"""The step of `modal` for one mode without running infusions, in scalars: the most used models, at less of the cost.

What the forward step computes is kept for the adjoint, which then takes no exponential and no quotient: E_0(ka),
E_0(k), E_1(ka, k) and E_2(ka, ka, k); E_2(ka, k, k) = h E_1 - E_2(ka, ka, k), as the derivative in a common shift of
both rates says.
"""

import numpy as np

from nlmebayes.solver.linear.events import UNIT, H
from nlmebayes.solver.linear.exponential import NEAR
from nlmebayes.solver.shared.kernel import cached
from nlmebayes.solver.shared.lanes import exponential

EA, E, AL, AAL, KEPT = range(5)  # rows of what is kept


@cached
def exponentials(steps, basis, depot, kept):
    """What is kept of all steps, (row, step); without a ``depot``, all but E_0(k) is 0."""
    size, h = kept.shape[1], steps[H]
    ea, e, al, aal = kept[EA], kept[E], kept[AL], kept[AAL]
    gap, scale = np.empty(size), np.empty(size)
    for i in range(size):
        unit = int(steps[UNIT, i])
        e[i] = -basis[unit, 1] * h[i]
        if depot:
            ea[i], gap[i] = -basis[unit, 0] * h[i], basis[unit, 0] - basis[unit, 1]
    exponential(e, scale)
    if not depot:
        ea[:], al[:], aal[:] = 0.0, 0.0, 0.0
        return
    exponential(ea, scale)
    for i in range(size):
        al[i] = (e[i] - ea[i]) / gap[i]
    for i in range(size):
        aal[i] = (al[i] - h[i] * ea[i]) / gap[i]
    for i in range(size):
        if abs(gap[i]) * h[i] <= NEAR:
            al[i], aal[i] = _near(h[i], gap[i], ea[i], e[i])


@cached
def _near(h, gap, ea, e):
    """E_1(ka, k) and E_2(ka, ka, k) where the rates are much alike."""
    if h == 0.0:
        return 0.0, 0.0
    d = abs(gap) * h
    # (exp(-d) - 1 + d) / d^2 = sum of (-d)^i / (i + 2)!, even and odd powers apart
    q = d * d
    even = 1 / 2 + q * (1 / 24 + q * (1 / 720 + q * (1 / 40320 + q * (1 / 3628800 + q / 479001600))))
    odd = 1 / 6 + q * (1 / 120 + q * (1 / 5040 + q * (1 / 362880 + q / 39916800)))
    phi = even - d * odd
    slower = max(e, ea)
    al = h * slower * (1.0 - d * phi)
    aal = h * h * slower * phi
    return al, h * al - aal if gap > 0.0 else aal


@cached
def adjoint(h, ka, g, m, wg, w, ea, e, al, aal):
    """Adjoints of depot and mode before the step, and slopes of the mode's rate, the flow and the depot's rate.

    ``g``, ``m`` are the amounts before the step, ``wg``, ``w`` the adjoints after it; the rest is what is kept.
    """
    slope = w * (m * h * e + ka * g * (h * al - aal))
    return wg * ea + ka * w * al, w * e, slope, w * g * al, -g * (ka * w * aal + wg * h * ea)
