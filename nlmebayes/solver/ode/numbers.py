"""The functions of numbers that compiled expressions call."""

import math

import numpy as np
from numba import njit


@njit
def where(condition, a, b):
    return a if condition else b


@njit
def maximum(a, b):
    return a if a >= b or a != a else b


@njit
def minimum(a, b):
    return a if a <= b or a != a else b


@njit
def sign(a):
    return 1.0 if a > 0.0 else -1.0 if a < 0.0 else a


@njit
def softplus(a):
    return max(a, 0.0) + math.log1p(math.exp(-abs(a)))


NAMES = {
    name: getattr(math, name)
    for name in ("exp", "log", "log2", "log10", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh",
                 "atan", "asin", "acos", "fabs", "floor", "ceil", "erf", "erfc", "lgamma")
} | {
    "where": where, "maximum": maximum, "minimum": minimum, "sign": sign, "softplus": softplus, "INF": np.inf,
    "NAN": np.nan,
}  # fmt: skip
