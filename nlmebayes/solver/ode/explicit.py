"""A step of the explicit method and its adjoint, written out for one law."""

from nlmebayes.solver.ode.call import HEADER
from nlmebayes.solver.ode.tableaus import ERROR, EXPLICIT_STAGES, A, C
from nlmebayes.solver.ode.written import assign, combined, head, listed, load, names


def _stage(s, n):
    """The state at which stage s is evaluated; what the last stage adds comes last, as everything waits for it."""
    lengths = [f"    h{s}_{r} = h * {A[s][r]!r}" for r in range(s)]
    given = [" + ".join(f"h{s}_{r} * k{r}_{i}" for r in range(s)) for i in range(n)]
    return lengths + [f"    z{s}_{i} = y{i} + {given[i]}" for i in range(n)]


def _time(s):
    return f"t + {C[s]!r} * h" if C[s] else "t"


def step(n, m):
    p, r = names("p", m), names("r", n)
    lines = ["def explicit(t, h, y, rate, k, z, par, new, tol, found):", *head(n, m), *load("r", n, "rate[{}]")]
    lines += load("k0_", n, "k[{}]")
    for s in range(1, EXPLICIT_STAGES):
        at = f"z{s}_"
        lines += _stage(s, n)
        lines += [assign(names(f"k{s}_", n), f"field_({listed([_time(s)], names(at, n), p, r)})")]
        for i in range(n):
            lines += [f"    k[{s * n + i}] = k{s}_{i}"]
            lines += [f"    z[{(s - 1) * n + i}] = {at}{i}"]
    lines += ["    error, fast, slow = 0.0, 0.0, 0.0"]
    for i in range(n):
        e = combined(ERROR, [f"k{s}_{i}" for s in range(EXPLICIT_STAGES)])
        lines += [
            f"    new[{i}] = z6_{i}",
            f"    scale = tol[{3 + i}] + tol[0] * max(abs(y{i}), abs(z6_{i}))",
            f"    error += (({e}) / scale) ** 2",
            f"    fast += ((k6_{i} - k5_{i}) / scale) ** 2",
            f"    slow += ((z6_{i} - z5_{i}) / scale) ** 2",
        ]
    lines += [f"    found[0] = h * h * error / {n}.0", "    found[1] = h * h * fast / slow if slow > 0.0 else 0.0"]
    return "\n".join(lines) + "\n"


def unstep(n, m):
    p, lines = names("p", m), ["def unexplicit(tape, par, dense, kbar, w, rbar, parbar):"]
    lines += ["    t = tape[1]", "    h = tape[2]"]
    lines += [f"    y{i} = tape[{HEADER + i}]" for i in range(n)] + load("p", m, "par[{}]")
    start = HEADER + 2 * n
    lines += [f"    z{s}_{i} = tape[{start + (s - 1) * n + i}]" for s in range(1, EXPLICIT_STAGES) for i in range(n)]
    lines += load("w", n, "w[{}]")
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
    at = f"z{s}_" if s else "y"
    call = f"pull_({listed([_time(s)], names(at, n), p, [f'b{s}_{i}' for i in range(n)])})"
    lines = [assign([*names("v", n), *names("u", m)], call)]
    lines += [f"    w{i} += v{i}" for i in range(n)]
    lines += [f"    b{r}_{i} += h * {A[s][r]!r} * v{i}" for r in range(s) for i in range(n)]
    return lines + [f"    q{j} += u{j}" for j in range(m)]
