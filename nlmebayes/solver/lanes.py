"""Groups computed side by side: the last axis of every array is a lane for each, so that loops are vectorised."""

from nlmebayes.solver.kernel import cached

LANES = 64  # at once


@cached
def add(out, x, y):
    for g in range(len(out)):
        out[g] += x[g] * y[g]


@cached
def subtract(out, x, y):
    for g in range(len(out)):
        out[g] -= x[g] * y[g]


@cached
def add_scaled(out, c, x):
    for g in range(len(out)):
        out[g] += c * x[g]


@cached
def multiply(out, x):
    for g in range(len(out)):
        out[g] *= x[g]


@cached
def load(x, start, out):
    """Groups from ``start`` on of (group, row), (row, lane); zeros beyond the last."""
    for g in range(out.shape[1]):
        for i in range(out.shape[0]):
            out[i, g] = x[start + g, i] if start + g < len(x) else 0.0


@cached
def store(x, start, out):
    """Undoes `load`."""
    for g in range(min(x.shape[1], len(out) - start)):
        for i in range(x.shape[0]):
            out[start + g, i] = x[i, g]


@cached
def flat(x):
    """(group, row, column) as (group, row and column)."""
    return x.reshape((x.shape[0], x.shape[1] * x.shape[2]))


@cached
def rows(x):
    """(row, column, lane) as (row and column, lane)."""
    return x.reshape((x.shape[0] * x.shape[1], x.shape[2]))


@cached
def column(place, n, lanes):
    """(row, lane) cut from the beginning of ``place``, and what is left of that."""
    size = n * lanes
    return place[:size].reshape((n, lanes)), place[size:]


@cached
def block(place, n, m, lanes):
    """(row, column, lane) cut from the beginning of ``place``, and what is left of that."""
    size = n * m * lanes
    return place[:size].reshape((n, m, lanes)), place[size:]
