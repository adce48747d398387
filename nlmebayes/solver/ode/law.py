"""A right-hand side, written once in PyTensor, as compiled functions of numbers.

`source` writes them; `located` compiles them, keeps them on disk, and says where they are. The solvers, which are
compiled once for all laws, call them by address (`call`). All derivatives are symbolic; what is zero by structure costs
nothing.
"""

import hashlib
import logging
from functools import lru_cache

import llvmlite.binding as llvm
import pytensor.tensor as pt
from numba import cfunc, njit, types
from pytensor.gradient import DisconnectedType
from pytensor.link.numba.cache import NUMBA_CACHE_PATH, compile_numba_function_src

from nlmebayes.runtime import caches
from nlmebayes.runtime.threads import in_turns
from nlmebayes.solver.ode import explicit, expressions, numbers, rosenbrock, written
from nlmebayes.solver.ode.call import FUNCTIONS, OF_CASES
from nlmebayes.solver.ode.cases import pace
from nlmebayes.solver.shared.kernel import STAMP

log = logging.getLogger("nlmebayes")
LONG = 150_000  # characters of source from which on compiling takes long enough (10 s) to be announced
SAFE = {"contract", "arcp", "nsz"}  # liberties of the compiler that cost no more than a rounding; NaN stays NaN


def source(t, states, parameters, rates, cases=()):
    """Source of the functions of a law, and the numbers of the states that nothing depends on.

    ``t``, ``states``, ``parameters``: PyTensor scalars; ``rates``: their expressions for dy/dt, with the ``cases`` held
    (see `cases.held`), whose numbers follow the parameters.
    """
    held = [case.z for case in cases]
    parameters = [*parameters, *held]
    n, m = len(states), len(parameters)
    own = {"t": t} | {f"y{i}": y for i, y in enumerate(states)} | {f"p{j}": p for j, p in enumerate(parameters)}
    given = {f"r{i}": pt.dscalar(f"r{i}") for i in range(n)}
    w = {f"w{i}": pt.dscalar(f"w{i}") for i in range(n)}
    weighted = sum(a * f for a, f in zip(w.values(), rates, strict=True))
    slopes = _gradient(weighted, [*states, *parameters], held)
    matrix = [_gradient(f, [*states, t]) for f in rates]
    entries = [(i, j) for i in range(n) for j in range(n + 1) if not _zero(matrix[i][j])]
    g = {f"g{i}_{j}": pt.dscalar(f"g{i}_{j}") for i, j in entries}
    bent = sum((a * matrix[i][j] for a, (i, j) in zip(g.values(), entries, strict=True)), pt.constant(0.0))
    parts = [
        expressions.function("field_", own | given, [f + r for f, r in zip(rates, given.values(), strict=True)]),
        expressions.function("pull_", own | w, slopes, inverses=True, late=w),
        expressions.function("jacobian_", own, [matrix[i][j] for i, j in entries], inverses=True),
        expressions.function("bend_", own | g, _gradient(bent, [*states, *parameters], held), inverses=True),
        written.field(n, m), written.pull(n, m), written.jacobian(n, m, entries),
        explicit.step(n, m), explicit.unstep(n, m), rosenbrock.step(n, m, entries), rosenbrock.unstep(n, m, entries),
    ]  # fmt: skip
    if cases:
        parts += _of_cases(own, [t, *states], parameters, cases)
    collecting = [j for j in range(n) if all(_zero(matrix[i][j]) for i in range(n))]
    return "\n".join(parts), collecting


def _of_cases(own, moving, parameters, cases):
    """Source of the functions of `call.OF_CASES`."""
    n, m, size = len(moving) - 1, len(parameters), len(cases)
    w = {f"w{j}": pt.dscalar(f"w{j}") for j in range(size)}
    total = sum(a * case.margin for a, case in zip(w.values(), cases, strict=True))
    slopes = _gradient(total, [*moving[1:], *parameters, moving[0]], [case.z for case in cases])
    margins = [*(case.margin for case in cases), pace(cases, moving)]
    return [
        expressions.function("modes_", own, [case.natural for case in cases]),
        expressions.function("margins_", own, margins),
        expressions.function("unmargins_", own | w, slopes),
        written.modes(n, m, size), written.margins(n, m, size), written.unmargins(n, m, size),
    ]  # fmt: skip


@in_turns
@caches.rebuilt(lambda: NUMBA_CACHE_PATH)
@lru_cache(maxsize=64)
def located(text):
    """Addresses of the functions of a law, in the order of `call.FUNCTIONS`, compiled now or before.

    They are made known by name to code that was compiled, maybe in another process, with their names.
    """
    if len(text) > LONG:
        log.warning(
            "compiling a large system of differential equations: up to %.0f s the first time, nothing afterwards",
            len(text) / 4000,
        )
    env = {"__name__": "nlmebayes.solver.shared.kernel", **numbers.NAMES}
    exec(text, env)
    for name in ("field_", "pull_", "jacobian_", "bend_", *(f"{name}_" for name in _given(text) & set(OF_CASES))):
        env[name] = njit(error_model="numpy", fastmath=SAFE, forceinline=True)(env[name])
    compiled = {name: _compiled(text, name, env).address for name in FUNCTIONS if name in _given(text)}
    for name, address in compiled.items():
        llvm.add_symbol(symbol(text, name), address)
    return tuple(compiled.get(name, 0) for name in FUNCTIONS)


def _given(text):
    """Names of the functions that a law has; those of cases where it has some."""
    return {name for name in FUNCTIONS if f"def {name}(" in text}


def addresses(text):
    """Expressions, for compiled code, of the addresses that `located` made known; 0 for functions that are missing."""
    given = _given(text)
    return ", ".join(f"address_of({symbol(text, name)!r})" if name in given else "0" for name in FUNCTIONS)


def _compiled(text, name, env):
    code = text[text.index(f"def {name}(") :].split("\ndef ")[0]
    function = compile_numba_function_src(code, name, env, env, cache_key=symbol(text, name))
    kinds = [types.CPointer(types.float64) if kind == "*" else types.float64 for kind in FUNCTIONS[name]]
    return cfunc(types.void(*kinds), cache=True, error_model="numpy", fastmath=SAFE)(function)


def symbol(text, name):
    """Name of a law's function, the same in all processes."""
    return f"nlmebayes_{name}_{hashlib.sha256((STAMP + text).encode()).hexdigest()[:24]}"


def _gradient(value, of, held=()):
    """Slopes of a value; 0 in what is held."""
    found = pt.grad(value, of, disconnected_inputs="ignore", return_disconnected="disconnected")
    none = pt.constant(0.0)
    return [none if isinstance(x.type, DisconnectedType) or v in held else x for v, x in zip(of, found, strict=True)]


def _zero(expression):
    simple = expressions.simplified(expression)
    return getattr(simple, "data", None) is not None and float(simple.data) == 0.0
