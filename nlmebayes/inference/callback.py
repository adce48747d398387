"""The C functions that the sampler calls, around what PyTensor compiled.

nutpie's own take the compiled function in and optimise it once more, in every process. These call it by its address: it
is compiled once for all processes, kept on disk by PyTensor.
"""

import itertools

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

FAILED, INFINITE_SLOPE, INFINITE_DENSITY, OTHER_SIZE = 1, 3, 4, -1  # what nutpie is told
DOUBLES = types.CPointer(types.float64)
_numbers = itertools.count()


def density(n_dim, function, user_data, keys, shared):
    """Callback of the log-density and its gradient, and its signature."""

    def at(dim, x, gradient, value, user_data):
        if dim != n_dim:
            return OTHER_SIZE
        failed, (found, slopes) = call(x, user_data)
        if failed:
            return FAILED
        value[0] = found[()]
        status = 0 if np.isfinite(value[0]) else INFINITE_DENSITY
        for i in range(n_dim):
            gradient[i] = slopes[i]
            if not np.isfinite(gradient[i]):
                status = INFINITE_SLOPE
        return status

    call = _call(n_dim, function, user_data, keys, shared)
    return at, types.int64(types.uint64, DOUBLES, DOUBLES, DOUBLES, types.voidptr)


def expansion(n_dim, n_expanded, function, user_data, keys, shared):
    """Callback of the variables that are stored, and its signature."""

    def at(dim, expanded, x, out, user_data):
        if dim != n_dim or expanded != n_expanded:
            return OTHER_SIZE
        failed, (values,) = call(x, user_data)
        if failed:
            return FAILED
        for i in range(n_expanded):
            out[i] = values[i]
        return 0

    call = _call(n_dim, function, user_data, keys, shared)
    return at, types.int64(types.uint64, types.uint64, DOUBLES, DOUBLES, types.voidptr)


def _call(n_dim, function, user_data, keys, shared):
    """A function of compiled code, of a point and of nutpie's record of the shared arrays, that calls ``function``.

    The record holds addresses, sizes and shapes of the arrays, all of them numbers of eight bytes.
    """
    fields = user_data.dtype["shared"]
    data, shape = (fields.fields[name] for name in ("data", "shape"))
    kinds = [types.Array(types.float64, 1, "C")]
    lines = [f"x = carray(x, ({n_dim},))", f"record = carray(record, ({user_data.dtype.itemsize // 8},), np.int64)"]
    env, names = {"carray": carray, "np": np, "array_at": _array_at}, ["x"]
    for key in keys:
        array, name = shared[key], f"a{len(names)}"
        at = (data[1] + data[0].fields[key][1]) // 8
        first = (shape[1] + shape[0].fields[key][1]) // 8
        sizes = "".join(f"record[{first + axis}], " for axis in range(array.ndim))
        env[f"d{name}"] = array.dtype
        lines.append(f"{name} = carray(array_at(record[{at}]), ({sizes}), d{name})")
        kinds.append(types.Array(from_dtype(array.dtype), array.ndim, "C"))
        names.append(name)
    env["function"] = _by_address(function, tuple(kinds))
    lines.append(f"return function(({', '.join(names)},))")
    exec("def call(x, record):\n    " + "\n    ".join(lines), env)
    return njit(env["call"])


def _by_address(function, arguments):
    """A function, for compiled code, of a tuple of arguments that calls ``function`` on them and returns whether it
    failed, and its result, which is empty then."""
    _, _, folded, _ = function.get_call_template(arguments, {})
    compiled = function.overloads[tuple(folded)]
    name, result = f"nlmebayes_callback_{next(_numbers)}", compiled.signature.return_type
    llvm.add_symbol(name, compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))

    @intrinsic
    def call(typingctx, given):
        def codegen(context, builder, signature, args):
            values = cgutils.unpack_tuple(builder, args[0])
            if tuple(folded) != arguments:  # PyTensor's functions take all as one tuple
                values = [context.make_tuple(builder, folded[0], values)]
            kind = context.call_conv.get_function_type(result, folded)
            linked = cgutils.get_or_insert_function(builder.module, kind, name)
            status, found = context.call_conv.call_function(builder, linked, result, folded, values)
            found = builder.select(status.is_error, ir.Constant(found.type, None), found)
            return context.make_tuple(builder, signature.return_type, [status.is_error, found])

        return types.Tuple((types.boolean, result))(given), codegen

    return call


@intrinsic
def _array_at(typingctx, address):
    """Pointer of an address."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(address), codegen
