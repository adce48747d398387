r"""One step of a mammillary system, with or without a depot, in its own modes; and the adjoint of that step.

The disposition block is similar to a symmetric matrix, so its modes are well conditioned at any rates: with
:math:`x` the amounts, :math:`m = T x` decays at rates :math:`\lambda`, fed by the depot and by infusions:

.. math::
    m_i(h) = m_i E_0(\lambda_i) + c_i k_a g E_1(k_a, \lambda_i) + \rho_i E_1(0, \lambda_i)
             + c_i k_a r_g E_2(0, k_a, \lambda_i), \quad g(h) = g E_0(k_a) + r_g E_1(0, k_a),

where g is the depot, r_g its input rate, :math:`\rho = T r` those of the modes and c the column of T of the central
state. Derivatives are taken in the fixed basis T with respect to every entry of the transformed matrix
(Daleckii and Krein 1965), so that coinciding eigenvalues need no care.
"""

import math

import numpy as np

from nlmebayes.solver.linear.exponential import e1, e2, e3
from nlmebayes.solver.shared.kernel import cached, inlined

# Rows of the working array (ROWS, state): amounts, input rates, the adjoints of both; then, by mode, scratch.
X, R, W, RBAR, MODE, INPUT, BACK, DECAY, FROM_DEPOT, FROM_INPUT, FROM_BOTH, ROWS = range(12)
LEAST = 1e-300  # rate of a way that there is not
SWEEPS = 30  # of Jacobi rotations; three modes need about five


@cached
def width(n):
    """Columns of ``basis`` for n modes: the depot's rate, the rates of the modes, T and its inverse."""
    return 1 + n + 2 * n * n


@cached
def decompose(a, out, central, n, basis):
    """Rates and basis of the block of ``n`` states from ``central`` of the matrix ``a`` of one unit, into ``basis``.

    ``out`` is the rate at which the central state leaves the block. The smallest rate is taken from the determinant,
    out k21 k31 / (product of the others), which has no cancellation.
    """
    if n == 1:
        basis[1], basis[2], basis[3] = out, 1.0, 1.0
        return
    s, v, d = np.zeros((n, n)), np.eye(n), np.ones(n)
    s[0, 0] = -a[central, central]
    smallest = out
    for j in range(1, n):
        p = central + j
        forth, back = max(a[p, central], LEAST), max(a[central, p], LEAST)
        s[j, j] = max(-a[p, p], LEAST)
        s[0, j] = s[j, 0] = -math.sqrt(back) * math.sqrt(forth)
        d[j] = math.sqrt(back) / math.sqrt(forth)
        smallest *= s[j, j]
    _diagonalise(s, v)
    low = 0
    for i in range(1, n):
        if s[i, i] < s[low, low]:
            low = i
    for i in range(n):
        basis[1 + i] = s[i, i]
        if i != low:
            smallest /= s[i, i]
        for j in range(n):
            basis[n + 1 + n * i + j] = v[j, i] * d[j]
            basis[n + 1 + n * n + n * j + i] = v[j, i] / d[j]
    basis[1 + low] = smallest


@cached
def _diagonalise(s, v):
    """Cyclic Jacobi rotations; ``s`` becomes diagonal, ``v`` collects the eigenvectors."""
    n = len(s)
    for _ in range(SWEEPS):
        done = True
        for p in range(n):
            for q in range(p + 1, n):
                if abs(s[p, q]) > 1e-17 * math.sqrt(abs(s[p, p] * s[q, q])):
                    done = False
                    _rotate(s, v, p, q)
        if done:
            break


@cached
def _rotate(s, v, p, q):
    """One Jacobi rotation that annihilates s[p, q]."""
    theta = (s[q, q] - s[p, p]) / (2.0 * s[p, q])
    t = (1.0 if theta >= 0 else -1.0) / (abs(theta) + math.sqrt(theta * theta + 1.0))
    c = 1.0 / math.sqrt(t * t + 1.0)
    w = t * c
    for k in range(len(s)):
        x, y = s[k, p], s[k, q]
        s[k, p], s[k, q] = c * x - w * y, w * x + c * y
    for k in range(len(s)):
        x, y = s[p, k], s[q, k]
        s[p, k], s[q, k] = c * x - w * y, w * x + c * y
        x, y = v[k, p], v[k, q]
        v[k, p], v[k, q] = c * x - w * y, w * x + c * y


@inlined
def step(h, u, depot, central, n, basis, state, fed):
    """Carry the amounts of unit ``u``, state[X], over ``h``, with input rates state[R] if ``fed``."""
    forth, back = n + 1, n + 1 + n * n  # where T and its inverse start
    g, rg, ea, ka = 0.0, 0.0, 0.0, basis[u, 0]
    if depot >= 0:
        g, rg, ea = state[X, depot], state[R, depot], math.exp(-ka * h)
    for i in range(n):
        z, rho = 0.0, 0.0
        for j in range(n):
            z += basis[u, forth + n * i + j] * state[X, central + j]
            if fed:
                rho += basis[u, forth + n * i + j] * state[R, central + j]
        e = math.exp(-basis[u, 1 + i] * h)
        state[MODE, i] = z * e
        if depot >= 0:
            al = e1(ka, basis[u, 1 + i], h, ea, e)
            state[MODE, i] += basis[u, forth + n * i] * ka * g * al
        if fed:
            ol = e1(0.0, basis[u, 1 + i], h, 1.0, e)
            state[MODE, i] += rho * ol
            if depot >= 0 and rg != 0.0:
                oal = e2(0.0, ka, basis[u, 1 + i], h, al, ol, e1(0.0, ka, h, 1.0, ea))
                state[MODE, i] += basis[u, forth + n * i] * ka * rg * oal
    for j in range(n):
        total = 0.0
        for i in range(n):
            total += basis[u, back + n * j + i] * state[MODE, i]
        state[X, central + j] = total
    if depot >= 0:
        state[X, depot] = g * ea + (rg * e1(0.0, ka, h, 1.0, ea) if fed else 0.0)


@inlined
def adjoint(h, u, depot, central, n, basis, state, fed, slopes):
    """The adjoint of `step` from state[X]: state[W] goes from after the step to before it.

    state[RBAR] gains the adjoint of the input rates; ``slopes`` gains those of the unit's matrix: the block in the
    basis of the modes, then, in its last row, of the flow from the depot and of the depot's own rate.
    """
    forth, back = n + 1, n + 1 + n * n
    g, rg, ea, eo, oaa, wg, ka = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, basis[u, 0]
    infused = fed and depot >= 0
    if depot >= 0:
        g, rg, ea, wg = state[X, depot], state[R, depot], math.exp(-ka * h), state[W, depot]
        if infused:
            eo = e1(0.0, ka, h, 1.0, ea)
            oaa = e2(0.0, ka, ka, h, h * ea, eo, eo)
        slopes[u, n, 1] -= wg * (g * h * ea + rg * oaa)
        state[W, depot] = wg * ea
        state[RBAR, depot] += wg * eo
    for i in range(n):
        z, rho, y, lam = 0.0, 0.0, 0.0, basis[u, 1 + i]
        for j in range(n):
            z += basis[u, forth + n * i + j] * state[X, central + j]
            y += basis[u, back + n * j + i] * state[W, central + j]
            if fed:
                rho += basis[u, forth + n * i + j] * state[R, central + j]
        e = math.exp(-lam * h)
        state[MODE, i], state[INPUT, i], state[BACK, i], state[DECAY, i] = z, rho, y, e
        if fed:
            state[FROM_INPUT, i] = e1(0.0, lam, h, 1.0, e)
        if depot >= 0:
            into = basis[u, forth + n * i] * y
            al = e1(ka, lam, h, ea, e)
            aal = e2(ka, ka, lam, h, al, al, h * ea)
            state[FROM_DEPOT, i] = al
            state[W, depot] += into * ka * al
            slopes[u, n, 0] += into * g * al
            slopes[u, n, 1] -= into * ka * g * aal
            if infused:
                oal = e2(0.0, ka, lam, h, al, state[FROM_INPUT, i], eo)
                state[FROM_BOTH, i] = oal
                state[RBAR, depot] += into * ka * oal
                slopes[u, n, 0] += into * rg * oal
                slopes[u, n, 1] -= into * ka * rg * e3(0.0, ka, ka, lam, h, aal, oal, oal, oaa)
    for i in range(n):
        lam = basis[u, 1 + i]
        for j in range(i + 1):
            mu = basis[u, 1 + j]
            shared = h * state[DECAY, i] if i == j else e1(lam, mu, h, state[DECAY, i], state[DECAY, j])
            fed_by, fed_to = state[MODE, j] * shared, state[MODE, i] * shared
            if depot >= 0:
                chain = e2(ka, lam, mu, h, shared, state[FROM_DEPOT, j], state[FROM_DEPOT, i])
                fed_by += basis[u, forth + n * j] * ka * g * chain
                fed_to += basis[u, forth + n * i] * ka * g * chain
            if fed:
                held = e2(0.0, lam, mu, h, shared, state[FROM_INPUT, j], state[FROM_INPUT, i])
                fed_by += state[INPUT, j] * held
                fed_to += state[INPUT, i] * held
                if infused and rg != 0.0:
                    both = e3(0.0, ka, lam, mu, h, chain, held, state[FROM_BOTH, j], state[FROM_BOTH, i])
                    fed_by += basis[u, forth + n * j] * ka * rg * both
                    fed_to += basis[u, forth + n * i] * ka * rg * both
            slopes[u, i, j] += state[BACK, i] * fed_by
            if i != j:
                slopes[u, j, i] += state[BACK, j] * fed_to
    for j in range(n):
        total = 0.0
        for i in range(n):
            total += basis[u, forth + n * i + j] * state[BACK, i] * state[DECAY, i]
            if fed:
                state[RBAR, central + j] += basis[u, forth + n * i + j] * state[BACK, i] * state[FROM_INPUT, i]
        state[W, central + j] = total


@cached
def periodic(period, u, depot, central, n, basis, x):
    """x = (1 - P)^-1 x for the propagator P of one period: what repeats if ``x`` is added once a period."""
    forth, back = n + 1, n + 1 + n * n
    m, ka, ea = np.zeros(n), basis[u, 0], 0.0
    if depot >= 0:
        ea = math.exp(-ka * period)
        x[depot] /= -math.expm1(-ka * period)
    for i in range(n):
        lam = basis[u, 1 + i]
        for j in range(n):
            m[i] += basis[u, forth + n * i + j] * x[central + j]
        if depot >= 0:
            m[i] += basis[u, forth + n * i] * ka * x[depot] * e1(ka, lam, period, ea, math.exp(-lam * period))
        m[i] /= -math.expm1(-lam * period)
    for j in range(n):
        x[central + j] = 0.0
        for i in range(n):
            x[central + j] += basis[u, back + n * j + i] * m[i]


@cached
def periodic_adjoint(period, u, depot, central, n, basis, w):
    """w = (1 - P)^-T w, the adjoint of `periodic`."""
    forth, back = n + 1, n + 1 + n * n
    y, ka, ea = np.zeros(n), basis[u, 0], math.exp(-basis[u, 0] * period)
    for i in range(n):
        lam = basis[u, 1 + i]
        for j in range(n):
            y[i] += basis[u, back + n * j + i] * w[central + j]
        y[i] /= -math.expm1(-lam * period)
        if depot >= 0:
            w[depot] += basis[u, forth + n * i] * ka * y[i] * e1(ka, lam, period, ea, math.exp(-lam * period))
    if depot >= 0:
        w[depot] /= -math.expm1(-ka * period)
    for j in range(n):
        w[central + j] = 0.0
        for i in range(n):
            w[central + j] += basis[u, forth + n * i + j] * y[i]
