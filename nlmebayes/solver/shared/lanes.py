"""Groups computed side by side: the last axis of every array is a lane for each, so that loops are vectorised."""

import math

import numpy as np

from nlmebayes.solver.shared.kernel import cached

LANES = 64  # at once
LOWEST, HIGHEST = -708.0, 709.0  # exponents between which the exponential is an ordinary number
PER_TWO, TWO, REST = 1 / math.log(2), 0.693145751953125, 1.42860682030941723212e-6  # log 2 = TWO + REST
SHIFT = 1.5 * 2.0**52  # its sum with a small number is rounded to a whole one, which is in its last bits


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


@cached
def exponential(x, scale):
    """exp(x), in place, to the last digit: a power of two by its bits, times a series; ``scale`` is written to.

    It is 0 where it would be below 3e-308, and infinite where it would be above 8e307.
    """
    bits = scale.view(np.int64)
    for i in range(len(x)):
        scale[i] = min(max(x[i], LOWEST), HIGHEST) * PER_TWO + SHIFT
    for i in range(len(x)):
        whole = scale[i] - SHIFT
        r = (x[i] - whole * TWO) - whole * REST
        far = 1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r * (1 / 39916800 + r / 479001600)))
        near = 1 / 24 + r * (1 / 120 + r * (1 / 720 + r * (1 / 5040 + r * far)))
        near = 1.0 + r * (1.0 + r * (1 / 2 + r * (1 / 6 + r * near)))
        x[i] = 0.0 if x[i] < LOWEST else np.inf if x[i] > HIGHEST else near
    for i in range(len(x)):
        bits[i] = (bits[i] + 1023) << 52
    for i in range(len(x)):
        x[i] *= scale[i]
