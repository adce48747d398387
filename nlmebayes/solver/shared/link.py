"""Calls of compiled kernels by name, and arrays that are lent to them.

A kernel that is compiled into a graph is optimised once more with it, for most of a minute. Called by a name that is
looked up when the code is loaded, it is compiled once for all graphs.
"""

from functools import lru_cache

import llvmlite.binding as llvm
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from nlmebayes.runtime.threads import in_turns
from nlmebayes.solver.shared.kernel import STAMP, cached


@in_turns
@lru_cache(maxsize=16)
def linked(kernel, arguments):
    """A function, for compiled code, of a tuple of arguments that calls ``kernel`` on them.

    ``arguments``: the Numba types that the kernel is compiled for, a tuple.
    """
    kernel.compile(arguments)
    compiled = kernel.overloads[arguments]
    name = f"{kernel.py_func.__module__.replace('.', '_')}_{kernel.py_func.__name__}_{STAMP[:24]}"
    llvm.add_symbol(name, compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))
    result = compiled.signature.return_type

    @intrinsic
    def call(typingctx, given):
        if tuple(given.types) != arguments:
            raise TypeError(f"{name} takes {arguments}, not {tuple(given.types)}")

        def codegen(context, builder, signature, args):
            values = cgutils.unpack_tuple(builder, args[0])
            kind = context.call_conv.get_function_type(result, arguments)
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            status, found = context.call_conv.call_function(builder, function, result, arguments, values)
            with builder.if_then(status.is_error, likely=False):
                context.call_conv.return_status_propagate(builder, status)
            return found

        return result(given), codegen

    return call


def arrays(kinds):
    """Types of C-ordered arrays, of words such as "f3": "f" doubles, "i" whole numbers of 64 bits, "b" truth values,
    and the number of dimensions."""
    of = {"f": types.float64, "i": types.int64, "b": types.boolean}
    return tuple(types.Array(of[kind[0]], int(kind[1]), "C") for kind in kinds.split())


def plain(inputs):
    """Arrays in C order that may be written to: the kernels are compiled for one kind."""
    return [np.require(x, requirements=("C", "W")) for x in inputs]


@intrinsic
def lend(typingctx, array):
    """The same array without a count of its references, which costs more than a call does. Its owner must outlive it:
    see `keep`. An array that may not be written to becomes one that may, lest all be compiled for it again."""
    plain = types.Array(array.dtype, array.ndim, array.layout)

    def codegen(context, builder, signature, args):
        found = make_array(signature.args[0])(context, builder, args[0])
        found.meminfo = context.get_constant_null(types.MemInfoPointer(types.voidptr))
        return found._getvalue()

    return plain(array), codegen


@cached
def keep(array):
    """Numba frees an array after the last use of its name; this is one."""
    return array.size
