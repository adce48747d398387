"""A right-hand side, written once in PyTensor, as compiled functions of numbers.

`source` writes them; `located` compiles them, keeps them on disk, and says where they are. The solvers, which are
compiled once for all laws, call them by address (`call`). All derivatives are symbolic; what is zero by structure costs
nothing. The step of the explicit method and its adjoint are written out stage by stage, because a population has
millions of them and each takes a few dozen operations.
"""

import hashlib
from functools import lru_cache

import llvmlite.binding as llvm
import pytensor.tensor as pt
from numba import cfunc, njit, types
from pytensor.gradient import DisconnectedType
from pytensor.link.numba.cache import compile_numba_function_src

from nlmebayes.solver.kernel import STAMP
from nlmebayes.solver.ode import expressions, numbers
from nlmebayes.solver.ode.call import FUNCTIONS, HEADER
from nlmebayes.solver.ode.tableaus import ERROR, EXPLICIT_STAGES, A, C

SAFE = {"contract", "arcp", "nsz"}  # liberties of the compiler that cost no more than a rounding; NaN stays NaN


def source(t, states, parameters, rates):
    """Source of the functions of a law, and the numbers of the states that nothing depends on.

    ``t``, ``states``, ``parameters``: PyTensor scalars; ``rates``: their expressions for dy/dt.
    """
    n, m = len(states), len(parameters)
    own = {"t": t} | {f"y{i}": y for i, y in enumerate(states)} | {f"p{j}": p for j, p in enumerate(parameters)}
    w = {f"w{i}": pt.dscalar(f"w{i}") for i in range(n)}
    slopes = _gradient(sum(a * f for a, f in zip(w.values(), rates, strict=True)), [*states, *parameters])
    matrix = [_gradient(f, [*states, t]) for f in rates]
    entries = [(i, j) for i in range(n) for j in range(n + 1) if not _zero(matrix[i][j])]
    g = {f"g{i}_{j}": pt.dscalar(f"g{i}_{j}") for i, j in entries}
    bent = sum((a * matrix[i][j] for a, (i, j) in zip(g.values(), entries, strict=True)), pt.constant(0.0))
    parts = [
        expressions.function("field_", own, list(rates)),
        expressions.function("pull_", own | w, slopes),
        expressions.function("jacobian_", own, [matrix[i][j] for i, j in entries]),
        expressions.function("bend_", own | g, _gradient(bent, [*states, *parameters])),
        _field(n, m), _pull(n, m), _jacobian(n, m, entries), _bend(n, m, entries), _step(n, m), _unstep(n, m),
    ]  # fmt: skip
    collecting = [j for j in range(n) if all(_zero(matrix[i][j]) for i in range(n))]
    return "\n".join(parts), collecting


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


def _names(prefix, n):
    return [f"{prefix}{i}" for i in range(n)]


def _listed(*groups):
    return ", ".join(name for group in groups for name in group)


def _load(prefix, n, array):
    return [f"    {prefix}{i} = {array.format(i)}" for i in range(n)]


def _assign(names, call):
    """Names of what a function of numbers returns; it always returns a tuple."""
    return f"    ({_listed(names)},) = {call}"


def _head(n, m):
    return [*_load("y", n, "y[{}]"), *_load("p", m, "par[{}]")]


def _field(n, m):
    lines = ["def field(t, y, rate, par, out):", *_head(n, m)]
    lines += [_assign(_names("f", n), f"field_({_listed(['t'], _names('y', n), _names('p', m))})")]
    return "\n".join(lines + [f"    out[{i}] = f{i} + rate[{i}]" for i in range(n)]) + "\n"


def _pull(n, m):
    lines = ["def pull(t, y, par, w, ybar, parbar):", *_head(n, m), *_load("w", n, "w[{}]")]
    call = f"pull_({_listed(['t'], _names('y', n), _names('p', m), _names('w', n))})"
    lines += [_assign(_names("b", n + m), call)] + [f"    ybar[{i}] += b{i}" for i in range(n)]
    return "\n".join(lines + [f"    parbar[{j}] += b{n + j}" for j in range(m)]) + "\n"


def _jacobian(n, m, entries):
    lines = ["def jacobian(t, y, par, matrix, slope):", *_head(n, m)]
    lines += [f"    matrix[{k}] = 0.0" for k in range(n * n)] + [f"    slope[{i}] = 0.0" for i in range(n)]
    if entries:
        lines += [_assign(_names("j", len(entries)), f"jacobian_({_listed(['t'], _names('y', n), _names('p', m))})")]
    for k, (i, j) in enumerate(entries):
        lines += [f"    matrix[{i * n + j}] = j{k}" if j < n else f"    slope[{i}] = j{k}"]
    return "\n".join(lines) + "\n"


def _bend(n, m, entries):
    lines = ["def bend(t, y, par, g, d, ybar, parbar):", *_head(n, m)]
    weights = [f"g[{i * n + j}]" if j < n else f"d[{i}]" for i, j in entries]
    lines += [_assign(_names("b", n + m), f"bend_({_listed(['t'], _names('y', n), _names('p', m), weights)})")]
    lines += [f"    ybar[{i}] += b{i}" for i in range(n)]
    return "\n".join(lines + [f"    parbar[{j}] += b{n + j}" for j in range(m)]) + "\n"


def _combined(weights, terms):
    return " + ".join(f"{weight!r} * {term}" for weight, term in zip(weights, terms, strict=True) if weight != 0.0)


def _stage(s, n, prefix):
    """The state at which stage s is evaluated."""
    return [f"    {prefix}{i} = y{i} + h * ({_combined(A[s], [f'k{r}_{i}' for r in range(s)])})" for i in range(n)]


def _time(s):
    return f"t + {C[s]!r} * h" if C[s] else "t"


def _step(n, m):
    p = _names("p", m)
    lines = ["def step(t, h, y, rate, k, par, new, tol, found):", *_head(n, m), *_load("r", n, "rate[{}]")]
    lines += _load("k0_", n, "k[{}]")
    for s in range(1, EXPLICIT_STAGES):
        at = f"z{s}_"
        lines += _stage(s, n, at)
        lines += [_assign(_names("f", n), f"field_({_listed([_time(s)], _names(at, n), p)})")]
        for i in range(n):
            lines += [f"    k{s}_{i} = f{i} + r{i}", f"    k[{s * n + i}] = k{s}_{i}"]
    lines += ["    error, fast, slow = 0.0, 0.0, 0.0"]
    for i in range(n):
        e = _combined(ERROR, [f"k{s}_{i}" for s in range(EXPLICIT_STAGES)])
        lines += [
            f"    new[{i}] = z6_{i}",
            f"    scale = tol[{3 + i}] + tol[0] * max(abs(y{i}), abs(z6_{i}))",
            f"    error += (({e}) / scale) ** 2",
            f"    fast += ((k6_{i} - k5_{i}) / scale) ** 2",
            f"    slow += ((z6_{i} - z5_{i}) / scale) ** 2",
        ]
    lines += [f"    found[0] = h * h * error / {n}.0", "    found[1] = h * h * fast / slow if slow > 0.0 else 0.0"]
    return "\n".join(lines) + "\n"


def _unstep(n, m):
    p, lines = _names("p", m), ["def unstep(tape, par, dense, kbar, w, rbar, parbar):"]
    lines += ["    t = tape[1]", "    h = tape[2]"]
    lines += [f"    y{i} = tape[{HEADER + i}]" for i in range(n)] + _load("p", m, "par[{}]")
    start = HEADER + 2 * n
    lines += [f"    k{s}_{i} = tape[{start + s * n + i}]" for s in range(EXPLICIT_STAGES) for i in range(n)]
    lines += _load("w", n, "w[{}]")
    lines += [f"    b{s}_{i} = h * {A[6][s]!r} * w{i}" for s in range(6) for i in range(n)]
    lines += [f"    q{j} = 0.0" for j in range(m)]
    lines += ["    if dense > 0.0:"]
    lines += [f"        b{s}_{i} += kbar[{s * n + i}]" for s in range(6) for i in range(n)]
    lines += [f"        b6_{i} = kbar[{6 * n + i}]" for i in range(n)]
    lines += ["    " + line for line in _unstage(6, n, m, p)]
    lines += [f"        s{i} = b6_{i}" for i in range(n)]
    lines += ["    else:"] + [f"        s{i} = 0.0" for i in range(n)]
    for s in range(5, -1, -1):
        lines += _unstage(s, n, m, p)
    for i in range(n):
        lines += [f"    w[{i}] = w{i}"]
        lines += [f"    rbar[{i}] += s{i} + " + " + ".join(f"b{s}_{i}" for s in range(6))]
    return "\n".join(lines + [f"    parbar[{j}] += q{j}" for j in range(m)]) + "\n"


def _unstage(s, n, m, p):
    lines, at = ([], "y") if s == 0 else (_stage(s, n, "z"), "z")
    call = f"pull_({_listed([_time(s)], _names(at, n), p, [f'b{s}_{i}' for i in range(n)])})"
    lines += [_assign([*_names("v", n), *_names("u", m)], call)]
    lines += [f"    w{i} += v{i}" for i in range(n)]
    lines += [f"    b{r}_{i} += h * {A[s][r]!r} * v{i}" for r in range(s) for i in range(n)]
    return lines + [f"    q{j} += u{j}" for j in range(m)]
