"""The step of `modal` for one mode without running infusions, in scalars: the most used models, at a third of the cost.

What the forward step computes is kept on the tape for the adjoint, which then takes no exponential and no quotient:
E_0(ka), E_0(k), E_1(ka, k) and E_2(ka, ka, k); E_2(ka, k, k) = h E_1 - E_2(ka, ka, k), as the derivative in a common
shift of both rates says.
"""

import math

from nlmebayes.solver.exponential import NEAR
from nlmebayes.solver.kernel import inlined
from nlmebayes.solver.modal import W, X

KEPT = 4


@inlined
def step(h, u, depot, central, basis, state, tape, row, first):
    """Carry the amounts over ``h``; what is kept goes to columns ``first`` ... of the tape's row, if there is one."""
    k = basis[u, 1]
    e = math.exp(-k * h)
    ea, al, aal, g = 0.0, 0.0, 0.0, 0.0
    if depot >= 0:
        ka = basis[u, 0]
        ea = math.exp(-ka * h)
        gap = ka - k
        d = abs(gap) * h
        if d > NEAR:
            al = (e - ea) / gap
            aal = (al - h * ea) / gap
        else:
            # (exp(-d) - 1 + d) / d^2 = sum of (-d)^i / (i + 2)!, even and odd powers apart
            q = d * d
            even = 1 / 2 + q * (1 / 24 + q * (1 / 720 + q * (1 / 40320 + q * (1 / 3628800 + q / 479001600))))
            odd = 1 / 6 + q * (1 / 120 + q * (1 / 5040 + q * (1 / 362880 + q / 39916800)))
            phi = even - d * odd
            slower = max(e, ea)
            al = h * slower * (1.0 - d * phi)
            aal = h * h * slower * phi
            if gap > 0.0:
                aal = h * al - aal
        g = state[X, depot]
        state[X, depot] = g * ea
        state[X, central] = state[X, central] * e + ka * g * al
    else:
        state[X, central] *= e
    if len(tape) > 0:
        tape[row, first], tape[row, first + 1], tape[row, first + 2], tape[row, first + 3] = ea, e, al, aal


@inlined
def adjoint(h, u, depot, central, basis, state, slopes, tape, row, x, first):
    """The adjoint of `step`, with the same results as `modal.adjoint`; the amounts stand on the tape from column x."""
    e, w = tape[row, first + 1], state[W, central]
    slope = tape[row, x + central] * h * e
    if depot >= 0:
        ea, al, aal = tape[row, first], tape[row, first + 2], tape[row, first + 3]
        ka, g, wg = basis[u, 0], tape[row, x + depot], state[W, depot]
        slope += ka * g * (h * al - aal)
        slopes[u, 1, 0] += w * g * al
        slopes[u, 1, 1] -= g * (ka * w * aal + wg * h * ea)
        state[W, depot] = wg * ea + ka * w * al
    slopes[u, 0, 0] += w * slope
    state[W, central] = w * e
