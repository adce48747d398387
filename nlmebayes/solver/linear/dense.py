r"""One step of any linear system of compartments, :math:`x' = A x + r`, by its matrix exponential; and its adjoint.

The exponential minus one, :math:`D = e^{Ah} - 1`, is summed as a Taylor series at :math:`h / 2^s` and doubled s times
as :math:`D \leftarrow 2 D + D^2`, which keeps slow rates exact beside fast ones. Derivatives are those of the block
matrix (Van Loan 1978, IEEE Trans. Automat. Contr. 23, 395-404; Al-Mohy and Higham 2009, SIAM J. Matrix Anal. Appl. 30,
1639-1657, doi:10.1137/080716426).
"""

import math

import numpy as np

from nlmebayes.solver.linear.modal import RBAR, R, W, X
from nlmebayes.solver.shared.kernel import cached

SMALL = 1 / 16  # norm at which nine terms reach rounding
TERMS = 9


@cached
def _multiply(a, b, out):
    n = len(a)
    for i in range(n):
        for j in range(n):
            total = 0.0
            for k in range(n):
                total += a[i, k] * b[k, j]
            out[i, j] = total


@cached
def scaled(a, r, h, transposed, b):
    """h times [[A, r], [0, 0]], or its transpose; returns the number of halvings that make it small."""
    n = len(a)
    size = 0.0
    b[:] = 0.0
    for i in range(n):
        for j in range(n):
            b[i, j] = h * (a[j, i] if transposed else a[i, j])
            size = max(size, abs(b[i, j]))
        if transposed:
            b[n, i] = h * r[i]
        else:
            b[i, n] = h * r[i]
    # The column of inputs does not set the scale: it enters linearly.
    halvings = 0
    if size > 0.0 and size < np.inf:
        halvings = max(0, math.ceil(math.log2(size * n / SMALL)))
    b /= 2.0**halvings
    return halvings


@cached
def exponential_minus_one(b, halvings, d, term, work):
    """exp(2^halvings b) - 1 into ``d``."""
    d[:] = b
    term[:] = b
    for k in range(2, TERMS + 1):
        _multiply(b, term, work)
        for i in range(len(b)):
            for j in range(len(b)):
                term[i, j] = work[i, j] / k
                d[i, j] += term[i, j]
    for _ in range(halvings):
        _multiply(d, d, work)
        for i in range(len(b)):
            for j in range(len(b)):
                d[i, j] = 2.0 * d[i, j] + work[i, j]


@cached
def step(h, a, state, work):
    """Carry the amounts state[X] over ``h`` with input rates state[R]."""
    n, x, r = len(a), state[X], state[R]
    b, d = work[0], work[1]
    halvings = scaled(a, r, h, False, b)
    exponential_minus_one(b, halvings, d, work[2], work[3])
    new = work[2, 0]
    for i in range(n):
        total = x[i] + d[i, n]
        for j in range(n):
            total += d[i, j] * x[j]
        new[i] = total
    for i in range(n):
        x[i] = new[i]


@cached
def adjoint(h, a, state, slopes, work):
    """The adjoint of `step` from state[X]: state[W] to before it; state[RBAR] and ``slopes``, of ``a``, gain theirs."""
    n, x, r, w, rbar = len(a), state[X], state[R], state[W], state[RBAR]
    b, d, term, product = work[0], work[1], work[2], work[3]
    e, f, fterm, other = work[4], work[5], work[6], work[7]
    halvings = scaled(a, r, h, True, b)
    e[:] = 0.0
    for i in range(n):
        for j in range(n):
            e[i, j] = h * w[i] * x[j] / 2.0**halvings
        e[i, n] = h * w[i] / 2.0**halvings
    d[:], term[:], f[:], fterm[:] = b, b, e, e
    for k in range(2, TERMS + 1):
        _multiply(b, fterm, product)
        _multiply(e, term, other)
        fterm[:] = (product + other) / k
        _multiply(b, term, product)
        term[:] = product / k
        d += term
        f += fterm
    for _ in range(halvings):
        _multiply(d, f, product)
        _multiply(f, d, other)
        f[:] = 2.0 * f + product + other
        _multiply(d, d, product)
        d[:] = 2.0 * d + product
    new = term[0]
    for i in range(n):
        total = w[i]
        for j in range(n):
            total += d[i, j] * w[j]
            slopes[i, j] += f[i, j]
        rbar[i] += f[i, n]
        new[i] = total
    for i in range(n):
        w[i] = new[i]
