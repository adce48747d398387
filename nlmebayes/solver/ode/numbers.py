"""The functions of numbers that compiled expressions call."""

import math

import numpy as np
from numba import njit


@njit
def where(condition, a, b):
    return a if condition else b


@njit
def negated(condition):
    return not condition


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


@njit
def digamma(a):
    """Recurrence up to 10, then the asymptotic series (Abramowitz and Stegun 6.3.5 and 6.3.18); for a > 0."""
    total = 0.0
    while a < 10.0:
        total -= 1.0 / a
        a += 1.0
    x = 1.0 / (a * a)
    series = x * (1 / 12 - x * (1 / 120 - x * (1 / 252 - x * (1 / 240 - x * (1 / 132 - x * 691 / 32760)))))
    return total + math.log(a) - 0.5 / a - series


NAMES = {
    name: getattr(math, name)
    for name in ("exp", "log", "log2", "log10", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh",
                 "atan", "asin", "acos", "fabs", "floor", "ceil", "erf", "erfc", "lgamma")
} | {
    "where": where, "negated": negated, "maximum": maximum, "minimum": minimum, "sign": sign, "softplus": softplus,
    "digamma": digamma, "INF": np.inf, "NAN": np.nan,
}  # fmt: skip
