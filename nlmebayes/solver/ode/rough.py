"""Logarithms and powers within a few percent, which is enough for the length of a step and costs a tenth of exact ones.

Each step waits for the length that the one before gives it. The bits of a double, read as a whole number, are its
logarithm with the fraction as a straight line (Mitchell 1962, IRE Trans. Electron. Comput. 11, 512-517).
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nlmebayes.solver.shared.kernel import inlined

UNIT = 2.0**52  # of the bits of a double, a power of two
MIDDLE = 1023.0 - 0.0430  # the exponent of 1.0 as it is stored, less half of the largest error of a straight line


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
    """log2 of a positive number, within 0.043."""
    return _bits(x) / UNIT - MIDDLE


@inlined
def exp2(x):
    """2^x for |x| < 1000, within 3 %."""
    return _number(int((x + MIDDLE) * UNIT))
