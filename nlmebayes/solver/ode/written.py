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


def slopes_pulled(n, m, entries):
    """``pull_``: w df/dy and w df/dpar, of the slopes ``entries``, places (i, j) of [df/dy, df/dt, df/dpar].

    The slopes do not depend on w, so a processor has them ready when w, for which each stage waits, arrives.
    """
    own = listed(["t"], names("y", n), names("p", m))
    lines = [f"def pull_({own}, {listed(names('w', n))}):"]
    lines += [assign(names("j", len(entries)), f"slopes_({own})")] if entries else []
    columns = [*range(n), *range(n + 1, n + 1 + m)]
    given = [[f"w{i} * j{k}" for k, (i, j) in enumerate(entries) if j == column] for column in columns]
    return "\n".join([*lines, f"    return ({listed([' + '.join(g) or '0.0' for g in given])},)"]) + "\n"


def pull(n, m):
    lines = ["def pull(t, y, par, w, ybar, parbar):", *head(n, m), *load("w", n, "w[{}]")]
    call = f"pull_({listed(['t'], names('y', n), names('p', m), names('w', n))})"
    lines += [assign(names("b", n + m), call)] + [f"    ybar[{i}] += b{i}" for i in range(n)]
    return "\n".join(lines + [f"    parbar[{j}] += b{n + j}" for j in range(m)]) + "\n"


def jacobian(n, m, entries):
    lines = ["def jacobian(t, y, par, matrix, slope):", *head(n, m)]
    lines += [f"    matrix[{k}] = 0.0" for k in range(n * n)] + [f"    slope[{i}] = 0.0" for i in range(n)]
    if entries:
        lines += [assign(names("j", len(entries)), f"jacobian_({listed(['t'], names('y', n), names('p', m))})")]
    for k, (i, j) in enumerate(entries):
        lines += [f"    matrix[{i * n + j}] = j{k}" if j < n else f"    slope[{i}] = j{k}"]
    return "\n".join(lines) + "\n"
