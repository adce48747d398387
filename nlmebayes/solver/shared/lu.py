"""Linear equations of small systems: factors with partial pivoting, and systems in which some states only collect."""

from nlmebayes.solver.shared.kernel import cached


@cached
def factorise(a, pivot):
    """LU factors of ``a`` with partial pivoting, in place."""
    n = len(a)
    for k in range(n):
        best = k
        for i in range(k + 1, n):
            if abs(a[i, k]) > abs(a[best, k]):
                best = i
        pivot[k] = best
        if best != k:
            for j in range(n):
                a[k, j], a[best, j] = a[best, j], a[k, j]
        for i in range(k + 1, n):
            a[i, k] /= a[k, k]
            for j in range(k + 1, n):
                a[i, j] -= a[i, k] * a[k, j]


@cached
def solve(a, pivot, b):
    """Solution of A x = b, in place, from the factors of A."""
    n = len(a)
    for k in range(n):
        if pivot[k] != k:
            b[k], b[pivot[k]] = b[pivot[k]], b[k]
    for i in range(n):
        for j in range(i):
            b[i] -= a[i, j] * b[j]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            b[i] -= a[i, j] * b[j]
        b[i] /= a[i, i]


@cached
def solve_transposed(a, pivot, b):
    """Solution of A' x = b, in place, from the factors of A."""
    n = len(a)
    for i in range(n):
        for j in range(i):
            b[i] -= a[j, i] * b[j]
        b[i] /= a[i, i]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            b[i] -= a[j, i] * b[j]
    for k in range(n - 1, -1, -1):
        if pivot[k] != k:
            b[k], b[pivot[k]] = b[pivot[k]], b[k]


@cached
def grounded(matrix, collecting, shift, out):
    """shift - matrix over the states that do not collect, the identity over the others. ``out`` may be ``matrix``, of
    which only as much is read as ``out`` holds."""
    n = len(out)
    for i in range(n):
        for j in range(n):
            alone = collecting[i] or collecting[j]
            out[i, j] = (shift if i == j else 0.0) - (0.0 if alone else matrix[i, j])
        if collecting[i]:
            out[i, i] = 1.0
