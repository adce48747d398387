"""A right-hand side, written once in PyTensor, as compiled functions of numbers.

`source` writes them; `located` compiles them, keeps them on disk, and says where they are. The solvers, which are
compiled once for all laws, call them by address (`call`). All derivatives are symbolic; what is zero by structure costs
nothing.
"""

import hashlib
from functools import lru_cache

import llvmlite.binding as llvm
import pytensor.tensor as pt
from numba import cfunc, njit, types
from pytensor.gradient import DisconnectedType
from pytensor.link.numba.cache import NUMBA_CACHE_PATH, compile_numba_function_src

from nlmebayes import caches
from nlmebayes.solver.kernel import STAMP
from nlmebayes.solver.ode import explicit, expressions, numbers, rosenbrock, written
from nlmebayes.solver.ode.call import FUNCTIONS
from nlmebayes.threads import in_turns

SAFE = {"contract", "arcp", "nsz"}  # liberties of the compiler that cost no more than a rounding; NaN stays NaN


def source(t, states, parameters, rates):
    """Source of the functions of a law, and the numbers of the states that nothing depends on.

    ``t``, ``states``, ``parameters``: PyTensor scalars; ``rates``: their expressions for dy/dt.
    """
    n, m = len(states), len(parameters)
    own = {"t": t} | {f"y{i}": y for i, y in enumerate(states)} | {f"p{j}": p for j, p in enumerate(parameters)}
    given = {f"r{i}": pt.dscalar(f"r{i}") for i in range(n)}
    w = {f"w{i}": pt.dscalar(f"w{i}") for i in range(n)}
    slopes = _gradient(sum(a * f for a, f in zip(w.values(), rates, strict=True)), [*states, *parameters])
    matrix = [_gradient(f, [*states, t]) for f in rates]
    entries = [(i, j) for i in range(n) for j in range(n + 1) if not _zero(matrix[i][j])]
    g = {f"g{i}_{j}": pt.dscalar(f"g{i}_{j}") for i, j in entries}
    bent = sum((a * matrix[i][j] for a, (i, j) in zip(g.values(), entries, strict=True)), pt.constant(0.0))
    parts = [
        expressions.function("field_", own | given, [f + r for f, r in zip(rates, given.values(), strict=True)]),
        expressions.function("pull_", own | w, slopes, inverses=True, late=w),
        expressions.function("jacobian_", own, [matrix[i][j] for i, j in entries], inverses=True),
        expressions.function("bend_", own | g, _gradient(bent, [*states, *parameters]), inverses=True),
        written.field(n, m), written.pull(n, m), written.jacobian(n, m, entries),
        explicit.step(n, m), explicit.unstep(n, m), rosenbrock.step(n, m, entries), rosenbrock.unstep(n, m, entries),
    ]  # fmt: skip
    collecting = [j for j in range(n) if all(_zero(matrix[i][j]) for i in range(n))]
    return "\n".join(parts), collecting


@in_turns
@caches.rebuilt(lambda: NUMBA_CACHE_PATH)
@lru_cache(maxsize=64)
def located(text):
    """Addresses of the functions of a law, in the order of `call.FUNCTIONS`, compiled now or before.

    They are made known by name to code that was compiled, maybe in another process, with their names.
    """
    env = {"__name__": "nlmebayes.solver.kernel", **numbers.NAMES}
    exec(text, env)
    for name in ("field_", "pull_", "jacobian_", "bend_"):
        env[name] = njit(error_model="numpy", fastmath=SAFE, forceinline=True)(env[name])
    found = tuple(_compiled(text, name, env).address for name in FUNCTIONS)
    for name, address in zip(FUNCTIONS, found, strict=True):
        llvm.add_symbol(symbol(text, name), address)
    return found


def _compiled(text, name, env):
    code = text[text.index(f"def {name}(") :].split("\ndef ")[0]
    function = compile_numba_function_src(code, name, env, env, cache_key=symbol(text, name))
    kinds = [types.CPointer(types.float64) if kind == "*" else types.float64 for kind in FUNCTIONS[name]]
    return cfunc(types.void(*kinds), cache=True, error_model="numpy", fastmath=SAFE)(function)


def symbol(text, name):
    """Name of a law's function, the same in all processes."""
    return f"nlmebayes_{name}_{hashlib.sha256((STAMP + text).encode()).hexdigest()[:24]}"


def _gradient(value, of):
    found = pt.grad(value, of, disconnected_inputs="ignore", return_disconnected="disconnected")
    return [pt.constant(0.0) if isinstance(x.type, DisconnectedType) else x for x in found]


def _zero(expression):
    simple = expressions.simplified(expression)
    return getattr(simple, "data", None) is not None and float(simple.data) == 0.0
