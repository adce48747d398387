"""The functions of a law as source, and the lines that they and the steps are written in.

A population has millions of steps of a few dozen operations each: loops and arrays would cost more than the numbers.
"""


def names(prefix, n):
    return [f"{prefix}{i}" for i in range(n)]


def listed(*groups):
    return ", ".join(name for group in groups for name in group)


def load(prefix, n, array):
    return [f"    {prefix}{i} = {array.format(i)}" for i in range(n)]


def assign(names, call):
    """Names of what a function of numbers returns; it always returns a tuple."""
    return f"    ({listed(names)},) = {call}"


def combined(weights, terms):
    """Sum of the terms with weights that are not zero; "0.0" if there are none."""
    found = [f"{float(w)!r} * {x}" if w != 1.0 else x for w, x in zip(weights, terms, strict=True) if w != 0.0]
    return " + ".join(found) or "0.0"


def head(n, m):
    return [*load("y", n, "y[{}]"), *load("p", m, "par[{}]")]


def field(n, m):
    lines = ["def field(t, y, rate, par, out):", *head(n, m), *load("r", n, "rate[{}]")]
    lines += [assign(names("f", n), f"field_({listed(['t'], names('y', n), names('p', m), names('r', n))})")]
    return "\n".join(lines + [f"    out[{i}] = f{i}" for i in range(n)]) + "\n"


def pull(n, m):
    lines = ["def pull(t, y, par, w, ybar, parbar):", *head(n, m), *load("w", n, "w[{}]")]
    call = f"pull_({listed(['t'], names('y', n), names('p', m), names('w', n))})"
    lines += [assign(names("b", n + m), call)] + [f"    ybar[{i}] += b{i}" for i in range(n)]
    return "\n".join(lines + [f"    parbar[{j}] += b{n + j}" for j in range(m)]) + "\n"


def modes(n, m, cases):
    lines = ["def modes(t, y, par, z):", *head(n, m)]
    lines += [assign(names("z", cases), f"modes_({listed(['t'], names('y', n), names('p', m))})")]
    return "\n".join(lines + [f"    z[{j}] = z{j}" for j in range(cases)]) + "\n"


def margins(n, m, cases):
    lines = ["def margins(t, y, par, v):", *head(n, m)]
    lines += [assign(names("v", cases + 1), f"margins_({listed(['t'], names('y', n), names('p', m))})")]
    return "\n".join(lines + [f"    v[{j}] = v{j}" for j in range(cases + 1)]) + "\n"


def unmargins(n, m, cases):
    lines = ["def unmargins(t, y, par, w, ybar, parbar, tbar):", *head(n, m), *load("w", cases, "w[{}]")]
    call = f"unmargins_({listed(['t'], names('y', n), names('p', m), names('w', cases))})"
    lines += [assign(names("b", n + m + 1), call)] + [f"    ybar[{i}] += b{i}" for i in range(n)]
    lines += [f"    parbar[{j}] += b{n + j}" for j in range(m)]
    return "\n".join([*lines, f"    tbar[0] += b{n + m}"]) + "\n"


def jacobian(n, m, entries):
    lines = ["def jacobian(t, y, par, matrix, slope):", *head(n, m)]
    lines += [f"    matrix[{k}] = 0.0" for k in range(n * n)] + [f"    slope[{i}] = 0.0" for i in range(n)]
    if entries:
        lines += [assign(names("j", len(entries)), f"jacobian_({listed(['t'], names('y', n), names('p', m))})")]
    for k, (i, j) in enumerate(entries):
        lines += [f"    matrix[{i * n + j}] = j{k}" if j < n else f"    slope[{i}] = j{k}"]
    return "\n".join(lines) + "\n"
