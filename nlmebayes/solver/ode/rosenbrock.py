"""A step of Rodas5P and its adjoint, written out for one law.

In the variables U of Hairer and Wanner, with J = df/dy at the start of the step and W = 1 / (gamma h) - J:

    W U_i = f(t + c_i h, y + sum_j a_ij U_j) + h d_i df/dt + sum_j (c_ij / h) U_j,    y1 = y + sum_i b_i U_i

and the error is U_8. J enters the step, so the adjoint needs its derivative: that of sum_ab G_ab J_ab with
G = sum_i v_i U_i', where v_i solves W' v_i = (adjoint of U_i).

W is factorised without its zeros and without exchanging rows. Where that would lose digits the step is rejected: a
shorter one has a larger diagonal.
"""

from nlmebayes.solver.ode.call import HEADER
from nlmebayes.solver.ode.tableaus import COUPLING, GAMMA, RODAS_A, RODAS_B, RODAS_C, RODAS_D, STIFF_STAGES
from nlmebayes.solver.ode.written import assign, combined, head, listed, load, names

GROWTH = 1e6  # of what is taken from a diagonal element of W, over that element, beyond which a step is rejected


class _Factors:
    """W = L U as source: ``lines`` that compute it from h and the entries of J, and the places that are not zero."""

    def __init__(self, n, m, entries):
        call = f"jacobian_({listed(['t'], names('y', n), names('p', m))})"
        self.lines = [assign(names("j", len(entries)), call)] if entries else []
        self.lines += [f"    scale = {1 / GAMMA!r} / h", "    inverse = 1.0 / h"]
        self.order, self.lower, self.upper, self.slope = [], {}, {}, {}
        numbered = {place: f"j{k}" for k, place in enumerate(entries)}
        self.slope = {i: name for (i, j), name in numbered.items() if j == n}
        self.entries = {place: name for place, name in numbered.items() if place[1] < n}
        filled = set(self.entries) | {(i, i) for i in range(n)}
        for i, j in sorted(filled):
            value = ("scale" if i == j else "") + (f" - {numbered[i, j]}" if (i, j) in numbered else "")
            self.lines.append(f"    w{i}_{j} = {value}")
        self.lines += [f"    d{i} = abs(w{i}_{i})" for i in range(n)] + [f"    taken{i} = 0.0" for i in range(n)]
        left = set(range(n))
        while left:
            k = min(left, key=lambda k: (sum((i, k) in filled for i in left) * sum((k, j) in filled for j in left), k))
            left.remove(k)
            self._eliminate(k, left, filled)

    def _eliminate(self, k, left, filled):
        self.order.append(k)
        self.lower[k] = [i for i in sorted(left) if (i, k) in filled]
        self.upper[k] = [j for j in sorted(left) if (k, j) in filled]
        self.lines.append(f"    v{k} = 1.0 / w{k}_{k}")
        for i in self.lower[k]:
            self.lines.append(f"    l{i}_{k} = w{i}_{k} * v{k}")
            for j in self.upper[k]:
                before = f"w{i}_{j}" if (i, j) in filled else ""
                self.lines.append(f"    w{i}_{j} = {before} - l{i}_{k} * w{k}_{j}")
                filled.add((i, j))
                if i == j:
                    self.lines.append(f"    taken{i} += abs(l{i}_{k} * w{k}_{j})")

    def solve(self, b):
        """Lines that solve W x = b, for numbers b0, b1 ... of this prefix, in place."""
        lines = [f"    {b}{i} -= l{i}_{k} * {b}{k}" for k in self.order for i in self.lower[k]]
        for k in reversed(self.order):
            lines += [f"    {b}{k} -= w{k}_{j} * {b}{j}" for j in self.upper[k]] + [f"    {b}{k} *= v{k}"]
        return lines

    def solve_transposed(self, b):
        lines = []
        for k in self.order:
            lines += [f"    {b}{k} *= v{k}"] + [f"    {b}{j} -= w{k}_{j} * {b}{k}" for j in self.upper[k]]
        return lines + [f"    {b}{k} -= l{i}_{k} * {b}{i}" for k in reversed(self.order) for i in self.lower[k]]


def _time(s):
    return f"t + {float(RODAS_C[s])!r} * h" if RODAS_C[s] else "t"


def _stage(s, n):
    """The state at which stage s is evaluated, as z0, z1 ..."""
    given = [(i, combined(RODAS_A[s, :s], [f"u{r}_{i}" for r in range(s)])) for i in range(n)]
    return [f"    z{i} = y{i} + {value}" if s else f"    z{i} = y{i}" for i, value in given]


def step(n, m, entries):
    """Source of ``stiff``. ``entries``: places (i, j) of [df/dy, df/dt] that are not zero, as jacobian_ gives them."""
    w = _Factors(n, m, entries)
    lines = ["def stiff(t, h, y, rate, u, par, new, tol, found):", *head(n, m), *load("r", n, "rate[{}]"), *w.lines]
    for s in range(STIFF_STAGES):
        lines += _stage(s, n)
        given = listed([_time(s)], names("z", n), names("p", m), names("r", n))
        lines += [assign(names(f"u{s}_", n), f"field_({given})")]
        for i in range(n):
            if s:
                lines += [f"    u{s}_{i} += inverse * ({combined(COUPLING[s, :s], [f'u{r}_{i}' for r in range(s)])})"]
            if i in w.slope and RODAS_D[s]:
                lines += [f"    u{s}_{i} += {float(RODAS_D[s])!r} * h * {w.slope[i]}"]
        lines += w.solve(f"u{s}_") + [f"    u[{s * n + i}] = u{s}_{i}" for i in range(n)]
    last = STIFF_STAGES - 1
    lines += ["    error, norm, grown = 0.0, 0.0, False"]
    for i in range(n):
        row = [f"abs({name})" for (k, _), name in w.entries.items() if k == i]
        lines += [
            f"    z{i} += u{last}_{i}",
            f"    new[{i}] = z{i}",
            f"    error += (u{last}_{i} / (tol[{3 + i}] + tol[0] * max(abs(y{i}), abs(z{i})))) ** 2",
            f"    norm = max(norm, {' + '.join(row) or '0.0'})",
            f"    grown = grown or not taken{i} <= {GROWTH!r} * d{i}",
        ]
    lines += [f"    found[0] = INF if grown else error / {n}.0", "    found[1] = (h * norm) ** 2"]
    return "\n".join(lines) + "\n"


def unstep(n, m, entries):
    """Source of ``unstiff``, the adjoint of ``stiff``."""
    w, p = _Factors(n, m, entries), names("p", m)
    lines = ["def unstiff(tape, par, dense, ubar, w, rbar, parbar):", "    t = tape[1]", "    h = tape[2]"]
    lines += [f"    y{i} = tape[{HEADER + i}]" for i in range(n)] + load("p", m, "par[{}]") + w.lines
    start, stages = HEADER + 2 * n, range(STIFF_STAGES)
    lines += [f"    u{s}_{i} = tape[{start + s * n + i}]" for s in stages for i in range(n)]
    lines += load("a", n, "w[{}]")
    lines += [f"    b{s}_{i} = {combined([RODAS_B[s]], [f'a{i}'])}" for s in stages for i in range(n)]
    lines += ["    if dense > 0.0:"] + [f"        b{s}_{i} += ubar[{s * n + i}]" for s in stages for i in range(n)]
    lines += [f"    r{i} = 0.0" for i in range(n)] + [f"    q{j} = 0.0" for j in range(m)]
    lines += [f"    g{i}_{j} = 0.0" for i, j in entries]
    for s in reversed(stages):
        b = f"b{s}_"
        lines += w.solve_transposed(b) + _stage(s, n)
        lines += [f"    r{i} += {b}{i}" for i in range(n)]
        lines += [f"    g{i}_{j} += {b}{i} * u{s}_{j}" for i, j in w.entries]
        lines += [f"    g{i}_{n} += {float(RODAS_D[s])!r} * h * {b}{i}" for i in w.slope if RODAS_D[s]]
        call = f"pull_({listed([_time(s)], names('z', n), p, names(b, n))})"
        lines += [assign([*names("x", n), *names("o", m)], call)]
        lines += [f"    a{i} += x{i}" for i in range(n)] + [f"    q{j} += o{j}" for j in range(m)]
        for i in range(n):
            lines += [f"    c{i} = inverse * {b}{i}"] if s else []
            lines += [
                f"    b{r}_{i} += {combined([RODAS_A[s, r], COUPLING[s, r]], [f'x{i}', f'c{i}'])}" for r in range(s)
            ]
    call = f"bend_({listed(['t'], names('y', n), p, [f'g{i}_{j}' for i, j in entries])})"
    lines += [assign([*names("x", n), *names("o", m)], call)]
    lines += [f"    w[{i}] = a{i} + x{i}" for i in range(n)] + [f"    rbar[{i}] += r{i}" for i in range(n)]
    return "\n".join(lines + [f"    parbar[{j}] += q{j} + o{j}" for j in range(m)]) + "\n"
