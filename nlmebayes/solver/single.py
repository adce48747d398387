"""The step of `modal` for one mode without running infusions, in scalars: the most used models, at a third of the cost.

The exponentials of the forward step are kept on the tape for the adjoint.
"""

import math

from nlmebayes.solver.exponential import NEAR, e1, e2, inlined
from nlmebayes.solver.modal import W, X

KEPT = 3  # numbers on the tape: E_0 of the depot, E_0 of the mode, E_1 of both


@inlined
def step(h, u, depot, central, basis, state, tape, row, first):
    """Carry the amounts over ``h``; the exponentials go to columns ``first`` ... of the tape's row, if there is one."""
    e = math.exp(-basis[u, 1] * h)
    ea, al, g = 0.0, 0.0, 0.0
    if depot >= 0:
        ka = basis[u, 0]
        ea = math.exp(-ka * h)
        al = e1(ka, basis[u, 1], h, ea, e)
        g = state[X, depot]
        state[X, depot] = g * ea
        state[X, central] = state[X, central] * e + ka * g * al
    else:
        state[X, central] *= e
    if len(tape) > 0:
        tape[row, first], tape[row, first + 1], tape[row, first + 2] = ea, e, al


@inlined
def adjoint(h, u, depot, central, basis, state, slopes, tape, row, first):
    """The adjoint of `step`, with the same results as `modal.adjoint`."""
    ea, e, al = tape[row, first], tape[row, first + 1], tape[row, first + 2]
    m, w, shared = state[X, central], state[W, central], h * e
    if depot >= 0:
        ka, lam, g, wg = basis[u, 0], basis[u, 1], state[X, depot], state[W, depot]
        gap, own = ka - lam, h * ea
        if abs(gap) * h > NEAR:
            aal, chain = (al - own) / gap, (shared - al) / gap
        else:
            aal, chain = e2(ka, ka, lam, h, al, al, own), e2(ka, lam, lam, h, shared, al, al)
        into = ka * w
        slopes[u, 1, 0] += w * g * al
        slopes[u, 1, 1] -= g * (into * aal + wg * own)
        slopes[u, 0, 0] += w * m * shared + into * g * chain
        state[W, depot] = wg * ea + into * al
    else:
        slopes[u, 0, 0] += w * m * shared
    state[W, central] = w * e
