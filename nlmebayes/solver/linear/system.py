"""The matrices of the units, the step of each by the kernel that fits, and its steady states."""

import numpy as np

from nlmebayes.solver.linear import dense, modal
from nlmebayes.solver.shared import lu
from nlmebayes.solver.shared.kernel import cached


@cached
def _matrices(rates, edges, kind, a, out):
    """The matrix of each unit, (unit, state, state), and the rate at which its central state leaves the modes."""
    central, last = kind[2], kind[2] + kind[3]
    a[:] = 0.0
    out[:] = 0.0
    for e in range(len(edges)):
        source, target, kept = edges[e]
        for u in range(rates.shape[1]):
            k = rates[e, u]
            if target >= 0:
                a[u, target, source] += k
            if kept == 0:
                a[u, source, source] -= k
            if source == central and (target < central or target >= last):
                out[u] += k


@cached
def prepare(rates, edges, kind):
    """Matrix and modal basis of every unit; the basis is empty for the dense kernel."""
    units, n, count = rates.shape[1], kind[0], kind[3]
    a, out = np.empty((units, n, n)), np.zeros(units)
    _matrices(rates, edges, kind, a, out)
    basis = np.zeros((units if count > 0 else 0, modal.width(count)))
    for u in range(len(basis)):
        modal.decompose(a[u], out[u], kind[2], count, basis[u])
        if kind[1] >= 0:
            basis[u, 0] = a[u, kind[2], kind[1]]
    return a, basis


@cached
def advance(h, unit, kind, a, basis, state, fed, work):
    if kind[3] > 0:
        modal.step(h, unit, kind[1], kind[2], kind[3], basis, state, fed)
    else:
        dense.step(h, a[unit], state, work)


@cached
def retreat(h, unit, kind, a, basis, state, fed, modal_slopes, slopes, work):
    if kind[3] > 0:
        modal.adjoint(h, unit, kind[1], kind[2], kind[3], basis, state, fed, modal_slopes)
    else:
        dense.adjoint(h, a[unit], state, slopes[unit], work)


@cached
def periodic(period, unit, kind, a, basis, collecting, x, transposed, work):
    """x = (1 - P)^-1 x (or with the transpose) for the propagator P of one period; collecting states are left empty."""
    if kind[3] > 0 and transposed:
        modal.periodic_adjoint(period, unit, kind[1], kind[2], kind[3], basis, x)
    elif kind[3] > 0:
        modal.periodic(period, unit, kind[1], kind[2], kind[3], basis, x)
    else:
        zero = work[7, 0]
        zero[:] = 0.0
        halvings = dense.scaled(a[unit], zero, period, transposed, work[0])
        dense.exponential_minus_one(work[0], halvings, work[1], work[2], work[3])
        balance(work[1], collecting, x)


@cached
def balance(d, collecting, x):
    """Solve -d x = x over the states that do not collect, which are left empty."""
    n = len(x)
    matrix, pivot = np.empty((n, n)), np.empty(n, np.int64)
    lu.grounded(d, collecting, 0.0, matrix)
    lu.factorise(matrix, pivot)
    empty(x, collecting)
    lu.solve(matrix, pivot, x)


@cached
def empty(x, collecting):
    for i in range(len(x)):
        if collecting[i]:
            x[i] = 0.0


@cached
def collecting_states(edges, n):
    """Whether a state has no way out, such as urine."""
    found = np.ones(n, np.bool_)
    for e in range(len(edges)):
        if edges[e, 2] == 0:
            found[edges[e, 0]] = False
    return found


@cached
def to_edges(edges, kind, basis, modal_slopes, slopes, ratesbar):
    """Slopes of the matrices to those of the rates."""
    depot, central, n = kind[1], kind[2], kind[3]
    forth, back = n + 1, n + 1 + n * n
    for u in range(len(slopes)):
        if n > 0:
            for j in range(n):
                for k in range(n):
                    total = 0.0
                    for i in range(n):
                        for m in range(n):
                            total += basis[u, forth + n * i + j] * modal_slopes[u, i, m] * basis[u, back + n * k + m]
                    slopes[u, central + j, central + k] += total
            if depot >= 0:
                slopes[u, central, depot] += modal_slopes[u, n, 0]
                slopes[u, depot, depot] -= modal_slopes[u, n, 1]
        for e in range(len(edges)):
            source, target, kept = edges[e]
            if target >= 0:
                ratesbar[e, u] += slopes[u, target, source]
            if kept == 0:
                ratesbar[e, u] -= slopes[u, source, source]
