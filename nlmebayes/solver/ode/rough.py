"""Logarithms and powers within 1 %, which is enough for the length of a step and costs a tenth of exact ones."""

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nlmebayes.solver.kernel import inlined

FRACTION, ONE = 2**52 - 1, 1023 << 52  # bits of a double: its fraction; those of 1.0, whose exponent is stored as 1023


@intrinsic
def _bits(typingctx, x):
    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(x), codegen


@intrinsic
def _number(typingctx, bits):
    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(bits), codegen


@inlined
def log2(x):
    """log2 of a positive number; the fraction by a parabola, within 0.01."""
    bits = _bits(x)
    m = _number((bits & FRACTION) | ONE)
    return (bits >> 52) - 1023 + (2.0 - m / 3.0) * m - 5.0 / 3.0


@inlined
def exp2(x):
    """2^x for |x| < 1000; the fraction by a parabola, within 0.3 %."""
    whole = math.floor(x)
    m = x - whole
    return _number((int(whole) + 1023) << 52) * (1.0 + m * (0.6565 + 0.3435 * m))
