"""Calls of a law's functions by their addresses, with bare pointers: arrays that are passed on are counted, which costs
more than the arithmetic of a small system."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from nlmebayes.solver.shared.kernel import inlined

HEADER = 8  # columns of the tape before the state; see `nlmebayes.solver.ode.march`

# Arguments of each function: "*" a pointer to doubles, "." a double. States and parameters are numbered.
#   field(t, y, rate, par, out)                     out = f + rate
#   jacobian(t, y, par, matrix, slope)              df/dy, and df/dt
#   pull(t, y, par, w, ybar, parbar)                adds w df/dy and w df/dpar
#   explicit(t, h, y, rate, k, z, par, new, tol, found)   a step from the slope k[0]; k: slopes, z: their states; found:
#                                                   squares of its error, and of h times an eigenvalue
#   stiff(t, h, y, rate, u, par, new, tol, found)   the same; u: its stages
#   modes(t, y, par, z)                             what the cases are at a point, if nothing is held; these three of
#                                                   laws that have cases, whose held numbers are the last parameters
#   margins(t, y, par, v)                           their margins, and how fast angles turn; see `cases`
#   unmargins(t, y, par, w, ybar, parbar, tbar)     adds the slopes of sum w v
#   unstep(tape, par, dense, kbar, w, rbar, parbar) its adjoint, from a row of the tape
FUNCTIONS = {"field": ".****", "jacobian": ".****", "pull": ".*****"} | {
    "explicit": "..********", "unexplicit": "**.****", "stiff": "..*******", "unstiff": "**.****",
}  # fmt: skip
OF_CASES = {"modes": ".***", "margins": ".***", "unmargins": ".******"}
FUNCTIONS |= OF_CASES
FIELD, JACOBIAN, PULL, EXPLICIT, UNEXPLICIT, STIFF, UNSTIFF, MODES, MARGINS, UNMARGINS = range(len(FUNCTIONS))


@intrinsic
def pointer(typingctx, array, offset):
    """Pointer to an element of a C-ordered array of doubles."""

    def codegen(context, builder, signature, args):
        data = make_array(signature.args[0])(context, builder, args[0]).data
        return builder.gep(data, [args[1]])

    return types.CPointer(types.float64)(array, types.intp), codegen


@intrinsic
def invoke(typingctx, address, given):
    """Call the function at an address, which returns nothing."""

    def codegen(context, builder, signature, args):
        values = cgutils.unpack_tuple(builder, args[1])
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), values)
        return context.get_dummy_value()

    return types.void(address, given), codegen


@intrinsic(prefer_literal=True)
def address_of(typingctx, symbol):
    """Address of a function that `law.located` made known."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [])
        found = cgutils.get_or_insert_function(builder.module, kind, signature.args[0].literal_value)
        return builder.ptrtoint(found, context.get_value_type(types.intp))

    return types.intp(symbol), codegen


@inlined
def field(law, t, y, rate, par, unit, out):
    row = pointer(par, unit * par.shape[1])
    invoke(law[FIELD], (t, pointer(y, 0), pointer(rate, 0), row, pointer(out, 0)))


@inlined
def jacobian(law, t, y, par, unit, matrix, slope):
    row = pointer(par, unit * par.shape[1])
    invoke(law[JACOBIAN], (t, pointer(y, 0), row, pointer(matrix, 0), pointer(slope, 0)))


@inlined
def pull(law, t, y, par, unit, w, ybar, parbar):
    at = unit * par.shape[1]
    row, rowbar = pointer(par, at), pointer(parbar, at)
    invoke(law[PULL], (t, pointer(y, 0), row, pointer(w, 0), pointer(ybar, 0), rowbar))


@inlined
def modes(law, t, y, par, unit, z):
    invoke(law[MODES], (t, pointer(y, 0), pointer(par, unit * par.shape[1]), pointer(z, 0)))


@inlined
def margins(law, t, y, par, unit, v):
    invoke(law[MARGINS], (t, pointer(y, 0), pointer(par, unit * par.shape[1]), pointer(v, 0)))


@inlined
def unmargins(law, t, y, par, unit, w, ybar, parbar, tbar):
    row = pointer(par, unit * par.shape[1])
    bars = pointer(ybar, 0), pointer(parbar, 0), pointer(tbar, 0)
    invoke(law[UNMARGINS], (t, pointer(y, 0), row, pointer(w, 0), bars[0], bars[1], bars[2]))


@inlined
def explicit(law, t, h, y, rate, k, stages, offset, par, unit, new, tol, found):
    row = pointer(par, unit * par.shape[1])
    invoke(
        law[EXPLICIT],
        (t, h, pointer(y, 0), pointer(rate, 0), pointer(k, 0), pointer(stages, offset), row, pointer(new, 0),
         pointer(tol, 0), pointer(found, 0)),
    )  # fmt: skip


@inlined
def stiff(law, t, h, y, rate, stages, offset, par, unit, new, tol, found):
    row = pointer(par, unit * par.shape[1])
    invoke(
        law[STIFF],
        (t, h, pointer(y, 0), pointer(rate, 0), pointer(stages, offset), row, pointer(new, 0),
         pointer(tol, 0), pointer(found, 0)),
    )  # fmt: skip


@inlined
def unstep(function, tape, row, par, unit, dense, kbar, w, rbar, parbar):
    at = unit * par.shape[1]
    invoke(
        function,
        (pointer(tape, row * tape.shape[1]), pointer(par, at), dense, pointer(kbar, 0), pointer(w, 0), pointer(rbar, 0),
         pointer(parbar, at)),
    )  # fmt: skip
