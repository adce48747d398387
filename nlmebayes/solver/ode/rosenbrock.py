"""A step of Rodas5P and its adjoint.

In the variables U of Hairer and Wanner, with J = df/dy at the start of the step and W = 1 / (gamma h) - J:

    W U_i = f(t + c_i h, y + sum_j a_ij U_j) + h d_i df/dt + sum_j (c_ij / h) U_j,    y1 = y + sum_i b_i U_i

and the error is U_8. J enters the step, so the adjoint needs its derivative: that of sum_ab G_ab J_ab with
G = sum_i v_i U_i', where v_i solves W' v_i = (adjoint of U_i).
"""

from nlmebayes.solver import lu
from nlmebayes.solver.kernel import cached
from nlmebayes.solver.ode import call
from nlmebayes.solver.ode.tableaus import COUPLING, GAMMA, RODAS_A, RODAS_B, RODAS_C, RODAS_D

STAGES = 8


@cached
def _prepare(law, t, h, y, par, unit, matrix, slope, pivot):
    """Factors of W into ``matrix``, df/dt into ``slope``; returns the norm of J."""
    call.jacobian(law, t, y, par, unit, matrix, slope)
    n, norm = len(y), 0.0
    for i in range(n):
        row = 0.0
        for j in range(n):
            row += abs(matrix[i, j])
            matrix[i, j] = -matrix[i, j]
        norm = max(norm, row)
        matrix[i, i] += 1.0 / (GAMMA * h)
    lu.factorise(matrix, pivot)
    return norm


@cached
def step(law, t, h, y, rate, u, par, unit, new, tol, matrix, vectors, pivot):
    """One step: stages into ``u``, the state after it into ``new``; returns the squares of its error and of h |J|."""
    n = len(y)
    slope, at, f = vectors[0], vectors[1], vectors[2]
    norm = _prepare(law, t, h, y, par, unit, matrix, slope, pivot)
    for s in range(STAGES):
        for i in range(n):
            at[i] = y[i]
            for r in range(s):
                at[i] += RODAS_A[s, r] * u[r, i]
        call.field(law, t + RODAS_C[s] * h, at, rate, par, unit, f)
        for i in range(n):
            f[i] += h * RODAS_D[s] * slope[i]
            for r in range(s):
                f[i] += COUPLING[s, r] / h * u[r, i]
        lu.solve(matrix, pivot, f)
        for i in range(n):
            u[s, i] = f[i]
    error = 0.0
    for i in range(n):
        new[i] = at[i] + u[STAGES - 1, i]
        error += (u[STAGES - 1, i] / (tol[3 + i] + tol[0] * max(abs(y[i]), abs(new[i])))) ** 2
    return error / n, (h * norm) ** 2


@cached
def unstep(law, t, h, y, u, par, unit, dense, ubar, w, rbar, parbar, matrix, vectors, pivot, g):
    """Adjoint of `step`: ``w`` becomes that of the state before it. ``ubar`` holds that of the dense output."""
    n = len(y)
    slope, at, v, d, sum_w = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4]
    _prepare(law, t, h, y, par, unit, matrix, slope, pivot)
    for s in range(STAGES):
        for i in range(n):
            ubar[s, i] = (ubar[s, i] if dense else 0.0) + RODAS_B[s] * w[i]
    g[:] = 0.0
    d[:] = 0.0
    sum_w[:] = 0.0
    for s in range(STAGES - 1, -1, -1):
        for i in range(n):
            v[i] = ubar[s, i]
        lu.solve_transposed(matrix, pivot, v)
        for i in range(n):
            at[i] = y[i]
            for r in range(s):
                at[i] += RODAS_A[s, r] * u[r, i]
            rbar[i] += v[i]
            d[i] += h * RODAS_D[s] * v[i]
            for j in range(n):
                g[i, j] += v[i] * u[s, j]
        slope[:] = 0.0
        call.pull(law, t + RODAS_C[s] * h, at, par, unit, v, slope, parbar)
        for i in range(n):
            sum_w[i] += slope[i]
            for r in range(s):
                ubar[r, i] += RODAS_A[s, r] * slope[i] + COUPLING[s, r] / h * v[i]
    call.bend(law, t, y, par, unit, g, d, sum_w, parbar)
    for i in range(n):
        w[i] += sum_w[i]
